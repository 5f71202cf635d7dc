#include "fuzz/codec_any.h"

#include <stdlib.h>

uint8_t *codec_exact_copy(struct mr_slice bytes) {
    uint8_t *copy = malloc(bytes.len ? bytes.len : 1);
    MR_ASSERT(copy != NULL);
    if (bytes.len != 0) {
        memcpy(copy, bytes.data, bytes.len);
    }
    return copy;
}

enum mr_decode_status codec_any_decode(struct codec_any *packet, struct mr_slice body,
                                       struct mr_decode_error *error) {
    enum mr_version version = packet->version;
    enum mr_packet_type type = packet->type;
    switch (type) {
        case MR_CONNECT:
            return mr_connect_decode(body, &packet->as.connect, error);
        case MR_CONNACK:
            return mr_connack_decode(version, body, &packet->as.connack, error);
        case MR_PUBLISH:
            return mr_publish_decode(version, packet->flags, body, &packet->as.publish, error);
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            return mr_ack_decode(version, type, body, &packet->as.ack, error);
        case MR_SUBSCRIBE:
            return mr_subscribe_decode(version, body, &packet->as.subscribe, error);
        case MR_SUBACK:
        case MR_UNSUBACK:
            return mr_suback_decode(version, type, body, &packet->as.suback, error);
        case MR_UNSUBSCRIBE:
            return mr_unsubscribe_decode(version, body, &packet->as.unsubscribe, error);
        case MR_PINGREQ:
        case MR_PINGRESP:
            return mr_ping_decode(body, error);
        case MR_DISCONNECT:
            return mr_disconnect_decode(version, body, packet->from_client, &packet->as.disconnect,
                                        error);
        case MR_AUTH:
            return mr_auth_decode(body, &packet->as.auth, error);
    }
    MR_ASSERT(type == MR_AUTH);  // mr_frame_decode() lets no other value through.
    return MR_DECODE_BAD;
}

static size_t encode_publish(enum mr_version version, struct mr_publish packet, uint8_t *out,
                             size_t out_bytes_max) {
    size_t raw_len = packet.properties_raw.len;
    uint8_t *raw = malloc(raw_len + 1);
    uint32_t *ids = malloc((raw_len + 1) * sizeof(*ids));
    MR_ASSERT(raw != NULL);
    MR_ASSERT(ids != NULL);
    size_t id_count = 0;
    struct mr_slice rest = packet.properties_raw;
    struct mr_property property;
    while (mr_property_next(&rest, &property)) {
        if (property.id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            ids[id_count++] = property.number;
        }
    }
    MR_ASSERT(rest.len == 0);
    MR_ASSERT(packet.subscription_id == (id_count ? ids[0] : 0));
    packet.properties_raw =
        mr_slice_of(raw, mr_publish_forwardable_properties(packet.properties_raw, raw));
    size_t len = mr_publish_encode(version, &packet, ids, id_count, out, out_bytes_max);
    size_t head_len = mr_publish_encode_head(version, &packet, ids, id_count, out, out_bytes_max);
    MR_ASSERT(len == 0 || len == head_len + packet.payload.len);
    free(ids);
    free(raw);
    return len;
}

size_t codec_any_encode(const struct codec_any *packet, uint8_t *out, size_t out_bytes_max) {
    enum mr_version version = packet->version;
    enum mr_packet_type type = packet->type;
    switch (type) {
        case MR_CONNECT:
            return mr_connect_encode(&packet->as.connect, out, out_bytes_max);
        case MR_CONNACK:
            return mr_connack_encode(version, &packet->as.connack, out, out_bytes_max);
        case MR_PUBLISH:
            return encode_publish(version, packet->as.publish, out, out_bytes_max);
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            return mr_ack_encode(version, type, &packet->as.ack, out, out_bytes_max);
        case MR_SUBSCRIBE:
            return mr_subscribe_encode(version, &packet->as.subscribe, out, out_bytes_max);
        case MR_SUBACK:
        case MR_UNSUBACK:
            return mr_suback_encode(version, type, &packet->as.suback, out, out_bytes_max);
        case MR_UNSUBSCRIBE:
            return mr_unsubscribe_encode(version, &packet->as.unsubscribe, out, out_bytes_max);
        case MR_PINGREQ:
        case MR_PINGRESP:
            return mr_ping_encode(type, out, out_bytes_max);
        case MR_DISCONNECT:
            return mr_disconnect_encode(version, &packet->as.disconnect, out, out_bytes_max);
        case MR_AUTH:
            return mr_auth_encode(&packet->as.auth, out, out_bytes_max);
    }
    return 0;
}
