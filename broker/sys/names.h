// Which figure is published under which topic name.
#ifndef MILLRACE_BROKER_SYS_NAMES_H
#define MILLRACE_BROKER_SYS_NAMES_H

#include "broker/sys/sys.h"

#ifdef __cplusplus
extern "C" {
#endif

// A snapshot with what is computed from it. All figures are uint64_t.
struct mr_sys_figures {
    struct mr_sys_snapshot at;
    uint64_t clients_total;
    uint64_t clients_maximum;
    uint64_t connects;
    uint64_t publish_dropped;
    uint64_t plain_subscriptions;
    uint64_t stored_count;
    uint64_t stored_bytes;
    uint64_t heap_bytes;
    uint64_t heap_bytes_max;
};

// Computes everything but `clients_maximum`.
void mr_sys_figures_of(const struct mr_sys_snapshot *snapshot, struct mr_sys_figures *out);

// One figure; `topic` is without MR_SYS_PREFIX.
struct mr_sys_name {
    const char *topic;
    size_t offset;  // In struct mr_sys_figures.
};

extern const struct mr_sys_name mr_sys_names[];
extern const size_t mr_sys_names_count;

// Figures of which a load average is kept: topic name behind `load/`.
extern const struct mr_sys_name mr_sys_loads[];
extern const size_t mr_sys_loads_count;

// The counters of MR_COUNTER_MAP, in its order.
extern const struct mr_sys_name mr_sys_counter_names[];
extern const size_t mr_sys_counter_names_count;

// The topic name of the counter that is called `name`: one that fits its meaning, or
// `drops/...` for `dropped_...`, or `counters/<name>`. Writes it, with a 0 behind, to `out`.
void mr_sys_counter_topic(const char *name, char out[MR_SYS_TOPIC_BYTES_MAX]);

static inline uint64_t mr_sys_figure(const struct mr_sys_figures *figures, size_t offset) {
    uint64_t value;
    memcpy(&value, (const char *)figures + offset, sizeof(value));
    return value;
}

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SYS_NAMES_H
