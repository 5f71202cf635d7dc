// Password files and logins.
#include <fstream>
#include <sstream>

#include "broker/auth/internal.h"
#include "broker/auth/testing.hh"
#include "gtest/gtest.h"

namespace {

using millrace::Policy;
using millrace::Slice;

// Written by mosquitto_passwd 2.0.11: alice, bob and dave with PBKDF2, carol with -H sha512.
std::string Fixture() {
    std::ifstream file("broker/auth/testdata/mosquitto.passwd");
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_GT(text.str().size(), 400u);
    return text.str();
}

std::string LineOf(const std::string &user) {
    std::string text = Fixture();
    size_t begin = text.find(user + ":");
    return text.substr(begin, text.find('\n', begin) - begin);
}

TEST(Passwords, FilesOfMosquittoPasswdAreUnderstood) {
    std::string text = Fixture();
    Policy policy(&text, nullptr);
    ASSERT_EQ(MR_OK, policy.err) << policy.message;
    EXPECT_EQ(MR_AUTH_OK, policy.Login("alice", "secret"));
    EXPECT_EQ(MR_AUTH_OK, policy.Login("bob", "p:w $x"));
    EXPECT_EQ(MR_AUTH_OK, policy.Login("carol", "hunter2"));
    EXPECT_EQ(MR_AUTH_OK, policy.Login("dave", "d"));
}

TEST(Passwords, WrongOnesAreRefused) {
    std::string text = Fixture();
    Policy policy(&text, nullptr, true);
    for (const char *user :
         {"alice", "bob", "carol", "dave", "eve", "Alice", "alic", "alicee", ""}) {
        for (const std::string &password :
             {std::string("x"), std::string(), std::string("secret\0", 7), std::string("Secret"),
              std::string(70000, 's')}) {
            EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS, policy.Login(user, password)) << user;
        }
    }
}

// Of MQTT 5.0 and 3.1.1 alike: a user name without a password (RabbitMQ's CVE-2016-9877).
TEST(Passwords, AUserNameWithoutPasswordIsRefused) {
    std::string text = Fixture();
    Policy policy(&text, nullptr, true);
    mr_slice none = {};
    EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS,
              mr_auth_check_password(policy.get(), mr_slice_str("alice"), none));
    EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS,
              mr_auth_check_password(policy.get(), mr_slice_str("eve"), none));
}

TEST(Passwords, AnonymousClientsConnectIfAllowed) {
    std::string text = Fixture();
    mr_slice none = {};
    for (bool allowed : {false, true}) {
        mr_auth_result expected = allowed ? MR_AUTH_OK : MR_AUTH_NOT_AUTHORIZED;
        Policy with_file(&text, nullptr, allowed);
        Policy without(nullptr, nullptr, allowed);
        for (const Policy *policy : {&with_file, &without}) {
            EXPECT_EQ(expected, mr_auth_check_password(policy->get(), none, none));
            EXPECT_EQ(expected, mr_auth_check_password(policy->get(), none, mr_slice_str("x")));
        }
    }
}

TEST(Passwords, WithoutAFileAnyUserPassesWhereAnonymousClientsDo) {
    Policy open(nullptr, nullptr, true);
    EXPECT_EQ(MR_AUTH_OK, open.Login("anybody", "x"));
    EXPECT_FALSE(mr_auth_password_is_slow(open.get(), mr_slice_str("anybody")));
    Policy closed(nullptr, nullptr, false);
    EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS, closed.Login("anybody", "x"));
}

TEST(Passwords, AnEmptyFileKnowsNobody) {
    for (const std::string &text : {std::string(), std::string("\n \n# nobody\n")}) {
        Policy policy(&text, nullptr, true);
        ASSERT_EQ(MR_OK, policy.err);
        EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS, policy.Login("alice", "secret"));
        EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS, policy.Login("alice", ""));
        EXPECT_FALSE(mr_auth_password_is_slow(policy.get(), mr_slice_str("alice")));
    }
}

TEST(Passwords, OnlyThoseWithAUserNameAreSlow) {
    std::string text = Fixture();
    Policy policy(&text, nullptr);
    mr_slice none = {};
    EXPECT_TRUE(mr_auth_password_is_slow(policy.get(), mr_slice_str("alice")));
    EXPECT_TRUE(mr_auth_password_is_slow(policy.get(), mr_slice_str("nobody")));
    EXPECT_FALSE(mr_auth_password_is_slow(policy.get(), none));
}

TEST(Passwords, CommentsBlanksLineEndsAndAMarkAreSkipped) {
    std::string text = "\xef\xbb\xbf# users\r\n\r\n  # more\r\n  " + LineOf("alice") +
                       "  \r\n\t\n" + LineOf("carol");
    Policy policy(&text, nullptr);
    ASSERT_EQ(MR_OK, policy.err) << policy.message;
    EXPECT_EQ(MR_AUTH_OK, policy.Login("alice", "secret"));
    EXPECT_EQ(MR_AUTH_OK, policy.Login("carol", "hunter2"));
}

TEST(Passwords, UserNamesMayHaveBlanksAndUtf8) {
    std::string line = LineOf("alice");
    std::string text = "J\xc3\xbcrgen von A" + line.substr(line.find(':')) + "\n";
    Policy policy(&text, nullptr);
    EXPECT_EQ(MR_AUTH_OK, policy.Login("J\xc3\xbcrgen von A", "secret"));
}

TEST(Passwords, OnlyThoseInTheFileStayAfterAReload) {
    std::string text = Fixture();
    mr_slice none = {};
    Policy with_file(&text, nullptr, false);
    EXPECT_TRUE(mr_auth_knows(with_file.get(), mr_slice_str("alice")));
    EXPECT_FALSE(mr_auth_knows(with_file.get(), mr_slice_str("eve")));
    EXPECT_FALSE(mr_auth_knows(with_file.get(), none));
    std::string empty;
    Policy nobody(&empty, nullptr, true);
    EXPECT_FALSE(mr_auth_knows(nobody.get(), mr_slice_str("alice")));
    EXPECT_TRUE(mr_auth_knows(nobody.get(), none));
    Policy open(nullptr, nullptr, true);
    EXPECT_TRUE(mr_auth_knows(open.get(), mr_slice_str("alice")));
}

// ------------------------------------------------------------------ malformed files

// What a file with `line` in its second line leaves.
std::string Complaint(const std::string &line) {
    std::string text = "# first\n" + line + "\n";
    Policy policy(&text, nullptr, true);
    EXPECT_EQ(MR_ERR_INVALID, policy.err) << line;
    EXPECT_EQ(nullptr, policy.get());
    EXPECT_EQ(0u, policy.message.find("passwords:2: ")) << policy.message;
    return policy.message;
}

// CVE-2018-12551: a malformed line became a user without password.
TEST(Passwords, AMalformedLineNeverBecomesAnEmptyPassword) {
    Complaint("alice");
    Complaint("alice:");
    Complaint("alice: ");
    Complaint(":");
    Complaint(":secret");
    Complaint("  :secret");
    Complaint("alice:$");
    Complaint("alice:$7");
    Complaint("alice:$7$");
    Complaint("alice:$7$101");
    Complaint("alice:$7$101$");
    Complaint("alice:$7$101$$");
    Complaint("alice:$6$$");
    Complaint("alice:$8$a$b");
    Complaint("alice:$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA");
    Complaint(std::string("alice:\0", 7));
    Complaint(std::string("\0", 1));
}

TEST(Passwords, EveryPrefixOfALineIsRefused) {
    for (const char *user : {"alice", "carol"}) {
        std::string line = LineOf(user);
        for (size_t len = 1; len < line.size(); len++) {
            Complaint(line.substr(0, len));
        }
    }
}

TEST(Passwords, EveryChangedByteIsRefusedOrAnotherPassword) {
    std::string line = LineOf("alice");
    std::string password = "secret";
    for (size_t i = line.find(':') + 1; i < line.size(); i++) {
        for (char byte : {'A', 'b', '$', '=', '\x01', '\xff', ' ', ':'}) {
            std::string text = line;
            if (text[i] == byte) {
                continue;
            }
            text[i] = byte;
            Policy policy(&text, nullptr);
            if (policy.err == MR_OK) {
                EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS, policy.Login("alice", password)) << text;
            }
        }
    }
}

TEST(Passwords, PlainTextIsRefusedWithAdviceAndNotRepeated) {
    std::string message = Complaint("alice:secret123");
    EXPECT_NE(std::string::npos, message.find("mosquitto_passwd -U")) << message;
    EXPECT_NE(std::string::npos, message.find("alice")) << message;
    EXPECT_EQ(std::string::npos, message.find("secret123")) << message;
}

TEST(Passwords, IterationsHaveARange) {
    std::string line = LineOf("alice");
    std::string begin = "alice:$7$";
    std::string end = line.substr(line.find('$', begin.size()));
    for (const char *bad : {"0", "-1", "10000001", "99999999999999999999", "1x", "", " 1", "+1"}) {
        Complaint(begin + bad + end);
    }
    std::string text = begin + "1" + end;
    EXPECT_EQ(MR_OK, Policy(&text, nullptr).err);
}

TEST(Passwords, Base64IsStrict) {
    std::string hash = LineOf("alice");
    hash = hash.substr(hash.rfind('$') + 1);
    auto with_salt = [&](const std::string &salt) { return "a:$7$1$" + salt + "$" + hash; };
    for (const char *bad : {"A", "AA", "AAA", "A===", "====", "AA=A", "AAAA=", "AA==AAAA",
                            "AB==", "AAB=", "AA A", "AA-_", "AA\tA"}) {
        Complaint(with_salt(bad));
    }
    for (const char *good : {"AAAA", "AA==", "AAA=", "AQ==", "AAE=", "+/+/"}) {
        std::string text = with_salt(good);
        EXPECT_EQ(MR_OK, Policy(&text, nullptr).err) << good;
    }
    // 64 bytes of salt are the most, 64 of hash are needed.
    std::string longest = with_salt(hash);
    EXPECT_EQ(MR_OK, Policy(&longest, nullptr).err);
    Complaint(with_salt("AAAA" + hash));
    Complaint("a:$6$AAAA$AAAA");
    Complaint("a:$6$AAAA$AAAA" + hash);
}

TEST(Passwords, AUserTwiceIsRefused) {
    std::string text = Fixture() + LineOf("alice") + "\n";
    Policy policy(&text, nullptr);
    EXPECT_EQ(MR_ERR_INVALID, policy.err);
    EXPECT_NE(std::string::npos, policy.message.find("'alice' is there twice"));
}

TEST(Passwords, MessagesShowNoControlCharacters) {
    EXPECT_EQ(
        "passwords:2: the password of user 'a?[2J' isn't hashed; hash the file with "
        "mosquitto_passwd -U",
        Complaint("a\x1b[2J:x"));
}

TEST(Passwords, ManyUsersAreFoundByHash) {
    std::string line = LineOf("carol");
    std::string hash = line.substr(line.find(':'));
    std::string text;
    for (int i = 0; i < 20000; i++) {
        text += "user" + std::to_string(i) + hash + "\n";
    }
    Policy policy(&text, nullptr);
    ASSERT_EQ(MR_OK, policy.err) << policy.message;
    for (int i = 0; i < 20000; i += 997) {
        EXPECT_EQ(MR_AUTH_OK, policy.Login("user" + std::to_string(i), "hunter2"));
    }
    EXPECT_EQ(MR_AUTH_BAD_CREDENTIALS, policy.Login("user20000", "hunter2"));
}

// ----------------------------------------------------------------------- the table

TEST(NameTable, FindsAllAndNothingElse) {
    std::vector<std::string> texts;
    for (int i = 0; i < 1000; i++) {
        texts.push_back(std::to_string(i * 7));
    }
    texts.push_back("");
    std::vector<mr_slice> names;
    for (const std::string &text : texts) {
        names.push_back(Slice(text));
    }
    mr_name_table table;
    uint32_t equal;
    ASSERT_EQ(MR_OK, mr_name_table_init(&table, names.data(), names.size(), &equal));
    EXPECT_EQ(MR_NAME_NONE, equal);
    for (uint32_t i = 0; i < names.size(); i++) {
        EXPECT_EQ(i, mr_name_table_find(&table, names[i]));
    }
    EXPECT_EQ(MR_NAME_NONE, mr_name_table_find(&table, mr_slice_str("8")));
    mr_name_table_fini(&table);
}

TEST(NameTable, OfEqualNamesTheFirstIsFound) {
    mr_slice names[] = {mr_slice_str("a"), mr_slice_str("b"), mr_slice_str("a")};
    mr_name_table table;
    uint32_t equal;
    ASSERT_EQ(MR_OK, mr_name_table_init(&table, names, 3, &equal));
    EXPECT_EQ(2u, equal);
    EXPECT_EQ(0u, mr_name_table_find(&table, mr_slice_str("a")));
    mr_name_table_fini(&table);
}

TEST(NameTable, MayBeEmpty) {
    mr_name_table table;
    uint32_t equal;
    ASSERT_EQ(MR_OK, mr_name_table_init(&table, nullptr, 0, &equal));
    EXPECT_EQ(MR_NAME_NONE, mr_name_table_find(&table, mr_slice_str("a")));
    mr_name_table_fini(&table);
}

}  // namespace
