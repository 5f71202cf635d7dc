// Retained messages for a new subscription: sent piece by piece as the client takes them, so that
// neither the broker's memory nor other clients notice how many there are.
#include <stdlib.h>
#include <string.h>

#include "broker/protocol/client.h"

// Retained messages that wait in the session at once.
#define REPLAY_WAITING_MAX 64u
// One call's share, so that others get their turn.
#define REPLAY_BATCHES_MAX 16u

enum mr_err mr_replay_start(struct mr_session_record *record, struct mr_slice filter,
                            const struct mr_subscription_options *options,
                            uint32_t subscription_id) {
    struct mr_replay *replay = calloc(1, sizeof(*replay) + filter.len);
    if (replay == NULL) {
        return MR_ERR_NOMEM;
    }
    replay->subscription_id = subscription_id;
    replay->qos = options->qos;
    replay->filter_len = (uint32_t)filter.len;
    memcpy(replay->filter, filter.data, filter.len);
    struct mr_replay **end = &record->replays;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = replay;
    return MR_OK;
}

static void replay_free(struct mr_replay *replay) {
    mr_retained_cursor_fini(&replay->cursor);
    free(replay);
}

void mr_replay_cancel(struct mr_session_record *record, struct mr_slice filter) {
    struct mr_replay **at = &record->replays;
    while (*at != NULL) {
        struct mr_replay *replay = *at;
        if (mr_slice_eq(mr_slice_of(replay->filter, replay->filter_len), filter)) {
            *at = replay->next;
            replay_free(replay);
        } else {
            at = &replay->next;
        }
    }
}

void mr_replay_cancel_all(struct mr_session_record *record) {
    while (record->replays != NULL) {
        struct mr_replay *replay = record->replays;
        record->replays = replay->next;
        replay_free(replay);
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
    uint32_t batches = 0;
    while (record->replays != NULL && client->link.failed == MR_LINK_OK &&
           session->queue.count < REPLAY_WAITING_MAX &&
           mr_chain_bytes(client->link.out) < session->env->outbox_bytes) {
        if (batches++ == REPLAY_BATCHES_MAX) {
            mr_client_add_work(client, MR_WORK_REPLAY);
            break;
        }
        struct mr_replay *replay = record->replays;
        replaying.replay = replay;
        enum mr_err err = mr_retained_match(
            client->protocol->shared->retained, mr_slice_of(replay->filter, replay->filter_len),
            session->env->now_ms, REPLAY_WAITING_MAX, &replay->cursor, on_retained, &replaying);
        if (err != MR_OK) {
            client->link.failed = MR_LINK_NO_MEMORY;
        }
        if (replay->cursor.done) {
            record->replays = replay->next;
            replay_free(replay);
        }
    }
    if (replaying.written) {
        mr_stream_flush(&client->stream);
    }
    if (client->link.failed != MR_LINK_OK) {
        mr_client_add_work(client, MR_WORK_FAILED);
    }
}
