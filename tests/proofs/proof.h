// What the proofs share. CBMC takes each value that isn't set to be any value; these functions
// are how a proof asks for one. Each proof states what it assumes, and marks with REACHES what
// it has to come by: prove.py looks for that too, since a proof that assumes too much proves
// everything.
#ifndef MILLRACE_TESTS_PROOFS_PROOF_H
#define MILLRACE_TESTS_PROOFS_PROOF_H

#include <stdlib.h>

#include "base/base.h"

void __CPROVER_assume(_Bool condition);
void __CPROVER_assert(_Bool condition, const char *text);

// May so many bytes be read, or written? CBMC knows these without a declaration.
#ifndef __CPROVER__
bool __CPROVER_r_ok(const void *pointer, size_t len);
bool __CPROVER_w_ok(const void *pointer, size_t len);
#endif

uint8_t nondet_u8(void);
uint16_t nondet_u16(void);
uint32_t nondet_u32(void);
uint64_t nondet_u64(void);
size_t nondet_size(void);

// A bool that is any could be neither.
static inline bool nondet_bool(void) {
    return (nondet_u8() & 1) != 0;
}

#define ASSUME(condition) __CPROVER_assume(condition)

// With MR_PROOF_COVER, nothing is proven, and each of REACHES has to fail.
#ifdef MR_PROOF_COVER
#define PROVE(condition) ((void)(condition))
#define REACHES(condition) __CPROVER_assert(!(condition), "reaches " #condition)
#else
#define PROVE(condition) __CPROVER_assert(condition, #condition)
#define REACHES(condition) ((void)sizeof(condition))
#endif

// Any bytes, at most `len_max` of them. They begin or end where their memory does, so that each
// way out of them is looked at: memory of any length would be the same, but takes CBMC longer.
static inline struct mr_slice any_slice(size_t len_max) {
    size_t len = nondet_size();
    ASSUME(len <= len_max);
    // CBMC leaves the content of new memory open.
    const uint8_t *bytes = (const uint8_t *)malloc(len_max);
    ASSUME(bytes != NULL);
    return mr_slice_of(nondet_bool() ? bytes : bytes + (len_max - len), len);
}

// Any `len` bytes.
static inline struct mr_slice any_slice_of_len(size_t len) {
    const uint8_t *bytes = (const uint8_t *)malloc(len);
    ASSUME(bytes != NULL);
    return mr_slice_of(bytes, len);
}

// Does `part` lie within `whole`? An absent one may be NULL.
static inline bool is_within(struct mr_slice part, struct mr_slice whole) {
    if (part.len == 0) {
        return true;
    }
    return part.data >= whole.data && part.len <= whole.len &&
           (size_t)(part.data - whole.data) <= whole.len - part.len;
}

#endif  // MILLRACE_TESTS_PROOFS_PROOF_H
