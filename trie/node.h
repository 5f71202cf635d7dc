// Internal. One topic filter with its subscriptions.
//
// Threads: readers of the trie's epoch look; under the writers' lock for changes.
#ifndef MILLRACE_TRIE_NODE_H
#define MILLRACE_TRIE_NODE_H

#include <stdatomic.h>

#include "base/base.h"
#include "codec/topic.h"
#include "trie/members.h"
#include "trie/memory.h"

struct mr_trie_node {
    // Readers never look here. In front, so that what they look at is together.
    union {
        uint32_t member_count;         // While it is linked.
        struct mr_epoch_link retired;  // Afterwards.
    } writer;
    struct mr_members members;
    // The next node of the same filter, with another share name or none.
    _Atomic(struct mr_trie_node *) sibling;
    _Atomic(uint32_t) cursor;  // Of the round of a shared filter.
    uint16_t filter_len;
    uint16_t share_len;  // 0: not shared.
    bool is_wildcard;
    uint8_t text[];  // The filter, then the share name.
};

// Begins to load what a reader of the node will look at: it lies on two cache lines as
// a rule, and each takes as long as the rest of a match.
static inline void mr_node_prefetch(const struct mr_trie_node *node) {
    __builtin_prefetch(&node->members);
    __builtin_prefetch(&node->text[24]);
}

static inline struct mr_slice mr_node_filter(const struct mr_trie_node *node) {
    return mr_slice_of(node->text, node->filter_len);
}

static inline struct mr_slice mr_node_share(const struct mr_trie_node *node) {
    return mr_slice_of(node->text + node->filter_len, node->share_len);
}

static inline struct mr_trie_node *mr_node_sibling(const struct mr_trie_node *node) {
    return atomic_load_explicit(&node->sibling, memory_order_acquire);
}

// A node without members for `filter`; NULL without memory.
struct mr_trie_node *mr_node_new(struct mr_trie_memory *memory, const struct mr_filter *filter);
void mr_node_free(struct mr_trie_memory *memory, struct mr_trie_node *node);
// Frees it when no reader can have it any more.
void mr_node_retire(struct mr_trie_memory *memory, struct mr_trie_node *node);

// The node with share name `share` in a chain of siblings; NULL if there is none.
struct mr_trie_node *mr_node_chain_find(struct mr_trie_node *head, struct mr_slice share);
// Takes `node` out of the chain. Returns the new head.
struct mr_trie_node *mr_node_chain_remove(struct mr_trie_node *head, struct mr_trie_node *node);
// Reports the subscriptions and shared filters of a chain.
void mr_node_chain_report(struct mr_trie_node *head, const struct mr_trie_visitor *visitor);
// Frees a chain that no reader can see.
void mr_node_chain_free(struct mr_trie_memory *memory, struct mr_trie_node *head);

#endif  // MILLRACE_TRIE_NODE_H
