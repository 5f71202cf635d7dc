// A simulated network and clock: everything above io runs in one thread, without system
// calls, and the same seed gives the same run.
//
// A simulation has any number of loops, listeners and connections. What its loops accept
// are the far ends of connections that a test made with mr_sim_connect(), and whose near
// ends it reads and writes itself. Time stands still while anything can happen and jumps
// to the next timer or delayed byte when nothing can.
//
// It is stricter than any real network: it receives single bytes, sends a part of what it
// was given, completes late, reorders what different connections do, resets, and loses
// what a peer had not read yet when a connection is reset.
//
// A connection on which nothing happens costs neither time nor the memory of its pipes, so that
// there may be a million of them.
//
// Threads: one thread for a simulation and all its loops. mr_loop_wake() included.
#ifndef MILLRACE_IO_SIM_SIM_H
#define MILLRACE_IO_SIM_SIM_H

#include "base/base.h"
#include "io/backend.h"
#include "io/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_sim;      // Opaque.
struct mr_sim_end;  // Opaque: the test's end of a connection.

// How the simulated system reports.
enum mr_sim_style {
    // It says "ready", and then is asked, as epoll does.
    MR_SIM_READINESS,
    // It completes, with receive buffers of its own, as io_uring does.
    MR_SIM_COMPLETION,
};

// Zero is a friendly system: everything at once and whole.
struct mr_sim_options {
    uint64_t seed;
    enum mr_sim_style style;
    uint32_t pipe_bytes_max;    // Between two ends, each way; 0: 64 KiB.
    uint32_t handle_count_max;  // Connections that may be accepted at once; 0: no limit.
    // Out of 1000: how often ...
    uint32_t partial_permille;  // ... a send or receive moves only a part,
    uint32_t late_permille;     // ... an event is left for a later turn,
    uint32_t delay_permille;    // ... bytes take a while, up to `delay_ms_max`,
    uint32_t reset_permille;    // ... an event resets the connection instead.
    uint32_t delay_ms_max;
    // Where the network's own memory comes from, so that a test can tell it from the memory of what
    // it tests; NULL: malloc() and free(). Both or none.
    void *(*alloc)(size_t bytes);
    void (*release)(void *memory);
};

// Creates a simulation, owned by the caller. NULL options are zero.
// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_sim_new(struct mr_sim **out, const struct mr_sim_options *options);

// Frees a simulation whose loops are freed. Ends that are still open are closed. NULL is
// allowed.
void mr_sim_free(struct mr_sim *sim);

// For mr_loop_new(): loops made with it belong to `sim`. Returns borrowed until
// mr_sim_free().
const struct mr_io_backend *mr_sim_backend(struct mr_sim *sim);

// ------------------------------------------------------------------------------ time

uint64_t mr_sim_now_ms(const struct mr_sim *sim);
void mr_sim_advance(struct mr_sim *sim, uint64_t ms);

// Runs at most `steps` turns of loops, in an order that the seed decides; lets time jump
// when no loop has anything to do. False if nothing can ever happen any more without
// the test. (mr_loop_run_once() works too; then the loop's waiting makes time go by.)
bool mr_sim_run(struct mr_sim *sim, uint64_t steps);

// From now on the system is a friendly one: all chances of `options` are 0. What is delayed
// already stays so.
void mr_sim_calm(struct mr_sim *sim);

// A number below `bound` (above 0) from the simulation's generator, for tests that want to
// be reproduced by the same seed.
uint64_t mr_sim_random(struct mr_sim *sim, uint64_t bound);

// ------------------------------------------------------------------------ connections

enum mr_sim_state {
    MR_SIM_OPEN,
    MR_SIM_ENDED,  // The far end sends nothing any more, and all was read.
    MR_SIM_RESET,
};

// Connects to the listener on `port`. `*out` ends with mr_sim_end_close().
// Errors: MR_ERR_NOTFOUND (nobody listens), MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_sim_connect(struct mr_sim *sim, struct mr_sim_end **out, uint16_t port);

// Sends from `bytes` what there is room for and returns how much that was.
size_t mr_sim_send(struct mr_sim_end *end, struct mr_slice bytes);

// Receives at most `max` bytes and returns how many; 0 if there are none (see
// mr_sim_end_state() for why).
size_t mr_sim_recv(struct mr_sim_end *end, void *out, size_t max);
enum mr_sim_state mr_sim_end_state(const struct mr_sim_end *end);

// Has the far end closed the connection, so that nothing sent can have an effect any more?
bool mr_sim_end_is_alone(const struct mr_sim_end *end);

// Sends nothing any more; may still receive.
void mr_sim_end_sending(struct mr_sim_end *end);
void mr_sim_reset(struct mr_sim_end *end);
// Closes and frees the end. NULL is allowed.
void mr_sim_end_close(struct mr_sim_end *end);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_SIM_SIM_H
