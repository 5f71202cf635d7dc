// The command line, in Mosquitto's manner: words to a struct.
//
// Threads: a pure function, any thread.
#ifndef MILLRACE_BROKER_CLI_CLI_H
#define MILLRACE_BROKER_CLI_CLI_H

#include "base/base.h"
#include "broker/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mr_cli_action {
    MR_CLI_RUN,
    MR_CLI_HELP,          // Print mr_cli_help() and exit with 0.
    MR_CLI_VERSION,       // Print the version and exit with 0.
    MR_CLI_TEST_CONFIG,   // Read the configuration, print its messages, exit.
    MR_CLI_PRINT_CONFIG,  // The same, then print the effective configuration.
};

struct mr_cli {
    enum mr_cli_action action;
    bool daemon;                           // -d
    struct mr_config_overrides overrides;  // Its texts point into argv.
};

#define MR_CLI_MESSAGE_BYTES 256

// Takes the command line apart. On failure `message` says what is wrong with which word.
// -h and --version win over everything that follows them. Errors: MR_ERR_INVALID.
MR_NODISCARD enum mr_err mr_cli_parse(struct mr_cli *out, char message[MR_CLI_MESSAGE_BYTES],
                                      int argc, char *const argv[]);

// The text of --help, several lines; static.
const char *mr_cli_help(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MILLRACE_BROKER_CLI_CLI_H
