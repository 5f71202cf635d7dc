// PUBLISH: section 3.3.
#include "tests/proofs/contract.h"
#include "tests/proofs/packet.h"

// Topic name of a letter, packet identifier, property length, and the smallest property; or an
// empty topic name and a topic alias.
#define BYTES_MAX 8

// What an implementation of section 3.3 reads first, step by step.
struct wanted {
    bool good;
    uint16_t packet_id;
    struct mr_slice topic;
    size_t at;  // Behind it.
};

static struct wanted wanted_of(uint8_t flags, struct mr_slice body) {
    struct wanted wanted = {0};
    uint8_t qos = (flags >> 1) & 3;
    if (qos == 3 || (qos == 0 && (flags & 8) != 0) || body.len < 2) {
        return wanted;  // [MQTT-3.3.1-4], [MQTT-3.3.1-2]
    }
    size_t topic_len = (size_t)(body.data[0] << 8 | body.data[1]);
    wanted.at = 2 + topic_len;
    if (wanted.at > body.len) {
        return wanted;
    }
    wanted.topic = mr_slice_of(body.data + 2, topic_len);
    if (qos != 0) {
        if (body.len - wanted.at < 2) {
            return wanted;
        }
        wanted.packet_id = (uint16_t)(body.data[wanted.at] << 8 | body.data[wanted.at + 1]);
        wanted.at += 2;
        if (wanted.packet_id == 0) {
            return wanted;  // [MQTT-2.2.1-3]
        }
    }
    wanted.good = true;
    return wanted;
}

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_publish packet;
    enum mr_version version = any_version();
    uint8_t flags = nondet_u8() & 0x0f;
    enum mr_decode_status status = mr_publish_decode(version, flags, body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    struct wanted wanted = wanted_of(flags, body);
    if (status == MR_DECODE_BAD) {
        // An empty topic name needs an alias, which is up to the properties.
        PROVE(!wanted.good || contracts.refused || wanted.topic.len == 0);
        REACHES(wanted.good && !contracts.refused && version == MR_MQTT_50);
        return 0;
    }
    PROVE(wanted.good);
    PROVE(packet.topic.len == wanted.topic.len);
    PROVE(packet.topic.len == 0 || packet.topic.data == wanted.topic.data);
    PROVE(packet.packet_id == wanted.packet_id);
    PROVE(packet.qos == (flags >> 1 & 3));
    PROVE(packet.dup == (flags >> 3 & 1) && packet.retain == (flags & 1));
    PROVE(packet.topic.len != 0 || packet.topic_alias != 0);
    PROVE(packet.payload_format <= 1);
    // Properties and payload are what is left.
    PROVE(packet.payload.data + packet.payload.len == body.data + body.len);
    if (version == MR_MQTT_50) {
        PROVE(is_within(packet.properties_raw, body));
        PROVE(packet.properties_raw.data > body.data + wanted.at);
        PROVE(packet.properties_raw.data + packet.properties_raw.len == packet.payload.data);
    } else {
        PROVE(packet.properties_raw.len == 0);
        PROVE(packet.payload.data == body.data + wanted.at);
    }
    REACHES(packet.qos == 2 && packet.dup && packet.retain && packet.properties_raw.len == 2);
    REACHES(packet.topic.len == 0 && packet.topic_alias == 7 && packet.qos == 1);
    REACHES(packet.payload.len == 0 && version == MR_MQTT_311);
    REACHES(packet.topic.len == 5 && version == MR_MQTT_50);
    return 0;
}
