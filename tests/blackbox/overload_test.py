#!/usr/bin/python3 -B
"""More than a client, or the broker, can take: every policy, every limit, counted.

Each test has a broker of its own with small limits. $SYS tells what was dropped.
"""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import client as client_module
from support import mqtt
from support.broker import Broker
from support.client import Closed
from support.mqtt import PUBACK, V311, V5
from support.suite import BrokerTest, main

SMALL = "sys_interval 1\nmax_inflight_messages 5\nmax_queued_messages 10\n"


class OverloadTest(BrokerTest):
    CONFIG_LINES = SMALL

    def start(self, *lines, **options):
        text = self.CONFIG_LINES + "".join(f"{line}\n" for line in lines)
        self.target = self.own_broker(text, **options)
        return self.target

    def open(self, version=V5, broker=None, address=None):
        return super().open(version, broker or self.target, address)

    def figure(self, name):
        """What $SYS says now."""
        reader = self.connect()
        reader.subscribe("$SYS/broker/" + name, qos=0)
        got = reader.receive(1)
        reader.close()
        return int(got.payload) if got else None

    def await_figure(self, name, wanted):
        return self.await_value(wanted, lambda: self.figure(name), name)

    def flood(self, topic, count, qos=1, size=0, start=0, publisher=None):
        """Publishes numbered messages, 20 at a time; returns the publisher."""
        publisher = publisher or self.connect()
        for first in range(start, start + count, 20):
            numbers = range(first, min(first + 20, start + count))
            ids = {n: n % 60000 + 1 if qos else None for n in numbers}
            publisher.send(
                *[mqtt.publish(topic, f"{n} ".ljust(size, "x"), qos, ids[n]) for n in numbers]
            )
            for number in numbers if qos else ():
                publisher.expect(PUBACK, packet_id=ids[number])
        return publisher

    @staticmethod
    def number(packet):
        return int(packet.payload.split()[0])


class Policies(OverloadTest):
    """A connected client that does not acknowledge: 5 in flight, 10 waiting, 50 come."""

    def overloaded(self, policy, version=V5):
        self.start(*([f"slow_consumer_policy {policy}"] if policy else []))
        client = self.session("slow", version)
        client.subscribe("slow", qos=1)
        return client

    def rest(self, client, count):
        return [self.number(client.message()) for _ in range(count)]

    def test_drop_newest(self):
        """What Mosquitto does, and the default."""
        for policy in (None, "drop-newest"):
            client = self.overloaded(policy)
            bystander = self.connect()
            bystander.subscribe("slow", qos=0)
            self.flood("slow", 50)
            # Acknowledged to the publisher is not yet delivered by another worker.
            self.await_figure("drops/queue_full", 35)
            self.assertEqual(self.rest(client, 15), list(range(15)))
            client.expect_nothing()
            self.assertEqual([self.number(m) for m in bystander.messages(50)], list(range(50)))
            self.await_figure("publish/messages/dropped", 35)
            # It goes on as if nothing had been.
            self.flood("slow", 5, start=100)
            self.assertEqual(self.rest(client, 5), list(range(100, 105)))

    def test_drop_oldest(self):
        client = self.overloaded("drop-oldest")
        self.flood("slow", 50)
        self.await_figure("drops/oldest", 35)
        self.assertEqual(self.rest(client, 15), [*range(5), *range(40, 50)])
        client.expect_nothing()

    def test_disconnect(self):
        """0x97, quota exceeded; the session stays, with what it had."""
        for version in (V311, V5):
            client = self.overloaded("disconnect", version)
            publisher = self.flood("slow", 30)
            packets = client.drain_until_closed()
            self.assertEqual([self.number(p) for p in packets if p.kind == mqtt.PUBLISH],
                             list(range(5)))
            if version == V5:
                self.assertEqual(packets[-1].reason, 0x97)
            publisher.ping()
            self.await_figure("limits/slow_disconnects", 1)
            client = self.session("slow", version)
            self.assertTrue(client.connack.session_present)
            self.assertEqual(self.rest(client, 15), list(range(15)))

    def test_disconnect_publishes_the_will(self):
        self.start("slow_consumer_policy disconnect")
        watcher = self.connect()
        watcher.subscribe("will", qos=1)
        client = self.connect(will=mqtt.Will("will", "too slow", 1))
        client.subscribe("slow", qos=1)
        self.flood("slow", 30)
        client.drain_until_closed()
        watcher.message("will", "too slow")

    def test_backpressure(self):
        """The publisher is held; nothing is lost; others are not concerned."""
        client = self.overloaded("backpressure")
        publisher = self.connect(keep_alive=1)
        count = 200
        publisher.send(*[mqtt.publish("slow", f"{n}", 1, n + 1) for n in range(count)])
        self.await_figure("limits/backpressure_pauses", lambda v: v and v >= 1)
        # Those who publish elsewhere, and those who receive, go on.
        other = self.connect()
        other.subscribe("elsewhere", qos=1)
        other.publish("elsewhere", "x", qos=1)
        other.message("elsewhere", "x")
        # Held for longer than its keep alive: that is not its fault.
        time.sleep(2.5)
        self.assertEqual(self.rest(client, count), list(range(count)))
        for number in range(count):
            publisher.expect(PUBACK, packet_id=number + 1)
        publisher.ping()
        self.assertEqual(self.figure("publish/messages/dropped"), 0)

    def test_backpressure_ends_when_the_slow_client_goes(self):
        client = self.overloaded("backpressure")
        publisher = self.connect()
        publisher.send(*[mqtt.publish("slow", f"{n}", 1, n + 1) for n in range(100)])
        self.await_figure("limits/backpressure_pauses", lambda v: v and v >= 1)
        client.close()
        for number in range(100):
            publisher.expect(PUBACK, packet_id=number + 1)
        publisher.ping()

    def test_backpressure_ends_when_the_slow_client_goes_for_want_of_memory(self):
        """Full and out of memory by the same message, whose publisher was to wait."""
        self.start(
            "slow_consumer_policy backpressure", "max_inflight_messages 1",
            "max_queued_messages 1", "memory_limit 8M", "workers 1",
        )
        client = self.session("slow")
        client.subscribe("slow", qos=1)
        for _ in range(3):
            self.connect().publish("slow", "x", qos=1)
        publisher = self.connect()
        publisher.publish("slow", "x" * 6000000, qos=1)
        client.drain_until_closed()
        publisher.ping()

    def test_offline_sessions_are_bounded_under_each_policy(self):
        """There is nobody to disconnect, nothing to wait for."""
        for policy, kept in (
            ("drop-newest", range(10)),
            ("drop-oldest", range(40, 50)),
            ("disconnect", range(10)),
            ("backpressure", range(10)),
        ):
            with self.subTest(policy=policy):
                client = self.overloaded(policy)
                client.disconnect()
                self.flood("slow", 50)
                self.await_figure("publish/messages/dropped", 40)
                client = self.session("slow")
                self.assertEqual(self.rest(client, 10), list(kept))
                client.expect_nothing()


class NotReading(OverloadTest):
    """A client that does not read its socket, and messages at QoS 0."""

    CONFIG_LINES = "sys_interval 1\noutbox_bytes 64K\nmax_queued_bytes 65536\n"
    COUNT, SIZE = 6000, 1000

    def deaf(self, version=V5):
        """Its receive buffer is small, so that the broker soon has to wait for it."""
        client = client_module.Client(self.target.address, version, receive_buffer=4096)
        self.addCleanup(client.close)
        client.connect(self.client_id("deaf"))
        client.subscribe("flood", qos=0)
        return client

    def read_all(self, client, until=b"end"):
        """Numbers of what arrives until a message says end, or the connection ends."""
        numbers = []
        try:
            while True:
                got = client.receive()
                self.assertIsNotNone(got, "the last message does not come")
                if got.kind != mqtt.PUBLISH or got.payload == until:
                    return numbers, got
                self.assertEqual(len(got.payload), self.SIZE)
                numbers.append(self.number(got))
        except Closed:
            return numbers, None

    def assert_rising(self, numbers):
        self.assertTrue(all(a < b for a, b in zip(numbers, numbers[1:])))

    def test_drop_newest(self):
        self.start()
        deaf = self.deaf()
        before = self.target.resident_kb()
        good = self.connect()
        good.subscribe("flood", qos=0)
        publisher = self.connect()  # One: there is no order between several.
        for start in range(0, self.COUNT, 100):
            self.flood("flood", 100, 0, self.SIZE, start, publisher)
            for number in range(start, start + 100):
                self.assertEqual(self.number(good.message("flood")), number)
        dropped = self.await_figure("drops/queue_full", lambda v: v)
        if not Broker.is_sanitized():
            self.assertLess(self.target.resident_kb() - before, 16 * 1024)
        numbers, _ = self.read_part(deaf)
        self.assert_rising(numbers)
        self.assertLess(len(numbers), self.COUNT)
        self.assertLessEqual(dropped, self.COUNT)

    def read_part(self, client):
        """What had been kept for it: then a last message."""
        numbers = []
        while True:
            got = client.receive(0.5)
            if got is None:
                break
            numbers.append(self.number(got))
        self.flood("flood", 1, 0, self.SIZE, 99999)
        self.assertEqual(self.number(client.message("flood")), 99999)
        return numbers, None

    def test_drop_oldest(self):
        self.start("slow_consumer_policy drop-oldest")
        deaf = self.deaf()
        self.flood("flood", self.COUNT, 0, self.SIZE).ping()
        self.await_figure("drops/oldest", lambda v: v)
        numbers, _ = self.read_part(deaf)
        self.assert_rising(numbers)
        # The newest were kept.
        self.assertEqual(numbers[-1], self.COUNT - 1)

    def test_disconnect(self):
        self.start("slow_consumer_policy disconnect")
        deaf = self.deaf()
        publisher = self.flood("flood", self.COUNT, 0, self.SIZE)
        self.await_figure("limits/slow_disconnects", 1)
        publisher.ping()
        numbers, _ = self.read_all(deaf)
        self.assert_rising(numbers)

    def test_backpressure(self):
        """Nothing is lost, though it is QoS 0, because the publisher has to wait."""
        self.start("slow_consumer_policy backpressure")
        deaf = self.deaf()
        publisher = self.connect()
        data = b"".join(
            mqtt.publish("flood", f"{n} ".ljust(self.SIZE, "x")) for n in range(self.COUNT)
        )
        publisher.socket.setblocking(False)
        sent, numbers = 0, []
        last = time.monotonic()
        while sent < len(data) and time.monotonic() < last + 0.5:
            more = self.send_some(publisher, data, sent)
            last = time.monotonic() if more else last
            sent += more
        self.await_figure("limits/backpressure_pauses", lambda v: v and v >= 1)
        last = time.monotonic()
        while len(numbers) < self.COUNT and time.monotonic() < last + 5:
            sent += self.send_some(publisher, data, sent)
            got = deaf.receive(0.01)
            if got:
                numbers.append(self.number(got))
                last = time.monotonic()
        self.assertEqual(len(numbers), self.COUNT, f"dropped: {self.figure('drops/queue_full')}")
        self.assertEqual(numbers, list(range(self.COUNT)))

    @staticmethod
    def send_some(publisher, data, sent):
        """Sends what fits now; returns how much that was."""
        try:
            return publisher.socket.send(data[sent : sent + 65536]) if sent < len(data) else 0
        except BlockingIOError:
            return 0

    def test_message_larger_than_the_outbox(self):
        self.start()
        client = self.connect()
        client.subscribe("large", qos=1)
        for size in (100_000, 5_000_000):
            self.connect().publish("large", "x" * size, qos=1)
            client.message("large", "x" * size)


class NothingIsLost(OverloadTest):
    CONFIG_LINES = "sys_interval 1\nmax_queued_messages 500\n"

    def test_qos_1_and_2_below_the_limits(self):
        """Slow acknowledgements, lost connections, and every message arrives."""
        self.start()
        for qos in (1, 2):
            name = f"sure{qos}"
            client = self.session(name)
            client.subscribe(name, qos=qos)
            publisher = self.connect()
            seen = set()
            for number in range(400):
                publisher.publish(name, f"{number}", qos=qos)
                if number % 40 == 20:
                    client.close()
                    client = self.session(name)
                if number % 3 == 0:
                    self.take_one(client, seen)
            while len(seen) < 400:
                if not self.take_one(client, seen):
                    self.fail(f"only {len(seen)} of 400 arrived")
            self.assertEqual(seen, set(range(400)))
        self.assertEqual(self.figure("publish/messages/dropped"), 0)

    def take_one(self, client, seen):
        got = client.receive(5)
        if got is None:
            return False
        if got.kind == mqtt.PUBLISH:
            seen.add(int(got.payload))
            client.send(mqtt.ack(PUBACK if got.qos == 1 else mqtt.PUBREC, got.packet_id))
        elif got.kind == mqtt.PUBREL:
            client.send(mqtt.ack(mqtt.PUBCOMP, got.packet_id))
        return True


class Connections(OverloadTest):
    CONFIG_LINES = "sys_interval 1\n"

    def test_connect_timeout(self):
        """CVE-2020-13849: a connection without CONNECT is not held for ever."""
        self.start("connect_timeout 1")
        silent = self.open()
        half = self.open()
        half.send(mqtt.connect("half")[:-3])
        dripping = self.open()
        slow = mqtt.connect("x" * 200)
        good = self.connect()
        for byte in slow[:30]:
            try:
                dripping.send(bytes([byte]))
            except OSError:
                break
            time.sleep(0.1)
        for client in (silent, half, dripping):
            client.expect_close()
        good.ping()
        self.await_figure("limits/connect_timeout", lambda v: v and v >= 3)

    def test_descriptors_run_out(self):
        """Accepting pauses, those who are there are served, and it goes on later."""
        self.start(nofile=64)
        clients = [self.connect() for _ in range(10)]
        clients[0].subscribe("x", qos=1)
        crowd = []
        for _ in range(100):
            # Into the listener's queue, at least.
            raw = socket.socket()
            raw.settimeout(5)
            try:
                raw.connect(self.target.address)
            except OSError:
                raw.close()
                break
            self.addCleanup(raw.close)
            crowd.append(raw)
        time.sleep(0.5)
        for index, client in enumerate(clients):
            client.publish("x", f"{index}", qos=1)
            clients[0].message("x", f"{index}")
        for raw in crowd:
            raw.close()
        late = self.connect()
        late.publish("x", "late", qos=1)
        clients[0].message("x", "late")
        late.subscribe("$SYS/broker/limits/accept_pauses")
        self.await_value(lambda v: v > 0, lambda: int(late.message().payload), "accept pauses")

    def test_storm_of_connections(self):
        self.start()
        for _ in range(20):
            crowd = [self.open() for _ in range(50)]
            for index, client in enumerate(crowd):
                client.send(mqtt.connect(f"storm{index}"))
            for client in crowd[::2]:
                client.close()
            for client in crowd[1::2]:
                client.expect(mqtt.CONNACK, reason=0)
                client.close()
        self.connect().ping()
        self.await_figure("clients/connected", lambda v: v is not None and v <= 2)

    def test_memory_limit(self):
        """With no memory left, messages are dropped or clients closed, and it recovers."""
        self.start("memory_limit 8M", "max_queued_messages 0", "max_queued_bytes 0")
        sleeper = self.session("sleeper")
        sleeper.subscribe("q", qos=1)
        sleeper.disconnect()
        for _ in range(20):
            try:
                publisher = self.connect()
                for number in range(100):
                    publisher.send(mqtt.publish("q", "x" * 10000, 1, number + 1))
                for _number in range(100):
                    publisher.receive()
                publisher.close()
            except (Closed, OSError):
                pass
        if not Broker.is_sanitized():
            self.assertLess(self.target.resident_kb(), 64 * 1024)
        self.await_value(True, self.clears_the_queue, "end of the session")
        client = self.connect()
        client.subscribe("works", qos=1)
        client.publish("works", "again", qos=1)
        client.message("works", "again")

    def clears_the_queue(self):
        try:
            self.connect("sleeper", clean=True).disconnect()
            return True
        except (Closed, OSError):
            return False


if __name__ == "__main__":
    main()
