// Linked to each proof instead of base/base.c: a broken invariant is a failed proof, and so is
// what can never happen.
#include "tests/proofs/proof.h"

void mr_assert_fail(const char *condition, const char *file, int line) {
    (void)condition;
    (void)file;
    (void)line;
    PROVE(!"an invariant holds");
    ASSUME(false);
    abort();
}

bool mr_never_seen(const char *condition, const char *file, int line) {
    (void)condition;
    (void)file;
    (void)line;
    PROVE(!"what can never happen doesn't");
    return true;
}
