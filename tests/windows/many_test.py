#!/usr/bin/python3 -B
"""Thousands of clients of one broker.exe: more than select() or a poll of handles could take.

    bazel test --test_output=all //tests/windows:many_test    for the numbers
"""

import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.suite import BrokerTest, arguments, main

PARSER = argparse.ArgumentParser()
PARSER.add_argument("--load", help="bench/load/load")
OPTIONS, _ = arguments(PARSER)
CLIENTS = 5000
MESSAGES = 20
LONG_S = 240


class Many(BrokerTest):
    CONFIG = "connection_messages false\n"

    def load(self, *words):
        target = self.broker
        command = [OPTIONS.load, "-j", "-p", target.port, "-k", target.pid, "-S", CLIENTS, *words]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=LONG_S, check=False
        )
        print(" ".join(map(str, words)), done.stdout, done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_idle_then_fan_out(self):
        """One after the other: each is for the whole broker."""
        self.load("-t", 2, "idle")
        result = self.load("-n", MESSAGES, "-q", 1, "fan-out")
        self.assertEqual(result["published"], MESSAGES)
        self.assertEqual(result["delivered"], MESSAGES * CLIENTS)


if __name__ == "__main__":
    main()
