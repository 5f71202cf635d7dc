#include "broker/cli/paths_windows.h"

#include <stdlib.h>
#include <windows.h>

wchar_t *mr_wide_text(const char *text) {
    int size = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = size > 0 ? malloc((size_t)size * sizeof(*wide)) : NULL;
    if (wide != NULL) {
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, size);
    }
    return wide;
}

wchar_t *mr_wide_path(const char *path) {
    static const wchar_t prefix[] = L"\\\\?\\";
    wchar_t *wide = mr_wide_text(path);
    // Short paths stay as they are, so that CON and the like mean what they always do. A path to
    // another machine would need another prefix: such long ones aren't supported.
    if (wide == NULL || wcslen(wide) < MAX_PATH - 12 || wcsncmp(wide, L"\\\\", 2) == 0) {
        return wide;
    }
    DWORD size = GetFullPathNameW(wide, 0, NULL, NULL);
    wchar_t *full = size > 0 ? malloc((size + MR_ARRAY_COUNT(prefix)) * sizeof(*full)) : NULL;
    if (full != NULL) {
        memcpy(full, prefix, sizeof(prefix));
        GetFullPathNameW(wide, size, full + MR_ARRAY_COUNT(prefix) - 1, NULL);
    }
    free(wide);
    return full;
}

char *mr_narrow_text(const wchar_t *text) {
    int size = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *narrow = size > 0 ? malloc((size_t)size) : NULL;
    if (narrow != NULL) {
        WideCharToMultiByte(CP_UTF8, 0, text, -1, narrow, size, NULL, NULL);
    }
    return narrow;
}
