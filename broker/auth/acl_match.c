// Matching of access rules: patterns with what replaces %u and %c, overlaps of filters.
#include "broker/auth/internal.h"
#include "codec/topic.h"

// What a pattern has at `i`: %u or %c, or NULL data.
static struct mr_slice replacement(const struct mr_acl_rule *rule,
                                   const struct mr_auth_identity *identity, size_t i) {
    struct mr_slice none = {NULL, 0};
    struct mr_slice filter = rule->filter;
    if (filter.data[i] != '%' || i + 1 == filter.len) {
        return none;
    }
    if (filter.data[i + 1] == 'c') {
        return identity->client_id;
    }
    return filter.data[i + 1] == 'u' ? identity->user_name : none;
}

bool mr_acl_pattern_matches(const struct mr_acl_rule *rule, const struct mr_auth_identity *identity,
                            struct mr_slice topic) {
    struct mr_slice filter = rule->filter;
    size_t at = 0;  // In the topic.
    if (topic.len > 0 && topic.data[0] == '$' && filter.data[0] != '$') {
        return false;  // [MQTT-4.7.2-1]; nor can a client call itself $SYS.
    }
    for (size_t i = 0; i < filter.len; i++) {
        bool level_begins = i == 0 || filter.data[i - 1] == '/';
        struct mr_slice text = replacement(rule, identity, i);
        if (text.data != NULL) {
            if (text.len > topic.len - at || memcmp(topic.data + at, text.data, text.len) != 0) {
                return false;
            }
            at += text.len;
            i++;
        } else if (filter.data[i] == '#' && level_begins) {
            return true;
        } else if (filter.data[i] == '+' && level_begins) {
            while (at < topic.len && topic.data[at] != '/') {
                at++;
            }
        } else if (at < topic.len && topic.data[at] == filter.data[i]) {
            at++;
        } else {
            // `a/#` matches `a`, too.
            return at == topic.len && i + 2 == filter.len && filter.data[i] == '/' &&
                   filter.data[i + 1] == '#';
        }
    }
    return at == topic.len;
}

static bool dangerous(struct mr_slice name) {
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '+' || name.data[i] == '#' || name.data[i] == '/') {
            return true;
        }
    }
    return false;
}

bool mr_acl_pattern_tainted(const struct mr_acl_rule *rule,
                            const struct mr_auth_identity *identity) {
    if (rule->user_name && (identity->user_name.data == NULL || dangerous(identity->user_name))) {
        return true;
    }
    return rule->client_id && (identity->client_id.data == NULL || dangerous(identity->client_id));
}

static bool is_level(struct mr_slice level, char wildcard) {
    return level.len == 1 && level.data[0] == (uint8_t)wildcard;
}

// Can a first level of one filter match one of the other? Wildcards don't match '$'.
static bool first_levels_meet(struct mr_slice a, struct mr_slice b) {
    bool a_wild = is_level(a, '+') || is_level(a, '#');
    bool b_wild = is_level(b, '+') || is_level(b, '#');
    bool a_dollar = a.len > 0 && a.data[0] == '$';
    bool b_dollar = b.len > 0 && b.data[0] == '$';
    return !(a_wild && b_dollar) && !(b_wild && a_dollar);
}

bool mr_acl_filters_overlap(struct mr_slice a, struct mr_slice b) {
    struct mr_levels a_levels = mr_levels_begin(a);
    struct mr_levels b_levels = mr_levels_begin(b);
    for (bool first = true;; first = false) {
        struct mr_slice a_level = {0};
        struct mr_slice b_level = {0};
        bool a_more = mr_levels_next(&a_levels, &a_level);
        bool b_more = mr_levels_next(&b_levels, &b_level);
        if (!a_more || !b_more) {
            // `x/#` matches `x`, too.
            return a_more == b_more || is_level(a_more ? a_level : b_level, '#');
        }
        if (first && !first_levels_meet(a_level, b_level)) {
            return false;
        }
        if (is_level(a_level, '#') || is_level(b_level, '#')) {
            return true;
        }
        if (!is_level(a_level, '+') && !is_level(b_level, '+') && !mr_slice_eq(a_level, b_level)) {
            return false;
        }
    }
}
