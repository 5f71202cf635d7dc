#include "codec/internal.h"
#include "codec/text.h"

// What a PUBLISH keeps of its properties.
struct publish_properties {
    struct mr_slice raw;
    uint64_t present;
    uint32_t message_expiry_s;
    uint32_t subscription_id;
    uint16_t topic_alias;
    uint8_t payload_format;
};

// A topic alias in order and nothing else, as publishers that use aliases have it. False if it
// isn't that, whatever else it is.
static inline bool read_lone_alias(struct reader *reader, struct publish_properties *out) {
    const uint8_t *next = reader->next;  // Property length, identifier, two bytes of alias.
    if (reader_left(reader) < 4 || next[0] != 3 || next[1] != MR_PROPERTY_TOPIC_ALIAS ||
        load_u16(next + 2) == 0) {
        return false;
    }
    out->raw = mr_slice_of(next + 1, 3);
    out->present = MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS);
    out->topic_alias = load_u16(next + 2);
    reader->next += 4;
    return true;
}

// `*out` has to be zero.
static bool read_properties(struct reader *reader, struct publish_properties *out) {
    if (read_lone_alias(reader, out)) {
        return true;
    }
    struct reader properties;
    if (!mr_reader_properties_begin(reader, &properties)) {
        return false;
    }
    out->raw = mr_slice_of(properties.next, reader_left(&properties));
    while (properties.next < properties.end) {
        struct mr_property property;
        if (!mr_reader_property(&properties, MR_PUBLISH, &out->present, &property)) {
            return false;
        }
        switch (property.id) {
            case MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR:
                out->payload_format = (uint8_t)property.number;
                break;
            case MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL:
                out->message_expiry_s = property.number;
                break;
            case MR_PROPERTY_SUBSCRIPTION_IDENTIFIER:
                if (out->subscription_id == 0) {
                    out->subscription_id = property.number;
                }
                break;
            case MR_PROPERTY_TOPIC_ALIAS:
                out->topic_alias = (uint16_t)property.number;
                break;
            default:
                break;
        }
    }
    return true;
}

static inline bool flags_allowed(uint8_t flags) {
    return (MR_PUBLISH_FLAGS >> (flags & 0x0f)) & 1;
}

static bool refuse_topic(struct reader *reader, struct mr_slice topic) {
    return mr_utf8_valid(topic) ? reader_refuse(reader, MR_REASON_TOPIC_NAME_INVALID, topic.data,
                                                "topic name with wildcard")
                                : reader_refuse(reader, MR_REASON_MALFORMED_PACKET, topic.data,
                                                "topic name is not valid UTF-8");
}

// Any PUBLISH, good or bad: step by step, saying what is wrong. Takes its parameters
// where the caller got them, so that the way to it costs the other way nothing.
static __attribute__((noinline)) enum mr_decode_status decode_any(enum mr_version version,
                                                                  uint8_t flags,
                                                                  struct mr_slice body,
                                                                  struct mr_publish *out,
                                                                  struct mr_decode_error *error) {
    struct reader reader = reader_of(body, error);
    unsigned qos = (flags >> 1) & 3u;
    if (!flags_allowed(flags)) {
        return mr_refuse(error, MR_REASON_MALFORMED_PACKET, 0,
                         qos == 3 ? "QoS is 3" : "DUP with QoS 0");
    }
    struct mr_slice topic;
    uint16_t packet_id = 0;
    struct publish_properties properties = {0};
    if (!reader_binary(&reader, &topic)) {
        return MR_DECODE_BAD;
    }
    if (topic.len != 0 && !mr_utf8_valid_topic_name(topic)) {
        refuse_topic(&reader, topic);
        return MR_DECODE_BAD;
    }
    if (qos != 0 && !mr_reader_packet_id(&reader, &packet_id)) {
        return MR_DECODE_BAD;
    }
    if (version == MR_MQTT_50 && !read_properties(&reader, &properties)) {
        return MR_DECODE_BAD;
    }
    if (topic.len == 0 && properties.topic_alias == 0) {
        return mr_refuse(error, MR_REASON_PROTOCOL_ERROR, 0, "empty topic name without alias");
    }
    out->topic = topic;
    out->payload = mr_slice_of(reader.next, reader_left(&reader));
    out->properties_raw = properties.raw;
    out->properties_present = properties.present;
    out->message_expiry_s = properties.message_expiry_s;
    out->subscription_id = properties.subscription_id;
    out->packet_id = packet_id;
    out->topic_alias = properties.topic_alias;
    out->qos = (uint8_t)qos;
    out->retain = (flags & 1) != 0;
    out->dup = (flags & 8) != 0;
    out->payload_format = properties.payload_format;
    return MR_DECODE_DONE;
}

// The PUBLISH that nearly all are: in order, its topic name plain, without properties.
// False if it isn't that, whatever else it is. Makes no call, so it needs no stack.
static inline bool decode_plain(enum mr_version version, uint8_t flags, struct mr_slice body,
                                struct mr_publish *out) {
    if (body.len < 2) {
        return false;
    }
    size_t topic_len = load_u16(body.data);
    const uint8_t *topic = body.data + 2;
    bool has_packet_id = (flags & 6u) != 0;
    bool is_50 = version == MR_MQTT_50;
    size_t head_len = 2 + topic_len + (has_packet_id ? 2u : 0u) + (is_50 ? 1u : 0u);
    if (MR_UNLIKELY(!flags_allowed(flags)) || MR_UNLIKELY(topic_len == 0) ||
        MR_UNLIKELY(body.len < head_len) ||
        MR_UNLIKELY(!text_plain(topic, topic_len, TEXT_TOPIC_NAME))) {
        return false;
    }
    uint16_t packet_id = 0;
    if (has_packet_id) {
        packet_id = load_u16(topic + topic_len);
        if (MR_UNLIKELY(packet_id == 0)) {
            return false;
        }
    }
    if (is_50 && body.data[head_len - 1] != 0) {
        return false;  // A property length above 0.
    }
    out->topic = mr_slice_of(topic, topic_len);
    out->payload = mr_slice_of(body.data + head_len, body.len - head_len);
    out->properties_raw = mr_slice_of(body.data + head_len, 0);
    out->properties_present = 0;
    out->message_expiry_s = 0;
    out->subscription_id = 0;
    out->packet_id = packet_id;
    out->topic_alias = 0;
    out->qos = (flags >> 1) & 3u;
    out->retain = (flags & 1) != 0;
    out->dup = (flags & 8) != 0;
    out->payload_format = 0;
    return true;
}

enum mr_decode_status mr_publish_decode(enum mr_version version, uint8_t flags,
                                        struct mr_slice body, struct mr_publish *out,
                                        struct mr_decode_error *error) {
    return MR_LIKELY(decode_plain(version, flags, body, out))
               ? MR_DECODE_DONE
               : decode_any(version, flags, body, out, error);
}

// Lengths of a PUBLISH to be encoded.
struct publish_lengths {
    size_t properties;  // Without the property length.
    size_t head;        // All but the payload.
    size_t body;        // Remaining Length.
};

// False if the protocol has no such packet.
static inline bool measure(enum mr_version version, const struct mr_publish *packet,
                           const uint32_t *subscription_ids, size_t subscription_id_count,
                           struct publish_lengths *out) {
    if (packet->topic.len > MR_STRING_BYTES_MAX || packet->payload.len > MR_REMAINING_LENGTH_MAX) {
        return false;
    }
    size_t properties_len = 0;
    size_t variable_len = 2 + packet->topic.len + (packet->qos != 0 ? 2 : 0);
    if (version == MR_MQTT_50) {
        if (packet->properties_raw.len > MR_REMAINING_LENGTH_MAX ||
            subscription_id_count > MR_REMAINING_LENGTH_MAX / 5) {
            return false;
        }
        properties_len = packet->properties_raw.len;
        properties_len += packet->topic_alias != 0 ? 3 : 0;
        properties_len +=
            packet->properties_present & MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL) ? 5
                                                                                              : 0;
        for (size_t i = 0; i < subscription_id_count; i++) {
            if (subscription_ids[i] - 1 >= MR_REMAINING_LENGTH_MAX) {
                return false;
            }
            properties_len += 1 + varint_len(subscription_ids[i]);
        }
        if (properties_len > MR_REMAINING_LENGTH_MAX) {
            return false;
        }
        variable_len += varint_len(properties_len) + properties_len;
    }
    size_t body_len = variable_len + packet->payload.len;
    if (body_len > MR_REMAINING_LENGTH_MAX) {
        return false;
    }
    out->properties = properties_len;
    out->head = 1 + varint_len(body_len) + variable_len;
    out->body = body_len;
    return true;
}

static inline uint8_t *store_u16(uint8_t *out, unsigned value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

static inline uint8_t *store_bytes(uint8_t *out, struct mr_slice bytes) {
    if (bytes.len != 0) {
        memcpy(out, bytes.data, bytes.len);
    }
    return out + bytes.len;
}

static inline uint8_t *store_properties(uint8_t *out, const struct mr_publish *packet,
                                        const uint32_t *subscription_ids,
                                        size_t subscription_id_count, size_t properties_len) {
    out = store_varint(out, properties_len);
    if (packet->topic_alias != 0) {
        *out++ = MR_PROPERTY_TOPIC_ALIAS;
        out = store_u16(out, packet->topic_alias);
    }
    if (packet->properties_present & MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        *out++ = MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL;
        out = store_u16(out, packet->message_expiry_s >> 16);
        out = store_u16(out, packet->message_expiry_s & 0xffff);
    }
    for (size_t i = 0; i < subscription_id_count; i++) {
        *out++ = MR_PROPERTY_SUBSCRIPTION_IDENTIFIER;
        out = store_varint(out, subscription_ids[i]);
    }
    return store_bytes(out, packet->properties_raw);
}

// Writes what measure() measured, into room that was checked against it.
static inline uint8_t *store_head(enum mr_version version, const struct mr_publish *packet,
                                  const uint32_t *subscription_ids, size_t subscription_id_count,
                                  const struct publish_lengths *lengths, uint8_t *out) {
    unsigned flags = (packet->dup ? 8u : 0u) | (packet->qos & 3u) << 1 | (packet->retain ? 1u : 0u);
    *out++ = (uint8_t)first_byte(MR_PUBLISH, flags);
    out = store_varint(out, lengths->body);
    out = store_u16(out, (unsigned)packet->topic.len);
    out = store_bytes(out, packet->topic);
    if (packet->qos != 0) {
        out = store_u16(out, packet->packet_id);
    }
    if (version == MR_MQTT_50) {
        out = store_properties(out, packet, subscription_ids, subscription_id_count,
                               lengths->properties);
    }
    return out;
}

size_t mr_publish_encode_head(enum mr_version version, const struct mr_publish *packet,
                              const uint32_t *subscription_ids, size_t subscription_id_count,
                              uint8_t *out, size_t out_bytes_max) {
    struct publish_lengths lengths;
    if (!measure(version, packet, subscription_ids, subscription_id_count, &lengths) ||
        lengths.head > out_bytes_max) {
        return 0;
    }
    uint8_t *end =
        store_head(version, packet, subscription_ids, subscription_id_count, &lengths, out);
    MR_DEBUG_ASSERT((size_t)(end - out) == lengths.head);
    return (size_t)(end - out);
}

size_t mr_publish_encode(enum mr_version version, const struct mr_publish *packet,
                         const uint32_t *subscription_ids, size_t subscription_id_count,
                         uint8_t *out, size_t out_bytes_max) {
    struct publish_lengths lengths;
    if (!measure(version, packet, subscription_ids, subscription_id_count, &lengths) ||
        lengths.head + packet->payload.len > out_bytes_max) {
        return 0;
    }
    uint8_t *end =
        store_head(version, packet, subscription_ids, subscription_id_count, &lengths, out);
    end = store_bytes(end, packet->payload);
    MR_DEBUG_ASSERT((size_t)(end - out) == lengths.head + packet->payload.len);
    return (size_t)(end - out);
}

// Those that are a broker's own to set on what it sends.
static bool is_forwardable(enum mr_property_id id) {
    return id != MR_PROPERTY_TOPIC_ALIAS && id != MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL &&
           id != MR_PROPERTY_SUBSCRIPTION_IDENTIFIER && id != MR_PROPERTY_WILL_DELAY_INTERVAL;
}

size_t mr_publish_forwardable_properties(struct mr_slice raw, uint8_t *out) {
    uint8_t *end = out;
    struct mr_slice run = mr_slice_of(raw.data, 0);  // Neighbours are copied together.
    struct mr_property property;
    while (mr_property_next(&raw, &property)) {
        if (is_forwardable(property.id)) {
            run.len += property.raw.len;
            continue;
        }
        end = store_bytes(end, run);
        run = mr_slice_of(raw.data, 0);
    }
    return (size_t)(store_bytes(end, run) - out);
}
