// Plain text at speed: are these bytes ASCII without the characters that a rule
// forbids? Most strings of MQTT are, and then nothing else has to look at them.
//
// Private to the package: mr_publish_decode() wants it inline.
#ifndef MILLRACE_CODEC_TEXT_H
#define MILLRACE_CODEC_TEXT_H

#include "base/base.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

// What a text must not hold, apart from bytes that aren't UTF-8.
enum text_rule {
    TEXT_PAYLOAD,     // Nothing else.
    TEXT_STRING,      // U+0000.
    TEXT_TOPIC_NAME,  // U+0000, '#' and '+'.
};

#define TEXT_ONES UINT64_C(0x0101010101010101)

static inline uint64_t text_load_u64(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static inline uint32_t text_load_u32(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

#ifdef __SSE2__

static inline bool text_vector_plain(__m128i bytes, enum text_rule rule) {
    if (rule == TEXT_PAYLOAD) {
        return _mm_movemask_epi8(bytes) == 0;
    }
    // As signed bytes, 1 to 127 are those above zero.
    __m128i plain = _mm_cmpgt_epi8(bytes, _mm_setzero_si128());
    if (rule == TEXT_TOPIC_NAME) {
        // '#' and '+' differ in bit 3 only: with it set, one comparison finds both.
        __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x08));
        plain = _mm_andnot_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('+')), plain);
    }
    return _mm_movemask_epi8(plain) == 0xffff;
}

// Are all of the sixteen bytes in two words plain?
static inline bool text_words_plain(uint64_t a, uint64_t b, enum text_rule rule) {
    return text_vector_plain(_mm_set_epi64x((long long)b, (long long)a), rule);
}

// Are all of these sixteen bytes plain?
static inline bool text_block_plain(const uint8_t *bytes, enum text_rule rule) {
    return text_vector_plain(_mm_loadu_si128((const __m128i *)(const void *)bytes), rule);
}

#else

#define TEXT_HIGHS (TEXT_ONES * 0x80)

// Not 0 if one of the eight bytes isn't plain. A byte from 1 to 127 leaves its high
// bit clear when 1 is taken off it, and so does each of its higher neighbours unless
// a zero byte borrows, in which case the answer is right already.
static inline uint64_t text_word_odd(uint64_t word, enum text_rule rule) {
    uint64_t odd = word;
    if (rule != TEXT_PAYLOAD) {
        odd |= word - TEXT_ONES;
    }
    if (rule == TEXT_TOPIC_NAME) {
        // '#' and '+' differ in bit 3 only: with it set, one comparison finds both.
        odd |= ((word | (TEXT_ONES * 0x08)) ^ (TEXT_ONES * '+')) - TEXT_ONES;
    }
    return odd & TEXT_HIGHS;
}

static inline bool text_words_plain(uint64_t a, uint64_t b, enum text_rule rule) {
    return (text_word_odd(a, rule) | text_word_odd(b, rule)) == 0;
}

static inline bool text_block_plain(const uint8_t *bytes, enum text_rule rule) {
    return text_words_plain(text_load_u64(bytes), text_load_u64(bytes + 8), rule);
}

#endif

// Are all of these bytes plain? The last step overlaps the one before it, so that no
// length needs a loop over single bytes.
static inline bool text_plain(const uint8_t *bytes, size_t len, enum text_rule rule) {
    if (len >= 16) {
        const uint8_t *last = bytes + len - 16;
        for (; bytes < last; bytes += 16) {
            if (!text_block_plain(bytes, rule)) {
                return false;
            }
        }
        return text_block_plain(last, rule);
    }
    if (len >= 8) {
        return text_words_plain(text_load_u64(bytes), text_load_u64(bytes + len - 8), rule);
    }
    if (len >= 4) {
        uint64_t word = text_load_u32(bytes) | (uint64_t)text_load_u32(bytes + len - 4) << 32;
        return text_words_plain(word, word, rule);
    }
    if (len == 0) {
        return true;
    }
    // The first, middle and last byte are all bytes; the others are a letter.
    uint64_t word = (TEXT_ONES * 'a') << 24 | (uint64_t)bytes[0] | (uint64_t)bytes[len / 2] << 8 |
                    (uint64_t)bytes[len - 1] << 16;
    return text_words_plain(word, word, rule);
}

#endif  // MILLRACE_CODEC_TEXT_H
