#include "bench/stages/count.h"

#include <stddef.h>

#define SLOTS 8192u

struct slot {
    _Alignas(64) uint64_t counters[COUNTERS];
};

static struct slot slots[SLOTS];
static uint32_t slots_used;
static __thread struct slot *own;

static struct slot *slot_take(void) {
    uint32_t index = __atomic_fetch_add(&slots_used, 1, __ATOMIC_RELAXED);
    own = &slots[index < SLOTS ? index : SLOTS - 1];
    return own;
}

// The last slot is shared by all threads beyond the others; the rest have one writer each.
void count_add(enum counter counter, uint64_t by) {
    struct slot *slot = MR_LIKELY(own != NULL) ? own : slot_take();
    uint64_t *value = &slot->counters[counter];
    if (MR_UNLIKELY(slot == &slots[SLOTS - 1])) {
        __atomic_fetch_add(value, by, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(value, __atomic_load_n(value, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
    }
}

uint64_t count_total(enum counter counter) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        total += __atomic_load_n(&slots[i].counters[counter], __ATOMIC_RELAXED);
    }
    return total;
}

// ------------------------------------------------------------------------ allocations

// The linker turns calls of NAME into calls of __wrap_NAME, and __real_NAME into NAME. Optimisation
// at link time must not think that nobody calls them.
#define WRAPPER __attribute__((used, externally_visible))
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
void __real_free(void *old);
WRAPPER void *__wrap_malloc(size_t bytes);
WRAPPER void *__wrap_calloc(size_t count, size_t bytes);
WRAPPER void *__wrap_realloc(void *old, size_t bytes);
WRAPPER void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
WRAPPER int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);
WRAPPER void __wrap_free(void *old);

void *__wrap_malloc(size_t bytes) {
    count(COUNT_ALLOCATED);
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t number, size_t bytes) {
    count(COUNT_ALLOCATED);
    return __real_calloc(number, bytes);
}

void *__wrap_realloc(void *old, size_t bytes) {
    count(COUNT_ALLOCATED);
    return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    count(COUNT_ALLOCATED);
    return __real_aligned_alloc(alignment, bytes);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes) {
    count(COUNT_ALLOCATED);
    return __real_posix_memalign(out, alignment, bytes);
}

void __wrap_free(void *old) {
    if (old != NULL) {
        count(COUNT_FREED);
    }
    __real_free(old);
}
