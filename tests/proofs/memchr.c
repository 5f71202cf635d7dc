// As the C standard defines it: CBMC has no memchr of its own.
#include "tests/proofs/proof.h"

void *memchr(const void *bytes, int wanted, size_t len) {
    const uint8_t *next = (const uint8_t *)bytes;
    for (size_t i = 0; i < len; i++) {
        if (next[i] == (uint8_t)wanted) {
            return (void *)(next + i);
        }
    }
    return NULL;
}
