// The two queues that a process shares with the kernel: submissions go in, completions come
// out, and one system call does both. Knows nothing of what is submitted.
//
// It is set up so that the kernel works for it only while its thread is in
// mr_uring_queue_enter(): between two calls nothing that the kernel was given changes.
//
// The kernel's interface is used directly, without liburing: little of that would be used,
// and the broker would depend on a library for it.
//
// Threads: opened anywhere, then for the thread that enables it.
#ifndef MILLRACE_IO_URING_QUEUE_H
#define MILLRACE_IO_URING_QUEUE_H

#include <linux/io_uring.h>

#include "base/base.h"

#define MR_URING_QUEUE_WAIT_FOREVER UINT64_MAX

struct mr_uring_queue {
    int fd;
    int enter_fd;  // An index among the thread's registered rings, or `fd`.
    uint32_t enter_flags;
    void *rings;
    size_t rings_bytes;
    struct io_uring_sqe *sqes;
    size_t sqes_bytes;
    // Both rings count upwards for ever; `mask` makes an index of a count.
    uint32_t sq_tail;  // Ours; the kernel sees it with the next call.
    uint32_t sq_mask;
    const uint32_t *sq_head;
    uint32_t *sq_tail_shared;
    const uint32_t *sq_flags;
    uint32_t cq_mask;
    uint32_t *cq_head;
    const uint32_t *cq_tail;
    const struct io_uring_cqe *cqes;
};

// Returns 0 or an errno. `submission_count` is a power of 2.
int mr_uring_queue_open(struct mr_uring_queue *queue, uint32_t submission_count,
                        uint32_t completion_count);
// `by_its_thread`: the caller is the thread that has enabled it.
void mr_uring_queue_close(struct mr_uring_queue *queue, bool by_its_thread);

// Makes it the calling thread's. Returns 0 or an errno.
int mr_uring_queue_enable(struct mr_uring_queue *queue);

// Submits everything; has the kernel do what is due and, with `wait_ms` above 0, waits for a
// completion or until the time is over. Returns 0 (also when a signal came, when the time is
// over and when the kernel could not take everything: what it left is submitted the next
// time) or an errno.
int mr_uring_queue_enter(struct mr_uring_queue *queue, uint64_t wait_ms);
// Only submits.
int mr_uring_queue_submit(struct mr_uring_queue *queue);

static inline uint32_t mr_uring_queue_unsubmitted(const struct mr_uring_queue *queue) {
    return queue->sq_tail - __atomic_load_n(queue->sq_head, __ATOMIC_ACQUIRE);
}

static inline uint32_t mr_uring_queue_room(const struct mr_uring_queue *queue) {
    return queue->sq_mask + 1 - mr_uring_queue_unsubmitted(queue);
}

// Has the kernel something to do that it does only in mr_uring_queue_enter()?
static inline bool mr_uring_queue_is_due(const struct mr_uring_queue *queue) {
    const uint32_t due = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    return (__atomic_load_n(queue->sq_flags, __ATOMIC_RELAXED) & due) != 0;
}

// The next submission, all zero but for its operation; there has to be room.
struct io_uring_sqe *mr_uring_queue_push(struct mr_uring_queue *queue, uint8_t operation,
                                         uint64_t user_data);
// Cancels what was submitted with `user_data`; it completes for that. Completes itself (with
// user data 0) only if there was nothing to cancel.
void mr_uring_queue_push_cancel(struct mr_uring_queue *queue, uint64_t user_data);

static inline uint32_t mr_uring_queue_completed(const struct mr_uring_queue *queue) {
    return __atomic_load_n(queue->cq_tail, __ATOMIC_ACQUIRE) - *queue->cq_head;
}

struct mr_uring_completion {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

// Takes the oldest completion, of which there has to be one.
static inline struct mr_uring_completion mr_uring_queue_pop(struct mr_uring_queue *queue) {
    uint32_t head = *queue->cq_head;
    const struct io_uring_cqe *cqe = &queue->cqes[head & queue->cq_mask];
    struct mr_uring_completion completion = {
        .user_data = cqe->user_data,
        .res = cqe->res,
        .flags = cqe->flags,
    };
    __atomic_store_n(queue->cq_head, head + 1, __ATOMIC_RELEASE);
    return completion;
}

#endif  // MILLRACE_IO_URING_QUEUE_H
