// Backend on Linux's epoll: edge-triggered, one epoll_ctl() in the life of a connection.
#ifndef MILLRACE_IO_EPOLL_EPOLL_H
#define MILLRACE_IO_EPOLL_EPOLL_H

#include "io/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct mr_io_backend mr_io_epoll;

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_EPOLL_EPOLL_H
