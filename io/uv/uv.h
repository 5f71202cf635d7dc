// Backend on libuv (1.42 or newer): for systems that have no backend of their own (macOS, the
// BSDs), and the yardstick for those that have.
//
// It watches our own sockets (uv_poll_t) instead of handing them to libuv's streams (uv_tcp_t),
// because that is what the seam asks for: bytes go straight into the loop's buffers, only when
// it is the stream's turn and no more than its share; a turn's output leaves in one vectored
// send that may be a part of what is pending; and a connection can leave this loop for another
// one, which uv_tcp_t doesn't allow at all. What io/socket.c knows of sockets serves here too.
//
// What it costs beside io/epoll: a watch of its own in memory for each stream, and libuv is
// level-triggered, so that a stream that pauses or that is blocked changes its watch, which
// takes system calls. mr_loop_stats counts our own calls, and one for each wait. The calls with
// which libuv changes watches happen inside of it and can't be counted.
//
// libuv ends the process where memory for its table of watches is lacking, or where the system
// refuses a watch that it had accepted when it was tried in stream_open().
#ifndef MILLRACE_IO_UV_UV_H
#define MILLRACE_IO_UV_UV_H

#include "io/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct mr_io_backend mr_io_uv;

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_UV_UV_H
