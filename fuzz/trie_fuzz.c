// Subscribing, unsubscribing, matching and looking up in any order, with memory that
// runs out, against a list that is searched with the definition of a match. The input
// is a sequence of operations; filters and topic names are made of few, short levels, so
// that they meet often.
#include "codec/topic.h"
#include "trie/cache.h"
#include "trie/testing.h"
#include "trie/trie.h"

#define HELD_MAX 48u
#define TEXT_MAX 96u
#define LEVELS_MAX 7u
#define SHARD 1u
#define REPORTS_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t left;
};

struct held {
    uint8_t text[TEXT_MAX];
    size_t text_len;
    struct mr_subscription subscription;
    struct mr_trie_node *node;
};

struct world {
    struct mr_trie *trie;
    struct mr_topic_cache *caches[2];  // With and without memory to keep results in.
    struct mr_epoch *epoch;
    uint32_t reader;
    struct held held[HELD_MAX];
    size_t held_count;
};

// What a match reported.
struct reports {
    struct mr_subscription subscriptions[REPORTS_MAX];
    size_t subscription_count;
    struct mr_trie_node *shared[REPORTS_MAX];
    size_t shared_count;
};

static uint8_t next_byte(struct input *input) {
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->data++;
}

// Makes text of levels that the input chooses.
static struct mr_slice next_text(struct input *input, uint8_t *buffer) {
    static const char *const levels[] = {"a", "b", "", "+", "#", "$s", "$share", "level"};
    size_t level_count = 1 + next_byte(input) % LEVELS_MAX;
    size_t len = 0;
    for (size_t i = 0; i < level_count; i++) {
        struct mr_slice level = mr_slice_str(levels[next_byte(input) % MR_ARRAY_COUNT(levels)]);
        if (i > 0) {
            buffer[len++] = '/';
        }
        memcpy(buffer + len, level.data, level.len);
        len += level.len;
    }
    return mr_slice_of(buffer, len);
}

static struct mr_filter parse(struct mr_slice text) {
    struct mr_filter filter;
    mr_filter_parse(text, true, &filter);
    return filter;
}

static struct mr_slice held_text(const struct held *held) {
    return mr_slice_of(held->text, held->text_len);
}

static bool held_matches(const struct held *held, struct mr_slice topic) {
    return mr_filter_matches(parse(held_text(held)).filter, topic);
}

static bool held_is_shared(const struct held *held) {
    return parse(held_text(held)).share.data != NULL;
}

static struct held *held_find(struct world *world, struct mr_slice text, uint32_t subscriber) {
    for (size_t i = 0; i < world->held_count; i++) {
        struct held *held = &world->held[i];
        if (mr_slice_eq(held_text(held), text) && held->subscription.subscriber == subscriber) {
            return held;
        }
    }
    return NULL;
}

static bool same(const struct mr_subscription *a, const struct mr_subscription *b) {
    return a->subscriber == b->subscriber && a->subscription_id == b->subscription_id &&
           a->qos == b->qos && a->no_local == b->no_local &&
           a->retain_as_published == b->retain_as_published;
}

// -------------------------------------------------------------------- operations

static void insert(struct world *world, struct input *input) {
    uint8_t buffer[TEXT_MAX];
    uint8_t who = next_byte(input);
    uint8_t how = next_byte(input);
    struct mr_subscription subscription = {
        .subscriber = mr_subscriber_make(who % 3, 1 + who / 3 % 5),
        .subscription_id = how >> 4,
        .qos = how % 3,
        .no_local = (how & 4) != 0,
        .retain_as_published = (how & 8) != 0,
    };
    struct mr_slice text = next_text(input, buffer);
    struct mr_filter filter = parse(text);
    struct held *held = held_find(world, text, subscription.subscriber);
    if (held == NULL && world->held_count == HELD_MAX) {
        return;
    }
    struct mr_trie_node *node = NULL;
    bool existed = false;
    enum mr_err err = mr_trie_insert(world->trie, &filter, &subscription, &node, &existed);
    if (err != MR_OK) {
        MR_ASSERT(err == (filter.kind == MR_FILTER_INVALID ? MR_ERR_INVALID : MR_ERR_NOMEM));
        MR_ASSERT(held == NULL);
        return;
    }
    MR_ASSERT(filter.kind != MR_FILTER_INVALID);
    MR_ASSERT(existed == (held != NULL));
    if (held == NULL) {
        held = &world->held[world->held_count++];
        memcpy(held->text, text.data, text.len);
        held->text_len = text.len;
        held->node = node;
    }
    MR_ASSERT(held->node == node);
    held->subscription = subscription;
}

static void remove_one(struct world *world, struct input *input) {
    if (world->held_count == 0) {
        return;
    }
    struct held *held = &world->held[next_byte(input) % world->held_count];
    mr_trie_remove(world->trie, held->node, held->subscription.subscriber);
    *held = world->held[--world->held_count];
}

static void on_subscription(void *ctx, const struct mr_subscription *subscription) {
    struct reports *reports = ctx;
    MR_ASSERT(reports->subscription_count < REPORTS_MAX);
    reports->subscriptions[reports->subscription_count++] = *subscription;
}

static void on_shared(void *ctx, struct mr_trie_node *node) {
    struct reports *reports = ctx;
    MR_ASSERT(reports->shared_count < REPORTS_MAX);
    reports->shared[reports->shared_count++] = node;
}

// How many held subscriptions to `node` there are.
static size_t members_of(const struct world *world, const struct mr_trie_node *node) {
    size_t count = 0;
    for (size_t i = 0; i < world->held_count; i++) {
        count += world->held[i].node == node;
    }
    return count;
}

// Each held subscription that matches was reported, and there are no more.
static void match(struct world *world, struct mr_slice topic) {
    struct reports reports;
    reports.subscription_count = 0;
    reports.shared_count = 0;
    struct mr_trie_visitor visitor = {&reports, on_subscription, on_shared};
    mr_trie_match(world->trie, topic, &visitor);
    size_t expected = 0;
    size_t expected_shared = 0;
    for (size_t i = 0; i < world->held_count; i++) {
        const struct held *held = &world->held[i];
        if (!held_matches(held, topic)) {
            continue;
        }
        bool found = false;
        if (held_is_shared(held)) {
            expected_shared++;
            for (size_t j = 0; j < reports.shared_count; j++) {
                found |= reports.shared[j] == held->node;
            }
        } else {
            expected++;
            for (size_t j = 0; j < reports.subscription_count; j++) {
                found |= same(&reports.subscriptions[j], &held->subscription);
            }
        }
        MR_ASSERT(found);
    }
    MR_ASSERT(reports.subscription_count == expected);
    size_t reported_shared = 0;
    for (size_t i = 0; i < reports.shared_count; i++) {
        reported_shared += members_of(world, reports.shared[i]);
    }
    MR_ASSERT(reported_shared == expected_shared);
}

static const struct mr_target *target_of(const struct mr_route *route, uint32_t subscriber) {
    for (uint32_t i = 0; i < route->target_count; i++) {
        if (route->targets[i].subscriber == subscriber) {
            return &route->targets[i];
        }
    }
    return NULL;
}

static bool target_has_id(const struct mr_route *route, const struct mr_target *target,
                          uint32_t id) {
    for (uint32_t i = 0; i < target->id_count; i++) {
        if (route->ids[target->ids_index + i] == id) {
            return true;
        }
    }
    return false;
}

static void look_up(struct world *world, struct mr_topic_cache *cache, struct mr_slice topic) {
    const struct mr_route *route = mr_topic_cache_lookup(cache, topic);
    MR_ASSERT(route != NULL);
    uint64_t other_shards = 0;
    size_t id_count = 0;
    for (size_t i = 0; i < world->held_count; i++) {
        const struct held *held = &world->held[i];
        const struct mr_subscription *subscription = &held->subscription;
        if (!held_matches(held, topic)) {
            continue;
        }
        if (held_is_shared(held)) {
            bool found = false;
            for (uint32_t j = 0; j < route->shared_count; j++) {
                found |= route->shared[j] == held->node;
            }
            MR_ASSERT(found);
        } else if (mr_subscriber_shard(subscription->subscriber) != SHARD) {
            other_shards |= UINT64_C(1) << mr_subscriber_shard(subscription->subscriber);
        } else {
            const struct mr_target *target = target_of(route, subscription->subscriber);
            MR_ASSERT(target != NULL);
            MR_ASSERT(target->qos >= subscription->qos);
            MR_ASSERT(target->retain_as_published || !subscription->retain_as_published);
            MR_ASSERT(subscription->no_local ||
                      (target->qos_own != MR_TARGET_NONE && target->qos_own >= subscription->qos));
            uint32_t id = subscription->subscription_id;
            MR_ASSERT(id == 0 || target_has_id(route, target, id));
            id_count += id != 0;
        }
    }
    MR_ASSERT(route->other_shards == other_shards);
    for (uint32_t i = 0; i < route->target_count; i++) {
        MR_ASSERT(i == 0 || route->targets[i].subscriber > route->targets[i - 1].subscriber);
        id_count -= route->targets[i].id_count;
    }
    MR_ASSERT(id_count == 0);
}

// Every second subscriber.
static bool is_usable(void *ctx, uint32_t subscriber) {
    (void)ctx;
    return mr_subscriber_index(subscriber) % 2 == 0;
}

static void find_and_pick(struct world *world, struct input *input) {
    if (world->held_count == 0) {
        return;
    }
    const struct held *held = &world->held[next_byte(input) % world->held_count];
    struct mr_filter filter = parse(held_text(held));
    MR_ASSERT(mr_trie_find(world->trie, &filter) == held->node);
    uint8_t text[TEXT_MAX];
    size_t len = mr_trie_node_text(held->node, text, sizeof(text));
    MR_ASSERT(mr_slice_eq(mr_slice_of(text, len), held_text(held)));
    struct mr_subscription subscription;
    MR_ASSERT(mr_trie_node_get(held->node, held->subscription.subscriber, &subscription));
    MR_ASSERT(same(&subscription, &held->subscription));
    MR_ASSERT(mr_trie_node_pick(held->node, is_usable, NULL, &subscription));
    const struct held *picked = held_find(world, held_text(held), subscription.subscriber);
    MR_ASSERT(picked != NULL);
    MR_ASSERT(same(&subscription, &picked->subscription));
    bool any_usable = false;
    for (size_t i = 0; i < world->held_count; i++) {
        any_usable |= world->held[i].node == held->node &&
                      is_usable(NULL, world->held[i].subscription.subscriber);
    }
    MR_ASSERT(any_usable == is_usable(NULL, subscription.subscriber));
}

static void step(struct world *world, struct input *input) {
    uint8_t buffer[TEXT_MAX];
    uint8_t operation = next_byte(input) % 16;
    if (operation < 6) {
        insert(world, input);
    } else if (operation < 9) {
        remove_one(world, input);
    } else if (operation < 13) {
        struct mr_slice topic = next_text(input, buffer);
        if (mr_topic_name_valid(topic)) {
            match(world, topic);
            look_up(world, world->caches[0], topic);
            look_up(world, world->caches[1], topic);
        }
    } else if (operation < 14) {
        find_and_pick(world, input);
    } else if (operation < 15) {
        uint8_t count = next_byte(input);
        mr_trie_test_limit_allocations(world->trie, count < 16 ? count : UINT64_MAX);
    } else {
        mr_epoch_quiescent(world->epoch, world->reader);
    }
}

// ------------------------------------------------------------------------- world

static void world_new(struct world *world) {
    struct mr_trie_options options = {0, 1};
    MR_ASSERT(mr_trie_new(&world->trie, &options) == MR_OK);
    world->epoch = mr_trie_epoch(world->trie);
    MR_ASSERT(mr_epoch_register(world->epoch, &world->reader) == MR_OK);
    mr_epoch_enter(world->epoch, world->reader);
    for (size_t i = 0; i < MR_ARRAY_COUNT(world->caches); i++) {
        struct mr_topic_cache_options cache_options = {SHARD, i == 0 ? 100000 : 900, NULL, NULL};
        MR_ASSERT(mr_topic_cache_new(&world->caches[i], world->trie, &cache_options) == MR_OK);
    }
    world->held_count = 0;
}

static void world_free(struct world *world) {
    struct mr_trie_stats stats;
    mr_trie_stats(world->trie, &stats);
    MR_ASSERT(stats.subscription_count == world->held_count);
    while (world->held_count > 0) {
        struct held *held = &world->held[--world->held_count];
        mr_trie_remove(world->trie, held->node, held->subscription.subscriber);
    }
    for (size_t i = 0; i < MR_ARRAY_COUNT(world->caches); i++) {
        mr_topic_cache_free(world->caches[i]);
    }
    mr_epoch_unregister(world->epoch, world->reader);
    mr_trie_stats(world->trie, &stats);
    MR_ASSERT(stats.node_count == 0);
    MR_ASSERT(stats.retired_count == 0);
    mr_trie_free(world->trie);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world world;
    world_new(&world);
    struct input input = {data, size};
    while (input.left > 0) {
        step(&world, &input);
    }
    world_free(&world);
    return 0;
}
