// Internal. Seeded hashes of topic names, filters and levels.
//
// Threads: pure functions, any thread.
#ifndef MILLRACE_TRIE_HASH_H
#define MILLRACE_TRIE_HASH_H

#ifndef XXH_INLINE_ALL  // @system//:xxhash defines it.
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#include "base/base.h"

// Of a whole topic name or filter, or of one level.
static inline uint64_t mr_hash_text(struct mr_slice text, uint64_t seed) {
    return XXH3_64bits_withSeed(text.data, text.len, seed);
}

// Spreads every bit of `x` over the whole; one to one.
static inline uint64_t mr_hash_mix(uint64_t x) {
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

// Maps 32 bits evenly to 0 .. range - 1.
static inline uint32_t mr_hash_scale(uint32_t hash, uint32_t range) {
    return (uint32_t)((uint64_t)hash * range >> 32);
}

// The hash of a run of levels at the front of a topic, one level at a time: begins with
// mr_hash_prefix_begin(), each level is added by mr_hash_prefix_add().
static inline uint64_t mr_hash_prefix_begin(uint64_t seed) {
    return mr_hash_mix(seed ^ UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t mr_hash_prefix_add(uint64_t prefix, uint64_t level_hash) {
    return mr_hash_mix(prefix * 3 + level_hash);
}

#endif  // MILLRACE_TRIE_HASH_H
