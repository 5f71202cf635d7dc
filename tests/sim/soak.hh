// A soak of the whole broker core: random clients on the simulated network, watched by the oracle.
// A run is a function of its seed.
#ifndef MILLRACE_TESTS_SIM_SOAK_HH
#define MILLRACE_TESTS_SIM_SOAK_HH

#include <cstdint>
#include <string>

#include "tests/sim/client.hh"

namespace millrace {

struct SoakOptions {
    uint64_t seed;
    uint64_t steps;  // What a client does, or the workers.
    bool keep_trace = false;
    Fault fault = Fault::kNone;
};

struct SoakResult {
    std::string failure;  // Empty: all is well. Names seed and step.
    std::string trace;    // The last events before it.
    std::string setting;  // What the seed chose.
    uint64_t hash;        // Of all events: equal for equal seeds.
    uint64_t published;
    uint64_t delivered;
    uint64_t owed;  // Deliveries at QoS 1 and 2 that had to come.
    uint64_t virtual_ms;
    uint64_t connects;
    uint64_t takeovers;
    uint64_t handed_over;
    uint64_t dropped;
    uint64_t pauses;
    bool fault_done;
};

SoakResult RunSoak(const SoakOptions &options);

}  // namespace millrace

#endif  // MILLRACE_TESTS_SIM_SOAK_HH
