#!/usr/bin/python3 -B
"""The campaign finds what it has to find, says so, and stops, with the real engines.

A few seconds with the target that fails on purpose, under each engine, and with one that doesn't.
campaign_test.py looks at everything around the engines.
"""

import json
import os
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))


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


if __name__ == "__main__":
    unittest.main()
