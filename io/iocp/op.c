// Overlapped operations, and bells: how an operation completes at a port that its socket isn't
// associated with.
//
// A socket is associated with one port for good (or until NtSetInformationFile takes it away).
// Where that is the wrong one, an operation is started with an event whose lowest bit is set:
// then the system signals the event and leaves the port alone. The system's thread pool waits
// for the event and posts the packet to the right port: one for each signal, which is one for
// each operation that was started.
#include <stdlib.h>

#include "io/iocp/internal.h"

// The system lacks memory for a packet: what was to be posted mustn't get lost.
#define POST_RETRY_MS 1u

struct iocp_bell {
    HANDLE event;
    HANDLE wait;
    HANDLE port;
    OVERLAPPED *overlapped;
};

void iocp_post(HANDLE port, OVERLAPPED *overlapped) {
    while (!PostQueuedCompletionStatus(port, 0, 0, overlapped)) {
        Sleep(POST_RETRY_MS);
    }
}

static VOID CALLBACK on_ring(PVOID context, BOOLEAN timed_out) {
    const struct iocp_bell *bell = context;
    (void)timed_out;
    iocp_post(bell->port, bell->overlapped);
}

void iocp_op_init(struct iocp_op *op, enum iocp_op_kind kind, void *whose) {
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->whose = whose;
}

int iocp_op_bell_open(struct iocp_op *op, HANDLE port) {
    struct iocp_bell *bell = calloc(1, sizeof *bell);
    if (bell == NULL) {
        return WSA_NOT_ENOUGH_MEMORY;
    }
    bell->port = port;
    bell->overlapped = &op->overlapped;
    bell->event = CreateEventW(NULL, FALSE, FALSE, NULL);
    DWORD os_error = bell->event == NULL ? GetLastError() : 0;
    if (os_error == 0 && !RegisterWaitForSingleObject(&bell->wait, bell->event, on_ring, bell,
                                                      INFINITE, WT_EXECUTEINWAITTHREAD)) {
        os_error = GetLastError();
        CloseHandle(bell->event);
    }
    if (os_error != 0) {
        free(bell);
        return (int)os_error;
    }
    op->bell = bell;
    return 0;
}

void iocp_op_fini(struct iocp_op *op) {
    struct iocp_bell *bell = op->bell;
    MR_ASSERT(!op->in_kernel);
    if (bell == NULL) {
        return;
    }
    // Waits for on_ring(), which may still be returning.
    (void)UnregisterWaitEx(bell->wait, INVALID_HANDLE_VALUE);
    CloseHandle(bell->event);
    free(bell);
    op->bell = NULL;
}

OVERLAPPED *iocp_op_begin(struct iocp_op *op) {
    MR_DEBUG_ASSERT(!op->in_kernel);
    memset(&op->overlapped, 0, sizeof op->overlapped);
    if (op->bell != NULL) {
        op->overlapped.hEvent = (HANDLE)((ULONG_PTR)op->bell->event | 1u);
    }
    return &op->overlapped;
}

void iocp_op_cancel(struct iocp_op *op, SOCKET socket) {
    // It fails if the completion is under way already.
    (void)CancelIoEx((HANDLE)socket, &op->overlapped);
}

int iocp_op_end(struct iocp_op *op, SOCKET socket, DWORD *len) {
    DWORD flags;
    *len = 0;
    op->in_kernel = false;
    if (WSAGetOverlappedResult(socket, &op->overlapped, len, FALSE, &flags)) {
        return 0;
    }
    return WSAGetLastError();
}
