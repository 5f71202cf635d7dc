// System calls that fail as they may, from a seed: a test program that links this library has
// it between its backend and the system, without a change in either.
//
// What is random is what a caller has to bear so that nobody above notices: receives and sends
// that bring or take less than they could, or nothing yet (EAGAIN), or are interrupted
// (EINTR); connections that are gone when they are accepted (ECONNABORTED); events that come
// late. What was held back is reported later, as the system would report it. Hard faults,
// which end a stream, come only if they are asked for.
//
// Only connections that were accepted have faults, so that a test's own end of them works.
//
// Threads: any.
#ifndef MILLRACE_IO_FAULT_FAULT_HH
#define MILLRACE_IO_FAULT_FAULT_HH

#include <cstdint>

namespace fault {

enum class Call {
    kAccept,
    kClose,  // The descriptor is closed all the same.
    kEpollCreate,
    kEventfd,
    kMap,  // mmap() of a descriptor.
    kRecv,
    kSend,
    kUringEnter,
    kUringRegister,
    kUringSetup,
    kWait,
    kWatch,  // epoll_ctl(EPOLL_CTL_ADD).
};

enum class Random {
    kNone,
    kSoft,  // Nobody above notices.
    kHard,  // And streams end by errors, now and then; attaching fails for lack of memory.
};

// Begins anew. Nothing fails before.
void Start(uint32_t seed, Random random);
void SetRandom(Random random);
// From now on nothing fails.
void Stop();

// After `skip` more of these calls have passed, `count` of them fail with `os_error`.
void FailNext(Call call, int os_error, int count = 1, int skip = 0);

// How many of them are still to fail.
int FailNextLeft(Call call);

// How many calls failed, were cut short or came late, since Start().
uint64_t Count();

}  // namespace fault

#endif  // MILLRACE_IO_FAULT_FAULT_HH
