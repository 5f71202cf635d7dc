#include "fuzz/draw.h"

#define ROOM_BYTES (1u << 20)
#define USER_PROPERTIES_MAX 3u

static uint8_t memory[ROOM_BYTES];
static size_t memory_used;

struct draw draw_begin(const uint8_t *data, size_t size) {
    memory_used = 0;
    return (struct draw){data, size};
}

uint8_t draw_u8(struct draw *draw) {
    if (draw->left == 0) {
        return 0;
    }
    draw->left--;
    return *draw->data++;
}

uint16_t draw_u16(struct draw *draw) {
    unsigned high = draw_u8(draw);
    return (uint16_t)(high << 8 | draw_u8(draw));
}

uint32_t draw_u32(struct draw *draw) {
    uint32_t high = draw_u16(draw);
    return high << 16 | draw_u16(draw);
}

uint8_t *draw_room(size_t len) {
    if (len > ROOM_BYTES - memory_used) {
        return NULL;
    }
    uint8_t *room = memory + memory_used;
    memory_used += len;
    return room;
}

// ------------------------------------------------------------------------- text

enum alphabet {
    ANY_BYTES,
    TEXT,
    TOPIC,
};

// One character at `out`, which has room for two bytes; returns its length.
static size_t put_character(uint8_t *out, uint8_t byte, enum alphabet alphabet) {
    bool is_wildcard = byte == '+' || byte == '#';
    if (alphabet == ANY_BYTES) {
        out[0] = byte;
        return 1;
    }
    if (byte < 0x80) {
        out[0] = byte == 0 || (alphabet == TOPIC && is_wildcard) ? '/' : byte;
        return 1;
    }
    // U+0080 to U+07FF by the next bits: two bytes.
    out[0] = (uint8_t)(0xc2 | (byte & 0x1d));
    out[1] = (uint8_t)(0x80 | (byte & 0x3f));
    return 2;
}

// The lengths at which the length field of a packet gets another byte are near.
static size_t draw_len(struct draw *draw) {
    static const uint16_t lens[] = {126, 127, 128, 129, 300, 4000, 16383, 16384, 65534, 65535};
    uint8_t byte = draw_u8(draw);
    size_t special = 256 - MR_ARRAY_COUNT(lens);
    return byte < special ? byte % 64u : lens[byte - special];
}

static struct mr_slice draw_text(struct draw *draw, enum alphabet alphabet) {
    size_t want = draw_len(draw);
    uint8_t *room = draw_room(want);
    if (room == NULL) {
        return mr_slice_of(NULL, 0);
    }
    size_t len = 0;
    while (len < want) {
        // Beyond the input one character is repeated, so that few bytes make a long text.
        uint8_t pair[2];
        uint8_t byte = draw->left != 0 ? draw_u8(draw) : 'x';
        size_t size = put_character(pair, byte, alphabet);
        if (size > want - len) {
            pair[0] = 'x';
            size = 1;
        }
        memcpy(room + len, pair, size);
        len += size;
    }
    return mr_slice_of(room, len);
}

struct mr_slice draw_binary(struct draw *draw) {
    return draw_text(draw, ANY_BYTES);
}

struct mr_slice draw_string(struct draw *draw) {
    return draw_text(draw, TEXT);
}

struct mr_slice draw_topic(struct draw *draw) {
    struct mr_slice topic = draw_text(draw, TOPIC);
    return topic.len != 0 ? topic : mr_slice_str("t");
}

// ----------------------------------------------------------------- reason codes

#define REASONS(name, ...) static const uint8_t name[] = {__VA_ARGS__}

// Sections 3.2.2.2, 3.4.2.1 to 3.7.2.1, 3.9.3, 3.11.3, 3.14.2.1 and 3.15.2.1, one by one, and
// not read off a table that the codec may have read wrongly, too.
REASONS(connack_reasons, 0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a,
        0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f);
REASONS(publish_ack_reasons, 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99);
REASONS(pubrel_reasons, 0x00, 0x92);
REASONS(suback_reasons, 0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2);
REASONS(unsuback_reasons, 0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91);
REASONS(client_disconnect_reasons, 0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96,
        0x97, 0x98, 0x99);
REASONS(server_disconnect_reasons, 0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f,
        0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0,
        0xa1, 0xa2);
REASONS(auth_reasons, 0x00, 0x18, 0x19);

#define PICK(reasons, byte) ((reasons)[(byte) % MR_ARRAY_COUNT(reasons)])

uint8_t draw_reason(struct draw *draw, unsigned packet_type, bool from_client) {
    uint8_t byte = draw_u8(draw);
    switch (packet_type) {
        case MR_CONNACK:
            return PICK(connack_reasons, byte);
        case MR_PUBACK:
        case MR_PUBREC:
            return PICK(publish_ack_reasons, byte);
        case MR_PUBREL:
        case MR_PUBCOMP:
            return PICK(pubrel_reasons, byte);
        case MR_SUBACK:
            return PICK(suback_reasons, byte);
        case MR_UNSUBACK:
            return PICK(unsuback_reasons, byte);
        case MR_DISCONNECT:
            return from_client ? PICK(client_disconnect_reasons, byte)
                               : PICK(server_disconnect_reasons, byte);
        default:
            return PICK(auth_reasons, byte);
    }
}

// ------------------------------------------------------------------- properties

enum kind {
    FLAG,
    U16,
    U16_NOT_0,
    U32,
    U32_NOT_0,
    VARINT_NOT_0,
    STRING,
    TOPIC_NAME,
    BINARY,
};

struct rule {
    uint8_t id;
    uint8_t kind;
    uint16_t packets;
    size_t field;
};

#define ON(type) (1u << MR_##type)
#define ON_MESSAGE (1u << DRAW_WILL)
#define ON_CONNECTS (ON(CONNECT) | ON(CONNACK))
#define ON_ACKS (ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | ON(SUBACK) | ON(UNSUBACK))
#define FIELD(name) offsetof(struct mr_properties, name)

// Table 2-4. Those of a PUBLISH are drawn otherwise: see draw_forwardable().
static const struct rule rules[] = {
    {0x01, FLAG, ON_MESSAGE, FIELD(payload_format)},
    {0x02, U32, ON_MESSAGE, FIELD(message_expiry_s)},
    {0x03, STRING, ON_MESSAGE, FIELD(content_type)},
    {0x08, TOPIC_NAME, ON_MESSAGE, FIELD(response_topic)},
    {0x09, BINARY, ON_MESSAGE, FIELD(correlation_data)},
    {0x0b, VARINT_NOT_0, ON(SUBSCRIBE), FIELD(subscription_id)},
    {0x11, U32, ON_CONNECTS | ON(DISCONNECT), FIELD(session_expiry_s)},
    {0x12, STRING, ON(CONNACK), FIELD(assigned_client_id)},
    {0x13, U16, ON(CONNACK), FIELD(server_keep_alive_s)},
    {0x15, STRING, ON_CONNECTS | ON(AUTH), FIELD(authentication_method)},
    {0x16, BINARY, ON_CONNECTS | ON(AUTH), FIELD(authentication_data)},
    {0x17, FLAG, ON(CONNECT), FIELD(request_problem_information)},
    {0x18, U32, ON_MESSAGE, FIELD(will_delay_s)},
    {0x19, FLAG, ON(CONNECT), FIELD(request_response_information)},
    {0x1a, STRING, ON(CONNACK), FIELD(response_information)},
    {0x1c, STRING, ON(CONNACK) | ON(DISCONNECT), FIELD(server_reference)},
    {0x1f, STRING, ON(CONNACK) | ON_ACKS | ON(DISCONNECT) | ON(AUTH), FIELD(reason_string)},
    {0x21, U16_NOT_0, ON_CONNECTS, FIELD(receive_max)},
    {0x22, U16, ON_CONNECTS, FIELD(topic_alias_max)},
    {0x24, FLAG, ON(CONNACK), FIELD(qos_max)},
    {0x25, FLAG, ON(CONNACK), FIELD(retain_available)},
    {0x27, U32_NOT_0, ON_CONNECTS, FIELD(packet_bytes_max)},
    {0x28, FLAG, ON(CONNACK), FIELD(wildcard_subscription_available)},
    {0x29, FLAG, ON(CONNACK), FIELD(subscription_id_available)},
    {0x2a, FLAG, ON(CONNACK), FIELD(shared_subscription_available)},
};

static void draw_field(struct draw *draw, const struct rule *rule, void *field) {
    uint8_t flag;
    uint16_t half;
    uint32_t number;
    struct mr_slice text;
    switch (rule->kind) {
        case FLAG:
            flag = draw_u8(draw) & 1;
            memcpy(field, &flag, sizeof(flag));
            break;
        case U16:
        case U16_NOT_0:
            half = draw_u16(draw);
            half = half == 0 && rule->kind == U16_NOT_0 ? 1 : half;
            memcpy(field, &half, sizeof(half));
            break;
        case U32:
        case U32_NOT_0:
            number = draw_u32(draw);
            number = number == 0 && rule->kind == U32_NOT_0 ? 1 : number;
            memcpy(field, &number, sizeof(number));
            break;
        case VARINT_NOT_0:
            number = draw_u32(draw) & MR_REMAINING_LENGTH_MAX;
            number = number == 0 ? 1 : number;
            memcpy(field, &number, sizeof(number));
            break;
        default:
            text = rule->kind == STRING       ? draw_string(draw)
                   : rule->kind == TOPIC_NAME ? draw_topic(draw)
                                              : draw_binary(draw);
            memcpy(field, &text, sizeof(text));
            break;
    }
}

// A string or binary data with its length in front; returns the end.
static uint8_t *put_binary(uint8_t *out, struct mr_slice text) {
    *out++ = (uint8_t)(text.len >> 8);
    *out++ = (uint8_t)text.len;
    if (text.len != 0) {
        memcpy(out, text.data, text.len);
    }
    return out + text.len;
}

// Some user properties, encoded.
static struct mr_slice draw_user_properties(struct draw *draw) {
    struct mr_slice names[USER_PROPERTIES_MAX];
    struct mr_slice values[USER_PROPERTIES_MAX];
    size_t len = 0;
    size_t count = draw_u8(draw) % (USER_PROPERTIES_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        names[i] = draw_string(draw);
        values[i] = draw_string(draw);
        len += 5 + names[i].len + values[i].len;
    }
    uint8_t *room = draw_room(len);
    if (room == NULL) {
        return mr_slice_of(NULL, 0);
    }
    uint8_t *next = room;
    for (size_t i = 0; i < count; i++) {
        *next++ = MR_PROPERTY_USER_PROPERTY;
        next = put_binary(next, names[i]);
        next = put_binary(next, values[i]);
    }
    return mr_slice_of(room, len);
}

struct mr_properties draw_properties(struct draw *draw, unsigned packet_type, bool from_client) {
    struct mr_properties properties;
    memset(&properties, 0, sizeof(properties));
    uint32_t wanted = draw_u32(draw);
    for (size_t i = 0; i < MR_ARRAY_COUNT(rules); i++) {
        const struct rule *rule = &rules[i];
        bool fits = (rule->packets >> packet_type & 1) != 0;
        // Section 3.14.2.2.2: not from a server.
        fits &= from_client || packet_type != MR_DISCONNECT || rule->id != 0x11;
        // Data without a method is an error, so the method comes with it.
        bool is_auth = rule->id == MR_PROPERTY_AUTHENTICATION_METHOD && (wanted >> (i + 1) & 1);
        if (fits && ((wanted >> i & 1) != 0 || is_auth)) {
            properties.present |= MR_PROPERTY_BIT(rule->id);
            draw_field(draw, rule, (char *)&properties + rule->field);
        }
    }
    properties.raw = draw_user_properties(draw);
    return properties;
}

struct mr_slice draw_forwardable(struct draw *draw, struct mr_properties *properties) {
    *properties = draw_properties(draw, DRAW_WILL, true);
    properties->present &= ~(MR_PROPERTY_BIT(MR_PROPERTY_WILL_DELAY_INTERVAL) |
                             MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL));
    const struct mr_slice texts[] = {properties->content_type, properties->response_topic,
                                     properties->correlation_data};
    static const uint8_t ids[] = {MR_PROPERTY_CONTENT_TYPE, MR_PROPERTY_RESPONSE_TOPIC,
                                  MR_PROPERTY_CORRELATION_DATA};
    size_t len = 2 + properties->raw.len;
    for (size_t i = 0; i < MR_ARRAY_COUNT(texts); i++) {
        len += 3 + texts[i].len;
    }
    uint8_t *room = draw_room(len);
    if (room == NULL) {
        properties->present = 0;
        properties->payload_format = 0;
        return properties->raw;
    }
    uint8_t *next = room;
    for (size_t i = 0; i < MR_ARRAY_COUNT(texts); i++) {
        if ((properties->present & MR_PROPERTY_BIT(ids[i])) != 0) {
            *next++ = ids[i];
            next = put_binary(next, texts[i]);
        }
    }
    if ((properties->present & MR_PROPERTY_BIT(MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR)) != 0) {
        *next++ = MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR;
        *next++ = properties->payload_format;
    }
    if (properties->raw.len != 0) {
        memcpy(next, properties->raw.data, properties->raw.len);
        next += properties->raw.len;
    }
    return mr_slice_of(room, (size_t)(next - room));
}

// --------------------------------------------------------------------- checking

static bool next_user_property(struct mr_slice *rest, struct mr_property *out) {
    while (mr_property_next(rest, out)) {
        if (out->id == MR_PROPERTY_USER_PROPERTY) {
            return true;
        }
    }
    return false;
}

static void check_user_properties(struct mr_slice drawn, struct mr_slice got) {
    struct mr_property want;
    struct mr_property have;
    while (next_user_property(&drawn, &want)) {
        MR_ASSERT(next_user_property(&got, &have));
        MR_ASSERT(mr_slice_eq(want.raw, have.raw));
        MR_ASSERT(mr_slice_eq(want.name, have.name));
        MR_ASSERT(mr_slice_eq(want.value, have.value));
    }
    MR_ASSERT(!next_user_property(&got, &have));
}

static size_t size_of_kind(unsigned kind) {
    switch (kind) {
        case FLAG:
            return sizeof(uint8_t);
        case U16:
        case U16_NOT_0:
            return sizeof(uint16_t);
        default:
            return sizeof(uint32_t);
    }
}

void draw_check_properties(const struct mr_properties *drawn, const struct mr_properties *got) {
    uint64_t user = MR_PROPERTY_BIT(MR_PROPERTY_USER_PROPERTY);
    MR_ASSERT(got->present == (drawn->present | (drawn->raw.len != 0 ? user : 0)));
    for (size_t i = 0; i < MR_ARRAY_COUNT(rules); i++) {
        const struct rule *rule = &rules[i];
        const char *want = (const char *)drawn + rule->field;
        const char *have = (const char *)got + rule->field;
        bool is_present = (drawn->present & MR_PROPERTY_BIT(rule->id)) != 0;
        if (rule->kind < STRING) {
            // A number that is absent is 0.
            MR_ASSERT(memcmp(want, have, size_of_kind(rule->kind)) == 0);
        } else if (is_present) {
            struct mr_slice want_text;
            struct mr_slice have_text;
            memcpy(&want_text, want, sizeof(want_text));
            memcpy(&have_text, have, sizeof(have_text));
            MR_ASSERT(mr_slice_eq(want_text, have_text));
        }
    }
    check_user_properties(drawn->raw, got->raw);
}
