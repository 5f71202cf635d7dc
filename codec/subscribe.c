#include "codec/internal.h"

#define SUBSCRIBE_FLAGS 0x2u

// Subscription Options, section 3.8.3.1. Before 5.0 all but the QoS are reserved.
#define OPTION_QOS 0x03u
#define OPTION_NO_LOCAL 0x04u
#define OPTION_RETAIN_AS_PUBLISHED 0x08u
#define RETAIN_HANDLING_SHIFT 4
#define OPTION_RESERVED_50 0xc0u
#define OPTION_RESERVED_3 0xfcu

static bool check_options(struct reader *reader, enum mr_version version, uint8_t options) {
    bool is_50 = version == MR_MQTT_50;
    const uint8_t *at = reader->next - 1;
    if (options & (is_50 ? OPTION_RESERVED_50 : OPTION_RESERVED_3)) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, at,
                             "reserved subscription options");
    }
    if ((options & OPTION_QOS) == 3) {
        // 5.0 calls it a protocol error, 3.1.1 malformed [MQTT-3.8.3-4 of 3.1.1].
        return reader_refuse(reader, is_50 ? MR_REASON_PROTOCOL_ERROR : MR_REASON_MALFORMED_PACKET,
                             at, "requested QoS is 3");
    }
    if (options >> RETAIN_HANDLING_SHIFT == 3) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, at, "retain handling is 3");
    }
    return true;
}

static bool read_entries(struct reader *reader, enum mr_version version, struct mr_subscribe *out) {
    out->entries = mr_slice_of(reader->next, reader_left(reader));
    out->entry_count = 0;
    if (out->entries.len == 0) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, reader->next,
                             "SUBSCRIBE without a topic filter");
    }
    while (reader_left(reader) != 0) {
        struct mr_slice filter;
        uint8_t options;
        if (!mr_reader_string(reader, &filter)) {
            return false;
        }
        if (filter.len == 0) {
            return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, filter.data,
                                 "empty topic filter");
        }
        if (!reader_u8(reader, &options) || !check_options(reader, version, options)) {
            return false;
        }
        out->entry_count++;
    }
    return true;
}

enum mr_decode_status mr_subscribe_decode(enum mr_version version, struct mr_slice body,
                                          struct mr_subscribe *out, struct mr_decode_error *error) {
    struct reader reader = reader_of(body, error);
    struct mr_subscribe packet;
    properties_clear(&packet.properties);
    bool ok = mr_reader_packet_id(&reader, &packet.packet_id) &&
              (version != MR_MQTT_50 ||
               mr_reader_properties(&reader, MR_SUBSCRIBE, &packet.properties)) &&
              read_entries(&reader, version, &packet);
    if (!ok) {
        return MR_DECODE_BAD;
    }
    *out = packet;
    return MR_DECODE_DONE;
}

bool mr_subscribe_next(struct mr_slice *rest, struct mr_slice *filter,
                       struct mr_subscription_options *options) {
    struct mr_decode_error ignored;
    struct reader reader = reader_of(*rest, &ignored);
    struct mr_slice text;
    uint8_t bits;
    if (reader_left(&reader) == 0 || !reader_binary(&reader, &text) || !reader_u8(&reader, &bits)) {
        return false;
    }
    *rest = mr_slice_of(reader.next, reader_left(&reader));
    *filter = text;
    options->qos = bits & OPTION_QOS;
    options->no_local = (bits & OPTION_NO_LOCAL) != 0;
    options->retain_as_published = (bits & OPTION_RETAIN_AS_PUBLISHED) != 0;
    options->retain_handling = (bits >> RETAIN_HANDLING_SHIFT) & 3u;
    return true;
}

size_t mr_subscribe_encode(enum mr_version version, const struct mr_subscribe *packet, uint8_t *out,
                           size_t out_bytes_max) {
    bool is_50 = version == MR_MQTT_50;
    size_t properties_len =
        is_50 ? mr_properties_encoded_len(&packet->properties, MR_SUBSCRIBE) : 0;
    size_t body_len = length_sum(2, is_50 ? properties_field_len(properties_len) : 0);
    body_len = length_sum(body_len, packet->entries.len);
    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(MR_SUBSCRIBE, SUBSCRIBE_FLAGS), body_len, out,
                         out_bytes_max)) {
        return 0;
    }
    writer_u16(&writer, packet->packet_id);
    if (is_50) {
        mr_writer_properties(&writer, &packet->properties, MR_SUBSCRIBE, properties_len);
    }
    writer_bytes(&writer, packet->entries);
    return writer_end(&writer, out);
}

size_t mr_subscribe_encode_entry(enum mr_version version, struct mr_slice filter,
                                 const struct mr_subscription_options *options, uint8_t *out,
                                 size_t out_bytes_max) {
    size_t len = length_sum(binary_len(filter), 1);
    if (len > out_bytes_max || filter.len > MR_STRING_BYTES_MAX) {
        return 0;
    }
    unsigned bits = options->qos & OPTION_QOS;
    if (version == MR_MQTT_50) {
        bits |= options->no_local ? OPTION_NO_LOCAL : 0;
        bits |= options->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0;
        bits |= (options->retain_handling & 3u) << RETAIN_HANDLING_SHIFT;
    }
    struct writer writer = {out, out + len};
    writer_binary(&writer, filter);
    writer_u8(&writer, bits);
    return writer_end(&writer, out);
}
