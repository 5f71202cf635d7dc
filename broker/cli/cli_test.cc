#include "broker/cli/cli.h"

#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace {

struct Parsed {
    mr_err err;
    mr_cli cli;
    std::string message;
    std::vector<std::string> words;  // The texts of `cli` point into them.
};

Parsed Parse(std::initializer_list<const char *> arguments) {
    Parsed parsed = {};
    parsed.words.emplace_back("millrace");
    parsed.words.insert(parsed.words.end(), arguments.begin(), arguments.end());
    std::vector<char *> argv;
    for (std::string &word : parsed.words) {
        argv.push_back(&word[0]);
    }
    argv.push_back(nullptr);
    char message[MR_CLI_MESSAGE_BYTES];
    parsed.err = mr_cli_parse(&parsed.cli, message, static_cast<int>(argv.size() - 1), argv.data());
    parsed.message = message;
    return parsed;
}

mr_cli Good(std::initializer_list<const char *> arguments) {
    static Parsed parsed;
    parsed = Parse(arguments);
    EXPECT_EQ(MR_OK, parsed.err) << parsed.message;
    EXPECT_EQ("", parsed.message);
    return parsed.cli;
}

std::string Complaint(std::initializer_list<const char *> arguments) {
    Parsed parsed = Parse(arguments);
    EXPECT_EQ(MR_ERR_INVALID, parsed.err);
    return parsed.message;
}

TEST(Cli, WithoutArgumentsItRuns) {
    mr_cli cli = Good({});
    EXPECT_EQ(MR_CLI_RUN, cli.action);
    EXPECT_FALSE(cli.daemon);
    EXPECT_EQ(nullptr, cli.overrides.path);
    EXPECT_EQ(0, cli.overrides.port);
    EXPECT_FALSE(cli.overrides.verbose);
    EXPECT_EQ(nullptr, cli.overrides.io_backend);
    EXPECT_EQ(-1, cli.overrides.workers);
}

TEST(Cli, MosquittosOptionsAreUnderstood) {
    mr_cli cli = Good({"-c", "my file.conf", "-d", "-p", "1884", "-v"});
    EXPECT_EQ(MR_CLI_RUN, cli.action);
    EXPECT_TRUE(cli.daemon);
    EXPECT_STREQ("my file.conf", cli.overrides.path);
    EXPECT_EQ(1884, cli.overrides.port);
    EXPECT_TRUE(cli.overrides.verbose);
    cli = Good({"--config-file", "x", "--daemon", "--port", "65535", "--verbose", "--test-config"});
    EXPECT_EQ(MR_CLI_TEST_CONFIG, cli.action);
    EXPECT_TRUE(cli.daemon);
    EXPECT_STREQ("x", cli.overrides.path);
    EXPECT_EQ(65535, cli.overrides.port);
    EXPECT_EQ(MR_CLI_HELP, Good({"-h"}).action);
    EXPECT_EQ(MR_CLI_HELP, Good({"--help"}).action);
    EXPECT_EQ(MR_CLI_VERSION, Good({"--version"}).action);
}

TEST(Cli, OurOwnOptionsAreUnderstood) {
    mr_cli cli = Good({"--io", "epoll", "--workers", "0", "--print-config"});
    EXPECT_STREQ("epoll", cli.overrides.io_backend);
    EXPECT_EQ(0, cli.overrides.workers);
    EXPECT_EQ(MR_CLI_PRINT_CONFIG, cli.action);
    EXPECT_EQ(64, Good({"--workers=64"}).overrides.workers);
}

TEST(Cli, ValuesMayStandInTheSameWord) {
    mr_cli cli = Good({"-cfile", "-dvp1884"});
    EXPECT_STREQ("file", cli.overrides.path);
    EXPECT_TRUE(cli.daemon);
    EXPECT_TRUE(cli.overrides.verbose);
    EXPECT_EQ(1884, cli.overrides.port);
    cli = Good({"--config-file=a=b", "--port=1", "-vc", "-d"});
    EXPECT_STREQ("-d", cli.overrides.path);
    EXPECT_EQ(1, cli.overrides.port);
    EXPECT_STREQ("", Good({"--config-file="}).overrides.path);
}

TEST(Cli, HelpAndVersionWinOverWhatFollows) {
    EXPECT_EQ(MR_CLI_HELP, Good({"-h", "--bogus"}).action);
    EXPECT_EQ(MR_CLI_VERSION, Good({"-v", "--version", "-p", "x"}).action);
}

TEST(Cli, UnknownOptionsLeadToTheNearest) {
    EXPECT_EQ("unknown option '--verbos'; did you mean --verbose?", Complaint({"--verbos"}));
    EXPECT_EQ("unknown option '--config=x'; see --help", Complaint({"--config=x"}));
    EXPECT_EQ("unknown option '--prot=1'; did you mean --port?", Complaint({"--prot=1"}));
    EXPECT_EQ("unknown option '--something'; see --help", Complaint({"--something"}));
    EXPECT_EQ("unknown option '--'; see --help", Complaint({"--"}));
    EXPECT_EQ("unknown option '-x' in '-x'; see --help", Complaint({"-x"}));
    EXPECT_EQ("unknown option '-x' in '-dx'; see --help", Complaint({"-dx"}));
    EXPECT_EQ("'my.conf' isn't an option; a configuration file is given with -c",
              Complaint({"my.conf"}));
    EXPECT_EQ("'-' isn't an option; a configuration file is given with -c", Complaint({"-"}));
    EXPECT_EQ("'' isn't an option; a configuration file is given with -c", Complaint({""}));
}

TEST(Cli, WrongValuesAreNamed) {
    EXPECT_EQ("-c needs a file name behind it", Complaint({"-c"}));
    EXPECT_EQ("--port needs a port behind it", Complaint({"-v", "--port"}));
    EXPECT_EQ("-vp needs a port behind it", Complaint({"-vp"}));
    for (const char *port : {"0", "65536", "-1", "x", "1x", "", " 1", "99999999999999999999"}) {
        EXPECT_EQ(
            std::string("--port: expected a whole number from 1 to 65535, not '") + port + "'",
            Complaint({"-p", port}));
    }
    EXPECT_EQ("--workers: expected a whole number from 0 to 64, not '65'",
              Complaint({"--workers", "65"}));
    EXPECT_EQ("--daemon takes no value, but was given 'yes'", Complaint({"--daemon=yes"}));
    EXPECT_EQ("--quiet isn't supported: write \"log_type none\" into the configuration file",
              Complaint({"-q"}));
    EXPECT_EQ("--tls-keylog isn't supported: TLS isn't supported yet",
              Complaint({"--tls-keylog", "f"}));
}

TEST(Cli, LongWordsAreCutInMessages) {
    std::string word = "--" + std::string(10000, 'x');
    EXPECT_EQ(size_t{MR_CLI_MESSAGE_BYTES - 1}, Complaint({word.c_str()}).size());
}

TEST(Cli, NothingIsWrittenOnFailure) {
    mr_cli cli;
    std::memset(&cli, 0x55, sizeof(cli));
    mr_cli before = cli;
    char program[] = "millrace";
    char option[] = "-p";
    char *argv[] = {program, option, nullptr};
    char message[MR_CLI_MESSAGE_BYTES];
    EXPECT_EQ(MR_ERR_INVALID, mr_cli_parse(&cli, message, 2, argv));
    EXPECT_EQ(0, std::memcmp(&before, &cli, sizeof(cli)));
    // A program may have no name at all.
    EXPECT_EQ(MR_OK, mr_cli_parse(&cli, message, 0, argv + 2));
}

TEST(Cli, HelpNamesEveryOption) {
    std::string help = mr_cli_help();
    for (const char *option :
         {"-c,", "--config-file", "-d,", "--daemon", "-h,", "--help", "-p,", "--port", "-v,",
          "--verbose", "--version", "--test-config", "--print-config", "--io", "--workers"}) {
        EXPECT_NE(std::string::npos, help.find(option)) << option;
    }
    for (size_t begin = 0, end; (end = help.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
        EXPECT_LE(end - begin, 80u);
    }
}

}  // namespace
