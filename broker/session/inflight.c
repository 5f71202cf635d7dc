// Deliveries of QoS 1 and 2 in flight: packet identifiers, send quota, acknowledgements.
#include "broker/session/internal.h"

// A PUBREL without reason code.
#define PUBREL_BYTES 4u

// How many messages may be in flight on the session's connection.
static uint32_t window_of(const struct mr_session *session) {
    uint32_t window = session->env->inflight_messages_max;
    if (window == 0 || window > session->link->receive_max) {
        window = session->link->receive_max;
    }
    return window;
}

bool mr_inflight_is_open(const struct mr_session *session, uint64_t message_bytes) {
    uint32_t window = window_of(session);
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

bool mr_outbox_is_open(const struct mr_session *session) {
    return mr_chain_bytes(session->link->out) < session->env->outbox_bytes;
}

static uint16_t packet_id_at(const struct mr_session *session, uint32_t index) {
    return (uint16_t)((session->front_packet_id - 1u + index) % MR_PACKET_IDS + 1u);
}

bool mr_inflight_add(struct mr_session *session, const struct mr_item *item) {
    MR_DEBUG_ASSERT(session->resend_index == session->inflight.count);
    MR_DEBUG_ASSERT(item->state == MR_ITEM_WAITING);
    if (mr_items_push(&session->inflight, session->env->pool, item) != MR_OK) {
        return false;
    }
    session->inflight_bytes += mr_message_bytes(item->message);
    return true;
}

// What is done needs no sending: so the item at resend_index, if there is one, is always one
// that has to be sent.
static void skip_done(struct mr_session *session) {
    while (session->resend_index < session->inflight.count &&
           mr_items_at(&session->inflight, session->resend_index)->state == MR_ITEM_DONE) {
        session->resend_index++;
    }
}

// The item at resend_index was sent.
static void sent(struct mr_session *session) {
    session->resend_index++;
    session->quota_used++;
    skip_done(session);
}

// Forgets the message of an item in flight.
static void let_go(struct mr_session *session, struct mr_item *item) {
    if (item->message != NULL) {
        session->inflight_bytes -= mr_message_bytes(item->message);
        mr_session_count_freed(session, item->message);
    }
    mr_item_release(item);
    // From here on nobody else may get it.
    item->flags &= (uint8_t)~MR_ITEM_SHARED;
}

void mr_inflight_finish(struct mr_session *session, uint32_t index) {
    struct mr_item *item = mr_items_at(&session->inflight, index);
    bool unsent = item->state == MR_ITEM_WAITING;
    let_go(session, item);
    item->state = MR_ITEM_DONE;
    if (index < session->resend_index) {
        session->quota_used--;
    }
    if (unsent) {
        // The last one, and its identifier was never seen: the next message takes it.
        MR_DEBUG_ASSERT(index == session->inflight.count - 1);
        session->inflight.count--;
    }
    while (session->inflight.count > 0 &&
           mr_items_at(&session->inflight, 0)->state == MR_ITEM_DONE) {
        mr_items_pop(&session->inflight);
        session->front_packet_id = (uint16_t)(session->front_packet_id % MR_PACKET_IDS + 1u);
        if (session->resend_index > 0) {
            session->resend_index--;
        }
    }
    skip_done(session);
}

enum mr_transmit mr_inflight_send(struct mr_session *session, struct mr_outgoing *outgoing,
                                  const struct mr_grant *grant) {
    uint32_t index = session->resend_index;
    struct mr_item *item = mr_items_at(&session->inflight, index);
    bool again = item->state != MR_ITEM_WAITING;
    enum mr_transmit result =
        mr_session_transmit(session, outgoing, grant, packet_id_at(session, index), again);
    if (MR_LIKELY(result == MR_TRANSMIT_DONE)) {
        item->state = MR_ITEM_AWAIT_ACK;
        sent(session);
    } else if (result == MR_TRANSMIT_TOO_LARGE) {
        mr_inflight_finish(session, index);
    } else {
        mr_link_fail(session->link, MR_LINK_NO_MEMORY);
    }
    return result;
}

// ------------------------------------------------------------------ a new connection

static bool resend_pubrel(struct mr_session *session) {
    struct mr_ack pubrel = {.packet_id = packet_id_at(session, session->resend_index),
                            .reason = MR_REASON_SUCCESS};
    uint8_t *room = mr_chain_reserve(session->link->out, session->env->pool, PUBREL_BYTES);
    if (room == NULL) {
        mr_link_fail(session->link, MR_LINK_NO_MEMORY);
        return false;
    }
    mr_chain_commit(session->link->out, mr_ack_encode((enum mr_version)session->link->version,
                                                      MR_PUBREL, &pubrel, room, PUBREL_BYTES));
    mr_count(&session->env->counters->packets_sent);
    sent(session);
    return true;
}

static bool resend_publish(struct mr_session *session, const struct mr_item *item) {
    struct mr_outgoing outgoing;
    struct mr_publish packet;
    uint32_t id;
    mr_outgoing_init_message(&outgoing, &session->env->scratch, item->message, session->env->now_ms,
                             &packet);
    struct mr_grant grant = mr_session_grant_of(session, item, &id);
    enum mr_transmit result = mr_inflight_send(session, &outgoing, &grant);
    mr_outgoing_fini(&outgoing);
    return result != MR_TRANSMIT_NO_MEMORY;
}

void mr_inflight_resend(struct mr_session *session) {
    bool going = true;
    while (going && session->resend_index < session->inflight.count && mr_outbox_is_open(session) &&
           session->quota_used < window_of(session)) {
        const struct mr_item *item = mr_items_at(&session->inflight, session->resend_index);
        going = item->state == MR_ITEM_AWAIT_PUBCOMP ? resend_pubrel(session)
                                                     : resend_publish(session, item);
    }
}

// ------------------------------------------------------------------ acknowledgements

// The index in flight of `packet_id`, if it is in `state` and has `qos`.
static bool find(const struct mr_session *session, uint16_t packet_id, uint8_t state, uint8_t qos,
                 uint32_t *index_out) {
    if (packet_id == 0) {
        return false;
    }
    uint32_t index =
        ((uint32_t)packet_id + MR_PACKET_IDS - session->front_packet_id) % MR_PACKET_IDS;
    if (index >= session->inflight.count) {
        return false;
    }
    const struct mr_item *item = mr_items_at(&session->inflight, index);
    *index_out = index;
    return item->state == state && item->qos == qos;
}

bool mr_session_puback(struct mr_session *session, uint16_t packet_id) {
    uint32_t index;
    if (!find(session, packet_id, MR_ITEM_AWAIT_ACK, 1, &index)) {
        return false;
    }
    mr_inflight_finish(session, index);
    return true;
}

bool mr_session_pubrec(struct mr_session *session, uint16_t packet_id, bool failed) {
    uint32_t index;
    bool first = find(session, packet_id, MR_ITEM_AWAIT_ACK, 2, &index);
    if (!first && !find(session, packet_id, MR_ITEM_AWAIT_PUBCOMP, 2, &index)) {
        return false;
    }
    if (failed) {
        mr_inflight_finish(session, index);
    } else if (first) {
        struct mr_item *item = mr_items_at(&session->inflight, index);
        let_go(session, item);
        item->state = MR_ITEM_AWAIT_PUBCOMP;
    }
    // A second PUBREC is answered like the first: the client seems to miss the PUBREL.
    return true;
}

bool mr_session_pubcomp(struct mr_session *session, uint16_t packet_id) {
    uint32_t index;
    if (!find(session, packet_id, MR_ITEM_AWAIT_PUBCOMP, 2, &index)) {
        return false;
    }
    mr_inflight_finish(session, index);
    return true;
}
