#include "broker/session/session.h"

#include <gtest/gtest.h>

#include "broker/limits.h"
#include "broker/session/testing.hh"

namespace mr_testing {
namespace {

constexpr uint32_t kSubscriber = 1u << 24 | 5;

class Session : public testing::Test {
 protected:
    Session() {
        mr_session_init(&session_, &world_.env, kSubscriber, nullptr);
    }
    ~Session() override {
        Disconnect();
        mr_session_fini(&session_);
    }

    void Connect(const ClientOptions &options = ClientOptions()) {
        Disconnect();
        client_ = std::make_unique<Client>(&world_, options);
        mr_session_attach(&session_, client_->link());
        mr_session_pump(&session_);
    }
    void ConnectWithReceiveMax(uint16_t receive_max) {
        ClientOptions options;
        options.receive_max = receive_max;
        Connect(options);
    }
    void Disconnect() {
        if (client_ != nullptr) {
            mr_session_detach(&session_);
            client_.reset();
        }
    }

    // Delivers at the same QoS as published.
    bool Send(uint8_t qos, const std::string &payload, const std::string &topic = "t") {
        Publication publication;
        publication.topic = topic;
        publication.payload = payload;
        publication.qos = qos;
        Grant grant;
        grant.qos = qos;
        return Deliver(&world_, &session_, publication, grant);
    }

    std::vector<std::string> ReadPayloads() {
        std::vector<std::string> payloads;
        for (const Received &packet : client_->Read()) {
            payloads.push_back(packet.type == MR_PUBLISH ? packet.payload : "PUBREL");
        }
        return payloads;
    }

    static std::vector<std::string> List(std::initializer_list<std::string> list) {
        return list;
    }

    World world_;
    mr_session session_;
    std::unique_ptr<Client> client_;
};

// ------------------------------------------------------------------------ delivering

TEST_F(Session, WritesQos0AtOnceAndKeepsNothing) {
    Connect();
    EXPECT_TRUE(Send(0, "hello"));
    EXPECT_FALSE(mr_session_is_backlogged(&session_));
    EXPECT_EQ(world_.counters.queued_messages, 0u);
    EXPECT_EQ(ReadPayloads(), List({"hello"}));
    EXPECT_EQ(world_.counters.packets_sent, 1u);
    EXPECT_EQ(world_.counters.publish_sent, 1u);
    EXPECT_EQ(world_.counters.publish_bytes_sent, 5u);
}

uint64_t BuffersTaken(const World &world) {
    struct mr_buf_stats stats = world.stats();
    return stats.allocated_count + stats.reused_count;
}

// The hot path: whatever the receiver needs, nothing is taken from the pool but the room for
// the connection's output, in which many packets share a buffer.
TEST_F(Session, NeedsNoBufferOfItsOwnForADeliveryAtQos0) {
    std::vector<ClientOptions> all(4);
    all[1].version = MR_MQTT_311;
    all[2].topic_alias_max = 4;
    all[3].mount_point = "a/";
    for (const ClientOptions &options : all) {
        Connect(options);
        for (bool wire : {false, true}) {
            for (size_t ids : {0, 3}) {
                Publication publication;
                publication.topic = "a/b";
                publication.forwardable = UserProperty("a", "b");
                publication.wire = wire;
                Grant grant;
                grant.ids.assign(ids, 9);
                Outgoing first(&world_, publication);
                Outgoing second(&world_, publication);
                EXPECT_TRUE(Deliver(&session_, first.get(), grant));
                uint64_t before = BuffersTaken(world_);
                for (int i = 0; i < 199; i++) {
                    EXPECT_TRUE(Deliver(&session_, second.get(), grant));
                }
                EXPECT_LE(BuffersTaken(world_) - before, 10u);
                EXPECT_EQ(client_->Read().size(), 200u);
            }
        }
    }
}

TEST_F(Session, ForwardsTheBytesThatCameInIfTheyAreRight) {
    Connect();
    Publication publication;
    publication.wire = true;
    Grant grant;
    Deliver(&world_, &session_, publication, grant);
    EXPECT_EQ(world_.counters.forwarded_unaltered, 1u);
    // Not with RETAIN set, not at another level, not with identifiers.
    grant.retain = true;
    Deliver(&world_, &session_, publication, grant);
    publication.version = MR_MQTT_311;
    grant.retain = false;
    Deliver(&world_, &session_, publication, grant);
    publication.version = MR_MQTT_50;
    grant.ids = {3};
    Deliver(&world_, &session_, publication, grant);
    EXPECT_EQ(world_.counters.forwarded_unaltered, 1u);
    EXPECT_EQ(client_->Read().size(), 4u);
    // 3.1 and 3.1.1 have the same PUBLISH.
    ClientOptions options;
    options.version = MR_MQTT_31;
    Connect(options);
    publication.version = MR_MQTT_311;
    Deliver(&world_, &session_, publication, grant);
    EXPECT_EQ(world_.counters.forwarded_unaltered, 2u);
    EXPECT_EQ(client_->Read().size(), 1u);
}

// [MQTT-3.8.4-8]
TEST_F(Session, DeliversAtTheLowerQosOfPublisherAndSubscription) {
    Connect();
    for (uint8_t published = 0; published <= 2; published++) {
        for (uint8_t granted = 0; granted <= 2; granted++) {
            Publication publication;
            publication.qos = published;
            Grant grant;
            grant.qos = granted;
            Deliver(&world_, &session_, publication, grant);
            EXPECT_EQ(client_->Read()[0].qos, std::min(published, granted));
            world_.env.upgrade_outgoing_qos = true;
            Deliver(&world_, &session_, publication, grant);
            EXPECT_EQ(client_->Read()[0].qos, granted);
            world_.env.upgrade_outgoing_qos = false;
        }
    }
}

// [MQTT-3.3.2-17] [MQTT-3.3.4-3] [MQTT-3.3.2-6]
TEST_F(Session, SendsPropertiesAndIdentifiersAndTheRestOfTheExpiryInterval) {
    Publication publication;
    publication.qos = 1;
    publication.retain = true;
    publication.expiry_s = 60;
    publication.topic_alias = 3;
    publication.forwardable = UserProperty("a", "1") + UserProperty("a", "2");
    Grant grant;
    grant.qos = 1;
    grant.retain = true;
    grant.ids = {1, 2, 268435455};
    Deliver(&world_, &session_, publication, grant);
    world_.env.now_ms += 10500;
    Connect();
    std::vector<Received> packets = client_->Read();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].forwardable, publication.forwardable);
    EXPECT_EQ(packets[0].ids, grant.ids);
    EXPECT_EQ(packets[0].expiry_s, std::optional<uint32_t>(50));
    EXPECT_EQ(packets[0].topic_alias, 0);
    EXPECT_TRUE(packets[0].retain);
    EXPECT_FALSE(packets[0].dup);
    EXPECT_EQ(packets[0].packet_id, 1);
}

TEST_F(Session, SendsLargePayloadsByReference) {
    Connect();
    std::string payload(100000, 'x');
    for (uint8_t qos = 0; qos <= 2; qos++) {
        Send(qos, payload);
    }
    EXPECT_EQ(ReadPayloads(), List({payload, payload, payload}));
}

TEST_F(Session, TakesTheMountPointOffTopicNames) {
    ClientOptions options;
    options.version = MR_MQTT_311;
    options.mount_point = "site/";
    Connect(options);
    Send(1, "x", "site/a/b");
    EXPECT_EQ(client_->Read()[0].topic, "a/b");
}

// Section 3.3.2.3.4.
TEST_F(Session, UsesTopicAliasesWithinTheClientsMaximum) {
    ClientOptions options;
    options.topic_alias_max = 2;
    Connect(options);
    for (const char *topic : {"a", "b", "c", "a", "b", "c"}) {
        Send(1, "x", topic);
    }
    std::vector<Received> packets = client_->Read();
    ASSERT_EQ(packets.size(), 6u);
    const char *topics[] = {"a", "b", "c", "a", "b", "c"};
    uint16_t aliases[] = {1, 2, 0, 1, 2, 0};
    for (size_t i = 0; i < 6; i++) {
        EXPECT_EQ(packets[i].topic, topics[i]);
        EXPECT_EQ(packets[i].topic_alias, aliases[i]);
        EXPECT_EQ(packets[i].topic_left_out, i == 3 || i == 4);
    }
    // What is sent again to a new connection defines its aliases again.
    Connect(options);
    packets = client_->Read();
    ASSERT_EQ(packets.size(), 6u);
    EXPECT_FALSE(packets[0].topic_left_out);
    EXPECT_TRUE(packets[3].topic_left_out);
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
TEST_F(Session, DropsWhatIsTooLargeForTheClientAndGoesOn) {
    ClientOptions options;
    options.packet_bytes_max = 50;
    Connect(options);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        EXPECT_FALSE(Send(qos, std::string(60, 'x')));
        EXPECT_TRUE(Send(qos, "small"));
    }
    EXPECT_EQ(world_.counters.dropped_too_large, 3u);
    EXPECT_EQ(client_->link()->failed, MR_LINK_OK);
    std::vector<Received> packets = client_->Read();
    ASSERT_EQ(packets.size(), 3u);
    EXPECT_EQ(packets[1].packet_id, 1);
    EXPECT_EQ(packets[2].packet_id, 2);
    // Exactly as large as allowed: 2 + 3 + 2 + 1 and the payload.
    EXPECT_TRUE(Send(1, std::string(42, 'x')));
    EXPECT_FALSE(Send(1, std::string(43, 'x')));
    EXPECT_EQ(client_->Read()[0].bytes, 50u);
}

TEST_F(Session, DropsWhatBecameTooLargeForTheNextConnection) {
    Connect();
    Send(1, std::string(60, 'x'));
    Send(2, std::string(70, 'x'));
    Send(1, "small");
    ClientOptions options;
    options.packet_bytes_max = 50;
    Connect(options);
    std::vector<Received> packets = client_->Read();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].packet_id, 3);
    EXPECT_EQ(world_.counters.dropped_too_large, 2u);
    EXPECT_TRUE(mr_session_puback(&session_, 3));
    EXPECT_EQ(session_.inflight.count, 0u);
}

// A PUBLISH of the largest possible size from 3.1.1 has no room for a property length.
TEST_F(Session, DropsWhatIsTooLargeForTheProtocol) {
    Connect();
    mr_buf *source = mr_buf_new(world_.pool(), 100);
    ASSERT_NE(source, nullptr);
    source->data[0] = 't';
    mr_publish packet;
    memset(&packet, 0, sizeof(packet));
    packet.topic = mr_slice_of(source->data, 1);
    // Never read, as its length alone decides.
    packet.payload = mr_slice_of(source->data + 1, MR_REMAINING_LENGTH_MAX - 3);
    mr_outgoing outgoing;
    mr_outgoing_init(&outgoing, &world_.env.scratch, &packet, source, 0, 0);
    for (uint32_t id : {0, 1}) {
        Grant grant;
        grant.ids.assign(id, 1);
        EXPECT_FALSE(Deliver(&session_, &outgoing, grant));
    }
    mr_outgoing_fini(&outgoing);
    mr_buf_unref(source);
    EXPECT_EQ(world_.counters.dropped_too_large, 2u);
    EXPECT_EQ(client_->link()->failed, MR_LINK_OK);
    EXPECT_EQ(client_->pending(), 0u);
    EXPECT_EQ(mr_never_count(), 0u);
}

// [MQTT-4.6.0-6]
TEST_F(Session, LetsNothingOvertakeWhatWaits) {
    ConnectWithReceiveMax(1);
    EXPECT_TRUE(Send(1, "a"));
    EXPECT_TRUE(Send(0, "b"));  // Nothing waits yet.
    EXPECT_FALSE(Send(1, "c"));
    EXPECT_TRUE(mr_session_is_backlogged(&session_));
    EXPECT_FALSE(Send(0, "d"));
    EXPECT_EQ(ReadPayloads(), List({"a", "b"}));
    EXPECT_FALSE(mr_session_pump(&session_));
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_EQ(ReadPayloads(), List({"c", "d"}));
    EXPECT_FALSE(mr_session_is_backlogged(&session_));
}

TEST_F(Session, WaitsWhileTheOutputIsFull) {
    world_.env.outbox_bytes = 20;
    Connect();
    EXPECT_TRUE(Send(0, std::string(30, 'a')));
    EXPECT_FALSE(Send(0, "b"));
    EXPECT_FALSE(Send(1, "c"));
    EXPECT_FALSE(mr_session_pump(&session_));
    client_->Read(20);
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_EQ(ReadPayloads(), List({std::string(30, 'a'), "b"}));
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_EQ(ReadPayloads(), List({"c"}));
}

TEST_F(Session, CountsQos0ToNobody) {
    EXPECT_FALSE(Send(0, "a"));
    EXPECT_EQ(world_.counters.dropped_offline, 1u);
    world_.env.queue_qos0_messages = true;
    EXPECT_FALSE(Send(0, "b"));
    EXPECT_EQ(world_.counters.dropped_offline, 1u);
    EXPECT_EQ(world_.counters.queued_messages, 1u);
    Connect();
    EXPECT_EQ(ReadPayloads(), List({"b"}));
}

TEST_F(Session, ForgetsWaitingQos0WithTheConnectionUnlessConfigured) {
    for (bool keep : {false, true}) {
        world_.env.queue_qos0_messages = keep;
        world_.env.outbox_bytes = 1;
        Connect();
        Send(0, "sent");
        Send(0, "a");
        Send(1, "b");
        Send(0, "c");
        Disconnect();
        world_.env.outbox_bytes = 1000;
        Connect();
        EXPECT_EQ(ReadPayloads(), keep ? List({"a", "b", "c"}) : List({"b"}));
        EXPECT_EQ(world_.counters.dropped_offline, 2u);
        EXPECT_TRUE(mr_session_puback(&session_, keep ? 2 : 1));
    }
}

TEST_F(Session, DropsWhatExpiredWhileItWaited) {
    for (uint32_t expiry : {1, 2, 3}) {
        Publication publication;
        publication.qos = 1;
        publication.payload = std::to_string(expiry);
        publication.expiry_s = expiry;
        Grant grant;
        grant.qos = 1;
        Deliver(&world_, &session_, publication, grant);
    }
    world_.env.now_ms += 2000;  // [MQTT-3.3.2-5]
    Connect();
    EXPECT_EQ(ReadPayloads(), List({"3"}));
    EXPECT_EQ(world_.counters.dropped_expired, 2u);
    // What was sent once is sent again even if it has expired meanwhile.
    world_.env.now_ms += 5000;
    Connect();
    std::vector<Received> packets = client_->Read();
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].expiry_s, std::optional<uint32_t>(1));
}

// What is in flight has to be completed whatever the rights are now [MQTT-3.10.4-3].
TEST_F(Session, DropsWhatWaitsForAReaderWhoMayNotHaveItAnyMore) {
    ConnectWithReceiveMax(1);
    Send(1, "sent", "secret");
    Send(1, "1", "secret");
    Send(1, "2", "public");
    Send(1, "3", "secret");
    mr_session_drop_waiting(
        &session_,
        [](void *, struct mr_slice topic) { return !mr_slice_eq(topic, mr_slice_str("secret")); },
        nullptr);
    EXPECT_EQ(world_.counters.dropped_denied, 2u);
    EXPECT_EQ(session_.queued_count, 1u);
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    mr_session_pump(&session_);
    EXPECT_EQ(ReadPayloads(), List({"sent", "2"}));
}

// ------------------------------------------------------------------ acknowledgements

// [MQTT-2.2.1-3] [MQTT-2.2.1-4]
TEST_F(Session, PacketIdentifiersRunFrom1To65535AndAround) {
    Connect();
    for (uint32_t i = 0; i < 3 * 65535; i++) {
        uint16_t expected = static_cast<uint16_t>(i % 65535 + 1);
        ASSERT_TRUE(Send(1, "x"));
        std::vector<Received> packets = client_->Read();
        ASSERT_EQ(packets[0].packet_id, expected);
        ASSERT_FALSE(mr_session_puback(&session_, 0));  // Not another name of 65535.
        ASSERT_TRUE(mr_session_puback(&session_, expected));
    }
}

TEST_F(Session, AnIdentifierInUseIsNotGivenAgain) {
    world_.env.inflight_messages_max = 65535;
    world_.env.queued_messages_max = 0;
    Connect();
    for (uint32_t i = 1; i <= 65535; i++) {
        ASSERT_TRUE(Send(1, "x"));
        if (i > 1) {
            ASSERT_TRUE(mr_session_puback(&session_, static_cast<uint16_t>(i)));
        }
        client_->Read();
    }
    // Only identifier 1 is in use, and all others would be free; it holds the deque.
    EXPECT_FALSE(Send(1, "waits"));
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_FALSE(mr_session_puback(&session_, 1));
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_EQ(client_->Read()[0].packet_id, 1);
    EXPECT_TRUE(mr_session_puback(&session_, 1));
}

TEST_F(Session, HasAsManyInFlightAsThereAreIdentifiers) {
    world_.env.inflight_messages_max = 0;
    world_.env.outbox_bytes = 1u << 30;
    Connect();
    for (uint32_t i = 1; i <= 65535; i++) {
        ASSERT_TRUE(Send(2, "x"));
    }
    EXPECT_FALSE(Send(2, "x"));
    EXPECT_EQ(client_->Read().size(), 65535u);
    for (uint32_t i = 65535; i >= 1; i--) {
        ASSERT_TRUE(mr_session_pubrec(&session_, static_cast<uint16_t>(i), false));
        ASSERT_TRUE(mr_session_pubcomp(&session_, static_cast<uint16_t>(i)));
    }
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_EQ(client_->Read()[0].packet_id, 1);
}

// One that is never acknowledged must not make the session grow without end.
TEST_F(Session, BoundsWhatOneMissingAcknowledgementHoldsUp) {
    world_.env.queued_messages_max = 10;
    ConnectWithReceiveMax(2);
    uint16_t sent = 0;
    while (Send(1, "x")) {
        sent++;
        if (sent > 1) {
            mr_session_puback(&session_, sent);
        }
        client_->Read();
    }
    EXPECT_EQ(sent, 256);
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_TRUE(mr_session_pump(&session_));
}

// [MQTT-3.3.4-9] [MQTT-4.9.0-2]
TEST_F(Session, NeverExceedsTheReceiveMaximum) {
    ConnectWithReceiveMax(2);
    EXPECT_TRUE(Send(1, "a"));
    EXPECT_TRUE(Send(2, "b"));
    EXPECT_FALSE(Send(1, "c"));
    EXPECT_TRUE(mr_session_pubrec(&session_, 2, false));
    EXPECT_FALSE(mr_session_pump(&session_));  // Only PUBCOMP gives the quota back.
    EXPECT_TRUE(mr_session_pubcomp(&session_, 2));
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_EQ(ReadPayloads(), List({"a", "b", "c"}));
}

TEST_F(Session, NeverExceedsTheConfiguredMessagesInFlight) {
    world_.env.inflight_messages_max = 1;
    Connect();
    EXPECT_TRUE(Send(1, "a"));
    EXPECT_FALSE(Send(1, "b"));
}

TEST_F(Session, NeverExceedsTheConfiguredBytesInFlightButForOneMessage) {
    world_.env.inflight_bytes_max = 10;
    Connect();
    EXPECT_TRUE(Send(1, std::string(50, 'x')));
    EXPECT_FALSE(Send(1, "y"));
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_TRUE(Send(1, "1234567"));  // With topic name and the one before: 10.
    EXPECT_FALSE(Send(1, ""));
}

TEST_F(Session, RefusesAcknowledgementsThatDoNotFit) {
    Connect();
    Send(1, "a");
    Send(2, "b");
    for (uint16_t packet_id : {0, 3, 65535}) {
        EXPECT_FALSE(mr_session_puback(&session_, packet_id));
        EXPECT_FALSE(mr_session_pubrec(&session_, packet_id, false));
        EXPECT_FALSE(mr_session_pubrec(&session_, packet_id, true));
        EXPECT_FALSE(mr_session_pubcomp(&session_, packet_id));
    }
    EXPECT_FALSE(mr_session_pubrec(&session_, 1, false));
    EXPECT_FALSE(mr_session_pubcomp(&session_, 1));
    EXPECT_FALSE(mr_session_puback(&session_, 2));
    EXPECT_FALSE(mr_session_pubcomp(&session_, 2));
    EXPECT_EQ(world_.counters.queued_messages, 2u);
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_FALSE(mr_session_puback(&session_, 1));
    EXPECT_TRUE(mr_session_pubrec(&session_, 2, false));
    EXPECT_EQ(world_.counters.queued_messages, 0u);
    EXPECT_TRUE(mr_session_pubrec(&session_, 2, false));  // Again: PUBREL again.
    EXPECT_FALSE(mr_session_puback(&session_, 2));
    EXPECT_TRUE(mr_session_pubcomp(&session_, 2));
    EXPECT_FALSE(mr_session_pubcomp(&session_, 2));
    EXPECT_FALSE(mr_session_pubrec(&session_, 2, false));
}

TEST_F(Session, AFailingPubrecEndsTheDelivery) {
    ConnectWithReceiveMax(1);
    Send(2, "a");
    Send(2, "b");
    EXPECT_TRUE(mr_session_pubrec(&session_, 1, true));
    EXPECT_FALSE(mr_session_pubcomp(&session_, 1));
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_TRUE(mr_session_pubrec(&session_, 2, false));
    EXPECT_TRUE(mr_session_pubrec(&session_, 2, true));  // It changed its mind.
    EXPECT_FALSE(mr_session_pubcomp(&session_, 2));
    EXPECT_EQ(session_.inflight.count, 0u);
    EXPECT_EQ(session_.quota_used, 0);
}

// ---------------------------------------------------------------------- reconnecting

// [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-3.3.1-1]
TEST_F(Session, SendsAgainWhatWasInFlightInOrder) {
    Connect();
    for (int i = 1; i <= 6; i++) {
        Send(i % 2 == 0 ? 2 : 1, std::to_string(i));
    }
    client_->Read();
    EXPECT_TRUE(mr_session_pubrec(&session_, 2, false));
    EXPECT_TRUE(mr_session_puback(&session_, 3));
    Disconnect();
    Send(1, "new");
    ClientOptions options;
    options.version = MR_MQTT_311;
    Connect(options);
    std::vector<Received> packets = client_->Read();
    ASSERT_EQ(packets.size(), 6u);
    const uint16_t packet_ids[] = {1, 2, 4, 5, 6, 7};
    for (size_t i = 0; i < 6; i++) {
        EXPECT_EQ(packets[i].packet_id, packet_ids[i]);
        EXPECT_EQ(packets[i].type, i == 1 ? MR_PUBREL : MR_PUBLISH);
        EXPECT_EQ(packets[i].dup, i != 1 && i != 5);
    }
    EXPECT_EQ(packets[5].payload, "new");
}

TEST_F(Session, SendsAgainWithinASmallerReceiveMaximum) {
    Connect();
    for (int i = 1; i <= 4; i++) {
        Send(1, std::to_string(i));
    }
    ConnectWithReceiveMax(2);
    EXPECT_TRUE(mr_session_is_backlogged(&session_));
    EXPECT_EQ(ReadPayloads(), List({"1", "2"}));
    EXPECT_FALSE(Send(0, "later"));  // Behind what has to be sent again.
    // Acknowledged late, for the last connection: need not be sent again.
    EXPECT_TRUE(mr_session_puback(&session_, 3));
    EXPECT_FALSE(mr_session_pump(&session_));
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_TRUE(mr_session_pump(&session_));
    EXPECT_EQ(ReadPayloads(), List({"4", "later"}));
    EXPECT_FALSE(mr_session_is_backlogged(&session_));
}

TEST_F(Session, EndsCountingWhatItHad) {
    Connect();
    Send(1, "a");
    Send(2, "b");
    mr_session_pubrec(&session_, 2, false);
    Disconnect();
    Send(1, "c");
    EXPECT_EQ(world_.counters.queued_messages, 2u);
    EXPECT_EQ(world_.counters.queued_bytes, 4u);
    mr_session_fini(&session_);
    EXPECT_EQ(world_.counters.dropped_session_end, 2u);
    EXPECT_EQ(world_.counters.queued_messages, 0u);
    EXPECT_EQ(world_.counters.queued_bytes, 0u);
    mr_session_init(&session_, &world_.env, kSubscriber, nullptr);
}

TEST_F(Session, HoldsNoBufferWhenIdle) {
    Connect();
    for (uint16_t i = 1; i <= 20; i++) {
        Send(1, "x");
    }
    Send(1, "waits");
    EXPECT_EQ(mr_session_receive(&session_, 5, 10), MR_RECEIVE_NEW);
    EXPECT_TRUE(mr_session_release(&session_, 5));
    for (uint16_t i = 1; i <= 21; i++) {
        mr_session_puback(&session_, i);
        mr_session_pump(&session_);
    }
    client_->Read();
    mr_session_trim(&session_);
    mr_scratch_fini(&world_.env.scratch);
    EXPECT_EQ(world_.stats().in_use_count, 0u);
    // And still knows where it was.
    Send(1, "x");
    EXPECT_EQ(client_->Read()[0].packet_id, 22);
}

// ------------------------------------------------------------------- slow consumers

class SlowConsumer : public Session {
 protected:
    // A client that acknowledges nothing; so much may wait.
    void Begin(mr_slow_policy policy, uint64_t messages_max, uint64_t bytes_max) {
        world_.env.slow_policy = policy;
        world_.env.queued_messages_max = messages_max;
        world_.env.queued_bytes_max = bytes_max;
        ConnectWithReceiveMax(1);
        EXPECT_TRUE(Send(1, "first"));
        client_->Read();
    }

    // What the client gets when it acknowledges everything.
    std::vector<std::string> Drain() {
        std::vector<std::string> all;
        for (uint16_t packet_id = 1; packet_id < 100; packet_id++) {
            mr_session_puback(&session_, packet_id);
            mr_session_pump(&session_);
            for (const std::string &payload : ReadPayloads()) {
                all.push_back(payload);
            }
        }
        return all;
    }
};

TEST_F(SlowConsumer, DropsTheNewest) {
    Begin(MR_SLOW_DROP_NEWEST, 2, 0);
    for (const char *payload : {"a", "b", "c", "d"}) {
        Send(1, payload);
    }
    EXPECT_EQ(world_.counters.dropped_queue_full, 2u);
    EXPECT_EQ(Drain(), List({"a", "b"}));
}

TEST_F(SlowConsumer, DropsTheOldest) {
    Begin(MR_SLOW_DROP_OLDEST, 2, 0);
    for (const char *payload : {"a", "b", "c", "d"}) {
        Send(1, payload);
    }
    EXPECT_EQ(world_.counters.dropped_oldest, 2u);
    EXPECT_EQ(world_.counters.dropped_queue_full, 0u);
    EXPECT_EQ(Drain(), List({"c", "d"}));
}

TEST_F(SlowConsumer, DropsByBytes) {
    Begin(MR_SLOW_DROP_OLDEST, 0, 12);
    for (const char *payload : {"aaa", "bbb", "ccc", "ddddddd"}) {
        Send(1, payload);
    }
    EXPECT_EQ(world_.counters.dropped_oldest, 2u);
    EXPECT_EQ(session_.queued_bytes, 12u);
    // One that is larger than the limit may wait alone.
    Send(1, std::string(50, 'e'));
    EXPECT_EQ(session_.queue.count, 1u);
    EXPECT_EQ(Drain(), List({std::string(50, 'e')}));
    EXPECT_EQ(session_.queued_bytes, 0u);
}

TEST_F(SlowConsumer, Disconnects) {
    Begin(MR_SLOW_DISCONNECT, 1, 0);
    Send(1, "a");
    EXPECT_EQ(client_->link()->failed, MR_LINK_OK);
    Send(1, "b");
    EXPECT_EQ(client_->link()->failed, MR_LINK_TOO_SLOW);
    EXPECT_EQ(world_.counters.dropped_queue_full, 1u);
    // Nothing is written any more; without a connection it is as with `drop_newest`.
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_FALSE(mr_session_pump(&session_));
    Send(0, "c");
    EXPECT_EQ(world_.counters.dropped_offline, 1u);
    Disconnect();
    Send(1, "d");
    EXPECT_EQ(world_.counters.dropped_queue_full, 2u);
    Connect();
    EXPECT_EQ(ReadPayloads(), List({"a"}));
}

TEST_F(SlowConsumer, AsksForBackpressureAndTakesWhatIsUnderWay) {
    Begin(MR_SLOW_BACKPRESSURE, 2, 0);
    Send(1, "a");
    Send(1, "b");
    EXPECT_FALSE(session_.congested);
    Send(1, "c");
    EXPECT_TRUE(session_.congested);
    Send(1, "d");
    EXPECT_EQ(world_.counters.dropped_queue_full, 0u);
    Send(1, "e");
    EXPECT_EQ(world_.counters.dropped_queue_full, 0u);
    for (uint16_t packet_id = 1; packet_id <= 3; packet_id++) {
        mr_session_puback(&session_, packet_id);
        mr_session_pump(&session_);
        EXPECT_TRUE(session_.congested);
    }
    mr_session_puback(&session_, 4);
    mr_session_pump(&session_);
    EXPECT_FALSE(session_.congested);  // Half of it is free.
    EXPECT_EQ(ReadPayloads(), List({"a", "b", "c", "d"}));
}

// Of a publisher that can't be told to wait.
TEST_F(SlowConsumer, UnderBackpressureDropsWhatNobodyWaitsWith) {
    Begin(MR_SLOW_BACKPRESSURE, 2, 0);
    Publication publication;
    publication.qos = 1;
    Grant grant;
    grant.qos = 1;
    for (const char *payload : {"a", "b", "c", "d"}) {
        publication.payload = payload;
        Outgoing outgoing(&world_, publication);
        outgoing.get()->droppable = true;
        Deliver(&session_, outgoing.get(), grant);
        EXPECT_EQ(session_.congested, payload[0] >= 'c');
    }
    EXPECT_EQ(world_.counters.dropped_queue_full, 2u);
    EXPECT_EQ(session_.queued_count, 2u);
    // Others are told to wait, so that theirs still gets in.
    Send(1, "e");
    EXPECT_EQ(world_.counters.dropped_queue_full, 2u);
    EXPECT_EQ(Drain(), List({"a", "b", "e"}));
    EXPECT_FALSE(session_.congested);
}

// There may be ever more publishers that have only begun.
TEST_F(SlowConsumer, UnderBackpressureTakesNoMoreThanCanBeUnderWay) {
    Begin(MR_SLOW_BACKPRESSURE, 2, 0);
    for (uint32_t i = 0; i < 2 + MR_CONGESTED_MESSAGES_MAX; i++) {
        Send(1, "a");
    }
    EXPECT_EQ(world_.counters.dropped_queue_full, 0u);
    Send(1, "a");
    EXPECT_EQ(world_.counters.dropped_queue_full, 1u);
    EXPECT_EQ(session_.queued_count, 2u + MR_CONGESTED_MESSAGES_MAX);
}

TEST_F(SlowConsumer, AsksForBackpressureByBytes) {
    Begin(MR_SLOW_BACKPRESSURE, 0, 20);
    Send(1, std::string(15, 'a'));
    EXPECT_FALSE(session_.congested);
    Send(1, std::string(15, 'b'));
    EXPECT_TRUE(session_.congested);
    Send(1, std::string(15, 'c'));  // 48 in all.
    EXPECT_EQ(world_.counters.dropped_queue_full, 0u);
    for (uint16_t packet_id = 1; packet_id <= 2; packet_id++) {
        mr_session_puback(&session_, packet_id);
        mr_session_pump(&session_);
        EXPECT_TRUE(session_.congested);
    }
    mr_session_puback(&session_, 3);
    mr_session_pump(&session_);
    EXPECT_FALSE(session_.congested);
}

TEST_F(SlowConsumer, WhatHasExpiredMakesRoom) {
    Begin(MR_SLOW_DROP_NEWEST, 1, 0);
    Publication publication;
    publication.qos = 1;
    publication.expiry_s = 1;
    Grant grant;
    grant.qos = 1;
    Deliver(&world_, &session_, publication, grant);
    world_.env.now_ms += 1000;
    Send(1, "new");
    EXPECT_EQ(world_.counters.dropped_expired, 1u);
    EXPECT_EQ(world_.counters.dropped_queue_full, 0u);
    EXPECT_EQ(Drain(), List({"new"}));
}

TEST_F(SlowConsumer, ReplayIsOutsideOfTheLimits) {
    Begin(MR_SLOW_DROP_OLDEST, 1, 0);
    Publication publication;
    publication.qos = 1;
    Grant grant;
    grant.qos = 1;
    grant.replay = true;
    for (const char *payload : {"r1", "r2", "r3"}) {
        publication.payload = payload;
        Deliver(&world_, &session_, publication, grant);
    }
    Send(1, "a");
    Send(1, "b");
    EXPECT_EQ(session_.queued_count, 1u);
    EXPECT_EQ(world_.counters.dropped_oldest, 1u);
    EXPECT_EQ(Drain(), List({"r1", "r2", "r3", "b"}));
}

// --------------------------------------------------------------- shared subscriptions

class SharedDelivery : public Session {
 protected:
    void SetUp() override {
        node_ = world_.Subscribe("$share/g/t", kSubscriber, 7);
        other_node_ = world_.Subscribe("$share/h/t", kSubscriber, 0);
    }
    void TearDown() override {
        for (mr_trie_node *node : {node_, other_node_}) {
            if (node != nullptr) {
                mr_trie_remove(world_.trie, node, kSubscriber);
            }
        }
    }

    void SendShared(mr_trie_node *node, uint8_t qos, const std::string &payload) {
        Publication publication;
        publication.payload = payload;
        publication.qos = qos;
        Grant grant;
        grant.qos = qos;
        grant.node = node;
        if (node == node_) {
            grant.ids = {7};
        }
        Deliver(&world_, &session_, publication, grant);
    }

    std::vector<std::string> Take(mr_trie_node *node, bool inflight, size_t accept = 1000) {
        accept_ = accept;
        taken_.clear();
        mr_session_take_shared(
            &session_, node, inflight,
            [](void *ctx, mr_trie_node *from, mr_message *message) {
                auto *self = static_cast<SharedDelivery *>(ctx);
                EXPECT_TRUE(from == self->node_ || from == self->other_node_);
                if (self->taken_.size() == self->accept_) {
                    return false;
                }
                struct mr_slice payload = mr_message_payload(message);
                self->taken_.emplace_back(reinterpret_cast<const char *>(payload.data),
                                          payload.len);
                mr_message_unref(message);
                return true;
            },
            this);
        return taken_;
    }

    mr_trie_node *node_ = nullptr;
    mr_trie_node *other_node_ = nullptr;
    std::vector<std::string> taken_;
    size_t accept_ = 0;
};

// [MQTT-4.8.2-3] [MQTT-4.8.2-4] [MQTT-4.8.2-5]
TEST_F(SharedDelivery, OthersMayGetWhatWaitsAndQos1InFlight) {
    Connect();
    SendShared(node_, 1, "q1");
    SendShared(node_, 2, "q2");
    SendShared(other_node_, 1, "other");
    Send(1, "own");
    Disconnect();
    SendShared(node_, 2, "waits");
    Send(1, "own waits");
    EXPECT_EQ(Take(nullptr, false), List({"waits"}));
    EXPECT_EQ(Take(node_, true), List({"q1"}));
    EXPECT_EQ(Take(nullptr, true), List({"other"}));
    EXPECT_EQ(world_.counters.shared_redelivered, 3u);
    EXPECT_EQ(world_.counters.queued_messages, 3u);
    Connect();
    EXPECT_EQ(ReadPayloads(), List({"q2", "own", "own waits"}));
}

TEST_F(SharedDelivery, StaysWhenNobodyTakesIt) {
    Connect();
    SendShared(node_, 1, "a");
    Disconnect();
    SendShared(node_, 1, "b");
    SendShared(node_, 1, "c");
    EXPECT_EQ(Take(nullptr, true, 2), List({"a", "b"}));
    EXPECT_EQ(Take(nullptr, true, 0), List({}));
    Connect();
    EXPECT_EQ(ReadPayloads(), List({"c"}));
}

TEST_F(SharedDelivery, CarriesTheIdentifierOfTheSubscriptionAsItIs) {
    ConnectWithReceiveMax(1);
    SendShared(node_, 1, "a");
    SendShared(node_, 1, "b");
    EXPECT_EQ(client_->Read()[0].ids, std::vector<uint32_t>{7});
    world_.Subscribe("$share/g/t", kSubscriber, 9);
    mr_session_puback(&session_, 1);
    mr_session_pump(&session_);
    EXPECT_EQ(client_->Read()[0].ids, std::vector<uint32_t>{9});
}

// [MQTT-3.10.4-3]: what is in flight has to be completed, without the node.
TEST_F(SharedDelivery, RefersToANodeNoMoreOnceItWasLeft) {
    Connect();
    SendShared(node_, 1, "q1");
    SendShared(node_, 2, "q2");
    SendShared(other_node_, 2, "other");
    Disconnect();
    SendShared(node_, 1, "waits");
    EXPECT_EQ(Take(node_, false, 0), List({}));
    mr_trie_remove(world_.trie, node_, kSubscriber);
    node_ = nullptr;
    EXPECT_EQ(Take(nullptr, true), List({}));
    Connect();
    std::vector<Received> packets = client_->Read();
    ASSERT_EQ(packets.size(), 4u);
    const char *payloads[] = {"q1", "q2", "other", "waits"};
    for (size_t i = 0; i < 4; i++) {
        EXPECT_EQ(packets[i].payload, payloads[i]);
        EXPECT_EQ(packets[i].ids, i == 2 ? std::vector<uint32_t>() : std::vector<uint32_t>{7});
    }
}

TEST_F(SharedDelivery, MayBeTakenOutOfOrder) {
    Connect();
    Send(1, "own 1");
    SendShared(node_, 1, "shared 2");
    Send(1, "own 3");
    EXPECT_EQ(Take(node_, true), List({"shared 2"}));
    EXPECT_FALSE(mr_session_puback(&session_, 2));
    EXPECT_TRUE(mr_session_puback(&session_, 3));
    EXPECT_TRUE(mr_session_puback(&session_, 1));
    EXPECT_EQ(session_.inflight.count, 0u);
    EXPECT_EQ(session_.quota_used, 0);
    client_->Read();
    Send(1, "next");
    EXPECT_EQ(client_->Read()[0].packet_id, 4);
}

// --------------------------------------------------------------------------- memory

TEST(SessionMemory, ADeliveryThatCannotBeKeptFailsTheLinkAndIsCounted) {
    World world(256u << 10);
    mr_session session;
    mr_session_init(&session, &world.env, kSubscriber, nullptr);
    Client client(&world, ClientOptions());
    mr_session_attach(&session, client.link());
    {
        Publication publication;
        publication.qos = 1;
        Outgoing outgoing(&world, publication);
        std::vector<mr_buf *> ballast;
        for (size_t size = 32u << 10; size > 0; size /= 2) {
            while (mr_buf *buf = mr_buf_new(world.pool(), size)) {
                ballast.push_back(buf);
            }
        }
        Grant grant;
        EXPECT_FALSE(Deliver(&session, outgoing.get(), grant));
        EXPECT_EQ(world.counters.dropped_no_memory, 1u);
        EXPECT_EQ(client.link()->failed, MR_LINK_OK);  // QoS 0 may be lost.
        grant.qos = 1;
        EXPECT_FALSE(Deliver(&session, outgoing.get(), grant));
        EXPECT_EQ(world.counters.dropped_no_memory, 2u);
        EXPECT_EQ(client.link()->failed, MR_LINK_NO_MEMORY);
        EXPECT_EQ(mr_session_receive(&session, 1, 10), MR_RECEIVE_NO_MEMORY);
        for (mr_buf *buf : ballast) {
            mr_buf_unref(buf);
        }
        // The next delivery waits for the next connection.
        EXPECT_FALSE(Deliver(&session, outgoing.get(), grant));
        EXPECT_EQ(world.counters.dropped_no_memory, 2u);
    }
    EXPECT_EQ(client.pending(), 0u);
    mr_session_detach(&session);
    Client next(&world, ClientOptions());
    mr_session_attach(&session, next.link());
    EXPECT_EQ(next.link()->failed, MR_LINK_OK);
    EXPECT_TRUE(mr_session_pump(&session));
    EXPECT_EQ(next.Read().size(), 1u);
    mr_session_detach(&session);
    mr_session_fini(&session);
}

}  // namespace
}  // namespace mr_testing
