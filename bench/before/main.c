// The broker before: all parts plain. bazel run -c opt //bench/before:broker -- --port 1883
#include <stdlib.h>

#include "bench/stages/stages.h"

int main(int argc, char *argv[]) {
    struct stages stages = stages_before;
    if (!stages_parse(&stages, argc, argv)) {
        return EXIT_FAILURE;
    }
    return broker_run(&stages);
}
