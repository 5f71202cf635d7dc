// Names to indices, by hash. The names come from the operator's files, so an attacker
// can't choose what collides.
#include <stdlib.h>

#include "broker/auth/internal.h"

// FNV-1a.
uint64_t mr_name_hash(struct mr_slice name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ name.data[i]) * 0x100000001b3u;
    }
    return hash ^ (hash >> 32);
}

enum mr_err mr_name_table_init(struct mr_name_table *table, const struct mr_slice *names,
                               uint32_t count, uint32_t *equal_out) {
    *equal_out = MR_NAME_NONE;
    uint32_t size = 8;
    while (size / 2 < count && size < 1u << 31) {
        size *= 2;
    }
    *table = (struct mr_name_table){.names = names, .mask = size - 1};
    table->slots = calloc(size, sizeof(*table->slots));
    if (table->slots == NULL) {
        return MR_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)mr_name_hash(names[i]) & table->mask;
        while (table->slots[slot] != 0 && !mr_slice_eq(names[table->slots[slot] - 1], names[i])) {
            slot = (slot + 1) & table->mask;
        }
        if (table->slots[slot] != 0) {
            *equal_out = i;
        } else {
            table->slots[slot] = i + 1;
        }
    }
    return MR_OK;
}

void mr_name_table_fini(struct mr_name_table *table) {
    free(table->slots);
    *table = (struct mr_name_table){0};
}

uint32_t mr_name_table_find(const struct mr_name_table *table, struct mr_slice name) {
    uint32_t slot = (uint32_t)mr_name_hash(name) & table->mask;
    // At most half of the slots are taken, so there is a free one.
    while (table->slots[slot] != 0) {
        uint32_t index = table->slots[slot] - 1;
        if (mr_slice_eq(table->names[index], name)) {
            return index;
        }
        slot = (slot + 1) & table->mask;
    }
    return MR_NAME_NONE;
}
