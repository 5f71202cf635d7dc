#include "codec/internal.h"

#include <assert.h>

enum property_type {
    NO_PROPERTY,
    BYTE,
    U16,
    U32,
    VARINT,
    STRING,
    BINARY,
    PAIR,
};

// What the standard demands of a value beyond its type.
enum property_limit {
    ANY,
    BOOLEAN,     // 0 or 1.
    NOT_0,       // 1 or more.
    TOPIC_NAME,  // No wildcard, not empty.
};

static const uint8_t property_types[] = {
#define PROPERTY_TYPE(name, id, type) [id] = type,
    MR_PROPERTY_MAP(PROPERTY_TYPE)
#undef PROPERTY_TYPE
};

struct property_rule {
    uint16_t packets;     // Where it is allowed.
    uint16_t repeatable;  // Where it may come more than once.
    uint8_t limit;        // enum property_limit.
    uint8_t field;        // Its offset in struct mr_properties; 0: only in `raw`.
};

#define ON(type) MR_PACKET_BIT(MR_##type)
#define ON_WILL MR_PACKET_BIT(MR_TYPE_WILL)
#define ON_MESSAGE (ON(PUBLISH) | ON_WILL)
#define ON_CONNECTS (ON(CONNECT) | ON(CONNACK))
#define ON_ACKS (ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | ON(SUBACK) | ON(UNSUBACK))
#define ON_ALL                                                                         \
    (ON_WILL | ON_CONNECTS | ON(PUBLISH) | ON_ACKS | ON(SUBSCRIBE) | ON(UNSUBSCRIBE) | \
     ON(DISCONNECT) | ON(AUTH))
#define FIELD(name) offsetof(struct mr_properties, name)

// Table 2-4, and the limits that sections 3.1 to 3.15 set for each.
static const struct property_rule property_rules[] = {
    [MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR] = {ON_MESSAGE, 0, BOOLEAN, FIELD(payload_format)},
    [MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL] = {ON_MESSAGE, 0, ANY, FIELD(message_expiry_s)},
    [MR_PROPERTY_CONTENT_TYPE] = {ON_MESSAGE, 0, ANY, FIELD(content_type)},
    [MR_PROPERTY_RESPONSE_TOPIC] = {ON_MESSAGE, 0, TOPIC_NAME, FIELD(response_topic)},
    [MR_PROPERTY_CORRELATION_DATA] = {ON_MESSAGE, 0, ANY, FIELD(correlation_data)},
    [MR_PROPERTY_SUBSCRIPTION_IDENTIFIER] = {ON(PUBLISH) | ON(SUBSCRIBE), ON(PUBLISH), NOT_0,
                                             FIELD(subscription_id)},
    [MR_PROPERTY_SESSION_EXPIRY_INTERVAL] = {ON_CONNECTS | ON(DISCONNECT), 0, ANY,
                                             FIELD(session_expiry_s)},
    [MR_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER] = {ON(CONNACK), 0, ANY, FIELD(assigned_client_id)},
    [MR_PROPERTY_SERVER_KEEP_ALIVE] = {ON(CONNACK), 0, ANY, FIELD(server_keep_alive_s)},
    [MR_PROPERTY_AUTHENTICATION_METHOD] = {ON_CONNECTS | ON(AUTH), 0, ANY,
                                           FIELD(authentication_method)},
    [MR_PROPERTY_AUTHENTICATION_DATA] = {ON_CONNECTS | ON(AUTH), 0, ANY,
                                         FIELD(authentication_data)},
    [MR_PROPERTY_REQUEST_PROBLEM_INFORMATION] = {ON(CONNECT), 0, BOOLEAN,
                                                 FIELD(request_problem_information)},
    [MR_PROPERTY_WILL_DELAY_INTERVAL] = {ON_WILL, 0, ANY, FIELD(will_delay_s)},
    [MR_PROPERTY_REQUEST_RESPONSE_INFORMATION] = {ON(CONNECT), 0, BOOLEAN,
                                                  FIELD(request_response_information)},
    [MR_PROPERTY_RESPONSE_INFORMATION] = {ON(CONNACK), 0, ANY, FIELD(response_information)},
    [MR_PROPERTY_SERVER_REFERENCE] = {ON(CONNACK) | ON(DISCONNECT), 0, ANY,
                                      FIELD(server_reference)},
    [MR_PROPERTY_REASON_STRING] = {ON(CONNACK) | ON_ACKS | ON(DISCONNECT) | ON(AUTH), 0, ANY,
                                   FIELD(reason_string)},
    [MR_PROPERTY_RECEIVE_MAXIMUM] = {ON_CONNECTS, 0, NOT_0, FIELD(receive_max)},
    [MR_PROPERTY_TOPIC_ALIAS_MAXIMUM] = {ON_CONNECTS, 0, ANY, FIELD(topic_alias_max)},
    [MR_PROPERTY_TOPIC_ALIAS] = {ON(PUBLISH), 0, NOT_0, FIELD(topic_alias)},
    [MR_PROPERTY_MAXIMUM_QOS] = {ON(CONNACK), 0, BOOLEAN, FIELD(qos_max)},
    [MR_PROPERTY_RETAIN_AVAILABLE] = {ON(CONNACK), 0, BOOLEAN, FIELD(retain_available)},
    [MR_PROPERTY_USER_PROPERTY] = {ON_ALL, ON_ALL, ANY, 0},
    [MR_PROPERTY_MAXIMUM_PACKET_SIZE] = {ON_CONNECTS, 0, NOT_0, FIELD(packet_bytes_max)},
    [MR_PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE] = {ON(CONNACK), 0, BOOLEAN,
                                                     FIELD(wildcard_subscription_available)},
    [MR_PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE] = {ON(CONNACK), 0, BOOLEAN,
                                                       FIELD(subscription_id_available)},
    [MR_PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE] = {ON(CONNACK), 0, BOOLEAN,
                                                   FIELD(shared_subscription_available)},
};

static_assert(sizeof(struct mr_properties) <= UINT8_MAX, "struct property_rule.field is a byte");
static_assert(MR_ARRAY_COUNT(property_types) == MR_ARRAY_COUNT(property_rules),
              "each property has a type and a rule");
static_assert(MR_ARRAY_COUNT(property_types) <= 64, "struct mr_properties.present has 64 bits");

static unsigned type_of(uint8_t id) {
    return id < MR_ARRAY_COUNT(property_types) ? property_types[id] : NO_PROPERTY;
}

// The value behind an identifier, as far as its length goes.
static bool read_value(struct reader *reader, unsigned type, struct mr_property *out) {
    uint8_t number_u8;
    uint16_t number_u16;
    switch (type) {
        case BYTE:
            if (!reader_u8(reader, &number_u8)) {
                return false;
            }
            out->number = number_u8;
            return true;
        case U16:
            if (!reader_u16(reader, &number_u16)) {
                return false;
            }
            out->number = number_u16;
            return true;
        case U32:
            return reader_u32(reader, &out->number);
        case VARINT:
            return mr_reader_varint(reader, &out->number);
        case STRING:
        case BINARY:
            return reader_binary(reader, &out->value);
        case PAIR:
            return reader_binary(reader, &out->name) && reader_binary(reader, &out->value);
        default:
            return false;
    }
}

static bool check_text(struct reader *reader, struct mr_slice text) {
    return MR_LIKELY(mr_utf8_valid(text)) ||
           reader_refuse(reader, MR_REASON_MALFORMED_PACKET, text.data,
                         "property is not valid UTF-8");
}

static bool check_value(struct reader *reader, unsigned type, const struct mr_property *property) {
    if (type == STRING && !check_text(reader, property->value)) {
        return false;
    }
    if (type == PAIR &&
        !(check_text(reader, property->name) && check_text(reader, property->value))) {
        return false;
    }
    const uint8_t *at = property->raw.data;
    switch (property_rules[property->id].limit) {
        case BOOLEAN:
            return property->number <= 1 ||
                   reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, at, "property is not 0 or 1");
        case NOT_0:
            if (MR_LIKELY(property->number != 0)) {
                return true;
            }
            if (property->id == MR_PROPERTY_TOPIC_ALIAS) {
                return reader_refuse(reader, MR_REASON_TOPIC_ALIAS_INVALID, at, "topic alias is 0");
            }
            return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, at, "property is 0");
        case TOPIC_NAME:
            return MR_LIKELY(mr_utf8_valid_topic_name(property->value)) ||
                   reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, at,
                                 "response topic is not a topic name");
        default:
            return true;
    }
}

bool mr_reader_properties_begin(struct reader *reader, struct reader *properties) {
    const uint8_t *start = reader->next;
    uint32_t len;
    if (!mr_reader_varint(reader, &len)) {
        return false;
    }
    if (len > reader_left(reader)) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, start,
                             "property length runs past the packet");
    }
    *properties = *reader;
    properties->end = reader->next + len;
    reader->next += len;
    return true;
}

bool mr_reader_property(struct reader *reader, unsigned packet_type, uint64_t *present,
                        struct mr_property *out) {
    const uint8_t *start = reader->next;
    uint8_t id;
    if (!reader_u8(reader, &id)) {
        return false;
    }
    // An identifier of several bytes is one that isn't known.
    unsigned type = type_of(id);
    if (MR_UNLIKELY(type == NO_PROPERTY)) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, start, "unknown property");
    }
    const struct property_rule *rule = &property_rules[id];
    if (MR_UNLIKELY(!(rule->packets & MR_PACKET_BIT(packet_type)))) {
        return reader_refuse(reader, MR_REASON_MALFORMED_PACKET, start,
                             "property of another packet type");
    }
    if (MR_UNLIKELY((*present & MR_PROPERTY_BIT(id)) &&
                    !(rule->repeatable & MR_PACKET_BIT(packet_type)))) {
        return reader_refuse(reader, MR_REASON_PROTOCOL_ERROR, start, "property given twice");
    }
    *present |= MR_PROPERTY_BIT(id);
    out->id = (enum mr_property_id)id;
    if (!read_value(reader, type, out)) {
        return false;
    }
    out->raw = mr_slice_of(start, (size_t)(reader->next - start));
    return check_value(reader, type, out);
}

static void store_field(struct mr_properties *properties, const struct mr_property *property) {
    char *field = (char *)properties + property_rules[property->id].field;
    uint8_t number_u8 = (uint8_t)property->number;
    uint16_t number_u16 = (uint16_t)property->number;
    switch (property_types[property->id]) {
        case BYTE:
            memcpy(field, &number_u8, sizeof(number_u8));
            break;
        case U16:
            memcpy(field, &number_u16, sizeof(number_u16));
            break;
        case U32:
        case VARINT:
            memcpy(field, &property->number, sizeof(property->number));
            break;
        case STRING:
        case BINARY:
            memcpy(field, &property->value, sizeof(property->value));
            break;
        default:
            break;  // User properties stay in `raw`.
    }
}

bool mr_reader_properties(struct reader *reader, unsigned packet_type, struct mr_properties *out) {
    memset(out, 0, sizeof(*out));
    struct reader properties;
    if (!mr_reader_properties_begin(reader, &properties)) {
        return false;
    }
    out->raw = mr_slice_of(properties.next, reader_left(&properties));
    while (properties.next < properties.end) {
        struct mr_property property;
        if (!mr_reader_property(&properties, packet_type, &out->present, &property)) {
            return false;
        }
        store_field(out, &property);
    }
    return true;
}

bool mr_property_next(struct mr_slice *rest, struct mr_property *out) {
    struct mr_decode_error ignored;
    struct reader reader = reader_of(*rest, &ignored);
    const uint8_t *start = reader.next;
    struct mr_property property = {0};
    uint8_t id;
    if (reader_left(&reader) == 0 || !reader_u8(&reader, &id) ||
        !read_value(&reader, type_of(id), &property)) {
        return false;
    }
    property.id = (enum mr_property_id)id;
    property.raw = mr_slice_of(start, (size_t)(reader.next - start));
    *rest = mr_slice_of(reader.next, reader_left(&reader));
    *out = property;
    return true;
}

// -------------------------------------------------------------------- encoding

// Reads the field of property `id` back; the opposite of store_field().
static struct mr_property load_field(const struct mr_properties *properties, unsigned id) {
    struct mr_property property = {.id = (enum mr_property_id)id};
    const char *field = (const char *)properties + property_rules[id].field;
    uint8_t number_u8;
    uint16_t number_u16;
    switch (property_types[id]) {
        case BYTE:
            memcpy(&number_u8, field, sizeof(number_u8));
            property.number = number_u8;
            break;
        case U16:
            memcpy(&number_u16, field, sizeof(number_u16));
            property.number = number_u16;
            break;
        case U32:
        case VARINT:
            memcpy(&property.number, field, sizeof(property.number));
            break;
        default:
            memcpy(&property.value, field, sizeof(property.value));
            break;
    }
    return property;
}

static size_t field_len(const struct mr_property *property) {
    switch (property_types[property->id]) {
        case BYTE:
            return 1 + 1;
        case U16:
            return 1 + 2;
        case U32:
            return 1 + 4;
        case VARINT:
            return property->number > MR_REMAINING_LENGTH_MAX ? SIZE_MAX
                                                              : 1 + varint_len(property->number);
        default:
            return length_sum(1, binary_len(property->value));
    }
}

static void write_field(struct writer *writer, const struct mr_property *property) {
    writer_u8(writer, property->id);
    switch (property_types[property->id]) {
        case BYTE:
            writer_u8(writer, property->number);
            break;
        case U16:
            writer_u16(writer, property->number);
            break;
        case U32:
            writer_u32(writer, property->number);
            break;
        case VARINT:
            writer_varint(writer, property->number);
            break;
        default:
            writer_binary(writer, property->value);
            break;
    }
}

// The bits of the properties to encode from their fields. A bit that the packet can't
// have is the caller's mistake and must not reach the wire.
static uint64_t encodable(const struct mr_properties *properties, unsigned packet_type) {
    uint64_t bits = 0;
    for (uint64_t left = properties->present; left != 0; left &= left - 1) {
        unsigned id = (unsigned)__builtin_ctzll(left);
        bool known = id < MR_ARRAY_COUNT(property_rules) &&
                     (property_rules[id].packets & MR_PACKET_BIT(packet_type)) != 0;
        MR_DEBUG_ASSERT(known);
        if (known && property_rules[id].field != 0) {
            bits |= MR_PROPERTY_BIT(id);
        }
    }
    return bits;
}

size_t mr_properties_encoded_len(const struct mr_properties *properties, unsigned packet_type) {
    size_t len = 0;
    for (uint64_t left = encodable(properties, packet_type); left != 0; left &= left - 1) {
        struct mr_property property = load_field(properties, (unsigned)__builtin_ctzll(left));
        len = length_sum(len, field_len(&property));
    }
    struct mr_slice rest = properties->raw;
    struct mr_property property;
    while (mr_property_next(&rest, &property)) {
        if (property.id == MR_PROPERTY_USER_PROPERTY) {
            len = length_sum(len, property.raw.len);
        }
    }
    return len;
}

void mr_writer_properties(struct writer *writer, const struct mr_properties *properties,
                          unsigned packet_type, size_t len) {
    writer_varint(writer, len);
    for (uint64_t left = encodable(properties, packet_type); left != 0; left &= left - 1) {
        struct mr_property property = load_field(properties, (unsigned)__builtin_ctzll(left));
        write_field(writer, &property);
    }
    struct mr_slice rest = properties->raw;
    struct mr_property property;
    while (mr_property_next(&rest, &property)) {
        if (property.id == MR_PROPERTY_USER_PROPERTY) {
            writer_bytes(writer, property.raw);
        }
    }
}
