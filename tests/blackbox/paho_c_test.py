#!/usr/bin/python3 -B
"""Eclipse Paho's C clients against the broker: see paho_sync.c and paho_async.c.

    paho_c_test.py --broker=PATH --program=paho_sync --program=paho_async
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.suite import BrokerTest, arguments, main

LONG_S = 120


def programs():
    """By name, from the command line."""
    given = [a.split("=", 1)[1] for a in arguments()[1] if a.startswith("--program=")]
    return {os.path.basename(path): os.path.abspath(path) for path in given}


class PahoC(BrokerTest):
    def run_program(self, name):
        for version in (3, 4, 5):
            with self.subTest(version=version):
                where = [self.broker.host, str(self.broker.port)]
                done = subprocess.run(
                    [programs()[name], *where, self.unique, str(version)], capture_output=True,
                    text=True, timeout=LONG_S, check=False,
                )
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_synchronous_client(self):
        self.run_program("paho_sync")

    def test_asynchronous_client(self):
        self.run_program("paho_async")


if __name__ == "__main__":
    main()
