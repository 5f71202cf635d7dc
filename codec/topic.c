#include "codec/topic.h"

#include "codec/utf8.h"

bool mr_topic_name_valid(struct mr_slice topic) {
    return topic.len <= MR_TOPIC_BYTES_MAX && mr_utf8_valid_topic_name(topic);
}

// The kind of a filter whose UTF-8 was checked. A wildcard has to fill its level, and
// '#' has to be the last one.
static enum mr_filter_kind filter_kind(struct mr_slice filter) {
    enum mr_filter_kind kind = MR_FILTER_EXACT;
    for (size_t i = 0; i < filter.len; i++) {
        uint8_t byte = filter.data[i];
        if (byte != '+' && byte != '#') {
            continue;
        }
        bool begins_level = i == 0 || filter.data[i - 1] == '/';
        bool ends_filter = i + 1 == filter.len;
        bool ends_level = ends_filter || (byte == '+' && filter.data[i + 1] == '/');
        if (!begins_level || !ends_level) {
            return MR_FILTER_INVALID;
        }
        kind = MR_FILTER_WILDCARD;
    }
    return kind;
}

// Takes `$share/name/` off the front of `out->filter`, if it begins with `$share/`.
// False if what stands there is no share name with a filter behind it.
static bool split_share(struct mr_filter *out) {
    static const char prefix[] = "$share/";
    const size_t prefix_len = sizeof(prefix) - 1;
    struct mr_slice text = out->filter;
    if (text.len < prefix_len || memcmp(text.data, prefix, prefix_len) != 0) {
        return true;
    }
    size_t name_end = prefix_len;
    while (name_end < text.len && text.data[name_end] != '/') {
        if (text.data[name_end] == '+' || text.data[name_end] == '#') {
            return false;
        }
        name_end++;
    }
    // The '/' behind the name has to be there, and something behind that.
    if (name_end == prefix_len || text.len - name_end < 2) {
        return false;
    }
    out->share = mr_slice_of(text.data + prefix_len, name_end - prefix_len);
    out->filter = mr_slice_of(text.data + name_end + 1, text.len - name_end - 1);
    return true;
}

void mr_filter_parse(struct mr_slice text, bool shared_allowed, struct mr_filter *out) {
    out->kind = MR_FILTER_INVALID;
    out->share = mr_slice_of(NULL, 0);
    out->filter = text;
    if (text.len == 0 || text.len > MR_TOPIC_BYTES_MAX || !mr_utf8_valid(text)) {
        return;
    }
    if (shared_allowed && !split_share(out)) {
        return;
    }
    out->kind = filter_kind(out->filter);
}

static bool is_wildcard(struct mr_slice level, char wildcard) {
    return level.len == 1 && level.data[0] == wildcard;
}

// [MQTT-4.7.2-1]: wildcards in the first level keep off topic names that begin with '$'.
static bool starts_with_wildcard(struct mr_slice filter) {
    return filter.data[0] == '#' || filter.data[0] == '+';
}

bool mr_filter_matches(struct mr_slice filter, struct mr_slice topic) {
    if (MR_NEVER(filter.len == 0) || MR_NEVER(topic.len == 0)) {
        return false;
    }
    if (topic.data[0] == '$' && starts_with_wildcard(filter)) {
        return false;
    }
    struct mr_levels filter_levels = mr_levels_begin(filter);
    struct mr_levels topic_levels = mr_levels_begin(topic);
    struct mr_slice want;
    struct mr_slice have;
    while (mr_levels_next(&filter_levels, &want)) {
        if (is_wildcard(want, '#')) {
            return true;  // Also with no level left: '#' includes the parent.
        }
        if (!mr_levels_next(&topic_levels, &have)) {
            return false;
        }
        if (!is_wildcard(want, '+') && !mr_slice_eq(want, have)) {
            return false;
        }
    }
    return !mr_levels_next(&topic_levels, &have);
}

bool mr_filter_covers(struct mr_slice outer, struct mr_slice inner) {
    if (MR_NEVER(outer.len == 0) || MR_NEVER(inner.len == 0)) {
        return false;
    }
    if (inner.data[0] == '$' && starts_with_wildcard(outer)) {
        return false;
    }
    // '#' may be no level at all only if that leaves a topic name. "#" and "/#" would be
    // left empty, so they need a level just as these do.
    if (mr_slice_eq(inner, mr_slice_str("#"))) {
        inner = mr_slice_str("+/#");
    } else if (mr_slice_eq(inner, mr_slice_str("/#"))) {
        inner = mr_slice_str("/+/#");
    }
    struct mr_levels outer_levels = mr_levels_begin(outer);
    struct mr_levels inner_levels = mr_levels_begin(inner);
    struct mr_slice want;
    struct mr_slice have;
    while (mr_levels_next(&outer_levels, &want)) {
        if (is_wildcard(want, '#')) {
            return true;
        }
        // '#' in `inner` is more than any one level, and may be none.
        if (!mr_levels_next(&inner_levels, &have) || is_wildcard(have, '#')) {
            return false;
        }
        if (!is_wildcard(want, '+') && !mr_slice_eq(want, have)) {
            return false;
        }
    }
    return !mr_levels_next(&inner_levels, &have);
}
