#include "broker/program.h"

int main(int argc, char *argv[]) {
    return mr_program_run(argc, argv, "");
}
