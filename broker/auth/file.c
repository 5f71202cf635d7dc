// Lines of the two files, and messages about them.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/auth/internal.h"

enum mr_err mr_auth_refuse(struct mr_auth_file *file, const char *format, ...) {
    char what[400];
    char path[MR_AUTH_QUOTE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    mr_auth_quote(mr_slice_str(file->path == NULL ? "" : file->path), path);
    size_t size = sizeof(path) + sizeof(what) + 16;
    file->message = malloc(size);
    if (file->message == NULL) {
        return MR_ERR_NOMEM;
    }
    (void)snprintf(file->message, size, "%s:%u: %s", path, file->line, what);
    return MR_ERR_INVALID;
}

bool mr_auth_next_line(struct mr_auth_file *file, struct mr_slice *rest, struct mr_slice *line) {
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (rest->len == 0) {
        return false;
    }
    if (file->line == 0 && rest->len >= sizeof(mark) &&
        memcmp(rest->data, mark, sizeof(mark)) == 0) {
        *rest = mr_slice_of(rest->data + sizeof(mark), rest->len - sizeof(mark));
    }
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->data);
    *line = mr_slice_trim(mr_slice_of(rest->data, len));
    len += end != NULL;
    *rest = mr_slice_of(rest->data + len, rest->len - len);
    file->line++;
    return true;
}

const char *mr_auth_quote(struct mr_slice text, char out[MR_AUTH_QUOTE_BYTES]) {
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (used + 4 > MR_AUTH_QUOTE_BYTES - 1) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        uint8_t byte = text.data[i];
        out[used++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
    }
    out[used] = '\0';
    return out;
}
