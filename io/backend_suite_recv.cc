// Receiving: that no byte is lost, doubled or changed, who holds buffers, back-pressure.
#include <map>
#include <random>

#include "io/backend_suite.h"

namespace {

mr_slice SliceOf(const std::string &bytes) {
    return mr_slice_of(bytes.data(), bytes.size());
}

std::string StringOf(mr_slice slice) {
    return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

}  // namespace

TEST_P(BackendTest, EchoesWhatItReceives) {
    Pair pair = MakePair();
    pair.conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        conn->Write(StringOf(data));
        return data.len;
    };
    for (int round = 0; round < 100; round++) {
        std::string bytes = Pattern(1 + static_cast<size_t>(round) * 37, 7);
        SendAll(pair.peer.get(), bytes);
        ASSERT_EQ(bytes, RecvAll(pair.peer.get(), bytes.size()));
    }
    EXPECT_EQ(1u, Stats().accept_count);
    EXPECT_EQ(Stats().recv_bytes, Stats().send_bytes);
}

TEST_P(BackendTest, AThousandConnectionsEachEcho) {
    std::vector<Pair> pairs;
    for (int i = 0; i < 1000; i++) {
        pairs.push_back(MakePair());
        pairs.back().conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *) {
            conn->Write(StringOf(data));
            return data.len;
        };
    }
    for (uint32_t i = 0; i < pairs.size(); i++) {
        SendAll(pairs[i].peer.get(), Pattern(20, i));
    }
    for (uint32_t i = 0; i < pairs.size(); i++) {
        ASSERT_EQ(Pattern(20, i), RecvAll(pairs[i].peer.get(), 20));
    }
    // Nothing but the loop's own receive buffer is in use.
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(BackendTest, AStormOfConnectionsIsAcceptedInBatches) {
    uint16_t port = Listen();
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 300; i++) {
        peers.push_back(backend_->Connect(port));
    }
    RunUntil([&] { return accepted_.size() == 300; });
    EXPECT_EQ(300u, Stats().accept_count);
    EXPECT_EQ(0u, Stats().accept_pause_count);
}

TEST_P(BackendTest, AnIdleStreamHoldsNoBuffer) {
    std::vector<Pair> pairs;
    for (int i = 0; i < 50; i++) {
        pairs.push_back(MakePair());
    }
    for (Pair &pair : pairs) {
        SendAll(pair.peer.get(), Pattern(100));
        RunUntil([&] { return pair.conn->received.size() == 100; });
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
    EXPECT_LE(PoolStats().in_use_bytes, backend_->RecvBufCount() * 262144u);
}

TEST_P(BackendTest, ShortRestsDoNotPinReceiveBuffers) {
    // Fifty streams each leave one byte, while another moves much through the buffer.
    std::vector<Pair> pairs;
    Pair busy = MakePair();
    for (int i = 0; i < 50; i++) {
        pairs.push_back(MakePair());
        pairs.back().conn->on_recv = [](Conn *conn, mr_buf *, mr_slice data, size_t *need) {
            *need = 1000;
            return data.len >= 1000 ? conn->Take(data) : 0;
        };
        SendAll(pairs.back().peer.get(), "x");
        RunUntil([&] { return pairs.back().conn->recv_count == 1; });
        SendAll(busy.peer.get(), Pattern(50000));
        RunUntil([&] { return busy.conn->received.size() == 50000; });
        busy.conn->received.clear();
    }
    EXPECT_LE(PoolStats().in_use_bytes, backend_->RecvBufCount() * 262144u + 50 * 1024);
    for (Pair &pair : pairs) {
        SendAll(pair.peer.get(), Pattern(999));
        RunUntil([&] { return pair.conn->received.size() == 1000; });
        EXPECT_EQ("x" + Pattern(999), pair.conn->received);
    }
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

// ------------------------------------------------------------------ need and the rest

TEST_P(BackendTest, AMessageInOneByteTurnsArrivesWhole) {
    Pair pair = MakePair();
    Messages messages;
    TakeMessages(pair.conn, &messages);
    std::string body = Pattern(300);
    for (char byte : Message(body)) {
        SendAll(pair.peer.get(), std::string(1, byte));
        Turn();
    }
    RunUntil([&] { return messages.bodies.size() == 1; });
    EXPECT_EQ(body, messages.bodies[0]);
    // Once for the first byte, once for the length, once for the whole.
    EXPECT_LE(messages.call_count, 3);
}

TEST_P(BackendTest, AFiveMegabyteMessageComesContiguousInOneCall) {
    Pair pair = MakePair();
    Messages messages;
    TakeMessages(pair.conn, &messages);
    std::string body = Pattern(5 << 20);
    SendAll(pair.peer.get(), Message(body) + Message("after"));
    RunUntil([&] { return messages.bodies.size() == 2; });
    EXPECT_TRUE(body == messages.bodies[0]);
    EXPECT_EQ("after", messages.bodies[1]);
    EXPECT_LE(messages.call_count, 5);
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
    // One buffer of its size, not a series of growing ones.
    EXPECT_LT(PoolStats().in_use_bytes_max, (5u << 20) * 3 / 2 + (1 << 20));
}

TEST_P(BackendTest, UnconsumedBytesComeAgainWithMoreBehindThem) {
    Pair pair = MakePair();
    std::vector<std::string> calls;
    pair.conn->on_recv = [&](Conn *, mr_buf *, mr_slice data, size_t *) {
        calls.push_back(StringOf(data));
        return data.len >= 9000 ? data.len : 0;
    };
    std::string bytes = Pattern(9000);
    for (size_t at = 0; at < bytes.size(); at += 100) {
        SendAll(pair.peer.get(), bytes.substr(at, 100));
        Turn();
    }
    RunUntil([&] { return !calls.empty() && calls.back().size() == 9000; });
    for (const std::string &call : calls) {
        ASSERT_TRUE(call == bytes.substr(0, call.size()));
    }
}

TEST_P(BackendTest, BytesThatWereSharedNeverChange) {
    struct Kept {
        mr_buf *buf;
        mr_slice slice;
        std::string copy;
    };
    options_.recv_bytes = 2048;
    std::mt19937 random(1);
    std::vector<Kept> kept;
    std::vector<Pair> pairs;
    for (int i = 0; i < 5; i++) {
        pairs.push_back(MakePair());
        pairs.back().conn->on_recv = [&](Conn *conn, mr_buf *buf, mr_slice data, size_t *) {
            // Consume only a part, and keep a reference to what was consumed.
            size_t part = data.len - random() % (data.len / 2 + 1);
            kept.push_back({mr_buf_ref(buf), mr_slice_of(data.data, part),
                            StringOf(mr_slice_of(data.data, part))});
            return conn->Take(mr_slice_of(data.data, part));
        };
    }
    for (int round = 0; round < 200 || kept.size() <= 500; round++) {
        ASSERT_LT(round, 100000);
        for (Pair &pair : pairs) {
            SendAll(pair.peer.get(), Pattern(random() % 700 + 1, random()));
        }
        Turn();
    }
    Turn();
    for (Kept &each : kept) {
        ASSERT_TRUE(StringOf(each.slice) == each.copy);
        mr_buf_unref(each.buf);
    }
}

TEST_P(BackendTest, RandomMessagesOfManyStreamsArriveWhole) {
    for (uint32_t recv_bytes : {256u, 4096u, 65536u}) {
        SCOPED_TRACE(recv_bytes);
        TearDown();
        SetUp();
        options_.recv_bytes = recv_bytes;
        options_.recv_turn_bytes_max = recv_bytes;
        std::mt19937 random(recv_bytes);
        struct Flow {
            Pair pair;
            Messages messages;
            std::vector<std::string> sent;
            std::string waiting;
        };
        std::vector<Flow> flows(8);
        for (Flow &flow : flows) {
            flow.pair = MakePair();
            TakeMessages(flow.pair.conn, &flow.messages);
            for (int i = 0; i < 40; i++) {
                size_t len = random() % (size_t{1} << (random() % 18));
                flow.sent.push_back(Pattern(len, random()));
                flow.waiting += Message(flow.sent.back());
            }
        }
        RunUntil([&] {
            bool done = true;
            for (Flow &flow : flows) {
                size_t part = random() % (size_t{1} << (random() % 16)) + 1;
                flow.waiting.erase(0, flow.pair.peer->Send(flow.waiting.substr(0, part)));
                done = done && flow.messages.bodies.size() == flow.sent.size();
            }
            return done;
        });
        for (Flow &flow : flows) {
            ASSERT_TRUE(flow.messages.bodies == flow.sent);
        }
        EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
    }
}

TEST_P(BackendTest, InitialBytesComeFirstAndNotWithinAttach) {
    uint16_t port = Listen();
    std::unique_ptr<Peer> peer = backend_->Connect(port);
    RunUntil([&] { return accepted_.size() == 1; });
    SendAll(peer.get(), " world");
    conns_.push_back(std::make_unique<Conn>());
    Conn *conn = conns_.back().get();
    ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conn, accepted_[0], SliceOf("hello"), &kConnHandler));
    accepted_.clear();
    EXPECT_EQ(0, conn->recv_count);
    RunUntil([&] { return conn->received.size() == 11; });
    EXPECT_EQ("hello world", conn->received);
}

TEST_P(BackendTest, InitialBytesComeEvenIfThePeerSendsNothing) {
    uint16_t port = Listen();
    std::unique_ptr<Peer> peer = backend_->Connect(port);
    RunUntil([&] { return accepted_.size() == 1; });
    conns_.push_back(std::make_unique<Conn>());
    Conn *conn = conns_.back().get();
    ASSERT_EQ(MR_OK, mr_stream_attach(loop(), conn, accepted_[0], SliceOf("hello"), &kConnHandler));
    accepted_.clear();
    Turn();
    EXPECT_EQ("hello", conn->received);
}

// --------------------------------------------------------------------- back-pressure

TEST_P(BackendTest, WhilePausedNothingIsDeliveredAndThePeerIsSlowedDown) {
    Pair pair = MakePair();
    mr_stream_recv_pause(pair.conn);
    mr_stream_recv_pause(pair.conn);
    std::string bytes = Pattern(backend_->MoreThanFits());
    size_t sent = 0;
    for (int idle = 0; idle < 20;) {
        size_t taken = pair.peer->Send(bytes.substr(sent, 1 << 20));
        sent += taken;
        idle = taken == 0 ? idle + 1 : 0;
        Turn(1);
    }
    EXPECT_LT(sent, bytes.size());
    EXPECT_EQ(0, pair.conn->recv_count);
    mr_stream_recv_resume(pair.conn);
    mr_stream_recv_resume(pair.conn);
    EXPECT_EQ(0, pair.conn->recv_count) << "within the call";
    SendAll(pair.peer.get(), bytes.substr(sent));
    RunUntil([&] { return pair.conn->received.size() == bytes.size(); });
    EXPECT_TRUE(bytes == pair.conn->received);
}

TEST_P(BackendTest, AfterResumingTheUnconsumedBytesComeAgain) {
    Pair pair = MakePair();
    bool full = true;
    pair.conn->on_recv = [&](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        if (!full) {
            return conn->Take(data);
        }
        mr_stream_recv_pause(conn);
        return conn->Take(mr_slice_of(data.data, data.len / 2));
    };
    SendAll(pair.peer.get(), "abcdef");
    RunUntil([&] { return pair.conn->recv_count == 1; });
    SendAll(pair.peer.get(), "ghi");
    Turn();
    Turn();
    EXPECT_EQ(1, pair.conn->recv_count);
    full = false;
    mr_stream_recv_resume(pair.conn);
    EXPECT_EQ(1, pair.conn->recv_count) << "within the call";
    RunUntil([&] { return pair.conn->received.size() == 9; });
    EXPECT_EQ("abcdefghi", pair.conn->received);
}

TEST_P(BackendTest, AfterResumingTheRestComesEvenIfThePeerSendsNothing) {
    Pair pair = MakePair();
    bool full = true;
    pair.conn->on_recv = [&](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        if (full) {
            mr_stream_recv_pause(conn);
            return size_t{0};
        }
        return conn->Take(data);
    };
    SendAll(pair.peer.get(), "abc");
    RunUntil([&] { return pair.conn->recv_count == 1; });
    mr_stream_recv_resume(pair.conn);
    Turn();
    EXPECT_EQ(2, pair.conn->recv_count);
    full = false;
    mr_stream_recv_resume(pair.conn);
    Turn();
    EXPECT_EQ(3, pair.conn->recv_count);
    RunUntil([&] { return pair.conn->received.size() == 3; });
    EXPECT_EQ("abc", pair.conn->received);
}

TEST_P(BackendTest, PausingAndResumingWithinOnRecvDeliversTheRestAgain) {
    Pair pair = MakePair();
    pair.conn->on_recv = [&](Conn *conn, mr_buf *, mr_slice data, size_t *) {
        mr_stream_recv_pause(conn);
        mr_stream_recv_resume(conn);
        return conn->Take(mr_slice_of(data.data, 1));
    };
    SendAll(pair.peer.get(), "abcdef");
    RunUntil([&] { return pair.conn->received.size() == 6; });
    EXPECT_EQ("abcdef", pair.conn->received);
}

TEST_P(BackendTest, OneStreamGetsOnlyItsShareOfATurn) {
    options_.recv_turn_bytes_max = 1000;
    Pair greedy = MakePair();
    Pair modest = MakePair();
    SendAll(greedy.peer.get(), Pattern(100000));
    SendAll(modest.peer.get(), "x");
    // Between two turns there may be an event on top of what was left over.
    const size_t bound = backend_->IsPrompt() ? 1000 : 2000;
    size_t before = greedy.conn->received.size();
    RunUntil([&] {
        size_t now = greedy.conn->received.size();
        EXPECT_LE(now - before, bound);
        before = now;
        return now == 100000;
    });
    EXPECT_TRUE(Pattern(100000) == greedy.conn->received);
    EXPECT_EQ("x", modest.conn->received);
}

TEST_P(BackendTest, AllStreamsTogetherGetOnlyTheirShareOfATurn) {
    options_.recv_turn_bytes_max = 1000;
    options_.recv_loop_bytes_max = 3000;
    std::vector<Pair> pairs;
    for (int i = 0; i < 20; i++) {
        pairs.push_back(MakePair());
        SendAll(pairs.back().peer.get(), Pattern(10000));
    }
    const auto sum = [&] {
        size_t bytes = 0;
        for (const Pair &pair : pairs) {
            bytes += pair.conn->received.size();
        }
        return bytes;
    };
    // Who completes receives has its limit in the buffers that it provides.
    const size_t bound = backend_->IsPrompt() ? 3000 : 20 * 2000;
    size_t before = sum();
    RunUntil([&] {
        size_t now = sum();
        EXPECT_LE(now - before, bound);
        before = now;
        return now == 20 * 10000;
    });
    for (const Pair &pair : pairs) {
        EXPECT_TRUE(Pattern(10000) == pair.conn->received);
    }
}

// ------------------------------------------------------------------- lack of memory

TEST_P(BackendTest, LackOfMemoryEndsOnlyTheStreamThatNeedsIt) {
    options_.pool.bytes_max = 512 << 10;
    Pair modest = MakePair();
    Pair greedy = MakePair();
    greedy.conn->on_recv = [](Conn *, mr_buf *, mr_slice, size_t *need) {
        *need = 1 << 20;
        return size_t{0};
    };
    // Not for what it announced, but when what came has no room any more.
    RunUntil([&] {
        greedy.peer->Send(Pattern(10000));
        return greedy.conn->closed();
    });
    EXPECT_EQ(MR_ERR_NOMEM, greedy.conn->why);
    SendAll(modest.peer.get(), "still here");
    RunUntil([&] { return modest.conn->received.size() == 10; });
    EXPECT_FALSE(modest.conn->closed());
}

TEST_P(BackendTest, WhatIsAnnouncedReservesNoMemory) {
    std::vector<Pair> greedy;
    for (int i = 0; i < 20; i++) {
        greedy.push_back(MakePair());
        greedy.back().conn->on_recv = [](Conn *, mr_buf *, mr_slice, size_t *need) {
            *need = 64 << 20;
            return size_t{0};
        };
    }
    for (int again = 0; again < 3; again++) {
        for (Pair &pair : greedy) {
            SendAll(pair.peer.get(), Pattern(10));
            Turn();
        }
    }
    // Each of them might have that much, and all together don't.
    EXPECT_LT(PoolStats().in_use_bytes_max, uint64_t{64} << 20);
    for (const Pair &pair : greedy) {
        EXPECT_FALSE(pair.conn->closed());
    }
}

TEST_P(BackendTest, ANeedBeyondAllBuffersEndsTheStream) {
    Pair pair = MakePair();
    pair.conn->on_recv = [](Conn *, mr_buf *, mr_slice, size_t *need) {
        *need = SIZE_MAX;
        return size_t{0};
    };
    SendAll(pair.peer.get(), "x");
    RunUntil([&] { return pair.conn->closed(); });
    EXPECT_EQ(MR_ERR_LIMIT, pair.conn->why);
}
