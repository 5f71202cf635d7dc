#include "broker/cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/cli/internal.h"

// ------------------------------------------------------------------------- pid file

static enum mr_err write_pid(int fd, int *os_error) {
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    ssize_t written = len > 0 ? write(fd, text, (size_t)len) : -1;
    if (written != len) {
        *os_error = written < 0 ? errno : ENOSPC;
        return MR_ERR_IO;
    }
    return MR_OK;
}

enum mr_err mr_pid_file_write(const char *path, int *os_error) {
    // Root writes it, so a link that somebody has put there must not lead elsewhere.
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(path, flags, 0644);
    *os_error = 0;
    if (fd < 0) {
        *os_error = errno;
        return mr_file_error(errno);
    }
    enum mr_err err = write_pid(fd, os_error);
    if (close(fd) != 0 && err == MR_OK) {
        *os_error = errno;
        err = mr_file_error(errno);
    }
    return err;
}

void mr_pid_file_remove(const char *path) {
    // Nothing can be done if it isn't allowed; the next start overwrites it.
    (void)unlink(path);
}

// ----------------------------------------------------------------------- privileges

enum mr_err mr_process_drop_privileges(const char *user, int *os_error) {
    *os_error = 0;
    if (geteuid() != 0 || (user != NULL && strcmp(user, "root") == 0)) {
        return MR_OK;
    }
    errno = 0;
    const struct passwd *entry = getpwnam(user == NULL ? "mosquitto" : user);
    // As in Mosquitto: its own user may be missing, one that was asked for may not.
    if (entry == NULL && (user == NULL || strcmp(user, "mosquitto") == 0)) {
        entry = getpwnam("nobody");
    }
    if (entry == NULL) {
        *os_error = errno;
        return MR_ERR_NOTFOUND;
    }
    if (initgroups(entry->pw_name, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 ||
        setuid(entry->pw_uid) != 0) {
        *os_error = errno;
        return MR_ERR_ACCESS;
    }
    // Believe it only when there is no way back.
    if (entry->pw_uid != 0 && (setuid(0) == 0 || geteuid() == 0)) {
        return MR_ERR_ACCESS;
    }
    return MR_OK;
}

uint64_t mr_process_raise_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit = raised;
        }
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

uint32_t mr_process_cores(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (uint32_t)cores : 1;
}

void mr_process_memory(uint64_t *bytes_out, uint64_t *bytes_max_out) {
    char *text;
    size_t len;
    *bytes_out = 0;
    *bytes_max_out = 0;
    if (mr_file_read("/proc/self/status", &text, &len) != MR_OK) {
        return;
    }
    const char *now = strstr(text, "VmRSS:");
    const char *max = strstr(text, "VmHWM:");
    *bytes_out = now != NULL ? strtoull(now + strlen("VmRSS:"), NULL, 10) * 1024 : 0;
    *bytes_max_out = max != NULL ? strtoull(max + strlen("VmHWM:"), NULL, 10) * 1024 : 0;
    free(text);
}

bool mr_process_random(void *out, size_t len) {
    // So few bytes come at once, or not at all.
    return getrandom(out, len, 0) == (ssize_t)len;
}

const char *mr_os_error_text(int os_error, char out[MR_OS_ERROR_BYTES]) {
    (void)snprintf(out, MR_OS_ERROR_BYTES, "%s", strerror(os_error));
    return out;
}

// ----------------------------------------------------------------------- background

// The parent's part: until the child is ready or dead.
__attribute__((noreturn)) static void wait_for_child(int fd, pid_t child) {
    char byte;
    ssize_t got;
    do {
        got = read(fd, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 1) {
        _exit(0);
    }
    int status = 0;
    pid_t ended;
    do {
        ended = waitpid(child, &status, 0);
    } while (ended < 0 && errno == EINTR);
    _exit(ended == child && WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
                                                                          : 1);
}

enum mr_err mr_daemon_begin(struct mr_daemon *out, int *os_error) {
    int ends[2];
    *os_error = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        *os_error = errno;
        return mr_file_error(errno);
    }
    pid_t child = fork();
    if (child < 0) {
        *os_error = errno;
        close(ends[0]);
        close(ends[1]);
        return MR_ERR_NOMEM;
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_child(ends[0], child);
    }
    close(ends[0]);
    if (setsid() < 0) {
        *os_error = errno;
        close(ends[1]);
        return MR_ERR_IO;
    }
    out->fd = ends[1];
    return MR_OK;
}

void mr_daemon_ready(struct mr_daemon *daemon) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
            // The copy has no O_CLOEXEC, as is right for these three.
            (void)dup2(null, fd);
        }
        if (null > STDERR_FILENO) {
            close(null);
        }
    }
    const char byte = 1;
    ssize_t written;
    do {
        written = write(daemon->fd, &byte, 1);
    } while (written < 0 && errno == EINTR);
    close(daemon->fd);
    daemon->fd = -1;
}
