// Memory that runs out while a server starts or stops ends neither in a leak nor in an abort. Leaks
// are found by the address sanitizer's build.
#include "broker/config/testing.hh"
#include "broker/server/server.h"
#include "gtest/gtest.h"
#include "io/epoll/epoll.h"
#include "tests/support/failing_malloc.hh"

namespace {

using millrace::AllocationsFailFrom;
using millrace::AllocationsSucceed;
using millrace::ForEachFailingAllocation;
using millrace::MemoryFiles;
using millrace::NoOverrides;

constexpr uint32_t kWorkers = 2;

class ServerNoMemory : public testing::Test {
 protected:
    void SetUp() override {
        MemoryFiles files;
        files.files["c"] = "listener 1 127.0.0.1\nallow_anonymous true\ntopic_cache_bytes 64K\n";
        mr_config_overrides overrides = NoOverrides();
        overrides.path = "c";
        mr_config_reader reader = files.Reader();
        mr_config_messages messages;
        ASSERT_EQ(mr_config_read(&config_, &messages, &reader, &overrides), MR_OK);
        mr_config_messages_fini(&messages);
        config_->listeners[0].port = 0;  // Any that is free.
        policies_ = mr_policy_set_new(1);
        mr_auth_source source = {};
        source.allow_anonymous = true;
        char *message;
        ASSERT_EQ(mr_auth_policy_new(&policies_->policies[0], &source, &message), MR_OK);
        options_.config = config_;
        options_.backend = &mr_io_epoll;
        options_.worker_count = kWorkers;
        options_.version = "test";
        options_.policies = policies_;
    }

    void TearDown() override {
        mr_policy_set_unref(policies_);
        mr_config_free(config_);
    }

    mr_err Make(mr_server **out) {
        uint32_t listener;
        int os_error;
        mr_err err = mr_server_new(out, &options_);
        return err == MR_OK ? mr_server_listen(*out, &listener, &os_error) : err;
    }

    mr_config *config_ = nullptr;
    mr_policy_set *policies_ = nullptr;
    mr_server_options options_ = {};
};

TEST_F(ServerNoMemory, MakingFailsCleanly) {
    EXPECT_GT(ForEachFailingAllocation([&] {
                  mr_server *server = nullptr;
                  mr_err err = Make(&server);
                  bool ran_out = AllocationsSucceed();
                  EXPECT_EQ(err, ran_out ? MR_ERR_NOMEM : MR_OK);
                  mr_server_free(server);
                  return ran_out;
              }),
              20u);
}

TEST_F(ServerNoMemory, StoppingNeedsNone) {
    mr_server *server = nullptr;
    ASSERT_EQ(Make(&server), MR_OK);
    ASSERT_EQ(mr_server_start(server), MR_OK);
    AllocationsFailFrom(0);
    mr_server_stop(server);
    AllocationsSucceed();
    mr_server_free(server);
}

}  // namespace
