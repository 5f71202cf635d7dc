#!/usr/bin/python3 -B
"""Plants small faults in the code, one at a time: which tests catch each?

    bazel run //tests/mutation                              # all, in about ten minutes
    bazel run //tests/mutation -- --component trie --jobs 2
    bazel run //tests/mutation -- --only publish            # faults whose name has that in it
    bazel run //tests/mutation -- --component trie --part 2/3

mutants.tsv has a row for each fault: the file, the function ("-" for what stands outside of any),
a text that is there once, what it is replaced by, and what that means for a user. The unit tests of
the component are compiled once, without Bazel, against a shared library; for each fault one file is
compiled again, and the library is linked again. A test that fails, dies or doesn't end catches the
fault. A fault that none catches is a hole in the tests, unless its row says why it can't be seen.

Ends with 1 if a fault survived without a reason, or if a row doesn't fit the code any more.
"""

import argparse
import concurrent.futures
import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

C_FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-DXXH_INLINE_ALL", "-O1", "-fPIC", "-w", "-I."]
CXX_FLAGS = ["-std=c++17", "-DXXH_INLINE_ALL", "-O0", "-w", "-I."]
TEST_SECONDS_MAX = 60
CATCHERS_SHOWN = 3

# Component: folders of the library, tests, their common sources.
COMPONENTS = {
    "codec": (("base", "codec"), "codec/*_test.cc", ("codec/testing.cc",)),
    "trie": (("base", "codec", "trie"), "trie/*_test.cc", ()),
    "broker/session": (
        ("base", "codec", "trie", "io/buf", "broker/message", "broker/registry", "broker/session"),
        "broker/session/*_test.cc", ("broker/session/testing.cc", "broker/session/model.cc"),
    ),
}
# Those that compile sources in again, which the library has.
SKIPPED = {"codec/utf8_portable_test.cc"}
# Those that take long, and are asked only about faults that no other test catches.
LAST = {"broker/session/session_model_test.cc", "trie/memory_test.cc", "trie/threads_test.cc"}


class Mutant:
    def __init__(self, row, index):
        self.file = row["file"]
        self.function = row["function"]
        self.old = row["old"].replace("\\n", "\n")
        self.new = row["new"].replace("\\n", "\n")
        self.fault = row["fault"]
        self.survives = row["survives"] or ""
        self.name = f"{self.file}:{self.function}:{index}"
        self.component = next(c for c in COMPONENTS if self.file.startswith(c + "/"))

    def apply(self):
        """The file with the fault; an error in words if the row doesn't fit."""
        with open(os.path.join(ROOT, self.file), encoding="utf-8") as file:
            text = file.read()
        begin, end = 0, len(text)
        if self.function != "-":
            match = re.search(rf"^(?!static_assert)\w[^\n;#]*\b{re.escape(self.function)}\("
                              rf"[^;{{}}]*\) {{$.*?^}}$", text, re.MULTILINE | re.DOTALL)
            if match is None:
                return None, f"there is no function {self.function}"
            begin, end = match.span()
        count = text[begin:end].count(self.old)
        if count != 1:
            return None, f"its text is there {count} times, not once"
        at = text.index(self.old, begin)
        return text[:at] + self.new + text[at + len(self.old):], None


def read_mutants():
    with open(os.path.join(HERE, "mutants.tsv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""))
    seen = {}
    mutants = []
    for row in rows:
        key = (row["file"], row["function"])
        seen[key] = seen.get(key, 0) + 1
        mutants.append(Mutant(row, seen[key]))
    return mutants


# ------------------------------------------------------------------------------------ building

def run(command, **kwargs):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace",
                          check=False, **kwargs)


def must(command):
    done = run(command)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def glob_in_tree(pattern):
    folder, name = os.path.split(pattern)
    expression = re.compile(re.escape(name).replace(r"\*", ".*") + "$")
    names = os.listdir(os.path.join(ROOT, folder))
    return sorted(os.path.join(folder, n) for n in names if expression.match(n))


class Built:
    """A component's objects and its tests, which load its library from a folder given later."""

    def __init__(self, component, folder, jobs, only_tests=None):
        folders, tests, common = COMPONENTS[component]
        self.folder = os.path.join(folder, component.replace("/", "-"))
        os.makedirs(self.folder, exist_ok=True)
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.sources = [s for f in folders for s in glob_in_tree(f + "/*.c") if "windows" not in s]
        self.tests = [t for t in glob_in_tree(tests) if t not in SKIPPED]
        if only_tests is not None:
            self.tests = [t for t in self.tests if os.path.basename(t) in only_tests]
        list(self.pool.map(self.compile, self.sources + self.tests + list(common)))
        self.link(os.path.join(self.folder, "lib.so"), {})
        extra = [self.object_of(source) for source in common]
        list(self.pool.map(lambda test: self.link_test(test, extra), self.tests))
        self.pool.shutdown()

    def object_of(self, source):
        return os.path.join(self.folder, source.replace("/", "-") + ".o")

    def compile(self, source):
        target = self.object_of(source)
        is_c = source.endswith(".c")
        flags = ["gcc"] + C_FLAGS if is_c else ["g++"] + CXX_FLAGS
        with open(os.path.join(ROOT, source), "rb") as file:
            want = hashlib.sha256(file.read() + self.headers()).hexdigest()
        stamp = target + ".stamp"
        if os.path.exists(stamp) and os.path.exists(target):
            with open(stamp, encoding="utf-8") as file:
                if file.read() == want:
                    return
        must(flags + ["-c", source, "-o", target])
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(want)

    def headers(self):
        """A hash over all headers, any of which may matter."""
        if not hasattr(self, "headers_hash"):
            digest = hashlib.sha256()
            for top in ("base", "broker", "codec", "io", "trie"):
                for path, folders, names in os.walk(os.path.join(ROOT, top)):
                    folders.sort()
                    for name in sorted(names):
                        if name.endswith((".h", ".hh")):
                            with open(os.path.join(path, name), "rb") as file:
                                digest.update(file.read())
            self.headers_hash = digest.digest()
        return self.headers_hash

    def link(self, target, replaced):
        """Links the library; `replaced` maps sources to other objects."""
        objects = [replaced.get(source) or self.object_of(source) for source in self.sources]
        must(["gcc", "-shared", "-o", target, "-Wl,-soname,lib.so", *objects, "-pthread"])

    def program_of(self, test):
        return os.path.join(self.folder, os.path.basename(test)[:-3])

    def link_test(self, test, extra):
        must(["g++", self.object_of(test), *extra, os.path.join(self.folder, "lib.so"),
              "-lgtest_main", "-lgtest", "-pthread", "-o", self.program_of(test)])

    def catchers(self, library_folder):
        """The tests that fail with the library of that folder."""
        caught = []
        for test in sorted(self.tests, key=lambda test: test in LAST):
            if test not in LAST or not caught:
                caught += self.run_test(test, library_folder)
        return caught

    def run_test(self, test, library_folder):
        name = os.path.basename(test)[:-3]
        env = {**os.environ, "LD_LIBRARY_PATH": library_folder}
        env.pop("TEST_TOTAL_SHARDS", None)
        command = [self.program_of(test), "--gtest_brief=1"]
        try:
            done = run(command, env=env, timeout=TEST_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            # What takes long anyway may just be slow today.
            return [] if test in LAST else [f"{name} (doesn't end)"]
        failed = re.findall(r"^\[  FAILED  \] (\S+?)(?:,| \()", done.stdout, re.MULTILINE)
        if failed:
            return sorted(set(failed))
        return [] if done.returncode == 0 else [f"{name} (dies)"]


def judge(built, mutant, scratch):
    """(what catches the mutant, error)."""
    text, error = mutant.apply()
    if error is not None:
        return [], error
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        # At its own path below a folder that comes first, so that includes are found as before.
        source = os.path.join(folder, mutant.file)
        os.makedirs(os.path.dirname(source))
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        replaced = os.path.join(folder, "mutant.o")
        done = run(["gcc", *C_FLAGS, "-c", source, "-o", replaced])
        if done.returncode != 0:
            return [], f"it doesn't compile: {done.stderr[:300]}"
        built.link(os.path.join(folder, "lib.so"), {mutant.file: replaced})
        return built.catchers(folder), None


# ------------------------------------------------------------------------------------- telling

class Outcome:
    def __init__(self, mutant, catchers, error):
        self.mutant = mutant
        self.catchers = catchers
        self.error = error

    @property
    def is_bad(self):
        return self.error is not None or (not self.catchers and not self.mutant.survives)

    def line(self):
        mutant = self.mutant
        if self.error is not None:
            return f"WRONG    {mutant.name}: {self.error}"
        if self.catchers:
            shown = ", ".join(self.catchers[:CATCHERS_SHOWN])
            more = len(self.catchers) - CATCHERS_SHOWN
            note = " (its row says it can't be)" if mutant.survives else ""
            return (f"caught   {mutant.name}: {mutant.fault}: {shown}"
                    f"{f' and {more} more' if more > 0 else ''}{note}")
        if mutant.survives:
            return f"unseen   {mutant.name}: {mutant.fault}: {mutant.survives}"
        return f"SURVIVED {mutant.name}: {mutant.fault}"


def table(outcomes):
    """For docs/VERIFICATION.md."""
    lines = ["| component | faults | caught | by one test only | can't be seen |",
             "|---|---|---|---|---|"]
    for component in COMPONENTS:
        of = [o for o in outcomes if o.mutant.component == component]
        if of:
            caught = [o for o in of if o.catchers]
            single = [o for o in caught if len(o.catchers) == 1]
            lines.append(f"| `{component}` | {len(of)} | {len(caught)} | {len(single)} | "
                         f"{len([o for o in of if not o.catchers and o.mutant.survives])} |")
    return "\n".join(lines)


def run_component(component, mutants, folder, jobs, only_tests=None):
    start = time.monotonic()
    built = Built(component, folder, jobs, only_tests)
    sound = built.catchers(built.folder)
    if sound:
        sys.exit(f"{component}: these tests fail without any fault: {', '.join(sound)}")
    print(f"{component}: {len(built.tests)} tests built in {time.monotonic() - start:.0f} s",
          flush=True)
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        judged = pool.map(lambda mutant: judge(built, mutant, built.folder), mutants)
        for mutant, (catchers, error) in zip(mutants, judged):
            outcomes.append(Outcome(mutant, catchers, error))
            print(outcomes[-1].line(), flush=True)
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser.add_argument("--component", choices=COMPONENTS)
    parser.add_argument("--only", default="", help="part of the name of a fault")
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the faults")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", default=os.path.join(home, "millrace", "mutation"))
    parser.add_argument("--check", action="store_true", help="only see that all rows fit the code")
    args = parser.parse_args()
    for program in ("gcc", "g++"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: apt-get install {program}")
    mutants = [m for m in read_mutants() if args.only in m.name or args.only in m.fault]
    part, parts = (int(number) for number in args.part.split("/"))
    outcomes = []
    if args.check:
        outcomes = [Outcome(m, ["-"], m.apply()[1]) for m in mutants]
        print("\n".join(o.line() for o in outcomes if o.error))
    else:
        for component in COMPONENTS:
            of = [m for m in mutants if m.component == component][part - 1 :: parts]
            if of and args.component in (None, component):
                outcomes += run_component(component, of, args.folder, args.jobs)
        print(table(outcomes))
    bad = [o for o in outcomes if o.is_bad]
    print(f"{len(outcomes)} faults, {len(bad)} that survived or don't fit")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
