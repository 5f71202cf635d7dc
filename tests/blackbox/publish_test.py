#!/usr/bin/python3 -B
"""What a PUBLISH carries and what becomes of it: properties, expiry, aliases, sizes.

Section 3.3 of MQTT 5.0.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.client import Closed
from support.mqtt import (
    MAXIMUM_PACKET_SIZE,
    MESSAGE_EXPIRY_INTERVAL,
    PUBREC,
    TOPIC_ALIAS,
    TOPIC_ALIAS_MAXIMUM,
    V311,
    V5,
    VERSIONS,
)
from support.suite import BrokerTest, main


class Content(BrokerTest):
    def test_properties_are_passed_on_unchanged(self):
        """[MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-18], [MQTT-3.3.2-20]"""
        props = [
            (mqtt.USER_PROPERTY, ("z", "1")),
            (mqtt.PAYLOAD_FORMAT_INDICATOR, 1),
            (mqtt.CONTENT_TYPE, "text/plain; ü"),
            (mqtt.USER_PROPERTY, ("a", "")),
            (mqtt.RESPONSE_TOPIC, "answer/ü"),
            (mqtt.CORRELATION_DATA, bytes(range(256))),
            (mqtt.USER_PROPERTY, ("z", "1")),
            (mqtt.USER_PROPERTY, ("", "no name")),
        ]
        client = self.subscriber("props", qos=2)
        publisher = self.connect()
        for qos in range(3):
            publisher.publish(self.topic("props"), "payload", qos=qos, props=props)
            got = client.message(payload="payload")
            pairs = [p for p in got.properties if p[0] == mqtt.USER_PROPERTY]
            self.assertEqual(pairs, [p for p in props if p[0] == mqtt.USER_PROPERTY])
            self.assertEqual(sorted(map(repr, got.properties)), sorted(map(repr, props)))

    def test_properties_survive_queue_and_retention(self):
        props = [(mqtt.PAYLOAD_FORMAT_INDICATOR, 0), (mqtt.USER_PROPERTY, ("k", "v"))]
        topic = self.topic("stored")
        offline = self.session("offline")
        offline.subscribe(topic, qos=1)
        offline.disconnect()
        publisher = self.connect()
        publisher.publish(topic, "x", qos=1, retain=True, props=props)
        late = self.connect()
        late.subscribe(topic, qos=1)
        self.assertEqual(late.message(topic, "x", retain=True).properties, props)
        offline = self.session("offline")
        self.assertEqual(offline.message(topic, "x", retain=False).properties, props)
        publisher.publish(topic, "", retain=True)
        self.connect("offline").disconnect()

    def test_large_properties(self):
        props = [(mqtt.USER_PROPERTY, (f"name{i}", "v" * 1000)) for i in range(100)]
        props += [(mqtt.CORRELATION_DATA, b"c" * 65535), (mqtt.CONTENT_TYPE, "t" * 65535)]
        client = self.subscriber("large", qos=1)
        self.connect().publish(self.topic("large"), "x", qos=1, props=props)
        got = client.message(payload="x")
        self.assertEqual(sorted(map(repr, got.properties)), sorted(map(repr, props)))

    def test_older_versions_get_no_properties(self):
        """What they would take for payload."""
        client = self.subscriber("old", version=V311, qos=1)
        publisher = self.connect()
        publisher.publish(self.topic("old"), "x", qos=1, props=[(mqtt.CONTENT_TYPE, "t")])
        client.message(self.topic("old"), "x")

    def test_payloads_of_every_size(self):
        """Around the steps of Remaining Length, and up to 4 MB."""
        sizes = [0, 1, 90, 100, 127, 128, 129, 16000, 16383, 16384, 70000, 1 << 20, 4 << 20]
        for version in (V311, V5):
            topic = self.topic(f"size{version}")
            client = self.connect(version=version)
            client.subscribe(topic, qos=1)
            publisher = self.connect(version=version)
            for size in sizes:
                payload = os.urandom(min(size, 1000)) * (size // 1000 or 1)
                publisher.publish(topic, payload, qos=1)
                client.message(topic, payload)

    def test_every_remaining_length_near_its_steps(self):
        client = self.subscriber("s", qos=0)
        publisher = self.connect()
        base = len(self.topic("s")) + 3
        for step in (128, 16384):
            for size in range(step - base - 8, step - base + 8):
                publisher.publish(self.topic("s"), "y" * size)
                client.message(self.topic("s"), "y" * size)

    def test_payload_is_binary(self):
        payload = bytes(range(256)) * 3
        client = self.subscriber("binary")
        self.connect().publish(self.topic("binary"), payload)
        client.message(payload=payload)

    def test_topics_are_compared_byte_by_byte(self):
        """[MQTT-4.7.3-4]: nothing is normalized."""
        names = ["a/b", "A/b", "a/b ", "/a/b", "a//b", "a/b/", "ä", "a\u0308", "\ufeffa", "a\tb"]
        client = self.connect()
        for index, name in enumerate(names):
            client.subscribe(
                self.topic(name), props=[(mqtt.SUBSCRIPTION_IDENTIFIER, index + 1)]
            )
        for index, name in enumerate(names):
            client.publish(self.topic(name), name)
            got = client.message(self.topic(name), name)
            self.assertEqual(got.props(mqtt.SUBSCRIPTION_IDENTIFIER), [index + 1])

    def test_long_topic_names(self):
        client = self.connect()
        for length in (127, 128, 1000, 65535):
            topic = self.topic("/" + "x" * length)[:length]
            client.subscribe(topic, qos=1)
            client.publish(topic, "x", qos=1)
            client.message(topic, "x")
            client.unsubscribe(topic)


class Refused(BrokerTest):
    def refused(self, reasons, *packets, version=V5):
        client = self.connect(version=version)
        client.send(*packets)
        client.expect_end(*reasons)

    def test_wildcards_in_the_topic_name(self):
        """[MQTT-3.3.2-2]"""
        for version in VERSIONS:
            for topic in ("#", "+", "a/#", "a/+/b", "a+", "b#"):
                self.refused((0x90,), mqtt.publish(topic, "x", version=version), version=version)

    def test_empty_topic_without_alias(self):
        """Section 3.3.2.1; [MQTT-4.7.3-1]"""
        self.refused((0x82,), mqtt.publish("", "x"))
        for version in (3, V311):
            self.refused((), mqtt.publish("", "x", version=version), version=version)

    def test_qos_3(self):
        """[MQTT-3.3.1-4]"""
        for version in VERSIONS:
            packet = mqtt.publish("t", "x", packet_id=1, flags=6, version=version)
            self.refused((0x81,), packet, version=version)

    def test_dup_with_qos_0(self):
        """[MQTT-3.3.1-2]"""
        for version in (V311, V5):
            self.refused((0x81, 0x82), mqtt.publish("t", flags=8, version=version), version=version)

    def test_packet_identifier_zero(self):
        """[MQTT-2.2.1-3], [MQTT-2.3.1-1 of 3.1.1]"""
        for version in (V311, V5):
            for qos in (1, 2):
                packet = mqtt.publish("t", "x", qos, 0, version=version)
                self.refused((0x81, 0x82), packet, version=version)

    def test_subscription_identifier_from_a_client(self):
        """[MQTT-3.3.4-6]"""
        for value in (1, 0, 268435455):
            packet = mqtt.publish("t", "x", props=[(mqtt.SUBSCRIPTION_IDENTIFIER, value)])
            self.refused((0x82,), packet)

    def test_response_topic_with_wildcards(self):
        """[MQTT-3.3.2-14]"""
        for topic in ("a/#", "+"):
            packet = mqtt.publish("t", "x", props=[(mqtt.RESPONSE_TOPIC, topic)])
            self.refused((0x81, 0x82, 0x90), packet)

    def test_payload_format_indicator_2(self):
        packet = mqtt.publish("t", "x", props=[(mqtt.PAYLOAD_FORMAT_INDICATOR, 2)])
        self.refused((0x81, 0x82, 0x99), packet)


class Expiry(BrokerTest):
    def test_interval_passes_through(self):
        """[MQTT-3.3.2-6]"""
        client = self.subscriber("now", qos=1)
        publisher = self.connect()
        for seconds in (1000, 0xFFFFFFFF):
            props = [(MESSAGE_EXPIRY_INTERVAL, seconds)]
            publisher.publish(self.topic("now"), "x", qos=1, props=props)
            left = client.message(payload="x").prop(MESSAGE_EXPIRY_INTERVAL)
            self.assertIn(seconds - left, range(20))

    def test_waiting_in_the_queue_counts(self):
        """[MQTT-3.3.2-6]"""
        client = self.session("waits")
        client.subscribe(self.topic("waits"), qos=1)
        client.disconnect()
        props = [(MESSAGE_EXPIRY_INTERVAL, 100)]
        self.connect().publish(self.topic("waits"), "x", qos=1, props=props)
        time.sleep(2.5)
        client = self.session("waits")
        left = client.message(payload="x").prop(MESSAGE_EXPIRY_INTERVAL)
        self.assertIn(left, range(70, 99))
        self.connect("waits").disconnect()

    def test_expired_messages_are_not_delivered(self):
        """[MQTT-3.3.2-5]"""
        client = self.session("expired")
        client.subscribe(self.topic("expired"), qos=2)
        client.disconnect()
        publisher = self.connect()
        for qos in (1, 2):
            for seconds in (1, 100, 1):
                props = [(MESSAGE_EXPIRY_INTERVAL, seconds)]
                publisher.publish(self.topic("expired"), f"{qos} {seconds}", qos=qos, props=props)
        time.sleep(3)
        client = self.session("expired")
        client.message(payload="1 100")
        client.message(payload="2 100")
        client.expect_nothing()
        self.connect("expired").disconnect()

    def test_interval_counts_in_retained_messages(self):
        topic = self.topic("kept")
        publisher = self.connect()
        publisher.publish(topic, "x", qos=1, retain=True, props=[(MESSAGE_EXPIRY_INTERVAL, 100)])
        time.sleep(2.5)
        client = self.connect()
        client.subscribe(topic, qos=1)
        left = client.message(payload="x").prop(MESSAGE_EXPIRY_INTERVAL)
        self.assertIn(left, range(70, 99))
        publisher.publish(topic, "", retain=True)

    def test_expired_retained_message_is_gone(self):
        topic = self.topic("gone")
        publisher = self.connect()
        publisher.publish(topic, "x", qos=1, retain=True, props=[(MESSAGE_EXPIRY_INTERVAL, 1)])
        time.sleep(3)
        client = self.connect()
        client.subscribe(topic, self.topic("+"), qos=1)
        client.expect_nothing()

    def test_message_waiting_behind_a_full_window_expires(self):
        """[MQTT-3.3.2-5]: delivery has not begun."""
        client = self.connect(props=[(mqtt.RECEIVE_MAXIMUM, 1)])
        client.subscribe(self.topic("behind"), qos=1)
        publisher = self.connect()
        props = [(MESSAGE_EXPIRY_INTERVAL, 1)]
        publisher.publish(self.topic("behind"), "first", qos=1)
        first = client.message(payload="first", acknowledge=False)
        publisher.publish(self.topic("behind"), "expires", qos=1, props=props)
        publisher.publish(self.topic("behind"), "last", qos=1)
        time.sleep(3)
        client.acknowledge(first)
        client.message(payload="last")

    def test_begun_delivery_of_qos_2_is_not_expired(self):
        """[MQTT-4.3.3-7], [MQTT-4.3.3-13]"""
        client = self.session("begun")
        client.subscribe(self.topic("begun"), qos=2)
        publisher = self.connect()
        props = [(MESSAGE_EXPIRY_INTERVAL, 1)]
        publisher.publish(self.topic("begun"), "x", qos=2, props=props)
        got = client.message(payload="x", acknowledge=False)
        client.close()
        time.sleep(3)
        client = self.session("begun")
        client.message(payload="x", dup=True, packet_id=got.packet_id)
        self.connect("begun").disconnect()


class AliasesOfClients(BrokerTest):
    def setUp(self):
        super().setUp()
        self.client = self.subscriber("#", qos=1)

    def alias(self, number):
        return [(TOPIC_ALIAS, number)]

    def maximum(self, client):
        return client.connack.prop(TOPIC_ALIAS_MAXIMUM, 0)

    def publisher(self):
        client = self.connect()
        if not self.maximum(client):
            self.skipTest("this broker accepts no aliases")
        return client

    def test_alias_stands_for_its_topic(self):
        """[MQTT-3.3.2-12]: every one up to the maximum; it is not passed on."""
        publisher = self.publisher()
        for number in range(1, self.maximum(publisher) + 1):
            publisher.publish(self.topic(f"{number}"), "set", props=self.alias(number))
            self.client.message(self.topic(f"{number}"), "set")
        for number in range(1, self.maximum(publisher) + 1):
            for qos in range(2):
                publisher.publish("", "used", qos=qos, props=self.alias(number))
                got = self.client.message(self.topic(f"{number}"), "used")
                self.assertEqual(got.properties, [])

    def test_alias_can_be_given_another_topic(self):
        publisher = self.publisher()
        for name in ("a", "b", "a"):
            publisher.publish(self.topic(name), "set", props=self.alias(1))
            publisher.publish("", "used", props=self.alias(1))
            self.client.message(self.topic(name), "set")
            self.client.message(self.topic(name), "used")

    def test_alias_ends_with_the_connection(self):
        """[MQTT-3.3.2-7]"""
        publisher = self.session("alias")
        publisher.publish(self.topic("a"), "set", props=self.alias(1))
        publisher.disconnect()
        publisher = self.session("alias")
        publisher.publish("", "used", props=self.alias(1))
        publisher.expect_end(0x82, 0x94)
        self.connect("alias").disconnect()
        self.client.message(self.topic("a"), "set")
        self.client.expect_nothing()

    def test_aliases_of_clients_are_their_own(self):
        first, second = self.publisher(), self.publisher()
        first.publish(self.topic("first"), "set", props=self.alias(1))
        second.publish(self.topic("second"), "set", props=self.alias(1))
        self.client.messages(2)
        first.publish("", "1", props=self.alias(1))
        self.client.message(self.topic("first"), "1")
        second.publish("", "2", props=self.alias(1))
        self.client.message(self.topic("second"), "2")

    def test_alias_zero_or_above_the_maximum(self):
        """[MQTT-3.3.2-8], [MQTT-3.3.2-9]"""
        for number in (0, self.maximum(self.publisher()) + 1, 65535):
            publisher = self.publisher()
            publisher.publish(self.topic("a"), "x", props=self.alias(number))
            publisher.expect_end(0x94)

    def test_alias_that_was_never_set(self):
        """Section 3.3.2.3.4: a Protocol Error."""
        publisher = self.publisher()
        publisher.publish("", "x", props=self.alias(1))
        publisher.expect_end(0x82, 0x94)

    def test_alias_set_by_a_refused_topic(self):
        publisher = self.publisher()
        publisher.publish("a/#", "x", props=self.alias(1))
        publisher.expect_end(0x90)


class AliasesOfTheBroker(BrokerTest):
    def test_none_without_a_maximum(self):
        """[MQTT-3.1.2-27]"""
        for props in ([], [(TOPIC_ALIAS_MAXIMUM, 0)]):
            client = self.connect(props=props)
            client.subscribe(self.topic("x"))
            for _ in range(20):
                client.publish(self.topic("x"), "x")
                self.assertIsNone(client.message(self.topic("x")).prop(TOPIC_ALIAS))

    def test_aliases_stay_within_the_maximum_and_mean_their_topics(self):
        """[MQTT-3.1.2-26], [MQTT-3.3.2-11]"""
        for maximum in (1, 3, 65535):
            client = self.session("aliases", props=[(TOPIC_ALIAS_MAXIMUM, maximum)])
            topics = [self.topic(f"{i}/{'long' * 10}") for i in range(8)]
            client.subscribe(self.topic("#"), qos=1)
            known = {}
            for index in range(64):
                topic = topics[index % (8 if index > 30 else 2)]
                client.publish(topic, f"{index}", qos=index % 2)
                got = client.message(payload=f"{index}")
                alias = got.prop(TOPIC_ALIAS)
                if alias is not None:
                    self.assertIn(alias, range(1, maximum + 1))
                    if got.topic:
                        known[alias] = got.topic
                self.assertEqual(got.topic or known.get(alias), topic)
            # [MQTT-3.3.2-7]: a new connection knows none of them.
            client.disconnect()
            client = self.session("aliases", props=[(TOPIC_ALIAS_MAXIMUM, maximum)])
            client.publish(topics[0], "again")
            self.assertEqual(client.message(payload="again").topic, topics[0])
            self.connect("aliases").disconnect()

    def test_retransmission_after_reconnection_names_its_topic(self):
        client = self.session("resent", props=[(TOPIC_ALIAS_MAXIMUM, 5)])
        topic = self.topic("resent")
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        for index in range(4):
            publisher.publish(topic, f"{index}", qos=1)
        client.messages(4, acknowledge=False)
        client.close()
        client = self.session("resent", props=[(TOPIC_ALIAS_MAXIMUM, 5)])
        known = {}
        for index in range(4):
            got = client.message(payload=f"{index}", dup=True)
            if got.topic:
                known[got.prop(TOPIC_ALIAS)] = got.topic
            self.assertEqual(got.topic or known[got.prop(TOPIC_ALIAS)], topic)
        self.connect("resent").disconnect()


class PacketSize(BrokerTest):
    def limited(self, size, name=None, **arguments):
        props = [(MAXIMUM_PACKET_SIZE, size)]
        return self.connect(name, props=props, **arguments)

    def test_larger_messages_are_dropped(self):
        """[MQTT-3.1.2-24], [MQTT-3.1.2-25]: as if they had been sent."""
        topic = self.topic("limit")
        client = self.limited(200)
        client.subscribe(topic, qos=2)
        publisher = self.connect()
        for qos in range(3):
            publisher.publish(topic, "x" * 1000, qos=qos)
            publisher.publish(topic, "small", qos=qos)
            self.assertLessEqual(len(client.message(topic, "small").raw), 200)
        client.expect_nothing()

    def test_exact_size_fits(self):
        topic = self.topic("exact")
        client = self.limited(200)
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        overhead = len(mqtt.publish(topic, "x" * 150, 1, 1)) - 150
        publisher.publish(topic, "a" * (200 - overhead + 1), qos=1)
        publisher.publish(topic, "b" * (200 - overhead), qos=1)
        got = client.message(topic, "b" * (200 - overhead))
        self.assertEqual(len(got.raw), 200)

    def test_properties_count(self):
        topic = self.topic("props")
        client = self.limited(200)
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        publisher.publish(topic, "x", qos=1, props=[(mqtt.USER_PROPERTY, ("k", "v" * 300))])
        publisher.publish(topic, "small", qos=1)
        client.message(topic, "small")

    def test_dropped_messages_take_no_quota(self):
        """[MQTT-3.1.2-25]"""
        topic = self.topic("quota")
        client = self.connect(props=[(MAXIMUM_PACKET_SIZE, 200), (mqtt.RECEIVE_MAXIMUM, 1)])
        client.subscribe(topic, qos=2)
        publisher = self.connect()
        for qos in (1, 2):
            for _ in range(5):
                publisher.publish(topic, "x" * 1000, qos=qos)
            publisher.publish(topic, "small", qos=qos)
            client.message(topic, "small")

    def test_others_get_what_one_cannot_take(self):
        topic = self.topic("others")
        small, large = self.limited(100), self.connect()
        for client in (small, large):
            client.subscribe(topic, qos=1)
        publisher = self.connect()
        publisher.publish(topic, "x" * 1000, qos=1)
        publisher.publish(topic, "end", qos=1)
        large.message(topic, "x" * 1000)
        large.message(topic, "end")
        small.message(topic, "end")

    def test_queued_message_meets_the_limit_of_the_new_connection(self):
        """The limit is the connection's, not the session's."""
        topic = self.topic("resume")
        client = self.session("resume")
        client.subscribe(topic, qos=1)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(topic, "x" * 1000, qos=1)
        publisher.publish(topic, "small", qos=1)
        client = self.session("resume", props=[(MAXIMUM_PACKET_SIZE, 200)])
        client.message(topic, "small")
        client.expect_nothing()
        self.connect("resume").disconnect()

    def test_retained_message_that_is_too_large(self):
        topic = self.topic("kept")
        publisher = self.connect()
        publisher.publish(topic, "x" * 1000, qos=1, retain=True)
        client = self.limited(200)
        client.subscribe(topic, qos=1)
        client.expect_nothing()
        publisher.publish(topic, "", qos=1, retain=True)
        client.message(topic, "")

    def test_answers_stay_below_the_limit(self):
        """[MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.9.2-1], [MQTT-3.14.2-3] and so on."""
        client = self.limited(30)
        packets = [client.connack, client.subscribe("a/#/b", "a", codes=[0x8F, 0])]
        packets.append(client.unsubscribe(self.topic("no"), codes=[0x11]))
        packets.append(client.publish("a", "", qos=1))
        client.message("a")
        client.send(mqtt.ack(mqtt.PUBREL, 77))
        packets.append(client.expect(mqtt.PUBCOMP))
        client.send(mqtt.publish("", "x"))
        packets.append(client.expect_end(0x82))
        for packet in packets:
            self.assertLessEqual(len(packet.raw), 30, packet)


class Limits(BrokerTest):
    CONFIG = "max_packet_size 2000\nmax_qos 1\nretain_available false\nmax_topic_alias 3\n"

    def test_connack_announces_them(self):
        """[MQTT-3.2.2-9] and sections 3.2.2.3.4 to 3.2.2.3.8"""
        connack = self.connect().connack
        self.assertEqual(connack.prop(MAXIMUM_PACKET_SIZE), 2000)
        self.assertEqual(connack.prop(mqtt.MAXIMUM_QOS), 1)
        self.assertEqual(connack.prop(mqtt.RETAIN_AVAILABLE), 0)
        self.assertEqual(connack.prop(TOPIC_ALIAS_MAXIMUM), 3)

    def test_larger_packet(self):
        """[MQTT-3.2.2-15]: 0x95"""
        for version in VERSIONS:
            client = self.connect(version=version)
            client.publish("t", "x" * 1900, qos=1)
            client.send_quietly(mqtt.publish("t", "x" * 2000, version=version))
            client.expect_end(0x95)

    def test_higher_qos(self):
        """[MQTT-3.2.2-11]: 0x9B"""
        client = self.connect()
        client.send(mqtt.publish("t", "x", 2, 1))
        client.expect_end(0x9B)

    def test_subscriptions_at_every_qos(self):
        """[MQTT-3.2.2-10]: accepted, whatever is granted."""
        client = self.connect()
        for qos in range(3):
            packet_id = client.next_id()
            client.send(mqtt.subscribe(packet_id, [(self.topic("q"), qos)]))
            codes = client.wait_for(mqtt.SUBACK, packet_id=packet_id).codes
            self.assertIn(codes, ([qos], [min(qos, 1)]))
        self.connect().publish(self.topic("q"), "x", qos=1)
        self.assertEqual(client.message(payload="x").qos, 1)

    def test_will_above_the_limit(self):
        """[MQTT-3.2.2-12], [MQTT-3.2.2-13]"""
        for will, reason in (
            (mqtt.Will("t", "x", qos=2), 0x9B),
            (mqtt.Will("t", "x", retain=True), 0x9A),
        ):
            client = self.open()
            client.connect(self.client_id(), reason, will=will)
            client.expect_close()

    def test_retained_message(self):
        """[MQTT-3.2.2-14]: 0x9A"""
        client = self.connect()
        client.send(mqtt.publish("t", "x", retain=True))
        client.expect_end(0x9A)

    def test_older_versions_cannot_be_told(self):
        """What 3.1.1 is not allowed, closes or does nothing; the rest works on."""
        for packet in (
            mqtt.publish(self.topic("t"), "x", 2, 1, version=V311),
            mqtt.publish(self.topic("t"), "x", retain=True, version=V311),
        ):
            client = self.connect(version=V311)
            client.send(packet)
            try:
                client.send(mqtt.pingreq())
                self.assertIn(client.receive().kind, (PUBREC, mqtt.PINGRESP))
            except (Closed, OSError):
                pass
            late = self.connect()
            late.subscribe(self.topic("t"))
            late.expect_nothing(0.05)


if __name__ == "__main__":
    main()
