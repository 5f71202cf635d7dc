// Properties of a packet: the length in front of them is kept to, each one is handed out in its own
// field, and all of them lie within what was taken. A single one is a contract here,
// property_contract.c.
#include "tests/proofs/contract.h"
#include "tests/proofs/packet.h"

// The length and two of the smallest properties, or one with a byte in front and one behind.
#define BYTES_MAX 5

static bool same(struct mr_slice a, struct mr_slice b) {
    return a.data == b.data && a.len == b.len;
}

// Is `property` in its field? A user property has none.
static bool is_in_field(const struct mr_properties *all, const struct mr_property *property) {
    switch (property->id) {
#define NUMBER(NAME, field)  \
    case MR_PROPERTY_##NAME: \
        return all->field == (__typeof__(all->field))property->number
#define BYTES(NAME, field)   \
    case MR_PROPERTY_##NAME: \
        return same(all->field, property->value)
        NUMBER(PAYLOAD_FORMAT_INDICATOR, payload_format);
        NUMBER(MESSAGE_EXPIRY_INTERVAL, message_expiry_s);
        BYTES(CONTENT_TYPE, content_type);
        BYTES(RESPONSE_TOPIC, response_topic);
        BYTES(CORRELATION_DATA, correlation_data);
        NUMBER(SUBSCRIPTION_IDENTIFIER, subscription_id);
        NUMBER(SESSION_EXPIRY_INTERVAL, session_expiry_s);
        BYTES(ASSIGNED_CLIENT_IDENTIFIER, assigned_client_id);
        NUMBER(SERVER_KEEP_ALIVE, server_keep_alive_s);
        BYTES(AUTHENTICATION_METHOD, authentication_method);
        BYTES(AUTHENTICATION_DATA, authentication_data);
        NUMBER(REQUEST_PROBLEM_INFORMATION, request_problem_information);
        NUMBER(WILL_DELAY_INTERVAL, will_delay_s);
        NUMBER(REQUEST_RESPONSE_INFORMATION, request_response_information);
        BYTES(RESPONSE_INFORMATION, response_information);
        BYTES(SERVER_REFERENCE, server_reference);
        BYTES(REASON_STRING, reason_string);
        NUMBER(RECEIVE_MAXIMUM, receive_max);
        NUMBER(TOPIC_ALIAS_MAXIMUM, topic_alias_max);
        NUMBER(TOPIC_ALIAS, topic_alias);
        NUMBER(MAXIMUM_QOS, qos_max);
        NUMBER(RETAIN_AVAILABLE, retain_available);
        NUMBER(MAXIMUM_PACKET_SIZE, packet_bytes_max);
        NUMBER(WILDCARD_SUBSCRIPTION_AVAILABLE, wildcard_subscription_available);
        NUMBER(SUBSCRIPTION_IDENTIFIER_AVAILABLE, subscription_id_available);
        NUMBER(SHARED_SUBSCRIPTION_AVAILABLE, shared_subscription_available);
#undef NUMBER
#undef BYTES
        default:
            return true;
    }
}

// Does `part` end where `whole` does?
static bool ends_with(struct mr_slice whole, struct mr_slice part) {
    return part.data + part.len == whole.data + whole.len;
}

// None is lost, none is there that wasn't read, and none ends up in another's field.
static void prove_fields(const struct mr_properties *properties) {
    const struct mr_property *first = &contracts.property[0];
    const struct mr_property *second = &contracts.property[1];
    PROVE(contracts.property_count <= 2);
    if (contracts.property_count == 0) {
        PROVE(properties->present == 0 && properties->raw.len == 0);
    } else if (contracts.property_count == 1) {
        PROVE(properties->present == MR_PROPERTY_BIT(first->id));
        PROVE(is_in_field(properties, first));
        PROVE(ends_with(properties->raw, first->raw));
    } else {
        PROVE(properties->present == (MR_PROPERTY_BIT(first->id) | MR_PROPERTY_BIT(second->id)));
        PROVE(first->id == second->id || is_in_field(properties, first));
        PROVE(is_in_field(properties, second));
        PROVE(ends_with(properties->raw, second->raw));
    }
}

int main(void) {
    struct mr_slice bytes = any_slice(BYTES_MAX);
    size_t at = nondet_size();
    ASSUME(at <= bytes.len);
    struct mr_decode_error error = {0};
    struct reader reader = reader_of(bytes, &error);
    reader.next += at;
    struct mr_properties properties;
    bool good = mr_reader_properties(&reader, nondet_u8() & 15u, &properties);
    size_t end = (size_t)(reader.next - reader.start);
    PROVE(end >= at && end <= bytes.len && reader.end == reader.start + bytes.len);
    if (good) {
        // The raw ones are the rest of what was taken, behind one to four bytes of length.
        PROVE(properties.raw.len < end - at && end - at - properties.raw.len <= 4);
        PROVE(properties.raw.data + properties.raw.len == reader.next);
        prove_properties(&properties, bytes);
        prove_fields(&properties);
    } else {
        PROVE(error.what != NULL);
        PROVE(error.offset <= bytes.len);
        PROVE(error.reason == MR_REASON_MALFORMED_PACKET ||
              error.reason == MR_REASON_PROTOCOL_ERROR ||
              error.reason == MR_REASON_TOPIC_ALIAS_INVALID);
    }
    REACHES(good && properties.raw.len == 0);
    REACHES(good && mr_properties_has(&properties, MR_PROPERTY_REASON_STRING) &&
            mr_properties_has(&properties, MR_PROPERTY_TOPIC_ALIAS));
    REACHES(!good && at == bytes.len);
    return 0;
}
