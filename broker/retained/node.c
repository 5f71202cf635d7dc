#include "broker/retained/node.h"

#include <stddef.h>
#include <string.h>

_Static_assert(MR_RETAINED_LEAF_MAX <= MR_HEADS_MAX && MR_RETAINED_BRANCH_MAX - 1 <= MR_HEADS_MAX,
               "a head for each key");

// ------------------------------------------------------------------- separators

static size_t separator_bytes(size_t len) {
    return offsetof(struct mr_separator, bytes) + len;
}

struct mr_separator *mr_separator_new(struct mr_retained_memory *memory, struct mr_slice left,
                                      struct mr_slice right) {
    size_t len = mr_heads_common_len(left, right) + (size_t)1;
    MR_ASSERT(len <= right.len);
    struct mr_separator *separator = mr_retained_memory_alloc(memory, separator_bytes(len));
    if (separator != NULL) {
        separator->len = (uint32_t)len;
        memcpy(separator->bytes, right.data, len);
    }
    return separator;
}

void mr_separator_free(struct mr_retained_memory *memory, struct mr_separator *separator) {
    mr_retained_memory_free(memory, separator, separator_bytes(separator->len));
}

// ------------------------------------------------------------------------ heads

// Makes room for the head of a key that was inserted at `index` and is now one of `count`. Of
// a key in the middle, only its own head is new. False if that isn't enough: a new first
// or last key may have less in common with the others.
static bool heads_insert(struct mr_heads *heads, uint32_t index, uint32_t count,
                         struct mr_slice key, struct mr_slice first, struct mr_slice last) {
    if ((index == 0 || index == count - 1) &&
        mr_heads_common_len(first, last) != heads->prefix_len) {
        return false;
    }
    memmove(&heads->values[index + 1], &heads->values[index],
            (count - 1 - index) * sizeof(heads->values[0]));
    heads->values[index] = mr_heads_value(key, heads->prefix_len);
    return true;
}

static void heads_remove(struct mr_heads *heads, uint32_t index, uint32_t count_left) {
    memmove(&heads->values[index], &heads->values[index + 1],
            (count_left - index) * sizeof(heads->values[0]));
}

// ----------------------------------------------------------------------- leaves

static void leaf_make_heads(struct mr_retained_leaf *leaf) {
    leaf->heads.prefix_len =
        leaf->count == 0 ? 0
                         : mr_heads_common_len(mr_retained_leaf_topic(leaf, 0),
                                               mr_retained_leaf_topic(leaf, leaf->count - 1));
    for (uint32_t i = 0; i < leaf->count; i++) {
        leaf->heads.values[i] =
            mr_heads_value(mr_retained_leaf_topic(leaf, i), leaf->heads.prefix_len);
    }
}

uint32_t mr_retained_leaf_seek(const struct mr_retained_leaf *leaf,
                               const struct mr_topic_bound *bound, bool plain) {
    uint32_t low = 0;
    uint32_t high = leaf->count;
    if (high > 0 && !plain) {
        mr_heads_narrow(&leaf->heads, high, mr_retained_leaf_topic(leaf, 0), bound, &low, &high);
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = mr_topic_bound_compare(bound, mr_retained_leaf_topic(leaf, middle));
        if (order > 0 || (order == 0 && bound->above)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void mr_retained_leaf_insert(struct mr_retained_leaf *leaf, uint32_t index,
                             const struct mr_retained_entry *entry) {
    memmove(&leaf->entries[index + 1], &leaf->entries[index],
            (leaf->count - index) * sizeof(*entry));
    leaf->entries[index] = *entry;
    leaf->count++;
    if (!heads_insert(&leaf->heads, index, leaf->count, mr_retained_leaf_topic(leaf, index),
                      mr_retained_leaf_topic(leaf, 0),
                      mr_retained_leaf_topic(leaf, leaf->count - 1))) {
        leaf_make_heads(leaf);
    }
}

void mr_retained_leaf_remove(struct mr_retained_leaf *leaf, uint32_t index) {
    leaf->count--;
    memmove(&leaf->entries[index], &leaf->entries[index + 1],
            (leaf->count - index) * sizeof(leaf->entries[0]));
    heads_remove(&leaf->heads, index, leaf->count);
}

void mr_retained_leaf_split(struct mr_retained_leaf *leaf, struct mr_retained_leaf *right,
                            uint32_t at) {
    right->next = leaf->next;
    right->count = leaf->count - at;
    memcpy(right->entries, &leaf->entries[at], right->count * sizeof(right->entries[0]));
    leaf->next = right;
    leaf->count = at;
    leaf_make_heads(leaf);
    leaf_make_heads(right);
}

void mr_retained_leaf_merge(struct mr_retained_leaf *leaf, const struct mr_retained_leaf *right) {
    memcpy(&leaf->entries[leaf->count], right->entries, right->count * sizeof(right->entries[0]));
    leaf->count += right->count;
    leaf->next = right->next;
    leaf_make_heads(leaf);
}

// --------------------------------------------------------------------- branches

static struct mr_slice branch_key(const struct mr_retained_branch *branch, uint32_t index) {
    return mr_separator_text(branch->separators[index]);
}

static void branch_make_heads(struct mr_retained_branch *branch) {
    uint32_t key_count = branch->count - 1;
    branch->heads.prefix_len =
        key_count == 0
            ? 0
            : mr_heads_common_len(branch_key(branch, 0), branch_key(branch, key_count - 1));
    for (uint32_t i = 0; i < key_count; i++) {
        branch->heads.values[i] = mr_heads_value(branch_key(branch, i), branch->heads.prefix_len);
    }
}

uint32_t mr_retained_branch_seek(const struct mr_retained_branch *branch,
                                 const struct mr_topic_bound *bound, bool plain) {
    uint32_t low = 0;
    uint32_t high = branch->count - 1;
    if (high > 0 && !plain) {
        mr_heads_narrow(&branch->heads, high, branch_key(branch, 0), bound, &low, &high);
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (mr_topic_bound_compare(bound, branch_key(branch, middle)) >= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void mr_retained_branch_insert(struct mr_retained_branch *branch, uint32_t index,
                               struct mr_separator *separator, void *child) {
    uint32_t behind = branch->count - 1 - index;
    memmove(&branch->children[index + 2], &branch->children[index + 1],
            behind * sizeof(branch->children[0]));
    memmove(&branch->separators[index + 1], &branch->separators[index],
            behind * sizeof(struct mr_separator *));
    branch->children[index + 1] = child;
    branch->separators[index] = separator;
    branch->count++;
    if (!heads_insert(&branch->heads, index, branch->count - 1, branch_key(branch, index),
                      branch_key(branch, 0), branch_key(branch, branch->count - 2))) {
        branch_make_heads(branch);
    }
}

struct mr_separator *mr_retained_branch_remove(struct mr_retained_branch *branch, uint32_t index) {
    struct mr_separator *separator = branch->separators[index];
    uint32_t behind = branch->count - 2 - index;
    memmove(&branch->children[index + 1], &branch->children[index + 2],
            behind * sizeof(branch->children[0]));
    memmove(&branch->separators[index], &branch->separators[index + 1],
            behind * sizeof(struct mr_separator *));
    branch->count--;
    heads_remove(&branch->heads, index, branch->count - 1);
    return separator;
}

struct mr_separator *mr_retained_branch_split(struct mr_retained_branch *branch,
                                              struct mr_retained_branch *right, uint32_t at) {
    right->count = branch->count - at;
    memcpy(right->children, &branch->children[at], right->count * sizeof(branch->children[0]));
    memcpy(right->separators, &branch->separators[at],
           (right->count - 1) * sizeof(struct mr_separator *));
    branch->count = at;
    branch_make_heads(branch);
    branch_make_heads(right);
    return branch->separators[at - 1];
}

void mr_retained_branch_merge(struct mr_retained_branch *branch,
                              const struct mr_retained_branch *right,
                              struct mr_separator *separator) {
    branch->separators[branch->count - 1] = separator;
    memcpy(&branch->separators[branch->count], right->separators,
           (right->count - 1) * sizeof(struct mr_separator *));
    memcpy(&branch->children[branch->count], right->children,
           right->count * sizeof(right->children[0]));
    branch->count += right->count;
    branch_make_heads(branch);
}
