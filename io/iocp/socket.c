#include "io/iocp/socket.h"

#include <assert.h>
#include <mswsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>
#include <winternl.h>
#include <ws2tcpip.h>

#define BACKLOG_DEFAULT 4096u
// Two sockets on a port that the system picked for the first: the other may be taken.
#define PORT_ATTEMPTS_MAX 16u

static SRWLOCK shared_lock = SRWLOCK_INIT;
static struct iocp_listening *shared_list;

enum mr_err iocp_socket_err(int os_error) {
    switch (os_error) {
        case 0:
            return MR_OK;
        case ERROR_NOT_ENOUGH_MEMORY:
        case ERROR_OUTOFMEMORY:
        case ERROR_NO_SYSTEM_RESOURCES:
        case WSAENOBUFS:
            return MR_ERR_NOMEM;
        case ERROR_TOO_MANY_OPEN_FILES:
        case WSAEMFILE:
        case WSAEPROCLIM:
            return MR_ERR_NOFILES;
        case ERROR_ACCESS_DENIED:
        case WSAEACCES:
            return MR_ERR_ACCESS;
        case WSAEADDRINUSE:
            return MR_ERR_ADDRINUSE;
        case WSAEADDRNOTAVAIL:
        case WSAHOST_NOT_FOUND:
        case WSATRY_AGAIN:
        case WSANO_DATA:
        case WSANO_RECOVERY:
            return MR_ERR_ADDRNOTAVAIL;
        case WSAEAFNOSUPPORT:
        case WSAEPROTONOSUPPORT:
        case WSAEOPNOTSUPP:
        case WSAVERNOTSUPPORTED:
        case WSASYSNOTREADY:
            return MR_ERR_UNSUPPORTED;
        case ERROR_NETNAME_DELETED:
        case WSAECONNRESET:
        case WSAECONNABORTED:
        case WSAENETRESET:
        case WSAESHUTDOWN:
            return MR_ERR_RESET;
        case WSAETIMEDOUT:
        case WSAEHOSTUNREACH:
        case WSAENETUNREACH:
        case WSAENETDOWN:
            return MR_ERR_TIMEOUT;
        case WSAEINVAL:
            return MR_ERR_INVALID;
        default:
            return MR_ERR_IO;
    }
}

// -------------------------------------------------------------------------------- names

static uint16_t *port_of(SOCKADDR_STORAGE *name) {
    return name->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)name)->sin6_port
                                       : &((struct sockaddr_in *)(void *)name)->sin_port;
}

static bool names_are_equal(const SOCKADDR_STORAGE *a, const SOCKADDR_STORAGE *b) {
    if (a->ss_family != b->ss_family) {
        return false;
    }
    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)(const void *)a;
        const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)(const void *)b;
        return a6->sin6_port == b6->sin6_port && a6->sin6_scope_id == b6->sin6_scope_id &&
               memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) == 0;
    }
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)(const void *)a;
    const struct sockaddr_in *b4 = (const struct sockaddr_in *)(const void *)b;
    return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
}

void iocp_socket_peer_text(SOCKET socket, char out[MR_PEER_TEXT_BYTES]) {
    SOCKADDR_STORAGE name;
    memset(&name, 0, sizeof name);
    int len = sizeof name;
    char text[INET6_ADDRSTRLEN];
    snprintf(out, MR_PEER_TEXT_BYTES, "unknown");
    if (getpeername(socket, (struct sockaddr *)&name, &len) != 0) {
        return;
    }
    unsigned port = ntohs(*port_of(&name));
    if (name.ss_family == AF_INET) {
        struct sockaddr_in *ip4 = (struct sockaddr_in *)(void *)&name;
        if (inet_ntop(AF_INET, &ip4->sin_addr, text, sizeof text) != NULL) {
            snprintf(out, MR_PEER_TEXT_BYTES, "%s:%u", text, port);
        }
    } else if (name.ss_family == AF_INET6) {
        struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)(void *)&name;
        if (inet_ntop(AF_INET6, &ip6->sin6_addr, text, sizeof text) != NULL) {
            snprintf(out, MR_PEER_TEXT_BYTES, "[%s]:%u", text, port);
        }
    }
}

// ------------------------------------------------------------------------------ listening

static int option_set(SOCKET socket, int level, int name, int value) {
    return setsockopt(socket, level, name, (const char *)&value, sizeof value) == 0
               ? 0
               : WSAGetLastError();
}

static SOCKET socket_new(int family) {
    return WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
                      WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

static int bind_and_listen(SOCKET socket, const SOCKADDR_STORAGE *name, int name_len,
                           const struct mr_listen_address *address) {
    // Without this another process could take the port over from us by SO_REUSEADDR.
    int os_error = option_set(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
    // IPv4 has a socket of its own, so that the one never takes the other's port.
    if (os_error == 0 && name->ss_family == AF_INET6) {
        os_error = option_set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (os_error != 0) {
        return os_error;
    }
    uint32_t backlog = address->backlog == 0 ? BACKLOG_DEFAULT : address->backlog;
    if (bind(socket, (const struct sockaddr *)name, name_len) != 0 ||
        listen(socket, backlog > INT32_MAX ? INT32_MAX : (int)backlog) != 0) {
        return WSAGetLastError();
    }
    return 0;
}

static struct iocp_listening *shared_find(const SOCKADDR_STORAGE *name) {
    struct iocp_listening *listening = shared_list;
    while (listening != NULL && !names_are_equal(&listening->name, name)) {
        listening = listening->next;
    }
    return listening;
}

static int listening_new(struct iocp_listening **out, const SOCKADDR_STORAGE *name, int name_len,
                         const struct mr_listen_address *address) {
    struct iocp_listening *listening = calloc(1, sizeof *listening);
    if (listening == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    listening->ref_count = 1;
    listening->shared = address->reuse_port;
    listening->socket = socket_new(name->ss_family);
    int os_error = listening->socket == INVALID_SOCKET ? WSAGetLastError() : 0;
    if (os_error == 0) {
        os_error = bind_and_listen(listening->socket, name, name_len, address);
    }
    int len = sizeof listening->name;
    if (os_error == 0 &&
        getsockname(listening->socket, (struct sockaddr *)&listening->name, &len) != 0) {
        os_error = WSAGetLastError();
    }
    if (os_error != 0) {
        if (listening->socket != INVALID_SOCKET) {
            closesocket(listening->socket);
        }
        free(listening);
        return os_error;
    }
    *out = listening;
    return 0;
}

static int listening_open(struct iocp_listening **out, const SOCKADDR_STORAGE *name, int name_len,
                          const struct mr_listen_address *address) {
    if (!address->reuse_port) {
        return listening_new(out, name, name_len, address);
    }
    int os_error = 0;
    AcquireSRWLockExclusive(&shared_lock);
    struct iocp_listening *there = shared_find(name);
    if (there == NULL) {
        os_error = listening_new(out, name, name_len, address);
        if (os_error == 0) {
            (*out)->next = shared_list;
            shared_list = *out;
        }
    } else if (address->claim) {
        os_error = WSAEADDRINUSE;
    } else {
        there->ref_count++;
        *out = there;
    }
    ReleaseSRWLockExclusive(&shared_lock);
    return os_error;
}

void iocp_listening_unref(struct iocp_listening *listening) {
    bool last = true;
    if (listening->shared) {
        AcquireSRWLockExclusive(&shared_lock);
        last = --listening->ref_count == 0;
        if (last) {
            struct iocp_listening **link = &shared_list;
            while (*link != listening) {
                link = &(*link)->next;
            }
            *link = listening->next;
        }
        ReleaseSRWLockExclusive(&shared_lock);
    }
    if (last) {
        closesocket(listening->socket);
        free(listening);
    }
}

// Opens a socket for each address. That the machine lacks IPv6 (or IPv4) is no error as
// long as one address is left.
static int sockets_open(struct iocp_listening *out[MR_LISTENER_SOCKETS_MAX], uint32_t *count,
                        uint16_t *port, const ADDRINFOA *list,
                        const struct mr_listen_address *address) {
    int missing = WSAEADDRNOTAVAIL;
    int os_error = 0;
    *count = 0;
    *port = address->port;
    for (const ADDRINFOA *info = list; info != NULL && os_error == 0; info = info->ai_next) {
        if (info->ai_family != AF_INET && info->ai_family != AF_INET6) {
            continue;
        }
        if (*count == MR_LISTENER_SOCKETS_MAX) {
            os_error = WSAEINVAL;
            break;
        }
        SOCKADDR_STORAGE name;
        memset(&name, 0, sizeof name);
        memcpy(&name, info->ai_addr, info->ai_addrlen);
        *port_of(&name) = htons(*port);
        os_error = listening_open(&out[*count], &name, (int)info->ai_addrlen, address);
        if (os_error == WSAEAFNOSUPPORT || os_error == WSAEADDRNOTAVAIL) {
            missing = os_error;
            os_error = 0;
        } else if (os_error == 0) {
            *port = ntohs(*port_of(&out[*count]->name));
            *count += 1;
        }
    }
    if (os_error == 0 && *count == 0) {
        os_error = missing;
    }
    while (os_error != 0 && *count > 0) {
        *count -= 1;
        iocp_listening_unref(out[*count]);
    }
    return os_error;
}

enum mr_err iocp_socket_listen(struct iocp_listening *out[MR_LISTENER_SOCKETS_MAX], uint32_t *count,
                               uint16_t *port, const struct mr_listen_address *address,
                               int *os_error) {
    *count = 0;
    if (address->unix_path != NULL || address->bind_interface != NULL) {
        *os_error = WSAEOPNOTSUPP;
        return MR_ERR_UNSUPPORTED;
    }
    ADDRINFOA hints;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = address->family == 4 ? AF_INET : address->family == 6 ? AF_INET6 : AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    // Some number, since without host and service there would be nothing to look up.
    ADDRINFOA *list = NULL;
    *os_error = getaddrinfo(address->host, "0", &hints, &list);
    if (*os_error != 0) {
        return *os_error == WSA_NOT_ENOUGH_MEMORY ? MR_ERR_NOMEM : MR_ERR_ADDRNOTAVAIL;
    }
    for (uint32_t attempt = 0; attempt < PORT_ATTEMPTS_MAX; attempt++) {
        *os_error = sockets_open(out, count, port, list, address);
        if (*os_error != WSAEADDRINUSE || address->port != 0) {
            break;
        }
    }
    freeaddrinfo(list);
    return iocp_socket_err(*os_error);
}

// --------------------------------------------------------------------------- connections

SOCKET iocp_socket_for_accept(const struct iocp_listening *listening) {
    return socket_new(listening->name.ss_family);
}

int iocp_socket_accepted(SOCKET socket, const struct iocp_listening *listening, bool tcp_nodelay) {
    u_long on = 1;
    // Until then it has no peer, and can't be shut down.
    if (setsockopt(socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&listening->socket,
                   sizeof listening->socket) != 0 ||
        ioctlsocket(socket, (long)FIONBIO, &on) != 0) {
        return WSAGetLastError();
    }
    return tcp_nodelay ? option_set(socket, IPPROTO_TCP, TCP_NODELAY, 1) : 0;
}

void iocp_socket_close(SOCKET socket, bool reset) {
    if (reset) {
        LINGER linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(socket, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof linger);
    }
    closesocket(socket);
}

bool iocp_socket_can_skip(void) {
    WSAPROTOCOL_INFOW info;
    int len = sizeof info;
    SOCKET socket = socket_new(AF_INET);
    if (socket == INVALID_SOCKET) {
        return false;
    }
    bool is_system = getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &len) == 0 &&
                     (info.dwServiceFlags1 & XP1_IFS_HANDLES) != 0;
    closesocket(socket);
    return is_system;
}

// NtSetInformationFile(FileReplaceCompletionInformation) without a port; Windows 8.1 and later.
void iocp_socket_leave_port(SOCKET socket) {
    NTSTATUS(NTAPI * set)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, int) = NULL;
    const int replace_completion_information = 61;
    struct {
        HANDLE port;
        PVOID key;
    } none = {NULL, NULL};
    IO_STATUS_BLOCK status;
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    FARPROC found = ntdll == NULL ? NULL : GetProcAddress(ntdll, "NtSetInformationFile");
    static_assert(sizeof set == sizeof found, "both are addresses of functions");
    memcpy(&set, &found, sizeof set);
    if (set != NULL) {
        // If it fails the next owner finds out: see op.c.
        (void)set((HANDLE)socket, &status, &none, sizeof none, replace_completion_information);
    }
}
