#!/usr/bin/python3 -B
"""The runner of microbenchmarks: what it reads, compares, writes and refuses."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import micro  # pylint: disable=wrong-import-position

PROGRAM = None


def options(**given):
    defaults = {
        "filter": ".",
        "large": False,
        "repetitions": 1,
        "seconds": 0.001,
        "operations": 50,
    }
    return argparse.Namespace(**{**defaults, **given})


class Pieces(unittest.TestCase):
    def test_a_dump_is_read(self):
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write("version: 1\ndesc: Trigger: Client Request: micro 7 200\ntotals: 5000\n")
            file.flush()
            self.assertEqual(micro.read_dump(file.name), (7, 25))

    def test_a_dump_of_the_end_of_the_program_is_none(self):
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write("desc: Trigger: Program termination\ntotals: 10\n")
            file.flush()
            self.assertIsNone(micro.read_dump(file.name))

    def test_the_median_is_taken_of_times_for_one_item(self):
        results = [{"items_per_second": 1e9 / ns} for ns in (30, 10, 12)]
        self.assertAlmostEqual(micro.median_of(results)["ns"], 12)

    def test_what_was_not_measured_stays_in_the_baseline(self):
        before = {"b": {"ns": 1.0, "instructions": 10}, "a": {"ns": 2.0}}
        after = micro.merged(before, {"b": {"instructions": 11.04}})
        self.assertEqual(after, {"a": {"ns": 2.0}, "b": {"ns": 1.0, "instructions": 11.0}})
        self.assertEqual(list(after), ["a", "b"])

    def test_the_largest_ratio_of_instructions_is_found(self):
        measured = {"a": {"instructions": 11}, "b": {"instructions": 9}, "new": {"ns": 3}}
        before = {"a": {"instructions": 10}, "b": {"instructions": 10}}
        self.assertAlmostEqual(micro.print_table(measured, before), 1.1)

    def test_what_is_stored_is_loaded(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "baseline.json")
            self.assertEqual(micro.load(path), {})
            micro.store(path, {"a": {"ns": 1.5}, "b": {"instructions": 3}})
            self.assertEqual(micro.load(path), {"a": {"ns": 1.5}, "b": {"instructions": 3}})


class Runs(unittest.TestCase):
    def test_times_are_measured(self):
        found = micro.measure_times([PROGRAM], options(filter="Alone/bytes:16/"))
        self.assertEqual(len(found), 3)
        for name, result in found.items():
            self.assertTrue(name.startswith("ring: RingAlone/bytes:16/"), name)
            self.assertGreater(result["ns"], 0)

    def test_instructions_are_the_same_each_time(self):
        wanted = options(filter="RingAlone|Sleep")
        first = micro.measure_instructions([PROGRAM], wanted)
        self.assertEqual(len(first), 10)
        for name, result in first.items():
            self.assertGreater(result["instructions"], 10, name)
        self.assertEqual(first, micro.measure_instructions([PROGRAM], wanted))

    def test_what_is_large_runs_on_demand(self):
        self.assertIsNotNone(micro.LARGE.search("MatchHit/exact/1000000"))
        self.assertIsNone(micro.LARGE.search("NewUnref/bytes:65536"))

    def test_a_program_that_fails_is_reported(self):
        with self.assertRaisesRegex(SystemExit, "failed"):
            micro.run(PROGRAM, ["RingAlone"], ["--no_such_flag"])

    def test_a_benchmark_that_does_not_exist_is_a_failure(self):
        done = subprocess.run(
            [PROGRAM, "--benchmark_filter=NoSuchThing"], capture_output=True, check=False
        )
        self.assertNotEqual(done.returncode, 0)

    def test_the_whole_of_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "baseline.json")
            command = [sys.executable, os.path.join(HERE, "micro.py"), f"--program={PROGRAM}"]
            command += ["--filter=Sleep", "--instructions", f"--baseline={path}"]

            def run(*more):
                return subprocess.run(
                    [*command, *more], capture_output=True, text=True, check=False
                )

            self.assertEqual(run("--update").returncode, 0)
            stored = micro.load(path)
            self.assertEqual(list(stored), ["ring: RingSleepAndWake/bytes:32"])
            same = run("--limit=1.01")
            self.assertEqual(same.returncode, 0, same.stderr)
            self.assertIn(" 1.000\n", same.stdout)
            for entry in stored.values():
                entry["instructions"] /= 2
            with open(path, "w", encoding="utf-8") as file:
                json.dump(stored, file)
            worse = run("--limit=1.01")
            self.assertNotEqual(worse.returncode, 0)
            self.assertIn("2.000 times", worse.stderr)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
