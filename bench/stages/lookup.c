// The stage "subscription lookup": the plain tree, Millrace's trie, or its topic cache.
#include <stdlib.h>

#include "bench/before/tree.h"
#include "bench/stages/count.h"
#include "bench/stages/stages.h"
#include "trie/cache.h"
#include "trie/trie.h"

#define CACHE_BYTES (64u << 20)
#define HASH_SEED 42u

struct lookup {
    enum lookup_kind kind;
    struct tree *tree;
    struct mr_trie *trie;
};

struct reader {
    struct lookup *lookup;
    uint32_t shard;
    uint32_t slot;  // Of the trie's epoch.
    bool inside;
    struct mr_topic_cache *cache;
    struct targets targets;
};

struct lookup *lookup_new(enum lookup_kind kind) {
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    struct mr_trie_options options = {.hash_seed = HASH_SEED};
    if (lookup == NULL) {
        return NULL;
    }
    lookup->kind = kind;
    if (kind == LOOKUP_WALK) {
        lookup->tree = tree_new();
    }
    bool ok =
        kind == LOOKUP_WALK ? lookup->tree != NULL : mr_trie_new(&lookup->trie, &options) == MR_OK;
    if (!ok) {
        free(lookup);
        return NULL;
    }
    return lookup;
}

struct reader *reader_new(struct lookup *lookup, uint32_t shard) {
    struct reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return NULL;
    }
    reader->lookup = lookup;
    reader->shard = shard;
    struct mr_topic_cache_options options = {.shard = shard, .bytes_max = CACHE_BYTES};
    bool ok = lookup->kind == LOOKUP_WALK ||
              mr_epoch_register(mr_trie_epoch(lookup->trie), &reader->slot) == MR_OK;
    ok = ok && (lookup->kind != LOOKUP_CACHE ||
                mr_topic_cache_new(&reader->cache, lookup->trie, &options) == MR_OK);
    if (!ok) {
        free(reader);
        return NULL;
    }
    return reader;
}

void *lookup_insert(struct lookup *lookup, struct mr_slice text, uint32_t subscriber, uint8_t qos) {
    struct mr_filter filter;
    mr_filter_parse(text, false, &filter);
    if (filter.kind == MR_FILTER_INVALID) {
        return NULL;
    }
    if (lookup->kind == LOOKUP_WALK) {
        return tree_insert(lookup->tree, text, subscriber, qos);
    }
    struct mr_subscription subscription = {.subscriber = subscriber, .qos = qos};
    struct mr_trie_node *node;
    bool existed;
    enum mr_err err = mr_trie_insert(lookup->trie, &filter, &subscription, &node, &existed);
    return err == MR_OK ? node : NULL;
}

void lookup_remove(struct lookup *lookup, void *node, uint32_t subscriber) {
    if (lookup->kind == LOOKUP_WALK) {
        tree_remove(lookup->tree, node, subscriber);
    } else {
        mr_trie_remove(lookup->trie, node, subscriber);
    }
}

static void on_target(void *ctx, uint32_t subscriber, uint8_t qos) {
    struct reader *reader = ctx;
    struct targets *targets = &reader->targets;
    uint32_t shard = mr_subscriber_shard(subscriber);
    if (shard != reader->shard) {
        targets->other_shards |= UINT64_C(1) << shard;
        return;
    }
    if (targets->count == targets->capacity) {
        targets->capacity = targets->capacity * 2 + 16;
        targets->list = realloc(targets->list, targets->capacity * sizeof(*targets->list));
        if (targets->list == NULL) {
            abort();
        }
    }
    targets->list[targets->count++] = (struct target){subscriber, qos};
}

static void on_subscription(void *ctx, const struct mr_subscription *subscription) {
    on_target(ctx, subscription->subscriber, subscription->qos);
}

const struct targets *reader_find(struct reader *reader, struct mr_slice topic) {
    struct lookup *lookup = reader->lookup;
    reader->targets.count = 0;
    reader->targets.other_shards = 0;
    if (lookup->kind == LOOKUP_WALK) {
        count(COUNT_LOCKED);
        tree_match(lookup->tree, topic, on_target, reader);
        return &reader->targets;
    }
    if (!reader->inside) {
        mr_epoch_enter(mr_trie_epoch(lookup->trie), reader->slot);
        reader->inside = true;
    }
    if (lookup->kind == LOOKUP_TRIE) {
        struct mr_trie_visitor visitor = {.ctx = reader, .on_subscription = on_subscription};
        mr_trie_match(lookup->trie, topic, &visitor);
        return &reader->targets;
    }
    const struct mr_route *route = mr_topic_cache_lookup(reader->cache, topic);
    for (uint32_t i = 0; route != NULL && i < route->target_count; i++) {
        on_target(reader, route->targets[i].subscriber, route->targets[i].qos);
    }
    reader->targets.other_shards = route != NULL ? route->other_shards : 0;
    return &reader->targets;
}

void reader_rest(struct reader *reader) {
    if (reader->inside) {
        mr_epoch_leave(mr_trie_epoch(reader->lookup->trie), reader->slot);
        reader->inside = false;
    }
}
