// Many connections at once.
#include <algorithm>

#include "io/backend_suite.h"

namespace {

size_t EchoAll(Conn *conn, mr_buf *, mr_slice data, size_t *) {
    conn->Write(std::string(reinterpret_cast<const char *>(data.data), data.len));
    return data.len;
}

}  // namespace

TEST_P(BackendTest, TenThousandConnectionsEachEchoAndEnd) {
    const size_t count = backend_->PairCountMax();
    const size_t batch_count = 1000;  // Fewer than the backlog takes.
    uint16_t port = Listen();
    std::vector<std::unique_ptr<Peer>> peers;
    size_t closed_count = 0;
    while (peers.size() < count) {
        while (peers.size() < count && peers.size() < conns_.size() + batch_count) {
            peers.push_back(backend_->Connect(port));
        }
        RunUntil([&] { return conns_.size() + accepted_.size() == peers.size(); });
        for (intptr_t handle : accepted_) {
            conns_.push_back(std::make_unique<Conn>());
            Conn *conn = conns_.back().get();
            conn->on_recv = EchoAll;
            conn->on_close = [&](Conn *) { closed_count++; };
            ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conn, handle, mr_slice_of(nullptr, 0),
                                              &kConnHandler));
        }
        accepted_.clear();
    }
    for (uint32_t i = 0; i < count; i++) {
        SendAll(peers[i].get(), Pattern(20, i));
    }
    for (uint32_t i = 0; i < count; i++) {
        ASSERT_EQ(Pattern(20, i), RecvAll(peers[i].get(), 20));
    }
    EXPECT_EQ(0u, closed_count);
    EXPECT_EQ(count, Stats().accept_count);
    EXPECT_EQ(20 * count, Stats().recv_bytes);
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount()) << "idle streams hold nothing";
    // Half of them go all at once, the others are closed in the same turn.
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 0) {
            mr_stream_close(conns_[i].get(), MR_CLOSE_ABORT, 0);
        }
    }
    for (std::unique_ptr<Peer> &peer : peers) {
        peer->Reset();
    }
    RunUntil([&] { return closed_count == count; });
    Turn();
    EXPECT_EQ(count, closed_count);
}

TEST_P(BackendTest, AStormOfConnectionsOfWhichMostAreGoneBeforeTheyAreAccepted) {
    enum Kind {
        kStays,
        kResets,
        kSendsAndResets,
        kSendsAndEnds,
        kEnds,
        kKindCount,
    };
    const size_t each_count = 300;
    uint16_t port = Listen();
    struct Sender {
        std::unique_ptr<Peer> peer;
        std::string sent;
    };
    std::vector<Sender> staying;
    std::vector<Sender> others;
    for (uint32_t i = 0; i < each_count * kKindCount; i++) {
        Sender sender;
        sender.peer = backend_->Connect(port);
        Kind kind = static_cast<Kind>(i % kKindCount);
        if (kind == kStays || kind == kSendsAndResets || kind == kSendsAndEnds) {
            sender.sent = Pattern(20, i);
            sender.sent.resize(sender.peer->Send(sender.sent));
        }
        if (kind == kResets || kind == kSendsAndResets) {
            sender.peer->Reset();
        } else if (kind == kSendsAndEnds || kind == kEnds) {
            sender.peer->EndSending();
        }
        (kind == kStays ? staying : others).push_back(std::move(sender));
    }
    const auto attach_all = [&] {
        for (intptr_t handle : accepted_) {
            conns_.push_back(std::make_unique<Conn>());
            conns_.back()->on_recv = EchoAll;
            ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conns_.back().get(), handle,
                                              mr_slice_of(nullptr, 0), &kConnHandler));
        }
        accepted_.clear();
    };
    // The system may keep those from us that were reset, but no other.
    RunUntil([&] {
        attach_all();
        size_t open_count = 0;
        size_t ended_count = 0;
        for (const auto &conn : conns_) {
            open_count += conn->closed() ? 0 : 1;
            ended_count += conn->why == MR_ERR_EOF ? 1 : 0;
        }
        bool all_ended = backend_->TellsEarlyResets() ? ended_count == 2 * each_count
                                                      : ended_count >= 2 * each_count;
        return open_count == each_count && all_ended;
    });
    for (Sender &sender : staying) {
        ASSERT_EQ(sender.sent, RecvAll(sender.peer.get(), sender.sent.size()));
    }
    Turn();
    EXPECT_EQ(conns_.size(), Stats().accept_count);
    EXPECT_LE(conns_.size(), each_count * kKindCount);
    EXPECT_EQ(0u, Stats().accept_pause_count);
    EXPECT_EQ(each_count,
              static_cast<size_t>(std::count_if(conns_.begin(), conns_.end(), [](const auto &conn) {
                  return conn->close_count == 0;
              })));
    for (const auto &conn : conns_) {
        EXPECT_LE(conn->close_count, 1);
    }
    // Who is next finds nothing in its way.
    Pair pair = MakePair();
    SendAll(pair.peer.get(), "hello");
    RunUntil([&] { return pair.conn->received == "hello"; });
}
