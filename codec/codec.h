// MQTT packets: bytes to structs and back, for 3.1, 3.1.1 and 5.0.
//
// Stateless: bytes in, structs out; no sockets, no allocation, no memory between
// packets. A decoded struct borrows: its slices point into the decoded bytes and
// hold as long as those do. The decoders check everything that the standard lets a
// receiver check without knowing the connection's state; what needs state (topic
// alias in range, packet identifier in use, order of packets) is the broker's.
//
// Both directions of every packet are here, so that bridges, tests, fuzzers and the
// load generator use the same code.
//
// Threads: pure functions, any thread.
#ifndef MILLRACE_CODEC_CODEC_H
#define MILLRACE_CODEC_CODEC_H

#include "base/base.h"
#include "codec/reason.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mr_version {
    MR_MQTT_31 = 3,
    MR_MQTT_311 = 4,
    MR_MQTT_50 = 5,
};

enum mr_packet_type {
    MR_CONNECT = 1,
    MR_CONNACK = 2,
    MR_PUBLISH = 3,
    MR_PUBACK = 4,
    MR_PUBREC = 5,
    MR_PUBREL = 6,
    MR_PUBCOMP = 7,
    MR_SUBSCRIBE = 8,
    MR_SUBACK = 9,
    MR_UNSUBSCRIBE = 10,
    MR_UNSUBACK = 11,
    MR_PINGREQ = 12,
    MR_PINGRESP = 13,
    MR_DISCONNECT = 14,
    MR_AUTH = 15,
};

// Static name, "PUBLISH" and so on; "RESERVED" for 0.
const char *mr_packet_type_name(enum mr_packet_type type);

#define MR_REMAINING_LENGTH_MAX 268435455u  // Section 1.5.5.
#define MR_FIXED_HEADER_BYTES_MAX 5u

// Partial input is a state, not an error.
enum mr_decode_status {
    MR_DECODE_DONE,
    MR_DECODE_MORE,  // Nothing wrong so far; needs more bytes.
    MR_DECODE_BAD,   // See mr_decode_error.
};

// Why and where a packet was refused. `what` is a static text for the log and the
// reason string, for example "property given twice".
struct mr_decode_error {
    enum mr_reason reason;
    uint32_t offset;  // In the bytes given to the decoder.
    const char *what;
};

// ---------------------------------------------------------------- fixed header

struct mr_frame {
    uint8_t type;        // enum mr_packet_type.
    uint8_t flags;       // Low nibble of the first byte.
    uint8_t header_len;  // 2 to 5.
    uint32_t body_len;   // Remaining Length.
};

// Reads the fixed header at the start of `in`. Refuses, as soon as its first byte is
// there: the reserved type 0, AUTH before 5.0 and wrong flags [MQTT-2.1.3-1], among
// them QoS 3 and DUP with QoS 0; and a length of more than four bytes or not in its
// shortest form [MQTT-1.5.5-1]. 3.1 may set DUP on PUBREL, SUBSCRIBE and UNSUBSCRIBE.
// `version` 0 means: no CONNECT yet, so only CONNECT is accepted [MQTT-3.1.0-1].
// A packet of more than `packet_bytes_max` in all gives PACKET_TOO_LARGE.
// DONE means that the header is complete, not that the body is there.
enum mr_decode_status mr_frame_decode(struct mr_slice in, int version, uint32_t packet_bytes_max,
                                      struct mr_frame *out, struct mr_decode_error *error);

// ------------------------------------------------------------------ properties

// Section 2.2.2.2. X(NAME, identifier, type).
#define MR_PROPERTY_MAP(X)                           \
    X(PAYLOAD_FORMAT_INDICATOR, 0x01, BYTE)          \
    X(MESSAGE_EXPIRY_INTERVAL, 0x02, U32)            \
    X(CONTENT_TYPE, 0x03, STRING)                    \
    X(RESPONSE_TOPIC, 0x08, STRING)                  \
    X(CORRELATION_DATA, 0x09, BINARY)                \
    X(SUBSCRIPTION_IDENTIFIER, 0x0b, VARINT)         \
    X(SESSION_EXPIRY_INTERVAL, 0x11, U32)            \
    X(ASSIGNED_CLIENT_IDENTIFIER, 0x12, STRING)      \
    X(SERVER_KEEP_ALIVE, 0x13, U16)                  \
    X(AUTHENTICATION_METHOD, 0x15, STRING)           \
    X(AUTHENTICATION_DATA, 0x16, BINARY)             \
    X(REQUEST_PROBLEM_INFORMATION, 0x17, BYTE)       \
    X(WILL_DELAY_INTERVAL, 0x18, U32)                \
    X(REQUEST_RESPONSE_INFORMATION, 0x19, BYTE)      \
    X(RESPONSE_INFORMATION, 0x1a, STRING)            \
    X(SERVER_REFERENCE, 0x1c, STRING)                \
    X(REASON_STRING, 0x1f, STRING)                   \
    X(RECEIVE_MAXIMUM, 0x21, U16)                    \
    X(TOPIC_ALIAS_MAXIMUM, 0x22, U16)                \
    X(TOPIC_ALIAS, 0x23, U16)                        \
    X(MAXIMUM_QOS, 0x24, BYTE)                       \
    X(RETAIN_AVAILABLE, 0x25, BYTE)                  \
    X(USER_PROPERTY, 0x26, PAIR)                     \
    X(MAXIMUM_PACKET_SIZE, 0x27, U32)                \
    X(WILDCARD_SUBSCRIPTION_AVAILABLE, 0x28, BYTE)   \
    X(SUBSCRIPTION_IDENTIFIER_AVAILABLE, 0x29, BYTE) \
    X(SHARED_SUBSCRIPTION_AVAILABLE, 0x2a, BYTE)

enum mr_property_id {
#define MR_PROPERTY_ENUM(name, id, type) MR_PROPERTY_##name = id,
    MR_PROPERTY_MAP(MR_PROPERTY_ENUM)
#undef MR_PROPERTY_ENUM
};

// The bit of a property in `present` masks.
#define MR_PROPERTY_BIT(id) (UINT64_C(1) << (id))

// All properties of one packet, decoded. Only fields whose bit is in `present` are
// set; numbers that are absent hold 0. Repeatable properties stay in `raw` and are
// walked with mr_property_next().
struct mr_properties {
    uint64_t present;     // MR_PROPERTY_BIT of each one that is there.
    struct mr_slice raw;  // The encoded properties, without their length.
    uint32_t message_expiry_s;
    uint32_t session_expiry_s;
    uint32_t will_delay_s;
    uint32_t packet_bytes_max;
    uint32_t subscription_id;  // The first one.
    uint16_t receive_max;
    uint16_t topic_alias_max;
    uint16_t topic_alias;
    uint16_t server_keep_alive_s;
    uint8_t payload_format;
    uint8_t request_problem_information;
    uint8_t request_response_information;
    uint8_t qos_max;
    uint8_t retain_available;
    uint8_t wildcard_subscription_available;
    uint8_t subscription_id_available;
    uint8_t shared_subscription_available;
    struct mr_slice content_type;
    struct mr_slice response_topic;
    struct mr_slice correlation_data;
    struct mr_slice assigned_client_id;
    struct mr_slice authentication_method;
    struct mr_slice authentication_data;
    struct mr_slice response_information;
    struct mr_slice server_reference;
    struct mr_slice reason_string;
};

static inline bool mr_properties_has(const struct mr_properties *properties,
                                     enum mr_property_id id) {
    return (properties->present & MR_PROPERTY_BIT(id)) != 0;
}

// One property in a walk over `raw`.
struct mr_property {
    enum mr_property_id id;
    uint32_t number;        // BYTE, U16, U32, VARINT.
    struct mr_slice value;  // STRING, BINARY; of a PAIR the value.
    struct mr_slice name;   // PAIR only.
    struct mr_slice raw;    // The whole property, identifier included.
};

// Takes the next property off `*rest`, which must come from a successful decode.
// False at the end.
bool mr_property_next(struct mr_slice *rest, struct mr_property *out);

// --------------------------------------------------------------------- packets
//
// Each decoder takes the body (the bytes behind the fixed header) and answers DONE
// or BAD, never MORE. `version` is the connection's. Each encoder writes a complete
// packet to `out` and returns its length, or 0 if it needs more than `out_bytes_max`
// bytes (nothing useful is written then; all `*_bytes` bounds are in the comments)
// or breaks the size limit of the protocol.

struct mr_will {
    struct mr_slice topic;
    struct mr_slice payload;
    uint8_t qos;
    bool retain;
    struct mr_properties properties;  // 5.0.
};

struct mr_connect {
    enum mr_version version;
    bool bridge;  // Highest bit of the protocol level, as bridges set it on 3.x.
    bool clean_start;
    bool has_will;
    bool has_user_name;
    bool has_password;
    uint16_t keep_alive_s;
    struct mr_slice client_id;
    struct mr_slice user_name;
    struct mr_slice password;
    struct mr_will will;
    struct mr_properties properties;
};

// On BAD with UNSUPPORTED_PROTOCOL_VERSION, `out->version` still says which dialect
// a CONNACK would best use: MR_MQTT_311 for unknown levels below 5, else MR_MQTT_50.
// On every other BAD, `out->version` is set if the level could be read, else 0.
enum mr_decode_status mr_connect_decode(struct mr_slice body, struct mr_connect *out,
                                        struct mr_decode_error *error);
size_t mr_connect_encode(const struct mr_connect *packet, uint8_t *out, size_t out_bytes_max);

struct mr_connack {
    bool session_present;
    uint8_t code;  // enum mr_reason for 5.0, return code for 3.x.
    struct mr_properties properties;
};

enum mr_decode_status mr_connack_decode(enum mr_version version, struct mr_slice body,
                                        struct mr_connack *out, struct mr_decode_error *error);
// Properties are encoded from the fields whose bit is in `present`, then the user
// properties (and nothing else) found in `raw`, whether or not their bit is set. The
// same holds for all encoders. A bit of a property that the packet can't have is the
// caller's mistake and isn't encoded.
size_t mr_connack_encode(enum mr_version version, const struct mr_connack *packet, uint8_t *out,
                         size_t out_bytes_max);

// A PUBLISH, validated in place: topic name and properties are checked in the one
// pass that reads them, the payload isn't touched. Kept small: this is the hot path.
struct mr_publish {
    struct mr_slice topic;  // Empty only with a topic alias (5.0).
    struct mr_slice payload;
    struct mr_slice properties_raw;  // 5.0: encoded properties without their length.
    uint64_t properties_present;     // MR_PROPERTY_BIT of each.
    uint32_t message_expiry_s;
    uint32_t subscription_id;  // First one; a client must not send any: the broker checks.
    uint16_t packet_id;        // 0 for QoS 0.
    uint16_t topic_alias;      // 0: none (an alias of 0 on the wire is refused).
    uint8_t qos;
    bool retain;
    bool dup;
    uint8_t payload_format;
};

// `flags` are the fixed header's. Refuses: QoS 3, DUP with QoS 0, packet identifier 0,
// bad topic names (0x90 is for valid UTF-8 with wildcards, 0x81 for bad UTF-8), empty
// topic without alias (0x82), alias 0 (0x94), response topic with wildcards, and every
// property error.
enum mr_decode_status mr_publish_decode(enum mr_version version, uint8_t flags,
                                        struct mr_slice body, struct mr_publish *out,
                                        struct mr_decode_error *error);

// What stands in front of the payload: fixed header, topic name, packet identifier
// and properties. `properties_raw` is written as it is, behind the extra properties
// named by arguments: a topic alias (0: none), a message expiry interval (if its bit
// is in properties_present), and `subscription_ids` in order. So properties_raw must
// hold neither of these kinds: see mr_publish_forwardable_properties().
// Needs at most MR_PUBLISH_HEAD_BYTES(topic, raw, ids) bytes.
#define MR_PUBLISH_HEAD_BYTES(topic_len, raw_len, id_count) \
    (5 + 2 + (topic_len) + 2 + 4 + 3 + 5 + (raw_len) + 5 * (size_t)(id_count))
size_t mr_publish_encode_head(enum mr_version version, const struct mr_publish *packet,
                              const uint32_t *subscription_ids, size_t subscription_id_count,
                              uint8_t *out, size_t out_bytes_max);
// The whole packet, payload included (copied).
size_t mr_publish_encode(enum mr_version version, const struct mr_publish *packet,
                         const uint32_t *subscription_ids, size_t subscription_id_count,
                         uint8_t *out, size_t out_bytes_max);

// Copies from `raw` the properties that a broker passes on unaltered, in order (payload
// format, content type, response topic, correlation data, user properties
// [MQTT-3.3.2-17] and so on), leaving out topic alias, message expiry interval,
// subscription identifiers and will delay interval. Returns the bytes written to
// `out`, which has room for `raw.len`.
size_t mr_publish_forwardable_properties(struct mr_slice raw, uint8_t *out);

// PUBACK, PUBREC, PUBREL, PUBCOMP.
struct mr_ack {
    uint16_t packet_id;
    enum mr_reason reason;  // SUCCESS before 5.0.
    struct mr_properties properties;
};

enum mr_decode_status mr_ack_decode(enum mr_version version, enum mr_packet_type type,
                                    struct mr_slice body, struct mr_ack *out,
                                    struct mr_decode_error *error);
// Shortest form: the reason is left out if it is SUCCESS and there are no properties.
size_t mr_ack_encode(enum mr_version version, enum mr_packet_type type, const struct mr_ack *packet,
                     uint8_t *out, size_t out_bytes_max);

struct mr_subscribe {
    uint16_t packet_id;
    struct mr_properties properties;
    struct mr_slice entries;  // Walk with mr_subscribe_next().
    uint32_t entry_count;     // At least 1.
};

struct mr_subscription_options {
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling;
};

// Checks the structure of all entries, their UTF-8 and their options, not the filters'
// wildcards: a bad filter is answered in the SUBACK, not by closing. The exception is an
// empty filter: malformed [MQTT-4.7.3-1].
enum mr_decode_status mr_subscribe_decode(enum mr_version version, struct mr_slice body,
                                          struct mr_subscribe *out, struct mr_decode_error *error);
// Takes the next entry off `*rest` (start with `entries`). False at the end.
bool mr_subscribe_next(struct mr_slice *rest, struct mr_slice *filter,
                       struct mr_subscription_options *options);
// `entries` is written as it is.
size_t mr_subscribe_encode(enum mr_version version, const struct mr_subscribe *packet, uint8_t *out,
                           size_t out_bytes_max);
// Appends one entry to `out`; returns its length or 0 if there is no room.
size_t mr_subscribe_encode_entry(enum mr_version version, struct mr_slice filter,
                                 const struct mr_subscription_options *options, uint8_t *out,
                                 size_t out_bytes_max);

// SUBACK and UNSUBACK.
struct mr_suback {
    uint16_t packet_id;
    struct mr_properties properties;
    struct mr_slice codes;  // One byte each; empty for an UNSUBACK before 5.0.
};

enum mr_decode_status mr_suback_decode(enum mr_version version, enum mr_packet_type type,
                                       struct mr_slice body, struct mr_suback *out,
                                       struct mr_decode_error *error);
// Before 5.0 each failure code is written as 0x80 and an UNSUBACK carries no codes.
size_t mr_suback_encode(enum mr_version version, enum mr_packet_type type,
                        const struct mr_suback *packet, uint8_t *out, size_t out_bytes_max);

struct mr_unsubscribe {
    uint16_t packet_id;
    struct mr_properties properties;
    struct mr_slice entries;  // Walk with mr_unsubscribe_next().
    uint32_t entry_count;     // At least 1.
};

enum mr_decode_status mr_unsubscribe_decode(enum mr_version version, struct mr_slice body,
                                            struct mr_unsubscribe *out,
                                            struct mr_decode_error *error);
bool mr_unsubscribe_next(struct mr_slice *rest, struct mr_slice *filter);
// `entries` is written as it is.
size_t mr_unsubscribe_encode(enum mr_version version, const struct mr_unsubscribe *packet,
                             uint8_t *out, size_t out_bytes_max);
// Appends one entry to `out`; returns its length or 0 if there is no room.
size_t mr_unsubscribe_encode_entry(struct mr_slice filter, uint8_t *out, size_t out_bytes_max);

// PINGREQ and PINGRESP have no body: BAD unless it is empty.
enum mr_decode_status mr_ping_decode(struct mr_slice body, struct mr_decode_error *error);
size_t mr_ping_encode(enum mr_packet_type type, uint8_t *out, size_t out_bytes_max);

struct mr_disconnect {
    enum mr_reason reason;
    struct mr_properties properties;
};

// `from_client` decides which reason codes and properties are allowed (3.14.2). A code
// of the other side is a protocol error, a reserved one malformed.
enum mr_decode_status mr_disconnect_decode(enum mr_version version, struct mr_slice body,
                                           bool from_client, struct mr_disconnect *out,
                                           struct mr_decode_error *error);
size_t mr_disconnect_encode(enum mr_version version, const struct mr_disconnect *packet,
                            uint8_t *out, size_t out_bytes_max);

struct mr_auth {
    enum mr_reason reason;
    struct mr_properties properties;
};

// An empty body is SUCCESS without properties (3.15.2.1); any other AUTH must name its
// authentication method. Who may send which reason is the broker's to check.
enum mr_decode_status mr_auth_decode(struct mr_slice body, struct mr_auth *out,
                                     struct mr_decode_error *error);
size_t mr_auth_encode(const struct mr_auth *packet, uint8_t *out, size_t out_bytes_max);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_CODEC_CODEC_H
