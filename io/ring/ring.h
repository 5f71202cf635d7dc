// A bounded lock-free queue from one thread to one other: how workers hand things
// over. Entries are fixed-size structs, pushed and popped in batches.
//
// Order is kept. A full ring refuses, and the producer decides what to do about it.
// The wake protocol: push any number of entries, then mr_ring_publish() once; its
// answer says whether the consumer may be asleep and has to be woken. A consumer
// calls mr_ring_sleep() before it waits and may do so only if that answers true.
//
// Threads: `push`, `unpublished`, `publish`, `free_count` by the one producer; `peek`, `pop`,
// `sleep`, `awake` by the one consumer.
#ifndef MILLRACE_IO_RING_RING_H
#define MILLRACE_IO_RING_RING_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_ring;  // Opaque.

// Creates a ring of `entry_count` (a power of two) entries of `entry_bytes` bytes,
// owned by the caller. Errors: MR_ERR_NOMEM, MR_ERR_INVALID.
MR_NODISCARD enum mr_err mr_ring_new(struct mr_ring **out, uint32_t entry_count,
                                     uint32_t entry_bytes);

// Frees the ring; entries in it are dropped. NULL is allowed.
void mr_ring_free(struct mr_ring *ring);

// Room for how many more entries there is at least. Cheap: reads the consumer's
// position only when the last known one doesn't suffice for `wanted`.
uint32_t mr_ring_free_count(struct mr_ring *ring, uint32_t wanted);

// Copies `entry` in; the consumer sees it after mr_ring_publish(). False if full.
MR_NODISCARD bool mr_ring_push(struct mr_ring *ring, const void *entry);

// The first entry that was pushed but not published yet, for the producer to complete; NULL if
// there is none.
void *mr_ring_unpublished(struct mr_ring *ring);

// Makes all pushed entries visible. True if the consumer was asleep (or about to
// sleep) and must be woken: at most once for each of its sleeps.
MR_NODISCARD bool mr_ring_publish(struct mr_ring *ring);

// The oldest entry, which stays; valid until it is popped. NULL if there is none.
const void *mr_ring_peek(struct mr_ring *ring);

// Copies the oldest entry to `entry_out`. False if there is none.
MR_NODISCARD bool mr_ring_pop(struct mr_ring *ring, void *entry_out);

// The consumer is about to wait: false if entries are there (then it must not).
MR_NODISCARD bool mr_ring_sleep(struct mr_ring *ring);
// The consumer is up again.
void mr_ring_awake(struct mr_ring *ring);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_RING_RING_H
