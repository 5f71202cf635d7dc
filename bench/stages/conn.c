// The little of MQTT that the loads need.
#include <stdlib.h>

#include "bench/stages/count.h"
#include "bench/stages/stages.h"

#define REPLY_BYTES 64u

static bool on_connect(struct conn *conn, struct mr_slice body) {
    struct mr_connect connect;
    struct mr_decode_error error;
    uint8_t room[REPLY_BYTES];
    struct mr_connack connack = {.code = 0};
    if (conn->version != 0 || mr_connect_decode(body, &connect, &error) != MR_DECODE_DONE) {
        return false;
    }
    conn->version = (uint8_t)connect.version;
    size_t len = mr_connack_encode(connect.version, &connack, room, sizeof(room));
    conn->transport->reply(conn, room, len);
    return true;
}

static bool subscription_add(struct conn *conn, struct mr_slice filter, uint8_t qos) {
    if (conn->node_count == conn->node_capacity) {
        uint32_t capacity = conn->node_capacity * 2 + 4;
        void **nodes = realloc(conn->nodes, capacity * sizeof(void *));
        if (nodes == NULL) {
            return false;
        }
        conn->nodes = nodes;
        conn->node_capacity = capacity;
    }
    void *node = lookup_insert(conn->lookup, filter, conn->subscriber, qos);
    for (uint32_t i = conn->node_count; node != NULL && i-- > 0;) {
        if (conn->nodes[i] == node) {
            return true;  // Subscribed again.
        }
    }
    if (node != NULL) {
        conn->nodes[conn->node_count++] = node;
    }
    return node != NULL;
}

static bool on_subscribe(struct conn *conn, struct mr_slice body) {
    struct mr_subscribe subscribe;
    struct mr_decode_error error;
    enum mr_version version = (enum mr_version)conn->version;
    if (mr_subscribe_decode(version, body, &subscribe, &error) != MR_DECODE_DONE) {
        return false;
    }
    size_t bytes_max = REPLY_BYTES + subscribe.entry_count;
    uint8_t *codes = malloc(subscribe.entry_count);
    uint8_t *room = malloc(bytes_max);
    struct mr_slice filter;
    struct mr_subscription_options options;
    size_t count = 0;
    while (codes != NULL && mr_subscribe_next(&subscribe.entries, &filter, &options)) {
        uint8_t qos = options.qos > 1 ? 1 : options.qos;
        codes[count++] = subscription_add(conn, filter, qos) ? qos : 0x80;
    }
    bool ok = codes != NULL && room != NULL;
    if (ok) {
        struct mr_suback suback = {.packet_id = subscribe.packet_id,
                                   .codes = mr_slice_of(codes, count)};
        size_t len = mr_suback_encode(version, MR_SUBACK, &suback, room, bytes_max);
        conn->transport->reply(conn, room, len);
    }
    free(codes);
    free(room);
    return ok;
}

static bool on_publish(struct conn *conn, const struct mr_frame *frame, struct mr_slice body,
                       struct mr_buf *buf, struct mr_slice whole) {
    struct mr_publish publish;
    struct mr_decode_error error;
    enum mr_version version = (enum mr_version)conn->version;
    if (mr_publish_decode(version, frame->flags, body, &publish, &error) != MR_DECODE_DONE ||
        publish.qos > 1 || publish.topic_alias != 0) {
        return false;
    }
    count(COUNT_PUBLISHED);
    if (!conn->transport->publish(conn, &publish, buf, whole)) {
        return false;
    }
    if (publish.qos == 1) {
        uint8_t puback[] = {MR_PUBACK << 4, 2, (uint8_t)(publish.packet_id >> 8),
                            (uint8_t)publish.packet_id};
        conn->transport->reply(conn, puback, sizeof(puback));
    }
    return true;
}

bool conn_on_packet(struct conn *conn, const struct mr_frame *frame, struct mr_slice body,
                    struct mr_buf *buf, struct mr_slice whole) {
    static const uint8_t pingresp[] = {MR_PINGRESP << 4, 0};
    switch (frame->type) {
        case MR_CONNECT:
            return on_connect(conn, body);
        case MR_SUBSCRIBE:
            return on_subscribe(conn, body);
        case MR_PUBLISH:
            return on_publish(conn, frame, body, buf, whole);
        case MR_PUBACK:
            return __atomic_fetch_sub(&conn->inflight, 1, __ATOMIC_RELAXED) > 0;
        case MR_PINGREQ:
            conn->transport->reply(conn, pingresp, sizeof(pingresp));
            return true;
        default:
            return false;  // DISCONNECT, and what these loads don't use.
    }
}

void conn_forget(struct conn *conn) {
    for (uint32_t i = 0; i < conn->node_count; i++) {
        lookup_remove(conn->lookup, conn->nodes[i], conn->subscriber);
    }
    conn->node_count = 0;
    free(conn->nodes);
    conn->nodes = NULL;
}

uint16_t conn_packet_id(struct conn *conn) {
    if (__atomic_add_fetch(&conn->inflight, 1, __ATOMIC_RELAXED) > INFLIGHT_MAX) {
        return 0;
    }
    conn->packet_id = conn->packet_id == UINT16_MAX ? 1 : (uint16_t)(conn->packet_id + 1);
    return conn->packet_id;
}
