// bazel run //tests/sim:scale -- --connections 1000000 [--workers 4] [--messages 3]
//
// So many simulated connections to the real broker core: they connect, subscribe to one topic, and
// get broadcasts, of which each must reach each of them, once, in order and unaltered. Prints the
// broker's memory for each connection, without that of the simulated network and of the clients,
// and rates of one thread that does the work of all workers, all clients and the network.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "tests/sim/core.h"
#include "tests/sim/counted_malloc.h"

namespace {

constexpr size_t kBatch = 10000;
constexpr size_t kPayloadBytes = 32;
constexpr uint64_t kTurnsMax = 100000;

struct Options {
    uint64_t connections = 10000;
    uint32_t workers = 4;
    uint64_t messages = 3;
};

struct Device {
    mr_sim_end *end;
    uint32_t messages;  // Got so far.
    bool connected;
    bool subscribed;
};

[[noreturn]] void Die(const char *what, uint64_t index) {
    std::fprintf(stderr, "FAILED: %s (client %llu)\n", what,
                 static_cast<unsigned long long>(index));
    std::exit(1);
}

double Now() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

std::string Payload(uint64_t number) {
    std::string payload = "message " + std::to_string(number) + " ";
    payload.resize(kPayloadBytes, '.');
    return payload;
}

class Fleet {
 public:
    explicit Fleet(const Options &options) : options_(options), devices_(options.connections) {
    }
    int Run();

 private:
    void Connect(size_t index);
    void Subscribe(size_t index);
    void Take(size_t index);
    void OnPublish(size_t index, const mr_frame &frame, mr_slice body);
    void Send(size_t index, const uint8_t *bytes, size_t len);
    template <typename Done>
    void RunUntil(size_t from, size_t to, Done done, const char *what);
    double ConnectAll();
    double SubscribeAll();
    double Broadcast(uint8_t qos);
    void Report(const char *what, const mr_counted_memory &base);
    void CloseAll();

    Options options_;
    std::vector<Device> devices_;
    mr_core *core_ = nullptr;
    mr_sim_end *publisher_ = nullptr;
    uint64_t published_ = 0;
};

void Fleet::Send(size_t index, const uint8_t *bytes, size_t len) {
    if (len == 0 || mr_sim_send(devices_[index].end, mr_slice_of(bytes, len)) != len) {
        Die("a packet doesn't fit", index);
    }
}

void Fleet::Connect(size_t index) {
    uint8_t bytes[64];
    char id[16];
    std::snprintf(id, sizeof(id), "c%08zu", index);
    mr_connect connect = {};
    connect.version = MR_MQTT_311;
    connect.clean_start = true;
    connect.client_id = mr_slice_str(id);
    if (mr_sim_connect(core_->sim, &devices_[index].end, core_->port) != MR_OK) {
        Die("no connection", index);
    }
    Send(index, bytes, mr_connect_encode(&connect, bytes, sizeof(bytes)));
}

void Fleet::Subscribe(size_t index) {
    uint8_t entry[32];
    uint8_t bytes[64];
    mr_subscription_options options = {};
    options.qos = 1;
    mr_subscribe subscribe = {};
    subscribe.packet_id = 1;
    subscribe.entry_count = 1;
    subscribe.entries =
        mr_slice_of(entry, mr_subscribe_encode_entry(MR_MQTT_311, mr_slice_str("news/all"),
                                                     &options, entry, sizeof(entry)));
    Send(index, bytes, mr_subscribe_encode(MR_MQTT_311, &subscribe, bytes, sizeof(bytes)));
}

void Fleet::OnPublish(size_t index, const mr_frame &frame, mr_slice body) {
    Device &device = devices_[index];
    mr_publish publish;
    mr_decode_error error;
    if (mr_publish_decode(MR_MQTT_311, frame.flags, body, &publish, &error) != MR_DECODE_DONE ||
        !mr_slice_eq(publish.topic, mr_slice_str("news/all"))) {
        Die("not the PUBLISH that was sent", index);
    }
    std::string expected = Payload(device.messages);
    if (!mr_slice_eq(publish.payload, Slice(expected))) {
        Die("a message is missing, doubled, out of order or altered", index);
    }
    device.messages++;
    if (publish.qos == 1) {
        uint8_t bytes[8];
        mr_ack ack = {};
        ack.packet_id = publish.packet_id;
        Send(index, bytes, mr_ack_encode(MR_MQTT_311, MR_PUBACK, &ack, bytes, sizeof(bytes)));
    }
}

// Packets are small and the network is a friendly one: they come whole.
void Fleet::Take(size_t index) {
    uint8_t bytes[1024];
    size_t len = mr_sim_recv(devices_[index].end, bytes, sizeof(bytes));
    for (size_t taken = 0; taken < len;) {
        mr_frame frame;
        mr_decode_error error;
        mr_slice rest = mr_slice_of(bytes + taken, len - taken);
        if (mr_frame_decode(rest, MR_MQTT_311, 1024, &frame, &error) != MR_DECODE_DONE ||
            rest.len < frame.header_len + size_t{frame.body_len}) {
            Die("half a packet", index);
        }
        mr_slice body = mr_slice_of(rest.data + frame.header_len, frame.body_len);
        if (frame.type == MR_CONNACK) {
            devices_[index].connected = body.len == 2 && body.data[1] == 0;
        } else if (frame.type == MR_SUBACK) {
            devices_[index].subscribed = body.len == 3 && body.data[2] == 1;
        } else if (frame.type == MR_PUBLISH) {
            OnPublish(index, frame, body);
        } else {
            Die("an unexpected packet", index);
        }
        taken += frame.header_len + frame.body_len;
    }
}

template <typename Done>
void Fleet::RunUntil(size_t from, size_t to, Done done, const char *what) {
    size_t next = from;
    for (uint64_t turns = 0; next < to; turns++) {
        if (turns > kTurnsMax) {
            Die(what, next);
        }
        mr_core_run(core_, options_.workers * 2);
        for (size_t i = next; i < to; i++) {
            Take(i);
        }
        while (next < to && done(devices_[next])) {
            next++;
        }
    }
}

double Fleet::ConnectAll() {
    double begin = Now();
    for (size_t from = 0; from < devices_.size(); from += kBatch) {
        size_t to = from + kBatch < devices_.size() ? from + kBatch : devices_.size();
        for (size_t i = from; i < to; i++) {
            Connect(i);
        }
        RunUntil(
            from, to, [](const Device &device) { return device.connected; }, "no CONNACK");
    }
    return Now() - begin;
}

double Fleet::SubscribeAll() {
    double begin = Now();
    for (size_t from = 0; from < devices_.size(); from += kBatch) {
        size_t to = from + kBatch < devices_.size() ? from + kBatch : devices_.size();
        for (size_t i = from; i < to; i++) {
            Subscribe(i);
        }
        RunUntil(
            from, to, [](const Device &device) { return device.subscribed; }, "no SUBACK");
    }
    return Now() - begin;
}

// The last client publishes; it gets its own message, too.
double Fleet::Broadcast(uint8_t qos) {
    double begin = Now();
    for (uint64_t i = 0; i < options_.messages; i++) {
        std::string payload = Payload(published_++);
        mr_publish publish = {};
        publish.topic = mr_slice_str("news/all");
        publish.payload = Slice(payload);
        publish.qos = qos;
        publish.packet_id = static_cast<uint16_t>(qos == 0 ? 0 : published_);
        uint8_t bytes[128];
        size_t len = mr_publish_encode(MR_MQTT_311, &publish, nullptr, 0, bytes, sizeof(bytes));
        if (mr_sim_send(publisher_, mr_slice_of(bytes, len)) != len) {
            Die("the publisher's packet doesn't fit", 0);
        }
        uint64_t expected = published_;
        RunUntil(
            0, devices_.size(),
            [expected](const Device &device) { return device.messages == expected; },
            "a message didn't come");
        mr_sim_recv(publisher_, bytes, sizeof(bytes));
    }
    return Now() - begin;
}

void Fleet::Report(const char *what, const mr_counted_memory &base) {
    mr_counted_memory now = mr_counted_memory_now();
    double count = static_cast<double>(devices_.size());
    std::printf("%-28s %8.1f bytes and %.2f blocks for each connection, %.1f MiB in all\n", what,
                (static_cast<double>(now.bytes) - static_cast<double>(base.bytes)) / count,
                (static_cast<double>(now.blocks) - static_cast<double>(base.blocks)) / count,
                static_cast<double>(now.bytes) / 1048576.0);
}

void Fleet::CloseAll() {
    for (size_t from = 0; from < devices_.size(); from += kBatch) {
        for (size_t i = from; i < from + kBatch && i < devices_.size(); i++) {
            mr_sim_end_close(devices_[i].end);
        }
        mr_core_run(core_, options_.workers * 8);
    }
    mr_sim_end_close(publisher_);
    for (int i = 0; i < 20; i++) {
        mr_sim_advance(core_->sim, 1000);
        mr_core_run(core_, options_.workers * 8);
    }
}

int Fleet::Run() {
    mr_core_options options = {};
    options.sim.seed = 1;
    options.sim.pipe_bytes_max = 256;
    options.sim.alloc = mr_uncounted_alloc;
    options.sim.release = mr_uncounted_free;
    options.worker_count = options_.workers;
    options.config_text = "max_queued_bytes 0\n";
    mr_counted_memory nothing = mr_counted_memory_now();
    if (mr_core_new(&core_, &options) != MR_OK) {
        Die("no broker", 0);
    }
    mr_counted_memory base = mr_counted_memory_now();
    double count = static_cast<double>(devices_.size());
    double seconds = ConnectAll();
    std::printf("%zu connections, %u workers in one thread, %.1f MiB before the first\n",
                devices_.size(), options_.workers, static_cast<double>(base.bytes) / 1048576.0);
    std::printf("%-28s %8.0f connects/s\n", "connected", count / seconds);
    Report("connected, idle", base);
    std::printf("%-28s %8u bytes (what $SYS says for a client id of 9)\n", "",
                mr_protocol_idle_client_bytes(9));
    seconds = SubscribeAll();
    std::printf("%-28s %8.0f subscribes/s\n", "subscribed to one filter", count / seconds);
    Report("subscribed", base);

    Device extra = {};
    devices_.push_back(extra);
    size_t last = devices_.size() - 1;
    Connect(last);
    RunUntil(
        last, last + 1, [](const Device &device) { return device.connected; }, "no CONNACK");
    publisher_ = devices_[last].end;
    devices_.pop_back();
    for (uint8_t qos = 0; qos < 2; qos++) {
        seconds = Broadcast(qos);
        double deliveries = count * static_cast<double>(options_.messages);
        std::printf("%-28s %8.0f deliveries/s: %.0f, each checked\n",
                    qos == 0 ? "broadcast at QoS 0" : "broadcast at QoS 1", deliveries / seconds,
                    deliveries);
    }
    Report("after the broadcasts", base);
    const char *wrong = mr_core_check(core_);
    if (wrong != nullptr) {
        Die(wrong, 0);
    }
    CloseAll();
    Report("all are gone", base);
    wrong = mr_core_check_empty(core_);
    if (wrong != nullptr) {
        Die(wrong, 0);
    }
    mr_core_free(core_);
    mr_counted_memory end = mr_counted_memory_now();
    if (end.bytes != nothing.bytes || end.blocks != nothing.blocks) {
        Die("memory is left", end.blocks - nothing.blocks);
    }
    std::printf("all memory came back\n");
    return 0;
}

}  // namespace

int main(int argc, char **argv) {
    Options options;
    for (int i = 1; i < argc; i += 2) {
        uint64_t number = i + 1 < argc ? std::strtoull(argv[i + 1], nullptr, 10) : 0;
        if (number > 0 && std::strcmp(argv[i], "--connections") == 0) {
            options.connections = number;
        } else if (number > 0 && number <= 64 && std::strcmp(argv[i], "--workers") == 0) {
            options.workers = static_cast<uint32_t>(number);
        } else if (number > 0 && std::strcmp(argv[i], "--messages") == 0) {
            options.messages = number;
        } else {
            std::fprintf(stderr, "usage: scale [--connections N] [--workers N] [--messages N]\n");
            return 2;
        }
    }
    return Fleet(options).Run();
}
