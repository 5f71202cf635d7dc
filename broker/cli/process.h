// What the broker asks of the system beside its input and output: files as a whole,
// places to log to, and the process itself. With requests.h, this is the only place of the
// broker with system calls. Texts are UTF-8 on every system, paths too.
//
// Threads: the process functions before there are others; the rest as said.
#ifndef MILLRACE_BROKER_CLI_PROCESS_H
#define MILLRACE_BROKER_CLI_PROCESS_H

#include "base/base.h"
#include "broker/config/config.h"
#include "broker/log/log.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------- files

#define MR_FILE_BYTES_MAX (64u << 20)  // Of password files: some 400,000 users.

// Reads a whole file: `*text_out` is owned, malloc'ed and NUL-terminated.
// Errors: MR_ERR_NOTFOUND, MR_ERR_ACCESS, MR_ERR_LIMIT (too large), MR_ERR_INVALID (not
// a file), MR_ERR_NOFILES, MR_ERR_NOMEM, MR_ERR_IO.
MR_NODISCARD enum mr_err mr_file_read(const char *path, char **text_out, size_t *len_out);

// The names of a folder's files that end in ".conf" and don't begin with a dot, in
// Mosquitto's order. Errors: as above.
MR_NODISCARD enum mr_err mr_folder_list(const char *folder, char ***names_out, size_t *count_out);

// The above for mr_config_read().
struct mr_config_reader mr_files_reader(void);

// --------------------------------------------------------------------------- the log

struct mr_log_output;  // Opaque.

// Says what is wrong before there is a log: one line on standard error, or in the system's
// log where a process has no standard streams, as services of Windows.
void mr_complain(const char *format, ...) MR_PRINTF(1, 2);

// The places that `config` names: standard output, standard error (as above), a file, syslog
// (on Windows the event log). Lines for `log_dest topic` go to `topic`, which may be NULL. The
// texts of `config` are copied.
// Errors: those of opening the file, for which `*os_error` gets the system's number.
MR_NODISCARD enum mr_err mr_log_output_open(struct mr_log_output **out,
                                            const struct mr_config *config,
                                            const struct mr_log_sink *topic, int *os_error);
// Writes to all places. Any thread; a line of one thread isn't mixed with another's.
struct mr_log_sink mr_log_output_sink(struct mr_log_output *output);
// Opens the log file again, after it was renamed. If that fails the old one stays in use.
MR_NODISCARD enum mr_err mr_log_output_reopen(struct mr_log_output *output, int *os_error);
// No longer writes to standard output and error: the daemon has neither.
void mr_log_output_detach(struct mr_log_output *output);
void mr_log_output_close(struct mr_log_output *output);  // NULL is allowed.

#define MR_TIMESTAMP_BYTES 256
// The time stamp that a line begins with, ": " included: seconds since 1970 if `format` is
// NULL. Returns its length.
size_t mr_timestamp_print(char out[MR_TIMESTAMP_BYTES], const char *format, int64_t now_s);

// ----------------------------------------------------------------------- the process

// Writes the process id to `path`. Doesn't follow a symbolic link. Errors: as of files.
MR_NODISCARD enum mr_err mr_pid_file_write(const char *path, int *os_error);
void mr_pid_file_remove(const char *path);

// If root started the process, it becomes `user`, for good; NULL: "mosquitto" if there is
// such a user, else "nobody"; "root": it stays. Does nothing if it isn't root. A log file
// that is to be reopened and a pid file that is to be removed have to be that user's.
// Errors: MR_ERR_NOTFOUND (no such user), MR_ERR_ACCESS, MR_ERR_UNSUPPORTED (Windows).
MR_NODISCARD enum mr_err mr_process_drop_privileges(const char *user, int *os_error);

// Lifts the number of open files to what the system allows; returns that limit, UINT64_MAX if
// there is none.
uint64_t mr_process_raise_files(void);

// Processors that may be used; at least 1.
uint32_t mr_process_cores(void);
// Memory that the system counts for this process, now and at most so far; 0: unknown.
void mr_process_memory(uint64_t *bytes_out, uint64_t *bytes_max_out);
// Bytes that nobody can foresee. False: the system has none.
MR_NODISCARD bool mr_process_random(void *out, size_t len);

// What an `os_error` of this header or of io means, in words. Returns `out`.
#define MR_OS_ERROR_BYTES 160
const char *mr_os_error_text(int os_error, char out[MR_OS_ERROR_BYTES]);

// Going into the background in two steps, so that the caller's shell sees whether the
// start succeeded: begin() returns in a child only; its parent waits for ready() and exits
// with 0 then, or with the child's status if that ends before. Errors: MR_ERR_NOFILES,
// MR_ERR_NOMEM, MR_ERR_IO, MR_ERR_UNSUPPORTED (Windows, which has services).
struct mr_daemon {
    int fd;  // Private.
};
MR_NODISCARD enum mr_err mr_daemon_begin(struct mr_daemon *out, int *os_error);
// Lets the parent go and parts from its terminal.
void mr_daemon_ready(struct mr_daemon *daemon);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CLI_PROCESS_H
