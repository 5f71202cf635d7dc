// The $SYS tree: what the broker says about itself, as topic names and values.
//
// Topic names, units and formats are those that Mosquitto's users know where Mosquitto has the
// figure; the rest is ours, among it every counter of MR_COUNTER_MAP. Knows nothing of workers,
// messages or clocks: the caller gives a snapshot and publishes what comes out.
//
// Threads: one at a time. The mr_sys_add_*() functions only touch their arguments.
#ifndef MILLRACE_BROKER_SYS_SYS_H
#define MILLRACE_BROKER_SYS_SYS_H

#include "base/base.h"
#include "broker/retained/retained.h"
#include "broker/sys/counters.h"
#include "io/buf/buf.h"
#include "io/loop.h"
#include "trie/cache.h"
#include "trie/trie.h"

#ifdef __cplusplus
extern "C" {
#endif

// Every topic name begins with this.
#define MR_SYS_PREFIX "$SYS/broker/"
// Longest topic name and longest value; longer texts are cut.
#define MR_SYS_TOPIC_BYTES_MAX 96u
#define MR_SYS_VALUE_BYTES_MAX 64u

// The state of the whole broker at one moment. Zero it, then fill it; what is left 0 is
// published as 0.
struct mr_sys_snapshot {
    const char *version;     // Without the product's name; NULL: "unknown".
    const char *io_backend;  // mr_loop_backend_name(); NULL: "none".
    uint64_t uptime_ms;      // On a monotonic clock, since the counters were 0.
    uint64_t workers;
    struct mr_counters counters;  // Of all workers, as the next five.
    struct mr_loop_stats loops;
    struct mr_buf_stats buffers;
    struct mr_topic_cache_stats caches;
    struct mr_trie_stats trie;          // The shared one.
    struct mr_retained_stats retained;  // The shared one.
    // What a connected client that does nothing takes in this process, in bytes.
    uint64_t idle_client_bytes;
    // Memory of the process; 0: taken from `buffers`.
    uint64_t heap_bytes;
    uint64_t heap_bytes_max;
    uint64_t never_count;  // mr_never_count().
};

// Adds what one worker counted, which may go on counting.
void mr_sys_add_counters(struct mr_counters *sum, const struct mr_counters *counters);
void mr_sys_add_loop(struct mr_loop_stats *sum, const struct mr_loop_stats *stats);
// Maxima add up to an upper bound: workers need not reach theirs at the same time.
void mr_sys_add_buffers(struct mr_buf_stats *sum, const struct mr_buf_stats *stats);
void mr_sys_add_cache(struct mr_topic_cache_stats *sum, const struct mr_topic_cache_stats *stats);

struct mr_sys;  // What was published last, and the load averages.

// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_sys_new(struct mr_sys **out);
void mr_sys_free(struct mr_sys *sys);  // NULL is allowed.

// Calls `publish(ctx, topic, value)` for each value that isn't the one given last, the first
// time for all; always in the same order. Both slices are borrowed for the call.
//
// The load averages are events per minute over 1, 5 and 15 minutes, weighted exponentially:
// a time `t` after a burst its weight is exp(-t / 1 min) and so on. They start at 0 with the
// broker; if no time has passed since the last call they stay.
void mr_sys_update(struct mr_sys *sys, const struct mr_sys_snapshot *snapshot,
                   void (*publish)(void *ctx, struct mr_slice topic, struct mr_slice value),
                   void *ctx);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SYS_SYS_H
