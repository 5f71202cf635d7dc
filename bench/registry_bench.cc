// The registry: claiming and releasing client ids beside few and many others, and presence,
// which is looked at for each message to a shared subscription.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "bench/micro/micro.hh"
#include "broker/registry/registry.h"
#include "trie/trie.h"

namespace {

using micro::Check;
using micro::Loop;
using micro::Slice;

class Clients {
 public:
    explicit Clients(int64_t count) {
        Check(mr_registry_new(&registry, 42) == MR_OK, "registry");
        for (int64_t i = 0; i < count; i++) {
            ids.push_back("client-" + std::to_string(i) + "-of-many");
        }
        std::shuffle(ids.begin(), ids.end(), std::mt19937(1));
        for (const std::string &id : ids) {
            entries.push_back(Claim(id));
        }
    }
    ~Clients() {
        for (mr_registry_entry *entry : entries) {
            mr_registry_release(registry, entry);
        }
        mr_registry_free(registry);
    }
    Clients(const Clients &) = delete;
    Clients &operator=(const Clients &) = delete;

    mr_registry_entry *Claim(const std::string &id) {
        mr_registry_entry *entry = nullptr;
        uint16_t owner;
        Check(mr_registry_claim(registry, Slice(id), 0, &entry, &owner) == MR_OK, "claim");
        return entry;
    }

    mr_registry *registry = nullptr;
    std::vector<std::string> ids;
    std::vector<mr_registry_entry *> entries;
};

void Counts(benchmark::internal::Benchmark *benchmark) {
    benchmark->ArgName("clients")->Arg(100)->Arg(10000)->Arg(1000000);
}

// A client comes and goes.
void ClaimRelease(benchmark::State &state) {
    Clients clients(state.range(0));
    size_t i = 0;
    Loop loop(state);
    for (auto _ : loop) {
        mr_registry_release(clients.registry, clients.entries[i]);
        clients.entries[i] = clients.Claim(clients.ids[i]);
        i = i + 1 == clients.ids.size() ? 0 : i + 1;
    }
    loop.Expect(mr_registry_count(clients.registry) == clients.ids.size(), "all are there");
}
BENCHMARK(ClaimRelease)->Apply(Counts);

// A client comes that is known on another worker.
void ClaimTaken(benchmark::State &state) {
    Clients clients(state.range(0));
    size_t i = 0;
    int64_t taken = 0;
    Loop loop(state);
    for (auto _ : loop) {
        mr_registry_entry *entry;
        uint16_t owner = 9;
        taken += mr_registry_claim(clients.registry, Slice(clients.ids[i]), 1, &entry, &owner) ==
                     MR_ERR_EXISTS &&
                 owner == 0;
        i = i + 1 == clients.ids.size() ? 0 : i + 1;
    }
    loop.Expect(taken == loop.Count(), "each was taken");
}
BENCHMARK(ClaimTaken)->Apply(Counts);

void Presence(benchmark::State &state) {
    mr_registry *registry = nullptr;
    Check(mr_registry_new(&registry, 42) == MR_OK, "registry");
    constexpr uint32_t kClients = 10000;
    for (uint32_t i = 1; i <= kClients; i++) {
        Check(mr_registry_set_presence(registry, mr_subscriber_make(1, i), MR_PRESENCE_ONLINE),
              "set");
    }
    uint32_t i = 0;
    int64_t online = 0;
    Loop loop(state);
    for (auto _ : loop) {
        i = i == kClients ? 1 : i + 1;
        online += mr_registry_presence(registry, mr_subscriber_make(1, i)) == MR_PRESENCE_ONLINE;
    }
    loop.Expect(online == loop.Count(), "each is online");
    mr_registry_free(registry);
}
BENCHMARK(Presence);

}  // namespace
