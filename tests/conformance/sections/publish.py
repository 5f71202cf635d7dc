"""PUBLISH: topic, flags and properties; sections 3.3.1.1, 3.3.1.2 and 3.3.2."""

import time

from case import ILL_FORMED, Closed, ConformanceTest, covers, expiry, mqtt
from support.mqtt import MESSAGE_EXPIRY_INTERVAL, TOPIC_ALIAS, USER_PROPERTY


class Flags(ConformanceTest):
    @covers("MQTT-3.3.1-1", v5="MQTT-4.4.0-1 MQTT-4.3.2-3 MQTT-4.3.3-3", v311="MQTT-4.4.0-1")
    def test_sent_again_with_dup(self):
        """Unacknowledged messages come again on resumption, marked, under their
        packet identifiers and in their order."""
        client = self.session("s")
        client.subscribe(self.topic("a"), qos=2)
        publisher = self.connect()
        for index in range(4):
            publisher.publish(self.topic("a"), f"{index}", qos=1 + index % 2)
        first = client.messages(4, acknowledge=False)
        client.close()
        client = self.session("s")
        for packet in first:
            self.assertFalse(packet.dup)
            client.message(packet.topic, packet.payload, qos=packet.qos, dup=True,
                           packet_id=packet.packet_id)
        self.assert_silent(client, publisher)

    @covers("MQTT-3.3.1-2 MQTT-4.3.1-1")
    def test_qos_0_has_no_dup(self):
        client = self.session("s")
        client.subscribe(self.topic("a"), qos=0)
        publisher = self.connect()
        for qos in range(3):
            publisher.publish(self.topic("a"), f"{qos}", qos)
            client.message(self.topic("a"), f"{qos}", qos=0, dup=False)
        client.close()
        publisher.publish(self.topic("a"), "x", 1)
        client = self.session("s")
        for packet in self.until_marker(client, publisher):
            self.assertEqual((packet.qos, packet.dup), (0, False))

    @covers("MQTT-3.3.1-2")
    def test_dup_at_qos_0_from_a_client(self):
        """An error; a server that overlooks it has at least to drop the flag."""
        watcher = self.subscriber("a")
        client = self.connect()
        client.send_quietly(self.packet("publish", self.topic("a"), "x", dup=True), mqtt.pingreq())
        try:
            client.receive()
        except Closed:
            pass
        for packet in self.until_marker(watcher):
            self.assertFalse(packet.dup)

    @covers(
        "MQTT-3.3.1-3",
        v5="MQTT-4.3.2-2 MQTT-4.3.3-2",
        v311="MQTT-4.3.2-1 MQTT-4.3.3-1",
    )
    def test_dup_is_not_passed_on(self):
        client = self.connect()
        client.subscribe(self.topic("a"), qos=2)
        publisher = self.connect()
        for qos in (1, 2):
            publisher.send(self.packet("publish", self.topic("a"), "x", qos, 9, dup=True))
            if qos == 2:  # Some servers deliver only then.
                publisher.wait_for(mqtt.PUBREC)
                publisher.send(mqtt.ack(mqtt.PUBREL, 9))
            got = client.message(self.topic("a"), "x", qos=qos, dup=False)
            self.assertGreater(got.packet_id, 0)

    @covers("MQTT-3.3.1-4", v311="MQTT-4.8.0-1")
    def test_qos_3(self):
        watcher = self.subscriber("a")
        for flags in (6, 7, 14):
            self.ends(self.packet("publish", self.topic("a"), "x", packet_id=1, flags=flags),
                      reasons=(0x81, 0x82))
        self.assert_silent(watcher)


class Topic(ConformanceTest):
    @covers("MQTT-3.3.2-1", v311="MQTT-7.0.0-2 MQTT-7.1.1-1", v5="MQTT-4.2.0-1")
    def test_topic_comes_first(self):
        """Plain TCP and the plainest of packets, both ways; bytes compared."""
        client = self.connect()
        topic = self.topic("a")
        client.subscribe(topic)
        client.publish(topic, "payload")
        got = client.message(topic, "payload")
        props = b"\0" if self.v5 else b""
        body = mqtt.string(topic) + props + b"payload"
        self.assertEqual(got.raw, mqtt.packet(mqtt.PUBLISH, 0, body))

    @covers("MQTT-3.3.2-1")
    def test_topic_is_text(self):
        for text in (*ILL_FORMED, b"a\0"):
            self.ends(self.packet("publish", text, "x"), reasons=(0x81, 0x82, 0x90))

    @covers("MQTT-3.3.2-2", v5="MQTT-4.7.0-1 MILLRACE-5-4.13.1-3", v311="MQTT-4.7.1-1")
    def test_wildcards(self):
        for text in ("+", "#", "/+", "/#", "/a/+/b", "/a#", "/a+"):
            topic = self.topic("t") + text
            self.ends(self.packet("publish", topic, "x"), reasons=(0x81, 0x82, 0x90))

    @covers("MQTT-3.3.2-3")
    def test_topic_matches_the_filter(self):
        client = self.subscriber("a/+", "b/#", "c")
        publisher = self.connect()
        for name in ("a/x", "a", "a/x/y", "b", "b/x", "bb", "c", "c/x", "d"):
            publisher.publish(self.topic(name), name)
        got = [p.topic for p in self.until_marker(client, publisher)]
        self.assertEqual(got, [self.topic(n) for n in ("a/x", "b", "b/x", "c")])

    @covers(v5="MILLRACE-5-3.3.2-1")
    def test_empty_topic(self):
        for qos in range(3):
            self.ends(mqtt.publish("", "x", qos, qos or None), reasons=(0x82, 0x81, 0x90))


class Alias(ConformanceTest):
    def setUp(self):
        super().setUp()
        self.client = self.connect()
        self.maximum = self.client.connack.prop(mqtt.TOPIC_ALIAS_MAXIMUM, 0)
        if not self.maximum:
            self.skipTest("the server knows no topic aliases")

    def send(self, alias, topic="", payload="x", client=None):
        (client or self.client).send(mqtt.publish(topic, payload, props=[(TOPIC_ALIAS, alias)]))

    @covers(v5="MQTT-3.3.2-12")
    def test_each_up_to_the_maximum(self):
        watcher = self.subscriber("#")
        aliases = range(1, min(self.maximum, 500) + 1)
        for alias in aliases:
            self.send(alias, self.topic(f"{alias}"))
        for alias in aliases:
            self.send(alias)
        for _ in range(2):
            for alias in aliases:
                watcher.message(self.topic(f"{alias}"), "x")
        if self.maximum > 500:
            self.send(self.maximum, self.topic("last"))
            self.send(self.maximum)
            watcher.message(self.topic("last"))
            watcher.message(self.topic("last"))

    @covers(v5="MILLRACE-5-3.3.2-3")
    def test_another_topic(self):
        watcher = self.subscriber("#")
        self.send(1, self.topic("first"))
        self.send(1, self.topic("second"))
        self.send(1)
        for name in ("first", "second", "second"):
            watcher.message(self.topic(name))

    @covers(v5="MQTT-3.3.2-7")
    def test_not_beyond_the_connection(self):
        client = self.session("s")
        self.send(1, self.topic("a"), client=client)
        client.ping()
        client.close()
        watcher = self.subscriber("#")
        client = self.session("s")
        self.send(1, client=client)
        self.ended(client, 0x82, 0x94)
        self.assert_silent(watcher)

    @covers(v5="MQTT-3.3.2-7")
    def test_only_of_the_connection(self):
        self.send(1, self.topic("a"))
        self.client.ping()
        watcher = self.subscriber("#")
        other = self.connect()
        self.send(1, client=other)
        self.ended(other, 0x82, 0x94)
        self.assert_silent(watcher)

    @covers(v5="MQTT-3.3.2-8 MILLRACE-5-4.13.1-3")
    def test_0(self):
        self.send(0, self.topic("a"))
        self.ended(self.client, 0x94, 0x82, 0x81)
        client = self.connect()
        self.send(0, client=client)
        self.ended(client, 0x94, 0x82, 0x81)

    @covers(v5="MILLRACE-5-3.3.2-2")
    def test_unknown(self):
        self.send(1)
        self.ended(self.client, 0x82, 0x94)


class ServersAlias(ConformanceTest):
    def received(self, maximum):
        """The packets for a client that allows so many aliases."""
        props = [] if maximum is None else [(mqtt.TOPIC_ALIAS_MAXIMUM, maximum)]
        client = self.connect(props=props)
        client.subscribe(self.topic("#"))
        publisher = self.connect()
        names = [f"{index % 5}" for index in range(20)]
        for name in names:
            publisher.publish(self.topic(name), "x")
        packets = [client.expect(mqtt.PUBLISH) for _ in names]
        topics, known = [], {}
        for packet in packets:
            alias = packet.prop(TOPIC_ALIAS)
            if alias is not None and packet.topic:
                known[alias] = packet.topic
            topics.append(packet.topic or known[alias])
        self.assertEqual(topics, [self.topic(name) for name in names])
        return packets

    @covers(v5="MQTT-3.1.2-26 MQTT-3.3.2-11 MQTT-3.3.2-8")
    def test_not_above_the_clients_maximum(self):
        for maximum in (1, 2, 5, 65535):
            for packet in self.received(maximum):
                alias = packet.prop(TOPIC_ALIAS)
                if alias is not None:
                    self.assertTrue(1 <= alias <= maximum, packet)

    @covers(v5="MQTT-3.1.2-27")
    def test_none_without_maximum(self):
        for maximum in (None, 0):
            for packet in self.received(maximum):
                self.assertIsNone(packet.prop(TOPIC_ALIAS))


class PassedOn(ConformanceTest):
    """Properties that every subscriber gets as they came: live, waiting and retained."""

    def unchanged(self, props, name="a"):
        topic = self.topic(name)
        away = self.session(f"away{name}")
        away.subscribe(topic, qos=1)
        away.disconnect()
        present = [self.subscriber(name, qos=qos) for qos in (0, 1, 2)]
        self.retain(topic, "payload", props=props)
        for client in present:
            self.assertEqual(client.message(topic, "payload").properties, props)
        late = self.subscriber(name)
        self.assertEqual(late.message(topic, "payload", retain=True).properties, props)
        self.assertEqual(self.session(f"away{name}").message(topic, "payload").properties, props)

    @covers(v5="MQTT-3.3.2-4")
    def test_payload_format_indicator(self):
        self.unchanged([(mqtt.PAYLOAD_FORMAT_INDICATOR, 1)])

    @covers(v5="MQTT-3.3.2-4")
    def test_payload_format_indicator_0(self):
        """Absent means the same."""
        client = self.subscriber("a")
        self.connect().publish(self.topic("a"), b"\xff", props=[(mqtt.PAYLOAD_FORMAT_INDICATOR, 0)])
        self.assertEqual(client.message().prop(mqtt.PAYLOAD_FORMAT_INDICATOR, 0), 0)

    @covers(v5="MQTT-3.3.2-15 MQTT-3.3.2-16")
    def test_response_topic_and_correlation_data(self):
        self.unchanged([(mqtt.RESPONSE_TOPIC, "re/\u00e4")])
        self.unchanged([(mqtt.CORRELATION_DATA, bytes(range(256)))], "b")

    @covers(v5="MQTT-3.3.2-20")
    def test_content_type(self):
        self.unchanged([(mqtt.CONTENT_TYPE, "text/\u20ac")])

    @covers(v5="MQTT-3.3.2-17 MQTT-3.3.2-18")
    def test_user_properties(self):
        pairs = (("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("\u20ac", "x" * 300))
        self.unchanged([(USER_PROPERTY, pair) for pair in pairs])

    @covers(v5="MQTT-3.3.2-13 MQTT-3.3.2-19")
    def test_response_topic_and_content_type_are_text(self):
        for identifier in (mqtt.RESPONSE_TOPIC, mqtt.CONTENT_TYPE):
            for text in (*ILL_FORMED, b"a\0"):
                packet = mqtt.publish(self.topic("a"), "x", props=[(identifier, text)])
                self.ends(packet, reasons=(0x81, 0x82, 0x90))

    @covers(v5="MQTT-3.3.2-14")
    def test_response_topic_has_no_wildcards(self):
        for text in ("a/+", "#", "a#"):
            packet = mqtt.publish(self.topic("a"), "x", props=[(mqtt.RESPONSE_TOPIC, text)])
            self.ends(packet, reasons=(0x81, 0x82, 0x90))


class Expiry(ConformanceTest):
    @covers(v5="MQTT-3.3.2-5")
    def test_waiting_message_expires(self):
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=1)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(topic, "short", 1, props=[(MESSAGE_EXPIRY_INTERVAL, 1)])
        publisher.publish(topic, "long", 1, props=[(MESSAGE_EXPIRY_INTERVAL, 100)])
        time.sleep(2.5)
        client = self.session("s")
        client.message(topic, "long")
        self.assert_silent(client, publisher)

    @covers(v5="MQTT-3.3.2-6")
    def test_time_that_is_left(self):
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=1)
        client.disconnect()
        self.connect().publish(topic, "x", 1, props=[(MESSAGE_EXPIRY_INTERVAL, 100)])
        time.sleep(2.2)
        got = self.session("s").message(topic, "x")
        self.assertTrue(90 <= got.prop(MESSAGE_EXPIRY_INTERVAL) <= 98, got)

    @covers(v5="MILLRACE-5-3.3.1-3 MQTT-3.3.2-6")
    def test_retained_message_expires(self):
        publisher = self.connect()
        for name, seconds in (("short", 1), ("long", 100)):
            publisher.publish(self.topic(f"r/{name}"), name, 1, retain=True,
                              props=[(MESSAGE_EXPIRY_INTERVAL, seconds)])
        time.sleep(2.5)
        found = self.retained(self.topic("r/+"))
        self.assertEqual([p.payload for p in found], [b"long"])
        self.assertTrue(90 <= found[0].prop(MESSAGE_EXPIRY_INTERVAL) <= 98)
        publisher.publish(self.topic("r/long"), "", 1, retain=True)

    @covers(v5="MQTT-4.3.3-7")
    def test_not_once_it_was_sent(self):
        """A QoS 2 delivery that has begun is finished, even when it has expired."""
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=2)
        publisher = self.connect()
        publisher.publish(topic, "x", 2, props=[(MESSAGE_EXPIRY_INTERVAL, 1)])
        first = client.message(topic, "x", acknowledge=False)
        client.close()
        time.sleep(2.5)
        client = self.connect("s", clean=False, props=expiry(0))
        client.message(topic, "x", dup=True, packet_id=first.packet_id)

    @covers(v5="MQTT-4.3.3-13")
    def test_receiver_finishes_an_expired_exchange(self):
        client = self.connect()
        client.send(mqtt.publish(self.topic("a"), "x", 2, 5, props=[(MESSAGE_EXPIRY_INTERVAL, 1)]))
        client.expect(mqtt.PUBREC, packet_id=5)
        time.sleep(2.2)
        client.send(mqtt.ack(mqtt.PUBREL, 5))
        client.expect(mqtt.PUBCOMP, packet_id=5, reason=0)
