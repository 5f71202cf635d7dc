// One property, section 2.2.2.2: it is taken if the standard's table allows it in the packet, it
// wasn't there yet and its value is in range; what is handed out lies within what was taken.
#include "codec/internal.h"
#include "tests/proofs/proof.h"

// A user property with a name and a value of one byte each, and one byte in front and behind.
#define BYTES_MAX 9

#define ON(type) (1u << MR_##type)
#define ON_WILL 1u

// Table 2-4, by rows.
static unsigned packets_of(unsigned id) {
    switch (id) {
        case MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR:
        case MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL:
        case MR_PROPERTY_CONTENT_TYPE:
        case MR_PROPERTY_RESPONSE_TOPIC:
        case MR_PROPERTY_CORRELATION_DATA:
            return ON(PUBLISH) | ON_WILL;
        case MR_PROPERTY_SUBSCRIPTION_IDENTIFIER:
            return ON(PUBLISH) | ON(SUBSCRIBE);
        case MR_PROPERTY_SESSION_EXPIRY_INTERVAL:
            return ON(CONNECT) | ON(CONNACK) | ON(DISCONNECT);
        case MR_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER:
        case MR_PROPERTY_SERVER_KEEP_ALIVE:
        case MR_PROPERTY_RESPONSE_INFORMATION:
        case MR_PROPERTY_MAXIMUM_QOS:
        case MR_PROPERTY_RETAIN_AVAILABLE:
        case MR_PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE:
        case MR_PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE:
        case MR_PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE:
            return ON(CONNACK);
        case MR_PROPERTY_AUTHENTICATION_METHOD:
        case MR_PROPERTY_AUTHENTICATION_DATA:
            return ON(CONNECT) | ON(CONNACK) | ON(AUTH);
        case MR_PROPERTY_REQUEST_PROBLEM_INFORMATION:
        case MR_PROPERTY_REQUEST_RESPONSE_INFORMATION:
            return ON(CONNECT);
        case MR_PROPERTY_WILL_DELAY_INTERVAL:
            return ON_WILL;
        case MR_PROPERTY_SERVER_REFERENCE:
            return ON(CONNACK) | ON(DISCONNECT);
        case MR_PROPERTY_REASON_STRING:
            return ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | ON(SUBACK) |
                   ON(UNSUBACK) | ON(DISCONNECT) | ON(AUTH);
        case MR_PROPERTY_RECEIVE_MAXIMUM:
        case MR_PROPERTY_TOPIC_ALIAS_MAXIMUM:
        case MR_PROPERTY_MAXIMUM_PACKET_SIZE:
            return ON(CONNECT) | ON(CONNACK);
        case MR_PROPERTY_TOPIC_ALIAS:
            return ON(PUBLISH);
        case MR_PROPERTY_USER_PROPERTY:
            return 0xffffu & ~(ON(PINGREQ) | ON(PINGRESP));
        default:
            return 0;
    }
}

static bool number_right(unsigned id, uint32_t number) {
    switch (id) {
        case MR_PROPERTY_PAYLOAD_FORMAT_INDICATOR:
        case MR_PROPERTY_REQUEST_PROBLEM_INFORMATION:
        case MR_PROPERTY_REQUEST_RESPONSE_INFORMATION:
        case MR_PROPERTY_MAXIMUM_QOS:
        case MR_PROPERTY_RETAIN_AVAILABLE:
        case MR_PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE:
        case MR_PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE:
        case MR_PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE:
            return number <= 1;
        case MR_PROPERTY_SUBSCRIPTION_IDENTIFIER:
            return number >= 1 && number <= MR_REMAINING_LENGTH_MAX;
        case MR_PROPERTY_RECEIVE_MAXIMUM:
        case MR_PROPERTY_TOPIC_ALIAS:
            return number >= 1 && number <= UINT16_MAX;
        case MR_PROPERTY_TOPIC_ALIAS_MAXIMUM:
        case MR_PROPERTY_SERVER_KEEP_ALIVE:
            return number <= UINT16_MAX;
        case MR_PROPERTY_MAXIMUM_PACKET_SIZE:
            return number >= 1;
        default:
            return true;
    }
}

static bool is_text(unsigned id) {
    return id == MR_PROPERTY_CONTENT_TYPE || id == MR_PROPERTY_RESPONSE_TOPIC ||
           id == MR_PROPERTY_CORRELATION_DATA || id == MR_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER ||
           id == MR_PROPERTY_AUTHENTICATION_METHOD || id == MR_PROPERTY_AUTHENTICATION_DATA ||
           id == MR_PROPERTY_RESPONSE_INFORMATION || id == MR_PROPERTY_SERVER_REFERENCE ||
           id == MR_PROPERTY_REASON_STRING || id == MR_PROPERTY_USER_PROPERTY;
}

static bool is_repeatable(unsigned id, unsigned packet_type) {
    return id == MR_PROPERTY_USER_PROPERTY ||
           (id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER && packet_type == MR_PUBLISH);
}

static void prove_taken(const struct mr_property *property, unsigned packet_type,
                        struct mr_slice taken) {
    unsigned id = (unsigned)property->id;
    PROVE(taken.len >= 2);
    PROVE(id == taken.data[0]);
    PROVE((packets_of(id) >> packet_type & 1) != 0);
    PROVE(property->raw.data == taken.data && property->raw.len == taken.len);
    if (is_text(id)) {
        PROVE(is_within(property->value, taken));
        PROVE(id != MR_PROPERTY_USER_PROPERTY || is_within(property->name, taken));
        PROVE(id == MR_PROPERTY_USER_PROPERTY || taken.len == 3 + property->value.len);
        PROVE(id != MR_PROPERTY_RESPONSE_TOPIC || property->value.len != 0);
    } else {
        PROVE(number_right(id, property->number));
        PROVE(taken.len <= 5);
    }
}

int main(void) {
    struct mr_slice bytes = any_slice(BYTES_MAX);
    size_t at = nondet_size();
    ASSUME(at <= bytes.len);
    struct mr_decode_error error = {0};
    struct reader reader = reader_of(bytes, &error);
    reader.next += at;
    uint64_t before = nondet_u64();
    uint64_t present = before;
    unsigned packet_type = nondet_u8() & 15u;
    struct mr_property property;
    bool good = mr_reader_property(&reader, packet_type, &present, &property);
    size_t end = (size_t)(reader.next - reader.start);
    PROVE(end >= at && end <= bytes.len && reader.end == reader.start + bytes.len);
    if (good) {
        unsigned id = (unsigned)property.id;
        prove_taken(&property, packet_type, mr_slice_of(bytes.data + at, end - at));
        PROVE(present == (before | MR_PROPERTY_BIT(id)));
        PROVE(present != before || is_repeatable(id, packet_type));
    } else {
        PROVE(error.what != NULL);
        PROVE(error.offset <= bytes.len);
        PROVE(error.reason == MR_REASON_MALFORMED_PACKET ||
              error.reason == MR_REASON_PROTOCOL_ERROR ||
              error.reason == MR_REASON_TOPIC_ALIAS_INVALID);
    }
    REACHES(good && property.id == MR_PROPERTY_USER_PROPERTY && property.value.len == 1);
    REACHES(good && property.id == MR_PROPERTY_SUBSCRIPTION_IDENTIFIER && end - at == 5);
    REACHES(good && property.id == MR_PROPERTY_MAXIMUM_PACKET_SIZE &&
            property.number == UINT32_MAX);
    REACHES(!good && error.reason == MR_REASON_TOPIC_ALIAS_INVALID);
    REACHES(!good && at == bytes.len);
    return 0;
}
