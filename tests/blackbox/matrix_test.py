#!/usr/bin/python3 -B
"""Broken inputs of matrix.py in each state of a connection.

Before CONNECT, while a password is checked, connected, behind DISCONNECT. A run takes all known
inputs and a sample of the others (MILLRACE_SEED repeats it, MILLRACE_MATRIX=all takes everything).
The sanitizers say what goes wrong inside; from outside: what the broker sends is well-formed, what
had no right to be processed had no effect, and others are served.
"""

import os
import random
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import matrix
from support import files, mqtt
from support.suite import BrokerTest, main

SEED = int(os.environ.get("MILLRACE_SEED", 0)) or random.randrange(1 << 32)
SAMPLE = 600
SAMPLE_OF_LOGINS = 150
# Slow enough that what comes behind CONNECT is there before the answer.
ITERATIONS = 5000


class MatrixTest(BrokerTest):
    def begin(self, config="", **options):
        self.target = self.own_broker(config, **options)

    def open(self, version=mqtt.V5, broker=None, address=None):
        return super().open(version, broker or self.target, address)

    def sample(self, count=SAMPLE):
        known = list(matrix.known(self.topic("t")))
        others = list(matrix.inputs(self.topic("t")))[: -len(known)]
        self.assertGreater(len(others), 2000)
        if os.environ.get("MILLRACE_MATRIX") != "all":
            print(f"{self.id()}: seed {SEED}")
            others = random.Random(SEED).sample(others, count)
        return known + others

    def watcher(self, **arguments):
        """Sees whatever is published."""
        client = self.connect("watcher", **arguments)
        client.subscribe("#", qos=2)
        return client

    @staticmethod
    def end(client):
        """What the broker sends until the connection ends; the client says that it has sent all."""
        client.send_quietly(mqtt.pingreq())
        try:
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The broker was faster.
        return client.drain_until_closed()


class BeforeConnect(MatrixTest):
    def test_nothing_is_processed(self):
        self.begin()
        watcher = self.watcher()
        for what, version, data in self.sample():
            if data[0] >> 4 == mqtt.CONNECT:
                continue  # See below.
            with self.subTest(what=what):
                client = self.open(version)
                client.send_quietly(data)
                self.assertEqual(client.drain_until_closed(), [])
        watcher.expect_nothing()

    def test_broken_connects(self):
        """A first packet that is a CONNECT: accepted, refused, or waited for in vain."""
        self.begin("connect_timeout 1\n")
        for what, version, data in self.sample():
            if data[0] >> 4 != mqtt.CONNECT:
                continue
            with self.subTest(what=what):
                # What it is answered in depends on its level, which may be what is broken.
                kinds = self.kinds_in_one_version(data)
                self.assertIn(kinds[:1], ([], [mqtt.CONNACK]))
                self.assertLessEqual(set(kinds[1:]), {mqtt.PINGRESP, mqtt.DISCONNECT})
        self.connect().ping()

    def kinds_in_one_version(self, data):
        for version in mqtt.VERSIONS:
            client = self.open(version)
            client.send_quietly(data)
            try:
                return [packet.kind for packet in self.end(client)]
            except mqtt.Malformed as error:
                client.close()
                wrong = error
        raise wrong


class WhilePasswordIsChecked(MatrixTest):
    def begin_guarded(self):
        self.begin("password_file {dir}/passwd\nallow_anonymous false\n", start=False)
        self.target.file("passwd", files.password_line("alice", "right", ITERATIONS) +
                         files.password_line("watcher", "w", 1000))
        self.target.start()

    def test_it_is_processed_behind_a_right_one(self):
        self.begin_guarded()
        for what, version, data in self.sample(SAMPLE_OF_LOGINS):
            with self.subTest(what=what):
                client = self.open(version)
                login = mqtt.connect("m", version, user="alice", password="right")
                client.send_quietly(login, data)
                client.expect(mqtt.CONNACK, reason=0)
                self.assertNotIn(mqtt.CONNACK, [packet.kind for packet in self.end(client)])

    def test_nothing_is_processed_behind_a_wrong_one(self):
        self.begin_guarded()
        watcher = self.watcher(user="watcher", password="w")
        for what, version, data in self.sample(SAMPLE_OF_LOGINS):
            with self.subTest(what=what):
                client = self.open(version)
                login = mqtt.connect("m", version, user="alice", password="wrong")
                client.send_quietly(login, data)
                packets = client.drain_until_closed()
                self.assertLessEqual(len(packets), 1)
                for packet in packets:
                    self.assertEqual(packet.kind, mqtt.CONNACK)
                    self.assertNotEqual(packet.reason, 0)
        watcher.expect_nothing()


class Connected(MatrixTest):
    def test_others_are_served(self):
        self.begin()
        other = self.connect("other")
        other.subscribe(self.topic("other"), qos=1)
        for what, version, data in self.sample():
            with self.subTest(what=what):
                client = self.connect(version=version)
                client.send_quietly(data)
                kinds = [packet.kind for packet in self.end(client)]
                self.assertNotIn(mqtt.CONNACK, kinds)
                self.assertNotIn(mqtt.DISCONNECT, kinds[:-1])
            other.send(mqtt.publish(self.topic("other"), what, 1, 1))
            other.wait_for(mqtt.PUBACK)
            other.message(self.topic("other"), what)


class BehindDisconnect(MatrixTest):
    def test_nothing_is_processed(self):
        self.begin()
        watcher = self.watcher()
        for what, version, data in self.sample():
            with self.subTest(what=what):
                client = self.connect(version=version)
                client.send_quietly(mqtt.disconnect() + data)
                self.assertEqual(client.drain_until_closed(), [])
        watcher.expect_nothing()


if __name__ == "__main__":
    main()
