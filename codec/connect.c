#include "codec/internal.h"

// Connect Flags, section 3.1.2.3.
#define FLAG_RESERVED 0x01u
#define FLAG_CLEAN_START 0x02u
#define FLAG_WILL 0x04u
#define WILL_QOS_SHIFT 3
#define FLAG_WILL_RETAIN 0x20u
#define FLAG_PASSWORD 0x40u
#define FLAG_USER_NAME 0x80u

// Bridges of several brokers set it on 3.x to tell that they are one.
#define LEVEL_BRIDGE 0x80u

static const char name_31[] = "MQIsdp";
static const char name_311[] = "MQTT";

// Protocol name and level.
static bool read_protocol(struct reader *reader, struct mr_connect *out) {
    struct mr_slice name;
    uint8_t level;
    if (!reader_binary(reader, &name) || !reader_u8(reader, &level)) {
        return false;
    }
    bool is_mqtt = mr_slice_eq(name, mr_slice_str(name_311));
    bool is_mqisdp = mr_slice_eq(name, mr_slice_str(name_31));
    unsigned base = level & ~LEVEL_BRIDGE;
    if ((is_mqisdp && base == MR_MQTT_31) || (is_mqtt && base == MR_MQTT_311)) {
        out->version = (enum mr_version)base;
        out->bridge = level != base;
        return true;
    }
    if (is_mqtt && level == MR_MQTT_50) {
        out->version = MR_MQTT_50;
        return true;
    }
    out->version = base < MR_MQTT_50 ? MR_MQTT_311 : MR_MQTT_50;
    return reader_refuse(reader, MR_REASON_UNSUPPORTED_PROTOCOL_VERSION, reader->next - 1,
                         "unsupported protocol name or level");
}

static bool read_flags(struct reader *reader, struct mr_connect *out) {
    const uint8_t *at = reader->next;
    uint8_t flags;
    if (!reader_u8(reader, &flags)) {
        return false;
    }
    if (flags & FLAG_RESERVED) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, at, "reserved connect flag");
    }
    out->clean_start = (flags & FLAG_CLEAN_START) != 0;
    out->has_will = (flags & FLAG_WILL) != 0;
    out->will.qos = (flags >> WILL_QOS_SHIFT) & 3u;
    out->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
    out->has_user_name = (flags & FLAG_USER_NAME) != 0;
    out->has_password = (flags & FLAG_PASSWORD) != 0;
    if (out->will.qos == 3) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, at, "will QoS is 3");
    }
    if (!out->has_will && (out->will.qos != 0 || out->will.retain)) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, at, "will flags without a will");
    }
    // 5.0 allows it, for a password that is no password but a token [MQTT-3.1.2-22 of 3.1.1].
    if (out->version < MR_MQTT_50 && out->has_password && !out->has_user_name) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, at, "password without user name");
    }
    return true;
}

static bool read_connect_properties(struct reader *reader, struct mr_properties *out) {
    const uint8_t *at = reader->next;
    if (!mr_reader_properties(reader, MR_CONNECT, out)) {
        return false;
    }
    if (mr_properties_has(out, MR_PROPERTY_AUTHENTICATION_DATA) &&
        !mr_properties_has(out, MR_PROPERTY_AUTHENTICATION_METHOD)) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, at,
                             "authentication data without method");
    }
    return true;
}

static bool read_will(struct reader *reader, struct mr_connect *out) {
    if (out->version == MR_MQTT_50 &&
        !mr_reader_properties(reader, MR_TYPE_WILL, &out->will.properties)) {
        return false;
    }
    if (!mr_reader_string(reader, &out->will.topic)) {
        return false;
    }
    if (!mr_utf8_valid_topic_name(out->will.topic)) {
        return reader_refuse(reader, MR_REASON_TOPIC_NAME_INVALID, out->will.topic.data,
                             "will topic is not a topic name");
    }
    return reader_binary(reader, &out->will.payload);
}

enum mr_decode_status mr_connect_decode(struct mr_slice body, struct mr_connect *out,
                                        struct mr_decode_error *error) {
    struct reader reader = reader_of(body, error);
    memset(out, 0, sizeof(*out));
    bool ok = read_protocol(&reader, out) && read_flags(&reader, out) &&
              reader_u16(&reader, &out->keep_alive_s) &&
              (out->version != MR_MQTT_50 || read_connect_properties(&reader, &out->properties)) &&
              mr_reader_string(&reader, &out->client_id) &&
              (!out->has_will || read_will(&reader, out)) &&
              (!out->has_user_name || mr_reader_string(&reader, &out->user_name)) &&
              (!out->has_password || reader_binary(&reader, &out->password)) && reader_end(&reader);
    return ok ? MR_DECODE_DONE : MR_DECODE_BAD;
}

static unsigned connect_flags(const struct mr_connect *packet) {
    unsigned flags = 0;
    flags |= packet->clean_start ? FLAG_CLEAN_START : 0;
    flags |= packet->has_user_name ? FLAG_USER_NAME : 0;
    flags |= packet->has_password ? FLAG_PASSWORD : 0;
    if (packet->has_will) {
        flags |= FLAG_WILL | (packet->will.qos & 3u) << WILL_QOS_SHIFT;
        flags |= packet->will.retain ? FLAG_WILL_RETAIN : 0;
    }
    return flags;
}

size_t mr_connect_encode(const struct mr_connect *packet, uint8_t *out, size_t out_bytes_max) {
    bool is_50 = packet->version == MR_MQTT_50;
    bool is_31 = packet->version == MR_MQTT_31;
    struct mr_slice name = mr_slice_str(is_31 ? name_31 : name_311);
    size_t properties_len = is_50 ? mr_properties_encoded_len(&packet->properties, MR_CONNECT) : 0;
    size_t will_properties_len =
        is_50 && packet->has_will
            ? mr_properties_encoded_len(&packet->will.properties, MR_TYPE_WILL)
            : 0;
    size_t body_len = 2 + name.len + 1 + 1 + 2;
    body_len = length_sum(body_len, is_50 ? properties_field_len(properties_len) : 0);
    body_len = length_sum(body_len, binary_len(packet->client_id));
    if (packet->has_will) {
        body_len = length_sum(body_len, is_50 ? properties_field_len(will_properties_len) : 0);
        body_len = length_sum(body_len, binary_len(packet->will.topic));
        body_len = length_sum(body_len, binary_len(packet->will.payload));
    }
    body_len = length_sum(body_len, packet->has_user_name ? binary_len(packet->user_name) : 0);
    body_len = length_sum(body_len, packet->has_password ? binary_len(packet->password) : 0);

    struct writer writer;
    if (!mr_writer_begin(&writer, first_byte(MR_CONNECT, 0), body_len, out, out_bytes_max)) {
        return 0;
    }
    writer_binary(&writer, name);
    writer_u8(&writer, (unsigned)packet->version | (packet->bridge && !is_50 ? LEVEL_BRIDGE : 0));
    writer_u8(&writer, connect_flags(packet));
    writer_u16(&writer, packet->keep_alive_s);
    if (is_50) {
        mr_writer_properties(&writer, &packet->properties, MR_CONNECT, properties_len);
    }
    writer_binary(&writer, packet->client_id);
    if (packet->has_will) {
        if (is_50) {
            mr_writer_properties(&writer, &packet->will.properties, MR_TYPE_WILL,
                                 will_properties_len);
        }
        writer_binary(&writer, packet->will.topic);
        writer_binary(&writer, packet->will.payload);
    }
    if (packet->has_user_name) {
        writer_binary(&writer, packet->user_name);
    }
    if (packet->has_password) {
        writer_binary(&writer, packet->password);
    }
    return writer_end(&writer, out);
}
