// Files, places to log to, the process and requests, with the real system: Windows.
#include <windows.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "broker/cli/process.h"
#include "broker/cli/requests.h"
#include "broker/cli/service_windows.h"

namespace {

namespace fs = std::filesystem;

// A folder that goes away with all that is in it. Its name is no plain one on purpose.
class Folder {
 public:
    Folder() {
        static int number;
        const char *base = std::getenv("TEMP");
        path = fs::path(base == nullptr ? "C:\\" : base) /
               fs::u8path("m\xc3\xbcller " + std::to_string(GetCurrentProcessId()) + "-" +
                          std::to_string(number++));
        fs::create_directories(path);
    }
    ~Folder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;

    std::string Name(const std::string &name) const {
        return (path / fs::u8path(name)).u8string();
    }
    std::string File(const std::string &name, const std::string &text) const {
        std::ofstream(path / fs::u8path(name), std::ios::binary) << text;
        return Name(name);
    }
    std::string Contents(const std::string &name) const {
        std::ifstream file(path / fs::u8path(name), std::ios::binary);
        std::stringstream text;
        text << file.rdbuf();
        return text.str();
    }

    fs::path path;
};

// ---------------------------------------------------------------------------- files

TEST(Files, AreReadAsTheyAre) {
    Folder folder;
    for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{100000}}) {
        std::string text(size, 'x');
        if (size > 10) {
            text[4] = '\r';
            text[5] = '\n';
            text[6] = '\x1a';  // Ctrl-Z ends no file here.
            text[7] = '\0';
        }
        std::string path = folder.File("\xd0\xb6" + std::to_string(size), text);
        char *read = nullptr;
        size_t len = 99;
        ASSERT_EQ(MR_OK, mr_file_read(path.c_str(), &read, &len));
        EXPECT_EQ(text, std::string(read, len));
        EXPECT_EQ('\0', read[len]);
        std::free(read);
    }
}

TEST(Files, SlashesAndBackslashesMeanTheSame) {
    Folder folder;
    std::string path = folder.File("f", "text");
    for (char &c : path) {
        c = c == '\\' ? '/' : c;
    }
    char *read = nullptr;
    size_t len = 0;
    ASSERT_EQ(MR_OK, mr_file_read(path.c_str(), &read, &len));
    EXPECT_EQ(4u, len);
    std::free(read);
}

TEST(Files, ErrorsAreTold) {
    Folder folder;
    char *read = nullptr;
    size_t len = 0;
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_file_read(folder.Name("missing").c_str(), &read, &len));
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_file_read(folder.Name("no\\file").c_str(), &read, &len));
    EXPECT_EQ(MR_ERR_INVALID, mr_file_read(folder.path.u8string().c_str(), &read, &len));
    EXPECT_EQ(MR_ERR_INVALID, mr_file_read("C:\\\xff", &read, &len));
    std::string large = folder.File("large", "x");
    fs::resize_file(folder.path / "large", MR_FILE_BYTES_MAX + 1);
    EXPECT_EQ(MR_ERR_LIMIT, mr_file_read(large.c_str(), &read, &len));
    EXPECT_EQ(nullptr, read);
}

TEST(Files, OfAFolderComeInMosquittosOrder) {
    Folder folder;
    for (const char *name : {"b.conf", "01.conf", "A.conf", ".h.conf", "x.con", "\xc3\xbc.conf"}) {
        folder.File(name, "");
    }
    char **names = nullptr;
    size_t count = 0;
    ASSERT_EQ(MR_OK, mr_folder_list(folder.path.u8string().c_str(), &names, &count));
    std::string all;
    for (size_t i = 0; i < count; i++) {
        all += std::string(names[i]) + " ";
        std::free(names[i]);
    }
    std::free(names);
    EXPECT_EQ("01.conf A.conf b.conf \xc3\xbc.conf ", all);
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_folder_list(folder.Name("missing").c_str(), &names, &count));
}

// ---------------------------------------------------------------------------- the log

TEST(Timestamp, KnowsTheFormatsOfOtherSystems) {
    char out[MR_TIMESTAMP_BYTES];
    _putenv("TZ=UTC");
    _tzset();
    mr_timestamp_print(out, "%Y-%m-%dT%H:%M:%S", 1700000000);
    EXPECT_STREQ("2023-11-14T22:13:20: ", out);
    mr_timestamp_print(out, "%F %T %R %D 100%%", 1700000000);
    EXPECT_STREQ("2023-11-14 22:13:20 22:13 11/14/23 100%: ", out);
    EXPECT_EQ(12u, mr_timestamp_print(out, nullptr, 1700000000));
    EXPECT_EQ(12u, mr_timestamp_print(out, "", 1700000000));
    mr_timestamp_print(out, "%", 1700000000);
    EXPECT_NE(nullptr, std::strstr(out, ": "));
    // What doesn't fit becomes seconds.
    std::string huge(2000, 'x');
    mr_timestamp_print(out, huge.c_str(), 1700000000);
    EXPECT_STREQ("1700000000: ", out);
}

class LogFile : public testing::Test {
 protected:
    void SetUp() override {
        path_ = folder_.Name("log");
        config_.log_file = path_.c_str();
        ASSERT_EQ(MR_OK, mr_log_output_open(&output_, &config_, nullptr, &os_error_));
    }
    ~LogFile() override {
        mr_log_output_close(output_);
    }
    void Write(const std::string &line) {
        mr_log_sink sink = mr_log_output_sink(output_);
        sink.write(sink.ctx, MR_LOG_ERROR, line.data(), line.size());
    }

    Folder folder_;
    std::string path_;
    mr_config config_ = {};
    mr_log_output *output_ = nullptr;
    int os_error_ = 0;
};

TEST_F(LogFile, IsAppendedTo) {
    Write("one");
    mr_log_output_close(output_);
    ASSERT_EQ(MR_OK, mr_log_output_open(&output_, &config_, nullptr, &os_error_));
    Write("two");
    EXPECT_EQ("one\r\ntwo\r\n", folder_.Contents("log"));
}

TEST_F(LogFile, MayBeRenamedAndOpenedAgain) {
    Write("one");
    fs::rename(folder_.path / "log", folder_.path / "old");
    Write("two");
    EXPECT_EQ(MR_OK, mr_log_output_reopen(output_, &os_error_));
    Write("three");
    EXPECT_EQ("one\r\ntwo\r\n", folder_.Contents("old"));
    EXPECT_EQ("three\r\n", folder_.Contents("log"));
}

TEST_F(LogFile, LinesOfManyThreadsDontMix) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([this, i] {
            for (int j = 0; j < 200; j++) {
                Write(std::string(100, static_cast<char>('a' + i)));
            }
        });
    }
    EXPECT_EQ(MR_OK, mr_log_output_reopen(output_, &os_error_));
    for (std::thread &thread : threads) {
        thread.join();
    }
    std::istringstream lines(folder_.Contents("log"));
    std::string line;
    int count = 0;
    while (std::getline(lines, line)) {
        EXPECT_EQ(std::string(100, line[0]) + "\r", line);
        count++;
    }
    EXPECT_EQ(800, count);
}

TEST(LogOutput, AFileThatCannotBeOpenedIsTold) {
    Folder folder;
    std::string path = folder.Name("none\\log");
    mr_config config = {};
    config.log_file = path.c_str();
    mr_log_output *output = nullptr;
    int os_error = 0;
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_log_output_open(&output, &config, nullptr, &os_error));
    EXPECT_EQ(ERROR_PATH_NOT_FOUND, os_error);
    char text[MR_OS_ERROR_BYTES];
    std::string words = mr_os_error_text(os_error, text);
    EXPECT_NE("", words);
    EXPECT_EQ(std::string::npos, words.find_first_of("\r\n")) << words;
}

// ----------------------------------------------------------------------- the process

TEST(Process, KnowsItsNumbers) {
    Folder folder;
    int os_error;
    std::string path = folder.Name("pid");
    ASSERT_EQ(MR_OK, mr_pid_file_write(path.c_str(), &os_error));
    EXPECT_EQ(std::to_string(GetCurrentProcessId()) + "\n", folder.Contents("pid"));
    mr_pid_file_remove(path.c_str());
    EXPECT_FALSE(fs::exists(folder.path / "pid"));
    uint64_t now = 0;
    uint64_t max = 0;
    mr_process_memory(&now, &max);
    EXPECT_GT(now, 0u);
    EXPECT_GE(max, now);
    EXPECT_GE(mr_process_cores(), 1u);
    EXPECT_EQ(UINT64_MAX, mr_process_raise_files());
}

TEST(Process, RandomBytesDiffer) {
    uint64_t a = 0;
    uint64_t b = 0;
    ASSERT_TRUE(mr_process_random(&a, sizeof(a)));
    ASSERT_TRUE(mr_process_random(&b, sizeof(b)));
    EXPECT_NE(a, b);
}

TEST(Process, HasNoOtherUserAndNoBackground) {
    int os_error = 0;
    mr_daemon daemon;
    EXPECT_EQ(MR_OK, mr_process_drop_privileges(nullptr, &os_error));
    EXPECT_EQ(MR_OK, mr_process_drop_privileges("root", &os_error));
    EXPECT_EQ(MR_ERR_UNSUPPORTED, mr_process_drop_privileges("eve", &os_error));
    EXPECT_EQ(MR_ERR_UNSUPPORTED, mr_daemon_begin(&daemon, &os_error));
}

// --------------------------------------------------------------------------- requests

TEST(Requests, ComeFromHereAndFromOtherProcesses) {
    const char *why = nullptr;
    ASSERT_EQ(MR_OK, mr_requests_open());
    ASSERT_EQ(MR_OK, mr_requests_open());
    for (mr_request request : {MR_REQUEST_STATE, MR_REQUEST_STOP, MR_REQUEST_RELOAD}) {
        mr_request_post(request, "a test");
        EXPECT_EQ(request, mr_requests_wait(&why));
        EXPECT_STREQ("a test", why);
        // By name, as another process would.
        ASSERT_EQ(MR_OK, mr_request_send(request, GetCurrentProcessId()));
        EXPECT_EQ(request, mr_requests_wait(&why));
        EXPECT_EQ(0, std::strncmp(why, "event ", 6)) << why;
    }
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_request_send(MR_REQUEST_STOP, 1));
    mr_requests_close();
}

}  // namespace
