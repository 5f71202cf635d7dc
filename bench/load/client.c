// One MQTT client: connects, subscribes, then publishes or receives.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "codec/codec.h"

#define READ_BYTES (256u << 10)
#define WRITE_BATCH_BYTES (64u << 10)
#define PACKET_HEAD_BYTES 256u

// ------------------------------------------------------------------------ output

static uint8_t *out_reserve(struct client *client, size_t bytes) {
    if (client->out_begin > 0 && client->out_begin == client->out_len) {
        client->out_begin = client->out_len = 0;
    }
    if (client->out_len + bytes > client->out_capacity) {
        size_t capacity = (client->out_len + bytes) * 2;
        client->out = realloc(client->out, capacity);
        if (client->out == NULL) {
            abort();
        }
        client->out_capacity = capacity;
    }
    return client->out + client->out_len;
}

bool client_write(struct load *load, struct client *client) {
    (void)load;
    while (client->out_begin < client->out_len) {
        ssize_t n = send(client->fd, client->out + client->out_begin,
                         client->out_len - client->out_begin, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            client->blocked = errno == EAGAIN;
            return client->blocked || errno == EINTR;
        }
        client->out_begin += (size_t)n;
    }
    client->blocked = false;
    client->out_begin = client->out_len = 0;
    return true;
}

// ------------------------------------------------------------------------ connecting

static void topic_of(const struct load *load, uint32_t index, char *out, size_t out_bytes) {
    snprintf(out, out_bytes, "load/%u/value", load->options.shape == SHAPE_FAN_OUT ? 0 : index);
}

static void filter_of(const struct load *load, uint32_t index, char *out, size_t out_bytes) {
    if (load->options.shape == SHAPE_FAN_IN) {
        snprintf(out, out_bytes, "load/+/value");
    } else {
        topic_of(load, index, out, out_bytes);
    }
}

static void put_connect(struct load *load, struct client *client) {
    char id[64];
    int len = snprintf(id, sizeof(id), "load-%c-%u-%d", client->publisher ? 'p' : 's',
                       client->index, (int)getpid());
    struct mr_connect connect = {
        .version = (enum mr_version)load->options.version,
        .clean_start = true,
        .client_id = mr_slice_of(id, (size_t)len),
    };
    uint8_t *room = out_reserve(client, PACKET_HEAD_BYTES);
    client->out_len += mr_connect_encode(&connect, room, PACKET_HEAD_BYTES);
}

static void put_subscribe(struct load *load, struct client *client) {
    char filter[64];
    uint8_t entry[128];
    filter_of(load, client->index, filter, sizeof(filter));
    enum mr_version version = (enum mr_version)load->options.version;
    struct mr_subscription_options options = {.qos = load->options.qos};
    size_t len =
        mr_subscribe_encode_entry(version, mr_slice_str(filter), &options, entry, sizeof(entry));
    struct mr_subscribe subscribe = {.packet_id = 1, .entries = mr_slice_of(entry, len)};
    uint8_t *room = out_reserve(client, PACKET_HEAD_BYTES);
    client->out_len += mr_subscribe_encode(version, &subscribe, room, PACKET_HEAD_BYTES);
}

// The packet of which every message is a copy, with identifier and stamp patched in.
static void make_packet(struct load *load, struct client *client) {
    char topic[64];
    topic_of(load, client->index, topic, sizeof(topic));
    uint8_t *payload = calloc(1, load->options.payload_bytes);
    size_t bytes_max = PACKET_HEAD_BYTES + load->options.payload_bytes;
    struct mr_publish publish = {
        .topic = mr_slice_str(topic),
        .payload = mr_slice_of(payload, load->options.payload_bytes),
        .qos = load->options.qos,
        .packet_id = load->options.qos > 0 ? 1 : 0,
    };
    client->packet = malloc(bytes_max);
    client->packet_len = mr_publish_encode((enum mr_version)load->options.version, &publish, NULL,
                                           0, client->packet, bytes_max);
    client->stamp_offset = client->packet_len - load->options.payload_bytes;
    size_t head = 1;
    while (client->packet[head] & 0x80) {
        head++;
    }
    client->packet_id_offset = head + 1 + 2 + strlen(topic);
    free(payload);
}

bool client_open(struct load *load, struct client *client) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(load->options.port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + client->index % load->options.sources);
    if (fd < 0 || inet_pton(AF_INET, load->options.host, &to.sin_addr) != 1 ||
        (load->options.sources > 1 &&
         (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) != 0 ||
          bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)) ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        load->failed++;
        return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    client->fd = fd;
    client->ready = false;
    client->in_len = 0;
    client->out_begin = client->out_len = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = client}};
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return false;
    }
    put_connect(load, client);
    if (!client->publisher && load->options.shape != SHAPE_IDLE) {
        put_subscribe(load, client);
    }
    if (client->publisher && client->packet == NULL) {
        make_packet(load, client);
    }
    return client_write(load, client);
}

void client_close(struct client *client) {
    if (client->fd >= 0) {
        close(client->fd);
        client->fd = -1;
    }
}

// ------------------------------------------------------------------------ receiving

static void put_ack(struct client *client, uint8_t type, const uint8_t *packet_id) {
    uint8_t *room = out_reserve(client, 4);
    room[0] = type;
    room[1] = 2;
    room[2] = packet_id[0];
    room[3] = packet_id[1];
    client->out_len += 4;
}

static void check_sequence(struct load *load, struct client *client, uint32_t publisher,
                           uint32_t sequence) {
    uint32_t *expected = &client->expected[publisher];
    if (sequence == *expected) {
        (*expected)++;
    } else if (sequence > *expected) {
        load->lost += sequence - *expected;
        *expected = sequence + 1;
    } else if (sequence + 1 == *expected) {
        load->duplicated++;
    } else {
        load->reordered++;
    }
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
    check_sequence(load, client, stamp.publisher, stamp.sequence);
    load->clients[load->options.subscribers + stamp.publisher].delivered++;
    load->delivered++;
    if (load->measuring) {
        histogram_add(&load->latency,
                      load->now_ns > stamp.time_ns ? load->now_ns - stamp.time_ns : 0);
    }
    return true;
}

static bool on_packet(struct load *load, struct client *client, uint8_t first, const uint8_t *body,
                      size_t len) {
    switch (first >> 4) {
        case MR_PUBLISH:
            return on_publish(load, client, first & 15, body, len);
        case MR_CONNACK:
            load->connects++;
            client->ready = client->publisher || load->options.shape == SHAPE_IDLE;
            return body[1] == 0;
        case MR_SUBACK:
            client->ready = true;
            return true;
        case MR_PUBACK:
        case MR_PUBCOMP:
            client->acked++;
            return true;
        case MR_PUBREC:
            put_ack(client, 0x62, body);
            return true;
        case MR_PUBREL:
            put_ack(client, 0x70, body);
            return true;
        default:
            return (first >> 4) == MR_PINGRESP;
    }
}

// Handles complete packets; returns how many bytes they took, or SIZE_MAX.
static size_t take_packets(struct load *load, struct client *client, const uint8_t *data,
                           size_t len) {
    size_t at = 0;
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
        if ((data[at + head - 1] & 0x80) != 0 || len - at < head + body) {
            break;
        }
        if (!on_packet(load, client, data[at], data + at + head, body)) {
            return SIZE_MAX;
        }
        at += head + body;
    }
    return at;
}

static void keep_rest(struct client *client, const uint8_t *rest, size_t len) {
    if (len > client->in_capacity) {
        client->in = realloc(client->in, len * 2);
        if (client->in == NULL) {
            abort();
        }
        client->in_capacity = len * 2;
    }
    if (client->in != NULL) {
        memmove(client->in, rest, len);
    }
    client->in_len = len;
}

bool client_read(struct load *load, struct client *client) {
    // Rests of all clients are put in front of what is read, in one large room for all.
    static uint8_t *room;
    static size_t room_bytes;
    for (;;) {
        size_t wanted = client->in_len + READ_BYTES;
        if (room_bytes < wanted) {
            room = realloc(room, wanted);
            room_bytes = wanted;
        }
        if (room == NULL) {
            abort();
        }
        if (client->in != NULL) {
            memcpy(room, client->in, client->in_len);
        }
        ssize_t n = recv(client->fd, room + client->in_len, READ_BYTES, MSG_DONTWAIT);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        size_t len = client->in_len + (size_t)n;
        size_t taken = take_packets(load, client, room, len);
        if (taken == SIZE_MAX) {
            return false;
        }
        keep_rest(client, room + taken, len - taken);
        if ((size_t)n < READ_BYTES) {
            return true;
        }
    }
}

// ------------------------------------------------------------------------ publishing

bool client_has_credit(const struct load *load, const struct client *client) {
    uint64_t window = load->options.window;
    // Nobody may be further behind than the window, or a queue somewhere overflows.
    uint64_t arrived =
        load->options.shape == SHAPE_FAN_OUT ? load->slowest : client->delivered / load->fan_out;
    if (client->sent >= arrived + window) {
        return false;
    }
    if (load->options.messages_max != 0 &&
        client->sent >= load->options.messages_max / load->options.publishers) {
        return false;
    }
    if (load->options.rate > 0 && client->sent >= client->due) {
        return false;
    }
    return load->options.qos == 0 || client->sent < client->acked + window;
}

// When the message should have been sent: so that a stall counts for all that it delayed.
static uint64_t time_of(const struct load *load, const struct client *client) {
    if (load->options.rate <= 0) {
        return load->now_ns;
    }
    double interval_ns = 1e9 * load->options.publishers / load->options.rate;
    return load->started_ns + (uint64_t)((double)client->sent * interval_ns);
}

void client_publish(struct load *load, struct client *client) {
    while (client->ready && !client->blocked && client_has_credit(load, client)) {
        while (client->out_len < WRITE_BATCH_BYTES && client_has_credit(load, client)) {
            uint8_t *room = out_reserve(client, client->packet_len);
            memcpy(room, client->packet, client->packet_len);
            struct stamp stamp = {client->index, (uint32_t)client->sent, time_of(load, client)};
            memcpy(room + client->stamp_offset, &stamp, sizeof(stamp));
            if (load->options.qos > 0) {
                client->packet_id = client->packet_id == UINT16_MAX ? 1 : client->packet_id + 1;
                room[client->packet_id_offset] = (uint8_t)(client->packet_id >> 8);
                room[client->packet_id_offset + 1] = (uint8_t)client->packet_id;
            }
            client->out_len += client->packet_len;
            client->sent++;
            load->published++;
        }
        if (!client_write(load, client)) {
            return;
        }
    }
}
