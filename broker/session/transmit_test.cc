// What goes out as it came, without being written anew.
#include <gtest/gtest.h>

#include "broker/session/testing.hh"

namespace mr_testing {
namespace {

class Transmit : public testing::Test {
 protected:
    Transmit() {
        mr_session_init(&session_, &world_.env, mr_subscriber_make(1, 1), nullptr);
    }
    ~Transmit() override {
        Disconnect();
        mr_session_fini(&session_);
    }

    void Connect(const ClientOptions &options) {
        Disconnect();
        client_ = std::make_unique<Client>(&world_, options);
        mr_session_attach(&session_, client_->link());
    }

    void Disconnect() {
        if (client_ != nullptr) {
            mr_session_detach(&session_);
            client_.reset();
        }
    }

    World world_;
    mr_session session_;
    std::unique_ptr<Client> client_;
};

// [MQTT-3.1.2-24]: a packet of exactly the client's Maximum Packet Size, and a byte more.
TEST_F(Transmit, PassesPacketsOnUpToTheLargestSize) {
    ClientOptions options;
    options.packet_bytes_max = 50;
    Connect(options);
    Publication publication;
    publication.wire = true;
    publication.payload.assign(44, 'x');  // Behind 2 + 3 + 1 bytes.
    EXPECT_TRUE(Deliver(&world_, &session_, publication, Grant()));
    EXPECT_EQ(world_.counters.forwarded_unaltered, 1u);
    EXPECT_EQ(client_->Read()[0].bytes, 50u);
    publication.payload.assign(45, 'x');
    EXPECT_FALSE(Deliver(&world_, &session_, publication, Grant()));
    EXPECT_EQ(world_.counters.forwarded_unaltered, 1u);
    EXPECT_EQ(world_.counters.dropped_too_large, 1u);
    EXPECT_EQ(client_->pending(), 0u);
}

}  // namespace
}  // namespace mr_testing
