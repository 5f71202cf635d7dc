// Internal. The subscriptions to one topic filter: a set of 64-bit words by
// subscriber, read without locks.
//
// The first word is kept inline, which is all that most filters need; more are in
// an open-addressing table whose words never move while it lives, so that a reader
// who passes over it sees each subscription that stays. A big set is split into parts,
// so that no single change has to move everything.
//
// Threads: readers of the memory's epoch look; one thread at a time changes.
#ifndef MILLRACE_TRIE_MEMBERS_H
#define MILLRACE_TRIE_MEMBERS_H

#include <stdatomic.h>

#include "base/base.h"
#include "trie/memory.h"
#include "trie/trie.h"

struct mr_member_table;

// Zeroed: the empty set.
struct mr_members {
    _Atomic(uint64_t) first;  // 0: none.
    _Atomic(struct mr_member_table *) more;
};

// The words: never 0, and the subscriber in the high half. A high half of 0 marks a
// slot that is empty (0) or was left (not 0).
static inline uint64_t mr_member_pack(const struct mr_subscription *subscription) {
    return (uint64_t)subscription->subscriber << 32 |
           (uint64_t)(subscription->subscription_id & 0xfffffffu) << 4 |
           (uint64_t)(subscription->qos & 3u) << 2 | (uint64_t)subscription->no_local << 1 |
           (uint64_t)subscription->retain_as_published;
}

static inline uint32_t mr_member_subscriber(uint64_t word) {
    return (uint32_t)(word >> 32);
}

static inline struct mr_subscription mr_member_unpack(uint64_t word) {
    struct mr_subscription subscription = {
        .subscriber = mr_member_subscriber(word),
        .subscription_id = (uint32_t)(word >> 4) & 0xfffffffu,
        .qos = (uint8_t)(word >> 2 & 3u),
        .no_local = (word >> 1 & 1u) != 0,
        .retain_as_published = (word & 1u) != 0,
    };
    return subscription;
}

// Frees what the set holds; no reader may be left.
void mr_members_fini(struct mr_members *members, struct mr_trie_memory *memory);

// Adds `word`, or replaces the word of the same subscriber. `*old_out` is that one,
// 0 if it was added. Errors: MR_ERR_NOMEM, only if it would be added.
MR_NODISCARD enum mr_err mr_members_put(struct mr_members *members, struct mr_trie_memory *memory,
                                        uint64_t word, uint64_t *old_out);

// Takes out the word of `subscriber`. Returns it, or 0. May try to get memory for a
// smaller table, and does without.
uint64_t mr_members_drop(struct mr_members *members, struct mr_trie_memory *memory,
                         uint32_t subscriber);

// The word of `subscriber`, or 0.
uint64_t mr_members_get(const struct mr_members *members, uint32_t subscriber);

// Calls `visitor->on_subscription` for each.
void mr_members_visit(const struct mr_members *members, const struct mr_trie_visitor *visitor);

// The next word behind `*cursor`, in a circle, whose subscriber is usable (NULL: all
// are); moves `*cursor` onto it. 0 if there is none. Threads share the round.
uint64_t mr_members_pick(const struct mr_members *members, _Atomic(uint32_t) *cursor,
                         bool (*usable)(void *ctx, uint32_t subscriber), void *ctx);

#endif  // MILLRACE_TRIE_MEMBERS_H
