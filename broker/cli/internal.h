// The seam to the system: what files_*.c, places_*.c and process_*.c do, each of which exists
// for POSIX systems and for Windows. Private to the package.
//
// `os_error` is the system's own number: errno or that of GetLastError().
#ifndef MILLRACE_BROKER_CLI_INTERNAL_H
#define MILLRACE_BROKER_CLI_INTERNAL_H

#include <time.h>

#include "base/base.h"
#include "broker/config/config.h"

// ---------------------------------------------------------------------------- files

// What the number of a failed call on a file means for us.
enum mr_err mr_file_error(int os_error);

// Calls `fn` with the name of each entry of `folder`, in any order, until it fails; returns
// its error, or that of the system.
MR_NODISCARD enum mr_err mr_folder_each(const char *folder,
                                        enum mr_err (*fn)(void *ctx, const char *name), void *ctx);

// --------------------------------------------------------------- where lines are written

// A line in its parts, so that it needn't be put together for a system that takes parts.
struct mr_log_parts {
    const char *stamp;
    size_t stamp_len;
    const char *line;
    size_t line_len;
};

struct mr_log_file;  // Opaque.

// Opens a file for appending. Errors: those of mr_file_error().
MR_NODISCARD enum mr_err mr_log_file_open(struct mr_log_file **out, const char *path,
                                          int *os_error);
// Goes over to the file that has its path now. On failure the old one stays.
MR_NODISCARD enum mr_err mr_log_file_reopen(struct mr_log_file *file, int *os_error);
// Lines of several threads don't mix, also while another thread reopens.
void mr_log_file_write(struct mr_log_file *file, const struct mr_log_parts *parts);
void mr_log_file_close(struct mr_log_file *file);  // NULL is allowed.

// strftime(), as C17 has it. Returns the length; 0: it doesn't fit, or `format` is wrong.
size_t mr_log_time_print(char *out, size_t size, const char *format, const struct tm *parts);

// Standard output (1) or error (2).
void mr_log_standard_write(int number, const struct mr_log_parts *parts);

// A service of Windows has no standard streams.
bool mr_log_standard_exists(void);

// The system's own log: syslog, or the event log of Windows. One for the process.
void mr_log_system_open(void);
void mr_log_system_write(enum mr_log_type type, const char *line, size_t len);
void mr_log_system_close(void);

#endif  // MILLRACE_BROKER_CLI_INTERNAL_H
