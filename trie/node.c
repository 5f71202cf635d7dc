#include "trie/node.h"

#include <assert.h>

// What the goal of 150 bytes per subscription leaves for a filter of its own.
static_assert(offsetof(struct mr_trie_node, text) <= 65 || sizeof(void *) != 8,
              "nodes are the bulk of a trie's memory");

static size_t node_bytes(size_t filter_len, size_t share_len) {
    size_t bytes = offsetof(struct mr_trie_node, text) + filter_len + share_len;
    return bytes < sizeof(struct mr_trie_node) ? sizeof(struct mr_trie_node) : bytes;
}

struct mr_trie_node *mr_node_new(struct mr_trie_memory *memory, const struct mr_filter *filter) {
    size_t share_len = filter->share.data == NULL ? 0 : filter->share.len;
    struct mr_trie_node *node = mr_memory_alloc(memory, node_bytes(filter->filter.len, share_len));
    if (node == NULL) {
        return NULL;
    }
    node->filter_len = (uint16_t)filter->filter.len;
    node->share_len = (uint16_t)share_len;
    node->is_wildcard = filter->kind == MR_FILTER_WILDCARD;
    memcpy(node->text, filter->filter.data, filter->filter.len);
    if (share_len > 0) {
        memcpy(node->text + filter->filter.len, filter->share.data, share_len);
    }
    return node;
}

void mr_node_free(struct mr_trie_memory *memory, struct mr_trie_node *node) {
    mr_members_fini(&node->members, memory);
    mr_memory_free(memory, node, node_bytes(node->filter_len, node->share_len));
}

static void node_free_retired(void *ctx, struct mr_epoch_link *link) {
    mr_node_free(ctx, MR_CONTAINER_OF(link, struct mr_trie_node, writer.retired));
}

void mr_node_retire(struct mr_trie_memory *memory, struct mr_trie_node *node) {
    mr_epoch_retire(memory->epoch, &node->writer.retired, node_free_retired, memory);
}

struct mr_trie_node *mr_node_chain_find(struct mr_trie_node *head, struct mr_slice share) {
    struct mr_trie_node *node = head;
    while (node != NULL && !mr_slice_eq(mr_node_share(node), share)) {
        node = mr_node_sibling(node);
    }
    return node;
}

struct mr_trie_node *mr_node_chain_remove(struct mr_trie_node *head, struct mr_trie_node *node) {
    struct mr_trie_node *next = mr_node_sibling(node);
    if (head == node) {
        return next;
    }
    // `node` keeps its own pointer: a reader may stand on it.
    struct mr_trie_node *before = head;
    while (mr_node_sibling(before) != node) {
        before = mr_node_sibling(before);
    }
    atomic_store_explicit(&before->sibling, next, memory_order_release);
    return head;
}

void mr_node_chain_report(struct mr_trie_node *head, const struct mr_trie_visitor *visitor) {
    for (struct mr_trie_node *node = head; node != NULL; node = mr_node_sibling(node)) {
        if (node->share_len == 0) {
            mr_members_visit(&node->members, visitor);
        } else {
            visitor->on_shared(visitor->ctx, node);
        }
    }
}

void mr_node_chain_free(struct mr_trie_memory *memory, struct mr_trie_node *head) {
    while (head != NULL) {
        struct mr_trie_node *next = mr_node_sibling(head);
        mr_node_free(memory, head);
        head = next;
    }
}
