// What the files of the backend share.
#ifndef MILLRACE_IO_URING_INTERNAL_H
#define MILLRACE_IO_URING_INTERNAL_H

#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/base.h"
#include "io/backend.h"
#include "io/uring/queue.h"
#include "io/uring/supply.h"

#define URING_SUBMISSIONS 256u
#define URING_COMPLETIONS 2048u
// Pieces of all sends that are submitted together, and of one.
#define URING_IOV_COUNT 1024u
#define URING_SEND_IOV_MAX 128u

// The lowest bits of a submission's user data say what completes, the others whose it is.
enum uring_tag {
    URING_TAG_NONE,        // A cancelling that found nothing.
    URING_TAG_RECV_SHOTS,  // Of a struct mr_stream, as are those that follow.
    URING_TAG_RECV_PLACED,
    URING_TAG_SEND,
    URING_TAG_SEND_ROOM,
    URING_TAG_ACCEPT,  // Of a struct uring_accept.
    URING_TAG_WAKE,
};
#define URING_TAG_MASK 7u

static inline uint64_t uring_user_data(const void *whose, enum uring_tag tag) {
    return (uint64_t)(uintptr_t)whose | (uint64_t)tag;
}

// An accept that goes on by itself. It outlives its listener until the kernel is done with it.
struct uring_accept {
    struct mr_listener *listener;  // NULL: closed.
    int fd;
    bool in_kernel;
    bool cancelled;
    struct uring_accept *next;
};

// Streams, linked by backend_data.
struct uring_queue_of_streams {
    struct mr_stream *head;
    struct mr_stream *tail;
};

struct uring_loop {
    struct mr_uring_queue queue;
    struct mr_uring_supply supply;
    int wake_fd;
    bool wake_in_kernel;
    bool enabled;
    pthread_t thread;  // If enabled.
    bool no_wait;      // The next wait is none: something has happened already.
    // Turns so far; wraps around.
    uint32_t turn;

    struct uring_accept *accepts;
    bool accepts_changed;

    // Something to be submitted for them.
    struct uring_queue_of_streams todo;
    // The same, before them: the supply was used up before anything came for these.
    struct uring_queue_of_streams starved;
    // The kernel has nothing of them any more: to be closed or detached with the delivery.
    struct uring_queue_of_streams done;

    // The kernel copies them when it takes the submission.
    uint32_t iov_used;
    uint32_t message_used;
    struct iovec iovs[URING_IOV_COUNT];
    struct msghdr messages[URING_SUBMISSIONS];
};

static inline struct uring_loop *uring_loop_of(struct mr_loop *loop) {
    return mr_io_core(loop)->backend_data;
}

static inline void uring_count_syscall(struct mr_loop *loop) {
    mr_io_core(loop)->stats.syscall_count++;
}

// Has room for so many submissions, one of them a send, by submitting what is there. False if
// there is none, for the moment.
bool uring_submit_for(struct mr_loop *loop, uint32_t count);

// stream.c
void uring_streams_prepare(struct mr_loop *loop);  // Submits what there is to do.
void uring_streams_finish(struct mr_loop *loop);   // Reports those that are done.
void uring_on_stream_complete(struct mr_stream *stream, enum uring_tag tag,
                              const struct mr_uring_completion *completion);
enum mr_err uring_stream_open(struct mr_stream *stream);
void uring_stream_recv(struct mr_stream *stream);
void uring_stream_recv_stop(struct mr_stream *stream);
void uring_stream_send(struct mr_stream *stream);
void uring_stream_send_end(struct mr_stream *stream);
void uring_stream_close(struct mr_stream *stream, bool reset);
void uring_stream_detach(struct mr_stream *stream);

// listener.c
void uring_accepts_prepare(struct mr_loop *loop);
void uring_on_accept_complete(struct mr_loop *loop, struct uring_accept *accept,
                              const struct mr_uring_completion *completion);
// Closes what the kernel accepts for nobody; the caller ends the queue afterwards.
void uring_accepts_close(struct mr_loop *loop);
enum mr_err uring_listener_open(struct mr_listener *listener,
                                const struct mr_listen_address *address, int *os_error);
void uring_listener_update(struct mr_listener *listener);
void uring_listener_close(struct mr_listener *listener);

#endif  // MILLRACE_IO_URING_INTERNAL_H
