// For tests: memory that runs out at the n-th allocation.
//
// Only the objects that are linked into the test are affected (malloc, calloc, realloc and
// strdup are wrapped by the linker), neither the C++ library nor OpenSSL.
#ifndef MILLRACE_TESTS_SUPPORT_FAILING_MALLOC_HH
#define MILLRACE_TESTS_SUPPORT_FAILING_MALLOC_HH

#include <cstddef>
#include <functional>

namespace millrace {

// Of this thread: the `index`-th allocation from now on fails (0 is the next), and all that
// follow until AllocationsSucceed().
void AllocationsFailFrom(size_t index);
// Returns whether one has failed.
bool AllocationsSucceed();

// Runs `body` with the first allocation failing, then the second and so on, until a run needs
// no more. `body` calls AllocationsSucceed() before it looks at what came out, and returns
// its answer. Returns the number of runs, the last of which had all its memory.
inline size_t ForEachFailingAllocation(const std::function<bool()> &body) {
    for (size_t index = 0;; index++) {
        AllocationsFailFrom(index);
        bool ran_out = body();
        if (!ran_out) {
            return index + 1;
        }
    }
}

}  // namespace millrace

#endif  // MILLRACE_TESTS_SUPPORT_FAILING_MALLOC_HH
