// The broker as a program, from its command line to its exit status: composes the parts and
// reads files, no logic of its own. Each system has a main_*.c before it.
#ifndef MILLRACE_BROKER_PROGRAM_H
#define MILLRACE_BROKER_PROGRAM_H

// Returns the exit status. `argv` is UTF-8, `more_help` what --help adds to the options.
int mr_program_run(int argc, char *argv[], const char *more_help);

#endif  // MILLRACE_BROKER_PROGRAM_H
