#!/usr/bin/python3 -B
"""Millrace beside other brokers and beside the floor, in one interleaved run.

    bazel run //bench:versus
    bazel run //bench:versus -- --loads 'pair 1-1,latency' --rounds 5 --seconds 3
    bazel run //bench:versus -- --peer 'flashmq=flashmq -c /etc/flashmq.conf' --list

Each round runs every load on every broker, each time on a fresh process. Ratios are taken within
a round; the table has the median of the rounds, with the smallest and the largest. A peer's
command may contain {port}, {workers} and {dir}; it has to listen on 127.0.0.1:{port}.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.getcwd(), ROOT]  # `bazel run` starts in the root of what it made.

from bench.versus import compare, loads, peers, present
from bench.versus.compare import FLOOR
from bench.versus.measure import Bench, attempt

WORKSPACE = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
OUT = os.path.join(WORKSPACE or ROOT, "docs/performance")
# In tables; no broker is called that.
NO_REFERENCE = "another broker"


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--load", required=True, help="the load generator's binary")
    parser.add_argument("--relay", required=True, help="the floor's binary")
    parser.add_argument("--broker", required=True, help="Millrace as it was built")
    parser.add_argument("--release", action="store_true", help="build Millrace's release first")
    parser.add_argument("--loads", default="all", help="names with commas between; see --list")
    parser.add_argument("--list", action="store_true", help="list the loads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--no-pin", action="store_true", help="let the system place processes")
    parser.add_argument("--scale", type=float, default=1.0, help="less: fewer clients and topics")
    parser.add_argument("--io", default="epoll", help="with commas between: epoll, io_uring")
    parser.add_argument("--peer", action="append", default=[], help="NAME=COMMAND")
    parser.add_argument("--no-mosquitto", action="store_true")
    parser.add_argument("--no-syscalls", action="store_true", help="leave out the counting runs")
    parser.add_argument("--out", default=OUT, help="folder for versus.json and the charts")
    return parser.parse_args()


def release_broker(fallback):
    """Builds what users are to run; only within `bazel run`, whose workspace is known."""
    if not WORKSPACE:
        return fallback
    bazel = os.path.join(WORKSPACE, "tools/bazel")
    options = ["--config=release", "--experimental_convenience_symlinks=ignore"]
    subprocess.run([bazel, "build", *options, "//broker"], cwd=WORKSPACE, check=True)
    folder = subprocess.run(
        [bazel, "info", *options, "bazel-bin"],
        cwd=WORKSPACE,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    return os.path.join(folder, "broker/broker")


def find_peers(options):
    """The peers in the order of the table, and the name of the reference (NO_REFERENCE: none)."""
    broker = os.path.abspath(options.broker)
    if options.release:
        broker = release_broker(broker)
    found = []
    for number, io in enumerate(options.io.split(",")):
        name = compare.OURS if number == 0 else f"{compare.OURS} {io}"
        found.append(peers.millrace(broker, io, name))
    found.append(peers.relay(os.path.abspath(options.relay)))
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    mosquitto = shutil.which("mosquitto", path=path)
    reference = None
    if mosquitto and not options.no_mosquitto:
        found.append(peers.mosquitto(mosquitto))
        reference = "mosquitto"
    elif not options.no_mosquitto:
        print("mosquitto is not installed (apt-get install mosquitto): no reference")
    for text in options.peer:
        name, _, command = text.partition("=")
        found.append(peers.Peer(name, command.split()))
        reference = reference or name
    return found, reference or NO_REFERENCE


def selected_loads(text):
    if text == "all":
        return loads.names()
    chosen = [name.strip() for name in text.split(",")]
    unknown = [name for name in chosen if name not in loads.names()]
    if unknown:
        sys.exit(f"no such load: {', '.join(unknown)}; there are: {', '.join(loads.names())}")
    # Latency is measured at a share of what the reference can do.
    if loads.LATENCY in chosen and loads.LATENCY_LOAD not in chosen:
        chosen.insert(0, loads.LATENCY_LOAD)
    return [name for name in loads.names() if name in chosen]


class Round:
    """One round: every load on every peer."""

    def __init__(self, bench, found, reference):
        self.bench, self.peers, self.reference = bench, found, reference
        self.results = {}

    def measure(self, name):
        row = self.results[name] = {}
        for peer in self.peers:
            function = self.function(name, peer)
            if function:
                row[peer.name] = attempt(f"{name}, {peer.name}", *function)

    def function(self, name, peer):
        """What measures this load on this peer; None if it can't be."""
        load = loads.by_name(name)
        if load:
            possible = load.floor or peer.name != FLOOR
            return (self.bench.throughput, peer, load) if possible else None
        if name == loads.LATENCY:
            rate = self.latency_rate()
            return (self.bench.rated, peer, loads.latency_words(rate)) if rate else None
        if name == loads.SLOW:
            return (self.bench.rated, peer, loads.slow_words(self.bench.scale))
        return (self.bench.idle if name == loads.IDLE else self.bench.connects, peer)

    def latency_rate(self):
        row = self.results.get(loads.LATENCY_LOAD, {})
        per_second = row.get(self.reference, {}).get("per_second")
        return per_second * loads.LATENCY_SHARE if per_second else None


def count_syscalls(bench, found, selected, round_one):
    """Adds them to the first round's results."""
    for name in selected:
        load = loads.by_name(name)
        words = load.words if load else loads.slow_words(bench.scale)
        if not (load or name == loads.SLOW) or name == "wildcard":
            continue
        for peer in found:
            row = round_one[name].get(peer.name, {})
            if row and "error" not in row:
                value = attempt(f"{name}, {peer.name}", bench.syscalls, peer, words)
                if isinstance(value, float):
                    row["syscalls"] = value


def machine():
    name = ""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{os.cpu_count()} x {name}, {platform.system()} {platform.release()}"


def main():
    options = arguments()
    if options.list:
        print("\n".join(loads.names()))
        return 0
    found, reference = find_peers(options)
    selected = selected_loads(options.loads)
    last = (os.cpu_count() or 1) - 1
    pin = last > 0 and not options.no_pin and shutil.which("taskset")
    generator = peers.Load(os.path.abspath(options.load), str(last) if pin else None)
    cpus = f"0-{last - 1}" if pin else None
    bench = Bench(generator, options.workers, cpus, options.seconds, options.scale)
    rounds = []
    for number in range(options.rounds):
        one = Round(bench, found, reference)
        for name in selected:
            print(f"round {number + 1}: {name}", flush=True)
            one.measure(name)
        rounds.append(one.results)
    if not options.no_syscalls:
        print("counting system calls", flush=True)
        count_syscalls(bench, found, selected, rounds[0])
    report = {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "peers": [peer.name for peer in found],
        "reference": reference,
        "loads": selected,
        "seconds": options.seconds,
        "workers": options.workers,
        "pinned": bool(pin),
        "scale": options.scale,
    }
    return present.store(report, "versus", present.markdown, present.draw, options.out)


if __name__ == "__main__":
    sys.exit(main())
