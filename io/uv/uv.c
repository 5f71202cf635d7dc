// Completions emulated over libuv's readiness. libuv calls back while it waits, where nobody
// may be called; so its callbacks only note what is ready, and loop_deliver goes through that.
//
// A watch is changed as late as possible: a stream that pauses is watched on until something
// comes that it doesn't want, and most streams are running again by then.
#include "io/uv/uv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <uv.h>

#include "io/socket.h"

// Where it is missing, io/socket.c has asked for the same once for the whole socket.
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define IOV_MAX_COUNT 128u
// Per turn and listening socket; the rest of a storm waits for the next turn.
#define ACCEPT_BATCH 64u

// mr_stream.backend_flags.
#define STREAM_READABLE 0x1u  // There may be bytes.
#define STREAM_HANGUP 0x2u    // And behind them the end, so read up to it.
#define STREAM_BLOCKED 0x4u   // Waits for room to send.

struct uv_watch;

// What is ready, in the order in which libuv said so.
struct uv_state {
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    struct uv_watch *ready_head;
    struct uv_watch *ready_tail;
};

// The watch of a stream or of a listening socket. It outlives either, because libuv lets go
// of it only when it waits again.
struct uv_watch {
    uv_poll_t poll;
    struct uv_watch *ready_next;
    struct mr_stream *stream;           // One of these two, or neither: then nobody is
    struct mr_listener_socket *socket;  // interested any more.
    uint16_t watched;                   // UV_READABLE and UV_WRITABLE: what libuv looks for.
    uint16_t events;                    // What it has found.
    bool queued;                        // In the list of what is ready.
    bool failed;                        // It has found an error, and has stopped looking.
};

static_assert(sizeof(struct mr_iov) == sizeof(struct iovec), "passed as such");
static_assert(offsetof(struct mr_iov, base) == offsetof(struct iovec, iov_base), "");
static_assert(offsetof(struct mr_iov, len) == offsetof(struct iovec, iov_len), "");

static struct uv_state *state_of(struct mr_loop *loop) {
    return mr_io_core(loop)->backend_data;
}

static void count_syscall(struct mr_loop *loop) {
    mr_io_core(loop)->stats.syscall_count++;
}

// libuv's errors are negative numbers of the system.
static enum mr_err err_of(int status) {
    return mr_socket_err(-status);
}

// --------------------------------------------------------------------------- watches

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct uv_watch *watch = MR_CONTAINER_OF(poll, struct uv_watch, poll);
    struct uv_state *state = poll->loop->data;
    if (status < 0) {
        watch->failed = true;
        watch->watched = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    watch->events |= (uint16_t)events;
    if (watch->queued) {
        return;
    }
    watch->queued = true;
    watch->ready_next = NULL;
    if (state->ready_tail != NULL) {
        state->ready_tail->ready_next = watch;
    } else {
        state->ready_head = watch;
    }
    state->ready_tail = watch;
}

static void on_watch_closed(uv_handle_t *handle) {
    free(MR_CONTAINER_OF((uv_poll_t *)(void *)handle, struct uv_watch, poll));
}

// Has libuv look for exactly `wanted`.
static void watch_set(struct uv_watch *watch, uint16_t wanted) {
    if (watch->watched == wanted) {
        return;
    }
    watch->watched = wanted;
    int status =
        wanted == 0 ? uv_poll_stop(&watch->poll) : uv_poll_start(&watch->poll, wanted, on_poll);
    // It fails only if two watches are for one descriptor.
    MR_ASSERT(status == 0);
}

// Returns a watch that looks for nothing yet, NULL with `*status` if that failed.
static struct uv_watch *watch_new(struct mr_loop *loop, intptr_t handle, int *status) {
    struct uv_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        *status = UV_ENOMEM;
        return NULL;
    }
    *status = uv_poll_init(&state_of(loop)->loop, &watch->poll, (int)handle);
    if (*status != 0) {
        free(watch);
        return NULL;
    }
    return watch;
}

// Before its descriptor is closed: afterwards that may be somebody else's.
static void watch_free(struct uv_watch *watch) {
    watch->stream = NULL;
    watch->socket = NULL;
    uv_close((uv_handle_t *)(void *)&watch->poll, on_watch_closed);
}

// --------------------------------------------------------------------------- loop

static void on_wake(uv_async_t *wake) {
    (void)wake;
}

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

static enum mr_err loop_open(struct mr_loop *loop) {
    struct uv_state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return MR_ERR_NOMEM;
    }
    int status = uv_loop_init(&state->loop);
    if (status != 0) {
        free(state);
        return err_of(status);
    }
    state->loop.data = state;
    status = uv_async_init(&state->loop, &state->wake, on_wake);
    if (status != 0) {
        uv_loop_close(&state->loop);
        free(state);
        return err_of(status);
    }
    uv_timer_init(&state->loop, &state->timer);  // It can't fail.
    mr_io_core(loop)->backend_data = state;
    return MR_OK;
}

static void loop_close(struct mr_loop *loop) {
    struct uv_state *state = state_of(loop);
    uv_close((uv_handle_t *)(void *)&state->wake, NULL);
    uv_close((uv_handle_t *)(void *)&state->timer, NULL);
    // Nothing is watched any more; this calls what waits for the end of a handle.
    uv_run(&state->loop, UV_RUN_DEFAULT);
    int status = uv_loop_close(&state->loop);
    MR_ASSERT(status == 0);
    free(state);
}

static enum mr_err loop_wait(struct mr_loop *loop, uint64_t wait_ms) {
    struct uv_state *state = state_of(loop);
    count_syscall(loop);
    if (wait_ms == 0) {
        uv_run(&state->loop, UV_RUN_NOWAIT);
        return MR_OK;
    }
    if (wait_ms == MR_IO_WAIT_FOREVER) {
        uv_run(&state->loop, UV_RUN_ONCE);
        return MR_OK;
    }
    // It counts from the time at which it last looked at the clock. It repeats because uv_run
    // looks at its timers before it waits: one that was over by then would leave it waiting for
    // ever.
    uv_update_time(&state->loop);
    uv_timer_start(&state->timer, on_timer, wait_ms, 1);
    uv_run(&state->loop, UV_RUN_ONCE);
    uv_timer_stop(&state->timer);
    return MR_OK;
}

static void loop_wake(struct mr_loop *loop) {
    uv_async_send(&state_of(loop)->wake);
}

static void loop_clock(struct mr_loop *loop, uint64_t *now_ms, uint64_t *wall_ms) {
    (void)loop;
    mr_socket_clock(now_ms, wall_ms);
}

// ------------------------------------------------------------------------ receiving

static void watch_stream(struct mr_stream *stream) {
    struct uv_watch *watch = stream->backend_data;
    if (watch->failed) {
        return;  // Whatever is tried next finds the error.
    }
    uint16_t wanted = watch->watched & UV_READABLE;
    if ((stream->backend_flags & (STREAM_READABLE | STREAM_HANGUP)) == 0) {
        wanted = UV_READABLE;
    }
    if (stream->backend_flags & STREAM_BLOCKED) {
        wanted |= UV_WRITABLE;
    }
    watch_set(watch, wanted);
}

// Receives once, at most `*left`. False: that was all.
static bool recv_once(struct mr_stream *stream, uint64_t *left) {
    size_t len;
    uint8_t *place = mr_io_recv_place(stream, &len);
    if (place == NULL) {
        mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
        return false;
    }
    len = len < *left ? len : (size_t)*left;
    count_syscall(stream->loop);
    ssize_t got = recv((int)stream->handle, place, len, 0);
    if (got > 0) {
        *left -= (uint64_t)got;
        // Less than asked for: that was all, and what comes later is reported.
        if ((size_t)got < len && (stream->backend_flags & STREAM_HANGUP) == 0) {
            stream->backend_flags &= ~STREAM_READABLE;
        }
        mr_io_on_recv(stream, (size_t)got);
        return true;
    }
    int os_error = got < 0 ? errno : 0;
    if (os_error == EINTR) {
        mr_io_on_recv(stream, 0);
        return true;
    }
    stream->backend_flags &= ~STREAM_READABLE;
    if (os_error == EAGAIN || os_error == EWOULDBLOCK) {
        mr_io_on_recv(stream, 0);
        return false;
    }
    stream->backend_flags |= STREAM_HANGUP;
    mr_io_on_recv_end(stream, got == 0 ? MR_ERR_EOF : mr_socket_err(os_error), os_error);
    return false;
}

static void stream_recv(struct mr_stream *stream) {
    uint64_t left = mr_io_recv_share(mr_io_core(stream->loop));
    while ((stream->backend_flags & STREAM_READABLE) && mr_io_recv_wanted(stream)) {
        if (left == 0) {
            mr_io_on_recv_share_used(stream);
            break;
        }
        if (!recv_once(stream, &left)) {
            break;
        }
    }
    watch_stream(stream);
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
    struct msghdr message = {.msg_iov = (struct iovec *)(void *)iov};
    // Its type differs from system to system.
    message.msg_iovlen = (__typeof__(message.msg_iovlen))count;
    core->stats.syscall_count++;
    core->stats.send_count++;
    return sendmsg((int)stream->handle, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_blocked(struct mr_stream *stream) {
    stream->backend_flags |= STREAM_BLOCKED;
    watch_stream(stream);
    mr_io_on_send_over(stream, true);
}

static void stream_send(struct mr_stream *stream) {
    uint64_t share = mr_io_core(stream->loop)->send_turn_bytes_max;
    uint64_t sent = 0;
    while (stream->out.bytes > 0 && sent < share) {
        size_t asked;
        ssize_t taken = send_once(stream, &asked);
        if (taken < 0) {
            int os_error = errno;
            if (os_error == EINTR) {
                continue;
            }
            if (os_error == EAGAIN || os_error == EWOULDBLOCK) {
                send_blocked(stream);
                return;
            }
            stream->backend_flags |= STREAM_HANGUP | STREAM_READABLE;
            mr_io_on_send_failed(stream, mr_socket_err(os_error), os_error);
            return;
        }
        sent += (uint64_t)taken;
        mr_io_on_sent(stream, (uint64_t)taken);
        if ((size_t)taken < asked) {
            send_blocked(stream);
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
    int status;
    struct uv_watch *watch = watch_new(stream->loop, stream->handle, &status);
    if (watch == NULL) {
        return err_of(status);
    }
    watch->stream = stream;
    stream->backend_data = watch;
    watch_stream(stream);
    return MR_OK;
}

static void stream_close(struct mr_stream *stream, bool reset) {
    watch_free(stream->backend_data);
    count_syscall(stream->loop);
    mr_socket_close(stream->handle, reset);
    mr_io_on_closed(stream);
}

static void stream_detach(struct mr_stream *stream) {
    watch_free(stream->backend_data);
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

static void listener_update(struct mr_listener *listener) {
    // Level-triggered: who waits in the backlog is reported when accepting goes on.
    uint16_t wanted = mr_io_accept_wanted(listener) ? UV_READABLE : 0;
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        watch_set(listener->sockets[i].backend_data, wanted);
    }
}

static void sockets_close(struct mr_listener *listener) {
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        if (listener->sockets[i].backend_data != NULL) {
            watch_free(listener->sockets[i].backend_data);
        }
    }
    mr_socket_listen_end(listener);
}

static enum mr_err listener_open(struct mr_listener *listener,
                                 const struct mr_listen_address *address, int *os_error) {
    enum mr_err err = mr_socket_listen(listener, address, os_error);
    if (err != MR_OK) {
        return err;
    }
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        struct mr_listener_socket *socket = &listener->sockets[i];
        int status;
        struct uv_watch *watch = watch_new(listener->loop, socket->handle, &status);
        socket->backend_data = watch;
        if (watch == NULL) {
            sockets_close(listener);
            *os_error = -status;
            return err_of(status);
        }
        watch->socket = socket;
    }
    listener_update(listener);
    return MR_OK;
}

static void listener_close(struct mr_listener *listener) {
    sockets_close(listener);
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

static void stream_event(struct mr_stream *stream, struct uv_watch *watch, uint16_t events) {
    if (watch->failed) {
        stream->backend_flags |= STREAM_HANGUP;
    }
    if ((events & UV_WRITABLE) && (stream->backend_flags & STREAM_BLOCKED)) {
        stream->backend_flags &= ~STREAM_BLOCKED;
        mr_io_on_send_ready(stream);
    }
    if (events & UV_READABLE) {
        stream->backend_flags |= STREAM_READABLE;
        mr_io_on_recv_ready(stream);
    }
    if (watch->failed) {
        return;
    }
    // What it doesn't want to receive would be reported again and again.
    uint16_t wanted = watch->watched;
    if ((stream->backend_flags & STREAM_READABLE) && !mr_io_recv_wanted(stream)) {
        wanted &= (uint16_t)~UV_READABLE;
    }
    if ((stream->backend_flags & STREAM_BLOCKED) == 0) {
        wanted &= (uint16_t)~UV_WRITABLE;
    }
    watch_set(watch, wanted);
}

static void loop_deliver(struct mr_loop *loop) {
    struct uv_state *state = state_of(loop);
    while (state->ready_head != NULL) {
        struct uv_watch *watch = state->ready_head;
        state->ready_head = watch->ready_next;
        if (state->ready_head == NULL) {
            state->ready_tail = NULL;
        }
        uint16_t events = watch->events;
        watch->queued = false;
        watch->events = 0;
        if (watch->stream != NULL) {
            stream_event(watch->stream, watch, events);
        } else if (watch->socket != NULL) {
            accept_some(watch->socket);
        }
    }
}

const struct mr_io_backend mr_io_uv = {
    .name = "uv",
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
