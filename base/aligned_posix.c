#include <stdlib.h>

#include "base/aligned.h"

void *mr_aligned_alloc(size_t alignment, size_t bytes) {
    return aligned_alloc(alignment, bytes);
}

void mr_aligned_free(void *memory) {
    free(memory);
}
