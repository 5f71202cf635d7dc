// Packets built field by field, encoded and decoded: what comes out is what went in, whatever
// the fields. So the fuzzer needn't find its way through lengths and property identifiers.
#include <stdlib.h>

#include "fuzz/structured.h"

#define OUT_BYTES (1u << 21)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_connect(const struct mr_connect *want, const struct mr_connect *got) {
    MR_ASSERT(got->version == want->version);
    MR_ASSERT(got->bridge == want->bridge);
    MR_ASSERT(got->clean_start == want->clean_start);
    MR_ASSERT(got->has_will == want->has_will);
    MR_ASSERT(got->has_user_name == want->has_user_name);
    MR_ASSERT(got->has_password == want->has_password);
    MR_ASSERT(got->keep_alive_s == want->keep_alive_s);
    MR_ASSERT(mr_slice_eq(got->client_id, want->client_id));
    MR_ASSERT(mr_slice_eq(got->user_name, want->user_name));
    MR_ASSERT(mr_slice_eq(got->password, want->password));
    MR_ASSERT(mr_slice_eq(got->will.topic, want->will.topic));
    MR_ASSERT(mr_slice_eq(got->will.payload, want->will.payload));
    MR_ASSERT(got->will.qos == want->will.qos);
    MR_ASSERT(got->will.retain == want->will.retain);
    draw_check_properties(&want->properties, &got->properties);
    draw_check_properties(&want->will.properties, &got->will.properties);
}

static void check_publish(const struct structured *drawn, const struct mr_publish *got) {
    const struct mr_publish *want = &drawn->packet.as.publish;
    MR_ASSERT(mr_slice_eq(got->topic, want->topic));
    MR_ASSERT(mr_slice_eq(got->payload, want->payload));
    MR_ASSERT(got->qos == want->qos);
    MR_ASSERT(got->retain == want->retain);
    MR_ASSERT(got->dup == want->dup);
    MR_ASSERT(got->packet_id == want->packet_id);
    MR_ASSERT(got->topic_alias == want->topic_alias);
    MR_ASSERT(got->message_expiry_s == want->message_expiry_s);
    MR_ASSERT(got->payload_format == drawn->properties.payload_format);
    MR_ASSERT(got->subscription_id == (drawn->id_count != 0 ? drawn->ids[0] : 0));
    uint64_t present = drawn->properties.present | want->properties_present;
    present |= want->topic_alias != 0 ? MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS) : 0;
    present |= drawn->id_count != 0 ? MR_PROPERTY_BIT(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) : 0;
    present |= drawn->properties.raw.len != 0 ? MR_PROPERTY_BIT(MR_PROPERTY_USER_PROPERTY) : 0;
    MR_ASSERT(got->properties_present == present);
    // What a broker passes on is what was there before it added its own.
    uint8_t *forwarded = malloc(got->properties_raw.len + 1);
    MR_ASSERT(forwarded != NULL);
    size_t len = mr_publish_forwardable_properties(got->properties_raw, forwarded);
    MR_ASSERT(mr_slice_eq(mr_slice_of(forwarded, len), want->properties_raw));
    free(forwarded);
    struct mr_slice rest = got->properties_raw;
    struct mr_property property;
    size_t id_count = 0;
    while (mr_property_next(&rest, &property)) {
        if (property.id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            MR_ASSERT(id_count < drawn->id_count);
            MR_ASSERT(property.number == drawn->ids[id_count]);
            id_count++;
        }
    }
    MR_ASSERT(id_count == drawn->id_count);
}

static void check_packet(const struct structured *drawn, const struct codec_any *got) {
    const struct codec_any *want = &drawn->packet;
    switch (want->type) {
        case MR_CONNECT:
            check_connect(&want->as.connect, &got->as.connect);
            break;
        case MR_CONNACK:
            MR_ASSERT(got->as.connack.session_present == want->as.connack.session_present);
            MR_ASSERT(got->as.connack.code == want->as.connack.code);
            draw_check_properties(&want->as.connack.properties, &got->as.connack.properties);
            break;
        case MR_PUBLISH:
            check_publish(drawn, &got->as.publish);
            break;
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            MR_ASSERT(got->as.ack.packet_id == want->as.ack.packet_id);
            MR_ASSERT(got->as.ack.reason == want->as.ack.reason);
            draw_check_properties(&want->as.ack.properties, &got->as.ack.properties);
            break;
        case MR_SUBSCRIBE:
            MR_ASSERT(got->as.subscribe.packet_id == want->as.subscribe.packet_id);
            MR_ASSERT(got->as.subscribe.entry_count == want->as.subscribe.entry_count);
            MR_ASSERT(mr_slice_eq(got->as.subscribe.entries, want->as.subscribe.entries));
            draw_check_properties(&want->as.subscribe.properties, &got->as.subscribe.properties);
            break;
        case MR_UNSUBSCRIBE:
            MR_ASSERT(got->as.unsubscribe.packet_id == want->as.unsubscribe.packet_id);
            MR_ASSERT(got->as.unsubscribe.entry_count == want->as.unsubscribe.entry_count);
            MR_ASSERT(mr_slice_eq(got->as.unsubscribe.entries, want->as.unsubscribe.entries));
            draw_check_properties(&want->as.unsubscribe.properties,
                                  &got->as.unsubscribe.properties);
            break;
        case MR_SUBACK:
        case MR_UNSUBACK:
            MR_ASSERT(got->as.suback.packet_id == want->as.suback.packet_id);
            MR_ASSERT(mr_slice_eq(got->as.suback.codes, want->as.suback.codes));
            draw_check_properties(&want->as.suback.properties, &got->as.suback.properties);
            break;
        case MR_DISCONNECT:
            MR_ASSERT(got->as.disconnect.reason == want->as.disconnect.reason);
            draw_check_properties(&want->as.disconnect.properties, &got->as.disconnect.properties);
            break;
        case MR_AUTH:
            MR_ASSERT(got->as.auth.reason == want->as.auth.reason);
            draw_check_properties(&want->as.auth.properties, &got->as.auth.properties);
            break;
        default:
            break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t out[OUT_BYTES];
    struct draw draw = draw_begin(data, size);
    struct structured drawn;
    structured_draw(&draw, &drawn);

    size_t len = structured_encode(&drawn, out, sizeof(out));
    MR_ASSERT(len >= 2);
    // A buffer of just that size is enough, one byte less isn't.
    uint8_t *exact = malloc(len);
    MR_ASSERT(exact != NULL);
    MR_ASSERT(structured_encode(&drawn, exact, len) == len);
    MR_ASSERT(memcmp(exact, out, len) == 0);
    MR_ASSERT(structured_encode(&drawn, out, len - 1) == 0);

    const struct codec_any *packet = &drawn.packet;
    struct mr_frame frame;
    struct mr_decode_error error = {0};
    int version = packet->type == MR_CONNECT ? 0 : (int)packet->version;
    MR_ASSERT(mr_frame_decode(mr_slice_of(exact, len), version, UINT32_MAX, &frame, &error) ==
              MR_DECODE_DONE);
    MR_ASSERT(frame.type == packet->type);
    MR_ASSERT(frame.header_len + (size_t)frame.body_len == len);
    struct codec_any got;
    memset(&got, 0, sizeof(got));
    got.version = packet->version;
    got.type = packet->type;
    got.flags = frame.flags;
    got.from_client = packet->from_client;
    struct mr_slice body = mr_slice_of(exact + frame.header_len, frame.body_len);
    MR_ASSERT(codec_any_decode(&got, body, &error) == MR_DECODE_DONE);
    check_packet(&drawn, &got);
    free(exact);
    return 0;
}
