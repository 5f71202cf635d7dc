"""Flow control: Receive Maximum, 3.3.4 and 4.9, and Maximum Packet Size, 3.1.2.11.4."""

from case import ConformanceTest, covers, mqtt
from support.mqtt import MAXIMUM_PACKET_SIZE, RECEIVE_MAXIMUM


class Outgoing(ConformanceTest):
    def flooded(self, maximum, qos):
        """A client with that Receive Maximum and more messages than that."""
        client = self.connect(props=[(RECEIVE_MAXIMUM, maximum)])
        client.subscribe(self.topic("a"), qos=qos)
        publisher = self.connect()
        for index in range(maximum + 3):
            publisher.publish(self.topic("a"), f"{index}", 2)
        packets = client.messages(maximum, acknowledge=False)
        client.expect_nothing()
        return client, publisher, packets

    @covers(v5="MQTT-3.3.4-9 MQTT-4.9.0-1 MQTT-4.9.0-2")
    def test_not_more_than_the_clients_maximum_at_qos_1(self):
        client, _publisher, packets = self.flooded(3, 1)
        client.acknowledge(packets[0])
        client.message(payload="3", acknowledge=False)
        client.expect_nothing()
        for packet in packets[1:]:
            client.acknowledge(packet)
        client.messages(2)

    @covers(v5="MQTT-3.3.4-9 MQTT-4.9.0-2")
    def test_pubcomp_counts_and_pubrec_does_not(self):
        client, _publisher, packets = self.flooded(2, 2)
        packet_id = packets[0].packet_id
        client.send(mqtt.ack(mqtt.PUBREC, packet_id))
        client.expect(mqtt.PUBREL, packet_id=packet_id)
        client.expect_nothing()
        client.send(mqtt.ack(mqtt.PUBCOMP, packet_id))
        client.message(payload="2")

    @covers(v5="MQTT-3.3.4-9 MQTT-4.9.0-2 MQTT-4.4.0-2")
    def test_pubrec_with_an_error_counts(self):
        client, _publisher, packets = self.flooded(2, 2)
        client.send(mqtt.ack(mqtt.PUBREC, packets[0].packet_id, 0x80))
        client.message(payload="2")

    @covers(v5="MQTT-3.3.4-10 MQTT-4.9.0-3")
    def test_other_packets_go_on(self):
        client, _publisher, _packets = self.flooded(1, 1)
        client.subscribe(self.topic("b"), qos=1)
        client.unsubscribe(self.topic("b"))
        client.publish(self.topic("c"), "x", qos=1)
        client.publish(self.topic("c"), "x", qos=2)
        client.ping()

    @covers(v5="MILLRACE-5-3.3.4-2")
    def test_qos_0_does_not_count(self):
        client = self.connect(props=[(RECEIVE_MAXIMUM, 1)])
        client.subscribe(self.topic("a"), qos=1)
        publisher = self.connect()
        for index in range(20):
            publisher.publish(self.topic("a"), f"{index}")
        publisher.publish(self.topic("a"), "20", 1)
        for index in range(21):
            client.message(payload=f"{index}", acknowledge=False)


class Incoming(ConformanceTest):
    @covers(v5="MQTT-3.3.4-7")
    def test_the_servers_maximum_can_be_used(self):
        """Again and again: what is acknowledged doesn't count any more."""
        client = self.connect()
        maximum = client.connack.prop(RECEIVE_MAXIMUM, 65535)
        if maximum > 5000:
            self.skipTest(f"the server takes {maximum}")
        for _ in range(2):
            ids = range(1, maximum + 1)
            client.send(*[mqtt.publish(self.topic("a"), "x", 2, i) for i in ids])
            for packet_id in ids:
                client.expect(mqtt.PUBREC, packet_id=packet_id)
                client.send(mqtt.ack(mqtt.PUBREL, packet_id))
            for packet_id in ids:
                client.wait_for(mqtt.PUBCOMP, packet_id=packet_id)

    @covers(v5="MQTT-3.3.4-7 MILLRACE-5-3.3.4-1 MILLRACE-5-4.13.1-3")
    def test_overrun(self):
        client = self.connect()
        maximum = client.connack.prop(RECEIVE_MAXIMUM, 65535)
        if maximum == 65535:
            self.skipTest("there are no more packet identifiers than the server takes")
        ids = range(1, maximum + 2)
        client.send_quietly(*[mqtt.publish(self.topic("a"), "x", 2, i) for i in ids])
        packets = self.ended(client, 0x93)
        for packet in packets:
            if packet.kind == mqtt.PUBREC:
                self.assertLess(packet.reason, 0x80)


class PacketSize(ConformanceTest):
    @covers(v5="MQTT-3.1.2-25")
    def test_larger_ones_are_not_sent(self):
        client = self.connect(props=[(MAXIMUM_PACKET_SIZE, 200), (RECEIVE_MAXIMUM, 2)])
        client.subscribe(self.topic("a"), qos=2)
        publisher = self.connect()
        for qos in range(3):
            # More of them than Receive Maximum: dropped means done.
            for _ in range(3):
                publisher.publish(self.topic("a"), "x" * 300, qos)
            publisher.publish(self.topic("a"), f"{qos}", qos)
            got = client.message(self.topic("a"), f"{qos}", qos=qos)
            self.assertLessEqual(len(got.raw), 200)
        client.ping()

    @covers(v5="MQTT-3.1.2-24")
    def test_exact_size(self):
        for qos in (0, 1):
            watcher = self.connect()
            topic = self.topic(f"{qos}")
            watcher.subscribe(topic, qos=qos)
            publisher = self.connect()
            publisher.publish(topic, "x" * 100, qos)
            size = len(watcher.message(topic).raw)
            for less, payloads in ((0, ["x" * 100, "end"]), (1, ["end"])):
                client = self.connect(props=[(MAXIMUM_PACKET_SIZE, size - less)])
                client.subscribe(topic, qos=qos)
                publisher.publish(topic, "x" * 100, qos)
                publisher.publish(topic, "end", qos)
                for payload in payloads:
                    client.message(topic, payload)

    @covers(v5="MQTT-3.1.2-25")
    def test_waiting_and_retained_ones(self):
        topic = self.topic("a")
        props = [(MAXIMUM_PACKET_SIZE, 200)]
        client = self.session("s", props=props)
        client.subscribe(topic, qos=1)
        client.disconnect()
        publisher = self.retain(topic, "x" * 300)
        publisher.publish(topic, "small", 1)
        client = self.session("s", props=props)
        client.message(topic, "small")
        client.subscribe(topic, qos=1)  # The retained message is too large.
        self.assert_silent(client, publisher)

    @covers(v5="MQTT-3.1.2-24")
    def test_others_still_get_them(self):
        small = self.connect(props=[(MAXIMUM_PACKET_SIZE, 200)])
        small.subscribe(self.topic("a"), qos=1)
        large = self.subscriber("a", qos=1)
        publisher = self.connect()
        publisher.publish(self.topic("a"), "x" * 300, 1)
        large.message(self.topic("a"), "x" * 300)
        self.assert_silent(small, publisher)
