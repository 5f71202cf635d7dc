// Decode, encode, decode, encode: the second packet is the first, byte for byte, and
// no shorter than what came in but for what the standard lets a sender leave out.
//
// The first byte of the input chooses version and direction, the second one is the
// first of a fixed header, the rest is the body.
#include <stdlib.h>

#include "fuzz/codec_any.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Encodes into a buffer of just the size that `packet` needs; NULL without one.
static uint8_t *encode(const struct codec_any *packet, size_t guess, size_t *len) {
    uint8_t *room = malloc(guess);
    MR_ASSERT(room != NULL);
    *len = codec_any_encode(packet, room, guess);
    MR_ASSERT(*len != 0);
    uint8_t *exact = malloc(*len);
    MR_ASSERT(exact != NULL);
    MR_ASSERT(codec_any_encode(packet, exact, *len) == *len);
    MR_ASSERT(memcmp(room, exact, *len) == 0);
    MR_ASSERT(codec_any_encode(packet, room, *len - 1) == 0);
    free(room);
    return exact;
}

// The body of an encoded packet, whose fixed header has to be right.
static struct mr_slice body_of(const struct codec_any *packet, struct mr_slice encoded) {
    int version = packet->type == MR_CONNECT ? 0 : (int)packet->version;
    struct mr_frame frame;
    struct mr_decode_error error = {0};
    MR_ASSERT(mr_frame_decode(encoded, version, UINT32_MAX, &frame, &error) == MR_DECODE_DONE);
    MR_ASSERT(frame.type == packet->type);
    MR_ASSERT(frame.header_len + (size_t)frame.body_len == encoded.len);
    MR_ASSERT(packet->type != MR_PUBLISH || frame.flags == packet->flags);
    return mr_slice_of(encoded.data + frame.header_len, frame.body_len);
}

// A reason of success and an empty property length may be left out.
static size_t omissible_len(enum mr_packet_type type) {
    bool may_omit = (type >= MR_PUBACK && type <= MR_PUBCOMP) || type == MR_DISCONNECT;
    return may_omit ? 2 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    struct codec_any packet = {.version = (enum mr_version)(MR_MQTT_31 + data[0] % 3),
                               .type = (enum mr_packet_type)(data[1] >> 4),
                               .flags = data[1] & 0x0f,
                               .from_client = (data[0] & 0x80) == 0};
    if (data[1] >> 4 == 0) {
        return 0;
    }
    struct mr_slice body = mr_slice_of(data + 2, size - 2);
    struct mr_decode_error error = {0};
    if (codec_any_decode(&packet, body, &error) != MR_DECODE_DONE) {
        return 0;
    }
    if (packet.type == MR_CONNECT) {
        packet.version = packet.as.connect.version;
    } else if (packet.type == MR_AUTH) {
        packet.version = MR_MQTT_50;  // No other has it.
    }
    size_t len;
    uint8_t *first = encode(&packet, size + 16, &len);
    struct mr_slice first_body = body_of(&packet, mr_slice_of(first, len));
    MR_ASSERT(first_body.len <= body.len);
    MR_ASSERT(first_body.len + omissible_len(packet.type) >= body.len);

    struct codec_any again = packet;
    MR_ASSERT(codec_any_decode(&again, first_body, &error) == MR_DECODE_DONE);
    size_t again_len;
    uint8_t *second = encode(&again, size + 16, &again_len);
    MR_ASSERT(again_len == len);
    MR_ASSERT(memcmp(first, second, len) == 0);
    free(second);
    free(first);
    return 0;
}
