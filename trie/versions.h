// Internal. The versions of a trie: see trie/trie.h.
//
// Threads: any may read; one at a time advances.
#ifndef MILLRACE_TRIE_VERSIONS_H
#define MILLRACE_TRIE_VERSIONS_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/base.h"
#include "codec/topic.h"
#include "trie/memory.h"
#include "trie/trie.h"

struct mr_versions {
    // Read for each PUBLISH and hence alone on its cache line.
    alignas(64) _Atomic(uint64_t) global;
    alignas(64) _Atomic(uint64_t) *counters;
};

// Prepares zeroed memory. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_versions_init(struct mr_versions *versions,
                                          struct mr_trie_memory *memory);
void mr_versions_fini(struct mr_versions *versions, struct mr_trie_memory *memory);

// After a change of the subscriptions to `filter` became visible, and before anything
// that it made unreachable is retired.
void mr_versions_advance(struct mr_versions *versions, struct mr_slice filter, bool is_wildcard,
                         uint64_t hash_seed);

// `topic_hash` is the hash of the whole topic.
uint64_t mr_versions_of_topic(const struct mr_versions *versions, struct mr_slice topic,
                              uint64_t topic_hash, uint64_t hash_seed);

#endif  // MILLRACE_TRIE_VERSIONS_H
