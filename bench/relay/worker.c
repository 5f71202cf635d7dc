// Moves bytes.
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/relay/relay.h"

#define EVENTS_MAX 512

void conn_list_init(struct conn_list *list) {
    list->head = NULL;
    list->tail = &list->head;
}

void conn_list_push(struct conn_list *list, struct conn *conn) {
    conn->next = NULL;
    *list->tail = conn;
    list->tail = &conn->next;
}

struct conn *conn_list_pop(struct conn_list *list) {
    struct conn *conn = list->head;
    if (conn != NULL) {
        list->head = conn->next;
        if (list->head == NULL) {
            list->tail = &list->head;
        }
    }
    return conn;
}

void conn_keep(struct conn *conn, const uint8_t *data, size_t len) {
    if (conn->rest_len + len > conn->rest_capacity) {
        conn->rest_capacity = (conn->rest_len + len) * 2;
        conn->rest = realloc(conn->rest, conn->rest_capacity);
        if (conn->rest == NULL) {
            abort();
        }
    }
    if (len > 0) {
        memcpy(conn->rest + conn->rest_len, data, len);
        conn->rest_len += len;
    }
}

void conn_free(struct conn *conn) {
    free(conn->rest);
    free(conn);
}

static void queue_push(struct conn_list *list, struct conn *conn) {
    if (!conn->queued && !conn->closed) {
        conn->queued = true;
        conn_list_push(list, conn);
    }
}

static void group_unblock(struct worker *worker, struct group *group) {
    group->blocked_count--;
    while (group->blocked_count == 0 && group->stalled.head != NULL) {
        conn_list_push(&worker->ready, conn_list_pop(&group->stalled));
    }
}

// ------------------------------------------------------------------------ sending

static void conn_close(struct worker *worker, struct conn *conn) {
    if (conn->closed) {
        return;
    }
    struct group *group = conn->group;
    conn->closed = true;
    close(conn->fd);
    if (conn->role == ROLE_PUBLISHER) {
        group->publisher_count--;
    }
    for (size_t i = 0; conn->role == ROLE_SUBSCRIBER && i < group->subscriber_count; i++) {
        if (group->subscribers[i] == conn) {
            group->subscribers[i] = group->subscribers[--group->subscriber_count];
            break;
        }
    }
    if (conn->role == ROLE_SUBSCRIBER && conn->rest_len > 0) {
        group_unblock(worker, group);
    }
    if (!conn->queued) {
        conn->queued = true;
        conn_list_push(&worker->dead, conn);
    }
}

static void keep_unsent(struct conn *conn, const struct group *group, size_t sent) {
    for (size_t i = 0; i < group->iov_count; i++) {
        size_t skip = sent < group->iov[i].iov_len ? sent : group->iov[i].iov_len;
        conn_keep(conn, (const uint8_t *)group->iov[i].iov_base + skip,
                  group->iov[i].iov_len - skip);
        sent -= skip;
    }
}

static void group_flush(struct worker *worker, struct group *group) {
    // From the end: one that is closed is replaced by the last one.
    for (size_t i = group->subscriber_count; i-- > 0;) {
        struct conn *conn = group->subscribers[i];
        struct msghdr message = {.msg_iov = group->iov, .msg_iovlen = group->iov_count};
        // Blocked ones are left only if the group was flushed twice in a turn.
        bool blocked = conn->rest_len > 0;
        ssize_t n = blocked ? 0 : sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            conn_close(worker, conn);
            continue;
        }
        n = n < 0 ? 0 : n;
        if ((size_t)n < group->turn_bytes) {
            group->blocked_count += !blocked;
            keep_unsent(conn, group, (size_t)n);
        }
    }
    group->iov_count = 0;
    group->turn_bytes = 0;
}

static void group_add(struct worker *worker, struct group *group, uint8_t *data, size_t len) {
    if (len == 0) {
        return;
    }
    if (!group->dirty) {
        group->dirty = true;
        group->dirty_next = worker->dirty;
        worker->dirty = group;
    }
    struct iovec *last = group->iov_count > 0 ? &group->iov[group->iov_count - 1] : NULL;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += len;
    } else {
        if (group->iov_count == GROUP_IOV_MAX) {
            group_flush(worker, group);
        }
        group->iov[group->iov_count++] = (struct iovec){data, len};
    }
    group->turn_bytes += len;
}

static void subscriber_drain(struct worker *worker, struct conn *conn) {
    size_t sent = 0;
    if (conn->rest_len == 0) {
        return;
    }
    while (sent < conn->rest_len) {
        ssize_t n =
            send(conn->fd, conn->rest + sent, conn->rest_len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EINTR) {
            break;
        }
        sent += n > 0 ? (size_t)n : 0;
    }
    conn->rest_len -= sent;
    memmove(conn->rest, conn->rest + sent, conn->rest_len);
    if (conn->rest_len == 0) {
        group_unblock(worker, conn->group);
    }
}

// ------------------------------------------------------------------------ receiving

static size_t turn_bytes_max(const struct group *group) {
    size_t share = GROUP_PENDING_BYTES_MAX / (group->subscriber_count + 1);
    return share < GROUP_TURN_BYTES_MIN ? GROUP_TURN_BYTES_MIN : share;
}

// Reads once; what came is added to the group's output. True: there may be more.
static bool publisher_read(struct worker *worker, struct conn *conn) {
    struct group *group = conn->group;
    uint8_t *room = worker->arena + worker->arena_used;
    size_t len = conn->rest_len;
    if (len > 0) {
        memcpy(room, conn->rest, len);
        conn->rest_len = 0;
    }
    ssize_t n = recv(conn->fd, room + len, CHUNK_BYTES - len, MSG_DONTWAIT);
    bool more = n == (ssize_t)(CHUNK_BYTES - len);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_close(worker, conn);
    }
    len += n > 0 ? (size_t)n : 0;
    size_t whole = group->publisher_count > 1 ? len - len % conn->packet_len : len;
    conn_keep(conn, room + whole, len - whole);
    group_add(worker, group, room, whole);
    worker->arena_used += whole;
    return more;
}

static void read_ready(struct worker *worker) {
    // Each one once; those with more come again in the next turn.
    struct conn_list later;
    conn_list_init(&later);
    struct conn *conn;
    while ((conn = conn_list_pop(&worker->ready)) != NULL) {
        if (conn->closed) {
            conn_list_push(&worker->dead, conn);
        } else if (conn->group->blocked_count > 0) {
            conn_list_push(&conn->group->stalled, conn);
        } else if (worker->arena_used + CHUNK_BYTES > ARENA_BYTES ||
                   conn->group->turn_bytes >= turn_bytes_max(conn->group) ||
                   publisher_read(worker, conn)) {
            conn_list_push(&later, conn);
        } else {
            conn->queued = false;
            if (conn->closed) {
                conn->queued = true;
                conn_list_push(&worker->dead, conn);
            }
        }
    }
    while ((conn = conn_list_pop(&later)) != NULL) {
        conn_list_push(&worker->ready, conn);
    }
}

static void on_event(struct worker *worker, struct conn *conn, uint32_t events) {
    static __thread uint8_t ignored[4096];
    if (conn->role == ROLE_PUBLISHER) {
        queue_push(&worker->ready, conn);
        return;
    }
    if (events & EPOLLOUT) {
        subscriber_drain(worker, conn);
    }
    ssize_t n = 1;
    while ((events & ~(uint32_t)EPOLLOUT) != 0 && n > 0) {
        n = recv(conn->fd, ignored, sizeof(ignored), MSG_DONTWAIT);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_close(worker, conn);
    }
}

// ------------------------------------------------------------------------ the thread

static void adopt(struct worker *worker, struct conn *conn) {
    struct group *group = conn->group;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = conn}};
    if (conn->role == ROLE_SUBSCRIBER) {
        if (group->subscriber_count == group->subscriber_capacity) {
            group->subscriber_capacity = group->subscriber_capacity * 2 + 1;
            group->subscribers =
                realloc(group->subscribers, group->subscriber_capacity * sizeof(struct conn *));
            if (group->subscribers == NULL) {
                abort();
            }
        }
        group->subscribers[group->subscriber_count++] = conn;
    } else {
        event.events = EPOLLIN | EPOLLET;
        if (group->publisher_count++ > 0 && conn->packet_len > CHUNK_BYTES / 2) {
            conn_close(worker, conn);  // Several publishers of such packets aren't supported.
            return;
        }
        queue_push(&worker->ready, conn);  // With what came during the handshake.
    }
    if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        conn_close(worker, conn);
    }
}

static void take_inbox(struct worker *worker) {
    uint64_t count;
    (void)!read(worker->event_fd, &count, sizeof(count));
    pthread_mutex_lock(&worker->inbox_lock);
    struct conn_list given = worker->inbox;
    if (given.head == NULL) {
        conn_list_init(&given);
    }
    conn_list_init(&worker->inbox);
    pthread_mutex_unlock(&worker->inbox_lock);
    struct conn *conn;
    while ((conn = conn_list_pop(&given)) != NULL) {
        adopt(worker, conn);
    }
}

static void *worker_run(void *ctx) {
    struct worker *worker = ctx;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int wait_ms = worker->ready.head != NULL ? 0 : -1;
        int count = epoll_wait(worker->epoll_fd, events, EVENTS_MAX, wait_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                take_inbox(worker);
            } else {
                on_event(worker, events[i].data.ptr, events[i].events);
            }
        }
        worker->arena_used = 0;
        read_ready(worker);
        while (worker->dirty != NULL) {
            struct group *group = worker->dirty;
            worker->dirty = group->dirty_next;
            group->dirty = false;
            group_flush(worker, group);
        }
        struct conn *conn;
        while ((conn = conn_list_pop(&worker->dead)) != NULL) {
            conn_free(conn);
        }
    }
    return NULL;
}

bool worker_start(struct worker *worker) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};
    conn_list_init(&worker->inbox);
    conn_list_init(&worker->ready);
    conn_list_init(&worker->dead);
    worker->arena = malloc(ARENA_BYTES);
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return worker->arena != NULL && pthread_mutex_init(&worker->inbox_lock, NULL) == 0 &&
           epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->event_fd, &event) == 0 &&
           pthread_create(&worker->thread, NULL, worker_run, worker) == 0;
}

void worker_give(struct worker *worker, struct conn *conn) {
    static const uint64_t one = 1;
    pthread_mutex_lock(&worker->inbox_lock);
    conn_list_push(&worker->inbox, conn);
    pthread_mutex_unlock(&worker->inbox_lock);
    (void)!write(worker->event_fd, &one, sizeof(one));
}
