// What a million retained messages cost, counted twice: by the store, and by the allocator.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "broker/retained/retained.h"
#include "broker/retained/testing.hh"

namespace {

using mr_testing::NewMessage;
using mr_testing::Slice;

// Under a sanitizer the allocator is another one, and slow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kGlibcCounts = false;
constexpr int kTopics = 100000;
#else
constexpr bool kGlibcCounts = true;
constexpr int kTopics = 1000000;
#endif

// Index per topic beyond topic name, properties and payload, with who published.
constexpr double kIndexBytesMax = 100;

uint64_t Allocated() {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

struct Topic {
    std::string name;
    std::string source;
};

void Measure(const char *what, const std::vector<Topic> &topics, bool remove_most) {
    mr_buf_pool_options pool_options = {};
    pool_options.cached_bytes_max = MR_BUF_CACHE_NONE;  // Or it would count as the store's.
    mr_buf_pool *pool = nullptr;
    ASSERT_EQ(MR_OK, mr_buf_pool_new(&pool, &pool_options));
    mr_buf_pool_enter(pool);
    uint64_t allocated_before = Allocated();

    mr_retained_options options = {};
    mr_retained *store = nullptr;
    ASSERT_EQ(MR_OK, mr_retained_new(&store, &options));
    const std::string payload(16, 'x');
    for (const Topic &topic : topics) {
        mr_message *message = NewMessage(pool, topic.name, payload);
        ASSERT_NE(nullptr, message);
        ASSERT_EQ(MR_OK, mr_retained_set(store, message, Slice(topic.source)));
        mr_message_unref(message);
    }
    for (size_t i = 0; remove_most && i < topics.size(); i++) {
        if (i % 10 != 0) {
            ASSERT_TRUE(mr_retained_remove(store, Slice(topics[i].name)));
        }
    }
    struct mr_retained_stats stats;
    mr_retained_stats(store, &stats);
    double count = double(stats.message_count);
    double allocated = double(Allocated() - allocated_before);
    ASSERT_EQ(remove_most ? topics.size() / 10 : topics.size(), stats.message_count);
    std::printf(
        "%-42s %7.0f messages, each: content %5.1f, buffer %5.1f, index %5.1f; "
        "allocator %5.1f bytes\n",
        what, count, double(stats.message_bytes) / count, double(stats.buffer_bytes) / count,
        double(stats.overhead_bytes) / count, kGlibcCounts ? allocated / count : 0.0);
    EXPECT_LE(double(stats.overhead_bytes) / count, kIndexBytesMax);
    if (kGlibcCounts) {
        double counted = double(stats.overhead_bytes + stats.buffer_bytes);
        EXPECT_NEAR(1.0, counted / allocated, 0.02);
    }
    mr_retained_free(store);
    mr_buf_pool_enter(nullptr);
    mr_buf_pool_free(pool);
}

// Each device has four topics next to each other.
std::vector<Topic> DeviceTopics() {
    std::vector<Topic> topics;
    for (int i = 0; i < kTopics; i++) {
        std::string device = "device-" + std::to_string(1000000 + i / 4);
        topics.push_back({"plant/hall-" + std::to_string(i / 40000) + "/" + device + "/value-" +
                              std::to_string(i % 4),
                          device});
    }
    return topics;
}

void Shuffle(std::vector<Topic> *topics) {
    std::mt19937_64 random(7);
    std::shuffle(topics->begin(), topics->end(), random);
}

TEST(RetainedMemory, OfTopicsInOrder) {
    Measure("in order", DeviceTopics(), false);
}

TEST(RetainedMemory, OfTopicsAtRandom) {
    std::vector<Topic> topics = DeviceTopics();
    Shuffle(&topics);
    Measure("at random", topics, false);
}

TEST(RetainedMemory, OfTopicsThatEachHaveAnotherSource) {
    std::vector<Topic> topics = DeviceTopics();
    Shuffle(&topics);
    for (size_t i = 0; i < topics.size(); i++) {
        topics[i].source = "client-id-of-" + std::to_string(1000000000 + i);
    }
    Measure("at random, each its own source of 23 bytes", topics, false);
}

TEST(RetainedMemory, OfWhatIsLeftOfMany) {
    std::vector<Topic> topics = DeviceTopics();
    Shuffle(&topics);
    Measure("every tenth of them left", topics, true);
}

}  // namespace
