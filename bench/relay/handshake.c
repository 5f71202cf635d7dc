// Finds out who is who, with canned answers.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/relay/relay.h"
#include "codec/codec.h"
#include "codec/topic.h"

#define EVENTS_MAX 64

static bool answer(const struct conn *conn, const uint8_t *data, size_t len) {
    return send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

// ------------------------------------------------------------------------ groups

static struct group *group_new(struct handshake *handshake, struct mr_slice filter) {
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL || handshake->group_count == GROUPS_MAX) {
        free(group);
        return NULL;
    }
    group->filter = strndup((const char *)filter.data, filter.len);
    if (group->filter == NULL) {
        free(group);
        return NULL;
    }
    conn_list_init(&group->stalled);
    group->worker = &handshake->workers[handshake->group_count % handshake->worker_count];
    handshake->group_count++;
    group->next = handshake->groups;
    handshake->groups = group;
    return group;
}

static struct group *group_of_filter(struct handshake *handshake, struct mr_slice filter) {
    struct group *found = handshake->groups;
    while (found != NULL && !mr_slice_eq(mr_slice_str(found->filter), filter)) {
        found = found->next;
    }
    found = found != NULL ? found : group_new(handshake, filter);
    if (found != NULL) {
        found->subscribed = ++handshake->subscribed;
    }
    return found;
}

// The group that was last subscribed to: older ones may be left from another load.
static struct group *group_of_topic(struct handshake *handshake, struct mr_slice topic) {
    struct group *found = NULL;
    for (struct group *group = handshake->groups; group != NULL; group = group->next) {
        if ((found == NULL || group->subscribed > found->subscribed) &&
            mr_filter_matches(mr_slice_str(group->filter), topic)) {
            found = group;
        }
    }
    return found != NULL ? found : group_new(handshake, topic);
}

// ------------------------------------------------------------------------ packets

static bool on_connect(struct conn *conn, struct mr_slice body) {
    static const uint8_t connack_v3[] = {0x20, 2, 0, 0};
    static const uint8_t connack_v5[] = {0x20, 3, 0, 0, 0};
    struct mr_connect connect;
    struct mr_decode_error error;
    if (mr_connect_decode(body, &connect, &error) != MR_DECODE_DONE) {
        return false;
    }
    conn->version = (uint8_t)connect.version;
    return conn->version == 5 ? answer(conn, connack_v5, sizeof(connack_v5))
                              : answer(conn, connack_v3, sizeof(connack_v3));
}

static bool on_subscribe(struct handshake *handshake, struct conn *conn, struct mr_slice body) {
    struct mr_subscribe subscribe;
    struct mr_subscription_options options;
    struct mr_decode_error error;
    struct mr_slice filter;
    if (mr_subscribe_decode((enum mr_version)conn->version, body, &subscribe, &error) !=
            MR_DECODE_DONE ||
        !mr_subscribe_next(&subscribe.entries, &filter, &options)) {
        return false;
    }
    uint8_t high = (uint8_t)(subscribe.packet_id >> 8);
    uint8_t low = (uint8_t)subscribe.packet_id;
    uint8_t suback_v3[] = {0x90, 3, high, low, 0};
    uint8_t suback_v5[] = {0x90, 4, high, low, 0, 0};
    conn->group = group_of_filter(handshake, filter);
    conn->role = ROLE_SUBSCRIBER;
    // The worker knows this subscriber before any publisher that connects after this answer.
    return conn->group != NULL && (conn->version == 5 ? answer(conn, suback_v5, sizeof(suback_v5))
                                                      : answer(conn, suback_v3, sizeof(suback_v3)));
}

// As soon as its topic name is there: the packet may be large.
static bool on_publish(struct handshake *handshake, struct conn *conn, struct mr_frame frame,
                       struct mr_slice topic) {
    if ((frame.flags >> 1 & 3) > 0 || !mr_topic_name_valid(topic)) {
        return false;
    }
    conn->packet_len = (size_t)frame.header_len + frame.body_len;
    conn->group = group_of_topic(handshake, topic);
    conn->role = ROLE_PUBLISHER;
    return conn->group != NULL;
}

static bool on_packet(struct handshake *handshake, struct conn *conn, struct mr_frame frame,
                      struct mr_slice body) {
    static const uint8_t pingresp[] = {0xd0, 0};
    switch (frame.type) {
        case MR_CONNECT:
            return on_connect(conn, body);
        case MR_SUBSCRIBE:
            return on_subscribe(handshake, conn, body);
        case MR_PINGREQ:
            return answer(conn, pingresp, sizeof(pingresp));
        default:
            return false;
    }
}

// Is all there that is wanted of a packet: its body, or of a PUBLISH the topic name?
static bool is_there(struct mr_slice in, struct mr_frame frame, struct mr_slice *body_out) {
    size_t needed = frame.body_len;
    const uint8_t *body = in.data + frame.header_len;
    size_t len = in.len - frame.header_len;
    if (frame.type == MR_PUBLISH) {
        if (len < 2) {
            return false;
        }
        needed = (size_t)body[0] << 8 | body[1];
        body += 2;
        len -= 2;
    }
    *body_out = mr_slice_of(body, needed);
    return len >= needed;
}

// Handles packets until the client's role is known. False: close it.
static bool on_bytes(struct handshake *handshake, struct conn *conn) {
    size_t at = 0;
    bool ok = true;
    while (ok && conn->role == ROLE_NONE) {
        struct mr_slice in = mr_slice_of(conn->rest + at, conn->rest_len - at);
        struct mr_slice body;
        struct mr_frame frame;
        struct mr_decode_error error;
        enum mr_decode_status status =
            mr_frame_decode(in, conn->version, UINT32_MAX, &frame, &error);
        if (status == MR_DECODE_BAD) {
            return false;
        }
        if (status == MR_DECODE_MORE || !is_there(in, frame, &body)) {
            break;
        }
        if (frame.type == MR_PUBLISH) {
            // What is to be forwarded begins with this packet.
            ok = on_publish(handshake, conn, frame, body);
        } else {
            ok = on_packet(handshake, conn, frame, body);
            at += (size_t)frame.header_len + frame.body_len;
        }
    }
    conn->rest_len -= at;
    memmove(conn->rest, conn->rest + at, conn->rest_len);
    if (conn->role == ROLE_SUBSCRIBER) {
        conn->rest_len = 0;
    }
    return ok;
}

// ------------------------------------------------------------------------ the thread

static void on_readable(struct handshake *handshake, struct conn *conn) {
    static uint8_t room[16384];
    // Little at a time: a publisher's further bytes stay in the socket for its worker.
    ssize_t n = recv(conn->fd, room, sizeof(room), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    bool ok = n > 0 && conn->rest_len + (size_t)n <= HANDSHAKE_BYTES_MAX;
    if (ok) {
        conn_keep(conn, room, (size_t)n);
        ok = on_bytes(handshake, conn);
    }
    if (!ok) {
        close(conn->fd);
        conn_free(conn);
    } else if (conn->role != ROLE_NONE) {
        epoll_ctl(handshake->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
        worker_give(conn->group->worker, conn);
    }
}

static void on_accept(struct handshake *handshake, int listen_fd) {
    int one = 1;
    int fd;
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll has the connections.
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *conn = calloc(1, sizeof(*conn));
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = conn}};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (conn == NULL || epoll_ctl(handshake->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
            free(conn);
            close(fd);
            continue;
        }
        conn->fd = fd;
    }
}

bool handshake_run(struct handshake *handshake, int listen_fd) {
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};
    handshake->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(handshake->epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0) {
        return false;
    }
    for (size_t i = 0; i < handshake->worker_count; i++) {
        if (!worker_start(&handshake->workers[i])) {
            return false;
        }
    }
    for (;;) {
        int count = epoll_wait(handshake->epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                on_accept(handshake, listen_fd);
            } else {
                on_readable(handshake, events[i].data.ptr);
            }
        }
    }
}
