// Internal. The index of the retained store: a B+ tree over topic names, in the
// order of their bytes.
//
// A leaf holds two addresses for a topic and its head (heads.h); the topic names stay in the
// messages. Branches keep the shortest text that tells their children apart. So a topic
// costs 20 bytes, or about 32 with the room that random insertion leaves, however deep it is.
//
// Threads: under the store's lock.
#ifndef MILLRACE_BROKER_RETAINED_TREE_H
#define MILLRACE_BROKER_RETAINED_TREE_H

#include "base/base.h"
#include "broker/retained/bound.h"
#include "broker/retained/memory.h"
#include "broker/retained/node.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_retained_tree {
    struct mr_retained_memory *memory;
    void *root;       // A leaf if `height` is 0, else a branch; NULL before the first entry.
    uint32_t height;  // Branches between root and leaf.
    bool plain;       // For benchmarks: searches without heads.
};

// A place in the tree, valid until the tree changes.
struct mr_retained_place {
    struct mr_retained_leaf *leaf;  // NULL: behind the last entry.
    uint32_t index;
};

static inline struct mr_retained_entry *mr_retained_place_entry(
    const struct mr_retained_place *place) {
    return place->leaf != NULL ? &place->leaf->entries[place->index] : NULL;
}

// Prepares an empty tree. Nothing is allocated before the first insert.
void mr_retained_tree_init(struct mr_retained_tree *tree, struct mr_retained_memory *memory);
// Frees the tree, not what its entries point to.
void mr_retained_tree_fini(struct mr_retained_tree *tree);

// Goes to the first entry behind `bound`.
void mr_retained_tree_seek(const struct mr_retained_tree *tree, const struct mr_topic_bound *bound,
                           struct mr_retained_place *out);
// The same, if `bound` is known not to lie before `place`: cheaper when it is near.
void mr_retained_tree_seek_forward(const struct mr_retained_tree *tree,
                                   const struct mr_topic_bound *bound,
                                   struct mr_retained_place *place);
// Goes to the next entry. Not to be called behind the last one.
void mr_retained_place_next(struct mr_retained_place *place);

// The entry of `topic`, or NULL. Then `*neighbors_out` (may be NULL) are up to two entries
// between which it would be.
struct mr_retained_entry *mr_retained_tree_find(const struct mr_retained_tree *tree,
                                                struct mr_slice topic,
                                                struct mr_retained_entry *neighbors_out[2]);

// Adds an entry whose topic name is not there yet. Errors: MR_ERR_NOMEM, and MR_ERR_LIMIT
// if the tree were too high, which no memory is large enough for.
MR_NODISCARD enum mr_err mr_retained_tree_insert(struct mr_retained_tree *tree,
                                                 const struct mr_retained_entry *entry);
// Takes the entry of `topic` out. Returns whether there was one. Never fails.
bool mr_retained_tree_remove(struct mr_retained_tree *tree, struct mr_slice topic,
                             struct mr_retained_entry *out);

// For tests: asserts that order, separators, counts and the chain of leaves are as they
// have to be. Returns the number of entries.
uint64_t mr_retained_tree_check(const struct mr_retained_tree *tree);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_RETAINED_TREE_H
