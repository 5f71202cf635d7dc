#include "io/socket.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG_DEFAULT 4096u
// Two sockets on a port that the system picked for the first: the other may be taken.
#define PORT_ATTEMPTS_MAX 16u

static_assert(MR_UNIX_PATH_BYTES >= sizeof(((struct sockaddr_un *)0)->sun_path),
              "a path that fits the system's fits ours");

// For the fallbacks' test, on a system that doesn't need them.
#ifdef MR_SOCKET_PLAIN
#define HAS_SOCKET_FLAGS 0
#elif defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
#define HAS_SOCKET_FLAGS 1
#else
#define HAS_SOCKET_FLAGS 0
#endif

// The name of a socket of whatever family.
union socket_name {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_storage storage;
};

enum mr_err mr_socket_err(int os_error) {
    switch (os_error) {
        case 0:
            return MR_OK;
        case ENOMEM:
        case ENOBUFS:
        case ENOSPC:  // epoll: the user's limit of watches.
            return MR_ERR_NOMEM;
        case EMFILE:
        case ENFILE:
            return MR_ERR_NOFILES;
        case EACCES:
        case EPERM:
            return MR_ERR_ACCESS;
        case EADDRINUSE:
            return MR_ERR_ADDRINUSE;
        case EADDRNOTAVAIL:
        case ENODEV:
        case ENOENT:
        case ENOTDIR:
            return MR_ERR_ADDRNOTAVAIL;
        case EAFNOSUPPORT:
        case EPROTONOSUPPORT:
        case ENOSYS:
        case EOPNOTSUPP:
            return MR_ERR_UNSUPPORTED;
        case ECONNRESET:
        case ECONNABORTED:
        case EPIPE:
            return MR_ERR_RESET;
        case ETIMEDOUT:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ENETDOWN:
            return MR_ERR_TIMEOUT;
        case EINVAL:
        case ENAMETOOLONG:
            return MR_ERR_INVALID;
        default:
            return MR_ERR_IO;
    }
}

// ---------------------------------------------------------------------- sockets

static int option_set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

// Non-blocking sockets that other programs don't inherit: -1 and errno if there is none.
#if HAS_SOCKET_FLAGS

static int socket_open(int family) {
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int connection_accept(int listening) {
    return accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

#else

// A program that is started meanwhile inherits it; there is no way to prevent that.
static int prepared(int fd) {
    if (fd < 0) {
        return -1;
    }
    int os_error = 0;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        os_error = errno;
    }
#ifdef SO_NOSIGPIPE  // For want of MSG_NOSIGNAL.
    if (os_error == 0) {
        os_error = option_set(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
    }
#endif
    if (os_error != 0) {
        close(fd);
        errno = os_error;
        return -1;
    }
    return fd;
}

static int socket_open(int family) {
    return prepared(socket(family, SOCK_STREAM, 0));
}

static int connection_accept(int listening) {
    return prepared(accept(listening, NULL, NULL));
}

#endif

// Returns 0 or the system's error.
static int interface_bind(int fd, const char *name) {
    size_t len = strlen(name);
    if (len >= IFNAMSIZ) {
        return ENODEV;
    }
#ifdef SO_BINDTODEVICE
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)len) == 0 ? 0 : errno;
#else
    (void)fd;
    return EOPNOTSUPP;
#endif
}

// -------------------------------------------------------------------- listening

static int options_set(int fd, int family, const struct mr_listen_address *address) {
    int os_error = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (os_error == 0 && address->reuse_port) {
        os_error = option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    // IPv4 has a socket of its own, so that the one never takes the other's port.
    if (os_error == 0 && family == AF_INET6) {
        os_error = option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    // What is accepted inherits it, which saves a system call for each connection.
    if (os_error == 0 && address->tcp_nodelay) {
        os_error = option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
    if (os_error == 0 && address->bind_interface != NULL) {
        os_error = interface_bind(fd, address->bind_interface);
    }
    return os_error;
}

static int backlog_get(const struct mr_listen_address *address) {
    uint32_t backlog = address->backlog == 0 ? BACKLOG_DEFAULT : address->backlog;
    return backlog > INT32_MAX ? INT32_MAX : (int)backlog;
}

static int bind_and_listen(int fd, const struct sockaddr *name, socklen_t name_len,
                           const struct mr_listen_address *address) {
    if (bind(fd, name, name_len) != 0 || listen(fd, backlog_get(address)) != 0) {
        return errno;
    }
    return 0;
}

static void socket_add(struct mr_listener *listener, int fd) {
    struct mr_listener_socket *entry = &listener->sockets[listener->socket_count++];
    entry->listener = listener;
    entry->handle = fd;
}

static void sockets_close(struct mr_listener *listener) {
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        close((int)listener->sockets[i].handle);
    }
    listener->socket_count = 0;
}

static uint16_t port_of(int fd) {
    union socket_name name;
    memset(&name, 0, sizeof name);
    socklen_t len = sizeof name;
    if (getsockname(fd, &name.any, &len) != 0) {
        return 0;
    }
    return ntohs(name.any.sa_family == AF_INET6 ? name.ip6.sin6_port : name.ip4.sin_port);
}

static void port_set(struct sockaddr *name, uint16_t port) {
    if (name->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)name)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)(void *)name)->sin_port = htons(port);
    }
}

// Does somebody have this address? A socket that is bound but never listens finds out, and no
// connection can get lost in it.
static int address_claim(const struct addrinfo *info) {
    int fd = socket_open(info->ai_family);
    if (fd < 0) {
        return errno;
    }
    struct mr_listen_address alone = {.reuse_port = false};
    int os_error = options_set(fd, info->ai_family, &alone);
    if (os_error == 0 && bind(fd, info->ai_addr, info->ai_addrlen) != 0) {
        os_error = errno;
    }
    close(fd);
    return os_error;
}

static int tcp_socket_open(struct mr_listener *listener, const struct addrinfo *info,
                           const struct mr_listen_address *address) {
    if (listener->socket_count == MR_LISTENER_SOCKETS_MAX) {
        return EINVAL;
    }
    int fd = socket_open(info->ai_family);
    if (fd < 0) {
        return errno;
    }
    int os_error = options_set(fd, info->ai_family, address);
    if (os_error == 0) {
        port_set(info->ai_addr, listener->port);
        if (address->claim && listener->port != 0) {
            os_error = address_claim(info);
        }
    }
    if (os_error == 0) {
        os_error = bind_and_listen(fd, info->ai_addr, info->ai_addrlen, address);
    }
    if (os_error != 0) {
        close(fd);
        return os_error;
    }
    socket_add(listener, fd);
    if (listener->port == 0) {
        listener->port = port_of(fd);
    }
    return 0;
}

// Opens a socket for each address. That the machine lacks IPv6 (or IPv4) is no error as
// long as one address is left.
static int tcp_sockets_open(struct mr_listener *listener, const struct addrinfo *list,
                            const struct mr_listen_address *address) {
    int missing = 0;
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        if (info->ai_family != AF_INET && info->ai_family != AF_INET6) {
            continue;
        }
        int os_error = tcp_socket_open(listener, info, address);
        if (os_error == EAFNOSUPPORT || os_error == EADDRNOTAVAIL) {
            missing = os_error;
        } else if (os_error != 0) {
            sockets_close(listener);
            return os_error;
        }
    }
    if (listener->socket_count > 0) {
        return 0;
    }
    return missing != 0 ? missing : EADDRNOTAVAIL;
}

static enum mr_err tcp_listen(struct mr_listener *listener, const struct mr_listen_address *address,
                              int *os_error) {
    struct addrinfo hints = {
        .ai_family = address->family == 4   ? AF_INET
                     : address->family == 6 ? AF_INET6
                                            : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)address->port);
    struct addrinfo *list = NULL;
    int gai = getaddrinfo(address->host, service, &hints, &list);
    if (gai != 0) {
        *os_error = gai == EAI_SYSTEM ? errno : 0;
        return gai == EAI_MEMORY ? MR_ERR_NOMEM : MR_ERR_ADDRNOTAVAIL;
    }
    int failed = 0;
    for (uint32_t attempt = 0; attempt < PORT_ATTEMPTS_MAX; attempt++) {
        listener->port = address->port;
        failed = tcp_sockets_open(listener, list, address);
        if (failed != EADDRINUSE || address->port != 0) {
            break;
        }
    }
    freeaddrinfo(list);
    *os_error = failed;
    return mr_socket_err(failed);
}

// A path that a process has left behind is in the way, one on which somebody listens is
// somebody's.
static void unix_path_unlink_stale(const struct sockaddr_un *name) {
    struct stat status;
    if (lstat(name->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    int fd = socket_open(AF_UNIX);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *)name, sizeof *name) != 0 && errno == ECONNREFUSED) {
        unlink(name->sun_path);
    }
    close(fd);
}

static enum mr_err unix_listen(struct mr_listener *listener,
                               const struct mr_listen_address *address, int *os_error) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t len = strlen(address->unix_path);
    if (len == 0 || len >= sizeof name.sun_path) {
        *os_error = ENAMETOOLONG;
        return MR_ERR_INVALID;
    }
    memcpy(name.sun_path, address->unix_path, len + 1);
    unix_path_unlink_stale(&name);
    int fd = socket_open(AF_UNIX);
    if (fd < 0) {
        *os_error = errno;
        return mr_socket_err(errno);
    }
    *os_error =
        bind_and_listen(fd, (const struct sockaddr *)&name, (socklen_t)sizeof name, address);
    if (*os_error != 0) {
        close(fd);
        return mr_socket_err(*os_error);
    }
    memcpy(listener->unix_path, address->unix_path, len + 1);
    socket_add(listener, fd);
    return MR_OK;
}

enum mr_err mr_socket_listen(struct mr_listener *listener, const struct mr_listen_address *address,
                             int *os_error) {
    *os_error = 0;
    listener->socket_count = 0;
    if (address->unix_path != NULL) {
        return unix_listen(listener, address, os_error);
    }
    return tcp_listen(listener, address, os_error);
}

void mr_socket_listen_end(struct mr_listener *listener) {
    sockets_close(listener);
    if (listener->unix_path[0] != '\0') {
        unlink(listener->unix_path);
        listener->unix_path[0] = '\0';
    }
}

// --------------------------------------------------------------------- connections

enum mr_socket_accept mr_socket_accept(intptr_t listening, intptr_t *out) {
    int fd = connection_accept((int)listening);
    if (fd >= 0) {
        *out = fd;
        return MR_SOCKET_ACCEPTED;
    }
    switch (errno) {
        case EAGAIN:
            return MR_SOCKET_NONE;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            return MR_SOCKET_STARVED;
        default:
            // Linux reports errors of the new connection here: it is gone already.
            return MR_SOCKET_AGAIN;
    }
}

void mr_socket_peer_text(intptr_t handle, char out[MR_PEER_TEXT_BYTES]) {
    union socket_name name;
    memset(&name, 0, sizeof name);
    socklen_t len = sizeof name;
    char text[INET6_ADDRSTRLEN];
    snprintf(out, MR_PEER_TEXT_BYTES, "unknown");
    if (getpeername((int)handle, &name.any, &len) != 0) {
        return;
    }
    if (name.any.sa_family == AF_UNIX) {
        snprintf(out, MR_PEER_TEXT_BYTES, "unix");
    } else if (name.any.sa_family == AF_INET) {
        if (inet_ntop(AF_INET, &name.ip4.sin_addr, text, sizeof text) != NULL) {
            snprintf(out, MR_PEER_TEXT_BYTES, "%s:%u", text, (unsigned)ntohs(name.ip4.sin_port));
        }
    } else if (name.any.sa_family == AF_INET6) {
        if (inet_ntop(AF_INET6, &name.ip6.sin6_addr, text, sizeof text) != NULL) {
            snprintf(out, MR_PEER_TEXT_BYTES, "[%s]:%u", text, (unsigned)ntohs(name.ip6.sin6_port));
        }
    }
}

void mr_socket_send_end(intptr_t handle) {
    // It fails only if the connection has gone, which receiving reports.
    (void)shutdown((int)handle, SHUT_WR);
}

void mr_socket_close(intptr_t handle, bool reset) {
    if (reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt((int)handle, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close((int)handle);
}

// ------------------------------------------------------------------ waking and time

void mr_socket_wake(int event_fd) {
    int saved = errno;  // It may be called from a signal handler.
    uint64_t one = 1;
    // It fails only if the counter is full, and then the loop is being woken anyway.
    ssize_t written = write(event_fd, &one, sizeof one);
    (void)written;
    errno = saved;
}

static uint64_t clock_ms(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000u + (uint64_t)time.tv_nsec / 1000000u;
}

void mr_socket_clock(uint64_t *now_ms, uint64_t *wall_ms) {
    *now_ms = clock_ms(CLOCK_MONOTONIC) + 1;
    *wall_ms = clock_ms(CLOCK_REALTIME);
}
