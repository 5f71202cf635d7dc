// Internal. What the tests of the retained store look at and turn.
//
// Threads: while no other thread uses the store.
#ifndef MILLRACE_BROKER_RETAINED_INTERNAL_H
#define MILLRACE_BROKER_RETAINED_INTERNAL_H

#include "broker/retained/memory.h"
#include "broker/retained/retained.h"
#include "broker/retained/tree.h"

#ifdef __cplusplus
extern "C" {
#endif

// Returns borrowed until the store is freed: what counts, and limits, its allocations.
struct mr_retained_memory *mr_retained_memory_of(struct mr_retained *store);
// Returns borrowed until the store is freed.
struct mr_retained_tree *mr_retained_tree_of(struct mr_retained *store);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_RETAINED_INTERNAL_H
