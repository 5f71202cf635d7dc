// Subscriptions by topic filter: who receives a PUBLISH to this topic name?
//
// Knows topic names, topic filters and opaque subscriber handles; nothing of sockets,
// sessions or payloads. Filters without wildcard are found with one hash lookup,
// filters with wildcards by a walk over the levels. Rules: MQTT 5.0 sections 4.7 and
// 4.8, [MQTT-4.7.1-1] to [MQTT-4.8.2-6].
//
// Threads: any thread that is an active reader of the trie's epoch may match, without
// a lock, while others change the trie. Inserting and removing may be done by any
// thread (they take a lock among themselves) and by readers, too.
#ifndef MILLRACE_TRIE_TRIE_H
#define MILLRACE_TRIE_TRIE_H

#include "base/base.h"
#include "codec/topic.h"
#include "trie/epoch.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_trie;
// One topic filter (with its share name, if shared) that has at least one subscription.
struct mr_trie_node;

// A subscriber is a 32-bit handle, not 0. Its high 8 bits are its shard (the worker that
// serves it), below MR_SHARDS_MAX; the rest is the subscriber's place there.
#define MR_SHARDS_MAX 64u

// A filter with a wildcard may have so many levels, '#' included; one without, and a topic
// name, any number. Bounds a match's stack (some 6 KB) and what a filter can cost: at
// worst one branch of about 100 bytes for each of its levels.
#define MR_FILTER_LEVELS_MAX 200u

static inline uint32_t mr_subscriber_make(uint32_t shard, uint32_t index) {
    return shard << 24 | index;
}
static inline uint32_t mr_subscriber_shard(uint32_t subscriber) {
    return subscriber >> 24;
}
static inline uint32_t mr_subscriber_index(uint32_t subscriber) {
    return subscriber & 0xffffffu;
}

// One subscription as the trie keeps it: 64 bits, read and replaced atomically.
struct mr_subscription {
    uint32_t subscriber;
    uint32_t subscription_id;  // 0: none. At most 268,435,455.
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
};

struct mr_trie_options {
    uint64_t subscriptions_max;  // 0: no limit.
    uint64_t hash_seed;          // Random in production, against chosen collisions.
};

struct mr_trie_stats {
    uint64_t subscription_count;  // Shared ones included.
    uint64_t shared_subscription_count;
    uint64_t node_count;     // Different filters.
    uint64_t bytes;          // All memory of the trie, retired included.
    uint64_t retired_count;  // Waiting for readers.
};

// Creates an empty trie and its epoch; owned by the caller. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_trie_new(struct mr_trie **out, const struct mr_trie_options *options);
// Frees `trie`, which no thread may use any more. NULL is allowed.
void mr_trie_free(struct mr_trie *trie);
struct mr_epoch *mr_trie_epoch(struct mr_trie *trie);
void mr_trie_stats(struct mr_trie *trie, struct mr_trie_stats *out);

// Adds a subscription of `subscription->subscriber` to `filter` (valid; borrowed), or
// replaces the options and the identifier of the one it has [MQTT-3.8.4-3].
// `*node_out` stays valid until this subscriber's removal from it; `*existed_out` says
// whether a subscription was replaced.
// Errors: MR_ERR_NOMEM; MR_ERR_LIMIT (`subscriptions_max`, MR_FILTER_LEVELS_MAX);
// MR_ERR_INVALID (invalid filter, subscriber 0 or of no shard); then nothing has changed.
MR_NODISCARD enum mr_err mr_trie_insert(struct mr_trie *trie, const struct mr_filter *filter,
                                        const struct mr_subscription *subscription,
                                        struct mr_trie_node **node_out, bool *existed_out);

// Removes `subscriber` from `node`, in which it has a subscription. Never fails. May try
// to get memory in order to give back more, and does without.
void mr_trie_remove(struct mr_trie *trie, struct mr_trie_node *node, uint32_t subscriber);

// The node of `filter`, if somebody subscribes to it, else NULL. Call it as a reader;
// valid until the next quiescent state, or as mr_trie_insert says.
struct mr_trie_node *mr_trie_find(struct mr_trie *trie, const struct mr_filter *filter);

// The subscription of `subscriber` in `node`; false if there is none. Call it as a reader.
bool mr_trie_node_get(const struct mr_trie_node *node, uint32_t subscriber,
                      struct mr_subscription *out);

// Writes the filter as it was subscribed to, `$share/name/` included, and returns its
// length (at most MR_TOPIC_BYTES_MAX). Writes nothing if `out_bytes` is too small.
size_t mr_trie_node_text(const struct mr_trie_node *node, uint8_t *out, size_t out_bytes);
bool mr_trie_node_is_shared(const struct mr_trie_node *node);

// What a match reports, in no particular order.
struct mr_trie_visitor {
    void *ctx;
    // Called for each subscription (not shared) that matches. A subscriber with several
    // matching filters comes several times. One that was inserted or removed during the
    // match may come or not.
    void (*on_subscription)(void *ctx, const struct mr_subscription *subscription);
    // Called for each shared filter (share name and filter) that matches. `node` is valid
    // until the reader's next quiescent state.
    void (*on_shared)(void *ctx, struct mr_trie_node *node);
};

// Reports who matches the valid topic name `topic`. Borrows; never allocates, never
// recurses; the visitor must not change the trie.
void mr_trie_match(struct mr_trie *trie, struct mr_slice topic,
                   const struct mr_trie_visitor *visitor);

// Picks the member of a shared filter that gets the next message: round robin over
// the members for which `usable(ctx, subscriber)` is true (NULL: all); if none is, the
// next member at all. Different threads share the round. False if there is no member.
// Call it as a reader. O(1) on average over a round; O(members) if hardly one is usable.
bool mr_trie_node_pick(struct mr_trie_node *node, bool (*usable)(void *ctx, uint32_t subscriber),
                       void *ctx, struct mr_subscription *out);

// ------------------------------------------------- versions, for caches of results
//
// Each change of the trie advances the version of what it can affect and nothing
// else: a filter without wildcard affects the one topic name; a filter with a wildcard
// those topic names that begin with the levels before its first wildcard. The versions
// live in a table of counters chosen by hash, so that an unrelated change is mistaken
// for a related one only by chance (see MR_TRIE_VERSION_COUNTERS).

#ifdef MR_FUZZ
#define MR_TRIE_VERSION_COUNTERS 256u  // Fuzzers begin and end a trie with each input.
#else
#define MR_TRIE_VERSION_COUNTERS 65536u
#endif

// Advanced with every change of the trie. While it stands still, nothing changed.
uint64_t mr_trie_version(const struct mr_trie *trie);

// A number that changes whenever a change may have affected `topic`. Read it before the
// match whose result it is to vouch for. O(levels).
uint64_t mr_trie_topic_version(const struct mr_trie *trie, struct mr_slice topic);

// The seeded hash of a topic name that trie and cache use.
uint64_t mr_trie_hash(const struct mr_trie *trie, struct mr_slice topic);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_TRIE_TRIE_H
