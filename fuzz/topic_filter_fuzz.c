// The rules for topic filters against a second reading of sections 4.7 and 4.8, level
// by level. The first byte of the input says whether sharing is allowed.
#include "codec/topic.h"
#include "codec/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_wildcard(struct mr_slice text) {
    return text.len != 0 && (memchr(text.data, '+', text.len) || memchr(text.data, '#', text.len));
}

// The kind of a filter without `$share/name/`.
static enum mr_filter_kind kind_by_levels(struct mr_slice filter) {
    if (filter.len == 0) {
        return MR_FILTER_INVALID;
    }
    enum mr_filter_kind kind = MR_FILTER_EXACT;
    struct mr_levels it = mr_levels_begin(filter);
    struct mr_slice level;
    while (mr_levels_next(&it, &level)) {
        if (!has_wildcard(level)) {
            continue;
        }
        bool is_last = it.next == NULL;
        if (level.len != 1 || (level.data[0] == '#' && !is_last)) {
            return MR_FILTER_INVALID;
        }
        kind = MR_FILTER_WILDCARD;
    }
    return kind;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    bool shared_allowed = data[0] & 1;
    struct mr_slice text = mr_slice_of(data + 1, size - 1);
    struct mr_filter filter;
    mr_filter_parse(text, shared_allowed, &filter);
    if (text.len == 0 || text.len > MR_TOPIC_BYTES_MAX || !mr_utf8_valid(text)) {
        MR_ASSERT(filter.kind == MR_FILTER_INVALID);
        return 0;
    }
    bool is_name = mr_topic_name_valid(text);
    MR_ASSERT(is_name == !has_wildcard(text));
    if (!shared_allowed || text.len < 7 || memcmp(text.data, "$share/", 7) != 0) {
        MR_ASSERT(filter.kind == kind_by_levels(text));
        MR_ASSERT(filter.share.data == NULL);
        MR_ASSERT(mr_slice_eq(filter.filter, text));
        MR_ASSERT((filter.kind == MR_FILTER_EXACT) == is_name);
        return 0;
    }
    struct mr_slice rest = mr_slice_of(text.data + 7, text.len - 7);
    const uint8_t *slash = rest.len ? memchr(rest.data, '/', rest.len) : NULL;
    size_t name_len = slash ? (size_t)(slash - rest.data) : 0;
    struct mr_slice name = mr_slice_of(rest.data, name_len);
    if (name_len == 0 || has_wildcard(name)) {
        MR_ASSERT(filter.kind == MR_FILTER_INVALID);
        return 0;
    }
    struct mr_slice proper = mr_slice_of(slash + 1, rest.len - name_len - 1);
    MR_ASSERT(filter.kind == kind_by_levels(proper));
    if (filter.kind != MR_FILTER_INVALID) {
        MR_ASSERT(mr_slice_eq(filter.share, name));
        MR_ASSERT(mr_slice_eq(filter.filter, proper));
    }
    return 0;
}
