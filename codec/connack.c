#include "codec/internal.h"

#define FLAG_SESSION_PRESENT 0x01u
#define V3_RETURN_CODE_MAX 5

static bool read_code(struct reader *reader, enum mr_version version, uint8_t *out) {
    if (version == MR_MQTT_50) {
        enum mr_reason reason;
        if (!mr_reader_reason(reader, MR_CONNACK, &reason)) {
            return false;
        }
        *out = (uint8_t)reason;
        return true;
    }
    if (!reader_u8(reader, out)) {
        return false;
    }
    return *out <= V3_RETURN_CODE_MAX || reader_refuse(reader, MR_REASON_MALFORMED_PACKET,
                                                       reader->next - 1, "reserved return code");
}

static bool check_auth_properties(struct reader *reader, const struct mr_properties *properties) {
    return !mr_properties_has(properties, MR_PROPERTY_AUTHENTICATION_DATA) ||
           mr_properties_has(properties, MR_PROPERTY_AUTHENTICATION_METHOD) ||
           reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, properties->raw.data,
                         "authentication data without method");
}

enum mr_decode_status mr_connack_decode(enum mr_version version, struct mr_slice body,
                                        struct mr_connack *out, struct mr_decode_error *error) {
    struct reader reader = reader_of(body, error);
    struct mr_connack packet;
    uint8_t flags;
    properties_clear(&packet.properties);
    if (!reader_u8(&reader, &flags)) {
        return MR_DECODE_BAD;
    }
    if (flags & ~FLAG_SESSION_PRESENT) {
        return mr_refuse(error, MR_REASON_MALFORMED_PACKET, 0, "reserved acknowledge flags");
    }
    packet.session_present = flags != 0;
    bool ok =
        read_code(&reader, version, &packet.code) &&
        (version != MR_MQTT_50 || (mr_reader_properties(&reader, MR_CONNACK, &packet.properties) &&
                                   check_auth_properties(&reader, &packet.properties))) &&
        reader_end(&reader);
    if (!ok) {
        return MR_DECODE_BAD;
    }
    // [MQTT-3.2.2-6], and [MQTT-3.2.2-4 of 3.1.1].
    if (packet.session_present && packet.code != 0) {
        return mr_refuse(error, MR_REASON_PROTOCOL_ERROR, 0, "session present on a refusal");
    }
    *out = packet;
    return MR_DECODE_DONE;
}

size_t mr_connack_encode(enum mr_version version, const struct mr_connack *packet, uint8_t *out,
                         size_t out_bytes_max) {
    bool is_50 = version == MR_MQTT_50;
    size_t properties_len = is_50 ? mr_properties_encoded_len(&packet->properties, MR_CONNACK) : 0;
    size_t body_len = length_sum(2, is_50 ? properties_field_len(properties_len) : 0);
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(MR_CONNACK, 0), body_len, out, out_bytes_max)) {
        return 0;
    }
    writer_u8(&writer, packet->session_present ? FLAG_SESSION_PRESENT : 0);
    writer_u8(&writer, packet->code);
    if (is_50) {
        mr_writer_properties(&writer, &packet->properties, MR_CONNACK, properties_len);
    }
    return writer_end(&writer, out);
}
