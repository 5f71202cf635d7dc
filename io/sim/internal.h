// What the files of the simulation share.
#ifndef MILLRACE_IO_SIM_INTERNAL_H
#define MILLRACE_IO_SIM_INTERNAL_H

#include "io/sim/sim.h"

#define SIM_NEVER UINT64_MAX

// One direction of a connection. All bytes are in one allocation of `capacity`, which is there
// while there are any.
struct sim_pipe {
    uint8_t *data;
    size_t capacity;
    size_t len;
    size_t visible_len;  // What the receiver may see ...
    uint64_t due_ms;     // ... until this time, when it sees all.
    bool ended;          // The sender sends nothing any more.
    bool reset;
};

// Who has the far end of a connection.
enum sim_owner {
    SIM_OWNER_BACKLOG,
    SIM_OWNER_USER,  // Accepted or detached: a handle.
    SIM_OWNER_STREAM,
    SIM_OWNER_NONE,  // Closed.
};

// A connection; its address is the handle, and its near end is what a test holds.
struct mr_sim_end {
    struct mr_sim *sim;
    struct mr_sim_end *next;
    struct mr_sim_end *prev;
    struct sim_pipe in;   // To the loop's end.
    struct sim_pipe out;  // To the test's end.
    uint16_t port;
    uint64_t number;
    bool near_closed;
    bool quiet;  // In `quiet` instead of `ends`.
    enum sim_owner owner;
    struct mr_listener *listener;  // While it waits to be accepted.
    struct mr_stream *stream;
    // Readiness.
    bool blocked;
    // Completion.
    bool extra;      // Something arrives although it was told to stop.
    uint8_t *place;  // A receive in flight to here.
    size_t place_len;
    uint64_t flight_sum;  // Of the bytes in flight, which mustn't change.
    bool closing;
    bool closing_resets;
    bool detaching;
};

struct sim_loop {
    struct mr_loop *loop;
    struct mr_sim *sim;
    struct sim_loop *next;
    uint64_t idle_until_ms;  // It had nothing to do and waits until then; 0: it doesn't.
    bool woken;
};

// One way in which a system may report.
struct sim_style {
    struct mr_io_backend table;  // Only what concerns streams.
    // Is there something to be reported to this stream?
    bool (*has_event)(const struct mr_sim_end *end);
    void (*deliver)(struct mr_sim_end *end);
};

struct mr_sim {
    struct mr_io_backend backend;  // A loop finds its simulation from it.
    struct mr_sim_options options;
    const struct sim_style *style;
    uint64_t random;
    uint64_t now_ms;
    uint64_t connection_count;  // So far.
    uint32_t handle_count;      // Accepted and not yet closed.
    uint16_t port_next;
    bool stepping;    // In mr_sim_run(): waiting makes no time go by.
    bool delivering;  // Connections mustn't be freed.
    struct sim_loop *loops;
    struct mr_listener *listeners;  // Linked by sockets[0].backend_data.
    // Connections to which something may happen, oldest first, and those to which nothing can
    // before somebody does something with them.
    struct mr_sim_end *ends;
    struct mr_sim_end *ends_tail;
    struct mr_sim_end *quiet;
};

// sim.c
bool sim_chance(struct mr_sim *sim, uint32_t permille);
// How much of `len` is moved at once.
size_t sim_part(struct mr_sim *sim, size_t len);
uint64_t sim_next_due_ms(const struct mr_sim *sim);
// Frees connections that both ends have closed, and puts quiet ones aside.
void sim_reap(struct mr_sim *sim);
// Something was done with the connection: it is to be looked at.
void sim_stir(struct mr_sim_end *end);
void sim_far_close(struct mr_sim_end *end, bool reset);

// pipe.c
void sim_pipe_open(struct sim_pipe *pipe, size_t capacity);
void sim_pipe_close(struct sim_pipe *pipe, struct mr_sim *sim);
size_t sim_pipe_room(const struct sim_pipe *pipe);
size_t sim_pipe_write(struct sim_pipe *pipe, struct mr_sim *sim, struct mr_slice bytes);
size_t sim_pipe_visible(const struct sim_pipe *pipe, uint64_t now_ms);
size_t sim_pipe_read(struct sim_pipe *pipe, struct mr_sim *sim, uint8_t *out, size_t max);
// What isn't read is lost.
void sim_pipe_reset(struct sim_pipe *pipe);
// All bytes are read and none will come, or it was reset.
bool sim_pipe_at_end(const struct sim_pipe *pipe);

// stream.c: what the styles have in common.
static inline struct mr_sim_end *sim_end_of(const struct mr_stream *stream) {
    return (struct mr_sim_end *)stream->handle;
}
bool sim_readable(const struct mr_sim_end *end);
// Sending can't succeed any more.
bool sim_send_dead(const struct mr_sim_end *end);
void sim_maybe_reset(struct mr_sim_end *end);
// Moves up to `max` bytes from the front of the pending output to the pipe and returns how many
// there was room for.
size_t sim_move_out(struct mr_sim_end *end, size_t max);
void sim_recv_end(struct mr_sim_end *end);
enum mr_err sim_stream_open(struct mr_stream *stream);
void sim_stream_send_end(struct mr_stream *stream);
void sim_stream_closed(struct mr_stream *stream, bool reset);
void sim_stream_detached(struct mr_stream *stream);

// backend.c
// Fills in what doesn't concern streams.
void sim_backend_init(struct mr_io_backend *backend);
bool sim_loop_has_event(const struct sim_loop *self);

extern const struct sim_style sim_readiness;   // readiness.c
extern const struct sim_style sim_completion;  // completion.c

#endif  // MILLRACE_IO_SIM_INTERNAL_H
