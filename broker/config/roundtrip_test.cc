// What mr_config_print() writes is read as the same configuration.
#include <cstdio>
#include <random>

#include "broker/config/directive.h"
#include "broker/config/testing.hh"
#include "gtest/gtest.h"

namespace {

using millrace::NoOverrides;
using millrace::Reading;
using millrace::ReadText;

bool Same(const char *a, const char *b) {
    return (a == nullptr) == (b == nullptr) && (a == nullptr || std::strcmp(a, b) == 0);
}

// Compares by the table, so that a new directive can't be forgotten.
void ExpectSameScope(mr_scope scope, const void *a, const void *b) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        const mr_directive &d = mr_directives[i];
        const char *left = static_cast<const char *>(a) + d.offset;
        const char *right = static_cast<const char *>(b) + d.offset;
        if (d.scope != scope || d.width == 0 ||
            d.offset == offsetof(mr_config, clientid_prefixes)) {
            continue;
        }
        if (d.kind == MR_KIND_TEXT || d.kind == MR_KIND_WORD) {
            const char *texts[2];
            std::memcpy(&texts[0], left, sizeof(char *));
            std::memcpy(&texts[1], right, sizeof(char *));
            EXPECT_TRUE(Same(texts[0], texts[1])) << d.name;
        } else {
            EXPECT_EQ(0, std::memcmp(left, right, d.width)) << d.name;
        }
    }
}

void ExpectSame(const mr_config *a, const mr_config *b) {
    ExpectSameScope(MR_SCOPE_GLOBAL, a, b);
    ExpectSameScope(MR_SCOPE_SECURITY, &a->security, &b->security);
    EXPECT_EQ(a->local_only, b->local_only);
    EXPECT_EQ(a->security_count, b->security_count);
    EXPECT_EQ(a->log_stdout, b->log_stdout);
    EXPECT_EQ(a->log_stderr, b->log_stderr);
    EXPECT_EQ(a->log_syslog, b->log_syslog);
    EXPECT_EQ(a->log_topic, b->log_topic);
    EXPECT_TRUE(Same(a->log_file, b->log_file));
    ASSERT_EQ(a->clientid_prefix_count, b->clientid_prefix_count);
    for (uint32_t i = 0; i < a->clientid_prefix_count; i++) {
        EXPECT_STREQ(a->clientid_prefixes[i], b->clientid_prefixes[i]);
    }
    ASSERT_EQ(a->listener_count, b->listener_count);
    for (uint32_t i = 0; i < a->listener_count; i++) {
        const mr_listener_config &l = a->listeners[i];
        const mr_listener_config &r = b->listeners[i];
        ExpectSameScope(MR_SCOPE_LISTENER, &l, &r);
        ExpectSameScope(MR_SCOPE_SECURITY, &l.security, &r.security);
        EXPECT_TRUE(Same(l.host, r.host));
        EXPECT_TRUE(Same(l.unix_path, r.unix_path));
        EXPECT_EQ(l.port, r.port);
        EXPECT_EQ(l.security_index, r.security_index);
    }
}

// Reads `text`, prints, reads that.
void ExpectRoundTrip(const std::string &text, mr_config_overrides overrides = NoOverrides()) {
    SCOPED_TRACE(text);
    Reading first = ReadText(text, overrides);
    ASSERT_EQ(MR_OK, first.err) << first.AllMessages();
    char *printed = mr_config_print(first.config.get());
    ASSERT_NE(nullptr, printed);
    mr_config_overrides again = NoOverrides();
    again.port = first->local_only ? overrides.port : 0;
    Reading second = ReadText(printed, again);
    EXPECT_EQ(MR_OK, second.err) << second.AllMessages() << printed;
    if (second.err == MR_OK) {
        ExpectSame(first.config.get(), second.config.get());
        char *twice = mr_config_print(second.config.get());
        EXPECT_STREQ(printed, twice);
        std::free(twice);
    }
    std::free(printed);
}

TEST(ConfigPrint, RoundTripsOfTypicalFiles) {
    ExpectRoundTrip("");
    ExpectRoundTrip("listener 1883\n");
    ExpectRoundTrip("port 1\nbind_address ::1\nmax_qos 1\n");
    ExpectRoundTrip("max_connections 4\n");
    ExpectRoundTrip("socket_domain ipv6\n");
    ExpectRoundTrip("per_listener_settings true\nmax_connections 4\nallow_anonymous false\n");
    ExpectRoundTrip(
        "per_listener_settings true\nlistener 0 /a b\npassword_file c d\nlistener 2\n"
        "allow_anonymous true\nacl_file #x\n");
    ExpectRoundTrip("log_dest none\nlog_type none\n");
    ExpectRoundTrip("log_dest file a\nlog_dest topic\nlog_type all\n");
    ExpectRoundTrip("message_size_limit 5\n");
    ExpectRoundTrip(
        "persistent_client_expiration 1y\nclientid_prefixes a b\nclientid_prefixes c\n");
}

TEST(ConfigPrint, RoundTripsWithACommandLine) {
    mr_config_overrides overrides = NoOverrides();
    overrides.port = 2000;
    overrides.verbose = true;
    overrides.workers = 2;
    overrides.io_backend = "epoll";
    ExpectRoundTrip("", overrides);
    ExpectRoundTrip("port 5\n", overrides);
}

// ------------------------------------------------------------------- random files

class Generator {
 public:
    explicit Generator(uint64_t seed) : random_(seed) {
    }

    std::string File() {
        std::string text;
        bool per_listener = Below(3) == 0;
        text += per_listener ? "per_listener_settings true\n" : "";
        Lines(&text, MR_SCOPE_GLOBAL, 12);
        if (!per_listener) {
            Lines(&text, MR_SCOPE_SECURITY, 3);
        }
        uint64_t listeners = Below(4);
        for (uint64_t i = 0; i < listeners; i++) {
            if (Below(4) == 0) {
                text += "listener 0 /run/" + std::to_string(i) + Text(20) + "\n";
            } else {
                text += "listener " + std::to_string(i + 1) + (Below(2) ? "" : " 127.0.0.1") + "\n";
            }
            Lines(&text, MR_SCOPE_LISTENER, 5);
            if (per_listener) {
                Lines(&text, MR_SCOPE_SECURITY, 3);
            }
        }
        return text;
    }

 private:
    std::mt19937_64 random_;

    uint64_t Below(uint64_t bound) {
        return random_() % bound;
    }

    std::string Text(uint64_t longest) {
        static const char letters[] = "abcXYZ019_-. %$/\xc3\xa4";
        std::string text = "t";
        for (uint64_t len = Below(longest); text.size() < len;) {
            text += letters[Below(sizeof(letters) - 3)];
        }
        return text + "e";
    }

    std::string Number(const mr_directive &d) {
        switch (Below(4)) {
            case 0:
                return std::to_string(d.min);
            case 1:
                return std::to_string(d.max);
            default:
                return std::to_string(d.min + random_() % (d.max - d.min + 1));
        }
    }

    void Lines(std::string *text, mr_scope scope, uint64_t count) {
        bool used[100] = {};
        for (uint64_t i = 0; i < count; i++) {
            size_t index = Below(mr_directive_count);
            const mr_directive &d = mr_directives[index];
            if (d.scope == scope && d.apply != mr_apply_per_listener_settings && !used[index]) {
                used[index] = true;
                Line(text, d);
            }
        }
    }

    void Line(std::string *text, const mr_directive &d) {
        std::string name = std::string(d.name) + " ";
        size_t choices = 0;
        while (d.choices != nullptr && d.choices[choices].word != nullptr) {
            choices++;
        }
        switch (d.kind) {
            case MR_KIND_BOOL:
                *text += name + (Below(2) ? "true" : "0") + "\n";
                break;
            case MR_KIND_NUMBER:
            case MR_KIND_BYTES:
                *text += name + Number(d) + "\n";
                break;
            case MR_KIND_DURATION:
                *text += name + std::to_string(1 + Below(100)) + "shdwmy"[Below(6)] + "\n";
                break;
            case MR_KIND_TEXT:
                *text += name + Text(d.max < 40 ? d.max : 40) + "\n";
                break;
            case MR_KIND_CHOICE:
            case MR_KIND_WORD:
                *text += name + d.choices[Below(choices)].word + "\n";
                break;
            case MR_KIND_SPECIAL:
                if (d.choices != nullptr) {
                    *text += name + d.choices[Below(choices)].word + "\n";
                } else if (d.apply == mr_apply_log_dest) {
                    *text += name + (Below(2) ? "topic" : "file " + Text(30)) + "\n";
                } else if (d.apply == mr_apply_clientid_prefixes) {
                    *text += name + Text(30) + "\n" + name + Text(30) + "\n";
                }
                break;
            case MR_KIND_IGNORED:
                break;
        }
    }
};

TEST(ConfigPrint, RoundTripsOfRandomFiles) {
    const char *given = std::getenv("MILLRACE_SEED");
    uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::printf("MILLRACE_SEED=%llu\n", static_cast<unsigned long long>(seed));
    Generator generator(seed);
    for (int i = 0; i < 300 && !testing::Test::HasFailure(); i++) {
        ExpectRoundTrip(generator.File());
    }
}

}  // namespace
