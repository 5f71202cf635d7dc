// Files, standard streams and syslog as places for the log's lines.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "broker/cli/internal.h"

struct mr_log_file {
    int fd;  // The number never changes, so that writers need no lock.
    char path[];
};

// One call for a line, so that those of several threads don't mix.
static void write_line(int fd, const struct mr_log_parts *line) {
    struct iovec parts[] = {
        {(void *)(uintptr_t)line->stamp, line->stamp_len},
        {(void *)(uintptr_t)line->line, line->line_len},
        {(void *)(uintptr_t) "\n", 1},
    };
    // Where should a failure of the log be logged? The disk may be full; the broker goes on.
    ssize_t written;
    do {
        written = writev(fd, parts, (int)MR_ARRAY_COUNT(parts));
    } while (written < 0 && errno == EINTR);
}

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

enum mr_err mr_log_file_open(struct mr_log_file **out, const char *path, int *os_error) {
    size_t size = strlen(path) + 1;
    struct mr_log_file *file = malloc(sizeof(*file) + size);
    if (file == NULL) {
        return MR_ERR_NOMEM;
    }
    memcpy(file->path, path, size);
    file->fd = open_file(path);
    if (file->fd < 0) {
        *os_error = errno;
        free(file);
        return mr_file_error(*os_error);
    }
    *out = file;
    return MR_OK;
}

enum mr_err mr_log_file_reopen(struct mr_log_file *file, int *os_error) {
    int fd = open_file(file->path);
    if (fd < 0) {
        *os_error = errno;
        return mr_file_error(*os_error);
    }
    // Changes what the number means in one step; a line goes to the old file or to the new.
    enum mr_err err = MR_OK;
    if (dup3(fd, file->fd, O_CLOEXEC) < 0) {
        *os_error = errno;
        err = mr_file_error(*os_error);
    }
    close(fd);
    return err;
}

void mr_log_file_write(struct mr_log_file *file, const struct mr_log_parts *parts) {
    write_line(file->fd, parts);
}

void mr_log_file_close(struct mr_log_file *file) {
    if (file != NULL) {
        close(file->fd);
        free(file);
    }
}

size_t mr_log_time_print(char *out, size_t size, const char *format, const struct tm *parts) {
    return strftime(out, size, format, parts);
}

void mr_log_standard_write(int number, const struct mr_log_parts *parts) {
    write_line(number, parts);
}

bool mr_log_standard_exists(void) {
    return true;
}

// --------------------------------------------------------------------------- syslog

static int priority(enum mr_log_type type) {
    switch (type) {
        case MR_LOG_ERROR:
            return LOG_ERR;
        case MR_LOG_WARNING:
            return LOG_WARNING;
        case MR_LOG_INFORMATION:
            return LOG_INFO;
        case MR_LOG_DEBUG:
        case MR_LOG_INTERNAL:
            return LOG_DEBUG;
        default:
            return LOG_NOTICE;
    }
}

void mr_log_system_open(void) {
    openlog("millrace", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void mr_log_system_write(enum mr_log_type type, const char *line, size_t len) {
    syslog(priority(type), "%.*s", (int)len, line);
}

void mr_log_system_close(void) {
    closelog();
}
