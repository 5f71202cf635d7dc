#!/usr/bin/python3 -B
"""Does clang-tidy find nothing in the C sources? .clang-tidy names the checks.

It takes seconds for a source, so what was found clean is remembered: an empty
file in the user's cache, named by a hash of everything clang-tidy would see.
"""

import hashlib
import os
import pwd
import subprocess
import time

import sources

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-DMR_DEBUG=1", "-DXXH_INLINE_ALL", "-I."]
TIDY = ["clang-tidy-14", "--quiet"]
# The first needs the headers of Windows, the second AFL++'s compiler.
# Proofs are for CBMC, where memory that nobody wrote to holds any value.
ELSEWHERE = ("io/iocp/", "tests/proofs/", "tools/fuzz/afl_main.c")
WINDOWS = "_windows.c"

DAYS_KEPT = 30
# A test gets no HOME.
CACHE = os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".cache/millrace/clang-tidy")


def cache_path(name):
    """None if `name` cannot be preprocessed; clang-tidy will then say why."""
    # -C keeps comments, of which NOLINT is one.
    command = ["gcc", "-E", "-C", *FLAGS, name]
    done = subprocess.run(command, cwd=sources.ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        return None
    return os.path.join(CACHE, hashlib.sha256(SALT + done.stdout).hexdigest())


def check(name):
    path = cache_path(name)
    if path and os.path.exists(path):
        os.utime(path)
        return ""
    problem = sources.run([*TIDY, name, "--", *FLAGS])
    if path and not problem:
        with open(path, "wb"):
            pass
    return problem


def forget_old():
    for entry in os.scandir(CACHE):
        if time.time() - entry.stat().st_mtime > DAYS_KEPT * 86400:
            os.unlink(entry.path)


with open(sources.full(".clang-tidy"), "rb") as file:
    SALT = file.read() + " ".join(TIDY + FLAGS).encode()
os.makedirs(CACHE, exist_ok=True)
forget_old()
names = [
    name
    for name in sources.files(".c")
    if not name.startswith(ELSEWHERE) and not name.endswith(WINDOWS)
]
sources.finish(names, sources.for_each(names, check))
