#include "broker/registry/registry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

uint64_t Seed() {
    const char *text = getenv("MILLRACE_SEED");
    uint64_t seed = text != nullptr ? strtoull(text, nullptr, 10) : std::random_device()();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return seed;
}

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

class Registry : public testing::Test {
 protected:
    void SetUp() override {
        ASSERT_EQ(MR_OK, mr_registry_new(&registry_, 1));
    }

    // Asserts that everything was released.
    void TearDown() override {
        mr_registry_free(registry_);
    }

    mr_registry_entry *Claim(const std::string &client_id, uint16_t worker) {
        mr_registry_entry *entry = nullptr;
        uint16_t owner = 0;
        EXPECT_EQ(MR_OK, mr_registry_claim(registry_, Slice(client_id), worker, &entry, &owner));
        return entry;
    }

    // The worker that has it already.
    int Owner(const std::string &client_id, uint16_t worker) {
        mr_registry_entry *entry = nullptr;
        uint16_t owner = 999;
        EXPECT_EQ(MR_ERR_EXISTS,
                  mr_registry_claim(registry_, Slice(client_id), worker, &entry, &owner));
        // Only to its owner is the claim shown.
        EXPECT_EQ(owner == worker, entry != nullptr);
        EXPECT_TRUE(entry == nullptr ||
                    mr_slice_eq(Slice(client_id), mr_registry_entry_client_id(entry)));
        return owner;
    }

    mr_registry *registry_ = nullptr;
};

TEST_F(Registry, LetsOneWorkerHaveAClientId) {
    mr_registry_entry *entry = Claim("client", 3);
    EXPECT_EQ(3, entry->worker);
    EXPECT_EQ(nullptr, entry->session);
    EXPECT_TRUE(mr_slice_eq(Slice("client"), mr_registry_entry_client_id(entry)));
    EXPECT_EQ(3, Owner("client", 4));
    EXPECT_EQ(3, Owner("client", 3));
    EXPECT_EQ(1u, mr_registry_count(registry_));
    mr_registry_release(registry_, entry);
    EXPECT_EQ(0u, mr_registry_count(registry_));
    entry = Claim("client", 4);
    EXPECT_EQ(4, entry->worker);
    mr_registry_release(registry_, entry);
}

TEST_F(Registry, TellsAllClientIdsApart) {
    std::vector<std::string> ids = {"",  "a", "b", "ab", "A", std::string("a\0", 2),
                                    "+", "#", "/", "é",  "e"};
    ids.push_back(std::string(65535, 'x'));
    ids.push_back(std::string(65534, 'x'));
    std::vector<mr_registry_entry *> entries;
    for (size_t i = 0; i < ids.size(); i++) {
        entries.push_back(Claim(ids[i], uint16_t(i)));
    }
    for (size_t i = 0; i < ids.size(); i++) {
        EXPECT_EQ(int(i), Owner(ids[i], 60));
        EXPECT_TRUE(mr_slice_eq(Slice(ids[i]), mr_registry_entry_client_id(entries[i])));
        mr_registry_release(registry_, entries[i]);
    }
}

// The table grows and shrinks under the entries, which stay where they are.
TEST_F(Registry, DoesWhatAMapDoes) {
    std::mt19937_64 random(Seed());
    std::map<std::string, mr_registry_entry *> model;
    for (uint32_t step = 0; step < 120000; step++) {
        std::string id = "client-" + std::to_string(random() % 20000);
        bool grows = step / 30000 % 2 == 0;
        auto it = model.find(id);
        if (random() % 4 < (grows ? 3 : 1)) {
            uint16_t worker = uint16_t(random() % 64);
            if (it == model.end()) {
                model[id] = Claim(id, worker);
            } else {
                ASSERT_EQ(it->second->worker, Owner(id, worker));
            }
        } else if (it != model.end()) {
            ASSERT_TRUE(mr_slice_eq(Slice(id), mr_registry_entry_client_id(it->second)));
            mr_registry_release(registry_, it->second);
            model.erase(it);
        }
    }
    EXPECT_EQ(model.size(), mr_registry_count(registry_));
    for (const auto &[id, entry] : model) {
        ASSERT_EQ(entry->worker, Owner(id, 0));
        mr_registry_release(registry_, entry);
    }
    EXPECT_EQ(0u, mr_registry_count(registry_));
}

// [MQTT-3.1.4-3] rests on this: never two owners at once.
TEST_F(Registry, NeverGivesAClientIdToTwoWorkersAtOnce) {
    constexpr int kIds = 16;
    constexpr int kWorkers = 4;
    std::atomic<int> owners[kIds] = {};
    std::atomic<uint64_t> claimed{0};
    std::atomic<uint64_t> refused{0};
    uint64_t seed = Seed();
    std::vector<std::thread> workers;
    for (uint16_t worker = 1; worker <= kWorkers; worker++) {
        workers.emplace_back([&, worker] {
            std::mt19937_64 random(seed + worker);
            mr_registry_entry *mine[kIds] = {};
            for (int step = 0; step < 20000; step++) {
                size_t i = random() % kIds;
                if (mine[i] != nullptr) {
                    EXPECT_EQ(worker, owners[i].exchange(0));
                    mr_registry_release(registry_, mine[i]);
                    mine[i] = nullptr;
                    continue;
                }
                std::string id = "id" + std::to_string(i);
                uint16_t owner = 0;
                mr_registry_entry *entry = nullptr;
                mr_err err = mr_registry_claim(registry_, Slice(id), worker, &entry, &owner);
                if (err == MR_OK) {
                    mine[i] = entry;
                    EXPECT_EQ(0, owners[i].exchange(worker));
                    claimed++;
                } else {
                    EXPECT_EQ(MR_ERR_EXISTS, err);
                    EXPECT_NE(worker, owner);
                    EXPECT_EQ(nullptr, entry);
                    EXPECT_TRUE(owner >= 1 && owner <= kWorkers);
                    refused++;
                }
            }
            for (size_t i = 0; i < kIds; i++) {
                if (mine[i] != nullptr) {
                    owners[i] = 0;
                    mr_registry_release(registry_, mine[i]);
                }
            }
        });
    }
    for (std::thread &worker : workers) {
        worker.join();
    }
    EXPECT_GT(claimed.load(), 0u);
    EXPECT_EQ(0u, mr_registry_count(registry_));
}

TEST_F(Registry, GrowsWhileOthersClaim) {
    std::vector<std::thread> workers;
    for (uint16_t worker = 0; worker < 4; worker++) {
        workers.emplace_back([this, worker] {
            std::vector<mr_registry_entry *> entries;
            for (int i = 0; i < 10000; i++) {
                entries.push_back(
                    Claim("w" + std::to_string(worker) + "/" + std::to_string(i), worker));
            }
            for (mr_registry_entry *entry : entries) {
                mr_registry_release(registry_, entry);
            }
        });
    }
    for (std::thread &worker : workers) {
        worker.join();
    }
    EXPECT_EQ(0u, mr_registry_count(registry_));
}

uint32_t Subscriber(uint32_t worker, uint32_t index) {
    return worker << 24 | index;
}

TEST_F(Registry, KnowsWhoIsThere) {
    EXPECT_EQ(MR_PRESENCE_NONE, mr_registry_presence(registry_, Subscriber(0, 1)));
    // Both ends of chunks, shards and handles.
    std::vector<uint32_t> subscribers = {
        Subscriber(0, 1),      Subscriber(0, 65535),     Subscriber(0, 65536),
        Subscriber(0, 65537),  Subscriber(0, 0xffffff),  Subscriber(1, 1),
        Subscriber(63, 65535), Subscriber(63, 0xffffff),
    };
    int i = 0;
    for (uint32_t subscriber : subscribers) {
        mr_presence presence = i++ % 2 == 0 ? MR_PRESENCE_ONLINE : MR_PRESENCE_BUSY;
        EXPECT_TRUE(mr_registry_set_presence(registry_, subscriber, presence));
    }
    i = 0;
    for (uint32_t subscriber : subscribers) {
        EXPECT_EQ(i++ % 2 == 0 ? MR_PRESENCE_ONLINE : MR_PRESENCE_BUSY,
                  mr_registry_presence(registry_, subscriber));
    }
    for (uint32_t subscriber : subscribers) {
        EXPECT_TRUE(mr_registry_set_presence(registry_, subscriber, MR_PRESENCE_NONE));
        EXPECT_EQ(MR_PRESENCE_NONE, mr_registry_presence(registry_, subscriber));
    }
    EXPECT_EQ(MR_PRESENCE_NONE, mr_registry_presence(registry_, Subscriber(2, 7)));
    EXPECT_TRUE(mr_registry_set_presence(registry_, Subscriber(2, 7), MR_PRESENCE_NONE));
}

TEST_F(Registry, ShowsEachWorkersPresenceToAllOthers) {
    std::vector<std::thread> workers;
    for (uint32_t worker = 0; worker < 4; worker++) {
        workers.emplace_back([this, worker] {
            for (uint32_t i = 1; i < 200000; i += 97) {
                EXPECT_TRUE(
                    mr_registry_set_presence(registry_, Subscriber(worker, i), MR_PRESENCE_ONLINE));
                EXPECT_EQ(MR_PRESENCE_ONLINE,
                          mr_registry_presence(registry_, Subscriber(worker, i)));
                mr_presence other =
                    mr_registry_presence(registry_, Subscriber((worker + 1) % 4, i));
                EXPECT_TRUE(other == MR_PRESENCE_NONE || other == MR_PRESENCE_ONLINE);
            }
        });
    }
    for (std::thread &worker : workers) {
        worker.join();
    }
    for (uint32_t worker = 0; worker < 4; worker++) {
        for (uint32_t i = 1; i < 200000; i += 97) {
            ASSERT_EQ(MR_PRESENCE_ONLINE, mr_registry_presence(registry_, Subscriber(worker, i)));
        }
    }
}

TEST(RegistryFree, AllowsNull) {
    mr_registry_free(nullptr);
}

}  // namespace
