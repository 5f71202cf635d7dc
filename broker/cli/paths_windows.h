// Paths for the functions of Windows that take wide characters: the others know only the
// letters of the machine's language.
#ifndef MILLRACE_BROKER_CLI_PATHS_WINDOWS_H
#define MILLRACE_BROKER_CLI_PATHS_WINDOWS_H

#include <wchar.h>

#include "base/base.h"

// UTF-8 to wide characters; malloc'ed. NULL: out of memory or not UTF-8.
wchar_t *mr_wide_text(const char *text);

// The same for a path, in a form that may be longer than 260 characters.
wchar_t *mr_wide_path(const char *path);

// Back to UTF-8; malloc'ed. NULL: out of memory.
char *mr_narrow_text(const wchar_t *text);

#endif  // MILLRACE_BROKER_CLI_PATHS_WINDOWS_H
