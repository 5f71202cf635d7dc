// Fixed header, section 2.1: for any bytes, of any version and limit, the answer is the one of the
// standard's tables and algorithm, written down again here.
#include "codec/codec.h"
#include "tests/proofs/proof.h"

// The longest fixed header, and one byte of a body.
#define BYTES_MAX 6

static bool flags_right(int version, unsigned type, unsigned flags) {
    switch (type) {
        case MR_PUBLISH:
            // No QoS 3, and no DUP with QoS 0.
            return (flags & 6) != 6 && ((flags & 6) != 0 || (flags & 8) == 0);
        case MR_PUBREL:
        case MR_SUBSCRIBE:
        case MR_UNSUBSCRIBE:
            return flags == 2 || (version == MR_MQTT_31 && flags == 10);
        case MR_AUTH:
            return version == MR_MQTT_50 && flags == 0;
        default:
            return type != 0 && flags == 0;
    }
}

static bool first_byte_right(int version, uint8_t first) {
    if (version == 0) {
        return first == MR_CONNECT << 4;
    }
    return flags_right(version, first >> 4, first & 15u);
}

// As in section 1.5.5, with the shortest form asked for by the value.
static enum mr_decode_status read_length(struct mr_slice in, uint64_t *body_len, size_t *used) {
    uint64_t multiplier = 1;
    uint64_t value = 0;
    for (size_t i = 1; i < 5; i++) {
        if (i == in.len) {
            return MR_DECODE_MORE;
        }
        value += (in.data[i] & 127u) * multiplier;
        multiplier *= 128;
        if (in.data[i] < 128) {
            *body_len = value;
            *used = i + 1;
            return i == 1 || value >= multiplier / 128 ? MR_DECODE_DONE : MR_DECODE_BAD;
        }
    }
    return MR_DECODE_BAD;
}

static enum mr_decode_status judge(struct mr_slice in, int version, uint32_t packet_bytes_max,
                                   uint64_t *body_len, size_t *header_len) {
    if (in.len == 0) {
        return MR_DECODE_MORE;
    }
    if (!first_byte_right(version, in.data[0])) {
        return MR_DECODE_BAD;
    }
    enum mr_decode_status status = read_length(in, body_len, header_len);
    if (status == MR_DECODE_DONE && *body_len + *header_len > packet_bytes_max) {
        return MR_DECODE_BAD;
    }
    return status;
}

int main(void) {
    struct mr_slice in = any_slice(BYTES_MAX);
    uint32_t packet_bytes_max = nondet_u32();
    uint8_t version = nondet_u8();
    ASSUME(version == 0 || (version >= MR_MQTT_31 && version <= MR_MQTT_50));
    uint64_t body_len = 0;
    size_t header_len = 0;
    struct mr_frame frame;
    struct mr_decode_error error = {0};
    enum mr_decode_status status = mr_frame_decode(in, version, packet_bytes_max, &frame, &error);
    PROVE(status == judge(in, version, packet_bytes_max, &body_len, &header_len));
    if (status == MR_DECODE_DONE) {
        PROVE(frame.type == in.data[0] >> 4);
        PROVE(frame.flags == (in.data[0] & 15));
        PROVE(frame.header_len == header_len && header_len >= 2 && header_len <= in.len);
        PROVE(frame.body_len == body_len && body_len <= MR_REMAINING_LENGTH_MAX);
        PROVE(body_len + header_len <= packet_bytes_max);
    }
    if (status == MR_DECODE_BAD) {
        PROVE(error.what != NULL);
        PROVE(error.offset < in.len);
    }
    REACHES(status == MR_DECODE_DONE && frame.body_len == MR_REMAINING_LENGTH_MAX);
    REACHES(status == MR_DECODE_DONE && version == MR_MQTT_31 && frame.flags == 10);
    REACHES(status == MR_DECODE_MORE && in.len == 4);
    REACHES(status == MR_DECODE_BAD && error.reason == MR_REASON_PACKET_TOO_LARGE);
    REACHES(status == MR_DECODE_BAD && in.len == 5 && error.offset == 4);
    return 0;
}
