#include "trie/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "trie/test_model.hh"
#include "trie/testing.h"

namespace {

using mr_test::Match;
using mr_test::Matches;
using mr_test::Model;
using mr_test::NodeText;
using mr_test::Parse;
using mr_test::Random;
using mr_test::Row;
using mr_test::Seed;
using mr_test::Slice;
using mr_test::Subscription;
using mr_test::Trie;

class Cache {
 public:
    explicit Cache(Trie *trie, uint64_t bytes_max = 1 << 20, uint32_t shard = 0) {
        struct mr_topic_cache_options options = {shard, bytes_max, nullptr, nullptr};
        New(trie, &options);
    }
    Cache(Trie *trie, const struct mr_topic_cache_options &options) {
        New(trie, &options);
    }
    Cache(const Cache &) = delete;
    Cache &operator=(const Cache &) = delete;
    ~Cache() {
        mr_topic_cache_free(cache_);
    }

    struct mr_topic_cache *get() const {
        return cache_;
    }

    const struct mr_route *Lookup(const std::string &topic) {
        return mr_topic_cache_lookup(cache_, Slice(topic));
    }

    struct mr_topic_cache_stats Stats() const {
        struct mr_topic_cache_stats stats;
        mr_topic_cache_stats(cache_, &stats);
        return stats;
    }

 private:
    void New(Trie *trie, const struct mr_topic_cache_options *options) {
        if (mr_topic_cache_new(&cache_, trie->get(), options) != MR_OK) {
            std::abort();
        }
    }

    struct mr_topic_cache *cache_ = nullptr;
};

struct Receiver {
    uint32_t subscriber;
    int qos;
    int qos_own;
    bool retain_as_published;
    bool retain_as_published_own;
    std::multiset<uint32_t> ids;
    std::multiset<uint32_t> ids_own;

    bool operator==(const Receiver &other) const {
        return subscriber == other.subscriber && qos == other.qos && qos_own == other.qos_own &&
               retain_as_published == other.retain_as_published &&
               retain_as_published_own == other.retain_as_published_own && ids == other.ids &&
               ids_own == other.ids_own;
    }
};

std::ostream &operator<<(std::ostream &out, const Receiver &r) {
    out << r.subscriber << " qos " << r.qos << " own " << r.qos_own << " ids";
    for (uint32_t id : r.ids) {
        out << " " << id;
    }
    return out;
}

// The route, copied.
struct Route {
    std::vector<Receiver> receivers;
    std::multiset<std::string> shared;
    uint64_t other_shards = 0;

    bool operator==(const Route &other) const {
        return receivers == other.receivers && shared == other.shared &&
               other_shards == other.other_shards;
    }
};

std::ostream &operator<<(std::ostream &out, const Route &route) {
    for (const Receiver &receiver : route.receivers) {
        out << receiver << "; ";
    }
    return out << std::hex << route.other_shards << std::dec;
}

Route Copy(const struct mr_route *route) {
    Route copy;
    for (uint32_t i = 0; i < route->target_count; i++) {
        const struct mr_target &t = route->targets[i];
        const uint32_t *ids = route->ids + t.ids_index;
        copy.receivers.push_back({t.subscriber, t.qos, t.qos_own, t.retain_as_published,
                                  t.retain_as_published_own,
                                  std::multiset<uint32_t>(ids, ids + t.id_count),
                                  std::multiset<uint32_t>(ids, ids + t.id_count_own)});
    }
    for (uint32_t i = 0; i < route->shared_count; i++) {
        copy.shared.insert(NodeText(route->shared[i]));
    }
    copy.other_shards = route->other_shards;
    return copy;
}

// What a route has to be, from who matches.
Route Expected(const Matches &matches, uint32_t shard,
               const std::function<bool(uint32_t)> &may_receive = nullptr) {
    Route route;
    std::map<uint32_t, Receiver> receivers;
    for (const Row &row : matches.rows) {
        auto [subscriber, id, qos, no_local, retain_as_published] = row;
        if (mr_subscriber_shard(subscriber) != shard) {
            route.other_shards |= UINT64_C(1) << mr_subscriber_shard(subscriber);
            continue;
        }
        if (may_receive && !may_receive(subscriber)) {
            continue;
        }
        auto it =
            receivers.try_emplace(subscriber, Receiver{subscriber, 0, -1, false, false, {}, {}});
        Receiver &receiver = it.first->second;
        receiver.qos = std::max(receiver.qos, qos);
        receiver.retain_as_published |= retain_as_published;
        if (id != 0) {
            receiver.ids.insert(id);
        }
        if (!no_local) {
            receiver.qos_own = std::max(receiver.qos_own, qos);
            receiver.retain_as_published_own |= retain_as_published;
            if (id != 0) {
                receiver.ids_own.insert(id);
            }
        }
    }
    for (auto &[subscriber, receiver] : receivers) {
        receiver.qos_own = receiver.qos_own < 0 ? MR_TARGET_NONE : receiver.qos_own;
        route.receivers.push_back(receiver);
    }
    route.shared = matches.shared;
    return route;
}

// [MQTT-3.3.4-2] [MQTT-3.3.4-3]
TEST(TopicCache, MergesOverlappingSubscriptionsOfAReceiver) {
    Trie trie;
    trie.Insert("a/b", Subscription(7, 0, 11));
    trie.Insert("a/+", Subscription(7, 2, 12, false, true));
    trie.Insert("a/#", Subscription(7, 1));
    trie.Insert("a/+", Subscription(3, 1, 12));
    Cache cache(&trie);
    Route route = Copy(cache.Lookup("a/b"));
    ASSERT_EQ(route.receivers.size(), 2u);
    EXPECT_EQ(route.receivers[0], (Receiver{3, 1, 1, false, false, {12}, {12}}));
    EXPECT_EQ(route.receivers[1], (Receiver{7, 2, 2, true, true, {11, 12}, {11, 12}}));
}

// Section 3.3.4: the same identifier for several matching subscriptions comes as often.
TEST(TopicCache, KeepsEqualIdentifiersOfOverlappingSubscriptions) {
    Trie trie;
    trie.Insert("a/b", Subscription(7, 0, 11));
    trie.Insert("a/+", Subscription(7, 0, 11));
    Cache cache(&trie);
    EXPECT_EQ(Copy(cache.Lookup("a/b")).receivers[0].ids, (std::multiset<uint32_t>{11, 11}));
}

// [MQTT-3.8.3-3]
TEST(TopicCache, OwnMessagesSkipNoLocalSubscriptions) {
    Trie trie;
    trie.Insert("a/b", Subscription(7, 2, 11, true));
    trie.Insert("a/+", Subscription(8, 2, 11, true));
    trie.Insert("a/#", Subscription(8, 1, 12, false));
    Cache cache(&trie);
    Route route = Copy(cache.Lookup("a/b"));
    ASSERT_EQ(route.receivers.size(), 2u);
    EXPECT_EQ(route.receivers[0], (Receiver{7, 2, MR_TARGET_NONE, false, false, {11}, {}}));
    EXPECT_EQ(route.receivers[1], (Receiver{8, 2, 1, false, false, {11, 12}, {12}}));
}

TEST(TopicCache, SplitsByShard) {
    Trie trie;
    trie.Insert("a", mr_subscriber_make(0, 5));
    trie.Insert("a", mr_subscriber_make(3, 5));
    trie.Insert("+", mr_subscriber_make(63, 9));
    Cache cache(&trie, 1 << 20, 3);
    const struct mr_route *route = cache.Lookup("a");
    ASSERT_EQ(route->target_count, 1u);
    EXPECT_EQ(route->targets[0].subscriber, mr_subscriber_make(3, 5));
    EXPECT_EQ(route->other_shards, UINT64_C(1) | UINT64_C(1) << 63);
}

TEST(TopicCache, TopicWithoutReceiversIsKeptToo) {
    Trie trie;
    Cache cache(&trie);
    EXPECT_EQ(Copy(cache.Lookup("a")), Route{});
    EXPECT_EQ(Copy(cache.Lookup("a")), Route{});
    EXPECT_EQ(cache.Stats().hit_count, 1u);
    EXPECT_EQ(cache.Stats().miss_count, 1u);
    EXPECT_EQ(cache.Stats().entry_count, 1u);
}

TEST(TopicCache, SerialsNameFills) {
    Trie trie;
    Cache cache(&trie);
    uint64_t first = cache.Lookup("a")->serial;
    EXPECT_NE(first, 0u);
    EXPECT_EQ(cache.Lookup("a")->serial, first);
    uint64_t second = cache.Lookup("b")->serial;
    EXPECT_NE(second, first);
    trie.Insert("a", 1);
    uint64_t third = cache.Lookup("a")->serial;
    EXPECT_NE(third, first);
    EXPECT_NE(third, second);
    EXPECT_EQ(cache.Lookup("b")->serial, second);
}

TEST(TopicCache, ChangesElsewhereLeaveEntriesValid) {
    Trie trie;
    trie.Insert("stable/+/x", 1);
    Cache cache(&trie);
    for (int i = 0; i < 100; i++) {
        cache.Lookup("stable/" + std::to_string(i) + "/x");
    }
    for (int round = 0; round < 50; round++) {
        trie.Insert("churn/" + std::to_string(round) + "/+", 2);
        trie.Insert("churn/" + std::to_string(round), 2);
        for (int i = 0; i < 100; i++) {
            cache.Lookup("stable/" + std::to_string(i) + "/x");
        }
    }
    struct mr_topic_cache_stats stats = cache.Stats();
    // 100 changes, each on one of 65,536 counters of which 500 are watched.
    EXPECT_LE(stats.stale_count, 200u);
    EXPECT_EQ(stats.miss_count, 100u);
    EXPECT_EQ(stats.revalidated_count + stats.stale_count, 5000u);
}

TEST(TopicCache, RelatedChangesAreSeenAtOnce) {
    Trie trie;
    Cache cache(&trie);
    EXPECT_EQ(cache.Lookup("a/b")->target_count, 0u);
    trie.Insert("a/b", 1);
    EXPECT_EQ(cache.Lookup("a/b")->target_count, 1u);
    trie.Insert("a/+", 2);
    EXPECT_EQ(cache.Lookup("a/b")->target_count, 2u);
    trie.Insert("#", Subscription(2, 2));
    EXPECT_EQ(cache.Lookup("a/b")->targets[1].qos, 2u);
    trie.Insert("#", Subscription(2, 1));
    EXPECT_EQ(cache.Lookup("a/b")->targets[1].qos, 1u);
    trie.Remove("a/b", 1);
    EXPECT_EQ(cache.Lookup("a/b")->target_count, 1u);
    trie.Insert("$share/g/a/#", 1);
    EXPECT_EQ(cache.Lookup("a/b")->shared_count, 1u);
    trie.Remove("$share/g/a/#", 1);
    EXPECT_EQ(cache.Lookup("a/b")->shared_count, 0u);
    EXPECT_EQ(cache.Stats().stale_count, 7u);
}

// A stale entry goes when its topic is matched again: the new one doesn't stand beside it.
TEST(TopicCache, StaleEntriesAreReplaced) {
    Trie trie;
    Cache cache(&trie);
    trie.Insert("a/b", 1000);
    cache.Lookup("a/b");
    uint64_t bytes = cache.Stats().bytes;
    for (uint32_t i = 1; i <= 100; i++) {
        trie.Insert("a/b", i);
        EXPECT_EQ(cache.Lookup("a/b")->target_count, 2u);
        EXPECT_EQ(cache.Stats().entry_count, 1u);
        trie.Remove("a/b", i);
        EXPECT_EQ(cache.Lookup("a/b")->target_count, 1u);
        EXPECT_EQ(cache.Stats().entry_count, 1u);
        EXPECT_EQ(cache.Stats().bytes, bytes);
    }
    EXPECT_EQ(cache.Stats().stale_count, 200u);
    EXPECT_EQ(cache.Stats().evicted_count, 0u);
}

TEST(TopicCache, MemoryStaysWithinItsBound) {
    Trie trie;
    trie.Insert("#", 1);
    for (uint64_t bytes_max : {0u, 100u, 1000u, 4096u, 20000u, 100000u, 400000u}) {
        Cache cache(&trie, bytes_max);
        for (int i = 0; i < 5000; i++) {
            ASSERT_EQ(
                cache.Lookup("some/topic/name/" + std::to_string(i * 7919 % 5003))->target_count,
                1u);
            ASSERT_LE(cache.Stats().bytes, bytes_max);
        }
        struct mr_topic_cache_stats stats = cache.Stats();
        EXPECT_EQ(stats.entry_count + stats.evicted_count + stats.uncached_count, 5000u);
        if (bytes_max >= 4096) {
            // Entries of this kind cost about 200 bytes with their place in the index, and
            // a nearly empty partition of the index 80 more.
            EXPECT_GE(stats.entry_count, bytes_max / 400);
        }
        mr_topic_cache_clear(cache.get());
        EXPECT_EQ(cache.Stats().bytes, 0u);
        EXPECT_EQ(cache.Stats().entry_count, 0u);
    }
}

// Topics that are kept, evicted, unknown and empty, in small and large caches.
TEST(TopicCache, PrefetchingChangesNothing) {
    Trie trie;
    trie.Insert("+/#", 1);
    for (uint64_t bytes_max : {0u, 1000u, 100000u, 1000000u, 4000000u}) {
        Cache cache(&trie, bytes_max);
        for (int i = 0; i < 10000; i++) {
            std::string topic = "some/topic/" + std::to_string(i);
            std::vector<std::string> texts = {topic, "", "some/topic/0", "$x", topic + "/x"};
            std::vector<struct mr_slice> topics;
            while (topics.size() < MR_TOPIC_CACHE_PREFETCH_MAX) {
                topics.push_back(Slice(texts[topics.size() % texts.size()]));
            }
            struct mr_topic_cache_stats before = cache.Stats();
            mr_topic_cache_prefetch(cache.get(), topics.data(),
                                    static_cast<uint32_t>(i % (topics.size() + 1)));
            struct mr_topic_cache_stats after = cache.Stats();
            ASSERT_EQ(memcmp(&before, &after, sizeof(before)), 0);
            ASSERT_EQ(cache.Lookup(topic)->target_count, 1u);
        }
        if (bytes_max >= 4000000) {
            EXPECT_GT(cache.Stats().bytes, UINT64_C(1) << 20);
        }
    }
}

TEST(TopicCache, EntriesInUseOutliveTheOthers) {
    Trie trie;
    Cache cache(&trie, 64 << 10);
    int hot_misses = 0;
    for (int i = 0; i < 20000; i++) {
        cache.Lookup("cold/" + std::to_string(i));
        uint64_t misses = cache.Stats().miss_count;
        cache.Lookup("hot/" + std::to_string(i % 20));
        hot_misses += cache.Stats().miss_count != misses;
    }
    EXPECT_GT(cache.Stats().evicted_count, 10000u);
    EXPECT_EQ(hot_misses, 20);
}

// What was in use once goes when it isn't any more. Without that, entries that were used twice
// would stay for ever, and the cache would be of no use to those that came later.
TEST(TopicCache, EntriesThatWereInUseMakeWayForThoseThatAre) {
    Trie trie;
    Cache cache(&trie, 64 << 10);
    int cold = 0;
    for (int phase = 0; phase < 4; phase++) {
        std::string prefix = "hot/" + std::to_string(phase) + "/";
        uint64_t misses = 0;
        for (int round = 0; round < 12; round++) {
            for (int i = 0; i < 150; i++) {
                uint64_t before = cache.Stats().miss_count;
                cache.Lookup(prefix + std::to_string(i));
                // At first what was hot before has to be found out.
                misses += round < 6 ? 0 : cache.Stats().miss_count - before;
                if (i % 5 == 0) {
                    cache.Lookup("cold/" + std::to_string(cold++));
                }
            }
        }
        EXPECT_EQ(misses, 0u) << "phase " << phase;
    }
    EXPECT_GT(cache.Stats().evicted_count, 500u);
}

TEST(TopicCache, ResultsThatAreTooLargeAreServedAllTheSame) {
    Trie trie;
    for (uint32_t i = 1; i <= 3000; i++) {
        trie.Insert("big", Subscription(i, 1, i));
    }
    Cache cache(&trie, 20000);
    cache.Lookup("small");
    for (int i = 0; i < 3; i++) {
        Route route = Copy(cache.Lookup("big"));
        ASSERT_EQ(route.receivers.size(), 3000u);
        for (uint32_t j = 0; j < 3000; j++) {
            ASSERT_EQ(route.receivers[j], (Receiver{j + 1, 1, 1, false, false, {j + 1}, {j + 1}}));
        }
    }
    struct mr_topic_cache_stats stats = cache.Stats();
    EXPECT_EQ(stats.uncached_count, 3u);
    EXPECT_EQ(stats.evicted_count, 0u);
    EXPECT_EQ(stats.entry_count, 1u);
    EXPECT_GT(stats.scratch_bytes, 3000 * sizeof(struct mr_target));
}

// One large result must not throw out all the others, also if there would be room for it alone.
TEST(TopicCache, ResultsOfMoreThanHalfOfTheMemoryAreNotKept) {
    constexpr uint64_t kBytesMax = 40000;
    auto fill = [](Trie *trie, const std::string &topic, uint32_t bytes) {
        for (uint32_t i = 1; i <= bytes / sizeof(struct mr_target); i++) {
            trie->Insert(topic, i);
        }
    };
    Trie trie;
    fill(&trie, "more", kBytesMax / 8 * 5);
    fill(&trie, "less", kBytesMax / 8 * 3);
    Cache cache(&trie, kBytesMax);
    for (int i = 0; i < 10; i++) {
        cache.Lookup("small/" + std::to_string(i));
    }
    for (int i = 0; i < 3; i++) {
        cache.Lookup("more");
    }
    EXPECT_EQ(cache.Stats().uncached_count, 3u);
    EXPECT_EQ(cache.Stats().evicted_count, 0u);
    EXPECT_EQ(cache.Stats().entry_count, 10u);
    for (int i = 0; i < 3; i++) {
        cache.Lookup("less");
    }
    EXPECT_EQ(cache.Stats().uncached_count, 3u);
    EXPECT_EQ(cache.Stats().entry_count, 11u);
    EXPECT_EQ(cache.Stats().hit_count, 2u);
}

TEST(TopicCache, WithoutMemoryForEntriesItStillAnswers) {
    Trie trie;
    trie.Insert("a/+", 1);
    Cache cache(&trie);
    cache.Lookup("a/b");
    mr_topic_cache_test_limit_allocations(cache.get(), 0);
    EXPECT_EQ(cache.Lookup("a/b")->target_count, 1u);
    EXPECT_EQ(cache.Lookup("a/c"), nullptr);
    mr_topic_cache_test_limit_allocations(cache.get(), UINT64_MAX);
    EXPECT_EQ(cache.Lookup("a/c")->target_count, 1u);
    EXPECT_EQ(cache.Lookup("a/d")->target_count, 1u);
    EXPECT_EQ(cache.Stats().uncached_count, 1u);
}

TEST(TopicCache, AsksWhoMayReceiveOncePerFill) {
    Trie trie;
    for (uint32_t i = 1; i <= 100; i++) {
        trie.Insert("a/+", i);
        trie.Insert("a/b", Subscription(i, 1, i));
    }
    trie.Insert("a/+", mr_subscriber_make(1, 2));
    int asked = 0;
    struct mr_topic_cache_options options = {
        0, 1 << 20,
        [](void *ctx, uint32_t subscriber, struct mr_slice topic) {
            EXPECT_TRUE(mr_slice_eq(topic, mr_slice_str("a/b")));
            ++*static_cast<int *>(ctx);
            return subscriber % 3 == 0;
        },
        &asked};
    Cache cache(&trie, options);
    for (int i = 0; i < 2; i++) {
        Route route = Copy(cache.Lookup("a/b"));
        ASSERT_EQ(route.receivers.size(), 33u);
        for (const Receiver &receiver : route.receivers) {
            EXPECT_EQ(receiver.subscriber % 3, 0u);
            EXPECT_EQ(receiver.ids, (std::multiset<uint32_t>{receiver.subscriber}));
        }
        EXPECT_EQ(route.other_shards, 2u);
    }
    EXPECT_EQ(asked, 100);
    mr_topic_cache_clear(cache.get());
    cache.Lookup("a/b");
    EXPECT_EQ(asked, 200);
}

TEST(TopicCache, AgreesWithTheDefinitionUnderRandomChanges) {
    uint64_t seed = Seed();
    Random random(seed);
    for (int round = 0; round < 12; round++) {
        Trie trie;
        Model model;
        auto may_receive = [](void *, uint32_t subscriber, struct mr_slice) {
            return subscriber % 11 != 0;
        };
        struct mr_topic_cache_options small = {1, 3000, may_receive, nullptr};
        struct mr_topic_cache_options large = {0, 1 << 20, may_receive, nullptr};
        Cache caches[2] = {{&trie, large}, {&trie, small}};
        std::vector<std::pair<std::string, uint32_t>> held;
        for (int step = 0; step < 500; step++) {
            if (held.empty() || random.Below(100) < 60) {
                std::string filter = random.Filter();
                struct mr_subscription s =
                    Subscription(mr_subscriber_make(random.Below(3), 1 + random.Below(12)),
                                 static_cast<uint8_t>(random.Below(3)), random.Below(3),
                                 random.Below(2) == 0, random.Below(2) == 0);
                if (!model.Insert(filter, s)) {
                    held.emplace_back(filter, s.subscriber);
                }
                trie.Insert(filter, s);
            } else {
                size_t at = random.Below(static_cast<uint32_t>(held.size()));
                trie.Remove(held[at].first, held[at].second);
                model.Remove(held[at].first, held[at].second);
                held[at] = held.back();
                held.pop_back();
            }
            for (int i = 0; i < 3; i++) {
                std::string topic = random.Topic();
                for (uint32_t shard = 0; shard < 2; shard++) {
                    ASSERT_EQ(
                        Copy(caches[shard].Lookup(topic)),
                        Expected(model.Match(topic), shard, [](uint32_t s) { return s % 11 != 0; }))
                        << topic;
                }
            }
        }
        struct mr_topic_cache_stats stats = caches[0].Stats();
        EXPECT_EQ(stats.hit_count + stats.miss_count + stats.stale_count + stats.revalidated_count,
                  1500u);
        EXPECT_GT(stats.stale_count, 0u);
        EXPECT_GT(stats.revalidated_count, 0u);
        EXPECT_GT(caches[1].Stats().evicted_count, 0u);
    }
}

// Sizes on both sides of where sorting changes, in random order of subscribers.
TEST(TopicCache, TargetsAreInOrderOfSubscribers) {
    Random random(Seed());
    for (uint32_t count : {1u, 2u, 47u, 48u, 49u, 300u, 70000u}) {
        Trie trie;
        std::set<uint32_t> subscribers;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t subscriber = mr_subscriber_make(5, 1 + random.Below(0xfffffe));
            subscribers.insert(subscriber);
            trie.Insert("a/b", Subscription(subscriber, 1, 1 + random.Below(1000000)));
            trie.Insert("a/+", Subscription(subscriber, 0, 1 + random.Below(1000000)));
        }
        Cache cache(&trie, 1 << 24, 5);
        const struct mr_route *route = cache.Lookup("a/b");
        ASSERT_EQ(route->target_count, subscribers.size());
        uint32_t i = 0;
        for (uint32_t subscriber : subscribers) {
            ASSERT_EQ(route->targets[i].subscriber, subscriber);
            ASSERT_EQ(route->targets[i].id_count, 2u);
            i++;
        }
    }
}

}  // namespace
