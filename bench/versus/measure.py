"""Runs one load against one peer, and counts its system calls."""

import shutil
import signal
import statistics
import subprocess
import time

from bench.versus import loads, peers

WARM_UP_SHARE = 0.3
INTERVAL_MS = 100
PERF_START_S = 0.3
SYSCALLS_SECONDS = 1.0


class Bench:
    """The generator, where everything runs, and for how long."""

    def __init__(self, load, workers=1, cpus=None, seconds=2.0, scale=1.0):
        self.load, self.workers, self.cpus = load, workers, cpus
        self.seconds, self.scale = seconds, scale

    def start(self, peer):
        return peer.start(self.workers, self.cpus)

    def timed(self, words, seconds=None):
        seconds = seconds or self.seconds
        return [*words, "-t", seconds, "-u", seconds * WARM_UP_SHARE]

    def run(self, peer, words):
        with self.start(peer) as running:
            return self.load.run(running, *self.timed(words), seconds=self.seconds)

    # ------------------------------------------------------------ each kind of load

    def throughput(self, peer, load):
        words = list(load.words)
        if load.group == "wildcard" and self.scale < 1:
            words[words.index("-T") + 1] = int(loads.WILDCARD_TOPICS * self.scale)
            words[words.index("-S") + 1] = max(10, int(100 * self.scale))
        result = self.run(peer, words)
        return {
            "per_second": result["deliveries_per_second"],
            "cpu_ns": result["broker_cpu_ns_per_delivery"] or None,
            "memory_bytes": result["broker_memory_bytes"],
            "p50_ns": result["latency_ns"]["p50"],
            "p99_ns": result["latency_ns"]["p99"],
            "generator_cpu_share": result["own_cpu_seconds"] / result["seconds"],
        }

    def rated(self, peer, words):
        result = self.run(peer, words)
        values = {
            "rate": words[words.index("-r") + 1],
            "per_second": result["deliveries_per_second"],
            "cpu_ns": result["broker_cpu_ns_per_delivery"] or None,
            "memory_bytes": result["broker_memory_bytes"],
            "generator_late_p99_ns": result["own_lateness_ns"]["p99"],
        }
        for name in "p50", "p99", "p99.9", "max":
            values[name + "_ns"] = result["latency_ns"][name]
        return values

    def idle(self, peer):
        with self.start(peer) as running:
            words = loads.idle_words(self.scale)
            result = self.load.run(running, *words, "-t", 0.5)
        grown = result["broker_memory_bytes"] - result["broker_memory_before_bytes"]
        return {"memory_each_bytes": grown / result["connects"]}

    def connects(self, peer):
        with self.start(peer) as running:
            words = loads.connects_words()
            result = self.load.run(running, *words, "-t", self.seconds)
        cpu = result["broker_cpu_seconds"]
        return {
            "per_second": result["connects"] / result["seconds"],
            "cpu_ns": cpu * 1e9 / max(1, result["connects"]),
        }

    # ------------------------------------------------------------ system calls

    def syscalls(self, peer, words):
        """System calls for each delivery in the steady state; None if perf can't tell.

        A run of its own, since counting takes time.
        """
        with self.start(peer) as running:
            perf = start_perf(running.pid)
            if not perf:
                return None
            time.sleep(PERF_START_S)
            seconds = max(SYSCALLS_SECONDS, self.seconds)
            result = self.load.run(running, *self.timed(words, seconds), seconds=seconds)
            perf.send_signal(signal.SIGINT)
            _, text = perf.communicate()
        begin = PERF_START_S + result["connect_seconds"] + seconds * WARM_UP_SHARE
        counts = perf_intervals(text, begin, begin + seconds)
        if not counts or not result["deliveries_per_second"]:
            return None
        per_second = statistics.mean(counts) * 1000 / INTERVAL_MS
        return per_second / result["deliveries_per_second"]


def start_perf(pid):
    """Counts the process's system calls in intervals; None if that isn't possible here."""
    if not shutil.which("perf"):
        return None
    event = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter"]
    probe = subprocess.run([*event, "true"], capture_output=True, check=False)
    if probe.returncode != 0 or b"not " in probe.stderr:
        return None
    return subprocess.Popen(
        [*event, "-I", str(INTERVAL_MS), "-p", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def perf_intervals(text, begin, end):
    """Counts of the intervals that lie well between `begin` and `end` (seconds)."""
    counts = []
    margin = 1.5 * INTERVAL_MS / 1000
    for line in text.splitlines():
        fields = line.strip().split(",")
        try:
            at, count = float(fields[0]), int(fields[1])
        except (IndexError, ValueError):
            continue
        if begin + margin < at < end - margin / 2:
            counts.append(count)
    return counts


def attempt(what, function, *arguments):
    """The values that were measured, or the reason why there are none."""
    try:
        return function(*arguments)
    except (peers.LoadFailed, RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"  {what}: {error}", flush=True)
        return {"error": str(error)[:300]}
