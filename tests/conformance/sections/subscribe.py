"""SUBSCRIBE and SUBACK: sections 3.8 and 3.9, overlapping subscriptions, 3.3.4."""

from case import ILL_FORMED, Closed, ConformanceTest, covers, mqtt
from support.mqtt import SUBSCRIPTION_IDENTIFIER


class Request(ConformanceTest):
    @covers("MQTT-3.8.1-1")
    def test_flags(self):
        for flags in (0, 1, 3, 6, 10, 15):
            packet = self.packet("subscribe", 1, [(self.topic("a"), 0)], flags=flags)
            self.assertNotIn(mqtt.SUBACK, [p.kind for p in self.ends(packet, reasons=(0x81, 0x82))])

    @covers("MQTT-3.8.3-1")
    def test_filter_is_text(self):
        for text in (*ILL_FORMED, b"a\0"):
            self.ends(self.packet("subscribe", 1, [(text, 0)]), reasons=(0x81, 0x82, 0x8F))

    @covers(v5="MQTT-3.8.3-2", v311="MQTT-3.8.3-3")
    def test_no_filter(self):
        self.ends(self.packet("subscribe", 1, []), reasons=(0x81, 0x82))

    @covers(v5="MQTT-3.8.3-5 MILLRACE-5-4.13.1-1", v311="MQTT-3.8.3-4")
    def test_reserved_bits(self):
        bits = (0x40, 0x80, 0xC0) if self.v5 else (0x04, 0x08, 0x10, 0x20, 0x40, 0x80)
        for byte in bits:
            packet = self.packet("subscribe", 1, [(self.topic("a"), byte)])
            self.assertNotIn(mqtt.SUBACK, [p.kind for p in self.ends(packet, reasons=(0x81, 0x82))])

    @covers(v5="MILLRACE-5-3.8.3-1", v311="MQTT-3.8.3-4")
    def test_qos_3(self):
        for filters in ([(self.topic("a"), 3)], [(self.topic("b"), 0), (self.topic("a"), 3)]):
            self.ends(self.packet("subscribe", 1, filters), reasons=(0x81, 0x82))

    @covers(v5="MILLRACE-5-3.8.2-1")
    def test_identifier_0(self):
        props = [(SUBSCRIPTION_IDENTIFIER, 0)]
        self.ends(mqtt.subscribe(1, [(self.topic("a"), 0)], props), reasons=(0x81, 0x82))

    @covers(v5="MQTT-3.8.3-4 MILLRACE-5-4.13.1-2")
    def test_shared_with_no_local(self):
        byte = mqtt.options(0, no_local=True)
        self.ends(mqtt.subscribe(1, [(f"$share/g/{self.topic('a')}", byte)]), reasons=(0x82,))

    @covers(v311="MQTT-3.8.3-2")
    def test_wildcards(self):
        """Supported, or refused: nothing in between."""
        client, publisher = self.connect(), self.connect()
        for name, topic in (("+", "a"), ("a/#", "a/b/c"), ("+/b", "a/b")):
            client.send(self.packet("subscribe", 1, [(self.topic(name), 0)]))
            got = client.wait_for(mqtt.SUBACK)
            publisher.publish(self.topic(topic), name)
            found = [p.payload for p in self.until_marker(client, publisher)]
            if got.codes[0] == 0x80:
                self.assertEqual(found, [])
            else:
                self.assertIn(name.encode(), found)


class Answer(ConformanceTest):
    @covers("MQTT-3.8.4-1 MQTT-3.8.4-2")
    def test_suback(self):
        client = self.connect()
        for index in range(3):
            client.send(self.packet("subscribe", 300 + index, [(self.topic("a"), index)]))
            client.expect(mqtt.SUBACK, packet_id=300 + index)

    @covers(
        v5="MQTT-3.8.4-5 MQTT-3.8.4-6 MQTT-3.8.4-7 MQTT-3.9.3-1 MQTT-3.9.3-2",
        v311="MQTT-3.8.4-4 MQTT-3.8.4-5 MQTT-3.9.3-1 MQTT-3.9.3-2",
    )
    def test_one_code_for_each_filter_in_order(self):
        """Also where one of them is wrong, if the server doesn't end the client for
        that. What was granted holds: as if they had come one by one."""
        wanted = (2, 0, 1, 1, 0, 2)
        client = self.connect()
        pairs = [(self.topic(f"{index}"), qos) for index, qos in enumerate(wanted)]
        client.send(self.packet("subscribe", 7, pairs))
        got = client.expect(mqtt.SUBACK, packet_id=7)
        self.assertEqual(len(got.codes), len(wanted))
        publisher = self.connect()
        for (topic, qos), code in zip(pairs, got.codes):
            self.assertLessEqual(code, qos)
            publisher.publish(topic, "x", 2)
            client.message(topic, "x", qos=code)

    @covers(
        v5="MQTT-3.8.4-5 MQTT-3.8.4-7 MQTT-3.9.3-1",
        v311="MQTT-3.8.4-4 MQTT-3.8.4-5 MQTT-3.9.3-1",
    )
    def test_a_bad_filter_among_good_ones(self):
        client = self.connect()
        good = self.topic("good")
        client.send(self.packet("subscribe", 7, [(good, 1), (self.topic("a/#/b"), 0), (good, 0)]))
        try:
            got = client.receive()
        except Closed:
            return
        if got.kind == mqtt.DISCONNECT:
            return
        self.assertEqual(len(got.codes), 3)
        self.assertGreaterEqual(got.codes[1], 0x80)
        self.assertEqual(got.codes[2], 0)
        client.publish(good, "x", qos=1)  # The last one replaced the first.
        client.wait_for(mqtt.PUBLISH, topic=good, qos=0)

    @covers(v5="MQTT-3.8.4-5", v311="MQTT-3.8.4-4")
    def test_the_same_filter_twice(self):
        client = self.connect()
        topic = self.topic("a")
        client.subscribe((topic, 0), (topic, 1))
        self.connect().publish(topic, "x", 2)
        client.message(topic, "x", qos=1)
        self.assert_silent(client)

    @covers(v5="MQTT-3.8.4-8", v311="MQTT-3.8.4-6")
    def test_lower_of_both_qos(self):
        for granted in range(3):
            client = self.subscriber("a", qos=granted)
            publisher = self.connect()
            for qos in range(3):
                publisher.publish(self.topic("a"), f"{qos}", qos)
                client.message(self.topic("a"), f"{qos}", qos=min(qos, granted))


class Replacement(ConformanceTest):
    @covers("MQTT-3.8.4-3")
    def test_one_subscription_remains(self):
        client = self.connect()
        topic = self.topic("a")
        publisher = self.connect()
        for qos in (2, 0, 1):
            client.subscribe(topic, qos=qos)
            publisher.publish(topic, "x", 2)
            client.message(topic, "x", qos=qos)
            self.assert_silent(client, publisher)
        client.unsubscribe(topic)
        publisher.publish(topic, "x", 2)
        self.assert_silent(client, publisher)

    @covers(v5="MQTT-3.8.4-4", v311="MQTT-3.8.4-3")
    def test_retained_messages_come_again(self):
        topic = self.topic("a")
        self.retain(topic)
        client = self.connect()
        for _ in range(3):
            client.subscribe(topic, qos=1)
            client.message(topic, "kept", retain=True)

    @covers(v5="MQTT-3.8.4-4", v311="MQTT-3.8.4-3")
    def test_nothing_is_lost_meanwhile(self):
        topic = self.topic("a")
        client = self.subscriber("a", qos=1)
        publisher = self.connect()
        count = 200
        for index in range(count):
            publisher.send(self.packet("publish", topic, f"{index}", 1, index + 1))
            if index % 10 == 5:
                client.send(self.packet("subscribe", 1, [(topic, 1)]))
        got = []
        while len(got) < count:
            packet = client.receive()
            self.assertIsNotNone(packet)
            if packet.kind == mqtt.PUBLISH:
                got.append(packet.payload)
                client.acknowledge(packet)
        self.assertEqual(got, [f"{index}".encode() for index in range(count)])

    @covers(v5="MILLRACE-5-3.8.4-1")
    def test_options_and_identifier(self):
        topic = self.topic("a")
        client = self.connect()
        props = [(SUBSCRIPTION_IDENTIFIER, 1)]
        client.subscribe(topic, qos=2, retain_as_published=True, no_local=True, props=props)
        client.publish(topic, "own", 1)
        client.subscribe(topic, qos=1)
        client.publish(topic, "x", 1, retain=True)
        got = client.message(topic, "x", qos=1, retain=False)
        self.assertEqual(got.properties, [])
        client.subscribe(topic, qos=1, props=[(SUBSCRIPTION_IDENTIFIER, 9)], retain_handling=2)
        client.publish(topic, "", 1, retain=True)
        self.assertEqual(client.message(topic, "").props(SUBSCRIPTION_IDENTIFIER), [9])


class NoLocal(ConformanceTest):
    @covers(v5="MQTT-3.8.3-3")
    def test_own_messages_do_not_come(self):
        client = self.session("s")
        client.subscribe(self.topic("a"), qos=1, no_local=True)
        client.subscribe(self.topic("b"), qos=1)
        other = self.connect()
        for who in (client, other):
            who.publish(self.topic("a"), "a", 1)
            who.publish(self.topic("b"), "b", 1)
        got = [p.payload for p in self.until_marker(client, other)]
        self.assertEqual(sorted(got), [b"a", b"b", b"b"])

    @covers(v5="MQTT-3.8.3-3")
    def test_own_will_and_waiting_messages(self):
        """The connection's client identifier counts, not the connection."""
        client = self.session("s")
        client.subscribe(self.topic("a"), qos=1, no_local=True)
        client.publish(self.topic("a"), "x", 1)
        client.disconnect()
        self.assert_silent(self.session("s"))


class Overlapping(ConformanceTest):
    def copies(self, client, topic):
        """The PUBLISH packets that one message made."""
        self.connect().publish(topic, "x", 2)
        return self.until_marker(client)

    @covers(v5="MQTT-3.3.4-2", v311="MQTT-3.3.5-1")
    def test_highest_qos(self):
        for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
            client = self.connect()
            for name, qos in zip(("a/b", "a/+", "#"), order):
                client.subscribe(self.topic(name), qos=qos)
            self.assertEqual(max(p.qos for p in self.copies(client, self.topic("a/b"))), 2)

    @covers(v5="MQTT-3.3.4-3 MQTT-3.3.4-4 MQTT-3.3.4-5")
    def test_all_identifiers(self):
        client = self.connect()
        for name, number in (("a/b", 1), ("a/+", 268435455), ("a/#", None), ("b", 4)):
            props = [(SUBSCRIPTION_IDENTIFIER, number)] if number else []
            client.subscribe(self.topic(name), qos=2, props=props)
        copies = self.copies(client, self.topic("a/b"))
        found = [p.props(SUBSCRIPTION_IDENTIFIER) for p in copies]
        if len(copies) == 1:
            self.assertEqual(sorted(found[0]), [1, 268435455])
        else:
            self.assertEqual(sorted(found), [[], [1], [268435455]])

    @covers(v5="MILLRACE-5-3.3.4-3")
    def test_only_own_identifiers(self):
        with_one = self.subscriber("a", props=[(SUBSCRIPTION_IDENTIFIER, 7)])
        without = self.subscriber("a")
        self.retain(self.topic("a"))
        self.assertEqual(with_one.message().props(SUBSCRIPTION_IDENTIFIER), [7])
        self.assertEqual(without.message().props(SUBSCRIPTION_IDENTIFIER), [])
        late = self.subscriber("a", props=[(SUBSCRIPTION_IDENTIFIER, 8)])
        self.assertEqual(late.message().props(SUBSCRIPTION_IDENTIFIER), [8])

    @covers(v5="MQTT-3.3.4-6")
    def test_identifier_in_a_clients_publish(self):
        watcher = self.subscriber("a")
        for number in (0, 1):
            packet = mqtt.publish(self.topic("a"), "x", props=[(SUBSCRIPTION_IDENTIFIER, number)])
            self.ends(packet, reasons=(0x81, 0x82))
        self.assert_silent(watcher)
