#include "tests/sim/counted_malloc.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// What malloc keeps in front of a block.
#define HEAD_BYTES 8u

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);

// The names are the linker's.
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

static struct mr_counted_memory now;

struct mr_counted_memory mr_counted_memory_now(void) {
    return now;
}

static void *came(void *memory) {
    if (memory != NULL) {
        now.bytes += malloc_usable_size(memory) + HEAD_BYTES;
        now.blocks++;
    }
    return memory;
}

static void goes(void *memory) {
    if (memory != NULL) {
        now.bytes -= malloc_usable_size(memory) + HEAD_BYTES;
        now.blocks--;
    }
}

void *__wrap_malloc(size_t size) {
    return came(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return came(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size) {
    size_t before = old != NULL ? malloc_usable_size(old) + HEAD_BYTES : 0;
    void *memory = __real_realloc(old, size);
    if (memory != NULL) {
        now.bytes -= before;
        now.blocks -= old != NULL;
    }
    return came(memory);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return came(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text) {
    size_t len = strlen(text) + 1;
    char *copy = __wrap_malloc(len);
    return copy != NULL ? memcpy(copy, text, len) : NULL;
}

void __wrap_free(void *memory) {
    goes(memory);
    __real_free(memory);
}

void *mr_uncounted_alloc(size_t bytes) {
    return __real_malloc(bytes);
}

void mr_uncounted_free(void *memory) {
    __real_free(memory);
}
