#include "broker/sys/sys.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

class Sys : public testing::Test {
 protected:
    void SetUp() override {
        ASSERT_EQ(mr_sys_new(&sys_), MR_OK);
        memset(&snapshot_, 0, sizeof(snapshot_));
        snapshot_.version = "1.2.3";
        snapshot_.io_backend = "epoll";
        snapshot_.workers = 2;
    }
    void TearDown() override {
        mr_sys_free(sys_);
    }

    static std::string Text(mr_slice slice) {
        return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
    }

    // What one update publishes, by topic name without the prefix.
    std::map<std::string, std::string> Update() {
        std::map<std::string, std::string> said;
        mr_sys_update(
            sys_, &snapshot_,
            [](void *ctx, mr_slice topic, mr_slice value) {
                std::string name = Text(topic);
                EXPECT_EQ(name.rfind(MR_SYS_PREFIX, 0), 0u) << name;
                name = name.substr(strlen(MR_SYS_PREFIX));
                auto *said = static_cast<std::map<std::string, std::string> *>(ctx);
                EXPECT_TRUE(said->emplace(name, Text(value)).second) << name << " came twice";
            },
            &said);
        for (const auto &entry : said) {
            all_[entry.first] = entry.second;
        }
        return said;
    }

    mr_sys *sys_ = nullptr;
    mr_sys_snapshot snapshot_;
    std::map<std::string, std::string> all_;  // As a client sees them, being retained.
};

// The names that Mosquitto 2.0.11 publishes, taken from a running one.
const char *const kMosquitto[] = {
    "bytes/received",
    "bytes/sent",
    "clients/active",
    "clients/connected",
    "clients/disconnected",
    "clients/expired",
    "clients/inactive",
    "clients/maximum",
    "clients/total",
    "heap/current",
    "heap/maximum",
    "load/bytes/received/15min",
    "load/bytes/received/1min",
    "load/bytes/received/5min",
    "load/bytes/sent/15min",
    "load/bytes/sent/1min",
    "load/bytes/sent/5min",
    "load/connections/15min",
    "load/connections/1min",
    "load/connections/5min",
    "load/messages/received/15min",
    "load/messages/received/1min",
    "load/messages/received/5min",
    "load/messages/sent/15min",
    "load/messages/sent/1min",
    "load/messages/sent/5min",
    "load/publish/dropped/15min",
    "load/publish/dropped/1min",
    "load/publish/dropped/5min",
    "load/publish/received/15min",
    "load/publish/received/1min",
    "load/publish/received/5min",
    "load/publish/sent/15min",
    "load/publish/sent/1min",
    "load/publish/sent/5min",
    "load/sockets/15min",
    "load/sockets/1min",
    "load/sockets/5min",
    "messages/received",
    "messages/sent",
    "messages/stored",
    "publish/bytes/received",
    "publish/bytes/sent",
    "publish/messages/dropped",
    "publish/messages/received",
    "publish/messages/sent",
    "retained messages/count",
    "shared_subscriptions/count",
    "store/messages/bytes",
    "store/messages/count",
    "subscriptions/count",
    "uptime",
    "version",
};

TEST_F(Sys, PublishesEverythingTheFirstTimeAndHasMosquittosNames) {
    auto said = Update();
    for (const char *name : kMosquitto) {
        EXPECT_EQ(said.count(name), 1u) << name;
    }
    EXPECT_EQ(said["version"], "millrace version 1.2.3");
    EXPECT_EQ(said["uptime"], "0 seconds");
    EXPECT_EQ(said["io/backend"], "epoll");
    EXPECT_EQ(said["workers"], "2");
    for (const auto &entry : said) {
        if (entry.first.rfind("load/", 0) == 0) {
            EXPECT_EQ(entry.second, "0.00") << entry.first;
        } else if (entry.first != "version" && entry.first != "uptime" &&
                   entry.first != "io/backend" && entry.first != "workers") {
            EXPECT_EQ(entry.second, "0") << entry.first;
        }
    }
}

TEST_F(Sys, PublishesOnlyWhatChanged) {
    Update();
    EXPECT_TRUE(Update().empty());
    snapshot_.workers = 3;
    std::map<std::string, std::string> expected = {{"workers", "3"}};
    EXPECT_EQ(Update(), expected);
    EXPECT_TRUE(Update().empty());
    snapshot_.version = "1.2.4";
    expected = {{"version", "millrace version 1.2.4"}};
    EXPECT_EQ(Update(), expected);
    // Within the same second, and with no traffic, time alone changes nothing.
    snapshot_.uptime_ms = 999;
    EXPECT_TRUE(Update().empty());
    snapshot_.uptime_ms = 1000;
    expected = {{"uptime", "1 seconds"}};
    EXPECT_EQ(Update(), expected);
}

// Each counter gets a value of its own, and each of these values has to come out somewhere.
TEST_F(Sys, LeavesNoCounterOut) {
    uint64_t value = 1000001;
    std::map<std::string, std::string> values;
#define SET(name, text)              \
    snapshot_.counters.name = value; \
    values[#name] = std::to_string(value++);
    MR_COUNTER_MAP(SET)
#undef SET
    auto said = Update();
    std::multiset<std::string> published;
    for (const auto &entry : said) {
        published.insert(entry.second);
    }
    for (const auto &entry : values) {
        EXPECT_GE(published.count(entry.second), 1u) << entry.first;
    }
    EXPECT_EQ(said["messages/received"], values["packets_received"]);
    EXPECT_EQ(said["messages/sent"], values["packets_sent"]);
    EXPECT_EQ(said["publish/messages/received"], values["publish_received"]);
    EXPECT_EQ(said["publish/messages/sent"], values["publish_sent"]);
    EXPECT_EQ(said["publish/bytes/received"], values["publish_bytes_received"]);
    EXPECT_EQ(said["publish/bytes/sent"], values["publish_bytes_sent"]);
    EXPECT_EQ(said["clients/connected"], values["clients_connected"]);
    EXPECT_EQ(said["clients/active"], values["clients_connected"]);
    EXPECT_EQ(said["clients/disconnected"], values["clients_disconnected"]);
    EXPECT_EQ(said["clients/inactive"], values["clients_disconnected"]);
    EXPECT_EQ(said["clients/expired"], values["clients_expired"]);
    EXPECT_EQ(said["drops/queue_full"], values["dropped_queue_full"]);
    EXPECT_EQ(said["drops/oldest"], values["dropped_oldest"]);
    EXPECT_EQ(said["drops/offline"], values["dropped_offline"]);
    EXPECT_EQ(said["drops/too_large"], values["dropped_too_large"]);
    EXPECT_EQ(said["drops/expired"], values["dropped_expired"]);
    EXPECT_EQ(said["drops/no_memory"], values["dropped_no_memory"]);
    EXPECT_EQ(said["drops/session_end"], values["dropped_session_end"]);
    EXPECT_EQ(said["handover/sent"], values["parcels_sent"]);
    EXPECT_EQ(said["handover/received"], values["parcels_received"]);
    EXPECT_EQ(said["handover/ring_full"], values["ring_full"]);
    EXPECT_EQ(said["limits/slow_disconnects"], values["slow_disconnects"]);
    EXPECT_EQ(said["limits/retained_refused"], values["retained_refused"]);
}

TEST_F(Sys, ComputesWhatMosquittoComputes) {
    snapshot_.counters.clients_connected = 5;
    snapshot_.counters.clients_disconnected = 3;
    snapshot_.counters.queued_messages = 10;
    snapshot_.counters.queued_bytes = 1000;
    snapshot_.counters.dropped_queue_full = 1;
    snapshot_.counters.dropped_oldest = 20;
    snapshot_.counters.dropped_no_memory = 300;
    snapshot_.counters.dropped_offline = 4000;
    snapshot_.counters.dropped_expired = 50000;
    snapshot_.retained.message_count = 7;
    snapshot_.retained.message_bytes = 70;
    snapshot_.trie.subscription_count = 12;
    snapshot_.trie.shared_subscription_count = 4;
    snapshot_.loops.recv_bytes = 111;
    snapshot_.loops.send_bytes = UINT64_MAX;
    snapshot_.buffers.in_use_bytes = 5555;
    snapshot_.buffers.in_use_bytes_max = 6666;
    snapshot_.uptime_ms = UINT64_C(123999);
    auto said = Update();
    EXPECT_EQ(said["uptime"], "123 seconds");
    EXPECT_EQ(said["clients/total"], "8");
    EXPECT_EQ(said["clients/maximum"], "5");
    EXPECT_EQ(said["messages/stored"], "17");
    EXPECT_EQ(said["store/messages/count"], "17");
    EXPECT_EQ(said["store/messages/bytes"], "1070");
    EXPECT_EQ(said["retained messages/count"], "7");
    EXPECT_EQ(said["publish/messages/dropped"], "321");
    EXPECT_EQ(said["subscriptions/count"], "8");
    EXPECT_EQ(said["shared_subscriptions/count"], "4");
    EXPECT_EQ(said["bytes/received"], "111");
    EXPECT_EQ(said["bytes/sent"], "18446744073709551615");
    EXPECT_EQ(said["heap/current"], "5555");
    EXPECT_EQ(said["heap/maximum"], "6666");
    snapshot_.heap_bytes = 8888;
    snapshot_.heap_bytes_max = 9999;
    said = Update();
    EXPECT_EQ(said["heap/current"], "8888");
    EXPECT_EQ(said["heap/maximum"], "9999");
}

TEST_F(Sys, RemembersTheMostClients) {
    snapshot_.counters.clients_connected = 5;
    EXPECT_EQ(Update()["clients/maximum"], "5");
    snapshot_.counters.clients_connected = 2;
    EXPECT_EQ(Update().count("clients/maximum"), 0u);
    snapshot_.counters.clients_connected = 6;
    EXPECT_EQ(Update()["clients/maximum"], "6");
}

// 60 messages in the first second are 3600 a minute for 1/60 of the minute.
TEST_F(Sys, AveragesABurstExponentially) {
    snapshot_.uptime_ms = 1000;
    snapshot_.counters.packets_received = 60;
    auto said = Update();
    EXPECT_EQ(said["load/messages/received/1min"], "59.50");  // 3600 * (1 - exp(-1/60))
    EXPECT_EQ(said["load/messages/received/5min"], "11.98");  // 3600 * (1 - exp(-1/300))
    EXPECT_EQ(said["load/messages/received/15min"], "4.00");  // 3600 * (1 - exp(-1/900))
    EXPECT_EQ(said["load/messages/sent/1min"], "0.00");
    // A silent minute, in one step or many, leaves exp(-1), exp(-1/5) and exp(-1/15) of it.
    for (int i = 0; i < 60; i++) {
        snapshot_.uptime_ms += 1000;
        Update();
    }
    EXPECT_EQ(all_["load/messages/received/1min"], "21.89");
    EXPECT_EQ(all_["load/messages/received/5min"], "9.81");
    EXPECT_EQ(all_["load/messages/received/15min"], "3.74");
    snapshot_.uptime_ms += 14 * 60000;
    Update();
    EXPECT_EQ(all_["load/messages/received/1min"], "0.00");
    EXPECT_EQ(all_["load/messages/received/5min"], "0.60");   // 11.98 * exp(-3)
    EXPECT_EQ(all_["load/messages/received/15min"], "1.47");  // 3.998 * exp(-1)
}

TEST_F(Sys, AveragesASteadyLoadToItsRatePerMinute) {
    // 10 kB a second, updates every 10 s for two hours.
    for (int i = 0; i < 720; i++) {
        snapshot_.uptime_ms += 10000;
        snapshot_.loops.send_bytes += 100000;
        Update();
        double minutes = static_cast<double>(snapshot_.uptime_ms) / 60000.0;
        char expected[64];
        snprintf(expected, sizeof(expected), "%.2f", 600000.0 * (1 - std::exp(-minutes / 5)));
        EXPECT_NEAR(std::stod(all_["load/bytes/sent/5min"]), std::stod(expected), 0.011);
    }
    EXPECT_EQ(all_["load/bytes/sent/1min"], "600000.00");
    EXPECT_EQ(all_["load/bytes/sent/5min"], "600000.00");
    EXPECT_EQ(all_["load/bytes/sent/15min"], "599798.72");  // exp(-8) of it is missing
}

TEST_F(Sys, AveragesEveryKindOfLoad) {
    snapshot_.uptime_ms = 60000;
    snapshot_.counters.packets_received = 100;
    snapshot_.counters.packets_sent = 200;
    snapshot_.counters.publish_received = 300;
    snapshot_.counters.publish_sent = 400;
    snapshot_.counters.dropped_oldest = 500;
    snapshot_.loops.recv_bytes = 600;
    snapshot_.loops.send_bytes = 700;
    snapshot_.counters.sockets_opened = 800;
    snapshot_.counters.connects_accepted = 850;
    snapshot_.counters.connects_refused = 50;
    Update();
    const double part = 1 - std::exp(-1.0);
    const std::pair<const char *, double> rates[] = {
        {"messages/received", 100}, {"messages/sent", 200},   {"publish/received", 300},
        {"publish/sent", 400},      {"publish/dropped", 500}, {"bytes/received", 600},
        {"bytes/sent", 700},        {"sockets", 800},         {"connections", 900},
    };
    for (const auto &rate : rates) {
        char expected[64];
        snprintf(expected, sizeof(expected), "%.2f", rate.second * part);
        EXPECT_EQ(all_[std::string("load/") + rate.first + "/1min"], expected) << rate.first;
    }
}

TEST_F(Sys, KeepsAveragesWhenNoTimeHasPassed) {
    snapshot_.uptime_ms = 5000;
    snapshot_.counters.publish_sent = 10;
    Update();
    std::string before = all_["load/publish/sent/1min"];
    snapshot_.counters.publish_sent = 1000;
    Update();
    EXPECT_EQ(all_["load/publish/sent/1min"], before);
    // What happened meanwhile is counted once time goes on.
    snapshot_.uptime_ms = 65000;
    Update();
    double expected = 990 + std::exp(-1.0) * (std::stod(before) - 990);
    EXPECT_NEAR(std::stod(all_["load/publish/sent/1min"]), expected, 0.01);
}

TEST_F(Sys, CutsOverlongTextsAndStandsMissingOnes) {
    std::string version(500, 'x');
    snapshot_.version = version.c_str();
    snapshot_.io_backend = nullptr;
    auto said = Update();
    EXPECT_EQ(said["version"].size(), MR_SYS_VALUE_BYTES_MAX - 1);
    EXPECT_EQ(said["io/backend"], "none");
    EXPECT_TRUE(Update().empty());
    snapshot_.version = nullptr;
    EXPECT_EQ(Update()["version"], "millrace version unknown");
}

TEST(SysSums, AddEveryField) {
    mr_counters counters, counters_sum;
    struct mr_loop_stats loop, loop_sum;
    mr_buf_stats buffers, buffers_sum;
    struct mr_topic_cache_stats cache, cache_sum;
    memset(&counters, 0, sizeof(counters));
    counters.packets_received = 3;
    counters.memory_disconnects = UINT64_C(1) << 40;
    // As a worker's gauge when clients moved away from it: only the sum counts.
    counters.clients_connected = UINT64_MAX;
    counters_sum = counters;
    counters_sum.clients_connected = 3;
    mr_sys_add_counters(&counters_sum, &counters);
    EXPECT_EQ(counters_sum.packets_received, 6u);
    EXPECT_EQ(counters_sum.memory_disconnects, UINT64_C(1) << 41);
    EXPECT_EQ(counters_sum.clients_connected, 2u);
    loop = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    loop_sum = loop;
    mr_sys_add_loop(&loop_sum, &loop);
    EXPECT_EQ(loop_sum.turn_count, 2u);
    EXPECT_EQ(loop_sum.send_bytes, 12u);
    EXPECT_EQ(loop_sum.wake_count, 18u);
    buffers = {1, 2, 3, 4, 5, 6, 7, 8};
    buffers_sum = buffers;
    mr_sys_add_buffers(&buffers_sum, &buffers);
    EXPECT_EQ(buffers_sum.in_use_bytes, 2u);
    EXPECT_EQ(buffers_sum.in_use_bytes_max, 4u);
    EXPECT_EQ(buffers_sum.returned_count, 16u);
    cache = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    cache_sum = cache;
    mr_sys_add_cache(&cache_sum, &cache);
    EXPECT_EQ(cache_sum.hit_count, 2u);
    EXPECT_EQ(cache_sum.scratch_bytes, 18u);
    // A field added to one of these is summed up, but names.c doesn't publish it yet.
    EXPECT_EQ(sizeof(loop), 9 * sizeof(uint64_t));
    EXPECT_EQ(sizeof(buffers), 8 * sizeof(uint64_t));
    EXPECT_EQ(sizeof(cache), 9 * sizeof(uint64_t));
    EXPECT_EQ(sizeof(struct mr_trie_stats), 5 * sizeof(uint64_t));
    EXPECT_EQ(sizeof(struct mr_retained_stats), 6 * sizeof(uint64_t));
}

}  // namespace
