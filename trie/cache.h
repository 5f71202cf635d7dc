// The topic cache of one worker: topic name -> resolved receivers, merged and split
// by shard, so that a PUBLISH to a topic that was seen before costs one hash lookup.
//
// Right under change: an entry remembers the trie's version and, if that has moved
// on, the version of its own topic, so that subscribing and unsubscribing elsewhere
// leaves it valid (trie/trie.h, versions). Memory is bounded; entries that weren't used
// lately go first (CLOCK).
//
// Threads: one thread, which is an active reader of the trie's epoch.
#ifndef MILLRACE_TRIE_CACHE_H
#define MILLRACE_TRIE_CACHE_H

#include "base/base.h"
#include "trie/trie.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_topic_cache;

// One receiver: all its matching subscriptions merged. Overlapping ones give one copy
// at the highest QoS with all their identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-3].
struct mr_target {
    uint32_t subscriber;
    uint32_t ids_index;  // First of its subscription identifiers in mr_route.ids.
    uint16_t id_count;
    // So many of them, the first ones, for messages that the subscriber itself published:
    // those of its subscriptions without No Local.
    uint16_t id_count_own;
    uint8_t qos;
    // QoS for messages that the subscriber itself published; MR_TARGET_NONE if all its
    // matching subscriptions are No Local [MQTT-3.8.3-3].
    uint8_t qos_own;
    bool retain_as_published;      // One of them at least.
    bool retain_as_published_own;  // One of those without No Local.
};
#define MR_TARGET_NONE 255u

// The receivers of one topic name.
struct mr_route {
    const struct mr_target *targets;  // On the cache's own shard, by subscriber.
    const uint32_t *ids;
    struct mr_trie_node *const *shared;  // Pick a member for each with mr_trie_node_pick().
    uint32_t target_count;
    uint32_t shared_count;
    uint64_t other_shards;  // Bit for each other shard with at least one receiver.
    uint64_t serial;        // Never the same for two fills of this cache; never 0.
};

struct mr_topic_cache_options {
    uint32_t shard;  // Whose receivers are resolved.
    // For all entries. 0: nothing is kept, each lookup is a match. A result that needs more
    // than half of it isn't kept either.
    uint64_t bytes_max;
    // Asked for each receiver of the own shard when an entry is filled: may it receive
    // this topic (access control)? NULL: all may. When answers may have changed, call
    // mr_topic_cache_clear().
    bool (*may_receive)(void *ctx, uint32_t subscriber, struct mr_slice topic);
    void *ctx;
};

// Each lookup is one of the first four.
struct mr_topic_cache_stats {
    uint64_t hit_count;          // Found, and nothing had changed at all.
    uint64_t revalidated_count;  // Found, and no change since had affected it.
    uint64_t stale_count;        // Found, but a change had affected it: matched again.
    uint64_t miss_count;         // Not found: matched.
    uint64_t evicted_count;
    uint64_t uncached_count;  // Larger than the cache allows, or no memory for it.
    uint64_t entry_count;
    uint64_t bytes;          // Of all entries, with their places in the index.
    uint64_t scratch_bytes;  // For the largest result so far.
};

// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_topic_cache_new(struct mr_topic_cache **out, struct mr_trie *trie,
                                            const struct mr_topic_cache_options *options);
// NULL is allowed.
void mr_topic_cache_free(struct mr_topic_cache *cache);

// The receivers of the valid topic name `topic`. Returns borrowed until the next call
// on this cache or the next quiescent state of the reader. NULL only if memory for the
// result ran out.
const struct mr_route *mr_topic_cache_lookup(struct mr_topic_cache *cache, struct mr_slice topic);

// Has it grown beyond what a processor's own caches hold, so that lookups wait for memory?
bool mr_topic_cache_is_large(const struct mr_topic_cache *cache);

#define MR_TOPIC_CACHE_PREFETCH_MAX 16u

// Asks the processor for the memory that looking up these topic names will read, so that it waits
// for all of it at once and not for one after the other; the answers are the same without. Pays if
// mr_topic_cache_is_large(). `count` is at most MR_TOPIC_CACHE_PREFETCH_MAX.
void mr_topic_cache_prefetch(const struct mr_topic_cache *cache, const struct mr_slice *topics,
                             uint32_t count);

// Forgets everything.
void mr_topic_cache_clear(struct mr_topic_cache *cache);

void mr_topic_cache_stats(const struct mr_topic_cache *cache, struct mr_topic_cache_stats *out);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_TRIE_CACHE_H
