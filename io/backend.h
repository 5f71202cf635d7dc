// The seam below the loop: what a backend has to do, and what it tells the front end.
//
// The front end (io/*.c) keeps streams, timers, buffers and the order of a turn. A
// backend moves bytes between the system and a stream, and nothing else. It exports one
// `const struct mr_io_backend`; there is no flag that says which backend it is, so
// nothing above can depend on one.
//
// The style is completion: a backend is told to receive until it is told to stop, to
// send what a stream has pending, to close; it reports what happened with the functions
// mr_io_on_*(). A system that completes (io_uring, IOCP) calls them from loop_deliver. A
// system that only says "ready" (epoll) does the work when it is ready and may report at
// once, even within the call that asked: the front end makes all calls that can end in a
// callback from the loop itself, never from a user's call.
//
// Threads: as io/loop.h; only loop_wake may be called from any thread.
#ifndef MILLRACE_IO_BACKEND_H
#define MILLRACE_IO_BACKEND_H

#include "base/base.h"
#include "io/buf/buf.h"
#include "io/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_listener_socket;

#define MR_IO_WAIT_FOREVER UINT64_MAX

// All functions are present in every backend.
struct mr_io_backend {
    const char *name;

    // --- Loop.
    // Sets mr_io_core.backend_data up. Errors: as mr_loop_new().
    enum mr_err (*loop_open)(struct mr_loop *loop);
    void (*loop_close)(struct mr_loop *loop);
    // Waits until something happened or `wait_ms` have gone by; calls nobody.
    enum mr_err (*loop_wait)(struct mr_loop *loop, uint64_t wait_ms);
    // Reports what happened.
    void (*loop_deliver)(struct mr_loop *loop);
    // Ends a wait. Any thread, also from a signal handler. At most once per wait.
    void (*loop_wake)(struct mr_loop *loop);
    void (*loop_clock)(struct mr_loop *loop, uint64_t *now_ms, uint64_t *wall_ms);

    // --- Streams.
    // Begins to receive from `stream->handle`, which it owns after success.
    enum mr_err (*stream_open)(struct mr_stream *stream);
    // Receives (again) while mr_io_recv_wanted() says so.
    void (*stream_recv)(struct mr_stream *stream);
    // Stops receiving, as soon as possible; what arrives nevertheless may be reported.
    void (*stream_recv_stop)(struct mr_stream *stream);
    // Sends from the front of the pending output; not called again before
    // mr_io_on_send_over(). A backend that keeps `bytes_in_flight` above 0 says that the
    // kernel holds these bytes, which therefore stay untouched.
    void (*stream_send)(struct mr_stream *stream);
    // Tells the peer that nothing more will come.
    void (*stream_send_end)(struct mr_stream *stream);
    // Cancels what is in flight, then closes the handle; mr_io_on_closed() when the kernel
    // holds nothing of this stream any more. `reset`: what the kernel has not yet sent
    // is to be dropped.
    void (*stream_close)(struct mr_stream *stream, bool reset);
    // Cancels what is in flight and lets go of the handle; then mr_io_on_detached().
    void (*stream_detach)(struct mr_stream *stream);

    // --- Handles.
    void (*handle_close)(struct mr_loop *loop, intptr_t handle);
    void (*handle_peer_text)(struct mr_loop *loop, intptr_t handle, char out[MR_PEER_TEXT_BYTES]);

    // --- Listeners.
    // Opens the sockets for `address`, sets `port`, and accepts.
    enum mr_err (*listener_open)(struct mr_listener *listener,
                                 const struct mr_listen_address *address, int *os_error);
    // Starts or stops accepting, following mr_io_accept_wanted().
    void (*listener_update)(struct mr_listener *listener);
    // Closes the sockets; mr_io_on_listener_closed() when nothing refers to it any more.
    void (*listener_close)(struct mr_listener *listener);
};

// What front end and backend share of a loop: the first member of struct mr_loop.
struct mr_io_core {
    const struct mr_io_backend *backend;
    void *backend_data;  // The backend's own.
    struct mr_buf_pool *pool;
    uint64_t recv_turn_bytes_max;   // One stream's share of a turn.
    uint64_t recv_loop_bytes_left;  // Of what all streams may receive in this turn.
    uint64_t send_turn_bytes_max;
    struct mr_loop_stats stats;  // The backend counts syscall_count and send_count.
};

// What a stream may receive at most in this turn. 0: not now; see mr_io_on_recv_share_used().
static inline uint64_t mr_io_recv_share(const struct mr_io_core *core) {
    return core->recv_turn_bytes_max < core->recv_loop_bytes_left ? core->recv_turn_bytes_max
                                                                  : core->recv_loop_bytes_left;
}

static inline struct mr_io_core *mr_io_core(struct mr_loop *loop) {
    return (struct mr_io_core *)(void *)loop;
}

// Names rarely resolve to more addresses; the rest is refused, not dropped.
#define MR_LISTENER_SOCKETS_MAX 8u
#define MR_UNIX_PATH_BYTES 108u

// One listening socket of a listener.
struct mr_listener_socket {
    struct mr_listener *listener;
    intptr_t handle;
    void *backend_data;
};

struct mr_listener {
    struct mr_loop *loop;
    void (*on_accept)(void *ctx, intptr_t handle);
    void *ctx;
    // Set by the backend in listener_open.
    struct mr_listener_socket sockets[MR_LISTENER_SOCKETS_MAX];
    uint32_t socket_count;
    uint16_t port;
    char unix_path[MR_UNIX_PATH_BYTES];  // To be unlinked; empty if none.
    // Private to the front end.
    bool paused;
    bool starved;  // Descriptors ran out; the timer or a closed handle ends it.
    bool closing;
    bool closed;
    struct mr_timer retry;
    struct mr_listener *next;
    struct mr_listener *prev;
};

// --------------------------------------------------------- receiving, the reports

// Should the backend receive from this stream now?
bool mr_io_recv_wanted(const struct mr_stream *stream);

// Readiness: bytes may be there. The front end answers with stream_recv, at once or when
// it is this stream's turn.
void mr_io_on_recv_ready(struct mr_stream *stream);

// Where the next bytes of this stream should go: returns borrowed room for `*len` bytes
// until mr_io_on_recv(), which must follow (with 0 if there was nothing). The room may
// be shared with other streams, so ask only when the bytes are there, unless
// mr_io_recv_is_placed(). NULL if out of memory: then mr_io_on_failed().
uint8_t *mr_io_recv_place(struct mr_stream *stream, size_t *len);

// Is the next place this stream's own, for one large message that is awaited, so that a
// receive into it may be in flight for long?
bool mr_io_recv_is_placed(const struct mr_stream *stream);

// `len` bytes are at the place. May call on_recv.
void mr_io_on_recv(struct mr_stream *stream, size_t len);

// `data` was received into `buf`, one of the backend's own (borrowed; never to be written
// there again while it is shared). May call on_recv.
void mr_io_on_recv_buf(struct mr_stream *stream, struct mr_buf *buf, struct mr_slice data);

// This turn's share is used up: stream_recv follows in the next turn, which won't wait.
void mr_io_on_recv_share_used(struct mr_stream *stream);

// The peer's last byte was reported (MR_ERR_EOF) or receiving failed.
void mr_io_on_recv_end(struct mr_stream *stream, enum mr_err why, int os_error);

// ----------------------------------------------------------- sending, the reports

// The first `len` bytes of the pending output were taken by the kernel.
void mr_io_on_sent(struct mr_stream *stream, uint64_t len);

// This send is over. `blocked`: the kernel takes no more until mr_io_on_send_ready().
void mr_io_on_send_over(struct mr_stream *stream, bool blocked);
void mr_io_on_send_ready(struct mr_stream *stream);

// Sending failed for good. What the peer sent before is still received and delivered, as
// far as it is there: a client may send, say goodbye and leave without reading.
void mr_io_on_send_failed(struct mr_stream *stream, enum mr_err why, int os_error);

// ------------------------------------------------------------- ends, the reports

// Something else failed for good.
void mr_io_on_failed(struct mr_stream *stream, enum mr_err why, int os_error);

// After stream_close and stream_detach. The stream may be gone afterwards.
void mr_io_on_closed(struct mr_stream *stream);
void mr_io_on_detached(struct mr_stream *stream);

// ---------------------------------------------------------- listeners, the reports

bool mr_io_accept_wanted(const struct mr_listener *listener);
void mr_io_on_accepted(struct mr_listener *listener, intptr_t handle);
// Descriptors or memory ran out.
void mr_io_on_accept_starved(struct mr_listener *listener);
void mr_io_on_listener_closed(struct mr_listener *listener);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_BACKEND_H
