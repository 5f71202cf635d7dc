// Backend on Linux's io_uring: receives and accepts that go on by themselves, and one
// io_uring_enter() for all that a turn sends, stops and waits for.
//
// Needs Linux 6.12 (receive buffers that are consumed in parts).
//
// Threads: as io/loop.h; the thread that first waits on a loop is the only one that may run
// it from then on.
#ifndef MILLRACE_IO_URING_URING_H
#define MILLRACE_IO_URING_URING_H

#include "io/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct mr_io_backend mr_io_uring;

// Does this system have what the backend needs, and may we use it? Tries and leaves nothing
// behind. If not, `*why_out` (which may be NULL) is set to a text that lives for ever.
bool mr_io_uring_available(const char **why_out);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_URING_URING_H
