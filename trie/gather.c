#include "trie/gather.h"

#include "trie/members.h"

#define CAPACITY_MIN 16u
// Up to here sorting by insertion is faster than going over counters three times.
#define INSERTION_SORT_MAX 48u
#define DIGIT_BITS 8u
#define DIGITS (1u << DIGIT_BITS)
// The low bit of a subscriber in a word. The shard, above its 24 bits of index, is the
// same for all.
#define SORT_SHIFT 32u
#define SORT_PASSES 3u

void mr_gather_fini(struct mr_gather *gather) {
    mr_memory_free(gather->memory, gather->words, gather->word_capacity * sizeof(uint64_t));
    mr_memory_free(gather->memory, gather->spare, gather->word_capacity * sizeof(uint64_t));
    mr_memory_free(gather->memory, gather->shared,
                   gather->shared_capacity * sizeof(struct mr_trie_node *));
}

static bool grow_words(struct mr_gather *gather) {
    size_t capacity = gather->word_capacity == 0 ? CAPACITY_MIN : gather->word_capacity * 2;
    uint64_t *words = mr_memory_alloc(gather->memory, capacity * sizeof(words[0]));
    uint64_t *spare = mr_memory_alloc(gather->memory, capacity * sizeof(spare[0]));
    if (words == NULL || spare == NULL) {
        mr_memory_free(gather->memory, words, capacity * sizeof(words[0]));
        mr_memory_free(gather->memory, spare, capacity * sizeof(spare[0]));
        return false;
    }
    if (gather->word_count > 0) {
        memcpy(words, gather->words, gather->word_count * sizeof(words[0]));
    }
    mr_memory_free(gather->memory, gather->words, gather->word_capacity * sizeof(words[0]));
    mr_memory_free(gather->memory, gather->spare, gather->word_capacity * sizeof(words[0]));
    gather->words = words;
    gather->spare = spare;
    gather->word_capacity = capacity;
    return true;
}

static bool grow_shared(struct mr_gather *gather) {
    size_t capacity = gather->shared_capacity == 0 ? CAPACITY_MIN : gather->shared_capacity * 2;
    struct mr_trie_node **shared =
        mr_memory_alloc(gather->memory, capacity * sizeof(struct mr_trie_node *));
    if (shared == NULL) {
        return false;
    }
    if (gather->shared_count > 0) {
        memcpy(shared, gather->shared, gather->shared_count * sizeof(struct mr_trie_node *));
    }
    mr_memory_free(gather->memory, gather->shared,
                   gather->shared_capacity * sizeof(struct mr_trie_node *));
    gather->shared = shared;
    gather->shared_capacity = capacity;
    return true;
}

static void on_subscription(void *ctx, const struct mr_subscription *subscription) {
    struct mr_gather *gather = ctx;
    uint32_t shard = mr_subscriber_shard(subscription->subscriber);
    if (shard != gather->shard) {
        gather->other_shards |= UINT64_C(1) << shard;
        return;
    }
    if (gather->word_count == gather->word_capacity && !grow_words(gather)) {
        gather->out_of_memory = true;
        return;
    }
    gather->words[gather->word_count++] = mr_member_pack(subscription);
}

static void on_shared(void *ctx, struct mr_trie_node *node) {
    struct mr_gather *gather = ctx;
    if (gather->shared_count == gather->shared_capacity && !grow_shared(gather)) {
        gather->out_of_memory = true;
        return;
    }
    gather->shared[gather->shared_count++] = node;
}

enum mr_err mr_gather_match(struct mr_gather *gather, struct mr_trie *trie, struct mr_slice topic) {
    gather->word_count = 0;
    gather->shared_count = 0;
    gather->other_shards = 0;
    gather->out_of_memory = false;
    struct mr_trie_visitor visitor = {gather, on_subscription, on_shared};
    mr_trie_match(trie, topic, &visitor);
    return gather->out_of_memory ? MR_ERR_NOMEM : MR_OK;
}

static void sort_by_insertion(uint64_t *words, size_t count) {
    for (size_t i = 1; i < count; i++) {
        uint64_t word = words[i];
        size_t at = i;
        while (at > 0 && words[at - 1] > word) {
            words[at] = words[at - 1];
            at--;
        }
        words[at] = word;
    }
}

// By one digit of the subscriber, keeping the order of equals. False if all have the
// same digit, so that there was nothing to do.
static bool sort_pass(const uint64_t *from, uint64_t *to, size_t count, uint32_t shift) {
    size_t places[DIGITS] = {0};
    for (size_t i = 0; i < count; i++) {
        places[from[i] >> shift & (DIGITS - 1)]++;
    }
    if (places[from[0] >> shift & (DIGITS - 1)] == count) {
        return false;
    }
    size_t sum = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        size_t digit_count = places[i];
        places[i] = sum;
        sum += digit_count;
    }
    for (size_t i = 0; i < count; i++) {
        to[places[from[i] >> shift & (DIGITS - 1)]++] = from[i];
    }
    return true;
}

static void sort(struct mr_gather *gather) {
    if (gather->word_count <= INSERTION_SORT_MAX) {
        sort_by_insertion(gather->words, gather->word_count);
        return;
    }
    for (uint32_t pass = 0; pass < SORT_PASSES; pass++) {
        if (sort_pass(gather->words, gather->spare, gather->word_count,
                      SORT_SHIFT + pass * DIGIT_BITS)) {
            uint64_t *sorted = gather->spare;
            gather->spare = gather->words;
            gather->words = sorted;
        }
    }
}

// Where the words of the subscriber at `begin` end.
static size_t run_end(const struct mr_gather *gather, size_t begin) {
    uint32_t subscriber = mr_member_subscriber(gather->words[begin]);
    size_t end = begin + 1;
    while (end < gather->word_count && mr_member_subscriber(gather->words[end]) == subscriber) {
        end++;
    }
    return end;
}

void mr_gather_merge(struct mr_gather *gather, struct mr_slice topic,
                     bool (*may_receive)(void *ctx, uint32_t subscriber, struct mr_slice topic),
                     void *ctx) {
    sort(gather);
    gather->target_count = 0;
    gather->id_count = 0;
    size_t kept = 0;
    for (size_t begin = 0, end; begin < gather->word_count; begin = end) {
        end = run_end(gather, begin);
        uint32_t subscriber = mr_member_subscriber(gather->words[begin]);
        if (may_receive != NULL && !may_receive(ctx, subscriber, topic)) {
            continue;
        }
        for (size_t i = begin; i < end; i++) {
            gather->id_count += mr_member_unpack(gather->words[i]).subscription_id != 0;
            gather->words[kept++] = gather->words[i];
        }
        gather->target_count++;
    }
    gather->word_count = kept;
}

// Adds the identifiers of those words that are No Local or aren't. A packet has no room
// for more of them than fit the count.
static void write_ids(const struct mr_gather *gather, size_t begin, size_t end, bool no_local,
                      struct mr_target *target, uint32_t *ids) {
    for (size_t i = begin; i < end; i++) {
        struct mr_subscription subscription = mr_member_unpack(gather->words[i]);
        if (subscription.no_local == no_local && subscription.subscription_id != 0 &&
            target->id_count < UINT16_MAX) {
            ids[target->ids_index + target->id_count++] = subscription.subscription_id;
        }
    }
}

void mr_gather_write(const struct mr_gather *gather, struct mr_target *targets, uint32_t *ids) {
    uint32_t ids_index = 0;
    for (size_t begin = 0, end; begin < gather->word_count; begin = end) {
        end = run_end(gather, begin);
        struct mr_target *target = targets++;
        memset(target, 0, sizeof(*target));
        target->subscriber = mr_member_subscriber(gather->words[begin]);
        target->ids_index = ids_index;
        target->qos_own = MR_TARGET_NONE;
        for (size_t i = begin; i < end; i++) {
            struct mr_subscription subscription = mr_member_unpack(gather->words[i]);
            if (subscription.qos > target->qos) {
                target->qos = subscription.qos;
            }
            if (!subscription.no_local &&
                (target->qos_own == MR_TARGET_NONE || subscription.qos > target->qos_own)) {
                target->qos_own = subscription.qos;
            }
            target->retain_as_published |= subscription.retain_as_published;
            target->retain_as_published_own |=
                !subscription.no_local && subscription.retain_as_published;
        }
        write_ids(gather, begin, end, false, target, ids);
        target->id_count_own = target->id_count;
        write_ids(gather, begin, end, true, target, ids);
        ids_index += target->id_count;
    }
}
