// What handing an entry from one thread to another costs, by size of entry and batch.
//
//   bazel run //bench:ring_bench -- --benchmark_filter=Threads
#include <thread>

#include "bench/micro/micro.hh"
#include "io/ring/ring.h"

namespace {

using micro::Check;
using micro::Loop;

constexpr uint32_t kEntryCount = 4096;
constexpr uint32_t kEntryBytesMax = 64;

struct Entry {
    uint64_t number;
    uint8_t rest[kEntryBytesMax - sizeof(uint64_t)];
};

mr_ring *NewRing(const benchmark::State &state) {
    mr_ring *ring = nullptr;
    Check(mr_ring_new(&ring, kEntryCount, static_cast<uint32_t>(state.range(0))) == MR_OK, "ring");
    return ring;
}

// The instructions alone: both sides on one thread, the lines never move.
void RingAlone(benchmark::State &state) {
    mr_ring *ring = NewRing(state);
    int64_t batch = state.range(1);
    Entry entry = {};
    uint64_t expected = 0;
    Loop loop(state, batch);
    for (auto _ : loop) {
        for (int64_t i = 0; i < batch; i++) {
            Check(mr_ring_push(ring, &entry), "push");
            entry.number++;
        }
        Check(!mr_ring_publish(ring), "nobody sleeps");
        Entry out;
        while (mr_ring_pop(ring, &out)) {
            Check(out.number == expected, "order");
            expected++;
        }
    }
    loop.Expect(entry.number == expected, "nothing lost");
    loop.Expect(expected == static_cast<uint64_t>(loop.Operations()), "all came through");
    mr_ring_free(ring);
}
BENCHMARK(RingAlone)->ArgNames({"bytes", "batch"})->ArgsProduct({{16, 32, 64}, {1, 16, 256}});

// Falling asleep and being woken, without the system call.
void RingSleepAndWake(benchmark::State &state) {
    mr_ring *ring = NewRing(state);
    Entry entry = {};
    Loop loop(state);
    for (auto _ : loop) {
        Check(mr_ring_sleep(ring), "empty");
        entry.number++;
        Check(mr_ring_push(ring, &entry), "push");
        Check(mr_ring_publish(ring), "wake");
        mr_ring_awake(ring);
        Check(mr_ring_pop(ring, &entry), "pop");
    }
    loop.Expect(entry.number == static_cast<uint64_t>(loop.Count()), "all came through");
    mr_ring_free(ring);
}
BENCHMARK(RingSleepAndWake)->ArgName("bytes")->Arg(32);

// Two threads, each with as many batches; nobody sleeps.
mr_ring *shared_ring;

void OpenSharedRing(const benchmark::State &state) {
    shared_ring = NewRing(state);
}

void CloseSharedRing(const benchmark::State &) {
    mr_ring_free(shared_ring);
}

void Produce(int64_t batch, uint64_t *number) {
    Entry entry = {};
    for (int64_t i = 0; i < batch; i++) {
        entry.number = *number;
        while (!mr_ring_push(shared_ring, &entry)) {
            Check(!mr_ring_publish(shared_ring), "nobody sleeps");
            std::this_thread::yield();
        }
        ++*number;
    }
    Check(!mr_ring_publish(shared_ring), "nobody sleeps");
}

void Consume(int64_t batch, uint64_t *number) {
    Entry entry;
    for (int64_t i = 0; i < batch; i++) {
        while (!mr_ring_pop(shared_ring, &entry)) {
            std::this_thread::yield();
        }
        Check(entry.number == *number, "order");
        ++*number;
    }
}

void RingThreads(benchmark::State &state) {
    int64_t batch = state.range(1);
    uint64_t number = 0;
    Loop loop(state, batch);
    for (auto _ : loop) {
        if (state.thread_index() == 0) {
            Produce(batch, &number);
        } else {
            Consume(batch, &number);
        }
    }
    loop.Expect(number == static_cast<uint64_t>(loop.Operations()), "all came through");
}
BENCHMARK(RingThreads)
    ->ArgNames({"bytes", "batch"})
    ->ArgsProduct({{16, 32, 64}, {1, 16, 256}})
    ->Setup(OpenSharedRing)
    ->Teardown(CloseSharedRing)
    ->Threads(2)
    ->UseRealTime();
}  // namespace
