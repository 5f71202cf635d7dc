// Streams: what each has in the system, from its start to its completion. README.md tells it.
#include <stdlib.h>

#include "io/iocp/internal.h"

// mr_stream.backend_flags.
#define READABLE 0x001u   // There may be bytes, or the end.
#define ONE_BYTE 0x002u   // Empty receives don't wait here.
#define HAS_BYTE 0x004u   // Which came by such a receive.
#define EMPTY_DID 0x008u  // READABLE because an empty receive completed.
#define END_TOLD 0x010u
#define SKIPS 0x020u  // What succeeds at once completes at once, too.
#define CLOSING 0x040u
#define CLOSING_RESETS 0x080u
#define DETACHING 0x100u

#define ENDING (CLOSING | DETACHING)

#define SEND_SLICES_MAX 128u

// What a stream needs beyond struct mr_stream. Nothing else is allocated for one that is idle,
// and the system holds no memory of it.
struct iocp_stream {
    struct iocp_op recv;
    struct iocp_op send;
    int recv_error;  // Of a receive that failed while nobody wanted to know.
    char byte;
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

// The byte goes with the rest to the next owner.
static void byte_hand_over(struct mr_stream *stream) {
    size_t len;
    uint8_t *place = mr_io_recv_place(stream, &len);
    if (place == NULL) {
        mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
        return;
    }
    *place = (uint8_t)state_of(stream)->byte;
    mr_io_on_recv(stream, 1);
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
    if (flags & HAS_BYTE) {
        byte_hand_over(stream);
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
    begin_ending(stream, CLOSING | (reset ? CLOSING_RESETS : 0));
}

void iocp_stream_detach(struct mr_stream *stream) {
    begin_ending(stream, DETACHING);
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
        iocp_count_syscall(stream->loop);
        if (SetFileCompletionNotificationModes(socket, modes)) {
            stream->backend_flags |= SKIPS;
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
    // Who connects usually has something to say. The next turn looks.
    stream->backend_flags |= READABLE;
    mr_io_on_recv_share_used(stream);
    return MR_OK;
}

// ------------------------------------------------------------------------------ receiving

static void readable_set(struct mr_stream *stream, int os_error, DWORD len) {
    struct iocp_stream *state = state_of(stream);
    stream->backend_flags |= READABLE;
    if (os_error == 0 && len > 0) {
        stream->backend_flags |= HAS_BYTE;
    } else if (os_error == 0) {
        stream->backend_flags |= EMPTY_DID;
    } else if (os_error != WSA_OPERATION_ABORTED) {
        state->recv_error = os_error;
    }
}

// Starts a receive that completes when there is something to be received. Returns true if
// there is.
static bool watch(struct mr_stream *stream) {
    struct iocp_stream *state = state_of(stream);
    WSABUF room = {.len = stream->backend_flags & ONE_BYTE ? 1 : 0, .buf = &state->byte};
    DWORD len = 0;
    DWORD flags = 0;
    iocp_count_syscall(stream->loop);
    if (WSARecv(socket_of(stream), &room, 1, &len, &flags, iocp_op_begin(&state->recv), NULL) ==
        0) {
        if (stream->backend_flags & SKIPS) {
            readable_set(stream, 0, len);
            return true;
        }
    } else if (WSAGetLastError() != WSA_IO_PENDING) {
        readable_set(stream, WSAGetLastError(), 0);
        return true;
    }
    state->recv.in_kernel = true;
    return false;
}

// As recv(), but with the byte that has come already, and the error that is known already.
static int recv_now(struct mr_stream *stream, uint8_t *place, size_t len, int *os_error) {
    struct iocp_stream *state = state_of(stream);
    int taken = 0;
    *os_error = 0;
    if (stream->backend_flags & HAS_BYTE) {
        stream->backend_flags &= ~HAS_BYTE;
        place[0] = (uint8_t)state->byte;
        taken = 1;
    }
    if ((size_t)taken == len) {
        return taken;
    }
    if (state->recv_error != 0) {
        *os_error = state->recv_error;
        return taken > 0 ? taken : SOCKET_ERROR;
    }
    iocp_count_syscall(stream->loop);
    int got = recv(socket_of(stream), (char *)place + taken, (int)len - taken, 0);
    if (got > 0) {
        return taken + got;
    }
    *os_error = got < 0 ? WSAGetLastError() : 0;
    if (taken > 0) {
        state->recv_error = got < 0 && *os_error != WSAEWOULDBLOCK ? *os_error : 0;
        return taken;
    }
    return got;
}

static void nothing_there(struct mr_stream *stream) {
    if (stream->backend_flags & EMPTY_DID) {
        stream->backend_flags |= ONE_BYTE;
    }
    stream->backend_flags &= ~(READABLE | EMPTY_DID);
}

static void recv_some(struct mr_stream *stream, uint64_t *left) {
    size_t len;
    uint8_t *place = mr_io_recv_place(stream, &len);
    if (place == NULL) {
        mr_io_on_failed(stream, MR_ERR_NOMEM, 0);
        return;
    }
    len = len < *left ? len : (size_t)*left;
    len = len < INT32_MAX ? len : INT32_MAX;
    int os_error;
    int got = recv_now(stream, place, len, &os_error);
    if (got > 0) {
        *left -= (uint64_t)got;
        stream->backend_flags &= ~EMPTY_DID;
        // Whether that was all is asked by starting the next receive.
        if ((size_t)got < len && state_of(stream)->recv_error == 0) {
            stream->backend_flags &= ~READABLE;
        }
        mr_io_on_recv(stream, (size_t)got);
    } else if (got < 0 && os_error == WSAEWOULDBLOCK) {
        nothing_there(stream);
        mr_io_on_recv(stream, 0);
    } else {
        stream->backend_flags &= ~READABLE;
        stream->backend_flags |= END_TOLD;
        mr_io_on_recv_end(stream, got == 0 ? MR_ERR_EOF : iocp_socket_err(os_error), os_error);
    }
}

void iocp_stream_recv(struct mr_stream *stream) {
    uint64_t left = mr_io_recv_share(mr_io_core(stream->loop));
    // Each round receives something, or ends by having the system tell when there is more. Only
    // the second empty receive may bring nothing, and then there isn't a third.
    while (mr_io_recv_wanted(stream) && (stream->backend_flags & (ENDING | END_TOLD)) == 0) {
        if ((stream->backend_flags & READABLE) == 0) {
            if (state_of(stream)->recv.in_kernel || !watch(stream)) {
                return;
            }
        } else if (left == 0) {
            mr_io_on_recv_share_used(stream);
            return;
        } else {
            recv_some(stream, &left);
        }
    }
}

// What is in flight takes no bytes (or one), so it may stay.
void iocp_stream_recv_stop(struct mr_stream *stream) {
    (void)stream;
}

static void on_recv_complete(struct mr_stream *stream) {
    DWORD len;
    int os_error = iocp_op_end(&state_of(stream)->recv, socket_of(stream), &len);
    readable_set(stream, os_error, len);
    if ((stream->backend_flags & ENDING) == 0) {
        mr_io_on_recv_ready(stream);
    }
}

// -------------------------------------------------------------------------------- sending

static void send_failed(struct mr_stream *stream, int os_error) {
    // What came before is still to be received. An empty receive that is under way doesn't
    // mind; one that waits for a byte says so itself.
    if ((stream->backend_flags & ONE_BYTE) == 0) {
        stream->backend_flags |= READABLE;
    }
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
