// Deliveries: sent at once, waiting, sent later, dropped.
#include <string.h>

#include "broker/session/internal.h"

uint32_t mr_session_window(const struct mr_session *session) {
    uint32_t window = session->env->inflight_messages_max;
    if (session->link != NULL && session->link->receive_max < window) {
        window = session->link->receive_max;
    }
    return window;
}

static bool window_open(const struct mr_session *session, uint64_t message_bytes) {
    uint32_t window = mr_session_window(session);
    uint32_t span = window * MR_INFLIGHT_SPAN_FACTOR;
    if (span < MR_INFLIGHT_SPAN_MIN) {
        span = MR_INFLIGHT_SPAN_MIN;
    }
    if (span > MR_PACKET_IDS) {
        span = MR_PACKET_IDS;
    }
    if (session->quota_used >= window || session->inflight.count >= span) {
        return false;
    }
    uint64_t bytes_max = session->env->inflight_bytes_max;
    return bytes_max == 0 || session->inflight_bytes == 0 ||
           session->inflight_bytes + message_bytes <= bytes_max;
}

static bool outbox_open(const struct mr_session *session) {
    return mr_chain_bytes(session->link->out) < session->env->outbox_bytes;
}

bool mr_session_is_backlogged(const struct mr_session *session) {
    return session->queue.count > 0 || session->resend_index < session->inflight.count;
}

// ------------------------------------------------------------------ bookkeeping

static void count_held(struct mr_session *session, const struct mr_message *message) {
    mr_count(&session->env->counters->queued_messages);
    mr_count_add(&session->env->counters->queued_bytes, mr_message_bytes(message));
}

static void count_freed(struct mr_session *session, const struct mr_message *message) {
    mr_count_sub(&session->env->counters->queued_messages, 1);
    mr_count_sub(&session->env->counters->queued_bytes, mr_message_bytes(message));
}

static void queue_counts(struct mr_session *session, const struct mr_item *item, bool in) {
    if (item->flags & MR_ITEM_REPLAY) {
        return;
    }
    uint64_t bytes = mr_message_bytes(item->message);
    session->queued_count += in ? 1u : UINT32_MAX;
    session->queued_bytes += in ? bytes : 0 - bytes;
}

static struct mr_grant grant_of(const struct mr_session *session, const struct mr_item *item,
                                uint32_t *id_room) {
    struct mr_grant grant = {item->qos, (item->flags & MR_ITEM_RETAIN) != 0,
                             (item->flags & MR_ITEM_REPLAY) != 0, 0, id_room, NULL};
    if (item->flags & MR_ITEM_SHARED) {
        struct mr_subscription subscription;
        grant.node = item->of.node;
        if (mr_trie_node_get(item->of.node, session->subscriber, &subscription)) {
            *id_room = subscription.subscription_id;
            grant.id_count = subscription.subscription_id != 0;
        }
    } else if (item->flags & MR_ITEM_MANY_IDS) {
        grant.ids = item->of.ids->ids;
        grant.id_count = (uint16_t)item->of.ids->count;
    } else {
        *id_room = item->of.id;
        grant.id_count = item->of.id != 0;
    }
    return grant;
}

static bool item_of(struct mr_session *session, const struct mr_grant *grant,
                    struct mr_item *item) {
    item->message = NULL;
    item->of.node = NULL;
    item->qos = grant->qos;
    item->state = MR_ITEM_WAITING;
    item->flags = (uint8_t)((grant->retain ? MR_ITEM_RETAIN : 0) |
                            (grant->replay ? MR_ITEM_REPLAY : 0));
    if (grant->node != NULL) {
        item->flags |= MR_ITEM_SHARED;
        item->of.node = grant->node;
    } else if (grant->id_count > 1) {
        size_t ids_bytes = grant->id_count * sizeof(uint32_t);
        struct mr_buf *buf = mr_buf_new(session->env->pool, sizeof(struct mr_item_ids) + ids_bytes);
        if (buf == NULL) {
            return false;
        }
        item->of.ids = (struct mr_item_ids *)(void *)buf->data;
        item->of.ids->buf = buf;
        item->of.ids->count = grant->id_count;
        memcpy(item->of.ids->ids, grant->ids, ids_bytes);
        item->flags |= MR_ITEM_MANY_IDS;
    } else if (grant->id_count == 1) {
        item->of.id = grant->ids[0];
    }
    return true;
}

// -------------------------------------------------------------------- in flight

void mr_inflight_finish(struct mr_session *session, uint32_t index) {
    struct mr_item *item = mr_items_at(&session->inflight, index);
    if (item->message != NULL) {
        session->inflight_bytes -= mr_message_bytes(item->message);
        count_freed(session, item->message);
    }
    mr_item_release(item);
    item->state = MR_ITEM_DONE;
    if (index < session->resend_index) {
        session->quota_used--;
    }
    while (session->inflight.count > 0 &&
           mr_items_at(&session->inflight, 0)->state == MR_ITEM_DONE) {
        mr_items_pop(&session->inflight);
        session->front_packet_id = (uint16_t)(session->front_packet_id % MR_PACKET_IDS + 1u);
        if (session->resend_index > 0) {
            session->resend_index--;
        }
    }
}

// Puts `item` (complete, with its message) in flight and writes it. On NO_MEMORY and
// TOO_LARGE nothing has changed and the caller still owns the item.
static enum mr_transmit send_new(struct mr_session *session, struct mr_outgoing *outgoing,
                                 const struct mr_grant *grant, struct mr_item *item) {
    item->state = MR_ITEM_AWAIT_ACK;
    if (mr_items_push(&session->inflight, session->env->pool, item) != MR_OK) {
        return MR_TRANSMIT_NO_MEMORY;
    }
    uint16_t packet_id = mr_inflight_packet_id(session, session->inflight.count - 1);
    enum mr_transmit result = mr_session_transmit(session, outgoing, grant, packet_id, false);
    if (result != MR_TRANSMIT_DONE) {
        session->inflight.count--;
        return result;
    }
    session->resend_index = session->inflight.count;
    session->quota_used++;
    session->inflight_bytes += mr_message_bytes(item->message);
    return MR_TRANSMIT_DONE;
}

// ------------------------------------------------------------------ the queue

static void drop_front(struct mr_session *session) {
    struct mr_item *item = mr_items_at(&session->queue, 0);
    queue_counts(session, item, false);
    count_freed(session, item->message);
    mr_item_release(item);
    mr_items_pop(&session->queue);
}

static bool queue_full(const struct mr_session *session, uint64_t bytes) {
    const struct mr_session_env *env = session->env;
    return (env->queued_messages_max != 0 && session->queued_count >= env->queued_messages_max) ||
           (env->queued_bytes_max != 0 && session->queued_count > 0 &&
            session->queued_bytes + bytes > env->queued_bytes_max);
}

// Removes the oldest waiting delivery that counts. False if there is none.
static bool drop_oldest(struct mr_session *session) {
    for (uint32_t i = 0; i < session->queue.count; i++) {
        struct mr_item *item = mr_items_at(&session->queue, i);
        if (item->flags & MR_ITEM_REPLAY) {
            continue;
        }
        queue_counts(session, item, false);
        count_freed(session, item->message);
        mr_item_release(item);
        mr_items_remove(&session->queue, i);
        mr_count(&session->env->counters->dropped_oldest);
        return true;
    }
    return false;
}

// Makes room according to the policy. False: the new delivery is to be dropped.
static bool make_room(struct mr_session *session, uint64_t bytes) {
    if (!queue_full(session, bytes)) {
        return true;
    }
    struct mr_session_env *env = session->env;
    bool online = session->link != NULL;
    if (env->slow_policy == MR_SLOW_DROP_OLDEST) {
        while (queue_full(session, bytes) && drop_oldest(session)) {
        }
        return !queue_full(session, bytes);
    }
    if (env->slow_policy == MR_SLOW_BACKPRESSURE && online) {
        // What is under way when the publishers are told to wait still gets in, within reason.
        session->congested = true;
        return env->queued_messages_max == 0 ||
               session->queued_count < 2 * env->queued_messages_max;
    }
    if (env->slow_policy == MR_SLOW_DISCONNECT && online) {
        session->link->failed = MR_LINK_TOO_SLOW;
    }
    mr_count(&env->counters->dropped_queue_full);
    return false;
}

static void enqueue(struct mr_session *session, struct mr_outgoing *outgoing,
                    const struct mr_grant *grant) {
    struct mr_session_env *env = session->env;
    uint64_t bytes = (uint64_t)outgoing->packet->topic.len + outgoing->packet->payload.len +
                     outgoing->packet->properties_raw.len;
    if (!grant->replay && !make_room(session, bytes)) {
        return;
    }
    struct mr_message *message = mr_outgoing_message(outgoing);
    struct mr_item item;
    if (message != NULL && item_of(session, grant, &item)) {
        item.message = mr_message_ref(message);
        if (mr_items_push(&session->queue, env->pool, &item) == MR_OK) {
            queue_counts(session, &item, true);
            count_held(session, message);
            return;
        }
        mr_item_release(&item);
    }
    mr_count(&env->counters->dropped_no_memory);
    if (grant->qos > 0 && session->link != NULL) {
        session->link->failed = MR_LINK_NO_MEMORY;
    }
}

// --------------------------------------------------------------------- delivery

static bool deliver_now(struct mr_session *session, struct mr_outgoing *outgoing,
                        const struct mr_grant *grant) {
    enum mr_transmit result;
    if (grant->qos == 0) {
        result = mr_session_transmit(session, outgoing, grant, 0, false);
        if (result == MR_TRANSMIT_NO_MEMORY) {
            mr_count(&session->env->counters->dropped_no_memory);
        }
        return result == MR_TRANSMIT_DONE;
    }
    struct mr_message *message = mr_outgoing_message(outgoing);
    struct mr_item item;
    if (message == NULL || !item_of(session, grant, &item)) {
        mr_count(&session->env->counters->dropped_no_memory);
        session->link->failed = MR_LINK_NO_MEMORY;
        return false;
    }
    item.message = mr_message_ref(message);
    result = send_new(session, outgoing, grant, &item);
    if (result == MR_TRANSMIT_DONE) {
        count_held(session, message);
        return true;
    }
    mr_item_release(&item);
    if (result == MR_TRANSMIT_NO_MEMORY) {
        mr_count(&session->env->counters->dropped_no_memory);
        session->link->failed = MR_LINK_NO_MEMORY;
    }
    return false;
}

bool mr_session_deliver(struct mr_session *session, struct mr_outgoing *outgoing,
                        const struct mr_grant *given) {
    struct mr_session_env *env = session->env;
    struct mr_grant grant = *given;
    if (!env->upgrade_outgoing_qos && outgoing->packet->qos < grant.qos) {
        grant.qos = outgoing->packet->qos;
    }
    if (session->link == NULL) {
        if (grant.qos == 0 && !env->queue_qos0_messages) {
            mr_count(&env->counters->dropped_offline);
            return false;
        }
        enqueue(session, outgoing, &grant);
        return false;
    }
    if (MR_UNLIKELY(session->link->failed != MR_LINK_OK)) {
        // Nothing may follow what could not be written; what must not be lost waits for the next
        // connection.
        if (grant.qos > 0) {
            enqueue(session, outgoing, &grant);
        }
        return false;
    }
    uint64_t bytes = (uint64_t)outgoing->packet->topic.len + outgoing->packet->payload.len;
    if (!mr_session_is_backlogged(session) && outbox_open(session) &&
        (grant.qos == 0 || window_open(session, bytes))) {
        return deliver_now(session, outgoing, &grant);
    }
    enqueue(session, outgoing, &grant);
    return false;
}

// Sends again what was in flight when the last connection ended.
static bool pump_resend(struct mr_session *session) {
    bool written = false;
    while (session->resend_index < session->inflight.count && outbox_open(session) &&
           session->quota_used < mr_session_window(session)) {
        uint32_t index = session->resend_index;
        struct mr_item *item = mr_items_at(&session->inflight, index);
        uint16_t packet_id = mr_inflight_packet_id(session, index);
        if (item->state == MR_ITEM_DONE) {
            session->resend_index++;
            continue;
        }
        if (item->state == MR_ITEM_AWAIT_PUBCOMP) {
            struct mr_ack pubrel = {.packet_id = packet_id, .reason = MR_REASON_SUCCESS};
            uint8_t *room = mr_chain_reserve(session->link->out, session->env->pool, 8);
            if (room == NULL) {
                session->link->failed = MR_LINK_NO_MEMORY;
                return written;
            }
            mr_chain_commit(session->link->out,
                            mr_ack_encode((enum mr_version)session->link->version, MR_PUBREL,
                                          &pubrel, room, 8));
            mr_count(&session->env->counters->packets_sent);
            session->resend_index++;
            session->quota_used++;
            written = true;
            continue;
        }
        struct mr_outgoing outgoing;
        struct mr_publish packet;
        uint32_t id;
        mr_outgoing_init_message(&outgoing, &session->env->scratch, item->message,
                                 session->env->now_ms, &packet);
        struct mr_grant grant = grant_of(session, item, &id);
        enum mr_transmit result =
            mr_session_transmit(session, &outgoing, &grant, packet_id, true);
        mr_outgoing_fini(&outgoing);
        if (result == MR_TRANSMIT_NO_MEMORY) {
            session->link->failed = MR_LINK_NO_MEMORY;
            return written;
        }
        session->resend_index++;
        session->quota_used++;
        written = true;
        if (result == MR_TRANSMIT_TOO_LARGE) {
            mr_inflight_finish(session, index);
        }
    }
    return written;
}

// Sends the first waiting delivery. False if it must go on waiting.
static bool pump_front(struct mr_session *session) {
    struct mr_session_env *env = session->env;
    struct mr_item *front = mr_items_at(&session->queue, 0);
    if (mr_message_expired(front->message, env->now_ms)) {
        mr_count(&env->counters->dropped_expired);
        drop_front(session);
        return true;
    }
    if (front->qos > 0 && !window_open(session, mr_message_bytes(front->message))) {
        return false;
    }
    struct mr_outgoing outgoing;
    struct mr_publish packet;
    uint32_t id;
    mr_outgoing_init_message(&outgoing, &env->scratch, front->message, env->now_ms, &packet);
    struct mr_item item = *front;
    struct mr_grant grant = grant_of(session, &item, &id);
    enum mr_transmit result = item.qos == 0
                                  ? mr_session_transmit(session, &outgoing, &grant, 0, false)
                                  : send_new(session, &outgoing, &grant, &item);
    mr_outgoing_fini(&outgoing);
    if (result == MR_TRANSMIT_NO_MEMORY) {
        // It stays and is tried again with the next acknowledgement or drained output, or by
        // the next connection.
        session->link->failed = MR_LINK_NO_MEMORY;
        return false;
    }
    front = mr_items_at(&session->queue, 0);
    if (result == MR_TRANSMIT_DONE && item.qos > 0) {
        queue_counts(session, front, false);  // The item itself moved to those in flight.
        mr_items_pop(&session->queue);
    } else {
        drop_front(session);
    }
    return true;
}

bool mr_session_pump(struct mr_session *session) {
    if (session->link == NULL || session->link->failed != MR_LINK_OK) {
        return false;
    }
    uint64_t before = mr_chain_bytes(session->link->out);
    pump_resend(session);
    while (session->queue.count > 0 && session->resend_index == session->inflight.count &&
           session->link->failed == MR_LINK_OK && outbox_open(session) && pump_front(session)) {
    }
    if (session->congested && (session->env->queued_messages_max == 0 ||
                               session->queued_count <= session->env->queued_messages_max / 2)) {
        session->congested = false;
    }
    return mr_chain_bytes(session->link->out) > before;
}
