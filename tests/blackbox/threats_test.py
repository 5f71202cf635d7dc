#!/usr/bin/python3 -B
"""What an attacker on the network can try, and what it may cost: docs/THREATS.md.

What other files test isn't repeated here; that page has the whole list. Each test has a broker of
its own, so that its memory says something.
"""

import itertools
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import files, mqtt
from support.broker import Broker
from support.client import Client, Closed
from support.mqtt import V5
from support.suite import BrokerTest, main

MB = 1024  # Of resident_kb().
# More than is left over where a budget was taken in large pieces.
LARGE = 1500000


class ThreatTest(BrokerTest):
    def start(self, config="", **options):
        self.target = self.own_broker("sys_interval 1\n" + config, **options)

    def open(self, version=V5, broker=None, address=None):
        return super().open(version, broker or self.target, address)

    def figure(self, name):
        reader = self.connect()
        reader.subscribe("$SYS/broker/" + name, qos=0)
        got = reader.receive(1)
        reader.close()
        return int(got.payload) if got else None

    def assert_works(self, size=20000):
        client = self.connect()
        client.subscribe(self.topic("works"), qos=2)
        client.publish(self.topic("works"), "x" * size, qos=2)
        client.message(self.topic("works"))
        client.disconnect()

    def assert_grew_less(self, before, megabytes):
        grown = self.target.resident_kb() - before
        if not Broker.is_sanitized():
            self.assertLess(grown, megabytes * MB, "KB more than before")


class Announced(ThreatTest):
    """Memory is for bytes that were sent, not for what a length field says."""

    def test_half_open_connects_take_no_budget(self):
        self.start("memory_limit 64M\n")
        whole = mqtt.connect("x", will=mqtt.Will("w", "x" * 60000),
                             props=[(mqtt.USER_PROPERTY, ("k", "x" * 60000))] * 7)
        self.assertGreater(len(whole), 450000)
        crowd = [self.open() for _ in range(200)]
        for client in crowd:
            client.send(whole[:40])
        self.assert_works(LARGE)
        for client in crowd[:5]:
            client.send(whole[40:])
            client.expect(mqtt.CONNACK, reason=0)
        self.assert_works(LARGE)

    def test_announced_packets_take_no_budget(self):
        self.start("memory_limit 64M\n")
        crowd = [self.connect() for _ in range(100)]
        for client in crowd:
            client.send(b"\x30\xff\xff\xff\x7f\x00\x01t\x00" + b"x" * 100)
        self.assert_works(LARGE)
        for client in crowd:
            client.close()
        self.assert_works(LARGE)

    def test_connect_has_a_limit_of_its_own(self):
        """512 KiB, whatever max_packet_size is."""
        self.start()
        client = self.open()
        client.send(b"\x10" + mqtt.varint(600 << 10) + b"\0\4MQTT\5")
        client.expect_close()
        self.assert_works(LARGE)


class FanOut(ThreatTest):
    def test_message_is_kept_once_for_all_who_wait(self):
        self.start()
        for index in range(200):
            sleeper = self.session(f"sleeper{index}")
            sleeper.subscribe("big", qos=1)
            sleeper.disconnect()
        publisher = self.connect()
        before = self.target.resident_kb()
        for _ in range(10):
            publisher.publish("big", "x" * 1000000, qos=1)
        self.await_value(lambda n: n is not None and n >= 2000,
                         lambda: self.figure("queued/messages"), "queued messages")
        self.assert_grew_less(before, 64)  # 2 GB if each had its own.
        again = self.session("sleeper7")
        self.assertEqual(len(again.messages(10)), 10)

    def test_retained_messages_are_not_copied_for_slow_readers(self):
        """NanoMQ #2266: each subscriber to everything took as much memory as the store."""
        self.start("outbox_bytes 64K\n")
        publisher = self.connect()
        for index in range(200):
            publisher.publish(f"r/{index}", "x" * 100000, qos=1, retain=True)
        before = self.target.resident_kb()
        crowd = []
        for _ in range(30):
            client = self.connect()
            client.send(mqtt.subscribe(1, [("#", 0)]))
            crowd.append(client)
        self.assert_works()
        self.assert_grew_less(before, 100)  # 600 MB if they were copied.
        reader = crowd[0]
        reader.wait_for(mqtt.SUBACK)
        topics = {message.topic for message in reader.messages(200)}
        self.assertEqual(len(topics), 200)

    def test_qos_2_that_is_never_completed(self):
        """A receiver that stops after PUBREC holds a window, not the publisher."""
        self.start("max_inflight_messages 10\nmax_queued_messages 50\n")
        lazy = self.connect("lazy")
        lazy.subscribe("q", qos=2)
        publisher = self.connect()
        for number in range(500):
            publisher.publish("q", f"{number}", qos=2)
        for message in lazy.messages(10, acknowledge=False):
            lazy.send(mqtt.ack(mqtt.PUBREC, message.packet_id))
        self.await_value(lambda n: n == 440, lambda: self.figure("drops/queue_full"), "drops")
        # What PUBREC acknowledged holds its identifier only.
        self.await_value(50, lambda: self.figure("queued/messages"), "queued messages")
        self.assert_works()


class Subscriptions(ThreatTest):
    def test_wildcards_of_every_combination(self):
        """Each publish has to look at thousands of filters that don't match at their end."""
        self.start()
        levels = 11
        attacker = self.connect()
        filters = ["/".join(words) + "/end" for words in itertools.product("a+", repeat=levels)]
        for first in range(0, len(filters), 512):
            attacker.subscribe(*filters[first : first + 512])
        self.assertEqual(len(filters), 2048)
        publisher = self.connect()
        name = "/".join("a" * levels)
        for number in range(200):
            publisher.publish(f"{name}/{number}", "x", qos=1)
        publisher.publish(f"{name}/end", "seen", qos=1)
        attacker.message(f"{name}/end", "seen")
        self.assert_works()
        attacker.close()
        self.await_value(0, lambda: self.plain_subscriptions(), "subscriptions")

    def plain_subscriptions(self):
        """Without the one that asks."""
        count = self.figure("subscriptions/count")
        return None if count is None else max(0, count - 1)

    def test_new_filters_without_end(self):
        """Coming and going leaves nothing behind."""
        self.start()
        client = self.connect()

        def churn(rounds):
            for number in range(rounds):
                names = [f"churn/{number}/{index}/+/#" for index in range(100)]
                client.subscribe(*names)
                client.unsubscribe(*names)

        churn(20)
        before = self.target.resident_kb()
        churn(200)
        self.assert_grew_less(before, 16)
        self.assert_works()

    def test_new_topics_without_end(self):
        """The topic cache stays within its bytes."""
        self.start("topic_cache_bytes 1M\n")
        client = self.connect()
        client.subscribe("#")
        before = self.target.resident_kb()
        for first in range(0, 40000, 500):
            client.send(*[mqtt.publish(f"t/{number}/{'x' * 100}", "x")
                          for number in range(first, first + 500)])
            self.assertEqual(len(client.messages(500)), 500)
        self.assert_grew_less(before, 32)
        self.assertLessEqual(self.figure("cache/bytes") or 0, 4 << 20)


class Identifiers(ThreatTest):
    def test_assigned_ones_cannot_be_foreseen(self):
        """They are hashed with the secret seed that also protects the tables of client ids and
        topics from chosen collisions: it differs from start to start."""
        seen = set()
        for _ in range(3):
            self.start()
            client = self.open()
            connack = client.connect("")
            name = connack.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER)
            seen.add(name.split("-")[-1])
            self.assertGreaterEqual(len(name.split("-")[-1]), 16)
        self.assertEqual(len(seen), 3)


class Logins(ThreatTest):
    def test_more_than_can_wait(self):
        """Beyond 1,024 that wait for their check, clients are told that the broker is busy."""
        self.start("password_file {dir}/passwd\nallow_anonymous false\n", start=False)
        self.target.file("passwd", files.password_line("alice", "right", 20000))
        self.target.start()
        crowd = []
        for number in range(1600):
            client = self.open()
            client.arrival_s = 200  # A thousand hashes come first; sanitizers make them slow.
            client.send(mqtt.connect(f"c{number}", user="alice", password="wrong"))
            crowd.append(client)
        reasons = set()
        for client in crowd:
            try:
                reasons.add(client.expect(mqtt.CONNACK).reason)
            except Closed:
                self.fail("closed without an answer")
        self.assertEqual(reasons, {0x86, 0x89})
        late = self.open()
        late.connect("late", user="alice", password="right")
        late.ping()

    def test_stop_does_not_wait_for_them(self):
        """Who waits for a check when the broker is stopped is turned away, not checked first."""
        self.start("password_file {dir}/passwd\nallow_anonymous false\n", start=False)
        self.target.file("passwd", files.password_line("alice", "right", 300000))
        self.target.start()
        crowd = []
        poll = select.poll()
        for number in range(100):
            client = self.open()
            client.send(mqtt.connect(f"c{number}", user="alice", password="wrong"))
            poll.register(client.socket, select.POLLIN)
            crowd.append(client)
        self.assertTrue(poll.poll(client.arrival_s * 1000))  # One was checked, others wait.
        self.target.send_signal(signal.SIGTERM)
        self.assertEqual(self.target.wait(), 0)
        self.target.check_log()
        self.target.stop = self.target.discard
        reasons = []
        for client in crowd:
            try:
                reasons.append(client.expect(mqtt.CONNACK).reason)
            except Closed:
                pass  # Its CONNECT wasn't read any more.
        self.assertIn(0x88, reasons)
        self.assertLessEqual(set(reasons), {0x86, 0x88, 0x89})


class Ends(ThreatTest):
    """Connections that the broker closes."""

    def sockets(self):
        folder = f"/proc/{self.target.pid}/fd"
        found = 0
        for name in os.listdir(folder):
            try:
                found += os.readlink(os.path.join(folder, name)).startswith("socket:")
            except FileNotFoundError:
                pass  # Closed meanwhile.
        return found

    def test_peers_that_read_nothing_are_let_go(self):
        """What is pending for a client doesn't keep its connection when it is to end."""
        self.start("outbox_bytes 64K\n")
        publisher = self.connect()
        publisher.ping()
        before = self.sockets()
        deaf = Client(self.target.address, V5, receive_buffer=4096)
        self.addCleanup(deaf.close)
        deaf.connect("deaf")
        deaf.subscribe("flood", qos=0)
        for _ in range(400):
            publisher.publish("flood", "x" * 20000)
        publisher.ping()
        deaf.send(bytes([0xF0, 1, 0]))  # AUTH, which it must not send: the broker closes.
        self.figure_reaches("clients/protocol_errors", 1)
        deadline = time.monotonic() + deaf.arrival_s
        while self.sockets() > before and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.sockets(), before)

    def figure_reaches(self, name, wanted):
        deadline = time.monotonic() + 20
        while self.figure(name) != wanted:
            self.assertLess(time.monotonic(), deadline, name)


if __name__ == "__main__":
    main()
