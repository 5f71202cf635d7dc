// malloc() and its relatives of a program for Windows: mimalloc, as a whole in this one file.
//
// Whatever is linked into the program uses these, libraries of the compiler included; the C
// library's DLL keeps its own heap to itself. Memory of that heap must not come to the program's
// free(), so the functions of the C library that return some are here too, except those that no
// program of ours calls (//tests/windows:windows_test sees to that).
//
// mimalloc keeps the heap of a thread in a variable of the thread. gcc has such variables on
// Windows, but asks malloc() for their memory. So they are one of Windows' own slots for threads
// instead: mimalloc has a place to say so (MI_TLS_SLOT), made for other systems.
#define MI_TLS_SLOT 0  // mimalloc's; which slot it is, TlsAlloc() says.

#include "mimalloc.h"

#include "mimalloc-internal.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <winternl.h>

#if MI_MALLOC_VERSION != 209
#error "Written for the inside of mimalloc 2.0.9."
#endif

// Set by the first malloc(), when there is one thread.
static DWORD slot_index = TLS_OUT_OF_INDEXES;

static inline void *mi_tls_slot(size_t slot) {
    (void)slot;
    // Almost always it is one of these, and then it costs nothing.
    if (slot_index < TLS_MINIMUM_AVAILABLE) {
        return NtCurrentTeb()->TlsSlots[slot_index];
    }
    if (slot_index == TLS_OUT_OF_INDEXES) {
        return NULL;
    }
    DWORD kept = GetLastError();  // malloc() doesn't change it, TlsGetValue() does.
    void *value = TlsGetValue(slot_index);
    SetLastError(kept);
    return value;
}

static inline void mi_tls_slot_set(size_t slot, void *value) {
    (void)slot;
    if (slot_index == TLS_OUT_OF_INDEXES) {
        slot_index = TlsAlloc();
    }
    if (!TlsSetValue(slot_index, value)) {
        abort();  // Without, each malloc() would make a heap.
    }
}

#include "static.c"

// Defines what also code finds that takes `name` for a function of a DLL.
#define STANDS_IN(name) const void *const __imp_##name = (const void *)name

void *malloc(size_t bytes) {
    return mi_malloc(bytes);
}
STANDS_IN(malloc);

void *calloc(size_t count, size_t bytes) {
    return mi_calloc(count, bytes);
}
STANDS_IN(calloc);

void *realloc(void *memory, size_t bytes) {
    return mi_realloc(memory, bytes);
}
STANDS_IN(realloc);

void *_recalloc(void *memory, size_t count, size_t bytes) {
    return mi_recalloc(memory, count, bytes);
}
STANDS_IN(_recalloc);

void free(void *memory) {
    mi_free(memory);
}
STANDS_IN(free);

size_t _msize(void *memory) {
    return mi_usable_size(memory);
}
STANDS_IN(_msize);

// Not mi_malloc_aligned(): in this version it takes blocks of 256, 512 and 1024 bytes for aligned
// to their size, which not all are.
void *_aligned_malloc(size_t bytes, size_t alignment) {
    return mi_malloc_aligned_at(bytes, alignment, 0);
}
STANDS_IN(_aligned_malloc);

void *_aligned_realloc(void *memory, size_t bytes, size_t alignment) {
    return mi_realloc_aligned_at(memory, bytes, alignment, 0);
}
STANDS_IN(_aligned_realloc);

void _aligned_free(void *memory) {
    mi_free(memory);
}
STANDS_IN(_aligned_free);

char *_strdup(const char *text) {
    return mi_strdup(text);
}
STANDS_IN(_strdup);

char *strdup(const char *text) {
    return mi_strdup(text);
}
STANDS_IN(strdup);

wchar_t *_wcsdup(const wchar_t *text) {
    return (wchar_t *)mi_wcsdup((const unsigned short *)text);
}
STANDS_IN(_wcsdup);

wchar_t *wcsdup(const wchar_t *text) {
    return (wchar_t *)mi_wcsdup((const unsigned short *)text);
}
STANDS_IN(wcsdup);
