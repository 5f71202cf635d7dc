#!/usr/bin/python3 -B
"""Does cppcheck find nothing in the C sources? cppcheck.txt lists what it is wrong about.

It looks at all of them at once, so that it sees calls between them, and takes a few seconds. A
line of cppcheck.txt that matches nothing any more is a finding, too.
"""

import os
import re

import sources

# Proofs are for CBMC, where memory that nobody wrote to holds any value.
ELSEWHERE = ("io/iocp/", "tests/proofs/", "tools/fuzz/afl_main.c")
WINDOWS = "_windows.c"
COMMAND = [
    "cppcheck",
    "--std=c11",  # The newest that it knows.
    "--enable=warning,performance,portability",
    "--library=posix",
    "--inline-suppr",
    "--suppressions-list=tools/style/cppcheck.txt",
    # It needs no headers of the system, and says once for each that it has none.
    "--suppress=missingIncludeSystem",
    "--suppress=missingInclude",
    "--suppress=checkersReport",
    "--template={file}:{line}: {id}: {message}",
    "--error-exitcode=1",
    "--quiet",
    f"-j{os.cpu_count()}",
    "-D_GNU_SOURCE",
    "-DMR_DEBUG=1",
    "-I.",
]


def unmatched(names):
    """Suppressions without a finding: with several jobs, cppcheck doesn't look."""
    once = [word for word in COMMAND if not word.startswith("--suppressions-list")]
    found = sources.run(once + names)
    problems = []
    for line in sources.lines("tools/style/cppcheck.txt"):
        if line and not line.startswith("#"):
            identifier, path = line.split(":", 1)
            if not re.search(rf"^{re.escape(path)}:\d+: {identifier}:", found, re.MULTILINE):
                problems.append(f"tools/style/cppcheck.txt: {line} isn't found any more")
    return problems


files = [
    name
    for name in sources.files(".c")
    if not name.startswith(ELSEWHERE) and not name.endswith(WINDOWS)
]
problem = sources.run(COMMAND + files)
sources.finish(files, ([problem] if problem else []) + unmatched(files))
