// What the replacements of system calls share. All functions may be called on any thread.
#ifndef MILLRACE_IO_FAULT_STATE_HH
#define MILLRACE_IO_FAULT_STATE_HH

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "io/fault/fault.hh"

namespace fault {

constexpr int kCallCount = static_cast<int>(Call::kWatch) + 1;
// Among the random faults, so rare are those that end a stream.
constexpr uint32_t kHardRarity = 100;

// What a descriptor is watched for by epoll.
struct Watch {
    int epoll_fd;
    epoll_event event;
    bool owed;  // Something was held back that has to be reported.
};

class State {
 public:
    static State &Get();

    void Start(uint32_t seed, Random random);
    void SetRandom(Random random);
    void FailNext(Call call, int os_error, int count, int skip);
    int FailNextLeft(Call call);
    uint64_t count();

    // The error with which this call fails because a test wants that, or 0.
    int Planned(Call call);
    // Is a random fault due?
    bool Soft();
    bool Hard();
    // Counts one.
    void Injected();
    // 0 to `below` - 1.
    size_t Pick(size_t below);

    void Accepted(int fd);
    bool IsAccepted(int fd);
    // Returns whether it was accepted.
    bool Closed(int fd);

    void Watched(int fd, int epoll_fd, const epoll_event &event);
    void Unwatched(int fd);
    // What waits at `fd` has to be reported, although that has happened before.
    void Owe(int fd);
    // By the event, which may be dropped after this.
    void OweAgain(int epoll_fd, const epoll_event &event);
    // Has the system report some of what is owed. Returns whether some is left.
    bool PayBack(int epoll_fd);

 private:
    struct Plan {
        int os_error = 0;
        int count = 0;
        int skip = 0;
    };

    bool Chance(uint32_t rarity);
    void OweLocked(Watch *watch);

    std::mutex mutex_;
    std::mt19937 engine_;
    Random random_ = Random::kNone;
    uint32_t rarity_ = 8;
    uint64_t count_ = 0;
    Plan plans_[kCallCount];
    std::set<int> accepted_;
    std::map<int, Watch> watches_;  // By descriptor.
};

}  // namespace fault

#endif  // MILLRACE_IO_FAULT_STATE_HH
