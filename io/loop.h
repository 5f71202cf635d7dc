// The event loop: listeners, streams, timers and wake-ups, whatever the system
// underneath. Completion style: the caller says what it wants and is called when it
// has happened. io_uring and IOCP do that natively; epoll emulates it.
//
// Knows bytes and connections, nothing of MQTT.
//
// The contract of every asynchronous operation: if it is accepted it completes exactly
// once and never inside the call that started it; if it is refused it never completes.
//
// One turn of the loop: wait for completions, deliver them, run due timers, call
// `on_turn_end`, then send what streams have pending: one vectored send for each
// stream. So everything that one turn writes to a stream leaves in one system call.
//
// Threads: a loop and all that belongs to it is for the thread that runs it, except
// mr_loop_wake(). A loop may be set up on another thread before it runs.
#ifndef MILLRACE_IO_LOOP_H
#define MILLRACE_IO_LOOP_H

#include "base/base.h"
#include "io/buf/buf.h"
#include "io/buf/chain.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_io_backend;  // io/backend.h; each backend exports one.
struct mr_loop;        // Opaque.
struct mr_linger;      // Opaque.
struct mr_stream;

// ------------------------------------------------------------------------ loop

struct mr_loop_options {
    void *ctx;                   // For the callbacks below.
    void (*on_wake)(void *ctx);  // After one or more mr_loop_wake(); may be NULL.
    // Last thing in a turn before sending; returns true if the loop should not wait
    // in the next turn, because there is work that came from elsewhere. May be NULL.
    bool (*on_turn_end)(void *ctx);
    uint32_t recv_bytes;           // Size of receive buffers; 0: 256 KiB.
    uint32_t recv_turn_bytes_max;  // One stream's share of a turn; 0: 256 KiB. For fairness.
    // What all streams together may receive in a turn; 0: 1 MiB. What came in is sent on while
    // it is in the cache, and before output piles up.
    uint32_t recv_loop_bytes_max;
    // For so long after something came or went, the loop asks for more in place of waiting: less
    // delay, for processor time. 0: it waits at once.
    uint32_t busy_poll_ms;
    struct mr_buf_pool_options pool;
};

struct mr_loop_stats {
    uint64_t turn_count;
    uint64_t syscall_count;  // All that the loop and its streams made.
    uint64_t recv_count;     // Receives that brought bytes.
    uint64_t recv_bytes;
    uint64_t send_count;  // Vectored sends.
    uint64_t send_bytes;
    uint64_t accept_count;
    uint64_t accept_pause_count;  // Times that accepting stopped for lack of descriptors.
    uint64_t wake_count;
};

// Creates a loop with a buffer pool of its own, owned by the caller.
// Errors: MR_ERR_NOMEM, MR_ERR_NOFILES, MR_ERR_UNSUPPORTED, MR_ERR_IO.
MR_NODISCARD enum mr_err mr_loop_new(struct mr_loop **out, const struct mr_io_backend *backend,
                                     const struct mr_loop_options *options);

// Frees a loop that doesn't run and whose streams and listeners are all closed.
// NULL is allowed.
void mr_loop_free(struct mr_loop *loop);

// Runs until mr_loop_stop(). Enters the loop's buffer pool on this thread.
// Errors: MR_ERR_IO if waiting itself failed.
MR_NODISCARD enum mr_err mr_loop_run(struct mr_loop *loop);

// Runs one turn, waiting at most `wait_ms_max`; for tests and simulation.
MR_NODISCARD enum mr_err mr_loop_run_once(struct mr_loop *loop, uint32_t wait_ms_max);

// Makes mr_loop_run() return after this turn.
void mr_loop_stop(struct mr_loop *loop);

// Has on_wake called soon. Any thread, also from a signal handler; calls before the
// loop gets to it are one.
void mr_loop_wake(struct mr_loop *loop);

struct mr_buf_pool *mr_loop_pool(struct mr_loop *loop);
void mr_loop_stats(const struct mr_loop *loop, struct mr_loop_stats *out);
const char *mr_loop_backend_name(const struct mr_loop *loop);

// Monotonic time at the start of this turn; doesn't start at 0.
uint64_t mr_loop_now_ms(const struct mr_loop *loop);
// Wall-clock time, ms since 1970, at the start of this turn.
uint64_t mr_loop_wall_ms(const struct mr_loop *loop);

// ---------------------------------------------------------------------- timers

// Coarse one-shot timer in the owner's memory: fires at its time or up to one tick
// (MR_TIMER_TICK_MS) later, never early. Start and stop cost O(1).
struct mr_timer {
    struct mr_timer *next;   // All private.
    struct mr_timer **link;  // What points to this timer; NULL if not started.
    uint64_t deadline_ms;
    void (*on_fire)(struct mr_timer *timer);
};

#define MR_TIMER_TICK_MS 8u

void mr_timer_init(struct mr_timer *timer, void (*on_fire)(struct mr_timer *timer));
// (Re)starts `timer`, counted from mr_loop_now_ms().
void mr_timer_start(struct mr_loop *loop, struct mr_timer *timer, uint64_t delay_ms);
// Nothing happens if it isn't started. Also allowed within on_fire of any timer.
void mr_timer_stop(struct mr_loop *loop, struct mr_timer *timer);
static inline bool mr_timer_started(const struct mr_timer *timer) {
    return timer->link != NULL;
}

// --------------------------------------------------------------------- streams

// What a stream's owner gets to hear. One static table for all streams of a kind.
struct mr_stream_handler {
    // `data` are all bytes that are there and not yet consumed, contiguous, in `buf`,
    // which the callee may reference to keep slices of `data`. Returns how many bytes
    // were consumed; the rest comes again, with more behind it. `*need` (0 on entry) may
    // be set to how many contiguous bytes it takes to get on, counted from the first
    // unconsumed byte: the loop then has that much room ready and, for large values,
    // calls only when they have come. Consuming nothing while receiving is paused is
    // how back-pressure is made: after mr_stream_recv_resume() the same bytes come again.
    size_t (*on_recv)(struct mr_stream *stream, struct mr_buf *buf, struct mr_slice data,
                      size_t *need);
    // Pending output fell to at most `low_bytes` after it had been above `high_bytes`.
    void (*on_drain)(struct mr_stream *stream);
    // The stream is closed, by the peer, by an error or by mr_stream_close(); last call.
    // Only now may its memory go. `why` is MR_OK after mr_stream_close(), MR_ERR_EOF if
    // the peer ended it; `os_error` is for the log line only.
    void (*on_close)(struct mr_stream *stream, enum mr_err why, int os_error);
    // After mr_stream_detach(): `handle` and the unconsumed bytes `rest` (in `buf`, NULL if
    // none; borrowed for the call) now belong to the callee; the stream is no more.
    // May be NULL if never detached.
    void (*on_detach)(struct mr_stream *stream, intptr_t handle, struct mr_buf *buf,
                      struct mr_slice rest);
    // Thresholds for on_drain, in bytes of pending output.
    uint64_t high_bytes;
    uint64_t low_bytes;
};

// A connection, in its owner's memory. All fields are private to io.
struct mr_stream {
    struct mr_loop *loop;
    const struct mr_stream_handler *handler;
    struct mr_chain out;  // Pending output.
    union {
        struct mr_buf *in;         // Unconsumed input, NULL when there is none.
        struct mr_linger *linger;  // Once it waits for its last bytes to get away.
    };
    uint32_t in_offset;
    uint32_t in_len;
    union {
        uint32_t in_need;   // How many contiguous bytes the owner waits for.
        uint32_t end_data;  // Once it is closing: the time it may linger, or the system's error.
    };
    uint32_t flags;
    struct mr_stream *dirty_next;  // Streams with something to do at the end of the turn.
    intptr_t handle;               // Descriptor or socket.
    void *backend_data;            // For backends that need more.
    uint32_t backend_flags;
    uint32_t bytes_in_flight;  // Given to the kernel, not yet completed.
};

// Makes `handle`, a connected non-blocking socket from on_accept or on_detach, a stream
// in the caller's memory and begins to receive. `initial` are bytes that were received
// before (copied; empty slice for none): they come first, with the next turn.
// On failure the caller still owns `handle` (see mr_handle_close).
// Errors: MR_ERR_NOMEM, MR_ERR_IO.
MR_NODISCARD enum mr_err mr_stream_attach(struct mr_loop *loop, struct mr_stream *stream,
                                          intptr_t handle, struct mr_slice initial,
                                          const struct mr_stream_handler *handler);

// Gives the connection up so that another loop can attach it; on_detach follows, unless
// the connection fails first: then on_close. Nothing may be pending for output.
// Errors: MR_ERR_BUSY.
MR_NODISCARD enum mr_err mr_stream_detach(struct mr_stream *stream);

// The pending output, for mr_chain_append_*(). After appending call
// mr_stream_flush(): it sends at the end of the turn.
static inline struct mr_chain *mr_stream_out(struct mr_stream *stream) {
    return &stream->out;
}
void mr_stream_flush(struct mr_stream *stream);

// Bytes that were appended and not yet taken by the kernel.
static inline uint64_t mr_stream_pending_bytes(const struct mr_stream *stream) {
    return stream->out.bytes;
}

// Stops and resumes the delivery of received bytes. While paused, the kernel's buffers
// fill and the peer is slowed down. Both are idempotent. After resuming, bytes that
// were left unconsumed come again with the next turn. That the peer has gone is noticed
// while paused only if sending fails: what it sent before is still to be delivered.
void mr_stream_recv_pause(struct mr_stream *stream);
void mr_stream_recv_resume(struct mr_stream *stream);

enum mr_close_mode {
    // Sends what is pending, then closes; gives up after `linger_ms`. Receives nothing more.
    MR_CLOSE_FLUSH,
    // At once; pending output is dropped.
    MR_CLOSE_ABORT,
};

// Ends the stream; on_close follows. Repeated calls may only turn FLUSH into ABORT.
// FLUSH keeps the connection until the peer has ended it too, at most `linger_ms`: closing
// while bytes of the peer are unread or under way would reset the connection, and a reset
// may take our last packet from it. 0 doesn't wait at all.
void mr_stream_close(struct mr_stream *stream, enum mr_close_mode mode, uint32_t linger_ms);
// After mr_stream_close(): nothing written any more has an effect.
bool mr_stream_closing(const struct mr_stream *stream);

// Writes "address:port", "[address]:port" or "unix" as a C string. A system call.
#define MR_PEER_TEXT_BYTES 64
void mr_stream_peer_text(const struct mr_stream *stream, char out[MR_PEER_TEXT_BYTES]);

// Closes a handle that no stream owns.
void mr_handle_close(struct mr_loop *loop, intptr_t handle);
void mr_handle_peer_text(struct mr_loop *loop, intptr_t handle, char out[MR_PEER_TEXT_BYTES]);

// ------------------------------------------------------------------- listeners

struct mr_listen_address {
    const char *host;            // Address or name; NULL: all addresses.
    uint16_t port;               // 0: the system picks one; see mr_listener_port().
    const char *unix_path;       // A unix domain socket instead of host and port.
    const char *bind_interface;  // Network interface name or NULL.
    int family;                  // 0 any, 4 or 6: only IPv4 or IPv6.
    bool reuse_port;             // Several loops listen on the same address.
    // With reuse_port, for the first of them: fails if the address is taken already, which the
    // system would otherwise allow without a word.
    bool claim;
    bool tcp_nodelay;  // For accepted connections.
    uint32_t backlog;  // 0: 4096.
};

struct mr_listener;  // Opaque.

// Listens and calls `on_accept(ctx, handle)` for each new connection; the callee then
// owns the handle. Accepting pauses by itself when descriptors run out, and resumes.
// A host name that has several addresses (IPv4 and IPv6) is listened to on all of them.
// Errors: MR_ERR_ADDRINUSE, MR_ERR_ADDRNOTAVAIL, MR_ERR_ACCESS, MR_ERR_NOMEM, MR_ERR_IO,
// MR_ERR_NOFILES, MR_ERR_INVALID; `*os_error` gets the system's number.
MR_NODISCARD enum mr_err mr_listener_open(struct mr_listener **out, struct mr_loop *loop,
                                          const struct mr_listen_address *address,
                                          void (*on_accept)(void *ctx, intptr_t handle), void *ctx,
                                          int *os_error);
uint16_t mr_listener_port(const struct mr_listener *listener);
// Stops and restarts accepting; connections wait in the system's backlog meanwhile.
void mr_listener_pause(struct mr_listener *listener);
void mr_listener_resume(struct mr_listener *listener);
// Closes and frees; on_accept isn't called any more.
void mr_listener_close(struct mr_listener *listener);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_LOOP_H
