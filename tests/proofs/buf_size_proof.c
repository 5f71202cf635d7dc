// Sizes of pooled buffers: for any number of bytes, the class is the smallest that has room, and
// wastes at most a quarter.
#include "io/buf/buf.c"

#include "tests/proofs/proof.h"

int main(void) {
    size_t bytes = nondet_size();
    uint32_t size_class = class_of(bytes);
    if (bytes > CLASS_BYTES_MAX) {
        PROVE(size_class == CLASS_LARGE);
    } else {
        PROVE(size_class < CLASS_COUNT);
        uint32_t capacity = class_capacity(size_class);
        PROVE(capacity >= bytes && capacity <= CLASS_BYTES_MAX);
        PROVE(capacity % DATA_ALIGN == 0);
        PROVE(size_class == 0 || class_capacity(size_class - 1) < bytes);
        PROVE(size_class == 0 || capacity <= class_capacity(size_class - 1) / 4 * 5);
        REACHES(bytes == 0);
        REACHES(size_class == CLASS_COUNT - 1 && capacity == bytes);
    }
    REACHES(bytes == SIZE_MAX);
    return 0;
}
