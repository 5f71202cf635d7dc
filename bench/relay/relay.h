// The floor: what it costs to move the bytes of publishers to subscribers if nothing is
// understood about them. bench/load drives it as if it were a broker.
//
// The handshake is MQTT: CONNECT, SUBSCRIBE (its first filter) and PINGREQ get canned answers,
// until a client's role is known. A subscriber belongs to the group of its filter; with its
// first PUBLISH (QoS 0) a publisher joins the first group whose filter matches. From then on
// bytes are moved from the publishers of a group to all its subscribers, and nothing is parsed:
//
//   - epoll, edge-triggered; one recv() of up to 256 KiB for a publisher and turn;
//   - at the end of the turn one sendmsg() for each subscriber, with all that came for it;
//   - no copy but those of the kernel, unless a subscriber takes less than it was offered;
//   - a group of several publishers (fan-in) forwards whole packets: the length of the first
//     packet is taken for the length of all, and what is beyond a multiple waits. bench/load
//     sends packets of one length; other clients would be garbled.
//   - a subscriber that doesn't keep up stops the reading of its group's publishers.
//
// Threads: one for the handshakes; each worker has the groups that were given to it.
#ifndef MILLRACE_BENCH_RELAY_RELAY_H
#define MILLRACE_BENCH_RELAY_RELAY_H

#include <pthread.h>
#include <sys/uio.h>

#include "base/base.h"

#define WORKERS_MAX 64u
#define GROUPS_MAX 65536u
#define CHUNK_BYTES (256u << 10)
#define ARENA_BYTES (1u << 20)
#define GROUP_IOV_MAX 1024u
// What all subscribers of a group may be behind, together.
#define GROUP_PENDING_BYTES_MAX (64u << 20)
#define GROUP_TURN_BYTES_MIN (16u << 10)
#define HANDSHAKE_BYTES_MAX (128u << 10)

struct worker;
struct conn;

// Connections that are linked through `next`.
struct conn_list {
    struct conn *head;
    struct conn **tail;
};
void conn_list_init(struct conn_list *list);
void conn_list_push(struct conn_list *list, struct conn *conn);
struct conn *conn_list_pop(struct conn_list *list);

struct group {
    struct worker *worker;
    struct group *next;
    char *filter;
    uint64_t subscribed;  // When, as a serial number; the handshake's.
    // From here on the worker's.
    struct conn **subscribers;
    size_t subscriber_count;
    size_t subscriber_capacity;
    size_t publisher_count;
    size_t blocked_count;  // Subscribers with something pending.
    struct conn_list stalled;
    struct group *dirty_next;
    bool dirty;
    size_t turn_bytes;
    size_t iov_count;
    struct iovec iov[GROUP_IOV_MAX];
};

enum role {
    ROLE_NONE,
    ROLE_PUBLISHER,
    ROLE_SUBSCRIBER
};

struct conn {
    int fd;
    enum role role;
    bool queued;  // In a list.
    bool closed;
    uint8_t version;
    struct group *group;
    struct conn *next;
    // Before the role is known: bytes received. A publisher's: bytes that are to be forwarded
    // first. A subscriber's: bytes that it didn't take yet.
    uint8_t *rest;
    size_t rest_len;
    size_t rest_capacity;
    size_t packet_len;  // Publisher: of its first packet.
};
void conn_keep(struct conn *conn, const uint8_t *data, size_t len);  // Appends to the rest.
void conn_free(struct conn *conn);

struct worker {
    pthread_t thread;
    int epoll_fd;
    int event_fd;
    pthread_mutex_t inbox_lock;
    struct conn_list inbox;
    struct conn_list ready;
    struct conn_list dead;  // Freed at the end of the turn.
    struct group *dirty;
    uint8_t *arena;
    size_t arena_used;
};

// worker.c
bool worker_start(struct worker *worker);
// Takes `conn`, whose role and group are known.
void worker_give(struct worker *worker, struct conn *conn);

// handshake.c
struct handshake {
    struct worker workers[WORKERS_MAX];
    size_t worker_count;
    struct group *groups;
    size_t group_count;
    uint64_t subscribed;  // Serial number.
    int epoll_fd;
};
// Serves `listen_fd` for ever.
bool handshake_run(struct handshake *handshake, int listen_fd);

#endif  // MILLRACE_BENCH_RELAY_RELAY_H
