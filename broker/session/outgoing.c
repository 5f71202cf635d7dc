#include "broker/session/outgoing.h"

#include <string.h>

#define SCRATCH_BYTES 65536u

// Room for `bytes` bytes in `*buf_out`, a reference for the caller. NULL if out of memory.
static uint8_t *reserve(struct mr_scratch *scratch, size_t bytes, struct mr_buf **buf_out) {
    if (MR_UNLIKELY(bytes > SCRATCH_BYTES)) {
        // On its own, so that one huge packet doesn't make the scratch huge for ever.
        *buf_out = mr_buf_new(scratch->pool, bytes);
        return *buf_out == NULL ? NULL : (*buf_out)->data;
    }
    if (scratch->buf != NULL && mr_buf_is_unique(scratch->buf)) {
        scratch->used = 0;  // Nobody refers to what was written before.
    }
    if (scratch->buf == NULL || SCRATCH_BYTES - scratch->used < bytes) {
        struct mr_buf *buf = mr_buf_new(scratch->pool, SCRATCH_BYTES);
        if (buf == NULL) {
            return NULL;
        }
        mr_scratch_fini(scratch);
        scratch->buf = buf;
        scratch->used = 0;
    }
    *buf_out = mr_buf_ref(scratch->buf);
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
    out->has_one_receiver = false;
    out->droppable = false;
    out->encoded = 0;
}

void mr_outgoing_init_message(struct mr_outgoing *out, struct mr_scratch *scratch,
                              struct mr_message *message, uint64_t now_ms,
                              struct mr_publish *packet) {
    mr_message_to_publish(message, now_ms, message->qos, message->retain, packet);
    mr_outgoing_init(out, scratch, packet, message->buf, message->publisher, message->expires_ms);
    out->message = mr_message_ref(message);
}

void mr_outgoing_fini(struct mr_outgoing *out) {
    for (uint32_t left = out->encoded; left != 0; left &= left - 1) {
        mr_buf_unref(out->encodings[__builtin_ctz(left)].buf);
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

// Properties that the packet of a client may have and that are not passed on as they are.
#define HOP_PROPERTIES                                      \
    (MR_PROPERTY_BIT(MR_PROPERTY_TOPIC_ALIAS) |             \
     MR_PROPERTY_BIT(MR_PROPERTY_MESSAGE_EXPIRY_INTERVAL) | \
     MR_PROPERTY_BIT(MR_PROPERTY_SUBSCRIPTION_IDENTIFIER) | \
     MR_PROPERTY_BIT(MR_PROPERTY_WILL_DELAY_INTERVAL))

enum mr_err mr_outgoing_properties(struct mr_outgoing *out, struct mr_slice *properties_out) {
    bool filter = (out->packet->properties_present & HOP_PROPERTIES) != 0;
    if (out->message == NULL && !filter) {
        *properties_out = out->packet->properties_raw;
        return MR_OK;
    }
    const struct mr_message *message = mr_outgoing_message(out);
    if (message == NULL) {
        return MR_ERR_NOMEM;
    }
    *properties_out = mr_message_properties(message);
    return MR_OK;
}

struct mr_buf *mr_outgoing_payload(const struct mr_outgoing *out, struct mr_slice *payload_out) {
    // A message that is there anyway pins less than a receive buffer.
    if (out->message != NULL) {
        *payload_out = mr_message_payload(out->message);
        return out->message->buf;
    }
    *payload_out = out->packet->payload;
    return out->source;
}

// Where the packet identifier stands in the PUBLISH at `packet`.
static uint32_t packet_id_offset_of(const uint8_t *packet, size_t topic_len) {
    uint32_t length_bytes = 1;
    while (packet[length_bytes] & 0x80) {
        length_bytes++;
    }
    return 1 + length_bytes + 2 + (uint32_t)topic_len;
}

static enum mr_err encode(struct mr_outgoing *out, enum mr_version version, bool retain,
                          bool with_packet_id, struct mr_encoding *encoding) {
    struct mr_publish packet = *out->packet;
    packet.qos = with_packet_id ? 1 : 0;
    packet.packet_id = with_packet_id ? 1 : 0;
    packet.retain = retain;
    packet.dup = false;
    packet.topic_alias = 0;
    if (version == MR_MQTT_50) {
        MR_TRY(mr_outgoing_properties(out, &packet.properties_raw));
    }
    bool apart = packet.payload.len > MR_OUTGOING_COPY_BYTES;
    size_t bytes_max = MR_PUBLISH_HEAD_BYTES(packet.topic.len, packet.properties_raw.len, 0) +
                       (apart ? 0 : packet.payload.len);
    struct mr_buf *buf;
    uint8_t *room = reserve(out->scratch, bytes_max, &buf);
    if (room == NULL) {
        return MR_ERR_NOMEM;
    }
    size_t len = apart ? mr_publish_encode_head(version, &packet, NULL, 0, room, bytes_max)
                       : mr_publish_encode(version, &packet, NULL, 0, room, bytes_max);
    if (len == 0) {
        // A packet of the largest possible size is larger still with a property length.
        mr_buf_unref(buf);
        return MR_ERR_LIMIT;
    }
    if (buf == out->scratch->buf) {
        out->scratch->used += (uint32_t)len;
    }
    encoding->buf = buf;
    encoding->head = mr_slice_of(room, len);
    encoding->payload_apart = apart;
    encoding->packet_id_offset = with_packet_id ? packet_id_offset_of(room, packet.topic.len) : 0;
    return MR_OK;
}

enum mr_err mr_outgoing_encode(struct mr_outgoing *out, enum mr_version version, bool retain,
                               bool with_packet_id, const struct mr_encoding **encoding_out) {
    uint32_t layout =
        (version == MR_MQTT_50 ? 4u : 0u) + (retain ? 2u : 0u) + (with_packet_id ? 1u : 0u);
    struct mr_encoding *encoding = &out->encodings[layout];
    if (MR_UNLIKELY((out->encoded >> layout & 1) == 0)) {
        MR_TRY(encode(out, version, retain, with_packet_id, encoding));
        out->encoded |= (uint8_t)(1u << layout);
    }
    *encoding_out = encoding;
    return MR_OK;
}
