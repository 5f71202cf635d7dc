#!/usr/bin/python3 -B
"""The fuzz targets, read from the BUILD file: there is one list of them.

    targets.py              prints name, length limit and dictionary of each ("-" for none)
    targets.py --all        with those that fail on purpose
"""

import ast
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# Longest input that a fuzzer makes. Beyond, inputs get slower and find nothing that shorter
# ones don't: what long texts can do is drawn from few bytes (draw.c) or unit-tested.
LEN_MAX = {
    "broker_core_fuzz": 2048,
    "chain_fuzz": 1024,
    "retained_fuzz": 2048,
    "ring_fuzz": 1024,
    "trie_fuzz": 1024,
}
LEN_MAX_DEFAULT = 4096

# How many times as long as others a target is run in a campaign: where there is most to be reached.
SHARE = {
    "broker_core_fuzz": 8,
    "codec_packet_fuzz": 2,
    "config_fuzz": 2,
    "retained_fuzz": 2,
    "trie_fuzz": 2,
}

# Reach so many features that libFuzzer's search for the rare ones (-entropic) would take longer than
# running the target.
MANY_FEATURES = {"broker_core_fuzz"}


class Target:
    def __init__(self, name, dictionary, must_fail):
        self.name = name
        self.dictionary = dictionary  # A file of this folder, or None.
        self.must_fail = must_fail
        self.len_max = LEN_MAX.get(name, LEN_MAX_DEFAULT)
        self.share = SHARE.get(name, 1)
        self.entropic = name not in MANY_FEATURES


def targets(folder=HERE, also_failing=False):
    """The targets declared with mr_fuzz_test() in the folder's BUILD file."""
    with open(os.path.join(folder, "BUILD"), encoding="utf-8") as file:
        tree = ast.parse(file.read())  # Such a file is also Python.
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "mr_fuzz_test"):
            continue
        fields = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        target = Target(fields["name"], fields.get("dict"), fields.get("must_fail", False))
        if also_failing or not target.must_fail:
            found.append(target)
    return sorted(found, key=lambda target: target.name)


if __name__ == "__main__":
    for one in targets(also_failing="--all" in sys.argv[1:]):
        print(one.name, one.len_max, one.dictionary or "-")
