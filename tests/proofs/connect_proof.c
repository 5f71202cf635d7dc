// CONNECT: section 3.1. It is taken if, and only if, the standard allows it, and each field is
// handed out as it stands there.
//
// The body always begins where its memory does, which is quicker here. Of a shorter body the bytes
// behind its end are there, then, but they are any, and nothing may depend on them.
#include "tests/proofs/contract.h"
#include "tests/proofs/packet.h"

// A will of 5.0, or user name and password.
#define BYTES_MAX 19

static size_t length_at(struct mr_slice body, size_t at) {
    return body.data[at] * 256u + body.data[at + 1];
}

// Are there two bytes of length and as many bytes as they say? Section 1.5.4.
static bool fits(struct mr_slice body, size_t at) {
    return body.len - at >= 2 && body.len - at - 2 >= length_at(body, at);
}

static bool begins(struct mr_slice body, const char *name, size_t len) {
    bool same = body.len > 2 + len && length_at(body, 0) == len;
    for (size_t i = 0; same && i < len; i++) {
        same = body.data[2 + i] == (uint8_t)name[i];
    }
    return same;
}

// Sections 3.1.2.1 and 3.1.2.2, of 3.1 and 3.1.1 as well; there, bridges set the level's highest
// bit. Proves what was made of name and level. Are they right?
static bool protocol_right(const struct mr_connect *packet, struct mr_slice body) {
    if (!fits(body, 0) || body.len == 2 + length_at(body, 0)) {
        PROVE(packet->version == 0);
        return false;
    }
    uint8_t level = body.data[2 + length_at(body, 0)];
    bool is_mqisdp = begins(body, "MQIsdp", 6);
    bool is_mqtt = begins(body, "MQTT", 4);
    if (is_mqisdp && (level & 0x7f) == 3) {
        PROVE(packet->version == MR_MQTT_31 && packet->bridge == (level == 0x83));
        return true;
    }
    if (is_mqtt && (level & 0x7f) == 4) {
        PROVE(packet->version == MR_MQTT_311 && packet->bridge == (level == 0x84));
        return true;
    }
    PROVE(packet->version == ((level & 0x7f) < 5 ? MR_MQTT_311 : MR_MQTT_50));
    return is_mqtt && level == 5;
}

// Sections 3.1.2.3 to 3.1.2.9.
static bool flags_right(enum mr_version version, uint8_t flags) {
    bool has_will = (flags & 0x04) != 0;
    bool password_alone = (flags & 0xc0) == 0x40;
    return (flags & 0x01) == 0 &&                       // [MQTT-3.1.2-3]
           (flags & 0x18) != 0x18 &&                    // [MQTT-3.1.2-12]
           (has_will || (flags & 0x38) == 0) &&         // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
           (version == MR_MQTT_50 || !password_alone);  // [MQTT-3.1.2-22 of 3.1.1]
}

static void prove_flags(const struct mr_connect *packet, uint8_t flags) {
    PROVE(packet->clean_start == ((flags & 0x02) != 0));
    PROVE(packet->has_will == ((flags & 0x04) != 0));
    PROVE(packet->will.qos == (flags >> 3 & 3));
    PROVE(packet->will.retain == ((flags & 0x20) != 0));
    PROVE(packet->has_password == ((flags & 0x40) != 0));
    PROVE(packet->has_user_name == ((flags & 0x80) != 0));
}

// Proves that `field` is what stands at `*at`, and moves on behind it; or that it is absent since
// nothing fits there.
static bool follow(struct mr_slice field, struct mr_slice body, size_t *at) {
    PROVE((field.data != NULL) == fits(body, *at));
    if (field.data == NULL) {
        return false;
    }
    PROVE(field.data == body.data + *at + 2);
    PROVE(field.len == length_at(body, *at));
    *at = (size_t)(field.data - body.data) + field.len;
    return true;
}

// Where the contract says that properties end.
static bool skip_properties(unsigned which, enum mr_version version, struct mr_slice body,
                            size_t *at) {
    if (version == MR_MQTT_50) {
        *at = (size_t)(contracts.properties_end[which] - body.data);
    }
    return true;
}

static bool authentication_right(const struct mr_properties *properties) {
    return !mr_properties_has(properties, MR_PROPERTY_AUTHENTICATION_DATA) ||
           mr_properties_has(properties, MR_PROPERTY_AUTHENTICATION_METHOD);
}

// What the flags say, in this order [MQTT-3.1.3-1].
static bool payload_right(const struct mr_connect *packet, struct mr_slice body, size_t at) {
    enum mr_version version = packet->version;
    return follow(packet->client_id, body, &at) &&
           (!packet->has_will ||
            (skip_properties(1, version, body, &at) && follow(packet->will.topic, body, &at) &&
             packet->will.topic.len != 0 && follow(packet->will.payload, body, &at))) &&
           (!packet->has_user_name || follow(packet->user_name, body, &at)) &&
           (!packet->has_password || follow(packet->password, body, &at)) && at == body.len;
}

// Where a contract didn't refuse, is `body` right?
static bool body_right(const struct mr_connect *packet, struct mr_slice body) {
    size_t at = packet->version == MR_MQTT_31 ? 9 : 7;
    if (body.len - at < 3 || !flags_right(packet->version, body.data[at])) {
        return false;
    }
    prove_flags(packet, body.data[at]);
    PROVE(packet->keep_alive_s == length_at(body, at + 1));
    at += 3;
    return skip_properties(0, packet->version, body, &at) &&
           (packet->version != MR_MQTT_50 || authentication_right(&packet->properties)) &&
           payload_right(packet, body, at);
}

int main(void) {
    struct mr_slice body = any_slice_of_len(BYTES_MAX);
    body.len = nondet_size();
    ASSUME(body.len <= BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_connect packet;
    enum mr_decode_status status = mr_connect_decode(body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    bool known = protocol_right(&packet, body);
    if (contracts.refused) {
        PROVE(known && status == MR_DECODE_BAD);
        return 0;
    }
    PROVE((status == MR_DECODE_DONE) == (known && body_right(&packet, body)));
    if (status == MR_DECODE_DONE) {
        prove_properties(&packet.properties, body);
        prove_properties(&packet.will.properties, body);
    } else {
        PROVE((error.reason == MR_REASON_UNSUPPORTED_PROTOCOL_VERSION) ==
              (packet.version != 0 && !known));
    }
    REACHES(status == MR_DECODE_DONE && packet.version == MR_MQTT_31 && packet.bridge);
    REACHES(status == MR_DECODE_DONE && packet.version == MR_MQTT_50 && packet.has_will);
    REACHES(status == MR_DECODE_DONE && packet.version == MR_MQTT_50 && packet.has_user_name &&
            packet.has_password && packet.client_id.len == 2);
    return 0;
}
