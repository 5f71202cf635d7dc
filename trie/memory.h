// Internal. The memory of one trie: counted, and given back through its epoch.
//
// Threads: under the trie's writers' lock, or by a structure's only thread.
#ifndef MILLRACE_TRIE_MEMORY_H
#define MILLRACE_TRIE_MEMORY_H

#include "base/base.h"
#include "trie/epoch.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_trie_memory {
    struct mr_epoch *epoch;
    uint64_t bytes;  // In use, with what an allocator adds to each block.
    // For tests: so many allocations succeed, then all fail.
    uint64_t allocations_left;
};

#define MR_TRIE_ALLOCATIONS_UNLIMITED UINT64_MAX

// What a block of so many bytes costs: a word in front, rounded up to 16, as in
// glibc. Other allocators' size classes cost about the same.
static inline uint64_t mr_memory_cost(size_t bytes) {
    uint64_t cost = ((uint64_t)bytes + 8 + 15) & ~UINT64_C(15);
    return cost < 32 ? 32 : cost;
}

// Returns owned zeroed memory; NULL if there is none.
void *mr_memory_alloc(struct mr_trie_memory *memory, size_t bytes);
// `bytes` as in the allocation. NULL is allowed.
void mr_memory_free(struct mr_trie_memory *memory, void *block, size_t bytes);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_TRIE_MEMORY_H
