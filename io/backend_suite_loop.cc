// The loop itself: the order of a turn, timers, wakes; and listeners.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "io/backend_suite.h"

namespace {

struct Timer : public mr_timer {
    explicit Timer(std::function<void(Timer *)> fire) : fire(std::move(fire)) {
        mr_timer_init(this, [](mr_timer *timer) {
            Timer *self = static_cast<Timer *>(timer);
            self->fire(self);
        });
    }
    std::function<void(Timer *)> fire;
};

}  // namespace

// ------------------------------------------------------------------------------ turns

TEST_P(BackendTest, WhileItIsBusyALoopDoesntWait) {
    options_.busy_poll_ms = 400;
    Pair pair = MakePair();
    SendAll(pair.peer.get(), "x");
    RunUntil([&] { return pair.conn->received == "x"; });
    uint64_t start_ms = mr_loop_now_ms(loop());
    // Had it slept in one of these, nothing would have ended that soon.
    for (int i = 0; i < 50 && mr_loop_now_ms(loop()) < start_ms + 300; i++) {
        Turn(60 * 1000);
    }
    EXPECT_LT(mr_loop_now_ms(loop()), start_ms + 60 * 1000);
    // Without anything to do it waits again: for as long as it may.
    backend_->PassTime(options_.busy_poll_ms + 10);
    Turn();
    uint64_t waited_ms = 0;
    for (int i = 0; i < 5 && waited_ms < 10; i++) {
        uint64_t before_ms = mr_loop_now_ms(loop());
        Turn(20);
        waited_ms = mr_loop_now_ms(loop()) - before_ms;
    }
    EXPECT_GE(waited_ms, 10u);  // Clocks may be coarse.
}

TEST_P(BackendTest, ATurnHasItsOrder) {
    if (!backend_->IsPrompt()) {
        GTEST_SKIP() << "the bytes may miss this turn";
    }
    struct Ctx {
        std::string order;
        mr_loop *loop;
        uint64_t send_count;
    };
    // What options_.ctx points to is used until TearDown() has ended, here and below.
    static Ctx ctx;
    ctx = {};
    options_.ctx = &ctx;
    options_.on_wake = [](void *c) { static_cast<Ctx *>(c)->order += " wake"; };
    options_.on_turn_end = [](void *c) {
        auto *self = static_cast<Ctx *>(c);
        struct mr_loop_stats stats;
        mr_loop_stats(self->loop, &stats);
        self->send_count = stats.send_count;
        self->order += " turn_end";
        return false;
    };
    ctx.loop = loop();
    Pair pair = MakePair();
    pair.conn->on_recv = [&](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        ctx.order += " recv";
        conn->Write(Pattern(2000));
        mr_loop_wake(loop());
        return data.len;
    };
    Timer timer([&](Timer *) { ctx.order += " timer"; });
    Turn();
    ctx.order.clear();
    mr_timer_start(loop(), &timer, 0);
    EXPECT_EQ(1u, pair.peer->Send("x"));
    backend_->PassTime(2 * MR_TIMER_TICK_MS);
    Turn();
    EXPECT_EQ(" recv timer wake turn_end", ctx.order);
    EXPECT_EQ(0u, ctx.send_count) << "sending is the last";
    EXPECT_EQ(1u, Stats().send_count);
}

TEST_P(BackendTest, ATurnThatReportsMoreWorkIsFollowedByOneThatDoesNotWait) {
    struct Ctx {
        int count;
    };
    static Ctx ctx;
    ctx = {};
    options_.ctx = &ctx;
    options_.on_turn_end = [](void *c) { return ++static_cast<Ctx *>(c)->count < 5; };
    // Would it wait, this test would take until its time-out.
    Turn(0);
    for (int i = 0; i < 4; i++) {
        Turn(UINT32_MAX);
    }
    EXPECT_EQ(5, ctx.count);
}

TEST_P(BackendTest, WhatOnCloseBringsUpIsSeenByATurnEndWithoutWaiting) {
    struct Ctx {
        bool brought_up;
        bool seen;
    };
    static Ctx ctx;
    ctx = {};
    options_.ctx = &ctx;
    options_.on_turn_end = [](void *c) {
        auto *self = static_cast<Ctx *>(c);
        self->seen = self->brought_up;
        return false;
    };
    Pair pair = MakePair();
    pair.conn->on_close = [](Conn *) { ctx.brought_up = true; };
    mr_stream_close(pair.conn, MR_CLOSE_ABORT, 0);
    RunUntil([&] { return pair.conn->closed(); });
    if (!ctx.seen) {
        Turn(UINT32_MAX);
    }
    EXPECT_TRUE(ctx.seen);
}

TEST_P(BackendTest, RunReturnsAfterTheTurnThatStopsIt) {
    int fired_count = 0;
    Timer timer([&](Timer *) {
        fired_count++;
        mr_loop_stop(loop());
    });
    for (int i = 1; i <= 3; i++) {
        mr_timer_start(loop(), &timer, 1);
        EXPECT_EQ(MR_OK, mr_loop_run(loop()));
        EXPECT_EQ(i, fired_count);
    }
}

TEST_P(BackendTest, TheClockGoesForwardOnly) {
    uint64_t before = mr_loop_now_ms(loop());
    EXPECT_GT(before, 0u);
    for (int i = 0; i < 5; i++) {
        Turn(1);
        EXPECT_GE(mr_loop_now_ms(loop()), before);
        before = mr_loop_now_ms(loop());
    }
    EXPECT_GT(mr_loop_wall_ms(loop()), 0u);
    EXPECT_STRNE("", mr_loop_backend_name(loop()));
}

// ----------------------------------------------------------------------------- timers

TEST_P(BackendTest, TimersFireInOrderAndNotEarly) {
    std::vector<uint64_t> order;
    std::vector<std::unique_ptr<Timer>> timers;
    uint64_t start = mr_loop_now_ms(loop());
    for (uint64_t delay : {40u, 0u, 80u, 20u, 60u}) {
        timers.push_back(std::make_unique<Timer>([&, delay](Timer *) {
            order.push_back(delay);
            EXPECT_GE(mr_loop_now_ms(loop()), start + delay);
        }));
        mr_timer_start(loop(), timers.back().get(), delay);
    }
    RunUntil([&] { return order.size() == 5; });
    EXPECT_EQ((std::vector<uint64_t>{0, 20, 40, 60, 80}), order);
}

TEST_P(BackendTest, ThousandsOfTimersOfWhichHalfAreStopped) {
    int fired_count = 0;
    std::vector<std::unique_ptr<Timer>> timers;
    for (uint64_t i = 0; i < 10000; i++) {
        timers.push_back(std::make_unique<Timer>([&](Timer *) { fired_count++; }));
        mr_timer_start(loop(), timers.back().get(), i % 100);
    }
    for (size_t i = 0; i < timers.size(); i += 2) {
        mr_timer_stop(loop(), timers[i].get());
        mr_timer_stop(loop(), timers[i].get());
    }
    RunUntil([&] { return fired_count == 5000; });
    for (int i = 0; i < 20; i++) {
        Turn(10);
    }
    EXPECT_EQ(5000, fired_count);
}

TEST_P(BackendTest, ATimerMayBeRestartedAndOthersStoppedWhileFiring) {
    int restarted_count = 0;
    bool stopped_fired = false;
    Timer stopped([&](Timer *) { stopped_fired = true; });
    Timer timer([&](Timer *self) {
        mr_timer_stop(loop(), &stopped);
        if (++restarted_count < 5) {
            mr_timer_start(loop(), self, 0);
        }
    });
    mr_timer_start(loop(), &timer, 1);
    mr_timer_start(loop(), &stopped, 1);
    RunUntil([&] { return restarted_count == 5; });
    Turn(10);
    EXPECT_FALSE(stopped_fired);
    EXPECT_FALSE(mr_timer_started(&timer));
}

TEST_P(BackendTest, TimersThatStopAndRestartEachOtherFireAsTheyWereLastTold) {
    struct Told {
        bool started = false;
        uint64_t due_ms = 0;
    };
    const size_t count = 64;
    std::mt19937 random(1);
    std::vector<Told> told(count);
    std::vector<std::unique_ptr<Timer>> timers;
    int actions_left = 4000;
    int fired_count = 0;
    const auto start = [&](size_t i) {
        // Most are due in the same tick.
        const uint64_t delays[] = {0, 0, 1, MR_TIMER_TICK_MS, 3 * MR_TIMER_TICK_MS};
        uint64_t delay = delays[random() % 5];
        mr_timer_start(loop(), timers[i].get(), delay);
        told[i] = {true, mr_loop_now_ms(loop()) + delay};
    };
    const auto on_fire = [&](size_t self) {
        EXPECT_TRUE(told[self].started);
        EXPECT_GE(mr_loop_now_ms(loop()), told[self].due_ms);
        told[self].started = false;
        fired_count++;
        for (int i = 0; i < 4 && actions_left > 0; i++, actions_left--) {
            size_t other = random() % count;
            if (random() % 2 == 0) {
                start(other);
            } else {
                mr_timer_stop(loop(), timers[other].get());
                told[other].started = false;
            }
        }
        for (size_t i = 0; i < count; i++) {
            ASSERT_EQ(told[i].started, mr_timer_started(timers[i].get()));
        }
    };
    for (size_t i = 0; i < count; i++) {
        timers.push_back(std::make_unique<Timer>([&, i](Timer *) { on_fire(i); }));
    }
    RunUntil([&] {
        bool any = std::any_of(told.begin(), told.end(), [](const Told &t) { return t.started; });
        for (size_t i = 0; !any && actions_left > 0 && i < count; i++) {
            start(i);
        }
        return !any && actions_left == 0;
    });
    EXPECT_GT(fired_count, 500);
    Turn(2 * MR_TIMER_TICK_MS);
}

TEST_P(BackendTest, ALongWaitIsEndedByATimer) {
    bool fired = false;
    Timer timer([&](Timer *) { fired = true; });
    mr_timer_start(loop(), &timer, 700);
    int turn_count = 0;
    while (!fired) {
        Turn(UINT32_MAX);
        turn_count++;
    }
    // It slept, instead of looking again and again.
    EXPECT_LE(turn_count, 10);
}

// ------------------------------------------------------------------------------ wakes

namespace {

struct WakeCtx {
    std::atomic<uint64_t> posted{0};
    uint64_t seen = 0;
    uint64_t wake_count = 0;

    void Clear() {
        posted = 0;
        seen = 0;
        wake_count = 0;
    }
};

void OnWake(void *ctx) {
    auto *self = static_cast<WakeCtx *>(ctx);
    self->seen = self->posted.load();
    self->wake_count++;
}

}  // namespace

TEST_P(BackendTest, WakesBeforeATurnAreOne) {
    static WakeCtx ctx;
    ctx.Clear();
    options_.ctx = &ctx;
    options_.on_wake = OnWake;
    Turn();
    EXPECT_EQ(0u, ctx.wake_count);
    for (int i = 0; i < 10; i++) {
        mr_loop_wake(loop());
    }
    Turn(UINT32_MAX);
    EXPECT_EQ(1u, ctx.wake_count);
    Turn();
    EXPECT_EQ(1u, ctx.wake_count);
    EXPECT_EQ(1u, Stats().wake_count);
}

TEST_P(BackendTest, AWakeWithinOnWakeIsNotLost) {
    struct Ctx {
        mr_loop *loop;
        int count;
    };
    static Ctx ctx;
    ctx = {};
    options_.ctx = &ctx;
    options_.on_wake = [](void *c) {
        auto *self = static_cast<Ctx *>(c);
        if (++self->count < 3) {
            mr_loop_wake(self->loop);
        }
    };
    ctx.loop = loop();
    mr_loop_wake(loop());
    for (int i = 0; i < 3; i++) {
        Turn(UINT32_MAX);
    }
    EXPECT_EQ(3, ctx.count);
}

TEST_P(BackendTest, NoWakeFromAnotherThreadIsLost) {
    if (!backend_->HasThreads()) {
        GTEST_SKIP();
    }
    static WakeCtx ctx;
    ctx.Clear();
    options_.ctx = &ctx;
    options_.on_wake = OnWake;
    loop();
    const uint64_t total = 4 * 20000;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&] {
            for (int k = 0; k < 20000; k++) {
                ctx.posted++;
                mr_loop_wake(loop());
            }
        });
    }
    // Would a wake be lost, this would wait until the test's time-out.
    while (ctx.seen < total) {
        Turn(UINT32_MAX);
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_LE(ctx.wake_count, total);
    EXPECT_EQ(ctx.wake_count, Stats().wake_count);
}

// -------------------------------------------------------------------------- listeners

TEST_P(BackendTest, AListenerThatPausesLetsConnectionsWait) {
    uint16_t port = Listen();
    mr_listener_pause(listeners_[0]);
    mr_listener_pause(listeners_[0]);
    std::unique_ptr<Peer> peer = backend_->Connect(port);
    for (int i = 0; i < 5; i++) {
        Turn(1);
    }
    EXPECT_EQ(0u, accepted_.size());
    mr_listener_resume(listeners_[0]);
    RunUntil([&] { return accepted_.size() == 1; });
}

TEST_P(BackendTest, AListenerMayBeClosedWithinOnAccept) {
    struct Ctx {
        mr_listener *listener = nullptr;
        std::vector<intptr_t> handles;
    } ctx;
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    int os_error = 0;
    auto on_accept = [](void *c, intptr_t handle) {
        auto *self = static_cast<Ctx *>(c);
        self->handles.push_back(handle);
        mr_listener_close(self->listener);
    };
    ASSERT_EQ(MR_OK, mr_listener_open(&ctx.listener, loop(), &address, on_accept, &ctx, &os_error));
    uint16_t port = mr_listener_port(ctx.listener);
    std::unique_ptr<Peer> a = backend_->Connect(port);
    std::unique_ptr<Peer> b = backend_->Connect(port);
    RunUntil([&] { return !ctx.handles.empty(); });
    Turn();
    EXPECT_EQ(1u, ctx.handles.size());
    char text[MR_PEER_TEXT_BYTES];
    mr_handle_peer_text(loop(), ctx.handles[0], text);
    EXPECT_STRNE("", text);
    mr_handle_close(loop(), ctx.handles[0]);
}

TEST_P(BackendTest, APortInUseIsRefused) {
    uint16_t port = Listen();
    ASSERT_NE(0, port);
    mr_listen_address address = {};
    address.host = "127.0.0.1";
    address.port = port;
    mr_listener *listener = nullptr;
    int os_error = 0;
    auto on_accept = [](void *, intptr_t) {};
    EXPECT_EQ(MR_ERR_ADDRINUSE,
              mr_listener_open(&listener, loop(), &address, on_accept, nullptr, &os_error));
    EXPECT_NE(0, os_error);
    EXPECT_EQ(nullptr, listener);
}
