#include "trie/epoch.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "base/aligned.h"

// An away reader's `seen`; epochs start above it.
#define EPOCH_AWAY 0u
#define CACHE_LINE 64

// `seen` is the epoch that the reader saw when it last held no references. Each has
// a cache line of its own: a reader writes it in every turn of its loop.
struct reader {
    alignas(CACHE_LINE) _Atomic(uint64_t) seen;
};

struct mr_epoch {
    // Advanced by each retirement, after the object was made unreachable. A reader that
    // has seen a later epoch than an object's cannot reach the object any more.
    alignas(CACHE_LINE) _Atomic(uint64_t) current;
    _Atomic(uint64_t) registered;  // Bit for each reader slot in use.
    // First in, first out, hence by ascending epoch.
    alignas(CACHE_LINE) struct mr_epoch_link *oldest;
    struct mr_epoch_link *newest;
    size_t retired_count;
    struct reader readers[MR_EPOCH_READERS_MAX];
};

static_assert(MR_EPOCH_READERS_MAX == 64, "`registered` has a bit for each reader");

enum mr_err mr_epoch_new(struct mr_epoch **out) {
    struct mr_epoch *epoch = mr_aligned_alloc(CACHE_LINE, sizeof(*epoch));
    if (epoch == NULL) {
        return MR_ERR_NOMEM;
    }
    atomic_init(&epoch->current, EPOCH_AWAY + 1);
    atomic_init(&epoch->registered, 0);
    epoch->oldest = NULL;
    epoch->newest = NULL;
    epoch->retired_count = 0;
    for (size_t i = 0; i < MR_EPOCH_READERS_MAX; i++) {
        atomic_init(&epoch->readers[i].seen, EPOCH_AWAY);
    }
    *out = epoch;
    return MR_OK;
}

// Frees retired objects, oldest first, while their epoch is below `limit`.
static void free_before(struct mr_epoch *epoch, uint64_t limit, size_t count_max) {
    for (size_t i = 0; i < count_max; i++) {
        if (epoch->oldest == NULL || epoch->oldest->epoch >= limit) {
            return;
        }
        struct mr_epoch_link *link = epoch->oldest;
        epoch->oldest = link->next;
        if (epoch->oldest == NULL) {
            epoch->newest = NULL;
        }
        epoch->retired_count--;
        link->free_fn(link->ctx, link);
    }
}

void mr_epoch_free(struct mr_epoch *epoch) {
    if (epoch == NULL) {
        return;
    }
    for (size_t i = 0; i < MR_EPOCH_READERS_MAX; i++) {
        MR_ASSERT(atomic_load(&epoch->readers[i].seen) == EPOCH_AWAY);
    }
    free_before(epoch, UINT64_MAX, SIZE_MAX);
    mr_aligned_free(epoch);
}

enum mr_err mr_epoch_register(struct mr_epoch *epoch, uint32_t *reader_out) {
    uint64_t registered = atomic_load(&epoch->registered);
    while (registered != UINT64_MAX) {
        uint32_t reader = (uint32_t)__builtin_ctzll(~registered);
        if (atomic_compare_exchange_weak(&epoch->registered, &registered,
                                         registered | UINT64_C(1) << reader)) {
            *reader_out = reader;
            return MR_OK;
        }
    }
    return MR_ERR_LIMIT;
}

void mr_epoch_unregister(struct mr_epoch *epoch, uint32_t reader) {
    MR_ASSERT(reader < MR_EPOCH_READERS_MAX);
    mr_epoch_leave(epoch, reader);
    atomic_fetch_and(&epoch->registered, ~(UINT64_C(1) << reader));
}

void mr_epoch_enter(struct mr_epoch *epoch, uint32_t reader) {
    MR_DEBUG_ASSERT(reader < MR_EPOCH_READERS_MAX);
    // Whoever retires adds to `current` and then looks at `seen`; we write `seen` and
    // then look at `current`. All four are sequentially consistent, so one sees the
    // other: either our presence is noticed, or the epoch that we read here is past
    // that retirement, and reading it makes the removal visible to us.
    atomic_store(&epoch->readers[reader].seen, atomic_load(&epoch->current));
    atomic_store_explicit(&epoch->readers[reader].seen, atomic_load(&epoch->current),
                          memory_order_release);
}

void mr_epoch_quiescent(struct mr_epoch *epoch, uint32_t reader) {
    MR_DEBUG_ASSERT(reader < MR_EPOCH_READERS_MAX);
    // A plain release store is enough here, unlike in mr_epoch_enter(): as long as it
    // has not arrived, the older epoch stands there and holds back more than it has to.
    uint64_t current = atomic_load_explicit(&epoch->current, memory_order_acquire);
    atomic_store_explicit(&epoch->readers[reader].seen, current, memory_order_release);
}

void mr_epoch_leave(struct mr_epoch *epoch, uint32_t reader) {
    MR_DEBUG_ASSERT(reader < MR_EPOCH_READERS_MAX);
    atomic_store_explicit(&epoch->readers[reader].seen, EPOCH_AWAY, memory_order_release);
}

void mr_epoch_retire(struct mr_epoch *epoch, struct mr_epoch_link *link,
                     void (*free_fn)(void *ctx, struct mr_epoch_link *link), void *ctx) {
    link->next = NULL;
    link->free_fn = free_fn;
    link->ctx = ctx;
    link->epoch = atomic_fetch_add(&epoch->current, 1);
    if (epoch->newest == NULL) {
        epoch->oldest = link;
    } else {
        epoch->newest->next = link;
    }
    epoch->newest = link;
    epoch->retired_count++;
}

size_t mr_epoch_reclaim(struct mr_epoch *epoch) {
    return mr_epoch_reclaim_some(epoch, SIZE_MAX);
}

size_t mr_epoch_reclaim_some(struct mr_epoch *epoch, size_t count_max) {
    if (epoch->oldest == NULL) {
        return 0;
    }
    uint64_t limit = UINT64_MAX;
    uint64_t registered = atomic_load(&epoch->registered);
    while (registered != 0) {
        uint32_t reader = (uint32_t)__builtin_ctzll(registered);
        registered &= registered - 1;
        uint64_t seen = atomic_load(&epoch->readers[reader].seen);
        if (seen != EPOCH_AWAY && seen < limit) {
            limit = seen;
        }
    }
    free_before(epoch, limit, count_max);
    return epoch->retired_count;
}

size_t mr_epoch_bytes(void) {
    return sizeof(struct mr_epoch);
}
