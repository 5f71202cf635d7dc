// Publishers: what they may send, when, and what it looks like.
#include <stdlib.h>

#include "bench/load/load.h"
#include "codec/codec.h"

#define WRITE_BATCH_BYTES (64u << 10)
#define PACKET_HEAD_BYTES 256u
// Packets above this are sent from where they are, one by one.
#define DIRECT_BYTES (16u << 10)
#define TOPIC_DIGITS_TAIL 9u  // "ddd/ddd/v".
#define PATIENCE_S 60.0

void client_mark_dirty(struct load *load, struct client *client) {
    if (!client->dirty && client->publisher) {
        client->dirty = true;
        load->dirty[load->dirty_count++] = client;
    }
}

// The packet of which every message is a copy, with identifier, topic and stamp patched in.
bool client_make_packet(struct load *load, struct client *client, bool retain, bool empty) {
    char topic[TOPIC_BYTES];
    topic_of(load, client->index, topic);
    size_t payload_bytes = empty ? 0 : load->options.payload_bytes;
    size_t bytes_max = PACKET_HEAD_BYTES + payload_bytes;
    uint8_t *payload = calloc(1, bytes_max);
    uint8_t *packet = malloc(bytes_max);
    if (payload == NULL || packet == NULL) {
        free(payload);
        free(packet);
        return false;
    }
    struct mr_publish publish = {
        .topic = mr_slice_str(topic),
        .payload = mr_slice_of(payload, payload_bytes),
        .qos = load->options.qos,
        .packet_id = load->options.qos > 0 ? 1 : 0,
        .retain = retain,
    };
    free(client->packet);
    client->packet = packet;
    client->packet_len = mr_publish_encode((enum mr_version)load->options.version, &publish, NULL,
                                           0, packet, bytes_max);
    client->stamp_offset = client->packet_len - payload_bytes;
    size_t head = 1;
    while (packet[head] & 0x80) {
        head++;
    }
    size_t topic_end = head + 1 + 2 + strlen(topic);
    client->packet_id_offset = topic_end;
    client->topic_offset = topic_end - TOPIC_DIGITS_TAIL;
    // Publishers begin at different places of the sequence of topics.
    client->topic_next = client->index * 7919u;
    free(payload);
    return true;
}

// --------------------------------------------------------------------- one publisher

// Nobody may be further behind than the window, or a queue somewhere overflows.
static uint64_t arrived_of(const struct load *load, const struct client *client) {
    if (load->fan_out == 1) {
        return client->delivered;
    }
    uint64_t slowest = UINT64_MAX;
    for (uint32_t i = 0; i < load->options.subscribers; i++) {
        uint64_t got = load->clients[i].expected[client->index];
        slowest = got < slowest ? got : slowest;
    }
    return slowest;
}

static uint64_t credit_of(const struct load *load, const struct client *client) {
    uint64_t until = arrived_of(load, client) + load->options.window;
    if (load->options.qos > 0 && client->acked + load->options.window < until) {
        until = client->acked + load->options.window;
    }
    if (load->sent_each_max < until) {
        until = load->sent_each_max;
    }
    if (load->options.rate > 0 && client->due < until) {
        until = client->due;
    }
    return until > client->sent ? until - client->sent : 0;
}

// When the message was due: so that a stall counts for all that it delayed.
static uint64_t time_of(struct load *load, const struct client *client) {
    if (load->options.rate <= 0) {
        return load->now_ns;
    }
    uint64_t number = client->sent * load->options.publishers + client->index;
    uint64_t due_ns = load->started_ns + (uint64_t)((double)number * load->interval_ns);
    if (load->measuring) {
        histogram_add(&load->results.lateness, load->now_ns > due_ns ? load->now_ns - due_ns : 0);
    }
    return due_ns;
}

// Makes `packet` the client's next message.
static void patch(struct load *load, struct client *client, uint8_t *packet) {
    struct stamp stamp = {client->index, (uint32_t)client->sent, time_of(load, client)};
    if (load->options.shape == SHAPE_WILDCARD) {
        uint32_t number = load->topics[client->topic_next++ % TOPIC_DRAWS];
        topic_put_digits(packet + client->topic_offset, number);
        stamp.sequence = client->sent_to[subscriber_of(load, number)]++;
    }
    memcpy(packet + client->stamp_offset, &stamp, sizeof(stamp));
    if (load->options.qos > 0) {
        client->packet_id = client->packet_id == UINT16_MAX ? 1 : client->packet_id + 1;
        packet[client->packet_id_offset] = (uint8_t)(client->packet_id >> 8);
        packet[client->packet_id_offset + 1] = (uint8_t)client->packet_id;
    }
    client->sent++;
    load->results.published++;
}

static void send_direct(struct load *load, struct client *client, uint64_t credit) {
    bool open = client_write(client);  // The rest of the last one, and acknowledgements.
    while (open && credit-- > 0 && !client->blocked) {
        patch(load, client, client->packet);
        client->direct_left = client->packet_len;
        open = client_write(client);
    }
}

static void send_batched(struct load *load, struct client *client, uint64_t credit) {
    bool open = true;
    while (open && credit > 0 && !client->blocked) {
        for (; credit > 0 && client->out_len < WRITE_BATCH_BYTES; credit--) {
            uint8_t *room = client_reserve(client, client->packet_len);
            memcpy(room, client->packet, client->packet_len);
            patch(load, client, room);
            client->out_len += client->packet_len;
        }
        open = client_write(client);
    }
}

// A connection that breaks here is noticed when it is read.
static void client_publish(struct load *load, struct client *client) {
    if (client->fd < 0 || !client->ready || client->blocked) {
        return;
    }
    uint64_t credit = credit_of(load, client);
    if (credit > 0 && client->packet_len > DIRECT_BYTES) {
        send_direct(load, client, credit);
    } else if (credit > 0) {
        send_batched(load, client, credit);
    }
}

// --------------------------------------------------------------------- all publishers

void publish_all(struct load *load) {
    uint32_t count = load->dirty_count;
    load->dirty_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct client *client = load->dirty[i];
        client->dirty = false;
        client_publish(load, client);
    }
}

void publish_schedule(struct load *load) {
    load->now_ns = clock_ns();
    double elapsed_ns = (double)(load->now_ns - load->started_ns);
    uint64_t due = (uint64_t)(elapsed_ns / load->interval_ns) + 1;
    for (; load->scheduled < due; load->scheduled++) {
        uint32_t index = (uint32_t)(load->scheduled % load->options.publishers);
        struct client *client = &load->clients[load->options.subscribers + index];
        client->due++;
        client_mark_dirty(load, client);
    }
}

// ------------------------------------------------------------------------ retained

static bool wait_for(struct load *load, const struct client *client, const bool *what) {
    uint64_t until = clock_ns() + (uint64_t)(PATIENCE_S * 1e9);
    while (!*what && client->fd >= 0 && clock_ns() < until) {
        turn(load, 10);
    }
    return *what && client->fd >= 0;
}

bool publish_retained(struct load *load, bool empty) {
    struct client *client = &load->clients[load->options.subscribers];
    if (!client_make_packet(load, client, true, empty)) {
        return false;
    }
    for (uint32_t number = 0; number < load->options.topics; number++) {
        uint8_t *room = client_reserve(client, client->packet_len);
        memcpy(room, client->packet, client->packet_len);
        topic_put_digits(room + client->topic_offset, number);
        if (!empty) {
            struct stamp stamp = {0, number, 0};
            memcpy(room + client->stamp_offset, &stamp, sizeof(stamp));
            load->results.published++;
        }
        client->out_len += client->packet_len;
        while (client->out_len >= WRITE_BATCH_BYTES && client->fd >= 0) {
            if (!client_write(client)) {
                return false;
            }
            if (client->blocked) {
                turn(load, 10);
            }
        }
    }
    // What a client sends is handled in its order: the answer means that all of it is there.
    client_put_ping(client);
    return client_write(client) && wait_for(load, client, &client->ponged);
}
