// Pooled, reference-counted byte buffers: what is received, shared and sent.
//
// A buffer belongs to the pool that made it and goes home to it. It is writable
// while nobody else can see the bytes; bytes that were shared never change, but
// bytes behind them may still be filled (a receive buffer is filled from left to
// right while earlier packets in it are already on their way).
//
// Reference counts are biased: the thread that owns the pool counts without atomic
// instructions, every other thread with them. So sharing costs nothing as long as a
// message stays on its worker.
//
// Threads: a pool is entered by one thread at a time (mr_buf_pool_enter) and all of
// its functions are for that thread. mr_buf_ref and mr_buf_unref may be called from
// any thread that has entered some pool.
#ifndef MILLRACE_IO_BUF_BUF_H
#define MILLRACE_IO_BUF_BUF_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_buf_pool;

struct mr_buf {
    uint8_t *data;      // `capacity` bytes.
    uint32_t capacity;  // At least what was asked for.
    // Private to io/buf.
    uint32_t local_refs;   // Of the owning thread.
    uint32_t shared_refs;  // Atomic: references of other threads, plus 1 while local_refs > 0.
    uint32_t size_class;
    struct mr_buf_pool *pool;
    struct mr_buf *next;
};

struct mr_buf_pool_options {
    // Bytes that may be in use at once, 0 for no limit. Beyond: mr_buf_new gives NULL.
    uint64_t bytes_max;
    // Bytes kept on free lists for reuse; the rest goes back to the allocator. 0: 4 MiB,
    // which is 16 of the largest class; MR_BUF_CACHE_NONE: none.
    uint64_t cached_bytes_max;
};
#define MR_BUF_CACHE_NONE UINT64_MAX

struct mr_buf_stats {
    uint64_t in_use_bytes;      // Capacity of all buffers that are referenced.
    uint64_t in_use_bytes_max;  // Highest in_use_bytes so far.
    uint64_t in_use_count;
    uint64_t cached_bytes;
    uint64_t allocated_count;  // Taken from the allocator.
    uint64_t reused_count;     // Taken from a free list.
    uint64_t refused_count;    // Not given: limit or out of memory.
    uint64_t returned_count;   // Came home from other threads.
};

// Creates a pool, owned by the caller. Errors: MR_ERR_NOMEM.
MR_NODISCARD enum mr_err mr_buf_pool_new(struct mr_buf_pool **out,
                                         const struct mr_buf_pool_options *options);

// Frees `pool`. Asserts that every buffer came home (also those that other threads
// released: collects first). NULL is allowed.
void mr_buf_pool_free(struct mr_buf_pool *pool);

// Makes the calling thread the owner of `pool` from now on (NULL: of none). A
// simulator may enter several pools in turn on one thread.
void mr_buf_pool_enter(struct mr_buf_pool *pool);

// Takes in buffers that other threads released. Cheap when there are none; once per
// loop turn.
void mr_buf_pool_collect(struct mr_buf_pool *pool);

void mr_buf_pool_stats(const struct mr_buf_pool *pool, struct mr_buf_stats *out);

// Returns owned a buffer of at least `bytes` bytes with one reference, or NULL if
// memory or the pool's limit is exhausted. Sizes go in steps of at most 25 % up to
// 256 KiB and come from free lists; larger ones come from the allocator.
struct mr_buf *mr_buf_new(struct mr_buf_pool *pool, size_t bytes);

// Internal: the pool entered by the calling thread.
extern __thread struct mr_buf_pool *mr_buf_pool_current;
// Internal: slow paths of unref.
void mr_buf_release_local(struct mr_buf *buf);
void mr_buf_release_remote(struct mr_buf *buf);

// Adds a reference and returns its argument.
static inline struct mr_buf *mr_buf_ref(struct mr_buf *buf) {
    if (MR_LIKELY(buf->pool == mr_buf_pool_current)) {
        // The owner may come back to a buffer that only others hold at the moment.
        if (MR_UNLIKELY(buf->local_refs++ == 0)) {
            uint32_t others = __atomic_fetch_add(&buf->shared_refs, 1, __ATOMIC_RELAXED);
            MR_DEBUG_ASSERT(others > 0);
            (void)others;
        }
    } else {
        uint32_t before = __atomic_fetch_add(&buf->shared_refs, 1, __ATOMIC_RELAXED);
        MR_DEBUG_ASSERT(before > 0);
        (void)before;
    }
    return buf;
}

// Adds a reference that another thread will release: the way to hand a buffer over.
static inline struct mr_buf *mr_buf_ref_for_other(struct mr_buf *buf) {
    __atomic_fetch_add(&buf->shared_refs, 1, __ATOMIC_RELAXED);
    return buf;
}

// To be called by the receiving thread, once, for each reference that came from another
// thread: from then on it is like one that this thread took. (If the buffer came back to
// its owner, the reference moves to the owner's own count.)
static inline void mr_buf_adopt(struct mr_buf *buf) {
    if (buf->pool == mr_buf_pool_current) {
        mr_buf_ref(buf);
        __atomic_fetch_sub(&buf->shared_refs, 1, __ATOMIC_ACQ_REL);
    }
}

// Releases a reference that this thread took or adopted. The buffer may be gone.
static inline void mr_buf_unref(struct mr_buf *buf) {
    if (MR_LIKELY(buf->pool == mr_buf_pool_current)) {
        MR_DEBUG_ASSERT(buf->local_refs > 0);
        if (--buf->local_refs == 0) {
            mr_buf_release_local(buf);
        }
    } else if (__atomic_fetch_sub(&buf->shared_refs, 1, __ATOMIC_ACQ_REL) == 1) {
        mr_buf_release_remote(buf);
    }
}

// Is the caller, which holds the only reference it knows of, alone with `buf`?
static inline bool mr_buf_is_unique(const struct mr_buf *buf) {
    // Only the owner may look at its own count. Another thread's 1 can't be the owner's,
    // because the caller has one itself.
    return (buf->pool != mr_buf_pool_current || buf->local_refs == 1) &&
           __atomic_load_n(&buf->shared_refs, __ATOMIC_ACQUIRE) == 1;
}

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_BUF_BUF_H
