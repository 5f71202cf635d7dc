// What the files of the front end share: the loop, the states of a stream.
#ifndef MILLRACE_IO_INTERNAL_H
#define MILLRACE_IO_INTERNAL_H

#include "base/base.h"
#include "io/backend.h"
#include "io/loop.h"
#include "io/wheel.h"

// Is somebody to be woken? Whoever sets WOKEN and finds ASLEEP has to wake the backend; so
// at most one system call is made however many threads call at once, and none at all
// while the loop is up.
enum mr_wake_state {
    MR_WAKE_AWAKE,
    MR_WAKE_ASLEEP,
    MR_WAKE_WOKEN,
};

// A queue of streams, linked by dirty_next.
struct mr_stream_queue {
    struct mr_stream *head;
    struct mr_stream *tail;
};

struct mr_loop {
    struct mr_io_core core;  // First: see mr_io_core().
    struct mr_loop_options options;
    struct mr_wheel wheel;
    uint64_t now_ms;
    uint64_t wall_ms;
    uint32_t wake_state;  // Atomic: enum mr_wake_state.
    bool stopping;
    bool no_wait;              // The next turn has something to do already.
    uint64_t busy_until_ms;    // See mr_loop_options.busy_poll_ms.
    uint64_t busy_seen_count;  // What activity() was then.

    struct mr_stream_queue work;
    uint64_t stream_count;

    // The receive buffer that all streams fill from left to right.
    struct mr_buf *recv_buf;
    uint32_t recv_used;           // Bytes handed out.
    uint32_t recv_room_min;       // With less room than this a new buffer is taken.
    uint32_t recv_join_max;       // Rests up to this length are copied in front of new bytes.
    struct mr_stream *recv_tail;  // Its rest ends at `recv_used`: it can go on in place.

    struct mr_listener *listeners;
    struct mr_listener *listeners_closing;
    uint32_t listener_starved_count;
};

// mr_stream.flags. Above them are log2 of the pending bytes when compaction was last
// considered and the enum mr_err for on_close.
#define MR_STREAM_QUEUED 0x00001u      // In loop->work.
#define MR_STREAM_SETTLING 0x00002u    // Taken from loop->work, in the hands of the loop.
#define MR_STREAM_SEND 0x00004u        // Something to send at the end of the turn.
#define MR_STREAM_RECV 0x00008u        // Something to receive or deliver in the next turn.
#define MR_STREAM_COMPACT 0x00010u     // Compact if it is still blocked in the next turn.
#define MR_STREAM_REDELIVER 0x00020u   // The rest is due without new bytes.
#define MR_STREAM_PAUSED 0x00040u      // By mr_stream_recv_pause().
#define MR_STREAM_SENDING 0x00080u     // Between stream_send and mr_io_on_send_over().
#define MR_STREAM_BLOCKED 0x00100u     // The kernel takes no more at the moment.
#define MR_STREAM_HIGH 0x00200u        // Pending output was above high_bytes.
#define MR_STREAM_IN_OWN 0x00400u      // `in` is shared with no other stream.
#define MR_STREAM_PEER_ENDED 0x00800u  // Nothing will come behind the rest.
#define MR_STREAM_DETACHING 0x01000u
#define MR_STREAM_CLOSING 0x02000u    // The owner hears nothing any more but on_close.
#define MR_STREAM_LINGER 0x04000u     // May wait for the peer, for end_data ms.
#define MR_STREAM_LINGERING 0x08000u  // Does so: `linger` is set.
#define MR_STREAM_FLUSHED 0x10000u    // Everything is sent; waits for the peer's end.
#define MR_STREAM_ENDED 0x20000u      // To be closed at the end of the turn, or closed.
#define MR_STREAM_PLACED 0x40000u     // A receive into `in` may be in flight.
#define MR_STREAM_SEND_DEAD 0x80000u  // Sending failed; what has come is still delivered.
#define MR_STREAM_BUCKET_SHIFT 20u
#define MR_STREAM_BUCKET_MASK 0x3fu
#define MR_STREAM_WHY_SHIFT 26u
#define MR_STREAM_WHY_MASK 0x3fu

// stream.c
// Has the stream looked at, with these flags of what is to be done.
void mr_stream_queue(struct mr_stream *stream, uint32_t flags);
void mr_stream_run_recv(struct mr_loop *loop);    // What was left for this turn.
void mr_stream_run_settle(struct mr_loop *loop);  // Sends and closes: the end of a turn.
// Ends the stream; on_close gets `why` unless it is closing already.
void mr_stream_end(struct mr_stream *stream, enum mr_err why, int os_error);
// Begins to close: what is pending is sent first.
void mr_stream_close_for(struct mr_stream *stream, enum mr_err why, uint32_t end_data);

static inline enum mr_err mr_stream_why(const struct mr_stream *stream) {
    return (enum mr_err)((stream->flags >> MR_STREAM_WHY_SHIFT) & MR_STREAM_WHY_MASK);
}

static inline void mr_stream_set_why(struct mr_stream *stream, enum mr_err why) {
    stream->flags &= ~(MR_STREAM_WHY_MASK << MR_STREAM_WHY_SHIFT);
    stream->flags |= (uint32_t)why << MR_STREAM_WHY_SHIFT;
}

// recv.c
void mr_recv_init(struct mr_loop *loop);
void mr_recv_fini(struct mr_loop *loop);
void mr_recv_run(struct mr_stream *stream);      // Delivers and receives what is due.
void mr_recv_release(struct mr_stream *stream);  // Drops the rest.

// send.c
void mr_send_run(struct mr_stream *stream);
void mr_send_note_high(struct mr_stream *stream);

// listener.c
void mr_listener_retry(struct mr_loop *loop);  // A descriptor has become free.
void mr_listener_reap(struct mr_loop *loop);   // Frees what was closed.

#endif  // MILLRACE_IO_INTERNAL_H
