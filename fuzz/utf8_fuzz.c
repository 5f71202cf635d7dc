// UTF-8 against a reference that works another way: take each code point out without
// checks, encode it again by the book, and compare.
#include <stdlib.h>

#include "codec/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct judgement {
    bool utf8;
    bool has_nul;
    bool has_wildcard;
};

static size_t encode_code_point(uint32_t code, uint8_t out[4]) {
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (uint8_t)(marks[len] | code);
    return len;
}

static struct judgement judge(const uint8_t *bytes, size_t len) {
    struct judgement judgement = {true, false, false};
    size_t at = 0;
    while (at < len) {
        uint8_t lead = bytes[at];
        size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (size > len - at) {
            judgement.utf8 = false;
            return judgement;
        }
        uint32_t code = size == 1 ? lead : lead & (0x7fu >> size);
        for (size_t i = 1; i < size; i++) {
            code = code << 6 | (bytes[at + i] & 0x3fu);
        }
        uint8_t again[4];
        if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ||
            encode_code_point(code, again) != size || memcmp(again, bytes + at, size) != 0) {
            judgement.utf8 = false;
            return judgement;
        }
        judgement.has_nul |= code == 0;
        judgement.has_wildcard |= code == '#' || code == '+';
        at += size;
    }
    return judgement;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    // Memory of its own, so that each byte read too far is seen.
    uint8_t *copy = malloc(size ? size : 1);
    MR_ASSERT(copy != NULL);
    if (size != 0) {
        memcpy(copy, data, size);
    }
    struct judgement judgement = judge(copy, size);
    struct mr_slice text = mr_slice_of(copy, size);
    bool is_string = judgement.utf8 && !judgement.has_nul;
    bool is_topic_name = is_string && !judgement.has_wildcard && size != 0;
    MR_ASSERT(mr_utf8_valid(text) == is_string);
    MR_ASSERT(mr_utf8_valid_topic_name(text) == is_topic_name);
    MR_ASSERT(mr_utf8_valid_payload(text) == judgement.utf8);
    free(copy);
    return 0;
}
