// Bytes from a client: taken apart into packets, each given to its handler.
#include "broker/limits.h"
#include "broker/protocol/client.h"

static enum mr_handled dispatch(struct mr_client *client, const struct mr_frame *frame,
                                struct mr_arrival *arrival) {
    struct mr_slice body = arrival->body;
    switch ((enum mr_packet_type)frame->type) {
        case MR_PUBLISH:
            return mr_handle_publish(client, frame->flags, arrival);
        case MR_PUBACK:
        case MR_PUBREC:
        case MR_PUBREL:
        case MR_PUBCOMP:
            return mr_handle_ack(client, (enum mr_packet_type)frame->type, body);
        case MR_SUBSCRIBE:
            return mr_handle_subscribe(client, body);
        case MR_UNSUBSCRIBE:
            return mr_handle_unsubscribe(client, body);
        case MR_PINGREQ:
            return mr_handle_pingreq(client, body);
        case MR_DISCONNECT:
            return mr_handle_disconnect(client, body);
        case MR_AUTH:
            return mr_handle_auth(client, body);
        case MR_CONNECT:
            if (client->state != MR_CLIENT_CONNECTED) {
                return mr_handle_connect(client, body);
            }
            // A second CONNECT [MQTT-3.1.0-2].
            mr_count(&mr_client_counters(client)->protocol_errors);
            return mr_client_close(client, MR_REASON_PROTOCOL_ERROR, "second CONNECT");
        default:
            // CONNACK, SUBACK, UNSUBACK and PINGRESP are the server's.
            mr_count(&mr_client_counters(client)->protocol_errors);
            return mr_client_close(client, MR_REASON_PROTOCOL_ERROR,
                                   "packet that only a server sends");
    }
}

static uint32_t packet_bytes_max(const struct mr_client *client) {
    uint32_t configured = client->protocol->config->packet_bytes_max;
    if (client->state == MR_CLIENT_CONNECTED || configured < MR_CONNECT_PACKET_BYTES_MAX) {
        return configured;
    }
    return MR_CONNECT_PACKET_BYTES_MAX;
}

// Handles the first packet of `data`, and those behind it that can be handled with it.
// HANDLED_LATER also if it isn't complete: `*need` is then what it takes.
static enum mr_handled next_packet(struct mr_client *client, struct mr_buf *buf,
                                   struct mr_slice data, size_t *need, size_t *len_out) {
    struct mr_frame frame;
    struct mr_decode_error error;
    int version = client->state == MR_CLIENT_CONNECTED ? client->link.version : 0;
    enum mr_decode_status status =
        mr_frame_decode(data, version, packet_bytes_max(client), &frame, &error);
    if (MR_UNLIKELY(status == MR_DECODE_BAD)) {
        return client->state == MR_CLIENT_CONNECTED ? mr_client_refuse(client, &error)
                                                    : mr_client_drop(client);
    }
    if (status == MR_DECODE_MORE) {
        *need = data.len + 1;
        return MR_HANDLED_LATER;
    }
    size_t len = frame.header_len + (size_t)frame.body_len;
    if (data.len < len) {
        *need = len;
        return MR_HANDLED_LATER;
    }
    struct mr_arrival arrival = {
        .buf = buf,
        .packet = mr_slice_of(data.data, len),
        .body = mr_slice_of(data.data + frame.header_len, frame.body_len),
        .following = mr_slice_of(data.data + len, data.len - len),
        .handled_bytes = len,
        .packet_count = 1,
    };
    enum mr_handled handled = dispatch(client, &frame, &arrival);
    if (MR_LIKELY(handled != MR_HANDLED_LATER)) {
        mr_count_add(&mr_client_counters(client)->packets_received, arrival.packet_count);
    }
    *len_out = arrival.handled_bytes;
    return handled;
}

size_t mr_client_on_recv(struct mr_stream *stream, struct mr_buf *buf, struct mr_slice data,
                         size_t *need) {
    struct mr_client *client = MR_CONTAINER_OF(stream, struct mr_client, stream);
    mr_router_begin(client->protocol->router);
    if (MR_UNLIKELY(mr_router_has_arrivals(client->protocol->router))) {
        mr_router_take(client->protocol->router);
        if (client->state == MR_CLIENT_CLOSING) {
            return data.len;
        }
    }
    client->last_recv_ms = (uint32_t)mr_loop_now_ms(client->protocol->loop);
    size_t consumed = 0;
    while (consumed < data.len && client->pause == 0) {
        size_t len = 0;
        enum mr_handled handled = next_packet(
            client, buf, mr_slice_of(data.data + consumed, data.len - consumed), need, &len);
        if (handled == MR_HANDLED_LATER) {
            break;
        }
        if (handled == MR_HANDLED_CLOSE) {
            return data.len;
        }
        consumed += len;
    }
    if (client->pump_due && client->state == MR_CLIENT_CONNECTED) {
        mr_client_pump(client);
    }
    return consumed;
}
