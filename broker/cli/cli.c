#include "broker/cli/cli.h"

#include <stdio.h>

#include "broker/config/words.h"
#include "broker/limits.h"

enum option {
    OPTION_CONFIG_FILE,
    OPTION_DAEMON,
    OPTION_HELP,
    OPTION_PORT,
    OPTION_VERBOSE,
    OPTION_VERSION,
    OPTION_TEST_CONFIG,
    OPTION_PRINT_CONFIG,
    OPTION_IO,
    OPTION_WORKERS,
    OPTION_UNSUPPORTED,
};

struct option_row {
    const char *name;
    const char *value;  // What follows; NULL: nothing. Of OPTION_UNSUPPORTED: advice.
    enum option option;
    char letter;  // '\0': none.
};

static const struct option_row rows[] = {
    {"config-file", "a file name", OPTION_CONFIG_FILE, 'c'},
    {"daemon", NULL, OPTION_DAEMON, 'd'},
    {"help", NULL, OPTION_HELP, 'h'},
    {"port", "a port", OPTION_PORT, 'p'},
    {"verbose", NULL, OPTION_VERBOSE, 'v'},
    {"version", NULL, OPTION_VERSION, '\0'},
    {"test-config", NULL, OPTION_TEST_CONFIG, '\0'},
    {"print-config", NULL, OPTION_PRINT_CONFIG, '\0'},
    {"io", "the name of a backend", OPTION_IO, '\0'},
    {"workers", "a number", OPTION_WORKERS, '\0'},
    {"quiet", "write \"log_type none\" into the configuration file", OPTION_UNSUPPORTED, 'q'},
    {"tls-keylog", "TLS isn't supported yet", OPTION_UNSUPPORTED, '\0'},
};

const char *mr_cli_help(void) {
    return "Usage: millrace [-c FILE] [-d] [-p PORT] [-v] [--io BACKEND] [--workers N]\n"
           "       millrace --test-config | --print-config [-c FILE]\n"
           "       millrace --help | --version\n"
           "\n"
           "An MQTT broker for 3.1, 3.1.1 and 5.0. Reads Mosquitto's configuration.\n"
           "\n"
           "  -c, --config-file FILE  read this configuration\n"
           "  -d, --daemon            go into the background once started\n"
           "  -h, --help              print this text\n"
           "  -p, --port PORT         port of the default listener, instead of 1883\n"
           "  -v, --verbose           log everything, whatever the configuration says\n"
           "      --version           print the version\n"
           "      --test-config       check the configuration and exit\n"
           "      --print-config      print the effective configuration and exit\n"
           "      --io BACKEND        input and output by auto, epoll, io_uring, uv; iocp\n"
           "      --workers N         threads that serve clients; 0: one for each core\n"
           "\n"
           "Without -c, only clients on this machine can connect.\n";
}

// Whole decimal number up to `max`, or -1.
static long parse_number(const char *text, long max) {
    long number = 0;
    if (*text == '\0') {
        return -1;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return -1;
        }
        number = number * 10 + (*text - '0');
        if (number > max) {
            return -1;
        }
    }
    return number;
}

// Is `text` the whole name of `row`, perhaps with "=value" behind it?
static bool is_long(const struct option_row *row, const char *text, const char **value) {
    size_t len = strlen(row->name);
    if (strncmp(text, row->name, len) != 0 || (text[len] != '\0' && text[len] != '=')) {
        return false;
    }
    *value = text[len] == '=' ? text + len + 1 : NULL;
    return true;
}

static enum mr_err refuse_long(char message[MR_CLI_MESSAGE_BYTES], const char *word) {
    struct mr_word_nearest nearest = {0};
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    for (size_t i = 0; i < MR_ARRAY_COUNT(rows); i++) {
        mr_word_consider(&nearest, mr_slice_of(name, len), rows[i].name);
    }
    if (nearest.word != NULL) {
        (void)snprintf(message, MR_CLI_MESSAGE_BYTES, "unknown option '%s'; did you mean --%s?",
                       word, nearest.word);
    } else {
        (void)snprintf(message, MR_CLI_MESSAGE_BYTES, "unknown option '%s'; see --help", word);
    }
    return MR_ERR_INVALID;
}

static enum mr_err set_number(int *out, char message[MR_CLI_MESSAGE_BYTES], const char *what,
                              const char *value, long min, long max) {
    MR_ASSERT(value != NULL);  // take_value() saw to it.
    long number = parse_number(value, max);
    if (number < min) {
        (void)snprintf(message, MR_CLI_MESSAGE_BYTES,
                       "%s: expected a whole number from %ld to %ld, not '%s'", what, min, max,
                       value);
        return MR_ERR_INVALID;
    }
    *out = (int)number;
    return MR_OK;
}

static enum mr_err apply(struct mr_cli *out, char message[MR_CLI_MESSAGE_BYTES],
                         const struct option_row *row, const char *value) {
    int number = 0;
    switch (row->option) {
        case OPTION_CONFIG_FILE:
            out->overrides.path = value;
            break;
        case OPTION_DAEMON:
            out->daemon = true;
            break;
        case OPTION_HELP:
            out->action = MR_CLI_HELP;
            break;
        case OPTION_PORT:
            MR_TRY(set_number(&number, message, "--port", value, 1, UINT16_MAX));
            out->overrides.port = (uint16_t)number;
            break;
        case OPTION_VERBOSE:
            out->overrides.verbose = true;
            break;
        case OPTION_VERSION:
            out->action = MR_CLI_VERSION;
            break;
        case OPTION_TEST_CONFIG:
            out->action = MR_CLI_TEST_CONFIG;
            break;
        case OPTION_PRINT_CONFIG:
            out->action = MR_CLI_PRINT_CONFIG;
            break;
        case OPTION_IO:
            // Which ones there are, the configuration knows.
            out->overrides.io_backend = value;
            break;
        case OPTION_WORKERS:
            MR_TRY(set_number(&number, message, "--workers", value, 0, MR_WORKERS_MAX));
            out->overrides.workers = number;
            break;
        case OPTION_UNSUPPORTED:
            (void)snprintf(message, MR_CLI_MESSAGE_BYTES, "--%s isn't supported: %s", row->name,
                           row->value);
            return MR_ERR_INVALID;
    }
    return MR_OK;
}

// The words of the command line, and which one is next.
struct words {
    int argc;
    char *const *argv;
    int next;
};

static enum mr_err take_value(const char **value, char message[MR_CLI_MESSAGE_BYTES],
                              struct words *words, const struct option_row *row, const char *word) {
    bool takes = row->value != NULL && row->option != OPTION_UNSUPPORTED;
    if (!takes && *value != NULL && row->option != OPTION_UNSUPPORTED) {
        (void)snprintf(message, MR_CLI_MESSAGE_BYTES, "--%s takes no value, but was given '%s'",
                       row->name, *value);
        return MR_ERR_INVALID;
    }
    if (!takes || *value != NULL) {
        return MR_OK;
    }
    if (words->next >= words->argc) {
        (void)snprintf(message, MR_CLI_MESSAGE_BYTES, "%s needs %s behind it", word, row->value);
        return MR_ERR_INVALID;
    }
    *value = words->argv[words->next++];
    return MR_OK;
}

static enum mr_err parse_long(struct mr_cli *out, char message[MR_CLI_MESSAGE_BYTES],
                              struct words *words, const char *word) {
    for (size_t i = 0; i < MR_ARRAY_COUNT(rows); i++) {
        const char *value;
        if (is_long(&rows[i], word + 2, &value)) {
            MR_TRY(take_value(&value, message, words, &rows[i], word));
            return apply(out, message, &rows[i], value);
        }
    }
    return refuse_long(message, word);
}

// One word may hold several letters, and a value behind the last: -dvp1884.
static enum mr_err parse_short(struct mr_cli *out, char message[MR_CLI_MESSAGE_BYTES],
                               struct words *words, const char *word) {
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        const struct option_row *row = NULL;
        for (size_t i = 0; i < MR_ARRAY_COUNT(rows); i++) {
            row = rows[i].letter == *letter ? &rows[i] : row;
        }
        if (row == NULL) {
            (void)snprintf(message, MR_CLI_MESSAGE_BYTES,
                           "unknown option '-%c' in '%s'; see --help", *letter, word);
            return MR_ERR_INVALID;
        }
        bool takes = row->value != NULL && row->option != OPTION_UNSUPPORTED;
        const char *value = takes && letter[1] != '\0' ? letter + 1 : NULL;
        bool rest_used = value != NULL;
        MR_TRY(take_value(&value, message, words, row, word));
        MR_TRY(apply(out, message, row, value));
        if (rest_used) {
            break;
        }
    }
    return MR_OK;
}

enum mr_err mr_cli_parse(struct mr_cli *out, char message[MR_CLI_MESSAGE_BYTES], int argc,
                         char *const argv[]) {
    struct mr_cli cli = {.action = MR_CLI_RUN, .overrides.workers = -1};
    struct words words = {argc, argv, 1};
    message[0] = '\0';
    while (words.next < argc && cli.action != MR_CLI_HELP && cli.action != MR_CLI_VERSION) {
        const char *word = argv[words.next++];
        if (word[0] != '-' || word[1] == '\0') {
            (void)snprintf(message, MR_CLI_MESSAGE_BYTES,
                           "'%s' isn't an option; a configuration file is given with -c", word);
            return MR_ERR_INVALID;
        }
        if (word[1] == '-') {
            MR_TRY(parse_long(&cli, message, &words, word));
        } else {
            MR_TRY(parse_short(&cli, message, &words, word));
        }
    }
    *out = cli;
    return MR_OK;
}
