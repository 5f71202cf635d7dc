// Sessions that come, go and fall behind.
#include <stdlib.h>
#include <xxhash.h>

#include "broker/limits.h"
#include "broker/router/internal.h"

uint64_t mr_router_node_key(const struct mr_trie_node *node) {
    uint8_t text[512];
    size_t len = mr_trie_node_text(node, text, sizeof(text));
    if (len > sizeof(text)) {
        // Rare: filters this long are told apart by their length only, which is harmless: the
        // message still goes to a member of a shared filter that matches it.
        return len;
    }
    return XXH3_64bits(text, len) | UINT64_C(1) << 63;
}

// Only members of shared subscriptions are told apart further.
static enum mr_presence presence_of(const struct mr_session *session) {
    if (session->link == NULL) {
        return MR_PRESENCE_NONE;
    }
    bool is_busy = session->is_member && (mr_session_is_backlogged(session) ||
                                          session->quota_used >= MR_SHARED_INFLIGHT_BUSY);
    return is_busy ? MR_PRESENCE_BUSY : MR_PRESENCE_ONLINE;
}

void mr_router_update_presence(struct mr_router *router, struct mr_session *session) {
    enum mr_presence presence = presence_of(session);
    if (mr_registry_presence(router->shared->registry, session->subscriber) == presence) {
        return;
    }
    if (!mr_registry_set_presence(router->shared->registry, session->subscriber, presence)) {
        mr_count(&router->counters.dropped_no_memory);  // It is just not picked.
    }
}

void mr_router_uncongested(struct mr_router *router) {
    if (router->congested_here) {
        router->congested_here = false;
        router->hooks.on_uncongested(router->hooks.ctx);
    }
    for (uint32_t worker = 0; router->told_congested != 0; worker++) {
        uint64_t bit = UINT64_C(1) << worker;
        if ((router->told_congested & bit) == 0) {
            continue;
        }
        struct mr_parcel parcel = {.kind = MR_PARCEL_UNCONGESTED};
        if (!mr_mailbox_send(router->mailbox, worker, &parcel)) {
            router->uncongested_late = true;
            return;
        }
        router->told_congested &= ~bit;
    }
    router->uncongested_late = false;
}

static bool has_shared(const struct mr_session *session) {
    if (!session->is_member) {
        return false;
    }
    uint32_t index = 0;
    struct mr_trie_node *node;
    while ((node = mr_subscription_set_next(&session->subscriptions, &index)) != NULL) {
        if (mr_trie_node_is_shared(node)) {
            return true;
        }
    }
    return false;
}

struct offering {
    struct mr_router *router;
    uint32_t subscriber;
};

static bool offer(void *ctx, struct mr_trie_node *node, struct mr_message *message) {
    struct offering *offering = ctx;
    return mr_router_give_shared(offering->router, node, message, offering->subscriber, true);
}

static bool give_away(void *ctx, struct mr_trie_node *node, struct mr_message *message) {
    struct offering *offering = ctx;
    if (!mr_router_give_shared(offering->router, node, message, offering->subscriber, false)) {
        mr_message_unref(message);  // It was the last member: the subscription is over.
        mr_count(&offering->router->counters.dropped_session_end);
    }
    return true;
}

void mr_router_give_away(struct mr_router *router, struct mr_session *session,
                         struct mr_trie_node *node, bool inflight) {
    struct offering offering = {router, session->subscriber};
    mr_session_take_shared(session, node, inflight, give_away, &offering);
}

static void offer_all(struct mr_router *router, struct mr_session *session) {
    struct offering offering = {router, session->subscriber};
    mr_session_take_shared(session, NULL, true, offer, &offering);
}

void mr_router_rebalance(struct mr_router *router) {
    if (!router->stranded) {
        return;
    }
    router->stranded = false;
    uint32_t index = 0;
    struct mr_session *session;
    while ((session = mr_router_next_session(router, &index)) != NULL) {
        if (session->link == NULL && (session->queue.count > 0 || session->inflight.count > 0)) {
            offer_all(router, session);
            router->stranded = router->stranded || has_shared(session);
        }
    }
}

void mr_router_online(struct mr_router *router, struct mr_session *session) {
    mr_router_update_presence(router, session);
    if (!has_shared(session)) {
        return;
    }
    mr_router_rebalance(router);
    for (uint32_t worker = 0; worker < router->shared->worker_count; worker++) {
        struct mr_parcel parcel = {.kind = MR_PARCEL_REBALANCE};
        if (worker != router->worker && !mr_mailbox_send(router->mailbox, worker, &parcel)) {
            mr_count(&router->counters.dropped_no_memory);
        }
    }
}

void mr_router_offline(struct mr_router *router, struct mr_session *session) {
    bool was_congested = session->congested;
    mr_session_detach(session);
    mr_router_update_presence(router, session);
    if (was_congested) {
        mr_router_uncongested(router);
    }
    if (has_shared(session)) {
        offer_all(router, session);
        router->stranded = true;
    }
}

void mr_router_pump(struct mr_router *router, struct mr_session *session) {
    bool was_congested = session->congested;
    bool written = mr_session_pump(session);
    if (session->link == NULL) {
        return;
    }
    if (session->is_member) {
        mr_router_update_presence(router, session);
    }
    mr_router_after_delivery(router, session, written);
    if (was_congested && !session->congested) {
        mr_router_uncongested(router);
    }
}
