// console_event.exe PID EVENT: what Windows does when Ctrl-Break is pressed (1), a console closed
// (2), a user logs off (5) or the machine is shut down (6). It makes a thread in the process, which
// begins in the function that calls the process's handlers.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define WAIT_MS_MAX 60000u

static int fail(const char *what) {
    fprintf(stderr, "console_event: %s: error %lu\n", what, GetLastError());
    return EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
    if (argc != 3) {
        fprintf(stderr, "usage: console_event PID EVENT\n");
        return EXIT_FAILURE;
    }
    DWORD pid = strtoul(argv[1], NULL, 10);
    uintptr_t event = strtoul(argv[2], NULL, 10);
    // A DLL of the system is at the same place in every process.
    FARPROC start = GetProcAddress(GetModuleHandleW(L"kernelbase"), "CtrlRoutine");
    if (start == NULL) {
        return fail("CtrlRoutine");
    }
    HANDLE process = OpenProcess(PROCESS_CREATE_THREAD | PROCESS_QUERY_INFORMATION |
                                     PROCESS_VM_OPERATION | PROCESS_VM_READ | PROCESS_VM_WRITE,
                                 FALSE, pid);
    if (process == NULL) {
        return fail("OpenProcess");
    }
    HANDLE thread = CreateRemoteThread(process, NULL, 0, (LPTHREAD_START_ROUTINE)(uintptr_t)start,
                                       (void *)event, 0, NULL);
    if (thread == NULL) {
        return fail("CreateRemoteThread");
    }
    if (WaitForSingleObject(thread, WAIT_MS_MAX) != WAIT_OBJECT_0) {
        return fail("the handler doesn't return");
    }
    CloseHandle(thread);
    CloseHandle(process);
    return EXIT_SUCCESS;
}
