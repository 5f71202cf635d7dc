// Runs a fuzz target under AFL++ in persistent mode: afl-fuzz hands over inputs
// in shared memory, many to one process. Without afl-fuzz it reads one input
// from its standard input. Compiled by afl-clang-fast, which knows the macros.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Optional in a target: called once before the first input.
int LLVMFuzzerInitialize(int *argc, char ***argv);
#pragma weak LLVMFuzzerInitialize

// AFL++'s macros are not written for these warnings.
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"

// After this many inputs a new process starts, so that leaks do not add up.
enum {
    INPUTS_PER_PROCESS = 10000
};

#ifdef __AFL_FUZZ_TESTCASE_LEN
__AFL_FUZZ_INIT();
#else
#error "compile this with --config=afl"
#endif

int main(int argc, char **argv) {
    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    __AFL_INIT();
    const uint8_t *shared = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(INPUTS_PER_PROCESS)) {
        // An exact copy, so that a sanitizer sees each read beyond its end.
        size_t len = (size_t)__AFL_FUZZ_TESTCASE_LEN;
        uint8_t *copy = malloc(len == 0 ? 1 : len);
        if (copy == NULL) {
            return 1;
        }
        memcpy(copy, shared, len);
        LLVMFuzzerTestOneInput(copy, len);
        free(copy);
    }
    return 0;
}
