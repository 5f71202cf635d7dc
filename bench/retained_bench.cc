// The retained store: replacing, adding and removing, and matches of each shape.
//
//   bazel run //bench:retained_bench -- --benchmark_filter=. --benchmark_min_time=1
//
// The arguments are the number of messages and whether searches go without heads
// (broker/retained/heads.h). As a test it runs with a thousand messages, once.
#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/micro/micro.hh"
#include "broker/retained/internal.h"
#include "broker/retained/retained.h"

namespace {

using micro::Check;
using micro::Loop;
using micro::Slice;

constexpr uint32_t kValues = 4;

// A plant: halls of a thousand devices, each with four values.
class Plant {
 public:
    explicit Plant(uint32_t count) {
        mr_buf_pool_options pool_options = {};
        Check(mr_buf_pool_new(&pool_, &pool_options) == MR_OK, "plant");
        mr_buf_pool_enter(pool_);
        mr_retained_options options = {};
        Check(mr_retained_new(&store_, &options) == MR_OK, "plant");
        for (uint32_t i = 0; i < count; i++) {
            topics_.push_back(Topic(i));
        }
        std::shuffle(topics_.begin(), topics_.end(), random_);
        for (const std::string &topic : topics_) {
            messages_.push_back(NewMessage(topic));
            Check(mr_retained_set(store_, messages_.back(), Slice("")) == MR_OK, "plant");
        }
    }

    // Freeing the pool asserts that every message came home.
    ~Plant() {
        mr_buf_pool_enter(pool_);
        for (mr_message *message : messages_) {
            mr_message_unref(message);
        }
        mr_retained_free(store_);
        mr_buf_pool_enter(nullptr);
        mr_buf_pool_free(pool_);
    }

    // Made once for each size, and kept until the end of the process.
    static Plant &Of(benchmark::State &state) {
        static std::map<int64_t, std::unique_ptr<Plant>> plants;
        std::unique_ptr<Plant> &plant = plants[state.range(0)];
        if (plant == nullptr) {
            plant = std::make_unique<Plant>(uint32_t(state.range(0)));
        }
        mr_buf_pool_enter(plant->pool_);
        mr_retained_tree_of(plant->store_)->plain = state.range(1) != 0;
        return *plant;
    }

    static std::string Device(uint32_t i) {
        return "plant/hall-" + std::to_string(i / 1000) + "/device-" + std::to_string(i);
    }

    static std::string Topic(uint32_t i) {
        return Device(i / kValues) + "/value-" + std::to_string(i % kValues);
    }

    mr_message *NewMessage(const std::string &topic) {
        mr_publish packet = {};
        packet.topic = Slice(topic);
        packet.payload = mr_slice_str("0123456789abcdef");
        mr_message *message = mr_message_new(pool_, &packet, 0, 0);
        Check(message != nullptr, "message");
        return message;
    }

    // How many messages match, taken in pieces of 64.
    uint64_t Match(const std::string &filter) {
        uint64_t count = 0;
        mr_retained_cursor cursor = {};
        while (!cursor.done) {
            Check(mr_retained_match(
                      store_, Slice(filter), 0, 64, &cursor,
                      [](void *ctx, mr_message *) { ++*static_cast<uint64_t *>(ctx); },
                      &count) == MR_OK,
                  "match");
        }
        return count;
    }

    uint64_t MessageCount() {
        struct mr_retained_stats stats;
        mr_retained_stats(store_, &stats);
        return stats.message_count;
    }

    mr_buf_pool *pool_ = nullptr;
    mr_retained *store_ = nullptr;
    std::vector<std::string> topics_;  // In random order.
    std::vector<mr_message *> messages_;
    std::mt19937_64 random_{7};
};

void ReplaceAtRandom(benchmark::State &state) {
    Plant &plant = Plant::Of(state);
    size_t i = 0;
    Loop loop(state);
    for (auto _ : loop) {
        Check(mr_retained_set(plant.store_, plant.messages_[i], Slice("")) == MR_OK, "set");
        i = i + 1 == plant.messages_.size() ? 0 : i + 1;
    }
    loop.Expect(plant.MessageCount() == plant.messages_.size(), "messages");
}

void AddAndRemoveAtRandom(benchmark::State &state) {
    Plant &plant = Plant::Of(state);
    size_t i = 0;
    Loop loop(state);
    for (auto _ : loop) {
        Check(mr_retained_remove(plant.store_, mr_message_topic(plant.messages_[i])), "set");
        Check(mr_retained_set(plant.store_, plant.messages_[i], Slice("")) == MR_OK, "set");
        i = i + 1 == plant.messages_.size() ? 0 : i + 1;
    }
    loop.Expect(plant.MessageCount() == plant.messages_.size(), "messages");
}

void MatchOneTopic(benchmark::State &state) {
    Plant &plant = Plant::Of(state);
    size_t i = 0;
    uint64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        found += plant.Match(plant.topics_[i]);
        i = i + 1 == plant.topics_.size() ? 0 : i + 1;
    }
    loop.Expect(found == uint64_t(loop.Operations()), "match");
}

// `plant/hall-1/device-7/#` among all: the cost of a small match in a large store.
void MatchOneDevice(benchmark::State &state) {
    Plant &plant = Plant::Of(state);
    uint32_t devices = uint32_t(state.range(0)) / kValues;
    uint32_t i = 0;
    uint64_t found = 0;
    Loop loop(state, kValues);
    for (auto _ : loop) {
        found += plant.Match(Plant::Device(i) + "/#");
        i = (i + 7919) % devices;
    }
    loop.Expect(found == uint64_t(loop.Operations()), "match");
}

// One value of each device: every '+' has to be tried.
void MatchOneValueOfAll(benchmark::State &state) {
    Plant &plant = Plant::Of(state);
    uint64_t devices = uint64_t(state.range(0)) / kValues;
    uint64_t found = 0;
    Loop loop(state, int64_t(devices));
    for (auto _ : loop) {
        found += plant.Match("plant/+/+/value-2");
    }
    loop.Expect(found == uint64_t(loop.Operations()), "match");
}

void MatchAll(benchmark::State &state) {
    Plant &plant = Plant::Of(state);
    uint64_t found = 0;
    Loop loop(state, int64_t(plant.topics_.size()));
    for (auto _ : loop) {
        found += plant.Match("#");
    }
    loop.Expect(found == uint64_t(loop.Operations()), "match");
}

void Sizes(benchmark::internal::Benchmark *benchmark) {
    benchmark->ArgNames({"messages", "plain"});
    for (int64_t messages : {1000, 100000, 1000000}) {
        benchmark->Args({messages, 0})->Args({messages, 1});
    }
}

BENCHMARK(ReplaceAtRandom)->Apply(Sizes);
BENCHMARK(AddAndRemoveAtRandom)->Apply(Sizes);
BENCHMARK(MatchOneTopic)->Apply(Sizes);
BENCHMARK(MatchOneDevice)->Apply(Sizes);
BENCHMARK(MatchOneValueOfAll)->Apply(Sizes);
BENCHMARK(MatchAll)->Apply(Sizes);

}  // namespace
