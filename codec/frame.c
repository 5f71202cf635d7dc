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

// Remaining Length, of one to four bytes: 3.x knows the same form as 5.0.
static enum mr_decode_status read_length(struct mr_slice in, uint32_t *body_len, size_t *header_len,
                                         struct mr_decode_error *error) {
    uint32_t value = 0;
    for (size_t i = 1; i < MR_FIXED_HEADER_BYTES_MAX; i++) {
        if (i == in.len) {
            return MR_DECODE_MORE;
        }
        uint8_t byte = in.data[i];
        value |= (uint32_t)(byte & 0x7f) << (7 * (i - 1));
        if (byte == 0 && i != 1) {
            return mr_refuse(error, MR_REASON_MALFORMED_PACKET, i,
                             "remaining length not in its shortest form");
        }
        if (byte < 0x80) {
            *body_len = value;
            *header_len = i + 1;
            return MR_DECODE_DONE;
        }
    }
    return mr_refuse(error, MR_REASON_MALFORMED_PACKET, MR_FIXED_HEADER_BYTES_MAX - 1,
                     "remaining length longer than four bytes");
}

static inline void store_frame(struct mr_frame *out, uint8_t first, size_t header_len,
                               uint32_t body_len) {
    out->type = first >> 4;
    out->flags = first & 0x0f;
    out->header_len = (uint8_t)header_len;
    out->body_len = body_len;
}

static inline bool first_byte_allowed(int version, uint8_t first) {
    return (flags_allowed[version][first >> 4] >> (first & 0x0f)) & 1;
}

// Any fixed header, good, bad or not complete. Takes its parameters where the caller
// got them, so that the way to it costs the other way nothing.
static __attribute__((noinline)) enum mr_decode_status decode_any(struct mr_slice in, int version,
                                                                  uint32_t packet_bytes_max,
                                                                  struct mr_frame *out,
                                                                  struct mr_decode_error *error) {
    if (in.len == 0) {
        return MR_DECODE_MORE;
    }
    if (!first_byte_allowed(version, in.data[0])) {
        return refuse_first_byte(version, in.data[0] >> 4, error);
    }
    uint32_t body_len = 0;
    size_t header_len = 0;
    enum mr_decode_status status = read_length(in, &body_len, &header_len, error);
    if (status != MR_DECODE_DONE) {
        return status;
    }
    if (header_len + body_len > packet_bytes_max) {
        return mr_refuse(error, MR_REASON_PACKET_TOO_LARGE, 1, "packet too large");
    }
    store_frame(out, in.data[0], header_len, body_len);
    return MR_DECODE_DONE;
}

enum mr_decode_status mr_frame_decode(struct mr_slice in, int version, uint32_t packet_bytes_max,
                                      struct mr_frame *out, struct mr_decode_error *error) {
    MR_DEBUG_ASSERT(version == 0 || (version >= MR_MQTT_31 && version <= MR_MQTT_50));
    // What nearly all are: good, there, and with a length of one byte.
    if (MR_LIKELY(in.len >= 2) && MR_LIKELY(in.data[1] < 0x80) &&
        MR_LIKELY(first_byte_allowed(version, in.data[0])) &&
        MR_LIKELY(in.data[1] + 2u <= packet_bytes_max)) {
        store_frame(out, in.data[0], 2, in.data[1]);
        return MR_DECODE_DONE;
    }
    return decode_any(in, version, packet_bytes_max, out, error);
}
