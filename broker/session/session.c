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
    for (uint32_t i = 0; i < items->count; i++) {
        struct mr_item *item = mr_items_at(items, i);
        if (item->message != NULL) {
            mr_count(&session->env->counters->dropped_session_end);
            mr_session_count_freed(session, item->message);
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
    }
    mr_subscription_set_fini(&session->subscriptions);
    memset(session, 0, sizeof(*session));
}

static void forget_connection(struct mr_session *session) {
    session->quota_used = 0;
    session->resend_index = 0;
    session->congested = false;
}

void mr_session_attach(struct mr_session *session, struct mr_link *link) {
    link->failed = MR_LINK_OK;
    session->link = link;
    // The send quota starts anew with each connection [MQTT-4.9.0-1].
    forget_connection(session);
    session->catching_up = !mr_queue_is_eased(session);
}

void mr_session_detach(struct mr_session *session) {
    session->link = NULL;
    forget_connection(session);
    if (!session->env->queue_qos0_messages) {
        mr_queue_drop_qos0(session);
    }
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
