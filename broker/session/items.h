// The deque in which a session keeps deliveries, in flight or waiting.
//
// Grows by doubling from pooled buffers, holds nothing when empty after mr_items_trim().
//
// Threads: the session's worker.
#ifndef MILLRACE_BROKER_SESSION_ITEMS_H
#define MILLRACE_BROKER_SESSION_ITEMS_H

#include "base/base.h"
#include "broker/message/message.h"
#include "io/buf/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_trie_node;

enum mr_item_flag {
    MR_ITEM_RETAIN = 1 << 0,    // RETAIN flag towards the subscriber.
    MR_ITEM_SHARED = 1 << 1,    // `of.node` is the shared filter it was picked for.
    MR_ITEM_MANY_IDS = 1 << 2,  // `of.ids` is a pooled list; else `of.id` is the one id or 0.
    MR_ITEM_REPLAY = 1 << 3,    // A retained message sent for a SUBSCRIBE: outside of queue limits.
};

enum mr_item_state {
    MR_ITEM_WAITING,        // In flight: has its identifier, was never sent completely.
    MR_ITEM_AWAIT_ACK,      // PUBLISH sent: PUBACK or PUBREC awaited.
    MR_ITEM_AWAIT_PUBCOMP,  // PUBREL sent.
    MR_ITEM_DONE,           // Finished out of order; its place is kept.
};

// Identifiers of overlapping subscriptions, if more than one.
struct mr_item_ids {
    struct mr_buf *buf;
    uint32_t count;
    uint32_t ids[];
};

struct mr_item {
    struct mr_message *message;  // One reference; NULL from AWAIT_PUBCOMP on.
    union {
        uint32_t id;
        struct mr_item_ids *ids;
        struct mr_trie_node *node;
    } of;
    uint8_t qos;
    uint8_t flags;
    uint8_t state;
};

// Two of these are in each session, idle ones included: so they are packed.
struct mr_items {
    struct mr_buf *buf;  // NULL when nothing is held.
    uint32_t count;
    uint32_t head : 27;
    uint32_t capacity_log2 : 5;
};

static inline uint32_t mr_items_mask(const struct mr_items *items) {
    return (UINT32_C(1) << items->capacity_log2) - 1;
}

static inline struct mr_item *mr_items_at(const struct mr_items *items, uint32_t index) {
    struct mr_item *array = (struct mr_item *)(void *)items->buf->data;
    return &array[(items->head + index) & mr_items_mask(items)];
}

// Appends a copy of `item`. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_items_push(struct mr_items *items, struct mr_buf_pool *pool,
                                       const struct mr_item *item);
// Removes the first one, which exists, without releasing what it refers to.
static inline void mr_items_pop(struct mr_items *items) {
    items->head = (items->head + 1) & mr_items_mask(items) & 0x7ffffff;
    items->count--;
}
// Removes the one at `index`, moving the shorter side.
void mr_items_remove(struct mr_items *items, uint32_t index);
// Gives the memory back if there are no items.
void mr_items_trim(struct mr_items *items);

// Releases the message and the list of identifiers.
void mr_item_release(struct mr_item *item);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_SESSION_ITEMS_H
