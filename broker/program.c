#include "broker/program.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/backends.h"
#include "broker/cli/cli.h"
#include "broker/cli/process.h"
#include "broker/cli/requests.h"
#include "broker/config/config.h"
#include "broker/limits.h"
#include "broker/log/log.h"
#include "broker/policies.h"
#include "broker/server/server.h"
#include "broker/version.h"

// Descriptors beside the connections: listeners, loops, the log, standard streams.
#define OTHER_DESCRIPTORS 64u

struct program {
    struct mr_cli cli;
    struct mr_config *config;
    struct mr_log_output *log;
    struct mr_daemon daemon;
    struct mr_server *server;
    uint32_t workers;
    bool pid_written;
    const char *more_help;
};

static void log_topic(void *ctx, enum mr_log_type type, const char *line, size_t len) {
    struct program *program = ctx;
    if (program->server != NULL) {
        mr_server_log_line(program->server, type, line, len);
    }
}

// ------------------------------------------------------------------------ configuration

static bool read_config(struct program *program) {
    struct mr_config_reader reader = mr_files_reader();
    struct mr_config_messages messages = {0};
    enum mr_err err = mr_config_read(&program->config, &messages, &reader, &program->cli.overrides);
    for (size_t i = 0; i < messages.count; i++) {
        mr_complain("%s", messages.lines[i]);
    }
    if (err != MR_OK && messages.count == 0) {
        mr_complain("millrace: %s", mr_err_text(err));
    }
    mr_config_messages_fini(&messages);
    return err == MR_OK;
}

static void log_to_terminal(void *ctx, enum mr_log_type type, const char *line, size_t len) {
    (void)ctx;
    (void)type;
    fprintf(stderr, "%.*s\n", (int)len, line);
}

// Actions that end before a broker starts. Returns the exit status.
static int inform(struct program *program) {
    switch (program->cli.action) {
        case MR_CLI_HELP:
            fputs(mr_cli_help(), stdout);
            fputs(program->more_help, stdout);
            return EXIT_SUCCESS;
        case MR_CLI_VERSION:
            puts("millrace version " MR_VERSION);
            return EXIT_SUCCESS;
        default:
            break;
    }
    if (!read_config(program)) {
        return EXIT_FAILURE;
    }
    struct mr_log_sink sink = {NULL, log_to_terminal};
    mr_log_set_sink(&sink, MR_LOG_ALL);
    struct mr_policy_set *policies = mr_policies_read(program->config);
    char *text = mr_config_print(program->config);
    bool ok =
        mr_backend_choose(program->config->io_backend) != NULL && policies != NULL && text != NULL;
    if (ok) {
        fputs(text, stdout);
        fprintf(stderr, "Configuration OK.\n");
    }
    free(text);
    mr_policy_set_unref(policies);
    mr_config_free(program->config);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ----------------------------------------------------------------------------- starting

static bool open_log(struct program *program) {
    struct mr_log_sink topic = {program, log_topic};
    int os_error = 0;
    enum mr_err err = mr_log_output_open(&program->log, program->config, &topic, &os_error);
    if (err != MR_OK) {
        char text[MR_OS_ERROR_BYTES];
        mr_complain("millrace: %s: %s (%s)",
                    program->config->log_file != NULL ? program->config->log_file : "log",
                    mr_err_text(err), mr_os_error_text(os_error, text));
        return false;
    }
    struct mr_log_sink sink = mr_log_output_sink(program->log);
    mr_log_set_sink(&sink, program->config->log_types);
    return true;
}

static uint32_t choose_workers(const struct mr_config *config) {
    uint32_t workers = config->workers != 0 ? config->workers : mr_process_cores();
    return workers > MR_WORKERS_MAX ? MR_WORKERS_MAX : workers;
}

static void check_descriptors(const struct mr_config *config) {
    uint64_t descriptors = mr_process_raise_files();
    if (descriptors == UINT64_MAX) {
        return;
    }
    for (uint32_t i = 0; i < config->listener_count; i++) {
        uint32_t max = config->listeners[i].connections_max;
        if (max != UINT32_MAX && (uint64_t)max + OTHER_DESCRIPTORS > descriptors) {
            mr_log(MR_LOG_WARNING,
                   "max_connections %u can't be reached: the system allows %llu open files.", max,
                   (unsigned long long)descriptors);
        }
    }
    mr_log(MR_LOG_INFORMATION, "Up to %llu open files.", (unsigned long long)descriptors);
}

static void describe_listener(const struct program *program, uint32_t index, char *out,
                              size_t out_bytes) {
    const struct mr_listener_config *listener = &program->config->listeners[index];
    if (listener->unix_path != NULL) {
        snprintf(out, out_bytes, "%s", listener->unix_path);
        return;
    }
    bool v6 = listener->host != NULL && strchr(listener->host, ':') != NULL;
    uint32_t port = listener->port;
    if (program->server != NULL && port == 0) {
        port = mr_server_port(program->server, index);
    }
    snprintf(out, out_bytes, "%s%s%s:%u", v6 ? "[" : "",
             listener->host != NULL ? listener->host : "*", v6 ? "]" : "", port);
}

static bool make_server(struct program *program) {
    const struct mr_config *config = program->config;
    struct mr_server_options options = {
        .config = config,
        .backend = mr_backend_choose(config->io_backend),
        .worker_count = program->workers,
        .version = MR_VERSION,
        .memory = mr_process_memory,
    };
    if (options.backend != NULL) {
        options.policies = mr_policies_read(config);
    }
    if (options.policies == NULL ||
        !mr_process_random(&options.hash_seed, sizeof(options.hash_seed))) {
        mr_policy_set_unref(options.policies);
        return false;
    }
    enum mr_err err = mr_server_new(&program->server, &options);
    mr_policy_set_unref(options.policies);
    if (err != MR_OK) {
        mr_log(MR_LOG_ERROR, "Can't start %u workers: %s.", program->workers, mr_err_text(err));
        return false;
    }
    uint32_t listener;
    int os_error;
    err = mr_server_listen(program->server, &listener, &os_error);
    if (err != MR_OK) {
        char text[256];
        char why[MR_OS_ERROR_BYTES];
        describe_listener(program, listener, text, sizeof(text));
        mr_log(MR_LOG_ERROR, "Can't listen on %s: %s (%s).", text, mr_err_text(err),
               mr_os_error_text(os_error, why));
        return false;
    }
    return true;
}

static void say_listening(const struct program *program) {
    char all[768] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < program->config->listener_count && len < sizeof(all); i++) {
        char text[256];
        describe_listener(program, i, text, sizeof(text));
        len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? " and " : "", text);
    }
    mr_log(MR_LOG_NOTICE, "Millrace %s listening on %s with %u worker%s (%s).", MR_VERSION, all,
           program->workers, program->workers == 1 ? "" : "s", mr_server_backend(program->server));
    if (program->config->local_only) {
        mr_log(MR_LOG_NOTICE,
               "Only this machine can connect: no listener is configured. To serve others, put "
               "'listener %u' and 'password_file PATH' (or 'allow_anonymous true') into a file "
               "and start with -c FILE.",
               program->config->listeners[0].port);
    }
}

static bool drop_privileges(const struct mr_config *config) {
    int os_error = 0;
    enum mr_err err = mr_process_drop_privileges(config->user, &os_error);
    if (err == MR_ERR_ACCESS && config->user == NULL) {
        // Root of a container without privileges: there is no other user to become.
        mr_log(MR_LOG_WARNING, "Still running as root: the system allows no other user here.");
        return true;
    }
    if (err != MR_OK) {
        char text[MR_OS_ERROR_BYTES];
        mr_log(MR_LOG_ERROR, "Can't become user %s: %s (%s).",
               config->user != NULL ? config->user : "mosquitto", mr_err_text(err),
               mr_os_error_text(os_error, text));
    }
    return err == MR_OK;
}

static bool start(struct program *program) {
    const struct mr_config *config = program->config;
    char text[MR_OS_ERROR_BYTES];
    int os_error = 0;
    check_descriptors(config);
    program->workers = choose_workers(config);
    if (!make_server(program)) {
        return false;
    }
    if (config->pid_file != NULL && mr_pid_file_write(config->pid_file, &os_error) != MR_OK) {
        mr_log(MR_LOG_ERROR, "%s: %s.", config->pid_file, mr_os_error_text(os_error, text));
        return false;
    }
    program->pid_written = config->pid_file != NULL;
    if (!drop_privileges(config)) {
        return false;
    }
    enum mr_err err = mr_server_start(program->server);
    if (err != MR_OK) {
        mr_log(MR_LOG_ERROR, "Can't start threads: %s.", mr_err_text(err));
        return false;
    }
    say_listening(program);
    return true;
}

// ------------------------------------------------------------------------------ running

static void reload(struct program *program) {
    int os_error;
    if (mr_log_output_reopen(program->log, &os_error) != MR_OK) {
        char text[MR_OS_ERROR_BYTES];
        mr_log(MR_LOG_ERROR, "Can't open the log file again: %s.",
               mr_os_error_text(os_error, text));
    }
    struct mr_policy_set *policies = mr_policies_read(program->config);
    if (policies == NULL) {
        mr_log(MR_LOG_ERROR, "Reload refused: access rights stay as they were.");
        return;
    }
    mr_server_set_policies(program->server, policies);
    mr_policy_set_unref(policies);
    mr_log(MR_LOG_NOTICE, "Password and access files reloaded.");
}

// Until somebody wants it to end.
static void serve(struct program *program) {
    for (;;) {
        const char *why;
        switch (mr_requests_wait(&why)) {
            case MR_REQUEST_RELOAD:
                reload(program);
                break;
            case MR_REQUEST_STATE:
                mr_server_log_state(program->server);
                break;
            case MR_REQUEST_STOP:
                mr_log(MR_LOG_NOTICE, "Stopping on %s.", why);
                return;
        }
    }
}

static void finish(struct program *program) {
    mr_server_free(program->server);
    program->server = NULL;
    if (program->pid_written) {  // Another's, on whose port we can't listen, stays.
        mr_pid_file_remove(program->config->pid_file);
    }
    mr_log_output_close(program->log);
    mr_config_free(program->config);
}

static bool begin_daemon(struct program *program) {
    int os_error;
    if (program->cli.daemon && mr_daemon_begin(&program->daemon, &os_error) != MR_OK) {
        char text[MR_OS_ERROR_BYTES];
        mr_complain("millrace: can't become a daemon: %s", mr_os_error_text(os_error, text));
        return false;
    }
    return true;
}

int mr_program_run(int argc, char *argv[], const char *more_help) {
    struct program program = {.more_help = more_help};
    char message[MR_CLI_MESSAGE_BYTES];
    if (mr_cli_parse(&program.cli, message, argc, argv) != MR_OK) {
        mr_complain("millrace: %s", message);
        return EXIT_FAILURE;
    }
    if (program.cli.action != MR_CLI_RUN) {
        return inform(&program);
    }
    enum mr_err err = mr_requests_open();
    if (err != MR_OK) {
        mr_complain("millrace: can't be asked to stop: %s", mr_err_text(err));
        return EXIT_FAILURE;
    }
    if (!read_config(&program) || !begin_daemon(&program) || !open_log(&program)) {
        return EXIT_FAILURE;
    }
    bool started = start(&program);
    if (started) {
        if (program.cli.daemon) {
            mr_log_output_detach(program.log);
            mr_daemon_ready(&program.daemon);
        }
        mr_requests_ready();
        serve(&program);
        mr_server_stop(program.server);
    }
    finish(&program);
    mr_requests_close();
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
