// Streams: what each has in the system, from its start to its completion.
//
// Nothing is received into by the system while a stream is idle: it is asked to tell when there
// is something (an empty receive), and then recv() takes it, to a place that is chosen only now.
#include <stdlib.h>

#include "io/iocp/internal.h"

// mr_stream.backend_flags.
#define READABLE 0x01u  // There may be bytes, or the end.
#define END_TOLD 0x02u
#define SKIPS 0x04u  // What succeeds at once completes at once, too.
#define CLOSING 0x08u
#define CLOSING_RESETS 0x10u
#define DETACHING 0x20u

#define ENDING (CLOSING | DETACHING)

#define SEND_SLICES_MAX 128u

// What a stream needs beyond struct mr_stream. An idle one has nothing else allocated.
struct iocp_stream {
    struct iocp_op recv;
    struct iocp_op send;
    int recv_error;  // Of a receive that failed; to be told when somebody wants to know.
};

static struct iocp_stream *state_of(const struct mr_stream *stream) {
    return stream->backend_data;
}

static SOCKET socket_of(const struct mr_stream *stream) {
    return (SOCKET)stream->handle;
}

// --------------------------------------------------------------------------------- ending

static void state_free(struct mr_stream *stream) {
    struct iocp_stream *state = state_of(stream);
    iocp_op_fini(&state->recv);
    iocp_op_fini(&state->send);
    free(state);
    stream->backend_data = NULL;
    stream->backend_flags = 0;
}

// The stream may be gone afterwards.
static void finish_if_done(struct mr_stream *stream) {
    const struct iocp_stream *state = state_of(stream);
    uint32_t flags = stream->backend_flags;
    if ((flags & ENDING) == 0 || state->recv.in_kernel || state->send.in_kernel) {
        return;
    }
    iocp_count_syscall(stream->loop);
    if (flags & CLOSING) {
        state_free(stream);
        iocp_socket_close(socket_of(stream), (flags & CLOSING_RESETS) != 0);
        mr_io_on_closed(stream);
        return;
    }
    state_free(stream);
    iocp_socket_leave_port(socket_of(stream));
    mr_io_on_detached(stream);
}

static void cancel(struct mr_stream *stream, struct iocp_op *op) {
    if (op->in_kernel) {
        iocp_count_syscall(stream->loop);
        iocp_op_cancel(op, socket_of(stream));
    }
}

static void begin_ending(struct mr_stream *stream, uint32_t flags) {
    struct iocp_stream *state = state_of(stream);
    stream->backend_flags |= flags;
    cancel(stream, &state->recv);
    cancel(stream, &state->send);
    finish_if_done(stream);
}

void iocp_stream_close(struct mr_stream *stream, bool reset) {
    // What a cancelled send leaves behind is cut off somewhere, and mustn't look like an end.
    bool cut = reset || state_of(stream)->send.in_kernel;
    begin_ending(stream, CLOSING | (cut ? CLOSING_RESETS : 0));
}

void iocp_stream_detach(struct mr_stream *stream) {
    begin_ending(stream, DETACHING);
}

// ------------------------------------------------------------------------------ receiving

static void readable_set(struct mr_stream *stream, int os_error) {
    stream->backend_flags |= READABLE;
    if (os_error != 0 && os_error != WSA_OPERATION_ABORTED) {
        state_of(stream)->recv_error = os_error;
    }
}

// Starts an empty receive, which completes when there is something to be received, and leaves it
// there. Returns true if there is.
static bool watch(struct mr_stream *stream) {
    struct iocp_stream *state = state_of(stream);
    WSABUF empty = {0, NULL};
    DWORD len = 0;
    DWORD flags = 0;
    iocp_count_syscall(stream->loop);
    if (WSARecv(socket_of(stream), &empty, 1, &len, &flags, iocp_op_begin(&state->recv), NULL) ==
        0) {
        if (stream->backend_flags & SKIPS) {
            readable_set(stream, 0);
            return true;
        }
    } else if (WSAGetLastError() != WSA_IO_PENDING) {
        readable_set(stream, WSAGetLastError());
        return true;
    }
    state->recv.in_kernel = true;
    return false;
}

// As recv(), but with the error that is known already, once nothing is left before it.
static int recv_now(struct mr_stream *stream, uint8_t *place, size_t len, int *os_error) {
    int recv_error = state_of(stream)->recv_error;
    iocp_count_syscall(stream->loop);
    int got = recv(socket_of(stream), (char *)place, (int)len, 0);
    *os_error = got < 0 ? WSAGetLastError() : 0;
    if (got <= 0 && recv_error != 0) {
        *os_error = recv_error;
        return SOCKET_ERROR;
    }
    return got;
}

// Returns false if there was nothing.
static bool recv_some(struct mr_stream *stream, uint64_t *left) {
    size_t len;
    uint8_t *place = mr_io_recv_place(stream, &len);
    if (place == NULL) {
        mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
        return true;
    }
    len = len < *left ? len : (size_t)*left;
    len = len < INT32_MAX ? len : INT32_MAX;
    int os_error;
    int got = recv_now(stream, place, len, &os_error);
    if (got < 0 && os_error == WSAEWOULDBLOCK) {
        stream->backend_flags &= ~READABLE;
        mr_io_on_recv(stream, 0);
        return false;
    }
    if (got <= 0) {
        stream->backend_flags &= ~READABLE;
        stream->backend_flags |= END_TOLD;
        mr_io_on_recv_end(stream, got == 0 ? MR_ERR_EOF : iocp_socket_err(os_error), os_error);
        return true;
    }
    *left -= (uint64_t)got;
    // Whether that was all is asked by the next empty receive.
    if ((size_t)got < len && state_of(stream)->recv_error == 0) {
        stream->backend_flags &= ~READABLE;
    }
    mr_io_on_recv(stream, (size_t)got);
    return true;
}

void iocp_stream_recv(struct mr_stream *stream) {
    uint64_t left = mr_io_recv_share(mr_io_core(stream->loop));
    bool fooled = false;
    while (mr_io_recv_wanted(stream) && (stream->backend_flags & (ENDING | END_TOLD)) == 0) {
        if ((stream->backend_flags & READABLE) == 0) {
            if (state_of(stream)->recv.in_kernel || !watch(stream)) {
                return;
            }
        }
        // An empty receive that completes without need may happen once, but isn't to hold the loop.
        if (left == 0 || fooled) {
            mr_io_on_recv_share_used(stream);
            return;
        }
        fooled = !recv_some(stream, &left);
    }
}

// What is in flight takes no bytes, so it may stay.
void iocp_stream_recv_stop(struct mr_stream *stream) {
    (void)stream;
}

static void on_recv_complete(struct mr_stream *stream) {
    DWORD len;
    int os_error = iocp_op_end(&state_of(stream)->recv, socket_of(stream), &len);
    readable_set(stream, os_error);
    if ((stream->backend_flags & ENDING) == 0) {
        mr_io_on_recv_ready(stream);
    }
}

// -------------------------------------------------------------------------------- sending

static void send_failed(struct mr_stream *stream, int os_error) {
    // What came before is still to be received.
    stream->backend_flags |= READABLE;
    mr_io_on_send_failed(stream, iocp_socket_err(os_error), os_error);
}

static DWORD slices_fill(struct mr_stream *stream, WSABUF *slices, DWORD *len) {
    struct mr_iov iov[SEND_SLICES_MAX];
    size_t count = mr_chain_iov(&stream->out, iov, SEND_SLICES_MAX);
    uint64_t left = mr_io_core(stream->loop)->send_turn_bytes_max;
    DWORD used = 0;
    *len = 0;
    for (size_t i = 0; i < count && left > 0; i++) {
        uint64_t part = iov[i].len < left ? iov[i].len : left;
        slices[used].buf = (char *)iov[i].base;
        slices[used].len = (ULONG)part;
        used++;
        left -= part;
        *len += (DWORD)part;
    }
    return used;
}

enum send_result {
    SEND_DONE,
    SEND_PENDING,
    SEND_FAILED,
};

static enum send_result send_once(struct mr_stream *stream, DWORD *taken, int *os_error) {
    struct iocp_stream *state = state_of(stream);
    WSABUF slices[SEND_SLICES_MAX];
    DWORD len;
    DWORD count = slices_fill(stream, slices, &len);
    *taken = 0;
    iocp_count_syscall(stream->loop);
    mr_io_core(stream->loop)->stats.send_count++;
    if (WSASend(socket_of(stream), slices, count, taken, 0, iocp_op_begin(&state->send), NULL) ==
        0) {
        if (stream->backend_flags & SKIPS) {
            return SEND_DONE;
        }
    } else {
        *os_error = WSAGetLastError();
        if (*os_error != WSA_IO_PENDING) {
            return SEND_FAILED;
        }
    }
    stream->bytes_in_flight = len;
    state->send.in_kernel = true;
    return SEND_PENDING;
}

void iocp_stream_send(struct mr_stream *stream) {
    uint64_t share = mr_io_core(stream->loop)->send_turn_bytes_max;
    uint64_t sent = 0;
    while (stream->out.bytes > 0 && sent < share) {
        DWORD taken;
        int os_error = 0;
        switch (send_once(stream, &taken, &os_error)) {
            case SEND_DONE:
                sent += taken;
                mr_io_on_sent(stream, taken);
                break;
            case SEND_PENDING:
                return;
            case SEND_FAILED:
                send_failed(stream, os_error);
                return;
        }
    }
    mr_io_on_send_over(stream, false);
}

static void on_send_complete(struct mr_stream *stream) {
    DWORD len;
    int os_error = iocp_op_end(&state_of(stream)->send, socket_of(stream), &len);
    stream->bytes_in_flight = 0;
    if (len > 0) {
        mr_io_on_sent(stream, len);
    }
    if (stream->backend_flags & ENDING) {
        return;
    }
    if (os_error != 0 && os_error != WSA_OPERATION_ABORTED) {
        send_failed(stream, os_error);
    } else {
        mr_io_on_send_over(stream, false);
    }
}

void iocp_stream_send_end(struct mr_stream *stream) {
    iocp_count_syscall(stream->loop);
    // It fails only if the connection has gone, which receiving reports.
    (void)shutdown(socket_of(stream), SD_SEND);
}

// -------------------------------------------------------------------------------- opening

// Has the completions of the stream come to this loop's port.
static int port_join(struct mr_stream *stream) {
    struct iocp_stream *state = state_of(stream);
    HANDLE socket = (HANDLE)stream->handle;
    HANDLE port = iocp_loop_of(stream->loop)->port;
    iocp_count_syscall(stream->loop);
    if (CreateIoCompletionPort(socket, port, 0, 0) != NULL) {
        const UCHAR modes = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
        if (iocp_loop_of(stream->loop)->skips) {
            iocp_count_syscall(stream->loop);
            if (SetFileCompletionNotificationModes(socket, modes)) {
                stream->backend_flags |= SKIPS;
            }
        }
        return 0;
    }
    DWORD os_error = GetLastError();
    if (os_error != ERROR_INVALID_PARAMETER) {
        return (int)os_error;
    }
    // It comes from another loop, and this version of Windows couldn't take its port away.
    int bell_error = iocp_op_bell_open(&state->recv, port);
    return bell_error != 0 ? bell_error : iocp_op_bell_open(&state->send, port);
}

enum mr_err iocp_stream_open(struct mr_stream *stream) {
    struct iocp_stream *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return MR_ERR_NOMEM;
    }
    stream->backend_data = state;
    iocp_op_init(&state->recv, IOCP_OP_RECV, stream);
    iocp_op_init(&state->send, IOCP_OP_SEND, stream);
    int os_error = port_join(stream);
    if (os_error != 0) {
        state_free(stream);
        return iocp_socket_err(os_error);
    }
    if (watch(stream)) {
        mr_io_on_recv_share_used(stream);
    }
    return MR_OK;
}

// ------------------------------------------------------------------------------- delivery

void iocp_on_stream_complete(struct iocp_op *op) {
    struct mr_stream *stream = op->whose;
    if (op->kind == IOCP_OP_RECV) {
        on_recv_complete(stream);
    } else {
        on_send_complete(stream);
    }
    finish_if_done(stream);
}
