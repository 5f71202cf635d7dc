#include "trie/memory.h"

#include <stdlib.h>

void *mr_memory_alloc(struct mr_trie_memory *memory, size_t bytes) {
    if (memory->allocations_left == 0) {
        return NULL;
    }
    void *block = calloc(1, bytes);
    if (block == NULL) {
        return NULL;
    }
    if (memory->allocations_left != MR_TRIE_ALLOCATIONS_UNLIMITED) {
        memory->allocations_left--;
    }
    memory->bytes += mr_memory_cost(bytes);
    return block;
}

void mr_memory_free(struct mr_trie_memory *memory, void *block, size_t bytes) {
    if (block == NULL) {
        return;
    }
    memory->bytes -= mr_memory_cost(bytes);
    free(block);
}
