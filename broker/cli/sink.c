// Where lines of the log go.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "broker/cli/internal.h"
#include "broker/cli/process.h"

struct mr_log_output {
    bool to_syslog;
    bool to_topic;
    bool timestamp;
    atomic_bool detached;
    bool to_stdout;
    bool to_stderr;
    int file_fd;  // -1: none. The number never changes, so that writers need no lock.
    char *file_path;
    char *format;
    struct mr_log_sink topic;
};

size_t mr_timestamp_print(char out[MR_TIMESTAMP_BYTES], const char *format, int64_t now_s) {
    time_t now = (time_t)now_s;
    struct tm parts;
    size_t len = 0;
    // strftime() returns 0 for what doesn't fit.
    if (format != NULL && localtime_r(&now, &parts) != NULL) {
        len = strftime(out, MR_TIMESTAMP_BYTES - 3, format, &parts);
    }
    if (len == 0) {
        int printed = snprintf(out, MR_TIMESTAMP_BYTES, "%lld", (long long)now_s);
        len = printed > 0 ? (size_t)printed : 0;
    }
    memcpy(out + len, ": ", 3);
    return len + 2;
}

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static int syslog_priority(enum mr_log_type type) {
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

// One call for a line, so that those of several threads don't mix.
static void write_line(int fd, const char *stamp, size_t stamp_len, const char *line,
                       size_t line_len) {
    struct iovec parts[] = {
        {(void *)(uintptr_t)stamp, stamp_len},
        {(void *)(uintptr_t)line, line_len},
        {(void *)(uintptr_t) "\n", 1},
    };
    // Where should a failure of the log be logged? The disk may be full; the broker goes on.
    ssize_t written;
    do {
        written = writev(fd, parts, (int)MR_ARRAY_COUNT(parts));
    } while (written < 0 && errno == EINTR);
}

static void write_everywhere(void *ctx, enum mr_log_type type, const char *line, size_t len) {
    const struct mr_log_output *output = ctx;
    char stamp[MR_TIMESTAMP_BYTES];
    size_t stamp_len = 0;
    if (output->timestamp) {
        stamp_len = mr_timestamp_print(stamp, output->format, (int64_t)time(NULL));
    }
    bool detached = atomic_load_explicit(&output->detached, memory_order_relaxed);
    if (output->to_stdout && !detached) {
        write_line(STDOUT_FILENO, stamp, stamp_len, line, len);
    }
    if (output->to_stderr && !detached) {
        write_line(STDERR_FILENO, stamp, stamp_len, line, len);
    }
    if (output->file_fd >= 0) {
        write_line(output->file_fd, stamp, stamp_len, line, len);
    }
    if (output->to_syslog) {
        syslog(syslog_priority(type), "%.*s", (int)len, line);
    }
    // A topic tells the time itself. Mosquitto never sends debug messages there: each
    // would cause the next.
    if (output->to_topic && type != MR_LOG_DEBUG) {
        output->topic.write(output->topic.ctx, type, line, len);
    }
}

static char *copy(const char *text, bool *failed) {
    char *copied = text == NULL ? NULL : strdup(text);
    *failed = *failed || (text != NULL && copied == NULL);
    return copied;
}

enum mr_err mr_log_output_open(struct mr_log_output **out, const struct mr_config *config,
                               const struct mr_log_sink *topic, int *os_error) {
    *os_error = 0;
    bool failed = false;
    struct mr_log_output *output = calloc(1, sizeof(*output));
    if (output == NULL) {
        return MR_ERR_NOMEM;
    }
    output->file_fd = -1;
    output->file_path = copy(config->log_file, &failed);
    output->format = copy(config->log_timestamp_format, &failed);
    if (failed) {
        mr_log_output_close(output);
        return MR_ERR_NOMEM;
    }
    output->timestamp = config->log_timestamp;
    output->to_stdout = config->log_stdout;
    output->to_stderr = config->log_stderr;
    output->to_topic = config->log_topic && topic != NULL;
    if (output->to_topic) {
        output->topic = *topic;
    }
    if (output->file_path != NULL) {
        output->file_fd = open_file(output->file_path);
        if (output->file_fd < 0) {
            *os_error = errno;
            mr_log_output_close(output);
            return mr_file_error(*os_error);
        }
    }
    if (config->log_syslog) {
        output->to_syslog = true;
        openlog("millrace", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    }
    *out = output;
    return MR_OK;
}

struct mr_log_sink mr_log_output_sink(struct mr_log_output *output) {
    struct mr_log_sink sink = {output, write_everywhere};
    return sink;
}

enum mr_err mr_log_output_reopen(struct mr_log_output *output, int *os_error) {
    *os_error = 0;
    if (output->file_fd < 0) {
        return MR_OK;
    }
    int fd = open_file(output->file_path);
    if (fd < 0) {
        *os_error = errno;
        return mr_file_error(*os_error);
    }
    // Changes what the number means in one step; a line goes to the old file or to the new.
    enum mr_err err = MR_OK;
    if (dup3(fd, output->file_fd, O_CLOEXEC) < 0) {
        *os_error = errno;
        err = mr_file_error(*os_error);
    }
    close(fd);
    return err;
}

void mr_log_output_detach(struct mr_log_output *output) {
    atomic_store_explicit(&output->detached, true, memory_order_relaxed);
}

void mr_log_output_close(struct mr_log_output *output) {
    if (output == NULL) {
        return;
    }
    if (output->file_fd >= 0) {
        close(output->file_fd);
    }
    if (output->to_syslog) {
        closelog();
    }
    free(output->file_path);
    free(output->format);
    free(output);
}
