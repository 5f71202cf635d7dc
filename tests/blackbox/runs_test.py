#!/usr/bin/python3 -B
"""Many PUBLISH packets that arrive at once, with the same topic name: all receivers get them
all, in order, whatever each of them may and can receive.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.mqtt import (
    CONTENT_TYPE,
    MAXIMUM_PACKET_SIZE,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS_MAXIMUM,
    V31,
    V311,
    V5,
)
from support.suite import BrokerTest, main

COUNT = 300


def payloads(count=COUNT):
    return [f"{i} " + "x" * (i * 7 % 150) for i in range(count)]


class Runs(BrokerTest):
    def burst(self, publisher, topic, texts, version, props=()):
        publisher.send(*[mqtt.publish(topic, t, version=version, props=props) for t in texts])

    def assert_gets(self, client, topic, texts, **fields):
        for text in texts:
            client.message(topic, text, qos=0, retain=False, **fields)

    def test_receivers_of_all_kinds(self):
        topic = self.topic("t")
        for version in (V31, V311, V5):
            same = [self.subscriber("t", version=v) for v in (V31, V311, V5)]
            higher = self.subscriber("t", version=V5, qos=2)
            identified = self.connect()
            identified.subscribe(topic, props=[(SUBSCRIPTION_IDENTIFIER, 5)])
            aliased = self.connect(props=[(TOPIC_ALIAS_MAXIMUM, 3)])
            aliased.subscribe(topic)
            publisher = self.connect(version=version)
            texts = payloads()
            self.burst(publisher, topic, texts, version)
            for client in same + [higher]:
                self.assert_gets(client, topic, texts)
            for text in texts:
                got = identified.message(topic, text)
                self.assertEqual(got.props(SUBSCRIPTION_IDENTIFIER), [5])
            self.assertEqual(aliased.message(topic, texts[0]).props(mqtt.TOPIC_ALIAS), [1])
            for text in texts[1:]:
                got = aliased.message("", text)
                self.assertEqual(got.props(mqtt.TOPIC_ALIAS), [1])
            for client in same + [higher, identified, aliased]:
                client.expect_nothing(0.01)
                client.disconnect()

    def test_topics_and_kinds_take_turns(self):
        """Order between runs, single packets, QoS 1 and retained ones."""
        client = self.subscriber("#", qos=1)
        publisher = self.connect()
        packets, expected = [], []
        for i in range(COUNT):
            topic = self.topic("ab"[i // 5 % 2])
            qos = 1 if i % 17 == 0 else 0
            props = [(CONTENT_TYPE, "x")] if i % 11 == 0 else []
            packets.append(
                mqtt.publish(topic, str(i), qos=qos, packet_id=i + 1 if qos else None, props=props,
                             retain=i % 23 == 0)
            )
            expected.append((topic, str(i), qos))
        publisher.send(*packets)
        for topic, text, qos in expected:
            self.assertEqual(client.message(topic, text).qos, qos)

    def test_no_local(self):
        client = self.connect()
        client.subscribe(self.topic("t"), no_local=True)
        other = self.subscriber("t")
        self.burst(client, self.topic("t"), payloads(), V5)
        self.assert_gets(other, self.topic("t"), payloads())
        client.expect_nothing()

    def test_shared_subscription_gets_each_once(self):
        members = [self.connect() for _ in range(3)]
        for member in members:
            member.subscribe("$share/group/" + self.topic("t"))
        plain = self.subscriber("t")
        publisher = self.connect()
        self.burst(publisher, self.topic("t"), payloads(), V5)
        self.assert_gets(plain, self.topic("t"), payloads())
        publisher.publish(self.topic("t"), "end", qos=1)
        plain.message(payload="end")
        got = []
        for member in members:
            member.send(mqtt.packet(mqtt.PINGREQ, 0, b""))
            mine = []
            while True:
                packet = member.receive()
                if packet.kind == mqtt.PINGRESP:
                    break
                mine.append(packet.payload.decode())
            self.assertGreater(len(mine), COUNT // 6)
            order = [payloads().index(text) for text in mine if text != "end"]
            self.assertEqual(order, sorted(order))
            got += mine
        self.assertEqual(sorted(got), sorted(payloads() + ["end"]))

    def test_one_too_large_for_the_receiver(self):
        """[MQTT-3.1.2-25]: only that one is left out."""
        client = self.connect(props=[(MAXIMUM_PACKET_SIZE, 200)])
        client.subscribe(self.topic("t"))
        texts = ["a", "b" * 300, "c", "d" * 400, "e"]
        self.burst(self.connect(), self.topic("t"), texts, V5)
        self.assert_gets(client, self.topic("t"), ["a", "c", "e"])

    def test_malformed_one_at_the_end(self):
        """What came before it is delivered."""
        client = self.subscriber("t")
        publisher = self.connect()
        texts = payloads(20)
        packets = [mqtt.publish(self.topic("t"), t) for t in texts]
        publisher.send(*packets, mqtt.publish(self.topic("t"), "x", flags=6), *packets)
        publisher.expect_end(0x81)
        self.assert_gets(client, self.topic("t"), texts)
        client.expect_nothing()

    def test_in_pieces(self):
        client = self.subscriber("t")
        publisher = self.connect()
        texts = payloads(60)
        stream = b"".join(mqtt.publish(self.topic("t"), t) for t in texts)
        for size in (1, 7, 100, 1000):
            for begin in range(0, len(stream), size):
                publisher.send(stream[begin : begin + size])
            self.assert_gets(client, self.topic("t"), texts)

    def test_many_receivers(self):
        """More than are looked at together."""
        clients = [self.subscriber("t", version=(V311, V5)[i % 2]) for i in range(130)]
        texts = payloads(50)
        for version in (V311, V5):
            self.burst(self.connect(version=version), self.topic("t"), texts, version)
            for client in clients:
                self.assert_gets(client, self.topic("t"), texts)

    def test_rights_hold_for_each(self):
        broker = self.own_broker(
            "allow_anonymous true\nacl_file {dir}/acl\nmessage_size_limit 100\n", start=False
        )
        broker.file("acl", "topic read #\ntopic write yes\n")
        broker.start()
        client = self.connect(broker=broker)
        client.subscribe("#")
        publisher = self.connect(broker=broker)
        for topic in ("no", "yes", "no"):
            self.burst(publisher, topic, ["1", "2" * 101, "3"], V5)
        self.assert_gets(client, "yes", ["1", "3"])
        client.expect_nothing()

    def test_many_topics_in_one_burst(self):
        """With and without looking ahead, at each QoS, below a mount point too."""
        for setting in ("topic_lookahead 0", "topic_lookahead 3", "", "mount_point m/"):
            broker = self.own_broker(f"allow_anonymous true\n{setting}\n")
            client = self.connect(broker=broker)
            client.subscribe("+/t", qos=0)
            publisher = self.connect(broker=broker)
            numbers = [n * 7 % 3000 for n in range(3000)]
            for qos in (0, 1):
                publisher.send(
                    b"".join(
                        mqtt.publish(f"{n}/t", f"{i}", qos, i + 1 if qos else None)
                        for i, n in enumerate(numbers)
                    )
                    + mqtt.pingreq()
                )
                for i, n in enumerate(numbers):
                    client.message(f"{n}/t", f"{i}")
                for i in range(len(numbers) * qos):
                    publisher.expect(mqtt.PUBACK, packet_id=i + 1)
                publisher.expect(mqtt.PINGRESP)

    def test_can_be_switched_off(self):
        broker = self.own_broker("publish_run_max 1\nallow_anonymous true\n")
        client = self.connect(broker=broker)
        client.subscribe("t")
        self.burst(self.connect(broker=broker), "t", payloads(), V5)
        self.assert_gets(client, "t", payloads())


if __name__ == "__main__":
    main()
