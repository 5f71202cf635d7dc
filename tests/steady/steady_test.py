#!/usr/bin/python3 -B
"""In its steady state, the broker allocates nothing and takes no lock for a message.

    steady_test.py LOAD BROKER COUNT.so

The allocations and locks of the real binary are counted from outside while the load generator
runs: what is counted between two looks, by what was delivered in the meantime. The looks are far
from start and end, and what happens once a second doesn't matter.
"""

import os
import struct
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from bench.versus import peers

LOAD, BROKER, COUNT = (os.path.abspath(path) for path in sys.argv[1:4])
SECONDS = 2.5
FIRST_LOOK, LAST_LOOK = 1.2, 2.2
# Between the looks: what comes with time and not with messages (housekeeping, pools that still
# grow on a slow machine), and beyond it one for a thousand deliveries.
MOST, MOST_EACH = 200, 1e-3
# With more workers than free processors, what is under way swings by more than a pool keeps
# (4 MiB), and the difference goes to the allocator and comes back.
MOST_EACH_HANDED_OVER = 1e-2


class Counted:
    """A broker whose allocations and locks are counted."""

    def __init__(self, folder, workers):
        self.path = os.path.join(folder, "counters")
        millrace = peers.millrace(BROKER)
        environment = {"LD_PRELOAD": COUNT, "MILLRACE_COUNT_FILE": self.path}
        peer = peers.Peer("millrace", millrace.command, millrace.config, environment)
        self.running = peer.start(workers)

    def read(self):
        with open(self.path, "rb") as file:
            return dict(zip(("allocated", "freed", "locked"), struct.unpack("<3Q", file.read(24))))


class SteadyTest(unittest.TestCase):
    def counts(self, workers, *words):
        """Allocations and locks between the looks, and the deliveries meanwhile."""
        load = peers.Load(LOAD)
        with tempfile.TemporaryDirectory() as folder:
            broker = Counted(folder, workers)
            with broker.running as running:
                started = broker.read()
                self.assertGreater(started["allocated"], 20, "nothing is counted")
                words = (*words, "-t", SECONDS)
                process = load.start(running, *words)
                time.sleep(FIRST_LOOK)
                first = broker.read()
                self.assertGreater(first["locked"], started["locked"], "connects take a lock")
                time.sleep(LAST_LOOK - FIRST_LOOK)
                last = broker.read()
                result = load.finish(process, running, *words)
        deliveries = result["deliveries_per_second"] * (LAST_LOOK - FIRST_LOOK)
        self.assertGreater(deliveries, 1000)
        return {name: last[name] - first[name] for name in last}, deliveries

    def check(self, workers, *words, most_each=MOST_EACH):
        counts, deliveries = self.counts(workers, *words)
        print(f"{' '.join(words)}, {workers} workers: {counts}, {deliveries:.0f} deliveries")
        for name, count in counts.items():
            self.assertLess(count, MOST + deliveries * most_each, name)

    def test_pairs_at_qos_0(self):
        self.check(1, "pair", "-P", "10")

    def test_pairs_at_qos_1(self):
        self.check(1, "pair", "-P", "10", "-q", "1")

    def test_pairs_at_qos_2(self):
        self.check(1, "pair", "-P", "10", "-q", "2")

    def test_fan_out(self):
        self.check(1, "fan-out", "-S", "100", "-w", "100")

    def test_fan_in_at_qos_1(self):
        self.check(1, "fan-in", "-P", "100", "-q", "1", "-w", "100")

    def test_hand_over_between_workers(self):
        self.check(2, "pair", "-P", "20", "-q", "1", most_each=MOST_EACH_HANDED_OVER)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
