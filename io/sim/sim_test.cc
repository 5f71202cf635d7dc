#include "io/sim/sim.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "io/backend_suite.h"

namespace {

class SimPeer : public Peer {
 public:
    explicit SimPeer(mr_sim_end *end) : end_(end) {
    }
    ~SimPeer() override {
        mr_sim_end_close(end_);
    }
    size_t Send(const std::string &bytes) override {
        return mr_sim_send(end_, mr_slice_of(bytes.data(), bytes.size()));
    }
    State Recv(std::string *bytes, size_t max) override {
        std::string room(std::min<size_t>(max, 1 << 16), '\0');
        size_t got = mr_sim_recv(end_, &room[0], room.size());
        bytes->append(room, 0, got);
        switch (mr_sim_end_state(end_)) {
            case MR_SIM_ENDED:
                return got > 0 ? State::kOpen : State::kEnded;
            case MR_SIM_RESET:
                return State::kReset;
            default:
                return State::kOpen;
        }
    }
    void EndSending() override {
        mr_sim_end_sending(end_);
    }
    void Reset() override {
        mr_sim_reset(end_);
    }

 private:
    mr_sim_end *end_;
};

class SimBackend : public Backend {
 public:
    explicit SimBackend(const mr_sim_options &options) : options_(options) {
        EXPECT_EQ(MR_OK, mr_sim_new(&sim_, &options));
    }
    ~SimBackend() override {
        mr_sim_free(sim_);
    }
    const mr_io_backend *Table() override {
        return mr_sim_backend(sim_);
    }
    std::unique_ptr<Peer> Connect(uint16_t port) override {
        mr_sim_end *end = nullptr;
        EXPECT_EQ(MR_OK, mr_sim_connect(sim_, &end, port));
        return std::make_unique<SimPeer>(end);
    }
    void PassTime(uint32_t ms) override {
        mr_sim_advance(sim_, ms);
    }
    bool HasThreads() override {
        return false;
    }
    bool IsPrompt() override {
        return options_.late_permille == 0;
    }
    size_t MoreThanFits() override {
        return 300000;
    }

 private:
    mr_sim_options options_;
    mr_sim *sim_ = nullptr;
};

mr_sim_options Calm(mr_sim_style style) {
    mr_sim_options options = {};
    options.style = style;
    return options;
}

mr_sim_options Wild(mr_sim_style style, uint64_t seed) {
    mr_sim_options options = Calm(style);
    options.seed = seed;
    options.partial_permille = 500;
    options.late_permille = 300;
    options.delay_permille = 200;
    options.delay_ms_max = 20;
    return options;
}

std::unique_ptr<Backend> MakeCalmReadiness() {
    return std::make_unique<SimBackend>(Calm(MR_SIM_READINESS));
}
std::unique_ptr<Backend> MakeCalmCompletion() {
    return std::make_unique<SimBackend>(Calm(MR_SIM_COMPLETION));
}
std::unique_ptr<Backend> MakeWildReadiness() {
    return std::make_unique<SimBackend>(Wild(MR_SIM_READINESS, 1));
}
std::unique_ptr<Backend> MakeWildCompletion() {
    return std::make_unique<SimBackend>(Wild(MR_SIM_COMPLETION, 2));
}

uint64_t Seed() {
    const char *seed = std::getenv("MILLRACE_SEED");
    return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}

// ------------------------------------------------------------------- the whole, at random

// Clients that send, read, pause, leave and reset; servers on several loops that echo, pause
// themselves, close in all ways and give connections to each other.
class World {
 public:
    World(uint64_t seed, mr_sim_style style) {
        mr_sim_options options = Wild(style, seed);
        options.reset_permille = 1;
        options.pipe_bytes_max = 2048;
        EXPECT_EQ(MR_OK, mr_sim_new(&sim_, &options));
        for (Host &host : hosts_) {
            host.world = this;
            mr_loop_options loop_options = {};
            loop_options.recv_bytes = 1024;
            EXPECT_EQ(MR_OK, mr_loop_new(&host.loop, mr_sim_backend(sim_), &loop_options));
        }
        mr_listen_address address = {};
        int os_error = 0;
        auto on_accept = [](void *ctx, intptr_t handle) {
            auto *host = static_cast<Host *>(ctx);
            host->world->Attach(host, nullptr, handle, "");
        };
        EXPECT_EQ(MR_OK, mr_listener_open(&listener_, hosts_[0].loop, &address, on_accept,
                                          &hosts_[0], &os_error));
    }

    ~World() {
        mr_listener_close(listener_);
        for (Client &client : clients_) {
            mr_sim_end_close(client.end);
        }
        for (auto &server : servers_) {
            if (!server->closed()) {
                mr_stream_close(server.get(), MR_CLOSE_ABORT, 0);
            }
        }
        mr_sim_run(sim_, 100000);
        for (auto &server : servers_) {
            EXPECT_EQ(1, server->close_count);
        }
        for (Host &host : hosts_) {
            mr_loop_free(host.loop);
        }
        mr_sim_free(sim_);
        mr_buf_pool_enter(nullptr);
    }

    // Returns a number that depends on all that happened.
    uint64_t Run(int steps) {
        for (int step = 0; step < steps; step++) {
            if (clients_.size() < 20) {
                clients_.emplace_back();
                EXPECT_EQ(MR_OK,
                          mr_sim_connect(sim_, &clients_.back().end, mr_listener_port(listener_)));
            }
            for (size_t i = 0; i < clients_.size(); i++) {
                if (!Act(&clients_[i])) {
                    mr_sim_end_close(clients_[i].end);
                    clients_[i] = clients_.back();
                    clients_.pop_back();
                    i--;
                }
            }
            mr_sim_run(sim_, 1 + Random(5));
            Mix(mr_sim_now_ms(sim_));
        }
        return trace_;
    }

    uint64_t echoed_count = 0;
    uint64_t moved_count = 0;
    uint64_t closed_count = 0;

 private:
    struct Host {
        World *world;
        mr_loop *loop = nullptr;
    };
    struct Client {
        mr_sim_end *end = nullptr;
        uint64_t sent = 0;
        uint64_t received = 0;
        bool ending = false;
    };
    struct Server : public Conn {
        World *world = nullptr;
        Host *host = nullptr;
        struct Resume : public mr_timer {
            Server *server = nullptr;
        } timer;
    };

    uint64_t Random(uint64_t bound) {
        return mr_sim_random(sim_, bound);
    }
    void Mix(uint64_t value) {
        trace_ = (trace_ ^ value) * 1099511628211u;
    }
    // What the byte at this place of a client's flow is.
    static char ByteAt(uint64_t at) {
        return static_cast<char>(at * 31 + at / 251);
    }

    // False if the client is through.
    bool Act(Client *client) {
        uint8_t bytes[3000];
        size_t got = mr_sim_recv(client->end, bytes, Random(sizeof bytes));
        for (size_t i = 0; i < got; i++) {
            // What is echoed is what was sent, from the first byte on without a gap.
            EXPECT_EQ(static_cast<uint8_t>(ByteAt(client->received + i)), bytes[i]);
        }
        client->received += got;
        echoed_count += got;
        Mix(got);
        EXPECT_LE(client->received, client->sent);
        if (mr_sim_end_state(client->end) != MR_SIM_OPEN) {
            return false;
        }
        if (!client->ending && Random(3) != 0) {
            std::string data(Random(2000), '\0');
            for (size_t i = 0; i < data.size(); i++) {
                data[i] = ByteAt(client->sent + i);
            }
            client->sent += mr_sim_send(client->end, mr_slice_of(data.data(), data.size()));
        }
        switch (Random(400)) {
            case 0:
                mr_sim_reset(client->end);
                return false;
            case 1:
                mr_sim_end_sending(client->end);
                client->ending = true;
                return true;
            case 2:
                return false;
            default:
                return true;
        }
    }

    void Attach(Host *host, Server *server, intptr_t handle, const std::string &rest) {
        if (server == nullptr) {
            auto fresh = std::make_unique<Server>();
            server = fresh.get();
            server->world = this;
            server->timer.server = server;
            mr_timer_init(&server->timer, [](mr_timer *timer) {
                mr_stream_recv_resume(static_cast<Server::Resume *>(timer)->server);
            });
            server->on_recv = [this, server](Conn *, mr_buf *buf, mr_slice data, size_t *need) {
                return Echo(server, buf, data, need);
            };
            server->on_close = [this, server](Conn *) {
                mr_timer_stop(server->host->loop, &server->timer);
                closed_count++;
                Mix(static_cast<uint64_t>(server->why));
            };
            server->on_detach = [this, server](Conn *, intptr_t moved, mr_buf *,
                                               std::string bytes) {
                mr_timer_stop(server->host->loop, &server->timer);
                server->close_count = 0;
                moved_count++;
                Host *next = &hosts_[Random(3)];
                Attach(next, server, moved, bytes);
            };
            servers_.push_back(std::move(fresh));
        }
        server->host = host;
        ASSERT_EQ(MR_OK, mr_stream_attach(host->loop, server, handle,
                                          mr_slice_of(rest.data(), rest.size()), &kConnHandler));
    }

    size_t Echo(Server *server, mr_buf *buf, mr_slice data, size_t *need) {
        Mix(data.len);
        if (Random(10) == 0) {
            // It succeeds only with nothing to send, so echo nothing.
            enum mr_err err = mr_stream_detach(server);
            EXPECT_TRUE(err == MR_OK || err == MR_ERR_BUSY);
            return 0;
        }
        size_t part = Random(data.len + 1);
        mr_slice slice = mr_slice_of(data.data, part);
        enum mr_err err = MR_OK;
        if (part > 0) {
            err = mr_chain_append_ref(mr_stream_out(server), mr_loop_pool(server->host->loop), buf,
                                      slice);
        }
        EXPECT_EQ(MR_OK, err);
        mr_stream_flush(server);
        switch (Random(60)) {
            case 0:
                mr_stream_close(server, MR_CLOSE_ABORT, 0);
                break;
            case 1:
                mr_stream_close(server, MR_CLOSE_FLUSH, static_cast<uint32_t>(Random(3) * 50));
                break;
            case 2:
            case 3:
            case 4:
                mr_stream_recv_pause(server);
                mr_timer_start(server->host->loop, &server->timer, Random(100));
                break;
            case 5:
                *need = Random(3000);
                break;
            default:
                break;
        }
        return part;
    }

    mr_sim *sim_ = nullptr;
    Host hosts_[3];
    mr_listener *listener_ = nullptr;
    std::vector<Client> clients_;
    std::vector<std::unique_ptr<Server>> servers_;
    uint64_t trace_ = 14695981039346656037u;
};

class SimWorldTest : public testing::TestWithParam<mr_sim_style> {};

TEST_P(SimWorldTest, EchoesSurviveEverything) {
    for (uint64_t seed = Seed(); seed < Seed() + 10; seed++) {
        SCOPED_TRACE("MILLRACE_SEED=" + std::to_string(seed));
        World world(seed, GetParam());
        world.Run(1500);
        EXPECT_GT(world.echoed_count, 100000u);
        EXPECT_GT(world.moved_count, 20u);
        EXPECT_GT(world.closed_count, 10u);
        if (HasFailure()) {
            return;
        }
    }
}

TEST_P(SimWorldTest, TheSameSeedGivesTheSameRun) {
    uint64_t first = World(7, GetParam()).Run(500);
    uint64_t again = World(7, GetParam()).Run(500);
    uint64_t other = World(8, GetParam()).Run(500);
    EXPECT_EQ(first, again);
    EXPECT_NE(first, other);
}

// ------------------------------------------------------------------------- the simulation

class SimTest : public testing::Test {
 protected:
    void Make(const mr_sim_options &options) {
        ASSERT_EQ(MR_OK, mr_sim_new(&sim_, &options));
        mr_loop_options loop_options = {};
        ASSERT_EQ(MR_OK, mr_loop_new(&loop_, mr_sim_backend(sim_), &loop_options));
    }
    void TearDown() override {
        mr_loop_free(loop_);
        mr_sim_free(sim_);
        mr_buf_pool_enter(nullptr);
    }
    mr_sim *sim_ = nullptr;
    mr_loop *loop_ = nullptr;
};

TEST_F(SimTest, TimeJumpsWhenNothingHappens) {
    struct Timer : public mr_timer {
        bool fired = false;
    } timer;
    Make(mr_sim_options{});
    mr_timer_init(&timer, [](mr_timer *t) { static_cast<Timer *>(t)->fired = true; });
    mr_timer_start(loop_, &timer, 86400000);
    uint64_t start = mr_sim_now_ms(sim_);
    EXPECT_FALSE(mr_sim_run(sim_, 1000)) << "in the end nothing is left to happen";
    EXPECT_TRUE(timer.fired);
    EXPECT_GE(mr_sim_now_ms(sim_), start + 86400000);
    EXPECT_LE(mr_sim_now_ms(sim_), start + 86400000 + MR_TIMER_TICK_MS);
}

TEST_F(SimTest, WithoutAnythingToWaitForWaitingFails) {
    Make(mr_sim_options{});
    EXPECT_EQ(MR_ERR_IO, mr_loop_run(loop_));
}

TEST_F(SimTest, NobodyListensNobodyConnects) {
    Make(mr_sim_options{});
    mr_sim_end *end = nullptr;
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_sim_connect(sim_, &end, 1883));
    EXPECT_EQ(nullptr, end);
}

TEST_F(SimTest, AcceptingPausesWithoutHandlesAndGoesOnWithThem) {
    mr_sim_options options = {};
    options.handle_count_max = 3;
    Make(options);
    std::vector<intptr_t> handles;
    mr_listener *listener = nullptr;
    mr_listen_address address = {};
    int os_error = 0;
    auto on_accept = [](void *ctx, intptr_t handle) {
        static_cast<std::vector<intptr_t> *>(ctx)->push_back(handle);
    };
    ASSERT_EQ(MR_OK, mr_listener_open(&listener, loop_, &address, on_accept, &handles, &os_error));
    std::vector<mr_sim_end *> ends(5);
    for (mr_sim_end *&end : ends) {
        ASSERT_EQ(MR_OK, mr_sim_connect(sim_, &end, mr_listener_port(listener)));
    }
    mr_sim_run(sim_, 50);
    EXPECT_EQ(3u, handles.size());
    struct mr_loop_stats stats;
    mr_loop_stats(loop_, &stats);
    EXPECT_GT(stats.accept_pause_count, 0u);
    mr_handle_close(loop_, handles[0]);
    mr_sim_run(sim_, 10);
    EXPECT_EQ(4u, handles.size());
    for (size_t i = 1; i < handles.size(); i++) {
        mr_handle_close(loop_, handles[i]);
    }
    mr_sim_run(sim_, 10);
    EXPECT_EQ(5u, handles.size());
    mr_handle_close(loop_, handles[4]);
    for (mr_sim_end *end : ends) {
        mr_sim_end_close(end);
    }
    mr_listener_close(listener);
}

int blocks_out;

TEST_F(SimTest, ItsMemoryCanBeToldApartAndComesWithTheBytes) {
    mr_sim_options options = {};
    options.alloc = [](size_t bytes) {
        blocks_out++;
        return std::malloc(bytes);
    };
    options.release = [](void *memory) {
        blocks_out--;
        std::free(memory);
    };
    blocks_out = 0;
    Make(options);
    intptr_t handle = 0;
    mr_listener *listener = nullptr;
    mr_listen_address address = {};
    int os_error = 0;
    auto on_accept = [](void *ctx, intptr_t accepted) { *static_cast<intptr_t *>(ctx) = accepted; };
    ASSERT_EQ(MR_OK, mr_listener_open(&listener, loop_, &address, on_accept, &handle, &os_error));
    mr_sim_end *end = nullptr;
    ASSERT_EQ(MR_OK, mr_sim_connect(sim_, &end, mr_listener_port(listener)));
    EXPECT_EQ(1, blocks_out);
    EXPECT_EQ(3u, mr_sim_send(end, mr_slice_str("abc")));
    EXPECT_EQ(2, blocks_out);
    EXPECT_FALSE(mr_sim_end_is_alone(end));
    mr_sim_run(sim_, 10);
    ASSERT_NE(0, handle);
    mr_handle_close(loop_, handle);
    EXPECT_TRUE(mr_sim_end_is_alone(end));
    mr_sim_end_close(end);
    EXPECT_EQ(0, blocks_out);
    mr_listener_close(listener);
}

TEST_F(SimTest, ACalmedSystemIsAFriendlyOne) {
    mr_sim_options options = {};
    options.partial_permille = 1000;
    options.delay_permille = 1000;
    options.delay_ms_max = 100;
    Make(options);
    intptr_t handle = 0;
    mr_listener *listener = nullptr;
    mr_listen_address address = {};
    int os_error = 0;
    auto on_accept = [](void *ctx, intptr_t accepted) { *static_cast<intptr_t *>(ctx) = accepted; };
    ASSERT_EQ(MR_OK, mr_listener_open(&listener, loop_, &address, on_accept, &handle, &os_error));
    mr_sim_end *end = nullptr;
    ASSERT_EQ(MR_OK, mr_sim_connect(sim_, &end, mr_listener_port(listener)));
    std::string bytes(1000, 'x');
    size_t least = bytes.size();
    for (int i = 0; i < 20; i++) {
        least = std::min(least, mr_sim_send(end, mr_slice_of(bytes.data(), bytes.size())));
    }
    EXPECT_LT(least, bytes.size());
    mr_sim_calm(sim_);
    EXPECT_EQ(bytes.size(), mr_sim_send(end, mr_slice_of(bytes.data(), bytes.size())));
    mr_sim_end_close(end);
    mr_sim_run(sim_, 10);
    mr_handle_close(loop_, handle);
    mr_listener_close(listener);
}

const char *const kVariants[] = {"calm_readiness", "calm_completion", "wild_readiness",
                                 "wild_completion"};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Sim, BackendTest,
                         testing::Values(&MakeCalmReadiness, &MakeCalmCompletion,
                                         &MakeWildReadiness, &MakeWildCompletion),
                         [](const auto &info) { return std::string(kVariants[info.index]); });

INSTANTIATE_TEST_SUITE_P(Sim, SimWorldTest, testing::Values(MR_SIM_READINESS, MR_SIM_COMPLETION),
                         [](const auto &info) {
                             return std::string(info.param == MR_SIM_READINESS ? "readiness"
                                                                               : "completion");
                         });
