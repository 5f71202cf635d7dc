// Sessions on their worker: made, left, taken up again, ended; their wills.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/protocol/client.h"

#define MS_PER_S UINT64_C(1000)

// For every idle client there is one of each. The next step of the allocators costs 32 bytes.
static_assert(sizeof(void *) > 8 || sizeof(struct mr_session_record) <= 160, "");
static_assert(sizeof(void *) > 8 || sizeof(struct mr_client) <= 224, "");

struct mr_session_record *mr_record_of(struct mr_session *session) {
    return MR_CONTAINER_OF(session, struct mr_session_record, session);
}

static struct mr_protocol *protocol_of(struct mr_session_record *record) {
    struct mr_router *router = MR_CONTAINER_OF(record->session.env, struct mr_router, env);
    return router->hooks.ctx;
}

struct mr_session_record *mr_record_new(struct mr_protocol *protocol,
                                        struct mr_registry_entry *entry) {
    struct mr_session_record *record = calloc(1, sizeof(*record));
    if (record == NULL) {
        return NULL;
    }
    uint32_t subscriber;
    if (mr_router_add(protocol->router, &record->session, &subscriber) != MR_OK) {
        free(record);
        return NULL;
    }
    mr_session_init(&record->session, &protocol->router->env, subscriber, entry);
    entry->session = record;
    return record;
}

void mr_record_identity(const struct mr_session_record *record, struct mr_auth_identity *out) {
    out->client_id = mr_registry_entry_client_id(record->session.entry);
    out->user_name =
        record->user_name == NULL ? mr_slice_of(NULL, 0) : mr_slice_str(record->user_name);
}

// ------------------------------------------------------------------------ will

void mr_record_drop_will(struct mr_session_record *record) {
    if (record->will != NULL) {
        mr_message_unref(record->will->message);
        free(record->will);
        record->will = NULL;
    }
}

void mr_record_send_will(struct mr_protocol *protocol, struct mr_session_record *record) {
    if (record->will == NULL) {
        return;
    }
    struct mr_message *will = record->will->message;
    if (record->will->expires) {
        // Nobody else has seen the message yet.
        will->expires_ms = mr_loop_now_ms(protocol->loop) + record->will->expiry_s * MS_PER_S;
    }
    free(record->will);
    record->will = NULL;
    struct mr_auth_policy *policy = protocol->policies->policies[record->security_index];
    struct mr_auth_identity identity;
    mr_record_identity(record, &identity);
    if (!mr_auth_check_acl(policy, &identity, mr_message_topic(will), MR_ACL_WRITE)) {
        mr_count(&protocol->router->counters.acl_publish_denied);
        mr_message_unref(will);
        return;
    }
    struct mr_buf *source_buf;
    struct mr_slice source = mr_record_source(protocol, record, &source_buf);
    mr_count(&protocol->router->counters.wills_sent);
    mr_router_publish_message(protocol->router, will, source);
    if (source_buf != NULL) {
        mr_buf_unref(source_buf);
    }
    mr_message_unref(will);
}

// ------------------------------------------------------------------ life of a session

void mr_record_present(struct mr_protocol *protocol, struct mr_session_record *record) {
    if (record->absence != NULL) {
        mr_timer_stop(protocol->loop, &record->absence->timer);
        free(record->absence);
        record->absence = NULL;
    }
}

void mr_record_end(struct mr_protocol *protocol, struct mr_session_record *record) {
    MR_ASSERT(mr_record_client(record) == NULL);
    struct mr_router *router = protocol->router;
    mr_record_present(protocol, record);
    // The end of the session ends the delay, too [MQTT-3.1.3-9].
    mr_record_send_will(protocol, record);
    mr_replay_cancel_all(record);
    mr_router_unsubscribe_all(router, &record->session);
    mr_router_remove(router, record->session.subscriber);
    mr_registry_release(protocol->shared->registry, record->session.entry);
    mr_session_fini(&record->session);
    free(record->user_name);
    free(record);
}

static void start_timer(struct mr_protocol *protocol, struct mr_session_record *record) {
    uint64_t at = record->absence->expires_at_ms;
    uint64_t will_at = record->will != NULL ? record->will->at_ms : 0;
    if (will_at != 0 && (at == 0 || will_at < at)) {
        at = will_at;
    }
    if (at != 0) {
        uint64_t now = mr_loop_now_ms(protocol->loop);
        mr_timer_start(protocol->loop, &record->absence->timer, at > now ? at - now : 0);
    }
}

static void on_timer(struct mr_timer *timer) {
    struct mr_absence *absence = MR_CONTAINER_OF(timer, struct mr_absence, timer);
    struct mr_session_record *record = absence->record;
    struct mr_protocol *protocol = protocol_of(record);
    mr_router_begin(protocol->router);
    uint64_t now = mr_loop_now_ms(protocol->loop);
    if (absence->expires_at_ms != 0 && now >= absence->expires_at_ms) {
        mr_count(&protocol->router->counters.clients_expired);
        mr_count_sub(&protocol->router->counters.clients_disconnected, 1);
        mr_record_end(protocol, record);
        return;
    }
    if (record->will != NULL && record->will->at_ms != 0 && now >= record->will->at_ms) {
        mr_record_send_will(protocol, record);
    }
    start_timer(protocol, record);
}

// How long the session shall outlive its connection.
static uint64_t expiry_of(const struct mr_protocol *protocol,
                          const struct mr_session_record *record) {
    uint64_t max_s = protocol->config->persistent_client_expiration_s;
    return max_s != 0 && record->expiry_s > max_s ? max_s : record->expiry_s;
}

void mr_record_disconnected(struct mr_protocol *protocol, struct mr_session_record *record,
                            bool send_will) {
    uint64_t now = mr_loop_now_ms(protocol->loop);
    uint64_t expiry_s = expiry_of(protocol, record);
    if (!send_will) {
        mr_record_drop_will(record);
    }
    struct mr_absence *absence = expiry_s > 0 ? calloc(1, sizeof(*absence)) : NULL;
    if (absence == NULL) {
        mr_record_end(protocol, record);
        return;
    }
    mr_count(&protocol->router->counters.clients_disconnected);
    mr_timer_init(&absence->timer, on_timer);
    absence->record = record;
    absence->expires_at_ms = expiry_s >= UINT32_MAX ? 0 : now + expiry_s * MS_PER_S;
    record->absence = absence;
    if (record->will != NULL) {
        record->will->at_ms = now + record->will->delay_s * MS_PER_S;
        if (record->will->delay_s == 0) {
            mr_record_send_will(protocol, record);
        }
    }
    start_timer(protocol, record);
}

// -------------------------------------------------------------------- publishers

// Layout: 16-bit security index, 16-bit length of the user name (0xffff: anonymous), user name,
// client id.
#define SOURCE_ANONYMOUS 0xffffu

struct mr_slice mr_record_source(struct mr_protocol *protocol,
                                 const struct mr_session_record *record, struct mr_buf **buf_out) {
    *buf_out = NULL;
    struct mr_auth_policy *policy = protocol->policies->policies[record->security_index];
    if (!mr_auth_has_acl(policy)) {
        return mr_slice_of(NULL, 0);
    }
    struct mr_auth_identity identity;
    mr_record_identity(record, &identity);
    size_t len = 4 + identity.user_name.len + identity.client_id.len;
    struct mr_buf *buf = mr_buf_new(protocol->router->env.pool, len);
    if (buf == NULL) {
        return mr_slice_of(NULL, 0);
    }
    uint16_t head[2] = {record->security_index, identity.user_name.data == NULL
                                                    ? SOURCE_ANONYMOUS
                                                    : (uint16_t)identity.user_name.len};
    memcpy(buf->data, head, 4);
    if (identity.user_name.len > 0) {
        memcpy(buf->data + 4, identity.user_name.data, identity.user_name.len);
    }
    memcpy(buf->data + 4 + identity.user_name.len, identity.client_id.data, identity.client_id.len);
    *buf_out = buf;
    return mr_slice_of(buf->data, len);
}

bool mr_protocol_source_may_publish(const struct mr_policy_set *policies, struct mr_slice source,
                                    struct mr_slice topic) {
    if (source.len < 4) {
        return true;  // Published while no access control list was in force, or by the broker.
    }
    uint16_t head[2];
    memcpy(head, source.data, 4);
    size_t user_len = head[1] == SOURCE_ANONYMOUS ? 0 : head[1];
    if (head[0] >= policies->count || source.len < 4 + user_len) {
        return false;
    }
    struct mr_auth_identity identity = {
        mr_slice_of(source.data + 4 + user_len, source.len - 4 - user_len),
        mr_slice_of(head[1] == SOURCE_ANONYMOUS ? NULL : source.data + 4, user_len)};
    return mr_auth_check_acl(policies->policies[head[0]], &identity, topic, MR_ACL_WRITE);
}
