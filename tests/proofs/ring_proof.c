// Positions of a ring: from any state that its invariant allows, at any distance from the
// wrap-around, each call does to the queue what it says and leaves the invariant. So by induction
// every row of calls does, however long.
//
// Calls of both sides one after the other: what happens between threads is the Spin model's,
// tests/models/ring.pml. That the other side's position may be an old one is part of the state.
#include "io/ring/ring.c"

#include "tests/proofs/proof.h"

#define ENTRY_BYTES 3u
#define ENTRIES_MAX 4u

// As base/aligned.h says; there may be no memory.
void *mr_aligned_alloc(size_t alignment, size_t bytes) {
    PROVE(alignment == CACHE_LINE_BYTES && bytes % alignment == 0);
    return nondet_bool() ? malloc(bytes) : NULL;
}

void mr_aligned_free(void *memory) {
    free(memory);
}

// So many entries from `from` to `to`.
static uint32_t span(uint32_t from, uint32_t to) {
    return to - from;
}

static bool invariant(const struct mr_ring *ring) {
    uint32_t pushed = span(ring->popped, ring->pushed);
    uint32_t published = span(ring->popped, ring->published);
    return pushed <= ring->mask + 1 && published <= pushed &&
           ring->published_shared == ring->published && ring->popped_shared == ring->popped &&
           span(ring->popped, ring->published_seen) <= published &&
           span(ring->popped_seen, ring->pushed) <= ring->mask + 1 &&
           span(ring->popped_seen, ring->pushed) >= pushed;
}

static struct mr_ring *any_ring(void) {
    static struct {
        struct mr_ring ring;
        uint8_t entries[ENTRIES_MAX * ENTRY_BYTES];
    } room;
    struct mr_ring *ring = &room.ring;
    uint32_t entry_count = nondet_bool() ? ENTRIES_MAX : nondet_bool() ? 2 : 1;
    ring->mask = entry_count - 1;
    ring->entry_bytes = ENTRY_BYTES;
    ring->pushed = nondet_u32();
    ring->published = nondet_u32();
    ring->popped_seen = nondet_u32();
    ring->popped = nondet_u32();
    ring->published_seen = nondet_u32();
    ring->published_shared = nondet_u32();
    ring->popped_shared = nondet_u32();
    ring->asleep = nondet_bool();
    ASSUME(invariant(ring));
    return ring;
}

static const uint8_t *place_of(const struct mr_ring *ring, uint32_t position) {
    return ring->entries + (position % (ring->mask + 1)) * ENTRY_BYTES;
}

static bool has_room(const struct mr_ring *ring, const void *place) {
    const uint8_t *end = ring->entries + (ring->mask + 1) * ENTRY_BYTES;
    return (const uint8_t *)place >= ring->entries && (const uint8_t *)place + ENTRY_BYTES <= end;
}

// What was copied last. Which bytes they are matters to nobody here, only where.
static const void *copied_to;
static const void *copied_from;

void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    PROVE(len == ENTRY_BYTES);
    copied_to = to;
    copied_from = from;
    return to;
}

static void push(struct mr_ring *ring) {
    uint8_t entry[ENTRY_BYTES];
    uint32_t position = ring->pushed;
    uint32_t published = ring->published;
    bool full = span(ring->popped, ring->pushed) == ring->mask + 1;
    bool pushed = mr_ring_push(ring, entry);
    PROVE(pushed == !full);
    PROVE(ring->pushed == position + pushed && ring->published == published);
    PROVE(pushed ? copied_from == entry && copied_to == place_of(ring, position)
                 : copied_to == NULL);
    PROVE(!pushed || has_room(ring, copied_to));
    // No entry that is in the ring lies there.
    uint32_t other = nondet_u32();
    ASSUME(span(ring->popped, other) < span(ring->popped, position));
    PROVE(!pushed || copied_to != place_of(ring, other));
    REACHES(pushed && ring->pushed == 0);
    REACHES(!pushed);
}

static void publish(struct mr_ring *ring) {
    uint32_t pushed = ring->pushed;
    bool was_asleep = ring->asleep != 0;
    bool has_more = ring->published != ring->pushed;
    PROVE((mr_ring_unpublished(ring) != NULL) == has_more);
    PROVE(mr_ring_publish(ring) == (has_more && was_asleep));
    PROVE(ring->published == pushed && ring->pushed == pushed);
    PROVE(ring->asleep == (was_asleep && !has_more));
    REACHES(has_more && was_asleep);
}

static void pop(struct mr_ring *ring) {
    uint8_t entry[ENTRY_BYTES];
    uint32_t position = ring->popped;
    bool empty = ring->popped == ring->published;
    const uint8_t *oldest = place_of(ring, position);
    PROVE(has_room(ring, oldest));
    PROVE(mr_ring_peek(ring) == (empty ? NULL : oldest));
    PROVE(mr_ring_pop(ring, entry) == !empty);
    PROVE(ring->popped == position + !empty);
    PROVE(empty ? copied_from == NULL : copied_from == oldest && copied_to == entry);
    REACHES(empty && ring->popped != ring->pushed);
    REACHES(!empty && ring->popped == 0);
}

static void look(struct mr_ring *ring) {
    uint32_t wanted = nondet_u32();
    uint32_t room = ring->mask + 1 - span(ring->popped, ring->pushed);
    uint32_t free_count = mr_ring_free_count(ring, wanted);
    PROVE(free_count <= room);
    PROVE(free_count >= wanted || free_count == room);
    REACHES(free_count < room);
}

static void sleep_or_not(struct mr_ring *ring) {
    bool empty = ring->popped == ring->published;
    PROVE(mr_ring_sleep(ring) == empty);
    PROVE(ring->asleep == empty);
    REACHES(empty);
    REACHES(!empty);
}

static void make(void) {
    struct mr_ring *ring;
    uint32_t entry_count = nondet_u32();
    ASSUME(entry_count <= ENTRIES_MAX);
    enum mr_err err = mr_ring_new(&ring, entry_count, ENTRY_BYTES);
    PROVE((err == MR_ERR_INVALID) == (entry_count == 0 || entry_count == 3));
    if (err == MR_OK) {
        PROVE(invariant(ring) && ring->pushed == ring->popped && ring->asleep == 0);
        mr_ring_free(ring);
    }
    REACHES(err == MR_OK);
    REACHES(err == MR_ERR_NOMEM);
}

int main(void) {
    uint8_t call = nondet_u8();
    if (call == 0) {
        make();
        return 0;
    }
    struct mr_ring *ring = any_ring();
    if (call == 1) {
        push(ring);
    } else if (call == 2) {
        publish(ring);
    } else if (call == 3) {
        pop(ring);
    } else if (call == 4) {
        look(ring);
    } else {
        sleep_or_not(ring);
    }
    PROVE(invariant(ring));
    return 0;
}
