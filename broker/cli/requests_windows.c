// Requests on Windows: console events, named events, and mr_request_post() for the service
// manager. Whoever asks sets an event; mr_requests_wait() waits for all of them.
#include <stdio.h>
#include <windows.h>

#include "broker/cli/requests.h"
#include "broker/cli/service_windows.h"

enum event {
    POSTED_STOP,
    POSTED_RELOAD,
    POSTED_STATE,
    NAMED_STOP,
    NAMED_RELOAD,
    NAMED_STATE,
    MOSQUITTO_STOP,
    MOSQUITTO_RELOAD,
    EVENT_COUNT,
};

// How long the end may take at most: Windows itself ends a process five seconds after its
// console was closed.
#define END_MS_MAX 30000u

struct kind {
    enum mr_request request;
    const wchar_t *name;  // With the process id; NULL: known to this process only.
    const char *why;
};

static const struct kind kinds[EVENT_COUNT] = {
    [POSTED_STOP] = {MR_REQUEST_STOP, NULL, NULL},
    [POSTED_RELOAD] = {MR_REQUEST_RELOAD, NULL, NULL},
    [POSTED_STATE] = {MR_REQUEST_STATE, NULL, NULL},
    [NAMED_STOP] = {MR_REQUEST_STOP, L"millrace%lu_stop", "event stop"},
    [NAMED_RELOAD] = {MR_REQUEST_RELOAD, L"millrace%lu_reload", "event reload"},
    [NAMED_STATE] = {MR_REQUEST_STATE, L"millrace%lu_state", "event state"},
    // Scripts that ask Mosquitto go on working.
    [MOSQUITTO_STOP] = {MR_REQUEST_STOP, L"mosq%lu_shutdown", "event shutdown"},
    [MOSQUITTO_RELOAD] = {MR_REQUEST_RELOAD, L"mosq%lu_reload", "event reload"},
};

static HANDLE events[EVENT_COUNT];
static HANDLE ended;  // The orderly end is over.
static const char *volatile posted_why = "request";

static void name_of(wchar_t out[64], const struct kind *kind, uint32_t pid) {
    (void)swprintf(out, 64, kind->name, (unsigned long)pid);
}

// Called by Windows on a thread that it makes.
static BOOL WINAPI on_console_event(DWORD type) {
    switch (type) {
        case CTRL_C_EVENT:
            mr_request_post(MR_REQUEST_STOP, "Ctrl-C");
            return TRUE;
        case CTRL_BREAK_EVENT:
            mr_request_post(MR_REQUEST_STOP, "Ctrl-Break");
            return TRUE;
        case CTRL_LOGOFF_EVENT:
            // Comes to services, when anybody logs off: handled, by going on. What comes after
            // FALSE is the system's handler, which ends the process.
            return TRUE;
        default:
            mr_request_post(MR_REQUEST_STOP, "the end of its console");
            // When this returns the process is ended.
            (void)WaitForSingleObject(ended, END_MS_MAX);
            return TRUE;
    }
}

enum mr_err mr_requests_open(void) {
    if (ended != NULL) {
        return MR_OK;  // A service does it before its options are read.
    }
    ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (ended == NULL) {
        return MR_ERR_NOMEM;
    }
    for (int i = 0; i < EVENT_COUNT; i++) {
        wchar_t name[64];
        if (kinds[i].name != NULL) {
            name_of(name, &kinds[i], GetCurrentProcessId());
        }
        events[i] = CreateEventW(NULL, FALSE, FALSE, kinds[i].name != NULL ? name : NULL);
        if (events[i] != NULL && GetLastError() == ERROR_ALREADY_EXISTS) {
            // Somebody else made it, who might be anybody: go without.
            CloseHandle(events[i]);
            events[i] = CreateEventW(NULL, FALSE, FALSE, NULL);
        }
        if (events[i] == NULL) {
            return MR_ERR_NOMEM;
        }
    }
    return SetConsoleCtrlHandler(on_console_event, TRUE) ? MR_OK : MR_ERR_IO;
}

enum mr_request mr_requests_wait(const char **why) {
    DWORD which = WaitForMultipleObjects(EVENT_COUNT, events, FALSE, INFINITE);
    if (which >= WAIT_OBJECT_0 + EVENT_COUNT) {
        *why = "a failure to wait";
        return MR_REQUEST_STOP;
    }
    const struct kind *kind = &kinds[which - WAIT_OBJECT_0];
    *why = kind->why != NULL ? kind->why : posted_why;
    return kind->request;
}

void mr_requests_close(void) {
    SetEvent(ended);
}

void mr_request_post(enum mr_request request, const char *why) {
    posted_why = why;
    SetEvent(events[request]);
}

enum mr_err mr_request_send(enum mr_request request, uint32_t pid) {
    wchar_t name[64];
    name_of(name, &kinds[NAMED_STOP + (int)request], pid);
    HANDLE event = OpenEventW(EVENT_MODIFY_STATE, FALSE, name);
    if (event == NULL) {
        return GetLastError() == ERROR_ACCESS_DENIED ? MR_ERR_ACCESS : MR_ERR_NOTFOUND;
    }
    BOOL set = SetEvent(event);
    CloseHandle(event);
    return set ? MR_OK : MR_ERR_IO;
}
