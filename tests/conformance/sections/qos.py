"""Delivery: sections 4.3, 4.4 and 4.6, and how receivers answer, 3.3.4."""

import time

from case import ConformanceTest, covers, mqtt


class Receiver(ConformanceTest):
    """The server as receiver."""

    @covers("MQTT-3.3.4-1", v5="MQTT-4.3.2-4 MQTT-4.3.3-8", v311="MQTT-4.3.2-2 MQTT-4.3.3-2")
    def test_answers_as_the_qos_asks(self):
        client = self.connect()
        topic = self.topic("a")
        client.send(
            self.packet("publish", topic, "0"),
            self.packet("publish", topic, "1", 1, 11),
            self.packet("publish", topic, "2", 2, 12),
            mqtt.pingreq(),
        )
        got = [client.receive() for _ in range(3)]
        self.assertEqual(
            sorted((p.kind, p.packet_id) for p in got if p.kind != mqtt.PINGRESP),
            [(mqtt.PUBACK, 11), (mqtt.PUBREC, 12)],
        )
        self.assertIn(mqtt.PINGRESP, [p.kind for p in got])

    @covers(v5="MQTT-4.3.2-5", v311="MQTT-4.3.2-2")
    def test_qos_1_after_puback_is_new(self):
        client = self.subscriber("a", qos=1)
        publisher = self.connect()
        for index, dup in enumerate((False, True, False)):
            publisher.send(self.packet("publish", self.topic("a"), f"{index}", 1, 5, dup=dup))
            publisher.expect(mqtt.PUBACK, packet_id=5)
            client.message(self.topic("a"), f"{index}")

    @covers(v5="MQTT-4.3.3-10", v311="MQTT-4.3.3-2")
    def test_qos_2_before_pubrel_is_a_duplicate(self):
        client = self.subscriber("a", qos=2)
        publisher = self.connect()
        for dup in (False, True, True):
            publisher.send(self.packet("publish", self.topic("a"), "x", 2, 5, dup=dup))
            publisher.expect(mqtt.PUBREC, packet_id=5)
        publisher.send(mqtt.ack(mqtt.PUBREL, 5))
        publisher.expect(mqtt.PUBCOMP, packet_id=5)
        client.message(self.topic("a"), "x")
        self.assert_silent(client, publisher)

    @covers(v5="MQTT-4.3.3-10 MQTT-4.1.0-1", v311="MQTT-4.3.3-2 MQTT-4.1.0-1")
    def test_also_on_another_connection(self):
        client = self.subscriber("a", qos=2)
        publisher = self.session("p")
        publisher.send(self.packet("publish", self.topic("a"), "x", 2, 5))
        publisher.expect(mqtt.PUBREC, packet_id=5)
        publisher.close()
        publisher = self.session("p")
        publisher.send(self.packet("publish", self.topic("a"), "x", 2, 5, dup=True))
        publisher.expect(mqtt.PUBREC, packet_id=5)
        publisher.close()
        publisher = self.session("p")
        publisher.send(mqtt.ack(mqtt.PUBREL, 5))
        publisher.expect(mqtt.PUBCOMP, packet_id=5)
        client.message(self.topic("a"), "x")
        self.assert_silent(client, publisher)

    @covers(v5="MQTT-4.3.3-11 MQTT-4.3.3-12", v311="MQTT-4.3.3-2")
    def test_qos_2_after_pubcomp_is_new(self):
        client = self.subscriber("a", qos=2)
        publisher = self.connect()
        for index, dup in enumerate((False, True)):
            publisher.send(self.packet("publish", self.topic("a"), f"{index}", 2, 5, dup=dup))
            publisher.expect(mqtt.PUBREC, packet_id=5)
            publisher.send(mqtt.ack(mqtt.PUBREL, 5))
            publisher.expect(mqtt.PUBCOMP, packet_id=5)
            client.message(self.topic("a"), f"{index}")

    @covers(v5="MQTT-4.3.3-11", v311="MQTT-4.3.3-2")
    def test_pubrel_again(self):
        """One that is repeated, since PUBCOMP was lost, is answered again."""
        client = self.session("s")
        client.publish(self.topic("a"), "x", 2, packet_id=5)
        client.close()
        client = self.session("s")
        client.send(mqtt.ack(mqtt.PUBREL, 5))
        client.expect(mqtt.PUBCOMP, packet_id=5)


class Sender(ConformanceTest):
    """The server as sender."""

    def one(self, qos, name="s"):
        """A session with one message that was sent and not acknowledged."""
        client = self.session(name)
        client.subscribe(self.topic("a"), qos=qos)
        publisher = self.connect()
        publisher.publish(self.topic("a"), "x", qos)
        got = client.message(self.topic("a"), "x", qos=qos, dup=False, acknowledge=False)
        return client, publisher, got

    @covers(
        v5="MQTT-4.3.2-2 MQTT-4.3.2-3 MQTT-4.4.0-1",
        v311="MQTT-4.3.2-1 MQTT-4.4.0-1",
    )
    def test_qos_1_until_puback(self):
        client, publisher, first = self.one(1)
        for _ in range(2):
            client.close()
            client = self.session("s")
            client.message(self.topic("a"), "x", qos=1, dup=True, packet_id=first.packet_id,
                           acknowledge=False)
        client.acknowledge(first)
        self.assert_silent(client, publisher)
        client.close()
        self.assert_silent(self.session("s"), publisher)

    @covers(
        v5="MQTT-4.3.3-2 MQTT-4.3.3-3 MQTT-4.3.3-4 MQTT-4.3.3-5 MQTT-4.3.3-6 MQTT-4.4.0-1",
        v311="MQTT-4.3.3-1 MQTT-4.4.0-1",
    )
    def test_qos_2_step_by_step(self):
        """The connection is lost after each step."""
        client, publisher, first = self.one(2)
        packet_id = first.packet_id
        client.close()
        client = self.session("s")
        client.message(self.topic("a"), "x", qos=2, dup=True, packet_id=packet_id,
                       acknowledge=False)
        client.send(mqtt.ack(mqtt.PUBREC, packet_id))
        client.expect(mqtt.PUBREL, packet_id=packet_id)
        for _ in range(2):
            client.close()
            client = self.session("s")
            client.expect(mqtt.PUBREL, packet_id=packet_id)
        client.send(mqtt.ack(mqtt.PUBCOMP, packet_id))
        self.assert_silent(client, publisher)
        client.close()
        self.assert_silent(self.session("s"), publisher)

    @covers(v5="MQTT-4.4.0-1")
    def test_not_on_any_other_occasion(self):
        client, publisher, _got = self.one(1)
        two = self.subscriber("a", qos=2)
        publisher.publish(self.topic("a"), "y", 2)
        got = two.message(acknowledge=False)
        time.sleep(3)  # A retry would come by now in brokers that had one.
        self.assertEqual([p.payload for p in self.until_marker(client, publisher)], [b"y"])
        self.assertEqual(self.until_marker(two, publisher), [])
        two.acknowledge(got)

    @covers(v5="MQTT-4.4.0-2")
    def test_an_error_is_an_acknowledgement(self):
        client, publisher, first = self.one(1)
        client.send(mqtt.ack(mqtt.PUBACK, first.packet_id, 0x80))
        client.ping()
        client.close()
        client = self.session("s")
        self.assert_silent(client, publisher)
        publisher.publish(self.topic("b"), "x", 2)
        client.subscribe(self.topic("b"), qos=2)
        publisher.publish(self.topic("b"), "x", 2)
        got = client.message(self.topic("b"), acknowledge=False)
        client.send(mqtt.ack(mqtt.PUBREC, got.packet_id, 0x97))
        client.ping()
        client.close()
        self.assert_silent(self.session("s"), publisher)


class Order(ConformanceTest):
    @covers("MQTT-4.6.0-5", v5="MQTT-4.6.0-6", v311="MQTT-4.6.0-6")
    def test_messages_keep_their_order(self):
        for qos in range(3):
            topic = self.topic(f"{qos}")
            clients = [self.subscriber(f"{qos}", qos=qos) for _ in range(3)]
            publisher = self.connect()
            count = 15
            for index in range(count):
                publisher.publish(topic, f"{index}", qos)
            for client in clients:
                for index in range(count):
                    client.message(topic, f"{index}", qos=qos)

    @covers("MQTT-4.6.0-5", v5="MQTT-4.6.0-6", v311="MQTT-4.6.0-6")
    def test_after_an_absence(self):
        """Sent again in the order of the first time, then what came meanwhile."""
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        for index in range(5):
            publisher.publish(topic, f"{index}", 1)
        client.messages(5, acknowledge=False)
        client.leave()
        for index in range(5, 10):
            publisher.publish(topic, f"{index}", 1)
        client = self.session("s")
        for index in range(10):
            client.message(topic, f"{index}", dup=index < 5)

    @covers(v311="MQTT-4.6.0-6")
    def test_acknowledgements_keep_their_order(self):
        client = self.connect()
        topic = self.topic("a")
        for qos, answer in ((1, mqtt.PUBACK), (2, mqtt.PUBREC)):
            client.send(*[self.packet("publish", topic, "x", qos, i) for i in range(1, 11)])
            for packet_id in range(1, 11):
                client.expect(answer, packet_id=packet_id)
        client.subscribe(topic, qos=2)
        self.connect().publish(topic, "a", 2)
        self.connect().publish(topic, "b", 2)
        packets = client.messages(2, acknowledge=False)
        client.send(*[mqtt.ack(mqtt.PUBREC, p.packet_id) for p in packets])
        for packet in packets:
            client.expect(mqtt.PUBREL, packet_id=packet.packet_id)
