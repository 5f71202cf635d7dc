// Access control lists: `user`, `topic` and `pattern` lines.
#include <stdlib.h>

#include "broker/auth/internal.h"
#include "codec/topic.h"

#define READ_WRITE (MR_ACL_READ | MR_ACL_WRITE)

// ------------------------------------------------------------------------ the file

static struct mr_slice take_word(struct mr_slice *rest) {
    struct mr_slice word = {rest->data, 0};
    while (word.len < rest->len && word.data[word.len] != ' ' && word.data[word.len] != '\t') {
        word.len++;
    }
    *rest = mr_slice_trim(mr_slice_of(rest->data + word.len, rest->len - word.len));
    return word;
}

static bool parse_access(struct mr_slice word, uint8_t *out) {
    static const struct {
        const char *word;
        uint8_t access;
    } kinds[] = {
        {"read", MR_ACL_READ}, {"write", MR_ACL_WRITE}, {"readwrite", READ_WRITE}, {"deny", 0}};
    for (size_t i = 0; i < MR_ARRAY_COUNT(kinds); i++) {
        if (mr_slice_eq(word, mr_slice_str(kinds[i].word))) {
            *out = kinds[i].access;
            return true;
        }
    }
    return false;
}

static bool contains(struct mr_slice text, const char *two) {
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.data[i] == (uint8_t)two[0] && text.data[i + 1] == (uint8_t)two[1]) {
            return true;
        }
    }
    return false;
}

static enum mr_err add_rule(struct mr_acl_list *list, const struct mr_acl_rule *rule) {
    if (list->rule_count == list->rule_capacity) {
        uint32_t capacity = list->rule_capacity == 0 ? 32 : list->rule_capacity * 2;
        if (capacity < list->rule_capacity) {
            return MR_ERR_NOMEM;
        }
        struct mr_acl_rule *rules = realloc(list->rules, capacity * sizeof(*rules));
        if (rules == NULL) {
            return MR_ERR_NOMEM;
        }
        list->rules = rules;
        list->rule_capacity = capacity;
    }
    list->rules[list->rule_count++] = *rule;
    return MR_OK;
}

static enum mr_err parse_rule(struct mr_acl_list *list, struct mr_auth_file *file,
                              struct mr_slice keyword, struct mr_slice rest, uint32_t section) {
    char quoted[MR_AUTH_QUOTE_BYTES];
    bool pattern = mr_slice_eq(keyword, mr_slice_str("pattern"));
    const char *name = pattern ? "pattern" : "topic";
    struct mr_acl_rule rule = {.section = pattern ? MR_ACL_PATTERNS : section};
    struct mr_slice after = rest;
    struct mr_slice word = take_word(&after);
    bool is_access = parse_access(word, &rule.access);
    if (rest.len == 0 || (is_access && after.len == 0)) {
        return mr_auth_refuse(file,
                              "expected %s [read|write|readwrite|deny] and a topic filter, "
                              "which is missing",
                              name);
    }
    if (is_access) {
        rule.filter = after;
    } else if (after.len == 0) {
        rule.filter = word;
        rule.access = READ_WRITE;
    } else {
        return mr_auth_refuse(file,
                              "expected read, write, readwrite or deny, not '%s'; a topic "
                              "with blanks needs one of them before it",
                              mr_auth_quote(word, quoted));
    }
    struct mr_filter parsed;
    mr_filter_parse(rule.filter, false, &parsed);
    if (parsed.kind == MR_FILTER_INVALID) {
        return mr_auth_refuse(file,
                              "'%s' isn't a valid topic filter: + and # stand for whole "
                              "levels, # only for the last",
                              mr_auth_quote(rule.filter, quoted));
    }
    rule.client_id = pattern && contains(rule.filter, "%c");
    rule.user_name = pattern && contains(rule.filter, "%u");
    rule.exact = parsed.kind == MR_FILTER_EXACT && !rule.client_id && !rule.user_name;
    return add_rule(list, &rule);
}

static enum mr_err add_user(struct mr_acl_list *list, struct mr_slice name) {
    if (list->name_count == list->name_capacity) {
        uint32_t capacity = list->name_capacity == 0 ? 16 : list->name_capacity * 2;
        if (capacity < list->name_capacity) {
            return MR_ERR_NOMEM;
        }
        struct mr_slice *names = realloc(list->names, capacity * sizeof(*names));
        if (names == NULL) {
            return MR_ERR_NOMEM;
        }
        list->names = names;
        list->name_capacity = capacity;
    }
    list->names[list->name_count++] = name;
    return MR_OK;
}

static enum mr_err parse_line(struct mr_acl_list *list, struct mr_auth_file *file,
                              struct mr_slice line, uint32_t *section) {
    struct mr_slice rest = line;
    struct mr_slice keyword = take_word(&rest);
    if (memchr(line.data, '\0', line.len) != NULL) {
        return mr_auth_refuse(file, "the line contains a NUL byte");
    }
    if (mr_slice_eq(keyword, mr_slice_str("user"))) {
        if (rest.len == 0) {
            return mr_auth_refuse(file, "expected a name behind user");
        }
        *section = MR_ACL_USERS + list->name_count;
        return add_user(list, rest);
    }
    if (mr_slice_eq(keyword, mr_slice_str("topic")) ||
        mr_slice_eq(keyword, mr_slice_str("pattern"))) {
        return parse_rule(list, file, keyword, rest, *section);
    }
    char quoted[MR_AUTH_QUOTE_BYTES];
    return mr_auth_refuse(file, "expected user, topic or pattern, not '%s'",
                          mr_auth_quote(keyword, quoted));
}

static int compare_text(struct mr_slice a, struct mr_slice b) {
    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }
    return memcmp(a.data, b.data, a.len);
}

// By section; there, those without wildcard first, by filter.
static int compare_rules(const void *left, const void *right) {
    const struct mr_acl_rule *a = left;
    const struct mr_acl_rule *b = right;
    if (a->section != b->section) {
        return a->section < b->section ? -1 : 1;
    }
    if (a->exact != b->exact) {
        return a->exact ? -1 : 1;
    }
    int order = a->exact ? compare_text(a->filter, b->filter) : 0;
    // Otherwise as in the file, so that the order doesn't depend on qsort().
    return order != 0 ? order
                      : (a->filter.data < b->filter.data ? -1 : a->filter.data > b->filter.data);
}

static enum mr_err sort_rules(struct mr_acl_list *list) {
    // A user may have several blocks of lines: they count as one, the first.
    for (uint32_t i = 0; i < list->rule_count; i++) {
        struct mr_acl_rule *rule = &list->rules[i];
        if (rule->section >= MR_ACL_USERS) {
            struct mr_slice name = list->names[rule->section - MR_ACL_USERS];
            rule->section = MR_ACL_USERS + mr_name_table_find(&list->table, name);
        }
    }
    if (list->rule_count > 0) {
        qsort(list->rules, list->rule_count, sizeof(*list->rules), compare_rules);
    }
    list->section_count = MR_ACL_USERS + list->name_count;
    list->sections = calloc(list->section_count, sizeof(*list->sections));
    if (list->sections == NULL) {
        return MR_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < list->rule_count; i++) {
        struct mr_acl_section *section = &list->sections[list->rules[i].section];
        if (section->count == 0) {
            section->first = i;
        }
        section->count++;
        section->exact_count += list->rules[i].exact;
    }
    return MR_OK;
}

static enum mr_err parse(struct mr_acl_list *list, struct mr_auth_file *file,
                         struct mr_slice text) {
    struct mr_slice line;
    uint32_t section = MR_ACL_ANONYMOUS;
    list->text = malloc(text.len + 1);
    if (list->text == NULL) {
        return MR_ERR_NOMEM;
    }
    if (text.len > 0) {
        memcpy(list->text, text.data, text.len);
    }
    struct mr_slice rest = mr_slice_of(list->text, text.len);
    while (mr_auth_next_line(file, &rest, &line)) {
        if (line.len > 0 && line.data[0] != '#') {
            MR_TRY(parse_line(list, file, line, &section));
        }
    }
    uint32_t equal;
    MR_TRY(mr_name_table_init(&list->table, list->names, list->name_count, &equal));
    return sort_rules(list);
}

enum mr_err mr_acl_list_init(struct mr_acl_list *list, struct mr_auth_file *file,
                             struct mr_slice text) {
    *list = (struct mr_acl_list){0};
    enum mr_err err = parse(list, file, text);
    if (err != MR_OK) {
        mr_acl_list_fini(list);
    }
    return err;
}

void mr_acl_list_fini(struct mr_acl_list *list) {
    mr_name_table_fini(&list->table);
    free(list->names);
    free(list->sections);
    free(list->rules);
    free(list->text);
    *list = (struct mr_acl_list){0};
}

// ----------------------------------------------------------------------- the check

// What was found so far: a denial ends the search.
struct verdict {
    bool denied;
    bool granted;
};

static void judge(struct verdict *verdict, const struct mr_acl_rule *rule, unsigned access) {
    verdict->denied = verdict->denied || rule->access == 0;
    verdict->granted = verdict->granted || (rule->access & access) != 0;
}

// The rules without wildcard for exactly this topic, which stand side by side.
static void judge_exact(struct verdict *verdict, const struct mr_acl_list *list,
                        const struct mr_acl_section *section, struct mr_slice topic,
                        unsigned access) {
    const struct mr_acl_rule *rules = list->rules + section->first;
    uint32_t low = 0;
    uint32_t high = section->exact_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_text(rules[middle].filter, topic) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < section->exact_count && mr_slice_eq(rules[low].filter, topic); low++) {
        judge(verdict, &rules[low], access);
    }
}

static void judge_name(struct verdict *verdict, const struct mr_acl_list *list,
                       uint32_t section_index, const struct mr_auth_identity *identity,
                       struct mr_slice topic, unsigned access) {
    const struct mr_acl_section *section = &list->sections[section_index];
    if (section->count == 0) {
        return;  // Of an empty file there are no rules to point at.
    }
    judge_exact(verdict, list, section, topic, access);
    for (uint32_t i = section->exact_count; i < section->count && !verdict->denied; i++) {
        const struct mr_acl_rule *rule = &list->rules[section->first + i];
        bool matches;
        if (!rule->client_id && !rule->user_name) {
            matches = mr_filter_matches(rule->filter, topic);
        } else if (rule->access == 0) {
            matches = (!rule->user_name || identity->user_name.data != NULL) &&
                      mr_acl_pattern_matches(rule, identity, topic);
        } else {
            matches = !mr_acl_pattern_tainted(rule, identity) &&
                      mr_acl_pattern_matches(rule, identity, topic);
        }
        if (matches) {
            judge(verdict, rule, access);
        }
    }
}

// A pattern with its replacements; NULL if out of memory. Only for subscriptions, which
// aren't the way of a message.
static char *expand(const struct mr_acl_rule *rule, const struct mr_auth_identity *identity,
                    size_t *len_out) {
    struct mr_slice filter = rule->filter;
    size_t room = filter.len + 1;
    for (size_t i = 0; i + 1 < filter.len; i++) {
        if (filter.data[i] == '%') {
            room += filter.data[i + 1] == 'c' ? identity->client_id.len : identity->user_name.len;
        }
    }
    char *out = malloc(room);
    size_t used = 0;
    for (size_t i = 0; out != NULL && i < filter.len; i++) {
        struct mr_slice text = mr_slice_of(filter.data + i, 1);
        if (filter.data[i] == '%' && i + 1 < filter.len) {
            bool client_id = filter.data[i + 1] == 'c';
            bool user_name = filter.data[i + 1] == 'u' && identity->user_name.data != NULL;
            text = client_id ? identity->client_id : user_name ? identity->user_name : text;
            i += client_id || user_name;
        }
        if (text.len > 0) {
            memcpy(out + used, text.data, text.len);
            used += text.len;
        }
    }
    *len_out = used;
    return out;
}

static void judge_filter_rule(struct verdict *verdict, const struct mr_acl_rule *rule,
                              struct mr_slice rule_filter, struct mr_slice filter) {
    if (rule->access == 0) {
        verdict->denied = verdict->denied || mr_filter_covers(rule_filter, filter);
    } else if ((rule->access & MR_ACL_READ) != 0) {
        verdict->granted = verdict->granted || mr_acl_filters_overlap(rule_filter, filter);
    }
}

static void judge_filter_pattern(struct verdict *verdict, const struct mr_acl_rule *rule,
                                 const struct mr_auth_identity *identity, struct mr_slice filter) {
    if (mr_acl_pattern_tainted(rule, identity)) {
        // Grants nothing. A denial that isn't a valid filter any more can't cover another;
        // each delivery is checked in any case.
        return;
    }
    size_t len = 0;
    char *expanded = expand(rule, identity, &len);
    if (expanded == NULL) {
        verdict->denied = true;
        return;
    }
    // "$SYS" as a name must not open $SYS.
    bool dollar = len > 0 && expanded[0] == '$' && rule->filter.data[0] != '$';
    if (len > 0 && !dollar) {
        judge_filter_rule(verdict, rule, mr_slice_of(expanded, len), filter);
    }
    free(expanded);
}

// Subscribing is allowed if some message could be received, since each one is checked
// when it is delivered.
static void judge_filter(struct verdict *verdict, const struct mr_acl_list *list,
                         uint32_t section_index, const struct mr_auth_identity *identity,
                         struct mr_slice filter) {
    const struct mr_acl_section *section = &list->sections[section_index];
    for (uint32_t i = 0; i < section->count && !verdict->denied; i++) {
        const struct mr_acl_rule *rule = &list->rules[section->first + i];
        if (rule->client_id || rule->user_name) {
            judge_filter_pattern(verdict, rule, identity, filter);
        } else {
            judge_filter_rule(verdict, rule, rule->filter, filter);
        }
    }
}

bool mr_acl_list_check(const struct mr_acl_list *list, const struct mr_auth_identity *identity,
                       struct mr_slice topic, enum mr_acl_access access) {
    struct verdict verdict = {0};
    uint32_t sections[2] = {MR_ACL_PATTERNS, MR_ACL_ANONYMOUS};
    size_t count = 2;
    if (identity->user_name.data != NULL) {
        uint32_t user = mr_name_table_find(&list->table, identity->user_name);
        sections[1] = MR_ACL_USERS + user;
        count = user == MR_NAME_NONE ? 1 : 2;
    }
    for (size_t i = 0; i < count && !verdict.denied; i++) {
        if (access == MR_ACL_SUBSCRIBE) {
            judge_filter(&verdict, list, sections[i], identity, topic);
        } else {
            judge_name(&verdict, list, sections[i], identity, topic, access);
        }
    }
    return verdict.granted && !verdict.denied;
}
