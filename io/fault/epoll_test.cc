// io/epoll under faults.
#include "io/epoll/epoll.h"

#include "io/backend_suite.h"
#include "io/fault/fault_suite.hh"

INSTANTIATE_TEST_SUITE_P(Epoll, BackendTest, FaultBackends<&mr_io_epoll>(),
                         [](const auto &info) { return FaultName(info); });
INSTANTIATE_TEST_SUITE_P(Epoll, SocketTest, FaultBackends<&mr_io_epoll>(),
                         [](const auto &info) { return FaultName(info); });
INSTANTIATE_TEST_SUITE_P(Epoll, FaultTest, FaultBackends<&mr_io_epoll>(),
                         [](const auto &info) { return FaultName(info); });
