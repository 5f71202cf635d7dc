#!/usr/bin/python3 -B
"""Bytes that are no packet: each kind, before and after CONNECT, in 3.1.1 and 5.0.

Each case has a connection of its own, which has to end: with a reason to 5.0, in
silence to 3.1.1. After each case another client of the same broker publishes a
message to itself, so that nothing can break unseen. Sections 1.5, 2.1, 2.2, 4.13.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.client import Closed
from support.mqtt import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    NAMES,
    PINGREQ,
    PROPERTIES_OF,
    PROPERTY_KINDS,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    V311,
    V5,
)
from support.suite import BrokerTest, main

MALFORMED = (0x81, 0x82)
VERSIONS = (V311, V5)
PAIR = (mqtt.USER_PROPERTY, ("key", "value"))

BAD_STRINGS = {
    "lone continuation": b"\x80",
    "invalid byte": b"a\xffb",
    "cut short": b"\xe2\x82",
    "cut by another": b"\xe2\x82a",
    "overlong slash": b"\xc0\xaf",
    "overlong NUL": b"\xc0\x80",
    "overlong in three": b"\xe0\x80\xaf",
    "overlong in four": b"\xf0\x80\x80\xaf",
    "high surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "NUL": b"a\x00b",
    "NUL alone": b"\x00",
    "NUL at the end": b"ab\x00",
}


def packets(version, topic="t"):
    """A valid packet of each kind that a client may send, and what answers it."""
    props = [PAIR] if version == V5 else ()
    found = {
        "PUBLISH 0": (mqtt.publish(topic, "x\0", props=props, version=version), None),
        "PUBLISH 1": (mqtt.publish(topic, "x\0", 1, 7, props=props, version=version), PUBACK),
        "PUBLISH 2": (mqtt.publish(topic, "x\0", 2, 8, props=props, version=version), PUBREC),
        "PUBACK": (mqtt.ack(PUBACK, 99), None),
        "PUBREC": (mqtt.ack(PUBREC, 99), PUBREL),
        "PUBREL": (mqtt.ack(PUBREL, 99), PUBCOMP),
        "PUBCOMP": (mqtt.ack(PUBCOMP, 99), None),
        "SUBSCRIBE": (mqtt.subscribe(3, [(topic, 1), ("u", 0)], props, version), SUBACK),
        "UNSUBSCRIBE": (mqtt.unsubscribe(4, [topic, "u"], props, version), UNSUBACK),
        "PINGREQ": (mqtt.pingreq(), mqtt.PINGRESP),
    }
    if version == V5:
        long_form = {
            "PUBACK long": mqtt.ack(PUBACK, 99, 0x10, [PAIR]),
            "PUBREL long": mqtt.ack(PUBREL, 99, 0, [PAIR]),
            "DISCONNECT long": mqtt.disconnect(0, [PAIR]),
        }
        answers = {"PUBREL long": PUBCOMP, "DISCONNECT long": "close"}
        found.update({k: (v, answers.get(k)) for k, v in long_form.items()})
    found["DISCONNECT"] = (mqtt.disconnect(), "close")
    return found


def connects(version, name):
    """A CONNECT with everything in it."""
    props = will_props = ()
    if version == V5:
        props = [(mqtt.RECEIVE_MAXIMUM, 9), (mqtt.SESSION_EXPIRY_INTERVAL, 0), PAIR]
        will_props = [(mqtt.CONTENT_TYPE, "type"), (mqtt.WILL_DELAY_INTERVAL, 0), PAIR]
    will = mqtt.Will(f"{name}/will", "gone", 1, False, will_props)
    return mqtt.connect(name, version, True, 60, will, "user", "password", props)


class MalformedTest(BrokerTest):
    def setUp(self):
        super().setUp()
        self.bystander = self.subscriber("bystander", qos=1)
        self.cases = 0

    def assert_undisturbed(self):
        self.cases += 1
        text = f"{self.cases}"
        self.bystander.send(mqtt.publish(self.topic("bystander"), text, 1, 1))
        got = {p.kind: p for p in (self.bystander.receive(), self.bystander.receive())}
        self.assertEqual(set(got), {PUBACK, PUBLISH})
        self.assertEqual(got[PUBLISH].payload, text.encode())
        self.bystander.acknowledge(got[PUBLISH])
        self.bystander.ping()

    def assert_ends(self, data, version, reasons=MALFORMED, connected=True, what=None):
        """The broker answers `data` by ending the connection."""
        with self.subTest(what=what, data=data[:80], version=version, connected=connected):
            client = self.connect(version=version) if connected else self.open(version)
            client.send_quietly(data)
            if connected:
                client.expect_end(*reasons)
            elif data[0] >> 4 == CONNECT and version == V5:
                client.expect_end(*reasons)
            else:
                client.expect_close()
            self.assert_undisturbed()


class Truncation(MalformedTest):
    def test_packets_in_two_pieces(self):
        """The broker waits for the rest, wherever the cut is."""
        for version in VERSIONS:
            for name, (data, answer) in packets(version, self.topic("t")).items():
                for cut in range(1, len(data)):
                    with self.subTest(packet=name, version=version, cut=cut):
                        self.in_two_pieces(data, answer, version, cut)
            self.assert_undisturbed()

    def in_two_pieces(self, data, answer, version, cut):
        client = self.connect(version=version)
        client.send(data[:cut])
        time.sleep(0.002)
        client.send(data[cut:])
        if answer == "close":
            client.expect_close()
            return
        if answer is not None:
            client.wait_for(answer)
        client.send(mqtt.pingreq())
        client.wait_for(mqtt.PINGRESP)
        client.close()

    def test_packets_that_are_never_finished(self):
        for version in VERSIONS:
            for data, _ in packets(version, self.topic("t")).values():
                for cut in range(1, len(data)):
                    client = self.connect(version=version)
                    client.send(data[:cut])
                    client.close()
            self.assert_undisturbed()

    def test_connect_in_two_pieces(self):
        for version in VERSIONS:
            data = connects(version, self.client_id("two"))
            for cut in range(1, len(data)):
                client = self.open(version)
                client.send(data[:cut])
                time.sleep(0.001)
                client.send(data[cut:])
                client.expect(CONNACK, reason=0)
                client.disconnect()
            self.assert_undisturbed()

    def test_connect_that_is_never_finished(self):
        """And whose will therefore does not exist."""
        watcher = self.connect()
        for version in VERSIONS:
            name = self.client_id("half")
            watcher.subscribe(f"{name}/will")
            data = connects(version, name)
            for cut in range(1, len(data)):
                client = self.open(version)
                client.send(data[:cut])
                client.close()
            watcher.expect_nothing()
            self.assert_undisturbed()


class Lengths(MalformedTest):
    def relabelled(self, data, difference):
        """The same bytes with another Remaining Length."""
        length = mqtt.split(data)
        reader = mqtt.Reader(data)
        reader.byte()
        remaining = reader.varint()
        self.assertEqual(length, len(data))
        return data[:1] + mqtt.varint(remaining + difference) + data[reader.at :]

    def test_remaining_length_one_too_large(self):
        """What follows is taken for the last byte."""
        for version in VERSIONS:
            for name, (data, _) in packets(version, self.topic("t")).items():
                tail = mqtt.pingreq() if name != "PUBLISH 0" else b"\xf7" * 2
                longer = self.relabelled(data, 1) + tail
                self.assert_ends_somehow(longer, version, name)
            longer = self.relabelled(connects(version, self.client_id()), 1) + b"\0"
            self.assert_ends(longer, version, connected=False, what="CONNECT")

    def test_remaining_length_one_too_small(self):
        for version in VERSIONS:
            for name, (data, _) in packets(version, self.topic("t")).items():
                if data[1] > 0:
                    shorter = self.relabelled(data, -1) + b"\0\0"
                    self.assert_ends_somehow(shorter, version, name)
            shorter = self.relabelled(connects(version, self.client_id()), -1)
            self.assert_ends(shorter, version, connected=False, what="CONNECT")

    def assert_ends_somehow(self, data, version, what):
        """Ends, maybe after an answer to a packet that only now is another one."""
        with self.subTest(what=what, data=data, version=version):
            client = self.connect(version=version)
            client.send_quietly(data)
            got = client.drain_until_closed()
            if version == V5:
                self.assertEqual(got[-1].kind, DISCONNECT)
            self.assert_undisturbed()

    def test_remaining_length_of_five_bytes(self):
        """[MQTT-1.5.5-1] and section 1.5.5: at most four."""
        for version in VERSIONS:
            for length in (b"\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\x7f"):
                for first in (0x30, 0xC0, 0x82, 0x40, 0xE0):
                    self.assert_ends(bytes([first]) + length, version, what="length")
                self.assert_ends(b"\x10" + length, V311, connected=False, what="length")

    def test_remaining_length_that_is_not_the_shortest(self):
        """[MQTT-1.5.5-1]"""
        for data in (b"\xc0\x80\x00", b"\xc0\x80\x80\x80\x00", b"\x40\x82\x00\x00\x01"):
            self.assert_ends(data, V5, what="not the shortest")
        publish = mqtt.packet(PUBLISH, 0, mqtt.string("t") + b"\0x", mqtt.varint(5, 2))
        self.assert_ends(publish, V5, what="not the shortest")

    def test_inner_numbers_that_are_not_the_shortest(self):
        """[MQTT-1.5.5-1]: property length and subscription identifier."""
        body = mqtt.string("t") + mqtt.varint(0, 2) + b"x"
        self.assert_ends(mqtt.packet(PUBLISH, 0, body), V5)
        for value in (mqtt.varint(1, 2), mqtt.varint(1, 4), b"\x80\x80\x80\x80\x01"):
            props = [(mqtt.SUBSCRIPTION_IDENTIFIER, value)]
            self.assert_ends(mqtt.subscribe(1, [("t", 0)], props), V5)
        # The identifier of a property is such a number, too: here of user property.
        long_identifier = b"\xa6\x00" + mqtt.string("k") + mqtt.string("v")
        props = mqtt.varint(len(long_identifier)) + long_identifier
        self.assert_ends(mqtt.publish("t", "x", props=props), V5)

    def test_strings_longer_than_their_packet(self):
        for version in VERSIONS:
            end = b"\0" if version == V5 else b""
            for body, first in (
                (b"\x00\x05abcd", 0x30),
                (b"\xff\xff" + b"a" * 100, 0x30),
                (b"\x00\x01" + end + b"\x00\x09a\x00", 0x82),
                (b"\x00\x01" + end + b"\xff\xffa", 0xA2),
                (b"\x00", 0x30),
                (b"", 0x30),
                (b"", 0x82),
                (b"\x00", 0x82),
                (b"", 0xA2),
                (b"", 0x40),
                (b"\x01", 0x40),
                (b"", 0x50),
                (b"", 0x62),
                (b"", 0x70),
                (b"\x00\x01t", 0x32),
                (b"\x00\x01t\x00", 0x32),
            ):
                self.assert_ends(mqtt.packet(first >> 4, first & 15, body), version)

    def test_connect_with_strings_longer_than_it_is(self):
        for version in VERSIONS:
            whole = connects(version, self.client_id())
            body = whole[2:] if whole[1] < 128 else whole[3:]
            for cut in range(len(body)):
                data = mqtt.packet(CONNECT, 0, body[:cut])
                # Before the level is known, nobody can say in which version to answer.
                if cut < 7:
                    self.assert_ends(data, V311, connected=False, what="CONNECT")
                else:
                    self.assert_ends(data, version, connected=False, what="CONNECT")


class Flags(MalformedTest):
    def test_reserved_flags(self):
        """[MQTT-2.1.3-1], [MQTT-2.2.2-2 of 3.1.1]"""
        for version in VERSIONS:
            for name, (data, _) in packets(version).items():
                kind, right = data[0] >> 4, data[0] & 15
                if kind == PUBLISH:
                    continue
                for flags in range(16):
                    if flags != right:
                        wrong = bytes([kind << 4 | flags]) + data[1:]
                        self.assert_ends(wrong, version, (0x81,), what=name)

    def test_reserved_flags_of_connect(self):
        for version in VERSIONS:
            data = connects(version, self.client_id())
            for flags in range(1, 16):
                wrong = bytes([CONNECT << 4 | flags]) + data[1:]
                with self.subTest(flags=flags, version=version):
                    client = self.open(version)
                    client.send_quietly(wrong)
                    for packet in client.drain_until_closed():
                        self.assertGreaterEqual(packet.reason, 0x80)
                    self.assert_undisturbed()

    def test_qos_3(self):
        """[MQTT-3.3.1-4]"""
        for version in VERSIONS:
            for flags in (6, 7, 14, 15):
                data = mqtt.publish("t", "x", packet_id=1, flags=flags, version=version)
                self.assert_ends(data, version, (0x81,))

    def test_packet_types_that_no_client_sends(self):
        for version in VERSIONS:
            for kind in (0, CONNACK, SUBACK, UNSUBACK, mqtt.PINGRESP):
                for body in (b"", b"\0\0", b"\0\1\0\0"):
                    self.assert_ends(mqtt.packet(kind, 0, body), version)
            for kind in (AUTH,) if version == V311 else ():
                self.assert_ends(mqtt.packet(kind, 0, b""), version)

    def test_nothing_but_connect_may_come_first(self):
        """[MQTT-3.1.0-1]: closed without an answer."""
        for version in VERSIONS:
            for name, (data, _) in packets(version).items():
                self.assert_ends(data, version, connected=False, what=name)
        for kind in (0, CONNACK, SUBACK, UNSUBACK, mqtt.PINGRESP, AUTH):
            self.assert_ends(mqtt.packet(kind, 0, b"\0\0"), V311, connected=False)


class Strings(MalformedTest):
    def test_bad_text_in_every_field(self):
        """[MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-1.5.3-1 of 3.1.1], [MQTT-1.5.3-2 of 3.1.1]"""
        for version in VERSIONS:
            fields = {
                "topic name": lambda s: mqtt.publish(s, "x", version=version),
                "topic name 1": lambda s: mqtt.publish(s, "x", 1, 1, version=version),
                "filter": lambda s: mqtt.subscribe(1, [(s, 0)], version=version),
                "second filter": lambda s: mqtt.subscribe(1, [("a", 0), (s, 0)], version=version),
                "share": lambda s: mqtt.subscribe(
                    1, [(b"$share/" + s + b"/a", 0)], version=version
                ),
                "old filter": lambda s: mqtt.unsubscribe(1, ["a", s], version=version),
            }
            for field, build in fields.items():
                for what, text in BAD_STRINGS.items():
                    self.assert_ends(build(text), version, (0x81, 0x82, 0x90), what=(field, what))

    def test_bad_text_in_every_property(self):
        """[MQTT-1.5.7-1], [MQTT-3.3.2-13], [MQTT-3.3.2-19]"""
        user, topic = mqtt.USER_PROPERTY, mqtt.RESPONSE_TOPIC
        why = mqtt.REASON_STRING
        fields = {
            "key": lambda s: mqtt.publish("t", "x", props=[(user, (s, "v"))]),
            "value": lambda s: mqtt.publish("t", "x", props=[PAIR, (user, ("k", s))]),
            "type": lambda s: mqtt.publish("t", "x", props=[(mqtt.CONTENT_TYPE, s)]),
            "response": lambda s: mqtt.publish("t", "x", props=[(topic, s)]),
            "subscribe": lambda s: mqtt.subscribe(1, [("t", 0)], [(user, ("k", s))]),
            "unsubscribe": lambda s: mqtt.unsubscribe(1, ["t"], [(user, (s, "v"))]),
            "puback": lambda s: mqtt.ack(PUBACK, 1, 0, [(why, s)]),
            "pubrec": lambda s: mqtt.ack(PUBREC, 1, 0, [(why, s)]),
            "pubrel": lambda s: mqtt.ack(PUBREL, 1, 0, [(why, s)]),
            "pubcomp": lambda s: mqtt.ack(PUBCOMP, 1, 0, [(user, (s, ""))]),
            "disconnect": lambda s: mqtt.disconnect(0, [(why, s)]),
        }
        for field, build in fields.items():
            for what, text in BAD_STRINGS.items():
                self.assert_ends(build(text), V5, (0x81, 0x82, 0x90), what=(field, what))

    def test_bad_text_in_connect(self):
        """[MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12]"""
        for version in VERSIONS:
            name = self.client_id()
            fields = {
                "client": lambda s: mqtt.connect(s, version),
                "user": lambda s: mqtt.connect(name, version, user=s),
                "will": lambda s: mqtt.connect(name, version, will=mqtt.Will(s, "x")),
            }
            if version == V5:
                method, user = mqtt.AUTHENTICATION_METHOD, mqtt.USER_PROPERTY
                fields["property"] = lambda s: mqtt.connect(name, props=[(user, ("k", s))])
                fields["method"] = lambda s: mqtt.connect(name, props=[(method, s)])
                fields["will property"] = lambda s: mqtt.connect(
                    name, will=mqtt.Will("t", "x", props=[(mqtt.CONTENT_TYPE, s)])
                )
            for field, build in fields.items():
                for what, text in BAD_STRINGS.items():
                    reasons = (0x81, 0x82, 0x85, 0x90)
                    self.assert_ends(build(text), version, reasons, False, (field, what))

    def test_good_text_at_the_edges(self):
        """[MQTT-1.5.4-3]: U+FEFF is a character, and so are these."""
        client = self.connect()
        for text in ("\u0001", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufeff",
                     "\ufffe", "\uffff", "\U00010000", "\U0010ffff", "\u20ac"):
            topic = self.topic(text)
            with self.subTest(text=text):
                # U+0001 to U+001F, U+007F to U+009F and non-characters may be refused.
                try:
                    client.subscribe(topic)
                    client.publish(topic, text, props=[(mqtt.USER_PROPERTY, (text, text))])
                    got = client.message(topic, text)
                    self.assertEqual(got.properties, [(mqtt.USER_PROPERTY, (text, text))])
                except Closed:
                    self.assertIn(text, "\u0001\u007f\u0080\ufffe\uffff\U0010ffff")
                    client = self.connect()


class Properties(MalformedTest):
    """Each property in each packet: not allowed there, given twice, cut, badly counted."""

    VALUES = {"byte": 1, "u16": 1, "u32": 1000, "varint": 1, "string": "s", "binary": b"b",
              "pair": ("k", "v")}
    UNKNOWN = (0x00, 0x04, 0x0A, 0x10, 0x14, 0x1B, 0x2B, 0x7F)

    def carriers(self):
        """Packets that can carry properties, as functions of these."""
        return {
            PUBLISH: lambda p: mqtt.publish(self.topic("t"), "x", props=p),
            PUBACK: lambda p: mqtt.ack(PUBACK, 1, 0, p),
            PUBREC: lambda p: mqtt.ack(PUBREC, 1, 0, p),
            PUBREL: lambda p: mqtt.ack(PUBREL, 1, 0, p),
            PUBCOMP: lambda p: mqtt.ack(PUBCOMP, 1, 0, p),
            SUBSCRIBE: lambda p: mqtt.subscribe(1, [(self.topic("t"), 0)], p),
            UNSUBSCRIBE: lambda p: mqtt.unsubscribe(1, [self.topic("t")], p),
            DISCONNECT: lambda p: mqtt.disconnect(0, p),
            AUTH: lambda p: mqtt.auth(0x19, p),
        }

    def in_connect(self):
        name = self.client_id()
        return {
            CONNECT: lambda p: mqtt.connect(name, props=p),
            "WILL": lambda p: mqtt.connect(name, will=mqtt.Will(self.topic("w"), "x", props=p)),
        }

    def everywhere(self):
        for kind, build in self.carriers().items():
            yield kind, build, True
        for kind, build in self.in_connect().items():
            yield kind, build, False

    def value(self, identifier):
        return self.VALUES[PROPERTY_KINDS[identifier]]

    def allowed(self, kind):
        """Those that a client may send there, with a value that is right."""
        found = PROPERTIES_OF[kind] - {mqtt.SERVER_REFERENCE}
        if kind == PUBLISH:
            found = found - {mqtt.SUBSCRIPTION_IDENTIFIER}
        return sorted(found)

    def test_properties_where_they_do_not_belong(self):
        """Section 2.2.2.2"""
        for kind, build, connected in self.everywhere():
            for identifier in sorted(set(PROPERTY_KINDS) - PROPERTIES_OF[kind]):
                data = build([(identifier, self.value(identifier))])
                self.assert_ends(data, V5, MALFORMED, connected, (self.name(kind), identifier))

    def test_unknown_properties(self):
        for kind, build, connected in self.everywhere():
            for identifier in self.UNKNOWN:
                data = build([(identifier, b"\0\0\0\0")])
                self.assert_ends(data, V5, MALFORMED, connected, (self.name(kind), identifier))
            data = build(b"\x03\xff\xff\x7f")
            self.assert_ends(data, V5, MALFORMED, connected, self.name(kind))

    def test_properties_given_twice(self):
        """Section 2.2.2.2: a Protocol Error, but for the User Property."""
        for kind, build, connected in self.everywhere():
            for identifier in self.allowed(kind):
                if identifier == mqtt.USER_PROPERTY:
                    continue
                both = [(identifier, self.value(identifier))] * 2
                if identifier == mqtt.AUTHENTICATION_DATA:
                    both.insert(0, (mqtt.AUTHENTICATION_METHOD, "m"))
                what = (self.name(kind), identifier)
                self.assert_ends(build(both), V5, MALFORMED, connected, what)
                apart = [both[0], PAIR, *both[1:]]
                self.assert_ends(build(apart), V5, MALFORMED, connected, what)

    def test_properties_cut_short(self):
        """The property length ends inside of one."""
        for kind, build, connected in self.everywhere():
            for identifier in self.allowed(kind):
                encoded = mqtt.prop(identifier, self.value(identifier))
                for cut in range(1, len(encoded)):
                    data = build(mqtt.varint(cut) + encoded[:cut])
                    what = (self.name(kind), identifier, cut)
                    self.assert_ends(data, V5, MALFORMED, connected, what)

    def test_property_length_that_is_wrong(self):
        """Shorter, longer than the packet, unfinished, of five bytes."""
        encoded = mqtt.prop(*PAIR)
        for kind, build, connected in self.everywhere():
            lengths = [mqtt.varint(200), mqtt.varint(268435455), b"\x80\x80\x80\x80\x01"]
            if kind != PUBLISH:
                # There the payload would take what is left.
                lengths += [mqtt.varint(0), mqtt.varint(len(encoded) - 1)]
            if kind in (PUBLISH, SUBSCRIBE, UNSUBSCRIBE, CONNECT, "WILL"):
                lengths.append(mqtt.varint(len(encoded) + 1))
            for length in lengths:
                data = build(length + encoded)
                what = (self.name(kind), length)
                self.assert_ends(data, V5, (*MALFORMED, 0x90, 0x85), connected, what)

    def test_values_out_of_range(self):
        """A byte that is 0 or 1, a number that is not 0."""
        cases = [
            (PUBLISH, mqtt.PAYLOAD_FORMAT_INDICATOR, 2),
            (PUBLISH, mqtt.PAYLOAD_FORMAT_INDICATOR, 255),
            (PUBLISH, mqtt.TOPIC_ALIAS, 0), (SUBSCRIBE, mqtt.SUBSCRIPTION_IDENTIFIER, 0),
            (CONNECT, mqtt.RECEIVE_MAXIMUM, 0), (CONNECT, mqtt.MAXIMUM_PACKET_SIZE, 0),
            (CONNECT, mqtt.REQUEST_PROBLEM_INFORMATION, 2),
            (CONNECT, mqtt.REQUEST_RESPONSE_INFORMATION, 255),
            ("WILL", mqtt.PAYLOAD_FORMAT_INDICATOR, 2),
        ]
        builders = {**self.carriers(), **self.in_connect()}
        for kind, identifier, value in cases:
            data = builders[kind]([(identifier, value)])
            connected = kind not in (CONNECT, "WILL")
            what = (self.name(kind), identifier)
            self.assert_ends(data, V5, (*MALFORMED, 0x94, 0x99), connected, what)

    def test_values_at_their_limits_are_accepted(self):
        """Zero where it is allowed, and the largest of each kind."""
        largest = {"byte": 1, "u16": 65535, "u32": 0xFFFFFFFF, "varint": 268435455,
                   "string": "ä" * 30000, "binary": b"\0" * 65535,
                   "pair": ("k" * 65535, "v" * 65535)}
        smallest = {"byte": 0, "u16": 1, "u32": 1, "varint": 1, "string": "", "binary": b"",
                    "pair": ("", "")}
        left_out = {mqtt.TOPIC_ALIAS, mqtt.AUTHENTICATION_METHOD, mqtt.AUTHENTICATION_DATA}
        for values in (smallest, largest):
            for kind, build, connected in self.everywhere():
                if kind == AUTH:
                    continue
                for identifier in self.allowed(kind):
                    value = values[PROPERTY_KINDS[identifier]]
                    if identifier == mqtt.RESPONSE_TOPIC and not value:
                        continue
                    # Raised from 0 it would be an error.
                    if kind == DISCONNECT and identifier == mqtt.SESSION_EXPIRY_INTERVAL:
                        value = 0
                    # In one byte there is no room for a CONNACK.
                    if identifier == mqtt.MAXIMUM_PACKET_SIZE:
                        value = max(value, 100)
                    if identifier not in left_out:
                        what = (self.name(kind), identifier, values is largest)
                        with self.subTest(what=what):
                            self.accepted(build([(identifier, value)]), connected)

    def accepted(self, data, connected):
        client = self.connect() if connected else self.open()
        client.send(data)
        if not connected:
            client.expect(CONNACK, reason=0)
        if data[0] >> 4 == DISCONNECT:
            client.expect_close()
        else:
            client.send(mqtt.pingreq())
            client.wait_for(mqtt.PINGRESP)
            client.leave()
        self.assert_undisturbed()

    @staticmethod
    def name(kind):
        return kind if isinstance(kind, str) else NAMES[kind]


class Reasons(MalformedTest):
    def test_reason_codes_that_do_not_belong(self):
        """[MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.14.2-1]"""
        allowed = {
            PUBACK: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
            PUBREC: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
            PUBREL: {0x00, 0x92},
            PUBCOMP: {0x00, 0x92},
        }
        for kind, codes in allowed.items():
            for code in sorted(set(range(256)) - codes)[::5]:
                self.assert_ends(mqtt.ack(kind, 1, code), V5, MALFORMED, what=(NAMES[kind], code))

    def test_short_and_odd_bodies(self):
        for data in (
            mqtt.packet(PUBACK, 0, b"\0\1\0\5"),
            mqtt.packet(PUBACK, 0, b"\0\1\0\0\0"),
            mqtt.packet(DISCONNECT, 0, b"\0\5"),
            mqtt.packet(DISCONNECT, 0, b"\0\0\0"),
            mqtt.packet(PINGREQ, 0, b"\0"),
            mqtt.packet(AUTH, 0, b"\x18\5"),
        ):
            self.assert_ends(data, V5)

    def test_acknowledgements_with_identifier_zero(self):
        """[MQTT-2.2.1-5]: none was sent with it. Ignored or refused, but survived."""
        for version in VERSIONS:
            for kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
                client = self.connect(version=version)
                client.send(mqtt.ack(kind, 0))
                client.send_quietly(mqtt.pingreq())
                try:
                    client.receive()
                except Closed:
                    pass
                self.assert_undisturbed()


if __name__ == "__main__":
    main()
