#include <malloc.h>

#include "base/aligned.h"

void *mr_aligned_alloc(size_t alignment, size_t bytes) {
    return _aligned_malloc(bytes, alignment);
}

void mr_aligned_free(void *memory) {
    _aligned_free(memory);
}
