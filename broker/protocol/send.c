// Packets of the broker's own, written to a connection's output.
#include "broker/protocol/client.h"

#define SMALL_PACKET_BYTES 16u
// A reason string is for people; longer ones are left out.
#define REASON_STRING_BYTES_MAX 200u

// Writes what `encode` made of up to `bytes_max` bytes. `len` 0 means that it didn't fit.
static bool finish(struct mr_client *client, size_t len) {
    if (len == 0 || len > client->link.packet_bytes_max) {
        mr_chain_commit(client->link.out, 0);
        return false;
    }
    mr_chain_commit(client->link.out, len);
    mr_count(&mr_client_counters(client)->packets_sent);
    mr_stream_flush(&client->stream);
    return true;
}

static uint8_t *reserve(struct mr_client *client, size_t bytes) {
    uint8_t *room = mr_chain_reserve(client->link.out, client->protocol->router->env.pool, bytes);
    if (room == NULL) {
        client->link.failed = MR_LINK_NO_MEMORY;
        mr_client_add_work(client, MR_WORK_FAILED);
    }
    return room;
}

static void set_reason_string(struct mr_properties *properties, const char *what) {
    if (what != NULL) {
        properties->present |= MR_PROPERTY_BIT(MR_PROPERTY_REASON_STRING);
        properties->reason_string = mr_slice_str(what);
    }
}

bool mr_send_connack(struct mr_client *client, const struct mr_connack *connack) {
    // Fixed fields and numeric properties, and the strings.
    size_t bytes_max = 128 + connack->properties.assigned_client_id.len +
                       connack->properties.reason_string.len +
                       connack->properties.response_information.len;
    uint8_t *room = reserve(client, bytes_max);
    if (room == NULL) {
        return false;
    }
    enum mr_version version = (enum mr_version)client->link.version;
    size_t len = mr_connack_encode(version, connack, room, bytes_max);
    if (len > client->link.packet_bytes_max) {
        // The code matters more than the words for it [MQTT-3.2.2-19].
        struct mr_connack silent = *connack;
        silent.properties.present &= ~MR_PROPERTY_BIT(MR_PROPERTY_REASON_STRING);
        len = mr_connack_encode(version, &silent, room, bytes_max);
    }
    return finish(client, len);
}

bool mr_send_ack(struct mr_client *client, enum mr_packet_type type, uint16_t packet_id,
                 enum mr_reason reason) {
    uint8_t *room = reserve(client, SMALL_PACKET_BYTES);
    struct mr_ack ack;
    ack.packet_id = packet_id;
    ack.reason = reason;
    ack.properties.present = 0;
    ack.properties.raw = mr_slice_of(NULL, 0);
    return room != NULL && finish(client, mr_ack_encode((enum mr_version)client->link.version, type,
                                                        &ack, room, SMALL_PACKET_BYTES));
}

bool mr_send_suback(struct mr_client *client, enum mr_packet_type type, uint16_t packet_id,
                    struct mr_slice codes) {
    size_t bytes_max = SMALL_PACKET_BYTES + codes.len;
    uint8_t *room = reserve(client, bytes_max);
    struct mr_suback suback = {.packet_id = packet_id, .codes = codes};
    return room != NULL && finish(client, mr_suback_encode((enum mr_version)client->link.version,
                                                           type, &suback, room, bytes_max));
}

bool mr_send_pingresp(struct mr_client *client) {
    uint8_t *room = reserve(client, SMALL_PACKET_BYTES);
    return room != NULL && finish(client, mr_ping_encode(MR_PINGRESP, room, SMALL_PACKET_BYTES));
}

bool mr_send_disconnect(struct mr_client *client, enum mr_reason reason, const char *what) {
    size_t bytes_max = SMALL_PACKET_BYTES + 8 + REASON_STRING_BYTES_MAX;
    struct mr_disconnect disconnect = {.reason = reason};
    if (what != NULL && strlen(what) <= REASON_STRING_BYTES_MAX) {
        set_reason_string(&disconnect.properties, what);
    }
    uint8_t *room = reserve(client, bytes_max);
    if (room == NULL) {
        return false;
    }
    enum mr_version version = (enum mr_version)client->link.version;
    size_t len = mr_disconnect_encode(version, &disconnect, room, bytes_max);
    if (len > client->link.packet_bytes_max) {
        // The reason matters more than the words for it.
        disconnect.properties.present = 0;
        len = mr_disconnect_encode(version, &disconnect, room, bytes_max);
    }
    return finish(client, len);
}
