// An application message on its way through the broker: immutable, shared by all who
// are to receive it, independent of the connection and the protocol level by which it came.
//
// It lives inside one pooled buffer, whose reference count is the message's. Messages
// are made for whatever outlives the receive buffer or crosses to another worker: QoS 1
// and 2, queued, retained and will messages. A QoS 0 PUBLISH to connected subscribers of the
// same worker needs none: it is forwarded from the receive buffer.
//
// Threads: as io/buf/buf.h says; the content may be read by any holder.
#ifndef MILLRACE_BROKER_MESSAGE_MESSAGE_H
#define MILLRACE_BROKER_MESSAGE_MESSAGE_H

#include "base/base.h"
#include "codec/codec.h"
#include "io/buf/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_message {
    struct mr_buf *buf;           // What the message lives in.
    uint64_t expires_ms;          // On the loop's monotonic clock; 0: never [MQTT-3.3.2-5].
    uint64_t properties_present;  // MR_PROPERTY_BIT of those in properties_raw.
    uint32_t publisher;           // Subscriber handle of the session it came from; 0: none.
    uint32_t topic_len;
    uint32_t properties_len;
    uint32_t payload_len;
    uint8_t qos;      // As published.
    bool retain;      // As published.
    uint8_t bytes[];  // Topic name, forwardable properties, payload.
};

// Makes a message from a PUBLISH whose topic is complete (no alias left). Properties that
// concern only the sender's hop are left out. `expires_ms` is computed by the caller.
// Returns owned, or NULL if out of memory.
struct mr_message *mr_message_new(struct mr_buf_pool *pool, const struct mr_publish *packet,
                                  uint32_t publisher, uint64_t expires_ms);

static inline struct mr_message *mr_message_ref(struct mr_message *message) {
    mr_buf_ref(message->buf);
    return message;
}
static inline void mr_message_unref(struct mr_message *message) {
    mr_buf_unref(message->buf);
}

static inline struct mr_slice mr_message_topic(const struct mr_message *message) {
    return mr_slice_of(message->bytes, message->topic_len);
}
static inline struct mr_slice mr_message_properties(const struct mr_message *message) {
    return mr_slice_of(message->bytes + message->topic_len, message->properties_len);
}
static inline struct mr_slice mr_message_payload(const struct mr_message *message) {
    return mr_slice_of(message->bytes + message->topic_len + message->properties_len,
                       message->payload_len);
}

static inline bool mr_message_expired(const struct mr_message *message, uint64_t now_ms) {
    return message->expires_ms != 0 && now_ms >= message->expires_ms;
}

// What it counts for against limits in bytes.
static inline uint64_t mr_message_bytes(const struct mr_message *message) {
    return (uint64_t)message->topic_len + message->properties_len + message->payload_len;
}

// Fills `out`, borrowed from `message`, as a PUBLISH to a subscriber: `qos`, `retain` and
// the rest of the expiry interval [MQTT-3.3.2-6]; packet id, DUP and alias are left 0.
void mr_message_to_publish(const struct mr_message *message, uint64_t now_ms, uint8_t qos,
                           bool retain, struct mr_publish *out);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_MESSAGE_MESSAGE_H
