#include "broker/session/outgoing.h"

#include <string.h>

#define SCRATCH_BYTES 65536u

static uint8_t *scratch_reserve(struct mr_scratch *scratch, size_t bytes) {
    if (scratch->buf != NULL && mr_buf_is_unique(scratch->buf)) {
        scratch->used = 0;  // Nobody refers to what was written before.
    }
    if (scratch->buf == NULL || scratch->buf->capacity - scratch->used < bytes) {
        struct mr_buf *buf = mr_buf_new(scratch->pool, bytes > SCRATCH_BYTES ? bytes
                                                                               : SCRATCH_BYTES);
        if (buf == NULL) {
            return NULL;
        }
        if (scratch->buf != NULL) {
            mr_buf_unref(scratch->buf);
        }
        scratch->buf = buf;
        scratch->used = 0;
    }
    return scratch->buf->data + scratch->used;
}

void mr_scratch_fini(struct mr_scratch *scratch) {
    if (scratch->buf != NULL) {
        mr_buf_unref(scratch->buf);
        scratch->buf = NULL;
    }
}

void mr_outgoing_init(struct mr_outgoing *out, struct mr_scratch *scratch,
                      const struct mr_publish *packet, struct mr_buf *source, uint32_t publisher,
                      uint64_t expires_ms) {
    out->scratch = scratch;
    out->packet = packet;
    out->source = source;
    out->message = NULL;
    out->expires_ms = expires_ms;
    out->publisher = publisher;
    out->wire = mr_slice_of(NULL, 0);
    out->wire_version = 0;
    for (size_t i = 0; i < MR_ARRAY_COUNT(out->encodings); i++) {
        out->encodings[i].buf = NULL;
    }
}

void mr_outgoing_init_message(struct mr_outgoing *out, struct mr_scratch *scratch,
                              struct mr_message *message, uint64_t now_ms,
                              struct mr_publish *packet) {
    mr_message_to_publish(message, now_ms, message->qos, message->retain, packet);
    mr_outgoing_init(out, scratch, packet, message->buf, message->publisher,
                     message->expires_ms);
    out->message = mr_message_ref(message);
}

void mr_outgoing_fini(struct mr_outgoing *out) {
    for (size_t i = 0; i < MR_ARRAY_COUNT(out->encodings); i++) {
        if (out->encodings[i].buf != NULL) {
            mr_buf_unref(out->encodings[i].buf);
        }
    }
    if (out->message != NULL) {
        mr_message_unref(out->message);
    }
}

struct mr_message *mr_outgoing_message(struct mr_outgoing *out) {
    if (out->message == NULL) {
        out->message =
            mr_message_new(out->scratch->pool, out->packet, out->publisher, out->expires_ms);
    }
    return out->message;
}

const struct mr_encoding *mr_outgoing_encode(struct mr_outgoing *out, enum mr_version version,
                                             bool retain, bool with_packet_id) {
    bool v5 = version == MR_MQTT_50;
    struct mr_encoding *encoding =
        &out->encodings[(v5 ? 4u : 0u) + (retain ? 2u : 0u) + (with_packet_id ? 1u : 0u)];
    if (MR_LIKELY(encoding->buf != NULL)) {
        return encoding;
    }
    struct mr_publish packet = *out->packet;
    packet.qos = with_packet_id ? 1 : 0;
    packet.packet_id = with_packet_id ? 1 : 0;
    packet.retain = retain;
    packet.dup = false;
    packet.topic_alias = 0;
    // The raw properties of a packet that came from a client hold what must not be forwarded,
    // or what is written anew; a message holds them filtered.
    uint64_t not_raw = MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS) |
                       MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    if (v5 && out->message == NULL && (packet.properties_present & not_raw) != 0) {
        struct mr_message *message = mr_outgoing_message(out);
        if (message == NULL) {
            return NULL;
        }
    }
    if (out->message != NULL) {
        packet.properties_raw = mr_message_properties(out->message);
        packet.payload = mr_message_payload(out->message);
    }
    bool apart = packet.payload.len > MR_OUTGOING_COPY_BYTES;
    size_t bytes_max = MR_PUBLISH_HEAD_BYTES(packet.topic.len, packet.properties_raw.len, 0) +
                       (apart ? 0 : packet.payload.len);
    uint8_t *room = scratch_reserve(out->scratch, bytes_max);
    if (room == NULL) {
        return NULL;
    }
    size_t len = apart ? mr_publish_encode_head(version, &packet, NULL, 0, room, bytes_max)
                       : mr_publish_encode(version, &packet, NULL, 0, room, bytes_max);
    if (MR_NEVER(len == 0)) {
        return NULL;
    }
    encoding->head = mr_slice_of(room, len);
    encoding->payload_apart = apart;
    encoding->packet_id_offset = 0;
    if (with_packet_id) {
        uint32_t length_bytes = 1;
        while (room[length_bytes] & 0x80) {
            length_bytes++;
        }
        encoding->packet_id_offset = 1 + length_bytes + 2 + (uint32_t)packet.topic.len;
    }
    encoding->buf = mr_buf_ref(out->scratch->buf);
    out->scratch->used += (uint32_t)len;
    return encoding;
}
