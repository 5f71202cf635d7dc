// The backend on TCP over loopback, with the loads of //bench:io_bench, whose Google Benchmark is
// for Linux: echo and fan-out, both ends of each connection in one loop, and what an idle stream
// takes from the heap. For the numbers:
//
//     bazel test --test_output=all //io/iocp:iocp_bench_wine_test
//
// Times are the clock's, as much of the work is Wine's server's. Medians.
#include <winsock2.h>

#include <windows.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "io/iocp/iocp.h"
#include "io/loop.h"

#ifndef MR_NO_MIMALLOC
#include <mimalloc.h>
#endif

namespace {

constexpr size_t kMessageBytes = 64;
constexpr int kSamples = 3;
constexpr std::chrono::milliseconds kSampleTime{1000};

void Check(bool condition, const char *what) {
    if (!condition) {
        std::fprintf(stderr, "iocp_bench: %s (%d)\n", what, WSAGetLastError());
        std::exit(EXIT_FAILURE);
    }
}

// What this thread has from malloc(), or 0 if that can't be told.
size_t HeapBytes() {
    size_t bytes = 0;
#ifndef MR_NO_MIMALLOC
    auto add = [](const mi_heap_t *, const mi_heap_area_t *area, void *, size_t, void *sum) {
        *static_cast<size_t *>(sum) += area->used * area->block_size;
        return true;
    };
    mi_heap_visit_blocks(mi_heap_get_default(), false, add, &bytes);
#endif
    return bytes;
}

class World;

// One end of a connection.
struct End {
    mr_stream stream;  // First, so that a stream is its end.
    World *world;
    SOCKET socket;
};

enum class Load {
    kEcho,
    kFanOut,  // What the first server gets goes to all others.
};

class World {
 public:
    World(Load load, size_t connections) : load_(load) {
        mr_loop_options options = {};
        Check(mr_loop_new(&loop_, &mr_io_iocp, &options) == MR_OK, "loop");
        mr_buf_pool_enter(mr_loop_pool(loop_));
        Connect(connections);
        // What a loop has but once isn't a stream's.
        Check(mr_loop_run_once(loop_, 0) == MR_OK, "turn");
        size_t before = HeapBytes();
        for (auto *ends : {&clients_, &servers_}) {
            for (auto &end : *ends) {
                Attach(end.get());
            }
        }
        Check(mr_loop_run_once(loop_, 0) == MR_OK, "turn");
        stream_heap_bytes_ = (HeapBytes() - before) / (2 * connections);
    }
    ~World() {
        for (auto *ends : {&clients_, &servers_}) {
            for (auto &end : *ends) {
                mr_stream_close(&end->stream, MR_CLOSE_ABORT, 0);
            }
        }
        while (closed_ < 2 * clients_.size()) {
            Turn();
        }
        mr_loop_free(loop_);
        mr_buf_pool_enter(nullptr);
    }
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    // Turns until `count` messages have arrived, anywhere.
    void Receive(uint64_t count) {
        while (received_bytes_ < count * kMessageBytes) {
            Turn();
        }
    }
    uint64_t received() const {
        return received_bytes_ / kMessageBytes;
    }
    void SendOne(size_t client) {
        static const std::string message(kMessageBytes, 'x');
        Send(clients_[client].get(), nullptr, mr_slice_of(message.data(), message.size()));
    }
    uint64_t Syscalls() const {
        struct mr_loop_stats stats;
        mr_loop_stats(loop_, &stats);
        return stats.syscall_count;
    }
    size_t stream_heap_bytes() const {
        return stream_heap_bytes_;
    }

 private:
    void Connect(size_t connections) {
        SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in name = {};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int len = sizeof(name);
        auto *address = reinterpret_cast<sockaddr *>(&name);
        Check(bind(listener, address, len) == 0 && listen(listener, 16) == 0, "listen");
        Check(getsockname(listener, address, &len) == 0, "port");
        for (size_t i = 0; i < connections; i++) {
            clients_.push_back(NewEnd(socket(AF_INET, SOCK_STREAM, 0)));
            Check(connect(clients_.back()->socket, address, len) == 0, "connect");
            servers_.push_back(NewEnd(accept(listener, nullptr, nullptr)));
        }
        closesocket(listener);
    }

    std::unique_ptr<End> NewEnd(SOCKET socket) {
        Check(socket != INVALID_SOCKET, "socket");
        BOOL on = TRUE;
        Check(setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char *>(&on),
                         sizeof(on)) == 0,
              "no delay");
        auto end = std::make_unique<End>();
        end->world = this;
        end->socket = socket;
        return end;
    }

    void Attach(End *end) {
        static const mr_stream_handler handler = {
            OnRecv, [](mr_stream *) {}, OnClose, nullptr, 1 << 20, 1 << 19};
        Check(mr_stream_attach(loop_, &end->stream, static_cast<intptr_t>(end->socket),
                               mr_slice_of(nullptr, 0), &handler) == MR_OK,
              "attach");
    }

    // Waits a second at most: whoever waits for more than that waits in vain.
    void Turn() {
        uint64_t before = received_bytes_ + closed_;
        Check(mr_loop_run_once(loop_, 1000) == MR_OK, "turn");
        vain_turns_ = received_bytes_ + closed_ == before ? vain_turns_ + 1 : 0;
        Check(vain_turns_ < 60, "nothing comes any more");
    }

    void Send(End *end, mr_buf *buf, struct mr_slice bytes) {
        mr_chain *chain = mr_stream_out(&end->stream);
        mr_buf_pool *pool = mr_loop_pool(loop_);
        Check((buf != nullptr ? mr_chain_append_ref(chain, pool, buf, bytes)
                              : mr_chain_append_copy(chain, pool, bytes)) == MR_OK,
              "append");
        mr_stream_flush(&end->stream);
    }

    static size_t OnRecv(mr_stream *stream, mr_buf *buf, struct mr_slice data, size_t *) {
        End *end = reinterpret_cast<End *>(stream);
        World *world = end->world;
        world->received_bytes_ += data.len;
        if (world->load_ == Load::kEcho) {
            world->Send(end, buf, data);
        } else if (end == world->servers_[0].get()) {
            for (size_t i = 1; i < world->servers_.size(); i++) {
                world->Send(world->servers_[i].get(), buf, data);
            }
        }
        return data.len;
    }

    static void OnClose(mr_stream *stream, enum mr_err, int) {
        reinterpret_cast<End *>(stream)->world->closed_++;
    }

    Load load_;
    mr_loop *loop_ = nullptr;
    std::vector<std::unique_ptr<End>> clients_;
    std::vector<std::unique_ptr<End>> servers_;
    uint64_t received_bytes_ = 0;
    uint64_t closed_ = 0;
    uint64_t vain_turns_ = 0;
    size_t stream_heap_bytes_ = 0;
};

struct Sample {
    double us;        // For each message,
    double syscalls;  // and calls of the system.
};

// `round()` lets messages arrive, again and again for a while.
template <class Round>
Sample Measure(World *world, Round round) {
    using Clock = std::chrono::steady_clock;
    uint64_t messages = world->received();
    uint64_t syscalls = world->Syscalls();
    Clock::time_point start = Clock::now();
    Clock::duration time;
    do {
        round();
        time = Clock::now() - start;
    } while (time < kSampleTime);
    auto count = static_cast<double>(world->received() - messages);
    Check(count > 0, "messages");
    return {std::chrono::duration<double, std::micro>(time).count() / count,
            static_cast<double>(world->Syscalls() - syscalls) / count};
}

// Prints the median of the samples that `sample()` returns.
template <class Take>
void Report(const char *load, size_t connections, Take sample) {
    std::vector<Sample> samples;
    for (int i = 0; i < kSamples; i++) {
        samples.push_back(sample());
    }
    std::sort(samples.begin(), samples.end(),
              [](const Sample &a, const Sample &b) { return a.us < b.us; });
    const Sample &median = samples[kSamples / 2];
    std::printf("%s, %zu connections: %.1f us (%.1f to %.1f), %.3f calls for each message\n", load,
                connections, median.us, samples.front().us, samples.back().us, median.syscalls);
    std::fflush(stdout);
}

void Echo(size_t connections) {
    World world(Load::kEcho, connections);
    for (size_t i = 0; i < connections; i++) {
        world.SendOne(i);
    }
    world.Receive(4 * connections);
    Report("echo", connections,
           [&] { return Measure(&world, [&] { world.Receive(world.received() + connections); }); });
    if (connections == 1000) {
        std::printf("an idle stream: %zu bytes, of which the struct in its owner has %zu\n",
                    sizeof(mr_stream) + world.stream_heap_bytes(), sizeof(mr_stream));
    }
}

void FanOut(size_t subscribers) {
    World world(Load::kFanOut, subscribers + 1);
    Report("fan-out", subscribers, [&] {
        return Measure(&world, [&] {
            uint64_t wanted = world.received() + 1 + subscribers;
            world.SendOne(0);
            world.Receive(wanted);
            Check(world.received() == wanted, "each got each");
        });
    });
}

}  // namespace

int main() {
    WSADATA about;
    Check(WSAStartup(MAKEWORD(2, 2), &about) == 0, "Winsock");
    for (size_t connections : {1, 100, 1000}) {
        Echo(connections);
    }
    for (size_t subscribers : {100, 1000}) {
        FanOut(subscribers);
    }
    return EXIT_SUCCESS;
}
