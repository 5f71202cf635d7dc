// Memory that runs out at any point leaves no leak and no half configuration. Leaks are
// found by the address sanitizer's build.
#include "broker/config/testing.hh"
#include "gtest/gtest.h"
#include "tests/support/failing_malloc.hh"

namespace {

using millrace::AllocationsSucceed;
using millrace::ForEachFailingAllocation;
using millrace::MemoryFiles;
using millrace::NoOverrides;

size_t ReadWithLittleMemory(MemoryFiles *files, mr_err expected) {
    mr_config_overrides overrides = NoOverrides();
    overrides.path = "c";
    mr_config_reader reader = files->Reader();
    return ForEachFailingAllocation([&] {
        mr_config *config = nullptr;
        mr_config_messages messages;
        mr_err err = mr_config_read(&config, &messages, &reader, &overrides);
        bool ran_out = AllocationsSucceed();
        EXPECT_EQ(ran_out ? MR_ERR_NOMEM : expected, err);
        EXPECT_EQ(err == MR_OK, config != nullptr);
        mr_config_messages_fini(&messages);
        mr_config_free(config);
        return ran_out;
    });
}

TEST(ConfigNoMemory, ReadingFailsCleanly) {
    MemoryFiles files;
    files.files["c"] =
        "per_listener_settings true\nlistener 1\npassword_file p\nacl_file a\nlistener 2 h\n"
        "listener 0 /s\nlistener 3\nlistener 4\nclientid_prefixes a\nclientid_prefixes b\n"
        "log_dest file f\nmount_point m\ninclude_dir d\npid_file # x\n";
    files.files["d/x.conf"] = "max_qos 1\nuser me\n";
    files.folders["d"] = {"x.conf"};
    EXPECT_GT(ReadWithLittleMemory(&files, MR_OK), 20u);
}

TEST(ConfigNoMemory, ComplainingFailsCleanly) {
    MemoryFiles files;
    files.files["c"] = "bogus\nmax_qos 7\npersistence true\nlistener 0\ninclude_dir e\n";
    EXPECT_GT(ReadWithLittleMemory(&files, MR_ERR_INVALID), 10u);
}

TEST(ConfigNoMemory, PrintingFailsCleanly) {
    millrace::Reading c = millrace::ReadText("listener 1\nuser me\n");
    ASSERT_EQ(MR_OK, c.err);
    size_t runs = ForEachFailingAllocation([&] {
        char *text = mr_config_print(c.config.get());
        bool ran_out = AllocationsSucceed();
        EXPECT_EQ(ran_out, text == nullptr);
        std::free(text);
        return ran_out;
    });
    EXPECT_GT(runs, 3u);
}

}  // namespace
