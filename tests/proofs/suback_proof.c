// SUBACK and UNSUBACK: sections 3.9 and 3.11.
#include "tests/proofs/packet.h"

// Packet identifier, property length, and three reason codes.
#define BYTES_MAX 6

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_suback packet;
    enum mr_version version = any_version();
    enum mr_packet_type type = nondet_bool() ? MR_SUBACK : MR_UNSUBACK;
    enum mr_decode_status status = mr_suback_decode(version, type, body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    if (status == MR_DECODE_DONE) {
        PROVE(packet.packet_id != 0);
        PROVE(is_within(packet.codes, body));
        PROVE((packet.codes.len == 0) == (version != MR_MQTT_50 && type == MR_UNSUBACK));
        prove_properties(&packet.properties, body);
        REACHES(packet.codes.len == BYTES_MAX - 2);
        REACHES(packet.codes.len == BYTES_MAX - 3 && type == MR_UNSUBACK);
    }
    return 0;
}
