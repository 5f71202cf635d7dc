#include "bench/micro/micro.hh"

#include <valgrind/callgrind.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace micro {

namespace {

// Operations to be counted for each benchmark; 0: time them.
int64_t CountWanted() {
    static const int64_t wanted = [] {
        const char *text = std::getenv("MILLRACE_BENCH_COUNT");
        return text != nullptr && RUNNING_ON_VALGRIND ? std::atoll(text) : 0LL;
    }();
    return wanted;
}

// Numbers the dumps, so that each can be matched with its benchmark.
int dump_count;
char dump_name[64];

}  // namespace

void CheckFailed(const char *what) {
    std::fprintf(stderr, "wrong result: %s\n", what);
    std::exit(1);
}

Loop::Loop(benchmark::State &state, int64_t operations) : state_(state), operations_(operations) {
    Check(operations > 0, "operations in a round");
}

Loop::~Loop() {
    Check(count_ > 0, "a benchmark without a loop");
    Check(expectations_ > 0, "a benchmark whose result nobody looked at");
    // What a thread of several did is a share of the same work.
    if (state_.thread_index() == 0) {
        state_.SetItemsProcessed(state_.iterations() * operations_);
        if (bytes_ != 0) {
            state_.SetBytesProcessed(state_.iterations() * operations_ * bytes_);
        }
    }
}

void Loop::Expect(bool condition, const char *what) {
    Check(count_ > 0, "expectations come behind the loop");
    Check(condition, what);
    expectations_++;
}

// The next rounds to be done; 0 ends the loop. When timing, one batch is everything.
int64_t Loop::Next() {
    bool counts = CountWanted() > 0 && state_.threads() == 1;
    int64_t rounds = state_.max_iterations;
    if (phase_ == 0) {
        Check(state_.KeepRunningBatch(rounds), "a loop that was run twice");
        if (counts) {
            // Warm-up: as many as are counted, so that memory is where it will be.
            rounds = std::max<int64_t>(CountWanted() / operations_, 2);
        }
    } else if (phase_ == 1 && counts) {
        rounds = std::max<int64_t>(CountWanted() / operations_, 2);
    } else {
        if (counts) {
            CALLGRIND_DUMP_STATS_AT(dump_name);
            CALLGRIND_STOP_INSTRUMENTATION;
            state_.counters["dump"] = dump_count;
        }
        Check(!state_.KeepRunningBatch(state_.max_iterations), "the end of the loop");
        return 0;
    }
    count_ += rounds;
    if (phase_++ == 1) {
        long long operations = rounds * operations_;
        std::snprintf(dump_name, sizeof(dump_name), "micro %d %lld", ++dump_count, operations);
        CALLGRIND_START_INSTRUMENTATION;
        CALLGRIND_ZERO_STATS;
    }
    return rounds;
}

void Loop::Pause() {
    if (CountWanted() == 0) {
        state_.PauseTiming();
    } else if (phase_ == 2) {
        CALLGRIND_TOGGLE_COLLECT;
    }
}

void Loop::Resume() {
    if (CountWanted() == 0) {
        state_.ResumeTiming();
    } else if (phase_ == 2) {
        CALLGRIND_TOGGLE_COLLECT;
    }
}

}  // namespace micro

int main(int argc, char **argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    // A filter that fits nothing must not pass for success.
    return benchmark::RunSpecifiedBenchmarks() == 0 ? 1 : 0;
}
