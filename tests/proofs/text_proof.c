// Plain text, codec/text.h: for each length up to the third step of sixteen bytes, the words at a
// time find what a look at each byte finds, and read nothing else.
#include "codec/text.h"

#include "tests/proofs/proof.h"

#define BYTES_MAX 33

static bool byte_plain(uint8_t byte, enum text_rule rule) {
    if (byte >= 0x80 || (byte == 0 && rule != TEXT_PAYLOAD)) {
        return false;
    }
    return rule != TEXT_TOPIC_NAME || (byte != '#' && byte != '+');
}

static void prove_len(size_t len, enum text_rule rule) {
    struct mr_slice text = any_slice_of_len(len);
    bool plain = true;
    for (size_t i = 0; i < len; i++) {
        plain = plain && byte_plain(text.data[i], rule);
    }
    PROVE(text_plain(text.data, len, rule) == plain);
    REACHES(plain && len == BYTES_MAX);
    REACHES(!plain && len == BYTES_MAX);
    REACHES(!plain && len == 3 && text.data[1] == '#');
    REACHES(plain && len == 1 && text.data[0] == 0);
}

int main(void) {
    enum text_rule rule = nondet_bool()   ? TEXT_PAYLOAD
                          : nondet_bool() ? TEXT_STRING
                                          : TEXT_TOPIC_NAME;
    // One length after the other is quicker than a length that is any.
    size_t wanted = nondet_size();
    for (size_t len = 0; len <= BYTES_MAX; len++) {
        if (len == wanted) {
            prove_len(len, rule);
        }
    }
    return 0;
}
