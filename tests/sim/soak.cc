#include "tests/sim/soak.hh"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "tests/sim/core.h"

namespace millrace {
namespace {

constexpr int kClientsMax = 14;
constexpr uint64_t kCheckSteps = 64;
// So that a long run comes to rest at its end.
constexpr uint64_t kQueuedMax = 5000;
constexpr uint64_t kSettleRounds = 20000;

// An assertion ends the process: the seed must be known then, too.
volatile uint64_t seed_now;
volatile uint64_t step_now;

void OnAbort(int) {
    std::fprintf(stderr, "aborted: MILLRACE_SEED=%llu, at step %llu\n",
                 static_cast<unsigned long long>(seed_now),
                 static_cast<unsigned long long>(step_now));
    std::signal(SIGABRT, SIG_DFL);
    std::abort();
}

class Soak {
 public:
    explicit Soak(const SoakOptions &options) : options_(options) {
        oracle_.keep_trace = options.keep_trace;
    }
    ~Soak() {
        clients_.clear();
        mr_core_free(core_);
    }
    SoakResult Run();

 private:
    bool SetUp();
    void MakeClients();
    uint64_t Random(uint64_t bound) {
        return mr_sim_random(core_->sim, bound);
    }
    bool Chance(uint32_t permille) {
        return Random(1000) < permille;
    }
    bool Failed() const {
        return !oracle_.failure().empty();
    }
    void Step();
    void RunWorkers(uint64_t turns);
    void Check();
    void Act(Client *client);
    void ActConnected(Client *client);
    void EndConnection(Client *client);
    std::string RandomTopic();
    std::string RandomFilter(int client);
    size_t RandomLen();
    mr_subscription_options RandomOptions(const std::string &filter);
    // The end.
    void Settle();
    bool IsSettled();
    uint64_t Dropped() const;
    std::map<std::string, uint64_t> FindRetained(bool clear);
    void CheckRetained();
    void EndEverything();
    std::unique_ptr<Client> NewClient(const ClientOptions &options);

    SoakOptions options_;
    Oracle oracle_;
    mr_core *core_ = nullptr;
    std::vector<std::unique_ptr<Client>> clients_;
    std::string setting_;
    bool may_drop_ = false;
    bool may_disconnect_ = false;
    bool large_ = false;
    bool crowded_ = false;
    uint32_t trouble_permille_ = 0;  // How often a connection is ended on purpose.
};

// ---------------------------------------------------------------------------- the setting

bool Soak::SetUp() {
    // The seed chooses the world first, by a generator of its own.
    uint64_t random = options_.seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    auto next = [&random](uint64_t bound) {
        random ^= random >> 31;
        random *= UINT64_C(0xbf58476d1ce4e5b9);
        random ^= random >> 29;
        return random % bound;
    };
    static const uint32_t pipes[] = {256, 4096, 65536};
    static const char *const windows[] = {"1", "3", "20", "0"};
    static const char *const policies[] = {"drop-newest", "drop-oldest", "disconnect",
                                           "backpressure"};
    mr_core_options core = {};
    core.sim.seed = options_.seed;
    core.sim.style = next(2) == 0 ? MR_SIM_READINESS : MR_SIM_COMPLETION;
    core.sim.pipe_bytes_max = pipes[next(3)];
    core.sim.partial_permille = static_cast<uint32_t>(next(3) * 200);
    core.sim.late_permille = static_cast<uint32_t>(next(3) * 100);
    core.sim.delay_permille = static_cast<uint32_t>(next(3) * 100);
    core.sim.delay_ms_max = 50;
    core.sim.reset_permille = static_cast<uint32_t>(next(3));
    core.worker_count = 1 + static_cast<uint32_t>(next(4));
    core.hash_seed = options_.seed;
    trouble_permille_ = static_cast<uint32_t>(next(3) * 15);
    bool limited = next(4) == 0;
    std::string policy = policies[next(4)];
    std::string config = "max_inflight_messages " + std::string(windows[next(4)]) + "\n";
    config += "queue_qos0_messages " + std::string(next(2) == 0 ? "true" : "false") + "\n";
    config += "max_queued_messages " + std::string(limited ? "30" : "0") + "\n";
    config += "max_queued_bytes 0\n";
    config += "slow_consumer_policy " + (limited ? policy : "drop-newest") + "\n";
    config += "outbox_bytes " + std::string(next(2) == 0 ? "4096" : "1048576") + "\n";
    config += "topic_cache_bytes " + std::string(next(3) == 0 ? "4096" : "1048576") + "\n";
    large_ = core.sim.pipe_bytes_max == 65536;
    may_drop_ = limited;
    may_disconnect_ = limited && policy == "disconnect";
    core.config_text = config.c_str();
    char text[256];
    std::snprintf(text, sizeof(text),
                  "%s, %u workers, pipes of %u bytes, per mille: %u partial, %u late, %u delayed, "
                  "%u reset, %u ended; ",
                  core.sim.style == MR_SIM_READINESS ? "readiness" : "completion",
                  core.worker_count, core.sim.pipe_bytes_max, core.sim.partial_permille,
                  core.sim.late_permille, core.sim.delay_permille, core.sim.reset_permille,
                  trouble_permille_);
    setting_ = text;
    for (char c : config) {
        setting_ += c == '\n' ? ';' : c;
    }
    enum mr_err err = mr_core_new(&core_, &core);
    if (err != MR_OK) {
        oracle_.Fail("no core: %s", mr_err_text(err));
        core_ = nullptr;
        return false;
    }
    MakeClients();
    return true;
}

std::unique_ptr<Client> Soak::NewClient(const ClientOptions &options) {
    return std::make_unique<Client>(core_->sim, core_->port, &oracle_, options);
}

void Soak::MakeClients() {
    int count = 4 + static_cast<int>(Random(kClientsMax - 3));
    for (int i = 0; i < count; i++) {
        ClientOptions options = {};
        options.index = i;
        options.version = Random(2) == 0 ? MR_MQTT_311 : MR_MQTT_50;
        options.lasting = Random(3) > 0;
        options.expiry_s = Random(4) == 0 ? 200 : UINT32_MAX;
        options.keep_alive_s = Random(4) == 0 ? 60 : 0;
        options.receive_max = UINT16_MAX;
        if (options.version == MR_MQTT_50) {
            options.receive_max = static_cast<uint16_t>(Random(2) == 0 ? 1 + Random(5) : 1000);
            options.topic_alias_max = static_cast<uint16_t>(Random(3) * 2);
        }
        options.strict_wills = !may_disconnect_;
        clients_.push_back(NewClient(options));
        clients_.back()->fault = options_.fault;
    }
}

// ------------------------------------------------------------------------------- choosing

std::string Soak::RandomTopic() {
    if (Random(5) == 0) {
        return "s/" + std::to_string(Random(2)) + "/" + std::to_string(Random(2));
    }
    return "t/" + std::to_string(Random(3)) + "/" + std::to_string(Random(3));
}

// Each client may be in one group for each of the shared topics, so that it is clear by which
// subscription it got a message. The QoS of a group is that of its name.
std::string Soak::RandomFilter(int client) {
    static const char *const filters[] = {"t/#",   "t/+/0", "t/1/+",    "t/0/0",
                                          "t/1/1", "t/2/2", "t/0/will", "t/2/#"};
    if (Random(4) == 0) {
        uint64_t space = Random(2);
        int group = 1 + (client + static_cast<int>(space)) % 2;
        return "$share/q" + std::to_string(group) + "/s/" + std::to_string(space) + "/#";
    }
    return filters[Random(8)];
}

mr_subscription_options Soak::RandomOptions(const std::string &filter) {
    mr_subscription_options options = {};
    bool shared = filter.compare(0, 8, "$share/q") == 0;
    options.qos = static_cast<uint8_t>(shared ? filter[8] - '0' : 2 - Random(5) / 2);
    options.no_local = !shared && Random(5) == 0;
    options.retain_as_published = !shared && Random(4) == 0;
    options.retain_handling = static_cast<uint8_t>(Random(3));
    return options;
}

size_t Soak::RandomLen() {
    switch (Random(40)) {
        case 0:
            return 1000 + Random(8000);
        case 1:
            // Not through pipes where that would take longer than clients may be silent.
            return large_ && Random(8) == 0 ? 100000 + Random(1000) : 1024;
        default:
            return 9 + Random(100);
    }
}

// --------------------------------------------------------------------------------- acting

void Soak::EndConnection(Client *client) {
    switch (Random(6)) {
        case 0:
            client->Reset();
            return;
        case 1:
            client->HalfClose();
            return;
        case 2:
            client->Disconnect(true, false);
            return;
        case 3:
            client->Disconnect(false, Random(3) == 0);
            return;
        case 4:
            // The next connection takes the session over.
            client->Connect(Random(8) == 0, Random(3) == 0);
            return;
        default:
            client->Disconnect(false, false);
    }
}

void Soak::ActConnected(Client *client) {
    int index = client->options().index;
    uint64_t action = Random(100);
    if (client->is_ending()) {
        return;
    }
    if (Chance(trouble_permille_)) {
        EndConnection(client);
    } else if (action < 60) {
        if (client->unfinished() < 20000 && !crowded_) {
            std::string topic = RandomTopic();
            bool retain = topic[0] == 't' && Random(8) == 0;
            size_t len = retain && Random(4) == 0 ? 0 : RandomLen();
            uint32_t expiry_s = Random(10) == 0 ? 1 + static_cast<uint32_t>(Random(30)) : 0;
            client->Publish(topic, len, static_cast<uint8_t>(Random(3)), retain, expiry_s);
        }
    } else if (index == 0) {
        client->Ping();  // It never subscribes.
    } else if (action < 80) {
        std::string filter = RandomFilter(index);
        if (action < 74) {
            client->Subscribe(filter, RandomOptions(filter));
        } else {
            client->Unsubscribe(filter);
        }
    } else if (action < 85) {
        client->PauseReading(static_cast<uint32_t>(Random(100)));
    } else if (action < 90) {
        client->HoldAcknowledgements(static_cast<uint32_t>(Random(60)));
    } else if (action < 93) {
        client->Ping();
    } else if (action < 95) {
        client->ForgetOldConnections();
    }
}

void Soak::Act(Client *client) {
    if (client->is_connected()) {
        ActConnected(client);
    } else if (client->is_idle()) {
        if (Random(8) == 0) {
            client->Connect(Random(10) == 0, Random(3) == 0);
        }
    } else if (Chance(5)) {
        client->Reset();  // Before CONNACK came.
    }
}

void Soak::RunWorkers(uint64_t turns) {
    mr_core_run(core_, turns);
    if (mr_core_is_drained(core_)) {
        oracle_.OnDrained();
    }
}

void Soak::Check() {
    const char *wrong = mr_core_check(core_);
    if (wrong != nullptr) {
        oracle_.Fail("%s", wrong);
    }
    mr_counters sum;
    mr_core_counters(core_, &sum);
    crowded_ = sum.queued_messages > kQueuedMax;
}

void Soak::Step() {
    if (Random(3) == 0) {
        RunWorkers(1 + Random(12));
        for (auto &client : clients_) {
            client->Poll();
        }
    } else {
        Act(clients_[Random(clients_.size())].get());
    }
}

// --------------------------------------------------------------------------------- the end

uint64_t Soak::Dropped() const {
    mr_counters sum;
    mr_core_counters(core_, &sum);
    return sum.dropped_queue_full + sum.dropped_oldest + sum.dropped_no_memory;
}

bool Soak::IsSettled() {
    mr_counters sum;
    mr_core_counters(core_, &sum);
    if (sum.queued_messages != 0 || !mr_core_is_drained(core_)) {
        return false;
    }
    for (auto &client : clients_) {
        bool away = client->is_idle() && !client->options().lasting;
        if (!away && (client->unfinished() > 0 || !client->is_connected())) {
            return false;
        }
    }
    return true;
}

// Everybody who has a session comes back, reads and acknowledges, until nothing moves.
void Soak::Settle() {
    mr_sim_calm(core_->sim);
    uint64_t still = 0;
    for (uint64_t round = 0; round < kSettleRounds && still < 50 && !Failed(); round++) {
        for (auto &client : clients_) {
            client->PauseReading(0);
            client->HoldAcknowledgements(0);
            client->ForgetOldConnections();
            if (client->is_idle() && client->options().lasting) {
                client->Connect(false, false);
            }
            client->Finish();
            client->Poll();
        }
        RunWorkers(12);
        still = IsSettled() ? still + 1 : 0;
    }
    if (still == 0 && !Failed()) {
        mr_counters sum;
        mr_core_counters(core_, &sum);
        oracle_.Fail("it doesn't come to rest: %llu messages are queued",
                     static_cast<unsigned long long>(sum.queued_messages));
        oracle_.Trace(
            "%llu keep alive timeouts, %llu protocol errors, %llu too slow, "
            "%llu without memory",
            static_cast<unsigned long long>(sum.keep_alive_timeouts),
            static_cast<unsigned long long>(sum.protocol_errors),
            static_cast<unsigned long long>(sum.slow_disconnects),
            static_cast<unsigned long long>(sum.memory_disconnects));
        for (auto &client : clients_) {
            oracle_.Trace("client %d: %s, %zu unfinished", client->options().index,
                          client->is_connected() ? "connected" : "not connected",
                          client->unfinished());
        }
    }
}

// A new subscriber to everything.
std::map<std::string, uint64_t> Soak::FindRetained(bool clear) {
    ClientOptions options = {};
    options.index = 1000;
    options.version = MR_MQTT_50;
    options.receive_max = UINT16_MAX;
    std::unique_ptr<Client> reader = NewClient(options);
    std::map<std::string, uint64_t> found;
    reader->retained_found = &found;
    reader->Connect(true, false);
    for (int round = 0; round < 300 && !Failed(); round++) {
        if (round == 50) {
            mr_subscription_options everything = {};
            everything.qos = 2;
            reader->Subscribe("#", everything);
        }
        for (auto it = found.begin(); clear && round == 150 && it != found.end(); ++it) {
            reader->Publish(it->first, 0, 1, true, 0);
        }
        if (round == 250) {
            reader->Disconnect(false, false);
        }
        RunWorkers(10);
        reader->Poll();
    }
    return found;
}

void Soak::CheckRetained() {
    std::map<std::string, uint64_t> found = FindRetained(false);
    if (options_.fault == Fault::kLoseRetained && !found.empty()) {
        found.erase(found.begin());
        clients_[0]->fault_done = true;
    }
    if (options_.fault == Fault::kStaleRetained && !found.empty()) {
        found.begin()->second = 1 + (found.begin()->second + 1) % oracle_.published();
        clients_[0]->fault_done = true;
    }
    oracle_.CheckRetained(found);
}

// All sessions end; then nothing may be left.
void Soak::EndEverything() {
    for (auto &client : clients_) {
        if (!client->is_idle()) {
            client->Reset();
        }
        client->set_lasting(false);
        client->Connect(true, false);
    }
    for (int round = 0; round < 300; round++) {
        RunWorkers(20);
        for (auto &client : clients_) {
            client->Poll();
            if (round == 150 && client->is_connected()) {
                client->Disconnect(false, false);
            }
        }
    }
    FindRetained(true);
    clients_.clear();
    // Beyond lingering and a will's delay.
    for (int round = 0; round < 20; round++) {
        mr_sim_advance(core_->sim, 1000);
        RunWorkers(100);
    }
    const char *left = mr_core_check_empty(core_);
    if (left != nullptr) {
        oracle_.Fail("at the end: %s", left);
    }
}

SoakResult Soak::Run() {
    SoakResult result = {};
    uint64_t step = 0;
    if (SetUp()) {
        uint64_t begin_ms = mr_sim_now_ms(core_->sim);
        for (; step < options_.steps && !Failed(); step++) {
            step_now = step;
            Step();
            if (step % kCheckSteps == 0) {
                Check();
            }
        }
        if (!Failed()) {
            Settle();
        }
        if (!Failed()) {
            oracle_.CheckOwed(may_drop_ ? Dropped() : 0);
            CheckRetained();
        }
        for (auto &client : clients_) {
            result.fault_done = result.fault_done || client->fault_done;
        }
        if (!Failed()) {
            EndEverything();
        }
        mr_counters sum;
        mr_core_counters(core_, &sum);
        result.connects = sum.connects_accepted;
        result.takeovers = sum.takeovers;
        result.handed_over = sum.connections_handed_over;
        result.dropped = Dropped();
        result.pauses = sum.backpressure_pauses;
        result.virtual_ms = mr_sim_now_ms(core_->sim) - begin_ms;
    }
    if (Failed()) {
        result.failure = "MILLRACE_SEED=" + std::to_string(options_.seed) + ", step " +
                         std::to_string(step) + ": " + oracle_.failure() + " (" + setting_ + ")";
        for (const std::string &line : oracle_.trace()) {
            result.trace += line + "\n";
        }
    }
    result.setting = setting_;
    result.hash = oracle_.hash();
    result.published = oracle_.published();
    result.delivered = oracle_.delivered();
    result.owed = oracle_.owed();
    return result;
}

}  // namespace

SoakResult RunSoak(const SoakOptions &options) {
    seed_now = options.seed;
    std::signal(SIGABRT, OnAbort);
    Soak soak(options);
    return soak.Run();
}

}  // namespace millrace
