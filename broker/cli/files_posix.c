#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/cli/internal.h"
#include "broker/cli/process.h"

enum mr_err mr_file_error(int os_error) {
    switch (os_error) {
        case ENOENT:
        case ENOTDIR:
            return MR_ERR_NOTFOUND;
        case EACCES:
        case EPERM:
        case EROFS:
            return MR_ERR_ACCESS;
        case ENOMEM:
            return MR_ERR_NOMEM;
        case EMFILE:
        case ENFILE:
            return MR_ERR_NOFILES;
        case EISDIR:
        case ELOOP:
        case ENAMETOOLONG:
        case EINVAL:
            return MR_ERR_INVALID;
        case EFBIG:
            return MR_ERR_LIMIT;
        default:
            return MR_ERR_IO;
    }
}

// Reads until the end: the size that stat() names is only a hint, for /proc and pipes.
static enum mr_err read_all(int fd, size_t hint, char **text_out, size_t *len_out) {
    size_t capacity = hint < 4096 ? 4096 : hint + 1;
    size_t len = 0;
    char *text = malloc(capacity);
    for (;;) {
        if (text == NULL) {
            return MR_ERR_NOMEM;
        }
        ssize_t got = read(fd, text + len, capacity - 1 - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            int os_error = errno;
            free(text);
            return mr_file_error(os_error);
        }
        len += (size_t)got;
        if (got == 0) {
            break;
        }
        if (len > MR_FILE_BYTES_MAX) {
            free(text);
            return MR_ERR_LIMIT;
        }
        if (len == capacity - 1) {
            capacity *= 2;
            char *larger = realloc(text, capacity);
            if (larger == NULL) {
                free(text);
            }
            text = larger;
        }
    }
    text[len] = '\0';
    *text_out = text;
    *len_out = len;
    return MR_OK;
}

enum mr_err mr_file_read(const char *path, char **text_out, size_t *len_out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return mr_file_error(errno);
    }
    struct stat status;
    enum mr_err err = MR_OK;
    if (fstat(fd, &status) != 0) {
        err = mr_file_error(errno);
    } else if (S_ISDIR(status.st_mode)) {
        err = MR_ERR_INVALID;
    } else if (status.st_size > (off_t)MR_FILE_BYTES_MAX) {
        err = MR_ERR_LIMIT;
    } else {
        err = read_all(fd, status.st_size > 0 ? (size_t)status.st_size : 0, text_out, len_out);
    }
    close(fd);
    return err;
}

enum mr_err mr_folder_each(const char *folder, enum mr_err (*fn)(void *ctx, const char *name),
                           void *ctx) {
    DIR *stream = opendir(folder);
    if (stream == NULL) {
        return mr_file_error(errno);
    }
    enum mr_err err = MR_OK;
    while (err == MR_OK) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            err = errno == 0 ? MR_OK : mr_file_error(errno);
            break;
        }
        err = fn(ctx, entry->d_name);
    }
    closedir(stream);
    return err;
}
