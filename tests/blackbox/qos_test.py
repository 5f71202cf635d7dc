#!/usr/bin/python3 -B
"""Delivery at QoS 0, 1 and 2: acknowledgements, lost connections, windows, order.

Sections 4.3, 4.4, 4.6 and 4.9 of MQTT 5.0.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.mqtt import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V311, V5, VERSIONS
from support.suite import BrokerTest, main


class Delivery(BrokerTest):
    def test_each_qos_to_each_granted_qos(self):
        """[MQTT-3.8.4-8], [MQTT-3.3.4-1], [MQTT-3.3.1-2]"""
        publisher = self.connect()
        for version in VERSIONS:
            for granted in range(3):
                topic = self.topic(f"{version}/{granted}")
                client = self.connect(version=version)
                client.subscribe(topic, qos=granted)
                for qos in range(3):
                    publisher.publish(topic, f"{qos}", qos=qos)
                    got = client.message(topic, f"{qos}")
                    self.assertEqual((got.qos, got.dup), (min(qos, granted), False))
                client.expect_nothing(0.01)

    def test_every_version_talks_to_every_other(self):
        for sender in VERSIONS:
            for receiver in VERSIONS:
                topic = self.topic(f"{sender}to{receiver}")
                client = self.connect(version=receiver)
                client.subscribe(topic, qos=2)
                publisher = self.connect(version=sender)
                for qos in range(3):
                    publisher.publish(topic, f"{qos}", qos=qos)
                    self.assertEqual(client.message(topic, f"{qos}").qos, qos)

    def test_dup_of_the_publisher_is_not_passed_on(self):
        """[MQTT-3.3.1-3]"""
        client = self.subscriber("dup", qos=2)
        publisher = self.connect()
        for qos in (1, 2):
            publisher.send(mqtt.publish(self.topic("dup"), "x", qos, qos, dup=True))
            publisher.expect(PUBACK if qos == 1 else PUBREC, packet_id=qos)
            if qos == 2:
                publisher.send(mqtt.ack(PUBREL, qos))
                publisher.expect(PUBCOMP, packet_id=qos)
            client.message(self.topic("dup"), "x", dup=False)

    def test_packet_identifiers_in_use_differ(self):
        """[MQTT-2.2.1-4]"""
        client = self.connect(props=[(mqtt.RECEIVE_MAXIMUM, 20)])
        client.subscribe(self.topic("ids"), qos=2)
        publisher = self.connect()
        for index in range(20):
            publisher.publish(self.topic("ids"), f"{index}", qos=1 + index % 2)
        got = client.messages(20, acknowledge=False)
        self.assertEqual(len({p.packet_id for p in got}), 20)

    def test_same_identifier_after_puback_is_a_new_message(self):
        """[MQTT-4.3.2-5]: whatever its DUP flag."""
        client = self.subscriber("again", qos=1)
        publisher = self.connect()
        for dup in (False, True, True):
            publisher.send(mqtt.publish(self.topic("again"), "x", 1, 7, dup=dup))
            publisher.expect(PUBACK, packet_id=7)
            client.message(payload="x")

    def test_same_identifier_after_pubcomp_is_a_new_message(self):
        """[MQTT-4.3.3-12]"""
        client = self.subscriber("again", qos=2)
        publisher = self.connect()
        for index in range(3):
            publisher.publish(self.topic("again"), f"{index}", qos=2, packet_id=7)
            client.message(payload=f"{index}")

    def test_same_identifier_before_pubrel_is_the_same_message(self):
        """[MQTT-4.3.3-10]"""
        for version in (V311, V5):
            topic = self.topic(f"same{version}")
            client = self.connect()
            client.subscribe(topic, qos=2)
            publisher = self.connect(version=version)
            for dup in (False, True, True):
                publisher.send(mqtt.publish(topic, "x", 2, 7, dup=dup, version=version))
                publisher.expect(PUBREC, packet_id=7)
            publisher.send(mqtt.ack(PUBREL, 7))
            publisher.expect(PUBCOMP, packet_id=7)
            client.message(topic, "x")
            client.expect_nothing()

    def test_acknowledgements_repeat_the_identifier(self):
        """[MQTT-2.2.1-5]"""
        publisher = self.connect()
        for packet_id in (1, 2, 255, 256, 65535):
            publisher.publish(self.topic("x"), "", qos=1, packet_id=packet_id)
            publisher.publish(self.topic("x"), "", qos=2, packet_id=packet_id)

    def test_the_two_directions_have_separate_identifiers(self):
        """Section 2.2.1: client and server number independently."""
        client = self.subscriber("both", qos=2)
        publisher = self.connect()
        publisher.publish(self.topic("both"), "in", qos=2)
        got = client.message(payload="in", acknowledge=False)
        client.send(mqtt.publish(self.topic("other"), "out", 2, got.packet_id))
        client.expect(PUBREC, packet_id=got.packet_id)
        client.send(mqtt.ack(PUBREC, got.packet_id))
        client.expect(PUBREL, packet_id=got.packet_id)
        client.send(mqtt.ack(PUBREL, got.packet_id))
        client.expect(PUBCOMP, packet_id=got.packet_id)
        client.send(mqtt.ack(PUBCOMP, got.packet_id))
        client.ping()

    def test_acknowledgements_for_nothing(self):
        """Sections 3.6 and 3.7: 0x92 for what is unknown; nothing breaks."""
        client = self.connect()
        client.send(mqtt.ack(PUBREL, 1234))
        client.expect(PUBCOMP, packet_id=1234, reason=0x92)
        client.send(mqtt.ack(PUBREC, 1234))
        client.expect(PUBREL, packet_id=1234, reason=0x92)
        client.send(mqtt.ack(PUBACK, 1234), mqtt.ack(PUBCOMP, 1234))
        client.ping()
        client = self.connect(version=V311)
        client.send(mqtt.ack(PUBREL, 1234))
        client.expect(PUBCOMP, packet_id=1234)
        client.send(mqtt.ack(PUBACK, 1234), mqtt.ack(PUBCOMP, 1234))
        client.ping()

    def test_refusal_by_pubrec_ends_a_delivery(self):
        """[MQTT-4.4.0-2]: no PUBREL, nothing again."""
        client = self.session("refuses")
        client.subscribe(self.topic("refuses"), qos=2)
        publisher = self.connect()
        for qos, kind in ((1, PUBACK), (2, PUBREC)):
            publisher.publish(self.topic("refuses"), "x", qos=qos)
            got = client.message(payload="x", acknowledge=False)
            client.send(mqtt.ack(kind, got.packet_id, 0x83, [(mqtt.REASON_STRING, "no")]))
            client.expect_nothing(0.05)
        client.disconnect()
        self.session("refuses").expect_nothing()
        self.connect("refuses").disconnect()

    def test_acknowledgements_in_their_long_form(self):
        client = self.subscriber("long", qos=2)
        publisher = self.connect()
        props = [(mqtt.REASON_STRING, "fine"), (mqtt.USER_PROPERTY, ("k", "v"))]
        for reason, extra in ((0, None), (0, []), (0x10, None), (0x00, props)):
            publisher.publish(self.topic("long"), "x", qos=1)
            got = client.message(acknowledge=False)
            client.send(mqtt.ack(PUBACK, got.packet_id, reason, extra))
            publisher.publish(self.topic("long"), "x", qos=2)
            got = client.message(acknowledge=False)
            client.send(mqtt.ack(PUBREC, got.packet_id, reason, extra))
            client.expect(PUBREL, packet_id=got.packet_id)
            reason = 0 if reason == 0x10 else reason
            client.send(mqtt.ack(PUBCOMP, got.packet_id, reason, extra))
        client.ping()


class LostConnections(BrokerTest):
    """A connection that breaks at each step of a QoS 1 or 2 delivery."""

    def setUp(self):
        super().setUp()
        self.watcher = self.subscriber("up", qos=2)

    def publish(self, client, dup=False, qos=2):
        topic = self.topic("up")
        client.send(mqtt.publish(topic, "once", qos, 9, dup=dup, version=client.version))

    def finish(self, client):
        client.send(mqtt.ack(PUBREL, 9))
        client.expect(PUBCOMP, packet_id=9)
        self.watcher.message(payload="once")
        self.watcher.expect_nothing()
        client.disconnect()
        self.connect(f"sender{client.version}").disconnect()

    def sender(self, version):
        return self.session(f"sender{version}", version)

    def test_sender_loses_it_before_pubrec(self):
        """[MQTT-4.3.3-10], [MQTT-4.4.0-1]"""
        for version in (V311, V5):
            client = self.sender(version)
            self.publish(client)
            client.close()
            client = self.sender(version)
            self.publish(client, dup=True)
            client.expect(PUBREC, packet_id=9)
            self.finish(client)

    def test_sender_loses_it_after_pubrec(self):
        for version in (V311, V5):
            client = self.sender(version)
            self.publish(client)
            client.expect(PUBREC, packet_id=9)
            client.close()
            self.finish(self.sender(version))

    def test_sender_repeats_publish_after_pubrec(self):
        for version in (V311, V5):
            client = self.sender(version)
            self.publish(client)
            client.expect(PUBREC, packet_id=9)
            client.close()
            client = self.sender(version)
            self.publish(client, dup=True)
            client.expect(PUBREC, packet_id=9)
            self.finish(client)

    def test_sender_loses_it_before_pubcomp(self):
        for version in (V311, V5):
            client = self.sender(version)
            self.publish(client)
            client.expect(PUBREC, packet_id=9)
            client.send(mqtt.ack(PUBREL, 9))
            client.close()
            self.finish(self.sender(version))

    def test_sender_without_a_session_starts_anew(self):
        """Clean start forgets the identifier: the same message again is another.
        A server may deliver at PUBLISH or at PUBREL, so the first may be lost."""
        for text in ("first", "second"):
            client = self.connect("clean")
            client.send(mqtt.publish(self.topic("up"), text, 2, 9))
            client.expect(PUBREC, packet_id=9)
            if text == "first":
                client.close()
        client.send(mqtt.ack(PUBREL, 9))
        client.expect(PUBCOMP, packet_id=9, reason=0)
        got = self.watcher.message()
        if got.payload == b"first":
            got = self.watcher.message()
        self.assertEqual(got.payload, b"second")
        self.watcher.expect_nothing()

    def receiver(self, version):
        return self.session(f"receiver{version}", version)

    def receive_and_lose(self, version, qos):
        """The session of a client that has read a PUBLISH and nothing else."""
        topic = self.topic(f"down{version}{qos}")
        client = self.receiver(version)
        client.subscribe(topic, qos=2)
        self.connect().publish(topic, "once", qos=qos)
        return client, client.message(topic, "once", acknowledge=False, dup=False)

    def assert_over(self, version):
        """Nothing of the delivery is left."""
        self.receiver(version).expect_nothing()
        self.connect(f"receiver{version}").disconnect()

    def test_receiver_loses_it_before_its_acknowledgement(self):
        """[MQTT-4.4.0-1], [MQTT-3.3.1-1]: again, with DUP and the same identifier."""
        for version in (V311, V5):
            for qos in (1, 2):
                client, got = self.receive_and_lose(version, qos)
                for _ in range(3):
                    client.close()
                    client = self.receiver(version)
                    again = client.message(
                        got.topic, "once", acknowledge=False, dup=True, packet_id=got.packet_id
                    )
                client.acknowledge(again)
                client.disconnect()
                self.assert_over(version)

    def test_receiver_loses_it_after_pubrec(self):
        """[MQTT-4.3.3-6]: PUBREL and not PUBLISH."""
        for version in (V311, V5):
            client, got = self.receive_and_lose(version, 2)
            client.send(mqtt.ack(PUBREC, got.packet_id))
            client.expect(PUBREL, packet_id=got.packet_id)
            for _ in range(3):
                client.close()
                client = self.receiver(version)
                client.expect(PUBREL, packet_id=got.packet_id)
            client.send(mqtt.ack(PUBCOMP, got.packet_id))
            client.disconnect()
            self.assert_over(version)

    def test_receiver_loses_it_with_its_pubrec_on_the_way(self):
        for version in (V311, V5):
            client, got = self.receive_and_lose(version, 2)
            client.send(mqtt.ack(PUBREC, got.packet_id))
            client.close()
            client = self.receiver(version)
            packet = client.receive()
            if packet.kind == PUBLISH:
                self.assertEqual((packet.dup, packet.packet_id), (True, got.packet_id))
                client.acknowledge(packet)
            else:
                self.assertEqual((packet.kind, packet.packet_id), (PUBREL, got.packet_id))
                client.send(mqtt.ack(PUBCOMP, got.packet_id))
            client.disconnect()
            self.assert_over(version)

    def test_receiver_loses_it_after_pubcomp(self):
        for version in (V311, V5):
            client, got = self.receive_and_lose(version, 2)
            client.acknowledge(got)
            # The next connection may come to another worker, and overtake what isn't read yet.
            client.ping()
            client.close()
            self.assert_over(version)

    def test_what_was_in_flight_comes_first_and_in_order(self):
        """[MQTT-4.6.0-5], and section 4.4"""
        topic = self.topic("mixed")
        client = self.session("mixed", props=[(mqtt.RECEIVE_MAXIMUM, 6)])
        client.subscribe(topic, qos=2)
        publisher = self.connect()
        for index in range(12):
            publisher.publish(topic, f"{index}", qos=2)
        got = client.messages(6, acknowledge=False)
        for packet in got[:3]:
            client.send(mqtt.ack(PUBREC, packet.packet_id))
            client.expect(PUBREL, packet_id=packet.packet_id)
        client.close()
        client = self.session("mixed", props=[(mqtt.RECEIVE_MAXIMUM, 6)])
        again = [client.receive() for _ in range(6)]
        self.assertEqual(
            [(p.kind, p.packet_id) for p in again],
            [(PUBREL, p.packet_id) for p in got[:3]] + [(PUBLISH, p.packet_id) for p in got[3:]],
        )
        self.assertTrue(all(p.dup for p in again[3:]))
        for packet in again[:3]:
            client.send(mqtt.ack(PUBCOMP, packet.packet_id))
        for packet in again[3:]:
            client.send(mqtt.ack(PUBREC, packet.packet_id))
        seen = []
        while len(seen) < 6:
            packet = client.receive()
            if packet.kind == PUBREL:
                client.send(mqtt.ack(PUBCOMP, packet.packet_id))
            else:
                seen.append(packet.payload)
                client.send(mqtt.ack(PUBREC, packet.packet_id))
        self.assertEqual(seen, [b"%d" % i for i in range(6, 12)])
        self.connect("mixed").disconnect()

    def test_nothing_is_sent_again_on_the_same_connection(self):
        """[MQTT-4.4.0-1]: "at any other time" is forbidden."""
        for version in (V311, V5):
            client, got = self.receive_and_lose(version, 1)
            client.expect_nothing(1.5)
            client.acknowledge(got)
            client.disconnect()
            client, got = self.receive_and_lose(version, 2)
            client.expect_nothing(1.5)
            client.send(mqtt.ack(PUBREC, got.packet_id))
            client.expect(PUBREL, packet_id=got.packet_id)
            client.expect_nothing(1.5)
            self.connect(f"receiver{version}").disconnect()

    def test_acknowledged_in_another_order(self):
        """The window is a set, not a queue."""
        client = self.session("shuffle")
        client.subscribe(self.topic("shuffle"), qos=1)
        publisher = self.connect()
        for index in range(10):
            publisher.publish(self.topic("shuffle"), f"{index}", qos=1)
        got = client.messages(10, acknowledge=False)
        for index in (9, 0, 5, 3, 7):
            client.send(mqtt.ack(PUBACK, got[index].packet_id))
        client.ping()
        client.close()
        client = self.session("shuffle")
        for index in (1, 2, 4, 6, 8):
            client.message(payload=f"{index}", dup=True, packet_id=got[index].packet_id)
        client.expect_nothing()
        self.connect("shuffle").disconnect()


class Windows(BrokerTest):
    def filled(self, receive_max, count, qos, version=V5):
        """A client with that Receive Maximum, and `count` messages for it."""
        props = [(mqtt.RECEIVE_MAXIMUM, receive_max)] if version == V5 else ()
        client = self.connect(version=version, props=props)
        client.subscribe(self.topic("window"), qos=2)
        publisher = self.connect()
        for index in range(count):
            publisher.publish(self.topic("window"), f"{index}", qos=qos)
        return client, publisher

    def test_receive_maximum_bounds_qos_1(self):
        """[MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2]"""
        for receive_max in (1, 2, 5):
            client, _ = self.filled(receive_max, 10, 1)
            window = client.messages(receive_max, acknowledge=False)
            client.expect_nothing()
            for index in range(receive_max, 10):
                client.send(mqtt.ack(PUBACK, window.pop(0).packet_id))
                window.append(client.message(payload=f"{index}", acknowledge=False))
                client.expect_nothing(0.01)

    def test_receive_maximum_bounds_qos_2_until_pubcomp(self):
        """Section 4.9: a PUBREC below 0x80 gives nothing back."""
        client, _ = self.filled(1, 3, 2)
        for index in range(3):
            got = client.message(payload=f"{index}", acknowledge=False)
            client.expect_nothing(0.05)
            client.send(mqtt.ack(PUBREC, got.packet_id))
            client.expect(PUBREL, packet_id=got.packet_id)
            client.expect_nothing(0.05)
            client.send(mqtt.ack(PUBCOMP, got.packet_id))
        client.expect_nothing()

    def test_refusing_pubrec_gives_the_quota_back(self):
        """[MQTT-3.3.4-9]"""
        client, _ = self.filled(1, 3, 2)
        for index in range(3):
            got = client.message(payload=f"{index}", acknowledge=False)
            client.send(mqtt.ack(PUBREC, got.packet_id, 0x97))
        client.expect_nothing()

    def test_other_packets_pass_a_closed_window(self):
        """[MQTT-3.3.4-10], [MQTT-4.9.0-3]"""
        client, _ = self.filled(1, 2, 1)
        first = client.message(payload="0", acknowledge=False)
        client.subscribe(self.topic("other"), qos=0)
        client.publish(self.topic("own"), "x", qos=1)
        client.publish(self.topic("own"), "x", qos=2)
        client.unsubscribe(self.topic("other"))
        client.ping()
        client.acknowledge(first)
        client.message(payload="1")

    def test_qos_0_takes_no_quota(self):
        """Section 4.9: only QoS 1 and 2 count, by what is delivered."""
        client, publisher = self.filled(1, 0, 1)
        low = self.topic("low")
        client.subscribe(low, qos=0)
        for index in range(20):
            publisher.publish(low, f"{index}", qos=index % 2)
            client.message(low, f"{index}", qos=0)
        publisher.publish(self.topic("window"), "first", qos=1)
        first = client.message(payload="first", acknowledge=False)
        publisher.publish(self.topic("window"), "second", qos=1)
        # With the window closed, a server may hold QoS 0 back or not [MQTT-4.9.0-2].
        for index in range(20):
            publisher.publish(low, f"{index}", qos=0)
        client.acknowledge(first)
        got = [p.payload for p in client.messages(21)]
        self.assertEqual([p for p in got if p != b"second"], [b"%d" % i for i in range(20)])
        self.assertIn(b"second", got)

    def test_resume_takes_the_new_receive_maximum(self):
        """[MQTT-4.9.0-1]: quotas belong to the connection."""
        def window(receive_max):
            return self.session("resize", props=[(mqtt.RECEIVE_MAXIMUM, receive_max)])

        topic = self.topic("resize")
        client = window(10)
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        for index in range(20):
            publisher.publish(topic, f"{index}", qos=1)
        client.messages(10, acknowledge=False)
        client.close()
        client = window(2)
        for index in range(0, 20, 2):
            pair = client.messages(2, acknowledge=False)
            self.assertEqual([p.payload for p in pair], [b"%d" % index, b"%d" % (index + 1)])
            client.expect_nothing(0.02)
            for packet in pair:
                client.send(mqtt.ack(PUBACK, packet.packet_id))
        client.expect_nothing()
        self.connect("resize").disconnect()

    def test_too_many_open_messages_of_a_client(self):
        """0x93, section 3.3.4; with QoS 1 the broker keeps up, so QoS 2."""
        publisher = self.connect()
        limit = publisher.connack.prop(mqtt.RECEIVE_MAXIMUM, 65535)
        publisher.send(
            *[mqtt.publish(self.topic("x"), "", 2, i + 1) for i in range(min(limit + 1, 65535))]
        )
        if limit < 65535:
            publisher.expect_end(0x93)

    def test_exactly_as_many_as_allowed(self):
        """[MQTT-3.3.4-7]: the last one still fits, and PUBCOMP makes room."""
        publisher = self.connect()
        limit = publisher.connack.prop(mqtt.RECEIVE_MAXIMUM, 65535)
        for _ in range(2):
            ids = range(1, limit + 1)
            publisher.send(*[mqtt.publish(self.topic("x"), "", 2, i) for i in ids])
            for packet_id in ids:
                publisher.expect(PUBREC, packet_id=packet_id)
            publisher.send(*[mqtt.ack(PUBREL, i) for i in ids])
            for packet_id in ids:
                publisher.expect(PUBCOMP, packet_id=packet_id)

    def test_repeated_publish_counts_once(self):
        publisher = self.connect()
        for _ in range(100):
            publisher.send(mqtt.publish(self.topic("x"), "", 2, 1, dup=True))
            publisher.expect(PUBREC, packet_id=1)
        publisher.ping()

    def test_window_of_311_is_the_brokers_own(self):
        """max_inflight_messages, 1000 by default."""
        client, _ = self.filled(0, 1100, 1, V311)
        got = client.messages(1000, acknowledge=False)
        client.expect_nothing()
        for packet in got:
            client.acknowledge(packet)
        client.messages(100)
        client.expect_nothing()


class Order(BrokerTest):
    COUNT = 900  # Fewer than a queue holds: nobody reads before all are published.

    def test_order_of_publishers_that_wait_for_each_other(self):
        """Whoever publishes after a message was acknowledged doesn't overtake it, wherever the
        publishers and the subscriber are served, and however busy it is there."""
        topic = self.topic("t")
        client = self.connect()
        client.subscribe(topic, qos=1)
        publishers = [self.connect() for _ in range(9)]
        noise = [self.connect() for _ in range(9)]
        burst = [mqtt.publish(self.topic("noise"), "x" * 100) for _ in range(200)]
        self.subscriber("noise")
        for index in range(self.COUNT):
            noise[index % len(noise)].send(*burst)
            publisher = publishers[index * 5 % len(publishers)]
            publisher.publish(topic, str(index), qos=1)
        for index in range(self.COUNT):
            client.message(topic, str(index))

    def test_order_of_each_qos(self):
        """[MQTT-4.6.0-5], [MQTT-4.6.0-6]"""
        for version in (V311, V5):
            for qos in range(3):
                topic = self.topic(f"{version}/{qos}")
                client = self.connect(version=version)
                client.subscribe(topic, qos=2)
                publisher = self.connect(version=version)
                self.stream(publisher, topic, qos, version)
                for index in range(self.COUNT):
                    client.message(topic, f"{index}", qos=qos)

    def stream(self, publisher, topic, qos, version):
        """Publishes with a window of 20, in batches."""
        for start in range(0, self.COUNT, 20):
            ids = range(start + 1, start + 21)
            packets = [
                mqtt.publish(topic, f"{i - 1}", qos, i if qos else None, version=version)
                for i in ids
            ]
            publisher.send(*packets)
            for packet_id in ids:
                if qos == 1:
                    publisher.expect(PUBACK, packet_id=packet_id)
                elif qos == 2:
                    publisher.expect(PUBREC, packet_id=packet_id)
                    publisher.send(mqtt.ack(PUBREL, packet_id))
            for packet_id in ids if qos == 2 else ():
                publisher.expect(PUBCOMP, packet_id=packet_id)

    def test_order_with_many_publishers(self):
        """Messages of each one in order, interleaved as they like."""
        topic = self.topic("many")
        client = self.connect()
        client.subscribe(topic, qos=1)
        publishers = [self.connect() for _ in range(10)]
        for index in range(50):
            for number, publisher in enumerate(publishers):
                publisher.send(mqtt.publish(topic, f"{number} {index}", 1, index + 1))
        last = [-1] * 10
        for _ in range(500):
            number, index = map(int, client.message(topic).payload.split())
            self.assertEqual(index, last[number] + 1)
            last[number] = index
        client.expect_nothing()

    def test_acknowledgements_come_in_order(self):
        """PUBACK and PUBREC in the order of their PUBLISH."""
        publisher = self.connect()
        ids = range(1, 500)
        publisher.send(*[mqtt.publish(self.topic("x"), "", 1, i) for i in ids])
        for packet_id in ids:
            publisher.expect(PUBACK, packet_id=packet_id)

    def test_messages_in_one_segment_and_in_pieces(self):
        """Packets do not care for segments."""
        topic = self.topic("pieces")
        client = self.connect()
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        stream = b"".join(mqtt.publish(topic, "x" * i, 1, i + 1) for i in range(300))
        for start in range(0, len(stream), 997):
            publisher.send(stream[start : start + 997])
            if start % 7 == 0:
                time.sleep(0.001)
        for index in range(300):
            client.message(topic, "x" * index)


if __name__ == "__main__":
    main()
