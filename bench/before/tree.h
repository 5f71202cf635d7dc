// Subscriptions as a plain broker has them: a tree of topic levels with a hash table of children
// in each node and a list of subscribers, walked anew for each message, under a
// readers-writer lock.
//
// Threads: any.
#ifndef MILLRACE_BENCH_BEFORE_TREE_H
#define MILLRACE_BENCH_BEFORE_TREE_H

#include "base/base.h"

struct tree;
struct tree_node;

struct tree *tree_new(void);  // NULL: out of memory.

// Adds `subscriber` to `filter`, or changes its QoS there. NULL: out of memory. The node
// lives as long as the tree.
struct tree_node *tree_insert(struct tree *tree, struct mr_slice filter, uint32_t subscriber,
                              uint8_t qos);
void tree_remove(struct tree *tree, struct tree_node *node, uint32_t subscriber);

// Calls `fn` for each subscription that matches `topic`.
void tree_match(struct tree *tree, struct mr_slice topic,
                void (*fn)(void *ctx, uint32_t subscriber, uint8_t qos), void *ctx);

#endif  // MILLRACE_BENCH_BEFORE_TREE_H
