// What the proofs of packet decoders share.
//
// Each takes any bytes of a body up to a length, of any version and flags, and proves:
// nothing outside the body is read, no arithmetic overflows, whatever is handed out lies within
// the body, and a refusal says why and where. UTF-8 and properties are contracts here:
// utf8_contract.c,
// properties_contract.c, property_contract.c.
#ifndef MILLRACE_TESTS_PROOFS_PACKET_H
#define MILLRACE_TESTS_PROOFS_PACKET_H

#include "codec/codec.h"
#include "tests/proofs/proof.h"

static inline enum mr_version any_version(void) {
    uint8_t version = nondet_u8();
    ASSUME(version >= MR_MQTT_31 && version <= MR_MQTT_50);
    return (enum mr_version)version;
}

// The slices that are there lie within `raw`, and that within `body`.
static inline void prove_properties(const struct mr_properties *properties, struct mr_slice body) {
    PROVE(is_within(properties->raw, body));
#define PROVE_WITHIN(NAME, field)                                                             \
    PROVE(!mr_properties_has(properties, MR_PROPERTY_##NAME) || properties->field.len == 0 || \
          is_within(properties->field, properties->raw))
    PROVE_WITHIN(CONTENT_TYPE, content_type);
    PROVE_WITHIN(RESPONSE_TOPIC, response_topic);
    PROVE_WITHIN(CORRELATION_DATA, correlation_data);
    PROVE_WITHIN(ASSIGNED_CLIENT_IDENTIFIER, assigned_client_id);
    PROVE_WITHIN(AUTHENTICATION_METHOD, authentication_method);
    PROVE_WITHIN(AUTHENTICATION_DATA, authentication_data);
    PROVE_WITHIN(RESPONSE_INFORMATION, response_information);
    PROVE_WITHIN(SERVER_REFERENCE, server_reference);
    PROVE_WITHIN(REASON_STRING, reason_string);
#undef PROVE_WITHIN
}

// Does `part` end where `body` does? It may be absent.
static inline bool ends(struct mr_slice part, struct mr_slice body) {
    return part.data == NULL || part.data + part.len == body.data + body.len;
}

// What holds of every decoder's answer.
static inline void prove_answer(enum mr_decode_status status, struct mr_slice body,
                                const struct mr_decode_error *error, size_t bytes_max) {
    PROVE(status == MR_DECODE_DONE || status == MR_DECODE_BAD);
    if (status == MR_DECODE_BAD) {
        PROVE(error->what != NULL);
        PROVE(error->reason >= MR_REASON_UNSPECIFIED_ERROR);
        PROVE(error->offset <= body.len);
    }
    (void)bytes_max;
    REACHES(status == MR_DECODE_DONE && body.len == bytes_max);
    REACHES(status == MR_DECODE_BAD && body.len == bytes_max);
    REACHES(status == MR_DECODE_BAD && body.len == 1);
}

#endif  // MILLRACE_TESTS_PROOFS_PACKET_H
