// bazel run -c opt //bench:load -- pair -P 100 -k $(pidof broker)
#include <math.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/load.h"

// After the end what is still under way has to arrive; if nothing came for so long it is lost.
#define DRAIN_S 3.0
// Idle clients of other processes stay until the first one has measured.
#define IDLE_GRACE_S 0.3
#define START_DELAY_NS 2000000u

static bool client_init(struct load *load, uint32_t i) {
    const struct options *options = &load->options;
    struct client *client = &load->clients[i];
    bool ok = true;
    client->publisher = i >= options->subscribers;
    client->index = client->publisher ? i - options->subscribers : i;
    client->fd = -1;
    if (!client->publisher && options->publishers > 0) {
        client->expected = calloc(options->publishers, sizeof(uint32_t));
        ok = client->expected != NULL;
    }
    if (client->publisher && options->shape == SHAPE_WILDCARD) {
        client->sent_to = calloc(options->subscribers + 1u, sizeof(uint32_t));
        ok = client->sent_to != NULL;
    }
    if (!client->publisher && options->shape == SHAPE_RETAINED) {
        client->got = calloc(options->topics / 64 + 1, sizeof(uint64_t));
        ok = client->got != NULL;
    }
    return ok;
}

static bool load_init(struct load *load) {
    const struct options *options = &load->options;
    load->client_count = options->subscribers + options->publishers;
    load->clients = calloc(load->client_count, sizeof(struct client));
    load->dirty = calloc(options->publishers + 1u, sizeof(struct client *));
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->fan_out = options->shape == SHAPE_FAN_IN || options->shape == SHAPE_FAN_OUT
                        ? options->subscribers
                        : 1;
    load->sent_each_max = UINT64_MAX;
    if (options->messages_max != 0 && options->publishers > 0) {
        load->sent_each_max = options->messages_max / options->publishers;
    }
    if (options->rate > 0) {
        load->interval_ns = 1e9 / options->rate;
    }
    if (load->clients == NULL || load->dirty == NULL || load->epoll_fd < 0) {
        return false;
    }
    for (uint32_t i = 0; i < load->client_count; i++) {
        if (!client_init(load, i)) {
            return false;
        }
    }
    return options->shape != SHAPE_WILDCARD || topics_draw(load);
}

// ------------------------------------------------------------------- together with others

// Waits until the clients of all processes are connected. False: some process failed.
static bool wait_for_others(struct load *load, bool connected) {
    struct shared *shared = load->shared;
    if (!connected) {
        __atomic_fetch_add(&shared->failed, 1, __ATOMIC_RELEASE);
        return false;
    }
    uint32_t count = __atomic_add_fetch(&shared->connected, 1, __ATOMIC_ACQ_REL);
    if (count == load->options.processes) {
        __atomic_store_n(&shared->go_ns, clock_ns() + START_DELAY_NS, __ATOMIC_RELEASE);
    }
    uint64_t go_ns = 0;
    while (go_ns == 0 && __atomic_load_n(&shared->failed, __ATOMIC_ACQUIRE) == 0) {
        turn(load, 1);
        go_ns = __atomic_load_n(&shared->go_ns, __ATOMIC_ACQUIRE);
    }
    load->started_ns = load->now_ns = go_ns;
    while (go_ns != 0 && clock_ns() < go_ns) {
        turn(load, 1);
    }
    return go_ns != 0;
}

static struct usage usage_now(const struct load *load) {
    return load->process == 0 ? usage_of(load->options.pid) : (struct usage){0, 0};
}

// ------------------------------------------------------------------------ loads

static bool all_sent(const struct load *load) {
    return load->sent_each_max != UINT64_MAX &&
           load->results.published >= load->sent_each_max * load->options.publishers;
}

static bool all_arrived(const struct load *load) {
    return load->results.delivered >= load->results.published * load->fan_out;
}

static void run_until(struct load *load, double seconds) {
    uint64_t until = load->started_ns + (uint64_t)(seconds * 1e9);
    while (clock_ns() < until && load->results.failed == 0 && !all_sent(load)) {
        turn(load, 1);
    }
}

static void drain(struct load *load) {
    uint64_t last = load->results.delivered;
    uint64_t last_ns = clock_ns();
    while (!all_arrived(load) && load->results.failed == 0 &&
           (double)(clock_ns() - last_ns) < DRAIN_S * 1e9) {
        turn(load, 1);
        if (load->results.delivered != last) {
            last = load->results.delivered;
            last_ns = clock_ns();
        }
    }
}

static void run_messages(struct load *load) {
    load->running = true;
    for (uint32_t i = load->options.subscribers; i < load->client_count; i++) {
        client_mark_dirty(load, &load->clients[i]);
    }
    if (load->options.messages_max == 0) {
        run_until(load, load->options.warm_up_seconds);
    }
    uint64_t published = load->results.published;
    uint64_t delivered = load->results.delivered;
    double own = cpu_seconds();
    load->results.usage_begin = usage_now(load);
    load->measuring = true;
    uint64_t begin = clock_ns();
    run_until(load, load->options.warm_up_seconds + load->options.seconds);
    if (load->options.messages_max != 0) {
        drain(load);
    }
    load->results.seconds = (double)(clock_ns() - begin) / 1e9;
    load->results.usage_end = usage_now(load);
    load->results.own_cpu_seconds = cpu_seconds() - own;
    load->measuring = false;
    uint64_t measured_published = load->results.published - published;
    uint64_t measured_delivered = load->results.delivered - delivered;
    // What is under way must arrive, too.
    load->running = false;
    drain(load);
    uint64_t expected = load->results.published * load->fan_out;
    load->results.lost += expected - load->results.delivered;
    load->results.published = measured_published;
    load->results.delivered = measured_delivered;
}

static bool round_over(const struct load *load) {
    for (uint32_t i = 0; i < load->options.subscribers; i++) {
        if (load->clients[i].round_ns != 0) {
            return false;
        }
    }
    return true;
}

static void run_retained(struct load *load) {
    double own = cpu_seconds();
    load->results.usage_begin = usage_now(load);
    load->running = load->measuring = true;
    uint64_t begin = clock_ns();
    for (uint32_t i = 0; i < load->options.subscribers; i++) {
        load->clients[i].round_ns = begin;
        client_put_subscribe(load, &load->clients[i]);
        (void)client_write(&load->clients[i]);  // If it is broken, reading will tell.
    }
    load->started_ns = begin;
    run_until(load, load->options.seconds);
    load->results.seconds = (double)(clock_ns() - begin) / 1e9;
    load->results.usage_end = usage_now(load);
    load->results.own_cpu_seconds = cpu_seconds() - own;
    load->running = load->measuring = false;
    uint64_t delivered = load->results.delivered;
    uint64_t until = clock_ns() + (uint64_t)(DRAIN_S * 1e9);
    while (!round_over(load) && clock_ns() < until && load->results.failed == 0) {
        turn(load, 1);
    }
    for (uint32_t i = 0; i < load->options.subscribers; i++) {
        if (load->clients[i].round_ns != 0) {
            load->results.lost += load->options.topics - load->clients[i].got_count;
        }
    }
    load->results.delivered = delivered;
}

static void run_idle(struct load *load) {
    run_until(load, load->options.seconds);
    load->results.usage_end = usage_now(load);
    load->results.seconds = load->results.connect_seconds;
    if (load->options.processes > 1) {
        run_until(load, load->options.seconds + IDLE_GRACE_S);
    }
}

static void run_churn(struct load *load) {
    load->results.connects = 0;
    double own = cpu_seconds();
    load->results.usage_begin = usage_now(load);
    uint64_t begin = clock_ns();
    uint64_t until = begin + (uint64_t)(load->options.seconds * 1e9);
    while (clock_ns() < until && load->results.failed == 0) {
        for (uint32_t i = 0; i < load->client_count; i++) {
            struct client *client = &load->clients[i];
            if (client->fd >= 0 && client->ready) {
                client_leave(client);
            }
            if (client->fd < 0 && !client_open(load, client)) {
                break;
            }
        }
        turn(load, 1);
    }
    load->results.seconds = (double)(clock_ns() - begin) / 1e9;
    load->results.usage_end = usage_now(load);
    load->results.own_cpu_seconds = cpu_seconds() - own;
}

// One process's share: from the first connection to the last message.
static bool run(struct load *load) {
    enum shape shape = load->options.shape;
    if (!load_init(load)) {
        fprintf(stderr, "load: out of memory or descriptors\n");
        return wait_for_others(load, false);
    }
    bool ready = connect_all(load);
    if (ready && shape == SHAPE_RETAINED) {
        ready = publish_retained(load, false);
    }
    if (!wait_for_others(load, ready)) {
        return false;
    }
    if (shape == SHAPE_IDLE) {
        run_idle(load);
    } else if (shape == SHAPE_CHURN) {
        run_churn(load);
    } else if (shape == SHAPE_RETAINED) {
        run_retained(load);
        for (uint32_t i = 0; i < load->options.subscribers; i++) {
            client_leave(&load->clients[i]);
        }
        ready = publish_retained(load, true);
    } else {
        run_messages(load);
    }
    return ready;
}

int main(int argc, char *argv[]) {
    static struct load load;
    if (!options_parse(&load.options, argc, argv)) {
        return EXIT_FAILURE;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    load.shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (load.shared == MAP_FAILED) {
        return EXIT_FAILURE;
    }
    struct usage idle = usage_of(load.options.pid);
    for (uint32_t i = 0; i < load.options.processes; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            load.process = i;
            bool ok = run(&load);
            load.shared->results[i] = load.results;
            _exit(ok ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        if (pid < 0) {
            __atomic_fetch_add(&load.shared->failed, 1, __ATOMIC_RELEASE);
        }
    }
    bool ok = true;
    int status;
    while (wait(&status) > 0) {
        ok = ok && status == 0;
    }
    if (!ok || load.shared->failed > 0) {
        fprintf(stderr, "load: did not run\n");
        return EXIT_FAILURE;
    }
    static struct results results;
    for (uint32_t i = 0; i < load.options.processes; i++) {
        results_merge(&results, &load.shared->results[i]);
    }
    report(&load.options, &results, idle, stdout);
    return results.lost + results.duplicated + results.reordered + results.failed == 0
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}
