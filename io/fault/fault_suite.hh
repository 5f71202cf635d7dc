// Backends on faulty sockets: how to instantiate the suites on them, and a suite of what
// happens when a given call fails.
//
// A failed test prints its seed; to repeat it, and for more of them:
//   MILLRACE_SEED=7 bazel test //io/fault:epoll_test
//   bazel run //io/fault:epoll_test -- --gtest_repeat=100
#ifndef MILLRACE_IO_FAULT_FAULT_SUITE_HH
#define MILLRACE_IO_FAULT_FAULT_SUITE_HH

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "io/fault/fault.hh"
#include "io/socket_suite.h"

// Soft faults from the `index`th of a run's seeds, as long as it lives.
class FaultBackend : public SocketBackend {
 public:
    FaultBackend(const mr_io_backend *table, uint32_t index, uint32_t recv_buf_count);
    ~FaultBackend() override;
    const mr_io_backend *Table() override {
        return table_;
    }
    bool IsPrompt() override {
        return false;
    }
    uint32_t RecvBufCount() override {
        return recv_buf_count_;
    }
    uint32_t seed() const {
        return seed_;
    }

 private:
    const mr_io_backend *table_;
    uint32_t recv_buf_count_;
    uint32_t seed_;
};

// As many seeds in a run.
constexpr uint32_t kFaultSeedCount = 2;

template <const mr_io_backend *table, uint32_t index, uint32_t recv_buf_count>
std::unique_ptr<Backend> MakeFault() {
    return std::make_unique<FaultBackend>(table, index, recv_buf_count);
}

// For INSTANTIATE_TEST_SUITE_P.
template <const mr_io_backend *table, uint32_t recv_buf_count = 1>
auto FaultBackends() {
    static_assert(kFaultSeedCount == 2, "all are here");
    return testing::Values(&MakeFault<table, 0, recv_buf_count>,
                           &MakeFault<table, 1, recv_buf_count>);
}

template <class Info>
std::string FaultName(const Info &info) {
    return "seed" + std::to_string(info.index);
}

// Only planned faults, unless a test wants others. For backends that make the calls themselves.
class FaultTest : public SocketTest {
 protected:
    void SetUp() override;
};

// Open descriptors of this process.
size_t CountDescriptors();

#endif  // MILLRACE_IO_FAULT_FAULT_SUITE_HH
