#include "io/buf/chain.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/buf/chain_testing.hh"

namespace {

TEST_F(Chain, OfZeroesIsEmpty) {
    EXPECT_EQ(0u, mr_chain_bytes(&chain_));
    EXPECT_EQ(0u, EntryCount());
    mr_chain_consume(&chain_, 0);
    mr_chain_compact(&chain_, pool_.get(), 0);
    mr_chain_clear(&chain_);
    EXPECT_EQ(0u, pool_.stats().allocated_count);
}

TEST_F(Chain, IsUnchangedByEmptyPieces) {
    mr_buf *buf = pool_.Filled(100);
    Ref(buf, 0, 0);
    Copy("");
    EXPECT_EQ(MR_OK, mr_chain_append_copy(&chain_, pool_.get(), mr_slice_of(nullptr, 0)));
    mr_buf_unref(buf);
    EXPECT_EQ(0u, pool_.stats().in_use_count);
}

TEST_F(Chain, HoldsNothingOnceConsumed) {
    for (size_t len : {1, 255, 300, 70000}) {
        RefNew(len);
        Copy(std::string(len, 'c'));
        Encode(len, "encoded");
    }
    EXPECT_NE(0u, pool_.stats().in_use_count);
    Consume(expected_.size());
    EXPECT_EQ(0u, pool_.stats().in_use_count);
    EXPECT_EQ(0u, EntryCount());
}

TEST_F(Chain, HoldsNothingOnceCleared) {
    RefNew(1000);
    Copy("copied");
    mr_chain_clear(&chain_);
    expected_.clear();
    Check();
    EXPECT_EQ(0u, pool_.stats().in_use_count);
}

TEST_F(Chain, ReferencesLargePieces) {
    mr_buf *buf = pool_.Filled(1000);
    Ref(buf, 10, 500);
    EXPECT_EQ(buf->data + 10, Iov(chain_)[0].base);
    EXPECT_FALSE(mr_buf_is_unique(buf));
    Consume(499);
    EXPECT_FALSE(mr_buf_is_unique(buf));
    Consume(1);
    EXPECT_TRUE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
}

TEST_F(Chain, KeepsABufferThatItsMakerReleased) {
    RefNew(1000);
    EXPECT_EQ(expected_, Text(chain_));
}

TEST_F(Chain, LengthensTheLastPieceOfARun) {
    mr_buf *buf = pool_.Filled(65536);
    for (size_t offset = 0; offset + 100 <= 65536; offset += 100) {
        Ref(buf, offset, 100);
    }
    EXPECT_EQ(1u, EntryCount());
    // It took one reference for all.
    EXPECT_EQ(2u, buf->local_refs);
    mr_buf_unref(buf);
}

TEST_F(Chain, LengthensAPieceOfWhichAPartIsSent) {
    mr_buf *buf = pool_.Filled(1000);
    Ref(buf, 0, 400);
    Consume(399);
    Ref(buf, 400, 400);
    EXPECT_EQ(1u, EntryCount());
    mr_buf_unref(buf);
}

TEST_F(Chain, DoesNotLengthenAcrossAGapOrBuffers) {
    mr_buf *buf = pool_.Filled(2000);
    Ref(buf, 0, 500);
    Ref(buf, 501, 500);
    Ref(buf, 0, 500);
    RefNew(500);
    EXPECT_EQ(4u, EntryCount());
    mr_buf_unref(buf);
}

TEST_F(Chain, GathersSmallPiecesOfManyBuffers) {
    for (int i = 0; i < 1000; i++) {
        RefNew(100);
    }
    // The first is referenced; the rest lies in chunks of 256 bytes up to 16 KiB.
    EXPECT_LT(EntryCount(), 16u);
    EXPECT_LT(pool_.stats().in_use_bytes, 140000u);
}

TEST_F(Chain, ReferencesALoneSmallPieceAndThoseBetweenLargeOnes) {
    for (int i = 0; i < 3; i++) {
        RefNew(100);
        RefNew(1000);
    }
    EXPECT_EQ(6u, EntryCount());
    // Six buffers and two blocks: nothing was copied.
    EXPECT_EQ(8u, pool_.stats().in_use_count);
}

TEST_F(Chain, CopiesASmallPieceBehindCopiedBytes) {
    mr_buf *buf = pool_.Filled(1000);
    Encode(20, "header");
    Ref(buf, 0, MR_CHAIN_COPY_BYTES - 50);
    EXPECT_EQ(1u, EntryCount());
    EXPECT_TRUE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
}

TEST_F(Chain, ReferencesALongRunThoughItsBeginningWasCopied) {
    mr_buf *buf = pool_.Filled(65536);
    Copy("puback");
    for (size_t offset = 0; offset + 100 <= 65536; offset += 100) {
        Ref(buf, offset, 100);
    }
    // Copied up to the limit, then one piece.
    EXPECT_EQ(2u, EntryCount());
    EXPECT_EQ(6u + 200u, Iov(chain_)[0].len);
    EXPECT_EQ(buf->data + 200, Iov(chain_)[1].base);
    mr_buf_unref(buf);
}

TEST_F(Chain, CopiesSmallPiecesOfOtherThreads) {
    Pool other;
    mr_buf_pool_enter(pool_.get());
    mr_buf *buf = other.FilledForOther(1000);
    Ref(buf, 0, MR_CHAIN_COPY_BYTES);
    EXPECT_TRUE(mr_buf_is_unique(buf));
    Consume(expected_.size());
    Ref(buf, 0, MR_CHAIN_COPY_BYTES + 1);
    EXPECT_FALSE(mr_buf_is_unique(buf));
    Consume(expected_.size());
    EXPECT_TRUE(mr_buf_is_unique(buf));
    mr_buf_unref(buf);
}

TEST_F(Chain, GivesHeadersBetweenLargePiecesOneChunk) {
    mr_buf *buf = pool_.Filled(65536);
    for (size_t i = 0; i < 16; i++) {
        Encode(16, "header " + std::to_string(i));
        Ref(buf, i * 4096, 4000);
    }
    EXPECT_EQ(32u, EntryCount());
    // The buffer, one chunk of 256 bytes, blocks of segments.
    EXPECT_EQ(65536u + 256u + 160u + 320u + 640u, pool_.stats().in_use_bytes);
    mr_buf_unref(buf);
}

TEST_F(Chain, StartsSmallForAFewBytes) {
    Copy("pingresp");
    EXPECT_EQ(256u + 160u, pool_.stats().in_use_bytes);
}

TEST_F(Chain, GrowsItsChunksUpToAMaximum) {
    for (int i = 0; i < 1000; i++) {
        Copy(std::string(100, static_cast<char>('a' + i % 26)));
    }
    std::vector<mr_iov> iov = Iov(chain_);
    EXPECT_EQ(256u, iov[0].len);
    EXPECT_EQ(256u, iov[1].len);
    EXPECT_EQ(512u, iov[2].len);
    for (const mr_iov &piece : iov) {
        EXPECT_LE(piece.len, 16384u);
    }
    EXPECT_LE(iov.size(), 14u);
}

TEST_F(Chain, CopiesMoreThanAChunkInOneGo) {
    Copy("abc");
    Copy(std::string(300000, 'x'));
    Copy("def");
    // The rest of the first chunk was used too.
    EXPECT_EQ(256u, Iov(chain_)[0].len);
    EXPECT_LE(EntryCount(), 3u);
}

TEST_F(Chain, EncodesInPlace) {
    Encode(100, "first");
    Encode(100, " second");
    EXPECT_EQ(1u, EntryCount());
    Encode(100000, std::string(100000, 'e'));
    Encode(0, "");
    EXPECT_EQ(2u, EntryCount());
}

TEST_F(Chain, HoldsNothingAfterAReservationThatWasNotUsed) {
    uint8_t *room = mr_chain_reserve(&chain_, pool_.get(), 100);
    ASSERT_NE(nullptr, room);
    mr_chain_commit(&chain_, 0);
    EXPECT_EQ(0u, pool_.stats().in_use_count);
    ASSERT_NE(nullptr, mr_chain_reserve(&chain_, pool_.get(), 100));
    EXPECT_EQ(0u, EntryCount());
    mr_chain_clear(&chain_);
    EXPECT_EQ(0u, pool_.stats().in_use_count);
}

TEST_F(Chain, GoesOnAfterAReservationThatWasForgotten) {
    // As many segments as fill the first block, so that reserving appends one.
    for (int i = 0; i < 4; i++) {
        RefNew(1000);
    }
    ASSERT_NE(nullptr, mr_chain_reserve(&chain_, pool_.get(), 100));
    Check();
    Consume(3500);
    Copy("copied");
    RefNew(2000);
    Consume(501);
}

TEST_F(Chain, FillsAtMostAsManyEntriesAsAskedFor) {
    RefNew(1000);
    RefNew(2000);
    RefNew(3000);
    EXPECT_EQ(0u, Iov(chain_, 0).size());
    std::vector<mr_iov> iov = Iov(chain_, 2);
    EXPECT_EQ(2u, iov.size());
    EXPECT_EQ(expected_.substr(0, 3000), Text(iov));
}

TEST_F(Chain, LeavesEntriesAloneWhenAppending) {
    mr_buf *buf = pool_.Filled(65536);
    Copy("copied");
    Ref(buf, 0, 1000);
    std::vector<mr_iov> iov = Iov(chain_);
    std::string before = expected_;
    Ref(buf, 1000, 1000);
    for (int i = 0; i < 100; i++) {
        Copy(std::string(1000, 'x'));
        RefNew(500);
    }
    EXPECT_EQ(before, Text(iov));
    mr_buf_unref(buf);
}

TEST_F(Chain, ReleasesWhatIsSentPieceByPiece) {
    for (int i = 0; i < 50; i++) {
        RefNew(1000);
    }
    uint64_t before = pool_.stats().in_use_count;
    for (int i = 0; i < 49; i++) {
        Consume(1000);
        EXPECT_LT(pool_.stats().in_use_count, before);
        before = pool_.stats().in_use_count;
    }
    EXPECT_EQ(2u, before);
}

TEST_F(Chain, KeepsNoMoreThanIsPendingHoweverLongItIsInUse) {
    RefNew(1000);
    for (int i = 0; i < 1000; i++) {
        RefNew(1000);
        Copy("0123456789");
        Consume(1010);
    }
    EXPECT_LT(pool_.stats().in_use_bytes, 5000u);
    EXPECT_LT(pool_.stats().allocated_count, 20u);
}

TEST_F(Chain, CompactsSmallSlicesThatPinLargeBuffers) {
    for (int i = 0; i < 20; i++) {
        mr_buf *buf = pool_.Filled(65536);
        Ref(buf, static_cast<size_t>(i), 1000);
        mr_buf_unref(buf);
    }
    EXPECT_GT(pool_.stats().in_use_bytes, 20u * 65536u);
    Compact();
    // Full chunks: 20,000 bytes in a step of 25 %, and blocks of segments.
    EXPECT_LT(pool_.stats().in_use_bytes, 28000u);
    EXPECT_EQ(2u, EntryCount());
}

TEST_F(Chain, CompactsOnlyOnce) {
    for (int i = 0; i < 20; i++) {
        mr_buf *buf = pool_.Filled(65536);
        Ref(buf, 0, 300);
        mr_buf_unref(buf);
    }
    Compact();
    std::vector<mr_iov> before = Iov(chain_);
    Compact();
    std::vector<mr_iov> after = Iov(chain_);
    ASSERT_EQ(before.size(), after.size());
    for (size_t i = 0; i < before.size(); i++) {
        EXPECT_EQ(before[i].base, after[i].base);
    }
}

TEST_F(Chain, CompactsAChunkThatIsMostlySent) {
    for (int i = 0; i < 1000; i++) {
        Copy(std::string(100, 'x'));
    }
    Consume(expected_.size() - 50);
    EXPECT_GE(pool_.stats().in_use_bytes, 16384u);
    Compact();
    EXPECT_LT(pool_.stats().in_use_bytes, 1000u);
    Copy("goes on");
}

TEST_F(Chain, CompactsTheRoomBehindSentBytesAway) {
    for (int i = 0; i < 1000; i++) {
        Copy(std::string(100, 'x'));
    }
    Consume(expected_.size() - 1);
    RefNew(1000);
    Consume(1);
    EXPECT_GE(pool_.stats().in_use_bytes, 16384u);
    Compact();
    EXPECT_LT(pool_.stats().in_use_bytes, 3000u);
}

TEST_F(Chain, DoesNotCompactWhatManyShare) {
    mr_buf *buf = pool_.Filled(65536);
    mr_chain others[20] = {};
    for (mr_chain &other : others) {
        ASSERT_EQ(MR_OK, mr_chain_append_ref(&other, pool_.get(), buf, Part(buf, 0, 4000)));
    }
    Ref(buf, 0, 4000);
    mr_buf_unref(buf);
    Compact();
    EXPECT_EQ(buf->data, Iov(chain_)[0].base);
    // The others get on; then nobody else pins the buffer.
    for (mr_chain &other : others) {
        mr_chain_consume(&other, 4000);
    }
    Compact();
    EXPECT_NE(buf->data, Iov(chain_)[0].base);
    EXPECT_LT(pool_.stats().in_use_bytes, 6000u);
}

TEST_F(Chain, CompactsNothingInFlight) {
    for (int i = 0; i < 3; i++) {
        mr_buf *buf = pool_.Filled(65536);
        Ref(buf, 0, 300);
        mr_buf_unref(buf);
    }
    std::vector<mr_iov> before = Iov(chain_);
    Compact(301);
    std::vector<mr_iov> after = Iov(chain_);
    ASSERT_EQ(3u, after.size());
    EXPECT_EQ(before[0].base, after[0].base);
    // One byte of it is in flight, and that pins all of its buffer anyway.
    EXPECT_EQ(before[1].base, after[1].base);
    EXPECT_NE(before[2].base, after[2].base);
}

TEST_F(Chain, CompactsSlicesOfOtherThreads) {
    Pool other;
    mr_buf_pool_enter(pool_.get());
    mr_buf *buf = other.FilledForOther(65536);
    Ref(buf, 0, 300);
    mr_buf_unref(buf);
    Compact();
    EXPECT_NE(buf->data, Iov(chain_)[0].base);
    mr_buf_pool_collect(other.get());
    EXPECT_EQ(0u, other.stats().in_use_count);
}

TEST(ChainWithoutMemory, IsLeftAsItWas) {
    Pool plenty;
    Pool pool(160 + 256);
    mr_buf *foreign = plenty.FilledForOther(1000);
    mr_chain chain = {};
    std::string copied(256, 'c');
    ASSERT_EQ(MR_OK, mr_chain_append_copy(&chain, pool.get(), SliceOf(copied)));
    EXPECT_EQ(MR_ERR_NOMEM, mr_chain_append_copy(&chain, pool.get(), SliceOf("x")));
    EXPECT_EQ(nullptr, mr_chain_reserve(&chain, pool.get(), 1));
    EXPECT_EQ(copied, Text(chain));
    // References go on while the block has room, also for what would rather be copied.
    std::string expected = copied;
    for (size_t i = 0; i < 3; i++) {
        mr_slice slice = Part(foreign, i * 20, 10);
        ASSERT_EQ(MR_OK, mr_chain_append_ref(&chain, pool.get(), foreign, slice));
        expected += TextOf(slice);
    }
    mr_slice slice = Part(foreign, 500, 300);
    EXPECT_EQ(MR_ERR_NOMEM, mr_chain_append_ref(&chain, pool.get(), foreign, slice));
    EXPECT_EQ(expected, Text(chain));
    EXPECT_EQ(expected.size(), mr_chain_bytes(&chain));
    mr_chain_clear(&chain);
    mr_buf_unref(foreign);
}

TEST(ChainWithoutMemory, HoldsNothingIfTheFirstAppendFails) {
    // Enough for a chunk, but not for a block beside it.
    Pool pool(300);
    mr_chain chain = {};
    EXPECT_EQ(MR_ERR_NOMEM, mr_chain_append_copy(&chain, pool.get(), SliceOf("x")));
    EXPECT_EQ(nullptr, mr_chain_reserve(&chain, pool.get(), 1));
    EXPECT_EQ(0u, pool.stats().in_use_count);
    EXPECT_EQ(0u, mr_chain_bytes(&chain));
    EXPECT_EQ(0u, Iov(chain).size());
}

TEST(ChainWithoutMemory, IsNotCompacted) {
    Pool pool(2 * 65536 + 160 + 320);
    mr_chain chain = {};
    std::string expected;
    for (int i = 0; i < 2; i++) {
        mr_buf *buf = pool.Filled(65536);
        ASSERT_NE(nullptr, buf);
        ASSERT_EQ(MR_OK, mr_chain_append_ref(&chain, pool.get(), buf, Part(buf, 0, 600)));
        expected += TextOf(Part(buf, 0, 600));
        mr_buf_unref(buf);
    }
    mr_chain_compact(&chain, pool.get(), 0);
    EXPECT_EQ(expected, Text(chain));
    EXPECT_GT(pool.stats().in_use_bytes, 2u * 65536u);
    mr_chain_clear(&chain);
}

TEST(ChainDeathTest, ConsumesNoMoreThanThereIs) {
    mr_chain chain = {};
    EXPECT_DEATH(mr_chain_consume(&chain, 1), "bytes <= chain->bytes");
}

TEST(ChainDeathTest, CommitsNoMoreThanWasReserved) {
    Pool pool;
    mr_chain chain = {};
    EXPECT_DEATH(mr_chain_commit(&chain, 1), "bytes_used");
}

}  // namespace
