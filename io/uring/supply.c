#include "io/uring/supply.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Of Linux 6.12, and newer than our headers.
#define RING_CONSUMED_IN_PARTS 2u
#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4)
#endif

#define BUF_BYTES 65536u
#define RING_COUNT 8u
#define RING_MAP_BYTES 4096u
// With less room than one in so many parts, what comes next is likely to be torn in two.
#define ROOM_MIN_PARTS 8u

// As the kernel reads it; the headers' own struct has changed names since.
struct ring_registration {
    uint64_t address;
    uint32_t count;
    uint16_t group;
    uint16_t flags;
    uint64_t reserved[3];
};

static_assert(sizeof(struct ring_registration) == sizeof(struct io_uring_buf_reg), "");
static_assert(RING_COUNT >= MR_URING_SUPPLY_BUFS_MAX, "all fit");
static_assert(RING_COUNT * sizeof(struct io_uring_buf) <= RING_MAP_BYTES, "");

// The kernel looks for the tail where the first entry has its reserved field.
static void tail_publish(struct mr_uring_supply *supply) {
    __atomic_store_n(&supply->ring[0].resv, supply->tail, __ATOMIC_RELEASE);
}

static struct io_uring_buf *entry_at(struct mr_uring_supply *supply, uint16_t count) {
    return &supply->ring[count % RING_COUNT];
}

static uint32_t slot_index(uint32_t flags) {
    return flags >> IORING_CQE_BUFFER_SHIFT;
}

int mr_uring_supply_open(struct mr_uring_supply *supply, struct mr_uring_queue *queue,
                         uint64_t bytes_max) {
    memset(supply, 0, sizeof *supply);
    supply->buf_bytes = bytes_max < BUF_BYTES ? (uint32_t)bytes_max : BUF_BYTES;
    uint64_t count = bytes_max / BUF_BYTES;
    supply->buf_count_max = count < 1                          ? 1
                            : count > MR_URING_SUPPLY_BUFS_MAX ? MR_URING_SUPPLY_BUFS_MAX
                                                               : (uint32_t)count;
    // Whole pages, zeroed.
    supply->ring =
        mmap(NULL, RING_MAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (supply->ring == MAP_FAILED) {
        return errno;
    }
    struct ring_registration registration = {
        .address = (uint64_t)(uintptr_t)supply->ring,
        .count = RING_COUNT,
        .group = MR_URING_SUPPLY_GROUP,
        .flags = RING_CONSUMED_IN_PARTS,
    };
    if (syscall(__NR_io_uring_register, queue->fd, IORING_REGISTER_PBUF_RING, &registration, 1) !=
        0) {
        int os_error = errno;
        munmap(supply->ring, RING_MAP_BYTES);
        return os_error;
    }
    return 0;
}

void mr_uring_supply_close(struct mr_uring_supply *supply) {
    for (uint32_t i = 0; i < supply->buf_count_max; i++) {
        if (supply->slots[i].buf != NULL) {
            mr_buf_unref(supply->slots[i].buf);
        }
    }
    munmap(supply->ring, RING_MAP_BYTES);
}

// ------------------------------------------------------------------------- filling

// Has the kernel fill the slot's buffer from its start.
static void entry_set(struct mr_uring_supply *supply, uint16_t count, uint32_t index) {
    struct mr_uring_supply_slot *slot = &supply->slots[index];
    struct io_uring_buf *entry = entry_at(supply, count);
    slot->used = 0;
    entry->addr = (uint64_t)(uintptr_t)slot->buf->data;
    entry->len = supply->buf_bytes;
    entry->bid = (uint16_t)index;
}

// The front buffer, which is partly filled, begins anew or makes way for a fresh one.
static void front_renew(struct mr_uring_supply *supply, struct mr_buf_pool *pool) {
    uint32_t index = entry_at(supply, supply->head)->bid;
    struct mr_uring_supply_slot *slot = &supply->slots[index];
    if (slot->used == 0) {
        return;
    }
    if (!mr_buf_is_unique(slot->buf)) {
        if (supply->buf_bytes - slot->used >= supply->buf_bytes / ROOM_MIN_PARTS) {
            return;
        }
        struct mr_buf *fresh = mr_buf_new(pool, supply->buf_bytes);
        if (fresh == NULL) {
            return;
        }
        mr_buf_unref(slot->buf);
        slot->buf = fresh;
    }
    entry_set(supply, supply->head, index);
}

void mr_uring_supply_fill(struct mr_uring_supply *supply, struct mr_buf_pool *pool) {
    if (!mr_uring_supply_is_empty(supply)) {
        front_renew(supply, pool);
    }
    if ((uint16_t)(supply->tail - supply->head) == supply->buf_count_max) {
        return;
    }
    for (uint32_t i = 0; i < supply->buf_count_max; i++) {
        if (supply->slots[i].buf != NULL) {
            continue;
        }
        supply->slots[i].buf = mr_buf_new(pool, supply->buf_bytes);
        if (supply->slots[i].buf == NULL) {
            break;
        }
        entry_set(supply, supply->tail, i);
        supply->tail++;
    }
    tail_publish(supply);
}

// ------------------------------------------------------------------------- taking

struct mr_slice mr_uring_supply_take(struct mr_uring_supply *supply, uint32_t flags, uint32_t len,
                                     struct mr_buf **buf_out) {
    struct mr_uring_supply_slot *slot = &supply->slots[slot_index(flags)];
    MR_DEBUG_ASSERT(slot_index(flags) == entry_at(supply, supply->head)->bid);
    MR_DEBUG_ASSERT(supply->buf_bytes - slot->used >= len);
    struct mr_slice data = mr_slice_of(slot->buf->data + slot->used, len);
    slot->used += len;
    *buf_out = slot->buf;
    return data;
}

void mr_uring_supply_release(struct mr_uring_supply *supply, uint32_t flags) {
    if (flags & IORING_CQE_F_BUF_MORE) {
        return;
    }
    struct mr_uring_supply_slot *slot = &supply->slots[slot_index(flags)];
    MR_DEBUG_ASSERT(slot->used == supply->buf_bytes);
    mr_buf_unref(slot->buf);
    slot->buf = NULL;
    supply->head++;
}
