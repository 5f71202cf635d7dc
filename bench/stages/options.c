#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/stages/stages.h"

#define PORT_DEFAULT 1883u

const struct stages stages_before = {
    .port = PORT_DEFAULT,
    .workers = 1,
    .io = IO_THREADS,
    .lookup = LOOKUP_WALK,
};

static const char usage_text[] =
    "usage: broker [options], plain parts by default\n"
    "  --port N          on 127.0.0.1 (1883)\n"
    "  --workers N       event loops (1)\n"
    "  --io KIND         threads, epoll, io_uring\n"
    "  --batch WORD      off, on\n"
    "  --fanout KIND     copy, shared\n"
    "  --lookup KIND     walk, trie, cache\n"
    "  --memory KIND     malloc, pool\n"
    "  --handover KIND   mutex, ring\n";

static const struct option long_options[] = {
    {"port", 1, NULL, 'p'},   {"workers", 1, NULL, 'w'},  {"io", 1, NULL, 'i'},
    {"batch", 1, NULL, 'b'},  {"fanout", 1, NULL, 'f'},   {"lookup", 1, NULL, 'l'},
    {"memory", 1, NULL, 'm'}, {"handover", 1, NULL, 'h'}, {NULL, 0, NULL, 0},
};

// The index of `word` among at most three names; -1: none.
static int choice(const char *word, const char *first, const char *second, const char *third) {
    const char *const names[] = {first, second, third};
    for (int i = 0; i < 3; i++) {
        if (names[i] != NULL && strcmp(word, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static bool set_option(struct stages *out, int letter, const char *value) {
    unsigned long number = strtoul(value, NULL, 10);
    int chosen = 0;
    switch (letter) {
        case 'p':
            out->port = (uint16_t)number;
            return number > 0 && number <= UINT16_MAX;
        case 'w':
            out->workers = (uint32_t)number;
            return number > 0 && number <= WORKERS_MAX;
        case 'i':
            chosen = choice(value, "threads", "epoll", "io_uring");
            out->io = (enum io_kind)chosen;
            break;
        case 'b':
            chosen = choice(value, "off", "on", NULL);
            out->batch = chosen == 1;
            break;
        case 'f':
            chosen = choice(value, "copy", "shared", NULL);
            out->shared = chosen == 1;
            break;
        case 'l':
            chosen = choice(value, "walk", "trie", "cache");
            out->lookup = (enum lookup_kind)chosen;
            break;
        case 'm':
            chosen = choice(value, "malloc", "pool", NULL);
            out->pool = chosen == 1;
            break;
        case 'h':
            chosen = choice(value, "mutex", "ring", NULL);
            out->ring = chosen == 1;
            break;
        default:
            return false;
    }
    return chosen >= 0;
}

bool stages_parse(struct stages *out, int argc, char *argv[]) {
    int letter;
    bool ok = true;
    while (ok && (letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        ok = set_option(out, letter, optarg != NULL ? optarg : "");
    }
    ok = ok && optind == argc;
    if (!ok) {
        fputs(usage_text, stderr);
    }
    return ok;
}
