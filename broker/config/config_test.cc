// What each directive does, scopes, and the default and local-only listeners.
#include "broker/config/config.h"

#include <functional>

#include "broker/config/directive.h"
#include "broker/config/testing.hh"
#include "broker/limits.h"
#include "gtest/gtest.h"

namespace {

using millrace::MemoryFiles;
using millrace::NoOverrides;
using millrace::ReadFiles;
using millrace::Reading;
using millrace::ReadText;

// A listener that somebody may use, so that there is no warning.
const char kOpen[] = "allow_anonymous true\nlistener 2000\n";

Reading MustRead(const std::string &text) {
    Reading reading = ReadText(text);
    EXPECT_EQ(MR_OK, reading.err) << text << reading.AllMessages();
    EXPECT_EQ(0u, reading.messages.size()) << text << reading.AllMessages();
    return reading;
}

// ------------------------------------------------------------------------- defaults

TEST(Config, DefaultsAreThoseOfTheLimits) {
    Reading c = MustRead("");
    EXPECT_EQ(MR_INFLIGHT_MESSAGES_DEFAULT, c->inflight_messages_max);
    EXPECT_EQ(0u, c->inflight_bytes_max);
    EXPECT_EQ(uint64_t{MR_QUEUED_MESSAGES_DEFAULT}, c->queued_messages_max);
    EXPECT_EQ(uint64_t{MR_QUEUED_BYTES_DEFAULT}, c->queued_bytes_max);
    EXPECT_FALSE(c->queue_qos0_messages);
    EXPECT_EQ(MR_PACKET_BYTES_DEFAULT, c->packet_bytes_max);
    EXPECT_EQ(0u, c->message_bytes_max);
    EXPECT_EQ(65535u, c->keep_alive_s_max);
    EXPECT_TRUE(c->retain_available);
    EXPECT_FALSE(c->upgrade_outgoing_qos);
    EXPECT_FALSE(c->set_tcp_nodelay);
    EXPECT_EQ(0u, c->persistent_client_expiration_s);
    EXPECT_EQ(10u, c->sys_interval_s);
    EXPECT_TRUE(c->connection_messages);
    EXPECT_EQ(uint32_t{MR_LOG_ERROR | MR_LOG_WARNING | MR_LOG_NOTICE | MR_LOG_INFORMATION},
              c->log_types);
    EXPECT_FALSE(c->log_stdout);
    EXPECT_TRUE(c->log_stderr);
    EXPECT_FALSE(c->log_syslog);
    EXPECT_FALSE(c->log_topic);
    EXPECT_EQ(nullptr, c->log_file);
    EXPECT_TRUE(c->log_timestamp);
    EXPECT_EQ(nullptr, c->log_timestamp_format);
    EXPECT_EQ(nullptr, c->pid_file);
    EXPECT_EQ(nullptr, c->user);
    EXPECT_EQ(0u, c->clientid_prefix_count);
    EXPECT_EQ(0u, c->workers);
    EXPECT_STREQ("auto", c->io_backend);
    EXPECT_EQ(MR_SLOW_DROP_NEWEST, c->slow_policy);
    EXPECT_EQ(uint64_t{MR_OUTBOX_BYTES_DEFAULT}, c->outbox_bytes);
    EXPECT_EQ(uint32_t{MR_CONNECT_TIMEOUT_S_DEFAULT}, c->connect_timeout_s);
    EXPECT_EQ(MR_RECEIVE_MAX_DEFAULT, c->receive_max);
    EXPECT_EQ(uint32_t{MR_SUBSCRIPTIONS_PER_CLIENT_DEFAULT}, c->subscriptions_per_client_max);
    EXPECT_EQ(uint64_t{MR_TOPIC_CACHE_BYTES_DEFAULT}, c->topic_cache_bytes);
    EXPECT_EQ(0u, c->retained_messages_max);
    EXPECT_EQ(0u, c->retained_bytes_max);
    EXPECT_EQ(0u, c->memory_bytes_max);
}

TEST(Config, ListenerDefaultsAreMosquittos) {
    Reading c = MustRead(kOpen);
    ASSERT_EQ(1u, c->listener_count);
    const mr_listener_config &l = c->listeners[0];
    EXPECT_EQ(nullptr, l.host);
    EXPECT_EQ(2000, l.port);
    EXPECT_EQ(nullptr, l.unix_path);
    EXPECT_EQ(nullptr, l.bind_interface);
    EXPECT_EQ(0, l.family);
    EXPECT_EQ(UINT32_MAX, l.connections_max);
    EXPECT_EQ(nullptr, l.mount_point);
    EXPECT_EQ(2, l.qos_max);
    EXPECT_EQ(10, l.topic_alias_max);
    EXPECT_EQ(10, l.topic_alias_broker_max);
    EXPECT_FALSE(l.use_username_as_clientid);
    EXPECT_TRUE(l.security.allow_zero_length_clientid);
    EXPECT_STREQ("auto-", l.security.auto_id_prefix);
    EXPECT_EQ(nullptr, l.security.password_file);
    EXPECT_EQ(nullptr, l.security.acl_file);
}

// ------------------------------------------------------- one directive after the other

// The directive's line goes below a listener; `see` looks whether it did its work.
struct Effect {
    const char *line;
    std::function<bool(const mr_config &, const mr_listener_config &)> see;
};

#define SEE(condition) \
    [](const mr_config &c, const mr_listener_config &l) { return (void)c, (void)l, condition; }

bool Is(const char *a, const char *b) {
    return a != nullptr && std::strcmp(a, b) == 0;
}

TEST(Config, EachDirectiveSetsItsField) {
    const Effect effects[] = {
        {"socket_domain ipv4", SEE(l.family == 4)},
        {"socket_domain ipv6", SEE(l.family == 6)},
        {"bind_interface eth0", SEE(Is(l.bind_interface, "eth0"))},
        {"max_connections 7", SEE(l.connections_max == 7)},
        {"max_connections -1", SEE(l.connections_max == UINT32_MAX)},
        {"mount_point a/b/", SEE(Is(l.mount_point, "a/b/"))},
        {"max_qos 1", SEE(l.qos_max == 1)},
        {"maximum_qos 0", SEE(l.qos_max == 0)},
        {"max_topic_alias 0", SEE(l.topic_alias_max == 0)},
        {"max_topic_alias_broker 65535", SEE(l.topic_alias_broker_max == 65535)},
        {"use_username_as_clientid true", SEE(l.use_username_as_clientid)},
        {"protocol mqtt", SEE(true)},
        {"allow_anonymous false\npassword_file p", SEE(!l.security.allow_anonymous)},
        {"password_file /etc/my passwords", SEE(Is(c.security.password_file, "/etc/my passwords"))},
        {"acl_file acl", SEE(Is(l.security.acl_file, "acl"))},
        {"allow_zero_length_clientid false", SEE(!l.security.allow_zero_length_clientid)},
        {"auto_id_prefix x-", SEE(Is(l.security.auto_id_prefix, "x-"))},
        {"clientid_prefixes se cure-",
         SEE(c.clientid_prefix_count == 1 && Is(c.clientid_prefixes[0], "se cure-"))},
        {"max_inflight_messages 1", SEE(c.inflight_messages_max == 1)},
        {"max_inflight_messages 0", SEE(c.inflight_messages_max == 65535)},
        {"max_inflight_messages -3", SEE(c.inflight_messages_max == 65535)},
        {"max_inflight_messages 65535", SEE(c.inflight_messages_max == 65535)},
        {"max_inflight_bytes 100", SEE(c.inflight_bytes_max == 100)},
        {"max_queued_messages 5", SEE(c.queued_messages_max == 5)},
        {"max_queued_messages -1", SEE(c.queued_messages_max == 0)},
        {"max_queued_bytes 0", SEE(c.queued_bytes_max == 0)},
        {"max_queued_bytes 5000000000", SEE(c.queued_bytes_max == 5000000000)},
        {"queue_qos0_messages true", SEE(c.queue_qos0_messages)},
        {"max_packet_size 20", SEE(c.packet_bytes_max == 20)},
        {"message_size_limit 1000",
         SEE(c.message_bytes_max == 1000 && c.packet_bytes_max == 1000 + 128 * 1024)},
        {"message_size_limit 1000\nmax_packet_size 99", SEE(c.packet_bytes_max == 99)},
        {"message_size_limit 268435455", SEE(c.packet_bytes_max == MR_PACKET_BYTES_DEFAULT)},
        {"max_keepalive 60", SEE(c.keep_alive_s_max == 60)},
        {"max_keepalive 0", SEE(c.keep_alive_s_max == 0)},
        {"retain_available false", SEE(!c.retain_available)},
        {"max_retained_messages 9", SEE(c.retained_messages_max == 9)},
        {"max_retained_bytes 3K", SEE(c.retained_bytes_max == 3072)},
        {"persistent_client_expiration 5s", SEE(c.persistent_client_expiration_s == 5)},
        {"persistent_client_expiration 1h", SEE(c.persistent_client_expiration_s == 3600)},
        {"persistent_client_expiration 2d", SEE(c.persistent_client_expiration_s == 172800)},
        {"persistent_client_expiration 3w", SEE(c.persistent_client_expiration_s == 1814400)},
        {"persistent_client_expiration 4m", SEE(c.persistent_client_expiration_s == 10368000)},
        {"persistent_client_expiration 5y", SEE(c.persistent_client_expiration_s == 157680000)},
        {"upgrade_outgoing_qos true", SEE(c.upgrade_outgoing_qos)},
        {"set_tcp_nodelay 1", SEE(c.set_tcp_nodelay)},
        {"sys_interval 0", SEE(c.sys_interval_s == 0)},
        {"workers 64", SEE(c.workers == 64)},
        {"io_backend epoll", SEE(Is(c.io_backend, "epoll"))},
        {"io_backend io_uring", SEE(Is(c.io_backend, "io_uring"))},
        {"io_backend iocp", SEE(Is(c.io_backend, "iocp"))},
        {"io_backend uv", SEE(Is(c.io_backend, "uv"))},
        {"slow_consumer_policy drop-oldest", SEE(c.slow_policy == MR_SLOW_DROP_OLDEST)},
        {"slow_consumer_policy disconnect", SEE(c.slow_policy == MR_SLOW_DISCONNECT)},
        {"slow_consumer_policy backpressure", SEE(c.slow_policy == MR_SLOW_BACKPRESSURE)},
        {"outbox_bytes 2M", SEE(c.outbox_bytes == 2u << 20)},
        {"connect_timeout 3", SEE(c.connect_timeout_s == 3)},
        {"receive_maximum 20", SEE(c.receive_max == 20)},
        {"max_subscriptions_per_client 11", SEE(c.subscriptions_per_client_max == 11)},
        {"topic_cache_bytes 0", SEE(c.topic_cache_bytes == 0)},
        {"memory_limit 4g", SEE(c.memory_bytes_max == uint64_t{4} << 30)},
        {"memory_limit 12345", SEE(c.memory_bytes_max == 12345)},
        {"log_dest stdout", SEE(c.log_stdout && !c.log_stderr)},
        {"log_dest stdout unbuffered", SEE(c.log_stdout)},
        {"log_dest syslog\nlog_dest topic", SEE(c.log_syslog && c.log_topic && !c.log_stderr)},
        {"log_dest file /var/log/my log", SEE(Is(c.log_file, "/var/log/my log"))},
        {"log_dest none", SEE(!c.log_stderr)},
        {"log_dest stdout\nlog_dest none\nlog_dest stderr", SEE(c.log_stderr && !c.log_stdout)},
        {"log_type all", SEE(c.log_types == MR_LOG_ALL)},
        {"log_type none", SEE(c.log_types == 0)},
        {"log_type debug\nlog_type error", SEE(c.log_types == (MR_LOG_DEBUG | MR_LOG_ERROR))},
        {"log_type debug\nlog_type none\nlog_type notice", SEE(c.log_types == MR_LOG_NOTICE)},
        {"log_type warning\nlog_type information\nlog_type internal",
         SEE(c.log_types == (MR_LOG_WARNING | MR_LOG_INFORMATION | MR_LOG_INTERNAL))},
        {"log_type subscribe\nlog_type unsubscribe",
         SEE(c.log_types == (MR_LOG_SUBSCRIBE | MR_LOG_UNSUBSCRIBE))},
        {"connection_messages false", SEE(!c.connection_messages)},
        {"log_timestamp 0", SEE(!c.log_timestamp)},
        {"log_timestamp_format %H:%M %Z", SEE(Is(c.log_timestamp_format, "%H:%M %Z"))},
        {"pid_file /run/x.pid", SEE(Is(c.pid_file, "/run/x.pid"))},
        {"user broker", SEE(Is(c.user, "broker"))},
    };
    for (const Effect &effect : effects) {
        Reading c = MustRead(std::string(kOpen) + effect.line + "\n");
        ASSERT_NE(nullptr, c.config);
        EXPECT_TRUE(effect.see(*c.config, c->listeners[0])) << effect.line;
    }
}

std::string Line(const mr_directive &directive, const std::string &value) {
    return std::string(kOpen) + directive.name + " " + value + "\n";
}

TEST(Config, NumbersAreAcceptedWithinTheirRangeOnly) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        const mr_directive &d = mr_directives[i];
        if (d.kind != MR_KIND_NUMBER && d.kind != MR_KIND_BYTES) {
            continue;
        }
        EXPECT_EQ(MR_OK, ReadText(Line(d, std::to_string(d.min))).err) << d.name;
        EXPECT_EQ(MR_OK, ReadText(Line(d, std::to_string(d.max))).err) << d.name;
        // One's own default has to be allowed.
        EXPECT_EQ(MR_OK, ReadText(Line(d, std::to_string(d.preset))).err) << d.name;
        if (d.min > 0) {
            EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, std::to_string(d.min - 1))).err) << d.name;
        }
        bool negative = (d.flags & (MR_NEGATIVE_IS_ZERO | MR_NEGATIVE_IS_MAX)) != 0;
        EXPECT_EQ(negative ? MR_OK : MR_ERR_INVALID, ReadText(Line(d, "-1")).err) << d.name;
        bool above = (d.flags & MR_ABOVE_IS_MAX) != 0;
        const std::string large[] = {std::to_string(d.max + 1), "18446744073709551616",
                                     "99999999999999999999999999"};
        for (const std::string &value : large) {
            EXPECT_EQ(above ? MR_OK : MR_ERR_INVALID, ReadText(Line(d, value)).err)
                << d.name << " " << value;
        }
        for (const char *value : {"", "x", "1x", "0x10", "1.5", "+1", "--1", "-", "1 2"}) {
            EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, value)).err) << d.name << " " << value;
        }
        bool units = d.kind == MR_KIND_BYTES;
        if (units) {
            EXPECT_EQ(MR_OK, ReadText(Line(d, "4K")).err) << d.name;
            EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, "99999999999999999999K")).err) << d.name;
            EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, "18014398509481985K")).err) << d.name;
            EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, "K")).err) << d.name;
        } else {
            EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, "1K")).err) << d.name;
        }
    }
}

TEST(Config, BoolsAreTrueFalseOneAndZero) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        const mr_directive &d = mr_directives[i];
        if (d.kind != MR_KIND_BOOL) {
            continue;
        }
        for (const char *value : {"true", "false", "1", "0"}) {
            std::string line = std::string(d.name) + " " + value + "\n";
            EXPECT_EQ(MR_OK, ReadText(line + "listener 2000\n").err) << line;
        }
        for (const char *value : {"", "yes", "no", "True", "2", "on", "tru", "true false"}) {
            std::string line = std::string(d.name) + " " + value + "\n";
            EXPECT_EQ(MR_ERR_INVALID, ReadText(line + "listener 2000\n").err) << line;
        }
    }
}

TEST(Config, ChoicesAreTheirWordsOnly) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        const mr_directive &d = mr_directives[i];
        if (d.choices == nullptr) {
            continue;
        }
        for (const mr_choice *c = d.choices; c->word != nullptr; c++) {
            EXPECT_EQ(MR_OK, ReadText(Line(d, c->word)).err) << d.name << " " << c->word;
        }
        for (const char *value : {"", "nonsense", "AUTO", "4"}) {
            EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, value)).err) << d.name << " " << value;
        }
    }
}

TEST(Config, TextsAreBoundedAndGivenOnce) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        const mr_directive &d = mr_directives[i];
        if (d.kind != MR_KIND_TEXT) {
            continue;
        }
        std::string longest(d.max, 'x');
        EXPECT_EQ(MR_OK, ReadText(Line(d, longest)).err) << d.name;
        EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, longest + "x")).err) << d.name;
        EXPECT_EQ(MR_ERR_INVALID, ReadText(Line(d, "")).err) << d.name;
        std::string twice = Line(d, "x") + d.name + " y\n";
        EXPECT_EQ(MR_ERR_INVALID, ReadText(twice).err) << d.name;
    }
}

TEST(Config, TheTableIsInOrder) {
    for (size_t i = 0; i < mr_directive_count; i++) {
        const mr_directive &d = mr_directives[i];
        EXPECT_EQ(&d, mr_directive_find(mr_slice_str(d.name)));
        EXPECT_EQ(nullptr, mr_unsupported_find(mr_slice_str(d.name))) << d.name;
        EXPECT_NE(nullptr, d.help) << d.name;
        EXPECT_LE(d.min, d.max) << d.name;
        EXPECT_EQ(d.kind == MR_KIND_SPECIAL, d.apply != nullptr && d.kind != MR_KIND_BOOL)
            << d.name;
        EXPECT_EQ(d.kind == MR_KIND_IGNORED || d.kind == MR_KIND_SPECIAL || d.width > 0, true);
        char text[MR_EXPECTED_BYTES];
        EXPECT_GT(std::strlen(mr_directive_expected(&d, text)), 3u) << d.name;
        EXPECT_LT(std::strlen(text), size_t{MR_EXPECTED_BYTES - 1}) << d.name;
        EXPECT_GT(std::strlen(mr_directive_default(&d, text)), 0u) << d.name;
    }
    EXPECT_EQ(nullptr, mr_directive_find(mr_slice_str("max_qo")));
    EXPECT_EQ(nullptr, mr_directive_find(mr_slice_of(nullptr, 0)));
    for (size_t i = 1; i < mr_unsupported_count; i++) {
        EXPECT_LT(std::strcmp(mr_unsupported[i - 1].name, mr_unsupported[i].name), 0);
    }
}

// ---------------------------------------------------------------------------- syntax

TEST(ConfigSyntax, CommentsAndBlankLinesAreSkipped) {
    Reading c = MustRead("# comment\n\n   \t \n  # indented comment\n#listener 1\n");
    EXPECT_TRUE(c->local_only);
}

TEST(ConfigSyntax, BlanksAroundNamesAndValuesDontMatter) {
    Reading c = MustRead(
        "  allow_anonymous\t true  \n\tlistener \t 2000   127.0.0.1 \n"
        "pid_file \t a  b \t\n");
    EXPECT_EQ(2000, c->listeners[0].port);
    EXPECT_STREQ("127.0.0.1", c->listeners[0].host);
    EXPECT_STREQ("a  b", c->pid_file);
}

TEST(ConfigSyntax, LinesMayEndAsOnWindowsOrNotAtAll) {
    Reading c = MustRead("allow_anonymous true\r\nlistener 2000\r\n\r\nuser me\r\nmax_qos 1");
    EXPECT_STREQ("me", c->user);
    EXPECT_EQ(1, c->listeners[0].qos_max);
}

TEST(ConfigSyntax, AByteOrderMarkIsSkipped) {
    Reading c = MustRead(
        "\xef\xbb\xbf"
        "allow_anonymous true\nlistener 2000\n");
    EXPECT_EQ(2000, c->listeners[0].port);
    EXPECT_TRUE(MustRead("\xef\xbb\xbf")->local_only);
}

TEST(ConfigSyntax, ACommentMayFollowAWordButIsPartOfAText) {
    Reading c = MustRead("allow_anonymous true # yes\nlistener 2000 # all\nmax_qos 1 #one\n");
    EXPECT_EQ(nullptr, c->listeners[0].host);
    EXPECT_EQ(1, c->listeners[0].qos_max);
    Reading text = ReadText(std::string(kOpen) + "user me # and me\n");
    EXPECT_STREQ("me # and me", text->user);
    ASSERT_EQ(1u, text.messages.size());
    EXPECT_NE(std::string::npos, text.messages[0].find("c:3: warning: user: the value goes to"));
    EXPECT_EQ(MR_OK, ReadText(std::string(kOpen) + "user me#x\n").err);
}

TEST(ConfigSyntax, TheLaterOfTwoWordsWins) {
    Reading c = MustRead(std::string(kOpen) + "max_qos 1\nmax_qos 0\n");
    EXPECT_EQ(0, c->listeners[0].qos_max);
}

// ------------------------------------------------------------------------- listeners

TEST(ConfigListeners, WithoutAnyOnlyThisMachineMayConnect) {
    for (const char *text : {"", "log_type all\n", "max_inflight_messages 3\n"}) {
        Reading c = MustRead(text);
        EXPECT_TRUE(c->local_only);
        ASSERT_EQ(2u, c->listener_count);
        EXPECT_STREQ("127.0.0.1", c->listeners[0].host);
        EXPECT_STREQ("::1", c->listeners[1].host);
        EXPECT_EQ(1883, c->listeners[0].port);
        EXPECT_EQ(1883, c->listeners[1].port);
        EXPECT_TRUE(c->listeners[0].security.allow_anonymous);
        EXPECT_TRUE(c->listeners[1].security.allow_anonymous);
        EXPECT_EQ(1u, c->security_count);
    }
}

TEST(ConfigListeners, LocalOnlyModeObeysAllowAnonymous) {
    Reading c = ReadText("allow_anonymous false\npassword_file p\n");
    EXPECT_TRUE(c->local_only);
    EXPECT_FALSE(c->security.allow_anonymous);
    EXPECT_FALSE(c->listeners[1].security.allow_anonymous);
}

TEST(ConfigListeners, LocalOnlyModeKeepsWhatIsSaidOfTheDefaultListener) {
    Reading c = ReadText("max_connections 10\nmax_qos 1\n");
    ASSERT_EQ(MR_OK, c.err);
    EXPECT_TRUE(c->local_only);
    ASSERT_EQ(2u, c->listener_count);
    EXPECT_EQ(10u, c->listeners[0].connections_max);
    EXPECT_EQ(10u, c->listeners[1].connections_max);
    EXPECT_EQ(1, c->listeners[1].qos_max);
    ASSERT_EQ(1u, c.messages.size());  // About the first of the two.
    Reading v6 = ReadText("socket_domain ipv6\n");
    ASSERT_EQ(1u, v6->listener_count);
    EXPECT_STREQ("::1", v6->listeners[0].host);
    Reading v4 = ReadText("socket_domain ipv4\n");
    ASSERT_EQ(1u, v4->listener_count);
    EXPECT_STREQ("127.0.0.1", v4->listeners[0].host);
}

TEST(ConfigListeners, AListenerForbidsAnonymousClientsUnlessAllowed) {
    Reading c = ReadText("listener 2000\n");
    ASSERT_EQ(MR_OK, c.err);
    EXPECT_FALSE(c->local_only);
    EXPECT_FALSE(c->security.allow_anonymous);
    EXPECT_FALSE(c->listeners[0].security.allow_anonymous);
    ASSERT_EQ(1u, c.messages.size());
    EXPECT_NE(std::string::npos, c.messages[0].find("no client can connect"));
}

TEST(ConfigListeners, PortAndBindAddressMakeTheDefaultListener) {
    Reading port = ReadText("port 2001\n");
    ASSERT_EQ(1u, port->listener_count);
    EXPECT_EQ(2001, port->listeners[0].port);
    EXPECT_EQ(nullptr, port->listeners[0].host);
    EXPECT_FALSE(port->security.allow_anonymous);
    Reading address = ReadText("bind_address ::1\n");
    EXPECT_EQ(1883, address->listeners[0].port);
    EXPECT_STREQ("::1", address->listeners[0].host);
    Reading both = ReadText("port 2001\nbind_address localhost # here\n");
    ASSERT_EQ(1u, both->listener_count);
    EXPECT_EQ(2001, both->listeners[0].port);
    EXPECT_STREQ("localhost", both->listeners[0].host);
}

TEST(ConfigListeners, DirectivesBelongToTheListenerAboveThem) {
    Reading c = ReadText(
        "listener 2000\nmax_qos 1\nlistener 2001 127.0.0.1\nmax_qos 0\n"
        "port 2002\nmax_connections 3\n");
    ASSERT_EQ(MR_OK, c.err) << c.AllMessages();
    ASSERT_EQ(3u, c->listener_count);
    EXPECT_EQ(1, c->listeners[0].qos_max);
    EXPECT_EQ(0, c->listeners[1].qos_max);
    EXPECT_EQ(2, c->listeners[2].qos_max);
    EXPECT_EQ(3u, c->listeners[2].connections_max);
    EXPECT_EQ(UINT32_MAX, c->listeners[0].connections_max);
}

TEST(ConfigListeners, ADirectiveBeforeAnyListenerOpensTheDefaultListenerWithAWarning) {
    Reading c = ReadText("allow_anonymous true\nmax_connections 3\nlistener 2000\n");
    ASSERT_EQ(MR_OK, c.err);
    ASSERT_EQ(2u, c->listener_count);
    EXPECT_EQ(1883, c->listeners[0].port);
    EXPECT_EQ(3u, c->listeners[0].connections_max);
    EXPECT_EQ(UINT32_MAX, c->listeners[1].connections_max);
    ASSERT_EQ(1u, c.messages.size());
    EXPECT_EQ(0u, c.messages[0].find("c:2: warning: max_connections: stands before any"));
}

TEST(ConfigListeners, UnixSocketsHavePortZeroAndAPath) {
    Reading c = MustRead("allow_anonymous true\nlistener 0 /run/my broker.sock # here\n");
    EXPECT_EQ(0, c->listeners[0].port);
    EXPECT_STREQ("/run/my broker.sock", c->listeners[0].unix_path);
    EXPECT_EQ(nullptr, c->listeners[0].host);
    std::string longest(107, 'x');
    EXPECT_EQ(MR_OK, ReadText("listener 0 " + longest + "\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 0 " + longest + "x\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 0\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 0 # none\n").err);
}

TEST(ConfigListeners, PortsHaveARange) {
    for (const char *bad : {"", "-1", "65536", "mqtt", "1883x", "99999999999999999999"}) {
        EXPECT_EQ(MR_ERR_INVALID, ReadText(std::string("listener ") + bad + "\n").err) << bad;
        EXPECT_EQ(MR_ERR_INVALID, ReadText(std::string("port ") + bad + "\n").err) << bad;
    }
    EXPECT_EQ(MR_ERR_INVALID, ReadText("port 0\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 1883 a b\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("bind_address a\nbind_address b\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("bind_address\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 1883 " + std::string(256, 'h') + "\n").err);
    EXPECT_EQ(MR_OK, ReadText("listener 65535 " + std::string(255, 'h') + "\n").err);
}

TEST(ConfigListeners, NoTwoMayBeTheSame) {
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 2000\nlistener 2000\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 0 /a\nlistener 0 /a\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("port 2000\nlistener 2000\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("listener 2000\nsocket_domain ipv4\nlistener 2000\n").err);
    EXPECT_EQ(MR_OK, ReadText("listener 2000\nsocket_domain ipv4\nlistener 2000\n"
                              "socket_domain ipv6\n")
                         .err);
    EXPECT_EQ(MR_OK, ReadText("listener 2000 127.0.0.1\nlistener 2000 127.0.0.2\n").err);
    EXPECT_EQ(MR_OK, ReadText("listener 0 /a\nlistener 0 /b\n").err);
}

TEST(ConfigListeners, TheirNumberIsBounded) {
    std::string text;
    for (int i = 1; i <= 1000; i++) {
        text += "listener " + std::to_string(i) + "\n";
    }
    EXPECT_EQ(1000u, ReadText(text)->listener_count);
    Reading more = ReadText(text + "listener 1001\n");
    EXPECT_EQ(MR_ERR_INVALID, more.err);
    EXPECT_EQ("c:1001: error: more than 1000 listeners\n", more.AllMessages());
}

// -------------------------------------------------------------------------- security

TEST(ConfigSecurity, IsTheSameForAllListenersByDefault) {
    Reading c = MustRead("listener 2000\npassword_file p\nlistener 2001\nacl_file a\n");
    EXPECT_EQ(1u, c->security_count);
    for (uint32_t i = 0; i < 2; i++) {
        EXPECT_EQ(0u, c->listeners[i].security_index);
        EXPECT_STREQ("p", c->listeners[i].security.password_file);
        EXPECT_STREQ("a", c->listeners[i].security.acl_file);
    }
}

// CVE-2018-20145: per_listener_settings must not lose the ACL.
TEST(ConfigSecurity, BelongsToEachListenerWithPerListenerSettings) {
    Reading c = MustRead(
        "per_listener_settings true\n"
        "listener 2000\npassword_file p\nacl_file a\n"
        "listener 2001\nallow_anonymous true\nauto_id_prefix x\n"
        "listener 2002\nacl_file a\npassword_file p\n");
    ASSERT_EQ(3u, c->listener_count);
    EXPECT_EQ(2u, c->security_count);
    EXPECT_EQ(0u, c->listeners[0].security_index);
    EXPECT_EQ(1u, c->listeners[1].security_index);
    EXPECT_EQ(0u, c->listeners[2].security_index);
    EXPECT_FALSE(c->listeners[0].security.allow_anonymous);
    EXPECT_TRUE(c->listeners[1].security.allow_anonymous);
    EXPECT_STREQ("a", c->listeners[2].security.acl_file);
    EXPECT_EQ(nullptr, c->listeners[1].security.acl_file);
    EXPECT_STREQ("x", c->listeners[1].security.auto_id_prefix);
    EXPECT_STREQ("auto-", c->listeners[0].security.auto_id_prefix);
}

TEST(ConfigSecurity, PerListenerSettingsComeFirst) {
    Reading c = ReadText("allow_anonymous true\nper_listener_settings true\nlistener 2000\n");
    EXPECT_EQ(MR_ERR_INVALID, c.err);
    EXPECT_EQ(0u, c.messages.at(0).find("c:2: error: per_listener_settings: has to stand before"));
    EXPECT_EQ(MR_OK, ReadText("allow_anonymous true\nper_listener_settings false\n").err);
    // Once true it stays, as in Mosquitto.
    Reading stays = ReadText("per_listener_settings true\nper_listener_settings false\n");
    EXPECT_TRUE(stays->per_listener_settings);
}

TEST(ConfigSecurity, NeedsAListenerWithPerListenerSettings) {
    for (const char *line : {"allow_anonymous true", "password_file p", "acl_file a",
                             "allow_zero_length_clientid false", "auto_id_prefix x"}) {
        Reading c = ReadText(std::string("per_listener_settings true\n") + line + "\n");
        EXPECT_EQ(MR_ERR_INVALID, c.err) << line;
        EXPECT_NE(std::string::npos, c.messages.at(0).find("c:2: error: ")) << c.AllMessages();
        EXPECT_NE(std::string::npos, c.messages.at(0).find("belongs below the listener"));
    }
}

TEST(ConfigSecurity, AClosedListenerIsWarnedOf) {
    Reading c = ReadText(
        "per_listener_settings true\nlistener 2000\nlistener 2001\n"
        "allow_anonymous true\n");
    ASSERT_EQ(MR_OK, c.err);
    ASSERT_EQ(1u, c.messages.size());
    EXPECT_EQ(0u, c.messages[0].find("c: warning: no client can connect to listener 2000"));
}

// ------------------------------------------------------------------------- prefixes

TEST(Config, SeveralClientIdPrefixesAddUp) {
    Reading c = MustRead(std::string(kOpen) + "clientid_prefixes a-\nclientid_prefixes b-\n");
    ASSERT_EQ(2u, c->clientid_prefix_count);
    EXPECT_STREQ("a-", c->clientid_prefixes[0]);
    EXPECT_STREQ("b-", c->clientid_prefixes[1]);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("clientid_prefixes \xff\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("clientid_prefixes\n").err);
    std::string many;
    for (int i = 0; i < 1001; i++) {
        many += "clientid_prefixes x\n";
    }
    EXPECT_EQ(MR_ERR_INVALID, ReadText(many).err);
}

// -------------------------------------------------------------------- the command line

TEST(ConfigOverrides, WithoutAFileTheDefaultsHold) {
    MemoryFiles none;
    Reading c = ReadFiles(&none, NoOverrides());
    ASSERT_EQ(MR_OK, c.err);
    EXPECT_TRUE(c->local_only);
}

TEST(ConfigOverrides, APortIsTheDefaultListeners) {
    mr_config_overrides overrides = NoOverrides();
    overrides.port = 2005;
    Reading local = ReadText("", overrides);
    EXPECT_TRUE(local->local_only);
    EXPECT_EQ(2005, local->listeners[0].port);
    EXPECT_EQ(2005, local->listeners[1].port);
    Reading changed = ReadText("bind_address 127.0.0.1\nport 2001\n", overrides);
    ASSERT_EQ(1u, changed->listener_count);
    EXPECT_EQ(2005, changed->listeners[0].port);
    Reading ignored = ReadText("allow_anonymous true\nlistener 2000\n", overrides);
    ASSERT_EQ(MR_OK, ignored.err);
    EXPECT_EQ(2000, ignored->listeners[0].port);
    ASSERT_EQ(1u, ignored.messages.size());
    EXPECT_EQ("command line: warning: -p 2005: is ignored, because c defines its listeners",
              ignored.messages[0]);
}

TEST(ConfigOverrides, TheCommandLineWins) {
    mr_config_overrides overrides = NoOverrides();
    overrides.verbose = true;
    overrides.io_backend = "epoll";
    overrides.workers = 3;
    Reading c = ReadText("log_type none\nio_backend auto\nworkers 1\n", overrides);
    ASSERT_EQ(MR_OK, c.err);
    EXPECT_EQ(uint32_t{MR_LOG_ALL}, c->log_types);
    EXPECT_STREQ("epoll", c->io_backend);
    EXPECT_EQ(3u, c->workers);
}

TEST(ConfigOverrides, AreCheckedAsAFileIs) {
    mr_config_overrides overrides = NoOverrides();
    overrides.io_backend = "epol";
    overrides.workers = 65;
    Reading c = ReadText("", overrides);
    EXPECT_EQ(MR_ERR_INVALID, c.err);
    EXPECT_EQ(
        "command line: error: --io: expected auto, epoll, io_uring, iocp or uv, not 'epol'\n"
        "command line: error: --workers: expected a whole number from 0 to 64, not '65'\n",
        c.AllMessages());
}

// --------------------------------------------------------------------- several files

TEST(ConfigInclude, ReadsAllFilesOfAFolderInTheirOrder) {
    MemoryFiles files;
    files.files["c"] =
        "allow_anonymous true\nlistener 2000\nmax_qos 1\ninclude_dir d d\nmax_qos 0\n";
    files.files["d d/1.conf"] = "max_inflight_messages 1\nmax_queued_messages 1\n";
    files.files["d d/2.conf"] = "max_inflight_messages 2\nlistener 2001\nmax_qos 1\n";
    files.folders["d d"] = {"1.conf", "2.conf"};
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "c";
    Reading c = ReadFiles(&files, overrides);
    ASSERT_EQ(MR_OK, c.err) << c.AllMessages();
    EXPECT_EQ(2, c->inflight_messages_max);
    EXPECT_EQ(1u, c->queued_messages_max);
    ASSERT_EQ(2u, c->listener_count);
    EXPECT_EQ(0, c->listeners[0].qos_max);  // The main file goes on with its own listener.
    EXPECT_EQ(1, c->listeners[1].qos_max);
}

TEST(ConfigInclude, AListenerDoesNotReachIntoAnotherFile) {
    MemoryFiles files;
    files.files["c"] = "allow_anonymous true\nlistener 2000\ninclude_dir d/\n";
    files.files["d/1.conf"] = "max_qos 1\n";
    files.folders["d/"] = {"1.conf"};
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "c";
    Reading c = ReadFiles(&files, overrides);
    ASSERT_EQ(MR_OK, c.err) << c.AllMessages();
    ASSERT_EQ(2u, c->listener_count);
    EXPECT_EQ(2, c->listeners[0].qos_max);
    EXPECT_EQ(1, c->listeners[1].qos_max);
    EXPECT_EQ(0u, c.messages.at(0).find("d/1.conf:1: warning: max_qos: stands before any"));
}

TEST(ConfigInclude, AnEmptyFolderIsFine) {
    MemoryFiles files;
    files.files["c"] = "include_dir d\n";
    files.folders["d"] = {};
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "c";
    EXPECT_EQ(MR_OK, ReadFiles(&files, overrides).err);
}

TEST(ConfigInclude, FilesCannotIncludeInACircle) {
    MemoryFiles files;
    files.files["d/c.conf"] = "include_dir d\n";
    files.files["d/e.conf"] = "include_dir .\n";
    files.folders["d"] = {"c.conf", "e.conf"};
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "d/c.conf";
    Reading c = ReadFiles(&files, overrides);
    EXPECT_EQ(MR_ERR_INVALID, c.err);
    EXPECT_EQ(
        "d/c.conf:1: error: include_dir: is allowed in the main file only\n"
        "d/e.conf:1: error: include_dir: is allowed in the main file only\n",
        c.AllMessages());
}

TEST(ConfigInclude, TheNumberOfFilesIsBounded) {
    MemoryFiles files;
    files.files["c"] = "include_dir d\n";
    files.files["d/x.conf"] = "";
    files.folders["d"] = std::vector<std::string>(999, "x.conf");
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "c";
    EXPECT_EQ(MR_OK, ReadFiles(&files, overrides).err);
    files.folders["d"].push_back("x.conf");
    Reading c = ReadFiles(&files, overrides);
    EXPECT_EQ(MR_ERR_INVALID, c.err);
    EXPECT_EQ("d/x.conf: error: more than 1000 files\n", c.AllMessages());
}

TEST(Config, FreeingNothingIsAllowed) {
    mr_config_free(nullptr);
}

}  // namespace
