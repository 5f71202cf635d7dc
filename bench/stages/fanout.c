// The stage "zero-copy fan-out": a packet for each subscriber, or one for all.
#include "bench/stages/stages.h"

static bool form_make(struct form *form, const struct mr_publish *publish, bool v5, uint8_t qos,
                      struct mr_buf_pool *pool) {
    struct mr_publish out = {
        .topic = publish->topic,
        .payload = publish->payload,
        .qos = qos,
        .packet_id = qos > 0 ? 1 : 0,
    };
    size_t bytes_max = MR_PUBLISH_HEAD_BYTES(out.topic.len, 0, 0) + out.payload.len;
    form->buf = mr_buf_new(pool, bytes_max);
    if (form->buf == NULL) {
        return false;
    }
    size_t len =
        mr_publish_encode(v5 ? MR_MQTT_50 : MR_MQTT_311, &out, NULL, 0, form->buf->data, bytes_max);
    form->bytes = mr_slice_of(form->buf->data, len);
    form->payload_offset = len - out.payload.len;
    // The identifier stands before the payload, or before the length of no properties.
    form->id_offset = qos > 0 ? form->payload_offset - (v5 ? 3 : 2) : 0;
    return true;
}

void message_init(struct message *message, const struct mr_publish *publish,
                  struct mr_buf_pool *pool, bool shared, struct mr_buf *buf, struct mr_slice whole,
                  uint8_t version) {
    memset(message, 0, sizeof(*message));
    message->publish = publish;
    message->pool = pool;
    if (shared && buf != NULL && publish->qos == 0 && !publish->retain &&
        publish->properties_raw.len == 0) {
        struct form *form = &message->forms[version == MR_MQTT_50][0];
        form->buf = mr_buf_ref(buf);
        form->bytes = whole;
        form->payload_offset = whole.len - publish->payload.len;
    }
}

bool message_get(struct message *message, bool shared, uint8_t version, uint8_t qos,
                 struct form *out) {
    bool v5 = version == MR_MQTT_50;
    if (!shared) {
        return form_make(out, message->publish, v5, qos, message->pool);
    }
    struct form *form = &message->forms[v5][qos];
    if (form->buf == NULL && !form_make(form, message->publish, v5, qos, message->pool)) {
        return false;
    }
    *out = *form;
    return true;
}

void message_put(bool shared, const struct form *form) {
    if (!shared) {
        mr_buf_unref(form->buf);
    }
}

void message_fini(struct message *message) {
    for (size_t i = 0; i < 4; i++) {
        struct form *form = &message->forms[i / 2][i % 2];
        if (form->buf != NULL) {
            mr_buf_unref(form->buf);
        }
    }
}
