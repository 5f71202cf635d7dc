// A client that keeps to the standard, behind a session that is short of memory and connections
// that break: what must arrive arrives, as often as it must, in order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>

#include "broker/session/testing.hh"

namespace mr_testing {
namespace {

constexpr uint64_t kPoolBytes = 512u << 10;

struct Sent {
    uint8_t qos = 0;
    bool dropped = false;   // Counted as such.
    uint32_t received = 0;  // By the application behind the client.
};

class FaultyRun {
 public:
    explicit FaultyRun(uint32_t seed) : random_(seed), world_(kPoolBytes) {
        world_.env.queued_messages_max = 0;
        world_.env.outbox_bytes = 3000;
        world_.env.inflight_messages_max = static_cast<uint16_t>(1 + Below(10));
        world_.env.queue_qos0_messages = Below(2) == 0;
        mr_session_init(&session_, &world_.env, mr_subscriber_make(1, 1), nullptr);
        Connect();
    }

    ~FaultyRun() {
        Relax();
        Disconnect();
        mr_session_fini(&session_);
    }

    void Step() {
        uint32_t what = Below(100);
        if (what < 40) {
            Deliver();
        } else if (what < 60) {
            Read(Below(2) == 0 ? UINT64_MAX : Below(2000));
        } else if (what < 80) {
            Acknowledge();
        } else if (what < 85) {
            Faulty([this] { mr_session_pump(&session_); });
        } else if (what < 88) {
            Disconnect();
            Connect();
        } else if (what < 94) {
            Squeeze();
        } else {
            Relax();
        }
        if (client_->link()->failed != MR_LINK_OK) {
            // Nothing was written behind the failure, or the client will notice.
            EXPECT_EQ(client_->link()->failed, MR_LINK_NO_MEMORY);
            failures_++;
            EXPECT_FALSE(mr_session_pump(&session_));
            if (Below(3) == 0) {
                Deliver();
            }
            if (Below(2) == 0) {
                Read(UINT64_MAX);
            }
            Relax();
            Disconnect();
            Connect();
        }
    }

    // With memory and a good connection, everything that is kept arrives.
    void Finish() {
        Relax();
        Disconnect();
        Connect();
        for (int i = 0; i < 100000 && !Idle(); i++) {
            Read(UINT64_MAX);
            Acknowledge();
            mr_session_pump(&session_);
        }
        EXPECT_TRUE(Idle());
        for (size_t n = 0; n < sent_.size(); n++) {
            const Sent &sent = sent_[n];
            if (sent.dropped) {
                EXPECT_EQ(sent.received, 0u) << n;
            } else if (sent.qos == 2) {
                EXPECT_EQ(sent.received, 1u) << n;  // Section 4.3.3.
            } else if (sent.qos == 1) {
                EXPECT_GE(sent.received, 1u) << n;
            } else {
                EXPECT_LE(sent.received, 1u) << n;
            }
        }
    }

    uint64_t failures() const {
        return failures_;
    }
    uint64_t dropped() const {
        return world_.counters.dropped_no_memory;
    }
    uint64_t refused() const {
        return world_.stats().refused_count;
    }

 private:
    uint32_t Below(uint32_t limit) {
        return static_cast<uint32_t>(random_() % limit);
    }

    bool Idle() const {
        return client_->pending() == 0 && acks_.empty() && session_.queue.count == 0 &&
               session_.inflight.count == 0;
    }

    void Connect() {
        ClientOptions options;
        options.version = Below(2) == 0 ? MR_MQTT_311 : MR_MQTT_50;
        if (options.version == MR_MQTT_50) {
            options.receive_max = static_cast<uint16_t>(1 + Below(12));
            options.topic_alias_max = static_cast<uint16_t>(Below(3));
        }
        outstanding_.clear();
        client_ = std::make_unique<Client>(&world_, options);
        mr_session_attach(&session_, client_->link());
        mr_session_pump(&session_);
    }

    void Disconnect() {
        mr_session_detach(&session_);
        client_.reset();
        acks_.clear();
    }

    // Leaves very little memory.
    void Squeeze() {
        Relax();
        squeezed_ = true;
        left_ = std::vector<uint64_t>{0, 100, 300, 1000, 5000, 70000}[Below(6)];
    }

    void Relax() {
        squeezed_ = false;
    }

    // Does `what` with as little memory as there shall be at the moment.
    template <typename What>
    void Faulty(What what) {
        std::vector<mr_buf *> ballast;
        if (squeezed_) {
            for (size_t size = 32u << 10; size > 0; size /= 2) {
                for (;;) {
                    struct mr_buf_stats stats = world_.stats();
                    if (stats.in_use_bytes + size + left_ > kPoolBytes) {
                        break;
                    }
                    mr_buf *buf = mr_buf_new(world_.pool(), size);
                    if (buf == nullptr) {
                        break;
                    }
                    ballast.push_back(buf);
                }
            }
        }
        what();
        for (mr_buf *buf : ballast) {
            mr_buf_unref(buf);
        }
    }

    void Deliver() {
        Publication publication;
        uint32_t n = static_cast<uint32_t>(sent_.size());
        publication.topic = "topic/" + std::to_string(Below(4));
        publication.payload = std::to_string(n) + ":";
        publication.payload.resize(std::vector<size_t>{10, 10, 200, 600, 1100, 3000}[Below(6)],
                                   '.');
        publication.qos = static_cast<uint8_t>(Below(3));
        publication.version = Below(2) == 0 ? MR_MQTT_311 : MR_MQTT_50;
        if (publication.version == MR_MQTT_50 && Below(2) == 0) {
            publication.forwardable = UserProperty("n", std::to_string(n));
            publication.topic_alias = static_cast<uint16_t>(Below(2));
        }
        Grant grant;
        grant.qos = publication.qos;
        for (uint32_t id = Below(4); id > 0; id--) {
            grant.ids.push_back(id);
        }
        Outgoing outgoing(&world_, publication);
        uint64_t drops = world_.counters.dropped_no_memory + world_.counters.dropped_offline;
        Faulty([&] { mr_testing::Deliver(&session_, outgoing.get(), grant); });
        drops = world_.counters.dropped_no_memory + world_.counters.dropped_offline - drops;
        EXPECT_LE(drops, 1u);
        Sent sent;
        sent.qos = publication.qos;
        sent.dropped = drops > 0;
        sent_.push_back(sent);
    }

    void Read(uint64_t bytes) {
        for (const Received &packet : client_->Read(bytes)) {
            if (packet.type == MR_PUBREL) {
                OnPubrel(packet.packet_id);
                outstanding_.insert(packet.packet_id);
                continue;
            }
            OnPublish(packet);
        }
        // The send quota was never exceeded [MQTT-3.3.4-9].
        EXPECT_LE(outstanding_.size(), client_->options().receive_max);
        EXPECT_LE(outstanding_.size(), world_.env.inflight_messages_max);
    }

    void OnPublish(const Received &packet) {
        uint32_t n = static_cast<uint32_t>(std::stoul(packet.payload));
        ASSERT_LT(n, sent_.size());
        Sent *sent = &sent_[n];
        EXPECT_EQ(packet.qos, sent->qos);
        bool again = sent->received > 0;
        if (packet.qos == 2) {
            acks_.push_back({packet.packet_id, MR_PUBREC});
            outstanding_.insert(packet.packet_id);
            if (!unreleased_.insert(packet.packet_id).second) {
                EXPECT_TRUE(packet.dup);
                return;
            }
        } else if (packet.qos == 1) {
            acks_.push_back({packet.packet_id, MR_PUBACK});
            outstanding_.insert(packet.packet_id);
        }
        if (again) {
            EXPECT_EQ(packet.qos, 1);
            EXPECT_TRUE(packet.dup);  // [MQTT-3.3.1-1]
        } else {
            EXPECT_TRUE(n >= next_) << n << " came behind " << next_;  // [MQTT-4.6.0-5]
            next_ = n + 1;
        }
        sent->received++;
    }

    void Acknowledge() {
        for (uint32_t count = 1 + Below(5); count > 0 && !acks_.empty(); count--) {
            auto [packet_id, type] = acks_.front();
            acks_.pop_front();
            if (type == MR_PUBACK) {
                EXPECT_TRUE(mr_session_puback(&session_, packet_id));
                outstanding_.erase(packet_id);
            } else if (type == MR_PUBREC) {
                EXPECT_TRUE(mr_session_pubrec(&session_, packet_id, false));
                if (Below(8) == 0) {
                    // The PUBREL gets lost with the connection; the next one brings it again.
                    Disconnect();
                    Connect();
                    return;
                }
                OnPubrel(packet_id);
            } else {
                mr_session_pubcomp(&session_, packet_id);
                outstanding_.erase(packet_id);
            }
        }
        Faulty([this] { mr_session_pump(&session_); });
    }

    void OnPubrel(uint16_t packet_id) {
        // It may be unknown, if a PUBCOMP got lost; it is answered all the same.
        unreleased_.erase(packet_id);
        acks_.push_back({packet_id, MR_PUBCOMP});
    }

    std::mt19937 random_;
    World world_;
    mr_session session_;
    std::unique_ptr<Client> client_;
    bool squeezed_ = false;
    uint64_t left_ = 0;
    uint64_t failures_ = 0;
    std::vector<Sent> sent_;
    uint32_t next_ = 0;                                     // First messages after it only.
    std::deque<std::pair<uint16_t, mr_packet_type>> acks_;  // That the client is going to send.
    std::set<uint16_t> unreleased_;                         // QoS 2, of the client's session.
    std::set<uint16_t> outstanding_;  // Received on this connection and not acknowledged.
};

TEST(SessionFaults, NothingIsLostOrDuplicatedWithoutMemoryAndConnections) {
    const char *text = getenv("MILLRACE_SEED");
    uint32_t first = text == nullptr ? 1 : static_cast<uint32_t>(strtoul(text, nullptr, 10));
    uint64_t failures = 0;
    uint64_t dropped = 0;
    uint64_t refused = 0;
    for (uint32_t seed = first; seed < first + 60; seed++) {
        FaultyRun run(seed);
        for (int step = 0; step < 500 && !HasFailure(); step++) {
            run.Step();
        }
        run.Finish();
        failures += run.failures();
        dropped += run.dropped();
        refused += run.refused();
        if (HasFailure()) {
            FAIL() << "MILLRACE_SEED=" << seed;
        }
    }
    printf("seeds %u to %u: %llu refusals, %llu links failed, %llu drops\n", first, first + 59,
           static_cast<unsigned long long>(refused), static_cast<unsigned long long>(failures),
           static_cast<unsigned long long>(dropped));
    // The faults did happen.
    EXPECT_GT(failures, 100u);
    EXPECT_GT(dropped, 100u);
}

}  // namespace
}  // namespace mr_testing
