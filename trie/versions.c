#include "trie/versions.h"

#include <assert.h>

#include "trie/hash.h"

static_assert((MR_TRIE_VERSION_COUNTERS & (MR_TRIE_VERSION_COUNTERS - 1)) == 0,
              "counters are chosen by masking");

#define COUNTERS_BYTES (MR_TRIE_VERSION_COUNTERS * sizeof(uint64_t))

enum mr_err mr_versions_init(struct mr_versions *versions, struct mr_trie_memory *memory) {
    // Fresh pages of the system, which take no memory until a counter on them moves.
    versions->counters = mr_memory_alloc(memory, COUNTERS_BYTES);
    return versions->counters == NULL ? MR_ERR_NOMEM : MR_OK;
}

void mr_versions_fini(struct mr_versions *versions, struct mr_trie_memory *memory) {
    mr_memory_free(memory, versions->counters, COUNTERS_BYTES);
}

static uint32_t counter_index(uint64_t hash) {
    return (uint32_t)(hash & (MR_TRIE_VERSION_COUNTERS - 1));
}

// The counter for the levels before the first wildcard.
static uint32_t wildcard_counter(struct mr_slice filter, uint64_t hash_seed) {
    uint64_t prefix = mr_hash_prefix_begin(hash_seed);
    struct mr_levels it = mr_levels_begin(filter);
    struct mr_slice level;
    while (mr_levels_next(&it, &level)) {
        if (level.len == 1 && (level.data[0] == '+' || level.data[0] == '#')) {
            break;
        }
        prefix = mr_hash_prefix_add(prefix, mr_hash_text(level, hash_seed));
    }
    return counter_index(prefix);
}

void mr_versions_advance(struct mr_versions *versions, struct mr_slice filter, bool is_wildcard,
                         uint64_t hash_seed) {
    uint32_t index = is_wildcard ? wildcard_counter(filter, hash_seed)
                                 : counter_index(mr_hash_text(filter, hash_seed));
    // In this order: who sees the new global version sees the new counter, and who sees
    // either sees the change.
    atomic_fetch_add_explicit(&versions->counters[index], 1, memory_order_release);
    atomic_fetch_add_explicit(&versions->global, 1, memory_order_release);
}

static uint64_t counter_get(const struct mr_versions *versions, uint64_t hash) {
    return atomic_load_explicit(&versions->counters[counter_index(hash)], memory_order_acquire);
}

uint64_t mr_versions_of_topic(const struct mr_versions *versions, struct mr_slice topic,
                              uint64_t topic_hash, uint64_t hash_seed) {
    // Counters only grow, so their sum changes if any of them does.
    uint64_t sum = counter_get(versions, topic_hash);
    uint64_t prefix = mr_hash_prefix_begin(hash_seed);
    if (topic.len == 0 || topic.data[0] != '$') {
        // A wildcard at the first level [MQTT-4.7.2-1].
        sum += counter_get(versions, prefix);
    }
    // No filter with a wildcard has more levels before it.
    struct mr_levels it = mr_levels_begin(topic);
    struct mr_slice level;
    for (uint32_t i = 0; i < MR_FILTER_LEVELS_MAX && mr_levels_next(&it, &level); i++) {
        prefix = mr_hash_prefix_add(prefix, mr_hash_text(level, hash_seed));
        sum += counter_get(versions, prefix);
    }
    return sum;
}
