"""Builds of all fuzz targets: one for each engine, one that counts lines.

All three come from fuzz/oss-fuzz/build.sh, which takes compiler, flags and engine from its
environment. A build is kept, and done again when a source changes.
"""

import hashlib
import os
import shutil
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
SOURCE_FOLDERS = ("base", "broker", "codec", "fuzz", "io", "tests/sim", "tools/fuzz", "trie")
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
MISSING = {
    "clang": "clang and libclang-rt-14-dev",
    "clang++": "clang and libclang-rt-14-dev",
    "afl-clang-fast": "afl++",
    "afl-clang-fast++": "afl++",
    "afl-fuzz": "afl++",
    "gcc": "gcc",
    "g++": "g++",
    "gcov": "gcc",
}
# Engine: compilers, flags, what defines main(), further programs that it takes.
ENGINES = {
    "libfuzzer": ("clang", "clang++", f"-O1 -g {SANITIZE} -fsanitize=fuzzer-no-link", None, ()),
    "afl": ("afl-clang-fast", "afl-clang-fast++", f"-O1 -g {SANITIZE}", "afl_main.c",
            ("afl-fuzz",)),
    "lines": ("gcc", "g++", "-O0 -g --coverage", "replay_main.c", ("gcov",)),
}


class BuildError(Exception):
    """What can't be built, in words for whoever started it."""


def sources_hash():
    """One hash over all sources that a target may be made of."""
    digest = hashlib.sha256()
    for folder in SOURCE_FOLDERS:
        for path, folders, names in os.walk(os.path.join(ROOT, folder)):
            folders.sort()
            if os.path.basename(path) == "corpus":
                folders.clear()
                continue
            for name in sorted(names):
                if name.endswith((".c", ".h", ".sh", ".dict")) or name == "BUILD":
                    full = os.path.join(path, name)
                    digest.update(full.encode())
                    with open(full, "rb") as file:
                        digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def need(programs):
    """Fails unless all of these are installed."""
    missing = [MISSING[program] for program in programs if shutil.which(program) is None]
    if missing:
        raise BuildError("missing: apt-get install " + " ".join(sorted(set(missing))))


def build(engine, folder, jobs):
    """Builds for one engine below `folder`; returns where the programs are."""
    cc, cxx, flags, main, programs = ENGINES[engine]
    need((cc, cxx) + programs)
    folder = os.path.join(folder, "build-" + engine)
    out = os.path.join(folder, "out")
    stamp = os.path.join(folder, "stamp")
    want = f"{sources_hash()} {cc} {flags}"
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as file:
            if file.read() == want:
                return out
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("src", "work", "out"):
        os.makedirs(os.path.join(folder, name))
    os.symlink(ROOT, os.path.join(folder, "src", "millrace"))
    env = {
        **os.environ,
        "CC": cc, "CXX": cxx, "CFLAGS": flags, "CXXFLAGS": flags,
        "SRC": os.path.join(folder, "src"), "WORK": os.path.join(folder, "work"), "OUT": out,
        "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer", "CRYPTO": "-lcrypto", "ALL_TARGETS": "1",
        "JOBS": str(jobs), "AFL_QUIET": "1",
    }
    start = time.monotonic()
    if main is not None:
        # The driver is the same for all targets; it stands where OSS-Fuzz has the engine.
        env["LIB_FUZZING_ENGINE"] = os.path.join(folder, "work", "main.o")
        source = os.path.join(ROOT, "tools", "fuzz", main)
        command = [cc, "-std=c17", "-D_GNU_SOURCE", *flags.split(), "-c", source, "-o",
                   env["LIB_FUZZING_ENGINE"]]
        check(subprocess.run(command, env=env, capture_output=True, text=True), engine)
    script = os.path.join(ROOT, "fuzz", "oss-fuzz", "build.sh")
    check(subprocess.run([script], env=env, capture_output=True, text=True), engine)
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(want)
    print(f"built for {engine} in {time.monotonic() - start:.0f} s", flush=True)
    return out


def check(done, engine):
    if done.returncode != 0:
        raise BuildError(f"the build for {engine} failed:\n{done.stdout}{done.stderr}")
