#include <string.h>

#include "broker/backends.h"
#include "broker/log/log.h"
#include "io/epoll/epoll.h"
#include "io/uring/uring.h"
#include "io/uv/uv.h"

const struct mr_io_backend *mr_backend_choose(const char *name) {
    if (strcmp(name, "auto") == 0 || strcmp(name, "epoll") == 0) {
        return &mr_io_epoll;
    }
    if (strcmp(name, "io_uring") == 0) {
        const char *why;
        if (mr_io_uring_available(&why)) {
            return &mr_io_uring;
        }
        mr_log(MR_LOG_WARNING, "Using epoll instead of io_uring: %s.", why);
        return &mr_io_epoll;
    }
    if (strcmp(name, "uv") == 0) {
        return &mr_io_uv;
    }
    mr_log(MR_LOG_ERROR, "io_backend %s: not on this system, which has auto, epoll, io_uring, uv.",
           name);
    return NULL;
}
