// io_uring. Its completions can't be changed, they are the kernel's; but what is entered may
// fail or be taken in parts, and socket buffers may be so small that sends are cut short. (BUILD
// has the linker put these functions in the system's place.)
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>

#include "io/fault/state.hh"

extern "C" {
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
void *__real_mmap(void *address, size_t len, int access, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t len, int access, int flags, int fd, off_t offset);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
}

using fault::Call;
using fault::State;

namespace {

constexpr int kArgCount = 6;

int Planned(long number) {
    switch (number) {
        case __NR_io_uring_setup:
            return State::Get().Planned(Call::kUringSetup);
        case __NR_io_uring_register:
            return State::Get().Planned(Call::kUringRegister);
        case __NR_io_uring_enter:
            return State::Get().Planned(Call::kUringEnter);
        default:
            return 0;
    }
}

// Its second argument is how many are to be submitted, its third how many to be waited for.
int Enter(long (&args)[kArgCount]) {
    State &state = State::Get();
    if (state.Soft()) {
        state.Injected();
        const int os_errors[] = {EAGAIN, EBUSY, EINTR};
        return os_errors[state.Pick(3)];
    }
    if (args[1] > 0 && state.Soft()) {
        state.Injected();
        args[1] = static_cast<long>(state.Pick(static_cast<size_t>(args[1])));
        args[2] = 0;  // The kernel doesn't wait if it didn't take all.
    }
    return 0;
}

}  // namespace

long __wrap_syscall(long number, ...) {
    // As the system's own does, it takes as many as there may be.
    long args[kArgCount];
    va_list list;
    va_start(list, number);
    for (long &arg : args) {
        arg = va_arg(list, long);
    }
    va_end(list);
    int os_error = Planned(number);
    if (os_error == 0 && number == __NR_io_uring_enter) {
        os_error = Enter(args);
    }
    if (os_error != 0) {
        errno = os_error;
        return -1;
    }
    return __real_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

void *__wrap_mmap(void *address, size_t len, int access, int flags, int fd, off_t offset) {
    int os_error = State::Get().Planned(Call::kMap);
    if (os_error != 0) {
        errno = os_error;
        return MAP_FAILED;
    }
    return __real_mmap(address, len, access, flags, fd, offset);
}

int __wrap_listen(int fd, int backlog) {
    // Accepted sockets inherit it.
    int bytes = 1 << (14 + State::Get().Pick(4));
    if (State::Get().Soft()) {
        State::Get().Injected();
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    return __real_listen(fd, backlog);
}
