// Connections: made, paused, closed.
#include "broker/protocol/client.h"

#include <stdlib.h>

#include "broker/limits.h"

const struct mr_listener_config *mr_client_listener(const struct mr_client *client) {
    return &client->protocol->config->listeners[client->listener];
}

struct mr_auth_policy *mr_client_policy(const struct mr_client *client) {
    return client->protocol->policies->policies[mr_client_listener(client)->security_index];
}

void mr_client_identity(const struct mr_client *client, struct mr_auth_identity *out) {
    mr_record_identity(client->record, out);
}

// ------------------------------------------------------------------------ pausing

void mr_client_pause(struct mr_client *client, enum mr_pause reason) {
    client->pause |= (uint8_t)reason;
    mr_stream_recv_pause(&client->stream);
    if (reason == MR_PAUSE_BUSY || reason == MR_PAUSE_CONGESTED) {
        mr_count(&mr_client_counters(client)->backpressure_pauses);
        mr_client_add_work(client, MR_WORK_WAITING);
    }
}

void mr_client_resume(struct mr_client *client, enum mr_pause reason) {
    client->pause &= (uint8_t)~reason;
    if (client->pause == 0) {
        mr_stream_recv_resume(&client->stream);
    }
}

void mr_client_add_work(struct mr_client *client, enum mr_work work) {
    client->work |= (uint8_t)work;
    if ((client->work & MR_WORK_LISTED) == 0) {
        client->work |= MR_WORK_LISTED;
        client->work_next = client->protocol->work;
        client->protocol->work = client;
    }
}

static void remove_work(struct mr_client *client) {
    if ((client->work & MR_WORK_LISTED) == 0) {
        return;
    }
    struct mr_client **at = &client->protocol->work;
    while (*at != client) {
        at = &(*at)->work_next;
    }
    *at = client->work_next;
    client->work = 0;
}

// ------------------------------------------------------------------------- timers

static void on_timer(struct mr_timer *timer) {
    struct mr_client *client = MR_CONTAINER_OF(timer, struct mr_client, timer);
    struct mr_counters *counters = mr_client_counters(client);
    mr_router_begin(client->protocol->router);
    if (client->state == MR_CLIENT_CLOSING || client->state == MR_CLIENT_MOVING) {
        return;
    }
    if (client->state == MR_CLIENT_CHECKING) {
        // It is us that it waits for.
        mr_timer_start(client->protocol->loop, timer, MR_LINGER_MS);
        return;
    }
    if (client->state != MR_CLIENT_CONNECTED) {
        mr_count(&counters->connect_timeouts);
        mr_client_drop(client);
        return;
    }
    // One and a half times the keep alive [MQTT-3.1.2-22].
    uint64_t patience_ms = (uint64_t)client->keep_alive_s * 1500;
    uint32_t silent_ms = (uint32_t)mr_loop_now_ms(client->protocol->loop) - client->last_recv_ms;
    if (silent_ms < patience_ms || client->pause != 0) {
        // While we don't let it speak, silence isn't the client's fault.
        uint64_t wait_ms = client->pause != 0 ? patience_ms : patience_ms - silent_ms;
        mr_timer_start(client->protocol->loop, &client->timer, wait_ms);
        mr_session_trim(mr_client_session(client));
        return;
    }
    mr_count(&counters->keep_alive_timeouts);
    mr_client_close(client, MR_REASON_KEEP_ALIVE_TIMEOUT,
                    "nothing heard in 1.5 times the keep alive");
}

// ----------------------------------------------------------------- beginning and end

struct mr_client *mr_client_new(struct mr_protocol *protocol, uint32_t listener) {
    struct mr_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return NULL;
    }
    client->protocol = protocol;
    client->listener = (uint16_t)listener;
    client->link.out = mr_stream_out(&client->stream);
    client->link.packet_bytes_max = UINT32_MAX;
    client->link.receive_max = UINT16_MAX;
    mr_timer_init(&client->timer, on_timer);
    mr_timer_start(protocol->loop, &client->timer,
                   (uint64_t)protocol->config->connect_timeout_s * 1000);
    client->next = protocol->clients;
    client->link_to = &protocol->clients;
    if (client->next != NULL) {
        client->next->link_to = &client->next;
    }
    protocol->clients = client;
    protocol->client_count++;
    return client;
}

static void free_aliases(struct mr_inbound_aliases *aliases) {
    for (uint32_t i = 0; aliases != NULL && i < aliases->max; i++) {
        if (aliases->names[i] != NULL) {
            mr_buf_unref(aliases->names[i]);
        }
    }
    free(aliases);
}

void mr_client_free(struct mr_client *client) {
    if (client->password_pending) {
        client->stream_closed = true;  // The answer frees it.
        return;
    }
    struct mr_protocol *protocol = client->protocol;
    mr_timer_stop(protocol->loop, &client->timer);
    remove_work(client);
    *client->link_to = client->next;
    if (client->next != NULL) {
        client->next->link_to = client->link_to;
    }
    protocol->client_count--;
    free_aliases(client->aliases);
    mr_topic_aliases_free(client->link.aliases);
    free(client);
}

void mr_client_leave_session(struct mr_client *client, bool send_will) {
    struct mr_session_record *record = client->record;
    if (record == NULL) {
        return;
    }
    struct mr_protocol *protocol = client->protocol;
    client->record = NULL;
    mr_router_offline(protocol->router, &record->session);
    mr_count_sub(&protocol->router->counters.clients_connected, 1);
    mr_record_disconnected(protocol, record, send_will);
}

static void log_disconnect(struct mr_client *client, enum mr_reason reason, const char *what) {
    if (!client->protocol->config->connection_messages || !mr_log_wants(MR_LOG_NOTICE)) {
        return;
    }
    char id[MR_LOG_TEXT_BYTES] = "(unknown)";
    if (client->record != NULL) {
        mr_log_text(mr_registry_entry_client_id(client->record->session.entry), id);
    }
    mr_log(MR_LOG_NOTICE, "Client %s closed: %s%s%s.", id, mr_reason_text(reason),
           what != NULL ? ", " : "", what != NULL ? what : "");
}

enum mr_handled mr_client_close(struct mr_client *client, enum mr_reason reason, const char *what) {
    if (client->state == MR_CLIENT_CLOSING) {
        return MR_HANDLED_CLOSE;
    }
    log_disconnect(client, reason, what);
    if (client->state == MR_CLIENT_CONNECTED && mr_client_is_v5(client) &&
        client->link.failed != MR_LINK_NO_MEMORY) {
        mr_send_disconnect(client, reason, what);
    }
    client->state = MR_CLIENT_CLOSING;
    mr_client_leave_session(client, true);
    mr_stream_close(&client->stream,
                    client->link.failed == MR_LINK_NO_MEMORY ? MR_CLOSE_ABORT : MR_CLOSE_FLUSH,
                    MR_LINGER_MS);
    return MR_HANDLED_CLOSE;
}

enum mr_handled mr_client_refuse(struct mr_client *client, const struct mr_decode_error *error) {
    mr_count(&mr_client_counters(client)->protocol_errors);
    return mr_client_close(client, error->reason, error->what);
}

enum mr_handled mr_client_close_no_memory(struct mr_client *client) {
    mr_count(&mr_client_counters(client)->memory_disconnects);
    return mr_client_close(client, MR_REASON_SERVER_BUSY, "out of memory");
}

bool mr_client_mount(const struct mr_client *client, struct mr_slice *text,
                     struct mr_buf **buf_out) {
    struct mr_slice prefix = mr_link_mount_point(&client->link);
    *buf_out = NULL;
    if (prefix.len == 0) {
        return true;
    }
    size_t len = prefix.len + text->len;
    struct mr_buf *buf =
        len <= MR_TOPIC_BYTES_MAX ? mr_buf_new(client->protocol->router->env.pool, len) : NULL;
    if (buf == NULL) {
        return false;
    }
    memcpy(buf->data, prefix.data, prefix.len);
    memcpy(buf->data + prefix.len, text->data, text->len);
    *text = mr_slice_of(buf->data, len);
    *buf_out = buf;
    return true;
}

enum mr_handled mr_client_drop(struct mr_client *client) {
    if (client->state != MR_CLIENT_CLOSING) {
        client->state = MR_CLIENT_CLOSING;
        mr_client_leave_session(client, true);
        mr_stream_close(&client->stream, MR_CLOSE_FLUSH, MR_LINGER_MS);
    }
    return MR_HANDLED_CLOSE;
}

void mr_client_on_drain(struct mr_stream *stream) {
    struct mr_client *client = MR_CONTAINER_OF(stream, struct mr_client, stream);
    mr_router_begin(client->protocol->router);
    if (client->record != NULL) {
        mr_router_pump(client->protocol->router, mr_client_session(client));
        mr_replay_pump(client);
    }
}

void mr_client_on_close(struct mr_stream *stream, enum mr_err why, int os_error) {
    struct mr_client *client = MR_CONTAINER_OF(stream, struct mr_client, stream);
    struct mr_protocol *protocol = client->protocol;
    mr_router_begin(protocol->router);
    (void)os_error;
    if (client->record != NULL && protocol->config->connection_messages &&
        mr_log_wants(MR_LOG_NOTICE)) {
        char id[MR_LOG_TEXT_BYTES];
        mr_log(MR_LOG_NOTICE, "Client %s lost: %s.",
               mr_log_text(mr_registry_entry_client_id(client->record->session.entry), id),
               mr_err_text(why));
    }
    client->state = MR_CLIENT_CLOSING;
    __atomic_fetch_sub(&protocol->listener_connections[client->listener], 1, __ATOMIC_RELAXED);
    mr_client_leave_session(client, true);
    mr_client_free(client);
}
