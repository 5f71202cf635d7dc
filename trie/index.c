#include "trie/index.h"

#define CAPACITY_MIN 4u

static size_t slots_bytes(uint32_t capacity) {
    return capacity * sizeof(struct mr_index_slot);
}

static uint32_t capacity_of(const struct mr_index_partition *partition) {
    return partition->slots == NULL ? 0 : partition->mask + 1;
}

// Is it more than three quarters full with one entry more?
static bool is_full(const struct mr_index_partition *partition) {
    return ((uint64_t)partition->count + 1) * 4 > (uint64_t)capacity_of(partition) * 3;
}

static uint32_t grown_capacity(const struct mr_index_partition *partition) {
    uint32_t capacity = capacity_of(partition);
    return capacity == 0 ? CAPACITY_MIN : capacity * 2;
}

static void put(struct mr_index_partition *partition, uint64_t hash, void *entry) {
    uint32_t at = (uint32_t)(hash >> 32) & partition->mask;
    while (partition->slots[at].entry != NULL) {
        at = (at + 1) & partition->mask;
    }
    partition->slots[at].hash = hash;
    partition->slots[at].entry = entry;
    partition->count++;
}

static enum mr_err grow(struct mr_index_partition *partition, struct mr_trie_memory *memory) {
    uint32_t capacity = grown_capacity(partition);
    if (capacity > UINT32_MAX / 4) {
        return MR_ERR_NOMEM;
    }
    struct mr_index_partition old = *partition;
    struct mr_index_slot *slots = mr_memory_alloc(memory, slots_bytes(capacity));
    if (slots == NULL) {
        return MR_ERR_NOMEM;
    }
    partition->slots = slots;
    partition->mask = capacity - 1;
    partition->count = 0;
    for (uint32_t i = 0; i < capacity_of(&old); i++) {
        if (old.slots[i].entry != NULL) {
            put(partition, old.slots[i].hash, old.slots[i].entry);
        }
    }
    mr_memory_free(memory, old.slots, slots_bytes(capacity_of(&old)));
    return MR_OK;
}

uint64_t mr_index_insert_cost(const struct mr_index *index, uint64_t hash) {
    const struct mr_index_partition *partition = &index->partitions[hash % MR_INDEX_PARTITIONS];
    // The old slots are counted on: both are there for a moment.
    return is_full(partition) ? mr_memory_cost(slots_bytes(grown_capacity(partition))) : 0;
}

enum mr_err mr_index_insert(struct mr_index *index, struct mr_trie_memory *memory, uint64_t hash,
                            void *entry) {
    struct mr_index_partition *partition = &index->partitions[hash % MR_INDEX_PARTITIONS];
    if (is_full(partition)) {
        MR_TRY(grow(partition, memory));
    }
    put(partition, hash, entry);
    return MR_OK;
}

void mr_index_remove(struct mr_index *index, struct mr_trie_memory *memory, uint64_t hash,
                     const void *entry) {
    struct mr_index_partition *partition = &index->partitions[hash % MR_INDEX_PARTITIONS];
    uint32_t mask = partition->mask;
    uint32_t hole = (uint32_t)(hash >> 32) & mask;
    while (partition->slots[hole].entry != entry) {
        hole = (hole + 1) & mask;
    }
    // Entries behind the hole move up to where a search for them still comes by.
    for (uint32_t at = (hole + 1) & mask; partition->slots[at].entry != NULL;
         at = (at + 1) & mask) {
        uint32_t home = (uint32_t)(partition->slots[at].hash >> 32) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            partition->slots[hole] = partition->slots[at];
            hole = at;
        }
    }
    partition->slots[hole].entry = NULL;
    if (--partition->count == 0) {
        mr_memory_free(memory, partition->slots, slots_bytes(mask + 1));
        partition->slots = NULL;
        partition->mask = 0;
    }
}
