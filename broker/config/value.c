#include "broker/config/value.h"

void mr_field_set_number(const struct mr_directive *directive, void *base, uint64_t number) {
    unsigned char *field = (unsigned char *)base + directive->offset;
    uint8_t as8 = (uint8_t)number;
    uint16_t as16 = (uint16_t)number;
    uint32_t as32 = (uint32_t)number;
    bool truth = number != 0;
    if (directive->kind == MR_KIND_BOOL) {
        memcpy(field, &truth, sizeof(truth));
    } else if (directive->width == sizeof(as8)) {
        memcpy(field, &as8, sizeof(as8));
    } else if (directive->width == sizeof(as16)) {
        memcpy(field, &as16, sizeof(as16));
    } else if (directive->width == sizeof(as32)) {
        memcpy(field, &as32, sizeof(as32));
    } else {
        MR_ASSERT(directive->width == sizeof(number));
        memcpy(field, &number, sizeof(number));
    }
}

uint64_t mr_field_number(const struct mr_directive *directive, const void *base) {
    const unsigned char *field = (const unsigned char *)base + directive->offset;
    if (directive->kind == MR_KIND_BOOL) {
        bool truth;
        memcpy(&truth, field, sizeof(truth));
        return truth;
    }
    if (directive->width == sizeof(uint8_t)) {
        return *field;
    }
    if (directive->width == sizeof(uint16_t)) {
        uint16_t number;
        memcpy(&number, field, sizeof(number));
        return number;
    }
    if (directive->width == sizeof(uint32_t)) {
        uint32_t number;
        memcpy(&number, field, sizeof(number));
        return number;
    }
    uint64_t number;
    MR_ASSERT(directive->width == sizeof(number));
    memcpy(&number, field, sizeof(number));
    return number;
}

void mr_field_set_text(const struct mr_directive *directive, void *base, const char *text) {
    MR_ASSERT(directive->width == sizeof(text));
    memcpy((unsigned char *)base + directive->offset, &text, sizeof(text));
}

const char *mr_field_text(const struct mr_directive *directive, const void *base) {
    const char *text;
    MR_ASSERT(directive->width == sizeof(text));
    memcpy(&text, (const unsigned char *)base + directive->offset, sizeof(text));
    return text;
}

struct mr_slice mr_value_word(struct mr_slice *rest) {
    struct mr_slice text = mr_slice_trim(*rest);
    struct mr_slice word = {text.data, 0};
    while (word.len < text.len && !mr_byte_is_blank(text.data[word.len])) {
        word.len++;
    }
    if (text.len > 0) {
        *rest = mr_slice_trim(mr_slice_of(text.data + word.len, text.len - word.len));
    } else {
        *rest = text;
    }
    return word;
}

enum mr_number_sort mr_value_number(uint64_t *out, struct mr_slice text) {
    size_t i = text.len > 1 && text.data[0] == '-';
    bool negative = i == 1;
    bool too_big = false;
    uint64_t number = 0;
    if (text.len == 0) {
        return MR_NUMBER_BAD;
    }
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9) {
            return MR_NUMBER_BAD;
        }
        too_big = too_big || number > (UINT64_MAX - digit) / 10;
        number = too_big ? UINT64_MAX : number * 10 + digit;
    }
    *out = number;
    if (negative && number > 0) {
        return MR_NUMBER_NEGATIVE;
    }
    return too_big ? MR_NUMBER_TOO_BIG : MR_NUMBER_OK;
}

bool mr_value_bool(bool *out, struct mr_slice text) {
    bool yes = mr_slice_eq(text, mr_slice_str("true")) || mr_slice_eq(text, mr_slice_str("1"));
    bool no = mr_slice_eq(text, mr_slice_str("false")) || mr_slice_eq(text, mr_slice_str("0"));
    *out = yes;
    return yes || no;
}

const struct mr_choice *mr_choice_find(const struct mr_choice *choices, struct mr_slice word) {
    for (; choices->word != NULL; choices++) {
        if (mr_slice_eq(word, mr_slice_str(choices->word))) {
            return choices;
        }
    }
    return NULL;
}

// What the last letter of `*word` multiplies by, which is cut off; 0: it isn't a unit.
static uint64_t take_unit(enum mr_kind kind, struct mr_slice *word) {
    uint8_t letter = word->len > 0 ? word->data[word->len - 1] : '\0';
    uint64_t factor = 0;
    if (kind == MR_KIND_BYTES) {
        bool kilo = letter == 'K' || letter == 'k';
        bool mega = letter == 'M' || letter == 'm';
        bool giga = letter == 'G' || letter == 'g';
        if (!kilo && !mega && !giga) {
            return 1;  // Plain bytes.
        }
        factor = kilo ? 1u << 10 : mega ? 1u << 20 : 1u << 30;
    } else {
        static const char letters[] = "shdwmy";
        static const uint64_t days = 86400;
        const uint64_t seconds[] = {1, 3600, days, 7 * days, 30 * days, 365 * days};
        const char *at = letter == '\0' ? NULL : strchr(letters, letter);
        if (at == NULL) {
            return 0;
        }
        factor = seconds[at - letters];
    }
    word->len--;
    return factor;
}

static bool parse_number(uint64_t *out, bool *lowered_out, const struct mr_directive *directive,
                         struct mr_slice word) {
    uint64_t factor = 1;
    if (directive->kind != MR_KIND_NUMBER) {
        factor = take_unit(directive->kind, &word);
    }
    uint64_t number = 0;
    enum mr_number_sort sort = mr_value_number(&number, word);
    if (sort == MR_NUMBER_BAD || factor == 0) {
        return false;
    }
    if (sort == MR_NUMBER_NEGATIVE) {
        if (!(directive->flags & (MR_NEGATIVE_IS_ZERO | MR_NEGATIVE_IS_MAX))) {
            return false;
        }
        number = directive->flags & MR_NEGATIVE_IS_MAX ? directive->max : 0;
    } else if (number > UINT64_MAX / factor) {
        number = UINT64_MAX;
    } else {
        number *= factor;
    }
    if (number == 0 && (directive->flags & MR_ZERO_IS_MAX)) {
        number = directive->max;
    }
    if (number > directive->max && (directive->flags & MR_ABOVE_IS_MAX)) {
        number = directive->max;
        *lowered_out = true;
    }
    *out = number;
    return number >= directive->min && number <= directive->max;
}

bool mr_value_parse(uint64_t *out, bool *lowered_out, const struct mr_directive *directive,
                    struct mr_slice word) {
    *lowered_out = false;
    if (directive->kind == MR_KIND_BOOL) {
        bool truth;
        bool known = mr_value_bool(&truth, word);
        *out = truth;
        return known;
    }
    if (directive->kind == MR_KIND_CHOICE) {
        const struct mr_choice *choice = mr_choice_find(directive->choices, word);
        *out = choice == NULL ? 0 : (uint64_t)choice->number;
        return choice != NULL;
    }
    return parse_number(out, lowered_out, directive, word);
}
