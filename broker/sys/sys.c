#include "broker/sys/sys.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/sys/names.h"

#define PERIODS 3u

static const struct {
    const char *suffix;
    double minutes;
} periods[PERIODS] = {{"1min", 1.0}, {"5min", 5.0}, {"15min", 15.0}};

struct load {
    uint64_t total;  // At the last call.
    double per_minute[PERIODS];
};

// What was published last under one topic name; empty: nothing yet.
struct published {
    char value[MR_SYS_VALUE_BYTES_MAX];
};

struct mr_sys {
    uint64_t uptime_ms;
    uint64_t clients_maximum;
    struct load *loads;
    struct published *published;  // In the order of publishing.
};

// Sums up structs that consist of nothing but uint64_t.
static void add_all(uint64_t *sum, const uint64_t *from, size_t bytes) {
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        sum[i] += mr_counter_read(&from[i]);
    }
}
static_assert(sizeof(struct mr_counters) % sizeof(uint64_t) == 0, "of uint64_t only");
static_assert(sizeof(struct mr_loop_stats) % sizeof(uint64_t) == 0, "of uint64_t only");
static_assert(sizeof(struct mr_buf_stats) % sizeof(uint64_t) == 0, "of uint64_t only");
static_assert(sizeof(struct mr_topic_cache_stats) % sizeof(uint64_t) == 0, "of uint64_t only");

void mr_sys_add_counters(struct mr_counters *sum, const struct mr_counters *counters) {
    add_all((uint64_t *)sum, (const uint64_t *)counters, sizeof(*sum));
}

void mr_sys_add_loop(struct mr_loop_stats *sum, const struct mr_loop_stats *stats) {
    add_all((uint64_t *)sum, (const uint64_t *)stats, sizeof(*sum));
}

void mr_sys_add_buffers(struct mr_buf_stats *sum, const struct mr_buf_stats *stats) {
    add_all((uint64_t *)sum, (const uint64_t *)stats, sizeof(*sum));
}

void mr_sys_add_cache(struct mr_topic_cache_stats *sum, const struct mr_topic_cache_stats *stats) {
    add_all((uint64_t *)sum, (const uint64_t *)stats, sizeof(*sum));
}

static size_t topics_count(void) {
    size_t texts = 3;  // version, uptime, io/backend
    return texts + mr_sys_names_count + mr_sys_counter_names_count + mr_sys_loads_count * PERIODS;
}

enum mr_err mr_sys_new(struct mr_sys **out) {
    struct mr_sys *sys = calloc(1, sizeof(*sys));
    if (sys == NULL) {
        return MR_ERR_NOMEM;
    }
    sys->loads = calloc(mr_sys_loads_count, sizeof(struct load));
    sys->published = calloc(topics_count(), sizeof(struct published));
    if (sys->loads == NULL || sys->published == NULL) {
        mr_sys_free(sys);
        return MR_ERR_NOMEM;
    }
    *out = sys;
    return MR_OK;
}

void mr_sys_free(struct mr_sys *sys) {
    if (sys == NULL) {
        return;
    }
    free(sys->loads);
    free(sys->published);
    free(sys);
}

static void advance_loads(struct mr_sys *sys, const struct mr_sys_figures *figures) {
    uint64_t now_ms = figures->at.uptime_ms;
    if (now_ms <= sys->uptime_ms) {
        return;
    }
    double minutes = (double)(now_ms - sys->uptime_ms) / 60000.0;
    sys->uptime_ms = now_ms;
    for (size_t i = 0; i < mr_sys_loads_count; i++) {
        struct load *load = &sys->loads[i];
        uint64_t total = mr_sys_figure(figures, mr_sys_loads[i].offset);
        // Signed: a figure may shrink if a worker's share of it could not be had this time.
        double rate = (double)(int64_t)(total - load->total) / minutes;
        load->total = total;
        for (size_t p = 0; p < PERIODS; p++) {
            double keep = exp(-minutes / periods[p].minutes);
            load->per_minute[p] = rate + keep * (load->per_minute[p] - rate);
        }
    }
}

// One round of publishing.
struct round {
    struct published *next;
    void (*publish)(void *ctx, struct mr_slice topic, struct mr_slice value);
    void *ctx;
};

static void say(struct round *round, const char *topic, const char *value) {
    struct published *last = round->next++;
    if (strcmp(last->value, value) == 0) {
        return;
    }
    snprintf(last->value, sizeof(last->value), "%s", value);
    char name[MR_SYS_TOPIC_BYTES_MAX];
    snprintf(name, sizeof(name), "%s%s", MR_SYS_PREFIX, topic);
    round->publish(round->ctx, mr_slice_str(name), mr_slice_str(last->value));
}

static void say_number(struct round *round, const char *topic, uint64_t number) {
    char value[MR_SYS_VALUE_BYTES_MAX];
    snprintf(value, sizeof(value), "%" PRIu64, number);
    say(round, topic, value);
}

static void say_texts(struct round *round, const struct mr_sys_snapshot *snapshot) {
    char value[MR_SYS_VALUE_BYTES_MAX];
    snprintf(value, sizeof(value), "millrace version %s",
             snapshot->version == NULL ? "unknown" : snapshot->version);
    say(round, "version", value);
    snprintf(value, sizeof(value), "%" PRIu64 " seconds", snapshot->uptime_ms / 1000);
    say(round, "uptime", value);
    snprintf(value, sizeof(value), "%s",
             snapshot->io_backend == NULL ? "none" : snapshot->io_backend);
    say(round, "io/backend", value);
}

static void say_loads(struct round *round, const struct mr_sys *sys) {
    for (size_t i = 0; i < mr_sys_loads_count; i++) {
        for (size_t p = 0; p < PERIODS; p++) {
            char topic[MR_SYS_TOPIC_BYTES_MAX];
            snprintf(topic, sizeof(topic), "load/%s/%s", mr_sys_loads[i].topic, periods[p].suffix);
            double load = sys->loads[i].per_minute[p];
            char value[MR_SYS_VALUE_BYTES_MAX];
            // Never "-0.00", which a tiny negative remainder would give.
            snprintf(value, sizeof(value), "%.2f", load < 0.005 && load > -0.005 ? 0.0 : load);
            say(round, topic, value);
        }
    }
}

void mr_sys_update(struct mr_sys *sys, const struct mr_sys_snapshot *snapshot,
                   void (*publish)(void *ctx, struct mr_slice topic, struct mr_slice value),
                   void *ctx) {
    struct mr_sys_figures figures;
    mr_sys_figures_of(snapshot, &figures);
    // Between two snapshots there may have been more; nobody saw it.
    if (snapshot->counters.clients_connected > sys->clients_maximum) {
        sys->clients_maximum = snapshot->counters.clients_connected;
    }
    figures.clients_maximum = sys->clients_maximum;
    advance_loads(sys, &figures);

    struct round round = {sys->published, publish, ctx};
    say_texts(&round, snapshot);
    for (size_t i = 0; i < mr_sys_names_count; i++) {
        say_number(&round, mr_sys_names[i].topic, mr_sys_figure(&figures, mr_sys_names[i].offset));
    }
    for (size_t i = 0; i < mr_sys_counter_names_count; i++) {
        char topic[MR_SYS_TOPIC_BYTES_MAX];
        mr_sys_counter_topic(mr_sys_counter_names[i].topic, topic);
        say_number(&round, topic, mr_sys_figure(&figures, mr_sys_counter_names[i].offset));
    }
    say_loads(&round, sys);
    MR_ASSERT(round.next == sys->published + topics_count());
}
