#!/usr/bin/python3 -B
"""Does each header compile alone, and is its guard named after its path?

A `.h` has to compile as C17, and one with `extern "C"` as C++17 too. Without,
it is for C only. A `.hh`, or one that includes GoogleTest, is for C++ only.
Those for Windows are for its compilers.
"""

import re

import sources

C = "gcc -x c -std=c17 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
CXX = "g++ -x c++ -std=c++17 -Wall -Wextra -Werror"
WINDOWS = re.compile(r"^io/iocp/|_windows\.h$")
WINDOWS_COMPILER = "x86_64-w64-mingw32-{}-posix -D_WIN32_WINNT=0x0602"


def check(name):
    problems = []
    text = "\n".join(sources.lines(name))
    guard = "MILLRACE_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
    code = re.sub(r"^\s*//.*\n?", "", text, flags=re.MULTILINE).lstrip()
    if not code.startswith(f"#ifndef {guard}\n#define {guard}\n"):
        problems.append(f"{name}: does not begin with #ifndef {guard}, #define {guard}")
    if not text.endswith(f"\n#endif  // {guard}"):
        problems.append(f"{name}: does not end with #endif  // {guard}")
    if name.endswith(".hh") or "#include <gtest/" in text:
        commands = [CXX]
    elif 'extern "C"' in text:
        commands = [C, CXX]
    else:
        commands = [C]
    for command in commands:
        if WINDOWS.search(name):
            compiler, flags = command.split(" ", 1)
            command = f"{WINDOWS_COMPILER.format(compiler)} {flags}"
        # Included: as a main file it would get other warnings.
        include = ["-I.", "-fsyntax-only", "-include", name, "tools/style/empty.c"]
        problems.append(sources.run(command.split() + include))
    return "\n".join(p for p in problems if p)


names = sources.files(".h", ".hh")
sources.finish(names, sources.for_each(names, check))
