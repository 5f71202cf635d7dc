// Memory that begins at a multiple of more than malloc()'s 16 bytes: of a cache line, say.
//
// Threads: any, as malloc().
#ifndef MILLRACE_BASE_ALIGNED_H
#define MILLRACE_BASE_ALIGNED_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// `alignment` is a power of two, `bytes` a multiple of it. Owned: ends with mr_aligned_free(),
// not with free(), which Windows doesn't allow. NULL: out of memory.
void *mr_aligned_alloc(size_t alignment, size_t bytes);

void mr_aligned_free(void *memory);  // NULL is allowed.

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BASE_ALIGNED_H
