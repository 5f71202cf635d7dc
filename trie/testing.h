// For tests of the trie only: makes its memory run out.
#ifndef MILLRACE_TRIE_TESTING_H
#define MILLRACE_TRIE_TESTING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_topic_cache;
struct mr_trie;

// Lets `count` allocations succeed and then fails all; UINT64_MAX fails none.
void mr_trie_test_limit_allocations(struct mr_trie *trie, uint64_t count);
void mr_topic_cache_test_limit_allocations(struct mr_topic_cache *cache, uint64_t count);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_TRIE_TESTING_H
