#include "bench/before/tree.h"

#include <pthread.h>
#include <stdlib.h>

#include "codec/topic.h"

#define BUCKETS_FIRST 8u
#define LEVELS_MAX 128u
// Of a walk: at each level at most one exact and one + branch go on.
#define STACK_MAX (2 * LEVELS_MAX)

struct member {
    uint32_t subscriber;
    uint8_t qos;
};

struct tree_node {
    struct tree_node *sibling;  // In a bucket of the parent.
    struct tree_node **buckets;
    uint32_t bucket_count;
    uint32_t child_count;
    struct member *members;
    uint32_t member_count;
    uint32_t member_capacity;
    uint32_t hash;
    uint32_t level_len;
    uint8_t level[];
};

struct tree {
    pthread_rwlock_t lock;
    struct tree_node *root;
};

static uint32_t hash_of(struct mr_slice level) {
    uint32_t hash = 2166136261u;  // FNV-1a.
    for (size_t i = 0; i < level.len; i++) {
        hash = (hash ^ level.data[i]) * 16777619u;
    }
    return hash;
}

static struct tree_node *node_new(struct mr_slice level) {
    struct tree_node *node = calloc(1, sizeof(*node) + level.len);
    if (node != NULL) {
        node->level_len = (uint32_t)level.len;
        node->hash = hash_of(level);
        if (level.len > 0) {
            memcpy(node->level, level.data, level.len);
        }
    }
    return node;
}

struct tree *tree_new(void) {
    struct tree *tree = calloc(1, sizeof(*tree));
    if (tree != NULL) {
        tree->root = node_new(mr_slice_of(NULL, 0));
        if (tree->root == NULL || pthread_rwlock_init(&tree->lock, NULL) != 0) {
            free(tree->root);
            free(tree);
            return NULL;
        }
    }
    return tree;
}

static struct tree_node *child_find(const struct tree_node *node, struct mr_slice level) {
    if (node->child_count == 0) {
        return NULL;
    }
    uint32_t hash = hash_of(level);
    struct tree_node *child = node->buckets[hash & (node->bucket_count - 1)];
    while (child != NULL && (child->hash != hash ||
                             !mr_slice_eq(mr_slice_of(child->level, child->level_len), level))) {
        child = child->sibling;
    }
    return child;
}

static bool children_grow(struct tree_node *node) {
    uint32_t count = node->bucket_count == 0 ? BUCKETS_FIRST : node->bucket_count * 2;
    struct tree_node **buckets = calloc(count, sizeof(struct tree_node *));
    if (buckets == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        for (struct tree_node *child = node->buckets[i]; child != NULL;) {
            struct tree_node *next = child->sibling;
            child->sibling = buckets[child->hash & (count - 1)];
            buckets[child->hash & (count - 1)] = child;
            child = next;
        }
    }
    free(node->buckets);
    node->buckets = buckets;
    node->bucket_count = count;
    return true;
}

static struct tree_node *child_get(struct tree_node *node, struct mr_slice level) {
    struct tree_node *child = child_find(node, level);
    if (child != NULL) {
        return child;
    }
    if (node->child_count == node->bucket_count && !children_grow(node)) {
        return NULL;
    }
    child = node_new(level);
    if (child != NULL) {
        struct tree_node **bucket = &node->buckets[child->hash & (node->bucket_count - 1)];
        child->sibling = *bucket;
        *bucket = child;
        node->child_count++;
    }
    return child;
}

static bool member_add(struct tree_node *node, uint32_t subscriber, uint8_t qos) {
    for (uint32_t i = 0; i < node->member_count; i++) {
        if (node->members[i].subscriber == subscriber) {
            node->members[i].qos = qos;
            return true;
        }
    }
    if (node->member_count == node->member_capacity) {
        uint32_t capacity = node->member_capacity * 2 + 1;
        struct member *members = realloc(node->members, capacity * sizeof(*members));
        if (members == NULL) {
            return false;
        }
        node->members = members;
        node->member_capacity = capacity;
    }
    node->members[node->member_count++] = (struct member){subscriber, qos};
    return true;
}

struct tree_node *tree_insert(struct tree *tree, struct mr_slice filter, uint32_t subscriber,
                              uint8_t qos) {
    pthread_rwlock_wrlock(&tree->lock);
    struct tree_node *node = tree->root;
    struct mr_levels it = mr_levels_begin(filter);
    struct mr_slice level;
    uint32_t depth = 0;
    while (node != NULL && mr_levels_next(&it, &level)) {
        node = ++depth > LEVELS_MAX ? NULL : child_get(node, level);
    }
    if (node != NULL && !member_add(node, subscriber, qos)) {
        node = NULL;
    }
    pthread_rwlock_unlock(&tree->lock);
    return node;
}

void tree_remove(struct tree *tree, struct tree_node *node, uint32_t subscriber) {
    pthread_rwlock_wrlock(&tree->lock);
    for (uint32_t i = 0; i < node->member_count; i++) {
        if (node->members[i].subscriber == subscriber) {
            node->members[i] = node->members[--node->member_count];
            break;
        }
    }
    pthread_rwlock_unlock(&tree->lock);
}

struct place {
    const struct tree_node *node;
    struct mr_levels rest;
};

static void report(const struct tree_node *node,
                   void (*fn)(void *ctx, uint32_t subscriber, uint8_t qos), void *ctx) {
    for (uint32_t i = 0; node != NULL && i < node->member_count; i++) {
        fn(ctx, node->members[i].subscriber, node->members[i].qos);
    }
}

void tree_match(struct tree *tree, struct mr_slice topic,
                void (*fn)(void *ctx, uint32_t subscriber, uint8_t qos), void *ctx) {
    struct place stack[STACK_MAX];
    size_t depth = 1;
    bool hidden = topic.len > 0 && topic.data[0] == '$';  // [MQTT-4.7.2-1]
    pthread_rwlock_rdlock(&tree->lock);
    stack[0] = (struct place){tree->root, mr_levels_begin(topic)};
    while (depth > 0) {
        struct place place = stack[--depth];
        bool wild = !(hidden && place.node == tree->root);
        struct mr_slice level;
        if (wild) {
            report(child_find(place.node, mr_slice_str("#")), fn, ctx);
        }
        if (!mr_levels_next(&place.rest, &level)) {
            report(place.node, fn, ctx);
            continue;
        }
        const struct tree_node *next[] = {child_find(place.node, level),
                                          wild ? child_find(place.node, mr_slice_str("+")) : NULL};
        for (size_t i = 0; i < MR_ARRAY_COUNT(next); i++) {
            if (next[i] != NULL && depth < STACK_MAX) {
                stack[depth++] = (struct place){next[i], place.rest};
            }
        }
    }
    pthread_rwlock_unlock(&tree->lock);
}
