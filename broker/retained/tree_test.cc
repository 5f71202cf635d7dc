#include "broker/retained/tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "broker/retained/testing.hh"

namespace {

using mr_testing::NewMessage;
using mr_testing::Seed;
using mr_testing::Slice;
using mr_testing::String;
using mr_testing::Topics;

// The parameter: without heads?
class Tree : public testing::TestWithParam<bool> {
 protected:
    void SetUp() override {
        mr_buf_pool_options options = {};
        ASSERT_EQ(MR_OK, mr_buf_pool_new(&pool_, &options));
        mr_buf_pool_enter(pool_);
        memory_.allocations_left = MR_RETAINED_ALLOCATIONS_UNLIMITED;
        mr_retained_tree_init(&tree_, &memory_);
        tree_.plain = GetParam();
    }

    void TearDown() override {
        for (const auto &[topic, message] : model_) {
            mr_message_unref(message);
        }
        mr_retained_tree_fini(&tree_);
        EXPECT_EQ(0u, memory_.bytes);
        mr_buf_pool_enter(nullptr);
        mr_buf_pool_free(pool_);
    }

    void Insert(const std::string &topic) {
        mr_message *message = NewMessage(pool_, topic, "x");
        mr_retained_entry entry = {message, nullptr};
        ASSERT_EQ(nullptr, mr_retained_tree_find(&tree_, Slice(topic), nullptr));
        ASSERT_EQ(MR_OK, mr_retained_tree_insert(&tree_, &entry));
        model_[topic] = message;
    }

    void Remove(const std::string &topic) {
        mr_retained_entry entry = {};
        auto it = model_.find(topic);
        ASSERT_EQ(it != model_.end(), mr_retained_tree_remove(&tree_, Slice(topic), &entry));
        if (it != model_.end()) {
            ASSERT_EQ(it->second, entry.message);
            mr_message_unref(it->second);
            model_.erase(it);
        }
    }

    void ExpectFinds(const std::string &topic) {
        const mr_retained_entry *entry = mr_retained_tree_find(&tree_, Slice(topic), nullptr);
        auto it = model_.find(topic);
        ASSERT_EQ(it == model_.end() ? nullptr : it->second,
                  entry == nullptr ? nullptr : entry->message)
            << topic;
    }

    // Seeks to the text in every possible division into two pieces.
    void ExpectSeeks(const std::string &text) {
        for (bool above : {false, true}) {
            auto it = above ? model_.upper_bound(text) : model_.lower_bound(text);
            mr_message *expected = it == model_.end() ? nullptr : it->second;
            for (size_t i = 0; i <= text.size(); i++) {
                mr_topic_bound bound = {mr_slice_of(text.data(), i),
                                        mr_slice_of(text.data() + i, text.size() - i), above};
                mr_retained_place place = {};
                mr_retained_tree_seek(&tree_, &bound, &place);
                const mr_retained_entry *entry = mr_retained_place_entry(&place);
                ASSERT_EQ(expected, entry == nullptr ? nullptr : entry->message) << text;
            }
        }
    }

    void ExpectOrder() {
        mr_topic_bound first = mr_topic_bound_of(mr_slice_of(nullptr, 0), false);
        mr_retained_place place = {};
        mr_retained_tree_seek(&tree_, &first, &place);
        for (const auto &[topic, message] : model_) {
            ASSERT_NE(nullptr, place.leaf);
            ASSERT_EQ(message, mr_retained_place_entry(&place)->message);
            mr_retained_place_next(&place);
        }
        ASSERT_EQ(nullptr, place.leaf);
        ASSERT_EQ(model_.size(), mr_retained_tree_check(&tree_));
    }

    mr_buf_pool *pool_ = nullptr;
    mr_retained_memory memory_ = {};
    mr_retained_tree tree_ = {};
    std::map<std::string, mr_message *> model_;
};

INSTANTIATE_TEST_SUITE_P(WithHeadsAndPlain, Tree, testing::Bool(),
                         [](const auto &info) { return info.param ? "Plain" : "WithHeads"; });

TEST_P(Tree, TakesTopicsInOrderAndLeavesFullNodes) {
    for (int i = 100000; i < 140000; i++) {
        Insert("some/prefix/" + std::to_string(i));
    }
    ExpectOrder();
    // 20 bytes an entry, and the branches.
    EXPECT_LT(memory_.bytes, 40000u * 24u);
    ExpectFinds("some/prefix/100000");
    ExpectFinds("some/prefix/139999");
    ExpectFinds("some/prefix/140000");
}

TEST_P(Tree, TakesTopicsInReverseOrder) {
    for (int i = 40000; i > 10000; i--) {
        Insert(std::to_string(i));
    }
    ExpectOrder();
}

TEST_P(Tree, ShrinksWithItsContent) {
    std::vector<std::string> topics;
    for (int i = 0; i < 40000; i++) {
        topics.push_back("t/" + std::to_string(i * 7919 % 40000));
        Insert(topics.back());
    }
    uint64_t bytes_full = memory_.bytes;
    std::mt19937_64 random(Seed());
    std::shuffle(topics.begin(), topics.end(), random);
    while (model_.size() > 4000) {
        Remove(topics.back());
        topics.pop_back();
    }
    ExpectOrder();
    EXPECT_LT(memory_.bytes, bytes_full / 5);
    while (!topics.empty()) {
        Remove(topics.back());
        topics.pop_back();
    }
    ExpectOrder();
    EXPECT_EQ(0u, tree_.height);
    EXPECT_EQ(mr_retained_memory_cost(sizeof(mr_retained_leaf)), memory_.bytes);
}

// In an order in which each leaf keeps an entry as long as possible.
TEST_P(Tree, StandsRemovalOfAllButEveryHundredth) {
    for (int i = 0; i < 50000; i++) {
        Insert(std::to_string(1000000 + i));
    }
    for (int i = 0; i < 50000; i++) {
        if (i % 100 != 0) {
            Remove(std::to_string(1000000 + i));
        }
    }
    ExpectOrder();
    EXPECT_LT(memory_.bytes, 500u * 100u);
    for (int i = 0; i < 50000; i++) {
        if (i % 100 != 0) {
            Insert(std::to_string(1000000 + i));
        }
    }
    ExpectOrder();
}

// Branches that keep a single child, next to full ones: ranges come and go.
TEST_P(Tree, StandsRangesThatComeAndGo) {
    std::mt19937_64 random(Seed());
    for (int round = 0; round < 100; round++) {
        int from = int(random() % 20000);
        int to = from + int(random() % 2000);
        bool insert = random() % 2 == 0;
        for (int i = from; i < to; i++) {
            std::string topic = std::to_string(100000 + i);
            if (!insert) {
                Remove(topic);
            } else if (model_.count(topic) == 0) {
                Insert(topic);
            }
        }
        if (round % 10 == 0) {
            ExpectOrder();
        }
    }
    ExpectOrder();
}

TEST_P(Tree, DoesWhatAMapDoes) {
    Topics topics(Seed());
    // Long common beginnings, whole topics that others begin with, and high bytes.
    auto topic = [&topics] {
        std::string text(topics.Below(3) * 50, 'p');
        text += topics.Topic();
        if (topics.Below(3) == 0) {
            text += std::string(topics.Below(9), '\xff');
        }
        return text;
    };
    for (int step = 0; step < 20000; step++) {
        std::string text = topic();
        if (topics.Below(10) < (step / 5000 % 2 == 0 ? 8u : 3u)) {
            if (model_.count(text) == 0) {
                Insert(text);
            }
        } else {
            Remove(text);
        }
        ExpectFinds(topic());
        if (step % 20 == 0) {
            ExpectSeeks(topic());
        }
        if (step % 1000 == 0) {
            ExpectOrder();
        }
    }
    ExpectOrder();
}

TEST_P(Tree, FindsTheNeighboursOfWhatIsMissing) {
    Insert("b");
    Insert("d");
    mr_retained_entry *neighbors[2];
    EXPECT_EQ(nullptr, mr_retained_tree_find(&tree_, Slice("c"), neighbors));
    EXPECT_EQ(model_["b"], neighbors[0]->message);
    EXPECT_EQ(model_["d"], neighbors[1]->message);
    EXPECT_EQ(nullptr, mr_retained_tree_find(&tree_, Slice("a"), neighbors));
    EXPECT_EQ(nullptr, neighbors[0]);
    EXPECT_EQ(nullptr, mr_retained_tree_find(&tree_, Slice("e"), neighbors));
    EXPECT_EQ(nullptr, neighbors[1]);
}

TEST_P(Tree, SeeksForwardFromAnyPlace) {
    for (int i = 1000; i < 3000; i += 2) {
        Insert(std::to_string(i));
    }
    for (int from = 1000; from < 3000; from += 58) {
        for (int to = from; to < 3002; to++) {
            std::string from_text = std::to_string(from);
            std::string to_text = std::to_string(to);
            mr_topic_bound bound = mr_topic_bound_of(Slice(from_text), false);
            mr_retained_place place = {};
            mr_retained_tree_seek(&tree_, &bound, &place);
            bound = mr_topic_bound_of(Slice(to_text), false);
            mr_retained_tree_seek_forward(&tree_, &bound, &place);
            auto it = model_.lower_bound(to_text);
            const mr_retained_entry *entry = mr_retained_place_entry(&place);
            ASSERT_EQ(it == model_.end() ? nullptr : it->second,
                      entry == nullptr ? nullptr : entry->message);
        }
    }
}

TEST_P(Tree, StaysAsItWasWithoutMemory) {
    memory_.allocations_left = 0;
    mr_message *message = NewMessage(pool_, "a", "x");
    mr_retained_entry entry = {message, nullptr};
    EXPECT_EQ(MR_ERR_NOMEM, mr_retained_tree_insert(&tree_, &entry));
    EXPECT_EQ(0u, memory_.bytes);
    mr_message_unref(message);
    memory_.allocations_left = MR_RETAINED_ALLOCATIONS_UNLIMITED;
    // Far enough for three levels that all split at once.
    for (int i = 0; i < 33000; i++) {
        std::string topic = std::to_string(100000 + i);
        message = NewMessage(pool_, topic, "x");
        entry.message = message;
        uint64_t allowed = 0;
        mr_err err = MR_ERR_NOMEM;
        while (err == MR_ERR_NOMEM) {
            uint64_t bytes = memory_.bytes;
            memory_.allocations_left = allowed++;
            err = mr_retained_tree_insert(&tree_, &entry);
            ASSERT_TRUE(err == MR_OK || memory_.bytes == bytes);
        }
        ASSERT_EQ(MR_OK, err);
        model_[topic] = message;
    }
    ExpectOrder();
    EXPECT_GE(tree_.height, 3u);
}

}  // namespace
