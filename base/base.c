#include "base/base.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const err_texts[] = {
#define MR_ERR_TEXT(name, text) text,
    MR_ERR_MAP(MR_ERR_TEXT)
#undef MR_ERR_TEXT
};

const char *mr_err_text(enum mr_err err) {
    size_t index = (size_t)err;
    return index < MR_ARRAY_COUNT(err_texts) ? err_texts[index] : "unknown error";
}

struct mr_slice mr_slice_trim(struct mr_slice text) {
    while (text.len > 0 && mr_byte_is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && mr_byte_is_blank(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

void mr_assert_fail(const char *condition, const char *file, int line) {
    fprintf(stderr, "millrace: %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}

static atomic_uint_fast64_t never_count;

bool mr_never_seen(const char *condition, const char *file, int line) {
    uint64_t seen = atomic_fetch_add_explicit(&never_count, 1, memory_order_relaxed);
    // The first of each power of two, so that a storm can't flood the log.
    if ((seen & (seen + 1)) == 0) {
        fprintf(stderr, "millrace: %s:%d: impossible condition: %s\n", file, line, condition);
    }
    return true;
}

uint64_t mr_never_count(void) {
    return atomic_load_explicit(&never_count, memory_order_relaxed);
}
