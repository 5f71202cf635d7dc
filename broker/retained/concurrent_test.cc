// Workers that set, remove, match and sweep at the same time, each with its own pool: what
// ThreadSanitizer is for, and AddressSanitizer for the messages' lives.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "broker/retained/internal.h"
#include "broker/retained/retained.h"
#include "broker/retained/testing.hh"
#include "codec/topic.h"

namespace {

using mr_testing::NewMessage;
using mr_testing::Seed;
using mr_testing::Slice;
using mr_testing::String;
using mr_testing::Topics;

constexpr int kWorkers = 4;

class RetainedConcurrent : public testing::Test {
 protected:
    void SetUp() override {
        mr_retained_options options = {};
        ASSERT_EQ(MR_OK, mr_retained_new(&store_, &options));
        for (mr_buf_pool *&pool : pools_) {
            mr_buf_pool_options pool_options = {};
            pool_options.cached_bytes_max = 1 << 20;
            ASSERT_EQ(MR_OK, mr_buf_pool_new(&pool, &pool_options));
        }
    }

    // The store is freed by a thread that has entered no pool, as at the end of the process.
    // Each pool then asserts that its messages came home.
    void TearDown() override {
        ASSERT_EQ(nullptr, mr_buf_pool_current);
        mr_retained_free(store_);
        for (mr_buf_pool *pool : pools_) {
            mr_buf_pool_free(pool);
        }
    }

    // Runs `work(worker, pool)` on all workers.
    void Run(const std::function<void(int, mr_buf_pool *)> &work) {
        std::vector<std::thread> threads;
        for (int i = 0; i < kWorkers; i++) {
            threads.emplace_back([&, i] {
                mr_buf_pool_enter(pools_[i]);
                work(i, pools_[i]);
                mr_buf_pool_enter(nullptr);
            });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
    }

    void Set(mr_buf_pool *pool, const std::string &topic, const std::string &payload,
             uint64_t expires_ms, const std::string &source) {
        mr_message *message = NewMessage(pool, topic, payload, expires_ms);
        ASSERT_NE(nullptr, message);
        EXPECT_EQ(MR_OK, mr_retained_set(store_, message, Slice(source)));
        mr_message_unref(message);
    }

    mr_retained *store_ = nullptr;
    mr_buf_pool *pools_[kWorkers] = {};
};

struct Seen {
    std::string filter;
    std::vector<mr_message *> kept;
    std::string last;
    uint32_t count = 0;
};

// A payload says which topic it belongs to.
void Look(void *ctx, mr_message *message) {
    auto *seen = static_cast<Seen *>(ctx);
    std::string topic = String(mr_message_topic(message));
    EXPECT_TRUE(mr_filter_matches(Slice(seen->filter), Slice(topic)));
    EXPECT_EQ(topic, String(mr_message_payload(message)));
    EXPECT_TRUE(seen->last.empty() || seen->last < topic);
    seen->last = topic;
    if (seen->count++ % 3 == 0) {
        seen->kept.push_back(mr_message_ref(message));
    }
}

TEST_F(RetainedConcurrent, GivesEveryWorkerWholeMessages) {
    uint64_t seed = Seed();
    Run([&](int worker, mr_buf_pool *pool) {
        Topics topics(seed + uint64_t(worker));
        Seen seen;
        for (int step = 0; step < 6000; step++) {
            std::string topic = topics.Topic();
            uint32_t action = topics.Below(20);
            if (action < 9) {
                Set(pool, topic, topic, topics.Below(2) == 0 ? uint64_t(step) : 0,
                    "source" + std::to_string(topics.Below(3)));
            } else if (action < 13) {
                mr_retained_remove(store_, Slice(topic));
            } else if (action < 19) {
                seen.filter = topics.Filter();
                seen.last.clear();
                mr_retained_cursor cursor = {};
                // Some give up half-way.
                for (uint32_t i = topics.Below(8) + 1; i > 0 && !cursor.done; i--) {
                    EXPECT_EQ(MR_OK, mr_retained_match(store_, Slice(seen.filter), uint64_t(step),
                                                       topics.Below(20), &cursor, Look, &seen));
                }
                mr_retained_cursor_fini(&cursor);
            } else {
                auto keep = [](void *ctx, const mr_message *, mr_slice source) {
                    return String(source) != *static_cast<std::string *>(ctx);
                };
                std::string revoked = "source" + std::to_string(topics.Below(10));
                mr_retained_sweep(store_, uint64_t(step), topics.Below(100), keep, &revoked);
            }
            while (seen.kept.size() > 50 || (step == 5999 && !seen.kept.empty())) {
                mr_message_unref(seen.kept.back());
                seen.kept.pop_back();
            }
            mr_buf_pool_collect(pool);
        }
    });
    struct mr_retained_stats stats;
    mr_retained_stats(store_, &stats);
    EXPECT_EQ(stats.message_count, mr_retained_tree_check(mr_retained_tree_of(store_)));
}

// Each worker's own topics are always there; it must see all of them, whatever the others do.
TEST_F(RetainedConcurrent, ReportsWhatStaysToEveryWorker) {
    Run([&](int worker, mr_buf_pool *pool) {
        std::string own = "own/" + std::to_string(worker) + "/";
        for (int i = 0; i < 100; i++) {
            Set(pool, own + std::to_string(i), own + std::to_string(i), 0, own);
        }
        for (int round = 0; round < 100; round++) {
            Seen seen;
            seen.filter = round % 2 == 0 ? own + "+" : own + "#";
            mr_retained_cursor cursor = {};
            while (!cursor.done) {
                EXPECT_EQ(MR_OK, mr_retained_match(store_, Slice(seen.filter), 0, 30, &cursor, Look,
                                                   &seen));
                // Replaced, and others come and go on both sides.
                std::string topic = own + std::to_string(round);
                Set(pool, topic, topic, 0, own);
                topic = "own/" + std::to_string(worker) + "0/" + std::to_string(round);
                Set(pool, topic, topic, 0, own);
                topic = "own/" + std::to_string(worker) + "0/" + std::to_string(round - 3);
                mr_retained_remove(store_, Slice(topic));
            }
            EXPECT_EQ(100u, seen.count);
            for (mr_message *message : seen.kept) {
                mr_message_unref(message);
            }
        }
    });
}

// Only one of those who remove a message can have done it.
TEST_F(RetainedConcurrent, LetsOneWorkerRemoveAMessage) {
    constexpr int kTopics = 2000;
    for (int i = 0; i < kTopics; i++) {
        mr_buf_pool_enter(pools_[0]);
        Set(pools_[0], std::to_string(i), "x", 0, "");
        mr_buf_pool_enter(nullptr);
    }
    std::atomic<int> removed{0};
    Run([&](int, mr_buf_pool *) {
        for (int i = 0; i < kTopics; i++) {
            removed += mr_retained_remove(store_, Slice(std::to_string(i))) ? 1 : 0;
        }
    });
    EXPECT_EQ(kTopics, removed.load());
    struct mr_retained_stats stats;
    mr_retained_stats(store_, &stats);
    EXPECT_EQ(0u, stats.message_count);
    EXPECT_EQ(0u, stats.message_bytes);
    EXPECT_EQ(0u, stats.buffer_bytes);
}

}  // namespace
