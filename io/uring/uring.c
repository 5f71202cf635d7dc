// The loop: one ring for each, entered once in a turn.
//
// What the front end asks for is noted and submitted by the next loop_wait: sends, receives
// and accepts that begin or end. The same system call waits. The kernel works for the ring
// only during that call, so everything has completed or has not; what has is delivered
// afterwards, in its order.
//
// Each operation, and each completion that it brings:
//  - Waking: a poll of an eventfd that goes on by itself. The eventfd is never read; a write
//    is an event whatever was there before.
//  - Accepting: listener.c.
//  - Receiving, sending, closing, detaching: stream.c.
//  - Cancelling: completes only if it found nothing, and then nobody cares, because what was
//    to be cancelled completes in any case. Nothing is forgotten before it has.
#include "io/uring/uring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "io/socket.h"
#include "io/uring/internal.h"

static_assert(_Alignof(struct mr_stream) > URING_TAG_MASK, "room for the tag");
static_assert(_Alignof(struct uring_accept) > URING_TAG_MASK, "room for the tag");

// What the system lacks is not the caller's fault, nor can it be mended by another try.
static enum mr_err open_err(int os_error) {
    switch (os_error) {
        case EPERM:
        case EACCES:
        case EINVAL:
            return MR_ERR_UNSUPPORTED;
        default:
            return mr_socket_err(os_error);
    }
}

static int queue_and_supply_open(struct mr_uring_queue *queue, struct mr_uring_supply *supply,
                                 uint64_t supply_bytes) {
    int os_error = mr_uring_queue_open(queue, URING_SUBMISSIONS, URING_COMPLETIONS);
    if (os_error != 0) {
        return os_error;
    }
    os_error = mr_uring_supply_open(supply, queue, supply_bytes);
    if (os_error != 0) {
        mr_uring_queue_close(queue, false);
    }
    return os_error;
}

static enum mr_err loop_open(struct mr_loop *loop) {
    struct uring_loop *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return MR_ERR_NOMEM;
    }
    state->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int os_error = state->wake_fd < 0 ? errno : 0;
    if (os_error == 0) {
        os_error = queue_and_supply_open(&state->queue, &state->supply,
                                         mr_io_core(loop)->recv_turn_bytes_max);
    }
    if (os_error != 0) {
        if (state->wake_fd >= 0) {
            close(state->wake_fd);
        }
        free(state);
        return open_err(os_error);
    }
    mr_io_core(loop)->backend_data = state;
    return MR_OK;
}

static void loop_close(struct mr_loop *loop) {
    struct uring_loop *state = uring_loop_of(loop);
    uring_accepts_close(loop);
    bool by_its_thread = state->enabled && pthread_equal(state->thread, pthread_self());
    mr_uring_queue_close(&state->queue, by_its_thread);
    mr_uring_supply_close(&state->supply);
    close(state->wake_fd);
    free(state);
    mr_io_core(loop)->backend_data = NULL;
}

// -------------------------------------------------------------------------------- waiting

static void submitted(struct uring_loop *state) {
    if (mr_uring_queue_unsubmitted(&state->queue) == 0) {
        state->iov_used = 0;
        state->message_used = 0;
    }
}

static bool has_room_for(const struct uring_loop *state, uint32_t count) {
    return mr_uring_queue_room(&state->queue) >= count &&
           URING_IOV_COUNT - state->iov_used >= URING_SEND_IOV_MAX &&
           state->message_used < URING_SUBMISSIONS;
}

bool uring_submit_for(struct mr_loop *loop, uint32_t count) {
    struct uring_loop *state = uring_loop_of(loop);
    if (MR_LIKELY(has_room_for(state, count))) {
        return true;
    }
    uring_count_syscall(loop);
    (void)mr_uring_queue_submit(&state->queue);
    submitted(state);
    return has_room_for(state, count);
}

static void wake_prepare(struct mr_loop *loop) {
    struct uring_loop *state = uring_loop_of(loop);
    if (state->wake_in_kernel || !uring_submit_for(loop, 1)) {
        return;
    }
    struct io_uring_sqe *sqe = mr_uring_queue_push(&state->queue, IORING_OP_POLL_ADD,
                                                   uring_user_data(NULL, URING_TAG_WAKE));
    sqe->fd = state->wake_fd;
    sqe->len = IORING_POLL_ADD_MULTI;
    sqe->poll_events = POLLIN;
    state->wake_in_kernel = true;
}

static enum mr_err enable(struct uring_loop *state) {
    if (mr_uring_queue_enable(&state->queue) != 0) {
        return MR_ERR_IO;
    }
    state->enabled = true;
    state->thread = pthread_self();
    return MR_OK;
}

static enum mr_err loop_wait(struct mr_loop *loop, uint64_t wait_ms) {
    struct uring_loop *state = uring_loop_of(loop);
    if (MR_UNLIKELY(!state->enabled)) {
        MR_TRY(enable(state));
    }
    state->turn++;
    mr_uring_supply_fill(&state->supply, mr_io_core(loop)->pool);
    wake_prepare(loop);
    uring_accepts_prepare(loop);
    uring_streams_prepare(loop);
    // Without room for its poll nobody could end the wait.
    if (state->todo.head != NULL || state->starved.head != NULL || state->done.head != NULL ||
        state->accepts_changed || state->no_wait || !state->wake_in_kernel) {
        wait_ms = 0;
    }
    state->no_wait = false;
    if (wait_ms == 0 && mr_uring_queue_unsubmitted(&state->queue) == 0 &&
        !mr_uring_queue_is_due(&state->queue)) {
        return MR_OK;
    }
    static_assert(MR_IO_WAIT_FOREVER == MR_URING_QUEUE_WAIT_FOREVER, "passed as such");
    uring_count_syscall(loop);
    int os_error = mr_uring_queue_enter(&state->queue, wait_ms);
    submitted(state);
    return os_error == 0 ? MR_OK : MR_ERR_IO;
}

static void loop_wake(struct mr_loop *loop) {
    mr_socket_wake(uring_loop_of(loop)->wake_fd);
}

static void loop_clock(struct mr_loop *loop, uint64_t *now_ms, uint64_t *wall_ms) {
    (void)loop;
    mr_socket_clock(now_ms, wall_ms);
}

// ------------------------------------------------------------------------------- delivery

static void deliver(struct mr_loop *loop, const struct mr_uring_completion *completion) {
    enum uring_tag tag = (enum uring_tag)(completion->user_data & URING_TAG_MASK);
    void *whose = (void *)(uintptr_t)(completion->user_data & ~(uint64_t)URING_TAG_MASK);
    switch (tag) {
        case URING_TAG_NONE:
            break;
        case URING_TAG_ACCEPT:
            uring_on_accept_complete(loop, whose, completion);
            break;
        case URING_TAG_WAKE:
            if ((completion->flags & IORING_CQE_F_MORE) == 0) {
                uring_loop_of(loop)->wake_in_kernel = false;
            }
            break;
        case URING_TAG_RECV_SHOTS:
        case URING_TAG_RECV_PLACED:
        case URING_TAG_SEND:
        case URING_TAG_SEND_ROOM:
            uring_on_stream_complete(whose, tag, completion);
            break;
    }
}

static void loop_deliver(struct mr_loop *loop) {
    struct uring_loop *state = uring_loop_of(loop);
    uring_streams_finish(loop);
    for (uint32_t left = mr_uring_queue_completed(&state->queue); left > 0; left--) {
        struct mr_uring_completion completion = mr_uring_queue_pop(&state->queue);
        deliver(loop, &completion);
    }
}

// -------------------------------------------------------------------------------- handles

static void handle_close(struct mr_loop *loop, intptr_t handle) {
    uring_count_syscall(loop);
    mr_socket_close(handle, false);
}

static void handle_peer_text(struct mr_loop *loop, intptr_t handle, char out[MR_PEER_TEXT_BYTES]) {
    uring_count_syscall(loop);
    mr_socket_peer_text(handle, out);
}

// --------------------------------------------------------------------------- availability

bool mr_io_uring_available(const char **why_out) {
    struct mr_uring_queue queue;
    struct mr_uring_supply supply;
    int os_error = queue_and_supply_open(&queue, &supply, 1);
    const char *why = NULL;
    switch (os_error) {
        case 0:
            mr_uring_queue_close(&queue, false);
            mr_uring_supply_close(&supply);
            return true;
        case ENOSYS:
            why = "the kernel has no io_uring";
            break;
        case EPERM:
        case EACCES:
            why = "io_uring is not permitted (see the sysctl kernel.io_uring_disabled, or seccomp)";
            break;
        case EINVAL:
            why = "io_uring of this kernel is too old: Linux 6.12 is needed";
            break;
        case ENOMEM:
            why = "no memory for io_uring (see the limit of locked memory)";
            break;
        case EMFILE:
        case ENFILE:
            why = "no descriptor for io_uring";
            break;
        default:
            why = "io_uring can't be set up";
            break;
    }
    if (why_out != NULL) {
        *why_out = why;
    }
    return false;
}

const struct mr_io_backend mr_io_uring = {
    .name = "io_uring",
    .loop_open = loop_open,
    .loop_close = loop_close,
    .loop_wait = loop_wait,
    .loop_deliver = loop_deliver,
    .loop_wake = loop_wake,
    .loop_clock = loop_clock,
    .stream_open = uring_stream_open,
    .stream_recv = uring_stream_recv,
    .stream_recv_stop = uring_stream_recv_stop,
    .stream_send = uring_stream_send,
    .stream_send_end = uring_stream_send_end,
    .stream_close = uring_stream_close,
    .stream_detach = uring_stream_detach,
    .handle_close = handle_close,
    .handle_peer_text = handle_peer_text,
    .listener_open = uring_listener_open,
    .listener_update = uring_listener_update,
    .listener_close = uring_listener_close,
};
