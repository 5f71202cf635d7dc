// Receiving, sending, accepting, closing. (BUILD has the linker put these functions in the
// system's place.)
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <vector>

#include "io/fault/state.hh"

extern "C" {
ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);
ssize_t __real_sendmsg(int fd, const msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const msghdr *message, int flags);
int __real_accept4(int fd, sockaddr *name, socklen_t *len, int flags);
int __wrap_accept4(int fd, sockaddr *name, socklen_t *len, int flags);
int __real_close(int fd);
int __wrap_close(int fd);
}

using fault::Call;
using fault::State;

namespace {

ssize_t Fail(int os_error) {
    errno = os_error;
    return -1;
}

template <size_t count>
int PickError(const int (&os_errors)[count]) {
    State::Get().Injected();
    return os_errors[State::Get().Pick(count)];
}

// Once the peer has ended or reset the connection, all that it sent is there.
bool HasEnded(int fd) {
    pollfd which = {fd, POLLRDHUP, 0};
    return poll(&which, 1, 0) > 0;
}

// Who sends on a connection that was reset is told so, and doesn't have to wait.
bool IsDead(int fd) {
    pollfd which = {fd, 0, 0};
    return poll(&which, 1, 0) > 0;
}

// A few bytes or many of `len`, at least one.
size_t Part(size_t len) {
    State &state = State::Get();
    return 1 + state.Pick(state.Pick(2) == 0 ? std::min<size_t>(len, 16) : len);
}

size_t SumOf(const msghdr *message) {
    size_t sum = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        sum += message->msg_iov[i].iov_len;
    }
    return sum;
}

ssize_t SendPart(int fd, const msghdr *message, int flags, size_t len) {
    std::vector<iovec> pieces;
    size_t left = len;
    for (size_t i = 0; left > 0; i++) {
        iovec piece = message->msg_iov[i];
        piece.iov_len = std::min(piece.iov_len, left);
        left -= piece.iov_len;
        pieces.push_back(piece);
    }
    msghdr part = *message;
    part.msg_iov = pieces.data();
    part.msg_iovlen = pieces.size();
    return __real_sendmsg(fd, &part, flags);
}

}  // namespace

ssize_t __wrap_recv(int fd, void *data, size_t len, int flags) {
    State &state = State::Get();
    if (!state.IsAccepted(fd)) {
        return __real_recv(fd, data, len, flags);
    }
    if (int os_error = state.Planned(Call::kRecv)) {
        return Fail(os_error);
    }
    if (state.Soft()) {
        return Fail(PickError({EINTR}));
    }
    if (state.Soft() && !HasEnded(fd)) {
        state.Owe(fd);
        return Fail(PickError({EAGAIN}));
    }
    if (state.Hard()) {
        return Fail(PickError({ECONNRESET, ENOBUFS, ENOMEM, ETIMEDOUT}));
    }
    size_t part = len > 1 && state.Soft() ? Part(len - 1) : len;
    ssize_t got = __real_recv(fd, data, part, flags);
    if (part < len && got == static_cast<ssize_t>(part)) {
        state.Injected();
        state.Owe(fd);
    }
    return got;
}

ssize_t __wrap_sendmsg(int fd, const msghdr *message, int flags) {
    State &state = State::Get();
    if (!state.IsAccepted(fd)) {
        return __real_sendmsg(fd, message, flags);
    }
    if (int os_error = state.Planned(Call::kSend)) {
        return Fail(os_error);
    }
    if (state.Soft()) {
        return Fail(PickError({EINTR}));
    }
    if (state.Soft() && !IsDead(fd)) {
        state.Owe(fd);
        return Fail(PickError({EAGAIN}));
    }
    if (state.Hard()) {
        return Fail(PickError({ECONNRESET, EHOSTUNREACH, ENOBUFS, ENOMEM, EPIPE, ETIMEDOUT}));
    }
    size_t len = SumOf(message);
    if (len < 2 || !state.Soft()) {
        return __real_sendmsg(fd, message, flags);
    }
    size_t part = Part(len - 1);
    ssize_t taken = SendPart(fd, message, flags, part);
    if (taken == static_cast<ssize_t>(part)) {
        state.Injected();
        state.Owe(fd);
    }
    return taken;
}

int __wrap_accept4(int fd, sockaddr *name, socklen_t *len, int flags) {
    State &state = State::Get();
    if (int os_error = state.Planned(Call::kAccept)) {
        return static_cast<int>(Fail(os_error));
    }
    if (state.Soft()) {
        state.Owe(fd);
        return static_cast<int>(Fail(PickError({EAGAIN, ECONNABORTED, EINTR, EPERM, EPROTO})));
    }
    int accepted = __real_accept4(fd, name, len, flags);
    if (accepted >= 0) {
        state.Accepted(accepted);
    }
    return accepted;
}

int __wrap_close(int fd) {
    State &state = State::Get();
    // Before, because afterwards it may be somebody else's.
    bool accepted = state.Closed(fd);
    int result = __real_close(fd);
    if (accepted && result == 0) {
        if (int os_error = state.Planned(Call::kClose)) {
            return static_cast<int>(Fail(os_error));
        }
        if (state.Soft()) {
            return static_cast<int>(Fail(PickError({EINTR, EIO})));
        }
    }
    return result;
}
