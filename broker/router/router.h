// Routing: from one PUBLISH to the sessions that receive it, on this worker and others.
//
// One router for each worker. It owns the worker's table of sessions, its topic cache, its
// mailbox, and brings messages to the sessions' outputs. What all workers share (subscriptions,
// retained messages, registry) is reached through it.
//
// Threads: the worker's own, but for mr_shared, whose parts say so themselves.
#ifndef MILLRACE_BROKER_ROUTER_ROUTER_H
#define MILLRACE_BROKER_ROUTER_ROUTER_H

#include "base/base.h"
#include "broker/config/config.h"
#include "broker/registry/registry.h"
#include "broker/retained/retained.h"
#include "broker/router/mailbox.h"
#include "broker/session/session.h"
#include "broker/sys/counters.h"
#include "io/loop.h"
#include "trie/cache.h"
#include "trie/trie.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_router;

// What all workers share.
struct mr_shared {
    const struct mr_config *config;
    struct mr_trie *trie;
    struct mr_retained *retained;
    struct mr_registry *registry;
    struct mr_mailbox *mailboxes;
    uint32_t worker_count;
};

// Creates the shared parts according to `config`, which must outlive them.
// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_shared_init(struct mr_shared *shared, const struct mr_config *config,
                                        uint32_t worker_count, uint64_t hash_seed);
// All routers are freed; the calling thread has entered no pool, or one that still lives.
void mr_shared_fini(struct mr_shared *shared);

// What the layer above adds.
struct mr_router_hooks {
    void *ctx;
    // May `session` receive messages with this topic name? NULL: all may.
    bool (*may_receive)(void *ctx, struct mr_session *session, struct mr_slice topic);
    // link->failed was set: the connection has to be closed (not within this call).
    void (*on_link_failed)(void *ctx, struct mr_session *session);
    // `publisher` sent to a receiver that is full and has to be paused, until
    // on_uncongested().
    void (*on_congested)(void *ctx, struct mr_session *publisher);
    void (*on_uncongested)(void *ctx);
    // A parcel that isn't the router's; the callee owns parcel->pointer.
    void (*on_parcel)(void *ctx, struct mr_parcel *parcel);
};

struct mr_router {
    struct mr_shared *shared;
    struct mr_loop *loop;
    struct mr_mailbox *mailbox;
    struct mr_topic_cache *cache;
    struct mr_router_hooks hooks;
    struct mr_session_env env;
    struct mr_counters counters;
    struct mr_session **sessions;  // By index; a free place holds the next free index, tagged.
    uint32_t session_capacity;
    uint32_t session_count;
    uint32_t free_first;  // 0: none. Places are re-used oldest first.
    uint32_t free_last;
    uint32_t epoch_reader;
    uint32_t worker;
    uint64_t told_congested;  // Workers that were told that a session here is congested.
    bool congested_here;      // Publishers of this worker wait for a session here.
    bool uncongested_late;    // Some of told_congested may go on; there was no memory to say so.
    // What lies before this in the receive buffer that is being handled was looked at by
    // mr_router_look_ahead(); NULL: nothing.
    const uint8_t *ahead_end;
    bool stranded;  // Messages of shared subscriptions may wait for sessions without connection.
    bool active;
};

MR_NODISCARD enum mr_err mr_router_new(struct mr_router **out, struct mr_shared *shared,
                                       uint32_t worker, struct mr_loop *loop,
                                       const struct mr_router_hooks *hooks);
// All sessions have been removed. NULL is allowed.
void mr_router_free(struct mr_router *router);

// To be called first in every callback of the loop: brings time and reader state up to date.
void mr_router_begin_slow(struct mr_router *router);
static inline void mr_router_begin(struct mr_router *router) {
    if (MR_UNLIKELY(!router->active)) {
        mr_router_begin_slow(router);
    }
    // What came up after the end of the last turn began this one with that turn's time.
    router->env.now_ms = mr_loop_now_ms(router->loop);
    router->ahead_end = NULL;
}
// Takes what other workers have sent until now. Sessions and connections may end in it.
void mr_router_take(struct mr_router *router);
// Is there such a thing? What a client sends is to be handled after it: somebody may have waited
// for an acknowledgement before they sent it.
static inline bool mr_router_has_arrivals(const struct mr_router *router) {
    return mr_mailbox_has_arrivals(router->mailbox);
}
// End of a turn: shows what was sent. Returns true if the loop should not wait, because there is
// more to be taken.
bool mr_router_end(struct mr_router *router);

// ------------------------------------------------------------------------ sessions

// Reserves a handle for a session of this worker. Errors: MR_ERR_NOMEM, MR_ERR_LIMIT.
MR_NODISCARD enum mr_err mr_router_add(struct mr_router *router, struct mr_session *session,
                                       uint32_t *subscriber_out);
void mr_router_remove(struct mr_router *router, uint32_t subscriber);
// NULL if this worker has no such session.
struct mr_session *mr_router_session(const struct mr_router *router, uint32_t subscriber);
// Walks all sessions of this worker: start with *index = 0; NULL at the end. The session just
// returned may be removed.
struct mr_session *mr_router_next_session(const struct mr_router *router, uint32_t *index);

// Subscribes; `*existed_out`: the session had a subscription to this filter, now replaced.
// Errors: MR_ERR_NOMEM, MR_ERR_LIMIT.
MR_NODISCARD enum mr_err mr_router_subscribe(struct mr_router *router, struct mr_session *session,
                                             const struct mr_filter *filter,
                                             const struct mr_subscription_options *options,
                                             uint32_t subscription_id, bool *existed_out);
bool mr_router_has_subscription(const struct mr_router *router, const struct mr_session *session,
                                const struct mr_filter *filter);
// False if there was no such subscription.
bool mr_router_unsubscribe(struct mr_router *router, struct mr_session *session,
                           const struct mr_filter *filter);
void mr_router_unsubscribe_all(struct mr_router *router, struct mr_session *session);

// A session's connection came (attached before) or goes (detached here): what others may know of
// it. On going, messages of shared subscriptions that wait for it go to other members.
void mr_router_online(struct mr_router *router, struct mr_session *session);
void mr_router_offline(struct mr_router *router, struct mr_session *session);

// Sends what waits for `session` and may be sent now.
void mr_router_pump(struct mr_router *router, struct mr_session *session);

// ------------------------------------------------------------------------ messages

enum mr_routed {
    MR_ROUTED,
    MR_ROUTED_NOWHERE,    // No receiver at all.
    MR_ROUTED_BUSY,       // Nothing was done: another worker can't take it now; try again later.
    MR_ROUTED_NO_MEMORY,  // Not all receivers could be served: the publisher has to be closed.
    MR_ROUTED_SINGLY,     // Nothing was done: this run has to be published packet by packet.
};

// Fetches what routing the first packets of `rest` will read: those behind the one with `topic` in
// the receive buffer that is being handled (`topic_lookahead` of them). Changes nothing else.
void mr_router_look_ahead_slow(struct mr_router *router, struct mr_slice topic,
                               struct mr_slice rest);
static inline void mr_router_look_ahead(struct mr_router *router, struct mr_slice topic,
                                        struct mr_slice rest) {
    if (rest.len > 0 && rest.data >= router->ahead_end) {
        mr_router_look_ahead_slow(router, topic, rest);
    }
}

// Delivers to everyone who receives `outgoing`, which belongs to no retained store yet.
// `publisher` (may be NULL) is told apart for No Local and for back-pressure. `must`: never
// BUSY; for what can't be tried again.
enum mr_routed mr_router_publish(struct mr_router *router, struct mr_outgoing *outgoing,
                                 struct mr_session *publisher, bool must);

// The same for a run, all of it or nothing.
enum mr_routed mr_router_publish_run(struct mr_router *router, const struct mr_run *run,
                                     struct mr_session *publisher);

// Publishes a message of the broker's own making (will, $SYS): retained store included.
void mr_router_publish_message(struct mr_router *router, struct mr_message *message,
                               struct mr_slice source);

// Stores or removes a retained message. Errors: MR_ERR_LIMIT, MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_router_retain(struct mr_router *router, struct mr_outgoing *outgoing,
                                          struct mr_slice source);

// Access rights may have changed.
void mr_router_forget_routes(struct mr_router *router);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_ROUTER_ROUTER_H
