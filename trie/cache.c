#include "trie/cache.h"

#include <stdlib.h>

#include "trie/gather.h"
#include "trie/index.h"
#include "trie/memory.h"
#include "trie/testing.h"

// To make room at most so many entries are passed over that were used lately; then one
// goes even so. A full round could touch all entries while a PUBLISH waits.
#define CLOCK_STEPS_MAX 16u

// Less than this stays in the second-level cache of a processor by itself.
#define LARGE_CACHE_BYTES_MIN (UINT64_C(256) << 10)
// Of an entry with one target and a name of usual length.
#define PREFETCH_ENTRY_BYTES (sizeof(struct entry) + sizeof(struct mr_target) + 32)
#define CACHE_LINE_BYTES 64u

// One block: this, then nodes, targets, identifiers and the topic name.
struct entry {
    struct mr_route route;
    uint64_t hash;
    uint64_t version;        // Of the trie when it was last known to be right.
    uint64_t topic_version;  // Of its topic, before it was matched.
    struct entry *next;      // The clock, a ring.
    struct entry *previous;
    size_t bytes;
    uint32_t topic_len;
    bool is_used;  // Since the hand last came by.
    const uint8_t *topic;
};

struct mr_topic_cache {
    struct mr_trie *trie;
    struct mr_topic_cache_options options;
    struct mr_index index;
    struct entry *hand;  // The next candidate for eviction; NULL if there are no entries.
    uint64_t serial;
    struct mr_topic_cache_stats stats;
    struct mr_trie_memory memory;  // Of entries and index.
    struct mr_gather gather;
    struct entry *scratch;  // For a result that isn't kept.
    size_t scratch_bytes;
    struct mr_trie_memory scratch_memory;
};

enum mr_err mr_topic_cache_new(struct mr_topic_cache **out, struct mr_trie *trie,
                               const struct mr_topic_cache_options *options) {
    struct mr_topic_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return MR_ERR_NOMEM;
    }
    cache->trie = trie;
    cache->options = *options;
    cache->memory.allocations_left = MR_TRIE_ALLOCATIONS_UNLIMITED;
    cache->scratch_memory.allocations_left = MR_TRIE_ALLOCATIONS_UNLIMITED;
    cache->gather.memory = &cache->scratch_memory;
    cache->gather.shard = options->shard;
    *out = cache;
    return MR_OK;
}

void mr_topic_cache_free(struct mr_topic_cache *cache) {
    if (cache == NULL) {
        return;
    }
    mr_topic_cache_clear(cache);
    mr_gather_fini(&cache->gather);
    mr_memory_free(&cache->scratch_memory, cache->scratch, cache->scratch_bytes);
    MR_DEBUG_ASSERT(cache->memory.bytes == 0);
    MR_DEBUG_ASSERT(cache->scratch_memory.bytes == 0);
    free(cache);
}

void mr_topic_cache_test_limit_allocations(struct mr_topic_cache *cache, uint64_t count) {
    cache->memory.allocations_left = count;
    cache->scratch_memory.allocations_left = count;
}

static struct entry *entry_find(const struct mr_topic_cache *cache, uint64_t hash,
                                struct mr_slice topic) {
    struct mr_index_cursor cursor = mr_index_seek(&cache->index, hash);
    for (struct entry *entry; (entry = mr_index_next(&cursor)) != NULL;) {
        if (mr_slice_eq(mr_slice_of(entry->topic, entry->topic_len), topic)) {
            return entry;
        }
    }
    return NULL;
}

static void entry_remove(struct mr_topic_cache *cache, struct entry *entry) {
    mr_index_remove(&cache->index, &cache->memory, entry->hash, entry);
    if (entry->next == entry) {
        cache->hand = NULL;
    } else {
        entry->previous->next = entry->next;
        entry->next->previous = entry->previous;
        if (cache->hand == entry) {
            cache->hand = entry->next;
        }
    }
    cache->stats.entry_count--;
    mr_memory_free(&cache->memory, entry, entry->bytes);
}

// Puts an entry just behind the hand, which comes to it last.
static enum mr_err entry_insert(struct mr_topic_cache *cache, struct entry *entry) {
    MR_TRY(mr_index_insert(&cache->index, &cache->memory, entry->hash, entry));
    if (cache->hand == NULL) {
        entry->next = entry;
        entry->previous = entry;
        cache->hand = entry;
    } else {
        entry->next = cache->hand;
        entry->previous = cache->hand->previous;
        entry->previous->next = entry;
        entry->next->previous = entry;
    }
    cache->stats.entry_count++;
    return MR_OK;
}

static void evict_one(struct mr_topic_cache *cache) {
    for (uint32_t i = 0; i < CLOCK_STEPS_MAX && cache->hand->is_used; i++) {
        cache->hand->is_used = false;
        cache->hand = cache->hand->next;
    }
    entry_remove(cache, cache->hand);
    cache->stats.evicted_count++;
}

// Makes room for an entry under `hash`, by evicting others. False if it can't be had.
static bool make_room(struct mr_topic_cache *cache, uint64_t hash, size_t bytes) {
    uint64_t cost = mr_memory_cost(bytes);
    uint64_t max = cache->options.bytes_max;
    if (cost > max / 2) {
        return false;
    }
    while (cache->memory.bytes + cost + mr_index_insert_cost(&cache->index, hash) > max) {
        if (cache->hand == NULL) {
            return false;
        }
        evict_one(cache);
    }
    return true;
}

// Memory for a result that is kept; NULL if it can't be.
static struct entry *entry_new(struct mr_topic_cache *cache, uint64_t hash, size_t bytes) {
    if (!make_room(cache, hash, bytes)) {
        return NULL;
    }
    struct entry *entry = mr_memory_alloc(&cache->memory, bytes);
    if (entry == NULL) {
        return NULL;
    }
    entry->hash = hash;
    entry->bytes = bytes;
    if (entry_insert(cache, entry) != MR_OK) {
        mr_memory_free(&cache->memory, entry, bytes);
        return NULL;
    }
    return entry;
}

// Memory for a result that isn't kept; NULL if there is none.
static struct entry *scratch_get(struct mr_topic_cache *cache, size_t bytes) {
    if (cache->scratch_bytes < bytes) {
        // A little more, so that the next ones are likely to fit.
        size_t grown = bytes + bytes / 4;
        struct entry *scratch = mr_memory_alloc(&cache->scratch_memory, grown);
        if (scratch == NULL) {
            return NULL;
        }
        mr_memory_free(&cache->scratch_memory, cache->scratch, cache->scratch_bytes);
        cache->scratch = scratch;
        cache->scratch_bytes = grown;
    }
    return cache->scratch;
}

// Writes what was gathered behind `entry`, by descending alignment.
static void entry_write(struct mr_topic_cache *cache, struct entry *entry, struct mr_slice topic) {
    const struct mr_gather *gather = &cache->gather;
    struct mr_trie_node **shared = (struct mr_trie_node **)(entry + 1);
    struct mr_target *targets = (struct mr_target *)(shared + gather->shared_count);
    uint32_t *ids = (uint32_t *)(targets + gather->target_count);
    uint8_t *name = (uint8_t *)(ids + gather->id_count);
    if (gather->shared_count > 0) {
        memcpy(shared, gather->shared, gather->shared_count * sizeof(struct mr_trie_node *));
    }
    mr_gather_write(gather, targets, ids);
    memcpy(name, topic.data, topic.len);
    entry->topic = name;
    entry->topic_len = (uint32_t)topic.len;
    entry->is_used = false;
    entry->route.targets = targets;
    entry->route.ids = ids;
    entry->route.shared = shared;
    entry->route.target_count = (uint32_t)gather->target_count;
    entry->route.shared_count = (uint32_t)gather->shared_count;
    entry->route.other_shards = gather->other_shards;
    entry->route.serial = ++cache->serial;
}

// Matches `topic` and keeps the result, if possible. `version` and `topic_version` were
// read before. NULL without memory.
static struct entry *fill(struct mr_topic_cache *cache, struct mr_slice topic, uint64_t hash,
                          uint64_t version, uint64_t topic_version) {
    struct mr_gather *gather = &cache->gather;
    if (mr_gather_match(gather, cache->trie, topic) != MR_OK) {
        return NULL;
    }
    mr_gather_merge(gather, topic, cache->options.may_receive, cache->options.ctx);
    size_t bytes = sizeof(struct entry) + gather->shared_count * sizeof(struct mr_trie_node *) +
                   gather->target_count * sizeof(struct mr_target) +
                   gather->id_count * sizeof(uint32_t) + topic.len;
    struct entry *entry = entry_new(cache, hash, bytes);
    if (entry == NULL) {
        cache->stats.uncached_count++;
        entry = scratch_get(cache, bytes);
        if (entry == NULL) {
            return NULL;
        }
    }
    entry_write(cache, entry, topic);
    entry->version = version;
    entry->topic_version = topic_version;
    return entry;
}

const struct mr_route *mr_topic_cache_lookup(struct mr_topic_cache *cache, struct mr_slice topic) {
    uint64_t hash = mr_trie_hash(cache->trie, topic);
    struct entry *entry = entry_find(cache, hash, topic);
    // Before the topic's version, and that before the match.
    uint64_t version = mr_trie_version(cache->trie);
    if (MR_LIKELY(entry != NULL && entry->version == version)) {
        cache->stats.hit_count++;
        entry->is_used = true;
        return &entry->route;
    }
    uint64_t topic_version = mr_trie_topic_version(cache->trie, topic);
    if (entry == NULL) {
        cache->stats.miss_count++;
    } else if (entry->topic_version == topic_version) {
        cache->stats.revalidated_count++;
        entry->version = version;
        entry->is_used = true;
        return &entry->route;
    } else {
        cache->stats.stale_count++;
        entry_remove(cache, entry);
    }
    entry = fill(cache, topic, hash, version, topic_version);
    return entry == NULL ? NULL : &entry->route;
}

bool mr_topic_cache_is_large(const struct mr_topic_cache *cache) {
    return cache->memory.bytes >= LARGE_CACHE_BYTES_MIN;
}

void mr_topic_cache_prefetch(const struct mr_topic_cache *cache, const struct mr_slice *topics,
                             uint32_t count) {
    MR_DEBUG_ASSERT(count <= MR_TOPIC_CACHE_PREFETCH_MAX);
    struct mr_index_cursor cursors[MR_TOPIC_CACHE_PREFETCH_MAX];
    for (uint32_t i = 0; i < count; i++) {
        cursors[i] = mr_index_seek(&cache->index, mr_trie_hash(cache->trie, topics[i]));
        mr_index_prefetch(&cursors[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = mr_index_next(&cursors[i]);
        if (entry != NULL) {
            for (size_t line = 0; line < PREFETCH_ENTRY_BYTES; line += CACHE_LINE_BYTES) {
                __builtin_prefetch(entry + line);
            }
        }
    }
}

void mr_topic_cache_clear(struct mr_topic_cache *cache) {
    while (cache->hand != NULL) {
        entry_remove(cache, cache->hand);
    }
}

void mr_topic_cache_stats(const struct mr_topic_cache *cache, struct mr_topic_cache_stats *out) {
    *out = cache->stats;
    out->bytes = cache->memory.bytes;
    out->scratch_bytes = cache->scratch_memory.bytes;
}
