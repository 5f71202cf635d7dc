// UTF-8 sixteen bytes at a time, for text that isn't plain.
//
// Each byte is judged with the three before it. Three tables, looked up by half bytes (the
// previous byte's upper and lower, this one's upper), each say which faults are still possible;
// a fault that all three leave is one. The idea is J. Keiser's and D. Lemire's (2021).
//
// Private to the package.
#ifndef MILLRACE_CODEC_UTF8_VECTOR_H
#define MILLRACE_CODEC_UTF8_VECTOR_H

#include "codec/text.h"

#define UTF8_VECTOR_BYTES_MIN 8u

// What a text has.
enum utf8_found {
    UTF8_FAULT = 1 << 0,
    UTF8_NUL = 1 << 1,
    UTF8_WILDCARD = 1 << 2,
};

// MR_UTF8_PORTABLE tests the other way on processors that have this one.
#if defined(__x86_64__) && !defined(MR_UTF8_PORTABLE)

// Has this processor what it takes? All since 2006 do, but the compiler may not rely on it.
static inline bool utf8_vector_present(void) {
    return __builtin_cpu_supports("ssse3");
}

// The enum utf8_found of at least UTF8_VECTOR_BYTES_MIN bytes.
unsigned mr_utf8_vector_scan(struct mr_slice text);

#else

static inline bool utf8_vector_present(void) {
    return false;
}

static inline unsigned mr_utf8_vector_scan(struct mr_slice text) {
    (void)text;
    return UTF8_FAULT;
}

#endif

#endif  // MILLRACE_CODEC_UTF8_VECTOR_H
