#include "broker/router/mailbox.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "broker/limits.h"
#include "io/ring/ring.h"

// All rings together hold about this many parcels, so that many workers don't need memory with
// the square of their number.
#define RINGS_PARCELS (1u << 18)
#define RING_PARCELS_MIN 256u

struct waiting {
    struct waiting *next;
    struct mr_parcel parcel;
};

#define CACHE_LINE_BYTES 64u

// From one worker to one other. What one side writes for each parcel is kept away from what the
// other side reads.
struct lane {
    struct mr_ring *ring;
    struct mr_mailbox *from;
    uint8_t apart[CACHE_LINE_BYTES];
    // The sender's.
    bool pushed;  // Something to be published.
    uint64_t sent_bytes;
    struct waiting *first;
    struct waiting **last;
    uint8_t apart_too[CACHE_LINE_BYTES];
    // The receiver's.
    uint64_t taken_bytes;
    // Both use these now and then.
    _Atomic uint64_t shown_bytes;  // Of taken_bytes, what the sender knows of.
    atomic_bool starved;           // The sender waits for room.
};

struct mr_mailbox {
    struct mr_mailbox *all;
    struct mr_loop *loop;
    struct mr_counters *counters;
    struct lane *out;  // By target.
    uint32_t index;
    uint32_t count;
    uint64_t bytes_max;    // Under way to one other.
    struct lane *taking;   // Whose batch is being taken; NULL: none.
    uint64_t taken_count;  // Batches.
    uint64_t look_limit;   // Batches with this stamp and higher ones came after the look.
    bool asleep;
    uint8_t apart[CACHE_LINE_BYTES];
    // Batches that were sent here, each of which gets the number as its stamp. A sender stamps
    // before it publishes. So of two batches of which one was published before the other was
    // stamped, whoever has read a count above the second one's stamp sees the first one.
    _Atomic uint64_t arrived_count;
    uint8_t apart_too[CACHE_LINE_BYTES];
};

static uint32_t ring_entries(uint32_t count) {
    uint32_t entries = MR_RING_ENTRIES;
    while (entries > RING_PARCELS_MIN && entries * count * count > RINGS_PARCELS) {
        entries /= 2;
    }
    return entries;
}

enum mr_err mr_mailboxes_new(struct mr_mailbox **out, uint32_t count) {
    struct mr_mailbox *all = calloc(count, sizeof(*all));
    if (all == NULL) {
        return MR_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        all[i].all = all;
        all[i].index = i;
        all[i].count = count;
        all[i].bytes_max = count > 2 ? MR_RING_BYTES / (count - 1) : MR_RING_BYTES;
        all[i].out = calloc(count, sizeof(struct lane));
        if (all[i].out == NULL) {
            mr_mailboxes_free(all, count, NULL, NULL);
            return MR_ERR_NOMEM;
        }
        for (uint32_t j = 0; j < count; j++) {
            struct lane *lane = &all[i].out[j];
            lane->last = &lane->first;
            lane->from = &all[i];
            if (j != i &&
                mr_ring_new(&lane->ring, ring_entries(count), sizeof(struct mr_parcel)) != MR_OK) {
                mr_mailboxes_free(all, count, NULL, NULL);
                return MR_ERR_NOMEM;
            }
        }
    }
    *out = all;
    return MR_OK;
}

static void give_back(struct mr_parcel *parcel, void (*fn)(void *ctx, struct mr_parcel *parcel),
                      void *ctx) {
    if (fn != NULL) {
        fn(ctx, parcel);
    }
}

static void lane_free(struct lane *lane, void (*fn)(void *ctx, struct mr_parcel *parcel),
                      void *ctx) {
    struct mr_parcel parcel;
    if (lane->ring != NULL) {
        bool shown = mr_ring_publish(lane->ring);
        (void)shown;
        while (mr_ring_pop(lane->ring, &parcel)) {
            give_back(&parcel, fn, ctx);
        }
        mr_ring_free(lane->ring);
    }
    while (lane->first != NULL) {
        struct waiting *waiting = lane->first;
        lane->first = waiting->next;
        give_back(&waiting->parcel, fn, ctx);
        free(waiting);
    }
}

void mr_mailboxes_free(struct mr_mailbox *mailboxes, uint32_t count,
                       void (*fn)(void *ctx, struct mr_parcel *parcel), void *ctx) {
    for (uint32_t i = 0; mailboxes != NULL && i < count; i++) {
        for (uint32_t j = 0; mailboxes[i].out != NULL && j < count; j++) {
            lane_free(&mailboxes[i].out[j], fn, ctx);
        }
        free(mailboxes[i].out);
    }
    free(mailboxes);
}

struct mr_mailbox *mr_mailbox_at(struct mr_mailbox *mailboxes, uint32_t index) {
    return &mailboxes[index];
}

void mr_mailbox_bind(struct mr_mailbox *mailbox, struct mr_loop *loop,
                     struct mr_counters *counters) {
    mailbox->loop = loop;
    mailbox->counters = counters;
}

// The look at `shown_bytes` comes first. It is ordered with the store to `starved`, which the
// ring's own look, an acquire only, isn't: but what was popped before those bytes were shown is
// seen by whatever looks after them.
static bool lane_has_room(struct lane *lane, uint32_t parcels) {
    uint64_t shown_bytes = atomic_load(&lane->shown_bytes);
    return lane->first == NULL && lane->sent_bytes - shown_bytes < lane->from->bytes_max &&
           mr_ring_free_count(lane->ring, parcels) >= parcels;
}

bool mr_mailbox_has_room(struct mr_mailbox *mailbox, uint64_t targets, uint32_t parcels) {
    for (uint32_t i = 0; targets != 0 && i < mailbox->count; i++) {
        if ((targets >> i & 1) == 0 || i == mailbox->index) {
            continue;
        }
        struct lane *lane = &mailbox->out[i];
        if (MR_LIKELY(lane_has_room(lane, parcels))) {
            continue;
        }
        // Said first, looked again after: one of the two sides sees the other.
        atomic_store(&lane->starved, true);
        if (!lane_has_room(lane, parcels)) {
            mr_count(&mailbox->counters->ring_full);
            return false;
        }
    }
    return true;
}

bool mr_mailbox_send(struct mr_mailbox *mailbox, uint32_t target, struct mr_parcel *parcel) {
    struct lane *lane = &mailbox->out[target];
    parcel->from = (uint8_t)mailbox->index;
    parcel->stamp = 0;
    lane->pushed = true;
    lane->sent_bytes += parcel->bytes;
    if (lane->first == NULL && mr_ring_push(lane->ring, parcel)) {
        mr_count(&mailbox->counters->parcels_sent);
        return true;
    }
    struct waiting *waiting = malloc(sizeof(*waiting));
    if (waiting == NULL) {
        lane->sent_bytes -= parcel->bytes;
        return false;
    }
    waiting->parcel = *parcel;
    waiting->next = NULL;
    *lane->last = waiting;
    lane->last = &waiting->next;
    return true;
}

bool mr_mailbox_has_arrivals(const struct mr_mailbox *mailbox) {
    return atomic_load_explicit(&mailbox->arrived_count, memory_order_acquire) !=
           mailbox->taken_count;
}

void mr_mailbox_look(struct mr_mailbox *mailbox) {
    mailbox->look_limit = 1 + atomic_load_explicit(&mailbox->arrived_count, memory_order_acquire);
}

// The lane with the oldest batch that was there at the look; NULL: none.
static struct lane *oldest(struct mr_mailbox *mailbox) {
    struct lane *found = NULL;
    uint64_t stamp = mailbox->look_limit;
    for (uint32_t from = 0; from < mailbox->count; from++) {
        if (from == mailbox->index) {
            continue;
        }
        struct lane *lane = &mailbox->all[from].out[mailbox->index];
        const struct mr_parcel *first = mr_ring_peek(lane->ring);
        if (first != NULL && first->stamp < stamp) {
            stamp = first->stamp;
            found = lane;
        }
    }
    mailbox->taken_count += found != NULL;
    return found;
}

// A batch was taken: its sender may have waited for that.
static void show_taken(struct lane *lane) {
    atomic_store(&lane->shown_bytes, lane->taken_bytes);
    if (atomic_load(&lane->starved) && atomic_exchange(&lane->starved, false)) {
        mr_loop_wake(lane->from->loop);
    }
}

static bool batch_goes_on(struct lane *lane) {
    const struct mr_parcel *next = mr_ring_peek(lane->ring);
    return next != NULL && next->stamp == 0;
}

bool mr_mailbox_take(struct mr_mailbox *mailbox, struct mr_parcel *out) {
    if (mailbox->taking == NULL) {
        mailbox->taking = oldest(mailbox);
    }
    struct lane *lane = mailbox->taking;
    if (lane == NULL || !mr_ring_pop(lane->ring, out)) {
        return false;
    }
    lane->taken_bytes += out->bytes;
    mr_count(&mailbox->counters->parcels_received);
    if (!batch_goes_on(lane)) {
        show_taken(lane);
        mailbox->taking = NULL;
    }
    return true;
}

static void lane_refill(struct lane *lane) {
    while (lane->first != NULL && mr_ring_push(lane->ring, &lane->first->parcel)) {
        struct waiting *waiting = lane->first;
        lane->first = waiting->next;
        if (lane->first == NULL) {
            lane->last = &lane->first;
        }
        free(waiting);
        lane->pushed = true;
        mr_count(&lane->from->counters->parcels_sent);
    }
}

// Shows what was pushed to a worker, and wakes it if need be.
static void lane_publish(struct lane *lane, struct mr_mailbox *to) {
    lane->pushed = false;
    struct mr_parcel *first = mr_ring_unpublished(lane->ring);
    if (first == NULL) {
        return;
    }
    first->stamp = 1 + atomic_fetch_add(&to->arrived_count, 1);
    if (mr_ring_publish(lane->ring)) {
        mr_loop_wake(to->loop);
    }
}

// What still waits for room is sent in the turn for which the receiver wakes us. Said first, looked
// again after, as in mr_mailbox_has_room(): the receiver may have emptied the ring since
// lane_refill() found it full, and then it wakes nobody any more.
static void lane_starve(struct lane *lane, struct mr_mailbox *to) {
    atomic_store(&lane->starved, true);
    uint64_t shown_bytes = atomic_load(&lane->shown_bytes);
    (void)shown_bytes;  // For its order, see lane_has_room().
    lane_refill(lane);
    if (lane->pushed) {
        lane_publish(lane, to);
    }
}

void mr_mailbox_flush(struct mr_mailbox *mailbox) {
    for (uint32_t i = 0; i < mailbox->count; i++) {
        struct lane *lane = &mailbox->out[i];
        if (i == mailbox->index) {
            continue;
        }
        if (MR_UNLIKELY(lane->first != NULL)) {
            lane_refill(lane);
        }
        if (lane->pushed) {
            lane_publish(lane, &mailbox->all[i]);
        }
        if (MR_UNLIKELY(lane->first != NULL)) {
            lane_starve(lane, &mailbox->all[i]);
        }
    }
}

bool mr_mailbox_sleep(struct mr_mailbox *mailbox) {
    for (uint32_t i = 0; i < mailbox->count; i++) {
        if (i != mailbox->index && !mr_ring_sleep(mailbox->all[i].out[mailbox->index].ring)) {
            mailbox->asleep = true;
            mr_mailbox_awake(mailbox);
            return false;
        }
    }
    mailbox->asleep = true;
    return true;
}

void mr_mailbox_awake(struct mr_mailbox *mailbox) {
    if (!mailbox->asleep) {
        return;
    }
    mailbox->asleep = false;
    for (uint32_t i = 0; i < mailbox->count; i++) {
        if (i != mailbox->index) {
            mr_ring_awake(mailbox->all[i].out[mailbox->index].ring);
        }
    }
}
