// What the files of the backend share, and the life of an overlapped operation.
//
// A struct iocp_op is its owner's (a stream's state, an accept) while `in_kernel` is false. Each
// start has exactly one end:
//  - it is refused: an error other than "pending". No packet comes, it never was in the kernel;
//  - it succeeds at once, on a socket that skips packets then (SKIPS in stream.c): the same;
//  - else it is in the kernel until its one packet was taken from the port: also if it
//    succeeded at once, if it failed, if it was cancelled.
// While it is in the kernel the system writes to the OVERLAPPED, and reads what is sent: the
// front end leaves `bytes_in_flight` alone. So none of that memory may be freed or moved, nor the
// socket be closed. What ends (close, detach, a listener's close) cancels what is under way
// and lets the last packet do the rest: finish_if_done() in stream.c, acceptor_free() in
// listener.c. A cancel only hastens an end: the operation may have succeeded already, its packet
// waiting in the port, and then its bytes were sent, or its connection is closed. Packets of one
// stream come in any order, and nobody but iocp_op_end() asks how an operation went, so
// none is counted twice.
//
// A socket is associated with one port. A stream that is detached takes it away from there
// (Windows 8.1), so that the next loop can associate it with its own. Where that fails, the next
// loop's operations have bells: see op.c. They also serve listening sockets, of which several
// loops share one.
#ifndef MILLRACE_IO_IOCP_INTERNAL_H
#define MILLRACE_IO_IOCP_INTERNAL_H

// This one before windows.h, which else brings its predecessor.
#include <winsock2.h>

#include <mswsock.h>
#include <windows.h>

#include "base/base.h"
#include "io/backend.h"
#include "io/iocp/socket.h"

#define IOCP_ENTRIES_MAX 512u

enum iocp_op_kind {
    IOCP_OP_RECV,  // Of a struct mr_stream, as is the next.
    IOCP_OP_SEND,
    IOCP_OP_ACCEPT,  // Of a struct iocp_accept.
};

// Brings the completions of one operation to a port that its socket isn't associated with.
struct iocp_bell;

// An overlapped operation: from its start until its completion was taken from the port the
// system owns it, and its memory mustn't move.
struct iocp_op {
    OVERLAPPED overlapped;
    void *whose;
    struct iocp_bell *bell;  // NULL: its socket's port is this loop's.
    enum iocp_op_kind kind;
    bool in_kernel;
};

// What a listener has at one of its sockets.
struct iocp_acceptor;

struct iocp_loop {
    HANDLE port;
    bool skips;  // Sockets of this system may be told to: see iocp_socket_can_skip().
    uint64_t ticks_per_s;
    struct iocp_acceptor *acceptors;
    ULONG entry_count;
    OVERLAPPED_ENTRY entries[IOCP_ENTRIES_MAX];
};

static inline struct iocp_loop *iocp_loop_of(struct mr_loop *loop) {
    return mr_io_core(loop)->backend_data;
}

static inline void iocp_count_syscall(struct mr_loop *loop) {
    mr_io_core(loop)->stats.syscall_count++;
}

// op.c
void iocp_op_init(struct iocp_op *op, enum iocp_op_kind kind, void *whose);
void iocp_op_fini(struct iocp_op *op);
// Has `op` complete at `port` although its socket belongs to another or to none. Returns 0 or
// the system's error.
int iocp_op_bell_open(struct iocp_op *op, HANDLE port);
// To be called right before each start: returns what the system wants.
OVERLAPPED *iocp_op_begin(struct iocp_op *op);
// Asks the system to complete `op` now; it does so anyway.
void iocp_op_cancel(struct iocp_op *op, SOCKET socket);
// After its completion: returns 0 or its error, and how many bytes it moved.
int iocp_op_end(struct iocp_op *op, SOCKET socket, DWORD *len);
// Puts a packet into the queue of `port`; NULL: nothing but a wake-up. Any thread.
void iocp_post(HANDLE port, OVERLAPPED *overlapped);

// stream.c
void iocp_on_stream_complete(struct iocp_op *op);
enum mr_err iocp_stream_open(struct mr_stream *stream);
void iocp_stream_recv(struct mr_stream *stream);
void iocp_stream_recv_stop(struct mr_stream *stream);
void iocp_stream_send(struct mr_stream *stream);
void iocp_stream_send_end(struct mr_stream *stream);
void iocp_stream_close(struct mr_stream *stream, bool reset);
void iocp_stream_detach(struct mr_stream *stream);

// listener.c
void iocp_on_accept_complete(struct iocp_op *op);
enum mr_err iocp_listener_open(struct mr_listener *listener,
                               const struct mr_listen_address *address, int *os_error);
void iocp_listener_update(struct mr_listener *listener);
void iocp_listener_close(struct mr_listener *listener);

#endif  // MILLRACE_IO_IOCP_INTERNAL_H
