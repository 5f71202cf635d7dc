#!/usr/bin/python3 -B
"""The campaign finds what it has to find, says so, and stops.

A few seconds with the target that fails on purpose, under each engine, and with one that doesn't.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import engines
import lines


def run(out, *args):
    command = [os.path.join(HERE, "campaign.py"), "--out", out, "--jobs", "2", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    with open(os.path.join(out, "report.json"), encoding="utf-8") as file:
        return done.returncode, json.load(file), done.stdout + done.stderr


class Campaign(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)

    def test_finds_the_canary_with_either_engine(self):
        for engine in ("libfuzzer", "afl"):
            code, report, text = run(self.folder.name, "--targets", "canary_fuzz", "--engines",
                                     engine, "--minutes", "0.3", "--fresh", "--no-lines")
            self.assertEqual(code, 1, text)
            crashes = report["targets"][0]["crashes"]
            self.assertEqual(len(crashes), 1, text)
            self.assertEqual(crashes[0]["hex"], b"MQ".hex(), text)
            self.assertIn("canary_fuzz.c", crashes[0]["what"])

    def test_reports_a_sound_target(self):
        code, report, text = run(self.folder.name, "--targets", "utf8_fuzz", "--minutes", "0.1")
        self.assertEqual(code, 0, text)
        row = report["targets"][0]
        self.assertEqual(row["crashes"], [])
        self.assertGreater(row["engines"]["libfuzzer"]["executions"], 1000)
        self.assertGreater(row["engines"]["afl"]["executions"], 1000)
        self.assertGreater(row["edges"], 20)
        self.assertGreater(row["lines"], 50)
        self.assertIn("codec", report["folders"])


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
