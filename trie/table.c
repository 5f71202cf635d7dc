#include "trie/table.h"

// A segment is replaced when this part of its slots is used; the new one is about
// half full. Linear probing looks at 6 slots on average at 70 %, at 2.5 when new.
#define USED_PERCENT_MAX 70u
#define CAPACITY_MIN 4u
// A segment shrinks when fewer than one slot in so many has a value.
#define SHRINK_RATIO 8u

static size_t segment_bytes(uint32_t capacity) {
    return sizeof(struct mr_table_segment) + (size_t)capacity * sizeof(struct mr_table_slot);
}

static void segment_free(void *ctx, struct mr_epoch_link *link) {
    struct mr_table_segment *segment = MR_CONTAINER_OF(link, struct mr_table_segment, retired);
    mr_memory_free(ctx, segment, segment_bytes(segment->capacity));
}

void mr_table_init(struct mr_table *table, struct mr_trie_memory *memory) {
    table->memory = memory;
}

void mr_table_fini(struct mr_table *table) {
    for (uint32_t i = 0; i < MR_TABLE_SEGMENTS; i++) {
        struct mr_table_segment *segment = atomic_load(&table->segments[i]);
        if (segment != NULL) {
            segment_free(table->memory, &segment->retired);
        }
    }
}

static uint32_t first_index(uint64_t hash, uint32_t capacity) {
    return mr_hash_scale((uint32_t)(hash >> 32), capacity);
}

// Puts a value into a free slot, of which there is one: one without key, or one that
// lost its value under the same key.
static void segment_put(struct mr_table_segment *segment, uint64_t hash, uint64_t key,
                        uintptr_t value) {
    uint32_t index = first_index(hash, segment->capacity);
    for (;;) {
        struct mr_table_slot *slot = &segment->slots[index];
        uint64_t slot_key = atomic_load_explicit(&slot->key, memory_order_relaxed);
        uintptr_t slot_value = atomic_load_explicit(&slot->value, memory_order_relaxed);
        if (slot_key == 0 || (slot_key == key && slot_value == 0)) {
            atomic_store_explicit(&slot->value, value, memory_order_release);
            atomic_store_explicit(&slot->key, key, memory_order_release);
            segment->live_count++;
            segment->used_count += slot_key == 0;
            return;
        }
        index = index + 1 == segment->capacity ? 0 : index + 1;
    }
}

// Replaces segment `at` by one with room for `value_count` values; those it has move.
static enum mr_err segment_rebuild(struct mr_table *table, uint32_t at, uint32_t value_count) {
    if (value_count > UINT32_MAX / 4) {
        return MR_ERR_LIMIT;
    }
    uint32_t capacity = value_count * 2;
    capacity = capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity;
    struct mr_table_segment *segment = mr_memory_alloc(table->memory, segment_bytes(capacity));
    if (segment == NULL) {
        return MR_ERR_NOMEM;
    }
    segment->capacity = capacity;
    struct mr_table_segment *old = atomic_load_explicit(&table->segments[at], memory_order_relaxed);
    for (uint32_t i = 0; old != NULL && i < old->capacity; i++) {
        uint64_t key = atomic_load_explicit(&old->slots[i].key, memory_order_relaxed);
        uintptr_t value = atomic_load_explicit(&old->slots[i].value, memory_order_relaxed);
        if (value != 0) {
            segment_put(segment, mr_hash_mix(key), key, value);
        }
    }
    atomic_store_explicit(&table->segments[at], segment, memory_order_release);
    if (old != NULL) {
        mr_epoch_retire(table->memory->epoch, &old->retired, segment_free, table->memory);
    }
    return MR_OK;
}

enum mr_err mr_table_insert(struct mr_table *table, uint64_t key, uintptr_t value) {
    MR_DEBUG_ASSERT(key != 0);
    MR_DEBUG_ASSERT(value != 0);
    uint64_t hash = mr_hash_mix(key);
    uint32_t at = (uint32_t)(hash % MR_TABLE_SEGMENTS);
    struct mr_table_segment *segment =
        atomic_load_explicit(&table->segments[at], memory_order_relaxed);
    if (segment == NULL || (uint64_t)(segment->used_count + 1) * 100 >
                               (uint64_t)segment->capacity * USED_PERCENT_MAX) {
        MR_TRY(segment_rebuild(table, at, segment == NULL ? 1 : segment->live_count + 1));
        segment = atomic_load_explicit(&table->segments[at], memory_order_relaxed);
    }
    segment_put(segment, hash, key, value);
    return MR_OK;
}

// After a removal: gives back what the segment no longer needs. Does without if
// there is no memory for a smaller one.
static void segment_shrink(struct mr_table *table, uint32_t at) {
    struct mr_table_segment *segment =
        atomic_load_explicit(&table->segments[at], memory_order_relaxed);
    if (segment->live_count == 0) {
        atomic_store_explicit(&table->segments[at], NULL, memory_order_release);
        mr_epoch_retire(table->memory->epoch, &segment->retired, segment_free, table->memory);
    } else if (segment->capacity > CAPACITY_MIN &&
               segment->live_count < segment->capacity / SHRINK_RATIO) {
        enum mr_err err = segment_rebuild(table, at, segment->live_count);
        (void)err;
    }
}

void mr_table_replace(struct mr_table *table, uint64_t key, uintptr_t old, uintptr_t value) {
    uint64_t hash = mr_hash_mix(key);
    uint32_t at = (uint32_t)(hash % MR_TABLE_SEGMENTS);
    struct mr_table_segment *segment =
        atomic_load_explicit(&table->segments[at], memory_order_relaxed);
    uint32_t index = first_index(hash, segment->capacity);
    for (uint32_t left = segment->capacity;; left--) {
        MR_ASSERT(left > 0);
        struct mr_table_slot *slot = &segment->slots[index];
        if (atomic_load_explicit(&slot->key, memory_order_relaxed) == key &&
            atomic_load_explicit(&slot->value, memory_order_relaxed) == old) {
            atomic_store_explicit(&slot->value, value, memory_order_release);
            if (value == 0) {
                segment->live_count--;
                segment_shrink(table, at);
            }
            return;
        }
        index = index + 1 == segment->capacity ? 0 : index + 1;
    }
}
