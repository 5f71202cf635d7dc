#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "io/wheel.h"

namespace {

constexpr uint64_t kTick = MR_TIMER_TICK_MS;

uint64_t TickOf(uint64_t deadline_ms) {
    return (deadline_ms + kTick - 1) / kTick;
}

struct Timer : public mr_timer {
    explicit Timer(std::function<void(Timer *)> fire = nullptr) : fire(std::move(fire)) {
        mr_timer_init(this, [](mr_timer *timer) {
            Timer *self = static_cast<Timer *>(timer);
            self->fired_count++;
            if (self->fire) {
                self->fire(self);
            }
        });
    }
    std::function<void(Timer *)> fire;
    int fired_count = 0;
};

class WheelTest : public testing::Test {
 protected:
    explicit WheelTest(uint64_t now = 1000) : now_(now) {
        wheel_ = std::make_unique<mr_wheel>();
        mr_wheel_init(wheel_.get(), now_);
    }
    void Start(Timer *timer, uint64_t delay_ms) {
        mr_wheel_start(wheel_.get(), timer, now_, delay_ms);
    }
    uint64_t AdvanceTo(uint64_t now) {
        now_ = now;
        return mr_wheel_advance(wheel_.get(), now_);
    }
    // As the loop does it: from one time at which there is something to do to the next.
    uint64_t StepTo(uint64_t now) {
        uint64_t fired_count = 0;
        uint64_t next = mr_wheel_next_ms(wheel_.get());
        while (next <= now) {
            EXPECT_GT(next, now_ - now_ % kTick);
            fired_count += AdvanceTo(next);
            next = mr_wheel_next_ms(wheel_.get());
        }
        return fired_count + AdvanceTo(now);
    }

    std::unique_ptr<mr_wheel> wheel_;
    uint64_t now_;
};

TEST_F(WheelTest, FiresAtItsTimeOrUpToATickLaterNeverEarly) {
    for (uint64_t delay : {0, 1, 7, 8, 9, 63, 64, 511, 512, 513, 4095, 4096, 100000, 5000000}) {
        uint64_t start = now_;
        uint64_t fired_at = 0;
        Timer timer([&](Timer *) { fired_at = now_; });
        Start(&timer, delay);
        while (timer.fired_count == 0) {
            uint64_t next = mr_wheel_next_ms(wheel_.get());
            ASSERT_NE(MR_WHEEL_NEVER, next);
            AdvanceTo(next);
        }
        EXPECT_GE(fired_at, start + delay);
        EXPECT_LE(fired_at, start + delay + kTick);
        EXPECT_FALSE(mr_timer_started(&timer));
        AdvanceTo(now_ + 3);
    }
    EXPECT_EQ(MR_WHEEL_NEVER, mr_wheel_next_ms(wheel_.get()));
}

TEST_F(WheelTest, LongDelaysOfDaysAndYearsFire) {
    const uint64_t day = 86400000;
    std::vector<uint64_t> order;
    std::vector<std::unique_ptr<Timer>> timers;
    std::vector<uint64_t> delays = {400 * day, 49 * day, day, 30 * day, 3650 * day, 7 * day};
    for (uint64_t delay : delays) {
        timers.push_back(
            std::make_unique<Timer>([&order, delay](Timer *) { order.push_back(delay); }));
        Start(timers.back().get(), delay);
    }
    uint64_t end = now_ + 4000 * day;
    EXPECT_EQ(delays.size(), StepTo(end));
    EXPECT_EQ((std::vector<uint64_t>{day, 7 * day, 30 * day, 49 * day, 400 * day, 3650 * day}),
              order);
}

TEST_F(WheelTest, ADelayBeyondTheWheelIsCut) {
    Timer timer;
    Start(&timer, UINT64_MAX);
    EXPECT_EQ(0u, StepTo(now_ + MR_WHEEL_DELAY_MS_MAX / 2));
    EXPECT_TRUE(mr_timer_started(&timer));
    EXPECT_EQ(1u, StepTo(now_ + MR_WHEEL_DELAY_MS_MAX));
}

TEST_F(WheelTest, TimersOfOneTickFireInTheOrderOfTheirStart) {
    // Started at different distances, so that they come from different levels.
    std::vector<int> order;
    std::vector<std::unique_ptr<Timer>> timers;
    const uint64_t deadline = now_ + 10 * 4096 * kTick;
    for (int i = 0; i < 50; i++) {
        timers.push_back(std::make_unique<Timer>([&order, i](Timer *) { order.push_back(i); }));
        Start(timers.back().get(), deadline - now_);
        AdvanceTo(now_ + (deadline - now_) / 3);
    }
    Timer last([&](Timer *) { order.push_back(50); });
    Start(&last, deadline - now_);
    StepTo(deadline + kTick);
    ASSERT_EQ(51u, order.size());
    for (int i = 0; i <= 50; i++) {
        EXPECT_EQ(i, order[static_cast<size_t>(i)]);
    }
}

TEST_F(WheelTest, AStoppedTimerDoesNotFireAndLeavesNothingToDo) {
    Timer a, b, c;
    Start(&a, 100);
    Start(&b, 100);
    Start(&c, 100000);
    mr_wheel_stop(wheel_.get(), &a);
    mr_wheel_stop(wheel_.get(), &c);
    mr_wheel_stop(wheel_.get(), &c);
    EXPECT_FALSE(mr_timer_started(&a));
    EXPECT_TRUE(mr_timer_started(&b));
    mr_wheel_stop(wheel_.get(), &b);
    EXPECT_EQ(MR_WHEEL_NEVER, mr_wheel_next_ms(wheel_.get()));
    EXPECT_EQ(0u, AdvanceTo(now_ + 1000000));
    EXPECT_EQ(0u, wheel_->timer_count);
}

TEST_F(WheelTest, ACallbackMayStopWhatIsDueAtTheSameTick) {
    Timer *others[3];
    Timer first([&](Timer *) {
        for (Timer *other : others) {
            mr_wheel_stop(wheel_.get(), other);
        }
    });
    Timer second, third, later;
    others[0] = &second;
    others[1] = &third;
    others[2] = &later;
    Start(&first, 50);
    Start(&second, 50);
    Start(&later, 50 + 3 * kTick);
    Start(&third, 50);
    EXPECT_EQ(1u, AdvanceTo(now_ + 1000));
    EXPECT_EQ(0, second.fired_count + third.fired_count + later.fired_count);
}

TEST_F(WheelTest, ACallbackMayRestartItsTimerWithoutEndlessFiring) {
    Timer again([&](Timer *timer) { Start(timer, 0); });
    Start(&again, 0);
    EXPECT_EQ(1u, AdvanceTo(now_ + kTick));
    // The clock jumped: what is due now fires once, not once for each tick missed.
    EXPECT_LE(AdvanceTo(now_ + 1000 * kTick), 2u);
    EXPECT_TRUE(mr_timer_started(&again));
    mr_wheel_stop(wheel_.get(), &again);
}

TEST_F(WheelTest, ACallbackMayFreeItsTimer) {
    auto *timer = new Timer([](Timer *self) { delete self; });
    Start(timer, 20);
    EXPECT_EQ(1u, AdvanceTo(now_ + 100));
}

TEST_F(WheelTest, ATimerMovedForwardAgainAndAgainFiresOnceAtTheLastTime) {
    // What a keep alive timer does: restarted by each packet.
    Timer timer;
    for (int i = 0; i < 10000; i++) {
        Start(&timer, 60000);
        StepTo(now_ + 37);
    }
    EXPECT_EQ(0, timer.fired_count);
    StepTo(now_ + 60000 + kTick);
    EXPECT_EQ(1, timer.fired_count);
}

// The reference: deadlines in a std::multimap, equal ones in the order of their start.
class WheelModelTest : public testing::TestWithParam<uint32_t> {
 protected:
    static constexpr int kTimerCount = 300;

    void OnFire(int index) {
        ASSERT_FALSE(model_.empty());
        // The wheel fires by ticks; within a tick in the order of the starts.
        auto first = model_.begin();
        ASSERT_EQ(first->second, index) << "tick " << first->first.first;
        ASSERT_LE(first->first.first * kTick, now_) << "early";
        ASSERT_FALSE(mr_timer_started(timers_[static_cast<size_t>(index)].get()));
        where_[static_cast<size_t>(index)] = model_.end();
        model_.erase(first);
        if (random_() % 4 == 0) {
            Start(index);
        }
        if (random_() % 4 == 0) {
            Stop(static_cast<int>(random_() % kTimerCount));
        }
        if (random_() % 8 == 0) {
            Start(static_cast<int>(random_() % kTimerCount));
        }
    }

    uint64_t RandomDelay() {
        return random_() & ((UINT64_C(1) << (random_() % 36)) - 1);
    }

    void Start(int index) {
        uint64_t delay = RandomDelay();
        Stop(index);
        mr_wheel_start(&wheel_, timers_[static_cast<size_t>(index)].get(), now_, delay);
        // The tick that the wheel has reached has fired already.
        uint64_t tick = std::max(TickOf(now_ + delay), wheel_.tick + 1);
        where_[static_cast<size_t>(index)] = model_.emplace(std::make_pair(tick, serial_++), index);
    }

    void Stop(int index) {
        auto &where = where_[static_cast<size_t>(index)];
        EXPECT_EQ(where != model_.end(),
                  mr_timer_started(timers_[static_cast<size_t>(index)].get()));
        if (where != model_.end()) {
            model_.erase(where);
            where = model_.end();
        }
        mr_wheel_stop(&wheel_, timers_[static_cast<size_t>(index)].get());
    }

    void Run(int steps) {
        mr_wheel_init(&wheel_, now_);
        where_.assign(kTimerCount, model_.end());
        for (int i = 0; i < kTimerCount; i++) {
            timers_.push_back(std::make_unique<Timer>([this, i](Timer *) { OnFire(i); }));
        }
        for (int step = 0; step < steps && !HasFatalFailure(); step++) {
            for (uint64_t i = random_() % 20; i > 0; i--) {
                int index = static_cast<int>(random_() % kTimerCount);
                random_() % 3 == 0 ? Stop(index) : Start(index);
            }
            uint64_t next = mr_wheel_next_ms(&wheel_);
            if (!model_.empty()) {
                // It may wake up too early to move timers, but never too late.
                ASSERT_LE(next, model_.begin()->first.first * kTick);
                ASSERT_GT(next, wheel_.tick * kTick);
            } else {
                ASSERT_EQ(MR_WHEEL_NEVER, next);
            }
            now_ = random_() % 2 == 0 && next != MR_WHEEL_NEVER ? std::max(next, now_)
                                                                : now_ + RandomDelay();
            mr_wheel_advance(&wheel_, now_);
            ASSERT_TRUE(model_.empty() || model_.begin()->first.first * kTick > now_) << "late";
            ASSERT_EQ(model_.size(), wheel_.timer_count);
        }
        for (int i = 0; i < kTimerCount; i++) {
            Stop(i);
        }
    }

    using Model = std::multimap<std::pair<uint64_t, uint64_t>, int>;
    std::mt19937_64 random_{GetParam()};
    mr_wheel wheel_;
    uint64_t now_ = 12345;
    uint64_t serial_ = 0;
    std::vector<std::unique_ptr<Timer>> timers_;
    Model model_;
    std::vector<Model::iterator> where_;
};

TEST_P(WheelModelTest, RandomOperationsFireAsInTheModel) {
    Run(3000);
}

std::vector<uint32_t> Seeds() {
    std::vector<uint32_t> seeds = {1, 2, 3, 4, 5, 6};
    // MILLRACE_SEED=7 runs one more; each test's name has its seed.
    if (const char *seed = std::getenv("MILLRACE_SEED")) {
        seeds.push_back(static_cast<uint32_t>(std::strtoul(seed, nullptr, 10)));
    }
    return seeds;
}

INSTANTIATE_TEST_SUITE_P(Seeds, WheelModelTest, testing::ValuesIn(Seeds()), [](const auto &info) {
    return std::to_string(info.index) + "_seed" + std::to_string(info.param);
});

}  // namespace
