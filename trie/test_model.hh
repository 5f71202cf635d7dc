// For tests: a trie that cannot be wrong, since it asks the definition of a match for
// each filter; and random filters and topic names that often collide.
#ifndef MILLRACE_TRIE_TEST_MODEL_HH
#define MILLRACE_TRIE_TEST_MODEL_HH

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "trie/trie.h"

namespace mr_test {

inline struct mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

// `text` must outlive the result.
inline struct mr_filter Parse(const std::string &text) {
    struct mr_filter filter;
    mr_filter_parse(Slice(text), true, &filter);
    return filter;
}

inline uint64_t Seed() {
    const char *text = std::getenv("MILLRACE_SEED");
    uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return seed;
}

inline struct mr_subscription Subscription(uint32_t subscriber, uint8_t qos = 0, uint32_t id = 0,
                                           bool no_local = false,
                                           bool retain_as_published = false) {
    return {subscriber, id, qos, no_local, retain_as_published};
}

// Comparable: subscriber, identifier, QoS, No Local, Retain As Published.
using Row = std::tuple<uint32_t, uint32_t, int, bool, bool>;

inline Row ToRow(const struct mr_subscription &s) {
    return {s.subscriber, s.subscription_id, s.qos, s.no_local, s.retain_as_published};
}

// Who matches a topic.
struct Matches {
    std::multiset<Row> rows;
    std::multiset<std::string> shared;

    bool operator==(const Matches &other) const {
        return rows == other.rows && shared == other.shared;
    }
};

inline std::ostream &operator<<(std::ostream &out, const Matches &matches) {
    for (const Row &row : matches.rows) {
        out << "(" << std::hex << std::get<0>(row) << std::dec << " id " << std::get<1>(row)
            << " qos " << std::get<2>(row) << ") ";
    }
    for (const std::string &shared : matches.shared) {
        out << shared << " ";
    }
    return out;
}

class Model {
 public:
    // Returns whether it replaced one.
    bool Insert(const std::string &filter, const struct mr_subscription &s) {
        return !filters_[filter].insert_or_assign(s.subscriber, ToRow(s)).second;
    }

    bool Has(const std::string &filter, uint32_t subscriber) const {
        auto it = filters_.find(filter);
        return it != filters_.end() && it->second.count(subscriber) > 0;
    }

    void Remove(const std::string &filter, uint32_t subscriber) {
        auto it = filters_.find(filter);
        it->second.erase(subscriber);
        if (it->second.empty()) {
            filters_.erase(it);
        }
    }

    Matches Match(const std::string &topic) const {
        Matches matches;
        for (const auto &[text, members] : filters_) {
            struct mr_filter filter = Parse(text);
            if (!mr_filter_matches(filter.filter, Slice(topic))) {
                continue;
            }
            if (filter.share.data != nullptr) {
                matches.shared.insert(text);
                continue;
            }
            for (const auto &[subscriber, row] : members) {
                matches.rows.insert(row);
            }
        }
        return matches;
    }

    const std::map<std::string, std::map<uint32_t, Row>> &filters() const {
        return filters_;
    }

    size_t SubscriptionCount() const {
        size_t count = 0;
        for (const auto &[text, members] : filters_) {
            count += members.size();
        }
        return count;
    }

 private:
    std::map<std::string, std::map<uint32_t, Row>> filters_;
};

inline std::string NodeText(const struct mr_trie_node *node) {
    std::string text(mr_trie_node_text(node, nullptr, 0), '\0');
    mr_trie_node_text(node, reinterpret_cast<uint8_t *>(&text[0]), text.size());
    return text;
}

inline Matches Match(struct mr_trie *trie, const std::string &topic) {
    Matches matches;
    struct mr_trie_visitor visitor = {
        &matches,
        [](void *ctx, const struct mr_subscription *s) {
            static_cast<Matches *>(ctx)->rows.insert(ToRow(*s));
        },
        [](void *ctx, struct mr_trie_node *node) {
            static_cast<Matches *>(ctx)->shared.insert(NodeText(node));
        },
    };
    mr_trie_match(trie, Slice(topic), &visitor);
    return matches;
}

// Random text over few, short levels.
class Random {
 public:
    explicit Random(uint64_t seed) : engine_(seed) {
    }

    uint32_t Below(uint32_t limit) {
        return static_cast<uint32_t>(engine_() % limit);
    }

    std::string Topic() {
        for (;;) {
            std::string text = Levels(0);
            if (!text.empty()) {
                return text;
            }
        }
    }

    std::string Filter() {
        for (;;) {
            std::string text = Levels(30);
            if (Below(5) == 0) {
                text += "/#";
            } else if (Below(40) == 0) {
                text = "#";
            }
            if (Below(5) == 0) {
                text = std::string("$share/") + (Below(2) == 0 ? "g" : "h") + "/" + text;
            }
            if (Parse(text).kind != MR_FILTER_INVALID) {
                return text;
            }
        }
    }

 private:
    std::string Levels(uint32_t plus_percent) {
        static const char *const levels[] = {"a", "b", "", "$a", "ab"};
        std::string text;
        uint32_t count = 1 + Below(5);
        for (uint32_t i = 0; i < count; i++) {
            text += i > 0 ? "/" : "";
            text += Below(100) < plus_percent ? "+" : levels[Below(5)];
        }
        return text;
    }

    std::mt19937_64 engine_;
};

// A trie that is freed in the end, with helpers that take text.
class Trie {
 public:
    explicit Trie(uint64_t subscriptions_max = 0) {
        struct mr_trie_options options = {subscriptions_max, 42};
        if (mr_trie_new(&trie_, &options) != MR_OK) {
            std::abort();
        }
    }
    Trie(const Trie &) = delete;
    Trie &operator=(const Trie &) = delete;
    ~Trie() {
        mr_trie_free(trie_);
    }

    struct mr_trie *get() const {
        return trie_;
    }

    enum mr_err TryInsert(const std::string &text, const struct mr_subscription &s,
                          bool *existed = nullptr) {
        struct mr_filter filter = Parse(text);
        struct mr_trie_node *node = nullptr;
        bool existed_here = false;
        enum mr_err err = mr_trie_insert(trie_, &filter, &s, &node, &existed_here);
        if (existed != nullptr) {
            *existed = existed_here;
        }
        return err;
    }

    // Returns whether it replaced one.
    bool Insert(const std::string &text, const struct mr_subscription &s) {
        bool existed = false;
        if (TryInsert(text, s, &existed) != MR_OK) {
            std::abort();
        }
        return existed;
    }

    bool Insert(const std::string &text, uint32_t subscriber) {
        return Insert(text, Subscription(subscriber));
    }

    struct mr_trie_node *Find(const std::string &text) {
        struct mr_filter filter = Parse(text);
        return mr_trie_find(trie_, &filter);
    }

    void Remove(const std::string &text, uint32_t subscriber) {
        mr_trie_remove(trie_, Find(text), subscriber);
    }

    struct mr_trie_stats Stats() {
        struct mr_trie_stats stats;
        mr_trie_stats(trie_, &stats);
        return stats;
    }

 private:
    struct mr_trie *trie_ = nullptr;
};

}  // namespace mr_test

#endif  // MILLRACE_TRIE_TEST_MODEL_HH
