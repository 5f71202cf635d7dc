"""What an access rule forbids: the answers to PUBLISH and SUBSCRIBE."""

from case import Closed, ConformanceTest, covers, mqtt

RULES = """
topic readwrite open/#
user writer
topic readwrite #
"""


class Forbidden(ConformanceTest):
    """A broker whose anonymous clients may read and write below `open` only."""

    def setUp(self):
        super().setUp()
        self.target = self.own_broker()

    def own_broker(self, config="", **options):
        started = super().own_broker("acl_file {dir}/acl\n", start=False, **options)
        started.file("acl", RULES, 0o644)
        started.start()
        return started

    def reach(self, **arguments):
        return self.connect(broker=self.target, **arguments)

    @covers(v311="MQTT-3.3.5-2")
    def test_publish_is_acknowledged_or_ends(self):
        watcher = self.reach()
        watcher.subscribe("open/#")
        for qos, answer in ((1, mqtt.PUBACK), (2, mqtt.PUBREC)):
            client = self.reach()
            client.send(self.packet("publish", "closed/a", "x", qos, 1))
            try:
                got = client.receive()
                self.assertIsNotNone(got, "neither acknowledged nor ended")
                self.assertEqual((got.kind, got.packet_id), (answer, 1))
            except Closed:
                pass
        client = self.reach()
        client.publish("open/a", "x", 2)
        watcher.message("open/a", "x")

    @covers(v5="MQTT-4.3.3-9 MQTT-3.4.2-1 MQTT-3.5.2-1 MQTT-3.3.4-7")
    def test_refused_publish_is_over(self):
        """After PUBREC with an error the packet identifier is free: what comes under
        it is new. Nor does it count against Receive Maximum."""
        watcher, client = self.reach(), self.reach()
        watcher.subscribe("open/#", qos=2)
        maximum = client.connack.prop(mqtt.RECEIVE_MAXIMUM, 65535)
        for _ in range(min(maximum, 2000) + 1):
            client.send(mqtt.publish("closed/a", "x", 2, 1))
        for _ in range(min(maximum, 2000) + 1):
            got = client.expect(mqtt.PUBREC, packet_id=1)
            if got.reason < 0x80:
                self.skipTest("the broker doesn't say that it refuses a message")
        client.publish("open/a", "new", 2, packet_id=1)
        watcher.message("open/a", "new", qos=2)
        self.assertGreaterEqual(client.publish("closed/a", "x", 1).reason, 0x80)

    @covers(v5="MILLRACE-5-3.8.4-2")
    def test_subscribe(self):
        """Whether SUBACK says so or not."""
        client = self.reach()
        client.send(mqtt.subscribe(1, [("closed/a", 1), ("open/a", 1)]))
        self.assertEqual(client.expect(mqtt.SUBACK).codes[1], 1)
        publisher = self.reach(user="writer")
        publisher.publish("closed/a", "secret", 1)
        publisher.publish("open/a", "x", 1)
        client.message("open/a", "x")
