#!/usr/bin/python3 -B
"""Is each C and C++ file as clang-format 14 would write it?"""

import sources


def check(name):
    if not sources.run(["clang-format-14", "--dry-run", "-Werror", name]):
        return ""
    return f"{name}: run clang-format-14 -i {name}"


names = sources.files(".c", ".cc", ".h", ".hh")
sources.finish(names, sources.for_each(names, check))
