// Fails on purpose, on inputs that begin with "MQ": the machinery that runs fuzz targets has to
// see it. No campaign runs it unless asked to by name.
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    MR_ASSERT(size < 2 || data[0] != 'M' || data[1] != 'Q');
    return 0;
}
