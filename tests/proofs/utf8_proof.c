// UTF-8 Encoded Strings, section 1.5.4: for all texts up to a length, the portable judge agrees
// with one that decodes code points as RFC 3629 defines them, and reads nothing else.
#include "codec/utf8.h"
#include "tests/proofs/proof.h"

// The longest character and one byte.
#define BYTES_MAX 5

// The code point at `text`, its length in `*len_out`, which is 0 for none that is well formed.
static uint32_t decode(struct mr_slice text, size_t *len_out) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = text.data[0];
    size_t len = lead < 0x80       ? 1
                 : lead >> 5 == 6  ? 2
                 : lead >> 4 == 14 ? 3
                 : lead >> 3 == 30 ? 4
                                   : 0;
    *len_out = 0;
    if (len == 0 || len > text.len) {
        return 0;
    }
    uint32_t point = len == 1 ? lead : lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (text.data[i] >> 6 != 2) {
            return 0;
        }
        point = point << 6 | (text.data[i] & 0x3fu);
    }
    if (point < smallest[len] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
        return 0;
    }
    *len_out = len;
    return point;
}

static bool valid_naive(struct mr_slice text, bool allow_nul, bool allow_wildcards) {
    while (text.len != 0) {
        size_t len;
        uint32_t point = decode(text, &len);
        if (len == 0 || (point == 0 && !allow_nul) ||
            ((point == '+' || point == '#') && !allow_wildcards)) {
            return false;
        }
        text = mr_slice_of(text.data + len, text.len - len);
    }
    return true;
}

int main(void) {
    struct mr_slice text = any_slice(BYTES_MAX);
    if (nondet_bool()) {
        bool good = mr_utf8_valid(text);
        PROVE(good == valid_naive(text, false, true));
        REACHES(good && text.len == 5 && text.data[1] >= 0xf0);
        REACHES(!good && text.len == 5);
    } else if (nondet_bool()) {
        bool good = mr_utf8_valid_payload(text);
        PROVE(good == valid_naive(text, true, true));
        REACHES(good && text.len == 3 && text.data[0] == 0);
    } else {
        bool good = mr_utf8_valid_topic_name(text);
        PROVE(good == (text.len != 0 && valid_naive(text, false, false)));
        REACHES(good && text.len == 5);
        REACHES(!good && text.len == 2 && text.data[1] == '+');
    }
    return 0;
}
