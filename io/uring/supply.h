// The buffers into which the kernel receives when bytes have come, whosever they are: so a
// connection that is idle has none.
//
// They are buffers of the loop's pool in a ring that is shared with the kernel, which takes
// what it needs from the front one and goes on behind that with the next receive. Many small
// receives thus share a buffer, as with epoll; and as there, if nobody has kept a reference
// when the loop comes back to it, it is filled from its start again, while it is in the cache.
//
// That the kernel touches the ring only while we are in mr_uring_queue_enter() is what makes
// this possible: in between, entries that it has not used up may be changed.
//
// All buffers together hold no more than one stream's share of a turn, so no stream gets more.
#ifndef MILLRACE_IO_URING_SUPPLY_H
#define MILLRACE_IO_URING_SUPPLY_H

#include <linux/io_uring.h>

#include "base/base.h"
#include "io/buf/buf.h"
#include "io/uring/queue.h"

#define MR_URING_SUPPLY_BUFS_MAX 4u
// The group that a receive names.
#define MR_URING_SUPPLY_GROUP 0u

// A buffer and how far the kernel has filled it.
struct mr_uring_supply_slot {
    struct mr_buf *buf;  // NULL: none.
    uint32_t used;
};

struct mr_uring_supply {
    struct io_uring_buf *ring;  // Shared with the kernel.
    uint16_t head;              // Both count upwards for ever.
    uint16_t tail;
    uint32_t buf_bytes;
    uint32_t buf_count_max;
    struct mr_uring_supply_slot slots[MR_URING_SUPPLY_BUFS_MAX];
};

// Registers with `queue`, which is closed first. Returns 0 or an errno.
int mr_uring_supply_open(struct mr_uring_supply *supply, struct mr_uring_queue *queue,
                         uint64_t bytes_max);
// Releases all buffers.
void mr_uring_supply_close(struct mr_uring_supply *supply);

// Makes all ready for the kernel, as far as memory allows.
void mr_uring_supply_fill(struct mr_uring_supply *supply, struct mr_buf_pool *pool);

static inline bool mr_uring_supply_is_empty(const struct mr_uring_supply *supply) {
    return supply->head == supply->tail;
}

// Where a completed receive of `len` > 0 bytes has put them. They are borrowed until
// mr_uring_supply_release(), which has to follow.
struct mr_slice mr_uring_supply_take(struct mr_uring_supply *supply, uint32_t flags, uint32_t len,
                                     struct mr_buf **buf_out);
void mr_uring_supply_release(struct mr_uring_supply *supply, uint32_t flags);

#endif  // MILLRACE_IO_URING_SUPPLY_H
