#include "codec/internal.h"

static bool read_reason(struct reader *reader, bool from_client, struct mr_disconnect *out) {
    unsigned type = from_client ? MR_TYPE_CLIENT_DISCONNECT : MR_DISCONNECT;
    if (!mr_reader_reason(reader, type, &out->reason)) {
        return false;
    }
    if (reader_left(reader) == 0) {
        return true;
    }
    const uint8_t *at = reader->next;
    if (!mr_reader_properties(reader, MR_DISCONNECT, &out->properties)) {
        return false;
    }
    if (!from_client && mr_properties_has(&out->properties, MR_PROPERTY_SESSION_EXPIRY_INTERVAL)) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, at,
                             "session expiry interval from the server");
    }
    return reader_end(reader);
}

enum mr_decode_status mr_disconnect_decode(enum mr_version version, struct mr_slice body,
                                           bool from_client, struct mr_disconnect *out,
                                           struct mr_decode_error *error) {
    struct reader reader = reader_of(body, error);
    struct mr_disconnect packet;
    packet.reason = MR_REASON_SUCCESS;
    properties_clear(&packet.properties);
    bool ok = version == MR_MQTT_50 && body.len != 0 ? read_reason(&reader, from_client, &packet)
                                                     : reader_end(&reader);
    if (!ok) {
        return MR_DECODE_BAD;
    }
    *out = packet;
    return MR_DECODE_DONE;
}

size_t mr_disconnect_encode(enum mr_version version, const struct mr_disconnect *packet,
                            uint8_t *out, size_t out_bytes_max) {
    size_t properties_len =
        version == MR_MQTT_50 ? mr_properties_encoded_len(&packet->properties, MR_DISCONNECT) : 0;
    bool has_reason =
        version == MR_MQTT_50 && (packet->reason != MR_REASON_SUCCESS || properties_len != 0);
    size_t body_len =
        length_sum((size_t)has_reason, properties_len ? properties_field_len(properties_len) : 0);
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(MR_DISCONNECT, 0), body_len, out, out_bytes_max)) {
        return 0;
    }
    if (has_reason) {
        writer_u8(&writer, packet->reason);
    }
    if (properties_len != 0) {
        mr_writer_properties(&writer, &packet->properties, MR_DISCONNECT, properties_len);
    }
    return writer_end(&writer, out);
}
