// DISCONNECT, PINGREQ and AUTH from a client. MQTT 5.0 sections 3.12, 3.14 and 3.15.
#include "broker/protocol/client.h"

#include "broker/limits.h"

enum mr_handled mr_handle_pingreq(struct mr_client *client, struct mr_slice body) {
    struct mr_decode_error error;
    if (mr_ping_decode(body, &error) != MR_DECODE_DONE) {
        return mr_client_refuse(client, &error);
    }
    mr_send_pingresp(client);
    return MR_HANDLED;
}

enum mr_handled mr_handle_disconnect(struct mr_client *client, struct mr_slice body) {
    struct mr_disconnect disconnect;
    struct mr_decode_error error;
    if (mr_disconnect_decode((enum mr_version)client->link.version, body, true, &disconnect,
                             &error) != MR_DECODE_DONE) {
        return mr_client_refuse(client, &error);
    }
    struct mr_session_record *record = client->record;
    if (mr_properties_has(&disconnect.properties, MR_PROPERTY_SESSION_EXPIRY_INTERVAL)) {
        uint32_t expiry_s = disconnect.properties.session_expiry_s;
        if (record->expiry_s == 0 && expiry_s != 0) {
            error.reason = MR_REASON_PROTOCOL_ERROR;
            error.what = "session expiry raised from 0";
            return mr_client_refuse(client, &error);
        }
        record->expiry_s = expiry_s;
    }
    if (client->protocol->config->connection_messages && mr_log_wants(MR_LOG_NOTICE)) {
        char id[MR_LOG_TEXT_BYTES];
        mr_log(MR_LOG_NOTICE, "Client %s disconnected.",
               mr_log_text(mr_registry_entry_client_id(record->session.entry), id));
    }
    client->state = MR_CLIENT_CLOSING;
    // The will goes with a normal disconnection [MQTT-3.14.4-3], and only with that.
    mr_client_leave_session(client, disconnect.reason != MR_REASON_SUCCESS);
    mr_stream_close(&client->stream, MR_CLOSE_FLUSH, MR_LINGER_MS);
    return MR_HANDLED_CLOSE;
}

// Only clients that connected with an authentication method may send AUTH [MQTT-4.12.0-1], and
// such a CONNECT is refused here: there is no method to speak of.
enum mr_handled mr_handle_auth(struct mr_client *client, struct mr_slice body) {
    struct mr_auth auth;
    struct mr_decode_error error;
    if (mr_auth_decode(body, &auth, &error) != MR_DECODE_DONE) {
        return mr_client_refuse(client, &error);
    }
    error.reason = MR_REASON_PROTOCOL_ERROR;
    error.what = "AUTH without an authentication method in CONNECT";
    return mr_client_refuse(client, &error);
}
