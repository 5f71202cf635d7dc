#!/usr/bin/python3 -B
"""All fuzz targets with both engines for a while, and a report.

    bazel run //fuzz:campaign -- --minutes 30
    bazel run //fuzz:campaign -- --minutes 2 --targets codec_packet_fuzz,trie_fuzz --update

The time is that of fuzzing: `--minutes` on `--jobs` cores, shared by all pairs of target and engine
(equally, but for targets that targets.py gives more). Building comes before (once for each state of
the sources), minimising crashes and counting lines behind. Each pair starts from the corpus in the
tree and from what earlier campaigns kept in the output folder (`--fresh` forgets that); behind the
run, libFuzzer's merge keeps of what both engines found the inputs that reach something new.
`--update` adds some of them to the corpora in the tree, the smallest first, within a budget of bytes
for each target.

Ends with 1 if anything crashed, hung or couldn't run; each crash has a minimised input in the
report. Writes report.json and report.md (the table of docs/VERIFICATION.md).
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import builds
import engines
import lines
import targets as declared

SECONDS_MIN = 2  # Of one engine with one target: less finds nothing.
MERGE_SECONDS_MAX = 600


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--targets", default="", help="names, separated by commas")
    parser.add_argument("--engines", default="libfuzzer,afl")
    parser.add_argument("--out", default=os.path.join(home, "millrace", "campaign"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--update-bytes-max", type=int, default=16384, help="for each target")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--no-lines", action="store_true", help="don't count lines")
    parser.add_argument("--crash-seconds", type=int, default=20, help="for minimising each crash")
    args = parser.parse_args()
    args.engines = args.engines.split(",")
    unknown = [engine for engine in args.engines if engine not in engines.ENGINES]
    names = {target.name: target for target in declared.targets(also_failing=True)}
    wanted = args.targets.split(",") if args.targets else [t.name for t in declared.targets()]
    unknown += [name for name in wanted if name not in names]
    if unknown:
        parser.error("unknown: " + ", ".join(unknown))
    args.targets = [names[name] for name in wanted]
    if args.minutes <= 0 or args.minutes > 24 * 60 or args.jobs < 1:
        parser.error("--minutes is up to a day, --jobs at least 1")
    return args


def tree_corpus(target):
    path = os.path.join(builds.ROOT, "fuzz", "corpus", target.name)
    return path if os.path.isdir(path) and os.listdir(path) else None


def kept_corpus(args, target):
    """What campaigns have found so far; a folder that may be empty."""
    path = os.path.join(args.out, "targets", target.name, "kept")
    os.makedirs(path, exist_ok=True)
    return path


def corpora_of(args, target):
    """Folders with inputs: the tree's and ours."""
    found = [tree_corpus(target), kept_corpus(args, target)]
    return [path for path in found if path and os.listdir(path)]


def plan(args):
    """(target, engine, seconds) of all runs, the longest first, so that no core idles at the end."""
    shares = len(args.engines) * sum(target.share for target in args.targets)
    seconds = args.minutes * 60 * args.jobs / shares
    runs = [(target, engine, max(SECONDS_MIN, int(seconds * target.share)))
            for target in args.targets for engine in args.engines]
    return sorted(runs, key=lambda run: -run[2])


def fuzz_all(args, programs):
    """Runs all pairs; returns results by target."""
    runs = plan(args)
    print(f"{len(runs)} runs of {runs[-1][2]} to {runs[0][2]} s, {args.jobs} at a time", flush=True)
    results = {target.name: [] for target in args.targets}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        waiting = {}
        for target, engine, seconds in runs:
            folder = os.path.join(args.out, "targets", target.name, engine)
            # What earlier campaigns found is in what they kept, or was reported then.
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            future = pool.submit(engines.ENGINES[engine], programs[engine], target, seconds, folder,
                                 corpora_of(args, target), args.seed)
            waiting[future] = (target, engine)
        for future in concurrent.futures.as_completed(waiting):
            target, engine = waiting[future]
            result = future.result()
            results[target.name].append(result)
            print(f"{target.name} {engine}: {result.executions} runs, "
                  f"{len(result.crashes)} crashes{' ' + result.error if result.error else ''}",
                  flush=True)
    return results


def row_of(args, programs, target, results):
    """What the report says of one target, and the lines that it reaches."""
    folder = os.path.join(args.out, "targets", target.name)
    row = {"target": target.name, "engines": {}, "crashes": [], "errors": []}
    for result in results:
        row["engines"][result.engine] = {
            "executions": result.executions, "seconds": result.seconds,
        }
        row["errors"] += [result.error] if result.error else []
        if result.crashes:
            row["crashes"] += engines.report_crashes(programs["libfuzzer"], target, result, folder,
                                                     args.crash_seconds)
    if row["crashes"]:
        return row, {}  # Its inputs would end the next steps, too.
    keep(args, programs["libfuzzer"], target, folder)
    corpora = corpora_of(args, target)
    row["edges"], row["features"] = engines.edges(programs["libfuzzer"], target, corpora, folder)
    found = {}
    if "lines" in programs:
        data = os.path.join(folder, "lines")
        lines.replay(programs["lines"], target, corpora, data)
        found = lines.count(os.path.dirname(programs["lines"]), data)
        (row["lines"], row["lines_of"]), _ = lines.summary(found)
        shutil.rmtree(data)
    if args.update:
        row["added"] = update_tree(args, programs["libfuzzer"], target, folder)
    return row, found


def keep(args, program, target, folder):
    """Replaces what is kept by the inputs, old and new, that are worth it."""
    kept = kept_corpus(args, target)
    merged = kept + ".new"
    shutil.rmtree(merged, ignore_errors=True)
    if engines.merge(program, target, merged, [kept] + engines.found_in(folder), MERGE_SECONDS_MAX):
        shutil.rmtree(kept)
        os.rename(merged, kept)


def update_tree(args, program, target, folder):
    """Adds inputs that reach a new edge to the corpus in the tree; returns how many.

    Not those that only take an edge more often: there are five times as many, and `bazel test`
    runs all of them.
    """
    merged = os.path.join(folder, "merged")
    shutil.rmtree(merged, ignore_errors=True)
    os.makedirs(merged)
    into = os.path.join(builds.ROOT, "fuzz", "corpus", target.name)
    os.makedirs(into, exist_ok=True)
    for name in os.listdir(into):  # What is there counts as reached.
        shutil.copyfile(os.path.join(into, name), os.path.join(merged, name))
    before = set(os.listdir(merged))
    if not engines.merge(program, target, merged, [kept_corpus(args, target)],
                         MERGE_SECONDS_MAX, edges_alone=True):
        return 0
    fresh = [os.path.join(merged, name) for name in os.listdir(merged) if name not in before]
    room = args.update_bytes_max
    added = 0
    for path in sorted(fresh, key=lambda path: (os.path.getsize(path), path)):
        room -= os.path.getsize(path)
        if room < 0:
            break
        with open(path, "rb") as file:
            digest = hashlib.sha1(file.read()).hexdigest()
        shutil.copyfile(path, os.path.join(into, "found_" + digest[:16]))
        added += 1
    return added


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def write_report(args, rows, total_lines, seconds):
    (reached, total), folders = lines.summary(total_lines)
    report = {
        "minutes": args.minutes, "jobs": args.jobs, "seed": args.seed, "seconds": round(seconds),
        "sources": builds.sources_hash()[:16], "targets": rows,
        "lines": reached, "lines_of": total,
        "folders": {name: {"lines": r, "lines_of": t} for name, (r, t) in sorted(folders.items())},
    }
    with open(os.path.join(args.out, "report.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    text = ["| target | libFuzzer runs | AFL++ runs | edges | lines of what it reaches | crashes |",
            "|---|---|---|---|---|---|"]
    for row in rows:
        runs = [row["engines"].get(name, {}).get("executions") for name in ("libfuzzer", "afl")]
        cells = [f"{count:,}" if count is not None else "-" for count in runs]
        covered = percent(row["lines"], row["lines_of"]) if "lines" in row else "-"
        text.append(f"| `{row['target']}` | {cells[0]} | {cells[1]} | {row.get('edges', '-')} | "
                    f"{covered} | {len(row['crashes'])} |")
    if total:
        text += ["", "| folder | lines that all targets together reach |", "|---|---|"]
        text += [f"| `{name}` | {percent(reached, of)} of {of} |"
                 for name, (reached, of) in sorted(folders.items())]
    with open(os.path.join(args.out, "report.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    print("\n".join(text))


def main():
    args = arguments()
    if args.fresh:
        shutil.rmtree(os.path.join(args.out, "targets"), ignore_errors=True)
    os.makedirs(args.out, exist_ok=True)
    wanted = set(args.engines) | {"libfuzzer"}  # Which also minimises and merges.
    wanted |= set() if args.no_lines else {"lines"}
    try:
        programs = {name: builds.build(name, args.out, args.jobs) for name in sorted(wanted)}
    except builds.BuildError as error:
        sys.exit(f"campaign: {error}")
    start = time.monotonic()
    results = fuzz_all(args, programs)
    seconds = time.monotonic() - start
    total_lines = {}
    rows = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for row, found in pool.map(lambda t: row_of(args, programs, t, results[t.name]),
                                   args.targets):
            rows.append(row)
            lines.merge_counts(total_lines, found)
    write_report(args, rows, total_lines, seconds)
    bad = 0
    for row in rows:
        for crash in row["crashes"]:
            bad += 1
            print(f"CRASH {crash['target']}: {crash['what']}\n  {crash['count']} inputs, the "
                  f"smallest has {crash['bytes']} bytes: {crash['input']}\n  {crash['hex']}")
        for error in row["errors"]:
            bad += 1
            print(f"ERROR {row['target']}: {error}")
    print(f"report: {args.out}/report.json and report.md")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
