#include "broker/message/message.h"

#include <string.h>

struct mr_message *mr_message_new(struct mr_buf_pool *pool, const struct mr_publish *packet,
                                  uint32_t publisher, uint64_t expires_ms) {
    // The forwardable properties are at most as long as the raw ones.
    size_t bytes_max = sizeof(struct mr_message) + packet->topic.len + packet->properties_raw.len +
                       packet->payload.len;
    struct mr_buf *buf = mr_buf_new(pool, bytes_max);
    if (buf == NULL) {
        return NULL;
    }
    struct mr_message *message = (struct mr_message *)(void *)buf->data;
    message->buf = buf;
    message->expires_ms = expires_ms;
    message->publisher = publisher;
    message->topic_len = (uint32_t)packet->topic.len;
    message->payload_len = (uint32_t)packet->payload.len;
    message->qos = packet->qos;
    message->retain = packet->retain;
    uint8_t *out = message->bytes;
    if (packet->topic.len > 0) {
        memcpy(out, packet->topic.data, packet->topic.len);
        out += packet->topic.len;
    }
    message->properties_len = 0;
    message->properties_present = 0;
    if (packet->properties_raw.len > 0) {
        size_t len = mr_publish_forwardable_properties(packet->properties_raw, out);
        message->properties_len = (uint32_t)len;
        message->properties_present =
            packet->properties_present & ~(MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS) |
                                           MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL) |
                                           MR_PROPERTY_BIT(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) |
                                           MR_PROPERTY_BIT(MR_PROPERTY_WILL_DELAY_INTERVAL));
        out += len;
    }
    if (packet->payload.len > 0) {
        memcpy(out, packet->payload.data, packet->payload.len);
    }
    return message;
}

void mr_message_to_publish(const struct mr_message *message, uint64_t now_ms, uint8_t qos,
                           bool retain, struct mr_publish *out) {
    memset(out, 0, sizeof(*out));
    out->topic = mr_message_topic(message);
    out->properties_raw = mr_message_properties(message);
    out->payload = mr_message_payload(message);
    out->properties_present = message->properties_present;
    out->qos = qos;
    out->retain = retain;
    if (message->expires_ms != 0) {
        // To the nearest second, since the clocks of two workers may differ by a turn of their
        // loops; at least 1, since a message that is still delivered has not expired.
        uint64_t left_ms = message->expires_ms > now_ms ? message->expires_ms - now_ms : 0;
        uint64_t left_s = (left_ms + 500) / 1000;
        out->message_expiry_s = left_s == 0           ? 1
                                : left_s > UINT32_MAX ? UINT32_MAX
                                                      : (uint32_t)left_s;
        out->properties_present |= MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    }
}
