// Internal. A hash table from 64-bit keys to addresses that is read without locks.
//
// A key may come several times, with different values: it is a hint, and the reader
// checks what it finds. Made of segments chosen by hash which grow and shrink one
// by one, so that no single change has to move everything, and little of the memory
// is there twice while it happens. A slot keeps its key until its segment is replaced,
// so a reader never takes one key's value for another's.
//
// Threads: readers of the memory's epoch look up; one thread at a time changes.
#ifndef MILLRACE_TRIE_TABLE_H
#define MILLRACE_TRIE_TABLE_H

#include <stdatomic.h>

#include "base/base.h"
#include "trie/hash.h"
#include "trie/memory.h"

#define MR_TABLE_SEGMENTS 256u

struct mr_table_slot {
    _Atomic(uint64_t) key;     // 0: never used.
    _Atomic(uintptr_t) value;  // 0: removed.
};

struct mr_table_segment {
    struct mr_epoch_link retired;
    uint32_t capacity;
    uint32_t used_count;  // Slots with a key.
    uint32_t live_count;  // Slots with a value.
    struct mr_table_slot slots[];
};

struct mr_table {
    struct mr_trie_memory *memory;
    _Atomic(struct mr_table_segment *) segments[MR_TABLE_SEGMENTS];
};

// Prepares zeroed memory. Nothing is allocated before the first insert.
void mr_table_init(struct mr_table *table, struct mr_trie_memory *memory);
// Frees the table, not what its values point to. No reader may be left.
void mr_table_fini(struct mr_table *table);

// Adds `value` (not 0) under `key` (not 0). Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_table_insert(struct mr_table *table, uint64_t key, uintptr_t value);
// Puts `value` in the place of `old`, which is there under `key`. 0 removes it.
void mr_table_replace(struct mr_table *table, uint64_t key, uintptr_t old, uintptr_t value);

// Walks the values under one key.
struct mr_table_cursor {
    const struct mr_table_segment *segment;  // NULL: at the end.
    uint64_t key;
    uint32_t index;
    uint32_t left;
};

static inline struct mr_table_cursor mr_table_seek(const struct mr_table *table, uint64_t key) {
    uint64_t hash = mr_hash_mix(key);
    struct mr_table_cursor cursor = {NULL, key, 0, 0};
    cursor.segment =
        atomic_load_explicit(&table->segments[hash % MR_TABLE_SEGMENTS], memory_order_acquire);
    if (cursor.segment != NULL) {
        cursor.left = cursor.segment->capacity;
        cursor.index = mr_hash_scale((uint32_t)(hash >> 32), cursor.left);
    }
    return cursor;
}

// Begins to load the slot that mr_table_next() will look at first.
static inline void mr_table_prefetch(const struct mr_table_cursor *cursor) {
    if (cursor->segment != NULL) {
        __builtin_prefetch(&cursor->segment->slots[cursor->index]);
    }
}

// Returns 0 when there are no more.
static inline uintptr_t mr_table_next(struct mr_table_cursor *cursor) {
    while (cursor->left > 0) {
        const struct mr_table_slot *slot = &cursor->segment->slots[cursor->index];
        cursor->left--;
        if (++cursor->index == cursor->segment->capacity) {
            cursor->index = 0;
        }
        uint64_t key = atomic_load_explicit(&slot->key, memory_order_acquire);
        if (key == 0) {
            cursor->left = 0;
        } else if (key == cursor->key) {
            uintptr_t value = atomic_load_explicit(&slot->value, memory_order_acquire);
            if (value != 0) {
                return value;
            }
        }
    }
    return 0;
}

#endif  // MILLRACE_TRIE_TABLE_H
