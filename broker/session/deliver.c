// Deliveries: sent at once, waiting, sent later, dropped.
#include "broker/session/internal.h"

bool mr_session_is_backlogged(const struct mr_session *session) {
    return session->queue.count > 0 || session->resend_index < session->inflight.count;
}

static bool deliver_qos0(struct mr_session *session, struct mr_outgoing *outgoing,
                         const struct mr_grant *grant) {
    enum mr_transmit result = mr_session_transmit(session, outgoing, grant, 0, false);
    if (MR_UNLIKELY(result == MR_TRANSMIT_NO_MEMORY)) {
        mr_count(&session->env->counters->dropped_no_memory);
    }
    return result == MR_TRANSMIT_DONE;
}

static bool deliver_inflight(struct mr_session *session, struct mr_outgoing *outgoing,
                             const struct mr_grant *grant) {
    struct mr_message *message = mr_outgoing_message(outgoing);
    struct mr_item item;
    if (message != NULL && mr_session_item_of(session, grant, &item)) {
        item.message = mr_message_ref(message);
        if (MR_LIKELY(mr_inflight_add(session, &item))) {
            mr_session_count_held(session, message);
            return mr_inflight_send(session, outgoing, grant) == MR_TRANSMIT_DONE;
        }
        mr_item_release(&item);
    }
    mr_count(&session->env->counters->dropped_no_memory);
    mr_link_fail(session->link, MR_LINK_NO_MEMORY);
    return false;
}

// To a session that can't be written to now, or whose connection is about to be closed: nothing
// may follow what could not be written.
static void deliver_later(struct mr_session *session, struct mr_outgoing *outgoing,
                          const struct mr_grant *grant) {
    if (grant->qos == 0 && !session->env->queue_qos0_messages) {
        mr_count(&session->env->counters->dropped_offline);
        return;
    }
    mr_queue_add(session, outgoing, grant);
}

bool mr_session_deliver(struct mr_session *session, struct mr_outgoing *outgoing,
                        const struct mr_grant *given) {
    struct mr_grant grant = *given;
    if (!session->env->upgrade_outgoing_qos && outgoing->packet->qos < grant.qos) {
        grant.qos = outgoing->packet->qos;
    }
    if (MR_UNLIKELY(session->link == NULL || session->link->failed != MR_LINK_OK)) {
        deliver_later(session, outgoing, &grant);
        return false;
    }
    if (MR_LIKELY(!mr_session_is_backlogged(session) && mr_outbox_is_open(session))) {
        if (grant.qos == 0) {
            return deliver_qos0(session, outgoing, &grant);
        }
        if (mr_inflight_is_open(session, mr_outgoing_bytes(outgoing))) {
            return deliver_inflight(session, outgoing, &grant);
        }
    }
    mr_queue_add(session, outgoing, &grant);
    return false;
}

bool mr_session_deliver_run(struct mr_session *session, const struct mr_run *run,
                            const struct mr_grant *grant) {
    if (session->link == NULL || session->link->failed != MR_LINK_OK ||
        mr_session_is_backlogged(session) || !mr_outbox_is_open(session) ||
        (grant->qos > 0 && session->env->upgrade_outgoing_qos)) {
        return false;
    }
    return mr_session_transmit_run(session, run, grant);
}

// Sends the first waiting delivery, which is `outgoing`. False if it must go on waiting.
static bool send_front(struct mr_session *session, struct mr_outgoing *outgoing) {
    struct mr_item item = *mr_items_at(&session->queue, 0);
    uint32_t id;
    struct mr_grant grant = mr_session_grant_of(session, &item, &id);
    if (item.qos > 0) {
        if (mr_inflight_add(session, &item)) {
            mr_queue_move_front(session);
            return mr_inflight_send(session, outgoing, &grant) != MR_TRANSMIT_NO_MEMORY;
        }
    } else if (mr_session_transmit(session, outgoing, &grant, 0, false) != MR_TRANSMIT_NO_MEMORY) {
        mr_queue_drop_front(session);
        return true;
    }
    // It stays for the next connection: this one would have to wait for something to happen.
    mr_link_fail(session->link, MR_LINK_NO_MEMORY);
    return false;
}

// False if the queue's front must go on waiting.
static bool pump_front(struct mr_session *session) {
    struct mr_session_env *env = session->env;
    const struct mr_item *front = mr_items_at(&session->queue, 0);
    if (mr_message_expired(front->message, env->now_ms)) {
        mr_count(&env->counters->dropped_expired);
        mr_queue_drop_front(session);
        return true;
    }
    if (front->qos > 0 && !mr_inflight_is_open(session, mr_message_bytes(front->message))) {
        return false;
    }
    struct mr_outgoing outgoing;
    struct mr_publish packet;
    mr_outgoing_init_message(&outgoing, &env->scratch, front->message, env->now_ms, &packet);
    bool sent = send_front(session, &outgoing);
    mr_outgoing_fini(&outgoing);
    return sent;
}

bool mr_session_pump(struct mr_session *session) {
    if (session->link == NULL || session->link->failed != MR_LINK_OK) {
        return false;
    }
    uint64_t before = mr_chain_bytes(session->link->out);
    mr_inflight_resend(session);
    while (session->queue.count > 0 && session->resend_index == session->inflight.count &&
           mr_outbox_is_open(session) && pump_front(session)) {
    }
    if ((session->congested || session->catching_up) && mr_queue_is_eased(session)) {
        session->congested = false;
        session->catching_up = false;
    }
    return mr_chain_bytes(session->link->out) > before;
}
