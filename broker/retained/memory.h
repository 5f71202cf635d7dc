// Internal. Memory of the index, counted as the allocator counts it.
//
// Threads: under the store's lock.
#ifndef MILLRACE_BROKER_RETAINED_MEMORY_H
#define MILLRACE_BROKER_RETAINED_MEMORY_H

#include <stdlib.h>

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_retained_memory {
    uint64_t bytes;  // In use, with what an allocator adds to each block.
    // For tests: so many allocations succeed, then all fail.
    uint64_t allocations_left;
};

#define MR_RETAINED_ALLOCATIONS_UNLIMITED UINT64_MAX

// What a block of so many bytes costs: a word in front, rounded up to 16, as in glibc.
// Other allocators' size classes cost about the same.
static inline uint64_t mr_retained_memory_cost(size_t bytes) {
    uint64_t cost = ((uint64_t)bytes + 8 + 15) & ~UINT64_C(15);
    return cost < 32 ? 32 : cost;
}

// Returns owned memory, not zeroed; NULL if there is none.
static inline void *mr_retained_memory_alloc(struct mr_retained_memory *memory, size_t bytes) {
    if (memory->allocations_left != MR_RETAINED_ALLOCATIONS_UNLIMITED) {
        if (memory->allocations_left == 0) {
            return NULL;
        }
        memory->allocations_left--;
    }
    void *block = malloc(bytes);
    if (block != NULL) {
        memory->bytes += mr_retained_memory_cost(bytes);
    }
    return block;
}

// `bytes` as in the allocation. NULL is allowed.
static inline void mr_retained_memory_free(struct mr_retained_memory *memory, void *block,
                                           size_t bytes) {
    if (block != NULL) {
        memory->bytes -= mr_retained_memory_cost(bytes);
        free(block);
    }
}

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_RETAINED_MEMORY_H
