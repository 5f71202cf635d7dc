// AUTH: section 3.15.
#include "tests/proofs/packet.h"

// Reason code, property length, and four bytes of properties.
#define BYTES_MAX 6

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_auth packet;
    enum mr_decode_status status = mr_auth_decode(body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    if (status == MR_DECODE_DONE) {
        PROVE(packet.reason == MR_REASON_SUCCESS ||
              packet.reason == MR_REASON_CONTINUE_AUTHENTICATION ||
              packet.reason == MR_REASON_REAUTHENTICATE);
        PROVE(body.len == 0 ||
              mr_properties_has(&packet.properties, MR_PROPERTY_AUTHENTICATION_METHOD));
        prove_properties(&packet.properties, body);
        PROVE(ends(packet.properties.raw, body));
        REACHES(body.len == 0);
        REACHES(packet.reason == MR_REASON_REAUTHENTICATE);
    }
    return 0;
}
