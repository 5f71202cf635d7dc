#include "codec/internal.h"

#define PUBREL_FLAGS 0x2u
#define BARE_BYTES 4u  // Fixed header and packet identifier.

static uint8_t first_byte_of(enum mr_packet_type type) {
    return (uint8_t)first_byte(type, type == MR_PUBREL ? PUBREL_FLAGS : 0);
}

// Reason code and properties of 5.0, which may both be left out, or the latter.
static bool read_reason(struct reader *reader, enum mr_packet_type type, struct mr_ack *out) {
    if (!mr_reader_reason(reader, (unsigned)type, &out->reason)) {
        return false;
    }
    return reader_left(reader) == 0 ||
           (mr_reader_properties(reader, (unsigned)type, &out->properties) && reader_end(reader));
}

enum mr_decode_status mr_ack_decode(enum mr_version version, enum mr_packet_type type,
                                    struct mr_slice body, struct mr_ack *out,
                                    struct mr_decode_error *error) {
    MR_DEBUG_ASSERT(type >= MR_PUBACK && type <= MR_PUBCOMP);
    // The form without reason is the one that comes with each QoS 1 and 2 message.
    if (MR_LIKELY(body.len == 2)) {
        uint16_t packet_id = load_u16(body.data);
        if (MR_UNLIKELY(packet_id == 0)) {
            return mr_refuse(error, MR_REASON_PROTOCOL_ERROR, 0, "packet identifier is 0");
        }
        out->packet_id = packet_id;
        out->reason = MR_REASON_SUCCESS;
        properties_clear(&out->properties);
        return MR_DECODE_DONE;
    }
    struct reader reader = reader_of(body, error);
    struct mr_ack packet;
    properties_clear(&packet.properties);
    bool ok = mr_reader_packet_id(&reader, &packet.packet_id) &&
              (version == MR_MQTT_50 ? read_reason(&reader, type, &packet) : reader_end(&reader));
    if (!ok) {
        return MR_DECODE_BAD;
    }
    *out = packet;
    return MR_DECODE_DONE;
}

// With a reason or properties, so of 5.0.
static __attribute__((noinline)) size_t encode_reasoned(enum mr_packet_type type,
                                                        const struct mr_ack *packet, uint8_t *out,
                                                        size_t out_bytes_max) {
    size_t properties_len = mr_properties_encoded_len(&packet->properties, type);
    bool has_reason = packet->reason != MR_REASON_SUCCESS || properties_len != 0;
    size_t body_len = 2 + (size_t)has_reason;
    body_len = length_sum(body_len, properties_len ? properties_field_len(properties_len) : 0);
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte_of(type), body_len, out, out_bytes_max)) {
        return 0;
    }
    writer_u16(&writer, packet->packet_id);
    if (has_reason) {
        writer_u8(&writer, packet->reason);
    }
    if (properties_len != 0) {
        mr_writer_properties(&writer, &packet->properties, type, properties_len);
    }
    return writer_end(&writer, out);
}

size_t mr_ack_encode(enum mr_version version, enum mr_packet_type type, const struct mr_ack *packet,
                     uint8_t *out, size_t out_bytes_max) {
    bool is_bare = packet->reason == MR_REASON_SUCCESS && packet->properties.present == 0 &&
                   packet->properties.raw.len == 0;
    if (!is_bare && version == MR_MQTT_50) {
        return encode_reasoned(type, packet, out, out_bytes_max);
    }
    if (out_bytes_max < BARE_BYTES) {
        return 0;
    }
    out[0] = first_byte_of(type);
    out[1] = 2;
    out[2] = (uint8_t)(packet->packet_id >> 8);
    out[3] = (uint8_t)packet->packet_id;
    return BARE_BYTES;
}
