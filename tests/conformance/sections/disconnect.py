"""DISCONNECT, section 3.14, and the answers to errors, 4.13."""

from case import ConformanceTest, covers, expiry, mqtt
from support.mqtt import Will


class FromClient(ConformanceTest):
    @covers(v5="MQTT-3.14.1-1", v311="MQTT-3.14.1-1")
    def test_reserved_bits(self):
        """An error and no DISCONNECT, as the will shows."""
        for flags in range(1, 16):
            watcher = self.subscriber("will")
            client = self.connect(will=Will(self.topic("will"), f"{flags}"))
            client.send(mqtt.disconnect(flags=flags))
            self.ended(client, 0x81)
            watcher.message(self.topic("will"), f"{flags}")

    @covers(v5="MQTT-3.14.2-1 MILLRACE-5-4.13.1-1")
    def test_reason_codes_that_do_not_exist(self):
        for reason in (0x01, 0x05, 0x7F, 0xFF):
            self.ends(mqtt.disconnect(reason), reasons=(0x81, 0x82))

    @covers(v5="MQTT-3.14.4-1")
    def test_nothing_is_processed_after_it(self):
        watcher = self.subscriber("a")
        client = self.connect()
        client.send(mqtt.disconnect(), mqtt.publish(self.topic("a"), "x"), mqtt.pingreq())
        client.expect_close()
        self.assert_silent(watcher)

    @covers(v5="MQTT-3.14.4-2")
    def test_connection_ends(self):
        for reason, props in ((None, None), (0, None), (0, []), (0, expiry(0)), (0x04, [])):
            client = self.connect()
            client.send(mqtt.disconnect(reason, props))
            client.expect_close()


class FromServer(ConformanceTest):
    @covers(v5="MQTT-3.14.0-1")
    def test_not_before_connack(self):
        for packet in (
            mqtt.publish(self.topic("a"), "x"),
            mqtt.disconnect(),
            mqtt.connect(self.client_id(), flags=0x03),
            mqtt.connect(self.client_id(), will=Will("w", "x", qos=3)),
            mqtt.connect(self.client_id(), props=[(mqtt.RECEIVE_MAXIMUM, 0)]),
            mqtt.connect(self.client_id(), props=[(mqtt.AUTHENTICATION_METHOD, self.unique)]),
            b"\x00\x00",
        ):
            self.refuses(packet)  # Which allows nothing but a CONNACK.

    @covers(v5="MQTT-3.14.4-1 MQTT-3.14.4-2 MQTT-4.13.2-1")
    def test_nothing_after_it(self):
        """While messages are on their way to the client: DISCONNECT is the last."""
        client = self.subscriber("a", qos=1)
        publisher = self.connect()
        for index in range(50):
            publisher.send(mqtt.publish(self.topic("a"), f"{index}"))
            if index == 25:
                client.send(mqtt.publish("a/#", "x"))
        kinds = [p.kind for p in self.ended(client, 0x81, 0x82, 0x90)]
        self.assertNotIn(mqtt.DISCONNECT, kinds[:-1])

    @covers(v5="MQTT-3.14.2-1 MQTT-3.14.2-2 MQTT-3.14.4-1 MQTT-3.14.4-2")
    def test_takeover(self):
        """The decoder checks the reason code and refuses a Session Expiry Interval."""
        old = self.session("s")
        old.subscribe(self.topic("a"), qos=1)
        new = self.session("s")
        self.connect().publish(self.topic("a"), "x", 1)
        kinds = [p.kind for p in self.ended(old, 0x8E)]
        self.assertLessEqual(len(kinds), 1)
        new.message(self.topic("a"), "x")


class Errors(ConformanceTest):
    """A client is connected, breaks a rule, and is ended for it."""

    def errors(self):
        topic = self.topic("a")
        return (
            self.packet("publish", topic, "x", packet_id=1, flags=6),
            self.packet("publish", b"\xff", "x"),
            self.packet("publish", topic + "/#", "x"),
            self.packet("subscribe", 1, []),
            self.packet("subscribe", 1, [(topic, 3)]),
            self.packet("subscribe", 0, [(topic, 0)]),
            self.packet("unsubscribe", 1, []),
            self.packet("connect", "again"),
            mqtt.packet(mqtt.SUBSCRIBE, 2, b"\x00"),
            mqtt.packet(mqtt.PUBLISH, 0, b"\x00"),
            mqtt.packet(mqtt.PUBLISH, 2, mqtt.string(topic)),
            mqtt.packet(mqtt.PUBACK, 0, b"\x01"),
            mqtt.packet(mqtt.PUBREL, 2, b""),
            b"\x00\x00",
            b"\x20\x02\x00\x00",
        )

    @covers(v5="MQTT-4.13.1-1", v311="MQTT-4.8.0-1")
    def test_malformed_packets_and_protocol_errors(self):
        for bad in self.errors():
            self.ends(bad)

    @covers("MQTT-3.1.2-8")
    def test_they_publish_the_will(self):
        for bad in self.errors():
            watcher = self.subscriber("will")
            client = self.connect(will=Will(self.topic("will"), "gone"))
            client.send(bad)
            client.drain_until_closed()
            got = watcher.receive()
            self.assertIsNotNone(got, f"no will after {bad!r}")
            self.assertEqual(got.payload, b"gone")

    @covers(v5="MILLRACE-5-4.13.1-1")
    def test_code_for_malformed_packets(self):
        topic = self.topic("a")
        for bad in (
            mqtt.publish(topic, "x", packet_id=1, flags=6),
            mqtt.subscribe(1, [(topic, 0x40)]),
            mqtt.publish(topic, "x", props=b"\x05\x01"),
            mqtt.publish(topic, "x", props=[(mqtt.USER_PROPERTY, (b"\xff", ""))]),
            mqtt.packet(mqtt.SUBSCRIBE, 2, b"\x00"),
            mqtt.packet(mqtt.SUBSCRIBE, 0, b"\x00\x01\x00\x00\x01a\x00"),
        ):
            self.ends(bad, reasons=(0x81,))

    @covers(v5="MILLRACE-5-4.13.1-2")
    def test_code_for_protocol_errors(self):
        topic = self.topic("a")
        for bad in (
            mqtt.connect("again"),
            mqtt.publish("", "x"),
            mqtt.publish(topic, "x", props=[(mqtt.SUBSCRIPTION_IDENTIFIER, 1)]),
            mqtt.publish(topic, "x", props=[(mqtt.CONTENT_TYPE, "t")] * 2),
            mqtt.subscribe(1, [(topic, 0)], [(mqtt.SUBSCRIPTION_IDENTIFIER, 0)]),
            mqtt.subscribe(1, []),
            mqtt.disconnect(0, expiry(1)),
        ):
            self.ends(bad, reasons=(0x82,))

    @covers(v5="MQTT-4.13.2-1 MQTT-3.2.2-7")
    def test_an_error_code_means_the_end(self):
        method = [(mqtt.AUTHENTICATION_METHOD, self.unique)]
        client = self.open()
        client.send(mqtt.connect(self.client_id(), props=method))
        client.send_quietly(mqtt.pingreq())
        for answer in client.drain_until_closed():
            self.assertEqual(answer.kind, mqtt.CONNACK)
            self.assertGreaterEqual(answer.reason, 0x80)
