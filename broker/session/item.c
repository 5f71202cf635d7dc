// Between a grant, which says how to deliver now, and an item, which keeps that for later.
#include <string.h>

#include "broker/session/internal.h"

bool mr_session_item_of(struct mr_session *session, const struct mr_grant *grant,
                        struct mr_item *item) {
    item->message = NULL;
    item->of.node = NULL;
    item->qos = grant->qos;
    item->state = MR_ITEM_WAITING;
    item->flags =
        (uint8_t)((grant->retain ? MR_ITEM_RETAIN : 0) | (grant->replay ? MR_ITEM_REPLAY : 0));
    if (grant->node != NULL) {
        item->flags |= MR_ITEM_SHARED;
        item->of.node = grant->node;
        return true;
    }
    if (grant->id_count <= 1) {
        item->of.id = grant->id_count == 1 ? grant->ids[0] : 0;
        return true;
    }
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
    return true;
}

struct mr_grant mr_session_grant_of(const struct mr_session *session, const struct mr_item *item,
                                    uint32_t *id_room) {
    struct mr_grant grant = {.qos = item->qos,
                             .retain = (item->flags & MR_ITEM_RETAIN) != 0,
                             .replay = (item->flags & MR_ITEM_REPLAY) != 0,
                             .ids = id_room};
    *id_room = 0;
    if (item->flags & MR_ITEM_SHARED) {
        struct mr_subscription subscription;
        grant.node = item->of.node;
        if (mr_trie_node_get(item->of.node, session->subscriber, &subscription)) {
            *id_room = subscription.subscription_id;
        }
    } else if (item->flags & MR_ITEM_MANY_IDS) {
        grant.ids = item->of.ids->ids;
        grant.id_count = (uint16_t)item->of.ids->count;
        return grant;
    } else {
        *id_room = item->of.id;
    }
    grant.id_count = *id_room != 0;
    return grant;
}

void mr_session_count_held(struct mr_session *session, const struct mr_message *message) {
    mr_count(&session->env->counters->queued_messages);
    mr_count_add(&session->env->counters->queued_bytes, mr_message_bytes(message));
}

void mr_session_count_freed(struct mr_session *session, const struct mr_message *message) {
    mr_count_sub(&session->env->counters->queued_messages, 1);
    mr_count_sub(&session->env->counters->queued_bytes, mr_message_bytes(message));
}
