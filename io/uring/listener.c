// Listeners: an accept that goes on by itself for each socket.
//
// The life of an accept: it is wanted (mr_io_accept_wanted()) and not in the kernel:
// submitted; each completion with F_MORE is one connection; a completion without it is the
// last, because it was cancelled (pausing, closing), because descriptors have run out or
// because the completion queue was full; then it is submitted again if it is wanted still.
// Closing a listener closes its sockets and cuts the accept's tie to it; what the kernel
// accepts until the last completion is closed.
#include <errno.h>
#include <stdlib.h>

#include "io/socket.h"
#include "io/uring/internal.h"

// How often a loop that closes asks the kernel to come to an end.
#define CLOSE_ROUNDS_MAX 64u

static bool accept_is_wanted(const struct uring_accept *accept) {
    return accept->listener != NULL && mr_io_accept_wanted(accept->listener);
}

static void accept_prepare(struct uring_loop *state, struct uring_accept *accept) {
    uint64_t user_data = uring_user_data(accept, URING_TAG_ACCEPT);
    if (!accept->in_kernel && accept_is_wanted(accept)) {
        struct io_uring_sqe *sqe = mr_uring_queue_push(&state->queue, IORING_OP_ACCEPT, user_data);
        sqe->fd = accept->fd;
        sqe->ioprio = IORING_ACCEPT_MULTISHOT;
        sqe->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
        accept->in_kernel = true;
    } else if (accept->in_kernel && !accept->cancelled && !accept_is_wanted(accept)) {
        mr_uring_queue_push_cancel(&state->queue, user_data);
        accept->cancelled = true;
    }
}

void uring_accepts_prepare(struct mr_loop *loop) {
    struct uring_loop *state = uring_loop_of(loop);
    if (!state->accepts_changed) {
        return;
    }
    state->accepts_changed = false;
    struct uring_accept **link = &state->accepts;
    while (*link != NULL) {
        struct uring_accept *accept = *link;
        if (!uring_submit_for(loop, 1)) {
            state->accepts_changed = true;
            return;
        }
        accept_prepare(state, accept);
        if (accept->listener == NULL && !accept->in_kernel) {
            *link = accept->next;
            free(accept);
        } else {
            link = &accept->next;
        }
    }
}

static void accept_failed(struct uring_accept *accept, int os_error) {
    switch (os_error) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            if (accept->listener != NULL) {
                mr_io_on_accept_starved(accept->listener);
            }
            break;
        default:
            // Cancelled; or an error of the new connection, which is gone already.
            break;
    }
}

void uring_on_accept_complete(struct mr_loop *loop, struct uring_accept *accept,
                              const struct mr_uring_completion *completion) {
    struct uring_loop *state = uring_loop_of(loop);
    if ((completion->flags & IORING_CQE_F_MORE) == 0) {
        accept->in_kernel = false;
        accept->cancelled = false;
        state->accepts_changed = true;
    }
    if (completion->res < 0) {
        accept_failed(accept, -completion->res);
    } else if (accept->listener != NULL) {
        mr_io_on_accepted(accept->listener, completion->res);
    } else {
        uring_count_syscall(loop);
        mr_socket_close(completion->res, false);
    }
}

// -------------------------------------------------------------------- for the front end

static void accepts_cut(struct mr_listener *listener) {
    struct uring_loop *state = uring_loop_of(listener->loop);
    for (struct uring_accept *accept = state->accepts; accept != NULL; accept = accept->next) {
        if (accept->listener == listener) {
            accept->listener = NULL;
        }
    }
    state->accepts_changed = true;
}

enum mr_err uring_listener_open(struct mr_listener *listener,
                                const struct mr_listen_address *address, int *os_error) {
    struct uring_loop *state = uring_loop_of(listener->loop);
    enum mr_err err = mr_socket_listen(listener, address, os_error);
    if (err != MR_OK) {
        return err;
    }
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        struct uring_accept *accept = calloc(1, sizeof *accept);
        if (accept == NULL) {
            accepts_cut(listener);
            mr_socket_listen_end(listener);
            *os_error = ENOMEM;
            return MR_ERR_NOMEM;
        }
        accept->listener = listener;
        accept->fd = (int)listener->sockets[i].handle;
        accept->next = state->accepts;
        state->accepts = accept;
    }
    state->accepts_changed = true;
    return MR_OK;
}

void uring_listener_update(struct mr_listener *listener) {
    uring_loop_of(listener->loop)->accepts_changed = true;
}

void uring_listener_close(struct mr_listener *listener) {
    accepts_cut(listener);
    mr_socket_listen_end(listener);
    mr_io_on_listener_closed(listener);
}

void uring_accepts_close(struct mr_loop *loop) {
    struct uring_loop *state = uring_loop_of(loop);
    // A socket that an accept still holds would keep its port for a while.
    bool can_enter = state->enabled && pthread_equal(state->thread, pthread_self());
    for (uint32_t round = 0; state->accepts != NULL && round < CLOSE_ROUNDS_MAX; round++) {
        if (can_enter) {
            uring_accepts_prepare(loop);
            uring_count_syscall(loop);
            (void)mr_uring_queue_enter(&state->queue, 0);
        }
        if (mr_uring_queue_completed(&state->queue) == 0 && !can_enter) {
            break;
        }
        while (mr_uring_queue_completed(&state->queue) > 0) {
            struct mr_uring_completion completion = mr_uring_queue_pop(&state->queue);
            if ((completion.user_data & URING_TAG_MASK) == URING_TAG_ACCEPT) {
                uint64_t address = completion.user_data & ~(uint64_t)URING_TAG_MASK;
                uring_on_accept_complete(loop, (struct uring_accept *)(uintptr_t)address,
                                         &completion);
            }
        }
    }
    while (state->accepts != NULL) {
        struct uring_accept *accept = state->accepts;
        state->accepts = accept->next;
        free(accept);
    }
}
