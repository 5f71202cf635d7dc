// One message to all its receivers.
#include "broker/limits.h"
#include "broker/router/internal.h"

// Shared filters that one message may match; further ones are served by their own pick all the
// same, only without the check for room beforehand.
#define SHARED_PARCELS_MAX 64u

void mr_router_after_delivery(struct mr_router *router, struct mr_session *session, bool written) {
    struct mr_link *link = session->link;
    if (link == NULL) {
        return;
    }
    if (MR_LIKELY(written)) {
        mr_stream_flush(MR_CONTAINER_OF(link->out, struct mr_stream, out));
    }
    if (MR_UNLIKELY(link->failed != MR_LINK_OK)) {
        router->hooks.on_link_failed(router->hooks.ctx, session);
    }
}

static void note_congestion(struct mr_router *router, struct mr_session *session,
                            const struct mr_outgoing *outgoing, struct mr_session *publisher) {
    if (MR_LIKELY(!session->congested) || outgoing->droppable) {
        return;
    }
    if (publisher != NULL) {
        router->congested_here = true;
        router->hooks.on_congested(router->hooks.ctx, publisher);
        return;
    }
    uint32_t worker = mr_subscriber_shard(outgoing->publisher);
    if (outgoing->publisher == 0 || worker == router->worker) {
        return;
    }
    struct mr_parcel parcel = {.kind = MR_PARCEL_CONGESTED, .subscriber = outgoing->publisher};
    if (mr_mailbox_send(router->mailbox, worker, &parcel)) {
        router->told_congested |= UINT64_C(1) << worker;
        mr_count(&router->counters.backpressure_pauses);
    }
}

bool mr_router_grant(const struct mr_route *route, const struct mr_target *target,
                     uint32_t publisher, bool retain, struct mr_grant *out) {
    out->qos = target->qos;
    out->retain = target->retain_as_published && retain;
    out->replay = false;
    out->id_count = target->id_count;
    out->ids = route->ids + target->ids_index;
    out->node = NULL;
    if (MR_UNLIKELY(target->subscriber == publisher)) {
        if (target->qos_own == MR_TARGET_NONE) {
            return false;
        }
        out->qos = target->qos_own;
        out->retain = target->retain_as_published_own && retain;
        out->id_count = target->id_count_own;
    }
    return true;
}

void mr_router_deliver(struct mr_router *router, struct mr_session *session,
                       struct mr_outgoing *outgoing, const struct mr_grant *grant,
                       struct mr_session *publisher) {
    bool written = mr_session_deliver(session, outgoing, grant);
    mr_router_after_delivery(router, session, written);
    note_congestion(router, session, outgoing, publisher);
}

// Delivers to the receivers of this worker.
static void deliver_here(struct mr_router *router, const struct mr_route *route,
                         struct mr_outgoing *outgoing, struct mr_session *publisher) {
    outgoing->has_one_receiver = route->target_count == 1 && route->shared_count == 0;
    for (uint32_t i = 0; i < route->target_count; i++) {
        const struct mr_target *target = &route->targets[i];
        struct mr_session *session = mr_router_session(router, target->subscriber);
        struct mr_grant grant;
        if (!MR_NEVER(session == NULL) &&
            mr_router_grant(route, target, outgoing->publisher, outgoing->packet->retain, &grant)) {
            mr_router_deliver(router, session, outgoing, &grant, publisher);
        }
    }
}

// -------------------------------------------------------------- shared subscriptions

struct choice {
    const struct mr_registry *registry;
    uint32_t except;
};

static bool is_usable(void *ctx, uint32_t subscriber) {
    const struct choice *choice = ctx;
    return subscriber != choice->except &&
           mr_registry_presence(choice->registry, subscriber) == MR_PRESENCE_ONLINE;
}

static bool is_connected(void *ctx, uint32_t subscriber) {
    const struct choice *choice = ctx;
    return subscriber != choice->except &&
           mr_registry_presence(choice->registry, subscriber) != MR_PRESENCE_NONE;
}

static bool is_other(void *ctx, uint32_t subscriber) {
    const struct choice *choice = ctx;
    return subscriber != choice->except;
}

// Who keeps up, else who is connected, else (unless `connected_only`) anyone: never `except`.
static bool pick(struct mr_router *router, struct mr_trie_node *node, uint32_t except,
                 bool connected_only, struct mr_subscription *out) {
    struct choice choice = {router->shared->registry, except};
    if (mr_trie_node_pick(node, is_usable, &choice, out) && is_usable(&choice, out->subscriber)) {
        return true;
    }
    if (mr_trie_node_pick(node, is_connected, &choice, out) &&
        is_connected(&choice, out->subscriber)) {
        return true;
    }
    return !connected_only && mr_trie_node_pick(node, is_other, &choice, out) &&
           out->subscriber != except;
}

static void deliver_picked(struct mr_router *router, struct mr_session *session,
                           struct mr_trie_node *node, uint8_t qos, struct mr_outgoing *outgoing,
                           struct mr_session *publisher) {
    struct mr_subscription subscription;
    struct mr_grant grant = {qos, false, false, 0, NULL, node};
    uint32_t id = 0;
    if (mr_trie_node_get(node, session->subscriber, &subscription)) {
        grant.retain = subscription.retain_as_published && outgoing->packet->retain;
        id = subscription.subscription_id;
        grant.ids = &id;
        grant.id_count = id != 0;
    }
    mr_router_deliver(router, session, outgoing, &grant, publisher);
    mr_router_update_presence(router, session);
    router->stranded = router->stranded || session->link == NULL;
}

// Hands `message` (takes the reference) to the worker of the member that was picked.
static bool send_directed(struct mr_router *router, struct mr_trie_node *node,
                          const struct mr_subscription *member, struct mr_message *message,
                          bool droppable) {
    struct mr_parcel parcel = {.kind = MR_PARCEL_DIRECTED,
                               .qos = member->qos,
                               .droppable = droppable,
                               .subscriber = member->subscriber,
                               .bytes = (uint32_t)mr_message_bytes(message),
                               .pointer = message,
                               .node = node,
                               .key = mr_router_node_key(node)};
    mr_buf_ref_for_other(message->buf);
    if (!mr_mailbox_send(router->mailbox, mr_subscriber_shard(member->subscriber), &parcel)) {
        mr_router_drop_parcel(NULL, &parcel);
        mr_count(&router->counters.dropped_no_memory);
        return false;
    }
    mr_message_unref(message);
    return true;
}

static void deliver_shared(struct mr_router *router, struct mr_trie_node *node,
                           struct mr_outgoing *outgoing, struct mr_session *publisher) {
    struct mr_subscription member;
    if (!pick(router, node, 0, false, &member)) {
        return;
    }
    struct mr_session *session = mr_router_session(router, member.subscriber);
    if (session != NULL) {
        deliver_picked(router, session, node, member.qos, outgoing, publisher);
        return;
    }
    struct mr_message *message = mr_outgoing_message(outgoing);
    if (message == NULL) {
        mr_count(&router->counters.dropped_no_memory);
        return;
    }
    mr_message_ref(message);
    if (!send_directed(router, node, &member, message, outgoing->droppable)) {
        mr_message_unref(message);
    }
}

bool mr_router_give_shared(struct mr_router *router, struct mr_trie_node *node,
                           struct mr_message *message, uint32_t except, bool usable_only) {
    struct mr_subscription member;
    if (!pick(router, node, except, usable_only, &member)) {
        return false;
    }
    struct mr_session *session = mr_router_session(router, member.subscriber);
    if (session == NULL) {
        return send_directed(router, node, &member, message, false);
    }
    struct mr_outgoing outgoing;
    struct mr_publish packet;
    mr_outgoing_init_message(&outgoing, &router->env.scratch, message, router->env.now_ms, &packet);
    deliver_picked(router, session, node, member.qos, &outgoing, NULL);
    mr_outgoing_fini(&outgoing);
    mr_message_unref(message);
    return true;
}

// ----------------------------------------------------------------------- to all

static bool send_publish(struct mr_router *router, uint32_t worker, struct mr_message *message,
                         bool droppable) {
    struct mr_parcel parcel = {.kind = MR_PARCEL_PUBLISH,
                               .droppable = droppable,
                               .pointer = message,
                               .bytes = (uint32_t)mr_message_bytes(message)};
    mr_buf_ref_for_other(message->buf);
    if (mr_mailbox_send(router->mailbox, worker, &parcel)) {
        return true;
    }
    mr_router_drop_parcel(NULL, &parcel);
    mr_count(&router->counters.dropped_no_memory);
    return false;
}

// False: out of memory for the message.
static bool deliver_elsewhere(struct mr_router *router, uint64_t workers,
                              struct mr_outgoing *outgoing) {
    struct mr_message *message = mr_outgoing_message(outgoing);
    if (message == NULL) {
        mr_count(&router->counters.dropped_no_memory);
        return false;
    }
    bool sent = true;
    for (uint32_t worker = 0; workers != 0; worker++, workers >>= 1) {
        if (workers & 1) {
            sent = send_publish(router, worker, message, outgoing->droppable) && sent;
        }
    }
    return sent;
}

enum mr_routed mr_router_publish(struct mr_router *router, struct mr_outgoing *outgoing,
                                 struct mr_session *publisher, bool must) {
    const struct mr_route *route = mr_topic_cache_lookup(router->cache, outgoing->packet->topic);
    if (MR_UNLIKELY(route == NULL)) {
        mr_count(&router->counters.dropped_no_memory);
        return MR_ROUTED_NO_MEMORY;
    }
    // A member of a shared filter may be anywhere.
    uint64_t targets = route->shared_count > 0 ? UINT64_MAX : route->other_shards;
    if (targets != 0 && !must) {
        uint32_t parcels = 1 + (route->shared_count < SHARED_PARCELS_MAX ? route->shared_count
                                                                         : SHARED_PARCELS_MAX);
        if (!mr_mailbox_has_room(router->mailbox, targets, parcels)) {
            return MR_ROUTED_BUSY;
        }
    }
    if (route->target_count == 0 && route->shared_count == 0 && route->other_shards == 0) {
        mr_count(&router->counters.routed_nowhere);
        return MR_ROUTED_NOWHERE;
    }
    outgoing->droppable = mr_router_cant_wait(publisher);
    deliver_here(router, route, outgoing, publisher);
    bool sent =
        route->other_shards == 0 || deliver_elsewhere(router, route->other_shards, outgoing);
    for (uint32_t i = 0; i < route->shared_count; i++) {
        deliver_shared(router, route->shared[i], outgoing, publisher);
    }
    return sent ? MR_ROUTED : MR_ROUTED_NO_MEMORY;
}

enum mr_err mr_router_retain(struct mr_router *router, struct mr_outgoing *outgoing,
                             struct mr_slice source) {
    if (outgoing->packet->payload.len == 0) {
        mr_retained_remove(router->shared->retained, outgoing->packet->topic);
        return MR_OK;
    }
    struct mr_message *message = mr_outgoing_message(outgoing);
    enum mr_err err =
        message == NULL ? MR_ERR_NOMEM : mr_retained_set(router->shared->retained, message, source);
    if (err != MR_OK) {
        mr_count(&router->counters.retained_refused);
    }
    return err;
}

void mr_router_publish_message(struct mr_router *router, struct mr_message *message,
                               struct mr_slice source) {
    struct mr_outgoing outgoing;
    struct mr_publish packet;
    mr_outgoing_init_message(&outgoing, &router->env.scratch, message, router->env.now_ms, &packet);
    if (message->retain) {
        enum mr_err err = mr_router_retain(router, &outgoing, source);
        (void)err;  // Counted; the live receivers get it all the same.
    }
    mr_router_publish(router, &outgoing, NULL, true);
    mr_outgoing_fini(&outgoing);
}

// ---------------------------------------------------------------------- parcels

static void take_publish(struct mr_router *router, struct mr_message *message, bool droppable) {
    const struct mr_route *route = mr_topic_cache_lookup(router->cache, mr_message_topic(message));
    if (route == NULL) {
        mr_count(&router->counters.dropped_no_memory);
        return;
    }
    struct mr_outgoing outgoing;
    struct mr_publish packet;
    mr_outgoing_init_message(&outgoing, &router->env.scratch, message, router->env.now_ms, &packet);
    outgoing.droppable = droppable;
    deliver_here(router, route, &outgoing, NULL);
    mr_outgoing_fini(&outgoing);
}

// The member that another worker picked may have left meanwhile.
static void take_directed(struct mr_router *router, const struct mr_parcel *parcel,
                          struct mr_message *message) {
    struct mr_session *session = mr_router_session(router, parcel->subscriber);
    struct mr_trie_node *node = parcel->node;
    if (session != NULL && mr_subscription_set_has(&session->subscriptions, node) &&
        mr_trie_node_is_shared(node)) {
        struct mr_outgoing outgoing;
        struct mr_publish packet;
        mr_outgoing_init_message(&outgoing, &router->env.scratch, message, router->env.now_ms,
                                 &packet);
        outgoing.droppable = parcel->droppable;
        deliver_picked(router, session, node, parcel->qos, &outgoing, NULL);
        mr_outgoing_fini(&outgoing);
        return;
    }
    const struct mr_route *route = mr_topic_cache_lookup(router->cache, mr_message_topic(message));
    for (uint32_t i = 0; route != NULL && i < route->shared_count; i++) {
        if (mr_router_node_key(route->shared[i]) == parcel->key) {
            mr_message_ref(message);
            if (mr_router_give_shared(router, route->shared[i], message, parcel->subscriber,
                                      false)) {
                mr_count(&router->counters.shared_redelivered);
                return;
            }
            mr_message_unref(message);
        }
    }
    mr_count(&router->counters.dropped_session_end);
}

void mr_router_take_parcel(struct mr_router *router, struct mr_parcel *parcel) {
    struct mr_message *message = parcel->pointer;
    switch (parcel->kind) {
        case MR_PARCEL_PUBLISH:
            mr_buf_adopt(message->buf);
            take_publish(router, message, parcel->droppable);
            mr_message_unref(message);
            return;
        case MR_PARCEL_RUN:
            mr_router_take_run(router, parcel->pointer, parcel->droppable);
            return;
        case MR_PARCEL_DIRECTED:
            mr_buf_adopt(message->buf);
            take_directed(router, parcel, message);
            mr_message_unref(message);
            return;
        case MR_PARCEL_CONGESTED: {
            struct mr_session *publisher = mr_router_session(router, parcel->subscriber);
            if (publisher != NULL) {
                router->hooks.on_congested(router->hooks.ctx, publisher);
            }
            return;
        }
        case MR_PARCEL_UNCONGESTED:
            router->hooks.on_uncongested(router->hooks.ctx);
            return;
        case MR_PARCEL_REBALANCE:
            mr_router_rebalance(router);
            return;
        default:
            router->hooks.on_parcel(router->hooks.ctx, parcel);
            return;
    }
}
