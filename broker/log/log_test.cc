#include "broker/log/log.h"

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace {

// Keeps what is logged.
class Sink {
 public:
    explicit Sink(uint32_t types) {
        mr_log_sink sink = {this, Write};
        mr_log_set_sink(&sink, types);
    }
    ~Sink() {
        mr_log_sink none = {};
        mr_log_set_sink(&none, 0);
    }
    Sink(const Sink &) = delete;
    Sink &operator=(const Sink &) = delete;

    std::vector<std::string> lines;
    std::vector<mr_log_type> types;

 private:
    std::mutex mutex_;

    static void Write(void *ctx, mr_log_type type, const char *line, size_t len) {
        Sink *sink = static_cast<Sink *>(ctx);
        std::lock_guard<std::mutex> lock(sink->mutex_);
        sink->lines.emplace_back(line, len);
        sink->types.push_back(type);
    }
};

TEST(Log, OnlyTypesThatAreWantedArrive) {
    Sink sink(MR_LOG_ERROR | MR_LOG_NOTICE);
    EXPECT_TRUE(mr_log_wants(MR_LOG_ERROR));
    EXPECT_FALSE(mr_log_wants(MR_LOG_DEBUG));
    mr_log(MR_LOG_ERROR, "a %d", 1);
    mr_log(MR_LOG_DEBUG, "b");
    mr_log(MR_LOG_NOTICE, "c");
    EXPECT_EQ((std::vector<std::string>{"a 1", "c"}), sink.lines);
    EXPECT_EQ((std::vector<mr_log_type>{MR_LOG_ERROR, MR_LOG_NOTICE}), sink.types);
}

TEST(Log, WithoutSinkNothingHappens) {
    { Sink sink(MR_LOG_ALL); }
    EXPECT_FALSE(mr_log_wants(MR_LOG_ERROR));
    mr_log(MR_LOG_ERROR, "nobody hears it");
}

TEST(Log, LinesAreBounded) {
    Sink sink(MR_LOG_ALL);
    std::string text(5000, 'x');
    mr_log(MR_LOG_ERROR, "%s", text.c_str());
    ASSERT_EQ(1u, sink.lines.size());
    EXPECT_EQ(size_t{MR_LOG_LINE_BYTES_MAX - 1}, sink.lines[0].size());
    EXPECT_EQ("x...", sink.lines[0].substr(sink.lines[0].size() - 4));
    text.resize(MR_LOG_LINE_BYTES_MAX - 1);
    mr_log(MR_LOG_ERROR, "%s", text.c_str());
    EXPECT_EQ(text, sink.lines[1]);
}

TEST(Log, NobodyCanForgeALine) {
    Sink sink(MR_LOG_ALL);
    mr_log(MR_LOG_ERROR, "client %s", "x\n1: Error: forged\r\x1b[2J\x7f");
    EXPECT_EQ("client x?1: Error: forged??[2J?", sink.lines.at(0));
}

TEST(Log, ManyThreadsMayLogWhileTheSinkChanges) {
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    Sink first(MR_LOG_ALL);
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&] {
            while (!stop) {
                mr_log(MR_LOG_NOTICE, "%s", "hello");
            }
        });
    }
    for (int i = 0; i < 20; i++) {
        Sink other(MR_LOG_ALL);
        mr_log(MR_LOG_ERROR, "mine");
        // The reader of `lines` is the only thread left that knows this sink.
        mr_log_sink back = {nullptr, nullptr};
        mr_log_set_sink(&back, MR_LOG_ALL);
        EXPECT_GE(other.lines.size(), 1u);
        for (const std::string &line : other.lines) {
            EXPECT_TRUE(line == "hello" || line == "mine");
        }
    }
    stop = true;
    for (std::thread &thread : threads) {
        thread.join();
    }
}

// -------------------------------------------------------------------- text from outside

std::string Text(const std::string &text) {
    char out[MR_LOG_TEXT_BYTES];
    EXPECT_EQ(out, mr_log_text(mr_slice_of(text.data(), text.size()), out));
    return out;
}

TEST(LogText, PrintableTextStaysAsItIs) {
    EXPECT_EQ("", Text(""));
    EXPECT_EQ("", Text(std::string()));
    EXPECT_EQ("client-1 ~!\"'/+#", Text("client-1 ~!\"'/+#"));
    EXPECT_EQ("J\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x98\x80",
              Text("J\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x98\x80"));
    char out[MR_LOG_TEXT_BYTES];
    mr_slice none = {};
    EXPECT_STREQ("", mr_log_text(none, out));
}

TEST(LogText, ControlCharactersAreEscaped) {
    EXPECT_EQ("a\\x0ab\\x0d\\x00\\x1b[2J\\x7f", Text(std::string("a\nb\r\0\x1b[2J\x7f", 10)));
    EXPECT_EQ("\\xc2\\x9b", Text("\xc2\x9b"));           // The one-byte form of ESC [.
    EXPECT_EQ("\\xe2\\x80\\xae", Text("\xe2\x80\xae"));  // Right-to-left override.
    EXPECT_EQ("\\xe2\\x80\\xa8", Text("\xe2\x80\xa8"));  // Line separator.
    EXPECT_EQ("\\xef\\xbb\\xbf", Text("\xef\xbb\xbf"));
}

TEST(LogText, WhatIsntUtf8IsEscaped) {
    EXPECT_EQ("\\xff\\xfe", Text("\xff\xfe"));
    EXPECT_EQ("\\xc0\\x80", Text("\xc0\x80"));                    // Overlong.
    EXPECT_EQ("\\xe0\\x80\\xaf", Text("\xe0\x80\xaf"));           // Overlong.
    EXPECT_EQ("\\xed\\xa0\\x80", Text("\xed\xa0\x80"));           // Surrogate.
    EXPECT_EQ("\\xf4\\x90\\x80\\x80", Text("\xf4\x90\x80\x80"));  // Above U+10FFFF.
    EXPECT_EQ("\\xe2\\x82", Text("\xe2\x82"));                    // Cut.
    EXPECT_EQ("\\xc3(", Text("\xc3("));
    EXPECT_EQ("\\x80", Text("\x80"));
}

TEST(LogText, ABackslashCannotBeMistaken) {
    EXPECT_EQ("\\\\x0a", Text("\\x0a"));
}

TEST(LogText, IsCutBetweenCharacters) {
    for (size_t len = 0; len < 600; len++) {
        for (const char *unit : {"a", "\xc3\xbc", "\xf0\x9f\x98\x80", "\n", "\\"}) {
            std::string text;
            while (text.size() < len) {
                text += unit;
            }
            std::string shown = Text(text);
            EXPECT_LT(shown.size(), size_t{MR_LOG_TEXT_BYTES});
            if (shown.size() >= 3 && shown.substr(shown.size() - 3) == "...") {
                shown.resize(shown.size() - 3);
                size_t unit_len = std::string(unit) == "\n"   ? 4
                                  : std::string(unit) == "\\" ? 2
                                                              : std::string(unit).size();
                EXPECT_EQ(0u, shown.size() % unit_len);
                EXPECT_GT(shown.size(), size_t{MR_LOG_TEXT_BYTES - 12});
            } else {
                EXPECT_EQ(Text(unit).size() * (text.size() / std::string(unit).size()),
                          shown.size());
            }
        }
    }
}

// ---------------------------------------------------------------------------- thinning

TEST(LogLimiter, AllowsSoManyInAMinuteAndCountsTheRest) {
    mr_log_limiter limiter = {};
    uint32_t skipped = 99;
    for (int i = 0; i < 3; i++) {
        EXPECT_TRUE(mr_log_allow(&limiter, 1000, 3, &skipped));
        EXPECT_EQ(0u, skipped);
    }
    for (int i = 0; i < 5; i++) {
        EXPECT_FALSE(mr_log_allow(&limiter, 59999, 3, &skipped));
    }
    EXPECT_TRUE(mr_log_allow(&limiter, 60000, 3, &skipped));
    EXPECT_EQ(5u, skipped);
    EXPECT_TRUE(mr_log_allow(&limiter, 60000, 3, &skipped));
    EXPECT_EQ(0u, skipped);
}

TEST(LogLimiter, StartsAtAnyTime) {
    for (uint64_t now : {uint64_t{0}, uint64_t{1} << 40, uint64_t{1} << 53}) {
        mr_log_limiter limiter = {};
        uint32_t skipped;
        EXPECT_TRUE(mr_log_allow(&limiter, now, 1, &skipped));
        EXPECT_FALSE(mr_log_allow(&limiter, now, 1, &skipped));
        EXPECT_TRUE(mr_log_allow(&limiter, now + 60000, 1, &skipped));
        EXPECT_EQ(1u, skipped);
    }
}

TEST(LogLimiter, AClockThatIsBehindDoesNotOpenANewMinute) {
    mr_log_limiter limiter = {};
    uint32_t skipped;
    EXPECT_TRUE(mr_log_allow(&limiter, 120000, 1, &skipped));
    EXPECT_FALSE(mr_log_allow(&limiter, 60000, 1, &skipped));
    EXPECT_FALSE(mr_log_allow(&limiter, 120000, 1, &skipped));
}

TEST(LogLimiter, NoneMayBeAllowed) {
    mr_log_limiter limiter = {};
    uint32_t skipped;
    EXPECT_FALSE(mr_log_allow(&limiter, 0, 0, &skipped));
    EXPECT_FALSE(mr_log_allow(&limiter, 60000, 0, &skipped));
}

TEST(LogLimiter, IsExactWithManyThreads) {
    mr_log_limiter limiter = {};
    std::atomic<uint64_t> allowed{0};
    std::atomic<uint64_t> skipped_total{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&] {
            for (uint64_t n = 0; n < 10000; n++) {
                uint32_t skipped;
                if (mr_log_allow(&limiter, n / 1000 * 60000, 7, &skipped)) {
                    allowed++;
                    skipped_total += skipped;
                }
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    uint32_t skipped;
    EXPECT_TRUE(mr_log_allow(&limiter, 100 * 60000, 7, &skipped));
    EXPECT_EQ(70u, allowed);
    EXPECT_EQ(40000u - 70u, skipped_total + skipped);
}

}  // namespace
