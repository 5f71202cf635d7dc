// Where lines of the log go; the places themselves are the system's (places_*.c).
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "broker/cli/internal.h"
#include "broker/cli/process.h"

struct mr_log_output {
    bool to_syslog;
    bool to_topic;
    bool timestamp;
    atomic_bool detached;
    bool to_stdout;
    bool to_stderr;
    struct mr_log_file *file;  // NULL: none.
    char *format;
    struct mr_log_sink topic;
};

size_t mr_timestamp_print(char out[MR_TIMESTAMP_BYTES], const char *format, int64_t now_s) {
    time_t now = (time_t)now_s;
    struct tm parts;
    size_t len = 0;
    if (format != NULL && localtime_r(&now, &parts) != NULL) {
        len = mr_log_time_print(out, MR_TIMESTAMP_BYTES - 3, format, &parts);
    }
    if (len == 0) {
        int printed = snprintf(out, MR_TIMESTAMP_BYTES, "%lld", (long long)now_s);
        len = printed > 0 ? (size_t)printed : 0;
    }
    memcpy(out + len, ": ", 3);
    return len + 2;
}

void mr_complain(const char *format, ...) {
    char line[2048];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    if (mr_log_standard_exists()) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    mr_log_system_open();
    mr_log_system_write(MR_LOG_ERROR, line, strlen(line));
    mr_log_system_close();
}

static void write_everywhere(void *ctx, enum mr_log_type type, const char *line, size_t len) {
    const struct mr_log_output *output = ctx;
    char stamp[MR_TIMESTAMP_BYTES];
    size_t stamp_len = 0;
    if (output->timestamp) {
        stamp_len = mr_timestamp_print(stamp, output->format, (int64_t)time(NULL));
    }
    struct mr_log_parts parts = {stamp, stamp_len, line, len};
    bool detached = atomic_load_explicit(&output->detached, memory_order_relaxed);
    if (output->to_stdout && !detached) {
        mr_log_standard_write(1, &parts);
    }
    if (output->to_stderr && !detached) {
        mr_log_standard_write(2, &parts);
    }
    if (output->file != NULL) {
        mr_log_file_write(output->file, &parts);
    }
    if (output->to_syslog) {
        mr_log_system_write(type, line, len);
    }
    // A topic tells the time itself. Mosquitto never sends debug messages there: each
    // would cause the next.
    if (output->to_topic && type != MR_LOG_DEBUG) {
        output->topic.write(output->topic.ctx, type, line, len);
    }
}

enum mr_err mr_log_output_open(struct mr_log_output **out, const struct mr_config *config,
                               const struct mr_log_sink *topic, int *os_error) {
    *os_error = 0;
    struct mr_log_output *output = calloc(1, sizeof(*output));
    if (output == NULL) {
        return MR_ERR_NOMEM;
    }
    if (config->log_timestamp_format != NULL) {
        output->format = strdup(config->log_timestamp_format);
        if (output->format == NULL) {
            mr_log_output_close(output);
            return MR_ERR_NOMEM;
        }
    }
    output->timestamp = config->log_timestamp;
    output->to_stdout = config->log_stdout;
    output->to_stderr = config->log_stderr;
    output->to_topic = config->log_topic && topic != NULL;
    if (output->to_topic) {
        output->topic = *topic;
    }
    if (config->log_file != NULL) {
        enum mr_err err = mr_log_file_open(&output->file, config->log_file, os_error);
        if (err != MR_OK) {
            mr_log_output_close(output);
            return err;
        }
    }
    bool to_standard = config->log_stdout || config->log_stderr;
    if (config->log_syslog || (to_standard && !mr_log_standard_exists())) {
        output->to_syslog = true;
        mr_log_system_open();
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
    return output->file == NULL ? MR_OK : mr_log_file_reopen(output->file, os_error);
}

void mr_log_output_detach(struct mr_log_output *output) {
    atomic_store_explicit(&output->detached, true, memory_order_relaxed);
}

void mr_log_output_close(struct mr_log_output *output) {
    if (output == NULL) {
        return;
    }
    mr_log_file_close(output->file);
    if (output->to_syslog) {
        mr_log_system_close();
    }
    free(output->format);
    free(output);
}
