// Topic filters of a SUBSCRIBE, sections 4.7 and 4.8.2: for all texts up to a length, valid is
// what the standard's sentences say, and `$share/name/` comes off where it has to.
#include "codec/topic.h"
#include "tests/proofs/contract.h"

// "$share/", a name, "/", and three characters.
#define BYTES_MAX 12
#define PREFIX_LEN 7

static bool has(struct mr_slice text, uint8_t byte) {
    bool found = false;
    for (size_t i = 0; i < text.len; i++) {
        found = found || text.data[i] == byte;
    }
    return found;
}

static bool has_wildcard(struct mr_slice text) {
    return has(text, '+') || has(text, '#');
}

// Is the character at `i` a level of its own?
static bool is_level(struct mr_slice filter, size_t i) {
    return (i == 0 || filter.data[i - 1] == '/') &&
           (i + 1 == filter.len || filter.data[i + 1] == '/');
}

// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]
static bool wildcards_right(struct mr_slice filter) {
    bool right = filter.len != 0;
    for (size_t i = 0; i < filter.len; i++) {
        uint8_t byte = filter.data[i];
        right = right && (byte != '+' || is_level(filter, i));
        right = right && (byte != '#' || (is_level(filter, i) && i + 1 == filter.len));
    }
    return right;
}

static bool begins_share(struct mr_slice text) {
    static const char prefix[] = "$share/";
    bool begins = text.len >= PREFIX_LEN;
    for (size_t i = 0; begins && i < PREFIX_LEN; i++) {
        begins = text.data[i] == (uint8_t)prefix[i];
    }
    return begins;
}

// The name up to the next '/', and the filter behind that, which may be missing.
static struct mr_filter shared(struct mr_slice text) {
    size_t end = PREFIX_LEN;
    while (end < text.len && text.data[end] != '/') {
        end++;
    }
    size_t begin = end < text.len ? end + 1 : end;
    return (struct mr_filter){
        .share = mr_slice_of(text.data + PREFIX_LEN, end - PREFIX_LEN),
        .filter = mr_slice_of(text.data + begin, text.len - begin),
    };
}

static bool same(struct mr_slice a, struct mr_slice b) {
    return a.data == b.data && a.len == b.len;
}

int main(void) {
    struct mr_slice text = any_slice(BYTES_MAX);
    bool shared_allowed = nondet_bool();
    struct mr_filter filter;
    mr_filter_parse(text, shared_allowed, &filter);
    bool valid = filter.kind != MR_FILTER_INVALID;
    bool is_shared = shared_allowed && begins_share(text);
    struct mr_filter expected = {.filter = text};
    bool right = true;
    if (is_shared) {
        expected = shared(text);
        // [MQTT-4.8.2-1] [MQTT-4.8.2-2]; below, that a filter follows.
        right = expected.share.len != 0 && !has_wildcard(expected.share);
    }
    right = right && wildcards_right(expected.filter);
    PROVE(valid == (right && !contracts.refused));
    if (valid) {
        PROVE(same(filter.share, expected.share));
        PROVE(same(filter.filter, expected.filter));
        PROVE((filter.kind == MR_FILTER_WILDCARD) == has_wildcard(filter.filter));
    }
    REACHES(valid && is_shared && filter.filter.len == 3 && filter.kind == MR_FILTER_WILDCARD);
    REACHES(valid && !is_shared && begins_share(text));
    REACHES(!valid && is_shared && text.len == BYTES_MAX);
    REACHES(!valid && text.len == 0);
    return 0;
}
