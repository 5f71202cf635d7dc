#include "broker/protocol/protocol.h"

#include <stdlib.h>

#include "broker/limits.h"
#include "broker/protocol/client.h"

// ------------------------------------------------------------------------- policies

struct mr_policy_set *mr_policy_set_new(uint32_t count) {
    struct mr_policy_set *set = calloc(1, sizeof(*set) + count * sizeof(struct mr_auth_policy *));
    if (set != NULL) {
        set->refs = 1;
        set->count = count;
    }
    return set;
}

struct mr_policy_set *mr_policy_set_ref(struct mr_policy_set *set) {
    __atomic_fetch_add(&set->refs, 1, __ATOMIC_RELAXED);
    return set;
}

void mr_policy_set_unref(struct mr_policy_set *set) {
    if (set == NULL || __atomic_fetch_sub(&set->refs, 1, __ATOMIC_ACQ_REL) != 1) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        mr_auth_policy_unref(set->policies[i]);
    }
    free(set);
}

// ---------------------------------------------------------------------- router's hooks

static bool may_receive(void *ctx, struct mr_session *session, struct mr_slice topic) {
    struct mr_protocol *protocol = ctx;
    struct mr_session_record *record = mr_record_of(session);
    struct mr_auth_policy *policy = protocol->policies->policies[record->security_index];
    if (!mr_auth_has_acl(policy)) {
        return true;
    }
    struct mr_auth_identity identity;
    mr_record_identity(record, &identity);
    return mr_auth_check_acl(policy, &identity, topic, MR_ACL_READ);
}

struct reader {
    struct mr_protocol *protocol;
    struct mr_session *session;
};

static bool reader_may_receive(void *ctx, struct mr_slice topic) {
    struct reader *reader = ctx;
    return may_receive(reader->protocol, reader->session, topic);
}

void mr_protocol_recheck_waiting(struct mr_protocol *protocol, struct mr_session *session) {
    struct reader reader = {protocol, session};
    mr_session_drop_waiting(session, reader_may_receive, &reader);
}

static void on_link_failed(void *ctx, struct mr_session *session) {
    struct mr_session_record *record = mr_record_of(session);
    (void)ctx;
    mr_client_add_work(mr_record_client(record), MR_WORK_FAILED);
}

static void on_congested(void *ctx, struct mr_session *publisher) {
    struct mr_client *client = mr_record_client(mr_record_of(publisher));
    (void)ctx;
    // If its own session is congested, its acknowledgements have to be read.
    if (client != NULL && !publisher->congested && (client->pause & MR_PAUSE_CONGESTED) == 0) {
        mr_client_pause(client, MR_PAUSE_CONGESTED);
    }
}

static void on_uncongested(void *ctx) {
    struct mr_protocol *protocol = ctx;
    protocol->uncongested = true;
}

static void on_parcel(void *ctx, struct mr_parcel *parcel) {
    struct mr_protocol *protocol = ctx;
    if (parcel->kind == MR_PARCEL_CONNECTION) {
        mr_protocol_take_connection(protocol, parcel);
    }
}

// ------------------------------------------------------------------ beginning and end

// What waits in a session goes on when little of its connection's output is left: in time to keep
// the socket busy, and before that nothing may wait (so the mark is below outbox_bytes).
#define DRAIN_HIGH_BYTES_MAX (32u << 10)

static void set_handler(struct mr_stream_handler *handler, uint64_t outbox_bytes) {
    handler->on_recv = mr_client_on_recv;
    handler->on_drain = mr_client_on_drain;
    handler->on_close = mr_client_on_close;
    handler->on_detach = mr_client_on_detach;
    handler->high_bytes =
        outbox_bytes / 2 < DRAIN_HIGH_BYTES_MAX ? outbox_bytes / 2 : DRAIN_HIGH_BYTES_MAX;
    handler->low_bytes = handler->high_bytes / 2;
}

enum mr_err mr_protocol_new(struct mr_protocol **out, const struct mr_protocol_options *options) {
    struct mr_protocol *protocol = calloc(1, sizeof(*protocol));
    if (protocol == NULL) {
        return MR_ERR_NOMEM;
    }
    protocol->shared = options->shared;
    protocol->config = options->shared->config;
    protocol->loop = options->loop;
    protocol->worker = options->worker;
    protocol->listener_connections = options->listener_connections;
    protocol->hooks = options->hooks;
    set_handler(&protocol->handler, protocol->config->outbox_bytes);
    struct mr_router_hooks hooks = {protocol,     may_receive,    on_link_failed,
                                    on_congested, on_uncongested, on_parcel};
    enum mr_err err =
        mr_router_new(&protocol->router, options->shared, options->worker, options->loop, &hooks);
    if (err != MR_OK) {
        free(protocol);
        return err;
    }
    protocol->policies = mr_policy_set_ref(options->policies);
    *out = protocol;
    return MR_OK;
}

void mr_protocol_free(struct mr_protocol *protocol) {
    if (protocol == NULL) {
        return;
    }
    MR_ASSERT(protocol->client_count == 0);
    struct mr_router *router = protocol->router;
    mr_router_begin(router);
    uint32_t index = 0;
    struct mr_session *session;
    while ((session = mr_router_next_session(router, &index)) != NULL) {
        struct mr_session_record *record = mr_record_of(session);
        mr_record_drop_will(record);
        mr_record_end(protocol, record);
    }
    mr_router_free(router);
    mr_policy_set_unref(protocol->policies);
    free(protocol);
}

struct mr_router *mr_protocol_router(struct mr_protocol *protocol) {
    return protocol->router;
}

uint32_t mr_protocol_client_count(const struct mr_protocol *protocol) {
    return protocol->client_count;
}

uint32_t mr_protocol_idle_client_bytes(uint32_t client_id_len) {
    // Connection, session, registry entry, and their places in the tables of sessions, of client
    // ids and of presence.
    return (uint32_t)(sizeof(struct mr_client) + sizeof(struct mr_session_record) +
                      sizeof(struct mr_registry_entry) + 2 * sizeof(void *) + 1) +
           client_id_len;
}

void mr_protocol_accept(struct mr_protocol *protocol, uint32_t listener, intptr_t handle) {
    mr_router_begin(protocol->router);
    struct mr_counters *counters = &protocol->router->counters;
    uint32_t max = protocol->config->listeners[listener].connections_max;
    uint32_t before =
        __atomic_fetch_add(&protocol->listener_connections[listener], 1, __ATOMIC_RELAXED);
    struct mr_client *client = NULL;
    if (before < max && !protocol->shutting_down) {
        client = mr_client_new(protocol, listener);
    }
    if (client != NULL) {
        if (mr_stream_attach(protocol->loop, &client->stream, handle, mr_slice_of(NULL, 0),
                             &protocol->handler) == MR_OK) {
            mr_count(&counters->sockets_opened);
            return;
        }
        mr_client_free(client);
    }
    mr_count(&counters->sockets_refused);
    __atomic_fetch_sub(&protocol->listener_connections[listener], 1, __ATOMIC_RELAXED);
    mr_handle_close(protocol->loop, handle);
}

// ------------------------------------------------------------------------- each turn

void mr_protocol_on_wake(struct mr_protocol *protocol) {
    mr_router_begin(protocol->router);
    protocol->woken = true;
}

static void close_failed(struct mr_client *client) {
    struct mr_counters *counters = mr_client_counters(client);
    if (client->link.failed == MR_LINK_TOO_SLOW) {
        mr_count(&counters->slow_disconnects);
        mr_client_close(client, MR_REASON_QUOTA_EXCEEDED, "too slow for what it subscribed to");
    } else {
        mr_client_close_no_memory(client);
    }
}

static void do_work(struct mr_protocol *protocol, struct mr_client *client, bool uncongested) {
    uint8_t work = client->work;
    client->work = 0;
    if (client->state == MR_CLIENT_CLOSING) {
        return;
    }
    if (work & MR_WORK_FAILED) {
        close_failed(client);
        return;
    }
    if ((work & MR_WORK_REPLAY) && client->record != NULL) {
        mr_replay_pump(client);
    }
    if ((client->pause & MR_PAUSE_BUSY) && protocol->woken) {
        mr_client_resume(client, MR_PAUSE_BUSY);
    }
    if ((client->pause & MR_PAUSE_CONGESTED) && uncongested) {
        mr_client_resume(client, MR_PAUSE_CONGESTED);
    }
    if (client->pause & (MR_PAUSE_BUSY | MR_PAUSE_CONGESTED)) {
        mr_client_add_work(client, MR_WORK_WAITING);
    }
}

bool mr_protocol_on_turn_end(struct mr_protocol *protocol) {
    mr_router_begin(protocol->router);
    mr_router_take(protocol->router);
    bool more = false;
    // A client that is closed below may have been the congested one: that is for the next turn.
    bool uncongested = protocol->uncongested;
    protocol->uncongested = false;
    struct mr_client *list = protocol->work;
    protocol->work = NULL;
    while (list != NULL) {
        struct mr_client *client = list;
        list = client->work_next;
        do_work(protocol, client, uncongested);
    }
    protocol->woken = false;
    for (struct mr_client *client = protocol->work; client != NULL; client = client->work_next) {
        more = more || (client->work & (MR_WORK_FAILED | MR_WORK_REPLAY)) != 0;
    }
    return mr_router_end(protocol->router) || more || protocol->uncongested;
}

// --------------------------------------------------------------------------- control

static bool may_stay(const struct mr_protocol *protocol, const struct mr_client *client) {
    struct mr_auth_policy *policy = protocol->policies->policies[client->record->security_index];
    struct mr_auth_identity identity;
    mr_client_identity(client, &identity);
    return mr_auth_knows(policy, identity.user_name);
}

void mr_protocol_set_policies(struct mr_protocol *protocol, struct mr_policy_set *policies) {
    mr_router_begin(protocol->router);
    mr_policy_set_unref(protocol->policies);
    protocol->policies = mr_policy_set_ref(policies);
    mr_router_forget_routes(protocol->router);
    uint32_t index = 0;
    struct mr_session *session;
    while ((session = mr_router_next_session(protocol->router, &index)) != NULL) {
        mr_protocol_recheck_waiting(protocol, session);
    }
    struct mr_client *next;
    for (struct mr_client *client = protocol->clients; client != NULL; client = next) {
        next = client->next;
        if (client->state != MR_CLIENT_CONNECTED) {
            continue;
        }
        client->acl = mr_auth_has_acl(mr_client_policy(client));
        if (!may_stay(protocol, client)) {
            mr_client_close(client, MR_REASON_NOT_AUTHORIZED, "access rights have changed");
        }
    }
}

void mr_protocol_shut_down(struct mr_protocol *protocol) {
    mr_router_begin(protocol->router);
    protocol->shutting_down = true;
    struct mr_client *next;
    for (struct mr_client *client = protocol->clients; client != NULL; client = next) {
        next = client->next;
        mr_client_close(client, MR_REASON_SERVER_SHUTTING_DOWN, NULL);
    }
}

void mr_protocol_log_state(struct mr_protocol *protocol) {
    struct mr_router *router = protocol->router;
    mr_router_begin(router);
    mr_log(MR_LOG_NOTICE, "worker %u: %u connections, %u sessions", protocol->worker,
           protocol->client_count, router->session_count);
    uint32_t index = 0;
    const struct mr_session *session;
    while ((session = mr_router_next_session(router, &index)) != NULL) {
        char id[MR_LOG_TEXT_BYTES];
        mr_log(
            MR_LOG_NOTICE,
            "worker %u: session %s: %s, %u subscriptions, %u in flight, %u waiting, %llu bytes "
            "to be sent",
            protocol->worker, mr_log_text(mr_registry_entry_client_id(session->entry), id),
            session->link != NULL ? "connected" : "not connected", session->subscriptions.count,
            session->inflight.count, session->queue.count,
            (unsigned long long)(session->link != NULL ? mr_chain_bytes(session->link->out) : 0));
    }
}
