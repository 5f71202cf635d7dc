// PUBACK, PUBREC, PUBREL and PUBCOMP from a client. MQTT 5.0 sections 3.4 to 3.7 and 4.3.
#include "broker/protocol/client.h"

#define REASON_FAILED 0x80

void mr_client_pump(struct mr_client *client) {
    client->pump_due = false;
    mr_router_pump(client->protocol->router, mr_client_session(client));
    if (client->record->last_replay != NULL) {
        mr_replay_pump(client);
    }
}

enum mr_handled mr_handle_ack(struct mr_client *client, enum mr_packet_type type,
                              struct mr_slice body) {
    struct mr_ack ack;
    struct mr_decode_error error;
    if (mr_ack_decode((enum mr_version)client->link.version, type, body, &ack, &error) !=
        MR_DECODE_DONE) {
        return mr_client_refuse(client, &error);
    }
    struct mr_session *session = mr_client_session(client);
    bool known;
    switch (type) {
        case MR_PUBACK:
            // An unknown identifier changes nothing: it may be of an earlier connection.
            if (mr_session_puback(session, ack.packet_id)) {
                client->pump_due = true;
            }
            return MR_HANDLED;
        case MR_PUBREC:
            known = mr_session_pubrec(session, ack.packet_id, ack.reason >= REASON_FAILED);
            if (ack.reason < REASON_FAILED) {
                mr_send_ack(client, MR_PUBREL, ack.packet_id,
                            known || !mr_client_is_v5(client)
                                ? MR_REASON_SUCCESS
                                : MR_REASON_PACKET_IDENTIFIER_NOT_FOUND);
            } else if (known) {
                client->pump_due = true;
            }
            return MR_HANDLED;
        case MR_PUBREL:
            known = mr_session_release(session, ack.packet_id);
            mr_send_ack(client, MR_PUBCOMP, ack.packet_id,
                        known || !mr_client_is_v5(client) ? MR_REASON_SUCCESS
                                                          : MR_REASON_PACKET_IDENTIFIER_NOT_FOUND);
            return MR_HANDLED;
        default:
            if (mr_session_pubcomp(session, ack.packet_id)) {
                client->pump_due = true;
            }
            return MR_HANDLED;
    }
}
