#include "broker/retained/retained.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/retained/internal.h"
#include "broker/retained/testing.hh"
#include "codec/topic.h"

namespace {

using mr_testing::NewMessage;
using mr_testing::Seed;
using mr_testing::Slice;
using mr_testing::String;
using mr_testing::Topics;

using Names = std::vector<std::string>;

struct Seen {
    Names topics;
    Names payloads;
};

void Note(void *ctx, mr_message *message) {
    auto *seen = static_cast<Seen *>(ctx);
    seen->topics.push_back(String(mr_message_topic(message)));
    seen->payloads.push_back(String(mr_message_payload(message)));
}

class Retained : public testing::Test {
 protected:
    void SetUp() override {
        mr_buf_pool_options options = {};
        ASSERT_EQ(MR_OK, mr_buf_pool_new(&pool_, &options));
        mr_buf_pool_enter(pool_);
        Open();
    }

    // Freeing the pool asserts that every message came home.
    void TearDown() override {
        mr_retained_free(store_);
        mr_buf_pool_enter(nullptr);
        mr_buf_pool_free(pool_);
    }

    void Open(uint64_t messages_max = 0, uint64_t bytes_max = 0) {
        mr_retained_free(store_);
        mr_retained_options options = {};
        options.messages_max = messages_max;
        options.bytes_max = bytes_max;
        ASSERT_EQ(MR_OK, mr_retained_new(&store_, &options));
    }

    mr_err Set(const std::string &topic, const std::string &payload = "x", uint64_t expires_ms = 0,
               const std::string &source = "") {
        mr_message *message = NewMessage(pool_, topic, payload, expires_ms);
        mr_err err = mr_retained_set(store_, message, Slice(source));
        mr_message_unref(message);
        return err;
    }

    bool Remove(const std::string &topic) {
        return mr_retained_remove(store_, Slice(topic));
    }

    Seen Match(const std::string &filter, uint64_t now_ms = 0, uint32_t count_max = 1000) {
        Seen seen;
        mr_retained_cursor cursor = {};
        while (!cursor.done) {
            size_t before = seen.topics.size();
            EXPECT_EQ(MR_OK, mr_retained_match(store_, Slice(filter), now_ms, count_max, &cursor,
                                               Note, &seen));
            EXPECT_LE(seen.topics.size() - before, count_max);
        }
        EXPECT_EQ(nullptr, cursor.after);
        mr_retained_cursor_fini(&cursor);
        return seen;
    }

    Names Topics(const std::string &filter, uint64_t now_ms = 0) {
        return Match(filter, now_ms).topics;
    }

    struct mr_retained_stats Stats() {
        struct mr_retained_stats stats;
        mr_retained_stats(store_, &stats);
        return stats;
    }

    uint64_t InUse() {
        mr_buf_stats stats;
        mr_buf_pool_stats(pool_, &stats);
        return stats.in_use_count;
    }

    mr_buf_pool *pool_ = nullptr;
    mr_retained *store_ = nullptr;
};

TEST_F(Retained, IsEmptyAtFirst) {
    EXPECT_EQ(Names(), Topics("#"));
    EXPECT_FALSE(Remove("a"));
    EXPECT_EQ(0u, Stats().message_count);
    EXPECT_EQ(0u, Stats().overhead_bytes);
}

// [MQTT-3.3.1-5]: the last message of each topic name.
TEST_F(Retained, KeepsTheLastMessageOfATopic) {
    EXPECT_EQ(MR_OK, Set("a", "first"));
    EXPECT_EQ(MR_OK, Set("a", "second"));
    EXPECT_EQ(Names({"second"}), Match("a").payloads);
    EXPECT_EQ(1u, Stats().message_count);
    EXPECT_EQ(7u, Stats().message_bytes);
    EXPECT_EQ(1u, InUse());
}

TEST_F(Retained, KeepsTheVeryMessageAndNoCopy) {
    mr_message *message = NewMessage(pool_, "a", "x");
    ASSERT_EQ(MR_OK, mr_retained_set(store_, message, Slice("")));
    struct Got {
        mr_message *message;
    } got = {};
    mr_retained_cursor cursor = {};
    auto keep = [](void *ctx, mr_message *m) {
        static_cast<Got *>(ctx)->message = mr_message_ref(m);
    };
    ASSERT_EQ(MR_OK, mr_retained_match(store_, Slice("a"), 0, 1, &cursor, keep, &got));
    EXPECT_TRUE(cursor.done);
    EXPECT_EQ(message, got.message);
    EXPECT_TRUE(Remove("a"));
    EXPECT_EQ("x", String(mr_message_payload(got.message)));
    mr_message_unref(got.message);
    mr_message_unref(message);
    EXPECT_EQ(0u, InUse());
}

// [MQTT-3.3.1-6]
TEST_F(Retained, ForgetsWhatIsRemoved) {
    EXPECT_EQ(MR_OK, Set("a"));
    EXPECT_EQ(MR_OK, Set("b"));
    EXPECT_TRUE(Remove("a"));
    EXPECT_FALSE(Remove("a"));
    EXPECT_EQ(Names({"b"}), Topics("#"));
    EXPECT_EQ(1u, Stats().message_count);
    EXPECT_EQ(2u, Stats().message_bytes);
}

// [MQTT-3.3.1-7]
TEST_F(Retained, RefusesAMessageWithoutPayload) {
    EXPECT_EQ(MR_OK, Set("a", "x"));
    EXPECT_EQ(MR_ERR_INVALID, Set("a", ""));
    EXPECT_EQ(Names({"x"}), Match("a").payloads);
}

TEST_F(Retained, MatchesTheExamplesOfTheStandard) {
    for (const char *topic :
         {"sport", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking",
          "sport/tennis/player2", "sports", "/finance", "$SYS/monitor/Clients", "$SYS"}) {
        ASSERT_EQ(MR_OK, Set(topic));
    }
    // Section 4.7.1.2.
    EXPECT_EQ(Names({"sport", "sport/tennis", "sport/tennis/player1",
                     "sport/tennis/player1/ranking", "sport/tennis/player2"}),
              Topics("sport/#"));
    EXPECT_EQ(Names({"sport/tennis/player1", "sport/tennis/player1/ranking"}),
              Topics("sport/tennis/player1/#"));
    // Section 4.7.1.3.
    EXPECT_EQ(Names({"sport/tennis/player1", "sport/tennis/player2"}), Topics("sport/tennis/+"));
    EXPECT_EQ(Names({"/finance"}), Topics("/+"));
    EXPECT_EQ(Names({"/finance", "sport/tennis"}), Topics("+/+"));
    EXPECT_EQ(Names({"sport", "sports"}), Topics("+"));
    // [MQTT-4.7.2-1]
    EXPECT_EQ(7u, Topics("#").size());
    EXPECT_EQ(Names(), Topics("+/monitor/Clients"));
    EXPECT_EQ(Names({"$SYS", "$SYS/monitor/Clients"}), Topics("$SYS/#"));
    EXPECT_EQ(Names({"$SYS/monitor/Clients"}), Topics("$SYS/monitor/+"));
}

TEST_F(Retained, ReportsInPiecesWhatAWholeMatchWould) {
    Names all;
    for (int i = 100; i < 400; i++) {
        all.push_back("a/" + std::to_string(i));
        ASSERT_EQ(MR_OK, Set(all.back()));
    }
    for (uint32_t count_max : {1u, 2u, 7u, 63u, 64u, 65u, 1000u}) {
        EXPECT_EQ(all, Match("a/+", 0, count_max).topics) << count_max;
    }
}

TEST_F(Retained, ReportsNothingIfAskedForNothing) {
    ASSERT_EQ(MR_OK, Set("a"));
    Seen seen;
    mr_retained_cursor cursor = {};
    EXPECT_EQ(MR_OK, mr_retained_match(store_, Slice("#"), 0, 0, &cursor, Note, &seen));
    EXPECT_FALSE(cursor.done);
    EXPECT_TRUE(seen.topics.empty());
}

TEST_F(Retained, GoesOnBehindATopicThatWasRemoved) {
    for (const char *topic : {"a", "b", "c", "d"}) {
        ASSERT_EQ(MR_OK, Set(topic));
    }
    Seen seen;
    mr_retained_cursor cursor = {};
    ASSERT_EQ(MR_OK, mr_retained_match(store_, Slice("#"), 0, 2, &cursor, Note, &seen));
    ASSERT_TRUE(Remove("b"));
    ASSERT_TRUE(Remove("c"));
    ASSERT_EQ(MR_OK, Set("bb"));
    while (!cursor.done) {
        ASSERT_EQ(MR_OK, mr_retained_match(store_, Slice("#"), 0, 2, &cursor, Note, &seen));
    }
    EXPECT_EQ(Names({"a", "b", "bb", "d"}), seen.topics);
}

// A filter that finds nothing among very many must not hold the lock, and its worker, until
// it has looked at all.
TEST_F(Retained, ReturnsFromALongSearchBeforeItIsDone) {
    for (int i = 0; i < 20000; i++) {
        ASSERT_EQ(MR_OK, Set(std::to_string(i) + "/a"));
    }
    ASSERT_EQ(MR_OK, Set("~/b"));
    Seen seen;
    mr_retained_cursor cursor = {};
    int calls = 0;
    for (; !cursor.done; calls++) {
        ASSERT_EQ(MR_OK, mr_retained_match(store_, Slice("+/b"), 0, 100, &cursor, Note, &seen));
    }
    EXPECT_EQ(Names({"~/b"}), seen.topics);
    EXPECT_GT(calls, 10);
    // And one that can find nothing does not look at all.
    EXPECT_EQ(MR_OK, mr_retained_match(store_, Slice("+/b"), 0, 100, &cursor, Note, &seen));
    mr_retained_cursor other = {};
    ASSERT_EQ(MR_OK, mr_retained_match(store_, Slice("~/c/#"), 0, 100, &other, Note, &seen));
    EXPECT_TRUE(other.done);
}

TEST_F(Retained, LetsCallbacksUseTheStore) {
    for (int i = 0; i < 100; i++) {
        ASSERT_EQ(MR_OK, Set(std::to_string(i)));
    }
    auto remove = [](void *ctx, mr_message *message) {
        EXPECT_TRUE(mr_retained_remove(static_cast<mr_retained *>(ctx), mr_message_topic(message)));
    };
    mr_retained_cursor cursor = {};
    while (!cursor.done) {
        ASSERT_EQ(MR_OK, mr_retained_match(store_, Slice("#"), 0, 7, &cursor, remove, store_));
    }
    EXPECT_EQ(0u, Stats().message_count);
}

// ----------------------------------------------------------------------- limits

TEST_F(Retained, LimitsTheNumberOfMessages) {
    Open(2);
    EXPECT_EQ(MR_OK, Set("a"));
    EXPECT_EQ(MR_OK, Set("b"));
    EXPECT_EQ(MR_ERR_LIMIT, Set("c"));
    EXPECT_EQ(MR_OK, Set("b", "y"));
    EXPECT_EQ(Names({"a", "b"}), Topics("#"));
    EXPECT_EQ(1u, Stats().refused_count);
    EXPECT_TRUE(Remove("a"));
    EXPECT_EQ(MR_OK, Set("c"));
}

TEST_F(Retained, DoesNotCountTheBrokersOwnMessages) {
    Open(1, 10);
    mr_message *own = NewMessage(pool_, "$SYS/broker/uptime", "1 seconds", 0, 0);
    EXPECT_EQ(MR_OK, mr_retained_set(store_, own, mr_slice_of(nullptr, 0)));
    EXPECT_EQ(MR_OK, Set("a", "123456789"));
    EXPECT_EQ(MR_ERR_LIMIT, Set("b", "1"));
    EXPECT_EQ(MR_OK, mr_retained_set(store_, own, mr_slice_of(nullptr, 0)));
    EXPECT_EQ(2u, Stats().message_count);
    mr_message_unref(own);
}

TEST_F(Retained, LimitsTheBytesOfAllMessages) {
    Open(0, 10);
    EXPECT_EQ(MR_OK, Set("a", "1234"));
    EXPECT_EQ(MR_OK, Set("b", "1234"));
    EXPECT_EQ(MR_ERR_LIMIT, Set("c", "1"));
    EXPECT_EQ(MR_ERR_LIMIT, Set("b", "12345"));
    EXPECT_EQ(Names({"1234"}), Match("b").payloads);
    EXPECT_EQ(MR_OK, Set("b", "1"));
    EXPECT_EQ(MR_OK, Set("c", "12"));
    EXPECT_EQ(10u, Stats().message_bytes);
    EXPECT_EQ(MR_ERR_LIMIT, Set("c", std::string(100, 'x')));
    EXPECT_EQ(3u, Stats().refused_count);
}

TEST_F(Retained, StaysAsItWasWithoutMemory) {
    for (int i = 0; i < 3000; i++) {
        ASSERT_EQ(MR_OK, Set(std::to_string(i * 7919 % 3000), "x", 0, std::to_string(i)));
    }
    struct mr_retained_memory *memory = mr_retained_memory_of(store_);
    // Until insertions have split leaves and branches, each after every possible failure.
    int refused = 0;
    for (int i = 3000; i < 9000; i++) {
        std::string topic = std::to_string(i * 7919 % 9000 + 1000000);
        uint64_t allowed = 0;
        mr_err err = MR_ERR_NOMEM;
        while (err == MR_ERR_NOMEM) {
            uint64_t bytes = memory->bytes;
            memory->allocations_left = allowed++;
            err = Set(topic, "x", 0, "source" + std::to_string(i));
            if (err == MR_ERR_NOMEM) {
                refused++;
                ASSERT_EQ(bytes, memory->bytes);
                ASSERT_EQ(Names(), Topics(topic));
            }
        }
        ASSERT_EQ(MR_OK, err);
        memory->allocations_left = MR_RETAINED_ALLOCATIONS_UNLIMITED;
    }
    EXPECT_EQ(9000u, mr_retained_tree_check(mr_retained_tree_of(store_)));
    EXPECT_GT(refused, 6000);
    EXPECT_EQ(uint64_t(refused), Stats().refused_count);
    // Another source needs memory, too.
    memory->allocations_left = 0;
    EXPECT_EQ(MR_ERR_NOMEM, Set("5", "y", 0, "another"));
    EXPECT_EQ(Names({"x"}), Match("5").payloads);
    // Removing never needs any.
    for (int i = 0; i < 3000; i++) {
        EXPECT_TRUE(Remove(std::to_string(i)));
    }
}

// ----------------------------------------------------------------------- expiry

// [MQTT-3.3.2-5]
TEST_F(Retained, LeavesOutWhatHasExpired) {
    ASSERT_EQ(MR_OK, Set("a", "x", 100));
    ASSERT_EQ(MR_OK, Set("b", "x", 200));
    ASSERT_EQ(MR_OK, Set("c"));
    EXPECT_EQ(Names({"a", "b", "c"}), Topics("#", 99));
    EXPECT_EQ(Names({"b", "c"}), Topics("#", 100));
    EXPECT_EQ(Names(), Topics("a", 100));
    EXPECT_EQ(Names({"c"}), Topics("#", 1000));
}

TEST_F(Retained, SweepsWhatHasExpired) {
    for (int i = 0; i < 1000; i++) {
        ASSERT_EQ(MR_OK, Set(std::to_string(i), "x", uint64_t(i) + 1));
    }
    EXPECT_TRUE(mr_retained_sweep(store_, 500, 2000, nullptr, nullptr));
    EXPECT_EQ(500u, Stats().message_count);
    EXPECT_EQ(500u, Stats().expired_count);
    EXPECT_EQ(500u, InUse());
    EXPECT_EQ(500u, Topics("#", 0).size());
}

TEST_F(Retained, SweepsInPiecesUntilItComesAround) {
    for (int i = 0; i < 1000; i++) {
        ASSERT_EQ(MR_OK, Set(std::to_string(i), "x", 1));
    }
    int calls = 1;
    while (!mr_retained_sweep(store_, 1, 70, nullptr, nullptr)) {
        EXPECT_EQ(1000u - 70u * unsigned(calls), Stats().message_count);
        calls++;
    }
    EXPECT_EQ(15, calls);
    EXPECT_EQ(0u, Stats().message_count);
    EXPECT_TRUE(mr_retained_sweep(store_, 1, 70, nullptr, nullptr));
    EXPECT_FALSE(mr_retained_sweep(store_, 1, 0, nullptr, nullptr));
}

// Rights may be taken away from who published (as in CVE-2018-12546).
TEST_F(Retained, SweepsWhatNeedNotBeKept) {
    ASSERT_EQ(MR_OK, Set("a", "x", 0, "alice"));
    ASSERT_EQ(MR_OK, Set("b", "x", 0, "bob"));
    ASSERT_EQ(MR_OK, Set("c", "x", 0, "alice"));
    ASSERT_EQ(MR_OK, Set("d", "x", 0, "bob"));
    ASSERT_EQ(MR_OK, Set("d", "x", 0, "alice"));
    ASSERT_EQ(MR_OK, Set("e", "x"));
    auto keep = [](void *ctx, const mr_message *, mr_slice source) {
        static_cast<Names *>(ctx)->push_back(String(source));
        return String(source) != "alice";
    };
    Names sources;
    EXPECT_TRUE(mr_retained_sweep(store_, 0, 100, keep, &sources));
    EXPECT_EQ(Names({"alice", "bob", "alice", "alice", ""}), sources);
    EXPECT_EQ(Names({"b", "e"}), Topics("#"));
    EXPECT_EQ(0u, Stats().expired_count);
}

TEST_F(Retained, SweepsFromTheBeginningAfterRewinding) {
    for (int i = 100; i < 200; i++) {
        ASSERT_EQ(MR_OK, Set(std::to_string(i)));
    }
    EXPECT_FALSE(mr_retained_sweep(store_, 0, 60, nullptr, nullptr));
    mr_retained_sweep_rewind(store_);
    auto keep = [](void *, const mr_message *, mr_slice) { return false; };
    while (!mr_retained_sweep(store_, 0, 30, keep, nullptr)) {
    }
    EXPECT_EQ(0u, Stats().message_count);
}

TEST_F(Retained, SparesWhatWasReplacedDuringTheSweep) {
    ASSERT_EQ(MR_OK, Set("a", "old"));
    struct Ctx {
        mr_retained *store;
        mr_message *message;
    } ctx = {store_, NewMessage(pool_, "a", "new")};
    auto replace = [](void *p, const mr_message *, mr_slice) {
        auto *c = static_cast<Ctx *>(p);
        EXPECT_EQ(MR_OK, mr_retained_set(c->store, c->message, Slice("")));
        return false;
    };
    EXPECT_TRUE(mr_retained_sweep(store_, 0, 100, replace, &ctx));
    EXPECT_EQ(Names({"new"}), Match("a").payloads);
    mr_message_unref(ctx.message);
}

// --------------------------------------------------------------------- hostile

// About 65,400 '/' crashed another broker (CVE-2019-11779), and must not cost more than
// its bytes here.
TEST_F(Retained, StandsTopicsOfTheMostLevels) {
    std::string deep(MR_TOPIC_BYTES_MAX, '/');
    ASSERT_EQ(MR_OK, Set(deep));
    uint64_t overhead = Stats().overhead_bytes;
    EXPECT_LT(overhead, 2000u);
    for (int i = 0; i < 200; i++) {
        deep[65534 - i] = 'a';
        ASSERT_EQ(MR_OK, Set(deep));
    }
    // Separators are as long as what many topics have in common: once per leaf.
    EXPECT_LT(Stats().overhead_bytes, Stats().message_bytes / 8);
    EXPECT_EQ(201u, Topics("#").size());
    EXPECT_EQ(201u, Topics("/+/#").size());
    std::string filter = "+";
    for (int i = 1; i < 32768; i++) {
        filter += "/+";
    }
    EXPECT_EQ(0u, Topics(filter).size());
    EXPECT_EQ(Names({deep}), Topics(deep));
    EXPECT_EQ(201u, mr_retained_tree_check(mr_retained_tree_of(store_)));
}

// ---------------------------------------------------------------------- random

struct Model {
    struct Entry {
        std::string payload;
        std::string source;
        uint64_t expires_ms;
    };
    std::map<std::string, Entry> entries;

    Seen Match(const std::string &filter, uint64_t now_ms) const {
        Seen seen;
        for (const auto &[topic, entry] : entries) {
            if (mr_filter_matches(Slice(filter), Slice(topic)) &&
                (entry.expires_ms == 0 || now_ms < entry.expires_ms)) {
                seen.topics.push_back(topic);
                seen.payloads.push_back(entry.payload);
            }
        }
        return seen;
    }
};

TEST_F(Retained, DoesWhatAMapAndTheDefinitionOfAMatchDo) {
    class Topics topics(Seed());
    Model model;
    uint64_t now_ms = 1;
    for (int step = 0; step < 12000; step++) {
        // Grows for a while, then shrinks, and so on.
        uint32_t set_weight = step / 2000 % 2 == 0 ? 6 : 2;
        uint32_t action = topics.Below(10);
        std::string topic = topics.Topic();
        if (action < set_weight) {
            Model::Entry entry = {std::to_string(step), std::to_string(topics.Below(3)), 0};
            entry.source = entry.source == "0" ? "" : entry.source;
            entry.expires_ms = topics.Below(4) == 0 ? now_ms + topics.Below(2000) + 1 : 0;
            ASSERT_EQ(MR_OK, Set(topic, entry.payload, entry.expires_ms, entry.source));
            model.entries[topic] = entry;
        } else if (action < 8) {
            ASSERT_EQ(model.entries.erase(topic) > 0, Remove(topic));
        } else {
            std::string filter = topics.Filter();
            Seen expected = model.Match(filter, now_ms);
            Seen seen = Match(filter, now_ms, topics.Below(70) + 1);
            ASSERT_EQ(expected.topics, seen.topics) << filter;
            ASSERT_EQ(expected.payloads, seen.payloads) << filter;
        }
        now_ms += topics.Below(2);
        if (step % 1500 == 1499) {
            std::string revoked = std::to_string(topics.Below(3));
            auto keep = [](void *ctx, const mr_message *, mr_slice source) {
                return String(source) != *static_cast<std::string *>(ctx);
            };
            while (!mr_retained_sweep(store_, now_ms, topics.Below(100) + 1, keep, &revoked)) {
            }
            for (auto it = model.entries.begin(); it != model.entries.end();) {
                bool expired = it->second.expires_ms != 0 && it->second.expires_ms <= now_ms;
                it = expired || it->second.source == revoked ? model.entries.erase(it)
                                                             : std::next(it);
            }
        }
        if (step % 500 == 499) {
            ASSERT_EQ(model.entries.size(), mr_retained_tree_check(mr_retained_tree_of(store_)));
            ASSERT_EQ(model.entries.size(), Stats().message_count);
            ASSERT_EQ(model.entries.size(), InUse());
        }
    }
}

// What is there all the time is reported exactly once, whatever else comes and goes.
TEST_F(Retained, ReportsOnceWhatStaysWhileOthersComeAndGo) {
    class Topics topics(Seed());
    for (int round = 0; round < 50; round++) {
        Open();
        std::map<std::string, bool> stays;
        for (int i = 0; i < 300; i++) {
            std::string topic = topics.Topic();
            ASSERT_EQ(MR_OK, Set(topic));
            stays.emplace(topic, topics.Below(2) == 0);
        }
        std::string filter = topics.Filter();
        Seen seen;
        mr_retained_cursor cursor = {};
        while (!cursor.done) {
            ASSERT_EQ(MR_OK, mr_retained_match(store_, Slice(filter), 0, topics.Below(5) + 1,
                                               &cursor, Note, &seen));
            for (int i = 0; i < 5; i++) {
                std::string topic = topics.Topic();
                bool untouchable = stays.count(topic) > 0 && stays[topic];
                if (topics.Below(2) == 0) {
                    ASSERT_EQ(MR_OK, Set(topic, "y"));
                } else if (!untouchable) {
                    Remove(topic);
                }
            }
        }
        std::map<std::string, int> counts;
        for (const std::string &topic : seen.topics) {
            ASSERT_EQ(1, ++counts[topic]) << topic;
            ASSERT_TRUE(mr_filter_matches(Slice(filter), Slice(topic)));
        }
        for (const auto &[topic, stay] : stays) {
            if (stay && mr_filter_matches(Slice(filter), Slice(topic))) {
                ASSERT_EQ(1, counts[topic]) << topic << " for " << filter;
            }
        }
        ASSERT_TRUE(std::is_sorted(seen.topics.begin(), seen.topics.end()));
    }
}

}  // namespace
