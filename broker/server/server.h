// The whole broker: all workers with what they share, their listeners, the thread that checks
// passwords, the $SYS tree.
//
// Composed by main.c or a test: the backend, the configuration and the text of password and
// access files come from there; nothing here reads files or knows a backend.
//
// Threads: all functions are for the thread that made the server, except
// mr_server_log_line(). Signals should be blocked in that thread before mr_server_start().
#ifndef MILLRACE_BROKER_SERVER_SERVER_H
#define MILLRACE_BROKER_SERVER_SERVER_H

#include "base/base.h"
#include "broker/config/config.h"
#include "broker/log/log.h"
#include "broker/protocol/protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_server;
struct mr_io_backend;

struct mr_server_options {
    const struct mr_config *config;  // Outlives the server.
    const struct mr_io_backend *backend;
    uint32_t worker_count;  // 1 to MR_WORKERS_MAX.
    uint64_t hash_seed;     // Random.
    const char *version;
    struct mr_policy_set *policies;  // A reference is taken.
    // Memory of the process now and at most; may be NULL.
    void (*memory)(uint64_t *bytes_out, uint64_t *bytes_max_out);
};

// Creates loops and workers; nothing runs or listens yet.
// Errors: MR_ERR_NOMEM, MR_ERR_NOFILES, MR_ERR_UNSUPPORTED, MR_ERR_IO, MR_ERR_LIMIT.
MR_NODISCARD enum mr_err mr_server_new(struct mr_server **out,
                                       const struct mr_server_options *options);

// Opens all listeners. On failure `*listener_out` says which one could not be opened and
// `*os_error` why. Errors: as of mr_listener_open().
MR_NODISCARD enum mr_err mr_server_listen(struct mr_server *server, uint32_t *listener_out,
                                          int *os_error);
// The port of a listener, also if the configuration said 0.
uint16_t mr_server_port(const struct mr_server *server, uint32_t listener);

// Name of the backend in use.
const char *mr_server_backend(const struct mr_server *server);

// Starts the threads. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_server_start(struct mr_server *server);

// New access rights for everyone; a reference is taken.
void mr_server_set_policies(struct mr_server *server, struct mr_policy_set *policies);
// Writes the state of all workers to the log.
void mr_server_log_state(struct mr_server *server);

// Has a log line published below $SYS/broker/log/. Any thread, while the server runs; drops the
// line if there is no room for it.
void mr_server_log_line(struct mr_server *server, enum mr_log_type type, const char *line,
                        size_t len);

// Stops accepting, tells all clients, waits until they are gone, and ends the threads.
void mr_server_stop(struct mr_server *server);
// Frees a server that doesn't run. NULL is allowed.
void mr_server_free(struct mr_server *server);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SERVER_SERVER_H
