#include "trie/trie.h"

#include <assert.h>
#include <pthread.h>
#include <stdalign.h>

#include "base/aligned.h"
#include "trie/hash.h"
#include "trie/members.h"
#include "trie/memory.h"
#include "trie/node.h"
#include "trie/table.h"
#include "trie/testing.h"
#include "trie/tree.h"
#include "trie/versions.h"

// So many retired objects are freed with each change, so that none pays for all that
// gathered while a reader was held up. A change retires few; it can be as many as a
// filter may have levels, but an earlier one made those.
#define RECLAIM_COUNT_MAX 256u

static_assert(RECLAIM_COUNT_MAX > MR_FILTER_LEVELS_MAX, "reclaiming keeps up with retiring");

struct mr_trie {
    struct mr_versions versions;
    uint64_t hash_seed;
    struct mr_table exact;  // Hash of a filter without wildcard -> first node of that filter.
    struct mr_tree tree;    // Filters with wildcards.
    // The rest is the writers'.
    pthread_mutex_t lock;
    struct mr_trie_memory memory;
    uint64_t subscriptions_max;
    uint64_t subscription_count;
    uint64_t shared_subscription_count;
    uint64_t node_count;
};

static enum mr_err trie_init(struct mr_trie *trie, const struct mr_trie_options *options) {
    trie->hash_seed = options->hash_seed;
    trie->subscriptions_max =
        options->subscriptions_max == 0 ? UINT64_MAX : options->subscriptions_max;
    trie->memory.allocations_left = MR_TRIE_ALLOCATIONS_UNLIMITED;
    mr_table_init(&trie->exact, &trie->memory);
    if (pthread_mutex_init(&trie->lock, NULL) != 0) {
        return MR_ERR_NOMEM;
    }
    enum mr_err err = mr_epoch_new(&trie->memory.epoch);
    if (err != MR_OK) {
        goto fail_lock;
    }
    err = mr_versions_init(&trie->versions, &trie->memory);
    if (err != MR_OK) {
        goto fail_epoch;
    }
    err = mr_tree_init(&trie->tree, &trie->memory, trie->hash_seed);
    if (err != MR_OK) {
        goto fail_versions;
    }
    return MR_OK;

fail_versions:
    mr_versions_fini(&trie->versions, &trie->memory);
fail_epoch:
    mr_epoch_free(trie->memory.epoch);
fail_lock:
    (void)pthread_mutex_destroy(&trie->lock);
    return err;
}

enum mr_err mr_trie_new(struct mr_trie **out, const struct mr_trie_options *options) {
    struct mr_trie *trie = mr_aligned_alloc(alignof(struct mr_trie), sizeof(*trie));
    if (trie == NULL) {
        return MR_ERR_NOMEM;
    }
    memset(trie, 0, sizeof(*trie));
    enum mr_err err = trie_init(trie, options);
    if (err != MR_OK) {
        mr_aligned_free(trie);
        return err;
    }
    *out = trie;
    return MR_OK;
}

static void exact_fini(struct mr_trie *trie) {
    for (uint32_t i = 0; i < MR_TABLE_SEGMENTS; i++) {
        struct mr_table_segment *segment = trie->exact.segments[i];
        for (uint32_t j = 0; segment != NULL && j < segment->capacity; j++) {
            mr_node_chain_free(&trie->memory, (struct mr_trie_node *)segment->slots[j].value);
        }
    }
    mr_table_fini(&trie->exact);
}

void mr_trie_free(struct mr_trie *trie) {
    if (trie == NULL) {
        return;
    }
    // First, since what is retired is freed into what follows.
    mr_epoch_free(trie->memory.epoch);
    exact_fini(trie);
    mr_tree_fini(&trie->tree);
    mr_versions_fini(&trie->versions, &trie->memory);
    MR_DEBUG_ASSERT(trie->memory.bytes == 0);
    (void)pthread_mutex_destroy(&trie->lock);
    mr_aligned_free(trie);
}

struct mr_epoch *mr_trie_epoch(struct mr_trie *trie) {
    return trie->memory.epoch;
}

void mr_trie_stats(struct mr_trie *trie, struct mr_trie_stats *out) {
    (void)pthread_mutex_lock(&trie->lock);
    out->retired_count = mr_epoch_reclaim(trie->memory.epoch);
    out->subscription_count = trie->subscription_count;
    out->shared_subscription_count = trie->shared_subscription_count;
    out->node_count = trie->node_count;
    out->bytes = trie->memory.bytes + mr_memory_cost(sizeof(*trie)) + mr_epoch_bytes();
    (void)pthread_mutex_unlock(&trie->lock);
}

void mr_trie_test_limit_allocations(struct mr_trie *trie, uint64_t count) {
    (void)pthread_mutex_lock(&trie->lock);
    trie->memory.allocations_left = count;
    (void)pthread_mutex_unlock(&trie->lock);
}

uint64_t mr_trie_hash(const struct mr_trie *trie, struct mr_slice topic) {
    return mr_hash_text(topic, trie->hash_seed);
}

// The table's keys are not 0.
static uint64_t exact_key(const struct mr_trie *trie, struct mr_slice filter) {
    uint64_t hash = mr_hash_text(filter, trie->hash_seed);
    return hash == 0 ? 1 : hash;
}

// The first node of the filter without wildcard `filter`, which may be a topic name,
// among those under its key.
static struct mr_trie_node *exact_next(struct mr_table_cursor *cursor, struct mr_slice filter) {
    for (uintptr_t value; (value = mr_table_next(cursor)) != 0;) {
        struct mr_trie_node *node = (struct mr_trie_node *)value;
        mr_node_prefetch(node);
        if (mr_slice_eq(mr_node_filter(node), filter)) {
            return node;
        }
    }
    return NULL;
}

static struct mr_trie_node *exact_find(const struct mr_trie *trie, struct mr_slice filter,
                                       uint64_t key) {
    struct mr_table_cursor cursor = mr_table_seek(&trie->exact, key);
    return exact_next(&cursor, filter);
}

static enum mr_err exact_insert(struct mr_trie *trie, struct mr_trie_node *node) {
    uint64_t key = exact_key(trie, mr_node_filter(node));
    struct mr_trie_node *head = exact_find(trie, mr_node_filter(node), key);
    if (head == NULL) {
        return mr_table_insert(&trie->exact, key, (uintptr_t)node);
    }
    atomic_store_explicit(&node->sibling, head, memory_order_relaxed);
    mr_table_replace(&trie->exact, key, (uintptr_t)head, (uintptr_t)node);
    return MR_OK;
}

static void exact_remove(struct mr_trie *trie, struct mr_trie_node *node) {
    uint64_t key = exact_key(trie, mr_node_filter(node));
    struct mr_trie_node *head = exact_find(trie, mr_node_filter(node), key);
    struct mr_trie_node *left = mr_node_chain_remove(head, node);
    if (left != head) {
        mr_table_replace(&trie->exact, key, (uintptr_t)head, (uintptr_t)left);
    }
}

struct mr_trie_node *mr_trie_find(struct mr_trie *trie, const struct mr_filter *filter) {
    struct mr_trie_node *head = NULL;
    if (filter->kind == MR_FILTER_EXACT) {
        head = exact_find(trie, filter->filter, exact_key(trie, filter->filter));
    } else if (filter->kind == MR_FILTER_WILDCARD) {
        head = mr_tree_find(&trie->tree, filter->filter);
    }
    struct mr_slice share =
        mr_slice_of(filter->share.data, filter->share.data == NULL ? 0 : filter->share.len);
    return mr_node_chain_find(head, share);
}

static enum mr_err insert_check(const struct mr_filter *filter,
                                const struct mr_subscription *subscription) {
    bool invalid = filter->kind == MR_FILTER_INVALID || filter->filter.len == 0 ||
                   filter->filter.len > MR_TOPIC_BYTES_MAX || subscription->subscriber == 0 ||
                   mr_subscriber_shard(subscription->subscriber) >= MR_SHARDS_MAX;
    if (invalid) {
        return MR_ERR_INVALID;
    }
    if (filter->kind == MR_FILTER_WILDCARD) {
        size_t level_count = 1;
        for (size_t i = 0; i < filter->filter.len; i++) {
            level_count += filter->filter.data[i] == '/';
        }
        if (level_count > MR_FILTER_LEVELS_MAX) {
            return MR_ERR_LIMIT;
        }
    }
    return MR_OK;
}

// A linked node for `filter` whose only member is `word`.
static enum mr_err node_insert(struct mr_trie *trie, const struct mr_filter *filter, uint64_t word,
                               struct mr_trie_node **node_out) {
    struct mr_trie_node *node = mr_node_new(&trie->memory, filter);
    if (node == NULL) {
        return MR_ERR_NOMEM;
    }
    uint64_t old = 0;
    enum mr_err err = mr_members_put(&node->members, &trie->memory, word, &old);
    if (err == MR_OK) {
        err = node->is_wildcard ? mr_tree_insert(&trie->tree, node) : exact_insert(trie, node);
    }
    if (err != MR_OK) {
        mr_node_free(&trie->memory, node);
        return err;
    }
    trie->node_count++;
    *node_out = node;
    return MR_OK;
}

// `*old_out` is the subscription's former word; 0: there was none.
static enum mr_err insert_locked(struct mr_trie *trie, const struct mr_filter *filter,
                                 uint64_t word, struct mr_trie_node **node_out, uint64_t *old_out) {
    struct mr_trie_node *node = mr_trie_find(trie, filter);
    *old_out = node == NULL ? 0 : mr_members_get(&node->members, mr_member_subscriber(word));
    if (*old_out == 0 && trie->subscription_count >= trie->subscriptions_max) {
        return MR_ERR_LIMIT;
    }
    if (node == NULL) {
        MR_TRY(node_insert(trie, filter, word, &node));
    } else {
        MR_TRY(mr_members_put(&node->members, &trie->memory, word, old_out));
    }
    if (*old_out == 0) {
        node->writer.member_count++;
        trie->subscription_count++;
        trie->shared_subscription_count += node->share_len > 0;
    }
    if (*old_out != word) {
        mr_versions_advance(&trie->versions, filter->filter, node->is_wildcard, trie->hash_seed);
    }
    *node_out = node;
    return MR_OK;
}

enum mr_err mr_trie_insert(struct mr_trie *trie, const struct mr_filter *filter,
                           const struct mr_subscription *subscription,
                           struct mr_trie_node **node_out, bool *existed_out) {
    MR_TRY(insert_check(filter, subscription));
    uint64_t old = 0;
    (void)pthread_mutex_lock(&trie->lock);
    enum mr_err err = insert_locked(trie, filter, mr_member_pack(subscription), node_out, &old);
    (void)mr_epoch_reclaim_some(trie->memory.epoch, RECLAIM_COUNT_MAX);
    (void)pthread_mutex_unlock(&trie->lock);
    if (err == MR_OK) {
        *existed_out = old != 0;
    }
    return err;
}

void mr_trie_remove(struct mr_trie *trie, struct mr_trie_node *node, uint32_t subscriber) {
    (void)pthread_mutex_lock(&trie->lock);
    uint64_t old = mr_members_drop(&node->members, &trie->memory, subscriber);
    if (!MR_NEVER(old == 0)) {
        bool is_last = --node->writer.member_count == 0;
        trie->subscription_count--;
        trie->shared_subscription_count -= node->share_len > 0;
        if (is_last) {
            if (node->is_wildcard) {
                mr_tree_remove(&trie->tree, node);
            } else {
                exact_remove(trie, node);
            }
            trie->node_count--;
        }
        mr_versions_advance(&trie->versions, mr_node_filter(node), node->is_wildcard,
                            trie->hash_seed);
        if (is_last) {
            // Not before the version has moved: a cached result with this node must not
            // pass for fresh any more when readers stop being waited for.
            mr_node_retire(&trie->memory, node);
        }
    }
    (void)mr_epoch_reclaim_some(trie->memory.epoch, RECLAIM_COUNT_MAX);
    (void)pthread_mutex_unlock(&trie->lock);
}

bool mr_trie_node_get(const struct mr_trie_node *node, uint32_t subscriber,
                      struct mr_subscription *out) {
    uint64_t word = mr_members_get(&node->members, subscriber);
    if (word == 0) {
        return false;
    }
    *out = mr_member_unpack(word);
    return true;
}

size_t mr_trie_node_text(const struct mr_trie_node *node, uint8_t *out, size_t out_bytes) {
    static const char prefix[] = "$share/";
    struct mr_slice share = mr_node_share(node);
    struct mr_slice filter = mr_node_filter(node);
    size_t share_len = share.len == 0 ? 0 : sizeof(prefix) - 1 + share.len + 1;
    size_t len = share_len + filter.len;
    if (len > out_bytes) {
        return len;
    }
    if (share_len > 0) {
        memcpy(out, prefix, sizeof(prefix) - 1);
        memcpy(out + sizeof(prefix) - 1, share.data, share.len);
        out[share_len - 1] = '/';
    }
    memcpy(out + share_len, filter.data, filter.len);
    return len;
}

bool mr_trie_node_is_shared(const struct mr_trie_node *node) {
    return node->share_len > 0;
}

void mr_trie_match(struct mr_trie *trie, struct mr_slice topic,
                   const struct mr_trie_visitor *visitor) {
    // The slot is on its way from memory while we walk the tree.
    struct mr_table_cursor cursor = mr_table_seek(&trie->exact, exact_key(trie, topic));
    mr_table_prefetch(&cursor);
    mr_tree_match(&trie->tree, topic, visitor);
    mr_node_chain_report(exact_next(&cursor, topic), visitor);
}

bool mr_trie_node_pick(struct mr_trie_node *node, bool (*usable)(void *ctx, uint32_t subscriber),
                       void *ctx, struct mr_subscription *out) {
    uint64_t word = mr_members_pick(&node->members, &node->cursor, usable, ctx);
    if (word == 0 && usable != NULL) {
        word = mr_members_pick(&node->members, &node->cursor, NULL, NULL);
    }
    if (word == 0) {
        return false;
    }
    *out = mr_member_unpack(word);
    return true;
}

uint64_t mr_trie_version(const struct mr_trie *trie) {
    return atomic_load_explicit(&trie->versions.global, memory_order_acquire);
}

uint64_t mr_trie_topic_version(const struct mr_trie *trie, struct mr_slice topic) {
    uint64_t topic_hash = mr_hash_text(topic, trie->hash_seed);
    return mr_versions_of_topic(&trie->versions, topic, topic_hash, trie->hash_seed);
}
