#include <string.h>

#include "broker/backends.h"
#include "broker/log/log.h"
#include "io/iocp/iocp.h"

const struct mr_io_backend *mr_backend_choose(const char *name) {
    if (strcmp(name, "auto") == 0 || strcmp(name, "iocp") == 0) {
        return &mr_io_iocp;
    }
    mr_log(MR_LOG_ERROR, "io_backend %s: not on this system, which has auto, iocp.", name);
    return NULL;
}
