#include "io/buf/chain.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace {

uint64_t Seed() {
    const char *text = getenv("MILLRACE_SEED");
    uint64_t seed = text != nullptr ? strtoull(text, nullptr, 10) : std::random_device()();
    std::cout << "MILLRACE_SEED=" << seed << std::endl;
    return seed;
}

mr_slice SliceOf(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

std::vector<mr_iov> Iov(const mr_chain &chain, size_t iov_max) {
    std::vector<mr_iov> iov(iov_max);
    iov.resize(mr_chain_iov(&chain, iov.data(), iov_max));
    return iov;
}

std::vector<mr_iov> Iov(const mr_chain &chain) {
    size_t iov_max = 16;
    std::vector<mr_iov> iov = Iov(chain, iov_max);
    while (iov.size() == iov_max) {
        iov_max *= 2;
        iov = Iov(chain, iov_max);
    }
    return iov;
}

std::string Text(const std::vector<mr_iov> &iov) {
    std::string text;
    for (const mr_iov &piece : iov) {
        text.append(reinterpret_cast<const char *>(piece.base), piece.len);
    }
    return text;
}

std::string Text(const mr_chain &chain) {
    return Text(Iov(chain));
}

// How long the pieces are together if they are the beginning of `text`; else SIZE_MAX.
size_t EqualLength(const std::vector<mr_iov> &iov, const std::string &text) {
    size_t offset = 0;
    for (const mr_iov &piece : iov) {
        if (piece.len > text.size() - offset ||
            memcmp(text.data() + offset, piece.base, piece.len) != 0) {
            return SIZE_MAX;
        }
        offset += piece.len;
    }
    return offset;
}

// A pool that is entered while it exists, and that owns nothing at the end, or the test
// fails.
class Pool {
 public:
    explicit Pool(uint64_t bytes_max = 0) : entered_before_(mr_buf_pool_current) {
        mr_buf_pool_options options = {};
        options.bytes_max = bytes_max;
        options.cached_bytes_max = 1 << 20;
        EXPECT_EQ(MR_OK, mr_buf_pool_new(&pool_, &options));
        mr_buf_pool_enter(pool_);
    }
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    ~Pool() {
        mr_buf_pool_enter(pool_);
        mr_buf_pool_collect(pool_);
        EXPECT_EQ(0u, stats().in_use_count);
        mr_buf_pool_free(pool_);
        mr_buf_pool_enter(entered_before_);
    }

    mr_buf_pool *get() const {
        return pool_;
    }

    mr_buf_stats stats() const {
        mr_buf_stats stats;
        mr_buf_pool_stats(pool_, &stats);
        return stats;
    }

    // A buffer with `bytes` bytes that differ from those of the one before.
    mr_buf *Filled(size_t bytes) {
        mr_buf *buf = mr_buf_new(pool_, bytes);
        if (buf != nullptr) {
            for (size_t i = 0; i < bytes; i++) {
                buf->data[i] = static_cast<uint8_t>(i * 7 + seed_);
            }
            seed_++;
        }
        return buf;
    }

    // A buffer of this pool whose only reference belongs to whoever enters another.
    mr_buf *FilledForOther(size_t bytes) {
        mr_buf_pool *current = mr_buf_pool_current;
        mr_buf_pool_enter(pool_);
        mr_buf *buf = Filled(bytes);
        mr_buf_ref_for_other(buf);
        mr_buf_unref(buf);
        mr_buf_pool_enter(current);
        mr_buf_adopt(buf);
        return buf;
    }

 private:
    mr_buf_pool *entered_before_;
    mr_buf_pool *pool_ = nullptr;
    size_t seed_ = 1;
};

mr_slice Part(const mr_buf *buf, size_t offset, size_t len) {
    return mr_slice_of(buf->data + offset, len);
}

std::string TextOf(mr_slice slice) {
    return std::string(reinterpret_cast<const char *>(slice.data), slice.len);
}

class Chain : public testing::Test {
 protected:
    void TearDown() override {
        mr_chain_clear(&chain_);
        EXPECT_EQ(0u, pool_.stats().in_use_count);
    }

    void Ref(mr_buf *buf, size_t offset, size_t len) {
        ASSERT_EQ(MR_OK, mr_chain_append_ref(&chain_, pool_.get(), buf, Part(buf, offset, len)));
        expected_ += TextOf(Part(buf, offset, len));
        Check();
    }

    // References a buffer of its own.
    void RefNew(size_t len) {
        mr_buf *buf = pool_.Filled(len);
        Ref(buf, 0, len);
        mr_buf_unref(buf);
    }

    void Copy(const std::string &text) {
        ASSERT_EQ(MR_OK, mr_chain_append_copy(&chain_, pool_.get(), SliceOf(text)));
        expected_ += text;
        Check();
    }

    void Encode(size_t reserved, const std::string &text) {
        uint8_t *room = mr_chain_reserve(&chain_, pool_.get(), reserved);
        ASSERT_NE(nullptr, room);
        memset(room, '?', reserved);
        memcpy(room, text.data(), text.size());
        mr_chain_commit(&chain_, text.size());
        expected_ += text;
        Check();
    }

    void Consume(size_t len) {
        mr_chain_consume(&chain_, len);
        expected_.erase(0, len);
        Check();
    }

    void Compact(uint64_t bytes_in_flight = 0) {
        mr_chain_compact(&chain_, pool_.get(), bytes_in_flight);
        Check();
    }

    void Check() {
        ASSERT_EQ(expected_.size(), mr_chain_bytes(&chain_));
        ASSERT_EQ(expected_.size(), EqualLength(Iov(chain_), expected_));
    }

    size_t EntryCount() {
        return Iov(chain_).size();
    }

    Pool pool_;
    mr_chain chain_ = {};
    std::string expected_;
};

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

// ---------------------------------------------------------------------- model

// Random operations on a chain and on a string that must stay the same.
class Model {
 public:
    Model(uint64_t seed, uint64_t bytes_max) : random_(seed), pool_(bytes_max) {
    }

    ~Model() {
        for (mr_buf *buf : bufs_) {
            mr_buf_unref(buf);
        }
        mr_chain_clear(&chain_);
        mr_buf_pool_collect(other_.get());
        EXPECT_EQ(0u, other_.stats().in_use_count);
    }

    void Run(int steps) {
        mr_buf_pool_enter(pool_.get());
        for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); i++) {
            Step();
            Check();
            // Comparing long ones takes long and shows no more.
            while (expected_.size() > 200000) {
                Send();
                Complete();
            }
        }
    }

    int failed_count() const {
        return failed_count_;
    }

 private:
    size_t Below(size_t limit) {
        return random_() % limit;
    }

    // Mostly small, sometimes large.
    size_t Length() {
        size_t limits[] = {20, 300, 300, 2000, 40000};
        return 1 + Below(limits[Below(5)]);
    }

    mr_buf *Buffer() {
        if (!bufs_.empty() && Below(4) != 0) {
            return bufs_[Below(bufs_.size())];
        }
        size_t bytes = 500 + Below(70000);
        mr_buf *buf = Below(3) == 0 ? other_.FilledForOther(bytes) : pool_.Filled(bytes);
        if (buf == nullptr) {
            return nullptr;
        }
        bufs_.push_back(buf);
        if (bufs_.size() > 3) {
            mr_buf_unref(bufs_.front());
            bufs_.pop_front();
        }
        return buf;
    }

    // Appends some slices of one buffer, often one behind the other.
    void AppendRefs() {
        mr_buf *buf = Buffer();
        size_t offset = buf == nullptr ? 0 : Below(buf->capacity);
        while (buf != nullptr && offset < buf->capacity && Below(5) != 0) {
            size_t len = std::min(Length(), static_cast<size_t>(buf->capacity) - offset);
            mr_slice slice = Part(buf, offset, len);
            if (Done(mr_chain_append_ref(&chain_, pool_.get(), buf, slice) == MR_OK)) {
                expected_ += TextOf(slice);
            }
            offset += len + (Below(3) == 0 ? 1 : 0);
        }
    }

    void AppendCopy() {
        std::string text(Length(), static_cast<char>('a' + Below(26)));
        if (Done(mr_chain_append_copy(&chain_, pool_.get(), SliceOf(text)) == MR_OK)) {
            expected_ += text;
        }
    }

    void Encode() {
        size_t reserved = Length();
        uint8_t *room = mr_chain_reserve(&chain_, pool_.get(), reserved);
        if (Done(room != nullptr)) {
            std::string text(Below(reserved + 1), static_cast<char>('A' + Below(26)));
            memcpy(room, text.data(), text.size());
            mr_chain_commit(&chain_, text.size());
            expected_ += text;
        }
    }

    // Something is given to the kernel: until it is consumed, these bytes must stay.
    void Send() {
        if (in_flight_.empty()) {
            in_flight_ = Iov(chain_, 1 + Below(20));
            if (Below(2) == 0 && !in_flight_.empty()) {
                in_flight_.back().len = 1 + Below(in_flight_.back().len);
            }
        }
    }

    void Complete() {
        size_t len = Text(in_flight_).size();
        if (Below(3) == 0) {
            len = Below(len + 1);
        }
        in_flight_.clear();
        mr_chain_consume(&chain_, len);
        expected_.erase(0, len);
    }

    bool Done(bool done) {
        failed_count_ += done ? 0 : 1;
        return done;
    }

    void Step() {
        switch (Below(12)) {
            case 0:
            case 1:
            case 2:
            case 3:
                AppendRefs();
                break;
            case 4:
                AppendCopy();
                break;
            case 5:
                Encode();
                break;
            case 6:
                mr_chain_compact(&chain_, pool_.get(), Text(in_flight_).size());
                break;
            case 7:
            case 8:
                Send();
                break;
            case 9:
                mr_buf_pool_collect(pool_.get());
                mr_buf_pool_enter(other_.get());
                mr_buf_pool_collect(other_.get());
                mr_buf_pool_enter(pool_.get());
                break;
            case 10:
                if (Below(20) == 0) {
                    in_flight_.clear();
                    mr_chain_clear(&chain_);
                    expected_.clear();
                }
                break;
            default:
                Complete();
                break;
        }
    }

    void Check() {
        ASSERT_EQ(expected_.size(), mr_chain_bytes(&chain_));
        ASSERT_EQ(expected_.size(), EqualLength(Iov(chain_), expected_));
        ASSERT_LE(EqualLength(in_flight_, expected_), expected_.size());
        if (expected_.empty()) {
            size_t own = 0;
            for (mr_buf *buf : bufs_) {
                own += buf->pool == pool_.get() ? 1 : 0;
            }
            ASSERT_EQ(own, pool_.stats().in_use_count);
        }
    }

    std::mt19937_64 random_;
    Pool other_;
    Pool pool_;
    mr_chain chain_ = {};
    std::string expected_;
    std::deque<mr_buf *> bufs_;
    std::vector<mr_iov> in_flight_;
    int failed_count_ = 0;
};

TEST(ChainModel, HoldsWhatAStringHolds) {
    uint64_t seed = Seed();
    for (uint64_t i = 0; i < 8; i++) {
        Model model(seed + i, 0);
        model.Run(300);
        EXPECT_EQ(0, model.failed_count());
    }
}

TEST(ChainModel, HoldsWhatAStringHoldsWhileMemoryIsShort) {
    uint64_t seed = Seed();
    int failed_count = 0;
    for (uint64_t i = 0; i < 8; i++) {
        Model model(seed + i, 1000 + 40000 * (i % 4));
        model.Run(300);
        failed_count += model.failed_count();
    }
    EXPECT_GT(failed_count, 0);
}
}  // namespace
