// QoS 2 towards the broker. MQTT 5.0 section 4.3.3.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "broker/session/testing.hh"

namespace mr_testing {
namespace {

class ReceivedIds : public testing::Test {
 protected:
    ReceivedIds() {
        mr_session_init(&session_, &world_.env, 1u << 24 | 1, nullptr);
    }
    ~ReceivedIds() override {
        mr_session_fini(&session_);
    }
    World world_;
    mr_session session_;
};

TEST_F(ReceivedIds, AreNewOnceUntilTheyAreReleased) {
    EXPECT_FALSE(mr_session_has_received(&session_, 7));
    EXPECT_FALSE(mr_session_release(&session_, 7));
    EXPECT_EQ(mr_session_receive(&session_, 7, 10), MR_RECEIVE_NEW);
    EXPECT_TRUE(mr_session_has_received(&session_, 7));
    EXPECT_EQ(mr_session_receive(&session_, 7, 10), MR_RECEIVE_DUPLICATE);  // [MQTT-4.3.3-10]
    EXPECT_TRUE(mr_session_release(&session_, 7));
    EXPECT_FALSE(mr_session_release(&session_, 7));
    EXPECT_EQ(mr_session_receive(&session_, 7, 10), MR_RECEIVE_NEW);
}

// [MQTT-3.3.4-7]
TEST_F(ReceivedIds, AreLimitedByWhatTheClientMayHaveUnfinished) {
    EXPECT_EQ(mr_session_receive(&session_, 1, 2), MR_RECEIVE_NEW);
    EXPECT_EQ(mr_session_receive(&session_, 2, 2), MR_RECEIVE_NEW);
    EXPECT_EQ(mr_session_receive(&session_, 3, 2), MR_RECEIVE_FULL);
    EXPECT_EQ(mr_session_receive(&session_, 2, 2), MR_RECEIVE_DUPLICATE);
    EXPECT_TRUE(mr_session_release(&session_, 1));
    EXPECT_EQ(mr_session_receive(&session_, 3, 2), MR_RECEIVE_NEW);
}

TEST_F(ReceivedIds, CanBeAllThereAre) {
    for (uint32_t i = 1; i <= 65535; i++) {
        uint16_t packet_id = static_cast<uint16_t>(i);
        ASSERT_EQ(mr_session_receive(&session_, packet_id, 65535), MR_RECEIVE_NEW);
    }
    EXPECT_EQ(session_.received_count, 65535);
    for (uint32_t i = 1; i <= 65535; i += 1000) {
        uint16_t packet_id = static_cast<uint16_t>(i);
        EXPECT_EQ(mr_session_receive(&session_, packet_id, 65535), MR_RECEIVE_DUPLICATE);
    }
    for (uint32_t i = 1; i <= 65535; i++) {
        ASSERT_TRUE(mr_session_release(&session_, static_cast<uint16_t>(i)));
    }
    EXPECT_EQ(session_.received_count, 0);
}

TEST_F(ReceivedIds, SurviveConnections) {
    Client first(&world_, ClientOptions());
    mr_session_attach(&session_, first.link());
    EXPECT_EQ(mr_session_receive(&session_, 9, 10), MR_RECEIVE_NEW);
    mr_session_detach(&session_);
    Client second(&world_, ClientOptions());
    mr_session_attach(&session_, second.link());
    EXPECT_EQ(mr_session_receive(&session_, 9, 10), MR_RECEIVE_DUPLICATE);
    mr_session_detach(&session_);
}

TEST_F(ReceivedIds, AgreeWithAListWhateverComes) {
    std::vector<uint16_t> expected;
    std::mt19937 random(3);
    for (int step = 0; step < 30000; step++) {
        uint16_t packet_id = static_cast<uint16_t>(1 + random() % 200);
        auto found = std::find(expected.begin(), expected.end(), packet_id);
        if (random() % 2 == 0) {
            mr_receive expect = found != expected.end()  ? MR_RECEIVE_DUPLICATE
                                : expected.size() >= 150 ? MR_RECEIVE_FULL
                                                         : MR_RECEIVE_NEW;
            ASSERT_EQ(mr_session_receive(&session_, packet_id, 150), expect);
            if (expect == MR_RECEIVE_NEW) {
                expected.push_back(packet_id);
            }
        } else {
            ASSERT_EQ(mr_session_release(&session_, packet_id), found != expected.end());
            if (found != expected.end()) {
                expected.erase(found);
            }
        }
        ASSERT_EQ(session_.received_count, expected.size());
        if (step % 1000 == 0) {
            mr_session_trim(&session_);
        }
    }
}

TEST(ReceivedMemory, LacksWithoutHarm) {
    World world(1000);
    mr_session session;
    mr_session_init(&session, &world.env, 1u << 24 | 1, nullptr);
    uint16_t packet_id = 0;
    while (mr_session_receive(&session, ++packet_id, 65535) == MR_RECEIVE_NEW) {
    }
    EXPECT_GT(packet_id, 16);
    EXPECT_EQ(mr_session_receive(&session, packet_id, 65535), MR_RECEIVE_NO_MEMORY);
    EXPECT_FALSE(mr_session_has_received(&session, packet_id));
    for (uint16_t i = 1; i < packet_id; i++) {
        EXPECT_TRUE(mr_session_has_received(&session, i));
    }
    EXPECT_TRUE(mr_session_release(&session, 1));
    EXPECT_EQ(mr_session_receive(&session, packet_id, 65535), MR_RECEIVE_NEW);
    mr_session_fini(&session);
}

}  // namespace
}  // namespace mr_testing
