#!/usr/bin/python3 -B
"""Each stage of the optimisation plan, alone and in sequence, beside what was claimed of it.

    bazel run //bench:stages
    bazel run //bench:stages -- --quick            # a moment, for a look
    bazel run //bench:stages -- --rounds 5 --seconds 2

The broker is bench/stages:broker, which is put together from plain and from Millrace's own
parts; the last line is Millrace itself. Rounds are interleaved: each runs every load on every
variant, each time on a fresh process.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.getcwd(), ROOT]  # `bazel run` starts in the root of what it made.

from bench.stages import page, plan
from bench.versus import peers, present
from bench.versus.measure import Bench, attempt
from bench.versus.versus import machine, release_broker

WORKSPACE = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
OUT = os.path.join(WORKSPACE or ROOT, "docs/performance")
# Of the measured seconds: when counters are read, counted from the generator's start.
FIRST_LOOK, LAST_LOOK = 0.5, 1.1
COUNTER_WAIT_S = 5
QUICK_LOADS = [plan.PAIR, plan.FAN_OUT]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in "load", "stages-broker", "before", "broker", "lookup":
        parser.add_argument("--" + name, required=True, help="a binary")
    parser.add_argument("--release", action="store_true", help="build Millrace's release first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--quick", action="store_true", help="one short round, few loads")
    parser.add_argument("--no-pin", action="store_true", help="let the system place processes")
    parser.add_argument("--out", default=OUT, help="folder for stages.json, .md and charts")
    return parser.parse_args()


class Counters:
    """The bench broker's own, read through its log."""

    def __init__(self, running):
        self.running, self.seen = running, 0

    def read(self):
        self.running.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + COUNTER_WAIT_S
        while time.monotonic() < deadline:
            lines = self.running.log_path.read_text().split("\n")[:-1]
            if len(lines) > self.seen:
                self.seen = len(lines)
                return json.loads(lines[-1])
            time.sleep(0.01)
        raise RuntimeError("the broker doesn't answer SIGUSR1")


def for_each_delivery(first, last):
    """What happened between two looks, for each delivery."""
    deliveries = last["delivered"] - first["delivered"]
    if deliveries <= 0:
        return {}
    return {
        "allocations": (last["allocated"] - first["allocated"]) / deliveries,
        "syscalls": (last["syscalls"] - first["syscalls"]) / deliveries,
        "locks": (last["locked"] - first["locked"]) / deliveries,
    }


class Stages:
    """One load on one variant."""

    def __init__(self, bench):
        self.bench = bench

    def values(self, result):
        return {
            "per_second": result["deliveries_per_second"],
            "cpu_ns": result["broker_cpu_ns_per_delivery"] or None,
            "p50_ns": result["latency_ns"]["p50"],
            "p99_ns": result["latency_ns"]["p99"],
            "memory_bytes": result["broker_memory_bytes"],
        }

    def measure(self, peer, words, counted):
        words = self.bench.timed(words)
        with self.bench.start(peer) as running:
            if not counted:
                return self.values(self.bench.load.run(running, *words))
            counters = Counters(running)
            first = self.read_during(counters, running, words)
        return first

    def read_during(self, counters, running, words):
        seconds = self.bench.seconds
        load = self.bench.load.start(running, *words)
        time.sleep(FIRST_LOOK * seconds)
        first = counters.read()
        time.sleep((LAST_LOOK - FIRST_LOOK) * seconds)
        last = counters.read()
        result = self.bench.load.finish(load, running, *words)
        end = counters.read()
        if end["delivered"] < result["delivered"]:
            raise peers.LoadFailed("the broker delivered less than arrived")
        return {**self.values(result), **for_each_delivery(first, last)}

    def idle(self, peer):
        with self.bench.start(peer) as running:
            clients = max(20, int(plan.IDLE_CLIENTS * self.bench.scale))
            result = self.bench.load.run(running, "idle", "-S", clients, "-t", 0.3)
        grown = result["broker_memory_bytes"] - result["broker_memory_before_bytes"]
        return {"memory_each_bytes": grown / result["connects"]}


def lookup_times(binary, scale):
    topics = max(1000, int(plan.LOOKUP_TOPICS * scale))
    lookups = max(10000, int(plan.LOOKUPS * scale))
    words = [binary, str(topics), str(lookups)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def peers_of(options):
    """Pairs of a peer and whether it counts for itself."""
    variants = plan.in_sequence() + plan.alone() + plan.left_out() + plan.hand_over()
    if not os.path.exists(plan.MIMALLOC):
        print("libmimalloc2.0 is not installed: variants with it are left out")
        variants = [v for v in variants if not v.mimalloc]
    broker = os.path.abspath(options.stages_broker)
    found = [(variant.peer(broker), True) for variant in variants]
    # The broker before has a binary of its own, which is the same with these options.
    found[0] = (peers.Peer("before", [os.path.abspath(options.before), "--port", "{port}"]), True)
    millrace = os.path.abspath(options.broker)
    if options.release and not options.quick:
        millrace = release_broker(millrace)
    return found + [(peers.millrace(millrace), False)]


def add_perf_counts(bench, found, round_one):
    """The system calls as perf sees them, for all in sequence on one load."""
    names = [v.name for v in plan.in_sequence()] + ["millrace"]
    for peer, counted in found:
        row = round_one.get(plan.PAIR, {}).get(peer.name)
        if peer.name in names and row and "error" not in row:
            value = attempt(peer.name, bench.syscalls, peer, plan.LOADS[plan.PAIR])
            if isinstance(value, float):
                row["syscalls_perf"] = value
                if not counted:
                    row["syscalls"] = value


def one_round(stages, found, chosen, number):
    results = {}
    for name in chosen:
        print(f"round {number + 1}: {name}", flush=True)
        words = list(plan.LOADS[name])
        if name == plan.TOPICS:
            words[words.index("-T") + 1] = max(1000, int(100_000 * stages.bench.scale))
        results[name] = {
            peer.name: attempt(f"{name}, {peer.name}", stages.measure, peer, words, counted)
            for peer, counted in found
        }
    in_sequence = [v.name for v in plan.in_sequence()] + ["millrace"]
    results["idle"] = {
        peer.name: attempt(f"idle, {peer.name}", stages.idle, peer)
        for peer, _ in found
        if peer.name in in_sequence
    }
    return results


def main():
    options = arguments()
    last = (os.cpu_count() or 1) - 1
    pin = last > 0 and not options.no_pin and not options.quick and shutil.which("taskset")
    load = peers.Load(os.path.abspath(options.load), str(last) if pin else None)
    seconds = 0.1 if options.quick else options.seconds
    bench = Bench(load, 1, f"0-{last - 1}" if pin else None, seconds, 0.02 if options.quick else 1)
    found = peers_of(options)
    stages = Stages(bench)
    chosen = QUICK_LOADS if options.quick else list(plan.LOADS)
    count = 1 if options.quick else options.rounds
    rounds = [one_round(stages, found, chosen, number) for number in range(count)]
    if not options.quick:
        print("counting system calls with perf", flush=True)
        add_perf_counts(bench, found, rounds[0])
    report = {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": seconds,
        "pinned": bool(pin),
        "variants": [peer.name for peer, _ in found],
        "loads": chosen,
        "lookup_ns": lookup_times(os.path.abspath(options.lookup), bench.scale),
        "rounds": rounds,
    }
    return present.store(report, "stages", page.markdown, page.draw, options.out)


if __name__ == "__main__":
    sys.exit(main())
