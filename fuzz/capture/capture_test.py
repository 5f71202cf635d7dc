#!/usr/bin/python3 -B
"""What is captured becomes seeds that the targets read as it was."""

import os
import socket
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)

import capture
from relay import Connection, Relay

CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"
PING = b"\xc0\x00"


def connection(begin, end, data=b"", answer=b""):
    one = Connection(begin)
    one.end, one.from_client, one.from_server = end, data, answer
    return one


class Streams(unittest.TestCase):
    def test_are_split_into_their_whole_packets(self):
        long = b"\x30\xc8\x01" + b"x" * 200
        self.assertEqual(capture.split(CONNECT + long + PING + b"\x30\x05ab"),
                         [(0x10, CONNECT[2:], CONNECT), (0x30, long[3:], long), (0xC0, b"", PING)])

    def test_tell_their_protocol_level(self):
        self.assertEqual(capture.level_of(connection(0, 1, CONNECT)), 4)
        self.assertIsNone(capture.level_of(connection(0, 1, PING)))
        self.assertIsNone(capture.level_of(connection(0, 1)))

    def test_that_overlap_are_one_group(self):
        a, b, c = connection(0, 4), connection(2, 6), connection(7, 9)
        self.assertEqual(capture.clusters([c, b, a]), [[a, b], [c]])


class Operations(unittest.TestCase):
    def test_follow_the_order_of_events(self):
        a, b = connection(0, 3), connection(1, 2)
        got = capture.operations([a, b], [(a, b"xy"), (b, b"z"), (a, None)])
        self.assertEqual(got, bytes([4, 0, 1,
                                     0x00, 0x06, 2]) + b"xy" + bytes([0x0D, 15,
                                     0x10, 0x16, 1]) + b"z" + bytes([0x1D, 15,
                                     0x0A, 0x0D, 15]))

    def test_send_long_data_in_pieces(self):
        a = connection(0, 1)
        got = capture.operations([a], [(a, b"x" * 300)])
        self.assertEqual(got[4:6], bytes([6, 255]))
        self.assertEqual(got[6 + 255 : 8 + 255], bytes([6, 45]))

    def test_of_too_many_connections_have_no_room(self):
        group = [connection(n, n + 1) for n in range(7)]
        self.assertIsNone(capture.operations(group, [(one, b"x") for one in group]))


class Kept(unittest.TestCase):
    def test_each_shape_once(self):
        class Captured:
            events = []
            connections = [connection(0, 1, CONNECT + PING, b"\x20\x02\x00\x00\xd0\x00"),
                           connection(2, 3, CONNECT + PING, b"\x20\x02\x00\x00\xd0\x00")]

        Captured.events = [(one, one.from_client) for one in Captured.connections]
        seeds = capture.Seeds()
        seeds.take("s", Captured)
        counts = {target: len(found) for target, found in seeds.found.items()}
        self.assertEqual(counts, {"codec_packet_fuzz": 2, "codec_roundtrip_fuzz": 4,
                                  "broker_core_fuzz": 1})
        self.assertIn(b"\x01" + CONNECT + PING, seeds.found["codec_packet_fuzz"].values())
        self.assertIn(b"\x81\xd0", seeds.found["codec_roundtrip_fuzz"].values())


class ThroughARelay(unittest.TestCase):
    def test_both_ways_are_written_down(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        relay = Relay(server.getsockname()[1])
        self.addCleanup(relay.close)
        client = socket.create_connection(("127.0.0.1", relay.port))
        client.sendall(b"to")
        peer, _ = server.accept()
        self.addCleanup(peer.close)
        self.assertEqual(peer.recv(9), b"to")
        peer.sendall(b"fro")
        self.assertEqual(client.recv(9), b"fro")
        client.close()
        self.assertEqual(peer.recv(9), b"")
        found = relay.connections[0]
        self.assertEqual((found.from_client, found.from_server), (b"to", b"fro"))
        self.assertEqual(relay.events, [(found, b"to"), (found, None)])


if __name__ == "__main__":
    unittest.main()
