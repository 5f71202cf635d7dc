#include "codec/internal.h"

#define UNSUBSCRIBE_FLAGS 0x2u

static bool read_entries(struct reader *reader, struct mr_unsubscribe *out) {
    out->entries = mr_slice_of(reader->next, reader_left(reader));
    out->entry_count = 0;
    if (out->entries.len == 0) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, reader->next,
                             "UNSUBSCRIBE without a topic filter");
    }
    while (reader_left(reader) != 0) {
        struct mr_slice filter;
        if (!mr_reader_string(reader, &filter)) {
            return false;
        }
        if (filter.len == 0) {
            return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, filter.data,
                                 "empty topic filter");
        }
        out->entry_count++;
    }
    return true;
}

enum mr_decode_status mr_unsubscribe_decode(enum mr_version version, struct mr_slice body,
                                            struct mr_unsubscribe *out,
                                            struct mr_decode_error *error) {
    struct reader reader = reader_of(body, error);
    struct mr_unsubscribe packet;
    properties_clear(&packet.properties);
    bool ok = mr_reader_packet_id(&reader, &packet.packet_id) &&
              (version != MR_MQTT_50 ||
               mr_reader_properties(&reader, MR_UNSUBSCRIBE, &packet.properties)) &&
              read_entries(&reader, &packet);
    if (!ok) {
        return MR_DECODE_BAD;
    }
    *out = packet;
    return MR_DECODE_DONE;
}

bool mr_unsubscribe_next(struct mr_slice *rest, struct mr_slice *filter) {
    struct mr_decode_error ignored;
    struct reader reader = reader_of(*rest, &ignored);
    if (reader_left(&reader) == 0 || !reader_binary(&reader, filter)) {
        return false;
    }
    *rest = mr_slice_of(reader.next, reader_left(&reader));
    return true;
}

size_t mr_unsubscribe_encode(enum mr_version version, const struct mr_unsubscribe *packet,
                             uint8_t *out, size_t out_bytes_max) {
    bool is_50 = version == MR_MQTT_50;
    size_t properties_len =
        is_50 ? mr_properties_encoded_len(&packet->properties, MR_UNSUBSCRIBE) : 0;
    size_t body_len = length_sum(2, is_50 ? properties_field_len(properties_len) : 0);
    body_len = length_sum(body_len, packet->entries.len);
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(MR_UNSUBSCRIBE, UNSUBSCRIBE_FLAGS), body_len, out,
                         out_bytes_max)) {
        return 0;
    }
    writer_u16(&writer, packet->packet_id);
    if (is_50) {
        mr_writer_properties(&writer, &packet->properties, MR_UNSUBSCRIBE, properties_len);
    }
    writer_bytes(&writer, packet->entries);
    return writer_end(&writer, out);
}

size_t mr_unsubscribe_encode_entry(struct mr_slice filter, uint8_t *out, size_t out_bytes_max) {
    size_t len = binary_len(filter);
    if (len > out_bytes_max || filter.len > MR_STRING_BYTES_MAX) {
        return 0;
    }
    struct writer writer = {out, out + len};
    writer_binary(&writer, filter);
    return writer_end(&writer, out);
}
