#include "fuzz/structured.h"

#define ENTRIES_MAX 8u
#define STRING_BYTES_MAX 65535u

static uint16_t draw_packet_id(struct draw *draw) {
    uint16_t packet_id = draw_u16(draw);
    return packet_id == 0 ? 1 : packet_id;
}

static void draw_connect(struct draw *draw, struct codec_any *packet) {
    struct mr_connect *connect = &packet->as.connect;
    bool is_50 = packet->version == MR_MQTT_50;
    uint8_t flags = draw_u8(draw);
    connect->version = packet->version;
    connect->bridge = !is_50 && (flags & 1) != 0;
    connect->clean_start = (flags & 2) != 0;
    connect->has_will = (flags & 4) != 0;
    connect->has_user_name = (flags & 8) != 0;
    connect->has_password = (flags & 16) != 0 && (is_50 || connect->has_user_name);
    connect->keep_alive_s = draw_u16(draw);
    connect->client_id = draw_string(draw);
    if (is_50) {
        connect->properties = draw_properties(draw, MR_CONNECT, true);
    }
    if (connect->has_will) {
        connect->will.qos = (uint8_t)((flags >> 5) % 3);
        connect->will.retain = (flags & 128) != 0;
        connect->will.topic = draw_topic(draw);
        connect->will.payload = draw_binary(draw);
        if (is_50) {
            connect->will.properties = draw_properties(draw, DRAW_WILL, true);
        }
    }
    if (connect->has_user_name) {
        connect->user_name = draw_string(draw);
    }
    if (connect->has_password) {
        connect->password = draw_binary(draw);
    }
}

static void draw_connack(struct draw *draw, struct codec_any *packet) {
    struct mr_connack *connack = &packet->as.connack;
    uint8_t byte = draw_u8(draw);
    if (packet->version == MR_MQTT_50) {
        connack->code = draw_reason(draw, MR_CONNACK, false);
        connack->properties = draw_properties(draw, MR_CONNACK, false);
    } else {
        connack->code = (uint8_t)((byte >> 1) % 6);
    }
    connack->session_present = (byte & 1) != 0 && connack->code == 0;
}

static void draw_publish(struct draw *draw, struct structured *out) {
    struct codec_any *packet = &out->packet;
    struct mr_publish *publish = &packet->as.publish;
    uint8_t flags = draw_u8(draw);
    publish->qos = (uint8_t)((flags >> 1) % 3);
    publish->retain = (flags & 1) != 0;
    publish->dup = publish->qos != 0 && (flags & 8) != 0;
    publish->packet_id = publish->qos != 0 ? draw_packet_id(draw) : 0;
    publish->topic = draw_topic(draw);
    if (packet->version == MR_MQTT_50) {
        publish->topic_alias = (flags & 16) != 0 ? draw_packet_id(draw) : 0;
        if (publish->topic_alias != 0 && (flags & 32) != 0) {
            publish->topic = mr_slice_of(NULL, 0);
        }
        publish->properties_raw = draw_forwardable(draw, &out->properties);
        if ((flags & 64) != 0) {
            publish->properties_present = MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
            publish->message_expiry_s = draw_u32(draw);
        }
        out->id_count = draw_u8(draw) % (STRUCTURED_SUBSCRIPTION_IDS_MAX + 1);
        for (size_t i = 0; i < out->id_count; i++) {
            out->ids[i] = 1 + (draw_u32(draw) >> (8 * (i % 4))) % MR_REMAINING_LENGTH_MAX;
        }
    }
    publish->payload = draw_binary(draw);
}

static void draw_ack(struct draw *draw, struct codec_any *packet) {
    struct mr_ack *ack = &packet->as.ack;
    ack->packet_id = draw_packet_id(draw);
    if (packet->version == MR_MQTT_50) {
        ack->reason = (enum mr_reason)draw_reason(draw, packet->type, true);
        ack->properties = draw_properties(draw, packet->type, true);
    }
}

// Some entries of SUBSCRIBE or UNSUBSCRIBE, one behind the other.
static struct mr_slice draw_entries(struct draw *draw, const struct codec_any *packet,
                                    uint32_t *count) {
    static uint8_t entries[ENTRIES_MAX * (2 + STRING_BYTES_MAX + 1)];
    size_t len = 0;
    uint32_t want = 1 + draw_u8(draw) % ENTRIES_MAX;
    *count = 0;
    for (uint32_t i = 0; i < want; i++) {
        uint8_t bits = draw_u8(draw);
        struct mr_subscription_options options = {
            .qos = (uint8_t)((bits & 3) % 3),
            .no_local = (bits & 4) != 0,
            .retain_as_published = (bits & 8) != 0,
            .retain_handling = (uint8_t)((bits >> 4) % 3),
        };
        struct mr_slice filter = draw_string(draw);
        if (filter.len == 0) {
            filter = mr_slice_str("#");
        }
        size_t room = sizeof(entries) - len;
        size_t entry_len =
            packet->type == MR_SUBSCRIBE
                ? mr_subscribe_encode_entry(packet->version, filter, &options, entries + len, room)
                : mr_unsubscribe_encode_entry(filter, entries + len, room);
        MR_ASSERT(entry_len == 2 + filter.len + (packet->type == MR_SUBSCRIBE));
        if (packet->type == MR_SUBSCRIBE) {
            struct mr_slice rest = mr_slice_of(entries + len, entry_len);
            struct mr_slice again;
            struct mr_subscription_options got;
            bool is_50 = packet->version == MR_MQTT_50;
            MR_ASSERT(mr_subscribe_next(&rest, &again, &got));
            MR_ASSERT(mr_slice_eq(again, filter));
            MR_ASSERT(got.qos == options.qos);
            MR_ASSERT(got.no_local == (is_50 && options.no_local));
            MR_ASSERT(got.retain_as_published == (is_50 && options.retain_as_published));
            MR_ASSERT(got.retain_handling == (is_50 ? options.retain_handling : 0));
        }
        len += entry_len;
        (*count)++;
    }
    return mr_slice_of(entries, len);
}

static void draw_subscribe(struct draw *draw, struct codec_any *packet) {
    struct mr_subscribe *subscribe = &packet->as.subscribe;
    subscribe->packet_id = draw_packet_id(draw);
    if (packet->version == MR_MQTT_50) {
        subscribe->properties = draw_properties(draw, MR_SUBSCRIBE, true);
    }
    subscribe->entries = draw_entries(draw, packet, &subscribe->entry_count);
}

static void draw_unsubscribe(struct draw *draw, struct codec_any *packet) {
    struct mr_unsubscribe *unsubscribe = &packet->as.unsubscribe;
    unsubscribe->packet_id = draw_packet_id(draw);
    if (packet->version == MR_MQTT_50) {
        unsubscribe->properties = draw_properties(draw, MR_UNSUBSCRIBE, true);
    }
    unsubscribe->entries = draw_entries(draw, packet, &unsubscribe->entry_count);
}

static void draw_suback(struct draw *draw, struct codec_any *packet) {
    static const uint8_t v3_codes[] = {0, 1, 2, 0x80};
    struct mr_suback *suback = &packet->as.suback;
    suback->packet_id = draw_packet_id(draw);
    bool is_50 = packet->version == MR_MQTT_50;
    if (is_50) {
        suback->properties = draw_properties(draw, packet->type, false);
    } else if (packet->type == MR_UNSUBACK) {
        return;
    }
    size_t count = 1 + draw_u8(draw);
    uint8_t *codes = draw_room(count);
    if (codes == NULL) {
        suback->codes = mr_slice_of("", 1);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        codes[i] = is_50 ? draw_reason(draw, packet->type, false) : v3_codes[draw_u8(draw) % 4];
    }
    suback->codes = mr_slice_of(codes, count);
}

static void draw_end(struct draw *draw, struct codec_any *packet) {
    if (packet->type == MR_AUTH) {
        struct mr_auth *auth = &packet->as.auth;
        auth->reason = (enum mr_reason)draw_reason(draw, MR_AUTH, true);
        auth->properties = draw_properties(draw, MR_AUTH, true);
        if (!mr_properties_has(&auth->properties, MR_PROPERTY_AUTHENTICATION_METHOD)) {
            auth->properties.present |= MR_PROPERTY_BIT(MR_PROPERTY_AUTHENTICATION_METHOD);
            auth->properties.authentication_method = draw_string(draw);
        }
    } else if (packet->type == MR_DISCONNECT && packet->version == MR_MQTT_50) {
        struct mr_disconnect *disconnect = &packet->as.disconnect;
        disconnect->reason = (enum mr_reason)draw_reason(draw, MR_DISCONNECT, packet->from_client);
        disconnect->properties = draw_properties(draw, MR_DISCONNECT, packet->from_client);
    }
}

static void draw_packet(struct draw *draw, struct structured *out) {
    struct codec_any *packet = &out->packet;
    switch (packet->type) {
        case MR_CONNECT:
            draw_connect(draw, packet);
            break;
        case MR_CONNACK:
            draw_connack(draw, packet);
            break;
        case MR_PUBLISH:
            draw_publish(draw, out);
            break;
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            draw_ack(draw, packet);
            break;
        case MR_SUBSCRIBE:
            draw_subscribe(draw, packet);
            break;
        case MR_UNSUBSCRIBE:
            draw_unsubscribe(draw, packet);
            break;
        case MR_SUBACK:
        case MR_UNSUBACK:
            draw_suback(draw, packet);
            break;
        default:
            draw_end(draw, packet);
            break;
    }
}

void structured_draw(struct draw *draw, struct structured *out) {
    memset(out, 0, sizeof(*out));
    struct codec_any *packet = &out->packet;
    uint8_t first = draw_u8(draw);
    packet->version = (enum mr_version)(MR_MQTT_31 + (first & 0x7f) % 3);
    packet->from_client = (first & 0x80) == 0;
    packet->type = (enum mr_packet_type)(1 + draw_u8(draw) % 15);
    if (packet->type == MR_AUTH) {
        packet->version = MR_MQTT_50;  // No other has it.
    }
    draw_packet(draw, out);
}

size_t structured_encode(const struct structured *structured, uint8_t *out, size_t out_bytes_max) {
    const struct codec_any *packet = &structured->packet;
    if (packet->type == MR_PUBLISH) {
        return mr_publish_encode(packet->version, &packet->as.publish, structured->ids,
                                 structured->id_count, out, out_bytes_max);
    }
    return codec_any_encode(packet, out, out_bytes_max);
}
