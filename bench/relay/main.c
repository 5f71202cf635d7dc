// bazel run -c opt //bench:relay -- [PORT [WORKERS]]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "bench/relay/relay.h"

#define PORT_DEFAULT 1883ul
#define BACKLOG 4096

static int listen_on(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
              bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, BACKLOG) == 0;
    return ok ? fd : -1;
}

int main(int argc, char *argv[]) {
    static struct handshake handshake;
    unsigned long port = argc > 1 ? strtoul(argv[1], NULL, 10) : PORT_DEFAULT;
    handshake.worker_count = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    if (argc > 3 || port == 0 || port > UINT16_MAX || handshake.worker_count == 0 ||
        handshake.worker_count > WORKERS_MAX) {
        fprintf(stderr, "usage: relay [PORT [WORKERS]]\n");
        return EXIT_FAILURE;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int listen_fd = listen_on((uint16_t)port);
    if (listen_fd < 0 || !handshake_run(&handshake, listen_fd)) {
        perror("relay");
    }
    return EXIT_FAILURE;
}
