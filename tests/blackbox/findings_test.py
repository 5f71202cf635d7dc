#!/usr/bin/python3 -B
"""What protocol checkers found in other brokers, 2024 to 2026, one test for each.

The docstring of a test is the finding. Many are tested from another side elsewhere;
here the point is that each one stays found.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.client import Closed
from support.mqtt import (
    RECEIVE_MAXIMUM,
    SESSION_EXPIRY_INTERVAL,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS,
    V31,
    V311,
    V5,
    VERSIONS,
    WILL_DELAY_INTERVAL,
    Will,
)
from support.suite import BrokerTest, main


class FindingTest(BrokerTest):
    def ends(self, packet, *reasons, version=V5, **arguments):
        """A connected client sends this, and is ended for it."""
        client = self.connect(version=version, **arguments)
        client.send(packet)
        return client.expect_end(*reasons)

    def refused(self, *reasons, version=V5, **arguments):
        """A CONNECT is refused, to 3.x without a CONNACK."""
        client = self.open(version)
        client.send(mqtt.connect(self.client_id(), version, **arguments))
        if version == V5:
            client.expect_end(*reasons)
        else:
            client.expect_close()


class Flow(FindingTest):
    def test_send_quota_is_reset_on_resume(self):
        """Send quota resets from the new CONNECT's Receive Maximum on resume."""
        def session(maximum):
            return self.session("quota", props=[(RECEIVE_MAXIMUM, maximum)])

        client = session(5)
        client.subscribe(self.topic("x"), qos=1)
        publisher = self.connect()
        for index in range(10):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
        client.messages(5, acknowledge=False)
        client.close()
        client = session(3)
        client.messages(3, acknowledge=False)
        client.expect_nothing()
        client.close()
        client = session(10)
        client.messages(10)
        client.expect_nothing()
        self.connect("quota").disconnect()

    def test_overrun_of_receive_maximum_is_0x93(self):
        """Receive-maximum overrun is DISCONNECT 0x93: not PUBREC 0x97, not 0x82."""
        client = self.connect()
        limit = client.connack.prop(RECEIVE_MAXIMUM, 65535)
        client.send(*[mqtt.publish("x", "", 2, i) for i in range(1, limit + 2)])
        packets = client.drain_until_closed()
        self.assertEqual(packets[-1].reason, 0x93)
        self.assertTrue(all(p.kind == mqtt.PUBREC and p.reason < 0x80 for p in packets[:-1]))

    def test_qos_0_consumes_no_receive_maximum(self):
        """QoS 0 must not consume receive maximum."""
        client = self.connect(props=[(RECEIVE_MAXIMUM, 1)])
        client.subscribe(self.topic("x"), qos=1)
        publisher = self.connect()
        for index in range(50):
            publisher.publish(self.topic("x"), f"{index}")
        publisher.publish(self.topic("x"), "50", qos=1)
        for index in range(51):
            client.message(payload=f"{index}")


class Disconnect(FindingTest):
    def test_reserved_reason_publishes_the_will(self):
        """DISCONNECT with a reserved reason is malformed, and the will must be published."""
        watcher = self.subscriber("will")
        self.ends(b"\xe0\x02\xff\x00", 0x81, 0x82, will=Will(self.topic("will"), "dead"))
        watcher.message(payload="dead")

    def test_flags_are_0x81(self):
        """DISCONNECT with non-zero flags is 0x81."""
        for flags in range(1, 16):
            self.ends(mqtt.disconnect(flags=flags), 0x81)

    def test_expiry_raised_from_zero_is_0x82(self):
        """Session expiry raised from 0 in DISCONNECT is 0x82."""
        self.ends(mqtt.disconnect(0, [(SESSION_EXPIRY_INTERVAL, 1)]), 0x82)
        props = [(SESSION_EXPIRY_INTERVAL, 0)]
        self.ends(mqtt.disconnect(0, [(SESSION_EXPIRY_INTERVAL, 0xFFFFFFFF)]), 0x82, props=props)


class Connect(FindingTest):
    def test_will_qos_3(self):
        """Will QoS 3 gets CONNACK 0x81, then the connection is closed."""
        for version in VERSIONS:
            self.refused(0x81, version=version, will=Will("w", "x", qos=3))

    def test_will_bits_without_a_will(self):
        """Will QoS or retain with will flag 0 gets CONNACK 0x81, then it is closed."""
        for version in VERSIONS:
            for flags in (0x0A, 0x12, 0x1A, 0x22, 0x2A):
                self.refused(0x81, version=version, flags=flags)

    def test_password_without_user_name_in_31(self):
        """3.1: password without user name."""
        for version in (V31, V311):
            self.refused(version=version, password="p")

    def test_empty_identifier_without_clean_session_is_0x02(self):
        """Zero-byte client id with clean = 0 on 3.1.1 gets 0x02."""
        client = self.open(V311)
        client.connect("", clean=False, code=2)
        client.expect_close()


class Publish(FindingTest):
    def test_subscription_identifier_from_a_client_is_0x82(self):
        """PUBLISH from a client carrying a Subscription Identifier, or id 0, is 0x82."""
        for value in (0, 1, 100):
            packet = mqtt.publish("t", "x", props=[(SUBSCRIPTION_IDENTIFIER, value)])
            self.ends(packet, 0x82)

    def test_empty_topic_without_alias_is_0x82(self):
        """Zero-length topic with no alias is 0x82, not 0x81."""
        for qos in range(3):
            self.ends(mqtt.publish("", "x", qos, qos or None), 0x82)

    def test_alias_out_of_range_is_0x94(self):
        """Alias 0 or above the maximum is 0x94."""
        limit = self.connect().connack.prop(mqtt.TOPIC_ALIAS_MAXIMUM, 0)
        for alias in (0, limit + 1, 65535):
            self.ends(mqtt.publish("t", "x", props=[(TOPIC_ALIAS, alias)]), 0x94)

    def test_wildcard_in_a_topic_closes(self):
        """A topic with a wildcard closes the connection."""
        for version in VERSIONS:
            for topic in ("a/+", "#", "a#b"):
                self.ends(mqtt.publish(topic, "x", version=version), 0x90, version=version)


class PropertiesAndText(FindingTest):
    def test_property_given_twice(self):
        """Any non-repeatable property twice."""
        for identifier, value in (
            (mqtt.PAYLOAD_FORMAT_INDICATOR, 1), (mqtt.MESSAGE_EXPIRY_INTERVAL, 1),
            (mqtt.CONTENT_TYPE, "t"), (mqtt.RESPONSE_TOPIC, "t"), (mqtt.CORRELATION_DATA, b"c"),
            (TOPIC_ALIAS, 1),
        ):
            self.ends(mqtt.publish("t", "x", props=[(identifier, value)] * 2), 0x82)

    def test_property_of_another_packet(self):
        """A property that is not valid for that packet."""
        for packet in (
            mqtt.publish("t", "x", props=[(mqtt.SERVER_KEEP_ALIVE, 1)]),
            mqtt.subscribe(1, [("t", 0)], [(TOPIC_ALIAS, 1)]),
            mqtt.unsubscribe(1, ["t"], [(SUBSCRIPTION_IDENTIFIER, 1)]),
            mqtt.disconnect(0, [(mqtt.CONTENT_TYPE, "t")]),
            mqtt.ack(mqtt.PUBACK, 1, 0, [(RECEIVE_MAXIMUM, 1)]),
        ):
            self.ends(packet, 0x81, 0x82)

    def test_property_length_that_is_wrong(self):
        """Property length differs from the content."""
        pair = mqtt.prop(mqtt.USER_PROPERTY, ("k", "v"))
        for length in (len(pair) - 1, len(pair) + 1, 0, 1):
            packet = mqtt.subscribe(1, [("t", 0)], mqtt.varint(length) + pair)
            self.ends(packet, 0x81, 0x82, 0x8F)

    def test_unknown_property(self):
        """An unknown property identifier."""
        for identifier in (0x00, 0x2B, 0x7F):
            self.ends(mqtt.publish("t", "x", props=[(identifier, b"\0")]), 0x81, 0x82)

    def test_text_that_is_no_text(self):
        """UTF-8 with U+0000, surrogates, overlongs; a user property with bad UTF-8."""
        for text in (b"a\0", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe0\x80\xaf"):
            self.ends(mqtt.publish(text, "x"), 0x81, 0x90)
            for pair in ((text, "v"), ("k", text)):
                packet = mqtt.publish("t", "x", props=[(mqtt.USER_PROPERTY, pair)])
                self.ends(packet, 0x81)


class Subscribe(FindingTest):
    def test_reserved_option_bits(self):
        """SUBSCRIBE: reserved option bits 6 and 7."""
        for bits in (0x40, 0x80, 0xC0):
            self.ends(mqtt.subscribe(1, [("t", bits)]), 0x81)

    def test_retain_handling_3(self):
        """SUBSCRIBE: retain handling 3."""
        self.ends(mqtt.subscribe(1, [("t", 0x30)]), 0x81, 0x82)

    def test_qos_3(self):
        """SUBSCRIBE: QoS 3."""
        for version in VERSIONS:
            packet = mqtt.subscribe(1, [("t", 3)], version=version)
            self.ends(packet, 0x81, 0x82, version=version)

    def test_empty_list(self):
        """SUBSCRIBE: an empty list of filters."""
        for version in (V311, V5):
            self.ends(mqtt.subscribe(1, [], version=version), 0x81, 0x82, version=version)

    def test_empty_filter(self):
        """SUBSCRIBE: an empty filter."""
        for version in VERSIONS:
            packet = mqtt.subscribe(1, [("", 0)], version=version)
            self.ends(packet, 0x81, 0x82, 0x8F, version=version)

    def test_shared_filters_that_are_wrong(self):
        """`$share//x`, `$share/a`, `$share/a+b/x`; bad placement of wildcards."""
        for text in ("$share//x", "$share/a", "$share/a+b/x", "$share/a/", "$share/a/b#", "a/#/b",
                     "a+", "#a"):
            client = self.connect()
            client.send(mqtt.subscribe(1, [(text, 0)]))
            try:
                got = client.receive()
                self.assertIn((got.reason or got.codes[0]), (0x81, 0x82, 0x8F), text)
            except Closed:
                self.fail(f"no reason for {text}")

    def test_shared_with_no_local_is_0x82(self):
        """`$share` with No Local is 0x82."""
        self.ends(mqtt.subscribe(1, [("$share/g/t", mqtt.options(0, True))]), 0x82)

    def test_overlapping_subscriptions(self):
        """Delivered at the highest QoS, with all subscription identifiers."""
        client = self.connect()
        client.subscribe(self.topic("#"), qos=0, props=[(SUBSCRIPTION_IDENTIFIER, 1)])
        client.subscribe(self.topic("a"), qos=2, props=[(SUBSCRIPTION_IDENTIFIER, 2)])
        self.connect().publish(self.topic("a"), "x", qos=2)
        got = client.message()
        found, best = got.props(SUBSCRIPTION_IDENTIFIER), got.qos
        if len(found) == 1:  # A copy for each is allowed, too.
            got = client.message()
            found, best = found + got.props(SUBSCRIPTION_IDENTIFIER), max(best, got.qos)
        self.assertEqual((sorted(found), best), ([1, 2], 2))

    def test_subscribing_again_replaces(self):
        """Identifier and options are those of the last SUBSCRIBE."""
        client = self.connect()
        props = [(SUBSCRIPTION_IDENTIFIER, 1)]
        client.subscribe(self.topic("a"), qos=2, retain_as_published=True, props=props)
        client.subscribe(self.topic("a"), qos=1)
        publisher = self.connect()
        publisher.publish(self.topic("a"), "x", qos=2, retain=True)
        got = client.message(payload="x")
        self.assertEqual((got.qos, got.retain, got.properties), (1, False, []))
        publisher.publish(self.topic("a"), "", retain=True)

    def test_rap_survives_queue_and_resume(self):
        """Retain As Published is kept across offline queue and resume."""
        client = self.session("rap")
        client.subscribe(self.topic("a"), qos=1, retain_as_published=True)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(self.topic("a"), "x", qos=1, retain=True)
        publisher.publish(self.topic("a"), "y", qos=1)
        client = self.session("rap")
        client.message(payload="x", retain=True)
        client.message(payload="y", retain=False)
        publisher.publish(self.topic("a"), "", qos=1, retain=True)
        client.message(payload="", retain=True)
        self.connect("rap").disconnect()


class Answers(FindingTest):
    def test_no_problem_information(self):
        """Request Problem Information 0: no reason string or user property but on
        PUBLISH, CONNACK, DISCONNECT."""
        client = self.connect(props=[(mqtt.REQUEST_PROBLEM_INFORMATION, 0)])
        packets = [client.subscribe("bad/#/filter", codes=[0x8F])]
        packets.append(client.unsubscribe("never", codes=[0x11]))
        client.send(mqtt.ack(mqtt.PUBREL, 5))
        packets.append(client.expect(mqtt.PUBCOMP))
        packets.append(client.publish(self.topic("a"), "x", qos=1))
        self.assertTrue(all(p.properties == [] for p in packets))
        client.subscribe(self.topic("a"))
        pair = (mqtt.USER_PROPERTY, ("k", "v"))
        client.publish(self.topic("a"), "x", props=[pair])
        self.assertEqual(client.message().properties, [pair])

    def test_will_delay_does_not_leak(self):
        """The will delay property must not leak into the PUBLISH."""
        watcher = self.subscriber("will")
        will = Will(self.topic("will"), "dead", props=[(WILL_DELAY_INTERVAL, 0)])
        self.connect(will=will).close()
        self.assertEqual(watcher.message(payload="dead").properties, [])

    def test_acknowledgements_have_their_versions_shape(self):
        """v5 acks must be v5-shaped to v5 clients: decode() checks it, for mixed peers."""
        for version in VERSIONS:
            client = self.connect(version=version)
            client.subscribe(self.topic("a"), qos=2)
            for other in VERSIONS:
                publisher = self.connect(version=other)
                for qos in (1, 2):
                    publisher.publish(self.topic("a"), "x", qos=qos)
                    client.message(payload="x")
            client.unsubscribe(self.topic("a"))


class Wills(FindingTest):
    def mortal(self, expiry, delay=None, **arguments):
        props = [] if delay is None else [(WILL_DELAY_INTERVAL, delay)]
        self.watcher = self.subscriber("will")
        will = Will(self.topic("will"), "dead", props=props)
        return self.connect("w", will=will, props=[(SESSION_EXPIRY_INTERVAL, expiry)], **arguments)

    def test_published_on_takeover_with_expiry_zero(self):
        """Published on takeover when expiry is 0."""
        self.mortal(0)
        self.connect("w", clean=False)
        self.watcher.message(payload="dead")

    def test_not_delayed_with_expiry_zero(self):
        """Not delayed when session expiry is 0."""
        self.mortal(0, delay=1000).close()
        self.watcher.message(payload="dead")

    def test_delay_is_capped_by_expiry(self):
        """Delay is capped by session expiry."""
        self.mortal(1, delay=1000).close()
        self.watcher.message(payload="dead")

    def test_clean_start_resume_sends_it_at_once(self):
        """A clean-start resume sends it at once."""
        self.mortal(1000, delay=1000).close()
        self.watcher.expect_nothing()
        self.connect("w", clean=True).disconnect()
        self.watcher.message(payload="dead")


class Sessions(FindingTest):
    def test_retain_flag_on_takeover(self):
        """Retain flag handling on takeover: what was sent with it is sent again with it."""
        topic = self.topic("a")
        publisher = self.connect()
        publisher.publish(topic, "kept", qos=1, retain=True)
        client = self.session("taken")
        client.subscribe(topic, qos=1)
        first = client.message(payload="kept", retain=True, acknowledge=False)
        publisher.publish(topic, "live", qos=1)
        client.message(payload="live", retain=False, acknowledge=False)
        client = self.session("taken")
        client.message(payload="kept", retain=True, dup=True, packet_id=first.packet_id)
        client.message(payload="live", retain=False, dup=True)
        client.expect_nothing()
        publisher.publish(topic, "", retain=True)
        self.connect("taken").close()

    def test_no_retained_replay_on_resume(self):
        """No retained replay on session resume."""
        topic = self.topic("a")
        publisher = self.connect()
        publisher.publish(topic, "kept", qos=1, retain=True)
        client = self.session("resumed")
        client.subscribe(topic, qos=1)
        client.message(payload="kept")
        client.disconnect()
        client = self.session("resumed")
        client.expect_nothing()
        publisher.publish(topic, "", retain=True)
        self.connect("resumed").close()


class FixedHeader(FindingTest):
    def test_reserved_types(self):
        """Reserved packet type 0, or 15 on version 4: immediate close."""
        for version in VERSIONS:
            self.ends(b"\x00\x00", 0x81, 0x82, version=version)
            # It is enough to see the first byte.
            self.ends(b"\x00", 0x81, 0x82, version=version)
        self.ends(b"\xf0\x00", version=V311)

    def test_bad_nibbles(self):
        """A bad fixed-header nibble: immediate close."""
        for first in (0x80, 0x81, 0x83, 0xA0, 0xC1, 0x41, 0x60, 0x63, 0x71):
            for version in (V311, V5):
                self.ends(bytes([first, 2, 0, 1]), 0x81, version=version)

    def test_pingreq_with_length(self):
        """PINGREQ with a length."""
        for version in VERSIONS:
            self.ends(b"\xc0\x01\x00", 0x81, version=version)


if __name__ == "__main__":
    main()
