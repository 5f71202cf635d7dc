// A PUBLISH that is written: for any packet and any room, it is written if it fits, nothing is
// written outside of the room, and what was written is what section 3.3 says, byte by byte.
#include "codec/codec.h"
#include "tests/proofs/proof.h"

#define TOPIC_BYTES_MAX 1
#define PROPERTIES_BYTES_MAX 1
#define PAYLOAD_BYTES_MAX 1
// A byte more than the longest of these packets.
#define ROOM_MAX 24

// CBMC's own knows any length, which takes long.
void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}

static const uint8_t *expect(const uint8_t *next, size_t byte) {
    PROVE(*next == byte);
    return next + 1;
}

static const uint8_t *expect_slice(const uint8_t *next, struct mr_slice slice) {
    for (size_t i = 0; i < slice.len; i++) {
        PROVE(next[i] == slice.data[i]);
    }
    return next + slice.len;
}

static size_t id_bytes(uint32_t id) {
    return id < 128 ? 1 : id < 16384 ? 2 : id < 2097152 ? 3 : 4;
}

// Table 1-1: seven bits a byte, the lowest first; the eighth says that another follows.
static const uint8_t *expect_id(const uint8_t *next, uint32_t id) {
    size_t len = id_bytes(id);
    for (size_t i = 0; i < len; i++) {
        next = expect(next, (id & 0x7f) + (i + 1 < len ? 0x80 : 0));
        id >>= 7;
    }
    return next;
}

static size_t properties_bytes(const struct mr_publish *packet, const uint32_t *ids, size_t count,
                               bool has_expiry) {
    return (packet->topic_alias != 0 ? 3u : 0u) + (has_expiry ? 5u : 0u) +
           (count != 0 ? 1 + id_bytes(ids[0]) : 0) + packet->properties_raw.len;
}

// Any one that the protocol has.
static struct mr_publish any_packet(void) {
    struct mr_publish packet;
    packet.dup = nondet_bool();
    packet.retain = nondet_bool();
    packet.topic = any_slice(TOPIC_BYTES_MAX);
    packet.properties_raw = any_slice(PROPERTIES_BYTES_MAX);
    packet.payload = any_slice(PAYLOAD_BYTES_MAX);
    ASSUME(packet.qos <= 2 && (packet.qos != 0 || !packet.dup));
    return packet;
}

int main(void) {
    enum mr_version version = nondet_bool() ? MR_MQTT_50 : MR_MQTT_311;
    struct mr_publish packet = any_packet();
    bool has_expiry =
        (packet.properties_present & MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL)) != 0;
    uint32_t ids[1] = {nondet_u32()};
    size_t id_count = nondet_bool() ? 1 : 0;
    bool ids_right = id_count == 0 || (ids[0] >= 1 && ids[0] <= MR_REMAINING_LENGTH_MAX);
    size_t properties_len = properties_bytes(&packet, ids, id_count, has_expiry);
    size_t wanted_len = 4 + packet.topic.len + (packet.qos != 0 ? 2u : 0u) +
                        (version == MR_MQTT_50 ? 1 + properties_len : 0) + packet.payload.len;
    uint8_t out[ROOM_MAX];
    size_t room = nondet_size();
    size_t behind = nondet_size();
    ASSUME(room <= ROOM_MAX && behind < ROOM_MAX);
    uint8_t before = out[behind];

    // Its payload may be somebody else's to send.
    bool whole = nondet_bool();
    size_t len = whole ? mr_publish_encode(version, &packet, ids, id_count, out, room)
                       : mr_publish_encode_head(version, &packet, ids, id_count, out, room);
    size_t absent_len = whole ? 0 : packet.payload.len;
    PROVE((len != 0) == (wanted_len - absent_len <= room && (version != MR_MQTT_50 || ids_right)));
    PROVE(behind < len || out[behind] == before);
    REACHES(len == 0 && room == ROOM_MAX);
    if (len == 0) {
        return 0;
    }
    PROVE(len == wanted_len - absent_len);
    const uint8_t *next = out;
    next = expect(next, MR_PUBLISH << 4 | packet.dup << 3 | packet.qos << 1 | packet.retain);
    next = expect(next, wanted_len - 2);
    next = expect(next, 0);
    next = expect(next, packet.topic.len);
    next = expect_slice(next, packet.topic);
    if (packet.qos != 0) {
        next = expect(next, packet.packet_id >> 8);
        next = expect(next, packet.packet_id & 0xff);
    }
    if (version == MR_MQTT_50) {
        next = expect(next, properties_len);
        if (packet.topic_alias != 0) {
            next = expect(next, 0x23);
            next = expect(next, packet.topic_alias >> 8);
            next = expect(next, packet.topic_alias & 0xff);
        }
        if (has_expiry) {
            next = expect(next, 0x02);
            for (int shift = 24; shift >= 0; shift -= 8) {
                next = expect(next, packet.message_expiry_s >> shift & 0xff);
            }
        }
        if (id_count != 0) {
            next = expect(next, 0x0b);
            next = expect_id(next, ids[0]);
        }
        next = expect_slice(next, packet.properties_raw);
    }
    next = whole ? expect_slice(next, packet.payload) : next;
    PROVE(next == out + len);
    REACHES(version == MR_MQTT_50 && len == ROOM_MAX - 1 && room == len);
    REACHES(version == MR_MQTT_311 && len == 4 && room == 4);
    REACHES(!whole && packet.payload.len != 0);
    return 0;
}
