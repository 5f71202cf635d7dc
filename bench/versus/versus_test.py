#!/usr/bin/python3 -B
"""Does a comparison measure what it says, and add it up right? Times are not looked at.

    versus_test.py LOAD BROKER RELAY
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from bench.chart import chart
from bench.versus import compare, loads, measure, peers, present, versus

LOAD, BROKER, RELAY = (os.path.abspath(path) for path in sys.argv[1:4])
SELECTED = "pair 1-1,fan-out 1-100,pair 10-10 QoS 1,wildcard,slow publishers,latency,idle,connects"


class Comparison(unittest.TestCase):
    def test_end_to_end(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "versus.py")
        out = tempfile.mkdtemp(prefix="millrace-versus-", dir="/tmp")
        command = [
            script,
            f"--load={LOAD}",
            f"--relay={RELAY}",
            f"--broker={BROKER}",
            f"--loads={SELECTED}",
            "--rounds=1",
            "--seconds=0.2",
            "--scale=0.005",
            "--no-mosquitto",
            "--no-syscalls",
            f"--peer=other={BROKER} -p {{port}} --workers 1",
            f"--out={out}",
        ]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(os.path.join(out, "versus.json"), encoding="utf-8") as file:
            report = json.load(file)
        (results,) = report["rounds"]
        names = SELECTED.split(",") + ["pair 10-10"]  # Latency needs the latter's rate.
        self.assertEqual(set(results), set(names))
        self.assertEqual(report["reference"], "other")
        for name in names:
            load = loads.by_name(name)
            expected = {"millrace", "other"} | ({"floor"} if not load or load.floor else set())
            self.assertEqual(set(results[name]), expected, name)
            if name != "idle":
                for peer, values in results[name].items():
                    self.assertGreater(values["per_second"], 0, (name, peer))
        half = int(results["pair 10-10"]["other"]["per_second"] / 2)
        self.assertEqual({v["rate"] for v in results["latency"].values()}, {half})
        for name in "throughput", "cpu", "latency":
            tree = xml.etree.ElementTree.parse(os.path.join(out, f"versus-{name}.svg"))
            self.assertTrue(tree.getroot().tag.endswith("svg"))
        self.assertIn("throughput by other's", done.stdout)
        shutil.rmtree(out)

    def test_without_another_broker(self):
        options = argparse.Namespace(
            broker=BROKER, relay=RELAY, io="epoll", release=False, no_mosquitto=True, peer=[]
        )
        found, reference = versus.find_peers(options)
        self.assertEqual([peer.name for peer in found], ["millrace", "floor"])
        report = {"rounds": [{}], "loads": ["pair 1-1"], "reference": reference}
        self.assertNotIn("None", present.ratio_table(report, ["pair 1-1"]))
        self.assertIn("not measured", present.target_table(report))

    def test_ratios_are_taken_within_rounds(self):
        rounds = [
            {"l": {"millrace": {"v": 10.0}, "floor": {"v": 1.0}}},
            {"l": {"millrace": {"v": 40.0}, "floor": {"v": 20.0}}},
            {"l": {"millrace": {"v": 9.0}, "floor": {"v": 3.0}}},
            {"l": {"millrace": {"v": 9.0}, "floor": {"error": "lost"}}},
        ]
        found = compare.ratio(rounds, "l", "millrace", "floor", "v")
        self.assertEqual((found.median, found.low, found.high), (3, 2, 10))
        self.assertIsNone(compare.ratio(rounds, "l", "millrace", "absent", "v"))
        self.assertEqual(compare.median(rounds, "l", "millrace", "v"), 9.5)

    def test_targets(self):
        def measured(ours, others, floor):
            row = {"millrace": ours, "other": others, "floor": floor}
            return [{"pair 1-1": {k: {"per_second": v, "cpu_ns": 1e9 / v} for k, v in row.items()}}]

        met = [t.met for t in compare.targets(measured(60, 1, 100), ["pair 1-1"], "other")]
        self.assertEqual(met, [True, True, None])  # Nothing was said of system calls.
        met = [t.met for t in compare.targets(measured(49, 1, 100), ["pair 1-1"], "other")]
        self.assertEqual(met, [False, False, None])

    def test_intervals_of_the_steady_state(self):
        lines = "\n".join(f"  {i / 10:.9f},{i},,raw_syscalls:sys_enter,1,1,," for i in range(1, 30))
        self.assertEqual(measure.perf_intervals(lines + "\n# text\n", 1.0, 2.0), list(range(12, 20)))

    def test_loss_is_a_fault(self):
        def lose():
            raise peers.LoadFailed("3 lost")

        self.assertEqual(measure.attempt("what", lose), {"error": "3 lost"})


class Charts(unittest.TestCase):
    def test_bars_have_the_lengths_of_their_values(self):
        svg = chart.bars("a < b", "n", ["x", "y"], [chart.Series("s", [1, 4])])
        boxes = [
            float(node.get("width"))
            for node in xml.etree.ElementTree.fromstring(svg).iter()
            if node.tag.endswith("rect") and node.get("height") == str(chart.BAR)
        ]
        self.assertAlmostEqual(boxes[1] / boxes[0], 4, delta=0.02)

    def test_logarithmic_scale(self):
        scale = chart.Scale([1, 1000], 0, 300, True)
        self.assertEqual([round(scale.at(v)) for v in (1, 10, 100, 1000)], [0, 100, 200, 300])

    def test_gaps(self):
        series = [chart.Series("s", [None, 2]), chart.Series("t", [3, None])]
        for svg in (
            chart.bars("t", "n", ["x", "y"], series, log=True, marks={"x": 2.5}),
            chart.lines("t", "x", "y", [1, 10], series, log_x=True, log_y=True),
        ):
            xml.etree.ElementTree.fromstring(svg)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
