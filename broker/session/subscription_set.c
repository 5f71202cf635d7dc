#include <stdlib.h>

#include "broker/session/session.h"

// Up to this many nodes the set is a plain array without holes; from then on an open-addressing
// hash set at most three quarters full.
#define SET_PLAIN_MAX 16u

static uint32_t place_of(const struct mr_trie_node *node, uint32_t capacity) {
    uint64_t bits = (uint64_t)(uintptr_t)node >> 4;
    return (uint32_t)((bits * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (capacity - 1);
}

static void place(struct mr_trie_node **nodes, uint32_t capacity, struct mr_trie_node *node) {
    uint32_t at = place_of(node, capacity);
    while (nodes[at] != NULL) {
        at = (at + 1) & (capacity - 1);
    }
    nodes[at] = node;
}

// `capacity` is a power of two.
static enum mr_err resize(struct mr_subscription_set *set, uint32_t capacity) {
    struct mr_trie_node **nodes = calloc(capacity, sizeof(struct mr_trie_node *));
    if (nodes == NULL) {
        return MR_ERR_NOMEM;
    }
    uint32_t filled = 0;
    for (uint32_t i = 0; i < set->capacity; i++) {
        if (set->nodes[i] == NULL) {
            continue;
        }
        if (capacity <= SET_PLAIN_MAX) {
            nodes[filled++] = set->nodes[i];
        } else {
            place(nodes, capacity, set->nodes[i]);
        }
    }
    free(set->nodes);
    set->nodes = nodes;
    set->capacity = capacity;
    return MR_OK;
}

// The place of `node`, or `capacity` if it isn't in the set.
static uint32_t find(const struct mr_subscription_set *set, const struct mr_trie_node *node) {
    if (set->capacity <= SET_PLAIN_MAX) {
        uint32_t at = 0;
        while (at < set->count && set->nodes[at] != node) {
            at++;
        }
        return at < set->count ? at : set->capacity;
    }
    uint32_t at = place_of(node, set->capacity);
    while (set->nodes[at] != NULL) {
        if (set->nodes[at] == node) {
            return at;
        }
        at = (at + 1) & (set->capacity - 1);
    }
    return set->capacity;
}

bool mr_subscription_set_has(const struct mr_subscription_set *set,
                             const struct mr_trie_node *node) {
    return find(set, node) < set->capacity;
}

enum mr_err mr_subscription_set_add(struct mr_subscription_set *set, struct mr_trie_node *node) {
    if (mr_subscription_set_has(set, node)) {
        return MR_OK;
    }
    bool full = set->capacity <= SET_PLAIN_MAX ? set->count == set->capacity
                                               : set->count >= set->capacity / 4 * 3;
    if (full) {
        MR_TRY(resize(set, set->capacity == 0 ? 1 : set->capacity * 2));
    }
    if (set->capacity <= SET_PLAIN_MAX) {
        set->nodes[set->count] = node;
    } else {
        place(set->nodes, set->capacity, node);
    }
    set->count++;
    return MR_OK;
}

// Moves back what a hole at `at` would make unreachable.
static void close_hole(struct mr_subscription_set *set, uint32_t at) {
    uint32_t mask = set->capacity - 1;
    uint32_t next = at;
    for (;;) {
        next = (next + 1) & mask;
        if (set->nodes[next] == NULL) {
            break;
        }
        uint32_t home = place_of(set->nodes[next], set->capacity);
        // Reachable still if its home lies behind the hole.
        if (((next - home) & mask) >= ((next - at) & mask)) {
            set->nodes[at] = set->nodes[next];
            at = next;
        }
    }
    set->nodes[at] = NULL;
}

void mr_subscription_set_remove(struct mr_subscription_set *set, struct mr_trie_node *node) {
    uint32_t at = find(set, node);
    if (at == set->capacity) {
        return;
    }
    if (set->capacity <= SET_PLAIN_MAX) {
        set->nodes[at] = set->nodes[--set->count];
        set->nodes[set->count] = NULL;
        return;
    }
    close_hole(set, at);
    set->count--;
    if (set->count < set->capacity / 8) {
        // Smaller is better, but not necessary.
        enum mr_err err = resize(set, set->capacity / 4);
        (void)err;
    }
}

struct mr_trie_node *mr_subscription_set_next(const struct mr_subscription_set *set,
                                              uint32_t *index) {
    while (*index < set->capacity) {
        struct mr_trie_node *node = set->nodes[*index];
        (*index)++;
        if (node != NULL) {
            return node;
        }
    }
    return NULL;
}

void mr_subscription_set_fini(struct mr_subscription_set *set) {
    free(set->nodes);
    set->nodes = NULL;
    set->count = 0;
    set->capacity = 0;
}
