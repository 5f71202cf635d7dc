// One turn: what came is read, then publishers send what they may.
#include <sys/epoll.h>

#include "bench/load/load.h"

#define EVENTS_MAX 512
#define CONNECT_PATIENCE_S 300.0
#define BATCH_CONNECTS 64u
// Fan-out: publishers are looked at (a walk over all subscribers) so often in a window.
#define SWEEPS_IN_WINDOW 8u

static void on_event(struct load *load, struct client *client, uint32_t events) {
    bool open = client->fd >= 0;
    if (open && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        open = client_read(load, client);
    }
    if (open && (events & EPOLLOUT)) {
        client->blocked = false;
        client_mark_dirty(load, client);
    }
    if (open && (client->direct_left > 0 || client->out_len > client->out_begin) &&
        !client->blocked) {
        open = client_write(client);
    }
    if (!open && client->fd >= 0) {
        if (load->options.shape != SHAPE_CHURN) {
            load->results.failed++;
        }
        client_close(client);
    }
}

static void mark_all(struct load *load) {
    for (uint32_t i = load->options.subscribers; i < load->client_count; i++) {
        client_mark_dirty(load, &load->clients[i]);
    }
    load->delivered_swept = load->results.delivered;
}

// To look how far the slowest of many subscribers is costs more than a turn may take.
static bool sweep_due(const struct load *load, int event_count) {
    uint64_t since = load->results.delivered - load->delivered_swept;
    uint64_t step = load->fan_out * load->options.window / SWEEPS_IN_WINDOW;
    return load->options.shape == SHAPE_FAN_OUT && (event_count == 0 || since >= step);
}

void turn(struct load *load, int wait_ms) {
    struct epoll_event events[EVENTS_MAX];
    bool open_loop = load->running && load->options.rate > 0;
    int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, 0);
    load->now_ns = clock_ns();
    for (int i = 0; i < count; i++) {
        on_event(load, events[i].data.ptr, events[i].events);
    }
    if (load->running && load->options.shape != SHAPE_RETAINED) {
        if (sweep_due(load, count)) {
            mark_all(load);
        }
        if (open_loop) {
            publish_schedule(load);
        }
        publish_all(load);
    }
    // An open loop doesn't sleep: it would wake up too late to be exact.
    if (count <= 0 && !open_loop && wait_ms != 0) {
        struct epoll_event one;
        if (epoll_wait(load->epoll_fd, &one, 1, wait_ms) == 1) {
            load->now_ns = clock_ns();
            on_event(load, one.data.ptr, one.events);
        }
    }
}

static uint32_t ready_count(const struct load *load) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < load->client_count; i++) {
        count += load->clients[i].ready && load->clients[i].fd >= 0;
    }
    return count;
}

// Opens all connections; subscribers before publishers.
bool connect_all(struct load *load) {
    uint64_t begin = clock_ns();
    uint64_t until = begin + (uint64_t)(CONNECT_PATIENCE_S * 1e9);
    for (uint32_t i = 0; i < load->client_count; i++) {
        if (!client_open(load, &load->clients[i])) {
            break;
        }
        if (i % BATCH_CONNECTS == 0) {
            turn(load, 0);
        }
    }
    while (ready_count(load) < load->client_count && load->results.failed == 0 &&
           clock_ns() < until) {
        turn(load, 10);
    }
    load->results.connect_seconds = (double)(clock_ns() - begin) / 1e9;
    uint32_t ready = ready_count(load);
    if (ready < load->client_count) {
        fprintf(stderr, "load: only %u of %u clients are connected\n", ready, load->client_count);
    }
    return ready == load->client_count;
}
