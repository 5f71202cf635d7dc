// How long it takes to subscribe, to unsubscribe, to match and to look up in the cache,
// and what a subscription costs in memory, with few and with many subscriptions.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro/micro.hh"
#include "codec/topic.h"
#include "trie/cache.h"
#include "trie/trie.h"

namespace {

using micro::Check;
using micro::Loop;
using micro::Slice;

enum Kind {
    kExact,
    kWildcard,
    kOneFilter
};

std::string Filter(Kind kind, int64_t i) {
    char text[64];
    switch (kind) {
        case kExact:
            std::snprintf(text, sizeof(text), "building/12/sensor/%07d/co2", static_cast<int>(i));
            break;
        case kWildcard:
            std::snprintf(text, sizeof(text), "dev/%07d/+/cmd", static_cast<int>(i));
            break;
        case kOneFilter:
            std::snprintf(text, sizeof(text), "news/+/all");
            break;
    }
    return text;
}

std::string Topic(Kind kind, int64_t i) {
    char text[64];
    switch (kind) {
        case kExact:
            return Filter(kind, i);
        case kWildcard:
            std::snprintf(text, sizeof(text), "dev/%07d/pump/cmd", static_cast<int>(i));
            break;
        case kOneFilter:
            std::snprintf(text, sizeof(text), "news/sport/all");
            break;
    }
    return text;
}

// A trie with `count` subscriptions of one kind, and this thread as its reader.
class World {
 public:
    World(Kind kind, int64_t count) : kind_(kind) {
        struct mr_trie_options options = {0, 42};
        Check(mr_trie_new(&trie_, &options) == MR_OK, "new trie");
        epoch_ = mr_trie_epoch(trie_);
        Check(mr_epoch_register(epoch_, &reader_) == MR_OK, "reader");
        mr_epoch_enter(epoch_, reader_);
        struct mr_trie_stats stats;
        mr_trie_stats(trie_, &stats);
        empty_bytes_ = stats.bytes;
        for (int64_t i = 0; i < count; i++) {
            Insert(i);
            Quiescent();
        }
    }
    World(const World &) = delete;
    World &operator=(const World &) = delete;
    ~World() {
        mr_epoch_unregister(epoch_, reader_);
        mr_trie_free(trie_);
    }

    struct mr_trie *trie() const {
        return trie_;
    }

    void Quiescent() {
        mr_epoch_quiescent(epoch_, reader_);
    }

    struct mr_trie_node *Insert(int64_t i) {
        std::string text = Filter(kind_, i);
        struct mr_filter filter;
        mr_filter_parse(Slice(text), true, &filter);
        return InsertParsed(filter, i);
    }

    struct mr_trie_node *InsertParsed(const struct mr_filter &filter, int64_t i) {
        struct mr_subscription subscription = {static_cast<uint32_t>(i + 1), 0, 1, false, false};
        struct mr_trie_node *node = nullptr;
        bool existed = true;
        enum mr_err err = mr_trie_insert(trie_, &filter, &subscription, &node, &existed);
        Check(err == MR_OK && !existed, "insert");
        return node;
    }

    double BytesPerSubscription() {
        struct mr_trie_stats stats;
        mr_trie_stats(trie_, &stats);
        return static_cast<double>(stats.bytes - empty_bytes_) /
               static_cast<double>(stats.subscription_count);
    }

 private:
    Kind kind_;
    struct mr_trie *trie_ = nullptr;
    struct mr_epoch *epoch_ = nullptr;
    uint32_t reader_ = 0;
    uint64_t empty_bytes_ = 0;
};

// Made when first asked for and kept until another one is: a benchmark is called several times
// with more and more rounds, and must leave the trie as it was.
World &WorldOf(Kind kind, int64_t count) {
    static std::unique_ptr<World> world;
    static std::pair<Kind, int64_t> what;
    if (world == nullptr || what != std::pair(kind, count)) {
        world.reset();
        world = std::make_unique<World>(kind, count);
        what = {kind, count};
    }
    return *world;
}

// Topics in random order: a million subscriptions don't fit a processor's cache, and
// going through them in order would hide that. Made in that order, since a topic name
// itself comes from a packet that was just read. A million of them is enough.
std::vector<std::string> Shuffled(int64_t count, const std::function<std::string(int64_t)> &text) {
    int64_t kept = std::min<int64_t>(count, 1000000);
    std::vector<int64_t> order(static_cast<size_t>(kept));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    std::vector<std::string> texts;
    for (int64_t i : order) {
        texts.push_back(text(i * (count / kept)));
    }
    return texts;
}

// One subscription is added and removed behind `count` others.
void InsertRemove(benchmark::State &state, Kind kind, int64_t count) {
    World &world = WorldOf(kind, count);
    std::vector<std::string> texts;
    std::vector<struct mr_filter> filters(1024);
    for (size_t i = 0; i < filters.size(); i++) {
        texts.push_back(Filter(kind, count + static_cast<int64_t>(i)));
    }
    for (size_t i = 0; i < filters.size(); i++) {
        mr_filter_parse(Slice(texts[i]), true, &filters[i]);
    }
    int64_t i = 0;
    Loop loop(state);
    for (auto _ : loop) {
        struct mr_trie_node *node =
            world.InsertParsed(filters[static_cast<size_t>(i) % filters.size()], count + i);
        mr_trie_remove(world.trie(), node, static_cast<uint32_t>(count + i + 1));
        world.Quiescent();
        i++;
    }
    struct mr_trie_stats stats;
    mr_trie_stats(world.trie(), &stats);
    loop.Expect(stats.subscription_count == static_cast<uint64_t>(count), "insert and remove");
    state.counters["bytes_per_subscription"] = world.BytesPerSubscription();
}

// All subscriptions, one after the other, into an empty trie.
void InsertAll(benchmark::State &state, Kind kind, int64_t count) {
    double bytes = 0;
    Loop loop(state, count);
    for (auto _ : loop) {
        auto world = std::make_unique<World>(kind, count);
        loop.Pause();
        bytes = world->BytesPerSubscription();
        world.reset();
        loop.Resume();
    }
    loop.Expect(bytes > 0, "subscriptions");
    state.counters["bytes_per_subscription"] = bytes;
}

uint64_t Match(struct mr_trie *trie, const std::string &topic) {
    uint64_t found = 0;
    struct mr_trie_visitor visitor = {&found,
                                      [](void *ctx, const struct mr_subscription *subscription) {
                                          *static_cast<uint64_t *>(ctx) +=
                                              subscription->subscriber != 0;
                                      },
                                      [](void *, struct mr_trie_node *) {}};
    mr_trie_match(trie, Slice(topic), &visitor);
    return found;
}

void MatchHit(benchmark::State &state, Kind kind, int64_t count) {
    World &world = WorldOf(kind, count);
    std::vector<std::string> topics = Shuffled(count, [&](int64_t i) { return Topic(kind, i); });
    size_t i = 0;
    uint64_t found = 0;
    uint64_t expected = kind == kOneFilter ? static_cast<uint64_t>(count) : 1;
    Loop loop(state, static_cast<int64_t>(expected));
    for (auto _ : loop) {
        found += Match(world.trie(), topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    loop.Expect(found == static_cast<uint64_t>(loop.Operations()), "match");
}

void MatchMiss(benchmark::State &state, Kind kind, int64_t count) {
    World &world = WorldOf(kind, count);
    std::vector<std::string> topics =
        Shuffled(count, [&](int64_t i) { return Topic(kind, i) + "/x"; });
    size_t i = 0;
    uint64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        found += Match(world.trie(), topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    loop.Expect(found == 0, "no match");
}

class Cache {
 public:
    Cache(struct mr_trie *trie, uint64_t bytes_max) {
        struct mr_topic_cache_options options = {0, bytes_max, nullptr, nullptr};
        Check(mr_topic_cache_new(&cache_, trie, &options) == MR_OK, "new cache");
    }
    Cache(const Cache &) = delete;
    Cache &operator=(const Cache &) = delete;
    ~Cache() {
        mr_topic_cache_free(cache_);
    }

    uint32_t Lookup(struct mr_slice topic) {
        return mr_topic_cache_lookup(cache_, topic)->target_count;
    }
    uint32_t Lookup(const std::string &topic) {
        return Lookup(Slice(topic));
    }

    void Prefetch(const struct mr_slice *topics, size_t count) {
        mr_topic_cache_prefetch(cache_, topics, static_cast<uint32_t>(count));
    }

    struct mr_topic_cache_stats Stats() const {
        struct mr_topic_cache_stats stats;
        mr_topic_cache_stats(cache_, &stats);
        return stats;
    }

 private:
    struct mr_topic_cache *cache_ = nullptr;
};

const uint64_t kCacheBytes = UINT64_C(64) << 20;

// `topic_count` topics of a trie with `count` subscriptions are published to in turn.
void CacheHit(benchmark::State &state, int64_t count, int64_t topic_count) {
    World &world = WorldOf(kWildcard, count);
    Cache cache(world.trie(), kCacheBytes);
    std::vector<std::string> topics =
        Shuffled(topic_count, [&](int64_t i) { return Topic(kWildcard, i); });
    for (const std::string &topic : topics) {
        Check(cache.Lookup(topic) == 1, "cache miss");
    }
    size_t i = 0;
    uint64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        found += cache.Lookup(topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    loop.Expect(found == static_cast<uint64_t>(loop.Count()), "cache hit");
    loop.Expect(cache.Stats().hit_count == static_cast<uint64_t>(loop.Count()), "all are hits");
}

// Hits in a cache larger than the processor's, whose topics come in groups of `ahead`, for which
// the processor is asked first; 0: it isn't. What is timed includes asking.
void CacheAhead(benchmark::State &state, int64_t count, int64_t ahead) {
    World &world = WorldOf(kWildcard, count);
    Cache cache(world.trie(), kCacheBytes);
    std::vector<std::string> topics =
        Shuffled(std::min<int64_t>(count, 200000), [&](int64_t i) { return Topic(kWildcard, i); });
    std::string text;  // One behind the other, as in a receive buffer.
    for (const std::string &topic : topics) {
        Check(cache.Lookup(Slice(topic)) == 1, "cache miss");
        text += topic;
    }
    std::vector<struct mr_slice> slices;
    size_t used = 0;
    for (const std::string &topic : topics) {
        slices.push_back(mr_slice_of(&text[used], topic.size()));
        used += topic.size();
    }
    const size_t group = 16;
    size_t i = 0;
    uint64_t found = 0;
    Loop loop(state, group);
    for (auto _ : loop) {
        for (int64_t done = 0; ahead != 0 && done < static_cast<int64_t>(group); done += ahead) {
            cache.Prefetch(&slices[i + static_cast<size_t>(done)], static_cast<size_t>(ahead));
        }
        for (size_t j = 0; j < group; j++) {
            found += cache.Lookup(slices[i + j]);
        }
        i = i + 2 * group > slices.size() ? 0 : i + group;
    }
    loop.Expect(found == static_cast<uint64_t>(loop.Operations()), "cache hit");
}

// The same topics, each of which is looked at again since somebody has subscribed and
// unsubscribed elsewhere.
void CacheChurn(benchmark::State &state, int64_t count, int64_t topic_count) {
    World &world = WorldOf(kWildcard, count);
    Cache cache(world.trie(), kCacheBytes);
    std::vector<std::string> topics =
        Shuffled(topic_count, [&](int64_t i) { return Topic(kWildcard, i); });
    for (const std::string &topic : topics) {
        cache.Lookup(topic);
    }
    struct mr_trie_node *node = world.Insert(count);
    uint64_t found = 0;
    Loop loop(state, topic_count);
    for (auto _ : loop) {
        loop.Pause();
        mr_trie_remove(world.trie(), node, static_cast<uint32_t>(count + 1));
        node = world.Insert(count);
        world.Quiescent();
        loop.Resume();
        for (const std::string &topic : topics) {
            found += cache.Lookup(topic);
        }
    }
    uint64_t lookups = static_cast<uint64_t>(loop.Operations());
    loop.Expect(found == lookups, "cache under churn");
    loop.Expect(cache.Stats().revalidated_count + cache.Stats().stale_count == lookups,
                "each was looked at again");
    mr_trie_remove(world.trie(), node, static_cast<uint32_t>(count + 1));
    world.Quiescent();
}

// Publishers' topics as they come: few of them often, many of them rarely, more than fit the
// cache; and now and then one of the subscriptions that matter to them goes and comes back.
void CacheMixed(benchmark::State &state, int64_t count, int64_t churn_every) {
    World &world = WorldOf(kWildcard, count);
    Cache cache(world.trie(), UINT64_C(512) << 10);
    std::vector<std::string> topics =
        Shuffled(count, [&](int64_t i) { return Topic(kWildcard, i); });
    // The n-th topic is published to in proportion to 1/n.
    std::vector<double> weights(topics.size());
    for (size_t i = 0; i < weights.size(); i++) {
        weights[i] = 1.0 / static_cast<double>(i + 1);
    }
    std::discrete_distribution<size_t> distribution(weights.begin(), weights.end());
    std::mt19937 random(1);
    std::vector<size_t> order(1 << 16);
    std::generate(order.begin(), order.end(), [&] { return distribution(random); });
    struct mr_trie_node *node = world.Insert(count);
    size_t i = 0;
    uint64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        found += cache.Lookup(topics[order[i % order.size()]]);
        i++;
        if (churn_every != 0 && i % static_cast<size_t>(churn_every) == 0) {
            mr_trie_remove(world.trie(), node, static_cast<uint32_t>(count + 1));
            node = world.Insert(count);
            world.Quiescent();
        }
    }
    loop.Expect(found == static_cast<uint64_t>(loop.Count()), "each has one receiver");
    struct mr_topic_cache_stats stats = cache.Stats();
    uint64_t kept = stats.hit_count + stats.revalidated_count;
    loop.Expect(kept + stats.stale_count + stats.miss_count == found, "each was looked up");
    mr_trie_remove(world.trie(), node, static_cast<uint32_t>(count + 1));
    world.Quiescent();
    state.counters["hit_rate"] = static_cast<double>(kept) / static_cast<double>(found);
}

// A new topic each time, in a cache that is full: match, evict, keep.
void CacheMiss(benchmark::State &state, int64_t count) {
    World &world = WorldOf(kWildcard, count);
    Cache cache(world.trie(), 1 << 20);
    std::vector<std::string> topics = Shuffled(100000, [&](int64_t i) {
        return Topic(kWildcard, i % count).insert(12, "x" + std::to_string(i));
    });
    size_t i = 0;
    uint64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        found += cache.Lookup(topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    loop.Expect(found == static_cast<uint64_t>(loop.Count()), "cache miss");
    loop.Expect(cache.Stats().hit_count == 0, "none is a hit");
}

// Reference: the same million-filter match without a cache costs MatchHit.
void CacheOff(benchmark::State &state, int64_t count) {
    World &world = WorldOf(kWildcard, count);
    Cache cache(world.trie(), 0);
    std::vector<std::string> topics =
        Shuffled(count, [&](int64_t i) { return Topic(kWildcard, i); });
    size_t i = 0;
    uint64_t found = 0;
    Loop loop(state);
    for (auto _ : loop) {
        found += cache.Lookup(topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    loop.Expect(found == static_cast<uint64_t>(loop.Count()), "without a cache");
}

void RegisterTrie(const std::string &suffix, Kind kind, int64_t count) {
    benchmark::RegisterBenchmark(("InsertAll" + suffix).c_str(), InsertAll, kind, count);
    benchmark::RegisterBenchmark(("InsertRemove" + suffix).c_str(), InsertRemove, kind, count);
    benchmark::RegisterBenchmark(("MatchHit" + suffix).c_str(), MatchHit, kind, count);
    benchmark::RegisterBenchmark(("MatchMiss" + suffix).c_str(), MatchMiss, kind, count);
}

void RegisterCache(const std::string &size, int64_t count) {
    int64_t few = std::min<int64_t>(count, 1000);
    int64_t many = std::min<int64_t>(count, 100000);
    benchmark::RegisterBenchmark(("CacheHit/few" + size).c_str(), CacheHit, count, few);
    benchmark::RegisterBenchmark(("CacheHit/many" + size).c_str(), CacheHit, count, many);
    for (int64_t ahead : {0, 4, 16}) {
        benchmark::RegisterBenchmark(
            ("CacheAhead" + size + "/ahead:" + std::to_string(ahead)).c_str(), CacheAhead, count,
            ahead);
    }
    benchmark::RegisterBenchmark(("CacheChurn" + size).c_str(), CacheChurn, count, few);
    benchmark::RegisterBenchmark(("CacheMixed" + size).c_str(), CacheMixed, count, 0);
    benchmark::RegisterBenchmark(("CacheMixed/churn" + size).c_str(), CacheMixed, count, 100);
    benchmark::RegisterBenchmark(("CacheMiss" + size).c_str(), CacheMiss, count);
    benchmark::RegisterBenchmark(("CacheOff" + size).c_str(), CacheOff, count);
}

const bool registered = [] {
    for (int64_t count : {100, 10000, 1000000, 10000000}) {
        std::string size = "/" + std::to_string(count);
        RegisterTrie("/exact" + size, kExact, count);
        RegisterTrie("/wildcard" + size, kWildcard, count);
        if (count <= 1000000) {
            RegisterTrie("/one_filter" + size, kOneFilter, count);
            RegisterCache(size, count);
        }
    }
    return true;
}();

}  // namespace
