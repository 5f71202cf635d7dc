// bazel run //tests/sim:soak -- --seeds N --steps M [--first SEED]
//
// Runs N seeds of M steps each and prints a line for each. Ends with status 1 at the first failure,
// with the last events before it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/sim/soak.hh"

namespace {

uint64_t Number(const char *text) {
    return std::strtoull(text, nullptr, 10);
}

}  // namespace

int main(int argc, char **argv) {
    uint64_t seeds = 10;
    uint64_t steps = 100000;
    uint64_t first = 1;
    const char *wanted = std::getenv("MILLRACE_SEED");
    if (wanted != nullptr && wanted[0] != '\0') {
        first = Number(wanted);
        seeds = 1;
    }
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && std::strcmp(argv[i], "--seeds") == 0) {
            seeds = Number(argv[i + 1]);
        } else if (i + 1 < argc && std::strcmp(argv[i], "--steps") == 0) {
            steps = Number(argv[i + 1]);
        } else if (i + 1 < argc && std::strcmp(argv[i], "--first") == 0) {
            first = Number(argv[i + 1]);
        } else {
            std::fprintf(stderr, "usage: soak [--seeds N] [--steps M] [--first SEED]\n");
            return 2;
        }
    }
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        auto begin = std::chrono::steady_clock::now();
        millrace::SoakOptions options = {};
        options.seed = seed;
        options.steps = steps;
        options.keep_trace = true;
        millrace::SoakResult result = millrace::RunSoak(options);
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        std::printf(
            "seed %llu: %llu steps, %.1f s, %llu s simulated, %llu connects "
            "(%llu takeovers, %llu handed over), %llu published, %llu delivered, "
            "%llu owed, %llu dropped at a limit, %llu pauses, hash %016llx; %s\n",
            static_cast<unsigned long long>(seed), static_cast<unsigned long long>(steps),
            took.count(), static_cast<unsigned long long>(result.virtual_ms / 1000),
            static_cast<unsigned long long>(result.connects),
            static_cast<unsigned long long>(result.takeovers),
            static_cast<unsigned long long>(result.handed_over),
            static_cast<unsigned long long>(result.published),
            static_cast<unsigned long long>(result.delivered),
            static_cast<unsigned long long>(result.owed),
            static_cast<unsigned long long>(result.dropped),
            static_cast<unsigned long long>(result.pauses),
            static_cast<unsigned long long>(result.hash), result.setting.c_str());
        std::fflush(stdout);
        if (!result.failure.empty()) {
            std::fprintf(stderr, "%sFAILED: %s\n", result.trace.c_str(), result.failure.c_str());
            return 1;
        }
    }
    return 0;
}
