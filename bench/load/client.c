// One MQTT client: connects, subscribes, writes.
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

#define PACKET_HEAD_BYTES 256u
#define FILTERS_IN_PACKET 256u

// ------------------------------------------------------------------------ output

uint8_t *client_reserve(struct client *client, size_t bytes) {
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

// Returns what is left, or SIZE_MAX if the connection is broken.
static size_t send_some(struct client *client, const uint8_t *data, size_t len) {
    while (len > 0 && !client->blocked) {
        ssize_t n = send(client->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            client->blocked = errno == EAGAIN;
            if (!client->blocked && errno != EINTR) {
                return SIZE_MAX;
            }
            continue;
        }
        data += n;
        len -= (size_t)n;
    }
    return len;
}

bool client_write(struct client *client) {
    client->blocked = false;
    if (client->direct_left > 0) {
        size_t left = send_some(client, client->packet + client->packet_len - client->direct_left,
                                client->direct_left);
        if (left == SIZE_MAX) {
            return false;
        }
        client->direct_left = left;
    }
    if (!client->blocked && client->out_begin < client->out_len) {
        size_t left =
            send_some(client, client->out + client->out_begin, client->out_len - client->out_begin);
        if (left == SIZE_MAX) {
            return false;
        }
        client->out_begin = client->out_len - left;
        if (left == 0) {
            client->out_begin = client->out_len = 0;
        }
    }
    return true;
}

// ------------------------------------------------------------------------ packets

static void put_connect(struct load *load, struct client *client) {
    char id[64];
    int len = snprintf(id, sizeof(id), "load-%c-%u-%d", client->publisher ? 'p' : 's',
                       client->index, (int)getpid());
    struct mr_connect connect = {
        .version = (enum mr_version)load->options.version,
        .clean_start = true,
        .client_id = mr_slice_of(id, (size_t)len),
    };
    uint8_t *room = client_reserve(client, PACKET_HEAD_BYTES);
    client->out_len += mr_connect_encode(&connect, room, PACKET_HEAD_BYTES);
}

static size_t put_entry(const struct load *load, const char *filter, uint8_t *out, size_t bytes) {
    struct mr_subscription_options options = {.qos = load->options.qos};
    return mr_subscribe_encode_entry((enum mr_version)load->options.version, mr_slice_str(filter),
                                     &options, out, bytes);
}

// One packet: the one filter, or the next of many.
void client_put_subscribe(struct load *load, struct client *client) {
    static uint8_t entries[FILTERS_IN_PACKET * (TOPIC_BYTES + 3)];
    char filter[TOPIC_BYTES];
    size_t len = 0;
    if (load->options.shape != SHAPE_WILDCARD) {
        filter_of(load, client->index, filter);
        len = put_entry(load, filter, entries, sizeof(entries));
    }
    uint32_t number = client->filters_next;
    for (size_t i = 0; load->options.shape == SHAPE_WILDCARD && i < FILTERS_IN_PACKET; i++) {
        number = filter_next(load, client->index, number);
        if (number == load->options.topics) {
            break;
        }
        filter_numbered(load, number, filter);
        len += put_entry(load, filter, entries + len, sizeof(entries) - len);
        number++;
    }
    client->filters_next = number;
    struct mr_subscribe subscribe = {.packet_id = 1, .entries = mr_slice_of(entries, len)};
    uint8_t *room = client_reserve(client, PACKET_HEAD_BYTES + len);
    client->out_len += mr_subscribe_encode((enum mr_version)load->options.version, &subscribe, room,
                                           PACKET_HEAD_BYTES + len);
}

void client_put_ping(struct client *client) {
    uint8_t *room = client_reserve(client, 2);
    room[0] = MR_PINGREQ << 4;
    room[1] = 0;
    client->out_len += 2;
    client->ponged = false;
}

// ------------------------------------------------------------------------ connecting

static int connect_from(const struct load *load, uint32_t index) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(load->options.port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index % load->options.sources);
    if (fd < 0 || inet_pton(AF_INET, load->options.host, &to.sin_addr) != 1 ||
        (load->options.sources > 1 &&
         (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) != 0 ||
          bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)) ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

bool client_open(struct load *load, struct client *client) {
    client->fd = connect_from(load, client->index);
    if (client->fd < 0) {
        load->results.failed++;
        return false;
    }
    client->ready = client->blocked = false;
    client->in_len = client->in_wanted = 0;
    client->out_begin = client->out_len = client->direct_left = 0;
    client->filters_next = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = client}};
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0) {
        return false;
    }
    put_connect(load, client);
    enum shape shape = load->options.shape;
    if (!client->publisher && shape != SHAPE_IDLE && shape != SHAPE_RETAINED) {
        client_put_subscribe(load, client);
    }
    if (client->publisher && client->packet == NULL &&
        !client_make_packet(load, client, shape == SHAPE_RETAINED, false)) {
        return false;
    }
    return client_write(client);
}

void client_close(struct client *client) {
    if (client->fd >= 0) {
        close(client->fd);
        client->fd = -1;
    }
}

void client_leave(struct client *client) {
    static const uint8_t disconnect[] = {MR_DISCONNECT << 4, 0};
    if (client->fd >= 0) {
        (void)!send(client->fd, disconnect, sizeof(disconnect), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    client_close(client);
}
