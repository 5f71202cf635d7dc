// What the decoders' proofs know of codec/utf8.h: it reads the text and nothing else, and may
// answer either. utf8_proof.c proves the functions themselves.
#include "codec/utf8.h"

#include "tests/proofs/contract.h"

struct contracts contracts;

static bool judge(struct mr_slice text) {
    PROVE(text.len == 0 || __CPROVER_r_ok(text.data, text.len));
    bool good = nondet_bool();
    contracts.refused = contracts.refused || !good;
    return good;
}

bool mr_utf8_valid(struct mr_slice text) {
    return judge(text);
}

bool mr_utf8_valid_topic_name(struct mr_slice text) {
    return text.len != 0 && judge(text);
}

bool mr_utf8_valid_payload(struct mr_slice payload) {
    return judge(payload);
}
