// How long it takes to subscribe, to unsubscribe, to match and to look up in the cache,
// and what a subscription costs in memory, with few and with many subscriptions.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "codec/topic.h"
#include "trie/cache.h"
#include "trie/trie.h"

namespace {

struct mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

// A wrong result makes the number worthless.
void Check(bool condition, const char *what) {
    if (!condition) {
        std::fprintf(stderr, "wrong result: %s\n", what);
        std::exit(1);
    }
}

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

// Topics in random order: a million subscriptions don't fit a processor's cache, and
// going through them in order would hide that. Made in that order, since a topic name
// itself comes from a packet that was just read.
std::vector<std::string> Shuffled(int64_t count, const std::function<std::string(int64_t)> &text) {
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    std::vector<std::string> texts;
    for (int64_t i : order) {
        texts.push_back(text(i));
    }
    return texts;
}

// One subscription is added and removed behind `count` others.
void InsertRemove(benchmark::State &state, Kind kind, int64_t count) {
    World world(kind, count);
    std::vector<std::string> texts;
    std::vector<struct mr_filter> filters(1024);
    for (size_t i = 0; i < filters.size(); i++) {
        texts.push_back(Filter(kind, count + static_cast<int64_t>(i)));
    }
    for (size_t i = 0; i < filters.size(); i++) {
        mr_filter_parse(Slice(texts[i]), true, &filters[i]);
    }
    int64_t i = 0;
    for (auto _ : state) {
        struct mr_trie_node *node =
            world.InsertParsed(filters[static_cast<size_t>(i) % filters.size()], count + i);
        mr_trie_remove(world.trie(), node, static_cast<uint32_t>(count + i + 1));
        world.Quiescent();
        i++;
    }
    struct mr_trie_stats stats;
    mr_trie_stats(world.trie(), &stats);
    Check(stats.subscription_count == static_cast<uint64_t>(count), "insert and remove");
    state.counters["bytes_per_subscription"] = world.BytesPerSubscription();
}

// All subscriptions, one after the other, into an empty trie.
void InsertAll(benchmark::State &state, Kind kind, int64_t count) {
    double bytes = 0;
    for (auto _ : state) {
        auto world = std::make_unique<World>(kind, count);
        state.PauseTiming();
        bytes = world->BytesPerSubscription();
        world.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * count);
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
    World world(kind, count);
    std::vector<std::string> topics = Shuffled(count, [&](int64_t i) { return Topic(kind, i); });
    size_t i = 0;
    uint64_t found = 0;
    uint64_t expected = kind == kOneFilter ? static_cast<uint64_t>(count) : 1;
    for (auto _ : state) {
        found += Match(world.trie(), topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    Check(found == static_cast<uint64_t>(state.iterations()) * expected, "match");
}

void MatchMiss(benchmark::State &state, Kind kind, int64_t count) {
    World world(kind, count);
    std::vector<std::string> topics =
        Shuffled(count, [&](int64_t i) { return Topic(kind, i) + "/x"; });
    size_t i = 0;
    uint64_t found = 0;
    for (auto _ : state) {
        found += Match(world.trie(), topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    Check(found == 0, "no match");
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

    uint32_t Lookup(const std::string &topic) {
        return mr_topic_cache_lookup(cache_, Slice(topic))->target_count;
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
    World world(kWildcard, count);
    Cache cache(world.trie(), kCacheBytes);
    std::vector<std::string> topics =
        Shuffled(topic_count, [&](int64_t i) { return Topic(kWildcard, i); });
    for (const std::string &topic : topics) {
        Check(cache.Lookup(topic) == 1, "cache miss");
    }
    size_t i = 0;
    uint64_t found = 0;
    for (auto _ : state) {
        found += cache.Lookup(topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    Check(found == static_cast<uint64_t>(state.iterations()), "cache hit");
    Check(cache.Stats().hit_count == static_cast<uint64_t>(state.iterations()), "all are hits");
}

// The same topics, each of which is looked at again since somebody has subscribed and
// unsubscribed elsewhere.
void CacheChurn(benchmark::State &state, int64_t count, int64_t topic_count) {
    World world(kWildcard, count);
    Cache cache(world.trie(), kCacheBytes);
    std::vector<std::string> topics =
        Shuffled(topic_count, [&](int64_t i) { return Topic(kWildcard, i); });
    for (const std::string &topic : topics) {
        cache.Lookup(topic);
    }
    struct mr_trie_node *node = world.Insert(count);
    uint64_t found = 0;
    for (auto _ : state) {
        state.PauseTiming();
        mr_trie_remove(world.trie(), node, static_cast<uint32_t>(count + 1));
        node = world.Insert(count);
        world.Quiescent();
        state.ResumeTiming();
        for (const std::string &topic : topics) {
            found += cache.Lookup(topic);
        }
    }
    uint64_t lookups = static_cast<uint64_t>(state.iterations()) * topics.size();
    Check(found == lookups, "cache under churn");
    Check(cache.Stats().revalidated_count + cache.Stats().stale_count == lookups,
          "each was looked at again");
    state.SetItemsProcessed(static_cast<int64_t>(lookups));
}

// A new topic each time, in a cache that is full: match, evict, keep.
void CacheMiss(benchmark::State &state, int64_t count) {
    World world(kWildcard, count);
    Cache cache(world.trie(), 1 << 20);
    std::vector<std::string> topics = Shuffled(100000, [&](int64_t i) {
        return Topic(kWildcard, i % count).insert(12, "x" + std::to_string(i));
    });
    size_t i = 0;
    uint64_t found = 0;
    for (auto _ : state) {
        found += cache.Lookup(topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    Check(found == static_cast<uint64_t>(state.iterations()), "cache miss");
    Check(cache.Stats().hit_count == 0, "none is a hit");
}

// Reference: the same million-filter match without a cache costs MatchHit.
void CacheOff(benchmark::State &state, int64_t count) {
    World world(kWildcard, count);
    Cache cache(world.trie(), 0);
    std::vector<std::string> topics =
        Shuffled(count, [&](int64_t i) { return Topic(kWildcard, i); });
    size_t i = 0;
    uint64_t found = 0;
    for (auto _ : state) {
        found += cache.Lookup(topics[i]);
        i = i + 1 == topics.size() ? 0 : i + 1;
    }
    Check(found == static_cast<uint64_t>(state.iterations()), "without a cache");
}

void Register(const std::vector<int64_t> &counts) {
    struct {
        const char *name;
        Kind kind;
    } kinds[] = {{"exact", kExact}, {"wildcard", kWildcard}, {"one_filter", kOneFilter}};
    for (int64_t count : counts) {
        std::string size = "/" + std::to_string(count);
        for (const auto &[name, kind] : kinds) {
            std::string suffix = "/" + std::string(name) + size;
            benchmark::RegisterBenchmark(("InsertRemove" + suffix).c_str(), InsertRemove, kind,
                                         count);
            benchmark::RegisterBenchmark(("InsertAll" + suffix).c_str(), InsertAll, kind, count);
            benchmark::RegisterBenchmark(("MatchHit" + suffix).c_str(), MatchHit, kind, count);
            benchmark::RegisterBenchmark(("MatchMiss" + suffix).c_str(), MatchMiss, kind, count);
        }
        int64_t few = std::min<int64_t>(count, 1000);
        int64_t many = std::min<int64_t>(count, 100000);
        benchmark::RegisterBenchmark(("CacheHit/few" + size).c_str(), CacheHit, count, few);
        benchmark::RegisterBenchmark(("CacheHit/many" + size).c_str(), CacheHit, count, many);
        benchmark::RegisterBenchmark(("CacheChurn" + size).c_str(), CacheChurn, count, few);
        benchmark::RegisterBenchmark(("CacheMiss" + size).c_str(), CacheMiss, count);
        benchmark::RegisterBenchmark(("CacheOff" + size).c_str(), CacheOff, count);
    }
}

}  // namespace

int main(int argc, char **argv) {
    Register({100, 10000, 1000000});
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
