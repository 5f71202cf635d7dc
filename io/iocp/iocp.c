// The loop: a completion port for each, and packets taken from it in batches.
#include "io/iocp/iocp.h"

#include <stdlib.h>

#include "io/iocp/internal.h"

// How often a loop that closes waits for its last accepts to come to an end, and how long.
#define CLOSE_ROUNDS_MAX 100u
#define CLOSE_WAIT_MS 100u

// Between 1601, when the time of Windows begins, and 1970.
#define EPOCH_OFFSET_MS UINT64_C(11644473600000)

static enum mr_err loop_open(struct mr_loop *loop) {
    WSADATA about;
    int os_error = WSAStartup(MAKEWORD(2, 2), &about);
    if (os_error != 0) {
        return iocp_socket_err(os_error);
    }
    LARGE_INTEGER frequency;
    struct iocp_loop *state = calloc(1, sizeof *state);
    if (state == NULL) {
        WSACleanup();
        return MR_ERR_NOMEM;
    }
    // One thread takes packets from it.
    state->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    if (state->port == NULL) {
        os_error = (int)GetLastError();
        free(state);
        WSACleanup();
        return iocp_socket_err(os_error);
    }
    state->skips = iocp_socket_can_skip();
    QueryPerformanceFrequency(&frequency);
    state->ticks_per_s = (uint64_t)frequency.QuadPart;
    mr_io_core(loop)->backend_data = state;
    return MR_OK;
}

// -------------------------------------------------------------------------------- waiting

static bool packets_take(struct iocp_loop *state, DWORD timeout_ms) {
    if (GetQueuedCompletionStatusEx(state->port, state->entries, IOCP_ENTRIES_MAX,
                                    &state->entry_count, timeout_ms, FALSE)) {
        return true;
    }
    // The count is as it was.
    state->entry_count = 0;
    return GetLastError() == WAIT_TIMEOUT;
}

static enum mr_err loop_wait(struct mr_loop *loop, uint64_t wait_ms) {
    DWORD timeout_ms = INFINITE;
    if (wait_ms != MR_IO_WAIT_FOREVER) {
        timeout_ms = wait_ms > INT32_MAX ? INT32_MAX : (DWORD)wait_ms;
    }
    iocp_count_syscall(loop);
    return packets_take(iocp_loop_of(loop), timeout_ms) ? MR_OK : MR_ERR_IO;
}

static void loop_wake(struct mr_loop *loop) {
    iocp_post(iocp_loop_of(loop)->port, NULL);
}

static void loop_clock(struct mr_loop *loop, uint64_t *now_ms, uint64_t *wall_ms) {
    uint64_t ticks_per_s = iocp_loop_of(loop)->ticks_per_s;
    LARGE_INTEGER ticks;
    FILETIME wall;
    QueryPerformanceCounter(&ticks);
    uint64_t count = (uint64_t)ticks.QuadPart;
    *now_ms = count / ticks_per_s * 1000u + count % ticks_per_s * 1000u / ticks_per_s + 1;
    GetSystemTimePreciseAsFileTime(&wall);
    uint64_t hundred_ns = (uint64_t)wall.dwHighDateTime << 32 | wall.dwLowDateTime;
    *wall_ms = hundred_ns / 10000u - EPOCH_OFFSET_MS;
}

// ------------------------------------------------------------------------------- delivery

static void deliver(OVERLAPPED *overlapped) {
    if (overlapped == NULL) {
        return;  // A wake-up.
    }
    struct iocp_op *op = MR_CONTAINER_OF(overlapped, struct iocp_op, overlapped);
    if (op->kind == IOCP_OP_ACCEPT) {
        iocp_on_accept_complete(op);
    } else {
        iocp_on_stream_complete(op);
    }
}

static void loop_deliver(struct mr_loop *loop) {
    struct iocp_loop *state = iocp_loop_of(loop);
    for (ULONG i = 0; i < state->entry_count; i++) {
        deliver(state->entries[i].lpOverlapped);
    }
    state->entry_count = 0;
}

static void loop_close(struct mr_loop *loop) {
    struct iocp_loop *state = iocp_loop_of(loop);
    // The listeners are closed, and their accepts cancelled.
    for (uint32_t round = 0; state->acceptors != NULL && round < CLOSE_ROUNDS_MAX; round++) {
        (void)packets_take(state, CLOSE_WAIT_MS);
        loop_deliver(loop);
    }
    if (!MR_NEVER(state->acceptors != NULL)) {
        CloseHandle(state->port);
        free(state);
    }
    mr_io_core(loop)->backend_data = NULL;
    WSACleanup();
}

// -------------------------------------------------------------------------------- handles

static void handle_close(struct mr_loop *loop, intptr_t handle) {
    iocp_count_syscall(loop);
    iocp_socket_close((SOCKET)handle, false);
}

static void handle_peer_text(struct mr_loop *loop, intptr_t handle, char out[MR_PEER_TEXT_BYTES]) {
    iocp_count_syscall(loop);
    iocp_socket_peer_text((SOCKET)handle, out);
}

const struct mr_io_backend mr_io_iocp = {
    .name = "iocp",
    .loop_open = loop_open,
    .loop_close = loop_close,
    .loop_wait = loop_wait,
    .loop_deliver = loop_deliver,
    .loop_wake = loop_wake,
    .loop_clock = loop_clock,
    .stream_open = iocp_stream_open,
    .stream_recv = iocp_stream_recv,
    .stream_recv_stop = iocp_stream_recv_stop,
    .stream_send = iocp_stream_send,
    .stream_send_end = iocp_stream_send_end,
    .stream_close = iocp_stream_close,
    .stream_detach = iocp_stream_detach,
    .handle_close = handle_close,
    .handle_peer_text = handle_peer_text,
    .listener_open = iocp_listener_open,
    .listener_update = iocp_listener_update,
    .listener_close = iocp_listener_close,
};
