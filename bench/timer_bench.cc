// Timers: starting, stopping, restarting and firing, beside few and many others.
#include <random>
#include <vector>

#include "bench/micro/micro.hh"
#include "io/wheel.h"

namespace {

using micro::Loop;

uint64_t fired;

// What every connection has: a timer that fires when its client is silent for too long.
struct Timers {
    explicit Timers(int64_t count) : timers(static_cast<size_t>(count)) {
        mr_wheel_init(&wheel, now_ms);
        for (mr_timer &timer : timers) {
            mr_timer_init(&timer, [](mr_timer *) { fired++; });
            mr_wheel_start(&wheel, &timer, now_ms, Delay());
        }
    }

    uint64_t Delay() {
        return 1000 + random() % 90000;
    }

    uint64_t now_ms = 1000000;
    mr_wheel wheel;
    std::vector<mr_timer> timers;
    std::mt19937 random{1};
};

void Counts(benchmark::internal::Benchmark *benchmark) {
    benchmark->ArgName("timers")->Arg(1)->Arg(1000)->Arg(100000);
}

void StartStop(benchmark::State &state) {
    Timers all(state.range(0));
    mr_timer timer;
    mr_timer_init(&timer, [](mr_timer *) { fired++; });
    std::vector<uint64_t> delays(1024);
    for (uint64_t &delay : delays) {
        delay = all.Delay();
    }
    size_t i = 0;
    Loop loop(state);
    for (auto _ : loop) {
        mr_wheel_start(&all.wheel, &timer, all.now_ms, delays[i++ % delays.size()]);
        mr_wheel_stop(&all.wheel, &timer);
    }
    loop.Expect(all.wheel.timer_count == all.timers.size(), "the others are still there");
}
BENCHMARK(StartStop)->Apply(Counts);

// One after the other is started anew, as when its client has sent something.
void Restart(benchmark::State &state) {
    Timers all(state.range(0));
    size_t i = 0;
    Loop loop(state);
    for (auto _ : loop) {
        mr_wheel_start(&all.wheel, &all.timers[i], all.now_ms, 90000);
        i = i + 1 == all.timers.size() ? 0 : i + 1;
    }
    loop.Expect(all.wheel.timer_count == all.timers.size(), "each is started once");
}
BENCHMARK(Restart)->Apply(Counts);

// All fire and are started again, over and over: each timer's way through the levels.
void Fire(benchmark::State &state) {
    fired = 0;
    Timers all(state.range(0));
    uint64_t count = all.timers.size();
    Loop loop(state, state.range(0));
    for (auto _ : loop) {
        uint64_t wanted = fired + count;
        while (fired < wanted) {
            all.now_ms = mr_wheel_next_ms(&all.wheel);
            mr_wheel_advance(&all.wheel, all.now_ms);
        }
        for (mr_timer &timer : all.timers) {
            mr_wheel_start(&all.wheel, &timer, all.now_ms, all.Delay());
        }
    }
    loop.Expect(fired == static_cast<uint64_t>(loop.Operations()), "each fired");
}
BENCHMARK(Fire)->Apply(Counts);

// A turn of a loop in which no timer is due.
void NothingDue(benchmark::State &state) {
    Timers all(state.range(0));
    uint64_t due = 0;
    Loop loop(state);
    for (auto _ : loop) {
        due += mr_wheel_advance(&all.wheel, all.now_ms);
        benchmark::DoNotOptimize(mr_wheel_next_ms(&all.wheel));
    }
    loop.Expect(due == 0 && all.wheel.timer_count == all.timers.size(), "nothing fired");
}
BENCHMARK(NothingDue)->Apply(Counts);

}  // namespace
