#!/usr/bin/python3 -B
"""Runs the microbenchmarks and compares them with bench/micro/baseline.json.

    bazel run //bench:micro                             # times
    bazel run //bench:micro -- --instructions           # instructions, under callgrind
    bazel run //bench:micro -- --filter 'Decode/PUB'    # some of them
    bazel run //bench:micro -- --update                 # what was measured becomes the baseline

Times are medians of repetitions that take turns, so that a slow moment of the machine
doesn't hit one benchmark only; they mean something on a quiet machine. Instructions are the
same on every run and on busy machines too; what the kernel does isn't among them.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

# A name with a number of so many digits is a benchmark that takes long to set up.
LARGE = re.compile(r"\d{7}")

# What Google Benchmark itself says of a run; anything else is a counter of the benchmark.
STANDARD = {
    "aggregate_name", "aggregate_unit", "bytes_per_second", "cpu_time", "dump",
    "family_index", "items_per_second", "iterations", "label", "name",
    "per_family_instance_index", "real_time", "repetition_index", "repetitions", "run_name",
    "run_type", "threads", "time_unit",
}  # fmt: skip


def fail(text):
    sys.exit(f"micro: {text}")


def name_of(program, name):
    return f"{os.path.basename(program).removesuffix('_bench')}: {name}"


def listed(program, options):
    """The benchmarks of `program` that were asked for."""
    done = subprocess.run(
        [program, "--benchmark_list_tests"], stdout=subprocess.PIPE, text=True, check=True
    )
    names = done.stdout.split("\n")
    return [
        name
        for name in names
        if name
        and re.search(options.filter, name_of(program, name))
        and (options.large or not LARGE.search(name))
    ]


def run(program, names, flags, prefix=(), env=None):
    """Runs these benchmarks; returns what Google Benchmark says of each."""
    # As one argument this can be longer than the system allows.
    found = []
    for start in range(0, len(names), 200):
        some = names[start : start + 200]
        pattern = "^(" + "|".join(re.escape(name).replace("/", "[/]") for name in some) + ")$"
        command = [*prefix, program, f"--benchmark_filter={pattern}", "--benchmark_format=json"]
        done = subprocess.run(
            command + flags,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, **(env or {})},
        )
        if done.returncode != 0:
            fail(f"{os.path.basename(program)} failed: {done.stderr.strip()[-2000:]}")
        # Whatever a benchmark skipped says so here.
        results = json.loads(done.stdout)["benchmarks"]
        found += [result for result in results if not result.get("error_occurred")]
    return found


def counters_of(result):
    return {key: value for key, value in result.items() if key not in STANDARD}


# ----------------------------------------------------------------------- times


def measure_times(programs, options):
    """Returns {name: {"ns": ..., "bytes_per_second": ..., "counters": ...}}."""
    runs = {}
    plan = [(program, listed(program, options)) for program in programs]
    for repetition in range(options.repetitions):
        for program, names in plan:
            if not names:
                continue
            print(f"{repetition + 1}: {os.path.basename(program)}", file=sys.stderr)
            flags = [f"--benchmark_min_time={options.seconds}"]
            for result in run(program, names, flags):
                runs.setdefault(name_of(program, result["name"]), []).append(result)
    return {name: median_of(results) for name, results in runs.items()}


def median_of(results):
    found = {"ns": statistics.median(1e9 / r["items_per_second"] for r in results)}
    if "bytes_per_second" in results[0]:
        found["bytes_per_second"] = statistics.median(r["bytes_per_second"] for r in results)
    counters = counters_of(results[-1])
    if counters:
        found["counters"] = counters
    return found


# ---------------------------------------------------------------- instructions


def read_dump(path):
    """Returns (number, instructions for each operation) of a file of callgrind's, or None."""
    number = operations = total = None
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if match := re.match(r"desc: Trigger: Client Request: micro (\d+) (\d+)", line):
                number, operations = map(int, match.groups())
            if match := re.match(r"totals: (\d+)", line):
                total = int(match.group(1))
    return None if number is None or total is None else (number, total / operations)


def measure_instructions(programs, options):
    """Returns {name: {"instructions": ..., "counters": ...}}."""
    if shutil.which("valgrind") is None:
        fail("valgrind is missing: apt-get install valgrind")
    found = {}
    for program in programs:
        names = listed(program, options)
        if not names:
            continue
        print(f"callgrind: {os.path.basename(program)}", file=sys.stderr)
        for start in range(0, len(names), 100):
            with tempfile.TemporaryDirectory() as folder:
                found.update(count(program, names[start : start + 100], folder, options))
    return found


def count(program, names, folder, options):
    prefix = [
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        f"--callgrind-out-file={folder}/out",
    ]
    env = {"MILLRACE_BENCH_COUNT": str(options.operations)}
    results = run(program, names, ["--benchmark_min_time=0"], prefix, env)
    dumps = {}
    for entry in os.scandir(folder):
        dump = read_dump(entry.path)
        if dump:
            dumps[dump[0]] = dump[1]
    found = {}
    for result in results:
        # Of several threads none is counted.
        if "dump" not in result:
            continue
        found[name_of(program, result["name"])] = {"instructions": dumps[int(result["dump"])]}
    return found


# ------------------------------------------------------------------ comparison


def ratio(now, before):
    return now / before if before else None


def text_of(value, form, absent="-"):
    return absent if value is None else format(value, form)


def throughput(result):
    if "bytes_per_second" in result:
        return f"{result['bytes_per_second'] / 1e9:.2f} GB/s"
    if "ns" in result:
        return f"{1e3 / result['ns']:.2f} M/s"
    return ""


def print_table(measured, baseline):
    """Prints a line for each; returns the largest ratio of instructions."""
    worst = 0
    width = max(map(len, measured), default=0)
    print(
        f"{'':{width}} {'ns':>10} {'baseline':>10} {'ratio':>6} "
        f"{'instr':>10} {'baseline':>10} {'ratio':>6}  throughput"
    )
    for name, result in measured.items():
        before = baseline.get(name, {})
        cells = []
        for key, form in (("ns", "10.2f"), ("instructions", "10.1f")):
            now, then = result.get(key), before.get(key)
            change = None if now is None else ratio(now, then)
            cells += [f"{text_of(now, form):>10}", f"{text_of(then, form):>10}"]
            cells += [f"{text_of(change, '6.3f'):>6}"]
            if key == "instructions":
                worst = max(worst, change or 0)
        extra = " ".join(f"{k}={v:.4g}" for k, v in result.get("counters", {}).items())
        print(f"{name:{width}} {' '.join(cells)}  {throughput(result)} {extra}".rstrip())
    return worst


def rounded(result):
    """As it is stored: no digits that mean nothing."""
    digits = {"ns": 2, "instructions": 1}
    kept = {key: round(result[key], digits[key]) for key in digits if key in result}
    if "counters" in result:
        kept["counters"] = {k: float(f"{v:.4g}") for k, v in result["counters"].items()}
    return kept


def merged(baseline, measured):
    """The baseline with what was measured in it: a line each, easy to compare."""
    entries = dict(baseline)
    for name, result in measured.items():
        entries[name] = {**entries.get(name, {}), **rounded(result)}
    return dict(sorted(entries.items()))


def load(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def store(path, entries):
    lines = [f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def source_path():
    """The baseline in the source tree, wherever `bazel run` was called."""
    root = os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")
    return os.path.join(root, "bench/micro/baseline.json")


def main():
    parser = argparse.ArgumentParser(prog="bazel run //bench:micro --")
    parser.add_argument("--program", action="append", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--filter", default=".", help="names that contain this expression")
    parser.add_argument("--instructions", action="store_true", help="count instead of timing")
    parser.add_argument("--operations", type=int, default=100, help="to be counted, of each")
    parser.add_argument("--large", action="store_true", help="also those with a million of things")
    parser.add_argument("--repetitions", type=int, default=5, help="of each, for times")
    parser.add_argument("--seconds", type=float, default=0.05, help="for each repetition")
    parser.add_argument("--baseline", default=source_path())
    parser.add_argument("--update", action="store_true", help="rewrite the baseline")
    parser.add_argument("--limit", type=float, help="fail if a ratio of instructions is above")
    options = parser.parse_args()
    programs = [os.path.realpath(path) for path in options.program]
    measure = measure_instructions if options.instructions else measure_times
    measured = measure(programs, options)
    if not measured:
        fail("no benchmark fits the filter")
    baseline = load(options.baseline)
    worst = print_table(measured, baseline)
    if options.update:
        store(options.baseline, merged(baseline, measured))
    if options.limit and worst > options.limit:
        fail(f"more instructions than the baseline: {worst:.3f} times as many")


if __name__ == "__main__":
    main()
