// Sockets of Windows: listening, names, error numbers.
//
// Threads: any. Listening sockets that several loops share are counted, under a lock.
#ifndef MILLRACE_IO_IOCP_SOCKET_H
#define MILLRACE_IO_IOCP_SOCKET_H

// This one before windows.h, which else brings its predecessor.
#include <winsock2.h>

#include "base/base.h"
#include "io/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

// A listening socket. With mr_listen_address.reuse_port all loops of this process that listen
// on one address have the same one, since Windows doesn't divide connections among sockets.
struct iocp_listening {
    SOCKET socket;
    bool shared;
    uint32_t ref_count;  // Under the lock, as is what follows.
    SOCKADDR_STORAGE name;
    struct iocp_listening *next;
};

// What an error number of Windows means for us.
enum mr_err iocp_socket_err(int os_error);

// Opens, or shares, a socket for each address that `address` means; `*port` gets its port.
// Each has one reference that the caller owns. Errors: as mr_listener_open(); `*count` is 0 then.
MR_NODISCARD enum mr_err iocp_socket_listen(struct iocp_listening *out[MR_LISTENER_SOCKETS_MAX],
                                            uint32_t *count, uint16_t *port,
                                            const struct mr_listen_address *address, int *os_error);
void iocp_listening_unref(struct iocp_listening *listening);

// Returns a new socket for a connection that `listening` accepts, or INVALID_SOCKET.
SOCKET iocp_socket_for_accept(const struct iocp_listening *listening);
// Makes it one that can be used. Returns 0 or the system's error.
int iocp_socket_accepted(SOCKET socket, const struct iocp_listening *listening, bool tcp_nodelay);

void iocp_socket_peer_text(SOCKET socket, char out[MR_PEER_TEXT_BYTES]);

// `reset`: what isn't sent yet is dropped instead of waiting in the system.
void iocp_socket_close(SOCKET socket, bool reset);

// May operations that succeed at once go without a packet? Not if a layered service provider
// stands between us and the system, whose sockets aren't the system's.
bool iocp_socket_can_skip(void);

// Takes the socket's port away, if this version of Windows can.
void iocp_socket_leave_port(SOCKET socket);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_IOCP_SOCKET_H
