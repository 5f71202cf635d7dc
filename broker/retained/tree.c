#include "broker/retained/tree.h"

#include <string.h>

#define LEAF_MAX MR_RETAINED_LEAF_MAX
#define BRANCH_MAX MR_RETAINED_BRANCH_MAX
// Neighbours that together hold no more are merged. Less than a node holds, so that a
// node is not split and merged in turn.
#define MERGE_MAX 24u
// Two levels together fan out at least 12 times on the average (neighbours hold more than
// MERGE_MAX), so 2^40 topics fit.
#define HEIGHT_MAX 24u

// The way from the root to a leaf: which child of which branch.
struct path {
    struct mr_retained_branch *branches[HEIGHT_MAX];
    uint32_t indexes[HEIGHT_MAX];
};

// --------------------------------------------------------------------- search

// The leaf in which `bound` lies, and the way there (`path_out` may be NULL).
static struct mr_retained_leaf *descend(const struct mr_retained_tree *tree,
                                        const struct mr_topic_bound *bound, struct path *path_out) {
    void *node = tree->root;
    for (uint32_t i = 0; i < tree->height; i++) {
        struct mr_retained_branch *branch = node;
        uint32_t index = mr_retained_branch_seek(branch, bound, tree->plain);
        if (path_out != NULL) {
            path_out->branches[i] = branch;
            path_out->indexes[i] = index;
        }
        node = branch->children[index];
    }
    return node;
}

// Goes on to an entry if the place is behind the last one of its leaf.
static void place_settle(struct mr_retained_place *place) {
    while (place->leaf != NULL && place->index >= place->leaf->count) {
        place->leaf = place->leaf->next;
        place->index = 0;
    }
}

void mr_retained_tree_seek(const struct mr_retained_tree *tree, const struct mr_topic_bound *bound,
                           struct mr_retained_place *out) {
    out->leaf = descend(tree, bound, NULL);
    out->index = out->leaf != NULL ? mr_retained_leaf_seek(out->leaf, bound, tree->plain) : 0;
    place_settle(out);
}

void mr_retained_tree_seek_forward(const struct mr_retained_tree *tree,
                                   const struct mr_topic_bound *bound,
                                   struct mr_retained_place *place) {
    const struct mr_retained_leaf *leaf = place->leaf;
    if (leaf != NULL &&
        mr_topic_bound_compare(bound, mr_retained_leaf_topic(leaf, leaf->count - 1)) <= 0) {
        place->index = mr_retained_leaf_seek(leaf, bound, tree->plain);
        place_settle(place);
    } else {
        mr_retained_tree_seek(tree, bound, place);
    }
}

void mr_retained_place_next(struct mr_retained_place *place) {
    place->index++;
    place_settle(place);
}

struct mr_retained_entry *mr_retained_tree_find(const struct mr_retained_tree *tree,
                                                struct mr_slice topic,
                                                struct mr_retained_entry *neighbors_out[2]) {
    if (neighbors_out != NULL) {
        neighbors_out[0] = NULL;
        neighbors_out[1] = NULL;
    }
    struct mr_topic_bound bound = mr_topic_bound_of(topic, false);
    struct mr_retained_leaf *leaf = descend(tree, &bound, NULL);
    if (leaf == NULL) {
        return NULL;
    }
    uint32_t index = mr_retained_leaf_seek(leaf, &bound, tree->plain);
    if (index < leaf->count && mr_slice_eq(mr_retained_leaf_topic(leaf, index), topic)) {
        return &leaf->entries[index];
    }
    if (neighbors_out != NULL) {
        neighbors_out[0] = index > 0 ? &leaf->entries[index - 1] : NULL;
        neighbors_out[1] = index < leaf->count ? &leaf->entries[index] : NULL;
    }
    return NULL;
}

// --------------------------------------------------------------------- insert

// All that the splits of one insertion need, taken before anything is changed.
struct spare {
    struct mr_separator *separator;
    struct mr_retained_leaf *leaf;
    struct mr_retained_branch *branches[HEIGHT_MAX];
    uint32_t branch_count;
};

static void spare_fini(struct mr_retained_memory *memory, struct spare *spare) {
    if (spare->separator != NULL) {
        mr_separator_free(memory, spare->separator);
    }
    mr_retained_memory_free(memory, spare->leaf, sizeof(*spare->leaf));
    while (spare->branch_count > 0) {
        spare->branch_count--;
        mr_retained_memory_free(memory, spare->branches[spare->branch_count],
                                sizeof(struct mr_retained_branch));
    }
}

// `left` and `right` are the topics between which the leaf at the end of `path` is split.
static enum mr_err spare_init(struct spare *spare, const struct mr_retained_tree *tree,
                              const struct path *path, struct mr_slice left,
                              struct mr_slice right) {
    uint32_t needed = 0;
    while (needed < tree->height &&
           path->branches[tree->height - 1 - needed]->count == BRANCH_MAX) {
        needed++;
    }
    if (needed == tree->height) {
        if (MR_NEVER(tree->height == HEIGHT_MAX)) {
            return MR_ERR_LIMIT;
        }
        needed++;  // A new root.
    }
    struct mr_retained_memory *memory = tree->memory;
    spare->branch_count = 0;
    spare->separator = mr_separator_new(memory, left, right);
    spare->leaf = mr_retained_memory_alloc(memory, sizeof(*spare->leaf));
    if (spare->separator == NULL || spare->leaf == NULL) {
        goto fail;
    }
    while (spare->branch_count < needed) {
        struct mr_retained_branch *branch = mr_retained_memory_alloc(memory, sizeof(*branch));
        if (branch == NULL) {
            goto fail;
        }
        spare->branches[spare->branch_count++] = branch;
    }
    return MR_OK;
fail:
    spare_fini(memory, spare);
    return MR_ERR_NOMEM;
}

static struct mr_retained_branch *spare_branch(struct spare *spare) {
    MR_ASSERT(spare->branch_count > 0);
    return spare->branches[--spare->branch_count];
}

// As mr_retained_branch_insert, when there is no room: moves a part to the new branch `right`.
// Returns what separates the two.
static struct mr_separator *branch_insert_split(struct mr_retained_branch *branch,
                                                struct mr_retained_branch *right, uint32_t index,
                                                struct mr_separator *separator, void *child) {
    // Whoever fills the tree in order leaves full nodes behind, not half-full ones.
    uint32_t at = index == BRANCH_MAX - 1 ? BRANCH_MAX - 1 : BRANCH_MAX / 2;
    struct mr_separator *between = mr_retained_branch_split(branch, right, at);
    if (index < at) {
        mr_retained_branch_insert(branch, index, separator, child);
    } else {
        mr_retained_branch_insert(right, index - at, separator, child);
    }
    return between;
}

// Makes the new leaf known to its parent, which may split in turn, and so on up.
static void link_upwards(struct mr_retained_tree *tree, const struct path *path,
                         struct spare *spare) {
    struct mr_separator *separator = spare->separator;
    void *child = spare->leaf;
    for (uint32_t level = tree->height; level-- > 0;) {
        struct mr_retained_branch *branch = path->branches[level];
        if (branch->count < BRANCH_MAX) {
            mr_retained_branch_insert(branch, path->indexes[level], separator, child);
            return;
        }
        struct mr_retained_branch *right = spare_branch(spare);
        separator = branch_insert_split(branch, right, path->indexes[level], separator, child);
        child = right;
    }
    struct mr_retained_branch *root = spare_branch(spare);
    root->count = 1;
    root->heads.prefix_len = 0;
    root->children[0] = tree->root;
    mr_retained_branch_insert(root, 0, separator, child);
    tree->root = root;
    tree->height++;
}

static enum mr_err leaf_insert_split(struct mr_retained_tree *tree, const struct path *path,
                                     struct mr_retained_leaf *leaf, uint32_t index,
                                     const struct mr_retained_entry *entry) {
    struct mr_slice topic = mr_message_topic(entry->message);
    uint32_t at = index == LEAF_MAX ? LEAF_MAX : LEAF_MAX / 2;
    struct mr_slice right_topic = at < LEAF_MAX ? mr_retained_leaf_topic(leaf, at) : topic;
    struct spare spare;
    MR_TRY(spare_init(&spare, tree, path, mr_retained_leaf_topic(leaf, at - 1), right_topic));

    struct mr_retained_leaf *right = spare.leaf;
    mr_retained_leaf_split(leaf, right, at);
    struct mr_topic_bound bound = mr_topic_bound_of(topic, false);
    if (mr_topic_bound_compare(&bound, mr_separator_text(spare.separator)) >= 0) {
        mr_retained_leaf_insert(right, index - at, entry);
    } else {
        mr_retained_leaf_insert(leaf, index, entry);
    }
    link_upwards(tree, path, &spare);
    MR_ASSERT(spare.branch_count == 0);
    return MR_OK;
}

enum mr_err mr_retained_tree_insert(struct mr_retained_tree *tree,
                                    const struct mr_retained_entry *entry) {
    if (tree->root == NULL) {
        struct mr_retained_leaf *leaf = mr_retained_memory_alloc(tree->memory, sizeof(*leaf));
        if (leaf == NULL) {
            return MR_ERR_NOMEM;
        }
        leaf->next = NULL;
        leaf->count = 0;
        leaf->heads.prefix_len = 0;
        tree->root = leaf;
    }
    struct mr_topic_bound bound = mr_topic_bound_of(mr_message_topic(entry->message), false);
    struct path path;
    struct mr_retained_leaf *leaf = descend(tree, &bound, &path);
    uint32_t index = mr_retained_leaf_seek(leaf, &bound, tree->plain);
    if (leaf->count == LEAF_MAX) {
        return leaf_insert_split(tree, &path, leaf, index, entry);
    }
    mr_retained_leaf_insert(leaf, index, entry);
    return MR_OK;
}

// --------------------------------------------------------------------- remove

// An empty node is always merged, since that costs nothing.
static bool worth_merging(uint32_t left_count, uint32_t right_count) {
    return left_count == 0 || right_count == 0 || left_count + right_count <= MERGE_MAX;
}

// Merges the leaves at `index` and behind it, if they are small enough.
static bool leaves_merge(struct mr_retained_tree *tree, struct mr_retained_branch *parent,
                         uint32_t index) {
    if (index + 1 >= parent->count) {
        return false;
    }
    struct mr_retained_leaf *left = parent->children[index];
    struct mr_retained_leaf *right = parent->children[index + 1];
    if (!worth_merging(left->count, right->count)) {
        return false;
    }
    mr_retained_leaf_merge(left, right);
    mr_separator_free(tree->memory, mr_retained_branch_remove(parent, index));
    mr_retained_memory_free(tree->memory, right, sizeof(*right));
    return true;
}

static bool branches_merge(struct mr_retained_tree *tree, struct mr_retained_branch *parent,
                           uint32_t index) {
    if (index + 1 >= parent->count) {
        return false;
    }
    struct mr_retained_branch *left = parent->children[index];
    struct mr_retained_branch *right = parent->children[index + 1];
    if (!worth_merging(left->count, right->count)) {
        return false;
    }
    mr_retained_branch_merge(left, right, mr_retained_branch_remove(parent, index));
    mr_retained_memory_free(tree->memory, right, sizeof(*right));
    return true;
}

// The leaf at the end of `path` has lost an entry. Only a leaf without neighbours under its
// parent may be empty and stay.
static void shrink_upwards(struct mr_retained_tree *tree, const struct path *path) {
    for (uint32_t level = tree->height; level-- > 0;) {
        struct mr_retained_branch *parent = path->branches[level];
        uint32_t index = path->indexes[level];
        bool (*merge)(struct mr_retained_tree *, struct mr_retained_branch *, uint32_t) =
            level + 1 == tree->height ? leaves_merge : branches_merge;
        if (!merge(tree, parent, index) && (index == 0 || !merge(tree, parent, index - 1))) {
            return;
        }
    }
    while (tree->height > 0) {
        struct mr_retained_branch *root = tree->root;
        if (root->count > 1) {
            return;
        }
        tree->root = root->children[0];
        tree->height--;
        mr_retained_memory_free(tree->memory, root, sizeof(*root));
    }
}

bool mr_retained_tree_remove(struct mr_retained_tree *tree, struct mr_slice topic,
                             struct mr_retained_entry *out) {
    struct mr_topic_bound bound = mr_topic_bound_of(topic, false);
    struct path path;
    struct mr_retained_leaf *leaf = descend(tree, &bound, &path);
    uint32_t index = leaf != NULL ? mr_retained_leaf_seek(leaf, &bound, tree->plain) : 0;
    if (leaf == NULL || index == leaf->count ||
        !mr_slice_eq(mr_retained_leaf_topic(leaf, index), topic)) {
        return false;
    }
    *out = leaf->entries[index];
    mr_retained_leaf_remove(leaf, index);
    shrink_upwards(tree, &path);
    return true;
}

// ----------------------------------------------------------------------- whole

void mr_retained_tree_init(struct mr_retained_tree *tree, struct mr_retained_memory *memory) {
    tree->memory = memory;
    tree->root = NULL;
    tree->height = 0;
    tree->plain = false;
}

// Calls `visit` for each node, parents behind their children. `depth` is the tree's height
// for leaves, and counts down to 0 for the root.
static void for_each_node(const struct mr_retained_tree *tree, void *ctx,
                          void (*visit)(void *ctx, void *node, uint32_t depth)) {
    struct path path;
    void *node = tree->root;
    uint32_t depth = 0;
    while (node != NULL) {
        while (depth < tree->height) {
            path.branches[depth] = node;
            path.indexes[depth] = 0;
            node = path.branches[depth]->children[0];
            depth++;
        }
        // Up while the node is its parent's last child, then on to the next one.
        for (;;) {
            visit(ctx, node, depth);
            if (depth == 0) {
                return;
            }
            depth--;
            if (++path.indexes[depth] < path.branches[depth]->count) {
                node = path.branches[depth]->children[path.indexes[depth]];
                depth++;
                break;
            }
            node = path.branches[depth];
        }
    }
}

static void free_node(void *ctx, void *node, uint32_t depth) {
    struct mr_retained_tree *tree = ctx;
    if (depth == tree->height) {
        mr_retained_memory_free(tree->memory, node, sizeof(struct mr_retained_leaf));
        return;
    }
    struct mr_retained_branch *branch = node;
    for (uint32_t i = 0; i + 1 < branch->count; i++) {
        mr_separator_free(tree->memory, branch->separators[i]);
    }
    mr_retained_memory_free(tree->memory, branch, sizeof(*branch));
}

void mr_retained_tree_fini(struct mr_retained_tree *tree) {
    for_each_node(tree, tree, free_node);
    tree->root = NULL;
    tree->height = 0;
}

struct check {
    const struct mr_retained_tree *tree;
    const struct mr_retained_leaf *next;  // In the chain.
    struct mr_slice last;
    uint64_t entry_count;
};

static void check_node(void *ctx, void *node, uint32_t depth) {
    struct check *check = ctx;
    if (depth < check->tree->height) {
        struct mr_retained_branch *branch = node;
        MR_ASSERT(branch->count >= 1);
        MR_ASSERT(branch->count <= BRANCH_MAX);
        return;
    }
    struct mr_retained_leaf *leaf = node;
    MR_ASSERT(check->next == NULL || check->next == leaf);
    MR_ASSERT(leaf->count <= LEAF_MAX);
    for (uint32_t i = 0; i < leaf->count; i++) {
        struct mr_slice topic = mr_retained_leaf_topic(leaf, i);
        struct mr_topic_bound bound = mr_topic_bound_of(topic, false);
        MR_ASSERT(mr_topic_bound_compare(&bound, check->last) > 0);
        // The separators on the way lead here.
        MR_ASSERT(descend(check->tree, &bound, NULL) == leaf);
        check->last = topic;
        check->entry_count++;
    }
    check->next = leaf->next;
}

uint64_t mr_retained_tree_check(const struct mr_retained_tree *tree) {
    struct check check = {tree, NULL, {NULL, 0}, 0};
    for_each_node(tree, &check, check_node);
    MR_ASSERT(check.next == NULL);
    return check.entry_count;
}
