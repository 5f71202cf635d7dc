#!/usr/bin/python3 -B
"""Does each header compile alone, and is its guard named after its path?

A `.h` has to compile as C17, and one with `extern "C"` as C++17 too. Without,
it is for C only. A `.hh` is for C++ only.
"""

import re

import sources

C = "gcc -x c -std=c17 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
CXX = "g++ -x c++ -std=c++17 -Wall -Wextra -Werror"


def check(name):
    problems = []
    text = "\n".join(sources.lines(name))
    guard = "MILLRACE_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
    code = re.sub(r"^\s*//.*\n?", "", text, flags=re.MULTILINE).lstrip()
    if not code.startswith(f"#ifndef {guard}\n#define {guard}\n"):
        problems.append(f"{name}: does not begin with #ifndef {guard}, #define {guard}")
    if not text.endswith(f"\n#endif  // {guard}"):
        problems.append(f"{name}: does not end with #endif  // {guard}")
    commands = []
    if name.endswith(".h"):
        commands.append(C)
    if name.endswith(".hh") or 'extern "C"' in text:
        commands.append(CXX)
    for command in commands:
        # Included: as a main file it would get other warnings.
        include = ["-I.", "-fsyntax-only", "-include", name, "/dev/null"]
        problems.append(sources.run(command.split() + include))
    return "\n".join(p for p in problems if p)


names = sources.files(".h", ".hh")
sources.finish(names, sources.for_each(names, check))
