// DISCONNECT: section 3.14.
#include "tests/proofs/packet.h"

// Reason code, property length, and four bytes of properties.
#define BYTES_MAX 6

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_disconnect packet;
    enum mr_version version = any_version();
    bool from_client = nondet_bool();
    enum mr_decode_status status =
        mr_disconnect_decode(version, body, from_client, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    if (status == MR_DECODE_DONE) {
        PROVE(version == MR_MQTT_50 || body.len == 0);
        PROVE(body.len != 0 || packet.reason == MR_REASON_SUCCESS);
        // [MQTT-3.14.2-2]
        PROVE(from_client ||
              !mr_properties_has(&packet.properties, MR_PROPERTY_SESSION_EXPIRY_INTERVAL));
        PROVE(from_client || packet.reason != MR_REASON_DISCONNECT_WITH_WILL);
        prove_properties(&packet.properties, body);
        PROVE(ends(packet.properties.raw, body));
        REACHES(body.len == 0);
        REACHES(packet.reason == MR_REASON_DISCONNECT_WITH_WILL);
    }
    return 0;
}
