// What the files of this component share.
#ifndef MILLRACE_BROKER_ROUTER_INTERNAL_H
#define MILLRACE_BROKER_ROUTER_INTERNAL_H

#include "broker/router/router.h"

// After something was written for `session` or tried to be.
void mr_router_after_delivery(struct mr_router *router, struct mr_session *session, bool written);

// Takes one parcel that came from another worker.
void mr_router_take_parcel(struct mr_router *router, struct mr_parcel *parcel);

// Lets other workers know whether `session` can take a message of a shared subscription.
void mr_router_update_presence(struct mr_router *router, struct mr_session *session);

// A session that was congested isn't any more, or is gone.
void mr_router_uncongested(struct mr_router *router);

// Gives `message` (a reference that the callee takes) to a member of the shared filter `node` other
// than `except`. `usable_only`: only to one that can take it now; false then means that there
// is none and the caller still owns the reference.
bool mr_router_give_shared(struct mr_router *router, struct mr_trie_node *node,
                           struct mr_message *message, uint32_t except, bool usable_only);

// `session` is about to leave the shared filter `node`: what it would have got of it goes to other
// members; with `inflight` also what it has not acknowledged.
void mr_router_give_away(struct mr_router *router, struct mr_session *session,
                         struct mr_trie_node *node, bool inflight);

// How `target` of `route` gets a message of `publisher` that has RETAIN as `retain`. False: not at
// all, it is its own [MQTT-3.8.3-3].
bool mr_router_grant(const struct mr_route *route, const struct mr_target *target,
                     uint32_t publisher, bool retain, struct mr_grant *out);
// Can't `publisher` be told to wait? Nobody, or one whose own session is congested: its client has
// to be read, or that will never end. What it publishes is dropped where there is no room.
static inline bool mr_router_cant_wait(const struct mr_session *publisher) {
    return publisher == NULL || publisher->congested;
}
// Delivers to a session of this worker, with all that follows from it. `publisher`: NULL if it
// isn't of this worker.
void mr_router_deliver(struct mr_router *router, struct mr_session *session,
                       struct mr_outgoing *outgoing, const struct mr_grant *grant,
                       struct mr_session *publisher);

// Takes a run that another worker sent, with its reference.
void mr_router_take_run(struct mr_router *router, struct mr_run *run, bool droppable);

// Offers what waits for members without connection to members that have one.
void mr_router_rebalance(struct mr_router *router);

// Releases a parcel that nobody takes any more.
void mr_router_drop_parcel(void *ctx, struct mr_parcel *parcel);

// Names a shared filter.
uint64_t mr_router_node_key(const struct mr_trie_node *node);

#endif  // MILLRACE_BROKER_ROUTER_INTERNAL_H
