// What a buffer, a reference and a piece of pending output cost.
//
//   bazel run //bench:buf_bench -- --benchmark_filter=Chain
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "bench/micro/micro.hh"
#include "io/buf/buf.h"
#include "io/buf/chain.h"

namespace {

using micro::Check;
using micro::Loop;

class Pool {
 public:
    explicit Pool(uint64_t cached_bytes_max = 16 << 20) {
        mr_buf_pool_options options = {};
        options.cached_bytes_max = cached_bytes_max;
        Check(mr_buf_pool_new(&pool_, &options) == MR_OK, "pool");
        mr_buf_pool_enter(pool_);
    }
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;
    ~Pool() {
        mr_buf_pool_free(pool_);
    }

    mr_buf_pool *get() const {
        return pool_;
    }

    mr_buf *New(size_t bytes) const {
        mr_buf *buf = mr_buf_new(pool_, bytes);
        Check(buf != nullptr, "buffer");
        return buf;
    }

 private:
    mr_buf_pool *pool_ = nullptr;
};

// --------------------------------------------------------------------- buffers

// With free lists and without, which is the allocator's price.
void NewUnref(benchmark::State &state) {
    Pool pool(state.range(1) != 0 ? 16 << 20 : MR_BUF_CACHE_NONE);
    size_t bytes = static_cast<size_t>(state.range(0));
    Loop loop(state);
    for (auto _ : loop) {
        mr_buf *buf = pool.New(bytes);
        buf->data[0] = 1;
        benchmark::DoNotOptimize(buf);
        mr_buf_unref(buf);
    }
    mr_buf_stats stats;
    mr_buf_pool_stats(pool.get(), &stats);
    loop.Expect(stats.in_use_count == 0, "all came home");
}
BENCHMARK(NewUnref)->ArgNames({"bytes", "cached"})->ArgsProduct({{64, 256, 4096, 65536}, {0, 1}});

// Many at once, as when messages are queued.
void NewUnrefMany(benchmark::State &state) {
    Pool pool(state.range(1) != 0 ? 16 << 20 : MR_BUF_CACHE_NONE);
    std::vector<mr_buf *> bufs(static_cast<size_t>(state.range(0)));
    Loop loop(state, state.range(0));
    for (auto _ : loop) {
        for (mr_buf *&buf : bufs) {
            buf = pool.New(300);
            buf->data[0] = 1;
        }
        for (mr_buf *buf : bufs) {
            mr_buf_unref(buf);
        }
    }
    mr_buf_stats stats;
    mr_buf_pool_stats(pool.get(), &stats);
    loop.Expect(stats.in_use_count == 0, "all came home");
}
BENCHMARK(NewUnrefMany)->ArgNames({"count", "cached"})->ArgsProduct({{16, 4096}, {0, 1}});

// By the owner, without atomic instructions, and by another thread, with them.
void RefUnref(benchmark::State &state) {
    Pool owner;
    mr_buf *buf = mr_buf_ref_for_other(owner.New(1000));
    if (state.range(0) != 0) {
        mr_buf_pool_enter(nullptr);
    }
    Loop loop(state);
    for (auto _ : loop) {
        benchmark::DoNotOptimize(mr_buf_ref(buf));
        mr_buf_unref(buf);
    }
    mr_buf_pool_enter(nullptr);
    mr_buf_unref(buf);
    mr_buf_pool_enter(owner.get());
    loop.Expect(mr_buf_is_unique(buf), "references came back");
    mr_buf_unref(buf);
}
BENCHMARK(RefUnref)->ArgName("foreign")->Arg(0)->Arg(1);

// ---------------------------------------------------------------------- chains

size_t Drain(mr_chain *chain) {
    mr_iov iov[64];
    size_t entry_count = 0;
    while (mr_chain_bytes(chain) > 0) {
        size_t count = mr_chain_iov(chain, iov, 64);
        uint64_t bytes = 0;
        for (size_t i = 0; i < count; i++) {
            bytes += iov[i].len;
        }
        mr_chain_consume(chain, bytes);
        entry_count += count;
    }
    return entry_count;
}

// Packets of one receive buffer, forwarded as they came. `gap` 1 leaves a byte out
// between them, so that none lengthens the one before.
void ChainRun(benchmark::State &state) {
    Pool pool;
    mr_buf *buf = pool.New(65536);
    memset(buf->data, 'x', 65536);
    size_t len = static_cast<size_t>(state.range(0));
    size_t step = len + static_cast<size_t>(state.range(1));
    mr_chain chain = {};
    size_t packets = 65536 / step;
    size_t entry_count = 0;
    Loop loop(state, static_cast<int64_t>(packets));
    for (auto _ : loop) {
        for (size_t offset = 0; offset + step <= 65536; offset += step) {
            mr_slice slice = mr_slice_of(buf->data + offset, len);
            Check(mr_chain_append_ref(&chain, pool.get(), buf, slice) == MR_OK, "append");
        }
        entry_count += Drain(&chain);
    }
    // With gaps, what is small is copied together and what isn't is an entry of its own.
    bool is_one = state.range(1) == 0;
    size_t rounds = static_cast<size_t>(loop.Count());
    loop.Expect(is_one ? entry_count == rounds : entry_count <= rounds * packets, "entries");
    mr_buf_unref(buf);
}
BENCHMARK(ChainRun)->ArgNames({"bytes", "gap"})->ArgsProduct({{64, 250, 1024}, {0, 1}});

// A header of its own for each receiver, and a shared payload.
void ChainHeaderAndPayload(benchmark::State &state) {
    Pool pool;
    size_t len = static_cast<size_t>(state.range(0));
    mr_buf *buf = pool.New(len);
    memset(buf->data, 'x', len);
    mr_chain chain = {};
    constexpr int kMessages = 16;
    size_t entry_count = 0;
    Loop loop(state, kMessages);
    for (auto _ : loop) {
        for (int i = 0; i < kMessages; i++) {
            uint8_t *header = mr_chain_reserve(&chain, pool.get(), 40);
            Check(header != nullptr, "reserve");
            memset(header, i, 24);
            mr_chain_commit(&chain, 24);
            mr_slice slice = mr_slice_of(buf->data, len);
            Check(mr_chain_append_ref(&chain, pool.get(), buf, slice) == MR_OK, "append");
        }
        Check(mr_chain_bytes(&chain) == kMessages * (24 + len), "bytes");
        entry_count += Drain(&chain);
    }
    // What is small is copied behind its header, or else it is an entry of its own.
    size_t messages = static_cast<size_t>(loop.Operations());
    loop.Expect(len <= MR_CHAIN_COPY_BYTES ? entry_count < messages : entry_count == 2 * messages,
                "entries");
    mr_buf_unref(buf);
}
BENCHMARK(ChainHeaderAndPayload)->ArgName("bytes")->Arg(64)->Arg(256)->Arg(257)->Arg(4096);

// One packet on each of many chains that are empty before and after: fan-out.
void ChainFanOut(benchmark::State &state) {
    Pool pool;
    mr_buf *buf = pool.New(65536);
    memset(buf->data, 'x', 65536);
    std::vector<mr_chain> chains(static_cast<size_t>(state.range(0)));
    Loop loop(state, state.range(0));
    for (auto _ : loop) {
        for (mr_chain &chain : chains) {
            mr_slice slice = mr_slice_of(buf->data, 200);
            Check(mr_chain_append_ref(&chain, pool.get(), buf, slice) == MR_OK, "append");
        }
        for (mr_chain &chain : chains) {
            Drain(&chain);
        }
    }
    loop.Expect(mr_buf_is_unique(buf), "references came back");
    mr_buf_unref(buf);
}
BENCHMARK(ChainFanOut)->ArgName("chains")->Arg(100)->Arg(10000);

// What MR_CHAIN_COPY_BYTES rests on: a vectored send of 64 pieces that lie apart, against
// copying them together first.
void SendPieces(benchmark::State &state) {
    constexpr size_t kPieces = 64;
    size_t len = static_cast<size_t>(state.range(0));
    bool gather = state.range(1) != 0;
    int sockets[2];
    Check(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0, "socketpair");
    std::vector<std::string> pieces(kPieces, std::string(len, 'x'));
    std::vector<char> gathered(kPieces * len);
    std::vector<char> received(kPieces * len);
    Loop loop(state, kPieces);
    for (auto _ : loop) {
        iovec iov[kPieces];
        size_t count = 0;
        for (const std::string &piece : pieces) {
            if (gather) {
                memcpy(&gathered[count * len], piece.data(), len);
            } else {
                iov[count] = {const_cast<char *>(piece.data()), len};
            }
            count++;
        }
        if (gather) {
            iov[0] = {gathered.data(), gathered.size()};
            count = 1;
        }
        ssize_t sent = writev(sockets[0], iov, static_cast<int>(count));
        Check(sent == static_cast<ssize_t>(kPieces * len), "sent");
        Check(recv(sockets[1], received.data(), received.size(), MSG_WAITALL) == sent, "received");
    }
    loop.Expect(received == std::vector<char>(kPieces * len, 'x'), "the same bytes");
    close(sockets[0]);
    close(sockets[1]);
}
BENCHMARK(SendPieces)
    ->ArgNames({"bytes", "gather"})
    ->ArgsProduct({{64, 128, 256, 512, 1024}, {0, 1}});
}  // namespace
