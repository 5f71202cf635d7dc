#!/usr/bin/python3 -B
"""Does gcc's -fanalyzer find nothing in the C sources? KNOWN lists what it is wrong about.

It follows each function's paths, calls of static functions included: leaks, use after free, NULL,
what isn't initialised. gcc 12 forgets what was stored through a pointer that it can't name; all
that KNOWN lists is of that kind, and nothing of it is in base, codec or trie.
"""

import re

import sources

# The last leaves freeing to the end of its processes, on purpose.
# Proofs are for CBMC, where memory that nobody wrote to holds any value.
ELSEWHERE = ("io/iocp/", "tests/proofs/", "tools/fuzz/afl_main.c", "bench/")
WINDOWS = "_windows.c"
COMMAND = ["gcc", "-std=c17", "-D_GNU_SOURCE", "-DMR_DEBUG=1", "-DXXH_INLINE_ALL", "-I.", "-O1",
           "-fanalyzer", "-fdiagnostics-plain-output", "-fanalyzer-verbosity=0", "-S", "-o",
           "/dev/null"]
# (file, kind): why it is wrong.
KNOWN = {
    ("broker/cli/files.c", "malloc-leak"): "the name is in the list, which has grown for it",
    ("broker/config/messages.c", "malloc-leak"): "the line is in the list, which has grown for it",
    ("broker/config/print.c", "null-argument"): "without room, data was allocated just before",
    ("broker/config/special.c", "malloc-leak"): "the list belongs to the configuration already",
    ("broker/registry/registry.c", "malloc-leak"): "entries hang in the new buckets",
    ("broker/retained/tree.c", "malloc-leak"): "the leaf hangs in the tree",
    ("fuzz/config_fuzz.c", "malloc-leak"): "the name is in the list that is handed out",
    ("io/stream.c", "malloc-leak"): "what is sent hangs in the stream's chain",
    ("io/uring/listener.c", "malloc-leak"): "accepts hang in the loop's list",
}
WARNING = re.compile(r"^([^:\n]+):(\d+):\d+: warning: (.*) \[-Wanalyzer-([\w-]+)\]$", re.MULTILINE)
seen = set()


def check(name):
    done = sources.output([*COMMAND, name])
    problems = []
    for path, line, what, kind in WARNING.findall(done):
        if (path, kind) in KNOWN:
            seen.add((path, kind))
        else:
            problems.append(f"{path}:{line}: {kind}: {what}")
    if "error:" in done:
        problems.append(done)
    return "\n".join(problems)


names = [
    name
    for name in sources.files(".c")
    if not name.startswith(ELSEWHERE) and not name.endswith(WINDOWS)
]
found = sources.for_each(names, check)
found += [f"{path}: {kind} isn't found any more: remove it from KNOWN"
          for path, kind in sorted(KNOWN.keys() - seen)]
sources.finish(names, found)
