// PUBLISH from a client. MQTT 5.0 section 3.3.
#include <stdlib.h>

#include "broker/limits.h"
#include "broker/protocol/client.h"

static enum mr_handled refuse(struct mr_client *client, enum mr_reason reason, const char *what) {
    struct mr_decode_error error = {reason, 0, what};
    return mr_client_refuse(client, &error);
}

// ----------------------------------------------------------------------- topic aliases

static enum mr_handled define_alias(struct mr_client *client, uint16_t alias,
                                    struct mr_slice topic) {
    uint16_t max = mr_client_listener(client)->topic_alias_max;
    if (client->aliases == NULL) {
        client->aliases = calloc(1, sizeof(*client->aliases) + max * sizeof(struct mr_buf *));
        if (client->aliases == NULL) {
            return refuse(client, MR_REASON_SERVER_BUSY, "out of memory");
        }
        client->aliases->max = max;
    }
    struct mr_buf *name = mr_alias_name_new(client->protocol->router->env.pool, topic);
    if (name == NULL) {
        return refuse(client, MR_REASON_SERVER_BUSY, "out of memory");
    }
    struct mr_buf **place = &client->aliases->names[alias - 1];
    if (*place != NULL) {
        mr_buf_unref(*place);
    }
    *place = name;
    return MR_HANDLED;
}

// Completes the topic name [MQTT-3.3.2-8] [MQTT-3.3.2-9].
static enum mr_handled resolve_alias(struct mr_client *client, struct mr_publish *publish) {
    uint16_t alias = publish->topic_alias;
    if (alias > mr_client_listener(client)->topic_alias_max) {
        return refuse(client, MR_REASON_TOPIC_ALIAS_INVALID, "topic alias above the maximum");
    }
    if (publish->topic.len > 0) {
        return define_alias(client, alias, publish->topic);
    }
    struct mr_buf *name = client->aliases == NULL ? NULL : client->aliases->names[alias - 1];
    if (name == NULL) {
        return refuse(client, MR_REASON_PROTOCOL_ERROR, "topic alias without a topic name");
    }
    publish->topic = mr_alias_name_text(name);
    return MR_HANDLED;
}

// ------------------------------------------------------------------------------ checks

// Limits of this broker that CONNACK announced.
static enum mr_handled check_limits(struct mr_client *client, const struct mr_publish *publish) {
    if (mr_properties_bit(publish->properties_present, MR_PROPERTY_SUBSCRIPTION_IDENTIFIER)) {
        return refuse(client, MR_REASON_PROTOCOL_ERROR, "subscription identifier from a client");
    }
    if (publish->qos > mr_client_listener(client)->qos_max) {
        return refuse(client, MR_REASON_QOS_NOT_SUPPORTED, "QoS above the maximum");
    }
    if (publish->retain && !client->protocol->config->retain_available) {
        return refuse(client, MR_REASON_RETAIN_NOT_SUPPORTED, "retain is not available");
    }
    return MR_HANDLED;
}

// Is the client allowed to publish this message? The reason if not, else SUCCESS.
static enum mr_reason check_rights(struct mr_client *client, const struct mr_publish *publish) {
    uint32_t bytes_max = client->protocol->config->message_bytes_max;
    if (bytes_max != 0 && publish->payload.len > bytes_max) {
        return MR_REASON_PACKET_TOO_LARGE;
    }
    if (mr_topic_is_brokers(publish->topic)) {
        return MR_REASON_NOT_AUTHORIZED;
    }
    if (!client->acl) {
        return MR_REASON_SUCCESS;
    }
    struct mr_auth_identity identity;
    mr_client_identity(client, &identity);
    return mr_auth_check_acl(mr_client_policy(client), &identity, publish->topic, MR_ACL_WRITE)
               ? MR_REASON_SUCCESS
               : MR_REASON_NOT_AUTHORIZED;
}

// ----------------------------------------------------------------------- acknowledging

static enum mr_handled acknowledge(struct mr_client *client, const struct mr_publish *publish,
                                   enum mr_reason reason) {
    if (publish->qos == 0) {
        return MR_HANDLED;
    }
    if (!mr_client_is_v5(client)) {
        reason = MR_REASON_SUCCESS;  // There is no other answer [MQTT-3.3.5-2 of 3.1.1].
    }
    if (publish->qos == 2 && reason >= MR_REASON_UNSPECIFIED_ERROR) {
        mr_session_release(mr_client_session(client), publish->packet_id);  // It ends here.
    }
    mr_send_ack(client, publish->qos == 1 ? MR_PUBACK : MR_PUBREC, publish->packet_id, reason);
    return MR_HANDLED;
}

// ----------------------------------------------------------------------------- routing

// Retained store and receivers. BUSY: nothing was done.
static enum mr_handled route(struct mr_client *client, const struct mr_publish *publish,
                             struct mr_outgoing *outgoing, enum mr_reason *reason_out) {
    struct mr_router *router = client->protocol->router;
    *reason_out = MR_REASON_SUCCESS;
    if (publish->retain) {
        struct mr_buf *source_buf;
        struct mr_slice source = mr_record_source(client->protocol, client->record, &source_buf);
        enum mr_err err = mr_router_retain(router, outgoing, source);
        if (source_buf != NULL) {
            mr_buf_unref(source_buf);
        }
        if (err != MR_OK && publish->qos > 0) {
            // Not accepted, so not delivered to anyone: the client knows and may do without.
            *reason_out = MR_REASON_QUOTA_EXCEEDED;
            return MR_HANDLED;
        }
    }
    switch (mr_router_publish(router, outgoing, mr_client_session(client), false)) {
        case MR_ROUTED:
            return MR_HANDLED;
        case MR_ROUTED_NOWHERE:
            *reason_out = MR_REASON_NO_MATCHING_SUBSCRIBERS;
            return MR_HANDLED;
        case MR_ROUTED_BUSY:
            mr_client_pause(client, MR_PAUSE_BUSY);
            return MR_HANDLED_LATER;
        case MR_ROUTED_SINGLY:  // Only of runs.
        case MR_ROUTED_NO_MEMORY:
            break;
    }
    return mr_client_close_no_memory(client);
}

// A first QoS 2 PUBLISH, or one that comes again [MQTT-4.3.3-10].
static enum mr_handled receive_qos2(struct mr_client *client, const struct mr_publish *publish,
                                    bool *duplicate_out) {
    *duplicate_out = false;
    switch (mr_session_receive(mr_client_session(client), publish->packet_id,
                               client->protocol->config->receive_max)) {
        case MR_RECEIVE_NEW:
            return MR_HANDLED;
        case MR_RECEIVE_DUPLICATE:
            *duplicate_out = true;
            return MR_HANDLED;
        case MR_RECEIVE_FULL:
            return refuse(client, MR_REASON_RECEIVE_MAXIMUM_EXCEEDED,
                          "more unacknowledged QoS 2 messages than the receive maximum");
        case MR_RECEIVE_NO_MEMORY:
            break;
    }
    return mr_client_close_no_memory(client);
}

static enum mr_handled publish_complete(struct mr_client *client, struct mr_publish *publish,
                                        struct mr_slice packet, struct mr_buf *buf) {
    struct mr_router *router = client->protocol->router;
    enum mr_reason reason = check_rights(client, publish);
    if (MR_UNLIKELY(reason != MR_REASON_SUCCESS)) {
        if (reason == MR_REASON_NOT_AUTHORIZED) {
            mr_count(&router->counters.acl_publish_denied);
        }
        return acknowledge(client, publish, reason);
    }
    uint64_t expires_ms = 0;
    if (mr_properties_bit(publish->properties_present, MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        expires_ms = router->env.now_ms + (uint64_t)publish->message_expiry_s * 1000;
    }
    struct mr_outgoing outgoing;
    mr_outgoing_init(&outgoing, &router->env.scratch, publish, buf,
                     mr_client_session(client)->subscriber, expires_ms);
    if (packet.len > 0 && mr_run_may_start(publish)) {
        outgoing.wire = packet;
        outgoing.wire_version = client->link.version;
    }
    enum mr_handled handled = route(client, publish, &outgoing, &reason);
    mr_outgoing_fini(&outgoing);
    return handled == MR_HANDLED ? acknowledge(client, publish, reason) : handled;
}

static void count_received(struct mr_client *client, uint64_t count, uint64_t payload_bytes) {
    struct mr_counters *counters = mr_client_counters(client);
    mr_count_add(&counters->publish_received, count);
    mr_count_add(&counters->publish_bytes_received, payload_bytes);
}

// ------------------------------------------------------------------------------- runs

// Routes the packets of a run one after the other, until one can't be handled now.
static enum mr_handled route_singly(struct mr_client *client, const struct mr_run *run,
                                    struct mr_arrival *arrival) {
    size_t offset = 0;
    struct mr_publish publish;
    struct mr_slice packet;
    arrival->packet_count = 0;
    while (mr_run_next(run, &offset, &publish, &packet)) {
        enum mr_handled handled = publish_complete(client, &publish, packet, run->buf);
        if (handled != MR_HANDLED) {
            return handled == MR_HANDLED_LATER && arrival->packet_count > 0 ? MR_HANDLED : handled;
        }
        arrival->handled_bytes = offset;
        arrival->packet_count++;
        count_received(client, 1, publish.payload.len);
    }
    return MR_HANDLED;
}

// `run->first` was decoded from the packet that arrived, and may start a run.
static enum mr_handled publish_run(struct mr_client *client, struct mr_arrival *arrival,
                                   struct mr_run *run) {
    const struct mr_config *config = client->protocol->config;
    if (MR_UNLIKELY(check_rights(client, &run->first) != MR_REASON_SUCCESS)) {
        count_received(client, 1, run->first.payload.len);
        return publish_complete(client, &run->first, arrival->packet, arrival->buf);
    }
    mr_run_start(run, arrival->buf, arrival->packet, (enum mr_version)client->link.version,
                 mr_client_session(client)->subscriber);
    struct mr_run_limits limits = {
        .count_max = config->publish_run_max,
        .packet_max = config->packet_bytes_max,
        .payload_max = config->message_bytes_max == 0 ? UINT32_MAX : config->message_bytes_max,
    };
    mr_run_extend(run, arrival->following, &limits);
    size_t more = run->packets.len - arrival->packet.len;
    mr_router_look_ahead(
        client->protocol->router, run->first.topic,
        mr_slice_of(arrival->following.data + more, arrival->following.len - more));
    switch (mr_router_publish_run(client->protocol->router, run, mr_client_session(client))) {
        case MR_ROUTED:
        case MR_ROUTED_NOWHERE:
            arrival->handled_bytes = run->packets.len;
            arrival->packet_count = run->count;
            count_received(client, run->count, run->payload_bytes);
            return MR_HANDLED;
        case MR_ROUTED_SINGLY:
            return route_singly(client, run, arrival);
        case MR_ROUTED_BUSY:
            mr_client_pause(client, MR_PAUSE_BUSY);
            return MR_HANDLED_LATER;
        case MR_ROUTED_NO_MEMORY:
            break;
    }
    return mr_client_close_no_memory(client);
}

// ------------------------------------------------------------------------ any PUBLISH

// One that has to be looked at by itself.
static enum mr_handled publish_one(struct mr_client *client, const struct mr_arrival *arrival,
                                   struct mr_publish *publish) {
    bool duplicate = false;
    if (publish->qos == 2) {
        enum mr_handled handled = receive_qos2(client, publish, &duplicate);
        if (handled != MR_HANDLED) {
            return handled;
        }
    }
    enum mr_handled handled;
    struct mr_buf *mounted = NULL;
    if (duplicate) {
        handled = acknowledge(client, publish, MR_REASON_SUCCESS);
    } else if (!mr_client_mount(client, &publish->topic, &mounted)) {
        handled = refuse(client, MR_REASON_TOPIC_NAME_INVALID, "too long with the mount point");
    } else {
        handled = publish_complete(client, publish,
                                   mounted == NULL ? arrival->packet : mr_slice_of(NULL, 0),
                                   arrival->buf);
    }
    if (mounted != NULL) {
        mr_buf_unref(mounted);
    }
    if (handled != MR_HANDLED_LATER) {
        count_received(client, 1, publish->payload.len);
    } else if (publish->qos == 2) {
        mr_session_release(mr_client_session(client), publish->packet_id);
    }
    return handled;
}

enum mr_handled mr_handle_publish(struct mr_client *client, uint8_t flags,
                                  struct mr_arrival *arrival) {
    struct mr_run run;
    struct mr_publish *publish = &run.first;
    struct mr_decode_error error;
    if (MR_UNLIKELY(mr_publish_decode((enum mr_version)client->link.version, flags, arrival->body,
                                      publish, &error) != MR_DECODE_DONE)) {
        return mr_client_refuse(client, &error);
    }
    if (MR_LIKELY(mr_run_may_start(publish)) && client->link.mount_point == NULL) {
        return publish_run(client, arrival, &run);
    }
    if (client->link.mount_point == NULL) {
        mr_router_look_ahead(client->protocol->router, publish->topic, arrival->following);
    }
    enum mr_handled handled = check_limits(client, publish);
    if (handled == MR_HANDLED && publish->topic_alias != 0) {
        handled = resolve_alias(client, publish);
    }
    return MR_LIKELY(handled == MR_HANDLED) ? publish_one(client, arrival, publish) : handled;
}
