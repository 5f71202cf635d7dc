#include "broker/retained/bound.h"

// What sorts right behind everything that goes on with '/' (or begins with '$').
#define BEHIND_SLASH "0"
#define BEHIND_DOLLAR "%"
_Static_assert('/' + 1 == '0' && '$' + 1 == '%', "neighbours in ASCII");

#define NONE SIZE_MAX

static int compare(struct mr_slice a, struct mr_slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct mr_slice slice_from(struct mr_slice text, size_t from) {
    return mr_slice_of(text.data + from, text.len - from);
}

int mr_topic_bound_compare(const struct mr_topic_bound *bound, struct mr_slice topic) {
    if (topic.len < bound->head.len) {
        return compare(bound->head, topic);
    }
    int order = bound->head.len > 0 ? memcmp(bound->head.data, topic.data, bound->head.len) : 0;
    return order != 0 ? order : compare(bound->tail, slice_from(topic, bound->head.len));
}

// The filter's text from `from` up to its next wildcard: every match has it there. In front
// of '#' the last '/' is left out, because '#' includes the parent; `*hash_out` tells.
static struct mr_slice literal_from(struct mr_slice filter, size_t from, bool *hash_out) {
    size_t end = from;
    while (end < filter.len && filter.data[end] != '+' && filter.data[end] != '#') {
        end++;
    }
    *hash_out = end < filter.len && filter.data[end] == '#' && end > from;
    return mr_slice_of(filter.data + from, end - from - (*hash_out ? 1 : 0));
}

struct mr_topic_bound mr_topic_bound_first(struct mr_slice filter) {
    bool hash;
    return mr_topic_bound_of(literal_from(filter, 0, &hash), false);
}

static size_t level_end(struct mr_slice text, size_t from) {
    const uint8_t *slash =
        from < text.len ? (const uint8_t *)memchr(text.data + from, '/', text.len - from) : NULL;
    return slash != NULL ? (size_t)(slash - text.data) : text.len;
}

static void step_to(struct mr_topic_step *out, bool matches, struct mr_slice head,
                    struct mr_slice tail) {
    out->matches = matches;
    out->more = true;
    out->next.head = head;
    out->next.tail = tail;
    out->next.above = false;
}

static void step_above(struct mr_topic_step *out, bool matches, struct mr_slice topic) {
    out->matches = matches;
    out->more = true;
    out->next = mr_topic_bound_of(topic, true);
}

// Nothing more matches with what the last '+' stands for, so '+' has to become
// something else. `plus_end` is where its level ends in `topic`; NONE without a '+'.
static void step_past_plus(struct mr_topic_step *out, bool matches, struct mr_slice topic,
                           size_t plus_end) {
    if (plus_end == NONE) {
        out->matches = matches;
        out->more = false;
        return;
    }
    step_to(out, matches, mr_slice_of(topic.data, plus_end), mr_slice_str(BEHIND_SLASH));
}

// The levels that begin at `f` and `t` differ; those before match.
static void step_past_difference(struct mr_topic_step *out, struct mr_slice filter, size_t f,
                                 struct mr_slice topic, size_t t, size_t plus_end) {
    bool hash;
    struct mr_slice literal = literal_from(filter, f, &hash);
    struct mr_slice rest = slice_from(topic, t);
    if (compare(literal, rest) < 0 && hash) {
        literal.len++;  // We are behind the parent, perhaps not behind its children.
    }
    if (compare(literal, rest) > 0) {
        step_to(out, false, mr_slice_of(topic.data, t), literal);
    } else {
        step_past_plus(out, false, topic, plus_end);
    }
}

// All levels of the topic name match, and the filter goes on with the '/' at `f_end`.
static void step_past_short(struct mr_topic_step *out, struct mr_slice filter, size_t f_end,
                            struct mr_slice topic, bool is_plus) {
    bool hash = f_end + 2 == filter.len && filter.data[f_end + 1] == '#';
    if (hash || is_plus) {
        step_above(out, hash, topic);
    } else {
        step_to(out, false, topic, literal_from(filter, f_end, &hash));
    }
}

void mr_topic_step_at(struct mr_topic_step *out, struct mr_slice filter, struct mr_slice topic) {
    if (topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#')) {
        // [MQTT-4.7.2-1]
        step_to(out, false, mr_slice_str(BEHIND_DOLLAR), mr_slice_of(NULL, 0));
        return;
    }
    size_t plus_end = NONE;
    size_t f = 0;
    size_t t = 0;
    for (;;) {
        if (f < filter.len && filter.data[f] == '#') {
            step_above(out, true, topic);
            return;
        }
        size_t f_end = level_end(filter, f);
        size_t t_end = level_end(topic, t);
        bool is_plus = f < filter.len && filter.data[f] == '+';
        if (is_plus) {
            plus_end = t_end;
        } else if (!mr_slice_eq(mr_slice_of(filter.data + f, f_end - f),
                                mr_slice_of(topic.data + t, t_end - t))) {
            step_past_difference(out, filter, f, topic, t, plus_end);
            return;
        }
        bool topic_ends = t_end == topic.len;
        if (f_end == filter.len) {
            if (topic_ends && is_plus) {
                step_above(out, true, topic);
            } else {
                step_past_plus(out, topic_ends, topic, plus_end);
            }
            return;
        }
        if (topic_ends) {
            step_past_short(out, filter, f_end, topic, is_plus);
            return;
        }
        f = f_end + 1;
        t = t_end + 1;
    }
}
