// What the messages say, and that hostile files do no harm.
#include "broker/config/directive.h"
#include "broker/config/testing.hh"
#include "gtest/gtest.h"

namespace {

using millrace::MemoryFiles;
using millrace::NoOverrides;
using millrace::ReadFiles;
using millrace::Reading;
using millrace::ReadText;

// The one message of a file with one error.
std::string Complaint(const std::string &text) {
    Reading c = ReadText(text);
    EXPECT_EQ(MR_ERR_INVALID, c.err) << text;
    EXPECT_EQ(nullptr, c.config) << text;
    EXPECT_EQ(1u, c.error_count) << text;
    EXPECT_EQ(1u, c.messages.size()) << c.AllMessages();
    return c.messages.empty() ? "" : c.messages[0];
}

TEST(ConfigErrors, NameFileLineValueAndWhatWasExpected) {
    EXPECT_EQ("c:2: error: max_qos: expected a whole number from 0 to 2, not '7'",
              Complaint("listener 1\nmax_qos 7\n"));
    EXPECT_EQ(
        "c:1: error: max_inflight_messages: expected a whole number from 0 to 65535, not "
        "'70000'",
        Complaint("max_inflight_messages 70000\n"));
    EXPECT_EQ("c:1: error: max_queued_messages: expected a whole number, not 'many'",
              Complaint("max_queued_messages many\n"));
    EXPECT_EQ(
        "c:1: error: outbox_bytes: expected a number of bytes from 4096 to 1073741824; K, M "
        "or G may follow, not '1K'",
        Complaint("outbox_bytes 1K\n"));
    EXPECT_EQ("c:1: error: retain_available: expected true or false, not 'yes'",
              Complaint("retain_available yes\n"));
    EXPECT_EQ("c:1: error: retain_available: expected true or false, but there is no value",
              Complaint("retain_available\n"));
    EXPECT_EQ(
        "c:1: error: persistent_client_expiration: expected a whole number followed by s, h, "
        "d, w, m or y, such as 2w, not '14'",
        Complaint("persistent_client_expiration 14\n"));
    EXPECT_EQ(
        "c:1: error: slow_consumer_policy: expected drop-newest, drop-oldest, disconnect or "
        "backpressure, not 'disconect'; did you mean disconnect?",
        Complaint("slow_consumer_policy disconect\n"));
    EXPECT_EQ("c:1: error: port: expected a whole number from 1 to 65535, not '0'",
              Complaint("port 0\n"));
    EXPECT_EQ("c:1: error: listener: port 0 needs the path of a unix socket behind it",
              Complaint("listener 0\n"));
    EXPECT_EQ(
        "c:1: error: listener: '/tmp/s' isn't an address or host name; a unix socket has port "
        "0: listener 0 /tmp/s",
        Complaint("listener 1883 /tmp/s\n"));
    EXPECT_EQ("c:1: error: password_file: expected a file name, but there is no value",
              Complaint("password_file\n"));
    EXPECT_EQ("c:2: error: password_file: given a second time",
              Complaint("password_file a\npassword_file b\n"));
    EXPECT_EQ(
        "c:2: error: mount_point: expected the beginning of a topic name, without + and #, "
        "not 'a/#'",
        Complaint("listener 1\nmount_point a/#\n"));
    EXPECT_EQ(
        "c:1: error: auto_id_prefix: expected a text of at most 50 bytes of UTF-8, not "
        "'123456789012345678901234567890123456789012345678901'",
        Complaint("auto_id_prefix 123456789012345678901234567890123456789012345678901\n"));
    EXPECT_EQ(
        "c:1: error: log_type: expected debug, error, warning, notice, information, "
        "subscribe, unsubscribe, internal, all or none, not 'websockets'",
        Complaint("log_type websockets\n"));
    EXPECT_EQ(
        "c:1: error: log_dest: expected stdout, stderr, syslog, topic, none, or file and a "
        "file name, not 'dlt'",
        Complaint("log_dest dlt\n"));
    EXPECT_EQ("c:1: error: log_dest file: expected a file name of at most 4095 bytes",
              Complaint("log_dest file\n"));
    EXPECT_EQ("c:2: error: log_dest file: given a second time",
              Complaint("log_dest file a\nlog_dest file b\n"));
    EXPECT_EQ("c:1: error: include_dir: the folder 'nowhere' can't be read: not found",
              Complaint("include_dir nowhere\n"));
    EXPECT_EQ("c:1: error: sys_interval: '6' is too much behind the value",
              Complaint("sys_interval 5 6\n"));
    EXPECT_EQ("c: error: listener: port 1 of all addresses is there twice",
              Complaint("listener 1\nlistener 1\n"));
}

TEST(ConfigErrors, UnknownWordsLeadToTheNearest) {
    EXPECT_EQ("c:1: error: 'allow_anonymos' isn't a directive; did you mean allow_anonymous?",
              Complaint("allow_anonymos true\n"));
    EXPECT_EQ("c:1: error: 'Listener' isn't a directive; did you mean listener?",
              Complaint("Listener 1883\n"));
    EXPECT_EQ("c:1: error: 'max-qos' isn't a directive; did you mean max_qos?",
              Complaint("max-qos 1\n"));
    EXPECT_EQ("c:1: error: 'certfil' isn't a directive; did you mean certfile?",
              Complaint("certfil x\n"));
    EXPECT_EQ("c:1: error: 'entirely_else' isn't a directive", Complaint("entirely_else x\n"));
    EXPECT_EQ("c:1: error: 'listener=1883' isn't a directive", Complaint("listener=1883\n"));
}

TEST(ConfigErrors, AllAreCollected) {
    Reading c = ReadText("max_qos 9\nbogus\nlistener 1\nport x\nlistener\n");
    EXPECT_EQ(MR_ERR_INVALID, c.err);
    EXPECT_EQ(4u, c.error_count);
    EXPECT_NE(std::string::npos, c.AllMessages().find("c:1: error: max_qos"));
    EXPECT_NE(std::string::npos, c.AllMessages().find("c:2: error: 'bogus'"));
    EXPECT_NE(std::string::npos, c.AllMessages().find("c:4: error: port"));
    EXPECT_NE(std::string::npos, c.AllMessages().find("c:5: error: listener"));
}

TEST(ConfigErrors, WhatMosquittoKnowsIsRefusedByNameWithAdvice) {
    for (size_t i = 0; i < mr_unsupported_count; i++) {
        std::string name = mr_unsupported[i].name;
        if (name.back() == '*') {
            name.back() = 'x';
        }
        std::string message = Complaint(name + " something\n");
        EXPECT_EQ(0u, message.find("c:1: error: " + name + " is Mosquitto's, but ")) << message;
        EXPECT_NE(std::string::npos, message.find(mr_unsupported[i].advice)) << message;
    }
    EXPECT_NE(std::string::npos, Complaint("auth_opt_db_host x\n").find("plugins"));
    // Only what begins so and goes on is meant.
    EXPECT_EQ("c:1: error: 'auth_opt_' isn't a directive; did you mean auth_opt_*?",
              Complaint("auth_opt_ x\n"));
}

TEST(ConfigErrors, WhatIsNotWantedNeedsNoSupport) {
    for (size_t i = 0; i < mr_unsupported_count; i++) {
        if (mr_unsupported[i].harmless != nullptr) {
            std::string line =
                std::string(mr_unsupported[i].name) + " " + mr_unsupported[i].harmless;
            EXPECT_EQ(MR_OK, ReadText(line + "\n").err) << line;
        }
    }
    EXPECT_EQ(MR_OK, ReadText("persistence false\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("persistence true\n").err);
    EXPECT_EQ(MR_ERR_INVALID, ReadText("persistence\n").err);
}

TEST(ConfigErrors, WebSocketsAreRefusedWithAdvice) {
    EXPECT_NE(std::string::npos,
              Complaint("listener 1\nprotocol websockets\n").find("put a proxy"));
    EXPECT_EQ("c:2: error: protocol: expected mqtt, not 'mqttsn'",
              Complaint("listener 1\nprotocol mqttsn\n"));
}

TEST(ConfigErrors, DirectivesWithoutEffectAreWarnedOf) {
    Reading c = ReadText("allow_duplicate_messages true\nretry_interval 20\n");
    EXPECT_EQ(MR_OK, c.err);
    ASSERT_EQ(2u, c.messages.size());
    EXPECT_EQ(0u, c.messages[0].find("c:1: warning: allow_duplicate_messages: has no effect"));
}

TEST(ConfigErrors, LargerPacketsThanTheStandardHasAreLowered) {
    Reading c = ReadText("max_packet_size 300000000\n");
    ASSERT_EQ(MR_OK, c.err);
    EXPECT_EQ(268435460u, c->packet_bytes_max);
    EXPECT_EQ(0u,
              c.messages.at(0).find("c:1: warning: max_packet_size: more than 268435460 isn't"));
}

TEST(ConfigErrors, AMissingFileIsNamed) {
    MemoryFiles none;
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "missing.conf";
    Reading c = ReadFiles(&none, overrides);
    EXPECT_EQ(MR_ERR_INVALID, c.err);
    EXPECT_EQ("missing.conf: error: can't be read: not found\n", c.AllMessages());
}

TEST(ConfigErrors, AFileMissingInAFolderIsNamed) {
    MemoryFiles files;
    files.files["c"] = "include_dir d\n";
    files.folders["d"] = {"x.conf"};
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "c";
    EXPECT_EQ("d/x.conf: error: can't be read: not found\n",
              ReadFiles(&files, overrides).AllMessages());
}

// ------------------------------------------------------------------- hostile files

TEST(ConfigHostile, NulBytesAreRefused) {
    EXPECT_EQ("c:1: error: the line contains a NUL byte", Complaint(std::string("user a\0b\n", 9)));
    EXPECT_EQ("c:1: error: the line contains a NUL byte",
              Complaint(std::string("max_\0qos 1\n", 11)));
    EXPECT_EQ("c:1: error: the line contains a NUL byte", Complaint(std::string("\0", 1)));
    // In a comment it does no harm.
    EXPECT_EQ(MR_OK, ReadText(std::string("# a\0b\n", 6)).err);
}

TEST(ConfigHostile, ALineOfTenMegabytesIsOneError) {
    std::string line(10 << 20, 'x');
    EXPECT_EQ("c:1: error: the line is longer than 70000 bytes", Complaint(line));
    EXPECT_EQ("c:1: error: the line is longer than 70000 bytes",
              Complaint("user " + line + "\nuser me\n"));
    EXPECT_EQ("c:1: error: the line is longer than 70000 bytes",
              Complaint("#" + std::string(10 << 20, ' ')));
}

TEST(ConfigHostile, MessagesShowNoControlCharactersAndAreShort) {
    EXPECT_EQ("c:1: error: '\\x1b[2Jx' isn't a directive", Complaint("\x1b[2Jx y\n"));
    EXPECT_EQ("c:1: error: retain_available: expected true or false, not '\\x7f'",
              Complaint("retain_available \x7f\n"));
    std::string message = Complaint("user_" + std::string(60000, 'y') + " x\n");
    EXPECT_LT(message.size(), 200u);
    EXPECT_NE(std::string::npos, message.find("...' isn't a directive"));
}

TEST(ConfigHostile, AFileFullOfErrorsLeavesABoundedList) {
    std::string text;
    for (int i = 0; i < 100000; i++) {
        text += "nonsense\n";
    }
    Reading c = ReadText(text);
    EXPECT_EQ(MR_ERR_INVALID, c.err);
    EXPECT_EQ(100000u, c.error_count);
    EXPECT_EQ(101u, c.messages.size());
    EXPECT_EQ("too many messages: the rest is left out", c.messages.back());
}

TEST(ConfigHostile, EveryPrefixOfAFileIsHandled) {
    std::string text =
        "\xef\xbb\xbf# x\r\nper_listener_settings true\nlistener 0 /a b # c\npassword_file p\n"
        "log_dest file x\nlog_type all\nmax_qos 1\nclientid_prefixes \xc3\xa4\n"
        "persistent_client_expiration 12w\nmemory_limit 12M\nmount_point x/y\n";
    for (size_t len = 0; len <= text.size(); len++) {
        Reading c = ReadText(text.substr(0, len));
        EXPECT_EQ(c.err == MR_OK, c.config != nullptr);
        EXPECT_EQ(c.err == MR_ERR_INVALID, c.error_count > 0);
    }
}

TEST(ConfigHostile, ALongPathIsCutInMessages) {
    MemoryFiles files;
    std::string path(5000, 'p');
    files.files[path] = "bogus_thing\n";
    mr_config_overrides overrides = NoOverrides();
    overrides.path = path.c_str();
    Reading c = ReadFiles(&files, overrides);
    EXPECT_NE(std::string::npos, c.messages.at(0).find("...:1: error: 'bogus_thing'"));
}

}  // namespace
