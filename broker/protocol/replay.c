// Retained messages for a new subscription: sent piece by piece as the client takes them, so that
// neither the broker's memory nor other clients notice how many there are.
#include <stdlib.h>
#include <string.h>

#include "broker/protocol/client.h"

// Retained messages that wait in the session at once.
#define REPLAY_WAITING_MAX 64u
// One call's share, so that others get their turn: a batch costs a search, which is a single step
// where the filter has no wildcard.
#define REPLAY_STEPS_MAX 256u
#define REPLAY_SEARCH_STEPS 16u

enum mr_err mr_replay_start(struct mr_session_record *record, const struct mr_filter *filter,
                            const struct mr_subscription_options *options,
                            uint32_t subscription_id) {
    struct mr_replay *replay = calloc(1, sizeof(*replay) + filter->filter.len);
    if (replay == NULL) {
        return MR_ERR_NOMEM;
    }
    replay->subscription_id = subscription_id;
    replay->qos = options->qos;
    replay->has_wildcard = filter->kind == MR_FILTER_WILDCARD;
    replay->filter_len = (uint32_t)filter->filter.len;
    memcpy(replay->filter, filter->filter.data, filter->filter.len);
    struct mr_replay *last = record->last_replay;
    if (last == NULL) {
        replay->next = replay;
    } else {
        replay->next = last->next;
        last->next = replay;
    }
    record->last_replay = replay;
    return MR_OK;
}

// Takes out and frees the replay that comes after `before`.
static void remove_after(struct mr_session_record *record, struct mr_replay *before) {
    struct mr_replay *replay = before->next;
    before->next = replay->next;
    if (record->last_replay == replay) {
        record->last_replay = before == replay ? NULL : before;
    }
    mr_retained_cursor_fini(&replay->cursor);
    free(replay);
}

static struct mr_slice filter_of(const struct mr_replay *replay) {
    return mr_slice_of(replay->filter, replay->filter_len);
}

void mr_replay_cancel(struct mr_session_record *record, struct mr_slice filter) {
    struct mr_replay *before = record->last_replay;
    if (before == NULL) {
        return;
    }
    // There is one at most for each filter.
    do {
        if (mr_slice_eq(filter_of(before->next), filter)) {
            remove_after(record, before);
            return;
        }
        before = before->next;
    } while (before != record->last_replay);
}

void mr_replay_cancel_all(struct mr_session_record *record) {
    while (record->last_replay != NULL) {
        remove_after(record, record->last_replay);
    }
}

struct replaying {
    struct mr_client *client;
    struct mr_replay *replay;
    bool written;
};

static void on_retained(void *ctx, struct mr_message *message) {
    struct replaying *replaying = ctx;
    struct mr_client *client = replaying->client;
    struct mr_replay *replay = replaying->replay;
    struct mr_router *router = client->protocol->router;
    struct mr_auth_identity identity;
    mr_client_identity(client, &identity);
    if (client->acl && !mr_auth_check_acl(mr_client_policy(client), &identity,
                                          mr_message_topic(message), MR_ACL_READ)) {
        return;
    }
    struct mr_outgoing outgoing;
    struct mr_publish packet;
    mr_outgoing_init_message(&outgoing, &router->env.scratch, message, router->env.now_ms, &packet);
    // Sent for a subscription, RETAIN is always set [MQTT-3.3.1-8].
    struct mr_grant grant = {
        replay->qos, true, true, replay->subscription_id != 0, &replay->subscription_id, NULL};
    if (mr_session_deliver(mr_client_session(client), &outgoing, &grant)) {
        replaying->written = true;
    }
    mr_outgoing_fini(&outgoing);
}

void mr_replay_pump(struct mr_client *client) {
    struct mr_session_record *record = client->record;
    struct mr_session *session = &record->session;
    struct replaying replaying = {client, NULL, false};
    uint32_t steps = 0;
    while (record->last_replay != NULL && client->link.failed == MR_LINK_OK &&
           session->queue.count < REPLAY_WAITING_MAX &&
           mr_chain_bytes(client->link.out) < session->env->outbox_bytes) {
        if (steps >= REPLAY_STEPS_MAX) {
            mr_client_add_work(client, MR_WORK_REPLAY);
            break;
        }
        struct mr_replay *replay = record->last_replay->next;
        replaying.replay = replay;
        enum mr_err err = mr_retained_match(client->protocol->shared->retained, filter_of(replay),
                                            session->env->now_ms, REPLAY_WAITING_MAX,
                                            &replay->cursor, on_retained, &replaying);
        steps += replay->has_wildcard ? REPLAY_SEARCH_STEPS : 1;
        if (err != MR_OK) {
            client->link.failed = MR_LINK_NO_MEMORY;
        }
        if (replay->cursor.done) {
            remove_after(record, record->last_replay);
        }
    }
    if (replaying.written) {
        mr_stream_flush(&client->stream);
    }
    if (client->link.failed != MR_LINK_OK) {
        mr_client_add_work(client, MR_WORK_FAILED);
    }
}
