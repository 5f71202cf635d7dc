#include "codec/internal.h"

enum mr_decode_status mr_auth_decode(struct mr_slice body, struct mr_auth *out,
                                     struct mr_decode_error *error) {
    struct reader reader = reader_of(body, error);
    struct mr_auth packet;
    packet.reason = MR_REASON_SUCCESS;
    properties_clear(&packet.properties);
    // Section 3.15.2.1: success without properties may be left out altogether, though
    // 3.15.2.2.2 demands a method. Whoever knows the method of the CONNECT decides.
    if (body.len != 0) {
        if (!mr_reader_reason(&reader, MR_AUTH, &packet.reason) ||
            !mr_reader_properties(&reader, MR_AUTH, &packet.properties) || !reader_end(&reader)) {
            return MR_DECODE_BAD;
        }
        if (!mr_properties_has(&packet.properties, MR_PROPERTY_AUTHENTICATION_METHOD)) {
            return mr_refuse(error, MR_REASON_PROTOCOL_ERROR, 1, "AUTH without a method");
        }
    }
    *out = packet;
    return MR_DECODE_DONE;
}

size_t mr_auth_encode(const struct mr_auth *packet, uint8_t *out, size_t out_bytes_max) {
    size_t properties_len = mr_properties_encoded_len(&packet->properties, MR_AUTH);
    bool has_body = packet->reason != MR_REASON_SUCCESS || properties_len != 0;
    size_t body_len = has_body ? length_sum(1, properties_field_len(properties_len)) : 0;
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(MR_AUTH, 0), body_len, out, out_bytes_max)) {
        return 0;
    }
    if (has_body) {
        writer_u8(&writer, packet->reason);
        mr_writer_properties(&writer, &packet->properties, MR_AUTH, properties_len);
    }
    return writer_end(&writer, out);
}
