// For measurements: how much memory the objects linked into this program have allocated and not
// yet freed, what malloc adds for itself included.
//
// malloc, calloc, realloc, aligned_alloc, strdup and free are wrapped by the linker (see BUILD), so
// that neither the C++ library nor OpenSSL counts. Threads: one.
#ifndef MILLRACE_TESTS_SIM_COUNTED_MALLOC_H
#define MILLRACE_TESTS_SIM_COUNTED_MALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_counted_memory {
    uint64_t bytes;
    uint64_t blocks;
};

struct mr_counted_memory mr_counted_memory_now(void);

// Memory that doesn't count.
void *mr_uncounted_alloc(size_t bytes);
void mr_uncounted_free(void *memory);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_TESTS_SIM_COUNTED_MALLOC_H
