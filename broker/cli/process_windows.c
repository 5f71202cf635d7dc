#include <stdio.h>
#include <stdlib.h>
// Before what needs it.
#include <windows.h>
// After it.
#include <bcrypt.h>
#include <psapi.h>

#include "broker/cli/internal.h"
#include "broker/cli/paths_windows.h"
#include "broker/cli/process.h"

// ------------------------------------------------------------------------- pid file

static HANDLE create(const char *path) {
    wchar_t *wide = mr_wide_path(path);
    if (wide == NULL) {
        return INVALID_HANDLE_VALUE;
    }
    // A link that somebody has put there is replaced, not followed.
    HANDLE file = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                              CREATE_ALWAYS, FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    free(wide);
    return file;
}

enum mr_err mr_pid_file_write(const char *path, int *os_error) {
    char text[32];
    DWORD written = 0;
    int len = snprintf(text, sizeof(text), "%lu\n", (unsigned long)GetCurrentProcessId());
    HANDLE file = create(path);
    *os_error = 0;
    if (file == INVALID_HANDLE_VALUE) {
        *os_error = (int)GetLastError();
        return mr_file_error(*os_error);
    }
    enum mr_err err = MR_OK;
    if (!WriteFile(file, text, (DWORD)len, &written, NULL) || written != (DWORD)len) {
        *os_error = (int)GetLastError();
        err = MR_ERR_IO;
    }
    CloseHandle(file);
    return err;
}

void mr_pid_file_remove(const char *path) {
    wchar_t *wide = mr_wide_path(path);
    if (wide != NULL) {
        // Nothing can be done if it isn't allowed; the next start overwrites it.
        (void)DeleteFileW(wide);
        free(wide);
    }
}

// ---------------------------------------------------------------------- the process

enum mr_err mr_process_drop_privileges(const char *user, int *os_error) {
    // The account is the service's; a process can't go over to another.
    *os_error = 0;
    return user == NULL || strcmp(user, "root") == 0 ? MR_OK : MR_ERR_UNSUPPORTED;
}

uint64_t mr_process_raise_files(void) {
    return UINT64_MAX;  // Memory alone limits the number of handles.
}

uint32_t mr_process_cores(void) {
    DWORD cores = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return cores > 0 ? (uint32_t)cores : 1;
}

void mr_process_memory(uint64_t *bytes_out, uint64_t *bytes_max_out) {
    PROCESS_MEMORY_COUNTERS counters = {.cb = sizeof(counters)};
    bool known = GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof(counters));
    *bytes_out = known ? counters.WorkingSetSize : 0;
    *bytes_max_out = known ? counters.PeakWorkingSetSize : 0;
}

bool mr_process_random(void *out, size_t len) {
    return len <= UINT32_MAX &&
           BCryptGenRandom(NULL, out, (ULONG)len, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}

const char *mr_os_error_text(int os_error, char out[MR_OS_ERROR_BYTES]) {
    wchar_t wide[MR_OS_ERROR_BYTES];
    DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
    DWORD len = FormatMessageW(flags, NULL, (DWORD)os_error, 0, wide, MR_ARRAY_COUNT(wide), NULL);
    while (len > 0 && (wide[len - 1] <= L' ' || wide[len - 1] == L'.')) {
        len--;
    }
    int size = len > 0 ? WideCharToMultiByte(CP_UTF8, 0, wide, (int)len, out, MR_OS_ERROR_BYTES - 1,
                                             NULL, NULL)
                       : 0;
    if (size > 0) {
        out[size] = '\0';
    } else {
        (void)snprintf(out, MR_OS_ERROR_BYTES, "error %d", os_error);
    }
    return out;
}

// ----------------------------------------------------------------------- background

enum mr_err mr_daemon_begin(struct mr_daemon *out, int *os_error) {
    out->fd = -1;
    *os_error = ERROR_NOT_SUPPORTED;
    return MR_ERR_UNSUPPORTED;
}

void mr_daemon_ready(struct mr_daemon *daemon) {
    (void)daemon;
}
