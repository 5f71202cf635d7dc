#!/usr/bin/python3 -B
"""A short comparison with mqtt-packet, and whether the comparison can see anything."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)

import differential

DECODE = os.path.abspath(sys.argv.pop(1))
PACKETS = 20000
SEED = int(os.environ.get("MILLRACE_SEED", "1"))


class Differential(unittest.TestCase):
    def setUp(self):
        self.assertIsNotNone(differential.node_path(), differential.INSTALL)

    def test_agrees_but_for_what_is_known(self):
        print(f"MILLRACE_SEED={SEED}")
        tally = differential.run(DECODE, PACKETS, SEED)
        self.assertEqual(tally.unknown[:3], [])
        self.assertEqual(sorted(tally.types), list(range(1, 16)))
        self.assertGreater(tally.both_accept, PACKETS // 4)
        self.assertGreater(tally.both_refuse, PACKETS // 10)

    def test_sees_differences(self):
        # A good packet, asked about with another one's answer.
        lines = ["4 c 300600036162636f", "4 c 3006000361626370"]
        ours, theirs = differential.sides(DECODE, lines)
        self.assertIsNone(differential.compare(lines[0], ours[0], theirs[0]))
        self.assertEqual(differential.compare(lines[0], ours[0], theirs[1]), "")
        self.assertEqual(differential.compare(lines[0], ours[0], {"bad": "refused"}), "")
        self.assertEqual(differential.compare(lines[0], {"bad": "no such text"}, theirs[0]), "")


if __name__ == "__main__":
    unittest.main()
