#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "broker/session/session.h"

namespace {

// Only the address counts.
mr_trie_node *Node(uint32_t number) {
    return reinterpret_cast<mr_trie_node *>(uintptr_t{0x100000} + number * uintptr_t{16});
}

std::multiset<mr_trie_node *> Walk(const mr_subscription_set &set) {
    std::multiset<mr_trie_node *> found;
    uint32_t index = 0;
    while (mr_trie_node *node = mr_subscription_set_next(&set, &index)) {
        found.insert(node);
    }
    EXPECT_EQ(mr_subscription_set_next(&set, &index), nullptr);
    return found;
}

TEST(SubscriptionSet, IsEmptyAtFirstAndHoldsNothing) {
    mr_subscription_set set = {nullptr, 0, 0};
    EXPECT_FALSE(mr_subscription_set_has(&set, Node(1)));
    EXPECT_TRUE(Walk(set).empty());
    mr_subscription_set_remove(&set, Node(1));
    EXPECT_EQ(set.nodes, nullptr);
    mr_subscription_set_fini(&set);
}

TEST(SubscriptionSet, AddsTwiceAsOnce) {
    for (uint32_t count : {3, 100}) {
        mr_subscription_set set = {nullptr, 0, 0};
        for (int round = 0; round < 2; round++) {
            for (uint32_t i = 0; i < count; i++) {
                ASSERT_EQ(mr_subscription_set_add(&set, Node(i)), MR_OK);
            }
        }
        EXPECT_EQ(set.count, count);
        EXPECT_EQ(Walk(set).size(), count);
        mr_subscription_set_remove(&set, Node(count));
        EXPECT_EQ(set.count, count);
        mr_subscription_set_fini(&set);
        EXPECT_EQ(set.capacity, 0u);
    }
}

TEST(SubscriptionSet, AgreesWithASetWhateverIsAddedAndRemoved) {
    std::mt19937 random(11);
    for (uint32_t range : {5, 16, 17, 40, 3000}) {
        mr_subscription_set set = {nullptr, 0, 0};
        std::set<mr_trie_node *> expected;
        for (uint32_t step = 0; step < 20000; step++) {
            bool growing = step / 4000 % 2 == 0;
            mr_trie_node *node = Node(random() % range);
            if (random() % 3 != 0 ? growing : !growing) {
                ASSERT_EQ(mr_subscription_set_add(&set, node), MR_OK);
                expected.insert(node);
            } else {
                mr_subscription_set_remove(&set, node);
                expected.erase(node);
            }
            ASSERT_EQ(set.count, expected.size());
            mr_trie_node *other = Node(random() % range);
            ASSERT_EQ(mr_subscription_set_has(&set, other), expected.count(other) == 1);
            if (step % 512 == 0) {
                ASSERT_EQ(Walk(set),
                          std::multiset<mr_trie_node *>(expected.begin(), expected.end()));
            }
        }
        // What was large gives its memory back.
        while (!expected.empty()) {
            mr_subscription_set_remove(&set, *expected.begin());
            expected.erase(expected.begin());
        }
        EXPECT_EQ(set.count, 0u);
        EXPECT_LE(set.capacity, 16u);
        mr_subscription_set_fini(&set);
    }
}

}  // namespace
