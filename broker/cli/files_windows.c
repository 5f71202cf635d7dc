#include <stdlib.h>
#include <windows.h>

#include "broker/cli/internal.h"
#include "broker/cli/paths_windows.h"
#include "broker/cli/process.h"

enum mr_err mr_file_error(int os_error) {
    switch (os_error) {
        case ERROR_FILE_NOT_FOUND:
        case ERROR_PATH_NOT_FOUND:
        case ERROR_INVALID_DRIVE:
        case ERROR_BAD_NETPATH:
        case ERROR_BAD_NET_NAME:
            return MR_ERR_NOTFOUND;
        case ERROR_ACCESS_DENIED:
        case ERROR_SHARING_VIOLATION:
        case ERROR_WRITE_PROTECT:
            return MR_ERR_ACCESS;
        case ERROR_NOT_ENOUGH_MEMORY:
        case ERROR_OUTOFMEMORY:
            return MR_ERR_NOMEM;
        case ERROR_TOO_MANY_OPEN_FILES:
            return MR_ERR_NOFILES;
        case ERROR_INVALID_NAME:
        case ERROR_BAD_PATHNAME:
        case ERROR_FILENAME_EXCED_RANGE:
        case ERROR_DIRECTORY:
        case ERROR_INVALID_PARAMETER:
        case ERROR_NO_UNICODE_TRANSLATION:
            return MR_ERR_INVALID;
        case ERROR_FILE_TOO_LARGE:
            return MR_ERR_LIMIT;
        default:
            return MR_ERR_IO;
    }
}

// Why there is no wide path.
static enum mr_err path_error(void) {
    return GetLastError() == ERROR_NO_UNICODE_TRANSLATION ? MR_ERR_INVALID : MR_ERR_NOMEM;
}

// Reads until the end: the size of a pipe or a device isn't known before.
static enum mr_err read_all(HANDLE file, size_t hint, char **text_out, size_t *len_out) {
    size_t capacity = hint < 4096 ? 4096 : hint + 1;
    size_t len = 0;
    char *text = malloc(capacity);
    for (;;) {
        DWORD got = 0;
        if (text == NULL) {
            return MR_ERR_NOMEM;
        }
        if (!ReadFile(file, text + len, (DWORD)(capacity - 1 - len), &got, NULL) &&
            GetLastError() != ERROR_BROKEN_PIPE) {
            enum mr_err err = mr_file_error((int)GetLastError());
            free(text);
            return err;
        }
        len += got;
        if (got == 0) {
            break;
        }
        if (len > MR_FILE_BYTES_MAX) {
            free(text);
            return MR_ERR_LIMIT;
        }
        if (len == capacity - 1) {
            capacity *= 2;
            char *larger = realloc(text, capacity);
            if (larger == NULL) {
                free(text);
            }
            text = larger;
        }
    }
    text[len] = '\0';
    *text_out = text;
    *len_out = len;
    return MR_OK;
}

static enum mr_err open_error(const wchar_t *path) {
    enum mr_err err = mr_file_error((int)GetLastError());
    DWORD attributes = GetFileAttributesW(path);
    bool folder =
        attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    // A folder can't be opened like a file, which Windows calls a lack of rights.
    return folder ? MR_ERR_INVALID : err;
}

enum mr_err mr_file_read(const char *path, char **text_out, size_t *len_out) {
    wchar_t *wide = mr_wide_path(path);
    if (wide == NULL) {
        return path_error();
    }
    // Whoever replaces it by renaming another must not be stopped by our reading.
    HANDLE file =
        CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                    NULL, OPEN_EXISTING, FILE_FLAG_SEQUENTIAL_SCAN, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        enum mr_err err = open_error(wide);
        free(wide);
        return err;
    }
    free(wide);
    LARGE_INTEGER size = {.QuadPart = 0};
    enum mr_err err = MR_OK;
    if (GetFileSizeEx(file, &size) && size.QuadPart > (LONGLONG)MR_FILE_BYTES_MAX) {
        err = MR_ERR_LIMIT;
    } else {
        err = read_all(file, (size_t)size.QuadPart, text_out, len_out);
    }
    CloseHandle(file);
    return err;
}

// "folder\*", which is how Windows is asked for what is in it.
static wchar_t *all_of(const char *folder) {
    size_t len = strlen(folder);
    char *pattern = malloc(len + 3);
    if (pattern == NULL) {
        return NULL;
    }
    memcpy(pattern, folder, len);
    memcpy(pattern + len, "\\*", 3);
    wchar_t *wide = mr_wide_path(pattern);
    free(pattern);
    return wide;
}

enum mr_err mr_folder_each(const char *folder, enum mr_err (*fn)(void *ctx, const char *name),
                           void *ctx) {
    wchar_t *pattern = all_of(folder);
    if (pattern == NULL) {
        return path_error();
    }
    WIN32_FIND_DATAW entry;
    HANDLE search = FindFirstFileW(pattern, &entry);
    free(pattern);
    if (search == INVALID_HANDLE_VALUE) {
        return mr_file_error((int)GetLastError());
    }
    enum mr_err err = MR_OK;
    BOOL more = TRUE;
    while (err == MR_OK && more) {
        char *name = mr_narrow_text(entry.cFileName);
        err = name == NULL ? MR_ERR_NOMEM : fn(ctx, name);
        free(name);
        more = FindNextFileW(search, &entry);
    }
    if (err == MR_OK && GetLastError() != ERROR_NO_MORE_FILES) {
        err = mr_file_error((int)GetLastError());
    }
    FindClose(search);
    return err;
}
