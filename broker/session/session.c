#include "broker/session/session.h"

#include <string.h>

#include "broker/session/internal.h"

void mr_session_init(struct mr_session *session, struct mr_session_env *env, uint32_t subscriber,
                     struct mr_registry_entry *entry) {
    memset(session, 0, sizeof(*session));
    session->env = env;
    session->subscriber = subscriber;
    session->entry = entry;
    session->front_packet_id = 1;
}

static void release_all(struct mr_session *session, struct mr_items *items) {
    struct mr_counters *counters = session->env->counters;
    for (uint32_t i = 0; i < items->count; i++) {
        struct mr_item *item = mr_items_at(items, i);
        if (item->message != NULL) {
            mr_count(&counters->dropped_session_end);
            mr_count_sub(&counters->queued_messages, 1);
            mr_count_sub(&counters->queued_bytes, mr_message_bytes(item->message));
        }
        mr_item_release(item);
    }
    items->count = 0;
    mr_items_trim(items);
}

void mr_session_fini(struct mr_session *session) {
    release_all(session, &session->inflight);
    release_all(session, &session->queue);
    if (session->received != NULL) {
        mr_buf_unref(session->received);
        session->received = NULL;
    }
    mr_subscription_set_fini(&session->subscriptions);
}

void mr_session_attach(struct mr_session *session, struct mr_link *link) {
    link->failed = MR_LINK_OK;
    session->link = link;
    // The send quota starts anew with each connection [MQTT-4.9.0-1].
    session->quota_used = 0;
    session->resend_index = 0;
    session->congested = false;
}

void mr_session_detach(struct mr_session *session) {
    session->link = NULL;
    session->quota_used = 0;
    session->resend_index = 0;
    session->congested = false;
    mr_session_trim(session);
}

void mr_session_trim(struct mr_session *session) {
    mr_items_trim(&session->inflight);
    mr_items_trim(&session->queue);
    if (session->received != NULL && session->received_count == 0) {
        mr_buf_unref(session->received);
        session->received = NULL;
    }
}

// ------------------------------------------------------------- acknowledgements

// The item in flight with `packet_id`, if it is in `state` and has `qos`.
static bool find_inflight(const struct mr_session *session, uint16_t packet_id, uint8_t state,
                          uint8_t qos, uint32_t *index_out) {
    if (packet_id == 0) {
        return false;
    }
    uint32_t index = ((uint32_t)packet_id + MR_PACKET_IDS - session->front_packet_id) % MR_PACKET_IDS;
    if (index >= session->inflight.count) {
        return false;
    }
    const struct mr_item *item = mr_items_at(&session->inflight, index);
    *index_out = index;
    return item->state == state && item->qos == qos;
}

bool mr_session_puback(struct mr_session *session, uint16_t packet_id) {
    uint32_t index;
    if (!find_inflight(session, packet_id, MR_ITEM_AWAIT_ACK, 1, &index)) {
        return false;
    }
    mr_inflight_finish(session, index);
    return true;
}

bool mr_session_pubrec(struct mr_session *session, uint16_t packet_id, bool failed) {
    uint32_t index;
    if (find_inflight(session, packet_id, MR_ITEM_AWAIT_PUBCOMP, 2, &index)) {
        // A second PUBREC: the first PUBREL got lost on the client's side, say it again.
        return true;
    }
    if (!find_inflight(session, packet_id, MR_ITEM_AWAIT_ACK, 2, &index)) {
        return false;
    }
    if (failed) {
        mr_inflight_finish(session, index);
        return true;
    }
    struct mr_item *item = mr_items_at(&session->inflight, index);
    uint64_t bytes = mr_message_bytes(item->message);
    session->inflight_bytes -= bytes;
    mr_count_sub(&session->env->counters->queued_messages, 1);
    mr_count_sub(&session->env->counters->queued_bytes, bytes);
    mr_item_release(item);
    item->flags &= (uint8_t)~MR_ITEM_SHARED;  // Delivered: nobody else may get it any more.
    item->state = MR_ITEM_AWAIT_PUBCOMP;
    return true;
}

bool mr_session_pubcomp(struct mr_session *session, uint16_t packet_id) {
    uint32_t index;
    if (!find_inflight(session, packet_id, MR_ITEM_AWAIT_PUBCOMP, 2, &index)) {
        return false;
    }
    mr_inflight_finish(session, index);
    return true;
}

// ------------------------------------------------------------ QoS 2, towards us

#define RECEIVED_FIRST 16u

static uint16_t *received_ids(const struct mr_session *session) {
    return (uint16_t *)(void *)session->received->data;
}

// Position of `packet_id`, or received_count. The oldest comes first: that is where a PUBREL
// nearly always finds it.
static uint32_t find_received(const struct mr_session *session, uint16_t packet_id) {
    uint32_t i = 0;
    while (i < session->received_count && received_ids(session)[i] != packet_id) {
        i++;
    }
    return i;
}

bool mr_session_has_received(const struct mr_session *session, uint16_t packet_id) {
    return find_received(session, packet_id) < session->received_count;
}

enum mr_receive mr_session_receive(struct mr_session *session, uint16_t packet_id,
                                   uint16_t count_max) {
    if (mr_session_has_received(session, packet_id)) {
        return MR_RECEIVE_DUPLICATE;
    }
    if (session->received_count >= count_max) {
        return MR_RECEIVE_FULL;
    }
    uint32_t capacity =
        session->received == NULL ? 0 : session->received->capacity / (uint32_t)sizeof(uint16_t);
    if (session->received_count == capacity) {
        size_t wanted = (capacity < RECEIVED_FIRST ? RECEIVED_FIRST : capacity * 2u);
        struct mr_buf *buf = mr_buf_new(session->env->pool, wanted * sizeof(uint16_t));
        if (buf == NULL) {
            return MR_RECEIVE_NO_MEMORY;
        }
        if (session->received != NULL) {
            memcpy(buf->data, session->received->data, capacity * sizeof(uint16_t));
            mr_buf_unref(session->received);
        }
        session->received = buf;
    }
    received_ids(session)[session->received_count++] = packet_id;
    return MR_RECEIVE_NEW;
}

bool mr_session_release(struct mr_session *session, uint16_t packet_id) {
    uint32_t i = find_received(session, packet_id);
    if (i == session->received_count) {
        return false;
    }
    session->received_count--;
    memmove(&received_ids(session)[i], &received_ids(session)[i + 1],
            (session->received_count - i) * sizeof(uint16_t));
    return true;
}

// --------------------------------------------------------- shared subscriptions

static bool is_takeable(const struct mr_item *item, const struct mr_trie_node *node) {
    return (item->flags & MR_ITEM_SHARED) != 0 && item->message != NULL &&
           (node == NULL || item->of.node == node);
}

void mr_session_take_shared(struct mr_session *session, struct mr_trie_node *node, bool inflight,
                            bool (*fn)(void *ctx, struct mr_trie_node *node,
                                       struct mr_message *message),
                            void *ctx) {
    struct mr_counters *counters = session->env->counters;
    for (uint32_t i = 0; inflight && i < session->inflight.count;) {
        struct mr_item *item = mr_items_at(&session->inflight, i);
        if (item->state != MR_ITEM_AWAIT_ACK || item->qos != 1 || !is_takeable(item, node)) {
            i++;
            continue;
        }
        struct mr_message *message = mr_message_ref(item->message);
        if (!fn(ctx, item->of.node, message)) {
            mr_message_unref(message);
            return;
        }
        mr_count(&counters->shared_redelivered);
        mr_inflight_finish(session, i);
        // At the front, finishing moved the rest up; elsewhere its place is kept.
        i += i > 0;
    }
    for (uint32_t i = 0; i < session->queue.count;) {
        struct mr_item *item = mr_items_at(&session->queue, i);
        if (!is_takeable(item, node)) {
            i++;
            continue;
        }
        struct mr_message *message = mr_message_ref(item->message);
        if (!fn(ctx, item->of.node, message)) {
            mr_message_unref(message);
            return;
        }
        mr_count(&counters->shared_redelivered);
        mr_count_sub(&counters->queued_messages, 1);
        mr_count_sub(&counters->queued_bytes, mr_message_bytes(message));
        session->queued_count--;
        session->queued_bytes -= mr_message_bytes(message);
        mr_item_release(item);
        mr_items_remove(&session->queue, i);
    }
}
