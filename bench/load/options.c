#include <getopt.h>
#include <stdlib.h>

#include "bench/load/load.h"

static const char usage_text[] =
    "usage: load [options] SHAPE\n"
    "  SHAPE            pair, fan-in, fan-out, wildcard, retained, idle, churn\n"
    "  -h, --host A     address of the broker (127.0.0.1)\n"
    "  -p, --port N     its port (1883)\n"
    "  -P, --pubs N     publishers (1)\n"
    "  -S, --subs N     subscribers, idle or churning clients (1)\n"
    "  -s, --size N     payload bytes, at least 16 (100)\n"
    "  -q, --qos N      0, 1 or 2 (0)\n"
    "  -w, --window N   messages under way for each publisher (1000)\n"
    "  -V, --version N  4 or 5 (4)\n"
    "  -t, --time S     seconds to measure (5)\n"
    "  -n, --count N    end after so many published messages (no limit)\n"
    "  -u, --warm-up S  seconds before that (1)\n"
    "  -r, --rate N     messages a second in all, open loop (0: as fast as possible)\n"
    "  -T, --topics N   wildcard: subscriptions; retained: messages (1000)\n"
    "  -z, --zipf S     wildcard: exponent of the distribution of topics (1)\n"
    "  -k, --pid N      the broker's process: its CPU time and memory are reported\n"
    "  -a, --sources N  connect from 127.0.0.1 to 127.0.0.N (1)\n"
    "  -m, --procs N    processes: so many copies of all this, with own topics (1)\n"
    "  -j, --json       one line of JSON\n"
    "      --help       this text\n"
    "Exits with 1 if a message was lost, doubled or out of order, or a connection ended.\n";

static const struct option long_options[] = {
    {"host", 1, NULL, 'h'},    {"port", 1, NULL, 'p'},    {"pubs", 1, NULL, 'P'},
    {"subs", 1, NULL, 'S'},    {"size", 1, NULL, 's'},    {"qos", 1, NULL, 'q'},
    {"window", 1, NULL, 'w'},  {"version", 1, NULL, 'V'}, {"time", 1, NULL, 't'},
    {"warm-up", 1, NULL, 'u'}, {"rate", 1, NULL, 'r'},    {"pid", 1, NULL, 'k'},
    {"topics", 1, NULL, 'T'},  {"zipf", 1, NULL, 'z'},    {"procs", 1, NULL, 'm'},
    {"sources", 1, NULL, 'a'}, {"json", 0, NULL, 'j'},    {"count", 1, NULL, 'n'},
    {"help", 0, NULL, 'H'},    {NULL, 0, NULL, 0},
};

static const char *const shape_names[] = {
    "pair", "fan-in", "fan-out", "wildcard", "retained", "idle", "churn",
};

const char *shape_name(enum shape shape) {
    return shape_names[shape];
}

static bool set_shape(struct options *out, const char *name) {
    for (size_t i = 0; i < MR_ARRAY_COUNT(shape_names); i++) {
        if (strcmp(name, shape_names[i]) == 0) {
            out->shape = (enum shape)i;
            return true;
        }
    }
    return false;
}

static bool set_option(struct options *out, int letter, const char *value) {
    unsigned long number = strtoul(value, NULL, 10);
    switch (letter) {
        case 'h':
            out->host = value;
            return true;
        case 'p':
            out->port = (uint16_t)number;
            return number > 0 && number <= UINT16_MAX;
        case 'P':
            out->publishers = (uint32_t)number;
            return true;
        case 'S':
            out->subscribers = (uint32_t)number;
            return true;
        case 's':
            out->payload_bytes = (uint32_t)number;
            return number >= STAMP_BYTES;
        case 'q':
            out->qos = (uint8_t)number;
            return number <= 2;
        case 'w':
            out->window = (uint32_t)number;
            return number > 0;
        case 'V':
            out->version = (uint8_t)number;
            return number == 4 || number == 5;
        case 't':
            out->seconds = strtod(value, NULL);
            return out->seconds > 0;
        case 'u':
            out->warm_up_seconds = strtod(value, NULL);
            return true;
        case 'r':
            out->rate = strtod(value, NULL);
            return true;
        case 'n':
            out->messages_max = number;
            return number > 0;
        case 'k':
            out->pid = (int)number;
            return number > 0;
        case 'a':
            out->sources = (uint32_t)number;
            return number > 0 && number < 255;
        case 'T':
            out->topics = (uint32_t)number;
            return number > 0 && number <= TOPICS_MAX;
        case 'z':
            out->zipf = strtod(value, NULL);
            return out->zipf >= 0;
        case 'm':
            out->processes = (uint32_t)number;
            return number > 0 && number <= PROCESSES_MAX;
        case 'j':
            out->json = true;
            return true;
        case 'H':
            fputs(usage_text, stdout);
            exit(EXIT_SUCCESS);
        default:
            return false;
    }
}

bool options_parse(struct options *out, int argc, char *argv[]) {
    *out = (struct options){.host = "127.0.0.1",
                            .port = 1883,
                            .publishers = 1,
                            .subscribers = 1,
                            .payload_bytes = 100,
                            .window = 1000,
                            .version = 4,
                            .seconds = 5,
                            .warm_up_seconds = 1,
                            .topics = 1000,
                            .zipf = 1,
                            .sources = 1,
                            .processes = 1};
    int letter;
    bool ok = true;
    while (ok && (letter = getopt_long(argc, argv, "h:p:P:S:s:q:w:V:t:u:r:n:k:a:T:z:m:j",
                                       long_options, NULL)) != -1) {
        ok = set_option(out, letter, optarg != NULL ? optarg : "");
    }
    ok = ok && optind + 1 == argc && set_shape(out, argv[optind]);
    if (ok && out->shape == SHAPE_PAIR) {
        out->subscribers = out->publishers;
    }
    if (out->shape == SHAPE_IDLE || out->shape == SHAPE_CHURN) {
        out->publishers = 0;
    } else {
        ok = ok && out->publishers > 0 && out->publishers <= TOPICS_MAX && out->subscribers > 0;
    }
    if (out->shape == SHAPE_RETAINED) {
        out->publishers = 1;
        out->qos = 0;
    }
    if (!ok) {
        fputs(usage_text, stderr);
    }
    return ok;
}
