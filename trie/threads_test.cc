// The trie under concurrent change, against an oracle: subscriptions come and go in
// the order of their numbers, so that two counters read before a match and two read
// after it say which of them must be found, which must not, and which may.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "trie/cache.h"
#include "trie/test_model.hh"

namespace {

using mr_test::Parse;
using mr_test::Random;
using mr_test::Seed;
using mr_test::Slice;
using mr_test::Subscription;
using mr_test::Trie;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
const uint32_t kChanges = 6000;
#else
const uint32_t kChanges = 60000;
#endif
const uint32_t kWriters = 2;
const uint32_t kReaders = 2;

// How many were begun and how many are done; a number is between them only for as
// long as its change takes.
struct Progress {
    std::atomic<uint32_t> insert_begun{0};
    std::atomic<uint32_t> insert_done{0};
    std::atomic<uint32_t> remove_begun{0};
    std::atomic<uint32_t> remove_done{0};
};

// What a reader knows about one writer when it begins to match.
struct Before {
    uint32_t insert_done;
    uint32_t remove_done;
};

// Numbers from 1; writer `w` uses shard w + 1. Filters repeat, so that nodes come
// and go, and several subscribers share one.
class World {
 public:
    explicit World(uint64_t seed, uint32_t filter_count, uint32_t window)
        : window_(window), random_(seed) {
        for (uint32_t i = 0; i < filter_count; i++) {
            filters_.push_back(random_.Filter());
        }
        for (uint32_t i = 0; i < 200; i++) {
            topics_.push_back(random_.Topic());
        }
        for (uint32_t i = 0; i < filters_.size(); i++) {
            stable_.push_back(random_.Filter());
            trie_.Insert(stable_.back(), i + 1);
        }
        matches_.resize(topics_.size());
        for (size_t t = 0; t < topics_.size(); t++) {
            for (const std::string &text : filters_) {
                struct mr_filter filter = Parse(text);
                matches_[t].push_back(mr_filter_matches(filter.filter, Slice(topics_[t])));
            }
        }
    }

    void Write(uint32_t writer) {
        Progress &progress = progress_[writer];
        // Looking for the node to remove from is reading.
        uint32_t reader = 0;
        struct mr_epoch *epoch = mr_trie_epoch(trie_.get());
        ASSERT_EQ(mr_epoch_register(epoch, &reader), MR_OK);
        mr_epoch_enter(epoch, reader);
        for (uint32_t number = 1; number <= kChanges; number++) {
            progress.insert_begun.store(number);
            trie_.Insert(FilterOf(number), SubscriptionOf(writer, number));
            progress.insert_done.store(number);
            if (number > window_) {
                uint32_t old = number - window_;
                progress.remove_begun.store(old);
                trie_.Remove(FilterOf(old), mr_subscriber_make(writer + 1, old));
                progress.remove_done.store(old);
            }
            mr_epoch_quiescent(epoch, reader);
        }
        mr_epoch_unregister(epoch, reader);
        writers_left_--;
    }

    // Matches with and without a cache until the writers are done.
    void Read(uint64_t seed, bool with_cache) {
        uint32_t reader = 0;
        struct mr_epoch *epoch = mr_trie_epoch(trie_.get());
        ASSERT_EQ(mr_epoch_register(epoch, &reader), MR_OK);
        mr_epoch_enter(epoch, reader);
        std::array<struct mr_topic_cache *, kWriters + 1> caches{};
        for (uint32_t shard = 0; shard <= kWriters; shard++) {
            struct mr_topic_cache_options options = {shard, 100000, nullptr, nullptr};
            ASSERT_EQ(mr_topic_cache_new(&caches[shard], trie_.get(), &options), MR_OK);
        }
        Random random(seed);
        while (writers_left_.load() > 0) {
            uint32_t topic = random.Below(static_cast<uint32_t>(topics_.size()));
            if (with_cache) {
                ReadCached(topic, caches);
            } else {
                ReadUncached(topic);
            }
            if (random.Below(20) == 0) {
                mr_epoch_leave(epoch, reader);
                std::this_thread::yield();
                mr_epoch_enter(epoch, reader);
            } else {
                mr_epoch_quiescent(epoch, reader);
            }
        }
        for (struct mr_topic_cache *cache : caches) {
            mr_topic_cache_free(cache);
        }
        mr_epoch_unregister(epoch, reader);
    }

    void Run(uint64_t seed) {
        writers_left_ = kWriters;
        std::vector<std::thread> threads;
        for (uint32_t i = 0; i < kReaders; i++) {
            threads.emplace_back([this, seed, i] { Read(seed + i, i % 2 == 0); });
        }
        for (uint32_t i = 0; i < kWriters; i++) {
            threads.emplace_back([this, i] { Write(i); });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        EXPECT_EQ(trie_.Stats().retired_count, 0u);
        EXPECT_EQ(trie_.Stats().subscription_count, stable_.size() + kWriters * window_);
    }

 private:
    uint32_t FilterIndex(uint32_t number) const {
        return static_cast<uint32_t>((number * UINT64_C(2654435761) >> 7) % filters_.size());
    }

    const std::string &FilterOf(uint32_t number) const {
        return filters_[FilterIndex(number)];
    }

    // Identifier and QoS follow from the number: no reader may see a mixture.
    static struct mr_subscription SubscriptionOf(uint32_t writer, uint32_t number) {
        return Subscription(mr_subscriber_make(writer + 1, number), number % 3, number);
    }

    std::array<Before, kWriters> LookBefore() const {
        std::array<Before, kWriters> before{};
        for (uint32_t i = 0; i < kWriters; i++) {
            before[i].remove_done = progress_[i].remove_done.load();
            before[i].insert_done = progress_[i].insert_done.load();
        }
        return before;
    }

    // `found`: numbers of a writer's subscriptions, those behind shared filters excepted.
    void Check(uint32_t topic, uint32_t writer, const Before &before,
               const std::set<uint32_t> &found) const {
        uint32_t remove_begun = progress_[writer].remove_begun.load();
        uint32_t insert_begun = progress_[writer].insert_begun.load();
        for (uint32_t number : found) {
            ASSERT_GT(number, before.remove_done) << "was removed";
            ASSERT_LE(number, insert_begun) << "was not inserted yet";
            ASSERT_TRUE(matches_[topic][FilterIndex(number)]);
        }
        for (uint32_t number = remove_begun + 1; number <= before.insert_done; number++) {
            if (matches_[topic][FilterIndex(number)] && FilterOf(number)[0] != '$') {
                ASSERT_EQ(found.count(number), 1u) << FilterOf(number) << " " << topics_[topic];
            }
        }
    }

    void CheckStable(uint32_t topic, const std::set<uint32_t> &found) const {
        for (uint32_t i = 0; i < stable_.size(); i++) {
            struct mr_filter filter = Parse(stable_[i]);
            if (filter.share.data == nullptr) {
                ASSERT_EQ(found.count(i + 1) == 1,
                          mr_filter_matches(filter.filter, Slice(topics_[topic])));
            }
        }
    }

    static void CheckPick(struct mr_trie_node *node, const std::array<Before, kWriters> &before) {
        struct mr_subscription s;
        if (!mr_trie_node_pick(node, nullptr, nullptr, &s)) {
            return;  // Its last member is just leaving.
        }
        uint32_t shard = mr_subscriber_shard(s.subscriber);
        if (shard > 0) {
            uint32_t number = mr_subscriber_index(s.subscriber);
            ASSERT_EQ(s.subscription_id, number);
            ASSERT_EQ(s.qos, number % 3);
            ASSERT_GT(number, before[shard - 1].remove_done);
        }
    }

    void ReadUncached(uint32_t topic) {
        struct Found {
            std::array<std::set<uint32_t>, kWriters + 1> numbers;
            std::array<Before, kWriters> before;
        } found;
        found.before = LookBefore();
        struct mr_trie_visitor visitor = {
            &found,
            [](void *ctx, const struct mr_subscription *s) {
                uint32_t shard = mr_subscriber_shard(s->subscriber);
                uint32_t number = mr_subscriber_index(s->subscriber);
                if (shard > 0) {
                    ASSERT_EQ(s->subscription_id, number);
                    ASSERT_EQ(s->qos, number % 3);
                }
                ASSERT_TRUE(static_cast<Found *>(ctx)->numbers[shard].insert(number).second)
                    << "reported twice";
            },
            [](void *ctx, struct mr_trie_node *node) {
                CheckPick(node, static_cast<Found *>(ctx)->before);
            },
        };
        mr_trie_match(trie_.get(), Slice(topics_[topic]), &visitor);
        for (uint32_t i = 0; i < kWriters; i++) {
            Check(topic, i, found.before[i], found.numbers[i + 1]);
        }
        CheckStable(topic, found.numbers[0]);
    }

    void ReadCached(uint32_t topic,
                    const std::array<struct mr_topic_cache *, kWriters + 1> &caches) {
        for (uint32_t shard = 0; shard <= kWriters; shard++) {
            std::array<Before, kWriters> before = LookBefore();
            const struct mr_route *route =
                mr_topic_cache_lookup(caches[shard], Slice(topics_[topic]));
            std::set<uint32_t> found;
            for (uint32_t i = 0; i < route->target_count; i++) {
                ASSERT_EQ(mr_subscriber_shard(route->targets[i].subscriber), shard);
                found.insert(mr_subscriber_index(route->targets[i].subscriber));
            }
            for (uint32_t i = 0; i < route->shared_count; i++) {
                CheckPick(route->shared[i], before);
            }
            if (shard == 0) {
                CheckStable(topic, found);
            } else {
                Check(topic, shard - 1, before[shard - 1], found);
            }
        }
    }

    Trie trie_;
    uint32_t window_;
    Random random_;
    std::vector<std::string> filters_;
    std::vector<std::string> topics_;
    std::vector<std::string> stable_;  // Subscribed to from before to after.
    std::vector<std::vector<bool>> matches_;
    std::array<Progress, kWriters> progress_;
    std::atomic<uint32_t> writers_left_{0};
};

// Nodes and branches come and go all the time.
TEST(TrieThreads, ReadersSeeWhatIsThereWhileFiltersComeAndGo) {
    uint64_t seed = Seed();
    World(seed, 60, 20).Run(seed);
}

// Sets of subscribers grow into tables and back.
TEST(TrieThreads, ReadersSeeWhatIsThereWhileSubscribersComeAndGo) {
    uint64_t seed = Seed();
    World(seed, 4, 300).Run(seed);
}

// One big set, in parts.
TEST(TrieThreads, ReadersSeeAllOfABigFilterWhileItGrowsAndShrinks) {
    Trie trie;
    const uint32_t stable_count = 500;
    for (uint32_t i = 1; i <= stable_count; i++) {
        trie.Insert("a/+", Subscription(mr_subscriber_make(1, i)));
    }
    std::atomic<bool> is_over{false};
    std::thread reader([&] {
        uint32_t slot = 0;
        struct mr_epoch *epoch = mr_trie_epoch(trie.get());
        ASSERT_EQ(mr_epoch_register(epoch, &slot), MR_OK);
        mr_epoch_enter(epoch, slot);
        while (!is_over.load()) {
            uint32_t found = 0;
            struct mr_trie_visitor visitor = {&found,
                                              [](void *ctx, const struct mr_subscription *s) {
                                                  *static_cast<uint32_t *>(ctx) +=
                                                      mr_subscriber_shard(s->subscriber);
                                              },
                                              [](void *, struct mr_trie_node *) {}};
            mr_trie_match(trie.get(), mr_slice_str("a/b"), &visitor);
            ASSERT_EQ(found, stable_count);
            mr_epoch_quiescent(epoch, slot);
        }
        mr_epoch_unregister(epoch, slot);
    });
    for (int round = 0; round < 3; round++) {
        const uint32_t count = 6000;
        for (uint32_t i = 1; i <= count; i++) {
            trie.Insert("a/+", i);
        }
        for (uint32_t i = 1; i <= count; i++) {
            trie.Remove("a/+", i);
        }
    }
    is_over = true;
    reader.join();
}

// A reader of `trie` in its own thread: calls `read` until it is told to stop.
class ReaderThread {
 public:
    ReaderThread(struct mr_trie *trie, std::function<void()> read)
        : thread_([this, trie, read] {
              uint32_t slot = 0;
              struct mr_epoch *epoch = mr_trie_epoch(trie);
              ASSERT_EQ(mr_epoch_register(epoch, &slot), MR_OK);
              mr_epoch_enter(epoch, slot);
              while (!is_over_.load()) {
                  read();
                  mr_epoch_quiescent(epoch, slot);
              }
              mr_epoch_unregister(epoch, slot);
          }) {
    }
    ReaderThread(const ReaderThread &) = delete;
    ReaderThread &operator=(const ReaderThread &) = delete;
    ~ReaderThread() {
        is_over_ = true;
        thread_.join();
    }

 private:
    std::atomic<bool> is_over_{false};
    std::thread thread_;
};

// The writer waits after each change until a lookup was begun and ended, so that no
// other change can hide that an entry was wrongly taken for fresh.
TEST(TrieThreads, CacheKnowsEachChangeOnceItIsDone) {
    Trie trie;
    struct mr_topic_cache_options options = {0, 100000, nullptr, nullptr};
    struct mr_topic_cache *cache = nullptr;
    ASSERT_EQ(mr_topic_cache_new(&cache, trie.get(), &options), MR_OK);
    std::atomic<uint32_t> done{0};    // Changes. After an odd one there is a subscriber.
    std::atomic<uint32_t> looked{0};  // The last of them that a lookup was begun after.
    {
        ReaderThread reader(trie.get(), [&] {
            uint32_t before = done.load();
            const struct mr_route *route = mr_topic_cache_lookup(cache, mr_slice_str("a/b"));
            uint32_t found = route->target_count;
            if (looked.load() != before) {
                EXPECT_EQ(found, before % 2);
                looked = before;
            }
        });
        for (uint32_t i = 1; i <= kChanges / 2; i++) {
            const char *filter = (i - 1) / 2 % 2 == 0 ? "a/b" : "a/+";
            if (i % 2 == 1) {
                trie.Insert(filter, 1);
            } else {
                trie.Remove(filter, 1);
            }
            done = i;
            while (looked.load() != i) {
                std::this_thread::yield();
            }
        }
    }
    mr_topic_cache_free(cache);
}

uint32_t CountSubscriptions(struct mr_trie *trie, const char *topic) {
    uint32_t count = 0;
    struct mr_trie_visitor visitor = {
        &count, [](void *ctx, const struct mr_subscription *) { ++*static_cast<uint32_t *>(ctx); },
        [](void *, struct mr_trie_node *) {}};
    mr_trie_match(trie, mr_slice_str(topic), &visitor);
    return count;
}

// A reader may stand on a node while it is taken out of the chain of share names.
TEST(TrieThreads, SharedFiltersComeAndGoWithoutHidingTheirSiblings) {
    for (const std::string filter : {"a/b", "a/+"}) {
        Trie trie;
        trie.Insert(filter, 1);
        ReaderThread reader(trie.get(),
                            [&] { EXPECT_EQ(CountSubscriptions(trie.get(), "a/b"), 1u); });
        for (uint32_t i = 0; i < kChanges / 2; i++) {
            trie.Insert("$share/g/" + filter, 2);
            trie.Insert("$share/h/" + filter, 3);
            trie.Insert("$share/i/" + filter, 3);
            trie.Remove("$share/g/" + filter, 2);
            trie.Remove("$share/h/" + filter, 3);
            trie.Remove("$share/i/" + filter, 3);
        }
    }
}

// Tables grow, shrink and fill up with what was removed.
TEST(TrieThreads, ManyFiltersComeAndGoWithoutHidingOthers) {
    Trie trie;
    std::vector<std::string> topics;
    for (uint32_t i = 0; i < 300; i++) {
        topics.push_back("stable/" + std::to_string(i));
        trie.Insert(topics.back(), 1);
        trie.Insert(topics.back() + "/#", 2);
    }
    uint32_t next = 0;
    ReaderThread reader(trie.get(), [&] {
        next = (next + 1) % static_cast<uint32_t>(topics.size());
        EXPECT_EQ(CountSubscriptions(trie.get(), topics[next].c_str()), 2u);
    });
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < kChanges / 3; i++) {
            trie.Insert("stable/" + std::to_string(i) + "/x", 3);
            trie.Insert("stable/" + std::to_string(i) + "/+/x", 3);
        }
        for (uint32_t i = 0; i < kChanges / 3; i++) {
            trie.Remove("stable/" + std::to_string(i) + "/x", 3);
            trie.Remove("stable/" + std::to_string(i) + "/+/x", 3);
        }
    }
}

}  // namespace
