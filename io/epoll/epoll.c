// Completions emulated over readiness. A stream is registered once, for everything and
// edge-triggered; what the edges said is kept in mr_stream.backend_flags, so pausing,
// resuming and waiting for room cost no system call.
#include "io/epoll/epoll.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "io/socket.h"

#define EVENTS_MAX 512
#define IOV_MAX_COUNT 128u
// Per turn and listening socket; the rest of a storm waits for the next turn.
#define ACCEPT_BATCH 64u

// mr_stream.backend_flags.
#define STREAM_READABLE 0x1u  // There may be bytes.
#define STREAM_HANGUP 0x2u    // And behind them the end, so read up to it.

// What epoll_event.data.ptr points to: NULL is the eventfd, a set lowest bit means a
// listening socket, otherwise it is a stream.
#define TAG_LISTENER 1u

struct epoll_state {
    int epoll_fd;
    int event_fd;
    int event_count;
    struct epoll_event events[EVENTS_MAX];
};

static_assert(sizeof(struct mr_iov) == sizeof(struct iovec), "passed as such");
static_assert(offsetof(struct mr_iov, base) == offsetof(struct iovec, iov_base), "");
static_assert(offsetof(struct mr_iov, len) == offsetof(struct iovec, iov_len), "");

static struct epoll_state *state_of(struct mr_loop *loop) {
    return mr_io_core(loop)->backend_data;
}

static void count_syscall(struct mr_loop *loop) {
    mr_io_core(loop)->stats.syscall_count++;
}

static int control(struct mr_loop *loop, int operation, intptr_t handle, uint32_t events,
                   void *tagged) {
    struct epoll_event event = {.events = events, .data = {.ptr = tagged}};
    count_syscall(loop);
    return epoll_ctl(state_of(loop)->epoll_fd, operation, (int)handle, &event) == 0 ? 0 : errno;
}

// --------------------------------------------------------------------------- loop

static enum mr_err loop_open(struct mr_loop *loop) {
    struct epoll_state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return MR_ERR_NOMEM;
    }
    int os_error;
    mr_io_core(loop)->backend_data = state;
    state->event_fd = -1;
    state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (state->epoll_fd < 0) {
        os_error = errno;
        goto fail;
    }
    state->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (state->event_fd < 0) {
        os_error = errno;
        goto fail;
    }
    // Edge-triggered, each write is reported once, and it never has to be read.
    os_error = control(loop, EPOLL_CTL_ADD, state->event_fd, EPOLLIN | EPOLLET, NULL);
    if (os_error == 0) {
        return MR_OK;
    }
fail:
    if (state->event_fd >= 0) {
        close(state->event_fd);
    }
    if (state->epoll_fd >= 0) {
        close(state->epoll_fd);
    }
    free(state);
    mr_io_core(loop)->backend_data = NULL;
    return mr_socket_err(os_error);
}

static void loop_close(struct mr_loop *loop) {
    struct epoll_state *state = state_of(loop);
    close(state->event_fd);
    close(state->epoll_fd);
    free(state);
}

static enum mr_err loop_wait(struct mr_loop *loop, uint64_t wait_ms) {
    struct epoll_state *state = state_of(loop);
    int timeout = -1;
    if (wait_ms != MR_IO_WAIT_FOREVER) {
        timeout = wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
    }
    count_syscall(loop);
    state->event_count = epoll_wait(state->epoll_fd, state->events, EVENTS_MAX, timeout);
    if (state->event_count < 0) {
        state->event_count = 0;
        return errno == EINTR ? MR_OK : MR_ERR_IO;
    }
    return MR_OK;
}

static void loop_wake(struct mr_loop *loop) {
    mr_socket_wake(state_of(loop)->event_fd);
}

static void loop_clock(struct mr_loop *loop, uint64_t *now_ms, uint64_t *wall_ms) {
    (void)loop;
    mr_socket_clock(now_ms, wall_ms);
}

// ------------------------------------------------------------------------ receiving

static void stream_recv(struct mr_stream *stream) {
    struct mr_io_core *core = mr_io_core(stream->loop);
    uint64_t left = mr_io_recv_share(core);
    while ((stream->backend_flags & STREAM_READABLE) && mr_io_recv_wanted(stream)) {
        if (left == 0) {
            mr_io_on_recv_share_used(stream);
            return;
        }
        size_t len;
        uint8_t *place = mr_io_recv_place(stream, &len);
        if (place == NULL) {
            mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
            return;
        }
        len = len < left ? len : (size_t)left;
        core->stats.syscall_count++;
        ssize_t got = recv((int)stream->handle, place, len, 0);
        if (got > 0) {
            left -= (uint64_t)got;
            // Less than asked for: that was all, and what comes later makes a new edge.
            if ((size_t)got < len && (stream->backend_flags & STREAM_HANGUP) == 0) {
                stream->backend_flags &= ~STREAM_READABLE;
            }
            mr_io_on_recv(stream, (size_t)got);
            continue;
        }
        int os_error = got < 0 ? errno : 0;
        if (os_error == EINTR) {
            mr_io_on_recv(stream, 0);
        } else if (os_error == EAGAIN) {
            stream->backend_flags &= ~STREAM_READABLE;
            mr_io_on_recv(stream, 0);
        } else {
            stream->backend_flags &= ~STREAM_READABLE;
            mr_io_on_recv_end(stream, got == 0 ? MR_ERR_EOF : mr_socket_err(os_error), os_error);
        }
    }
}

// Nothing is in flight, and mr_io_recv_wanted() keeps us from beginning.
static void stream_recv_stop(struct mr_stream *stream) {
    (void)stream;
}

// -------------------------------------------------------------------------- sending

static ssize_t send_once(struct mr_stream *stream, size_t *asked) {
    struct mr_io_core *core = mr_io_core(stream->loop);
    struct mr_iov iov[IOV_MAX_COUNT];
    size_t count = mr_chain_iov(&stream->out, iov, IOV_MAX_COUNT);
    *asked = 0;
    for (size_t i = 0; i < count; i++) {
        *asked += iov[i].len;
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(void *)iov, .msg_iovlen = count};
    core->stats.syscall_count++;
    core->stats.send_count++;
    return sendmsg((int)stream->handle, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void stream_send(struct mr_stream *stream) {
    uint64_t share = mr_io_core(stream->loop)->send_turn_bytes_max;
    uint64_t sent = 0;
    while (stream->out.bytes > 0 && sent < share) {
        size_t asked;
        ssize_t taken = send_once(stream, &asked);
        if (taken < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                mr_io_on_send_over(stream, true);
                return;
            }
            stream->backend_flags |= STREAM_HANGUP | STREAM_READABLE;
            mr_io_on_send_failed(stream, mr_socket_err(errno), errno);
            return;
        }
        sent += (uint64_t)taken;
        mr_io_on_sent(stream, (uint64_t)taken);
        if ((size_t)taken < asked) {
            // The kernel's buffer is full, and it will tell when that changes.
            mr_io_on_send_over(stream, true);
            return;
        }
    }
    mr_io_on_send_over(stream, false);
}

static void stream_send_end(struct mr_stream *stream) {
    count_syscall(stream->loop);
    mr_socket_send_end(stream->handle);
}

// ------------------------------------------------------------------ streams, the rest

static enum mr_err stream_open(struct mr_stream *stream) {
    const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    return mr_socket_err(control(stream->loop, EPOLL_CTL_ADD, stream->handle, events, stream));
}

static void stream_close(struct mr_stream *stream, bool reset) {
    // The last reference to the socket goes, so epoll forgets it by itself.
    count_syscall(stream->loop);
    mr_socket_close(stream->handle, reset);
    mr_io_on_closed(stream);
}

static void stream_detach(struct mr_stream *stream) {
    (void)control(stream->loop, EPOLL_CTL_DEL, stream->handle, 0, NULL);
    mr_io_on_detached(stream);
}

static void handle_close(struct mr_loop *loop, intptr_t handle) {
    count_syscall(loop);
    mr_socket_close(handle, false);
}

static void handle_peer_text(struct mr_loop *loop, intptr_t handle, char out[MR_PEER_TEXT_BYTES]) {
    count_syscall(loop);
    mr_socket_peer_text(handle, out);
}

// ------------------------------------------------------------------------- listeners

static void *listener_tag(struct mr_listener_socket *socket) {
    return (char *)socket + TAG_LISTENER;
}

static enum mr_err listener_open(struct mr_listener *listener,
                                 const struct mr_listen_address *address, int *os_error) {
    enum mr_err err = mr_socket_listen(listener, address, os_error);
    if (err != MR_OK) {
        return err;
    }
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        struct mr_listener_socket *socket = &listener->sockets[i];
        *os_error =
            control(listener->loop, EPOLL_CTL_ADD, socket->handle, EPOLLIN, listener_tag(socket));
        if (*os_error != 0) {
            mr_socket_listen_end(listener);
            return mr_socket_err(*os_error);
        }
    }
    return MR_OK;
}

static void listener_update(struct mr_listener *listener) {
    // Level-triggered: who waits in the backlog is reported when accepting goes on.
    uint32_t events = mr_io_accept_wanted(listener) ? EPOLLIN : 0;
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        struct mr_listener_socket *socket = &listener->sockets[i];
        (void)control(listener->loop, EPOLL_CTL_MOD, socket->handle, events, listener_tag(socket));
    }
}

static void listener_close(struct mr_listener *listener) {
    mr_socket_listen_end(listener);
    mr_io_on_listener_closed(listener);
}

static void accept_some(struct mr_listener_socket *socket) {
    struct mr_listener *listener = socket->listener;
    for (uint32_t i = 0; i < ACCEPT_BATCH && mr_io_accept_wanted(listener); i++) {
        intptr_t handle;
        count_syscall(listener->loop);
        switch (mr_socket_accept(socket->handle, &handle)) {
            case MR_SOCKET_ACCEPTED:
                mr_io_on_accepted(listener, handle);
                break;
            case MR_SOCKET_AGAIN:
                break;
            case MR_SOCKET_NONE:
                return;
            case MR_SOCKET_STARVED:
                mr_io_on_accept_starved(listener);
                return;
        }
    }
}

// -------------------------------------------------------------------------- delivery

static void stream_event(struct mr_stream *stream, uint32_t events) {
    if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
        stream->backend_flags |= STREAM_HANGUP | STREAM_READABLE;
    }
    if (events & EPOLLIN) {
        stream->backend_flags |= STREAM_READABLE;
    }
    if (stream->backend_flags & STREAM_READABLE) {
        mr_io_on_recv_ready(stream);
    }
    if (events & EPOLLOUT) {
        mr_io_on_send_ready(stream);
    }
}

static void loop_deliver(struct mr_loop *loop) {
    struct epoll_state *state = state_of(loop);
    for (int i = 0; i < state->event_count; i++) {
        char *tagged = state->events[i].data.ptr;
        if (tagged == NULL) {
            continue;
        }
        if ((uintptr_t)tagged & TAG_LISTENER) {
            accept_some((struct mr_listener_socket *)(void *)(tagged - TAG_LISTENER));
        } else {
            stream_event((struct mr_stream *)(void *)tagged, state->events[i].events);
        }
    }
    state->event_count = 0;
}

const struct mr_io_backend mr_io_epoll = {
    .name = "epoll",
    .loop_open = loop_open,
    .loop_close = loop_close,
    .loop_wait = loop_wait,
    .loop_deliver = loop_deliver,
    .loop_wake = loop_wake,
    .loop_clock = loop_clock,
    .stream_open = stream_open,
    .stream_recv = stream_recv,
    .stream_recv_stop = stream_recv_stop,
    .stream_send = stream_send,
    .stream_send_end = stream_send_end,
    .stream_close = stream_close,
    .stream_detach = stream_detach,
    .handle_close = handle_close,
    .handle_peer_text = handle_peer_text,
    .listener_open = listener_open,
    .listener_update = listener_update,
    .listener_close = listener_close,
};
