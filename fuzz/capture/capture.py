#!/usr/bin/python3 -B
"""Captures sessions of real clients, and makes seeds for the fuzz targets of them.

    bazel run //fuzz:capture                 # writes to fuzz/corpus
    bazel run //fuzz:capture -- --list       # the sessions

mosquitto_pub and mosquitto_sub, Paho of Python and MQTT.js talk to the broker through a relay. Each
connection becomes a stream for codec_packet_fuzz, each kind of packet one for codec_roundtrip_fuzz,
and connections that were open at the same time one sequence of operations for broker_core_fuzz.
What has the same sequence of packets as another seed, or is longer than a target's limit, is left
out.
"""

import argparse
import hashlib
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(ROOT, "tests")]

import clients
import targets
from relay import Relay
from support.broker import Broker

# How the codec's targets take the version, by protocol level.
LEVELS = {3: 0, 4: 1, 5: 2}
FROM_SERVER = 0x80
# As broker_core_fuzz.c has them.
DIAL, RAW, HANG_UP, RUN = 0, 6, 10, 13
SLOTS = 6
RAW_BYTES_MAX = 255
OPERATIONS_MAX = 400
TURNS = 15
THREE_WORKERS = 4


def split(stream):
    """The whole packets of a stream, as (first byte, body, all bytes)."""
    found = []
    at = 0
    while at + 2 <= len(stream):
        length = shift = 0
        body = at + 1
        while body < len(stream):
            byte = stream[body]
            length |= (byte & 0x7F) << shift
            shift += 7
            body += 1
            if byte < 0x80:
                break
        if body + length > len(stream):
            break
        found.append((stream[at], stream[body : body + length], stream[at : body + length]))
        at = body + length
    return found


def level_of(connection):
    """The level that its CONNECT names; None without one."""
    packets = split(connection.from_client)
    if not packets or packets[0][0] != 0x10:
        return None
    body = packets[0][1]
    name = int.from_bytes(body[:2], "big")
    return body[2 + name] & 0x7F if len(body) > 2 + name else None


def shape(stream):
    return bytes(first for first, _, _ in split(stream))


def clusters(connections):
    """Groups of connections that were open at the same time."""
    groups = []
    end = -1
    for connection in sorted(connections, key=lambda c: c.begin):
        if not groups or connection.begin >= end:
            groups.append([])
        groups[-1].append(connection)
        end = max(end, connection.end if connection.end is not None else connection.begin)
    return groups


def operations(group, events):
    """The group as an input of broker_core_fuzz; None if it has no room there."""
    if len(group) > SLOTS:
        return None
    out = bytearray([THREE_WORKERS, 0, 1])
    slots = {}
    count = 0
    for connection, data in events:
        if connection not in group:
            continue
        if connection not in slots:
            slots[connection] = len(slots)
            out += bytes([slots[connection] << 4 | DIAL])
            count += 1
        slot = slots[connection] << 4
        if data is None:
            out += bytes([slot | HANG_UP])
            count += 1
        for at in range(0, len(data or b""), RAW_BYTES_MAX):
            piece = data[at : at + RAW_BYTES_MAX]
            out += bytes([slot | RAW, len(piece)]) + piece
            count += 1
        out += bytes([slot | RUN, TURNS])
        count += 1
    return bytes(out) if count <= OPERATIONS_MAX else None


class Seeds:
    """{target: {name: bytes}}, each shape once."""

    def __init__(self):
        self.len_max = {target.name: target.len_max for target in targets.targets()}
        self.found = {}
        self.shapes = set()

    def add(self, target, session, key, data):
        if (target, key) in self.shapes or not data or len(data) > self.len_max[target]:
            return
        self.shapes.add((target, key))
        name = f"real_{session}_{hashlib.sha1(data).hexdigest()[:8]}"
        self.found.setdefault(target, {})[name] = data

    def take(self, session, relay):
        for connection in relay.connections:
            level = LEVELS.get(level_of(connection))
            if level is None:
                continue
            for stream, server in ((connection.from_client, 0),
                                   (connection.from_server, FROM_SERVER)):
                head = bytes([level | server])
                self.add("codec_packet_fuzz", session, head + shape(stream), head + stream)
                for first, body, _ in split(stream):
                    kind = head + bytes([first, min(len(body), 3)])
                    self.add("codec_roundtrip_fuzz", session, kind, head + bytes([first]) + body)
        for group in clusters(relay.connections):
            key = b"|".join(shape(c.from_client) for c in group)
            self.add("broker_core_fuzz", session, key, operations(group, relay.events))

    def write(self, corpus):
        for target, seeds in sorted(self.found.items()):
            folder = os.path.join(corpus, target)
            os.makedirs(folder, exist_ok=True)
            for name in os.listdir(folder):
                if name.startswith("real_"):
                    os.unlink(os.path.join(folder, name))
            for name, data in seeds.items():
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(data)
            print(f"{target}: {len(seeds)} seeds, {sum(map(len, seeds.values()))} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--broker", required=True)
    parser.add_argument("--corpus", default=os.path.join(ROOT, "fuzz", "corpus"))
    parser.add_argument("--sessions", default=",".join(sorted(clients.SESSIONS)))
    parser.add_argument("--list", action="store_true", help="name the sessions, and do nothing")
    args = parser.parse_args()
    if args.list:
        print("\n".join(sorted(clients.SESSIONS)))
        return
    Broker.binary = args.broker
    seeds = Seeds()
    for session in args.sessions.split(","):
        broker = Broker()
        relay = Relay(broker.port)
        try:
            clients.SESSIONS[session](relay.port)
        finally:
            relay.close()
            broker.stop()
        seeds.take(session, relay)
        print(f"{session}: {len(relay.connections)} connections", flush=True)
    seeds.write(args.corpus)


if __name__ == "__main__":
    main()
