// Sending: order, vectors, slow readers, high and low water.
#include "io/backend_suite.h"

namespace {

mr_slice SliceOf(const std::string &bytes) {
    return mr_slice_of(bytes.data(), bytes.size());
}

}  // namespace

TEST_P(BackendTest, AllThatATurnWritesLeavesInOneSend) {
    if (!backend_->IsPrompt()) {
        GTEST_SKIP() << "a send may take a part";
    }
    Pair pair = MakePair();
    Turn();
    uint64_t before = Stats().send_count;
    std::string expected;
    for (uint32_t i = 0; i < 100; i++) {
        expected += Pattern(300, i);
        pair.conn->Write(Pattern(300, i));
    }
    RunUntil([&] { return mr_stream_pending_bytes(pair.conn) == 0; });
    EXPECT_EQ(before + 1, Stats().send_count);
    EXPECT_TRUE(expected == RecvAll(pair.peer.get(), expected.size()));
}

TEST_P(BackendTest, ManySlicesOfManyBuffersArriveInOrder) {
    Pair pair = MakePair();
    std::string expected;
    // More pieces than one vectored send takes.
    for (uint32_t i = 0; i < 1000; i++) {
        mr_buf *buf = mr_buf_new(mr_loop_pool(loop()), 1000);
        ASSERT_NE(nullptr, buf);
        std::string bytes = Pattern(1000, i);
        memcpy(buf->data, bytes.data(), bytes.size());
        expected += bytes;
        ASSERT_EQ(MR_OK, mr_chain_append_ref(mr_stream_out(pair.conn), mr_loop_pool(loop()), buf,
                                             mr_slice_of(buf->data, bytes.size())));
        mr_buf_unref(buf);
    }
    mr_stream_flush(pair.conn);
    EXPECT_TRUE(expected == RecvAll(pair.peer.get(), expected.size()));
    EXPECT_LE(PoolStats().in_use_count, backend_->RecvBufCount());
}

TEST_P(BackendTest, ASlowReaderGetsEverythingInOrder) {
    Pair pair = MakePair();
    std::string expected;
    while (expected.size() < backend_->MoreThanFits()) {
        std::string bytes = Pattern(100000, static_cast<uint32_t>(expected.size()));
        expected += bytes;
        pair.conn->Write(bytes);
    }
    for (int i = 0; i < 50; i++) {
        Turn();
    }
    EXPECT_GT(mr_stream_pending_bytes(pair.conn), 0u) << "it should have been too much";
    // More comes while it is blocked.
    for (uint32_t i = 0; i < 1000; i++) {
        expected += Pattern(100, i);
        pair.conn->Write(Pattern(100, i));
        if (i % 100 == 0) {
            Turn();
        }
    }
    EXPECT_TRUE(expected == RecvAll(pair.peer.get(), expected.size()));
    EXPECT_EQ(0u, mr_stream_pending_bytes(pair.conn));
}

TEST_P(BackendTest, ABlockedStreamCostsNoSystemCallsAndDoesNotSpin) {
    Pair pair = MakePair();
    pair.conn->Write(Pattern(backend_->MoreThanFits()));
    for (int i = 0; i < 100; i++) {
        Turn();
    }
    ASSERT_GT(mr_stream_pending_bytes(pair.conn), 0u);
    uint64_t before = Stats().send_count;
    for (int i = 0; i < 20; i++) {
        pair.conn->Write("more");
        Turn();
    }
    EXPECT_EQ(before, Stats().send_count);
}

TEST_P(BackendTest, ABlockedStreamLetsGoOfBuffersOfWhichItNeedsLittle) {
    Pair pair = MakePair();
    pair.conn->Write(Pattern(backend_->MoreThanFits()));
    for (int i = 0; i < 100; i++) {
        Turn();
    }
    ASSERT_GT(mr_stream_pending_bytes(pair.conn), 0u);
    uint64_t before = PoolStats().in_use_bytes;
    const uint64_t pending = mr_stream_pending_bytes(pair.conn);
    // Three hundred bytes of each 64 KiB, until the queue has doubled.
    for (uint64_t added = 0; added < 300 * 200; added += 300) {
        mr_buf *buf = mr_buf_new(mr_loop_pool(loop()), 65536);
        ASSERT_NE(nullptr, buf);
        memset(buf->data, 'x', 300);
        ASSERT_EQ(MR_OK, mr_chain_append_ref(mr_stream_out(pair.conn), mr_loop_pool(loop()), buf,
                                             mr_slice_of(buf->data, 300)));
        mr_buf_unref(buf);
    }
    pair.conn->Write(Pattern(pending));
    Turn();
    Turn();
    EXPECT_LT(PoolStats().in_use_bytes, before + 2 * pending + 200 * 1000);
}

TEST_P(BackendTest, OnDrainComesWhenPendingOutputHasFallenLow) {
    Pair pair = MakePair(&kConnWatermarkHandler);
    pair.conn->Write(Pattern(900));
    Turn();
    EXPECT_EQ(0, pair.conn->drain_count) << "it was never above the high mark";
    std::string big = Pattern(backend_->MoreThanFits());
    pair.conn->Write(big);
    for (int i = 0; i < 50; i++) {
        Turn();
    }
    EXPECT_EQ(0, pair.conn->drain_count) << "it is still above the low mark";
    RecvAll(pair.peer.get(), 900 + big.size());
    RunUntil([&] { return pair.conn->drain_count == 1; });
    EXPECT_EQ(0u, mr_stream_pending_bytes(pair.conn));
    Turn();
    EXPECT_EQ(1, pair.conn->drain_count);
}

TEST_P(BackendTest, OnDrainMayWriteMoreWithoutHoldingUpTheTurn) {
    Pair pair = MakePair(&kConnWatermarkHandler);
    const std::string bytes = Pattern(2000);
    pair.conn->on_drain = [&](Conn *conn) {
        if (conn->drain_count <= 50) {
            conn->Write(bytes);
        }
    };
    pair.conn->Write(bytes);
    int before = 0;
    std::string got;
    RunUntil([&] {
        EXPECT_LE(pair.conn->drain_count, before + 1) << "in one turn";
        before = pair.conn->drain_count;
        pair.peer->Recv(&got, 1 << 16);
        return pair.conn->drain_count == 51;
    });
    got += RecvAll(pair.peer.get(), 51 * bytes.size() - got.size());
    std::string expected;
    for (int i = 0; i < 51; i++) {
        expected += bytes;
    }
    EXPECT_TRUE(expected == got);
}

TEST_P(BackendTest, FlushingNothingSendsNothing) {
    Pair pair = MakePair();
    mr_stream_flush(pair.conn);
    Turn();
    EXPECT_EQ(0u, Stats().send_count);
}

TEST_P(BackendTest, PendingOutputIsSentAlthoughReceivingIsPaused) {
    Pair pair = MakePair();
    mr_stream_recv_pause(pair.conn);
    ASSERT_EQ(MR_OK, mr_chain_append_copy(mr_stream_out(pair.conn), mr_loop_pool(loop()),
                                          SliceOf("answer")));
    mr_stream_flush(pair.conn);
    EXPECT_EQ("answer", RecvAll(pair.peer.get(), 6));
}
