#!/usr/bin/python3 -B
"""$SYS: the topics of Mosquitto, and whether their figures are true.

Each test has a broker of its own, which nobody else is counted in.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.mqtt import V311, V5, Will
from support.suite import BrokerTest, main

PREFIX = "$SYS/broker/"

NUMBERS = [
    "bytes/received", "bytes/sent", "clients/active", "clients/connected", "clients/disconnected",
    "clients/expired", "clients/inactive", "clients/maximum", "clients/total", "messages/received",
    "messages/sent", "messages/stored", "publish/bytes/received", "publish/bytes/sent",
    "publish/messages/dropped", "publish/messages/received", "publish/messages/sent",
    "retained messages/count", "shared_subscriptions/count", "store/messages/bytes",
    "store/messages/count", "subscriptions/count",
]
LOADS = [
    "bytes/received", "bytes/sent", "connections", "messages/received", "messages/sent",
    "publish/dropped", "publish/received", "publish/sent", "sockets",
]


class SysTest(BrokerTest):
    def setUp(self):
        super().setUp()
        self.target = self.own_broker("sys_interval 1\n" + self.EXTRA)
        self.watcher = self.connect("watcher", broker=self.target)
        self.watcher.subscribe("$SYS/#", qos=0)
        self.values = {}

    EXTRA = ""

    def connect(self, *args, **arguments):
        arguments.setdefault("broker", getattr(self, "target", None))
        return super().connect(*args, **arguments)

    def read(self, name):
        """The value that was told last."""
        while True:
            got = self.watcher.receive(0.05)
            if got is None:
                return self.values.get(name)
            self.values[got.topic[len(PREFIX) :]] = got.payload.decode()

    def number(self, name):
        value = self.read(name)
        return None if value is None else float(value)

    def await_number(self, name, wanted):
        return self.await_value(wanted, lambda: self.number(name), name)


class Topics(SysTest):
    def test_topics_that_mosquitto_has(self):
        for name in NUMBERS:
            self.await_value(lambda v: v is not None, lambda n=name: self.read(n), name)
            self.assertRegex(self.values[name], r"^\d+$", name)
        for load in LOADS:
            for minutes in ("1min", "5min", "15min"):
                name = f"load/{load}/{minutes}"
                self.await_value(lambda v: v is not None, lambda n=name: self.read(n), name)
                self.assertRegex(self.values[name], r"^-?\d+\.\d\d$", name)

    def test_version_and_uptime(self):
        self.await_value(lambda v: v is not None, lambda: self.read("version"), "version")
        self.assertRegex(self.values["version"], r"^\w+ version \d+\.\d+\.\d+")
        self.await_value(lambda v: v is not None, lambda: self.read("uptime"), "uptime")
        self.assertRegex(self.values["uptime"], r"^\d+ seconds$")
        first = self.values["uptime"]
        self.await_value(lambda v: v != first, lambda: self.read("uptime"), "uptime")

    def test_topics_are_retained(self):
        late = self.connect()
        self.await_value(lambda v: v is not None, lambda: self.read("version"), "version")
        late.subscribe(PREFIX + "version", qos=1)
        self.assertTrue(late.message(PREFIX + "version").retain)

    def test_plain_wildcards_do_not_bring_them(self):
        """[MQTT-4.7.2-1]"""
        client = self.connect()
        client.subscribe("#", "+/broker/version")
        client.expect_nothing(1.5)

    def test_clients_cannot_forge_them(self):
        """A PUBLISH below $SYS is refused or goes to nobody."""
        client = self.connect()
        client.send(mqtt.publish(PREFIX + "version", "forged", 1, 1, True))
        client.receive()
        late = self.connect()
        late.subscribe(PREFIX + "version")
        got = late.message(PREFIX + "version")
        self.assertNotEqual(got.payload, b"forged")
        self.assertNotEqual(self.read("version"), "forged")


class Figures(SysTest):
    def test_clients(self):
        self.await_number("clients/connected", 1)
        others = [self.connect(version=v) for v in (V311, V5)]
        sleeper = self.session("sleeper", broker=self.target)
        self.await_number("clients/connected", 4)
        self.await_number("clients/active", 4)
        sleeper.disconnect()
        self.await_number("clients/connected", 3)
        self.await_number("clients/disconnected", 1)
        self.await_number("clients/inactive", 1)
        self.await_number("clients/total", 4)
        self.await_number("clients/maximum", 4)
        for client in others:
            client.close()
        self.await_number("clients/connected", 1)
        self.connect("sleeper", clean=True).disconnect()
        self.await_number("clients/total", 1)

    def test_expired_sessions(self):
        self.session("short", broker=self.target, expiry=1).disconnect()
        self.await_number("clients/expired", 1)
        self.await_number("clients/disconnected", 0)

    def test_subscriptions(self):
        before = 1  # The watcher's own.
        self.await_number("subscriptions/count", before)
        client = self.connect()
        client.subscribe("a", "b/#", "$share/g/c", "a")
        self.await_number("subscriptions/count", before + 2)
        self.await_number("shared_subscriptions/count", 1)
        client.unsubscribe("a", "$share/g/c")
        self.await_number("subscriptions/count", before + 1)
        self.await_number("shared_subscriptions/count", 0)
        client.close()
        self.await_number("subscriptions/count", before)

    def test_publishes(self):
        receiver, sender = self.connect(), self.connect()
        receiver.subscribe("figures", qos=1)
        received = self.number("publish/messages/received") or 0
        for index in range(25):
            sender.publish("figures", "x" * 10, qos=index % 2)
        sender.publish("nowhere", "x", qos=1)
        receiver.messages(25)
        self.await_number("publish/messages/received", received + 26)
        self.await_number("publish/bytes/received", 251)
        self.await_number("publish/messages/sent", lambda v: v is not None and v >= 25)
        self.await_number("messages/received", lambda v: v is not None and v > 26)
        self.await_number("bytes/sent", lambda v: v is not None and v > 25 * 10)
        self.await_number("load/publish/received/1min", lambda v: v is not None and v > 0)

    def test_retained_and_stored_messages(self):
        before = self.await_value(lambda v: v, lambda: self.number("retained messages/count"))
        client = self.connect()
        for index in range(5):
            client.publish(f"kept/{index}", "x" * 100, qos=1, retain=True)
        # The broker may count its own retained $SYS messages, which grow to a fixed number.
        low, high = before + 5, before + 400
        self.await_number("retained messages/count", lambda v: low <= v <= high)
        sleeper = self.session("sleeper", broker=self.target)
        sleeper.subscribe("queue", qos=1)
        sleeper.disconnect()
        stored = self.number("store/messages/count")
        for _ in range(5):
            client.publish("queue", "x" * 1000, qos=1)
        self.await_number("store/messages/count", lambda v: v >= stored + 5)
        self.await_number("store/messages/bytes", lambda v: v >= 5000)

    def test_wills_and_refusals(self):
        self.connect(will=Will("w", "dead")).close()
        self.await_number("publish/messages/wills", 1)
        client = self.open(broker=self.target)
        client.send(mqtt.connect("x", props=[(mqtt.AUTHENTICATION_METHOD, "m")]))
        client.expect_end()
        self.await_number("clients/refused", 1)
        client = self.connect()
        client.send(b"\x00\x00")
        client.expect_end()
        self.await_number("clients/protocol_errors", lambda v: v and v >= 1)

    def test_counters_of_millrace(self):
        for name in ("io/syscalls", "memory/buffers/bytes", "cache/entries", "trie/filters",
                     "handover/sent", "limits/accept_pauses", "internal/never"):
            self.await_value(lambda v: v is not None, lambda n=name: self.read(n), name)
        self.assertEqual(self.read("internal/never"), "0")
        self.assertRegex(self.read("io/backend"), r"^\w+$")
        self.assertTrue(re.match(r"^\d+$", self.read("workers")))


class Dropped(SysTest):
    EXTRA = "max_queued_messages 5\nmax_inflight_messages 5\n"

    def test_drops(self):
        sleeper = self.session("sleeper", broker=self.target)
        sleeper.subscribe("queue", qos=1)
        sleeper.disconnect()
        client = self.connect()
        for _ in range(15):
            client.publish("queue", "x", qos=1)
        # Offline, what may be in flight waits too.
        self.await_number("publish/messages/dropped", lambda v: v in (5, 10))


class Off(BrokerTest):
    def test_interval_zero_turns_them_off(self):
        target = self.own_broker("sys_interval 0\n")
        client = self.connect(broker=target)
        client.subscribe("$SYS/#")
        client.expect_nothing(1.5)


if __name__ == "__main__":
    main()
