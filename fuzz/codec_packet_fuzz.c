// A stream of packets as a connection might bring it: whatever the bytes, nothing is
// read outside of them, and what a decoder reports about them is consistent.
//
// The first byte of the input chooses version and direction; the stream follows. A
// stream that begins with CONNECT goes on in that packet's version.
#include <stdlib.h>

#include "codec/utf8.h"
#include "fuzz/codec_any.h"

enum {
    PACKET_BYTES_MAX = 1 << 20,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct mr_slice part, struct mr_slice whole) {
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             part.data - whole.data <= (ptrdiff_t)(whole.len - part.len));
}

static void check_properties(const struct mr_properties *properties, struct mr_slice body) {
    MR_ASSERT(inside(properties->raw, body));
    struct mr_slice rest = properties->raw;
    struct mr_property property;
    uint64_t seen = 0;
    while (mr_property_next(&rest, &property)) {
        MR_ASSERT(inside(property.raw, properties->raw));
        seen |= MR_PROPERTY_BIT(property.id);
    }
    MR_ASSERT(rest.len == 0);
    MR_ASSERT(seen == properties->present);
}

static void check_connect(const struct mr_connect *packet, struct mr_slice body) {
    check_properties(&packet->properties, body);
    MR_ASSERT(inside(packet->client_id, body));
    MR_ASSERT(mr_utf8_valid(packet->client_id));
    MR_ASSERT(mr_utf8_valid(packet->user_name));
    if (packet->has_will) {
        check_properties(&packet->will.properties, body);
        MR_ASSERT(mr_utf8_valid_topic_name(packet->will.topic));
        MR_ASSERT(inside(packet->will.payload, body));
        MR_ASSERT(packet->will.qos <= 2);
    }
}

static void check_publish(const struct mr_publish *packet, struct mr_slice body) {
    MR_ASSERT(packet->topic.len != 0 || packet->topic_alias != 0);
    MR_ASSERT(packet->topic.len == 0 || mr_utf8_valid_topic_name(packet->topic));
    MR_ASSERT(inside(packet->topic, body));
    MR_ASSERT(inside(packet->payload, body));
    MR_ASSERT(inside(packet->properties_raw, body));
    MR_ASSERT(packet->qos <= 2);
    MR_ASSERT((packet->qos == 0) == (packet->packet_id == 0));
    MR_ASSERT(!packet->dup || packet->qos != 0);
    // The payload is the end of the body.
    MR_ASSERT(packet->payload.data + packet->payload.len == body.data + body.len);
}

static void check_subscribe(const struct mr_subscribe *packet, struct mr_slice body) {
    check_properties(&packet->properties, body);
    struct mr_slice rest = packet->entries;
    struct mr_slice filter;
    struct mr_subscription_options options;
    uint32_t count = 0;
    while (mr_subscribe_next(&rest, &filter, &options)) {
        MR_ASSERT(inside(filter, body));
        MR_ASSERT(filter.len != 0);
        MR_ASSERT(mr_utf8_valid(filter));
        MR_ASSERT(options.qos <= 2);
        MR_ASSERT(options.retain_handling <= 2);
        count++;
    }
    MR_ASSERT(rest.len == 0);
    MR_ASSERT(count == packet->entry_count);
    MR_ASSERT(count != 0);
}

static void check_unsubscribe(const struct mr_unsubscribe *packet, struct mr_slice body) {
    check_properties(&packet->properties, body);
    struct mr_slice rest = packet->entries;
    struct mr_slice filter;
    uint32_t count = 0;
    while (mr_unsubscribe_next(&rest, &filter)) {
        MR_ASSERT(inside(filter, body));
        MR_ASSERT(filter.len != 0);
        MR_ASSERT(mr_utf8_valid(filter));
        count++;
    }
    MR_ASSERT(rest.len == 0);
    MR_ASSERT(count == packet->entry_count);
    MR_ASSERT(count != 0);
}

static void check(const struct codec_any *packet, struct mr_slice body) {
    switch (packet->type) {
        case MR_CONNECT:
            check_connect(&packet->as.connect, body);
            break;
        case MR_CONNACK:
            check_properties(&packet->as.connack.properties, body);
            break;
        case MR_PUBLISH:
            check_publish(&packet->as.publish, body);
            break;
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            MR_ASSERT(packet->as.ack.packet_id != 0);
            check_properties(&packet->as.ack.properties, body);
            break;
        case MR_SUBSCRIBE:
            check_subscribe(&packet->as.subscribe, body);
            break;
        case MR_SUBACK:
        case MR_UNSUBACK:
            MR_ASSERT(inside(packet->as.suback.codes, body));
            check_properties(&packet->as.suback.properties, body);
            break;
        case MR_UNSUBSCRIBE:
            check_unsubscribe(&packet->as.unsubscribe, body);
            break;
        case MR_DISCONNECT:
            check_properties(&packet->as.disconnect.properties, body);
            break;
        case MR_AUTH:
            check_properties(&packet->as.auth.properties, body);
            break;
        default:
            break;
    }
}

static void check_error(const struct mr_decode_error *error, size_t len) {
    MR_ASSERT(error->reason >= 0x80);
    MR_ASSERT(error->offset <= len);
    MR_ASSERT(error->what != NULL);
}

// Decodes one body out of memory of its own; false if it is bad.
static bool try_body(struct codec_any *packet, struct mr_slice bytes) {
    uint8_t *copy = codec_exact_copy(bytes);
    struct mr_slice body = mr_slice_of(copy, bytes.len);
    struct mr_decode_error error = {0};
    enum mr_decode_status status = codec_any_decode(packet, body, &error);
    MR_ASSERT(status != MR_DECODE_MORE);
    if (status == MR_DECODE_DONE) {
        check(packet, body);
    } else {
        check_error(&error, body.len);
    }
    free(copy);
    return status == MR_DECODE_DONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    int version = MR_MQTT_31 + data[0] % 3;
    bool from_client = (data[0] & 0x80) == 0;
    uint8_t *copy = codec_exact_copy(mr_slice_of(data + 1, size - 1));
    struct mr_slice rest = mr_slice_of(copy, size - 1);
    if (rest.len != 0 && rest.data[0] >> 4 == MR_CONNECT) {
        version = 0;
    }
    for (;;) {
        struct mr_frame frame;
        struct mr_decode_error error = {0};
        enum mr_decode_status status =
            mr_frame_decode(rest, version, PACKET_BYTES_MAX, &frame, &error);
        if (status != MR_DECODE_DONE) {
            if (status == MR_DECODE_BAD) {
                check_error(&error, rest.len);
            }
            break;
        }
        MR_ASSERT(frame.header_len <= rest.len);
        if (frame.body_len > rest.len - frame.header_len) {
            break;
        }
        struct codec_any packet = {.version = (enum mr_version)(version ? version : MR_MQTT_50),
                                   .type = (enum mr_packet_type)frame.type,
                                   .flags = frame.flags,
                                   .from_client = from_client};
        if (!try_body(&packet, mr_slice_of(rest.data + frame.header_len, frame.body_len))) {
            break;
        }
        if (packet.type == MR_CONNECT) {
            version = (int)packet.as.connect.version;
        }
        size_t packet_len = frame.header_len + (size_t)frame.body_len;
        rest = mr_slice_of(rest.data + packet_len, rest.len - packet_len);
    }
    free(copy);
    return 0;
}
