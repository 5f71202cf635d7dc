// epoll. (BUILD has the linker put these functions in the system's place, also for libuv.)
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "io/fault/state.hh"

extern "C" {
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __real_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event *event);
int __real_epoll_pwait(int epoll_fd, epoll_event *events, int count, int wait_ms,
                       const sigset_t *mask);
int __wrap_epoll_pwait(int epoll_fd, epoll_event *events, int count, int wait_ms,
                       const sigset_t *mask);
int __wrap_epoll_wait(int epoll_fd, epoll_event *events, int count, int wait_ms);
}

using fault::Call;
using fault::State;

namespace {

int Fail(int os_error) {
    errno = os_error;
    return -1;
}

// libuv tries a descriptor before it has to watch it, with -1 in place of the descriptor. If
// that has gone well it ends the process when it fails later.
bool MayFail(const epoll_event &event) {
    return (event.events & EPOLLET) || event.data.fd == -1;
}

int Add(int epoll_fd, int fd, epoll_event *event) {
    State &state = State::Get();
    if (int os_error = state.Planned(Call::kWatch)) {
        return Fail(os_error);
    }
    if (state.IsAccepted(fd) && MayFail(*event) && state.Hard()) {
        state.Injected();
        return Fail(state.Pick(2) == 0 ? ENOMEM : ENOSPC);
    }
    int result = __real_epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, event);
    if (result == 0) {
        state.Watched(fd, epoll_fd, *event);
    }
    return result;
}

// Drops some events, which the system reports again: at the next opportunity, or when they
// are paid back.
int Delay(int epoll_fd, epoll_event *events, int count) {
    State &state = State::Get();
    epoll_event *end = std::remove_if(events, events + count, [&](const epoll_event &event) {
        if (!state.Soft()) {
            return false;
        }
        state.Injected();
        state.OweAgain(epoll_fd, event);
        return true;
    });
    return static_cast<int>(end - events);
}

}  // namespace

int __wrap_epoll_create1(int flags) {
    int os_error = State::Get().Planned(Call::kEpollCreate);
    return os_error != 0 ? Fail(os_error) : __real_epoll_create1(flags);
}

int __wrap_eventfd(unsigned count, int flags) {
    int os_error = State::Get().Planned(Call::kEventfd);
    return os_error != 0 ? Fail(os_error) : __real_eventfd(count, flags);
}

int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event *event) {
    if (operation == EPOLL_CTL_ADD) {
        return Add(epoll_fd, fd, event);
    }
    int result = __real_epoll_ctl(epoll_fd, operation, fd, event);
    if (operation == EPOLL_CTL_DEL) {
        State::Get().Unwatched(fd);
    } else if (result == 0) {
        State::Get().Watched(fd, epoll_fd, *event);
    }
    return result;
}

int __wrap_epoll_pwait(int epoll_fd, epoll_event *events, int count, int wait_ms,
                       const sigset_t *mask) {
    State &state = State::Get();
    if (int os_error = state.Planned(Call::kWait)) {
        return Fail(os_error);
    }
    if (state.Soft()) {
        state.Injected();
        return Fail(EINTR);
    }
    bool owes = state.PayBack(epoll_fd);
    int ready =
        __real_epoll_pwait(epoll_fd, events, count, owes && wait_ms != 0 ? 1 : wait_ms, mask);
    if (ready > 0) {
        ready = Delay(epoll_fd, events, ready);
    }
    // Who waits for ever never gets nothing.
    return ready == 0 && wait_ms < 0 ? Fail(EINTR) : ready;
}

int __wrap_epoll_wait(int epoll_fd, epoll_event *events, int count, int wait_ms) {
    return __wrap_epoll_pwait(epoll_fd, events, count, wait_ms, nullptr);
}
