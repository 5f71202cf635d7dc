// SUBSCRIBE: section 3.8.
#include "tests/proofs/contract.h"
#include "tests/proofs/packet.h"

// Packet identifier, property length and two of the smallest entries.
#define BYTES_MAX 11

// Subscription Options: section 3.8.3.1, and of 3.1.1 section 3.8.3.
static bool options_right(enum mr_version version, uint8_t options) {
    bool qos_right = (options & 3) != 3;  // [MQTT-3.8.3-4 of 3.1.1]
    if (version != MR_MQTT_50) {
        return qos_right && options <= 3;
    }
    return qos_right && (options >> 4) != 3 && options < 0x40;  // [MQTT-3.8.3-5]
}

// The rest of the payload from `at` on: at least one filter [MQTT-3.8.3-2], none of them empty
// [MQTT-4.7.3-1], each with its options.
static bool entries_right(enum mr_version version, struct mr_slice body, size_t at) {
    if (at == body.len) {
        return false;
    }
    while (at < body.len) {
        if (body.len - at < 4) {
            return false;
        }
        size_t filter_len = body.data[at] * 256u + body.data[at + 1];
        if (filter_len == 0 || filter_len > body.len - at - 3 ||
            !options_right(version, body.data[at + 2 + filter_len])) {
            return false;
        }
        at += filter_len + 3;
    }
    return true;
}

static bool body_right(enum mr_version version, struct mr_slice body) {
    if (body.len < 2 || (body.data[0] == 0 && body.data[1] == 0)) {
        return false;  // [MQTT-2.2.1-3]
    }
    size_t at = 2;
    if (version == MR_MQTT_50) {
        at = (size_t)(contracts.properties_end[0] - body.data);
    }
    return entries_right(version, body, at);
}

int main(void) {
    struct mr_slice body = any_slice(BYTES_MAX);
    struct mr_decode_error error = {0};
    struct mr_subscribe packet;
    enum mr_version version = any_version();
    enum mr_decode_status status = mr_subscribe_decode(version, body, &packet, &error);
    prove_answer(status, body, &error, BYTES_MAX);
    PROVE((status == MR_DECODE_DONE) == (!contracts.refused && body_right(version, body)));
    if (status != MR_DECODE_DONE) {
        return 0;
    }
    PROVE(packet.packet_id == body.data[0] * 256u + body.data[1]);
    PROVE(is_within(packet.entries, body));
    PROVE(ends(packet.entries, body));
    prove_properties(&packet.properties, body);
    // The walk afterwards trusts what was checked: it must find as many, and end.
    struct mr_slice rest = packet.entries;
    struct mr_slice filter;
    struct mr_subscription_options options;
    uint32_t count = 0;
    while (mr_subscribe_next(&rest, &filter, &options)) {
        PROVE(filter.len != 0 && is_within(filter, body));
        uint8_t bits = filter.data[filter.len];
        PROVE(options.qos == (bits & 3) && options.retain_handling == bits >> 4);
        PROVE(options.no_local == ((bits & 4) != 0));
        PROVE(options.retain_as_published == ((bits & 8) != 0));
        PROVE(options_right(version, bits));
        count++;
    }
    PROVE(count == packet.entry_count && count >= 1);
    PROVE(rest.len == 0);
    REACHES(count == 2 && version == MR_MQTT_50);
    REACHES(options.no_local && options.retain_handling == 2);
    return 0;
}
