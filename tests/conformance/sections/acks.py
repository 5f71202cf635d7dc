"""PUBACK, PUBREC, PUBREL, PUBCOMP: sections 3.4 to 3.7, and what all answers share."""

from case import ConformanceTest, covers, mqtt
from support.mqtt import MAXIMUM_PACKET_SIZE

SIZES = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 40, 50, 60)


class Answers(ConformanceTest):
    """Each way to get each kind of answer, to clients that take less and less: the
    decoder checks reason codes and properties, and the test checks the sizes."""

    def sized(self, provoke, kind):
        """Calls provoke(client) for clients with each Maximum Packet Size."""
        seen = 0
        for size in SIZES:
            client = self.open()
            client.send(mqtt.connect(self.client_id(f"{size}"),
                                     props=[(MAXIMUM_PACKET_SIZE, size)]))
            provoke(client)
            client.send_quietly(mqtt.disconnect())
            for packet in client.drain_until_closed():
                self.assertLessEqual(len(packet.raw), size, packet)
                seen += packet.kind == kind
        self.assertGreater(seen, 0, f"no {mqtt.NAMES[kind]} was sent")

    @covers(v5="MQTT-3.4.2-1 MQTT-3.4.2-2 MQTT-3.4.2-3")
    def test_puback(self):
        def provoke(client):
            client.send(mqtt.publish(self.topic("nobody"), "x", 1, 1))
            client.send(mqtt.publish("$SYS/forbidden", "x", 1, 2))

        self.sized(provoke, mqtt.PUBACK)

    @covers(v5="MQTT-3.5.2-1 MQTT-3.5.2-2 MQTT-3.5.2-3")
    def test_pubrec(self):
        def provoke(client):
            client.send(mqtt.publish(self.topic("nobody"), "x", 2, 1))
            client.send(mqtt.publish("$SYS/forbidden", "x", 2, 2))

        self.sized(provoke, mqtt.PUBREC)

    @covers(v5="MQTT-3.6.2-1 MQTT-3.6.2-2 MQTT-3.6.2-3")
    def test_pubrel(self):
        """The one that ends a delivery, and the one for an identifier nobody knows."""
        def provoke(client):
            client.send(mqtt.ack(mqtt.PUBREC, 77))

        client = self.subscriber("a", qos=2)
        self.connect().publish(self.topic("a"), "x", 2)
        got = client.message(acknowledge=False)
        client.send(mqtt.ack(mqtt.PUBREC, got.packet_id))
        client.expect(mqtt.PUBREL, packet_id=got.packet_id, reason=0)
        try:
            self.sized(provoke, mqtt.PUBREL)
        except AssertionError as error:
            if "no PUBREL" not in str(error):
                raise  # Such a PUBREC may also be overlooked.

    @covers(v5="MQTT-3.7.2-1 MQTT-3.7.2-2 MQTT-3.7.2-3")
    def test_pubcomp(self):
        def provoke(client):
            client.send(mqtt.publish(self.topic("nobody"), "x", 2, 1))
            client.send(mqtt.ack(mqtt.PUBREL, 1))
            client.send(mqtt.ack(mqtt.PUBREL, 77))

        self.sized(provoke, mqtt.PUBCOMP)

    @covers(v5="MQTT-3.9.2-1 MQTT-3.9.2-2 MQTT-3.9.3-2")
    def test_suback(self):
        def provoke(client):
            client.send(mqtt.subscribe(1, [(self.topic("a"), 0), ("$share/g/x", 1)]))
            client.send(mqtt.subscribe(2, [("a/#/b", 0)]))

        self.sized(provoke, mqtt.SUBACK)

    @covers(v5="MQTT-3.11.2-1 MQTT-3.11.2-2 MQTT-3.11.3-2")
    def test_unsuback(self):
        def provoke(client):
            client.send(mqtt.unsubscribe(1, [self.topic("never"), "$share/g/x"]))

        self.sized(provoke, mqtt.UNSUBACK)

    @covers(v5="MQTT-3.14.2-1 MQTT-3.14.2-2 MQTT-3.14.2-3 MQTT-3.14.2-4")
    def test_disconnect(self):
        """The decoder refuses a Session Expiry Interval. Some reasons to be ended for:"""
        def provoke(bad):
            return lambda client: client.send_quietly(bad)

        for bad in (
            mqtt.publish("a/#", "x"),
            mqtt.publish("a", "x", props=[(mqtt.TOPIC_ALIAS, 65535)] * 2),
            mqtt.connect("again"),
            mqtt.publish("", "x"),
        ):
            try:
                self.sized(provoke(bad), mqtt.DISCONNECT)
            except AssertionError as error:
                if "no DISCONNECT" not in str(error):
                    raise  # The server may end it without a word.


class Packets(ConformanceTest):
    @covers("MQTT-3.6.1-1")
    def test_flags_of_pubrel(self):
        for flags in range(16):
            if flags != 2:
                client = self.connect()
                client.send(self.packet("publish", self.topic("a"), "x", 2, 1))
                client.expect(mqtt.PUBREC)
                client.send(mqtt.ack(mqtt.PUBREL, 1, flags=flags))
                self.assertNotIn(mqtt.PUBCOMP, [p.kind for p in self.ended(client, 0x81, 0x82)])

    @covers(v5="MILLRACE-5-3.4.2-1")
    def test_reason_codes_that_do_not_exist(self):
        for kind in (mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP):
            self.ends(mqtt.ack(kind, 1, 0x05), reasons=(0x81, 0x82))

    @covers(v5="MILLRACE-5-3.4.2-2")
    def test_short_forms(self):
        client = self.connect()
        client.subscribe(self.topic("a"), qos=2)
        for reason, props in ((None, None), (0, None), (0, [])):
            client.send(mqtt.publish(self.topic("a"), "x", 2, 1))
            client.wait_for(mqtt.PUBREC, packet_id=1)
            client.send(mqtt.ack(mqtt.PUBREL, 1, reason, props))
            client.wait_for(mqtt.PUBCOMP, packet_id=1)
            got = client.wait_for(mqtt.PUBLISH, qos=2)
            client.send(mqtt.ack(mqtt.PUBREC, got.packet_id, reason, props))
            client.wait_for(mqtt.PUBREL, packet_id=got.packet_id)
            client.send(mqtt.ack(mqtt.PUBCOMP, got.packet_id, reason, props))
            client.send(mqtt.publish(self.topic("a"), "y", 1, 2))
            client.wait_for(mqtt.PUBACK, packet_id=2)
            got = client.wait_for(mqtt.PUBLISH, qos=1)
            client.send(mqtt.ack(mqtt.PUBACK, got.packet_id, reason, props))
        client.ping()

    @covers("MQTT-3.12.4-1")
    def test_ping(self):
        client = self.connect()
        for _ in range(3):
            client.ping()
        client.send(mqtt.pingreq(), mqtt.pingreq())
        client.expect(mqtt.PINGRESP)
        client.expect(mqtt.PINGRESP)

    @covers(v5="MILLRACE-5-3.12.1-1", v311="MILLRACE-3-3.12.1-1")
    def test_ping_with_a_length(self):
        self.ends(mqtt.pingreq(body=b"\0"), reasons=(0x81, 0x82))
