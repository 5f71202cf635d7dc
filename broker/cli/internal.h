// Private to the package.
#ifndef MILLRACE_BROKER_CLI_INTERNAL_H
#define MILLRACE_BROKER_CLI_INTERNAL_H

#include "base/base.h"

// The system's error number of a call on a file.
enum mr_err mr_file_error(int os_error);

#endif  // MILLRACE_BROKER_CLI_INTERNAL_H
