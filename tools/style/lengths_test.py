#!/usr/bin/python3 -B
"""Does a function fit a screen, and a file one subject?

A C function has at most 70 lines and a source file at most 800. What is longer
stands in lengths.txt with its length, which may only go down: the test fails
when an entry grows and also when it could be lowered or dropped.
"""

import re

import sources

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
LIST = "tools/style/lengths.txt"


def functions(lines):
    """Yields (name, length) of each function. Relies on the format: a body
    begins with a { at the end of a line and ends with a } alone in column 0."""
    start = None  # First line of the declaration we are in.
    in_body = in_macro = False
    for number, line in enumerate(lines):
        code = line.split("//")[0].rstrip()
        if in_body:
            if code == "}":
                name = re.search(r"(\w+)\(", " ".join(lines[start:number]))
                if name:
                    yield name.group(1), number - start + 1
            if code.startswith("}"):
                start, in_body = None, False
        elif in_macro or code.startswith("#"):
            in_macro = code.endswith("\\")
        elif code and code != 'extern "C" {':
            start = number if start is None else start
            in_body = code.endswith("{")
            if code.endswith((";", "}")):
                start = None


def measure():
    """Returns what is too long: {"file" or "file:function": lines}."""
    found = {}
    names = sources.files(".c", ".cc", ".h", ".hh", ".py")
    for name in names:
        lines = sources.lines(name)
        if len(lines) > FILE_LINES_MAX:
            found[name] = len(lines)
        if name.endswith((".c", ".h")):
            for function, length in functions(lines):
                if length > FUNCTION_LINES_MAX:
                    found[f"{name}:{function}"] = length
    return names, found


def listed():
    words = [line.split("#")[0].split() for line in sources.lines(LIST)]
    return {what: int(length) for what, length in filter(None, words)}


def problems(found, allowed):
    for what in sorted(found.keys() | allowed.keys()):
        length, limit = found.get(what, 0), allowed.get(what, 0)
        if length > limit:
            yield f"{what}: {length} lines. Split it, or say in {LIST} why it is better whole"
        elif length < limit:
            yield f"{what}: better than {LIST} says ({limit}). Now it is {length or 'fine: drop it'}"


if __name__ == "__main__":
    names, found = measure()
    sources.finish(names, list(problems(found, listed())))
