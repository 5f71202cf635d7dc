// Internal. The index of a topic cache: 64-bit hash -> entry, for one thread. Made of
// partitions that grow one by one, so that no lookup waits for all to move.
#ifndef MILLRACE_TRIE_INDEX_H
#define MILLRACE_TRIE_INDEX_H

#include "base/base.h"
#include "trie/memory.h"

#define MR_INDEX_PARTITIONS 256u

struct mr_index_slot {
    uint64_t hash;
    void *entry;  // NULL: empty.
};

struct mr_index_partition {
    struct mr_index_slot *slots;  // NULL as long as there is no entry.
    uint32_t mask;                // Slots less one; their number is a power of two.
    uint32_t count;
};

// Zeroed: an empty index.
struct mr_index {
    struct mr_index_partition partitions[MR_INDEX_PARTITIONS];
};

// Walks the entries of one hash.
struct mr_index_cursor {
    const struct mr_index_partition *partition;
    uint64_t hash;
    uint32_t at;
};

static inline struct mr_index_cursor mr_index_seek(const struct mr_index *index, uint64_t hash) {
    struct mr_index_cursor cursor = {&index->partitions[hash % MR_INDEX_PARTITIONS], hash,
                                     (uint32_t)(hash >> 32)};
    return cursor;
}

// Asks the processor for what mr_index_next() will read first.
static inline void mr_index_prefetch(const struct mr_index_cursor *cursor) {
    const struct mr_index_partition *partition = cursor->partition;
    __builtin_prefetch(partition->slots + (cursor->at & partition->mask));
}

// Returns NULL when there are no more.
static inline void *mr_index_next(struct mr_index_cursor *cursor) {
    const struct mr_index_partition *partition = cursor->partition;
    if (partition->slots == NULL) {
        return NULL;
    }
    // There always is an empty slot.
    for (;;) {
        const struct mr_index_slot *slot = &partition->slots[cursor->at & partition->mask];
        cursor->at++;
        if (slot->entry == NULL || slot->hash == cursor->hash) {
            return slot->entry;
        }
    }
}

// How many bytes more inserting under `hash` will take.
uint64_t mr_index_insert_cost(const struct mr_index *index, uint64_t hash);
// Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_index_insert(struct mr_index *index, struct mr_trie_memory *memory,
                                         uint64_t hash, void *entry);
// Takes out `entry`, which is there.
void mr_index_remove(struct mr_index *index, struct mr_trie_memory *memory, uint64_t hash,
                     const void *entry);

#endif  // MILLRACE_TRIE_INDEX_H
