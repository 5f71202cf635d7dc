#include "codec/internal.h"

// The one failure code of 3.1.1 [MQTT-3.9.3-2 of 3.1.1].
#define V3_FAILURE 0x80u

static bool read_v3_codes(struct reader *reader, struct mr_slice *out) {
    struct mr_slice codes = mr_slice_of(reader->next, reader_left(reader));
    for (size_t i = 0; i < codes.len; i++) {
        if (codes.data[i] > 2 && codes.data[i] != V3_FAILURE) {
            return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, codes.data + i,
                                 "reserved return code");
        }
    }
    reader->next = reader->end;
    *out = codes;
    return true;
}

static bool read_codes(struct reader *reader, enum mr_version version, enum mr_packet_type type,
                       struct mr_slice *out) {
    if (version != MR_MQTT_50 && type == MR_UNSUBACK) {
        *out = mr_slice_of(NULL, 0);
        return reader_end(reader);
    }
    if (reader_left(reader) == 0) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, reader->next,
                             "acknowledgement without a code");
    }
    return version == MR_MQTT_50 ? mr_reader_reasons(reader, (unsigned)type, out)
                                 : read_v3_codes(reader, out);
}

enum mr_decode_status mr_suback_decode(enum mr_version version, enum mr_packet_type type,
                                       struct mr_slice body, struct mr_suback *out,
                                       struct mr_decode_error *error) {
    MR_DEBUG_ASSERT(type == MR_SUBACK || type == MR_UNSUBACK);
    struct reader reader = reader_of(body, error);
    struct mr_suback packet;
    properties_clear(&packet.properties);
    bool ok = mr_reader_packet_id(&reader, &packet.packet_id) &&
              (version != MR_MQTT_50 ||
               mr_reader_properties(&reader, (unsigned)type, &packet.properties)) &&
              read_codes(&reader, version, type, &packet.codes);
    if (!ok) {
        return MR_DECODE_BAD;
    }
    *out = packet;
    return MR_DECODE_DONE;
}

size_t mr_suback_encode(enum mr_version version, enum mr_packet_type type,
                        const struct mr_suback *packet, uint8_t *out, size_t out_bytes_max) {
    bool is_50 = version == MR_MQTT_50;
    bool has_codes = is_50 || type == MR_SUBACK;
    size_t properties_len = is_50 ? mr_properties_encoded_len(&packet->properties, type) : 0;
    size_t body_len = length_sum(2, is_50 ? properties_field_len(properties_len) : 0);
    body_len = length_sum(body_len, has_codes ? packet->codes.len : 0);
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(type, 0), body_len, out, out_bytes_max)) {
        return 0;
    }
    writer_u16(&writer, packet->packet_id);
    if (is_50) {
        mr_writer_properties(&writer, &packet->properties, type, properties_len);
        writer_bytes(&writer, packet->codes);
    } else if (has_codes) {
        for (size_t i = 0; i < packet->codes.len; i++) {
            uint8_t code = packet->codes.data[i];
            writer_u8(&writer, code < V3_FAILURE ? code : V3_FAILURE);
        }
    }
    return writer_end(&writer, out);
}
