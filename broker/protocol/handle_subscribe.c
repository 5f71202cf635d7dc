// SUBSCRIBE and UNSUBSCRIBE. MQTT 5.0 sections 3.8 to 3.11.
#include "broker/protocol/client.h"
#include "codec/topic.h"

static bool may_subscribe(struct mr_client *client, struct mr_slice filter) {
    if (!client->acl) {
        return true;
    }
    struct mr_auth_identity identity;
    mr_client_identity(client, &identity);
    return mr_auth_check_acl(mr_client_policy(client), &identity, filter, MR_ACL_SUBSCRIBE);
}

// Subscribes to one valid filter, mount point included. Returns the code for the SUBACK.
static enum mr_reason subscribe(struct mr_client *client, const struct mr_filter *filter,
                                const struct mr_subscription_options *options, uint32_t id) {
    struct mr_protocol *protocol = client->protocol;
    struct mr_session_record *record = client->record;
    if (!may_subscribe(client, filter->filter)) {
        return MR_REASON_NOT_AUTHORIZED;
    }
    if (record->session.subscriptions.count >= protocol->config->subscriptions_per_client_max &&
        !mr_router_has_subscription(protocol->router, &record->session, filter)) {
        return MR_REASON_QUOTA_EXCEEDED;
    }
    struct mr_subscription_options granted = *options;
    uint8_t qos_max = mr_client_listener(client)->qos_max;
    if (granted.qos > qos_max) {
        granted.qos = qos_max;
    }
    bool existed = false;
    enum mr_err err =
        mr_router_subscribe(protocol->router, &record->session, filter, &granted, id, &existed);
    if (err != MR_OK) {
        return err == MR_ERR_LIMIT ? MR_REASON_QUOTA_EXCEEDED : MR_REASON_UNSPECIFIED_ERROR;
    }
    // Retain Handling [MQTT-3.3.1-9] to [MQTT-3.3.1-11]; shared ones get none.
    bool wanted = granted.retain_handling == 0 || (granted.retain_handling == 1 && !existed);
    if (wanted && filter->share.data == NULL && protocol->config->retain_available) {
        if (existed) {
            mr_replay_cancel(record, filter->filter);
        }
        if (mr_replay_start(record, filter, &granted, id) != MR_OK) {
            client->link.failed = MR_LINK_NO_MEMORY;
            mr_client_add_work(client, MR_WORK_FAILED);
        }
    }
    return (enum mr_reason)granted.qos;
}

static void log_subscription(struct mr_client *client, enum mr_log_type type, const char *verb,
                             struct mr_slice filter) {
    if (!mr_log_wants(type)) {
        return;
    }
    char id[MR_LOG_TEXT_BYTES];
    char text[MR_LOG_TEXT_BYTES];
    mr_log(type, "%s %s %s",
           mr_log_text(mr_registry_entry_client_id(client->record->session.entry), id), verb,
           mr_log_text(filter, text));
}

// One entry of a SUBSCRIBE. HANDLED_CLOSE if it breaks the protocol.
static enum mr_handled subscribe_entry(struct mr_client *client, struct mr_slice text,
                                       const struct mr_subscription_options *options, uint32_t id,
                                       uint8_t *code_out) {
    struct mr_filter filter;
    mr_filter_parse(text, true, &filter);
    if (filter.kind == MR_FILTER_INVALID) {
        mr_count(&mr_client_counters(client)->subscribes_refused);
        *code_out = MR_REASON_TOPIC_FILTER_INVALID;
        return MR_HANDLED;
    }
    if (filter.share.data != NULL && options->no_local) {
        // [MQTT-3.8.3-4]
        struct mr_decode_error error = {MR_REASON_PROTOCOL_ERROR, 0,
                                        "No Local on a shared subscription"};
        return mr_client_refuse(client, &error);
    }
    struct mr_buf *buf;
    if (!mr_client_mount(client, &filter.filter, &buf)) {
        *code_out = MR_REASON_TOPIC_FILTER_INVALID;
        return MR_HANDLED;
    }
    enum mr_reason code = subscribe(client, &filter, options, id);
    if (code >= MR_REASON_UNSPECIFIED_ERROR) {
        mr_count(&mr_client_counters(client)->subscribes_refused);
    }
    log_subscription(client, MR_LOG_SUBSCRIBE, "subscribed to", text);
    *code_out = (uint8_t)code;
    if (buf != NULL) {
        mr_buf_unref(buf);
    }
    return MR_HANDLED;
}

enum mr_handled mr_handle_subscribe(struct mr_client *client, struct mr_slice body) {
    struct mr_subscribe packet;
    struct mr_decode_error error;
    if (mr_subscribe_decode((enum mr_version)client->link.version, body, &packet, &error) !=
        MR_DECODE_DONE) {
        return mr_client_refuse(client, &error);
    }
    struct mr_buf *codes = mr_buf_new(client->protocol->router->env.pool, packet.entry_count);
    if (codes == NULL) {
        return mr_client_close_no_memory(client);
    }
    struct mr_slice rest = packet.entries;
    struct mr_slice filter;
    struct mr_subscription_options options;
    uint32_t count = 0;
    enum mr_handled handled = MR_HANDLED;
    while (handled == MR_HANDLED && mr_subscribe_next(&rest, &filter, &options)) {
        handled = subscribe_entry(client, filter, &options, packet.properties.subscription_id,
                                  &codes->data[count++]);
    }
    if (handled == MR_HANDLED) {
        mr_send_suback(client, MR_SUBACK, packet.packet_id, mr_slice_of(codes->data, count));
        mr_replay_pump(client);
    }
    mr_buf_unref(codes);
    return handled;
}

static enum mr_reason unsubscribe(struct mr_client *client, struct mr_slice text) {
    struct mr_filter filter;
    mr_filter_parse(text, true, &filter);
    if (filter.kind == MR_FILTER_INVALID) {
        return MR_REASON_TOPIC_FILTER_INVALID;
    }
    struct mr_buf *buf;
    if (!mr_client_mount(client, &filter.filter, &buf)) {
        return MR_REASON_NO_SUBSCRIPTION_EXISTED;
    }
    bool existed =
        mr_router_unsubscribe(client->protocol->router, mr_client_session(client), &filter);
    if (existed && filter.share.data == NULL) {
        mr_replay_cancel(client->record, filter.filter);
    }
    if (buf != NULL) {
        mr_buf_unref(buf);
    }
    return existed ? MR_REASON_SUCCESS : MR_REASON_NO_SUBSCRIPTION_EXISTED;
}

enum mr_handled mr_handle_unsubscribe(struct mr_client *client, struct mr_slice body) {
    struct mr_unsubscribe packet;
    struct mr_decode_error error;
    if (mr_unsubscribe_decode((enum mr_version)client->link.version, body, &packet, &error) !=
        MR_DECODE_DONE) {
        return mr_client_refuse(client, &error);
    }
    struct mr_buf *codes = mr_buf_new(client->protocol->router->env.pool, packet.entry_count);
    if (codes == NULL) {
        return mr_client_close_no_memory(client);
    }
    struct mr_slice rest = packet.entries;
    struct mr_slice filter;
    uint32_t count = 0;
    while (mr_unsubscribe_next(&rest, &filter)) {
        codes->data[count++] = (uint8_t)unsubscribe(client, filter);
        log_subscription(client, MR_LOG_UNSUBSCRIBE, "unsubscribed from", filter);
    }
    mr_send_suback(client, MR_UNSUBACK, packet.packet_id, mr_slice_of(codes->data, count));
    mr_buf_unref(codes);
    return MR_HANDLED;
}
