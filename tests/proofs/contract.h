// What contracts share. A contract stands for a function that another proof is about: it proves
// that its callers keep to what that function asks for, and then answers whatever the function
// may answer. So the proof of a caller needs no look into it.
#ifndef MILLRACE_TESTS_PROOFS_CONTRACT_H
#define MILLRACE_TESTS_PROOFS_CONTRACT_H

#include "codec/internal.h"
#include "tests/proofs/proof.h"

// What the contracts answered, so that a proof can also say what may be refused: nothing that the
// standard allows, unless one of them refused first. A contract for UTF-8 defines it.
struct contracts {
    bool refused;
    unsigned properties_count;
    const uint8_t *properties_end[2];  // Of those that were taken.
    unsigned property_count;
    struct mr_property property[2];  // The first of those that were taken.
};
extern struct contracts contracts;

static inline void prove_reader(const struct reader *reader) {
    PROVE(reader->start <= reader->next && reader->next <= reader->end);
    PROVE(reader->next == reader->end || __CPROVER_r_ok(reader->next, reader_left(reader)));
}

static inline struct mr_slice any_part(struct mr_slice whole) {
    size_t at = nondet_size();
    size_t len = nondet_size();
    ASSUME(at <= whole.len && len <= whole.len - at);
    return mr_slice_of(whole.data + at, len);
}

// Refuses: the reader is somewhere in its bytes, the error says why and where.
static inline bool refuse_property(struct reader *reader) {
    contracts.refused = true;
    size_t taken = nondet_size();
    size_t offset = nondet_size();
    enum mr_reason reason = nondet_bool() ? MR_REASON_MALFORMED_PACKET : MR_REASON_PROTOCOL_ERROR;
    ASSUME(taken <= reader_left(reader));
    ASSUME(offset <= (size_t)(reader->end - reader->start));
    reader->next += taken;
    mr_refuse(reader->error, nondet_bool() ? MR_REASON_TOPIC_ALIAS_INVALID : reason, offset,
              "a property");
    return false;
}

#endif  // MILLRACE_TESTS_PROOFS_CONTRACT_H
