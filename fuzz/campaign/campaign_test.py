#!/usr/bin/python3 -B
"""The campaign's own logic: who gets how much time, what is kept of what was found, what a crash
leads to, what the report says. Engines and targets are stand_in.py; engines_test.py has real ones.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import builds
import campaign
import engines
import lines
import targets

STAND_IN = os.path.join(HERE, "stand_in.py")


def names_of(runs):
    return [(target.name, engine) for target, engine, _ in runs]


class Plan(unittest.TestCase):
    def plan(self, minutes, jobs, names=()):
        chosen = [t for t in targets.targets() if not names or t.name in names]
        args = argparse.Namespace(minutes=minutes, jobs=jobs, targets=chosen,
                                  engines=["libfuzzer", "afl"])
        return chosen, campaign.plan(args)

    def test_each_target_is_run_by_each_engine(self):
        chosen, runs = self.plan(60, 1)
        want = [(target.name, engine) for target in chosen for engine in ("libfuzzer", "afl")]
        self.assertEqual(sorted(names_of(runs)), sorted(want))

    def test_all_runs_together_take_the_minutes_on_all_cores(self):
        for minutes, jobs in ((60, 1), (30, 4)):
            _, runs = self.plan(minutes, jobs)
            seconds = sum(run[2] for run in runs)
            self.assertLessEqual(seconds, minutes * 60 * jobs)
            self.assertGreater(seconds, minutes * 60 * jobs - len(runs))

    def test_time_is_shared_as_targets_say(self):
        _, runs = self.plan(60, 1)
        seconds = {target.name: seconds for target, _, seconds in runs}
        unit = seconds["utf8_fuzz"]
        for target, _, given in runs:
            self.assertAlmostEqual(given, unit * target.share, delta=target.share + 1)
        self.assertGreater(seconds["broker_core_fuzz"], 4 * unit)

    def test_longest_runs_begin(self):
        _, runs = self.plan(60, 2)
        given = [run[2] for run in runs]
        self.assertEqual(given, sorted(given, reverse=True))

    def test_no_run_is_too_short_to_find_anything(self):
        _, runs = self.plan(0.1, 1)
        self.assertEqual(min(run[2] for run in runs), campaign.SECONDS_MIN)


class Campaign(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.out = os.path.join(self.folder, "out")
        self.tree = os.path.join(self.folder, "tree")
        programs = os.path.join(self.folder, "programs")
        os.makedirs(programs)
        for name in ("utf8_fuzz", "canary_fuzz", "afl-fuzz"):
            shutil.copy(STAND_IN, os.path.join(programs, name))
        path = programs + os.pathsep + os.environ.get("PATH", "/usr/bin:/bin")
        for patch in (mock.patch.object(builds, "build", lambda *args: programs),
                      mock.patch.object(builds, "ROOT", self.tree),
                      mock.patch.object(builds, "sources_hash", lambda: "0" * 64),
                      mock.patch.dict(os.environ, {"PATH": path})):
            patch.start()
            self.addCleanup(patch.stop)

    def run_campaign(self, target, *args, fault=""):
        """Returns (exit code, the report's row, what was printed)."""
        argv = ["campaign.py", "--targets", target, "--out", self.out, "--minutes", "0.1",
                "--jobs", "1", "--no-lines", *args]
        said = io.StringIO()
        with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(said), \
                mock.patch.dict(os.environ, {"STAND_IN_FAULT": fault}):
            with self.assertRaises(SystemExit) as end:
                campaign.main()
        with open(os.path.join(self.out, "report.json"), encoding="utf-8") as file:
            (row,) = json.load(file)["targets"]
        return end.exception.code, row, said.getvalue()

    def contents(self, *parts):
        folder = os.path.join(*parts)
        found = set()
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), "rb") as file:
                found.add(file.read())
        return found

    def kept(self, target="utf8_fuzz"):
        return self.contents(self.out, "targets", target, "kept")

    def in_tree(self, target="utf8_fuzz"):
        return self.contents(self.tree, "fuzz", "corpus", target)

    def test_sound_target(self):
        code, row, said = self.run_campaign("utf8_fuzz")
        self.assertEqual(code, 0, said)
        self.assertEqual(row["engines"]["libfuzzer"]["executions"], 1234)
        self.assertEqual(row["engines"]["afl"]["executions"], 567)
        self.assertEqual((row["crashes"], row["errors"]), ([], []))
        self.assertEqual((row["edges"], row["features"]), (4, 8))
        with open(os.path.join(self.out, "report.md"), encoding="utf-8") as file:
            self.assertIn("| `utf8_fuzz` | 1,234 | 567 | 4 | - | 0 |", file.read())

    def test_keeps_the_smallest_input_for_what_either_engine_reached(self):
        self.run_campaign("utf8_fuzz")
        self.assertEqual(self.kept(), {b"a-", b"b-2", b"c" * 400, b"d-4"})

    def test_keeps_what_was_kept_if_merging_fails(self):
        self.run_campaign("utf8_fuzz")
        before = self.kept()
        self.run_campaign("utf8_fuzz", fault="merge")
        self.assertEqual(self.kept(), before)

    def test_fresh_forgets(self):
        self.run_campaign("utf8_fuzz")
        folder = os.path.join(self.out, "targets", "utf8_fuzz", "kept")
        with open(os.path.join(folder, "old"), "wb") as file:
            file.write(b"z-old")
        self.run_campaign("utf8_fuzz")
        self.assertIn(b"z-old", self.kept())
        self.run_campaign("utf8_fuzz", "--fresh")
        self.assertNotIn(b"z-old", self.kept())

    def test_tree_is_left_alone_unless_asked(self):
        self.run_campaign("utf8_fuzz")
        self.assertEqual(self.in_tree(), set())

    def test_update_adds_what_the_tree_does_not_reach_within_the_budget(self):
        folder = os.path.join(self.tree, "fuzz", "corpus", "utf8_fuzz")
        os.makedirs(folder)
        with open(os.path.join(folder, "by_hand"), "wb") as file:
            file.write(b"by hand, reaches what begins with b")
        _, row, said = self.run_campaign("utf8_fuzz", "--update", "--update-bytes-max", "10")
        by_hand = {b"by hand, reaches what begins with b"}
        self.assertEqual(self.in_tree(), by_hand | {b"a-", b"d-4"}, said)
        self.assertEqual(row["added"], 2)
        _, row, said = self.run_campaign("utf8_fuzz", "--update", "--update-bytes-max", "1000")
        self.assertEqual(self.in_tree(), by_hand | {b"a-", b"d-4", b"c" * 400}, said)
        _, row, said = self.run_campaign("utf8_fuzz", "--update")
        self.assertEqual(row["added"], 0, said)

    def test_crashes_of_one_cause_are_one_minimized_and_end_with_1(self):
        code, row, said = self.run_campaign("canary_fuzz", "--engines", "libfuzzer", "--update")
        self.assertEqual(code, 1, said)
        (crash,) = row["crashes"]
        self.assertEqual(crash["what"], "codec/x.c:7: broken invariant: no MQ")
        self.assertEqual((crash["hex"], crash["bytes"], crash["count"]), (b"MQ".hex(), 2, 2))
        with open(crash["input"], "rb") as file:
            self.assertEqual(file.read(), b"MQ")
        self.assertIn("CRASH canary_fuzz: codec/x.c:7", said)
        self.assertEqual((self.kept("canary_fuzz"), self.in_tree("canary_fuzz")), (set(), set()))

    def test_crash_of_one_engine_alone_is_not_dropped(self):
        code, row, said = self.run_campaign("canary_fuzz", "--engines", "afl", fault="flaky")
        self.assertEqual(code, 1, said)
        (crash,) = row["crashes"]
        self.assertIn("not reproduced", crash["what"])
        self.assertEqual(crash["hex"], b"yyyMQ".hex())

    def test_engine_that_cannot_run_is_an_error(self):
        for engine in ("libfuzzer", "afl"):
            code, row, said = self.run_campaign("utf8_fuzz", "--engines", engine, fault="engine")
            self.assertEqual(code, 1, said)
            self.assertIn("no memory", row["errors"][0])
            self.assertIn("ERROR utf8_fuzz", said)

    def test_build_that_fails_ends_it(self):
        def fail(*_):
            raise builds.BuildError("missing: apt-get install afl++")
        with mock.patch.object(builds, "build", fail), \
                mock.patch.object(sys, "argv", ["campaign.py", "--out", self.out]):
            with self.assertRaises(SystemExit) as end:
                campaign.main()
        self.assertIn("apt-get install afl++", end.exception.code)


class Parts(unittest.TestCase):
    def test_one_signature_for_one_cause(self):
        text = "millrace: x.c:3: broken invariant: a == 0\nSUMMARY: abort"
        self.assertEqual(engines.signature(text), "x.c:3: broken invariant: a == 0")
        self.assertEqual(engines.signature("SUMMARY: AddressSanitizer: leak 0x1f"),
                         engines.signature("SUMMARY: AddressSanitizer: leak 0x2e"))

    def test_adds_lines_up(self):
        total = {"codec/a.c": {1: False, 2: True}}
        lines.merge_counts(total, {"codec/a.c": {1: True}, "io/b.c": {7: False}})
        self.assertEqual(lines.summary(total), ((2, 3), {"codec": (2, 2), "io": (0, 1)}))


if __name__ == "__main__":
    unittest.main()
