// Matching against a byte-by-byte matcher, and what covering promises. The input is
// three lines: a filter, another filter and a topic name.
#include "codec/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Takes a line off the input.
static struct mr_slice next_line(struct mr_slice *rest) {
    const uint8_t *newline = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    struct mr_slice line = *rest;
    if (newline == NULL) {
        *rest = mr_slice_of(NULL, 0);
        return line;
    }
    line.len = (size_t)(newline - line.data);
    *rest = mr_slice_of(newline + 1, rest->len - line.len - 1);
    return line;
}

static bool naive_matches(struct mr_slice filter, struct mr_slice topic) {
    if (topic.len > 0 && filter.len > 0 && topic.data[0] == '$' &&
        (filter.data[0] == '+' || filter.data[0] == '#')) {
        return false;
    }
    size_t f = 0;
    size_t t = 0;
    while (f < filter.len) {
        if (filter.data[f] == '#') {
            return true;
        }
        if (filter.data[f] == '+') {
            while (t < topic.len && topic.data[t] != '/') {
                t++;
            }
            f++;
            continue;
        }
        if (t == topic.len) {
            // Only the parent of '#' has come to its end here.
            return filter.len - f == 2 && memcmp(filter.data + f, "/#", 2) == 0;
        }
        if (filter.data[f] != topic.data[t]) {
            return false;
        }
        f++;
        t++;
    }
    return t == topic.len;
}

static bool is_filter(struct mr_slice text) {
    struct mr_filter filter;
    mr_filter_parse(text, false, &filter);
    return filter.kind != MR_FILTER_INVALID;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mr_slice rest = mr_slice_of(data, size);
    struct mr_slice outer = next_line(&rest);
    struct mr_slice inner = next_line(&rest);
    struct mr_slice topic = next_line(&rest);
    if (!is_filter(outer) || !mr_topic_name_valid(topic)) {
        return 0;
    }
    bool outer_matches = mr_filter_matches(outer, topic);
    MR_ASSERT(outer_matches == naive_matches(outer, topic));
    MR_ASSERT(mr_filter_covers(outer, outer));
    // A topic name is a filter that matches itself alone.
    MR_ASSERT(mr_filter_covers(outer, topic) == outer_matches);
    if (!is_filter(inner)) {
        return 0;
    }
    bool inner_matches = mr_filter_matches(inner, topic);
    MR_ASSERT(inner_matches == naive_matches(inner, topic));
    if (mr_filter_covers(outer, inner)) {
        MR_ASSERT(outer_matches || !inner_matches);
    }
    return 0;
}
