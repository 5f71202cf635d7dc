// The protocol: what clients say and what the broker answers, one handler for each packet.
//
// One struct mr_protocol for each worker, on top of its router. It owns the connections
// (struct mr_client) and the sessions with what belongs to them: will, expiry, retained
// messages still to be sent. The worker composes it with a loop and listeners.
//
// Threads: the worker's own. struct mr_policy_set may be shared by all.
#ifndef MILLRACE_BROKER_PROTOCOL_PROTOCOL_H
#define MILLRACE_BROKER_PROTOCOL_PROTOCOL_H

#include "base/base.h"
#include "broker/auth/auth.h"
#include "broker/config/config.h"
#include "broker/router/router.h"
#include "io/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_client;
struct mr_protocol;

// The policies of all security settings, by index. Immutable, counted atomically.
struct mr_policy_set {
    uint32_t refs;
    uint32_t count;
    struct mr_auth_policy *policies[];
};
// Returns owned, with NULL policies to be filled in; NULL if out of memory.
struct mr_policy_set *mr_policy_set_new(uint32_t count);
struct mr_policy_set *mr_policy_set_ref(struct mr_policy_set *set);
void mr_policy_set_unref(struct mr_policy_set *set);  // NULL is allowed.

// A password to be checked on another thread. The strings belong to the request.
struct mr_password_request {
    struct mr_password_request *next;  // For whoever holds it.
    struct mr_protocol *protocol;
    struct mr_client *client;  // Stays where it is until the answer was given.
    struct mr_auth_policy *policy;
    char *user_name;
    char *password;
    size_t user_name_len;
    size_t password_len;
    enum mr_auth_result result;  // Unless it was dropped.
    bool dropped;                // Not checked, as the broker is stopping.
};
void mr_password_request_free(struct mr_password_request *request);

struct mr_protocol_hooks {
    void *ctx;
    // Has `request` answered with mr_protocol_password_checked() on the protocol's thread, later.
    // False: can't take it now (the client is told to come again). NULL: check at once.
    bool (*check_password)(void *ctx, struct mr_password_request *request);
};

struct mr_protocol_options {
    struct mr_shared *shared;
    struct mr_loop *loop;
    uint32_t worker;
    struct mr_policy_set *policies;  // A reference is taken.
    uint32_t *listener_connections;  // Shared by all workers, atomic; by listener.
    struct mr_protocol_hooks hooks;
};

// Errors: MR_ERR_NOMEM, MR_ERR_LIMIT.
MR_NODISCARD enum mr_err mr_protocol_new(struct mr_protocol **out,
                                         const struct mr_protocol_options *options);
// All connections are closed (mr_protocol_shut_down(), then run the loop until
// mr_protocol_client_count() is 0). Ends all sessions. NULL is allowed.
void mr_protocol_free(struct mr_protocol *protocol);
struct mr_router *mr_protocol_router(struct mr_protocol *protocol);
uint32_t mr_protocol_client_count(const struct mr_protocol *protocol);

// Bytes that a connected client with an empty clean session and a client id of `client_id_len`
// takes, apart from buffers in use: what is reported as memory/idle_client_bytes.
uint32_t mr_protocol_idle_client_bytes(uint32_t client_id_len);

// A new connection on listener `listener`. Takes the handle.
void mr_protocol_accept(struct mr_protocol *protocol, uint32_t listener, intptr_t handle);

// The same, for a connection that another worker than this one shall serve.
void mr_protocol_pass_on(struct mr_protocol *protocol, uint32_t listener, intptr_t handle,
                         uint32_t worker);

// The loop's callbacks, to be passed on.
void mr_protocol_on_wake(struct mr_protocol *protocol);
bool mr_protocol_on_turn_end(struct mr_protocol *protocol);

void mr_protocol_password_checked(struct mr_password_request *request);

// New access rights: takes effect for everyone at once; clients that may not be connected any
// more are disconnected. A reference is taken.
void mr_protocol_set_policies(struct mr_protocol *protocol, struct mr_policy_set *policies);

// Tells every client that the server is shutting down and closes all connections.
void mr_protocol_shut_down(struct mr_protocol *protocol);

// Writes a line about each connection and session to the log.
void mr_protocol_log_state(struct mr_protocol *protocol);

// May a retained message from `source` (as given to mr_router_retain()) still be kept?
bool mr_protocol_source_may_publish(const struct mr_policy_set *policies, struct mr_slice source,
                                    struct mr_slice topic);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_PROTOCOL_PROTOCOL_H
