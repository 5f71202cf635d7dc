// Deliveries to sessions: one message to one or many receivers, with what happens to the bytes
// until they are in the connections' output.
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "bench/micro/micro.hh"
#include "broker/session/session.h"

namespace {

using micro::Check;
using micro::Loop;

// One receiver: a session, its connection and the connection's output.
struct Receiver {
    mr_session session;
    mr_link link;
    mr_chain chain;
};

// A worker's part: a pool, an environment, and a PUBLISH as it was received.
class World {
 public:
    World(int64_t receivers, enum mr_version version, size_t payload_len, uint8_t qos)
        : receivers_(static_cast<size_t>(receivers)) {
        mr_buf_pool_options options = {};
        options.cached_bytes_max = 16 << 20;
        Check(mr_buf_pool_new(&pool_, &options) == MR_OK, "pool");
        mr_buf_pool_enter(pool_);
        env_.pool = pool_;
        env_.scratch.pool = pool_;
        env_.counters = &counters_;
        env_.now_ms = 1000000;
        env_.inflight_messages_max = 20;
        env_.queued_messages_max = 1000;
        env_.outbox_bytes = 1u << 20;
        env_.slow_policy = MR_SLOW_DROP_NEWEST;
        uint32_t index = 0;
        for (Receiver &receiver : receivers_) {
            memset(static_cast<void *>(&receiver), 0, sizeof(receiver));
            receiver.link.out = &receiver.chain;
            receiver.link.version = static_cast<uint8_t>(version);
            receiver.link.receive_max = 65535;
            receiver.link.packet_bytes_max = UINT32_MAX;
            mr_session_init(&receiver.session, &env_, ++index, nullptr);
            mr_session_attach(&receiver.session, &receiver.link);
        }
        Receive(payload_len, qos);
    }
    ~World() {
        for (Receiver &receiver : receivers_) {
            mr_session_detach(&receiver.session);
            mr_session_fini(&receiver.session);
            mr_chain_clear(&receiver.chain);
        }
        mr_buf_unref(source_);
        mr_scratch_fini(&env_.scratch);
        mr_buf_stats stats;
        mr_buf_pool_stats(pool_, &stats);
        Check(stats.in_use_count == 0, "all buffers came home");
        mr_buf_pool_enter(nullptr);
        mr_buf_pool_free(pool_);
    }
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    // One message to all. With `wire` its bytes may be passed on as they are.
    void Deliver(uint8_t qos, bool wire) {
        mr_outgoing outgoing;
        mr_outgoing_init(&outgoing, &env_.scratch, &packet_, source_, 0, 0);
        if (wire) {
            outgoing.wire = bytes_;
            outgoing.wire_version = MR_MQTT_311;
        }
        mr_grant grant = {};
        grant.qos = qos;
        for (Receiver &receiver : receivers_) {
            written_ += mr_session_deliver(&receiver.session, &outgoing, &grant);
        }
        mr_outgoing_fini(&outgoing);
    }

    // The connections take everything.
    void Drain() {
        for (Receiver &receiver : receivers_) {
            bytes_out_ += mr_chain_bytes(&receiver.chain);
            mr_chain_consume(&receiver.chain, mr_chain_bytes(&receiver.chain));
        }
    }

    std::vector<Receiver> &receivers() {
        return receivers_;
    }
    uint64_t written() const {
        return written_;
    }
    uint64_t bytes_out() const {
        return bytes_out_;
    }
    const mr_counters &counters() const {
        return counters_;
    }
    uint64_t packet_bytes() const {
        return bytes_.len;
    }

 private:
    // What a publisher sent, in a receive buffer.
    void Receive(size_t payload_len, uint8_t qos) {
        std::string payload(payload_len, 'x');
        mr_publish packet;
        memset(&packet, 0, sizeof(packet));
        packet.topic = mr_slice_str("building/12/sensor/7");
        packet.payload = mr_slice_of(payload.data(), payload.size());
        packet.qos = qos;
        packet.packet_id = qos == 0 ? 0 : 7;
        source_ = mr_buf_new(pool_, 65536);
        Check(source_ != nullptr, "receive buffer");
        size_t len = mr_publish_encode(MR_MQTT_311, &packet, nullptr, 0, source_->data, 65536);
        bytes_ = mr_slice_of(source_->data, len);
        mr_frame frame;
        mr_decode_error error;
        Check(mr_frame_decode(bytes_, MR_MQTT_311, 65536, &frame, &error) == MR_DECODE_DONE,
              "frame");
        mr_slice body = mr_slice_of(bytes_.data + frame.header_len, frame.body_len);
        Check(mr_publish_decode(MR_MQTT_311, frame.flags, body, &packet_, &error) == MR_DECODE_DONE,
              "publish");
    }

    mr_buf_pool *pool_ = nullptr;
    mr_session_env env_ = {};
    mr_counters counters_ = {};
    mr_buf *source_ = nullptr;
    mr_slice bytes_ = {};
    mr_publish packet_ = {};
    std::vector<Receiver> receivers_;
    uint64_t written_ = 0;
    uint64_t bytes_out_ = 0;
};

void Shapes(benchmark::internal::Benchmark *benchmark) {
    benchmark->ArgNames({"receivers", "payload"})->ArgsProduct({{1, 100, 10000}, {16, 4096}});
}

void DeliverQos0(benchmark::State &state, enum mr_version version, bool wire) {
    World world(state.range(0), version, static_cast<size_t>(state.range(1)), 0);
    Loop loop(state, state.range(0));
    for (auto _ : loop) {
        world.Deliver(0, wire);
        world.Drain();
    }
    uint64_t deliveries = static_cast<uint64_t>(loop.Operations());
    loop.Expect(world.written() == deliveries, "each was written");
    // 5.0 has a property length more.
    uint64_t expected = world.packet_bytes() + (version == MR_MQTT_50 ? 1 : 0);
    loop.Expect(world.bytes_out() == deliveries * expected, "bytes");
}
// The bytes that came in go out again.
BENCHMARK_CAPTURE(DeliverQos0, as_received, MR_MQTT_311, true)->Apply(Shapes);
// Encoded once for all.
BENCHMARK_CAPTURE(DeliverQos0, other_level, MR_MQTT_50, false)->Apply(Shapes);

// Until the acknowledgement is there.
void DeliverQos1(benchmark::State &state, enum mr_version version) {
    World world(state.range(0), version, static_cast<size_t>(state.range(1)), 1);
    uint16_t packet_id = 0;
    int64_t acknowledged = 0;
    Loop loop(state, state.range(0));
    for (auto _ : loop) {
        world.Deliver(1, false);
        world.Drain();
        packet_id = packet_id == 65535 ? 1 : static_cast<uint16_t>(packet_id + 1);
        for (Receiver &receiver : world.receivers()) {
            acknowledged += mr_session_puback(&receiver.session, packet_id);
        }
    }
    loop.Expect(world.written() == static_cast<uint64_t>(loop.Operations()), "written");
    loop.Expect(acknowledged == loop.Operations(), "each was acknowledged");
}
BENCHMARK_CAPTURE(DeliverQos1, v4, MR_MQTT_311)->Apply(Shapes);
BENCHMARK_CAPTURE(DeliverQos1, v5, MR_MQTT_50)->Apply(Shapes);

// A client that is away: messages wait, are sent when it comes back, and are acknowledged.
void QueueAndPump(benchmark::State &state) {
    World world(1, MR_MQTT_311, 16, 1);
    mr_session *session = &world.receivers()[0].session;
    mr_link *link = &world.receivers()[0].link;
    int64_t count = state.range(0);
    uint16_t packet_id = 0;
    int64_t acknowledged = 0;
    Loop loop(state, count);
    for (auto _ : loop) {
        mr_session_detach(session);
        for (int64_t i = 0; i < count; i++) {
            world.Deliver(1, false);
        }
        mr_session_attach(session, link);
        mr_session_pump(session);
        for (int64_t i = 0; i < count; i++) {
            packet_id = packet_id == 65535 ? 1 : static_cast<uint16_t>(packet_id + 1);
            acknowledged += mr_session_puback(session, packet_id);
            mr_session_pump(session);
        }
        world.Drain();
    }
    loop.Expect(acknowledged == loop.Operations(), "each was acknowledged");
    loop.Expect(!mr_session_is_backlogged(session), "nothing waits");
    loop.Bytes(static_cast<int64_t>(world.packet_bytes()));
}
BENCHMARK(QueueAndPump)->ArgName("messages")->Arg(1)->Arg(10)->Arg(1000);

// QoS 2 from a publisher: its identifier is kept until PUBREL.
void ReceiveRelease(benchmark::State &state) {
    World world(1, MR_MQTT_311, 16, 2);
    mr_session *session = &world.receivers()[0].session;
    uint16_t unfinished = static_cast<uint16_t>(state.range(0));
    for (uint16_t id = 1; id < unfinished; id++) {
        Check(mr_session_receive(session, id, 65535) == MR_RECEIVE_NEW, "receive");
    }
    int64_t seen = 0;
    Loop loop(state);
    for (auto _ : loop) {
        seen += mr_session_receive(session, 60000, 65535) == MR_RECEIVE_NEW;
        seen += mr_session_receive(session, 60000, 65535) == MR_RECEIVE_DUPLICATE;
        seen += mr_session_release(session, 60000);
    }
    loop.Expect(seen == 3 * loop.Count(), "new, duplicate, released");
}
BENCHMARK(ReceiveRelease)->ArgName("unfinished")->Arg(1)->Arg(20)->Arg(1000);

}  // namespace
