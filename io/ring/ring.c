#include "io/ring/ring.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/aligned.h"

// Two lines of 64 bytes: common processors fetch lines in pairs.
#define CACHE_LINE_BYTES 128

// More than anybody means, and less than an address space of 32 bits.
#define ENTRIES_BYTES_MAX (1u << 30)

// Positions count entries since the beginning and wrap around at 2^32; an entry's
// place is its position modulo the entry count. Each side has a line of its own for
// what only it uses, and each position that the other side reads is alone on its line.
struct mr_ring {
    // Constant.
    _Alignas(CACHE_LINE_BYTES) uint32_t mask;
    uint32_t entry_bytes;

    // The producer's own.
    _Alignas(CACHE_LINE_BYTES) uint32_t pushed;
    uint32_t published;
    uint32_t popped_seen;  // May be old: then there seems to be less room than there is.

    // The consumer's own.
    _Alignas(CACHE_LINE_BYTES) uint32_t popped;
    uint32_t published_seen;  // May be old: then there seem to be fewer entries.

    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t published_shared;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t popped_shared;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t asleep;

    _Alignas(CACHE_LINE_BYTES) uint8_t entries[];
};

static_assert(sizeof(struct mr_ring) == 6 * CACHE_LINE_BYTES, "one line for each concern");

enum mr_err mr_ring_new(struct mr_ring **out, uint32_t entry_count, uint32_t entry_bytes) {
    if (entry_count == 0 || (entry_count & (entry_count - 1)) != 0 || entry_bytes == 0) {
        return MR_ERR_INVALID;
    }
    uint64_t bytes = (uint64_t)entry_count * entry_bytes;
    bytes = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    if (bytes > ENTRIES_BYTES_MAX) {
        return MR_ERR_NOMEM;
    }
    struct mr_ring *ring = mr_aligned_alloc(CACHE_LINE_BYTES, sizeof(*ring) + (size_t)bytes);
    if (ring == NULL) {
        return MR_ERR_NOMEM;
    }
    // Starting half a round before the wrap-around, every ring has it behind it soon, and
    // every test sees it; a mistake there would otherwise show after 2^32 entries.
    uint32_t start = 0u - (entry_count + 1) / 2;
    ring->mask = entry_count - 1;
    ring->entry_bytes = entry_bytes;
    ring->pushed = start;
    ring->published = start;
    ring->popped_seen = start;
    ring->popped = start;
    ring->published_seen = start;
    atomic_init(&ring->published_shared, start);
    atomic_init(&ring->popped_shared, start);
    atomic_init(&ring->asleep, 0);
    *out = ring;
    return MR_OK;
}

void mr_ring_free(struct mr_ring *ring) {
    mr_aligned_free(ring);
}

static uint8_t *entry_at(struct mr_ring *ring, uint32_t position) {
    return ring->entries + (size_t)(position & ring->mask) * ring->entry_bytes;
}

uint32_t mr_ring_free_count(struct mr_ring *ring, uint32_t wanted) {
    uint32_t entry_count = ring->mask + 1;
    uint32_t free_count = entry_count - (ring->pushed - ring->popped_seen);
    if (free_count < wanted) {
        ring->popped_seen = atomic_load_explicit(&ring->popped_shared, memory_order_acquire);
        free_count = entry_count - (ring->pushed - ring->popped_seen);
    }
    return free_count;
}

bool mr_ring_push(struct mr_ring *ring, const void *entry) {
    if (MR_UNLIKELY(mr_ring_free_count(ring, 1) == 0)) {
        return false;
    }
    memcpy(entry_at(ring, ring->pushed), entry, ring->entry_bytes);
    ring->pushed++;
    return true;
}

void *mr_ring_unpublished(struct mr_ring *ring) {
    return ring->published == ring->pushed ? NULL : entry_at(ring, ring->published);
}

// Publishing and falling asleep are each "write mine, then read the other's": all four
// accesses are sequentially consistent, so that at least one of the two sees the other.
// Either the consumer sees the entries and stays up, or the producer sees it asleep.
bool mr_ring_publish(struct mr_ring *ring) {
    if (ring->published == ring->pushed) {
        return false;
    }
    ring->published = ring->pushed;
    atomic_store_explicit(&ring->published_shared, ring->pushed, memory_order_seq_cst);
    if (MR_LIKELY(atomic_load_explicit(&ring->asleep, memory_order_seq_cst) == 0)) {
        return false;
    }
    // Of several calls during one sleep only one gets the flag.
    return atomic_exchange_explicit(&ring->asleep, 0, memory_order_seq_cst) != 0;
}

const void *mr_ring_peek(struct mr_ring *ring) {
    if (ring->popped == ring->published_seen) {
        ring->published_seen = atomic_load_explicit(&ring->published_shared, memory_order_acquire);
        if (ring->popped == ring->published_seen) {
            return NULL;
        }
    }
    return entry_at(ring, ring->popped);
}

bool mr_ring_pop(struct mr_ring *ring, void *entry_out) {
    const void *entry = mr_ring_peek(ring);
    if (entry == NULL) {
        return false;
    }
    memcpy(entry_out, entry, ring->entry_bytes);
    ring->popped++;
    // Releases the place: the producer must not write before it has been copied out.
    atomic_store_explicit(&ring->popped_shared, ring->popped, memory_order_release);
    return true;
}

bool mr_ring_sleep(struct mr_ring *ring) {
    atomic_store_explicit(&ring->asleep, 1, memory_order_seq_cst);
    ring->published_seen = atomic_load_explicit(&ring->published_shared, memory_order_seq_cst);
    if (ring->popped == ring->published_seen) {
        return true;
    }
    // The producer may have seen the flag already; then one wake-up comes for nothing.
    mr_ring_awake(ring);
    return false;
}

void mr_ring_awake(struct mr_ring *ring) {
    atomic_store_explicit(&ring->asleep, 0, memory_order_relaxed);
}
