#include "codec/utf8.h"

#include "codec/text.h"
#include "codec/utf8_vector.h"

static bool is_continuation(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

// Length of the well-formed sequence of two to four bytes at `next`, or 0. The highest
// bits of the code point tell overlong forms, surrogates and what is beyond U+10FFFF.
static inline size_t multibyte_len(const uint8_t *next, size_t left) {
    uint8_t lead = next[0];
    if (lead < 0xe0) {
        return lead >= 0xc2 && left >= 2 && is_continuation(next[1]) ? 2 : 0;
    }
    if (lead < 0xf0) {
        if (left < 3 || !is_continuation(next[1]) || !is_continuation(next[2])) {
            return 0;
        }
        unsigned top = (lead & 0x0fu) << 6 | (next[1] & 0x3fu);  // Code point >> 6.
        bool surrogate = top >= 0xd800u >> 6 && top <= 0xdfffu >> 6;
        return top >= 0x800u >> 6 && !surrogate ? 3 : 0;
    }
    if (lead > 0xf4 || left < 4 || !is_continuation(next[1]) || !is_continuation(next[2]) ||
        !is_continuation(next[3])) {
        return 0;
    }
    unsigned top = (lead & 0x07u) << 6 | (next[1] & 0x3fu);  // Code point >> 12.
    return top >= 0x10000u >> 12 && top <= 0x10ffffu >> 12 ? 4 : 0;
}

static inline bool ascii_allowed(uint8_t byte, enum text_rule rule) {
    if (rule == TEXT_PAYLOAD) {
        return true;
    }
    return byte != 0 && (rule == TEXT_STRING || (byte | 0x08) != '+');
}

// Text that isn't all plain: sixteen plain bytes at a time where there are any, else
// character by character for at least sixteen bytes, so that mixed text doesn't pay
// for a vain look at a block with each character.
static inline bool mixed_valid(struct mr_slice text, enum text_rule rule) {
    const uint8_t *next = text.data;
    const uint8_t *end = text.data + text.len;
    while (next < end) {
        const uint8_t *stop = end;
        if (end - next >= 16) {
            if (text_block_plain(next, rule)) {
                next += 16;
                continue;
            }
            stop = next + 16;
        }
        while (next < stop) {
            if (*next < 0x80) {
                if (!ascii_allowed(*next, rule)) {
                    return false;
                }
                next++;
                continue;
            }
            size_t len = multibyte_len(next, (size_t)(end - next));
            if (len == 0) {
                return false;
            }
            next += len;
        }
    }
    return true;
}

// What is left where text isn't plain, by vectors if that can be. Out of line, so that the
// callers stay small where text is plain, as nearly always.
static inline bool odd_valid(struct mr_slice text, enum text_rule rule) {
    if (MR_UNLIKELY(text.len < UTF8_VECTOR_BYTES_MIN || !utf8_vector_present())) {
        return mixed_valid(text, rule);
    }
    unsigned refused = UTF8_FAULT;
    if (rule != TEXT_PAYLOAD) {
        refused |= UTF8_NUL;
    }
    if (rule == TEXT_TOPIC_NAME) {
        refused |= UTF8_WILDCARD;
    }
    return (mr_utf8_vector_scan(text) & refused) == 0;
}

static __attribute__((noinline)) bool odd_string_valid(struct mr_slice text) {
    return odd_valid(text, TEXT_STRING);
}

static __attribute__((noinline)) bool odd_topic_name_valid(struct mr_slice text) {
    return odd_valid(text, TEXT_TOPIC_NAME);
}

static __attribute__((noinline)) bool odd_payload_valid(struct mr_slice text) {
    return odd_valid(text, TEXT_PAYLOAD);
}

bool mr_utf8_valid(struct mr_slice text) {
    return text_plain(text.data, text.len, TEXT_STRING) || odd_string_valid(text);
}

bool mr_utf8_valid_topic_name(struct mr_slice text) {
    return text.len != 0 &&
           (text_plain(text.data, text.len, TEXT_TOPIC_NAME) || odd_topic_name_valid(text));
}

bool mr_utf8_valid_payload(struct mr_slice payload) {
    return text_plain(payload.data, payload.len, TEXT_PAYLOAD) || odd_payload_valid(payload);
}
