#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/stages/count.h"
#include "bench/stages/stages.h"

static void *serve(void *ctx) {
    const struct stages *stages = ctx;
    bool ok = stages->io == IO_THREADS ? threads_run(stages) : loops_run(stages);
    if (!ok) {
        fprintf(stderr, "broker: can't serve on port %u\n", stages->port);
        _exit(EXIT_FAILURE);
    }
    return NULL;
}

static void write_counters(void) {
    printf(
        "{\"published\": %llu, \"delivered\": %llu, \"allocated\": %llu, \"freed\": %llu, "
        "\"syscalls\": %llu, \"locked\": %llu}\n",
        (unsigned long long)count_total(COUNT_PUBLISHED),
        (unsigned long long)count_total(COUNT_DELIVERED),
        (unsigned long long)count_total(COUNT_ALLOCATED),
        (unsigned long long)count_total(COUNT_FREED),
        (unsigned long long)count_total(COUNT_SYSCALLS),
        (unsigned long long)count_total(COUNT_LOCKED));
    fflush(stdout);
}

int broker_run(const struct stages *stages) {
    struct stages copy = *stages;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, &copy) != 0) {
        return EXIT_FAILURE;
    }
    int number;
    while (sigwait(&signals, &number) == 0 && number == SIGUSR1) {
        write_counters();
    }
    // Threads and connections end with the process.
    _exit(EXIT_SUCCESS);
}
