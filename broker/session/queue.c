// Deliveries that wait: limits, and what happens at them.
#include "broker/limits.h"
#include "broker/session/internal.h"

void mr_queue_account(struct mr_session *session, const struct mr_item *item, bool in) {
    if (item->flags & MR_ITEM_REPLAY) {
        return;
    }
    uint64_t bytes = mr_message_bytes(item->message);
    session->queued_count += in ? 1u : UINT32_MAX;
    session->queued_bytes += in ? bytes : 0 - bytes;
}

void mr_queue_move_front(struct mr_session *session) {
    mr_queue_account(session, mr_items_at(&session->queue, 0), false);
    mr_items_pop(&session->queue);
}

static void release(struct mr_session *session, struct mr_item *item) {
    mr_queue_account(session, item, false);
    mr_session_count_freed(session, item->message);
    mr_item_release(item);
}

void mr_queue_drop_front(struct mr_session *session) {
    release(session, mr_items_at(&session->queue, 0));
    mr_items_pop(&session->queue);
}

// Drops the waiting deliveries for which `keep` says false; returns how many.
static uint32_t drop_unless(struct mr_session *session,
                            bool (*keep)(void *ctx, const struct mr_item *item), void *ctx) {
    uint32_t kept = 0;
    uint32_t count = session->queue.count;
    for (uint32_t i = 0; i < count; i++) {
        struct mr_item *item = mr_items_at(&session->queue, i);
        if (keep(ctx, item)) {
            *mr_items_at(&session->queue, kept++) = *item;
        } else {
            release(session, item);
        }
    }
    session->queue.count = kept;
    return count - kept;
}

static bool is_above_qos0(void *ctx, const struct mr_item *item) {
    (void)ctx;
    return item->qos > 0;
}

void mr_queue_drop_qos0(struct mr_session *session) {
    uint32_t dropped = drop_unless(session, is_above_qos0, NULL);
    mr_count_add(&session->env->counters->dropped_offline, dropped);
}

struct rights {
    bool (*keep)(void *ctx, struct mr_slice topic);
    void *ctx;
};

static bool is_allowed(void *ctx, const struct mr_item *item) {
    const struct rights *rights = ctx;
    return rights->keep(rights->ctx, mr_message_topic(item->message));
}

void mr_session_drop_waiting(struct mr_session *session,
                             bool (*keep)(void *ctx, struct mr_slice topic), void *ctx) {
    struct rights rights = {keep, ctx};
    uint32_t dropped = drop_unless(session, is_allowed, &rights);
    mr_count_add(&session->env->counters->dropped_denied, dropped);
}

// Is there no room for another message of `bytes`, even beyond the limits by so much? A message
// that is larger than the limit in bytes may wait alone.
static bool is_full_beyond(const struct mr_session *session, uint64_t bytes, uint64_t more_messages,
                           uint64_t more_bytes) {
    const struct mr_session_env *env = session->env;
    if (env->queued_messages_max != 0 &&
        session->queued_count >= env->queued_messages_max + more_messages) {
        return true;
    }
    return env->queued_bytes_max != 0 && session->queued_count > 0 &&
           session->queued_bytes + bytes > env->queued_bytes_max + more_bytes;
}

static bool is_full(const struct mr_session *session, uint64_t bytes) {
    return is_full_beyond(session, bytes, 0, 0);
}

bool mr_queue_is_eased(const struct mr_session *session) {
    const struct mr_session_env *env = session->env;
    return (env->queued_messages_max == 0 ||
            session->queued_count <= env->queued_messages_max / 2) &&
           (env->queued_bytes_max == 0 || session->queued_bytes <= env->queued_bytes_max / 2);
}

// Removes the oldest waiting delivery that counts; there is one.
static void drop_oldest(struct mr_session *session) {
    for (uint32_t i = 0; i < session->queue.count; i++) {
        struct mr_item *item = mr_items_at(&session->queue, i);
        if ((item->flags & MR_ITEM_REPLAY) == 0) {
            release(session, item);
            mr_items_remove(&session->queue, i);
            mr_count(&session->env->counters->dropped_oldest);
            return;
        }
    }
}

// Makes room according to the policy. False: the new delivery is to be dropped.
static bool make_room(struct mr_session *session, uint64_t bytes, bool droppable) {
    struct mr_session_env *env = session->env;
    // What nobody will get any more must not cost a newer one its place.
    while (is_full(session, bytes) && session->queue.count > 0 &&
           mr_message_expired(mr_items_at(&session->queue, 0)->message, env->now_ms)) {
        mr_queue_drop_front(session);
        mr_count(&env->counters->dropped_expired);
    }
    if (MR_LIKELY(!is_full(session, bytes))) {
        return true;
    }
    bool online = session->link != NULL;
    if (env->slow_policy == MR_SLOW_DROP_OLDEST) {
        while (session->queued_count > 0 && is_full(session, bytes)) {
            drop_oldest(session);
        }
        return true;
    }
    if (env->slow_policy == MR_SLOW_BACKPRESSURE && online) {
        // What is under way when the publishers are told to wait still gets in. Of those who can't
        // be told to wait there would be no end.
        session->congested = true;
        if (!droppable &&
            !is_full_beyond(session, bytes, MR_CONGESTED_MESSAGES_MAX, MR_CONGESTED_BYTES_MAX)) {
            return true;
        }
    }
    if (env->slow_policy == MR_SLOW_DISCONNECT && online && !session->catching_up) {
        mr_link_fail(session->link, MR_LINK_TOO_SLOW);
    }
    mr_count(&env->counters->dropped_queue_full);
    return false;
}

void mr_queue_add(struct mr_session *session, struct mr_outgoing *outgoing,
                  const struct mr_grant *grant) {
    struct mr_session_env *env = session->env;
    if (!grant->replay && !make_room(session, mr_outgoing_bytes(outgoing), outgoing->droppable)) {
        return;
    }
    struct mr_message *message = mr_outgoing_message(outgoing);
    struct mr_item item;
    if (message != NULL && mr_session_item_of(session, grant, &item)) {
        item.message = mr_message_ref(message);
        if (mr_items_push(&session->queue, env->pool, &item) == MR_OK) {
            mr_queue_account(session, &item, true);
            mr_session_count_held(session, message);
            return;
        }
        mr_item_release(&item);
    }
    mr_count(&env->counters->dropped_no_memory);
    if (grant->qos > 0 && session->link != NULL) {
        mr_link_fail(session->link, MR_LINK_NO_MEMORY);
    }
}
