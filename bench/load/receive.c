// What a client makes of the bytes that come.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench/load/load.h"
#include "codec/codec.h"

#define READ_BYTES (256u << 10)
// Partial packets above this are completed where they are, without copying them again.
#define LARGE_BYTES (32u << 10)

static void put_ack(struct client *client, uint8_t type, const uint8_t *packet_id) {
    uint8_t *room = client_reserve(client, 4);
    room[0] = type;
    room[1] = 2;
    room[2] = packet_id[0];
    room[3] = packet_id[1];
    client->out_len += 4;
}

static void check_sequence(struct load *load, struct client *client, uint32_t publisher,
                           uint32_t sequence) {
    uint32_t *expected = &client->expected[publisher];
    if (MR_LIKELY(sequence == *expected)) {
        (*expected)++;
    } else if (sequence > *expected) {
        load->results.lost += sequence - *expected;
        *expected = sequence + 1;
    } else if (sequence + 1 == *expected) {
        load->results.duplicated++;
    } else {
        load->results.reordered++;
    }
}

// Retained: everyone gets each message once a round, in any order.
static bool check_retained(struct load *load, struct client *client, uint32_t number) {
    uint64_t bit = 1ull << number % 64;
    if (number >= load->options.topics) {
        return false;
    }
    if (client->got[number / 64] & bit) {
        load->results.duplicated++;
        return true;
    }
    client->got[number / 64] |= bit;
    client->got_count++;
    load->results.delivered++;
    if (client->got_count == load->options.topics) {
        load->results.rounds += load->measuring;
        if (load->measuring) {
            histogram_add(&load->results.latency, load->now_ns - client->round_ns);
        }
        client->got_count = 0;
        memset(client->got, 0, (load->options.topics / 64 + 1) * sizeof(uint64_t));
        client->round_ns = 0;
        if (load->running) {
            client->round_ns = load->now_ns;
            client_put_subscribe(load, client);
        }
    }
    return true;
}

static bool on_publish(struct load *load, struct client *client, uint8_t flags, const uint8_t *body,
                       size_t len) {
    size_t at = 2u + ((size_t)body[0] << 8 | body[1]);
    uint8_t qos = flags >> 1 & 3;
    if (qos > 0) {
        put_ack(client, qos == 1 ? 0x40 : 0x50, body + at);
        at += 2;
    }
    if (load->options.version == 5) {
        at += 1u + body[at];  // Ours have fewer than 128 bytes of properties.
    }
    if (at + STAMP_BYTES > len) {
        return false;
    }
    struct stamp stamp;
    memcpy(&stamp, body + at, sizeof(stamp));
    if (stamp.publisher >= load->options.publishers) {
        return false;
    }
    if (load->options.shape == SHAPE_RETAINED) {
        return check_retained(load, client, stamp.sequence);
    }
    check_sequence(load, client, stamp.publisher, stamp.sequence);
    struct client *publisher = &load->clients[load->options.subscribers + stamp.publisher];
    publisher->delivered++;
    load->results.delivered++;
    if (load->options.shape != SHAPE_FAN_OUT) {
        client_mark_dirty(load, publisher);
    }
    if (load->measuring) {
        histogram_add(&load->results.latency,
                      load->now_ns > stamp.time_ns ? load->now_ns - stamp.time_ns : 0);
    }
    return true;
}

static bool on_suback(struct load *load, struct client *client, const uint8_t *body, size_t len) {
    size_t at = load->options.version == 5 ? 3u + body[2] : 2u;
    for (; at < len; at++) {
        if (body[at] >= 0x80) {
            fprintf(stderr, "load: a subscription was refused with 0x%02x\n", body[at]);
            return false;
        }
    }
    if (load->options.shape == SHAPE_WILDCARD &&
        filter_next(load, client->index, client->filters_next) < load->options.topics) {
        client_put_subscribe(load, client);
    } else {
        client->ready = true;
    }
    return true;
}

static bool on_packet(struct load *load, struct client *client, uint8_t first, const uint8_t *body,
                      size_t len) {
    switch (first >> 4) {
        case MR_PUBLISH:
            return on_publish(load, client, first & 15, body, len);
        case MR_CONNACK:
            load->results.connects++;
            client->ready = client->publisher || load->options.shape == SHAPE_IDLE ||
                            load->options.shape == SHAPE_RETAINED;
            return body[1] == 0;
        case MR_SUBACK:
            return on_suback(load, client, body, len);
        case MR_PUBACK:
        case MR_PUBCOMP:
            client->acked++;
            client_mark_dirty(load, client);
            return true;
        case MR_PUBREC:
            put_ack(client, 0x62, body);
            return true;
        case MR_PUBREL:
            put_ack(client, 0x70, body);
            return true;
        case MR_PINGRESP:
            client->ponged = true;
            return true;
        default:
            return false;
    }
}

// Handles complete packets; returns how many bytes they took, or SIZE_MAX. `*wanted_out` is
// the length of the packet that isn't complete, 0 if unknown.
static size_t take_packets(struct load *load, struct client *client, const uint8_t *data,
                           size_t len, size_t *wanted_out) {
    size_t at = 0;
    *wanted_out = 0;
    while (len - at >= 2) {
        size_t body = 0;
        size_t head = 1;
        while (head < 5 && at + head < len) {
            uint8_t byte = data[at + head];
            body |= (size_t)(byte & 0x7f) << (7 * (head - 1));
            head++;
            if ((byte & 0x80) == 0) {
                break;
            }
        }
        if ((data[at + head - 1] & 0x80) != 0) {
            break;
        }
        if (len - at < head + body) {
            *wanted_out = head + body;
            break;
        }
        if (!on_packet(load, client, data[at], data + at + head, body)) {
            return SIZE_MAX;
        }
        at += head + body;
    }
    return at;
}

static void keep_rest(struct client *client, const uint8_t *rest, size_t len, size_t wanted) {
    size_t needed = wanted > len ? wanted : len;
    if (needed > client->in_capacity) {
        client->in = realloc(client->in, needed * 2);
        if (client->in == NULL) {
            abort();
        }
        client->in_capacity = needed * 2;
    }
    if (len > 0) {
        memmove(client->in, rest, len);
    }
    client->in_len = len;
    client->in_wanted = wanted >= LARGE_BYTES ? wanted : 0;
}

// The rest of a large packet, read to where its beginning is.
// Returns what recv() does; -1 with errno EPROTO if the packet is bad.
static ssize_t read_large(struct load *load, struct client *client) {
    ssize_t n = recv(client->fd, client->in + client->in_len, client->in_wanted - client->in_len,
                     MSG_DONTWAIT);
    if (n > 0) {
        load->now_ns = clock_ns();
        client->in_len += (size_t)n;
    }
    if (n > 0 && client->in_len == client->in_wanted) {
        size_t wanted;
        if (take_packets(load, client, client->in, client->in_len, &wanted) != client->in_len) {
            errno = EPROTO;
            return -1;
        }
        client->in_len = client->in_wanted = 0;
    }
    return n;
}

// Anything, read to one large room for all, behind the client's rest.
static ssize_t read_packets(struct load *load, struct client *client) {
    static uint8_t room[LARGE_BYTES + READ_BYTES];
    if (client->in_len > 0) {
        memcpy(room, client->in, client->in_len);
    }
    ssize_t n = recv(client->fd, room + client->in_len, READ_BYTES, MSG_DONTWAIT);
    if (n <= 0) {
        return n;
    }
    load->now_ns = clock_ns();
    size_t len = client->in_len + (size_t)n;
    size_t wanted;
    size_t taken = take_packets(load, client, room, len, &wanted);
    if (taken == SIZE_MAX) {
        errno = EPROTO;
        return -1;
    }
    keep_rest(client, room + taken, len - taken, wanted);
    return n;
}

bool client_read(struct load *load, struct client *client) {
    for (;;) {
        bool large = client->in_wanted > 0;
        ssize_t n = large ? read_large(load, client) : read_packets(load, client);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        if (!large && (size_t)n < READ_BYTES && client->in_wanted == 0) {
            return true;  // Edge-triggered, but a short read has emptied the socket.
        }
    }
}
