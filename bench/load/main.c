// bazel run -c opt //bench/load -- pair -P 100 -k $(pidof broker)
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/load/load.h"

#define EVENTS_MAX 512
#define CONNECT_PATIENCE_S 60.0
// After the end, for what is still under way.
#define DRAIN_S 10.0
#define BATCH_CONNECTS 64u

static double cpu_seconds(void) {
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

static bool load_init(struct load *load) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    const struct options *options = &load->options;
    load->client_count = options->subscribers + options->publishers;
    load->clients = calloc(load->client_count, sizeof(struct client));
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->fan_out = options->shape == SHAPE_PAIR ? 1 : options->subscribers;
    if (load->clients == NULL || load->epoll_fd < 0) {
        return false;
    }
    for (uint32_t i = 0; i < load->client_count; i++) {
        struct client *client = &load->clients[i];
        client->publisher = i >= options->subscribers;
        client->index = client->publisher ? i - options->subscribers : i;
        client->fd = -1;
        if (!client->publisher && options->publishers > 0) {
            client->expected = calloc(options->publishers, sizeof(uint32_t));
            if (client->expected == NULL) {
                return false;
            }
        }
    }
    return true;
}

static void on_event(struct load *load, struct client *client, uint32_t events) {
    bool open = client->fd >= 0;
    if (open && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        open = client_read(load, client);
    }
    if (open && (events & EPOLLOUT)) {
        client->blocked = false;
    }
    if (open && client->out_len > client->out_begin && !client->blocked) {
        open = client_write(load, client);
    }
    if (!open && client->fd >= 0) {
        if (load->options.shape != SHAPE_CHURN) {
            load->failed++;
        }
        client_close(client);
    }
}

static uint64_t slowest_of(const struct load *load) {
    uint64_t slowest = UINT64_MAX;
    for (uint32_t i = 0; i < load->options.subscribers; i++) {
        uint64_t got = load->clients[i].expected[0];
        slowest = got < slowest ? got : slowest;
    }
    return slowest;
}

static void turn(struct load *load, int wait_ms) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, wait_ms);
    load->now_ns = clock_ns();
    for (int i = 0; i < count; i++) {
        on_event(load, events[i].data.ptr, events[i].events);
    }
    if (!load->running) {
        return;
    }
    if (load->options.shape == SHAPE_FAN_OUT) {
        load->slowest = slowest_of(load);
    }
    double elapsed = (double)(load->now_ns - load->started_ns) / 1e9;
    for (uint32_t i = load->options.subscribers; i < load->client_count; i++) {
        struct client *client = &load->clients[i];
        if (load->options.rate > 0) {
            client->due = (uint64_t)(elapsed * load->options.rate / load->options.publishers);
        }
        if (client->fd >= 0) {
            client_publish(load, client);
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
static bool connect_all(struct load *load) {
    uint64_t until = clock_ns() + (uint64_t)(CONNECT_PATIENCE_S * 1e9);
    for (uint32_t i = 0; i < load->client_count; i++) {
        if (!client_open(load, &load->clients[i])) {
            return false;
        }
        if (i % BATCH_CONNECTS == 0) {
            turn(load, 0);
        }
    }
    while (ready_count(load) < load->client_count && load->failed == 0 && clock_ns() < until) {
        turn(load, 10);
    }
    return ready_count(load) == load->client_count;
}

static bool all_arrived(const struct load *load) {
    return load->delivered >= load->published * load->fan_out;
}

static bool count_reached(const struct load *load) {
    return load->options.messages_max != 0 && load->published >= load->options.messages_max /
                                                                     load->options.publishers *
                                                                     load->options.publishers;
}

static void run_for(struct load *load, double seconds) {
    uint64_t until = clock_ns() + (uint64_t)(seconds * 1e9);
    while (clock_ns() < until && load->failed == 0 && !count_reached(load)) {
        turn(load, 1);
    }
}

static void run_churn(struct load *load) {
    uint64_t until = clock_ns() + (uint64_t)(load->options.seconds * 1e9);
    while (clock_ns() < until && load->failed == 0) {
        for (uint32_t i = 0; i < load->client_count; i++) {
            struct client *client = &load->clients[i];
            if (client->fd >= 0 && client->ready) {
                client_close(client);
            }
            if (client->fd < 0 && !client_open(load, client)) {
                return;
            }
        }
        turn(load, 1);
    }
}

int main(int argc, char *argv[]) {
    static struct load load;
    if (!options_parse(&load.options, argc, argv) || !load_init(&load)) {
        return EXIT_FAILURE;
    }
    struct usage before = usage_of(load.options.pid);
    uint64_t begin = clock_ns();
    if (!connect_all(&load)) {
        fprintf(stderr, "load: only %u of %u clients are connected\n", ready_count(&load),
                load.client_count);
        return EXIT_FAILURE;
    }
    if (load.options.shape == SHAPE_IDLE) {
        double took = (double)(clock_ns() - begin) / 1e9;
        fprintf(stderr, "%u connects in %.2f s\n", load.client_count, took);
        run_for(&load, load.options.seconds);
    }
    double own = cpu_seconds();
    if (load.options.shape == SHAPE_CHURN) {
        load.connects = 0;
        before = usage_of(load.options.pid);
        begin = clock_ns();
        run_churn(&load);
    } else if (load.options.shape != SHAPE_IDLE) {
        load.running = true;
        load.started_ns = load.now_ns = clock_ns();
        if (load.options.messages_max == 0) {
            run_for(&load, load.options.warm_up_seconds);
        }
        uint64_t warm_published = load.published;
        uint64_t warm_delivered = load.delivered;
        own = cpu_seconds();
        before = usage_of(load.options.pid);
        load.measuring = true;
        begin = clock_ns();
        run_for(&load, load.options.seconds);
        if (load.options.messages_max != 0) {
            uint64_t until = clock_ns() + (uint64_t)(DRAIN_S * 1e9);
            while (!all_arrived(&load) && clock_ns() < until && load.failed == 0) {
                turn(&load, 1);
            }
        }
        uint64_t end = clock_ns();
        struct usage after = usage_of(load.options.pid);
        own = cpu_seconds() - own;
        load.measuring = false;
        struct load measured = load;
        measured.published -= warm_published;
        measured.delivered -= warm_delivered;
        // What is under way must arrive, too.
        load.running = false;
        uint64_t until = clock_ns() + (uint64_t)(DRAIN_S * 1e9);
        while (!all_arrived(&load) && clock_ns() < until && load.failed == 0) {
            turn(&load, 10);
        }
        measured.lost = load.lost + (load.published * load.fan_out - load.delivered);
        measured.duplicated = load.duplicated;
        measured.reordered = load.reordered;
        measured.failed = load.failed;
        report(&measured, (double)(end - begin) / 1e9, before, after, own, stdout);
        return measured.lost + measured.duplicated + measured.reordered + measured.failed == 0
                   ? EXIT_SUCCESS
                   : EXIT_FAILURE;
    }
    struct usage after = usage_of(load.options.pid);
    report(&load, (double)(clock_ns() - begin) / 1e9, before, after, cpu_seconds() - own, stdout);
    return load.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
