#include "codec/internal.h"

enum mr_decode_status mr_refuse(struct mr_decode_error *error, enum mr_reason reason, size_t offset,
                                const char *what) {
    error->reason = reason;
    error->offset = (uint32_t)offset;
    error->what = what;
    return MR_DECODE_BAD;
}

bool mr_reader_varint(struct reader *reader, uint32_t *out) {
    const uint8_t *start = reader->next;
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte;
        if (!reader_u8(reader, &byte)) {
            return false;
        }
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift != 0) {
                return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, start,
                                     "variable byte integer not in its shortest form");
            }
            *out = value;
            return true;
        }
    }
    return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, start,
                         "variable byte integer longer than four bytes");
}

bool mr_reader_string(struct reader *reader, struct mr_slice *out) {
    struct mr_slice text;
    if (!reader_binary(reader, &text)) {
        return false;
    }
    if (MR_UNLIKELY(!mr_utf8_valid(text))) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, text.data,
                             "string is not valid UTF-8");
    }
    *out = text;
    return true;
}

bool mr_reader_packet_id(struct reader *reader, uint16_t *out) {
    uint16_t packet_id;
    if (!reader_u16(reader, &packet_id)) {
        return false;
    }
    if (packet_id == 0) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, reader->next - 2,
                             "packet identifier is 0");
    }
    *out = packet_id;
    return true;
}

#define ON(type) MR_PACKET_BIT(MR_##type)
#define ON_CLIENT_DISCONNECT MR_PACKET_BIT(MR_TYPE_CLIENT_DISCONNECT)
// Most reasons to disconnect are either side's, some are the server's alone.
#define ON_ANY_DISCONNECT (ON(DISCONNECT) | ON_CLIENT_DISCONNECT)
#define ON_PUBLISH_ACKS (ON(PUBACK) | ON(PUBREC))
#define ON_PUBREL_ACKS (ON(PUBREL) | ON(PUBCOMP))

// Which packets may carry a reason code: table 2-6, with the directions of table 3-10.
static const uint16_t reason_packets[] = {
    [MR_REASON_SUCCESS] = ON(CONNACK) | ON_PUBLISH_ACKS | ON_PUBREL_ACKS | ON(SUBACK) |
                          ON(UNSUBACK) | ON_ANY_DISCONNECT | ON(AUTH),
    [MR_REASON_GRANTED_QOS1] = ON(SUBACK),
    [MR_REASON_GRANTED_QOS2] = ON(SUBACK),
    [MR_REASON_DISCONNECT_WITH_WILL] = ON_CLIENT_DISCONNECT,
    [MR_REASON_NO_MATCHING_SUBSCRIBERS] = ON_PUBLISH_ACKS,
    [MR_REASON_NO_SUBSCRIPTION_EXISTED] = ON(UNSUBACK),
    [MR_REASON_CONTINUE_AUTHENTICATION] = ON(AUTH),
    [MR_REASON_REAUTHENTICATE] = ON(AUTH),
    [MR_REASON_UNSPECIFIED_ERROR] =
        ON(CONNACK) | ON_PUBLISH_ACKS | ON(SUBACK) | ON(UNSUBACK) | ON_ANY_DISCONNECT,
    [MR_REASON_MALFORMED_PACKET] = ON(CONNACK) | ON_ANY_DISCONNECT,
    [MR_REASON_PROTOCOL_ERROR] = ON(CONNACK) | ON_ANY_DISCONNECT,
    [MR_REASON_IMPLEMENTATION_SPECIFIC_ERROR] =
        ON(CONNACK) | ON_PUBLISH_ACKS | ON(SUBACK) | ON(UNSUBACK) | ON_ANY_DISCONNECT,
    [MR_REASON_UNSUPPORTED_PROTOCOL_VERSION] = ON(CONNACK),
    [MR_REASON_CLIENT_IDENTIFIER_NOT_VALID] = ON(CONNACK),
    [MR_REASON_BAD_USER_NAME_OR_PASSWORD] = ON(CONNACK),
    [MR_REASON_NOT_AUTHORIZED] =
        ON(CONNACK) | ON_PUBLISH_ACKS | ON(SUBACK) | ON(UNSUBACK) | ON(DISCONNECT),
    [MR_REASON_SERVER_UNAVAILABLE] = ON(CONNACK),
    [MR_REASON_SERVER_BUSY] = ON(CONNACK) | ON(DISCONNECT),
    [MR_REASON_BANNED] = ON(CONNACK),
    [MR_REASON_SERVER_SHUTTING_DOWN] = ON(DISCONNECT),
    // Table 3-10 leaves out the DISCONNECT that ends a failed re-authentication.
    [MR_REASON_BAD_AUTHENTICATION_METHOD] = ON(CONNACK) | ON(DISCONNECT),
    [MR_REASON_KEEP_ALIVE_TIMEOUT] = ON(DISCONNECT),
    [MR_REASON_SESSION_TAKEN_OVER] = ON(DISCONNECT),
    [MR_REASON_TOPIC_FILTER_INVALID] = ON(SUBACK) | ON(UNSUBACK) | ON(DISCONNECT),
    [MR_REASON_TOPIC_NAME_INVALID] = ON(CONNACK) | ON_PUBLISH_ACKS | ON_ANY_DISCONNECT,
    [MR_REASON_PACKET_IDENTIFIER_IN_USE] = ON_PUBLISH_ACKS | ON(SUBACK) | ON(UNSUBACK),
    [MR_REASON_PACKET_IDENTIFIER_NOT_FOUND] = ON_PUBREL_ACKS,
    [MR_REASON_RECEIVE_MAXIMUM_EXCEEDED] = ON_ANY_DISCONNECT,
    [MR_REASON_TOPIC_ALIAS_INVALID] = ON_ANY_DISCONNECT,
    [MR_REASON_PACKET_TOO_LARGE] = ON(CONNACK) | ON_ANY_DISCONNECT,
    [MR_REASON_MESSAGE_RATE_TOO_HIGH] = ON_ANY_DISCONNECT,
    [MR_REASON_QUOTA_EXCEEDED] = ON(CONNACK) | ON_PUBLISH_ACKS | ON(SUBACK) | ON_ANY_DISCONNECT,
    [MR_REASON_ADMINISTRATIVE_ACTION] = ON_ANY_DISCONNECT,
    [MR_REASON_PAYLOAD_FORMAT_INVALID] = ON(CONNACK) | ON_PUBLISH_ACKS | ON_ANY_DISCONNECT,
    [MR_REASON_RETAIN_NOT_SUPPORTED] = ON(CONNACK) | ON(DISCONNECT),
    [MR_REASON_QOS_NOT_SUPPORTED] = ON(CONNACK) | ON(DISCONNECT),
    [MR_REASON_USE_ANOTHER_SERVER] = ON(CONNACK) | ON(DISCONNECT),
    [MR_REASON_SERVER_MOVED] = ON(CONNACK) | ON(DISCONNECT),
    [MR_REASON_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED] = ON(SUBACK) | ON(DISCONNECT),
    [MR_REASON_CONNECTION_RATE_EXCEEDED] = ON(CONNACK) | ON(DISCONNECT),
    [MR_REASON_MAXIMUM_CONNECT_TIME] = ON(DISCONNECT),
    [MR_REASON_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED] = ON(SUBACK) | ON(DISCONNECT),
    [MR_REASON_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED] = ON(SUBACK) | ON(DISCONNECT),
};

static bool check_reason(struct reader *reader, unsigned packet_type, const uint8_t *at) {
    unsigned packets = *at < MR_ARRAY_COUNT(reason_packets) ? reason_packets[*at] : 0;
    if (packets & MR_PACKET_BIT(packet_type)) {
        return true;
    }
    return packets == 0
               ? reader_refuse(reader, MR_REASON_MALFORMED_PACKET, at, "reserved reason code")
               : reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, at,
                               "reason code of another packet type");
}

bool mr_reader_reason(struct reader *reader, unsigned packet_type, enum mr_reason *out) {
    uint8_t reason;
    if (!reader_u8(reader, &reason) || !check_reason(reader, packet_type, reader->next - 1)) {
        return false;
    }
    *out = (enum mr_reason)reason;
    return true;
}

bool mr_reader_reasons(struct reader *reader, unsigned packet_type, struct mr_slice *out) {
    struct mr_slice codes = mr_slice_of(reader->next, reader_left(reader));
    for (size_t i = 0; i < codes.len; i++) {
        if (!check_reason(reader, packet_type, codes.data + i)) {
            return false;
        }
    }
    reader->next = reader->end;
    *out = codes;
    return true;
}
