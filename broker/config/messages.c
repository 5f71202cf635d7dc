#include "broker/config/messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static enum mr_err append(struct mr_config_messages *messages, const char *line) {
    char **lines = realloc(messages->lines, (messages->count + 1) * sizeof(*lines));
    if (lines == NULL) {
        return MR_ERR_NOMEM;
    }
    messages->lines = lines;
    char *copy = strdup(line);
    if (copy == NULL) {
        return MR_ERR_NOMEM;
    }
    lines[messages->count++] = copy;
    return MR_OK;
}

enum mr_err mr_config_message_add(struct mr_config_messages *messages,
                                  enum mr_config_severity severity, struct mr_config_place place,
                                  const char *format, ...) {
    messages->error_count += severity == MR_CONFIG_ERROR;
    if (messages->count > MR_CONFIG_MESSAGES_MAX) {
        return MR_OK;
    }
    if (messages->count == MR_CONFIG_MESSAGES_MAX) {
        return append(messages, "too many messages: the rest is left out");
    }
    char line[MR_CONFIG_MESSAGE_BYTES_MAX];
    char path[MR_CONFIG_QUOTE_BYTES];
    int used;
    const char *kind = severity == MR_CONFIG_ERROR ? "error" : "warning";
    if (place.path == NULL) {
        used = snprintf(line, sizeof(line), "command line: %s: ", kind);
    } else if (place.line == 0) {
        mr_config_quote(mr_slice_str(place.path), path);
        used = snprintf(line, sizeof(line), "%s: %s: ", path, kind);
    } else {
        mr_config_quote(mr_slice_str(place.path), path);
        used = snprintf(line, sizeof(line), "%s:%u: %s: ", path, place.line, kind);
    }
    if (used < 0) {
        used = 0;
    }
    va_list arguments;
    va_start(arguments, format);
    // The place takes at most a third of the line.
    (void)vsnprintf(line + used, sizeof(line) - (size_t)used, format, arguments);
    va_end(arguments);
    return append(messages, line);
}

void mr_config_messages_fini(struct mr_config_messages *messages) {
    for (size_t i = 0; i < messages->count; i++) {
        free(messages->lines[i]);
    }
    free(messages->lines);
    *messages = (struct mr_config_messages){0};
}

const char *mr_config_quote(struct mr_slice text, char out[MR_CONFIG_QUOTE_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        // Room for one escape, the dots and the end.
        if (used + 4 + 3 + 1 > MR_CONFIG_QUOTE_BYTES) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        uint8_t byte = text.data[i];
        if (byte < 0x20 || byte == 0x7f) {
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = digits[byte >> 4];
            out[used++] = digits[byte & 15];
        } else {
            out[used++] = (char)byte;
        }
    }
    out[used] = '\0';
    return out;
}
