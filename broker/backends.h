// The one place that names the ways of input and output; backends_*.c are those of a system.
#ifndef MILLRACE_BROKER_BACKENDS_H
#define MILLRACE_BROKER_BACKENDS_H

struct mr_io_backend;

// The backend that `name` (of io_backend) means, or what stands in for it, which the log then
// tells. NULL: this system doesn't have it, which the log tells, too.
const struct mr_io_backend *mr_backend_choose(const char *name);

#endif  // MILLRACE_BROKER_BACKENDS_H
