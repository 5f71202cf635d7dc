// The real broker core on the simulated backend: several workers in one thread, a run being a
// pure function of its seed.
//
// What broker/server does with threads is done here with turns of loops, in an order that the
// seed decides: protocol, router, sessions, registry, retained store and the rings between workers
// are the broker's own. Connect to it with mr_sim_connect(core->sim, &end, core->port).
#ifndef MILLRACE_TESTS_SIM_CORE_H
#define MILLRACE_TESTS_SIM_CORE_H

#include "base/base.h"
#include "broker/protocol/protocol.h"
#include "io/sim/sim.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_core_options {
    struct mr_sim_options sim;
    uint32_t worker_count;
    const char *config_text;  // Behind a listener that lets everybody in; NULL: nothing.
    uint64_t hash_seed;
};

struct mr_core_worker {
    struct mr_core *core;
    struct mr_loop *loop;
    struct mr_protocol *protocol;
    struct mr_listener *listener;
    struct mr_timer timer;  // What the first worker does once a second: sweeping.
    uint32_t index;
};

struct mr_core {
    struct mr_sim *sim;
    struct mr_config *config;
    struct mr_policy_set *policies;
    struct mr_shared shared;
    struct mr_core_worker *workers;
    uint32_t listener_connections;
    uint32_t worker_count;
    uint16_t port;
};

// Errors: MR_ERR_NOMEM, MR_ERR_INVALID (the configuration).
MR_NODISCARD enum mr_err mr_core_new(struct mr_core **out, const struct mr_core_options *options);

// Closes all connections, lets the workers run until they are gone, and frees everything, which
// asserts that every buffer came home. NULL is allowed.
void mr_core_free(struct mr_core *core);

// Runs at most `steps` turns; see mr_sim_run().
bool mr_core_run(struct mr_core *core, uint64_t steps);

// The counters of all workers, added up.
void mr_core_counters(const struct mr_core *core, struct mr_counters *out);
// Has everything that a worker sent to another been taken?
bool mr_core_is_drained(const struct mr_core *core);
uint32_t mr_core_session_count(const struct mr_core *core);
// Buffers that are referenced, of all workers.
uint64_t mr_core_buffers_in_use(const struct mr_core *core);

// Looks at what must always hold between turns: no session has two owners, each is where the
// registry says, gauges are what they count. Returns what is wrong, or NULL.
const char *mr_core_check(struct mr_core *core);
// Looks at what must hold when all clients are gone, their sessions have ended and no message is
// retained: nothing is left. Returns what is, or NULL.
const char *mr_core_check_empty(struct mr_core *core);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_TESTS_SIM_CORE_H
