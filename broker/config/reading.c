#include "broker/config/reading.h"

#include <stdlib.h>

#include "broker/config/value.h"
#include "broker/config/words.h"

const char *mr_reading_keep(struct mr_reading *reading, struct mr_slice text) {
    struct mr_config_text *kept = malloc(sizeof(*kept) + text.len + 1);
    if (kept == NULL) {
        return NULL;
    }
    if (text.len > 0) {
        memcpy(kept->text, text.data, text.len);
    }
    kept->text[text.len] = '\0';
    kept->next = reading->owner->texts;
    reading->owner->texts = kept;
    return kept->text;
}

enum mr_err mr_reading_refuse(struct mr_reading *reading, const struct mr_directive *directive,
                              struct mr_slice value) {
    char expected[MR_EXPECTED_BYTES];
    char quoted[MR_CONFIG_QUOTE_BYTES];
    mr_directive_expected(directive, expected);
    if (value.len == 0) {
        return mr_reading_error(reading, "%s: expected %s, but there is no value", directive->name,
                                expected);
    }
    struct mr_word_nearest nearest = {0};
    for (const struct mr_choice *c = directive->choices; c && c->word; c++) {
        mr_word_consider(&nearest, value, c->word);
    }
    return mr_reading_error(reading, "%s: expected %s, not '%s'%s%s%s", directive->name, expected,
                            mr_config_quote(value, quoted), nearest.word ? "; did you mean " : "",
                            nearest.word ? nearest.word : "", nearest.word ? "?" : "");
}

enum mr_err mr_reading_check_rest(struct mr_reading *reading, bool *bad_out,
                                  const struct mr_directive *directive, struct mr_slice rest) {
    *bad_out = rest.len > 0 && rest.data[0] != '#';
    if (!*bad_out) {
        return MR_OK;
    }
    char quoted[MR_CONFIG_QUOTE_BYTES];
    return mr_reading_error(reading, "%s: '%s' is too much behind the value", directive->name,
                            mr_config_quote(rest, quoted));
}

enum mr_err mr_reading_add_listener(struct mr_reading *reading) {
    struct mr_config_owner *owner = reading->owner;
    struct mr_config *config = &owner->config;
    if (config->listener_count == MR_CONFIG_LISTENERS_MAX) {
        MR_TRY(mr_reading_error(reading, "more than %d listeners", MR_CONFIG_LISTENERS_MAX));
        return MR_ERR_LIMIT;
    }
    if (config->listener_count == owner->listener_capacity) {
        uint32_t capacity = owner->listener_capacity == 0 ? 4 : 2 * owner->listener_capacity;
        bool *seen = realloc(reading->listener_anonymous_seen, capacity * sizeof(*seen));
        if (seen == NULL) {
            return MR_ERR_NOMEM;
        }
        reading->listener_anonymous_seen = seen;
        struct mr_listener_config *listeners =
            realloc(config->listeners, capacity * sizeof(*listeners));
        if (listeners == NULL) {
            return MR_ERR_NOMEM;
        }
        config->listeners = listeners;
        owner->listener_capacity = capacity;
    }
    reading->current = config->listener_count++;
    reading->listener_anonymous_seen[reading->current] = false;
    struct mr_listener_config *listener = &config->listeners[reading->current];
    *listener = (struct mr_listener_config){0};
    mr_directive_defaults(MR_SCOPE_LISTENER, listener);
    mr_directive_defaults(MR_SCOPE_SECURITY, &listener->security);
    return MR_OK;
}

enum mr_err mr_reading_use_default_listener(struct mr_reading *reading) {
    if (reading->default_listener != MR_NO_LISTENER) {
        reading->current = reading->default_listener;
        return MR_OK;
    }
    MR_TRY(mr_reading_add_listener(reading));
    reading->default_listener = reading->current;
    reading->owner->config.listeners[reading->current].port = MR_DEFAULT_PORT;
    return MR_OK;
}

enum mr_err mr_reading_base(struct mr_reading *reading, void **base_out,
                            const struct mr_directive *directive) {
    struct mr_config *config = &reading->owner->config;
    *base_out = NULL;
    if (directive->scope == MR_SCOPE_GLOBAL) {
        *base_out = config;
        return MR_OK;
    }
    if (directive->scope == MR_SCOPE_SECURITY) {
        reading->security_seen = true;
        if (!config->per_listener_settings) {
            *base_out = &config->security;
            return MR_OK;
        }
        if (reading->current == MR_NO_LISTENER) {
            return mr_reading_error(reading,
                                    "%s: with per_listener_settings it belongs below the "
                                    "listener that it is meant for",
                                    directive->name);
        }
        *base_out = &config->listeners[reading->current].security;
        return MR_OK;
    }
    if (reading->current == MR_NO_LISTENER) {
        // Mosquitto does the same, silently. It opens a port that few expect.
        MR_TRY(mr_reading_warn(reading,
                               "%s: stands before any listener, so it belongs to the default "
                               "listener on port %d; better write it below a listener",
                               directive->name, MR_DEFAULT_PORT));
        MR_TRY(mr_reading_use_default_listener(reading));
    }
    *base_out = &config->listeners[reading->current];
    return MR_OK;
}

static enum mr_err apply_text(struct mr_reading *reading, const struct mr_directive *directive,
                              void *base, struct mr_slice value) {
    const char *kept = NULL;
    if (value.len == 0 || value.len > directive->max ||
        (directive->valid != NULL && !directive->valid(value))) {
        return mr_reading_refuse(reading, directive, value);
    }
    if (mr_field_text(directive, base) != NULL) {
        return mr_reading_error(reading, "%s: given a second time", directive->name);
    }
    for (size_t i = 0; i + 1 < value.len; i++) {
        if (value.data[i + 1] == '#' && (value.data[i] == ' ' || value.data[i] == '\t')) {
            MR_TRY(mr_reading_warn(reading,
                                   "%s: the value goes to the end of the line, '#' included; "
                                   "comments stand on lines of their own",
                                   directive->name));
            break;
        }
    }
    kept = mr_reading_keep(reading, value);
    if (kept == NULL) {
        return MR_ERR_NOMEM;
    }
    mr_field_set_text(directive, base, kept);
    return MR_OK;
}

static enum mr_err apply_word(struct mr_reading *reading, const struct mr_directive *directive,
                              void *base, struct mr_slice value) {
    bool bad;
    struct mr_slice word = mr_value_word(&value);
    MR_TRY(mr_reading_check_rest(reading, &bad, directive, value));
    if (bad) {
        return MR_OK;
    }
    if (directive->kind == MR_KIND_WORD) {
        const struct mr_choice *choice = mr_choice_find(directive->choices, word);
        if (choice == NULL) {
            return mr_reading_refuse(reading, directive, word);
        }
        mr_field_set_text(directive, base, choice->word);
        return MR_OK;
    }
    uint64_t number;
    bool lowered;
    if (!mr_value_parse(&number, &lowered, directive, word)) {
        return mr_reading_refuse(reading, directive, word);
    }
    mr_field_set_number(directive, base, number);
    if (lowered) {
        return mr_reading_warn(reading, "%s: more than %llu isn't possible, which is used",
                               directive->name, (unsigned long long)directive->max);
    }
    return MR_OK;
}

static enum mr_err apply(struct mr_reading *reading, const struct mr_directive *directive,
                         struct mr_slice value) {
    if (directive->apply != NULL) {
        return directive->apply(reading, directive, value);
    }
    if (directive->kind == MR_KIND_IGNORED) {
        return mr_reading_warn(reading, "%s: has no effect (%s)", directive->name, directive->help);
    }
    void *base;
    MR_TRY(mr_reading_base(reading, &base, directive));
    if (base == NULL) {
        return MR_OK;
    }
    if (directive->kind == MR_KIND_TEXT) {
        return apply_text(reading, directive, base, value);
    }
    return apply_word(reading, directive, base, value);
}

static enum mr_err refuse_name(struct mr_reading *reading, struct mr_slice name) {
    char quoted[MR_CONFIG_QUOTE_BYTES];
    mr_config_quote(name, quoted);
    struct mr_word_nearest nearest = {0};
    // A message that isn't kept needs no advice.
    bool full = reading->messages->count >= MR_CONFIG_MESSAGES_MAX;
    for (size_t i = 0; i < mr_directive_count && !full; i++) {
        mr_word_consider(&nearest, name, mr_directives[i].name);
    }
    for (size_t i = 0; i < mr_unsupported_count && !full; i++) {
        mr_word_consider(&nearest, name, mr_unsupported[i].name);
    }
    if (nearest.word == NULL) {
        return mr_reading_error(reading, "'%s' isn't a directive", quoted);
    }
    return mr_reading_error(reading, "'%s' isn't a directive; did you mean %s?", quoted,
                            nearest.word);
}

static enum mr_err refuse_unsupported(struct mr_reading *reading, struct mr_slice name,
                                      const struct mr_unsupported *known, struct mr_slice value) {
    char quoted[MR_CONFIG_QUOTE_BYTES];
    struct mr_slice word = mr_value_word(&value);
    if (known->harmless != NULL && mr_slice_eq(word, mr_slice_str(known->harmless))) {
        return MR_OK;
    }
    return mr_reading_error(reading, "%s is Mosquitto's, but %s", mr_config_quote(name, quoted),
                            known->advice);
}

static enum mr_err read_line(struct mr_reading *reading, struct mr_slice line) {
    if (line.len > MR_CONFIG_LINE_BYTES_MAX) {
        return mr_reading_error(reading, "the line is longer than %d bytes",
                                MR_CONFIG_LINE_BYTES_MAX);
    }
    struct mr_slice value = line;
    struct mr_slice name = mr_value_word(&value);
    if (name.len == 0 || name.data[0] == '#') {
        return MR_OK;
    }
    if (memchr(line.data, '\0', line.len) != NULL) {
        return mr_reading_error(reading, "the line contains a NUL byte");
    }
    const struct mr_directive *directive = mr_directive_find(name);
    if (directive != NULL) {
        return apply(reading, directive, value);
    }
    const struct mr_unsupported *unsupported = mr_unsupported_find(name);
    if (unsupported != NULL) {
        return refuse_unsupported(reading, name, unsupported, value);
    }
    return refuse_name(reading, name);
}

static enum mr_err read_text(struct mr_reading *reading, struct mr_slice text) {
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (text.len >= sizeof(mark) && memcmp(text.data, mark, sizeof(mark)) == 0) {
        text = mr_slice_of(text.data + sizeof(mark), text.len - sizeof(mark));
    }
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        reading->place.line++;
        MR_TRY(read_line(reading, mr_slice_of(text.data, len)));
        len += end != NULL;
        text = mr_slice_of(text.data + len, text.len - len);
    }
    return MR_OK;
}

enum mr_err mr_reading_file(struct mr_reading *reading, const char *path) {
    // A listener doesn't reach into another file, as in Mosquitto.
    struct mr_config_place outer_place = reading->place;
    uint32_t outer_listener = reading->current;
    reading->place = (struct mr_config_place){.path = path};
    reading->current = MR_NO_LISTENER;

    char *text = NULL;
    size_t len = 0;
    enum mr_err err = MR_OK;
    if (reading->file_count++ == MR_CONFIG_FILES_MAX) {
        err = mr_reading_error(reading, "more than %d files", MR_CONFIG_FILES_MAX);
        err = err == MR_OK ? MR_ERR_LIMIT : err;
    } else {
        enum mr_err read = reading->reader->read(reading->reader->ctx, path, &text, &len);
        if (read == MR_ERR_NOMEM) {
            err = read;
        } else if (read != MR_OK) {
            err = mr_reading_error(reading, "can't be read: %s", mr_err_text(read));
        } else {
            err = read_text(reading, mr_slice_of(text, len));
            free(text);
        }
    }
    reading->place = outer_place;
    reading->current = outer_listener;
    return err;
}
