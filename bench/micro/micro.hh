// What all microbenchmarks share: a loop that is timed or whose instructions are counted,
// checks of results, and a main().
//
// A benchmark that measures nothing, or whose result nobody looks at, fails.
#ifndef MILLRACE_BENCH_MICRO_MICRO_HH
#define MILLRACE_BENCH_MICRO_MICRO_HH

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

#include "base/base.h"

namespace micro {

// A wrong result makes the number worthless: ends the process, with `what` as the reason.
void CheckFailed(const char *what);
static inline void Check(bool condition, const char *what) {
    if (MR_UNLIKELY(!condition)) {
        CheckFailed(what);
    }
}

static inline struct mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

// The loop of a benchmark:
//
//     Loop loop(state);
//     for (auto _ : loop) {
//         found += Find(...);
//     }
//     loop.Expect(found == loop.Count(), "find");
//
// Under callgrind, and with MILLRACE_BENCH_COUNT set to a number of operations, it runs so many
// of them after a warm-up and has callgrind write what they took, instead of timing.
class Loop {
 public:
    // One round does `operations` of what is measured.
    explicit Loop(benchmark::State &state, int64_t operations = 1);
    ~Loop();
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    struct __attribute__((unused)) Nothing {};
    struct End {};
    class Iterator {
     public:
        explicit Iterator(Loop *loop) : loop_(loop) {
        }
        bool operator!=(End) {
            if (MR_LIKELY(left_ != 0)) {
                return true;
            }
            left_ = loop_->Next();
            return left_ != 0;
        }
        void operator++() {
            left_--;
        }
        Nothing operator*() const {
            return Nothing();
        }

     private:
        Loop *loop_;
        int64_t left_ = 0;
    };
    Iterator begin() {
        return Iterator(this);
    }
    End end() const {
        return End();
    }

    // Rounds so far, warm-up included, and operations.
    int64_t Count() const {
        return count_;
    }
    int64_t Operations() const {
        return count_ * operations_;
    }

    // The verdict on the results, after the loop. There has to be one at least.
    void Expect(bool condition, const char *what);
    // Bytes that one operation works through.
    void Bytes(int64_t bytes) {
        bytes_ = bytes;
    }
    // What lies between isn't measured.
    void Pause();
    void Resume();

 private:
    int64_t Next();

    benchmark::State &state_;
    int64_t operations_;
    int64_t bytes_ = 0;
    int64_t count_ = 0;
    int phase_ = 0;
    int64_t expectations_ = 0;
};

}  // namespace micro

#endif  // MILLRACE_BENCH_MICRO_MICRO_HH
