#!/usr/bin/python3 -B
"""The same bytes to Millrace's decoder and to mqtt-packet, the parser of MQTT.js.

    bazel run //fuzz:differential -- --packets 1000000 [--seed N]

Packets are drawn by fuzz/draw.c (good ones of all types and versions), taken from the seeds of
codec_roundtrip_fuzz, and altered: bits, bytes, cuts, insertions, with the Remaining Length made
right again or not. Both sides must accept or refuse alike, and what they accept must have the same
fields. Each difference that is known has its reason in known.py; any other fails. A known
difference that no longer shows up is reported by long runs.
"""

import argparse
import collections
import concurrent.futures
import glob
import json
import os
import pwd
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import known

SEEDS = os.path.join(ROOT, "fuzz", "corpus", "codec_roundtrip_fuzz")
INSTALL = (
    "mqtt-packet is missing: MILLRACE_NODE_PATH has to name a folder node_modules that has it (it "
    "comes with mqtt). `tools/bazel test` installs it (see tools/npm); by hand: cd tools/npm && "
    "npm ci"
)
BATCH = 20000
SHOWN_MAX = 20  # Differences printed in full.


def node_path():
    """The folder from the environment, else the one that tools/bazel fills."""
    given = os.environ.get("MILLRACE_NODE_PATH")
    home = pwd.getpwuid(os.getuid()).pw_dir
    folders = [given] if given else []
    folders += glob.glob(os.path.join(home, ".cache/millrace/npm-*/node_modules"))
    return next((f for f in folders if os.path.isdir(os.path.join(f, "mqtt-packet"))), None)


# ---------------------------------------------------------------------------- making packets

def varint(value):
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def body_of(packet):
    """(first byte, body) of a good packet."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    return packet[0], packet[at + 1:]


EDGES = (0, 1, 2, 3, 4, 0x10, 0x7F, 0x80, 0x9C, 0xC0, 0xFE, 0xFF, ord("#"), ord("+"), ord("/"))


def alter(rng, data):
    """One change somewhere in the bytes."""
    data = bytearray(data)
    kind = rng.randrange(6)
    at = rng.randrange(len(data) + 1)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.choice(EDGES)
    elif kind == 2 and at < len(data):
        data[at] = rng.randrange(256)
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        del data[at:at + 1 + rng.randrange(4)]
    else:
        data[at:at] = bytes(rng.choice(EDGES) for _ in range(1 + rng.randrange(4)))
    return bytes(data)


def variant(rng, packet):
    """A packet that may be bad."""
    first, body = body_of(packet)
    for _ in range(1 + rng.randrange(3)):
        body = alter(rng, body)
    if rng.randrange(8) == 0:
        first ^= 1 << rng.randrange(8)
    out = bytes([first]) + varint(len(body)) + body
    return alter(rng, out) if rng.randrange(16) == 0 else out


def seeds():
    """Lines of packets that lie in the tree."""
    lines = []
    for path in sorted(glob.glob(os.path.join(SEEDS, "*"))):
        with open(path, "rb") as file:
            data = file.read()
        if len(data) >= 2:
            version = 3 + data[0] % 3
            direction = "s" if data[0] & 0x80 else "c"
            packet = data[1:2] + varint(len(data) - 2) + data[2:]
            lines.append(f"{version} {direction} {packet.hex()}")
    return lines


def make_batch(decode, count, seed):
    """`count` lines: a third good, the rest altered."""
    rng = random.Random(seed)
    drawn = subprocess.run([decode, "--draw", str(max(1, count // 3)), str(seed)],
                           capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    good = drawn + seeds()
    lines = list(good)
    while len(lines) < count:
        version, direction, digits = rng.choice(good).split(" ")
        lines.append(f"{version} {direction} {variant(rng, bytes.fromhex(digits)).hex()}")
    return [line for line in lines if line.split(" ")[2]]


# ---------------------------------------------------------------------------------- comparing

def ask(command, lines, env=None):
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True,
                          env=env, check=False)
    answers = done.stdout.split("\n")[:-1]
    if done.returncode != 0 or len(answers) != len(lines):
        at = lines[len(answers)] if len(answers) < len(lines) else ""
        sys.exit(f"{command[0]} ended with {done.returncode} at: {at}\n{done.stderr[-2000:]}")
    return [json.loads(answer) for answer in answers]


def sides(decode, lines):
    node = ["node", os.path.join(HERE, "mqtt_packet.js")]
    env = {**os.environ, "NODE_PATH": node_path()}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ours = pool.submit(ask, [decode], lines)
        theirs = pool.submit(ask, node, lines, env)
        return ours.result(), theirs.result()


def accepted(answer):
    return "type" in answer


def canonical(answer):
    """Without the order of properties that their parser doesn't keep."""
    answer = dict(answer)
    for name in ("properties", "will_properties"):
        if name in answer:
            # Stable: what has one name stays in order.
            answer[name] = sorted(answer[name], key=lambda p: (p[0], p[1] if len(p) == 3 else ""))
    return answer


def compare(line, ours, theirs):
    """None if both agree, else the name of a known difference, or "" for one that isn't."""
    if accepted(ours) != accepted(theirs):
        return known.name_of(line, ours, theirs)
    if not accepted(ours):
        return None  # "Not yet" and "never" are the same for a packet that is at its end.
    if canonical(ours) == canonical(theirs):
        return None
    return known.name_of(line, canonical(ours), canonical(theirs))


class Tally:
    def __init__(self):
        self.packets = 0
        self.both_accept = 0
        self.both_refuse = 0
        self.known = collections.Counter()
        self.types = collections.Counter()
        self.unknown = []

    def add(self, line, ours, theirs):
        self.packets += 1
        name = compare(line, ours, theirs)
        if accepted(ours):
            self.types[ours["type"]] += 1
        if name is None:
            self.both_accept += accepted(ours)
            self.both_refuse += not accepted(ours)
        elif name:
            self.known[name] += 1
        else:
            self.unknown.append((line, ours, theirs))


def run(decode, packets, seed):
    tally = Tally()
    while tally.packets < packets:
        lines = make_batch(decode, min(BATCH, packets - tally.packets), seed)
        ours, theirs = sides(decode, lines)
        for line, our, their in zip(lines, ours, theirs):
            tally.add(line, our, their)
        seed += 1
        if len(tally.unknown) > SHOWN_MAX:
            break
    return tally


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decode", required=True, help="the program of decode_main.c")
    parser.add_argument("--packets", type=int, default=200000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("MILLRACE_SEED", "1")))
    args = parser.parse_args()
    if node_path() is None:
        sys.exit(INSTALL)
    print(f"MILLRACE_SEED={args.seed}")
    tally = run(os.path.abspath(args.decode), args.packets, args.seed)
    print(f"{tally.packets} packets: both accept {tally.both_accept}, both refuse "
          f"{tally.both_refuse}, known differences {sum(tally.known.values())}, others "
          f"{len(tally.unknown)}")
    for name, count in tally.known.most_common():
        print(f"  {count:8} {name}: {known.reason_of(name)}")
    for line, ours, theirs in tally.unknown[:SHOWN_MAX]:
        print(f"DIFFERENT {line[:1500]}\n  ours   {ours}\n  theirs {theirs}")
    missing = sorted(set(range(1, 16)) - set(tally.types))
    if missing and tally.packets >= BATCH:
        print(f"no good packet of the types {missing}")
    unseen = [name for name in known.names() if name not in tally.known]
    if args.packets >= 1000000 and unseen:
        print("not seen: " + ", ".join(unseen))
    sys.exit(1 if tally.unknown or (missing and tally.packets >= BATCH) else 0)


if __name__ == "__main__":
    main()
