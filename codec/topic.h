// Topic names and topic filters: validity, levels, shared subscriptions, and the
// definition of a match. MQTT 5.0 sections 4.7 and 4.8.
//
// Everything borrows for the call; nothing allocates, nothing recurses.
// Threads: pure functions, any thread.
#ifndef MILLRACE_CODEC_TOPIC_H
#define MILLRACE_CODEC_TOPIC_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// Longest topic name or filter in bytes: the length field has 16 bits.
#define MR_TOPIC_BYTES_MAX 65535

// Is `topic` a topic name that may be published to: UTF-8, 1 to 65535 bytes, no
// wildcard? [MQTT-4.7.0-1] [MQTT-4.7.1-1] [MQTT-4.7.3-1..3]
bool mr_topic_name_valid(struct mr_slice topic);

enum mr_filter_kind {
    MR_FILTER_INVALID,
    MR_FILTER_EXACT,     // No wildcard.
    MR_FILTER_WILDCARD,  // At least one '+' or '#'.
};

// A topic filter as it came in a SUBSCRIBE, taken apart. Slices point into the
// bytes that were parsed.
struct mr_filter {
    enum mr_filter_kind kind;
    struct mr_slice share;   // Share name of `$share/name/filter`; data NULL if not shared.
    struct mr_slice filter;  // The filter proper, without `$share/name/`.
};

// Takes `text` apart and checks it: UTF-8, wildcards only as whole levels, '#' only
// last, share name present and free of wildcards, filter behind it not empty
// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2].
// `out->kind` is MR_FILTER_INVALID if it isn't valid. `$share` means sharing only if
// `shared_allowed` (5.0, or 3.x by configuration); else it is an ordinary level.
void mr_filter_parse(struct mr_slice text, bool shared_allowed, struct mr_filter *out);

// Cursor over the levels of a topic name or filter. `a//b` has three levels, the
// middle one empty; `/a` has two [MQTT-4.7.3-...]. Usage:
//   struct mr_levels it = mr_levels_begin(topic); struct mr_slice level;
//   while (mr_levels_next(&it, &level)) { ... }
struct mr_levels {
    const uint8_t *next;  // NULL at the end.
    const uint8_t *end;
};

static inline struct mr_levels mr_levels_begin(struct mr_slice topic) {
    // Nothing may be added to NULL, not even 0.
    struct mr_levels it = {topic.data, topic.len ? topic.data + topic.len : topic.data};
    return it;
}

static inline bool mr_levels_next(struct mr_levels *it, struct mr_slice *level) {
    if (it->next == NULL) {
        return false;
    }
    size_t left = (size_t)(it->end - it->next);
    const uint8_t *slash = left ? (const uint8_t *)memchr(it->next, '/', left) : NULL;
    const uint8_t *stop = slash ? slash : it->end;
    *level = mr_slice_of(it->next, (size_t)(stop - it->next));
    it->next = slash ? slash + 1 : NULL;
    return true;
}

// Does the valid filter `filter` (without `$share/name/`) match the valid topic
// name `topic`? This is the definition that the trie is tested against: '+' is one
// level, '#' the rest and the parent, and neither matches a first level that begins
// with '$' [MQTT-4.7.2-1].
bool mr_filter_matches(struct mr_slice filter, struct mr_slice topic);

// Does every topic name that `inner` can match also match `outer`? Both valid.
bool mr_filter_covers(struct mr_slice outer, struct mr_slice inner);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_CODEC_TOPIC_H
