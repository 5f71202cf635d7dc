// What a million subscriptions cost. `bytes` of mr_trie_stats has to be honest, so it
// is compared with what the C library says.
#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>

#include "trie/test_model.hh"

namespace {

using mr_test::Subscription;
using mr_test::Trie;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
const uint32_t kCount = 100000;
#else
const uint32_t kCount = 1000000;
#endif

template <typename FilterOf>
void Measure(const char *what, double bytes_max, FilterOf filter_of) {
    uint64_t heap_before = mallinfo2().uordblks + mallinfo2().hblkhd;
    auto trie = std::make_unique<Trie>();
    uint64_t empty_bytes = trie->Stats().bytes;
    double worst = 0;
    for (uint32_t i = 1; i <= kCount; i++) {
        trie->Insert(filter_of(i), Subscription(i, 1, i));
        // Growth must not need much more in between either.
        if (i % 1024 == 0 && i >= kCount / 2) {
            worst = std::max(worst, static_cast<double>(trie->Stats().bytes - empty_bytes) / i);
        }
    }
    double counted = static_cast<double>(trie->Stats().bytes - empty_bytes) / kCount;
    std::cout << what << ": " << counted << " bytes per subscription, at worst " << worst
              << ", empty trie " << empty_bytes << std::endl;
    EXPECT_LE(counted, bytes_max);
    EXPECT_LE(worst, bytes_max);
    uint64_t heap = mallinfo2().uordblks + mallinfo2().hblkhd;
    if (heap > heap_before + kCount) {  // Else another allocator is in use.
        double real = static_cast<double>(heap - heap_before - empty_bytes) / kCount;
        std::cout << what << ": " << real << " by the C library" << std::endl;
        EXPECT_NEAR(real, counted, counted / 20);
    }
    for (uint32_t i = 1; i <= kCount; i++) {
        trie->Remove(filter_of(i), i);
    }
    EXPECT_LE(trie->Stats().bytes, empty_bytes + 100);
    EXPECT_EQ(trie->Stats().node_count, 0u);
}

TEST(TrieBytes, DistinctFiltersWithoutWildcard) {
    Measure("exact", 150, [](uint32_t i) {
        std::string number = std::to_string(i);
        return "building/12/sensor/" + std::string(7 - number.size(), '0') + number + "/co2";
    });
}

TEST(TrieBytes, DistinctFiltersWithWildcard) {
    Measure("wildcard", 150, [](uint32_t i) { return "dev/" + std::to_string(i) + "/+/cmd"; });
}

TEST(TrieBytes, DistinctFiltersThatShareBranches) {
    // Half a branch more for each.
    Measure("wildcard in pairs", 180, [](uint32_t i) {
        return "dev/" + std::to_string(i / 2) + (i % 2 == 0 ? "/+/cmd" : "/state/#");
    });
}

TEST(TrieBytes, OneFilterWithAllSubscribers) {
    Measure("one filter", 20, [](uint32_t) { return std::string("news/+/all"); });
}

TEST(TrieBytes, OneSharedFilterWithAllSubscribers) {
    Measure("one shared filter", 20, [](uint32_t) { return std::string("$share/g/news/all"); });
}

}  // namespace
