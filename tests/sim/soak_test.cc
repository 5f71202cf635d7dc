// Some seeds of the soak, and planted faults that its oracle must notice.
#include "tests/sim/soak.hh"

#include <gtest/gtest.h>

#include <cstdlib>

namespace millrace {
namespace {

SoakOptions Options(uint64_t seed, uint64_t steps) {
    SoakOptions options = {};
    options.seed = seed;
    options.steps = steps;
    return options;
}

// MILLRACE_SEED=7 runs that seed only.
uint64_t WantedSeed() {
    const char *text = std::getenv("MILLRACE_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 0;
}

void ExpectAllIsWell(const SoakOptions &options) {
    SoakResult result = RunSoak(options);
    if (!result.failure.empty()) {
        SoakOptions again = options;
        again.keep_trace = true;
        result = RunSoak(again);
        size_t tail = result.trace.size() > 20000 ? result.trace.size() - 20000 : 0;
        ADD_FAILURE() << result.trace.substr(tail) << result.failure;
    }
}

TEST(Soak, BrokerKeepsItsPromises) {
    if (WantedSeed() != 0) {
        ExpectAllIsWell(Options(WantedSeed(), 20000));
        return;
    }
    uint64_t delivered = 0;
    uint64_t owed = 0;
    uint64_t takeovers = 0;
    uint64_t handed_over = 0;
    for (uint64_t seed = 1; seed <= 40 && !HasFailure(); seed++) {
        SoakOptions options = Options(seed, 5000);
        SoakResult result = RunSoak(options);
        delivered += result.delivered;
        owed += result.owed;
        takeovers += result.takeovers;
        handed_over += result.handed_over;
        if (!result.failure.empty()) {
            ExpectAllIsWell(options);
        }
    }
    // The seeds do reach what the oracle watches.
    EXPECT_GT(delivered, 20000u);
    EXPECT_GT(owed, 10000u);
    EXPECT_GT(takeovers, 50u);
    EXPECT_GT(handed_over, 100u);
}

// Under backpressure clients that publish to each other must not wait for each other for ever. In
// these seeds they did.
TEST(Soak, NobodyWaitsInACircle) {
    for (uint64_t seed : {52, 60, 75, 83, 85}) {
        if (WantedSeed() != 0 && WantedSeed() != seed) {
            continue;
        }
        SoakResult result = RunSoak(Options(seed, 5000));
        EXPECT_EQ(result.failure, "");
        EXPECT_NE(result.setting.find("backpressure"), std::string::npos);
        EXPECT_GT(result.pauses, 0u);
    }
}

// In this seed a worker stayed busy across its turns and kept the time of the first one: what a
// message had left to live was more than it came with.
TEST(Soak, TimeGoesOnForABusyWorker) {
    if (WantedSeed() == 0) {
        ExpectAllIsWell(Options(1182, 5000));
    }
}

TEST(Soak, LongerRun) {
    if (WantedSeed() == 0) {
        ExpectAllIsWell(Options(1001, 40000));
    }
}

TEST(Soak, SameSeedGivesTheSameRun) {
    for (uint64_t seed = 3; seed <= 6; seed++) {
        SoakResult first = RunSoak(Options(seed, 2000));
        SoakResult second = RunSoak(Options(seed, 2000));
        EXPECT_EQ(first.hash, second.hash) << "MILLRACE_SEED=" << seed;
        EXPECT_EQ(first.delivered, second.delivered);
    }
    EXPECT_NE(RunSoak(Options(3, 2000)).hash, RunSoak(Options(4, 2000)).hash);
}

// Runs seeds until one of them reaches the fault: that one must be noticed.
class PlantedFault : public testing::TestWithParam<std::pair<Fault, const char *>> {};

TEST_P(PlantedFault, IsNoticed) {
    uint32_t planted = 0;
    uint32_t noticed = 0;
    for (uint64_t seed = 1; seed <= 200 && planted < 20; seed++) {
        SoakOptions options = Options(seed, 1500);
        options.fault = GetParam().first;
        SoakResult result = RunSoak(options);
        if (result.fault_done) {
            planted++;
            noticed += result.failure.find(GetParam().second) != std::string::npos;
        }
    }
    EXPECT_GE(planted, 3u);
    EXPECT_GE(noticed, 1u) << "expected: " << GetParam().second;
}

INSTANTIATE_TEST_SUITE_P(
    All, PlantedFault,
    testing::Values(std::make_pair(Fault::kLoseMessage, "are lost"),
                    std::make_pair(Fault::kDuplicateQos2, " 2 times"),
                    std::make_pair(Fault::kDuplicateQos1, "times"),
                    std::make_pair(Fault::kSwapOrder, " after message "),
                    std::make_pair(Fault::kMisdeliver, "without a subscription"),
                    std::make_pair(Fault::kCorruptPayload, "that nobody sent"),
                    std::make_pair(Fault::kLoseRetained, "nothing is retained"),
                    std::make_pair(Fault::kStaleRetained, "can't be retained"),
                    std::make_pair(Fault::kForgetSession, "is gone"),
                    std::make_pair(Fault::kWillAfterDisconnect, "must not come")));

}  // namespace
}  // namespace millrace
