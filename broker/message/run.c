#include "broker/message/run.h"

#include <string.h>

void mr_run_start(struct mr_run *run, struct mr_buf *buf, struct mr_slice packet,
                  enum mr_version version, uint32_t publisher) {
    const struct mr_publish *first = &run->first;
    // The topic name's length is the first thing behind the fixed header.
    size_t header_len = (size_t)(first->topic.data - 2 - packet.data);
    run->buf = buf;
    run->packets = packet;
    run->payload_bytes = first->payload.len;
    run->count = 1;
    run->packet_max = (uint32_t)packet.len;
    run->same_len = (uint32_t)(packet.len - first->payload.len - header_len);
    run->first_header_len = (uint32_t)header_len;
    run->publisher = publisher;
    run->version = (uint8_t)version;
}

// The length of the fixed header at `data` and, as result, the Remaining Length. 0: it isn't
// complete, or not as it should be; who takes packets apart will say what is wrong.
static inline size_t header_at(const uint8_t *data, size_t len, size_t *body_len_out) {
    if (MR_LIKELY(len >= 2 && data[1] < 0x80)) {
        *body_len_out = data[1];
        return 2;
    }
    size_t body_len = 0;
    for (size_t i = 1; i < MR_FIXED_HEADER_BYTES_MAX && i < len; i++) {
        body_len |= (size_t)(data[i] & 0x7f) << (7 * (i - 1));
        if (data[i] < 0x80) {
            *body_len_out = body_len;
            // A length in more bytes than it takes is malformed [MQTT-1.5.5-1].
            return data[i] == 0 ? 0 : i + 1;
        }
    }
    return 0;
}

void mr_run_extend(struct mr_run *run, struct mr_slice rest, const struct mr_run_limits *limits) {
    const uint8_t first_byte = run->packets.data[0];
    const uint8_t *same = run->packets.data + run->first_header_len;
    const size_t same_len = run->same_len;
    size_t used = 0;
    uint64_t payload_bytes = 0;
    uint32_t count = run->count;
    size_t largest = run->packet_max;
    while (used < rest.len && rest.data[used] == first_byte && count < limits->count_max) {
        const uint8_t *packet = rest.data + used;
        size_t left = rest.len - used;
        size_t body_len;
        size_t header_len = header_at(packet, left, &body_len);
        if (header_len == 0 || body_len > left - header_len || body_len < same_len ||
            header_len + body_len > limits->packet_max ||
            body_len - same_len > limits->payload_max ||
            memcmp(packet + header_len, same, same_len) != 0) {
            break;
        }
        size_t len = header_len + body_len;
        used += len;
        payload_bytes += body_len - same_len;
        largest = len > largest ? len : largest;
        count++;
    }
    run->packets.len += used;
    run->payload_bytes += payload_bytes;
    run->count = count;
    run->packet_max = (uint32_t)largest;
}

bool mr_run_next(const struct mr_run *run, size_t *offset, struct mr_publish *publish_out,
                 struct mr_slice *packet_out) {
    if (*offset >= run->packets.len) {
        return false;
    }
    const uint8_t *packet = run->packets.data + *offset;
    size_t body_len = 0;
    size_t header_len = header_at(packet, run->packets.len - *offset, &body_len);
    const uint8_t *same = packet + header_len;
    *packet_out = mr_slice_of(packet, header_len + body_len);
    *offset += header_len + body_len;
    *publish_out = run->first;
    publish_out->topic.data = same + 2;
    publish_out->properties_raw.data = same + run->same_len - run->first.properties_raw.len;
    publish_out->payload = mr_slice_of(same + run->same_len, body_len - run->same_len);
    return true;
}

bool mr_run_peek(struct mr_slice rest, struct mr_slice *topic_out, size_t *len_out) {
    if (rest.len == 0 || rest.data[0] >> 4 != MR_PUBLISH) {
        return false;
    }
    size_t body_len;
    size_t header_len = header_at(rest.data, rest.len, &body_len);
    if (header_len == 0 || body_len > rest.len - header_len || body_len < 2) {
        return false;
    }
    const uint8_t *body = rest.data + header_len;
    size_t topic_len = (size_t)body[0] << 8 | body[1];
    *topic_out = mr_slice_of(body + 2, topic_len);
    *len_out = header_len + body_len;
    return topic_len > 0 && topic_len <= body_len - 2;
}

struct mr_run *mr_run_copy(struct mr_buf_pool *pool, const struct mr_run *run) {
    struct mr_buf *buf = mr_buf_new(pool, sizeof(*run) + run->packets.len);
    if (buf == NULL) {
        return NULL;
    }
    struct mr_run *copy = (void *)buf->data;
    uint8_t *packets = buf->data + sizeof(*run);
    memcpy(packets, run->packets.data, run->packets.len);
    *copy = *run;
    copy->buf = buf;
    copy->packets.data = packets;
    size_t offset = 0;
    struct mr_slice packet;
    mr_run_next(copy, &offset, &copy->first, &packet);
    return copy;
}
