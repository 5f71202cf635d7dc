"""UNSUBSCRIBE and UNSUBACK: sections 3.10 and 3.11."""

from case import ILL_FORMED, ConformanceTest, covers, mqtt


class Request(ConformanceTest):
    @covers("MQTT-3.10.1-1")
    def test_flags(self):
        for flags in (0, 1, 3, 6, 10, 15):
            packet = self.packet("unsubscribe", 1, [self.topic("a")], flags=flags)
            answers = self.ends(packet, reasons=(0x81, 0x82))
            self.assertNotIn(mqtt.UNSUBACK, [p.kind for p in answers])

    @covers("MQTT-3.10.3-1")
    def test_filter_is_text(self):
        for text in (*ILL_FORMED, b"a\0"):
            self.ends(self.packet("unsubscribe", 1, [text]), reasons=(0x81, 0x82, 0x8F))

    @covers("MQTT-3.10.3-2")
    def test_no_filter(self):
        self.ends(self.packet("unsubscribe", 1, []), reasons=(0x81, 0x82))


class Effect(ConformanceTest):
    @covers("MQTT-3.10.4-1")
    def test_only_the_identical_filter(self):
        client, publisher = self.connect(), self.connect()
        for name in ("a/+", "a/#", "a/b"):
            client.subscribe(self.topic(name), qos=1)
        other = [self.topic(name) for name in ("A/b", "a/b/", "a/", "+/b", "#", "a")]
        client.send(self.packet("unsubscribe", 99, other))
        client.expect(mqtt.UNSUBACK, packet_id=99)
        client.unsubscribe(self.topic("a/+"))
        publisher.publish(self.topic("a/c"), "x", 1)
        client.message(self.topic("a/c"), "x")  # By a/#, which is still there.
        client.unsubscribe(self.topic("a/#"))
        publisher.publish(self.topic("a/c"), "x", 1)
        publisher.publish(self.topic("a/b"), "x", 1)
        client.message(self.topic("a/b"), "x")
        client.unsubscribe(self.topic("a/b"))
        publisher.publish(self.topic("a/b"), "x", 1)
        self.assert_silent(client, publisher)

    @covers("MQTT-3.10.4-2")
    def test_no_more_messages(self):
        for qos in range(3):
            client = self.subscriber(f"{qos}", qos=qos)
            publisher = self.connect()
            publisher.publish(self.topic(f"{qos}"), "before", qos)
            client.message(self.topic(f"{qos}"), "before")
            client.unsubscribe(self.topic(f"{qos}"))
            publisher.publish(self.topic(f"{qos}"), "after", qos)
            self.assert_silent(client, publisher)

    @covers("MQTT-3.10.4-3")
    def test_deliveries_that_have_begun_are_finished(self):
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=2)
        publisher = self.connect()
        publisher.publish(topic, "1", 1)
        publisher.publish(topic, "2", 2)
        publisher.publish(topic, "3", 2)
        one, two, three = client.messages(3, acknowledge=False)
        client.send(mqtt.ack(mqtt.PUBREC, two.packet_id))
        client.expect(mqtt.PUBREL, packet_id=two.packet_id)
        client.unsubscribe(topic)
        client.send(mqtt.ack(mqtt.PUBREC, three.packet_id))
        client.expect(mqtt.PUBREL, packet_id=three.packet_id)
        client.close()
        client = self.session("s")
        client.expect(mqtt.PUBLISH, packet_id=one.packet_id, dup=True, payload=b"1")
        for packet in (two, three):
            client.expect(mqtt.PUBREL, packet_id=packet.packet_id)
            client.send(mqtt.ack(mqtt.PUBCOMP, packet.packet_id))
        client.acknowledge(one)
        self.assert_silent(client, publisher)


class Answer(ConformanceTest):
    @covers("MQTT-3.10.4-4 MQTT-3.10.4-5")
    def test_unsuback(self):
        client = self.subscriber("a")
        for name in ("a", "a", "never"):
            packet_id = 300 + client.next_id()
            client.send(self.packet("unsubscribe", packet_id, [self.topic(name)]))
            client.expect(mqtt.UNSUBACK, packet_id=packet_id)

    @covers("MQTT-3.10.4-6", v5="MQTT-3.11.3-1 MQTT-3.11.3-2")
    def test_several_filters(self):
        client = self.subscriber("a", "b", "c", qos=1)
        names = ("a", "x", "c", "a")
        client.unsubscribe(*[self.topic(n) for n in names], codes=[0, 0x11, 0, 0x11])
        publisher = self.connect()
        for name in "abc":
            publisher.publish(self.topic(name), name, 1)
        self.assertEqual([p.payload for p in self.until_marker(client, publisher)], [b"b"])
