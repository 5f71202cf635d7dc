#include "tests/support/failing_malloc.hh"

#include <cstdint>
#include <cstring>

namespace {

thread_local bool counting = false;
thread_local size_t left = 0;
thread_local bool failed = false;

bool Fails() {
    if (!counting) {
        return false;
    }
    if (left > 0) {
        left--;
        return false;
    }
    failed = true;
    return true;
}

}  // namespace

namespace millrace {

void AllocationsFailFrom(size_t index) {
    counting = true;
    left = index;
    failed = false;
}

bool AllocationsSucceed() {
    counting = false;
    return failed;
}

}  // namespace millrace

// The names are the linker's.
extern "C" {

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size) {
    return Fails() ? nullptr : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return Fails() ? nullptr : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return Fails() ? nullptr : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text) {
    size_t size = std::strlen(text) + 1;
    char *copy = static_cast<char *>(__wrap_malloc(size));
    if (copy != nullptr) {
        std::memcpy(copy, text, size);
    }
    return copy;
}

}  // extern "C"
