// The nearest word: what a misspelt directive, value or option was meant to be.
//
// Threads: pure functions, any thread.
#ifndef MILLRACE_BROKER_CONFIG_WORDS_H
#define MILLRACE_BROKER_CONFIG_WORDS_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// Longer words have no near ones.
#define MR_WORD_BYTES_MAX 64

// How many single-byte changes (insert, remove, replace, swap neighbours) make `b` of
// `a`. Both at most MR_WORD_BYTES_MAX long, else the result is MR_WORD_BYTES_MAX.
size_t mr_word_distance(struct mr_slice a, struct mr_slice b);

// The best candidate so far. Starts as {0}.
struct mr_word_nearest {
    const char *word;  // NULL: none is near.
    size_t distance;
};

// Looks whether `candidate` is nearer to `word` than what was found so far. Near means: at
// most a third of its bytes differ. Keeps `candidate`, which must outlive `nearest`.
void mr_word_consider(struct mr_word_nearest *nearest, struct mr_slice word, const char *candidate);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CONFIG_WORDS_H
