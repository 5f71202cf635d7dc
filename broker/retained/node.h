// Internal. The nodes of the tree: sorted arrays of entries, and of children with the
// separators between them.
//
// Threads: under the store's lock.
#ifndef MILLRACE_BROKER_RETAINED_NODE_H
#define MILLRACE_BROKER_RETAINED_NODE_H

#include "base/base.h"
#include "broker/message/message.h"
#include "broker/retained/bound.h"
#include "broker/retained/heads.h"
#include "broker/retained/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

// Who published; shared by neighbours in the order that have the same.
struct mr_retained_source {
    uint32_t refs;
    uint32_t len;
    uint8_t bytes[];
};

// One topic. The tree looks at the message's topic name; what both point to is its user's.
struct mr_retained_entry {
    struct mr_message *message;
    struct mr_retained_source *source;  // NULL: empty.
};

#define MR_RETAINED_LEAF_MAX 32u
#define MR_RETAINED_BRANCH_MAX 32u

struct mr_retained_leaf {
    struct mr_retained_leaf *next;  // In order.
    uint32_t count;
    struct mr_heads heads;
    struct mr_retained_entry entries[MR_RETAINED_LEAF_MAX];
};

// The shortest text above every topic name on its left and not above any on its right.
struct mr_separator {
    uint32_t len;
    uint8_t bytes[];
};

struct mr_retained_branch {
    uint32_t count;         // Of children; at least 1.
    struct mr_heads heads;  // Of the separators.
    void *children[MR_RETAINED_BRANCH_MAX];
    // [i] lies between children i and i + 1.
    struct mr_separator *separators[MR_RETAINED_BRANCH_MAX - 1];
};

static inline struct mr_slice mr_separator_text(const struct mr_separator *separator) {
    return mr_slice_of(separator->bytes, separator->len);
}

// Returns owned what separates the topic names `left` and `right`, which is behind `left`.
// NULL if out of memory.
struct mr_separator *mr_separator_new(struct mr_retained_memory *memory, struct mr_slice left,
                                      struct mr_slice right);
void mr_separator_free(struct mr_retained_memory *memory, struct mr_separator *separator);

static inline struct mr_slice mr_retained_leaf_topic(const struct mr_retained_leaf *leaf,
                                                     uint32_t index) {
    return mr_message_topic(leaf->entries[index].message);
}

// The index of the first entry behind `bound`. `plain`: without use of the heads.
uint32_t mr_retained_leaf_seek(const struct mr_retained_leaf *leaf,
                               const struct mr_topic_bound *bound, bool plain);
// There is room, and `index` is the place in the order.
void mr_retained_leaf_insert(struct mr_retained_leaf *leaf, uint32_t index,
                             const struct mr_retained_entry *entry);
void mr_retained_leaf_remove(struct mr_retained_leaf *leaf, uint32_t index);
// Moves the entries from index `at` on to `right`, new behind `leaf`.
void mr_retained_leaf_split(struct mr_retained_leaf *leaf, struct mr_retained_leaf *right,
                            uint32_t at);
// Moves all entries of `right`, the next leaf, to `leaf`, which has room for them.
void mr_retained_leaf_merge(struct mr_retained_leaf *leaf, const struct mr_retained_leaf *right);

// The index of the child in which `bound` lies.
uint32_t mr_retained_branch_seek(const struct mr_retained_branch *branch,
                                 const struct mr_topic_bound *bound, bool plain);
// Puts `child` behind the child at `index`, from which it was split off at `separator`. There is
// room.
void mr_retained_branch_insert(struct mr_retained_branch *branch, uint32_t index,
                               struct mr_separator *separator, void *child);
// Takes out the child behind `index` and returns owned what separated the two.
struct mr_separator *mr_retained_branch_remove(struct mr_retained_branch *branch, uint32_t index);
// Moves the children from index `at` (not 0) on to the new `right`. Returns owned what
// separates the two.
struct mr_separator *mr_retained_branch_split(struct mr_retained_branch *branch,
                                              struct mr_retained_branch *right, uint32_t at);
// Moves all children of `right` to `branch`, which has room for them. Takes `separator`, which
// lies between the two.
void mr_retained_branch_merge(struct mr_retained_branch *branch,
                              const struct mr_retained_branch *right,
                              struct mr_separator *separator);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_RETAINED_NODE_H
