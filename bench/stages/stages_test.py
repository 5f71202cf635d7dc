#!/usr/bin/python3 -B
"""Do all variants of the bench broker deliver everything, once and in order, and count right? And
does the runner run? Times are not looked at.

    stages_test.py LOAD STAGES_BROKER BEFORE BROKER LOOKUP_TIME
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from bench.stages import page, plan, stages
from bench.versus import compare, peers

LOAD, STAGES_BROKER, BEFORE, BROKER, LOOKUP = (os.path.abspath(path) for path in sys.argv[1:6])

CHOICES = {
    "io": ["threads", "epoll", "io_uring"],
    "batch": ["off", "on"],
    "fanout": ["copy", "shared"],
    "lookup": ["walk", "trie", "cache"],
    "memory": ["malloc", "pool"],
    "handover": ["mutex", "ring"],
}
COUNT = 600


def pairwise():
    """Few variants in which each choice of one part meets each choice of every other."""
    names = list(CHOICES)
    wanted = {
        ((a, x), (b, y))
        for a, b in itertools.combinations(names, 2)
        for x in CHOICES[a]
        for y in CHOICES[b]
    }
    everything = [dict(zip(names, values)) for values in itertools.product(*CHOICES.values())]
    while wanted:
        covered = lambda flags: wanted & set(itertools.combinations(flags.items(), 2))
        best = max(everything, key=lambda flags: len(covered(flags)))
        wanted -= covered(best)
        yield best


def has_io_uring():
    variant = plan.Variant("probe", {**plan.AFTER, "io": "io_uring"})
    try:
        variant.peer(STAGES_BROKER).start().stop()
        return True
    except RuntimeError:
        return False


class Variants(unittest.TestCase):
    def test_every_pair_of_choices(self):
        variants = list(pairwise())
        self.assertLess(len(variants), 20)
        if not has_io_uring():
            print("io_uring is not to be had here: its variants are left out")
            variants = [flags for flags in variants if flags["io"] != "io_uring"]
        for number, flags in enumerate(variants):
            workers = 1 if flags["io"] == "threads" else 1 + number % 3
            with self.subTest(flags=flags, workers=workers):
                self.check(plan.Variant("variant", flags, workers))

    def check(self, variant):
        load = peers.Load(LOAD)
        with variant.peer(STAGES_BROKER).start() as running:
            counters = stages.Counters(running)
            seen = counters.read()
            for fan_out, *words in (
                (1, "pair", "-P", 5),
                (1, "pair", "-P", 3, "-q", 1, "-V", 5),
                (1, "fan-in", "-P", 6),
                (20, "fan-out", "-S", 20, "-w", 50),
                (10, "fan-out", "-S", 10, "-q", 1, "-w", 20, "-s", 3000),
                (1, "wildcard", "-P", 3, "-S", 8, "-T", 999, "-V", 5),
                (1, "pair", "-P", 1, "-s", 100000, "-w", 3),
            ):
                result = load.run(running, *words, "-n", COUNT)
                self.assertEqual(result["delivered"], COUNT * fan_out)
                now = counters.read()
                self.assertEqual(now["published"] - seen["published"], COUNT)
                self.assertEqual(now["delivered"] - seen["delivered"], COUNT * fan_out)
                seen = now
            self.assertGreater(seen["allocated"], 0)
            self.assertGreater(seen["syscalls"], 0)

    def test_the_broker_before_is_all_plain(self):
        with peers.Peer("before", [BEFORE, "--port", "{port}"]).start() as running:
            counters = stages.Counters(running)
            load = peers.Load(LOAD)
            load.run(running, "pair", "-n", 10)
            first = counters.read()
            load.run(running, "pair", "-n", 10000)
            each = stages.for_each_delivery(first, counters.read())
            # Two receives and a send; a buffer to receive and one to send; three locks.
            self.assertAlmostEqual(each["syscalls"], 3, delta=0.1)
            self.assertAlmostEqual(each["allocations"], 2, delta=0.2)
            self.assertGreaterEqual(each["locks"], 3)

    def test_all_of_it_costs_nothing_for_each_message(self):
        variant = plan.Variant("after", dict(plan.AFTER))
        with variant.peer(STAGES_BROKER).start() as running:
            counters = stages.Counters(running)
            load = peers.Load(LOAD)
            load.run(running, "pair", "-P", 4, "-n", 1000)
            first = counters.read()
            load.run(running, "pair", "-P", 4, "-n", 200000)
            each = stages.for_each_delivery(first, counters.read())
            self.assertLess(each["allocations"], 0.01)
            self.assertLess(each["syscalls"], 0.3)
            self.assertEqual(each["locks"], 0)

    def test_lookups_find_the_right_one(self):
        done = subprocess.run([LOOKUP, "5000", "20000"], stdout=subprocess.PIPE, check=True)
        self.assertEqual(set(json.loads(done.stdout)), {"walk", "trie", "cache"})


class Runner(unittest.TestCase):
    def test_quick(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stages.py")
        out = tempfile.mkdtemp(prefix="millrace-stages-", dir="/tmp")
        command = [script, f"--load={LOAD}", f"--stages-broker={STAGES_BROKER}", "--quick"]
        command += [f"--before={BEFORE}", f"--broker={BROKER}", f"--lookup={LOOKUP}"]
        done = subprocess.run(
            [*command, f"--out={out}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if not has_io_uring():
            self.skipTest("the runner needs io_uring for one of its variants")
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(os.path.join(out, "stages.json"), encoding="utf-8") as file:
            report = json.load(file)
        (results,) = report["rounds"]
        for load in stages.QUICK_LOADS:
            self.assertEqual(set(results[load]), set(report["variants"]))
        self.assertIn("| IO model |", done.stdout)
        for name in "throughput", "cpu", "syscalls", "allocations":
            xml.etree.ElementTree.parse(os.path.join(out, f"stages-{name}.svg"))
        shutil.rmtree(out)

    def test_verdicts(self):
        claim = plan.Claim("stage", "3-5x", "load", "key", "a", "b", 3, 5)
        words = [page.verdict(claim, compare.Ratio(r, r, r)) for r in (0.9, 2, 4, 9)]
        self.assertEqual(
            words,
            [
                "**does not hold**: no gain",
                "**does not hold**: only 2x",
                "holds",
                "more than claimed",
            ],
        )

    def test_less_is_turned_round(self):
        claim = next(c for c in plan.CLAIMS if c.less and c.key == "syscalls")
        rounds = [{claim.load: {claim.worse: {"syscalls": 1.0}, claim.better: {"syscalls": 0.25}}}]
        rows = [row for row in page.claim_rows({"rounds": rounds}) if row[1] == claim.claimed]
        self.assertEqual(rows[0][3:], ["4x (4-4)", "holds"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[6:])
