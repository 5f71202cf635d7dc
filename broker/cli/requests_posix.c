#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/cli/requests.h"

// Blocked in all threads, as those that are made later inherit it.
static sigset_t signals;

enum mr_err mr_requests_open(void) {
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0) {
        return MR_ERR_IO;
    }
    signal(SIGPIPE, SIG_IGN);
    return MR_OK;
}

enum mr_request mr_requests_wait(const char **why) {
    static char text[64];
    for (;;) {
        int signal_number;
        if (sigwait(&signals, &signal_number) != 0) {
            continue;
        }
        (void)snprintf(text, sizeof(text), "signal %s", strsignal(signal_number));
        *why = text;
        return signal_number == SIGHUP    ? MR_REQUEST_RELOAD
               : signal_number == SIGUSR1 ? MR_REQUEST_STATE
                                          : MR_REQUEST_STOP;
    }
}

void mr_requests_ready(void) {
}

void mr_requests_close(void) {
}

void mr_request_post(enum mr_request request, const char *why) {
    (void)why;
    int number = request == MR_REQUEST_RELOAD  ? SIGHUP
                 : request == MR_REQUEST_STATE ? SIGUSR1
                                               : SIGTERM;
    // To the process, not to this thread: the one that waits takes it.
    (void)kill(getpid(), number);
}
