// Deliveries of shared subscriptions that another member may get. MQTT 5.0 section 4.8.2.
#include "broker/session/internal.h"

struct taking {
    struct mr_trie_node *node;  // NULL: of any.
    bool (*fn)(void *ctx, struct mr_trie_node *node, struct mr_message *message);
    void *ctx;
};

static bool is_takeable(const struct mr_item *item, const struct mr_trie_node *node) {
    return (item->flags & MR_ITEM_SHARED) != 0 && item->message != NULL &&
           (node == NULL || item->of.node == node);
}

static bool give(const struct mr_session *session, const struct taking *taking,
                 const struct mr_item *item) {
    struct mr_message *message = mr_message_ref(item->message);
    if (!taking->fn(taking->ctx, item->of.node, message)) {
        mr_message_unref(message);
        return false;
    }
    mr_count(&session->env->counters->shared_redelivered);
    return true;
}

// A QoS 2 delivery that was begun stays with its receiver, a QoS 1 delivery need not.
static bool may_leave_flight(const struct mr_item *item) {
    return item->state == MR_ITEM_WAITING || (item->state == MR_ITEM_AWAIT_ACK && item->qos == 1);
}

// False: `fn` wants no more.
static bool take_inflight(struct mr_session *session, const struct taking *taking) {
    uint32_t i = 0;
    while (i < session->inflight.count) {
        const struct mr_item *item = mr_items_at(&session->inflight, i);
        if (!may_leave_flight(item) || !is_takeable(item, taking->node)) {
            i++;
            continue;
        }
        if (!give(session, taking, item)) {
            return false;
        }
        // At the front, finishing moves the rest up; elsewhere the place is kept.
        mr_inflight_finish(session, i);
        i += i > 0;
    }
    return true;
}

static void take_waiting(struct mr_session *session, const struct taking *taking) {
    bool going = true;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < session->queue.count; i++) {
        struct mr_item *item = mr_items_at(&session->queue, i);
        bool taken = false;
        if (going && is_takeable(item, taking->node)) {
            taken = give(session, taking, item);
            going = taken;
        }
        if (taken) {
            mr_queue_account(session, item, false);
            mr_session_count_freed(session, item->message);
            mr_item_release(item);
        } else if (kept++ != i) {
            *mr_items_at(&session->queue, kept - 1) = *item;
        }
    }
    session->queue.count = kept;
}

// Makes what stays of `node` a delivery like any other, as the node may soon be gone.
static void settle(const struct mr_session *session, const struct mr_items *items,
                   const struct mr_trie_node *node) {
    for (uint32_t i = 0; i < items->count; i++) {
        struct mr_item *item = mr_items_at(items, i);
        if (is_takeable(item, node)) {
            uint32_t id;
            struct mr_grant grant = mr_session_grant_of(session, item, &id);
            (void)grant;
            item->of.node = NULL;
            item->of.id = id;
            item->flags &= (uint8_t)~MR_ITEM_SHARED;
        }
    }
}

void mr_session_take_shared(struct mr_session *session, struct mr_trie_node *node, bool inflight,
                            bool (*fn)(void *ctx, struct mr_trie_node *node,
                                       struct mr_message *message),
                            void *ctx) {
    struct taking taking = {node, fn, ctx};
    if (!inflight || take_inflight(session, &taking)) {
        take_waiting(session, &taking);
    }
    if (node != NULL) {
        settle(session, &session->inflight, node);
        settle(session, &session->queue, node);
    }
}
