#include "trie/tree.h"

#include "trie/hash.h"

#define CHILD_BRANCH ((uintptr_t)1)

static uintptr_t child_of_branch(struct mr_branch *branch) {
    return (uintptr_t)branch | CHILD_BRANCH;
}

static uintptr_t child_of_node(struct mr_trie_node *node) {
    return (uintptr_t)node;
}

static bool child_is_branch(uintptr_t child) {
    return (child & CHILD_BRANCH) != 0;
}

static struct mr_branch *child_branch(uintptr_t child) {
    return (struct mr_branch *)(child & ~CHILD_BRANCH);
}

static struct mr_trie_node *child_node(uintptr_t child) {
    return (struct mr_trie_node *)child;
}

// The level that begins at `offset` of a filter or topic.
static struct mr_slice level_at(struct mr_slice text, size_t offset) {
    const uint8_t *begin = text.data + offset;
    size_t left = text.len - offset;
    const uint8_t *slash = left == 0 ? NULL : memchr(begin, '/', left);
    return mr_slice_of(begin, slash == NULL ? left : (size_t)(slash - begin));
}

// Where `filter`, which comes through `branch`, goes on, and with which level.
static enum mr_branch_place place_of(struct mr_slice filter, const struct mr_branch *branch,
                                     struct mr_slice *level_out) {
    if (branch->prefix_len > filter.len) {
        *level_out = mr_slice_of(NULL, 0);
        return MR_BRANCH_END;
    }
    *level_out = level_at(filter, branch->prefix_len);
    if (level_out->len == 1 && level_out->data[0] == '#') {
        return MR_BRANCH_REST;
    }
    if (level_out->len == 1 && level_out->data[0] == '+') {
        return MR_BRANCH_PLUS;
    }
    return MR_BRANCH_EDGE;
}

static uint32_t level_hash_of(const struct mr_tree *tree, struct mr_slice level) {
    return (uint32_t)mr_hash_text(level, tree->hash_seed);
}

// Branch ids are unique, so only levels of the same branch can share a key.
static uint64_t edge_key(const struct mr_branch *branch, uint32_t level_hash) {
    return (uint64_t)branch->id << 32 | level_hash;
}

// Is `child`, found under the key of `level` behind `branch`, really there?
static bool edge_is(const struct mr_branch *branch, uintptr_t child, struct mr_slice level) {
    if (child_is_branch(child)) {
        const struct mr_branch *next = child_branch(child);
        return mr_slice_eq(mr_slice_of(next->level, next->level_len), level);
    }
    struct mr_slice filter = mr_node_filter(child_node(child));
    size_t end = branch->prefix_len + level.len;
    return filter.len >= end && (filter.len == end || filter.data[end] == '/') &&
           memcmp(filter.data + branch->prefix_len, level.data, level.len) == 0;
}

static uintptr_t child_get(const struct mr_tree *tree, const struct mr_branch *branch,
                           enum mr_branch_place place, struct mr_slice level) {
    if (place != MR_BRANCH_EDGE) {
        return atomic_load_explicit(&branch->children[place], memory_order_acquire);
    }
    struct mr_table_cursor cursor =
        mr_table_seek(&tree->edges, edge_key(branch, level_hash_of(tree, level)));
    uintptr_t child = mr_table_next(&cursor);
    while (child != 0 && !edge_is(branch, child, level)) {
        child = mr_table_next(&cursor);
    }
    return child;
}

// Puts `child` in the place of `old`; 0 for either is nothing. Errors: MR_ERR_NOMEM,
// only with an edge that is new.
static enum mr_err child_set(struct mr_tree *tree, struct mr_branch *branch,
                             enum mr_branch_place place, uint32_t level_hash, uintptr_t old,
                             uintptr_t child) {
    if (place != MR_BRANCH_EDGE) {
        atomic_store_explicit(&branch->children[place], child, memory_order_release);
    } else if (old == 0) {
        MR_TRY(mr_table_insert(&tree->edges, edge_key(branch, level_hash), child));
    } else {
        mr_table_replace(&tree->edges, edge_key(branch, level_hash), old, child);
    }
    branch->writer.linked.child_count += old == 0;
    branch->writer.linked.child_count -= child == 0;
    return MR_OK;
}

// For what cannot fail: `old` is there.
static void child_replace(struct mr_tree *tree, struct mr_branch *branch,
                          enum mr_branch_place place, uint32_t level_hash, uintptr_t old,
                          uintptr_t child) {
    enum mr_err err = child_set(tree, branch, place, level_hash, old, child);
    MR_ASSERT(err == MR_OK);
}

// ---------------------------------------------------------------------- branches

static enum mr_err id_take(struct mr_tree *tree, uint32_t *id_out) {
    if (tree->ids_free_count > 0) {
        *id_out = tree->ids_free[--tree->ids_free_count];
        return MR_OK;
    }
    if (tree->ids_used >= tree->ids_capacity) {
        if (tree->ids_capacity > UINT32_MAX / 4) {
            return MR_ERR_LIMIT;
        }
        // None is free now, so there is nothing to copy.
        uint32_t capacity = tree->ids_capacity == 0 ? 16 : tree->ids_capacity * 2;
        uint32_t *ids = mr_memory_alloc(tree->memory, capacity * sizeof(ids[0]));
        if (ids == NULL) {
            return MR_ERR_NOMEM;
        }
        mr_memory_free(tree->memory, tree->ids_free, tree->ids_capacity * sizeof(ids[0]));
        tree->ids_free = ids;
        tree->ids_capacity = capacity;
    }
    *id_out = ++tree->ids_used;
    return MR_OK;
}

static void ids_free_all(struct mr_tree *tree) {
    mr_memory_free(tree->memory, tree->ids_free, tree->ids_capacity * sizeof(tree->ids_free[0]));
    tree->ids_free = NULL;
    tree->ids_free_count = 0;
    tree->ids_capacity = 0;
}

static void id_give(struct mr_tree *tree, uint32_t id) {
    MR_ASSERT(tree->ids_free != NULL);
    MR_ASSERT(tree->ids_free_count < tree->ids_capacity);
    tree->ids_free[tree->ids_free_count++] = id;
    if (tree->ids_free_count == tree->ids_used - 1) {
        // All but the root's: begin again.
        ids_free_all(tree);
        tree->ids_used = 1;
    }
}

static size_t branch_bytes(size_t level_len) {
    size_t bytes = offsetof(struct mr_branch, level) + level_len;
    return bytes < sizeof(struct mr_branch) ? sizeof(struct mr_branch) : bytes;
}

// An unlinked branch for `level` behind `parent` (NULL: the root). Errors:
// MR_ERR_NOMEM, MR_ERR_LIMIT.
static enum mr_err branch_new(struct mr_tree *tree, struct mr_branch *parent, struct mr_slice level,
                              uint32_t level_hash, struct mr_branch **out) {
    struct mr_branch *branch = mr_memory_alloc(tree->memory, branch_bytes(level.len));
    if (branch == NULL) {
        return MR_ERR_NOMEM;
    }
    enum mr_err err = id_take(tree, &branch->id);
    if (err != MR_OK) {
        mr_memory_free(tree->memory, branch, branch_bytes(level.len));
        return err;
    }
    branch->writer.linked.parent = parent;
    branch->writer.linked.level_hash = level_hash;
    branch->level_len = (uint16_t)level.len;
    if (parent != NULL) {
        branch->prefix_len = parent->prefix_len + (uint32_t)level.len + 1;
        memcpy(branch->level, level.data, level.len);
    }
    *out = branch;
    return MR_OK;
}

static void branch_free(struct mr_tree *tree, struct mr_branch *branch) {
    if (branch != tree->root) {
        id_give(tree, branch->id);
    }
    mr_memory_free(tree->memory, branch, branch_bytes(branch->level_len));
}

static void branch_free_retired(void *ctx, struct mr_epoch_link *link) {
    branch_free(ctx, MR_CONTAINER_OF(link, struct mr_branch, writer.retired));
}

enum mr_err mr_tree_init(struct mr_tree *tree, struct mr_trie_memory *memory, uint64_t hash_seed) {
    tree->memory = memory;
    tree->hash_seed = hash_seed;
    mr_table_init(&tree->edges, memory);
    return branch_new(tree, NULL, mr_slice_of(NULL, 0), 0, &tree->root);
}

// Frees a branch, the nodes that end at it or go on with "#", and those branches that
// are reached from it by '+' alone; the others are reached by edges.
static void branch_free_chain(struct mr_tree *tree, struct mr_branch *branch) {
    for (;;) {
        mr_node_chain_free(tree->memory, child_node(branch->children[MR_BRANCH_END]));
        mr_node_chain_free(tree->memory, child_node(branch->children[MR_BRANCH_REST]));
        uintptr_t plus = branch->children[MR_BRANCH_PLUS];
        branch_free(tree, branch);
        if (!child_is_branch(plus)) {
            mr_node_chain_free(tree->memory, child_node(plus));
            return;
        }
        branch = child_branch(plus);
    }
}

void mr_tree_fini(struct mr_tree *tree) {
    if (tree->root == NULL) {
        return;
    }
    for (uint32_t i = 0; i < MR_TABLE_SEGMENTS; i++) {
        struct mr_table_segment *segment = tree->edges.segments[i];
        for (uint32_t j = 0; segment != NULL && j < segment->capacity; j++) {
            uintptr_t child = segment->slots[j].value;
            if (child_is_branch(child)) {
                branch_free_chain(tree, child_branch(child));
            } else {
                mr_node_chain_free(tree->memory, child_node(child));
            }
        }
    }
    branch_free_chain(tree, tree->root);
    mr_table_fini(&tree->edges);
    ids_free_all(tree);
}

// ----------------------------------------------------------------------- changes

struct mr_trie_node *mr_tree_find(const struct mr_tree *tree, struct mr_slice filter) {
    const struct mr_branch *branch = tree->root;
    for (;;) {
        struct mr_slice level;
        enum mr_branch_place place = place_of(filter, branch, &level);
        uintptr_t child = child_get(tree, branch, place, level);
        if (!child_is_branch(child)) {
            struct mr_trie_node *node = child_node(child);
            bool same = node != NULL && mr_slice_eq(mr_node_filter(node), filter);
            return same ? node : NULL;
        }
        branch = child_branch(child);
    }
}

// Makes a branch for `level` at `place` behind `branch`, where `node` hangs, and moves
// that one behind it.
static enum mr_err branch_split(struct mr_tree *tree, struct mr_branch *branch,
                                enum mr_branch_place place, struct mr_slice level,
                                uint32_t level_hash, struct mr_trie_node *node,
                                struct mr_branch **out) {
    struct mr_branch *next = NULL;
    MR_TRY(branch_new(tree, branch, level, level_hash, &next));
    struct mr_slice node_level;
    enum mr_branch_place node_place = place_of(mr_node_filter(node), next, &node_level);
    uint32_t node_hash = node_place == MR_BRANCH_EDGE ? level_hash_of(tree, node_level) : 0;
    enum mr_err err = child_set(tree, next, node_place, node_hash, 0, child_of_node(node));
    if (err != MR_OK) {
        branch_free(tree, next);
        return err;
    }
    // From here on readers come through the new branch, which is complete.
    child_replace(tree, branch, place, level_hash, child_of_node(node), child_of_branch(next));
    *out = next;
    return MR_OK;
}

enum mr_err mr_tree_insert(struct mr_tree *tree, struct mr_trie_node *node) {
    struct mr_slice filter = mr_node_filter(node);
    struct mr_branch *branch = tree->root;
    for (;;) {
        struct mr_slice level;
        enum mr_branch_place place = place_of(filter, branch, &level);
        uint32_t hash = place == MR_BRANCH_EDGE ? level_hash_of(tree, level) : 0;
        uintptr_t child = child_get(tree, branch, place, level);
        if (child == 0) {
            return child_set(tree, branch, place, hash, 0, child_of_node(node));
        }
        if (child_is_branch(child)) {
            branch = child_branch(child);
            continue;
        }
        struct mr_trie_node *other = child_node(child);
        if (mr_slice_eq(mr_node_filter(other), filter)) {
            atomic_store_explicit(&node->sibling, other, memory_order_relaxed);
            child_replace(tree, branch, place, hash, child, child_of_node(node));
            return MR_OK;
        }
        // A failure later on leaves this branch behind, with one child: as good as before,
        // and it goes when that child goes.
        MR_TRY(branch_split(tree, branch, place, level, hash, other, &branch));
    }
}

// Removes branches that have lost their last child, from `branch` upwards.
static void branch_prune(struct mr_tree *tree, struct mr_branch *branch) {
    while (branch != tree->root && branch->writer.linked.child_count == 0) {
        struct mr_branch *parent = branch->writer.linked.parent;
        bool is_plus = branch->level_len == 1 && branch->level[0] == '+';
        child_replace(tree, parent, is_plus ? MR_BRANCH_PLUS : MR_BRANCH_EDGE,
                      branch->writer.linked.level_hash, child_of_branch(branch), 0);
        mr_epoch_retire(tree->memory->epoch, &branch->writer.retired, branch_free_retired, tree);
        branch = parent;
    }
}

void mr_tree_remove(struct mr_tree *tree, struct mr_trie_node *node) {
    struct mr_slice filter = mr_node_filter(node);
    struct mr_branch *branch = tree->root;
    for (;;) {
        struct mr_slice level;
        enum mr_branch_place place = place_of(filter, branch, &level);
        uintptr_t child = child_get(tree, branch, place, level);
        if (child_is_branch(child)) {
            branch = child_branch(child);
            continue;
        }
        struct mr_trie_node *head = child_node(child);
        struct mr_trie_node *left = mr_node_chain_remove(head, node);
        if (left != head) {
            uint32_t hash = place == MR_BRANCH_EDGE ? level_hash_of(tree, level) : 0;
            child_replace(tree, branch, place, hash, child, child_of_node(left));
        }
        branch_prune(tree, branch);
        return;
    }
}

// ---------------------------------------------------------------------- matching

struct walk {
    const struct mr_tree *tree;
    const struct mr_trie_visitor *visitor;
    struct mr_slice topic;
    // The topic's levels, taken apart as far as the walk has come.
    uint32_t level_count;
    bool level_is_last;
    struct {
        uint32_t begin;
        uint32_t len;
        uint32_t hash;
    } levels[MR_FILTER_LEVELS_MAX + 1];
    // Branches to look at. Each step takes one and puts at most two of the next depth.
    uint32_t pending_count;
    struct {
        const struct mr_branch *branch;
        uint32_t depth;  // How many levels of the topic it has used up.
    } pending[MR_FILTER_LEVELS_MAX + 2];
};

// Does the topic have a level `depth`? Takes it apart that far; `depth` grows by one at
// most.
static bool walk_reach(struct walk *walk, uint32_t depth) {
    if (depth < walk->level_count) {
        return true;
    }
    if (walk->level_is_last) {
        return false;
    }
    uint32_t begin = 0;
    if (depth > 0) {
        begin = walk->levels[depth - 1].begin + walk->levels[depth - 1].len + 1;
    }
    struct mr_slice level = level_at(walk->topic, begin);
    walk->levels[depth].begin = begin;
    walk->levels[depth].len = (uint32_t)level.len;
    walk->levels[depth].hash = level_hash_of(walk->tree, level);
    walk->level_count++;
    walk->level_is_last = begin + level.len == walk->topic.len;
    return true;
}

// Does the rest of a valid filter match the rest of a topic? Neither is at the first
// level with a wildcard against '$'; that was looked after before.
static bool rest_matches(struct mr_slice filter, struct mr_slice topic) {
    const uint8_t *f = filter.data;
    const uint8_t *f_end = filter.data + filter.len;
    const uint8_t *t = topic.data;
    const uint8_t *t_end = topic.data + topic.len;
    for (;;) {
        if (f < f_end && *f == '#') {
            return true;
        }
        if (f < f_end && *f == '+') {
            f++;
            while (t < t_end && *t != '/') {
                t++;
            }
        } else {
            while (f < f_end && t < t_end && *f == *t && *f != '/') {
                f++;
                t++;
            }
        }
        if (f == f_end) {
            return t == t_end;
        }
        if (*f != '/') {
            return false;
        }
        if (t == t_end) {
            // "a/#" matches the parent "a", too.
            return f_end - f == 2 && f[1] == '#';
        }
        if (*t != '/') {
            return false;
        }
        f++;
        t++;
    }
}

// Follows a child of `branch` with the topic's level `depth`, of which the first `known_len`
// bytes are known to match.
static void walk_child(struct walk *walk, const struct mr_branch *branch, uint32_t depth,
                       size_t known_len, uintptr_t child) {
    if (child_is_branch(child)) {
        MR_ASSERT(walk->pending_count < MR_ARRAY_COUNT(walk->pending));
        walk->pending[walk->pending_count].branch = child_branch(child);
        walk->pending[walk->pending_count].depth = depth + 1;
        walk->pending_count++;
        return;
    }
    struct mr_trie_node *node = child_node(child);
    size_t filter_begin = branch->prefix_len + known_len;
    size_t topic_begin = walk->levels[depth].begin + known_len;
    struct mr_slice filter_rest =
        mr_slice_of(node->text + filter_begin, node->filter_len - filter_begin);
    struct mr_slice topic_rest =
        mr_slice_of(walk->topic.data + topic_begin, walk->topic.len - topic_begin);
    if (rest_matches(filter_rest, topic_rest)) {
        mr_node_chain_report(node, walk->visitor);
    }
}

static void walk_branch(struct walk *walk, const struct mr_branch *branch, uint32_t depth) {
    // [MQTT-4.7.2-1]
    bool wildcard_allowed = depth > 0 || walk->topic.len == 0 || walk->topic.data[0] != '$';
    if (wildcard_allowed) {
        uintptr_t rest =
            atomic_load_explicit(&branch->children[MR_BRANCH_REST], memory_order_acquire);
        mr_node_chain_report(child_node(rest), walk->visitor);
    }
    if (!walk_reach(walk, depth)) {
        uintptr_t end =
            atomic_load_explicit(&branch->children[MR_BRANCH_END], memory_order_acquire);
        mr_node_chain_report(child_node(end), walk->visitor);
        return;
    }
    if (wildcard_allowed) {
        uintptr_t plus =
            atomic_load_explicit(&branch->children[MR_BRANCH_PLUS], memory_order_acquire);
        if (plus != 0) {
            walk_child(walk, branch, depth, 0, plus);
        }
    }
    struct mr_slice level =
        mr_slice_of(walk->topic.data + walk->levels[depth].begin, walk->levels[depth].len);
    struct mr_table_cursor cursor =
        mr_table_seek(&walk->tree->edges, edge_key(branch, walk->levels[depth].hash));
    for (uintptr_t child; (child = mr_table_next(&cursor)) != 0;) {
        if (!child_is_branch(child)) {
            mr_node_prefetch(child_node(child));
        }
        if (edge_is(branch, child, level)) {
            walk_child(walk, branch, depth, level.len, child);
            return;
        }
    }
}

void mr_tree_match(const struct mr_tree *tree, struct mr_slice topic,
                   const struct mr_trie_visitor *visitor) {
    struct walk walk;  // Not cleared: most of it stays unused.
    walk.tree = tree;
    walk.visitor = visitor;
    walk.topic = topic;
    walk.level_count = 0;
    walk.level_is_last = false;
    walk.pending_count = 1;
    walk.pending[0].branch = tree->root;
    walk.pending[0].depth = 0;
    while (walk.pending_count > 0) {
        walk.pending_count--;
        walk_branch(&walk, walk.pending[walk.pending_count].branch,
                    walk.pending[walk.pending_count].depth);
    }
}
