// What only Windows has: services, and how one process asks another.
//
// Threads: the main thread, before there are others, except mr_request_send().
#ifndef MILLRACE_BROKER_CLI_SERVICE_WINDOWS_H
#define MILLRACE_BROKER_CLI_SERVICE_WINDOWS_H

#include "base/base.h"
#include "broker/cli/requests.h"

#ifdef __cplusplus
extern "C" {
#endif

// Asks the broker that has process id `pid`. Errors: MR_ERR_NOTFOUND, MR_ERR_ACCESS, MR_ERR_IO.
MR_NODISCARD enum mr_err mr_request_send(enum mr_request request, uint32_t pid);

// Takes a command line that begins with one of these words (as Mosquitto's, where it has them):
//
//   install [OPTION]...     make a service of this program with these options; it starts with
//                           the machine
//   uninstall               stop the service and take it away
//   run [OPTION]...         what the service manager starts
//   signal WORD PID         stop, reload or state to the broker with that process id
//
// False: it begins with none of them. Else `*status` is the exit status. `broker(argc, argv)`
// is what a service does, with argv[1] ("run") taken away.
bool mr_service_command(int *status, int argc, char *argv[], int (*broker)(int, char *[]));

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CLI_SERVICE_WINDOWS_H
