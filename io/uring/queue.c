#include "io/uring/queue.h"

#include <errno.h>
#include <linux/time_types.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Of Linux 6.6, and newer than our headers.
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

// DEFER_TASKRUN: the kernel works only when we enter. TASKRUN_FLAG: and says whether it should.
// R_DISABLED: another thread than the one that sets it up will run it.
#define SETUP_FLAGS                                                                        \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | \
     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED |             \
     IORING_SETUP_NO_SQARRAY)
#define FEATURES_NEEDED (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)

static void *at(const struct mr_uring_queue *queue, uint32_t offset) {
    return (char *)queue->rings + offset;
}

static size_t rings_bytes_get(const struct io_uring_params *params) {
    size_t submissions = params->sq_off.tail + sizeof(uint32_t);
    size_t completions = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    return submissions > completions ? submissions : completions;
}

static int map(struct mr_uring_queue *queue, const struct io_uring_params *params) {
    const int access = PROT_READ | PROT_WRITE;
    const int kind = MAP_SHARED | MAP_POPULATE;
    queue->rings_bytes = rings_bytes_get(params);
    queue->rings =
        mmap(NULL, queue->rings_bytes, access, kind, queue->fd, (off_t)IORING_OFF_SQ_RING);
    if (queue->rings == MAP_FAILED) {
        return errno;
    }
    queue->sqes_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
    queue->sqes = mmap(NULL, queue->sqes_bytes, access, kind, queue->fd, (off_t)IORING_OFF_SQES);
    if (queue->sqes == MAP_FAILED) {
        int os_error = errno;
        munmap(queue->rings, queue->rings_bytes);
        return os_error;
    }
    queue->sq_mask = params->sq_entries - 1;
    queue->sq_head = at(queue, params->sq_off.head);
    queue->sq_tail_shared = at(queue, params->sq_off.tail);
    queue->sq_flags = at(queue, params->sq_off.flags);
    queue->cq_mask = params->cq_entries - 1;
    queue->cq_head = at(queue, params->cq_off.head);
    queue->cq_tail = at(queue, params->cq_off.tail);
    queue->cqes = at(queue, params->cq_off.cqes);
    return 0;
}

int mr_uring_queue_open(struct mr_uring_queue *queue, uint32_t submission_count,
                        uint32_t completion_count) {
    memset(queue, 0, sizeof *queue);
    struct io_uring_params params = {.flags = SETUP_FLAGS, .cq_entries = completion_count};
    queue->fd = (int)syscall(__NR_io_uring_setup, submission_count, &params);
    if (queue->fd < 0) {
        return errno;
    }
    queue->enter_fd = queue->fd;
    int os_error = ENOSYS;
    if ((params.features & FEATURES_NEEDED) == FEATURES_NEEDED) {
        os_error = map(queue, &params);
    }
    if (os_error != 0) {
        close(queue->fd);
    }
    return os_error;
}

void mr_uring_queue_close(struct mr_uring_queue *queue, bool by_its_thread) {
    if (by_its_thread && queue->enter_fd != queue->fd) {
        struct io_uring_rsrc_update which = {.offset = (uint32_t)queue->enter_fd};
        (void)syscall(__NR_io_uring_register, queue->fd, IORING_UNREGISTER_RING_FDS, &which, 1);
    }
    munmap(queue->sqes, queue->sqes_bytes);
    munmap(queue->rings, queue->rings_bytes);
    close(queue->fd);
}

int mr_uring_queue_enable(struct mr_uring_queue *queue) {
    if (syscall(__NR_io_uring_register, queue->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0) {
        return errno;
    }
    // Spares the kernel looking the descriptor up and counting a reference each time. A thread
    // has room for a few only; without it is right too.
    struct io_uring_rsrc_update which = {.offset = UINT32_MAX, .data = (uint32_t)queue->fd};
    if (syscall(__NR_io_uring_register, queue->fd, IORING_REGISTER_RING_FDS, &which, 1) == 1) {
        queue->enter_fd = (int)which.offset;
        queue->enter_flags = IORING_ENTER_REGISTERED_RING;
    }
    return 0;
}

static int enter(struct mr_uring_queue *queue, uint32_t wait_count, uint32_t flags, void *arg,
                 size_t arg_bytes) {
    __atomic_store_n(queue->sq_tail_shared, queue->sq_tail, __ATOMIC_RELEASE);
    long done = syscall(__NR_io_uring_enter, queue->enter_fd, mr_uring_queue_unsubmitted(queue),
                        wait_count, flags | queue->enter_flags, arg, arg_bytes);
    if (done >= 0) {
        return 0;
    }
    switch (errno) {
        case ETIME:
        case EINTR:
        case EAGAIN:  // No memory for a request at the moment.
        case EBUSY:   // Completions have to be taken first.
            return 0;
        default:
            return errno;
    }
}

int mr_uring_queue_enter(struct mr_uring_queue *queue, uint64_t wait_ms) {
    struct __kernel_timespec time = {
        .tv_sec = (int64_t)(wait_ms / 1000),
        .tv_nsec = (int64_t)(wait_ms % 1000) * 1000000,
    };
    bool timed = wait_ms > 0 && wait_ms != MR_URING_QUEUE_WAIT_FOREVER;
    struct io_uring_getevents_arg arg = {.ts = timed ? (uint64_t)(uintptr_t)&time : 0};
    return enter(queue, wait_ms > 0 ? 1 : 0, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
                 sizeof arg);
}

int mr_uring_queue_submit(struct mr_uring_queue *queue) {
    return enter(queue, 0, 0, NULL, 0);
}

struct io_uring_sqe *mr_uring_queue_push(struct mr_uring_queue *queue, uint8_t operation,
                                         uint64_t user_data) {
    MR_DEBUG_ASSERT(mr_uring_queue_room(queue) > 0);
    struct io_uring_sqe *sqe = &queue->sqes[queue->sq_tail++ & queue->sq_mask];
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = operation;
    sqe->user_data = user_data;
    return sqe;
}

void mr_uring_queue_push_cancel(struct mr_uring_queue *queue, uint64_t user_data) {
    struct io_uring_sqe *sqe = mr_uring_queue_push(queue, IORING_OP_ASYNC_CANCEL, 0);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->fd = -1;
    sqe->addr = user_data;
}
