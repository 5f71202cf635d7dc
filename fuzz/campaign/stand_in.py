#!/usr/bin/python3 -IBS
"""Stands in for a fuzz target that libFuzzer drives, or for afl-fuzz, by the name it is called by.

Finds at once what a campaign is to work with. An input reaches what its first byte says; it fails
if it has "MQ" anywhere. Only canary_fuzz comes across such inputs. STAND_IN_FAULT names what goes
wrong: "engine" (can't start), "merge" (fails), "flaky" (what failed doesn't fail again).
"""

import os
import sys

FOUND = {
    "libfuzzer": [b"a-long-one", b"a-1", b"b-2", b"c" * 400],
    "afl": [b"a-", b"d-4"],
}
FAILING = {"libfuzzer": [b"xxMQxxxx", b"MQ then more"], "afl": [b"yyyMQ"]}
FAULT = os.environ.get("STAND_IN_FAULT", "")


def write(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def inputs(folders):
    """All inputs, the smallest first, as libFuzzer merges them."""
    found = [read(os.path.join(folder, name)) for folder in folders for name in os.listdir(folder)]
    return sorted(found, key=lambda data: (len(data), data))


def merge(into, sources):
    if FAULT == "merge":
        sys.exit(1)
    reached = {data[:1] for data in inputs([into])}
    for data in inputs(sources):
        if data[:1] not in reached:
            reached.add(data[:1])
            write(into, data.hex()[:40], data)


def failure(data):
    if b"MQ" in data and FAULT != "flaky":
        print("millrace: codec/x.c:7: broken invariant: no MQ")
        sys.exit(77)


def libfuzzer(name, options, paths):
    if "merge" in options:
        merge(paths[0], paths[1:])
    elif "minimize_crash" in options:
        write(os.path.dirname(options["exact_artifact_path"]),
              os.path.basename(options["exact_artifact_path"]), b"MQ")
        sys.exit(77)
    elif options.get("runs") == "0":
        reached = {data[:1] for data in inputs(paths)}
        print(f"#9 DONE cov: {len(reached)} ft: {2 * len(reached)} corp: 1/1b")
    elif os.path.isfile(paths[0]):
        failure(read(paths[0]))
    elif FAULT == "engine":
        sys.exit("no memory")
    else:
        for data in FOUND["libfuzzer"]:
            write(paths[0], data.hex()[:40], data)
        print(f"stat::number_of_executed_units: 1234\nDone 1234 runs in {options['max_total_time']} "
              "second(s)")
        if name == "canary_fuzz":
            for data in FAILING["libfuzzer"]:
                write(options["artifact_prefix"], "crash-" + data.hex()[:20], data)
            sys.exit(77)


def afl(args):
    if FAULT == "engine":
        sys.exit("no memory")
    out = os.path.join(args[args.index("-o") + 1], "default")
    for i, data in enumerate(FOUND["afl"]):
        write(os.path.join(out, "queue"), f"id:{i:06}", data)
    if os.path.basename(args[-1]) == "canary_fuzz":
        for i, data in enumerate(FAILING["afl"]):
            write(os.path.join(out, "crashes"), f"id:{i:06},sig:06", data)
    seconds = args[args.index("-V") + 1]
    write(out, "fuzzer_stats", f"run_time : {seconds}\nexecs_done : 567\n".encode())


def main():
    name = os.path.basename(sys.argv[0])
    if name == "afl-fuzz":
        afl(sys.argv[1:])
        return
    options = dict(arg[1:].split("=", 1) for arg in sys.argv[1:] if arg.startswith("-"))
    libfuzzer(name, options, [arg for arg in sys.argv[1:] if not arg.startswith("-")])


if __name__ == "__main__":
    main()
