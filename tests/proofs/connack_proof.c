// CONNACK: section 3.2.
#include "tests/proofs/packet.h"

// Flags, code, property length, and three bytes of properties.
#define BYTES_MAX 6

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_connack packet;
    enum mr_version version = any_version();
    enum mr_decode_status status = mr_connack_decode(version, body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    if (status == MR_DECODE_DONE) {
        PROVE(version == MR_MQTT_50 || (body.len == 2 && packet.code <= 5));
        PROVE(!packet.session_present || packet.code == 0);  // [MQTT-3.2.2-6]
        prove_properties(&packet.properties, body);
        PROVE(ends(packet.properties.raw, body));
        PROVE(!mr_properties_has(&packet.properties, MR_PROPERTY_AUTHENTICATION_DATA) ||
              mr_properties_has(&packet.properties, MR_PROPERTY_AUTHENTICATION_METHOD));
        REACHES(packet.session_present && version == MR_MQTT_31);
        REACHES(packet.code == MR_REASON_BANNED);
    }
    return 0;
}
