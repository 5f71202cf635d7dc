// Files, places to log to and the process, with the real system.
#include "broker/cli/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace {

// A folder that goes away with all that is in it.
class Folder {
 public:
    Folder() {
        const char *base = std::getenv("TEST_TMPDIR");
        path = std::string(base == nullptr ? "/tmp" : base) + "/process_test_XXXXXX";
        EXPECT_NE(nullptr, mkdtemp(&path[0]));
    }
    ~Folder() {
        for (const std::string &name : names_) {
            unlink(name.c_str());
            rmdir(name.c_str());
        }
        rmdir(path.c_str());
    }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;

    std::string Name(const std::string &name) {
        names_.push_back(path + "/" + name);
        return names_.back();
    }
    std::string File(const std::string &name, const std::string &text) {
        std::string file = Name(name);
        std::ofstream(file) << text;
        return file;
    }

    std::string path;

 private:
    std::vector<std::string> names_;
};

std::string Contents(const std::string &path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

// Runs `body` in a child and returns its exit status; -1 if a signal ended it.
int InChild(const std::function<int()> &body) {
    std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
        _exit(body());
    }
    int status = 0;
    EXPECT_EQ(child, waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// ---------------------------------------------------------------------------- files

TEST(Files, AreReadAsAWhole) {
    Folder folder;
    for (size_t size : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{100000}}) {
        std::string text(size, 'x');
        if (size > 10) {
            text[5] = '\0';
        }
        std::string path = folder.File("f" + std::to_string(size), text);
        char *read = nullptr;
        size_t len = 99;
        ASSERT_EQ(MR_OK, mr_file_read(path.c_str(), &read, &len));
        EXPECT_EQ(text, std::string(read, len));
        EXPECT_EQ('\0', read[len]);
        std::free(read);
    }
}

TEST(Files, WithoutASizeAreReadToTheirEnd) {
    char *read = nullptr;
    size_t len = 0;
    ASSERT_EQ(MR_OK, mr_file_read("/proc/self/status", &read, &len));
    EXPECT_GT(len, 100u);
    std::free(read);
}

TEST(Files, ErrorsAreTold) {
    Folder folder;
    char *read = nullptr;
    size_t len = 0;
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_file_read(folder.Name("missing").c_str(), &read, &len));
    EXPECT_EQ(MR_ERR_INVALID, mr_file_read(folder.path.c_str(), &read, &len));
    std::string large = folder.File("large", "x");
    ASSERT_EQ(0, truncate(large.c_str(), MR_FILE_BYTES_MAX + 1));
    EXPECT_EQ(MR_ERR_LIMIT, mr_file_read(large.c_str(), &read, &len));
    EXPECT_EQ(MR_ERR_LIMIT, mr_file_read("/dev/zero", &read, &len));
    EXPECT_EQ(nullptr, read);
}

TEST(Files, OfAFolderComeInMosquittosOrder) {
    Folder folder;
    // The order of mosquitto.conf(5).
    for (const char *name : {"b.conf", "A.conf", "01.conf", "a.conf", "B.conf", "00.conf",
                             ".h.conf", "x.con", "conf", ".conf", "a.conf.bak"}) {
        folder.File(name, "");
    }
    char **names = nullptr;
    size_t count = 0;
    ASSERT_EQ(MR_OK, mr_folder_list(folder.path.c_str(), &names, &count));
    std::string all;
    for (size_t i = 0; i < count; i++) {
        all += std::string(names[i]) + " ";
        std::free(names[i]);
    }
    std::free(names);
    EXPECT_EQ("00.conf 01.conf A.conf a.conf B.conf b.conf ", all);
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_folder_list(folder.Name("missing").c_str(), &names, &count));
}

TEST(Files, AConfigurationIsReadFromThem) {
    Folder folder;
    std::string inner = folder.Name("d");
    ASSERT_EQ(0, mkdir(inner.c_str(), 0700));
    std::string main_file = folder.File(
        "main.conf", "allow_anonymous true\nlistener 2000\ninclude_dir " + inner + "\n");
    std::string part = folder.File("d/1.conf", "sys_interval 3\n");
    mr_config_overrides overrides = {};
    overrides.path = main_file.c_str();
    overrides.workers = -1;
    mr_config_reader reader = mr_files_reader();
    mr_config *config = nullptr;
    mr_config_messages messages;
    EXPECT_EQ(MR_OK, mr_config_read(&config, &messages, &reader, &overrides));
    EXPECT_EQ(0u, messages.count);
    mr_config_messages_fini(&messages);
    ASSERT_NE(nullptr, config);
    EXPECT_EQ(3u, config->sys_interval_s);
    mr_config_free(config);
    unlink(part.c_str());
}

// -------------------------------------------------------------------------- time stamps

TEST(Timestamp, IsSecondsOrAFormat) {
    char out[MR_TIMESTAMP_BYTES];
    EXPECT_EQ(12u, mr_timestamp_print(out, nullptr, 1700000000));
    EXPECT_STREQ("1700000000: ", out);
    setenv("TZ", "UTC", 1);
    tzset();
    size_t len = mr_timestamp_print(out, "%Y-%m-%dT%H:%M:%S", 1700000000);
    EXPECT_STREQ("2023-11-14T22:13:20: ", out);
    EXPECT_EQ(std::strlen(out), len);
    mr_timestamp_print(out, "%", 1700000000);
    EXPECT_NE(nullptr, std::strstr(out, ": "));
    // What doesn't fit becomes seconds.
    std::string huge;
    for (int i = 0; i < 60; i++) {
        huge += "%c";
    }
    mr_timestamp_print(out, huge.c_str(), 1700000000);
    EXPECT_STREQ("1700000000: ", out);
}

// ------------------------------------------------------------------------------ the log

struct Lines {
    std::vector<std::string> lines;
    static void Write(void *ctx, mr_log_type, const char *line, size_t len) {
        static_cast<Lines *>(ctx)->lines.emplace_back(line, len);
    }
};

mr_config Logging() {
    mr_config config = {};
    config.log_timestamp = false;
    return config;
}

void WriteLine(mr_log_output *output, mr_log_type type, const std::string &line) {
    mr_log_sink sink = mr_log_output_sink(output);
    sink.write(sink.ctx, type, line.data(), line.size());
}

TEST(LogOutput, AppendsToItsFile) {
    Folder folder;
    std::string path = folder.File("log", "old\n");
    mr_config config = Logging();
    config.log_file = path.c_str();
    mr_log_output *output = nullptr;
    int os_error;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, nullptr, &os_error));
    WriteLine(output, MR_LOG_ERROR, "one");
    WriteLine(output, MR_LOG_DEBUG, "two");
    EXPECT_EQ("old\none\ntwo\n", Contents(path));
    mr_log_output_close(output);
    mr_log_output_close(nullptr);
}

TEST(LogOutput, LinesBeginWithTheTime) {
    Folder folder;
    std::string path = folder.Name("log");
    mr_config config = Logging();
    config.log_file = path.c_str();
    config.log_timestamp = true;
    config.log_timestamp_format = "T%%";
    mr_log_output *output = nullptr;
    int os_error;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, nullptr, &os_error));
    WriteLine(output, MR_LOG_ERROR, "one");
    EXPECT_EQ("T%: one\n", Contents(path));
    mr_log_output_close(output);
}

TEST(LogOutput, ReopensItsFileAfterARotation) {
    Folder folder;
    std::string path = folder.Name("log");
    std::string rotated = folder.Name("log.1");
    mr_config config = Logging();
    config.log_file = path.c_str();
    mr_log_output *output = nullptr;
    int os_error;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, nullptr, &os_error));
    WriteLine(output, MR_LOG_ERROR, "one");
    ASSERT_EQ(0, rename(path.c_str(), rotated.c_str()));
    WriteLine(output, MR_LOG_ERROR, "two");
    EXPECT_EQ(MR_OK, mr_log_output_reopen(output, &os_error));
    WriteLine(output, MR_LOG_ERROR, "three");
    EXPECT_EQ("one\ntwo\n", Contents(rotated));
    EXPECT_EQ("three\n", Contents(path));
    // If it can't be opened, the old one goes on.
    ASSERT_EQ(0, unlink(path.c_str()));
    ASSERT_EQ(0, mkdir(path.c_str(), 0700));
    EXPECT_EQ(MR_ERR_INVALID, mr_log_output_reopen(output, &os_error));
    EXPECT_EQ(EISDIR, os_error);
    WriteLine(output, MR_LOG_ERROR, "four");
    mr_log_output_close(output);
}

TEST(LogOutput, LinesOfManyThreadsDontMix) {
    Folder folder;
    std::string path = folder.Name("log");
    mr_config config = Logging();
    config.log_file = path.c_str();
    config.log_timestamp = true;
    mr_log_output *output = nullptr;
    int os_error;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, nullptr, &os_error));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&, i] {
            for (int n = 0; n < 200; n++) {
                WriteLine(output, MR_LOG_ERROR, std::string(100, static_cast<char>('a' + i)));
            }
        });
    }
    for (int n = 0; n < 50; n++) {
        EXPECT_EQ(MR_OK, mr_log_output_reopen(output, &os_error));
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    mr_log_output_close(output);
    std::istringstream text(Contents(path));
    int count = 0;
    for (std::string line; std::getline(text, line); count++) {
        ASSERT_EQ(line.substr(line.size() - 100), std::string(100, line.back()));
        EXPECT_EQ(": ", line.substr(line.size() - 102, 2));
    }
    EXPECT_EQ(800, count);
}

TEST(LogOutput, GoesToStandardOutputAndErrorUntilItParts) {
    Folder folder;
    std::string out = folder.Name("out");
    std::string err = folder.Name("err");
    int status = InChild([&] {
        int out_fd = open(out.c_str(), O_WRONLY | O_CREAT, 0600);
        int err_fd = open(err.c_str(), O_WRONLY | O_CREAT, 0600);
        dup2(out_fd, STDOUT_FILENO);
        dup2(err_fd, STDERR_FILENO);
        mr_config config = Logging();
        config.log_stdout = true;
        config.log_stderr = true;
        mr_log_output *output = nullptr;
        int os_error;
        if (mr_log_output_open(&output, &config, nullptr, &os_error) != MR_OK) {
            return 1;
        }
        WriteLine(output, MR_LOG_ERROR, "seen");
        mr_log_output_detach(output);
        WriteLine(output, MR_LOG_ERROR, "unseen");
        mr_log_output_close(output);
        return 0;
    });
    EXPECT_EQ(0, status);
    EXPECT_EQ("seen\n", Contents(out));
    EXPECT_EQ("seen\n", Contents(err));
}

TEST(LogOutput, TopicsGetAllButDebugMessages) {
    Lines lines;
    mr_log_sink topic = {&lines, Lines::Write};
    mr_config config = Logging();
    config.log_topic = true;
    config.log_timestamp = true;
    mr_log_output *output = nullptr;
    int os_error;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, &topic, &os_error));
    WriteLine(output, MR_LOG_NOTICE, "one");
    WriteLine(output, MR_LOG_DEBUG, "two");
    EXPECT_EQ((std::vector<std::string>{"one"}), lines.lines);
    mr_log_output_close(output);
    config.log_topic = false;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, &topic, &os_error));
    WriteLine(output, MR_LOG_NOTICE, "three");
    EXPECT_EQ(1u, lines.lines.size());
    mr_log_output_close(output);
}

TEST(LogOutput, ASyslogIsOptional) {
    mr_config config = Logging();
    config.log_syslog = true;
    mr_log_output *output = nullptr;
    int os_error;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, nullptr, &os_error));
    // Where there is none, the lines are lost, and that is all.
    for (mr_log_type type : {MR_LOG_ERROR, MR_LOG_WARNING, MR_LOG_NOTICE, MR_LOG_INFORMATION,
                             MR_LOG_DEBUG, MR_LOG_SUBSCRIBE}) {
        WriteLine(output, type, "test of millrace: 100%s");
    }
    mr_log_output_close(output);
}

TEST(LogOutput, AFileThatCannotBeOpenedIsTold) {
    Folder folder;
    std::string path = folder.Name("missing") + "/log";
    mr_config config = Logging();
    config.log_file = path.c_str();
    mr_log_output *output = nullptr;
    int os_error = 0;
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_log_output_open(&output, &config, nullptr, &os_error));
    EXPECT_EQ(ENOENT, os_error);
    EXPECT_EQ(nullptr, output);
}

TEST(LogOutput, AFullDiskDoesNotStopTheBroker) {
    mr_config config = Logging();
    config.log_file = "/dev/full";
    mr_log_output *output = nullptr;
    int os_error;
    ASSERT_EQ(MR_OK, mr_log_output_open(&output, &config, nullptr, &os_error));
    WriteLine(output, MR_LOG_ERROR, "lost");
    mr_log_output_close(output);
}

// -------------------------------------------------------------------------- the process

TEST(PidFile, HoldsTheProcessId) {
    Folder folder;
    std::string path = folder.File("pid", "something longer than a process id\n");
    int os_error;
    EXPECT_EQ(MR_OK, mr_pid_file_write(path.c_str(), &os_error));
    EXPECT_EQ(std::to_string(getpid()) + "\n", Contents(path));
    mr_pid_file_remove(path.c_str());
    EXPECT_NE(0, access(path.c_str(), F_OK));
    mr_pid_file_remove(path.c_str());
}

TEST(PidFile, DoesNotFollowALink) {
    Folder folder;
    std::string target = folder.File("target", "precious");
    std::string link = folder.Name("pid");
    ASSERT_EQ(0, symlink(target.c_str(), link.c_str()));
    int os_error;
    EXPECT_EQ(MR_ERR_INVALID, mr_pid_file_write(link.c_str(), &os_error));
    EXPECT_EQ(ELOOP, os_error);
    EXPECT_EQ("precious", Contents(target));
    EXPECT_EQ(MR_ERR_NOTFOUND, mr_pid_file_write((folder.Name("no") + "/pid").c_str(), &os_error));
    EXPECT_EQ(MR_ERR_IO, mr_pid_file_write("/dev/full", &os_error));
}

TEST(Privileges, AreDroppedForGood) {
    if (geteuid() != 0) {
        int os_error;
        EXPECT_EQ(MR_OK, mr_process_drop_privileges("no such user", &os_error));
        GTEST_SKIP() << "only root has some to drop";
    }
    EXPECT_EQ(0, InChild([] {
                  int os_error;
                  mr_err err = mr_process_drop_privileges("root", &os_error);
                  return err == MR_OK && geteuid() == 0 ? 0 : 1;
              }));
    EXPECT_EQ(0, InChild([] {
                  int os_error;
                  mr_err err = mr_process_drop_privileges("no such user", &os_error);
                  return err == MR_ERR_NOTFOUND && geteuid() == 0 ? 0 : 1;
              }));
    const passwd *nobody = getpwnam("nobody");
    ASSERT_NE(nullptr, nobody);
    uid_t uid = nobody->pw_uid;
    gid_t gid = nobody->pw_gid;
    if (InChild([uid, gid] { return setgroups(1, &gid) == 0 && setuid(uid) == 0 ? 0 : 1; }) != 0) {
        // Bazel's sandbox is such a place: root by name only. Then staying root is an error.
        EXPECT_EQ(0, InChild([] {
                      int os_error = 0;
                      mr_err err = mr_process_drop_privileges("nobody", &os_error);
                      return err == MR_ERR_ACCESS && os_error != 0 ? 0 : 1;
                  }));
        GTEST_SKIP() << "root can't become anybody else here";
    }
    EXPECT_EQ(0, InChild([uid] {
                  int os_error;
                  mr_err err = mr_process_drop_privileges("nobody", &os_error);
                  bool dropped = getuid() == uid && geteuid() == uid && getgid() != 0;
                  return err == MR_OK && dropped && setuid(0) != 0 ? 0 : 1;
              }));
    EXPECT_EQ(0, InChild([] {
                  int os_error;
                  // "mosquitto" or "nobody".
                  mr_err err = mr_process_drop_privileges(nullptr, &os_error);
                  return err == MR_OK && geteuid() != 0 ? 0 : 1;
              }));
}

TEST(OpenFiles, AreRaisedToTheHardLimit) {
    EXPECT_EQ(0, InChild([] {
                  rlimit limit;
                  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
                      return 1;
                  }
                  rlimit low = {limit.rlim_max < 256 ? limit.rlim_max : 256, limit.rlim_max};
                  if (setrlimit(RLIMIT_NOFILE, &low) != 0) {
                      return 2;
                  }
                  uint64_t raised = mr_process_raise_files();
                  rlimit now;
                  getrlimit(RLIMIT_NOFILE, &now);
                  return raised == limit.rlim_max && now.rlim_cur == limit.rlim_max ? 0 : 3;
              }));
}

TEST(Daemon, LetsItsParentGoWhenItIsReady) {
    Folder folder;
    std::string path = folder.Name("pid");
    int ends[2];
    ASSERT_EQ(0, pipe(ends));
    int status = InChild([&] {
        mr_daemon daemon;
        int os_error;
        if (mr_daemon_begin(&daemon, &os_error) != MR_OK) {
            return 1;
        }
        // From here on in the grandchild.
        mr_err err = mr_pid_file_write(path.c_str(), &os_error);
        mr_daemon_ready(&daemon);
        char byte = err == MR_OK && getsid(0) == getpid() && !isatty(STDIN_FILENO) ? 'y' : 'n';
        ssize_t written = write(ends[1], &byte, 1);
        return written == 1 ? 0 : 1;
    });
    EXPECT_EQ(0, status);
    char byte = 0;
    EXPECT_EQ(1, read(ends[0], &byte, 1));
    EXPECT_EQ('y', byte);
    EXPECT_GT(Contents(path).size(), 1u);
    close(ends[0]);
    close(ends[1]);
}

TEST(Daemon, ItsParentFailsAsItDoes) {
    EXPECT_EQ(7, InChild([] {
                  mr_daemon daemon;
                  int os_error;
                  if (mr_daemon_begin(&daemon, &os_error) != MR_OK) {
                      return 1;
                  }
                  return 7;
              }));
    // An end without being ready is a failure, whatever the status says.
    EXPECT_EQ(1, InChild([] {
                  mr_daemon daemon;
                  int os_error;
                  if (mr_daemon_begin(&daemon, &os_error) != MR_OK) {
                      return 2;
                  }
                  return 0;
              }));
    EXPECT_EQ(1, InChild([] {
                  mr_daemon daemon;
                  int os_error;
                  if (mr_daemon_begin(&daemon, &os_error) != MR_OK) {
                      return 2;
                  }
                  kill(getpid(), SIGKILL);
                  return 3;
              }));
}

}  // namespace
