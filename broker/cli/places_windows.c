// Files, standard streams and the event log as places for the log's lines.
#include <stdlib.h>
#include <windows.h>

#include "broker/cli/event_ids.h"
#include "broker/cli/internal.h"
#include "broker/cli/paths_windows.h"

// A line, its time stamp and its end.
#define LINE_BYTES_MAX (1024 + 512)

struct mr_log_file {
    // One writer at a time: appending is one step on Windows, but two under Wine.
    SRWLOCK lock;
    HANDLE handle;
    wchar_t *path;
};

// One call for a line, so that those of several threads don't mix.
static void write_line(HANDLE handle, const struct mr_log_parts *parts) {
    char line[LINE_BYTES_MAX];
    size_t stamp_len = parts->stamp_len < LINE_BYTES_MAX - 2 ? parts->stamp_len : 0;
    size_t room = LINE_BYTES_MAX - 2 - stamp_len;
    size_t len = parts->line_len < room ? parts->line_len : room;
    DWORD written;
    memcpy(line, parts->stamp, stamp_len);
    memcpy(line + stamp_len, parts->line, len);
    memcpy(line + stamp_len + len, "\r\n", 2);
    // Where should a failure of the log be logged? The disk may be full; the broker goes on.
    (void)WriteFile(handle, line, (DWORD)(stamp_len + len + 2), &written, NULL);
}

static HANDLE open_file(const wchar_t *path) {
    // FILE_APPEND_DATA alone: each line goes to the end, wherever that is by then. Others may
    // read the file, rename it and delete it.
    return CreateFileW(path, FILE_APPEND_DATA | SYNCHRONIZE,
                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_ALWAYS,
                       FILE_ATTRIBUTE_NORMAL, NULL);
}

enum mr_err mr_log_file_open(struct mr_log_file **out, const char *path, int *os_error) {
    struct mr_log_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return MR_ERR_NOMEM;
    }
    InitializeSRWLock(&file->lock);
    file->path = mr_wide_path(path);
    file->handle = file->path == NULL ? INVALID_HANDLE_VALUE : open_file(file->path);
    if (file->handle == INVALID_HANDLE_VALUE) {
        *os_error = (int)GetLastError();
        free(file->path);
        free(file);
        return mr_file_error(*os_error);
    }
    *out = file;
    return MR_OK;
}

enum mr_err mr_log_file_reopen(struct mr_log_file *file, int *os_error) {
    HANDLE handle = open_file(file->path);
    if (handle == INVALID_HANDLE_VALUE) {
        *os_error = (int)GetLastError();
        return mr_file_error(*os_error);
    }
    AcquireSRWLockExclusive(&file->lock);
    HANDLE before = file->handle;
    file->handle = handle;
    ReleaseSRWLockExclusive(&file->lock);
    CloseHandle(before);
    return MR_OK;
}

void mr_log_file_write(struct mr_log_file *file, const struct mr_log_parts *parts) {
    AcquireSRWLockExclusive(&file->lock);
    write_line(file->handle, parts);
    ReleaseSRWLockExclusive(&file->lock);
}

void mr_log_file_close(struct mr_log_file *file) {
    if (file != NULL) {
        CloseHandle(file->handle);
        free(file->path);
        free(file);
    }
}

void mr_log_standard_write(int number, const struct mr_log_parts *parts) {
    HANDLE handle = GetStdHandle(number == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
    // A service has neither.
    if (handle != NULL && handle != INVALID_HANDLE_VALUE) {
        write_line(handle, parts);
    }
}

bool mr_log_standard_exists(void) {
    HANDLE handle = GetStdHandle(STD_ERROR_HANDLE);
    return handle != NULL && handle != INVALID_HANDLE_VALUE;
}

// ----------------------------------------------------------------------- time stamps

// What the C library of Windows lacks, in words that it has.
static const char *spell_out(char conversion) {
    switch (conversion) {
        case 'D':
            return "%m/%d/%y";
        case 'F':
            return "%Y-%m-%d";
        case 'R':
            return "%H:%M";
        case 'T':
            return "%H:%M:%S";
        default:
            return NULL;
    }
}

size_t mr_log_time_print(char *out, size_t size, const char *format, const struct tm *parts) {
    char spelled[512];
    size_t len = 0;
    while (*format != '\0') {
        const char *words = *format == '%' ? spell_out(format[1]) : NULL;
        char both[3] = {*format, *format == '%' ? format[1] : '\0', '\0'};
        format += strlen(both);
        words = words != NULL ? words : both;
        if (len + strlen(words) >= sizeof(spelled)) {
            return 0;
        }
        memcpy(spelled + len, words, strlen(words) + 1);
        len += strlen(words);
    }
    return len > 0 ? strftime(out, size, spelled, parts) : 0;
}

// ------------------------------------------------------------------------ event log

static HANDLE event_log;

void mr_log_system_open(void) {
    event_log = RegisterEventSourceW(NULL, MR_EVENT_SOURCE);
}

void mr_log_system_write(enum mr_log_type type, const char *line, size_t len) {
    char text[LINE_BYTES_MAX];
    if (event_log == NULL) {
        return;
    }
    len = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
    memcpy(text, line, len);
    text[len] = '\0';
    wchar_t *wide = mr_wide_text(text);
    if (wide == NULL) {
        return;
    }
    WORD kind = type == MR_LOG_ERROR     ? EVENTLOG_ERROR_TYPE
                : type == MR_LOG_WARNING ? EVENTLOG_WARNING_TYPE
                                         : EVENTLOG_INFORMATION_TYPE;
    const wchar_t *strings[] = {wide};
    (void)ReportEventW(event_log, kind, 0, MR_EVENT_LINE, NULL, 1, 0, strings, NULL);
    free(wide);
}

void mr_log_system_close(void) {
    if (event_log != NULL) {
        DeregisterEventSource(event_log);
        event_log = NULL;
    }
}
