#include "io/buf/buf.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

// A buffer on a free list must not be touched, but for AddressSanitizer it is still
// allocated; so it is told. This is what finds a use after the last unref.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUF_TELL_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(BUF_TELL_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

// Four classes to a doubling: a step is 25 % at 64 bytes and 14 % just before 128.
#define CLASS_BYTES_MIN_LOG2 6u
#define CLASS_BYTES_MIN (1u << CLASS_BYTES_MIN_LOG2)
#define CLASS_BYTES_MAX (256u * 1024u)
#define CLASS_COUNT 49u
// The class of what is too large for free lists.
#define CLASS_LARGE CLASS_COUNT

#define DATA_ALIGN 16u
// Where malloc aligns to less, the data is moved up inside the block.
#define ALIGN_SLACK (_Alignof(max_align_t) >= DATA_ALIGN ? 0u : DATA_ALIGN)
#define HEADER_BYTES ((sizeof(struct mr_buf) + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN)

#define CACHED_BYTES_DEFAULT (16u * CLASS_BYTES_MAX)

// A release pays for at most so many evictions of colder buffers.
#define EVICT_COUNT_MAX 16u

// Keeps what other threads write away from what the owner uses all the time.
#define CACHE_LINE_BYTES 128u

struct mr_buf_pool {
    struct mr_buf *free[CLASS_COUNT];
    // Was a buffer of the class asked for since the eviction hand last came by?
    bool used_lately[CLASS_COUNT];
    uint32_t evict_hand;
    struct mr_buf_pool_options options;
    struct mr_buf_stats stats;
    uint8_t apart_before[CACHE_LINE_BYTES];
    // A stack that any thread pushes to and only the owner empties, all at once; so
    // nothing is popped that could be pushed again meanwhile (no ABA).
    _Atomic(struct mr_buf *) returned;
    uint8_t apart_behind[CACHE_LINE_BYTES];
};

__thread struct mr_buf_pool *mr_buf_pool_current;

static uint32_t class_of(size_t bytes) {
    if (bytes <= CLASS_BYTES_MIN) {
        return 0;
    }
    if (bytes > CLASS_BYTES_MAX) {
        return CLASS_LARGE;
    }
    uint32_t last = (uint32_t)bytes - 1;
    uint32_t log2 = 31u - (uint32_t)__builtin_clz(last);
    return (log2 - CLASS_BYTES_MIN_LOG2) * 4 + ((last >> (log2 - 2)) & 3u) + 1;
}

static uint32_t class_capacity(uint32_t size_class) {
    if (size_class == 0) {
        return CLASS_BYTES_MIN;
    }
    uint32_t step = size_class - 1;
    return (5u + step % 4) << (step / 4 + CLASS_BYTES_MIN_LOG2 - 2);
}

static_assert(CLASS_BYTES_MIN << ((CLASS_COUNT - 1) / 4) == CLASS_BYTES_MAX,
              "the last class is the largest size");
static_assert(CLASS_BYTES_MIN % (4 * DATA_ALIGN) == 0, "every capacity is a multiple of 16");

// ---------------------------------------------------------------- free lists

// Takes a buffer off its free list and gives it back to the allocator.
static void cache_drop(struct mr_buf_pool *pool, uint32_t size_class) {
    struct mr_buf *buf = pool->free[size_class];
    pool->free[size_class] = buf->next;
    pool->stats.cached_bytes -= buf->capacity;
    free(buf);
}

static void cache_clear(struct mr_buf_pool *pool) {
    for (uint32_t i = 0; i < CLASS_COUNT; i++) {
        while (pool->free[i] != NULL) {
            cache_drop(pool, i);
        }
    }
}

static bool cache_has_room(const struct mr_buf_pool *pool, uint32_t capacity) {
    uint64_t max = pool->options.cached_bytes_max;
    return capacity <= max && pool->stats.cached_bytes <= max - capacity;
}

// Evicts from classes that nobody asked for lately (one clock hand, second chance), so
// that the sizes of an earlier burst don't keep those in use off the free lists.
// Returns whether there is room then.
static bool cache_make_room(struct mr_buf_pool *pool, const struct mr_buf *buf) {
    if (!pool->used_lately[buf->size_class] || buf->capacity > pool->options.cached_bytes_max) {
        return false;
    }
    uint32_t dropped = 0;
    for (uint32_t steps = 0; steps < CLASS_COUNT && dropped < EVICT_COUNT_MAX;) {
        uint32_t hand = pool->evict_hand;
        if (hand == buf->size_class || pool->used_lately[hand] || pool->free[hand] == NULL) {
            pool->used_lately[hand] = hand == buf->size_class;
            pool->evict_hand = (hand + 1) % CLASS_COUNT;
            steps++;
            continue;
        }
        cache_drop(pool, hand);
        dropped++;
        if (cache_has_room(pool, buf->capacity)) {
            return true;
        }
    }
    return false;
}

static struct mr_buf *cache_pop(struct mr_buf_pool *pool, uint32_t size_class) {
    struct mr_buf *buf = pool->free[size_class];
    if (buf != NULL) {
        pool->free[size_class] = buf->next;
        pool->stats.cached_bytes -= buf->capacity;
        pool->stats.reused_count++;
        ASAN_UNPOISON_MEMORY_REGION(buf->data, buf->capacity);
    }
    return buf;
}

// Takes in a buffer that nobody references any more.
static void take_home(struct mr_buf_pool *pool, struct mr_buf *buf) {
    MR_DEBUG_ASSERT(buf->local_refs == 0);
    MR_DEBUG_ASSERT(pool->stats.in_use_count > 0);
    pool->stats.in_use_count--;
    pool->stats.in_use_bytes -= buf->capacity;
    if (buf->size_class == CLASS_LARGE ||
        (!cache_has_room(pool, buf->capacity) && !cache_make_room(pool, buf))) {
        free(buf);
        return;
    }
    buf->next = pool->free[buf->size_class];
    pool->free[buf->size_class] = buf;
    pool->stats.cached_bytes += buf->capacity;
    ASAN_POISON_MEMORY_REGION(buf->data, buf->capacity);
}

// ---------------------------------------------------------------------- pool

enum mr_err mr_buf_pool_new(struct mr_buf_pool **out, const struct mr_buf_pool_options *options) {
    struct mr_buf_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return MR_ERR_NOMEM;
    }
    pool->options = *options;
    if (options->cached_bytes_max == 0) {
        pool->options.cached_bytes_max = CACHED_BYTES_DEFAULT;
    } else if (options->cached_bytes_max == MR_BUF_CACHE_NONE) {
        pool->options.cached_bytes_max = 0;
    }
    atomic_init(&pool->returned, NULL);
    *out = pool;
    return MR_OK;
}

void mr_buf_pool_free(struct mr_buf_pool *pool) {
    if (pool == NULL) {
        return;
    }
    mr_buf_pool_collect(pool);
    MR_ASSERT(pool->stats.in_use_count == 0);
    cache_clear(pool);
    if (mr_buf_pool_current == pool) {
        mr_buf_pool_current = NULL;
    }
    free(pool);
}

void mr_buf_pool_enter(struct mr_buf_pool *pool) {
    mr_buf_pool_current = pool;
}

void mr_buf_pool_collect(struct mr_buf_pool *pool) {
    if (MR_LIKELY(atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL)) {
        return;
    }
    struct mr_buf *buf = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (buf != NULL) {
        struct mr_buf *next = buf->next;
        pool->stats.returned_count++;
        take_home(pool, buf);
        buf = next;
    }
}

void mr_buf_pool_stats(const struct mr_buf_pool *pool, struct mr_buf_stats *out) {
    *out = pool->stats;
}

// -------------------------------------------------------------------- buffers

static struct mr_buf *block_new(struct mr_buf_pool *pool, uint32_t capacity, uint32_t size_class) {
    struct mr_buf *buf = malloc(HEADER_BYTES + ALIGN_SLACK + capacity);
    if (buf == NULL) {
        // What other sizes hoard may be just what is missing.
        cache_clear(pool);
        buf = malloc(HEADER_BYTES + ALIGN_SLACK + capacity);
        if (buf == NULL) {
            return NULL;
        }
    }
    uintptr_t address = (uintptr_t)buf + HEADER_BYTES + ALIGN_SLACK;
    buf->data = (uint8_t *)buf + HEADER_BYTES + ALIGN_SLACK - address % DATA_ALIGN;
    buf->capacity = capacity;
    buf->size_class = size_class;
    buf->pool = pool;
    pool->stats.allocated_count++;
    return buf;
}

static bool limit_allows(const struct mr_buf_pool *pool, uint32_t capacity) {
    uint64_t max = pool->options.bytes_max;
    return max == 0 || (capacity <= max && pool->stats.in_use_bytes <= max - capacity);
}

// Finds or makes a buffer of exactly `capacity` bytes, if the limit allows it.
static struct mr_buf *obtain(struct mr_buf_pool *pool, uint32_t capacity, uint32_t size_class) {
    if (MR_UNLIKELY(!limit_allows(pool, capacity))) {
        mr_buf_pool_collect(pool);
        if (!limit_allows(pool, capacity)) {
            return NULL;
        }
    }
    if (MR_UNLIKELY(size_class == CLASS_LARGE)) {
        return block_new(pool, capacity, size_class);
    }
    pool->used_lately[size_class] = true;
    struct mr_buf *buf = cache_pop(pool, size_class);
    if (MR_UNLIKELY(buf == NULL)) {
        mr_buf_pool_collect(pool);
        buf = cache_pop(pool, size_class);
    }
    return buf != NULL ? buf : block_new(pool, capacity, size_class);
}

struct mr_buf *mr_buf_new(struct mr_buf_pool *pool, size_t bytes) {
    MR_DEBUG_ASSERT(pool == mr_buf_pool_current);
    struct mr_buf *buf = NULL;
    if (MR_LIKELY(bytes <= UINT32_MAX - DATA_ALIGN)) {
        uint32_t size_class = class_of(bytes);
        uint32_t capacity = size_class == CLASS_LARGE
                                ? ((uint32_t)bytes + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN
                                : class_capacity(size_class);
        buf = obtain(pool, capacity, size_class);
    }
    if (MR_UNLIKELY(buf == NULL)) {
        pool->stats.refused_count++;
        return NULL;
    }
    buf->next = NULL;
    buf->local_refs = 1;
    __atomic_store_n(&buf->shared_refs, 1, __ATOMIC_RELAXED);
    struct mr_buf_stats *stats = &pool->stats;
    stats->in_use_count++;
    stats->in_use_bytes += buf->capacity;
    if (stats->in_use_bytes > stats->in_use_bytes_max) {
        stats->in_use_bytes_max = stats->in_use_bytes;
    }
    return buf;
}

// The owner's last reference is gone. From the moment that the shared count gives up
// the owner's 1, another thread may release the last reference and push the buffer;
// only who sees the count become 0 may touch it.
void mr_buf_release_local(struct mr_buf *buf) {
    // A count of 1 is our own: nobody else holds a reference from which one more could
    // be made. So the common case needs no atomic read-modify-write.
    if (__atomic_load_n(&buf->shared_refs, __ATOMIC_ACQUIRE) == 1 ||
        __atomic_fetch_sub(&buf->shared_refs, 1, __ATOMIC_ACQ_REL) == 1) {
        take_home(buf->pool, buf);
    }
}

void mr_buf_release_remote(struct mr_buf *buf) {
    // Once pushed, the buffer is the owner's, and the pool may be freed: so the last
    // access to either is the exchange that succeeds.
    struct mr_buf_pool *pool = buf->pool;
    struct mr_buf *head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do {
        buf->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&pool->returned, &head, buf,
                                                    memory_order_release, memory_order_relaxed));
}
