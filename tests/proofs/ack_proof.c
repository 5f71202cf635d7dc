// PUBACK, PUBREC, PUBREL, PUBCOMP: sections 3.4 to 3.7.
#include "tests/proofs/packet.h"

// Packet identifier, reason code, property length, and three bytes of properties.
#define BYTES_MAX 6

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_ack packet;
    enum mr_version version = any_version();
    uint8_t type = nondet_u8();
    ASSUME(type >= MR_PUBACK && type <= MR_PUBCOMP);
    enum mr_decode_status status =
        mr_ack_decode(version, (enum mr_packet_type)type, body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    if (status == MR_DECODE_DONE) {
        PROVE(packet.packet_id != 0);
        PROVE(version == MR_MQTT_50 || (packet.reason == MR_REASON_SUCCESS && body.len == 2));
        prove_properties(&packet.properties, body);
        PROVE(body.len <= 3 || packet.properties.raw.data != NULL);
        PROVE(ends(packet.properties.raw, body));
        REACHES(body.len == 2 && version == MR_MQTT_31);
        REACHES(packet.reason == MR_REASON_PACKET_IDENTIFIER_NOT_FOUND && type == MR_PUBCOMP);
    }
    return 0;
}
