#!/usr/bin/env python3
"""Has Spin search all states of a model, and find the fault in each broken variant of it.

    check_model.py MODEL STATES_MIN STATES_MAX [VARIANT=WHAT ...]

The model itself has to be free of errors, with at least STATES_MIN states: fewer mean that
something keeps it from moving. Above STATES_MAX the search is given up. VARIANT is a macro
that breaks the model, and WHAT is in the error that has to be found then. "_" stands for a blank.
"""
import os
import re
import subprocess
import sys
import tempfile

DEPTH_MAX = 1000000
MEMORY_MIB_MAX = 2000


class Search:
    """What one search of all states found."""

    def __init__(self, model, variant, states_max):
        define = ["-D" + variant] if variant else []
        with tempfile.TemporaryDirectory() as folder:
            # Spin writes its trail and the checker's source to the current folder.
            run(folder, ["spin", *define, "-a", model])
            # A fault is found after few states: there the compiler takes longer than the search.
            run(folder, ["gcc", "-O0" if variant else "-O1", "-w", "-DSAFETY", "-DCOLLAPSE",
                         f"-DMEMLIM={MEMORY_MIB_MAX}", "-o", "pan", "pan.c"])
            self.text = run(folder, ["./pan", "-n", f"-m{DEPTH_MAX}"])
        self.states = int(self.number(r"(\d+) states, stored"))
        self.errors = int(self.number(r"errors: (\d+)"))
        self.error = (re.findall(r"^pan:\d+: (.*)", self.text, re.MULTILINE) + [""])[0]
        if self.states > states_max:
            raise SystemExit(f"{self.states} states are more than {states_max}\n{self.text}")

    def number(self, pattern):
        found = re.search(pattern, self.text)
        if found is None:
            raise SystemExit(f"the checker says nothing of {pattern}:\n{self.text}")
        return found.group(1)

    def expect(self, condition, what):
        if not condition:
            raise SystemExit(f"{what}:\n{self.text}")


def run(folder, command):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def check_model(model, states_min, states_max):
    search = Search(model, None, states_max)
    search.expect(search.errors == 0, "the model has an error")
    search.expect("max search depth too small" not in search.text, "not all states were searched")
    search.expect(search.states >= states_min, f"fewer than {states_min} states")
    print(f"{os.path.basename(model)}: {search.states} states, no error")


def check_variant(model, variant, what, states_max):
    search = Search(model, variant, states_max)
    search.expect(search.errors > 0, f"the fault of {variant} isn't found")
    search.expect(what in search.error, f"{variant} fails, but not with '{what}'")
    print(f"{os.path.basename(model)} with {variant}: {what}")


def main():
    model = os.path.abspath(sys.argv[1])
    states_max = int(sys.argv[3])
    check_model(model, int(sys.argv[2]), states_max)
    for argument in sys.argv[4:]:
        variant, what = argument.split("=", 1)
        check_variant(model, variant, what.replace("_", " "), states_max)


if __name__ == "__main__":
    main()
