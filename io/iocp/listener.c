// Listeners: several AcceptEx for each socket, each with a socket for the connection to come.
//
// The life of an accept: it is idle; it is wanted (mr_io_accept_wanted()), gets a socket and is
// started; it completes with a connection, is reported and idle again; or with an error (the
// peer has gone already, or it was cancelled), and its socket is closed. Pausing and closing
// cancel those that are under way; one that brings a connection nevertheless is reported, or
// closed if its listener is. An acceptor outlives its listener until the last of them has ended.
//
// Only when not a single accept could be started the listener is starved: as long as one is
// under way, its completion is the occasion to start the others.
#include <stdlib.h>

#include "io/iocp/internal.h"

#define ACCEPTS_MAX 32u
// Of a socket that other loops share. Each has a bell, and they take turns.
#define ACCEPTS_SHARED 8u
// That many peers that have gone already are no reason to give up.
#define START_ATTEMPTS_MAX 8u
// What AcceptEx wants for each of the two addresses.
#define NAME_BYTES (sizeof(SOCKADDR_STORAGE) + 16u)

struct iocp_accept {
    struct iocp_op op;
    struct iocp_acceptor *acceptor;
    SOCKET accepted;
    uint8_t names[2 * NAME_BYTES];
};

struct iocp_acceptor {
    struct mr_loop *loop;
    struct mr_listener *listener;  // NULL: closed.
    struct iocp_listening *listening;
    struct iocp_acceptor *next;
    LPFN_ACCEPTEX accept_ex;
    bool tcp_nodelay;
    uint32_t accept_count;
    uint32_t in_kernel_count;
    struct iocp_accept accepts[ACCEPTS_MAX];
};

static bool is_wanted(const struct iocp_acceptor *acceptor) {
    return acceptor->listener != NULL && mr_io_accept_wanted(acceptor->listener);
}

static void accepted_close(struct iocp_accept *accept) {
    if (accept->accepted != INVALID_SOCKET) {
        iocp_count_syscall(accept->acceptor->loop);
        closesocket(accept->accepted);
        accept->accepted = INVALID_SOCKET;
    }
}

static bool accept_start(struct iocp_accept *accept) {
    struct iocp_acceptor *acceptor = accept->acceptor;
    iocp_count_syscall(acceptor->loop);
    accept->accepted = iocp_socket_for_accept(acceptor->listening);
    if (accept->accepted == INVALID_SOCKET) {
        return false;
    }
    for (uint32_t attempt = 0; attempt < START_ATTEMPTS_MAX; attempt++) {
        DWORD len = 0;
        iocp_count_syscall(acceptor->loop);
        // A success completes at the port, too.
        if (acceptor->accept_ex(acceptor->listening->socket, accept->accepted, accept->names, 0,
                                NAME_BYTES, NAME_BYTES, &len, iocp_op_begin(&accept->op)) ||
            WSAGetLastError() == WSA_IO_PENDING) {
            accept->op.in_kernel = true;
            acceptor->in_kernel_count++;
            return true;
        }
        if (WSAGetLastError() != WSAECONNRESET) {
            break;
        }
    }
    accepted_close(accept);
    return false;
}

static void accepts_cancel(struct iocp_acceptor *acceptor) {
    for (uint32_t i = 0; i < acceptor->accept_count; i++) {
        if (acceptor->accepts[i].op.in_kernel) {
            iocp_count_syscall(acceptor->loop);
            iocp_op_cancel(&acceptor->accepts[i].op, acceptor->listening->socket);
        }
    }
}

// Returns false if not a single one is under way.
static bool accepts_start(struct iocp_acceptor *acceptor) {
    for (uint32_t i = 0; i < acceptor->accept_count; i++) {
        struct iocp_accept *accept = &acceptor->accepts[i];
        if (!accept->op.in_kernel && !accept_start(accept)) {
            break;
        }
    }
    return acceptor->in_kernel_count > 0;
}

static void update(struct iocp_acceptor *acceptor) {
    if (!is_wanted(acceptor)) {
        accepts_cancel(acceptor);
    } else if (!accepts_start(acceptor)) {
        mr_io_on_accept_starved(acceptor->listener);
    }
}

// ------------------------------------------------------------------------- its own life

static void acceptor_free(struct iocp_acceptor *acceptor) {
    struct iocp_acceptor **link = &iocp_loop_of(acceptor->loop)->acceptors;
    while (*link != acceptor) {
        link = &(*link)->next;
    }
    *link = acceptor->next;
    for (uint32_t i = 0; i < acceptor->accept_count; i++) {
        accepted_close(&acceptor->accepts[i]);
        iocp_op_fini(&acceptor->accepts[i].op);
    }
    iocp_listening_unref(acceptor->listening);
    free(acceptor);
}

static void acceptor_cut(struct iocp_acceptor *acceptor) {
    acceptor->listener = NULL;
    accepts_cancel(acceptor);
    if (acceptor->in_kernel_count == 0) {
        acceptor_free(acceptor);
    }
}

void iocp_on_accept_complete(struct iocp_op *op) {
    struct iocp_accept *accept = op->whose;
    struct iocp_acceptor *acceptor = accept->acceptor;
    DWORD len;
    int os_error = iocp_op_end(op, acceptor->listening->socket, &len);
    if (os_error == 0 && acceptor->listener != NULL) {
        iocp_count_syscall(acceptor->loop);
        os_error =
            iocp_socket_accepted(accept->accepted, acceptor->listening, acceptor->tcp_nodelay);
        if (os_error == 0) {
            SOCKET accepted = accept->accepted;
            accept->accepted = INVALID_SOCKET;
            mr_io_on_accepted(acceptor->listener, (intptr_t)accepted);
        }
    }
    accepted_close(accept);
    // Only now, since who is called may close the listener.
    acceptor->in_kernel_count--;
    if (acceptor->listener == NULL && acceptor->in_kernel_count == 0) {
        acceptor_free(acceptor);
    } else if (is_wanted(acceptor)) {
        update(acceptor);
    }
}

static int accept_ex_get(struct iocp_acceptor *acceptor) {
    GUID guid = WSAID_ACCEPTEX;
    DWORD len = 0;
    return WSAIoctl(acceptor->listening->socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid,
                    sizeof guid, &acceptor->accept_ex, sizeof acceptor->accept_ex, &len, NULL,
                    NULL) == 0
               ? 0
               : WSAGetLastError();
}

// Where its accepts complete.
static int acceptor_connect(struct iocp_acceptor *acceptor) {
    HANDLE port = iocp_loop_of(acceptor->loop)->port;
    int os_error = accept_ex_get(acceptor);
    if (os_error != 0) {
        return os_error;
    }
    // What is started on a socket without a port ends with the thread that started it; so one that
    // is shared has the port of the first, although nothing completes there.
    HANDLE same = CreateIoCompletionPort((HANDLE)acceptor->listening->socket, port, 0, 0);
    if (!acceptor->listening->shared) {
        return same != NULL ? 0 : (int)GetLastError();
    }
    for (uint32_t i = 0; i < acceptor->accept_count && os_error == 0; i++) {
        os_error = iocp_op_bell_open(&acceptor->accepts[i].op, port);
    }
    return os_error;
}

// Takes the reference to `listening`, also if it fails.
static int acceptor_new(struct mr_listener *listener, struct iocp_listening *listening,
                        bool tcp_nodelay) {
    struct iocp_loop *state = iocp_loop_of(listener->loop);
    struct iocp_acceptor *acceptor = calloc(1, sizeof *acceptor);
    if (acceptor == NULL) {
        iocp_listening_unref(listening);
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    acceptor->loop = listener->loop;
    acceptor->listener = listener;
    acceptor->listening = listening;
    acceptor->tcp_nodelay = tcp_nodelay;
    acceptor->accept_count = listening->shared ? ACCEPTS_SHARED : ACCEPTS_MAX;
    for (uint32_t i = 0; i < acceptor->accept_count; i++) {
        struct iocp_accept *accept = &acceptor->accepts[i];
        iocp_op_init(&accept->op, IOCP_OP_ACCEPT, accept);
        accept->acceptor = acceptor;
        accept->accepted = INVALID_SOCKET;
    }
    acceptor->next = state->acceptors;
    state->acceptors = acceptor;
    int os_error = acceptor_connect(acceptor);
    if (os_error != 0) {
        acceptor_free(acceptor);
        return os_error;
    }
    struct mr_listener_socket *entry = &listener->sockets[listener->socket_count++];
    entry->listener = listener;
    entry->handle = (intptr_t)listening->socket;
    entry->backend_data = acceptor;
    return 0;
}

// -------------------------------------------------------------------- for the front end

static void acceptors_cut(struct mr_listener *listener) {
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        acceptor_cut(listener->sockets[i].backend_data);
    }
    listener->socket_count = 0;
}

enum mr_err iocp_listener_open(struct mr_listener *listener,
                               const struct mr_listen_address *address, int *os_error) {
    struct iocp_listening *listening[MR_LISTENER_SOCKETS_MAX];
    uint32_t count = 0;
    listener->socket_count = 0;
    enum mr_err err = iocp_socket_listen(listening, &count, &listener->port, address, os_error);
    if (err != MR_OK) {
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (*os_error == 0) {
            *os_error = acceptor_new(listener, listening[i], address->tcp_nodelay);
        } else {
            iocp_listening_unref(listening[i]);
        }
    }
    for (uint32_t i = 0; i < listener->socket_count && *os_error == 0; i++) {
        if (!accepts_start(listener->sockets[i].backend_data)) {
            *os_error = WSAEMFILE;
        }
    }
    if (*os_error != 0) {
        acceptors_cut(listener);
    }
    return iocp_socket_err(*os_error);
}

void iocp_listener_update(struct mr_listener *listener) {
    for (uint32_t i = 0; i < listener->socket_count; i++) {
        update(listener->sockets[i].backend_data);
    }
}

void iocp_listener_close(struct mr_listener *listener) {
    acceptors_cut(listener);
    mr_io_on_listener_closed(listener);
}
