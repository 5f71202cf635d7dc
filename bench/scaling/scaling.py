#!/usr/bin/python3 -B
"""What many cores would do: a model of the workers' turns, fed with what was measured on few.

    bazel run //bench:scaling                  # writes docs/performance/scaling.md and its chart
    bazel run //bench:scaling -- --list        # only the table

A worker's turn takes what its clients have sent and what other workers have flushed to it, and
ends with a flush of its own. The model solves for the turn that reproduces itself: all workers are
busy, each has `load` messages of its own clients in a turn, receivers are anywhere. From that
follow batches, the cost of a delivery, and how busy each shared structure is.
"""

import argparse
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.getcwd(), ROOT]  # `bazel run` starts in the root of what it made.

from bench.scaling import page

WORKSPACE = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
OUT = os.path.join(WORKSPACE or ROOT, "docs/performance")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print the page, write nothing")
    parser.add_argument("--out", default=OUT)
    options = parser.parse_args()
    text = page.text()
    print(text)
    if not options.list:
        page.write(options.out, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
