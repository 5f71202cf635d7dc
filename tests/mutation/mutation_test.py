#!/usr/bin/python3 -B
"""A few of the faults, and whether all rows still fit the code.

The whole table takes minutes: bazel run //tests/mutation.
"""

import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)

import mutation

# Tests that compile quickly, and the files that they are about.
TESTS = {"frame_test.cc", "topic_test.cc"}
FILES = ("codec/frame.c", "codec/topic.c")
COUNT_MIN = 10


class Mutation(unittest.TestCase):
    def test_all_rows_fit_the_code(self):
        wrong = [f"{m.name}: {m.apply()[1]}" for m in mutation.read_mutants() if m.apply()[1]]
        self.assertEqual(wrong, [], "the code has changed: adapt tests/mutation/mutants.tsv")

    def test_there_are_enough(self):
        mutants = mutation.read_mutants()
        self.assertGreaterEqual(len(mutants), 60)
        self.assertEqual({m.component for m in mutants}, set(mutation.COMPONENTS))
        self.assertEqual(len({m.name for m in mutants}), len(mutants))

    def test_some_are_caught(self):
        mutants = [m for m in mutation.read_mutants() if m.file in FILES and not m.survives]
        self.assertGreaterEqual(len(mutants), COUNT_MIN)
        with tempfile.TemporaryDirectory() as folder:
            outcomes = mutation.run_component("codec", mutants, folder, 2, TESTS)
            # And the other way round: a change that is none isn't caught.
            same = mutation.Mutant({"file": "codec/frame.c", "function": "read_length",
                                    "old": "if (i == in.len) {", "new": "if (in.len == i) {",
                                    "fault": "none", "survives": ""}, 99)
            outcomes_same = mutation.run_component("codec", [same], folder, 2, TESTS)
        self.assertEqual([o.line() for o in outcomes if o.is_bad], [])
        self.assertTrue(outcomes_same[0].is_bad, outcomes_same[0].line())


if __name__ == "__main__":
    unittest.main()
