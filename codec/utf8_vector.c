#include "codec/utf8_vector.h"

#if defined(__x86_64__) && !defined(MR_UTF8_PORTABLE)

#include <tmmintrin.h>

#define SSSE3 __attribute__((target("ssse3")))

// Faults of a byte together with the one before it. The last one is none if the bytes two or
// three places before ask for it.
enum fault {
    SHORT = 1 << 0,       // No continuation where one has to be.
    LONG = 1 << 1,        // A continuation behind ASCII.
    OVERLONG_2 = 1 << 2,  // c0, c1
    OVERLONG_3 = 1 << 3,  // e0 80..9f
    SURROGATE = 1 << 4,   // ed a0..bf
    BEYOND = 1 << 5,      // f4 90..bf, f5..ff 90..bf
    FOUR_80 = 1 << 6,     // f0 80..8f is overlong, f5..ff 80..8f beyond U+10FFFF.
    TWICE = 1 << 7,       // A continuation behind a continuation.
    ANY_LOWER = SHORT | LONG | TWICE,
    CONTINUATION = LONG | OVERLONG_2 | TWICE,
};

// All that is judged, gathered over the blocks.
struct judgement {
    __m128i faults;
    __m128i nuls;
    __m128i wildcards;
};

static inline SSSE3 __m128i look_up(__m128i table, __m128i indices) {
    return _mm_shuffle_epi8(table, indices);
}

static inline SSSE3 __m128i upper_half(__m128i bytes) {
    return _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
}

// Judges `block`, of which `back1` to `back3` are the bytes one to three places before.
static inline SSSE3 void judge(struct judgement *judgement, __m128i block, __m128i back1,
                               __m128i back2, __m128i back3) {
    const __m128i previous_upper =
        _mm_setr_epi8(LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG, (char)TWICE, (char)TWICE,
                      (char)TWICE, (char)TWICE, SHORT | OVERLONG_2, SHORT,
                      SHORT | OVERLONG_3 | SURROGATE, SHORT | BEYOND | FOUR_80);
    const char above_4 = (char)(ANY_LOWER | BEYOND | FOUR_80);
    const __m128i previous_lower = _mm_setr_epi8(
        (char)(ANY_LOWER | OVERLONG_2 | OVERLONG_3 | FOUR_80), (char)(ANY_LOWER | OVERLONG_2),
        (char)ANY_LOWER, (char)ANY_LOWER, (char)(ANY_LOWER | BEYOND), above_4, above_4, above_4,
        above_4, above_4, above_4, above_4, above_4, (char)(above_4 | SURROGATE), above_4, above_4);
    const __m128i upper = _mm_setr_epi8(
        SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT,
        (char)(CONTINUATION | OVERLONG_3 | FOUR_80), (char)(CONTINUATION | OVERLONG_3 | BEYOND),
        (char)(CONTINUATION | SURROGATE | BEYOND), (char)(CONTINUATION | SURROGATE | BEYOND), SHORT,
        SHORT, SHORT, SHORT);
    __m128i pairs = _mm_and_si128(
        look_up(previous_upper, upper_half(back1)),
        _mm_and_si128(look_up(previous_lower, _mm_and_si128(back1, _mm_set1_epi8(0x0f))),
                      look_up(upper, upper_half(block))));
    // The highest bit of what e0 and more two places before, f0 and more three places before
    // leave: there, and only there, a continuation has to follow a continuation.
    __m128i wanted = _mm_or_si128(_mm_subs_epu8(back2, _mm_set1_epi8(0xe0 - 0x80)),
                                  _mm_subs_epu8(back3, _mm_set1_epi8(0xf0 - 0x80)));
    wanted = _mm_and_si128(wanted, _mm_set1_epi8((char)TWICE));
    judgement->faults = _mm_or_si128(judgement->faults, _mm_xor_si128(pairs, wanted));
    judgement->nuls = _mm_or_si128(judgement->nuls, _mm_cmpeq_epi8(block, _mm_setzero_si128()));
    // '#' and '+' differ in bit 3 only.
    __m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x08));
    judgement->wildcards =
        _mm_or_si128(judgement->wildcards, _mm_cmpeq_epi8(folded, _mm_set1_epi8('+')));
}

// At the front of a text: what is shifted in counts as ASCII.
static inline SSSE3 void judge_first(struct judgement *judgement, __m128i block) {
    judge(judgement, block, _mm_slli_si128(block, 1), _mm_slli_si128(block, 2),
          _mm_slli_si128(block, 3));
}

static inline SSSE3 __m128i load(const uint8_t *bytes) {
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

static inline SSSE3 void judge_next(struct judgement *judgement, const uint8_t *bytes) {
    judge(judgement, load(bytes), load(bytes - 1), load(bytes - 2), load(bytes - 3));
}

// The block at `at`, which is 1 or more.
static inline SSSE3 void judge_last(struct judgement *judgement, const uint8_t *bytes, size_t at) {
    if (at >= 3) {
        judge_next(judgement, bytes + at);
        return;
    }
    __m128i first = load(bytes);
    __m128i before = _mm_slli_si128(first, 1);
    judge(judgement, load(bytes + at), load(bytes + at - 1), at == 2 ? first : before,
          at == 2 ? before : _mm_slli_si128(first, 2));
}

// 8 to 15 bytes with letters behind them.
static inline SSSE3 __m128i load_short(const uint8_t *bytes, size_t len) {
    uint64_t last = text_load_u64(bytes + len - 8);
    unsigned gone = 8 * (unsigned)(15 - len);  // And 8 more, which alone could be too many.
    uint64_t rest = (last >> gone) >> 8;
    uint64_t letters = (TEXT_ONES * 'a') << (8 * (len - 8));
    return _mm_set_epi64x((long long)(rest | letters), (long long)text_load_u64(bytes));
}

// Does the last character lack bytes?
static inline bool is_cut(const uint8_t *end) {
    return end[-1] >= 0xc0 || end[-2] >= 0xe0 || end[-3] >= 0xf0;
}

SSSE3 unsigned mr_utf8_vector_scan(struct mr_slice text) {
    MR_DEBUG_ASSERT(text.len >= UTF8_VECTOR_BYTES_MIN);
    const __m128i none = _mm_setzero_si128();
    struct judgement judgement = {none, none, none};
    if (text.len < 16) {
        judge_first(&judgement, load_short(text.data, text.len));
    } else {
        judge_first(&judgement, load(text.data));
        size_t at = 16;
        for (; at + 16 <= text.len; at += 16) {
            judge_next(&judgement, text.data + at);
        }
        // The last block overlaps the one before it.
        if (at != text.len) {
            judge_last(&judgement, text.data, text.len - 16);
        }
    }
    bool has_fault = _mm_movemask_epi8(_mm_cmpeq_epi8(judgement.faults, none)) != 0xffff;
    return (has_fault || is_cut(text.data + text.len) ? UTF8_FAULT : 0u) |
           (_mm_movemask_epi8(judgement.nuls) != 0 ? UTF8_NUL : 0u) |
           (_mm_movemask_epi8(judgement.wildcards) != 0 ? UTF8_WILDCARD : 0u);
}

#endif
