// What waits to be sent on one connection: a queue of slices of shared buffers, ready
// for one vectored send.
//
// Small pieces are copied together, large ones are referenced; a slice that follows
// the last one in the same buffer just lengthens it, so that a run of packets that
// is forwarded unaltered costs one entry however long it is. An empty chain holds no
// memory beyond the struct.
//
// Threads: one thread at a time, the one that has entered `pool`.
#ifndef MILLRACE_IO_BUF_CHAIN_H
#define MILLRACE_IO_BUF_CHAIN_H

#include "base/base.h"
#include "io/buf/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// Base and length of one piece of a vectored send.
struct mr_iov {
    const uint8_t *base;
    size_t len;
};

struct mr_chain_block;  // Opaque: some segments.

// All fields are private. Zero is an empty chain.
struct mr_chain {
    struct mr_chain_block *head;
    struct mr_chain_block *tail;
    uint64_t bytes;
};

static inline uint64_t mr_chain_bytes(const struct mr_chain *chain) {
    return chain->bytes;
}

// Appends `slice`, which lies in `buf`, by reference (takes a reference of its own, or
// none if it lengthens the last slice). Pieces of at most MR_CHAIN_COPY_BYTES that
// can't lengthen a slice are copied instead when that is cheaper: if they follow other
// small pieces (one entry of the vectored send instead of many), or if `buf` belongs to
// another thread (a reference would be an atomic operation on a line that all workers
// fight for). A run of packets that lie one behind the other counts as one piece, so a
// long run is referenced even if its first packets were copied.
// On failure nothing was appended. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_chain_append_ref(struct mr_chain *chain, struct mr_buf_pool *pool,
                                             struct mr_buf *buf, struct mr_slice slice);
#define MR_CHAIN_COPY_BYTES 256u

// Appends a copy of `slice`. Errors: MR_ERR_NOMEM (nothing appended).
MR_NODISCARD enum mr_err mr_chain_append_copy(struct mr_chain *chain, struct mr_buf_pool *pool,
                                              struct mr_slice slice);

// Returns borrowed room for `bytes` contiguous bytes at the end, to be encoded into in
// place, valid until the next call on this chain; mr_chain_commit(), which has to follow,
// appends the first `bytes_used` of them (0 is allowed). NULL if out of memory. Reserving
// much more than is used wastes memory while the bytes are pending.
uint8_t *mr_chain_reserve(struct mr_chain *chain, struct mr_buf_pool *pool, size_t bytes);
void mr_chain_commit(struct mr_chain *chain, size_t bytes_used);

// Fills at most `iov_max` pieces from the front and returns how many. They stay valid
// while nothing is consumed; appending doesn't disturb them.
size_t mr_chain_iov(const struct mr_chain *chain, struct mr_iov *out, size_t iov_max);

// Removes the first `bytes` bytes and releases what they held.
void mr_chain_consume(struct mr_chain *chain, uint64_t bytes);

// Copies out small slices that pin much larger buffers, for a chain that will wait
// long (its peer doesn't read). What is in flight in the kernel, the first
// `bytes_in_flight` bytes, stays untouched. Does what memory allows; never fails.
void mr_chain_compact(struct mr_chain *chain, struct mr_buf_pool *pool, uint64_t bytes_in_flight);

// Releases everything.
void mr_chain_clear(struct mr_chain *chain);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_BUF_CHAIN_H
