#include "io/fault/state.hh"

// The system's own.
extern "C" int __real_epoll_ctl(int epoll_fd, int operation, int fd, epoll_event *event);

namespace fault {

State &State::Get() {
    static State *state = new State();  // Never freed: descriptors are closed until the end.
    return *state;
}

void State::Start(uint32_t seed, Random random) {
    std::lock_guard<std::mutex> lock(mutex_);
    engine_.seed(seed);
    random_ = random;
    // Some seeds have few faults, between which more happens, some have little else.
    const uint32_t rarities[] = {3, 6, 12, 40};
    rarity_ = rarities[seed % 4];
    count_ = 0;
    for (Plan &plan : plans_) {
        plan = {};
    }
}

void State::SetRandom(Random random) {
    std::lock_guard<std::mutex> lock(mutex_);
    random_ = random;
}

void State::FailNext(Call call, int os_error, int count, int skip) {
    std::lock_guard<std::mutex> lock(mutex_);
    plans_[static_cast<int>(call)] = {os_error, count, skip};
}

int State::FailNextLeft(Call call) {
    std::lock_guard<std::mutex> lock(mutex_);
    return plans_[static_cast<int>(call)].count;
}

uint64_t State::count() {
    std::lock_guard<std::mutex> lock(mutex_);
    return count_;
}

int State::Planned(Call call) {
    std::lock_guard<std::mutex> lock(mutex_);
    Plan &plan = plans_[static_cast<int>(call)];
    if (plan.count == 0) {
        return 0;
    }
    if (plan.skip > 0) {
        plan.skip--;
        return 0;
    }
    plan.count--;
    count_++;
    return plan.os_error;
}

bool State::Chance(uint32_t rarity) {
    return engine_() % rarity == 0;
}

bool State::Soft() {
    std::lock_guard<std::mutex> lock(mutex_);
    return random_ != Random::kNone && Chance(rarity_);
}

bool State::Hard() {
    std::lock_guard<std::mutex> lock(mutex_);
    return random_ == Random::kHard && Chance(kHardRarity);
}

void State::Injected() {
    std::lock_guard<std::mutex> lock(mutex_);
    count_++;
}

size_t State::Pick(size_t below) {
    std::lock_guard<std::mutex> lock(mutex_);
    return engine_() % below;
}

void State::Accepted(int fd) {
    std::lock_guard<std::mutex> lock(mutex_);
    accepted_.insert(fd);
}

bool State::IsAccepted(int fd) {
    std::lock_guard<std::mutex> lock(mutex_);
    return accepted_.count(fd) > 0;
}

bool State::Closed(int fd) {
    std::lock_guard<std::mutex> lock(mutex_);
    watches_.erase(fd);
    return accepted_.erase(fd) > 0;
}

void State::Watched(int fd, int epoll_fd, const epoll_event &event) {
    std::lock_guard<std::mutex> lock(mutex_);
    watches_[fd] = {epoll_fd, event, false};
}

void State::Unwatched(int fd) {
    std::lock_guard<std::mutex> lock(mutex_);
    watches_.erase(fd);
}

void State::OweLocked(Watch *watch) {
    // Level-triggered, the system reports it again by itself.
    if (watch->event.events & EPOLLET) {
        watch->owed = true;
    }
}

void State::Owe(int fd) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = watches_.find(fd);
    if (found != watches_.end()) {
        OweLocked(&found->second);
    }
}

void State::OweAgain(int epoll_fd, const epoll_event &event) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &each : watches_) {
        Watch &watch = each.second;
        if (watch.epoll_fd == epoll_fd && watch.event.data.u64 == event.data.u64) {
            OweLocked(&watch);
        }
    }
}

bool State::PayBack(int epoll_fd) {
    std::lock_guard<std::mutex> lock(mutex_);
    bool left = false;
    for (auto &each : watches_) {
        Watch &watch = each.second;
        if (!watch.owed || watch.epoll_fd != epoll_fd) {
            continue;
        }
        if (random_ == Random::kNone || Chance(2)) {
            // Setting the same again has the system look at the descriptor again. It fails if
            // that was closed where we don't see it.
            (void)__real_epoll_ctl(epoll_fd, EPOLL_CTL_MOD, each.first, &watch.event);
            watch.owed = false;
        } else {
            left = true;
        }
    }
    return left;
}

void Start(uint32_t seed, Random random) {
    State::Get().Start(seed, random);
}

void SetRandom(Random random) {
    State::Get().SetRandom(random);
}

void Stop() {
    State::Get().Start(0, Random::kNone);
}

void FailNext(Call call, int os_error, int count, int skip) {
    State::Get().FailNext(call, os_error, count, skip);
}

int FailNextLeft(Call call) {
    return State::Get().FailNextLeft(call);
}

uint64_t Count() {
    return State::Get().count();
}

}  // namespace fault
