#!/usr/bin/python3 -B
"""Does all exist that docs/THREATS.md names: tests, directives with their defaults, counters,
constants?"""

import re

import sources

PAGE = "docs/THREATS.md"
TEST = re.compile(r"`([\w/]+\.(?:py|cc)): (\w+)\.(\w+)`")
DIRECTIVE = re.compile(r"`([a-z][a-z0-9_]+)` \(([^):;]+)")
CONSTANT = re.compile(r"`([A-Z][A-Z0-9]+_[A-Z0-9_]+)`(?: in `([\w/.]+)`)?")
COUNTER = re.compile(r"`([a-z]+/[a-z_/]+)`")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}


def test_exists(path, case, name):
    text = "\n".join(sources.lines(path))
    if path.endswith(".cc"):
        return re.search(rf"TEST\w*\({case}, {name}\)", text)
    body = re.search(rf"^class {case}\(.*?(?=^class |\Z)", text, re.MULTILINE | re.DOTALL)
    return body and f"    def {name}(self" in body[0]


def directives():
    """{name: default as the reference writes it}."""
    found = {}
    for line in sources.lines("docs/CONFIGURATION.md"):
        cells = [cell.strip() for cell in line.split(" | ")]
        if len(cells) == 5 and cells[0].startswith("| `"):
            found[cells[0][3:-1]] = cells[3]
    return found


def number(text):
    """What a default is, whatever its unit."""
    match = re.match(r"(-?\d+) ?([A-Za-z]*)", text)
    if match is None:
        return text.split()[0]
    return int(match[1]) * UNITS.get(match[2], 1)


def counter_exists(topic):
    names = "\n".join(sources.lines("broker/sys/names.c"))
    if topic.startswith("drops/"):
        return f"X(dropped_{topic[6:]}," in "\n".join(sources.lines("broker/sys/counters.h"))
    return f'"{topic}"' in names


def constant_exists(name, path):
    return any(re.search(rf"#define {name}\b", line)
               for line in sources.lines(path or "broker/limits.h"))


def problems_of(line):
    for path, case, name in TEST.findall(line):
        if not sources.os.path.exists(sources.full(path)) or not test_exists(path, case, name):
            yield f"there is no {path}: {case}.{name}"
    for name, default in DIRECTIVE.findall(line):
        if name not in KNOWN:
            yield f"there is no directive {name}"
        elif number(default) not in (number(KNOWN[name]), "none"):
            yield f"{name} is {KNOWN[name]}, not {default}"
    for name, path in CONSTANT.findall(line):
        if not constant_exists(name, path):
            yield f"there is no {name}"
    if line.startswith("|"):
        for topic in COUNTER.findall(line.split(" | ")[3] if line.count(" | ") > 3 else ""):
            if not counter_exists(topic):
                yield f"there is no counter {topic}"


KNOWN = directives()
lines = sources.lines(PAGE)
problems = [f"{PAGE}:{at}: {problem}"
            for at, line in enumerate(lines, 1) for problem in problems_of(line)]
count = sum(len(TEST.findall(line)) for line in lines)
if len(KNOWN) < 40 or count < 40:
    problems.append(f"only {len(KNOWN)} directives and {count} tests were read")
sources.finish([PAGE], problems)
