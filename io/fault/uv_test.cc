// io/uv under faults.
#include "io/uv/uv.h"

#include "io/backend_suite.h"
#include "io/fault/fault_suite.hh"

INSTANTIATE_TEST_SUITE_P(Uv, BackendTest, FaultBackends<&mr_io_uv>(),
                         [](const auto &info) { return FaultName(info); });
INSTANTIATE_TEST_SUITE_P(Uv, SocketTest, FaultBackends<&mr_io_uv>(),
                         [](const auto &info) { return FaultName(info); });
INSTANTIATE_TEST_SUITE_P(Uv, FaultTest, FaultBackends<&mr_io_uv>(),
                         [](const auto &info) { return FaultName(info); });
