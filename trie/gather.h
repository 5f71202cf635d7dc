// Internal. What a match found for one shard, gathered and merged by receiver.
//
// Threads: one.
#ifndef MILLRACE_TRIE_GATHER_H
#define MILLRACE_TRIE_GATHER_H

#include "base/base.h"
#include "trie/cache.h"
#include "trie/memory.h"
#include "trie/trie.h"

// Arrays that are kept for the next match. Zeroed: empty.
struct mr_gather {
    struct mr_trie_memory *memory;
    uint64_t *words;  // Subscriptions of the own shard, as in trie/members.h.
    uint64_t *spare;  // As many, for sorting.
    size_t word_count;
    size_t word_capacity;
    struct mr_trie_node **shared;
    size_t shared_count;
    size_t shared_capacity;
    uint64_t other_shards;
    uint32_t shard;
    bool out_of_memory;
    // After mr_gather_merge():
    size_t target_count;
    size_t id_count;
};

void mr_gather_fini(struct mr_gather *gather);

// Matches `topic`. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_gather_match(struct mr_gather *gather, struct mr_trie *trie,
                                         struct mr_slice topic);

// Sorts by subscriber, drops whom `may_receive` (NULL: all may) refuses, and counts.
void mr_gather_merge(struct mr_gather *gather, struct mr_slice topic,
                     bool (*may_receive)(void *ctx, uint32_t subscriber, struct mr_slice topic),
                     void *ctx);

// Writes the receivers to arrays of `target_count` and `id_count` elements.
void mr_gather_write(const struct mr_gather *gather, struct mr_target *targets, uint32_t *ids);

#endif  // MILLRACE_TRIE_GATHER_H
