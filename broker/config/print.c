#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config/config.h"
#include "broker/config/directive.h"
#include "broker/config/value.h"

// Text that grows; once memory ran out it stays as it is.
struct mr_text {
    char *data;
    size_t len;
    size_t capacity;
    bool failed;
};

static void add(struct mr_text *out, const char *text, size_t len) {
    if (out->failed) {
        return;
    }
    if (len >= out->capacity - out->len) {
        size_t capacity = 2 * out->capacity + len + 1;
        char *data = realloc(out->data, capacity);
        if (data == NULL) {
            out->failed = true;
            return;
        }
        out->data = data;
        out->capacity = capacity;
    }
    memcpy(out->data + out->len, text, len);
    out->len += len;
    out->data[out->len] = '\0';
}

static void add_text(struct mr_text *out, const char *text) {
    add(out, text, strlen(text));
}

static void add_line(struct mr_text *out, const char *name, const char *value) {
    add_text(out, name);
    add_text(out, " ");
    add_text(out, value);
    add_text(out, "\n");
}

static void add_number_line(struct mr_text *out, const char *name, uint64_t number,
                            const char *unit) {
    char value[32];
    (void)snprintf(value, sizeof(value), "%" PRIu64 "%s", number, unit);
    add_line(out, name, value);
}

void mr_print_clientid_prefixes(struct mr_text *out, const struct mr_directive *directive,
                                const void *base) {
    const struct mr_config *config = base;
    for (uint32_t i = 0; i < config->clientid_prefix_count; i++) {
        add_line(out, directive->name, config->clientid_prefixes[i]);
    }
}

void mr_print_log_dest(struct mr_text *out, const struct mr_directive *directive,
                       const void *base) {
    const struct mr_config *config = base;
    add_line(out, directive->name, "none");
    if (config->log_stdout) {
        add_line(out, directive->name, "stdout");
    }
    if (config->log_stderr) {
        add_line(out, directive->name, "stderr");
    }
    if (config->log_syslog) {
        add_line(out, directive->name, "syslog");
    }
    if (config->log_topic) {
        add_line(out, directive->name, "topic");
    }
    if (config->log_file != NULL) {
        add_line(out, "log_dest file", config->log_file);
    }
}

void mr_print_log_type(struct mr_text *out, const struct mr_directive *directive,
                       const void *base) {
    const struct mr_config *config = base;
    if (config->log_types == MR_LOG_ALL) {
        add_line(out, directive->name, "all");
        return;
    }
    add_line(out, directive->name, "none");
    for (const struct mr_choice *type = mr_log_type_words; type->word != NULL; type++) {
        uint32_t bits = (uint32_t)type->number;
        if (bits != 0 && bits != MR_LOG_ALL && (config->log_types & bits) != 0) {
            add_line(out, directive->name, type->word);
        }
    }
}

static void print_number(struct mr_text *out, const struct mr_directive *directive,
                         uint64_t number) {
    if (directive->kind == MR_KIND_DURATION) {
        if (number >= directive->min) {
            add_number_line(out, directive->name, number, "s");
        }
    } else if ((directive->flags & MR_NEGATIVE_IS_MAX) && number == directive->max) {
        add_line(out, directive->name, "-1");
    } else {
        add_number_line(out, directive->name, number, "");
    }
}

static void print_row(struct mr_text *out, const struct mr_directive *directive, const void *base) {
    if (directive->print != NULL) {
        directive->print(out, directive, base);
        return;
    }
    const char *text;
    switch (directive->kind) {
        case MR_KIND_BOOL:
            add_line(out, directive->name, mr_field_number(directive, base) ? "true" : "false");
            break;
        case MR_KIND_NUMBER:
        case MR_KIND_BYTES:
        case MR_KIND_DURATION:
            print_number(out, directive, mr_field_number(directive, base));
            break;
        case MR_KIND_CHOICE:
            for (const struct mr_choice *c = directive->choices; c->word != NULL; c++) {
                if ((uint64_t)c->number == mr_field_number(directive, base)) {
                    add_line(out, directive->name, c->word);
                }
            }
            break;
        case MR_KIND_TEXT:
        case MR_KIND_WORD:
            text = mr_field_text(directive, base);
            if (text != NULL) {
                add_line(out, directive->name, text);
            }
            break;
        case MR_KIND_SPECIAL:
        case MR_KIND_IGNORED:
            break;
    }
}

static void print_scope(struct mr_text *out, enum mr_scope scope, const void *base) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        if (mr_directives[i].scope == scope) {
            print_row(out, &mr_directives[i], base);
        }
    }
}

static void print_listener(struct mr_text *out, const struct mr_config *config,
                           const struct mr_listener_config *listener) {
    char port[16];
    (void)snprintf(port, sizeof(port), "%u", listener->port);
    add_text(out, "\n");
    if (config->local_only) {
        // A listener line would end the local-only mode.
        add_text(out, "# Local only: port ");
        add_text(out, port);
        add_text(out, " of the loopback addresses.\n");
    } else {
        add_text(out, "listener ");
        add_text(out, port);
        const char *where = listener->unix_path ? listener->unix_path : listener->host;
        if (where != NULL) {
            add_text(out, " ");
            add_text(out, where);
        }
        add_text(out, "\n");
    }
    print_scope(out, MR_SCOPE_LISTENER, listener);
    if (config->per_listener_settings) {
        print_scope(out, MR_SCOPE_SECURITY, &listener->security);
    }
}

char *mr_config_print(const struct mr_config *config) {
    struct mr_text out = {0};
    print_scope(&out, MR_SCOPE_GLOBAL, config);
    if (!config->per_listener_settings) {
        print_scope(&out, MR_SCOPE_SECURITY, &config->security);
    }
    // The loopback listeners of local-only mode are one in the file.
    uint32_t count = config->local_only ? 1 : config->listener_count;
    for (uint32_t i = 0; i < count; i++) {
        print_listener(&out, config, &config->listeners[i]);
    }
    if (out.failed) {
        free(out.data);
        return NULL;
    }
    return out.data;
}
