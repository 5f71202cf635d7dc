// io/uring under faults.
#include "io/uring/uring.h"

#include <errno.h>

#include <vector>

#include "io/backend_suite.h"
#include "io/fault/fault_suite.hh"

using fault::Call;

namespace {

template <uint32_t... index>
std::vector<std::unique_ptr<Backend> (*)()> BackendsOf(std::integer_sequence<uint32_t, index...>) {
    return {&MakeFault<&mr_io_uring, index, 4>...};
}

// None where the system has no io_uring for us.
std::vector<std::unique_ptr<Backend> (*)()> Backends() {
    if (!mr_io_uring_available(nullptr)) {
        return {};
    }
    return BackendsOf(std::make_integer_sequence<uint32_t, kFaultSeedCount>());
}

class UringFaultTest : public FaultTest {
 protected:
    // A loop is refused with `err`, and nothing is left of it.
    void ExpectRefused(enum mr_err err) {
        mr_loop *other = nullptr;
        mr_loop_options options = {};
        size_t before = CountDescriptors();
        EXPECT_EQ(err, mr_loop_new(&other, backend_->Table(), &options));
        EXPECT_EQ(nullptr, other);
        EXPECT_EQ(before, CountDescriptors());
    }
    void ExpectEcho() {
        Pair pair = MakePair();
        SendAll(pair.peer.get(), "question");
        RunUntil([&] { return pair.conn->received == "question"; });
        pair.conn->Write("answer");
        EXPECT_EQ("answer", RecvAll(pair.peer.get(), 6));
    }
};

TEST_P(UringFaultTest, ALoopThatCannotBeOpenedLeavesNothingOpen) {
    fault::FailNext(Call::kEventfd, EMFILE);
    ExpectRefused(MR_ERR_NOFILES);
    fault::FailNext(Call::kUringSetup, ENFILE);
    ExpectRefused(MR_ERR_NOFILES);
    fault::FailNext(Call::kUringSetup, ENOMEM);
    ExpectRefused(MR_ERR_NOMEM);
    for (int os_error : {ENOSYS, EPERM, EINVAL}) {
        fault::FailNext(Call::kUringSetup, os_error);
        ExpectRefused(MR_ERR_UNSUPPORTED);
    }
    // Both rings, the submissions, and what the supply is registered in.
    for (int skip : {0, 1, 2}) {
        fault::FailNext(Call::kMap, ENOMEM, 1, skip);
        ExpectRefused(MR_ERR_NOMEM);
        EXPECT_EQ(0, fault::FailNextLeft(Call::kMap));
    }
    fault::FailNext(Call::kUringRegister, ENOMEM);
    ExpectRefused(MR_ERR_NOMEM);
    ExpectEcho();
}

TEST_P(UringFaultTest, ALoopThatCannotBeEnabledSaysSo) {
    loop();
    fault::FailNext(Call::kUringRegister, EBUSY);
    EXPECT_EQ(MR_ERR_IO, mr_loop_run_once(loop(), 0));
    ExpectEcho();
}

TEST_P(UringFaultTest, ARingThatCannotBeRegisteredWorksAllTheSame) {
    loop();
    fault::FailNext(Call::kUringRegister, EBUSY, 1, 1);
    ExpectEcho();
    EXPECT_EQ(0, fault::FailNextLeft(Call::kUringRegister));
}

TEST_P(UringFaultTest, AnEnterThatFailsForGoodEndsTheRun) {
    Turn();
    fault::FailNext(Call::kUringEnter, EBADF);
    std::unique_ptr<Peer> peer = backend_->Connect(Listen());
    EXPECT_EQ(MR_ERR_IO, mr_loop_run_once(loop(), 1));
    // What it was to submit is not lost.
    RunUntil([&] { return accepted_.size() == 1; });
}

TEST_P(UringFaultTest, NothingIsLostWhileTheKernelTakesNothing) {
    for (int os_error : {EAGAIN, EBUSY, EINTR}) {
        fault::FailNext(Call::kUringEnter, os_error, 50);
        ExpectEcho();
        EXPECT_EQ(0, fault::FailNextLeft(Call::kUringEnter));
    }
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Uring, BackendTest, testing::ValuesIn(Backends()),
                         [](const auto &info) { return FaultName(info); });
INSTANTIATE_TEST_SUITE_P(Uring, SocketTest, testing::ValuesIn(Backends()),
                         [](const auto &info) { return FaultName(info); });
INSTANTIATE_TEST_SUITE_P(Uring, UringFaultTest, testing::ValuesIn(Backends()),
                         [](const auto &info) { return FaultName(info); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackendTest);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SocketTest);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FaultTest);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(UringFaultTest);
