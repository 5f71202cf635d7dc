// What the world outside asks of a running broker: to stop, to read its files again, to tell
// its state.
//
// POSIX: the signals INT and TERM, HUP, USR1. Windows: Ctrl-C and the like, the service manager,
// and events that are named after the process id (service_windows.h).
//
// Threads: open() and wait() are for the main thread, open() before there are others.
#ifndef MILLRACE_BROKER_CLI_REQUESTS_H
#define MILLRACE_BROKER_CLI_REQUESTS_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mr_request {
    MR_REQUEST_STOP,
    MR_REQUEST_RELOAD,
    MR_REQUEST_STATE,
};

// From now on requests wait instead of ending the process. Once opened, it stays so.
// Errors: MR_ERR_NOMEM, MR_ERR_IO.
MR_NODISCARD enum mr_err mr_requests_open(void);

// The broker serves. Windows' service manager waits for that.
void mr_requests_ready(void);

// Waits for the next one. `*why` gets a static text: who asks.
enum mr_request mr_requests_wait(const char **why);

// The orderly end is over: whoever waits for it (the system may, at the end of a Windows
// session) can go on.
void mr_requests_close(void);

// Asks from within the process, from any thread; `why` is a static text.
void mr_request_post(enum mr_request request, const char *why);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CLI_REQUESTS_H
