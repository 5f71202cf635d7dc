"""What the style tests share: the source tree, and a worker for each core."""

import concurrent.futures
import os
import subprocess
import sys

# The tests run on the real tree, not on copies: __file__ is a link to it.
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def files(*suffixes):
    """Paths below ROOT that git tracks and that end in one of `suffixes`."""
    git = ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z"]
    try:
        listed = subprocess.run(git, capture_output=True, check=True).stdout
        names = listed.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = walk()  # Not a checkout, but an unpacked archive.
    return sorted(
        name for name in names if name.endswith(suffixes) and os.path.exists(full(name))
    )


def walk():
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [s for s in subfolders if not s.startswith((".", "bazel-"))]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), ROOT)


def full(name):
    return os.path.join(ROOT, name)


def lines(name):
    with open(full(name), encoding="utf-8") as file:
        return file.read().splitlines()


def run(command):
    """Runs `command` in ROOT; returns its output if it failed, else ""."""
    done = start(command)
    if done.returncode == 0:
        return ""
    return done.stdout.decode(errors="replace") or f"{command[0]} failed"


def output(command):
    """Runs `command` in ROOT; returns its output however it ended."""
    return start(command).stdout.decode(errors="replace")


def start(command):
    return subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


def for_each(names, check):
    """Calls check(name) on all cores; returns the texts that are not empty."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [text for text in pool.map(check, names) if text]


def finish(names, problems):
    for problem in problems:
        print(problem)
    print(f"{len(names)} files, {len(problems)} problems")
    sys.exit(1 if problems else 0)
