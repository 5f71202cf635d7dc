#!/usr/bin/python3 -B
"""Inputs that broke other brokers: their CVEs, by what triggered them.

Mosquitto's unless another broker is named. What concerns access rights is in
cve_access_test.py; TLS, WebSocket, bridges and persistence are not here. A broker
that dies, or whose sanitizer reports, fails the test that made it.
"""

import os
import random
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.broker import Broker
from support.client import Closed
from support.mqtt import SESSION_EXPIRY_INTERVAL, V311, V5, WILL_DELAY_INTERVAL, Will
from support.suite import BrokerTest, main

SEED = int(os.environ.get("MILLRACE_SEED", 0)) or random.randrange(1 << 32)
MB = 1024  # Of resident_kb().


class CveTest(BrokerTest):
    def setUp(self):
        super().setUp()
        # Its own, so that its memory says something.
        self.target = self.own_broker()

    def open(self, version=V5, broker=None, address=None):
        return super().open(version, broker or self.target, address)

    def assert_works(self):
        client = self.connect()
        client.subscribe(self.topic("works"), qos=2)
        client.publish(self.topic("works"), "yes", qos=2)
        client.message(self.topic("works"), "yes")
        client.disconnect()

    def assert_grows_less(self, megabytes, action, rounds=1):
        """`action` takes no more memory than that, after the first time."""
        action()
        before = self.target.resident_kb()
        for _ in range(rounds):
            action()
        growth = self.target.resident_kb() - before
        if not Broker.is_sanitized():
            self.assertLess(growth, megabytes * MB, "KB more than before")
        self.assert_works()

    def throw(self, data, version=V5):
        """Sends bytes on a new connection, and takes what comes until it ends."""
        client = self.open(version)
        client.send_quietly(data)
        try:
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.drain(client)

    @staticmethod
    def drain(client):
        client.socket.settimeout(20)
        try:
            while client.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        client.close()


class LengthFields(CveTest):
    def test_cve_2017_7651_huge_remaining_length_before_connect(self):
        def action():
            clients = [self.open() for _ in range(50)]
            for client in clients:
                client.send_quietly(b"\x10\xff\xff\xff\x7f" + b"\0\4MQTT" + b"x" * 1000)
            for client in clients:
                client.close()

        self.assert_grows_less(32, action)

    def test_cve_2023_0809_first_packet_is_not_connect_and_long(self):
        def action():
            for first in (0x30, 0x82, 0xC0, 0xF0, 0x00):
                for _ in range(20):
                    self.throw(bytes([first]) + b"\xff\xff\xff\x7f" + b"x" * 100)

        self.assert_grows_less(16, action)

    def test_cve_2026_21888_nanomq_variable_byte_integer_of_five_bytes(self):
        for data in (b"\x10\xff\xff\xff\xff\x7f", b"\x10\x80\x80\x80\x80\x00"):
            self.throw(data)
        for length in (b"\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x00"):
            self.throw(mqtt.connect("c", props=length))
            self.throw(mqtt.connect("c") + mqtt.publish("t", "x", props=length))
            self.throw(mqtt.connect("c") + b"\x30" + length)
        self.assert_works()

    def test_cve_2024_31036_31040_nanomq_reading_behind_the_end(self):
        """Numbers and bytes that begin at the last byte of a packet."""
        for props in (b"\x01\x0b", b"\x02\x0b\xff", b"\x01\x26", b"\x02\x26\x00", b"\x01\x01",
                      b"\x03\x26\x00\x05", b"\x02\x23\x00", b"\x80", b"\xff\xff\xff"):
            for body in (mqtt.string("t") + props, mqtt.string("") + props):
                self.throw(mqtt.connect("c") + mqtt.packet(mqtt.PUBLISH, 0, body))
            self.throw(mqtt.connect("c") + mqtt.packet(mqtt.SUBSCRIBE, 2, b"\0\1" + props))
            self.throw(mqtt.connect("c", props=props)[:-3])
        self.assert_works()

    def test_memory_for_announced_packets(self):
        """hmq#177, CVE-2021-33175 (EMQX), CVE-2021-33176 (VerneMQ), CVE-2021-22116
        (RabbitMQ): many packets announced, none sent."""
        clients = [self.connect() for _ in range(40)]
        before = self.target.resident_kb()
        for client in clients:
            client.send(b"\x32\xff\xff\xff\x7f\x00\x01t\x00\x01")
        time.sleep(0.5)
        growth = self.target.resident_kb() - before
        if not Broker.is_sanitized():
            self.assertLess(growth, 64 * MB)
        self.assert_works()


class MalformedConnect(CveTest):
    def connect_bytes(self, version=V5, **changes):
        will = Will("w", "x" * 50, 1, props=[(mqtt.USER_PROPERTY, ("a", "b"))])
        arguments = {"will": will, "user": "u" * 50, "password": "p" * 50}
        if version == V5:
            arguments["props"] = [(mqtt.USER_PROPERTY, ("k" * 20, "v" * 20))]
        arguments.update(changes)
        return mqtt.connect("leak" * 10, version, **arguments)

    def test_cve_2017_7654_and_2021_34431_leaks_by_broken_connects(self):
        """Also CVE-2023-33656 (NanoMQ): refused late, when much was stored."""
        broken = []
        for version in (V311, V5):
            whole = self.connect_bytes(version)
            head = 2 if whole[1] < 128 else 3
            for cut in range(len(whole) - head - 60, len(whole) - head, 7):
                broken.append(mqtt.packet(mqtt.CONNECT, 0, whole[head : head + cut]))
            broken.append(self.connect_bytes(version, password=None, user=b"\xff" * 50))
        broken.append(self.connect_bytes(props=[(mqtt.RECEIVE_MAXIMUM, 0)]))
        broken.append(self.connect_bytes(props=[(mqtt.AUTHENTICATION_METHOD, "m" * 1000)]))

        def action():
            for data in broken:
                self.throw(data)

        self.assert_grows_less(8, action, rounds=25)

    def test_cve_2023_3592_will_with_properties_of_wrong_types(self):
        wills = [
            Will("w", "x", props=[(identifier, value)] * count)
            for identifier, value in (
                (mqtt.TOPIC_ALIAS, 5), (mqtt.SUBSCRIPTION_IDENTIFIER, 5),
                (mqtt.SESSION_EXPIRY_INTERVAL, 5), (mqtt.REASON_STRING, "r" * 1000),
                (mqtt.AUTHENTICATION_DATA, b"d" * 1000), (0x7F, b"\0"),
            )
            for count in (1, 2)
        ]

        def action():
            for will in wills:
                self.throw(self.connect_bytes(will=will))

        self.assert_grows_less(8, action, rounds=40)

    def test_cve_2021_41039_very_many_user_properties(self):
        """Time that grows with the square of their number would not end here."""
        pair = mqtt.prop(mqtt.USER_PROPERTY, ("", ""))
        client = self.open()
        count = 80000
        props = mqtt.varint(len(pair) * count) + pair * count
        client.send(mqtt.connect(self.client_id(), props=props))
        client.expect(mqtt.CONNACK, reason=0)
        count = 200000
        props = mqtt.varint(len(pair) * count) + pair * count
        client.subscribe(self.topic("t"), qos=1)
        for _ in range(3):
            client.send(mqtt.publish(self.topic("t"), "x", 1, 1, props=props))
            client.wait_for(mqtt.PUBACK)
            self.assertEqual(len(client.message(payload="x").properties), count)
        self.assert_works()

    def test_nanomq_1042_1043_1181_strings_that_lie_about_their_length(self):
        """CVE-2023-29994, -29995, -34488, -33657 to -33660: every length field of a
        CONNECT, too large by one, by much, and zero."""
        for version in (V311, V5):
            whole = self.connect_bytes(version)
            head = 2 if whole[1] < 128 else 3
            for at in range(head, len(whole) - 1):
                for value in (b"\xff\xff", b"\x00\x00", b"\x7f\xff"):
                    self.throw(whole[:at] + value + whole[at + 2 :], version)
        self.assert_works()


class WrongDirection(CveTest):
    def test_cve_2021_28166_connack_from_a_client(self):
        for version in (V311, V5):
            for body in (b"", b"\0", b"\0\0", b"\0\0\0", b"\1\x80\0", b"\0\0\xff\xff"):
                self.throw(mqtt.connect("c", version) + mqtt.packet(mqtt.CONNACK, 0, body), version)
            self.throw(mqtt.packet(mqtt.CONNACK, 0, b"\0\0"))
        self.assert_works()

    def test_cve_2024_10525_suback_without_codes(self):
        for kind in (mqtt.SUBACK, mqtt.UNSUBACK):
            for body in (b"\0\1", b"\0\1\0", b"\0", b""):
                self.throw(mqtt.connect("c") + mqtt.packet(kind, 0, body))
        self.assert_works()

    def test_nanomq_1780_reserved_packet_type_reaches_clients(self):
        watcher = self.connect()
        watcher.subscribe("#")
        for first in (0x00, 0x03, 0x0F, 0xF0, 0xF1):
            self.throw(mqtt.connect("c", V311) + bytes([first, 4]) + b"\0\1tx", V311)
        watcher.expect_nothing()
        self.assert_works()


class Publish(CveTest):
    def test_cve_2021_34432_topic_of_length_0(self):
        for version in (V311, V5):
            for qos in range(3):
                packet = mqtt.publish("", "x", qos, qos or None, True, version=version)
                self.throw(mqtt.connect("c", version) + packet, version)
        self.assert_works()

    def test_cve_2018_12543_topic_that_begins_with_a_dollar(self):
        client = self.connect()
        client.subscribe("$a/#", "$", "$SY/+", "$share", "$/x", qos=1)
        for topic in ("$a/b", "$", "$SY/x", "$share", "$/x", "$SYS", "$SYSx/y"):
            for retain in (True, False):
                client.publish(topic, "x", qos=1, retain=retain)
        while client.receive(0.3):
            pass
        self.assert_works()

    def test_flashmq_cve_2024_42644_42645_crafted_retained_messages(self):
        """Retained, with properties and aliases of every kind, then read back."""
        rng = random.Random(SEED)
        client = self.connect()
        for index in range(300):
            props = [(mqtt.USER_PROPERTY, ("k", "v" * rng.randrange(50)))] * rng.randrange(3)
            if rng.random() < 0.5:
                props.append((mqtt.MESSAGE_EXPIRY_INTERVAL, rng.choice((0, 1, 0xFFFFFFFF))))
            if rng.random() < 0.3:
                props.append((mqtt.TOPIC_ALIAS, rng.randrange(1, 11)))
            topic = self.topic("/".join(rng.choice(["", "a", "$", "ä"]) for _ in range(4)))
            payload = "x" * rng.choice((0, 0, 1, 1000))
            client.publish(topic, payload, rng.randrange(3), True, props)
        reader = self.connect()
        reader.subscribe(self.topic("#"), qos=2)
        reader.subscribe("end", qos=2)
        client.publish("end", "end", qos=1)
        while reader.message().payload != b"end":
            pass
        self.assert_works()

    def test_nanomq_2110_and_others_mutated_publishes(self):
        """CVE-2025-59947, CVE-2024-42646, -42648 to -42651; wolfMQTT CVE-2021-45932 to
        -45939; CVE-2024-50948 (mochi); CVE-2016-10523 (mqtt-packet): any bytes at all."""
        rng = random.Random(SEED)
        props = [(mqtt.USER_PROPERTY, ("k", "v")), (mqtt.CORRELATION_DATA, b"c" * 5)]
        seeds = [
            mqtt.publish("a/b", "payload", qos, 1 if qos else None, True, props=props)
            for qos in range(3)
        ]
        seeds.append(mqtt.subscribe(1, [("a/#", 1), ("$share/g/b", 2)], props[:1]))
        seeds.append(mqtt.unsubscribe(1, ["a/#", "b"], props[:1]))
        seeds += [mqtt.ack(kind, 1, 0, props[:1]) for kind in range(4, 8)]
        for index in range(1500):
            data = bytearray(b"".join(rng.sample(seeds, 3)))
            for _ in range(rng.randrange(1, 5)):
                byte = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
                data[rng.randrange(len(data))] = byte
            self.throw(mqtt.connect(f"m{index % 5}") + data)
        print(f"seed {SEED}")
        self.assert_works()


class Subscribe(CveTest):
    def test_cve_2019_11779_filter_of_65400_slashes(self):
        """Also Moquette CVE-2026-95844: deep topics, recursion."""
        for version in (V311, V5):
            for filler in ("/", "a/", "+/", "é/"):
                text = (filler * 65400)[: 65400 // len(filler.encode()) * len(filler)]
                text = text.encode()[:65400].decode(errors="ignore")
                name = text.replace("+", "x")
                rest = text + "#" if text[-1] == "/" else text
                for data in (
                    mqtt.subscribe(1, [(text, 0)], version=version),
                    mqtt.subscribe(1, [(rest, 2)], version=version),
                    mqtt.subscribe(1, [("$share/g/" + text, 0)], version=version),
                    mqtt.publish(name, "x", version=version),
                    mqtt.publish(name, "x", retain=True, version=version),
                    mqtt.unsubscribe(1, [text], version=version),
                ):
                    client = self.connect(version=version)
                    client.send_quietly(data + mqtt.pingreq())
                    client.socket.shutdown(socket.SHUT_WR)
                    self.drain(client)
        self.assert_works()

    def test_many_levels_are_matched(self):
        """Deep filters that were granted do what they say, with wildcards between."""
        client = self.connect()
        granted = []
        for depth in (10, 50, 100, 200):
            for fill in ("a", "+"):
                text = "/".join([fill] * depth)
                client.send(mqtt.subscribe(1, [(text, 0)]))
                if client.wait_for(mqtt.SUBACK).codes == [0]:
                    granted.append(depth)
        for depth in granted:
            client.publish("/".join(["a"] * depth), f"{depth}")
            client.message(payload=f"{depth}")
        client.close()
        self.assert_works()

    def test_nanomq_cve_2025_68699_share_without_a_second_slash(self):
        for text in ("$share/ab", "$share/", "$share", "$share/a/", "$share//", "$share///x"):
            for build in (
                lambda t: mqtt.subscribe(1, [(t, 0)]),
                lambda t: mqtt.unsubscribe(1, [t]),
            ):
                self.throw(mqtt.connect("c") + build(text))
        self.assert_works()

    def test_eclipse_248_leak_by_malicious_subscribes(self):
        """Good filters first, a broken one last."""
        good = [("leak/" + "x" * 100 + f"/{i}", 0) for i in range(20)]
        packets = [
            mqtt.subscribe(1, good + [bad])
            for bad in (("", 0), (b"\xff", 0), ("a", 3), ("a", 0xC0), (b"\0", 1))
        ]
        packets.append(mqtt.subscribe(1, good)[:-1] + b"\xff")

        def action():
            for packet in packets:
                self.throw(mqtt.connect("c") + packet)

        self.assert_grows_less(8, action, rounds=40)

    def test_nanomq_cve_2024_31041_filter_with_nul(self):
        for text in (b"\0", b"a\0b", b"$share/\0/a", b"$share/g/\0", b"a/\0/#"):
            self.throw(mqtt.connect("c") + mqtt.subscribe(1, [(text, 0)]))
            self.throw(mqtt.connect("c") + mqtt.unsubscribe(1, [text]))
        self.assert_works()


class QosState(CveTest):
    def test_cve_2023_28366_many_qos_2_with_the_same_identifier(self):
        client = self.connect()

        def action():
            for _ in range(20):
                client.send(*[mqtt.publish("t", "x" * 1000, 2, 1, dup=True)] * 250)
                for _ in range(250):
                    client.expect(mqtt.PUBREC, packet_id=1)

        self.assert_grows_less(8, action, rounds=3)

    def test_moquette_cve_2026_95845_unbounded_queue_of_a_session(self):
        sleeper = self.session("sleeper")
        sleeper.subscribe(self.topic("q"), qos=1)
        sleeper.disconnect()
        publisher = self.connect()

        def action():
            for start in range(0, 5000, 500):
                publisher.send(
                    *[mqtt.publish(self.topic("q"), "x" * 1000, 1, i + 1) for i in range(500)]
                )
                for index in range(500):
                    publisher.expect(mqtt.PUBACK, packet_id=index + 1)

        self.assert_grows_less(16, action, rounds=4)
        sleeper = self.session("sleeper")
        count = 0
        while sleeper.receive(0.5):
            count += 1
        self.assertGreater(count, 0)

    def test_moquette_ghsa_5f42_sessions_do_not_corrupt_each_other(self):
        names = [f"s{i}" for i in range(10)]
        for name in names:
            client = self.session(name)
            client.subscribe(self.topic("all"), self.topic(name), qos=2)
            client.disconnect()
        publisher = self.connect()
        for index in range(20):
            publisher.publish(self.topic("all"), f"all {index}", qos=2)
            name = names[index % 10]
            publisher.publish(self.topic(name), f"{name} {index}", qos=1)
        for name in names[::2]:
            self.connect(name, clean=True).disconnect()
        for name in names[1::2]:
            client = self.session(name)
            seen = [m.payload for m in client.messages(22)]
            own = [b"%s %d" % (name.encode(), i) for i in range(20) if names[i % 10] == name]
            self.assertEqual([p for p in seen if p.startswith(b"all")],
                             [b"all %d" % i for i in range(20)])
            self.assertEqual([p for p in seen if not p.startswith(b"all")], own)


class Sequences(CveTest):
    def test_cve_2019_11778_will_delay_above_session_expiry(self):
        for delay, expiry in ((2, 1), (0xFFFFFFFF, 1), (5, 0), (1, 1), (2, 1)):
            will = Will(self.topic("w"), "x", 1, True, [(WILL_DELAY_INTERVAL, delay)])
            client = self.connect("uaf", will=will, props=[(SESSION_EXPIRY_INTERVAL, expiry)])
            client.subscribe(self.topic("#"), qos=1)
            client.close()
        time.sleep(3)
        self.assert_works()

    def test_cve_2024_8376_packets_in_random_order(self):
        """Shared against normal, twice, never subscribed, gone."""
        rng = random.Random(SEED)
        filters = ["a", "a/#", "+", "$share/g/a", "$share/g/a/#", "$share/h/a"]

        def packet():
            kind = rng.randrange(7)
            if kind < 2:
                return mqtt.subscribe(1, [(rng.choice(filters), 2) for _ in range(3)])
            if kind < 4:
                return mqtt.unsubscribe(2, [rng.choice(filters) for _ in range(3)])
            if kind < 6:
                return mqtt.publish(rng.choice(("a", "a/b")), "x", 1, 3, rng.random() < 0.3)
            return rng.choice((mqtt.disconnect(), mqtt.connect("r"), mqtt.ack(mqtt.PUBREL, 3)))

        for index in range(400):
            expiry = [(SESSION_EXPIRY_INTERVAL, rng.choice((0, 100)))]
            name = f"r{rng.randrange(4)}"
            data = mqtt.connect(name, clean=rng.random() < 0.5, props=expiry)
            data += b"".join(packet() for _ in range(rng.randrange(12)))
            self.throw(data)
        print(f"seed {SEED}")
        self.assert_works()

    def test_nanomq_races_of_reconnection_subscription_and_publish(self):
        """CVE-2025-59946, CVE-2026-22040, CVE-2026-32134, CVE-2023-34494, CVE-2026-45151:
        few identifiers, many connections at once."""
        stop = time.monotonic() + 3
        topics = [self.topic(f"{i}") for i in range(3)]

        def run(number):
            rng = random.Random(SEED + number)
            while time.monotonic() < stop:
                try:
                    self.one_life(rng, topics)
                except (Closed, OSError, AssertionError):
                    pass

        threads = [threading.Thread(target=run, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"seed {SEED}")
        self.assert_works()

    def one_life(self, rng, topics):
        """Connects, does a few things, goes in one way or another."""
        version = rng.choice((V311, V5))
        client = super().open(version, self.target)
        props = [(SESSION_EXPIRY_INTERVAL, rng.choice((0, 1, 100)))] if version == V5 else ()
        will = Will(rng.choice(topics), "dead", rng.randrange(3)) if rng.random() < 0.3 else None
        client.send(mqtt.connect(f"race{rng.randrange(3)}", version, rng.random() < 0.3, will=will,
                                 props=props))
        for _ in range(rng.randrange(10)):
            topic = rng.choice(topics + ["$share/g/" + topics[0]])
            if rng.random() < 0.4:
                client.send(mqtt.subscribe(1, [(topic, rng.randrange(3))], version=version))
            elif rng.random() < 0.5:
                client.send(mqtt.unsubscribe(1, [topic], version=version))
            else:
                client.send(mqtt.publish(rng.choice(topics), "x", 1, 1, version=version))
            if rng.random() < 0.3:
                client.receive(0.01)
        if rng.random() < 0.5:
            client.send(mqtt.disconnect())
        elif rng.random() < 0.3:
            # A reset, not an orderly end.
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


if __name__ == "__main__":
    main()
