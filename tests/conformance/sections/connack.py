"""CONNACK: section 3.2, and what its properties oblige both sides to."""

from case import ConformanceTest, covers, expiry, mqtt
from support.mqtt import MAXIMUM_PACKET_SIZE, REASON_STRING, USER_PROPERTY, Will

METHOD = (mqtt.AUTHENTICATION_METHOD, "millrace-knows-no-such-method")


class Acknowledge(ConformanceTest):
    @covers(v5="MQTT-3.2.0-1", v311="MQTT-3.2.0-1")
    def test_first_packet(self):
        client = self.open()
        client.send(
            self.packet("connect", self.client_id()),
            self.packet("publish", self.topic("a"), "x", 1, 1),
            mqtt.pingreq(),
        )
        client.expect(mqtt.CONNACK, reason=0)
        client.wait_for(mqtt.PUBACK)

    @covers(v5="MQTT-3.2.0-2")
    def test_only_one(self):
        client = self.connect()
        client.subscribe(self.topic("a"), qos=1)
        client.publish(self.topic("a"), "x", qos=1)
        client.message()
        client.send(mqtt.connect(self.client_id()))
        self.assertNotIn(mqtt.CONNACK, [p.kind for p in self.ended(client)])

    @covers(v5="MQTT-3.2.2-1")
    def test_reserved_flags(self):
        """The decoder refuses others; here the byte itself."""
        for arguments in ({}, {"props": expiry(300)}, {"clean": False, "props": expiry(0)}):
            client = self.connect("s", **arguments)
            self.assertEqual(client.connack.raw[2] & 0xFE, 0)
            client.disconnect()
        for answer in self.refuses(mqtt.connect(self.client_id(), props=[METHOD])):
            self.assertEqual(answer.raw[2], 0)

    @covers(v5="MQTT-3.2.2-6 MQTT-3.2.2-7 MQTT-3.2.2-8 MQTT-4.13.2-1")
    def test_refusal_of_a_known_client(self):
        """Session Present is 0, the code is a listed one, and then it's over."""
        self.session("s").disconnect()
        answers = self.refuses(mqtt.connect(self.client_id("s"), clean=False, props=[METHOD]))
        for answer in answers:
            self.assertFalse(answer.session_present)
            self.assertIn(answer.reason, mqtt.REASONS_OF[mqtt.CONNACK])
        self.assertTrue(self.session("s").connack.session_present)

    @covers(v311="MQTT-3.2.2-4 MQTT-3.2.2-5")
    def test_refusal_of_a_known_client_before_5(self):
        self.session("s").disconnect()
        client = self.open()
        client.send(self.packet("connect", self.client_id("s"), clean=False, level=1))
        got = client.expect(mqtt.CONNACK)
        self.assertNotEqual(got.reason, 0)
        self.assertFalse(got.session_present)
        client.expect_close()

    @covers(v5="MILLRACE-5-3.2.2-1")
    def test_ranges(self):
        got = self.connect().connack
        for identifier in (mqtt.RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE):
            self.assertNotEqual(got.prop(identifier), 0)
        for identifier in (
            mqtt.MAXIMUM_QOS,
            mqtt.RETAIN_AVAILABLE,
            mqtt.WILDCARD_SUBSCRIPTION_AVAILABLE,
            mqtt.SUBSCRIPTION_IDENTIFIER_AVAILABLE,
            mqtt.SHARED_SUBSCRIPTION_AVAILABLE,
        ):
            self.assertIn(got.prop(identifier), (None, 0, 1))

    @covers(v5="MQTT-3.2.2-19 MQTT-3.2.2-20 MQTT-3.1.2-24")
    def test_maximum_packet_size(self):
        """Smaller and smaller, accepted and refused: what doesn't fit isn't sent."""
        for size in (*range(1, 60), 100):
            for extra in ([], [METHOD]):
                props = [(MAXIMUM_PACKET_SIZE, size), *extra]
                client = self.open()
                client.send(mqtt.connect(self.client_id(), props=props), mqtt.disconnect())
                for packet in client.drain_until_closed():
                    self.assertLessEqual(len(packet.raw), size, packet)

    @covers(v5="MQTT-3.1.2-28")
    def test_response_information(self):
        for props in ([], [(mqtt.REQUEST_RESPONSE_INFORMATION, 0)]):
            got = self.connect(props=props).connack
            self.assertIsNone(got.prop(mqtt.RESPONSE_INFORMATION))

    @covers(v5="MQTT-3.1.2-29")
    def test_problem_information(self):
        client = self.connect(props=[(mqtt.REQUEST_PROBLEM_INFORMATION, 0)])
        packets = []
        client.send(mqtt.subscribe(2, [(self.topic("a"), 2)]))
        packets.append(client.expect(mqtt.SUBACK))
        client.send(mqtt.unsubscribe(3, [self.topic("never")]))
        packets.append(client.expect(mqtt.UNSUBACK))
        client.send(mqtt.ack(mqtt.PUBREL, 77))
        packets.append(client.expect(mqtt.PUBCOMP))
        for qos in (1, 2):
            client.send(mqtt.publish(self.topic("nobody"), "x", qos, 10 + qos))
            packets.append(client.expect((0, mqtt.PUBACK, mqtt.PUBREC)[qos]))
        # A filter that is refused, or else ends the connection.
        client.send(mqtt.subscribe(1, [("a/#/b", 0)]))
        packets += [p for p in [client.receive()] if p and p.kind != mqtt.DISCONNECT]
        for packet in packets:
            self.assertIsNone(packet.prop(REASON_STRING), packet)
            self.assertIsNone(packet.prop(USER_PROPERTY), packet)


class MaximumQos(ConformanceTest):
    CONFIG = "max_qos 1\n"

    @covers(v5="MQTT-3.2.2-9")
    def test_it_is_announced(self):
        self.assertEqual(self.connect().connack.prop(mqtt.MAXIMUM_QOS), 1)

    @covers(v5="MQTT-3.2.2-10")
    def test_any_qos_may_be_subscribed(self):
        client = self.connect()
        for qos in range(3):
            client.send(mqtt.subscribe(qos + 1, [(self.topic(f"{qos}"), qos)]))
            got = client.expect(mqtt.SUBACK, packet_id=qos + 1)
            self.assertLess(got.codes[0], 3)
            client.publish(self.topic(f"{qos}"), "x", qos=1)
            client.message(self.topic(f"{qos}"), "x", qos=min(1, got.codes[0]))

    @covers(v5="MQTT-3.2.2-11")
    def test_client_publishes_above_it(self):
        client = self.connect()
        watcher = self.subscriber("a")
        client.send(mqtt.publish(self.topic("a"), "x", 2, 1))
        self.ended(client, 0x9B)
        self.assert_silent(watcher)

    @covers(v5="MQTT-3.2.2-12")
    def test_will_above_it(self):
        will = Will(self.topic("w"), "x", qos=2)
        self.refuses(mqtt.connect(self.client_id(), will=will), reasons=(0x9B,))
        will.qos = 1
        self.connect(will=will).disconnect()

    @covers(v311="MQTT-3.2.2-6")
    def test_refusal_without_a_code(self):
        """No code of 3.1.1 means a will of too high a QoS."""
        packet = self.packet("connect", self.client_id(), will=Will(self.topic("w"), "x", qos=2))
        self.assertEqual(self.refuses(packet), [])


class NoRetain(ConformanceTest):
    CONFIG = "retain_available false\n"

    @covers(v5="MQTT-3.2.2-13")
    def test_retained_will(self):
        will = Will(self.topic("w"), "x", retain=True)
        self.refuses(mqtt.connect(self.client_id(), will=will), reasons=(0x9A,))

    @covers(v5="MQTT-3.2.2-14")
    def test_retained_publish(self):
        client = self.connect()
        self.assertEqual(client.connack.prop(mqtt.RETAIN_AVAILABLE), 0)
        watcher = self.subscriber("a")
        client.send(mqtt.publish(self.topic("a"), "x", retain=True))
        self.ended(client, 0x9A)
        self.assert_silent(watcher)


class PacketSize(ConformanceTest):
    CONFIG = "max_packet_size 2000\n"

    @covers(v5="MQTT-3.2.2-15 MILLRACE-5-4.13.1-3")
    def test_client_sends_more(self):
        client = self.connect()
        self.assertEqual(client.connack.prop(MAXIMUM_PACKET_SIZE), 2000)
        watcher = self.subscriber("a")
        head = len(mqtt.publish(self.topic("a"), "x" * 1000)) - 1000
        client.publish(self.topic("a"), "x" * (2000 - head))
        watcher.message(self.topic("a"))
        client.send_quietly(mqtt.publish(self.topic("a"), "x" * (2001 - head)))
        self.ended(client, 0x95)
        self.assert_silent(watcher)


class NoTopicAlias(ConformanceTest):
    CONFIG = "max_topic_alias 0\n"

    @covers(v5="MQTT-3.2.2-18")
    def test_client_uses_one_all_the_same(self):
        client = self.connect()
        self.assertIn(client.connack.prop(mqtt.TOPIC_ALIAS_MAXIMUM), (None, 0))
        watcher = self.subscriber("a")
        client.send(mqtt.publish(self.topic("a"), "x", props=[(mqtt.TOPIC_ALIAS, 1)]))
        self.ended(client, 0x94)
        self.assert_silent(watcher)


class TopicAlias(ConformanceTest):
    @covers(v5="MQTT-3.2.2-17 MQTT-3.3.2-9 MILLRACE-5-4.13.1-3")
    def test_client_goes_beyond_the_maximum(self):
        watcher = self.subscriber("a")
        maximum = self.connect().connack.prop(mqtt.TOPIC_ALIAS_MAXIMUM, 0)
        for alias in {min(maximum + 1, 65535), 65535} - {maximum}:
            packet = mqtt.publish(self.topic("a"), "x", props=[(mqtt.TOPIC_ALIAS, alias)])
            self.ends(packet, reasons=(0x94,))
        self.assert_silent(watcher)
