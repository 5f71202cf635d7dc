#!/usr/bin/python3 -B
"""Does build.sh keep OSS-Fuzz's contract?

Does what the build image does: sets the variables, with clang, libFuzzer and each sanitizer that
project.yaml names, calls build.sh in a copy of the tree, and then looks at $OUT as the runner
does: every target runs from its own seeds with its own dictionary and options.

    oss_fuzz_test.py [--runs N] [--sanitizers address,undefined]
"""

import argparse
import configparser
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "fuzz"))

import targets

# The flags of the build image, as its documentation has them.
COMMON = "-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
SANITIZERS = {
    "address": "-fsanitize=address -fsanitize-address-use-after-scope",
    "undefined": (
        "-fsanitize=array-bounds,bool,builtin,enum,integer-divide-by-zero,null,object-size,return,"
        "returns-nonnull-attribute,shift,signed-integer-overflow,unsigned-integer-overflow,"
        "unreachable,vla-bound -fno-sanitize=unsigned-integer-overflow "
        "-fno-sanitize-recover=array-bounds,bool,builtin,enum,integer-divide-by-zero,null,"
        "object-size,return,returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,"
        "vla-bound"
    ),
}
MISSING = "%s is missing: tools/packages.txt, groups clang and build, has what is needed"


def build(folder, sanitizer):
    """Calls build.sh; returns what it made."""
    source = os.path.join(folder, "src")
    work = os.path.join(folder, "work-" + sanitizer)
    out = os.path.join(folder, "out-" + sanitizer)
    for path in (source, work, out):
        os.makedirs(path, exist_ok=True)
    if not os.path.exists(os.path.join(source, "millrace")):
        os.symlink(ROOT, os.path.join(source, "millrace"))
    flags = f"{COMMON} {SANITIZERS[sanitizer]} -fsanitize=fuzzer-no-link"
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": folder,
        "CC": "clang", "CXX": "clang++", "CFLAGS": flags, "CXXFLAGS": flags,
        "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer", "SANITIZER": sanitizer,
        "FUZZING_ENGINE": "libfuzzer", "ARCHITECTURE": "x86_64",
        "SRC": source, "WORK": work, "OUT": out,
    }
    if "JOBS" in os.environ:
        env["JOBS"] = os.environ["JOBS"]
    done = subprocess.run([os.path.join(HERE, "build.sh")], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"build.sh failed with {sanitizer}:\n{done.stdout}{done.stderr}")
    return out


def run(out, target, runs):
    """Runs one target as the runner does; returns what is wrong, or None."""
    program = os.path.join(out, target.name)
    if not os.access(program, os.X_OK):
        return "was not built"
    options = configparser.ConfigParser()
    options.read(program + ".options")
    if options.getint("libfuzzer", "max_len", fallback=0) != target.len_max:
        return "has no max_len in its options"
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus")
        os.mkdir(corpus)
        seeds = program + "_seed_corpus.zip"
        if not os.path.exists(seeds):
            return "has no seed corpus"
        with zipfile.ZipFile(seeds) as archive:
            archive.extractall(corpus)
        count = len(os.listdir(corpus))
        want = len(os.listdir(os.path.join(ROOT, "fuzz", "corpus", target.name)))
        if count != want:
            return f"has {count} seeds of {want}"
        command = [program, f"-runs={count + runs}", f"-max_len={target.len_max}", "-seed=1",
                   "-rss_limit_mb=2560", "-timeout=25", f"-artifact_prefix={folder}/"]
        if target.dictionary is not None:
            dictionary = options.get("libfuzzer", "dict", fallback="")
            if not os.path.exists(os.path.join(out, dictionary)):
                return "has no dictionary"
            command.append("-dict=" + os.path.join(out, dictionary))
        done = subprocess.run(command + [corpus], cwd=folder, capture_output=True, text=True,
                              errors="replace", timeout=300)
    if done.returncode != 0:
        return f"ended with {done.returncode}:\n{done.stderr[-3000:]}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--sanitizers", default="address,undefined")
    args = parser.parse_args()
    for program in ("clang", "clang++"):
        if shutil.which(program) is None:
            sys.exit(MISSING % program)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for sanitizer in args.sanitizers.split(","):
            start = time.monotonic()
            out = build(folder, sanitizer)
            print(f"{sanitizer}: built in {time.monotonic() - start:.0f} s", flush=True)
            for target in targets.targets():
                wrong = run(out, target, args.runs)
                failures += wrong is not None
                print(f"  {target.name}: {wrong or 'ok'}", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
