#include "codec/internal.h"

static const char *const type_names[] = {
    [0] = "RESERVED",         [MR_CONNECT] = "CONNECT",         [MR_CONNACK] = "CONNACK",
    [MR_PUBLISH] = "PUBLISH", [MR_PUBACK] = "PUBACK",           [MR_PUBREC] = "PUBREC",
    [MR_PUBREL] = "PUBREL",   [MR_PUBCOMP] = "PUBCOMP",         [MR_SUBSCRIBE] = "SUBSCRIBE",
    [MR_SUBACK] = "SUBACK",   [MR_UNSUBSCRIBE] = "UNSUBSCRIBE", [MR_UNSUBACK] = "UNSUBACK",
    [MR_PINGREQ] = "PINGREQ", [MR_PINGRESP] = "PINGRESP",       [MR_DISCONNECT] = "DISCONNECT",
    [MR_AUTH] = "AUTH",
};

const char *mr_packet_type_name(enum mr_packet_type type) {
    size_t index = (size_t)type;
    return type_names[index < MR_ARRAY_COUNT(type_names) ? index : 0];
}

// Bit n: the fixed header may have flags n. Table 2-2.
#define ZERO 0x0001
#define TWO 0x0004
// 3.1 lets a client repeat these three with DUP.
#define TWO_OR_DUP (TWO | 0x0400)
#define FLAGS_BEFORE_AUTH(publish, acknowledged)                                            \
    [MR_CONNECT] = ZERO, [MR_CONNACK] = ZERO, [MR_PUBLISH] = (publish), [MR_PUBACK] = ZERO, \
    [MR_PUBREC] = ZERO, [MR_PUBREL] = (acknowledged), [MR_PUBCOMP] = ZERO,                  \
    [MR_SUBSCRIBE] = (acknowledged), [MR_SUBACK] = ZERO, [MR_UNSUBSCRIBE] = (acknowledged), \
    [MR_UNSUBACK] = ZERO, [MR_PINGREQ] = ZERO, [MR_PINGRESP] = ZERO, [MR_DISCONNECT] = ZERO

static const uint16_t flags_allowed[][16] = {
    [0] = {[MR_CONNECT] = ZERO},
    [MR_MQTT_31] = {FLAGS_BEFORE_AUTH(MR_PUBLISH_FLAGS, TWO_OR_DUP)},
    [MR_MQTT_311] = {FLAGS_BEFORE_AUTH(MR_PUBLISH_FLAGS, TWO)},
    [MR_MQTT_50] = {FLAGS_BEFORE_AUTH(MR_PUBLISH_FLAGS, TWO), [MR_AUTH] = ZERO},
};

// Says what is wrong with a first byte that the table refuses.
static __attribute__((cold)) enum mr_decode_status refuse_first_byte(
    int version, unsigned type, struct mr_decode_error *error) {
    if (type == 0 || (type == MR_AUTH && version != MR_MQTT_50 && version != 0)) {
        return mr_refuse(error, MR_REASON_MALFORMED_PACKET, 0, "reserved packet type");
    }
    if (version == 0 && type != MR_CONNECT) {
        return mr_refuse(error, MR_REASON_PROTOCOL_ERROR, 0, "first packet is not CONNECT");
    }
    return mr_refuse(
        error, MR_REASON_MALFORMED_PACKET, 0,
        type == MR_PUBLISH ? "QoS is 3, or DUP with QoS 0" : "reserved fixed header flags");
}

static inline enum mr_decode_status finish(uint8_t first, size_t header_len, uint32_t body_len,
                                           uint32_t packet_bytes_max, struct mr_frame *out,
                                           struct mr_decode_error *error) {
    if (MR_UNLIKELY(header_len + body_len > packet_bytes_max)) {
        return mr_refuse(error, MR_REASON_PACKET_TOO_LARGE, 1, "packet too large");
    }
    out->type = first >> 4;
    out->flags = first & 0x0f;
    out->header_len = (uint8_t)header_len;
    out->body_len = body_len;
    return MR_DECODE_DONE;
}

// Remaining Length of two to four bytes: 3.x knows the same form as 5.0.
static __attribute__((noinline)) enum mr_decode_status decode_long(struct mr_slice in,
                                                                   uint32_t packet_bytes_max,
                                                                   struct mr_frame *out,
                                                                   struct mr_decode_error *error) {
    uint32_t body_len = 0;
    for (size_t i = 1; i < MR_FIXED_HEADER_BYTES_MAX; i++) {
        if (i == in.len) {
            return MR_DECODE_MORE;
        }
        uint8_t byte = in.data[i];
        body_len |= (uint32_t)(byte & 0x7f) << (7 * (i - 1));
        if (byte == 0) {
            return mr_refuse(error, MR_REASON_MALFORMED_PACKET, i,
                             "remaining length not in its shortest form");
        }
        if (byte < 0x80) {
            return finish(in.data[0], i + 1, body_len, packet_bytes_max, out, error);
        }
    }
    return mr_refuse(error, MR_REASON_MALFORMED_PACKET, MR_FIXED_HEADER_BYTES_MAX - 1,
                     "remaining length longer than four bytes");
}

enum mr_decode_status mr_frame_decode(struct mr_slice in, int version, uint32_t packet_bytes_max,
                                      struct mr_frame *out, struct mr_decode_error *error) {
    MR_DEBUG_ASSERT(version == 0 || (version >= MR_MQTT_31 && version <= MR_MQTT_50));
    if (in.len == 0) {
        return MR_DECODE_MORE;
    }
    unsigned type = in.data[0] >> 4;
    unsigned flags = in.data[0] & 0x0f;
    if (MR_UNLIKELY(!((flags_allowed[version][type] >> flags) & 1))) {
        return refuse_first_byte(version, type, error);
    }
    if (in.len == 1) {
        return MR_DECODE_MORE;
    }
    if (MR_UNLIKELY(in.data[1] > 0x7f)) {
        return decode_long(in, packet_bytes_max, out, error);
    }
    return finish(in.data[0], 2, in.data[1], packet_bytes_max, out, error);
}
