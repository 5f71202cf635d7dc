// Backend on the I/O completion ports of Windows 8 and later: overlapped AcceptEx, WSARecv and
// WSASend, one port for each loop, completions taken in batches.
//
// internal.h tells the life of each operation, and how a connection gets from one loop to
// another. Unix domain sockets and bind_interface are refused (MR_ERR_UNSUPPORTED).
//
// Threads: as io/loop.h.
#ifndef MILLRACE_IO_IOCP_IOCP_H
#define MILLRACE_IO_IOCP_IOCP_H

#include "io/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct mr_io_backend mr_io_iocp;

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_IO_IOCP_IOCP_H
