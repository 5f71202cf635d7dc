// Sockets of POSIX systems, for the backends that use them: listening, accepting, names,
// error numbers; and how such a backend is woken and tells the time.
//
// Threads: any; nothing is shared.
#ifndef MILLRACE_IO_SOCKET_H
#define MILLRACE_IO_SOCKET_H

#include "base/base.h"
#include "io/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

// What an errno means for us.
enum mr_err mr_socket_err(int os_error);

// Opens the listening sockets for `address` (non-blocking) in `listener`, and sets its
// port and unix path. Errors: as mr_listener_open(); nothing is left open then.
MR_NODISCARD enum mr_err mr_socket_listen(struct mr_listener *listener,
                                          const struct mr_listen_address *address, int *os_error);

// Closes the listening sockets and removes the unix path.
void mr_socket_listen_end(struct mr_listener *listener);

enum mr_socket_accept {
    MR_SOCKET_ACCEPTED,
    MR_SOCKET_NONE,     // Nobody waits.
    MR_SOCKET_AGAIN,    // This one failed; the next may not.
    MR_SOCKET_STARVED,  // No descriptors or no memory.
};

// Takes one connection from the backlog; it is non-blocking.
MR_NODISCARD enum mr_socket_accept mr_socket_accept(intptr_t listening, intptr_t *out);

void mr_socket_peer_text(intptr_t handle, char out[MR_PEER_TEXT_BYTES]);

// Tells the peer that nothing more will come.
void mr_socket_send_end(intptr_t handle);

// `reset`: what isn't sent yet is dropped instead of waiting in the kernel.
void mr_socket_close(intptr_t handle, bool reset);

// Writes to the eventfd that wakes a loop. Also from a signal handler.
void mr_socket_wake(int event_fd);

// For loop_clock(): monotonic and wall-clock time.
void mr_socket_clock(uint64_t *now_ms, uint64_t *wall_ms);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_SOCKET_H
