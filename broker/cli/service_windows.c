// The service manager of Windows: installing, uninstalling, and being run by it.
#include "broker/cli/service_windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "broker/cli/event_ids.h"
#include "broker/cli/paths_windows.h"
#include "broker/cli/process.h"

#define SERVICE_NAME L"millrace"
#define SERVICE_TITLE L"Millrace MQTT broker"
#define EVENT_LOG_KEY L"SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\millrace"
// CreateProcess() takes no longer command line.
#define COMMAND_CHARS_MAX 32767u
// How long the start and the end of a service may take before the manager gives it up.
#define WAIT_HINT_MS 30000u

static int fail(const char *what, DWORD os_error) {
    char text[MR_OS_ERROR_BYTES];
    fprintf(stderr, "millrace: %s: %s.\n", what, mr_os_error_text((int)os_error, text));
    return EXIT_FAILURE;
}

// ------------------------------------------------------------------- the command line

struct command {
    wchar_t text[COMMAND_CHARS_MAX + 1];
    size_t len;
    bool full;
};

static void add(struct command *command, wchar_t c, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (command->len == COMMAND_CHARS_MAX) {
            command->full = true;
            return;
        }
        command->text[command->len++] = c;
    }
    command->text[command->len] = L'\0';
}

// In the quotes that CommandLineToArgvW() takes off again: a backslash is itself, unless a
// quote comes behind it.
static void add_word(struct command *command, const wchar_t *word) {
    size_t backslashes = 0;
    if (command->len > 0) {
        add(command, L' ', 1);
    }
    add(command, L'"', 1);
    for (; *word != L'\0'; word++) {
        if (*word == L'\\') {
            backslashes++;
            continue;
        }
        add(command, L'\\', *word == L'"' ? backslashes * 2 + 1 : backslashes);
        add(command, *word, 1);
        backslashes = 0;
    }
    add(command, L'\\', backslashes * 2);
    add(command, L'"', 1);
}

// A service starts in Windows' own folder, so a file that is named from here must be named
// in full.
static bool add_option(struct command *command, const char *word, bool is_path) {
    wchar_t full[MAX_PATH];
    wchar_t *wide = mr_wide_text(word);
    if (wide == NULL) {
        return false;
    }
    DWORD len = is_path ? GetFullPathNameW(wide, MAX_PATH, full, NULL) : 0;
    add_word(command, len > 0 && len < MAX_PATH ? full : wide);
    free(wide);
    return true;
}

// "program.exe" "run" and the options that `install` was given.
static bool make_command(struct command *command, const wchar_t *program, int argc, char *argv[]) {
    add_word(command, program);
    add_word(command, L"run");
    for (int i = 2; i < argc; i++) {
        bool is_path = strcmp(argv[i - 1], "-c") == 0 || strcmp(argv[i - 1], "--config-file") == 0;
        if (!add_option(command, argv[i], is_path)) {
            return false;
        }
    }
    return !command->full;
}

// ----------------------------------------------------------- installing, uninstalling

// So that the event viewer finds the text of our message: it is in the program itself.
static void register_event_source(const wchar_t *program) {
    HKEY key;
    DWORD types = EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE;
    if (RegCreateKeyExW(HKEY_LOCAL_MACHINE, EVENT_LOG_KEY, 0, NULL, 0, KEY_SET_VALUE, NULL, &key,
                        NULL) != ERROR_SUCCESS) {
        return;  // Lines are still shown, with a note about the missing text.
    }
    DWORD size = (DWORD)((wcslen(program) + 1) * sizeof(*program));
    (void)RegSetValueExW(key, L"EventMessageFile", 0, REG_SZ, (const BYTE *)program, size);
    (void)RegSetValueExW(key, L"TypesSupported", 0, REG_DWORD, (const BYTE *)&types, sizeof(types));
    RegCloseKey(key);
}

static int create_service(const wchar_t *program, const wchar_t *command) {
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CREATE_SERVICE);
    if (manager == NULL) {
        return fail("can't reach the service manager", GetLastError());
    }
    SC_HANDLE service = CreateServiceW(manager, SERVICE_NAME, SERVICE_TITLE, SERVICE_CHANGE_CONFIG,
                                       SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                                       SERVICE_ERROR_NORMAL, command, NULL, NULL, NULL, NULL, NULL);
    DWORD os_error = GetLastError();
    CloseServiceHandle(manager);
    if (service == NULL) {
        return fail("can't install the service", os_error);
    }
    wchar_t text[] = L"Passes messages on between MQTT clients.";
    SERVICE_DESCRIPTIONW description = {text};
    (void)ChangeServiceConfig2W(service, SERVICE_CONFIG_DESCRIPTION, &description);
    CloseServiceHandle(service);
    register_event_source(program);
    printf("The service %ls starts with the machine; now: sc start %ls\n", SERVICE_NAME,
           SERVICE_NAME);
    return EXIT_SUCCESS;
}

static int install(int argc, char *argv[]) {
    wchar_t program[MAX_PATH];
    DWORD len = GetModuleFileNameW(NULL, program, MAX_PATH);
    if (len == 0 || len == MAX_PATH) {
        return fail("the path of this program", ERROR_FILENAME_EXCED_RANGE);
    }
    struct command *command = calloc(1, sizeof(*command));
    int status = command != NULL && make_command(command, program, argc, argv)
                     ? create_service(program, command->text)
                     : fail("can't make the service's command line", ERROR_NOT_ENOUGH_MEMORY);
    free(command);
    return status;
}

static int uninstall(void) {
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    if (manager == NULL) {
        return fail("can't reach the service manager", GetLastError());
    }
    SC_HANDLE service = OpenServiceW(manager, SERVICE_NAME, SERVICE_STOP | DELETE);
    DWORD os_error = GetLastError();
    int status = EXIT_FAILURE;
    if (service != NULL) {
        SERVICE_STATUS before;
        // It may not run. While it ends it is marked, and then taken away.
        (void)ControlService(service, SERVICE_CONTROL_STOP, &before);
        status = DeleteService(service) ? EXIT_SUCCESS : EXIT_FAILURE;
        os_error = GetLastError();
        CloseServiceHandle(service);
    }
    CloseServiceHandle(manager);
    if (status != EXIT_SUCCESS) {
        return fail("can't uninstall the service", os_error);
    }
    (void)RegDeleteKeyW(HKEY_LOCAL_MACHINE, EVENT_LOG_KEY);
    return EXIT_SUCCESS;
}

// -------------------------------------------------------------------- being a service

// One for the process; the manager calls functions that get no context.
static struct {
    SERVICE_STATUS_HANDLE handle;
    int (*broker)(int, char *[]);
    int argc;
    char **argv;
    int status;
} self;

static void tell(DWORD state, DWORD controls, int status) {
    SERVICE_STATUS now = {
        .dwServiceType = SERVICE_WIN32_OWN_PROCESS,
        .dwCurrentState = state,
        .dwControlsAccepted = controls,
        .dwWin32ExitCode = status == EXIT_SUCCESS ? NO_ERROR : ERROR_SERVICE_SPECIFIC_ERROR,
        .dwServiceSpecificExitCode = (DWORD)status,
        .dwWaitHint = controls == 0 && state != SERVICE_STOPPED ? WAIT_HINT_MS : 0,
    };
    if (self.handle != NULL) {
        (void)SetServiceStatus(self.handle, &now);
    }
}

void mr_requests_ready(void) {
    tell(SERVICE_RUNNING,
         SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE, 0);
}

static DWORD WINAPI on_control(DWORD control, DWORD type, void *data, void *ctx) {
    (void)type;
    (void)data;
    (void)ctx;
    switch (control) {
        case SERVICE_CONTROL_STOP:
        case SERVICE_CONTROL_SHUTDOWN:
            tell(SERVICE_STOP_PENDING, 0, 0);
            mr_request_post(MR_REQUEST_STOP, "the service manager's request");
            return NO_ERROR;
        case SERVICE_CONTROL_PARAMCHANGE:
            mr_request_post(MR_REQUEST_RELOAD, "the service manager's request");
            return NO_ERROR;
        case SERVICE_CONTROL_INTERROGATE:
            return NO_ERROR;
        default:
            return ERROR_CALL_NOT_IMPLEMENTED;
    }
}

static void WINAPI service_main(DWORD argc, wchar_t **argv) {
    (void)argc;
    (void)argv;
    static wchar_t name[] = SERVICE_NAME;
    // Controls may come at once, so what they set must be there.
    enum mr_err err = mr_requests_open();
    self.handle = RegisterServiceCtrlHandlerExW(name, on_control, NULL);
    tell(SERVICE_START_PENDING, 0, 0);
    self.status = err == MR_OK ? self.broker(self.argc, self.argv) : EXIT_FAILURE;
    tell(SERVICE_STOPPED, 0, self.status);
}

// As in Mosquitto: a service without -c has its file in this folder, if the variable is set.
static char *default_config(void) {
    static char path[1024];
    const wchar_t *wide = _wgetenv(L"MOSQUITTO_DIR");
    char *folder = wide == NULL ? NULL : mr_narrow_text(wide);
    int len = folder == NULL ? 0 : snprintf(path, sizeof(path), "%s\\mosquitto.conf", folder);
    free(folder);
    return len > 0 && (size_t)len < sizeof(path) ? path : NULL;
}

static int run(int argc, char *argv[], int (*broker)(int, char *[])) {
    static wchar_t name[] = SERVICE_NAME;
    static char option[] = "-c";
    static char *with_config[4];
    self.broker = broker;
    self.argv = argv;
    self.argc = argc - 1;
    memmove(&argv[1], &argv[2], (size_t)(argc - 1) * sizeof(*argv));
    char *config = argc == 2 ? default_config() : NULL;
    if (config != NULL) {
        with_config[0] = argv[0];
        with_config[1] = option;
        with_config[2] = config;
        self.argv = with_config;
        self.argc = 3;
    }
    const SERVICE_TABLE_ENTRYW table[] = {{name, service_main}, {NULL, NULL}};
    if (!StartServiceCtrlDispatcherW(table)) {
        return fail("'run' is for the service manager; to install the service: install",
                    GetLastError());
    }
    return self.status;
}

// ----------------------------------------------------------------------- one broker to another

static int send_request(int argc, char *argv[]) {
    static const char *const words[] = {"stop", "reload", "state"};
    char *end = NULL;
    unsigned long pid = argc == 4 ? strtoul(argv[3], &end, 10) : 0;
    for (int i = 0; argc == 4 && i < (int)MR_ARRAY_COUNT(words); i++) {
        if (strcmp(argv[2], words[i]) == 0 && *argv[3] != '\0' && *end == '\0') {
            enum mr_err err = mr_request_send((enum mr_request)i, (uint32_t)pid);
            if (err != MR_OK) {
                fprintf(stderr, "millrace: no broker with process id %s: %s\n", argv[3],
                        mr_err_text(err));
            }
            return err == MR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    fprintf(stderr, "millrace: expected signal stop|reload|state PID\n");
    return EXIT_FAILURE;
}

bool mr_service_command(int *status, int argc, char *argv[], int (*broker)(int, char *[])) {
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "install") == 0) {
        *status = install(argc, argv);
    } else if (strcmp(word, "uninstall") == 0 && argc == 2) {
        *status = uninstall();
    } else if (strcmp(word, "run") == 0) {
        *status = run(argc, argv, broker);
    } else if (strcmp(word, "signal") == 0) {
        *status = send_request(argc, argv);
    } else {
        return false;
    }
    return true;
}
