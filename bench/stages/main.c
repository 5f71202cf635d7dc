// bazel run -c opt //bench/stages:broker -- --io epoll --batch on --fanout shared
#include <stdlib.h>

#include "bench/stages/stages.h"

int main(int argc, char *argv[]) {
    struct stages stages = stages_before;
    if (!stages_parse(&stages, argc, argv)) {
        return EXIT_FAILURE;
    }
    return broker_run(&stages);
}
