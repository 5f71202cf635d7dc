#!/usr/bin/python3 -B
"""Runs one proof several times: it must hold, it must reach what it says it reaches,
and it must fail after each fault planted in the code that it is about.

    prove.py PLAN

PLAN is what mr_proof() in proofs.bzl writes. All but the first run make sure that the
proof isn't empty. MILLRACE_CBMC is the folder in which tools/bazel unpacked CBMC;
without, the machine's own cbmc is taken.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

MISSING = """CBMC 6 is missing: neither in MILLRACE_CBMC=%s, nor is there a cbmc.
tools/bazel unpacks it with tools/cbmc.sh; by hand, for the same place:
    tools/cbmc.sh ~/.cache/millrace/cbmc-6"""
SKIPPED = "SKIPPED, NOTHING WAS PROVEN: CBMC can't be had on this machine."

OPTIONS = [
    "--no-malloc-may-fail",
    "--drop-unused-functions",
    "--slice-formula",
    "--object-bits",
    "12",
]
# On top of CBMC's defaults: bounds, pointers, signed overflow, shifts, division.
CHECKS = ["--unwinding-assertions", "--pointer-overflow-check"]
# Where only what is reached is asked for, which takes a fraction of the time.
NO_CHECKS = ["--no-standard-checks", "--no-unwinding-assertions"]
# The portable code: CBMC knows few of the vector instructions.
FLAGS = ["-I.", "-D_GNU_SOURCE", "-D__CPROVER__", "-DMR_DEBUG=1", "-DMR_UTF8_PORTABLE"]
PREPROCESS = ["gcc", "-E", "-std=c17", "-U__SSE2__", *FLAGS]
FAILED = re.compile(r"^\[([^]]*)\] (.*): FAILURE$", re.MULTILINE)
VIOLATED = re.compile(r"^Violated property:\n.*\n *(.*)$", re.MULTILINE)
REACHED = re.compile(r"^\[[^]]*\] (.*reaches .*): (SUCCESS|FAILURE)$", re.MULTILINE)


def cbmc_command():
    folder = os.environ.get("MILLRACE_CBMC", "")
    if os.path.exists(f"{folder}/usr/bin/cbmc"):
        # With the dynamic linker that came with it.
        return [
            f"{folder}/usr/lib64/ld-linux-x86-64.so.2",
            "--library-path",
            f"{folder}/usr/lib/x86_64-linux-gnu:{folder}/usr/lib",
            f"{folder}/usr/bin/cbmc",
        ]
    if shutil.which("cbmc"):
        return ["cbmc"]
    print(MISSING % folder)
    if folder == "none":
        print(SKIPPED)
        sys.exit(0)
    sys.exit(1)


def preprocess(plan, source, unit, defines, fault):
    """Makes the translation unit, with `fault` (path, text) in place of what it names."""
    folder = os.path.dirname(unit)
    command = [*PREPROCESS, *defines, "-o", unit]
    if fault:
        # Before -I., where the rest of the tree is found.
        shadow = f"{folder}/shadow/{fault[0]}"
        os.makedirs(os.path.dirname(shadow), exist_ok=True)
        with open(shadow, "w", encoding="utf-8") as file:
            file.write(fault[1])
        command[1:1] = [f"-I{folder}/shadow"]
        if fault[0] == source:
            source = shadow
    subprocess.run([*command, source], check=True)
    if plan["replaces"] and not source.startswith("tests/proofs/"):
        leave_to_contract(unit, plan["replaces"])


def leave_to_contract(unit, functions):
    """Renames the definitions of `functions`, and not their uses, which see a declaration."""

    def rename(match):
        head, name, rest = match.groups()
        declared = re.sub(r"\b(static|inline)\b", "", head) + name + rest.rstrip("{ ")
        return f"{declared};\n{head}{name}_itself{rest}"

    with open(unit, encoding="utf-8") as file:
        text = file.read()
    for name in functions:
        definition = rf"^(\w[^;{{}}]*\b)({name})(\([^;{{}}]*\) *\{{)"
        text = re.sub(definition, rename, text, flags=re.MULTILINE)
    with open(unit, "w", encoding="utf-8") as file:
        file.write(text)


def run(plan, checks, defines=(), fault=None):
    """Preprocesses and checks; returns CBMC's output, with a fault only its first finding."""
    options = [*OPTIONS, *checks, "--unwind", str(plan["unwind"])]
    if fault:
        options.append("--stop-on-fail")
    if plan["unwindset"]:
        options += ["--unwindset", ",".join(plan["unwindset"])]
    with tempfile.TemporaryDirectory() as folder:
        units = [f"{folder}/{number}.i" for number in range(len(plan["sources"]))]
        for source, unit in zip(plan["sources"], units):
            preprocess(plan, source, unit, defines, fault)
        command = [*cbmc_command(), *options, *units]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 10):
        print(done.stdout, done.stderr)
        sys.exit(f"cbmc gave up: {done.returncode}")
    return done.stdout


def planted(fault):
    with open(fault["path"], encoding="utf-8") as file:
        text = file.read()
    if text.count(fault["old"]) != 1:
        sys.exit(f"{fault['path']}: a fault is to be planted where {fault['old']!r} stands once")
    return fault["path"], text.replace(fault["old"], fault["new"])


def seconds_of_children():
    """Of CPU: the clock would say how busy the machine is."""
    times = os.times()
    return times.children_user + times.children_system


def hold(plan):
    start = seconds_of_children()
    output = run(plan, [*CHECKS, *plan["checks"]])
    seconds = seconds_of_children() - start
    proven = re.search(r"\*\* 0 of (\d+) failed", output)
    if proven and "VERIFICATION SUCCESSFUL" in output:
        print(f"proven: {proven.group(1)} properties, {seconds:.1f} s of CPU")
        return []
    return [f"not proven: {name}: {text}" for name, text in FAILED.findall(output)] or [output]


def reach(plan):
    goals = REACHED.findall(run(plan, NO_CHECKS, ["-DMR_PROOF_COVER"]))
    missed = [f"never {goal}" for goal, result in goals if result != "FAILURE"]
    print(f"reached: {len(goals) - len(missed)} of {len(goals)}")
    return missed if goals else ["the proof says nothing of what it reaches"]


def notice(plan, fault):
    violated = VIOLATED.search(run(plan, [*CHECKS, *plan["checks"]], fault=planted(fault)))
    if not violated:
        return [f"planted {fault['new']!r} for {fault['old']!r}: not noticed"]
    print(f"planted {fault['new']!r}: noticed: {violated.group(1)}")
    return []


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    problems = hold(plan) + reach(plan)
    for fault in plan["faults"]:
        problems += notice(plan, fault)
    if not plan["faults"]:
        problems.append("no fault was planted")
    print(f"all in all {seconds_of_children():.1f} s of CPU")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
