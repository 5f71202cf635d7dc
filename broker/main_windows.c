// Windows has services, and words in letters of its own.
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "broker/cli/paths_windows.h"
#include "broker/cli/service_windows.h"
#include "broker/program.h"

// "*" in an argument is a "*", no list of files.
int _dowildcard = 0;

static const char help[] =
    "\n"
    "A service, as administrator; its options stand behind it:\n"
    "  millrace install [OPTION]...   make it, for each start of the machine\n"
    "  millrace uninstall             take it away\n"
    "A running broker, by its process id:\n"
    "  millrace signal stop|reload|state PID\n";

static int broker(int argc, char *argv[]) {
    return mr_program_run(argc, argv, help);
}

// The arguments as UTF-8, as long as the process lives. NULL: out of memory.
static char **narrow(int argc, wchar_t *wide[]) {
    char **argv = calloc((size_t)argc + 1, sizeof(*argv));
    for (int i = 0; argv != NULL && i < argc; i++) {
        argv[i] = mr_narrow_text(wide[i]);
        if (argv[i] == NULL) {
            return NULL;
        }
    }
    return argv;
}

int wmain(int argc, wchar_t *wide[]);

int wmain(int argc, wchar_t *wide[]) {
    char **argv = narrow(argc, wide);
    if (argv == NULL) {
        fputs("millrace: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    // The console belongs to others, too, who get it back as it was.
    UINT letters = GetConsoleOutputCP();
    (void)SetConsoleOutputCP(CP_UTF8);
    int status;
    if (!mr_service_command(&status, argc, argv, broker)) {
        status = broker(argc, argv);
    }
    if (letters != 0) {
        (void)SetConsoleOutputCP(letters);
    }
    return status;
}
