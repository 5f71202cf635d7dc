// CONNECT: who is it, may it, and which session does it get? MQTT 5.0 section 3.1.
#include <stdio.h>
#include <stdlib.h>

#include "broker/limits.h"
#include "broker/protocol/client.h"
#include "codec/topic.h"

#define EXPIRY_NEVER UINT32_MAX
#define ASSIGNED_ID_BYTES_MAX 128

// Everything that is found out about one CONNECT.
struct connecting {
    struct mr_client *client;
    struct mr_connect packet;
    struct mr_slice client_id;  // The client's own, an assigned one, or its user name.
    char assigned[ASSIGNED_ID_BYTES_MAX];
    uint16_t keep_alive_s;
    bool session_present;
};

// -------------------------------------------------------------------------- refusing

static enum mr_handled refuse(struct mr_client *client, enum mr_version version,
                              enum mr_reason reason, const char *what) {
    mr_count(&mr_client_counters(client)->connects_refused);
    if (client->protocol->config->connection_messages && mr_log_wants(MR_LOG_NOTICE)) {
        char peer[MR_PEER_TEXT_BYTES];
        mr_stream_peer_text(&client->stream, peer);
        mr_log(MR_LOG_NOTICE, "Connection from %s refused: %s%s%s.", peer, mr_reason_text(reason),
               what != NULL ? ", " : "", what != NULL ? what : "");
    }
    struct mr_connack connack = {.session_present = false};
    client->link.version = (uint8_t)version;
    if (version == MR_MQTT_50) {
        connack.code = (uint8_t)reason;
        if (what != NULL) {
            connack.properties.present = MR_PROPERTY_BIT(MR_PROPERTY_REASON_STRING);
            connack.properties.reason_string = mr_slice_str(what);
        }
        mr_send_connack(client, &connack);
    } else {
        int code = mr_reason_to_v3_return_code(reason);
        if (code > 0) {
            connack.code = (uint8_t)code;
            mr_send_connack(client, &connack);
        }
    }
    return mr_client_drop(client);
}

static enum mr_handled refuse_connecting(struct connecting *it, enum mr_reason reason,
                                         const char *what) {
    return refuse(it->client, it->packet.version, reason, what);
}

// --------------------------------------------------------------------------- checking

static enum mr_handled choose_client_id(struct connecting *it) {
    struct mr_client *client = it->client;
    const struct mr_security_config *security = &mr_client_listener(client)->security;
    it->client_id = it->packet.client_id;
    if (mr_client_listener(client)->use_username_as_clientid) {
        if (!it->packet.has_user_name || it->packet.user_name.len == 0) {
            return refuse_connecting(it, MR_REASON_NOT_AUTHORIZED, "a user name is required");
        }
        it->client_id = it->packet.user_name;
    }
    if (it->client_id.len == 0) {
        bool v5 = it->packet.version == MR_MQTT_50;
        bool allowed = it->packet.version != MR_MQTT_31 && security->allow_zero_length_clientid &&
                       (v5 || it->packet.clean_start);
        if (!allowed) {
            return refuse_connecting(it, MR_REASON_CLIENT_IDENTIFIER_NOT_VALID,
                                     "a client identifier is required");
        }
        struct mr_protocol *protocol = client->protocol;
        // Unique in this process by worker and number, and by the time of its start among several
        // ones; hashed with the secret seed, so that nobody can foresee another client's.
        uint64_t unique[3] = {mr_loop_wall_ms(protocol->loop), protocol->worker,
                              protocol->assigned_count++};
        uint64_t hash = mr_trie_hash(protocol->shared->trie, mr_slice_of(unique, sizeof(unique)));
        int len =
            snprintf(it->assigned, sizeof(it->assigned), "%.64s%x-%llx-%016llx",
                     security->auto_id_prefix != NULL ? security->auto_id_prefix : "",
                     protocol->worker, (unsigned long long)unique[2], (unsigned long long)hash);
        it->client_id = mr_slice_of(it->assigned, (size_t)len);
    }
    const struct mr_config *config = client->protocol->config;
    bool known = config->clientid_prefix_count == 0;
    for (uint32_t i = 0; !known && i < config->clientid_prefix_count; i++) {
        known = mr_slice_has_prefix(it->client_id, mr_slice_str(config->clientid_prefixes[i]));
    }
    return known ? MR_HANDLED
                 : refuse_connecting(it, MR_REASON_CLIENT_IDENTIFIER_NOT_VALID,  // [MQTT-3.1.3-8]
                                     "the client identifier has none of the allowed prefixes");
}

static enum mr_handled check_will(struct connecting *it) {
    const struct mr_connect *packet = &it->packet;
    if (!packet->has_will) {
        return MR_HANDLED;
    }
    if (!mr_topic_name_valid(packet->will.topic)) {
        return refuse_connecting(it, MR_REASON_TOPIC_NAME_INVALID, "will topic");
    }
    if (mr_topic_is_brokers(packet->will.topic)) {
        return refuse_connecting(it, MR_REASON_NOT_AUTHORIZED, "will topic");
    }
    if (packet->will.qos > mr_client_listener(it->client)->qos_max) {
        return refuse_connecting(it, MR_REASON_QOS_NOT_SUPPORTED, "will QoS above the maximum");
    }
    const struct mr_config *config = it->client->protocol->config;
    if (packet->will.retain && !config->retain_available) {
        return refuse_connecting(it, MR_REASON_RETAIN_NOT_SUPPORTED, "will retain");
    }
    if (config->message_bytes_max != 0 && packet->will.payload.len > config->message_bytes_max) {
        return refuse_connecting(it, MR_REASON_PACKET_TOO_LARGE, "will payload");
    }
    return MR_HANDLED;
}

static enum mr_handled check_keep_alive(struct connecting *it) {
    uint16_t max = it->client->protocol->config->keep_alive_s_max;
    it->keep_alive_s = it->packet.keep_alive_s;
    if (max != 0 && max != UINT16_MAX && (it->keep_alive_s == 0 || it->keep_alive_s > max)) {
        if (it->packet.version != MR_MQTT_50) {
            // Such a client can't be told another value.
            return refuse_connecting(it, MR_REASON_CLIENT_IDENTIFIER_NOT_VALID,
                                     "keep alive above the maximum");
        }
        it->keep_alive_s = max;
    }
    return MR_HANDLED;
}

// ------------------------------------------------------------------------- passwords

static struct mr_password_request *request_new(struct connecting *it) {
    struct mr_password_request *request = calloc(1, sizeof(*request));
    if (request == NULL) {
        return NULL;
    }
    const struct mr_connect *packet = &it->packet;
    request->protocol = it->client->protocol;
    request->client = it->client;
    request->policy = mr_auth_policy_ref(mr_client_policy(it->client));
    request->user_name_len = packet->user_name.len;
    request->password_len = packet->password.len;
    request->user_name = malloc(packet->user_name.len + 1);
    request->password = malloc(packet->password.len + 1);
    if (request->user_name == NULL || request->password == NULL) {
        mr_password_request_free(request);
        return NULL;
    }
    if (packet->user_name.data != NULL) {
        memcpy(request->user_name, packet->user_name.data, packet->user_name.len);
    }
    if (packet->password.data != NULL) {
        memcpy(request->password, packet->password.data, packet->password.len);
    }
    if (!packet->has_password) {
        free(request->password);
        request->password = NULL;
    }
    return request;
}

static enum mr_handled answer_password(struct connecting *it, enum mr_auth_result result) {
    switch (result) {
        case MR_AUTH_OK:
            return MR_HANDLED;
        case MR_AUTH_BAD_CREDENTIALS:
            return refuse_connecting(it, MR_REASON_BAD_USER_NAME_OR_PASSWORD, NULL);
        case MR_AUTH_NOT_AUTHORIZED:
            break;
    }
    return refuse_connecting(it, MR_REASON_NOT_AUTHORIZED, NULL);
}

// Computing a password's hash takes long on purpose: that is left to another thread, and the
// CONNECT comes again when the answer is there.
static enum mr_handled check_password(struct connecting *it) {
    struct mr_client *client = it->client;
    struct mr_protocol *protocol = client->protocol;
    struct mr_auth_policy *policy = mr_client_policy(client);
    struct mr_slice user_name =
        it->packet.has_user_name ? it->packet.user_name : mr_slice_of(NULL, 0);
    struct mr_slice password = it->packet.has_password ? it->packet.password : mr_slice_of(NULL, 0);
    // NULL means absent, so that an empty one needs an address.
    if (it->packet.has_user_name && user_name.data == NULL) {
        user_name.data = (const uint8_t *)"";
    }
    if (it->packet.has_password && password.data == NULL) {
        password.data = (const uint8_t *)"";
    }
    if (client->state == MR_CLIENT_CHECKED) {
        // A reload that came in between holds for it as for those who were connected by then.
        return answer_password(
            it, mr_auth_knows(policy, user_name) ? MR_AUTH_OK : MR_AUTH_NOT_AUTHORIZED);
    }
    if (protocol->hooks.check_password == NULL || user_name.data == NULL ||
        !mr_auth_password_is_slow(policy, user_name)) {
        return answer_password(it, mr_auth_check_password(policy, user_name, password));
    }
    struct mr_password_request *request = request_new(it);
    if (request == NULL || !protocol->hooks.check_password(protocol->hooks.ctx, request)) {
        mr_password_request_free(request);
        return refuse_connecting(it, MR_REASON_SERVER_BUSY, NULL);
    }
    client->state = MR_CLIENT_CHECKING;
    client->password_pending = true;
    mr_client_pause(client, MR_PAUSE_PASSWORD);
    return MR_HANDLED_LATER;
}

void mr_password_request_free(struct mr_password_request *request) {
    if (request != NULL) {
        mr_auth_policy_unref(request->policy);
        free(request->user_name);
        free(request->password);
        free(request);
    }
}

void mr_protocol_password_checked(struct mr_password_request *request) {
    struct mr_client *client = request->client;
    mr_router_begin(client->protocol->router);
    client->password_pending = false;
    if (client->stream_closed) {
        mr_client_free(client);  // It went away meanwhile.
    } else if (client->state == MR_CLIENT_CHECKING) {
        if (request->dropped) {
            refuse(client, (enum mr_version)client->link.version, MR_REASON_SERVER_UNAVAILABLE,
                   NULL);
        } else if (request->result == MR_AUTH_OK) {
            client->state = MR_CLIENT_CHECKED;
            mr_client_resume(client, MR_PAUSE_PASSWORD);
        } else {
            refuse(client, (enum mr_version)client->link.version,
                   request->result == MR_AUTH_BAD_CREDENTIALS ? MR_REASON_BAD_USER_NAME_OR_PASSWORD
                                                              : MR_REASON_NOT_AUTHORIZED,
                   NULL);
        }
    }
    mr_password_request_free(request);
}

// -------------------------------------------------------------------------- sessions

static struct mr_message *will_message(struct connecting *it, uint32_t subscriber) {
    const struct mr_will *will = &it->packet.will;
    struct mr_router *router = it->client->protocol->router;
    struct mr_slice topic = will->topic;
    struct mr_buf *mounted;
    if (!mr_client_mount(it->client, &topic, &mounted)) {
        return NULL;
    }
    struct mr_publish publish = {
        .topic = topic,
        .payload = will->payload,
        .properties_raw = will->properties.raw,
        .properties_present = will->properties.present,
        .qos = will->qos,
        .retain = will->retain,
    };
    struct mr_message *message = mr_message_new(router->env.pool, &publish, subscriber, 0);
    if (mounted != NULL) {
        mr_buf_unref(mounted);
    }
    return message;
}

// NULL: out of memory.
static struct mr_will_record *will_new(struct connecting *it, uint32_t subscriber) {
    struct mr_will_record *record = malloc(sizeof(*record));
    struct mr_message *message = will_message(it, subscriber);
    if (record == NULL || message == NULL) {
        free(record);
        if (message != NULL) {
            mr_message_unref(message);
        }
        return NULL;
    }
    const struct mr_properties *properties = &it->packet.will.properties;
    record->message = message;
    record->at_ms = 0;
    record->delay_s = properties->will_delay_s;
    record->expiry_s = properties->message_expiry_s;
    record->expires = mr_properties_has(properties, MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    return record;
}

// Someone else with this client id is connected here: it has to go [MQTT-3.1.4-3].
static void take_over(struct mr_client *client, struct mr_client *other) {
    mr_count(&mr_client_counters(client)->takeovers);
    mr_client_close(other, MR_REASON_SESSION_TAKEN_OVER, NULL);
}

// The session for it->client_id on this worker, new or resumed. HANDLED_LATER: it lives on another
// worker, where the connection goes.
static enum mr_handled find_session(struct connecting *it, struct mr_session_record **out) {
    struct mr_client *client = it->client;
    struct mr_protocol *protocol = client->protocol;
    struct mr_registry *registry = protocol->shared->registry;
    struct mr_registry_entry *entry = NULL;
    uint16_t owner;
    enum mr_err err =
        mr_registry_claim(registry, it->client_id, (uint16_t)protocol->worker, &entry, &owner);
    if (err == MR_ERR_EXISTS && owner != protocol->worker) {
        return mr_client_move(client, owner);
    }
    if (err == MR_ERR_EXISTS) {
        struct mr_session_record *record = entry->session;
        struct mr_client *other = mr_record_client(record);
        if (other != NULL) {
            take_over(client, other);
            // That may have ended the session: look again.
            err = mr_registry_claim(registry, it->client_id, (uint16_t)protocol->worker, &entry,
                                    &owner);
            if (err == MR_ERR_EXISTS && owner != protocol->worker) {
                return mr_client_move(client, owner);
            }
        }
    }
    if (err == MR_ERR_EXISTS) {
        struct mr_session_record *record = entry->session;
        if (!it->packet.clean_start) {
            it->session_present = true;
            *out = record;
            return MR_HANDLED;
        }
        mr_count_sub(&protocol->router->counters.clients_disconnected, 1);
        mr_record_end(protocol, record);  // [MQTT-3.1.2-4]
        err =
            mr_registry_claim(registry, it->client_id, (uint16_t)protocol->worker, &entry, &owner);
        if (err == MR_ERR_EXISTS) {
            return mr_client_move(client, owner);
        }
    }
    if (err == MR_OK) {
        *out = mr_record_new(protocol, entry);
        if (*out != NULL) {
            return MR_HANDLED;
        }
        mr_registry_release(registry, entry);
    }
    mr_count(&mr_client_counters(client)->memory_disconnects);
    return refuse_connecting(it, MR_REASON_SERVER_BUSY, "out of memory");
}

// What the session keeps of this connection.
static bool fill_record(struct connecting *it, struct mr_session_record *record) {
    const struct mr_connect *packet = &it->packet;
    char *user_name = NULL;
    struct mr_will_record *will = NULL;
    if (packet->has_user_name) {
        user_name = malloc(packet->user_name.len + 1);
        if (user_name == NULL) {
            return false;
        }
        if (packet->user_name.data != NULL) {
            memcpy(user_name, packet->user_name.data, packet->user_name.len);
        }
        user_name[packet->user_name.len] = '\0';
    }
    if (packet->has_will) {
        will = will_new(it, record->session.subscriber);
        if (will == NULL) {
            free(user_name);
            return false;
        }
    }
    free(record->user_name);
    record->user_name = user_name;
    mr_record_drop_will(record);  // A new connection in time: the old will isn't sent.
    record->will = will;
    record->security_index = (uint16_t)mr_client_listener(it->client)->security_index;
    if (packet->version == MR_MQTT_50) {
        record->expiry_s = packet->properties.session_expiry_s;
    } else {
        record->expiry_s = packet->clean_start ? 0 : EXPIRY_NEVER;
    }
    return true;
}

// -------------------------------------------------------------------------- accepting

static bool fill_link(struct connecting *it) {
    struct mr_client *client = it->client;
    const struct mr_properties *properties = &it->packet.properties;
    struct mr_link *link = &client->link;
    link->version = (uint8_t)it->packet.version;
    if (properties->receive_max != 0) {
        link->receive_max = properties->receive_max;
    }
    uint16_t alias_max = mr_client_listener(client)->topic_alias_broker_max;
    if (properties->topic_alias_max < alias_max) {
        alias_max = properties->topic_alias_max;
    }
    if (alias_max > 0) {
        link->aliases = mr_topic_aliases_new(alias_max);
        if (link->aliases == NULL) {
            return false;
        }
    }
    client->acl = mr_auth_has_acl(mr_client_policy(client));
    return true;
}

static void set_number(struct mr_properties *properties, enum mr_property_id id, bool wanted) {
    if (wanted) {
        properties->present |= MR_PROPERTY_BIT(id);
    }
}

// False: the client's maximum packet size allows no CONNACK at all.
static bool send_accepting_connack(struct connecting *it) {
    struct mr_client *client = it->client;
    const struct mr_config *config = client->protocol->config;
    const struct mr_listener_config *listener = mr_client_listener(client);
    struct mr_connack connack = {.session_present = it->session_present};
    struct mr_properties *properties = &connack.properties;
    if (it->packet.version == MR_MQTT_31) {
        connack.session_present = false;  // The bit is reserved there.
    }
    if (it->packet.version == MR_MQTT_50) {
        properties->receive_max = config->receive_max;
        set_number(properties, MR_PROPERTY_RECEIVE_MAXIMUM, config->receive_max != UINT16_MAX);
        properties->topic_alias_max = listener->topic_alias_max;
        set_number(properties, MR_PROPERTY_TOPIC_ALIAS_MAXIMUM, listener->topic_alias_max > 0);
        properties->qos_max = listener->qos_max;
        set_number(properties, MR_PROPERTY_MAXIMUM_QOS, listener->qos_max < 2);
        properties->retain_available = 0;
        set_number(properties, MR_PROPERTY_RETAIN_AVAILABLE, !config->retain_available);
        properties->packet_bytes_max = config->packet_bytes_max;
        set_number(properties, MR_PROPERTY_MAXIMUM_PACKET_SIZE,
                   config->packet_bytes_max < MR_PACKET_BYTES_DEFAULT);
        properties->server_keep_alive_s = it->keep_alive_s;
        set_number(properties, MR_PROPERTY_SERVER_KEEP_ALIVE,
                   it->keep_alive_s != it->packet.keep_alive_s);
        uint64_t expiry_max_s = config->persistent_client_expiration_s;
        bool capped = expiry_max_s != 0 && it->packet.properties.session_expiry_s > expiry_max_s;
        properties->session_expiry_s = capped ? (uint32_t)expiry_max_s : 0;
        set_number(properties, MR_PROPERTY_SESSION_EXPIRY_INTERVAL, capped);
        if (it->client_id.data != it->packet.client_id.data) {
            properties->present |= MR_PROPERTY_BIT(MR_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER);
            properties->assigned_client_id = it->client_id;
        }
    }
    return mr_send_connack(client, &connack);
}

static void log_connected(struct connecting *it) {
    if (!it->client->protocol->config->connection_messages || !mr_log_wants(MR_LOG_NOTICE)) {
        return;
    }
    char peer[MR_PEER_TEXT_BYTES];
    char id[MR_LOG_TEXT_BYTES];
    char user[MR_LOG_TEXT_BYTES];
    mr_stream_peer_text(&it->client->stream, peer);
    mr_log(MR_LOG_NOTICE, "New client connected from %s as %s (p%d, c%d, k%u%s%s%s).", peer,
           mr_log_text(it->client_id, id),
           it->packet.version == MR_MQTT_31    ? 1
           : it->packet.version == MR_MQTT_311 ? 2
                                               : 5,
           it->packet.clean_start, it->keep_alive_s, it->packet.has_user_name ? ", u'" : "",
           it->packet.has_user_name ? mr_log_text(it->packet.user_name, user) : "",
           it->packet.has_user_name ? "'" : "");
}

static enum mr_handled accept(struct connecting *it, struct mr_session_record *record) {
    struct mr_client *client = it->client;
    struct mr_protocol *protocol = client->protocol;
    if (!fill_link(it) || !fill_record(it, record)) {
        mr_count(&mr_client_counters(client)->memory_disconnects);
        if (!it->session_present) {
            mr_record_end(protocol, record);
        }
        return refuse_connecting(it, MR_REASON_SERVER_BUSY, "out of memory");
    }
    if (it->session_present) {
        mr_count_sub(&protocol->router->counters.clients_disconnected, 1);
    }
    mr_record_present(protocol, record);
    if (it->session_present && client->acl) {
        // It may have come back as another user.
        mr_protocol_recheck_waiting(protocol, &record->session);
    }
    mr_session_attach(&record->session, &client->link);
    client->record = record;
    client->state = MR_CLIENT_CONNECTED;
    client->keep_alive_s = it->keep_alive_s;
    mr_timer_stop(protocol->loop, &client->timer);
    if (it->keep_alive_s > 0) {
        mr_timer_start(protocol->loop, &client->timer, (uint64_t)it->keep_alive_s * 1500);
    }
    mr_count(&protocol->router->counters.connects_accepted);
    mr_count(&protocol->router->counters.clients_connected);
    log_connected(it);
    if (!send_accepting_connack(it)) {
        return mr_client_drop(client);
    }
    mr_router_online(protocol->router, &record->session);
    mr_router_pump(protocol->router, &record->session);
    mr_replay_pump(client);
    return MR_HANDLED;
}

enum mr_handled mr_handle_connect(struct mr_client *client, struct mr_slice body) {
    struct connecting it = {.client = client};
    struct mr_decode_error error;
    enum mr_decode_status status = mr_connect_decode(body, &it.packet, &error);
    if (it.packet.properties.packet_bytes_max != 0) {
        // A refusal has to keep to it, too [MQTT-3.1.2-24].
        client->link.packet_bytes_max = it.packet.properties.packet_bytes_max;
    }
    if (status != MR_DECODE_DONE) {
        mr_count(&mr_client_counters(client)->protocol_errors);
        if (it.packet.version == 0) {
            return mr_client_drop(client);
        }
        return refuse(client, it.packet.version, error.reason, error.what);
    }
    client->link.version = (uint8_t)it.packet.version;
    if (client->protocol->shutting_down) {
        return refuse_connecting(&it, MR_REASON_SERVER_SHUTTING_DOWN, NULL);
    }
    if (mr_properties_has(&it.packet.properties, MR_PROPERTY_AUTHENTICATION_METHOD)) {
        return refuse_connecting(&it, MR_REASON_BAD_AUTHENTICATION_METHOD,
                                 "no enhanced authentication here");
    }
    const char *mount_point = mr_client_listener(client)->mount_point;
    client->link.mount_point = mount_point != NULL && mount_point[0] != '\0' ? mount_point : NULL;
    enum mr_handled handled = choose_client_id(&it);
    if (handled == MR_HANDLED) {
        handled = check_will(&it);
    }
    if (handled == MR_HANDLED) {
        handled = check_keep_alive(&it);
    }
    if (handled == MR_HANDLED) {
        handled = check_password(&it);
    }
    struct mr_session_record *record = NULL;
    if (handled == MR_HANDLED) {
        handled = find_session(&it, &record);
    }
    if (handled != MR_HANDLED || MR_NEVER(record == NULL)) {
        return handled;
    }
    return accept(&it, record);
}
