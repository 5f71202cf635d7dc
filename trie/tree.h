// Internal. Topic filters with wildcards, level by level.
//
// A branch stands for the levels that several filters begin with; a filter hangs
// with all the rest of its text on the last branch that it shares, and moves one level
// down when another filter comes that shares more. So a filter alone costs one node and
// one slot, however many levels it has.
//
// Threads: readers of the memory's epoch find and match; one thread at a time changes.
#ifndef MILLRACE_TRIE_TREE_H
#define MILLRACE_TRIE_TREE_H

#include <stdatomic.h>

#include "base/base.h"
#include "trie/memory.h"
#include "trie/node.h"
#include "trie/table.h"

// How a filter goes on behind a branch's levels.
enum mr_branch_place {
    MR_BRANCH_END,   // Not at all.
    MR_BRANCH_REST,  // With "#".
    MR_BRANCH_PLUS,  // With '+'.
    MR_BRANCH_EDGE,  // With a level that is no wildcard: by way of the tree's table.
};

// A child is 0 (there is none), the address of a node (the first of its siblings), or
// the address of a branch with bit 0 set.
struct mr_branch {
    _Atomic(uintptr_t) children[MR_BRANCH_EDGE];  // By place, except edges.
    uint32_t id;                                  // In the keys of its edges; not 0.
    uint32_t prefix_len;  // Where the next level begins in a filter that comes through here.
    // Readers never look here.
    union {
        struct {
            struct mr_branch *parent;
            uint32_t child_count;
            uint32_t level_hash;
        } linked;
        struct mr_epoch_link retired;
    } writer;
    uint16_t level_len;
    uint8_t level[];  // The last of its levels; empty in the root.
};

struct mr_tree {
    struct mr_trie_memory *memory;
    uint64_t hash_seed;
    struct mr_table edges;  // Branch id and hash of the level -> child.
    struct mr_branch *root;
    // Branch ids that are free, in front of an array that has room for all ids that were
    // ever used, so that giving one back needs no memory.
    uint32_t *ids_free;
    uint32_t ids_free_count;
    uint32_t ids_capacity;
    uint32_t ids_used;
};

// Prepares zeroed memory. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_tree_init(struct mr_tree *tree, struct mr_trie_memory *memory,
                                      uint64_t hash_seed);
// Frees the tree and its nodes; no reader may be left. Before mr_tree_fini() free what
// the epoch retired.
void mr_tree_fini(struct mr_tree *tree);

// The first of the nodes with this filter; NULL if there is none.
struct mr_trie_node *mr_tree_find(const struct mr_tree *tree, struct mr_slice filter);
// Links `node`, whose filter and share name aren't there. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_tree_insert(struct mr_tree *tree, struct mr_trie_node *node);
// Unlinks `node`, which is there.
void mr_tree_remove(struct mr_tree *tree, struct mr_trie_node *node);
// Reports the nodes whose filter matches `topic`.
void mr_tree_match(const struct mr_tree *tree, struct mr_slice topic,
                   const struct mr_trie_visitor *visitor);

#endif  // MILLRACE_TRIE_TREE_H
