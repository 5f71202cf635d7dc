#!/usr/bin/python3 -B
"""Retained messages: section 3.3.1.3 of MQTT 5.0 and 3.3.1.3 of 3.1.1."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.mqtt import V311, V5, VERSIONS
from support.suite import BrokerTest, main


class Retained(BrokerTest):
    def setUp(self):
        super().setUp()
        self.publisher = self.connect()
        self.kept = set()

    def tearDown(self):
        for topic in self.kept:
            self.publisher.publish(topic, "", qos=1, retain=True)
        super().tearDown()

    def keep(self, name, text, qos=1, **arguments):
        topic = self.topic(name)
        self.kept.add(topic)
        self.publisher.publish(topic, text, qos=qos, retain=True, **arguments)
        if qos == 0:
            self.publisher.ping()  # Nothing else says that it has been stored.
        return topic

    def late(self, *filters, version=V5, qos=2, **options):
        client = self.connect(version=version)
        client.subscribe(*[self.topic(f) for f in filters], qos=qos, **options)
        return client

    def received(self, client):
        """Everything that was sent because of the subscriptions."""
        client.subscribe(self.topic("end"), qos=1)
        client.publish(self.topic("end"), "end", qos=1)
        found = {}
        while True:
            got = client.message()
            if got.payload == b"end":
                return found
            self.assertNotIn(got.topic, found, "sent twice")
            self.assertTrue(got.retain)
            found[got.topic] = got


class Storing(Retained):
    def test_new_subscription_gets_the_last_message(self):
        """[MQTT-3.3.1-5], [MQTT-3.3.1-6 of 3.1.1], [MQTT-3.3.1-8 of 3.1.1]"""
        for qos in range(3):
            for version in VERSIONS:
                self.keep("last", "old", qos)
                topic = self.keep("last", f"{qos}", qos)
                got = self.late("last", version=version).message(topic, f"{qos}", retain=True)
                self.assertEqual((got.qos, got.dup), (qos, False))

    def test_qos_is_lowered_to_the_granted_one(self):
        topic = self.keep("qos", "x", 2)
        for qos in range(3):
            self.assertEqual(self.late("qos", qos=qos).message(topic, "x").qos, qos)

    def test_empty_payload_clears(self):
        """[MQTT-3.3.1-6], [MQTT-3.3.1-7]: passed on as usual, but not kept."""
        for qos in range(3):
            topic = self.keep("clear", "x", 1)
            watcher = self.connect()
            watcher.subscribe(topic, qos=2, retain_as_published=True, retain_handling=2)
            self.publisher.publish(topic, "", qos=qos, retain=True)
            watcher.message(topic, "", retain=True)
            self.assertEqual(self.received(self.late("clear")), {})

    def test_clearing_what_is_not_there(self):
        self.publisher.publish(self.topic("nothing"), "", qos=1, retain=True)
        self.assertEqual(self.received(self.late("nothing")), {})

    def test_message_without_retain_changes_nothing(self):
        """[MQTT-3.3.1-8]"""
        topic = self.keep("kept", "kept")
        self.publisher.publish(topic, "passing", qos=1)
        self.publisher.publish(topic, "", qos=1)
        self.late("kept").message(topic, "kept", retain=True)

    def test_retained_messages_outlive_their_publisher_and_session(self):
        """[MQTT-3.1.2-7 of 3.1.1]"""
        client = self.connect("brief", V311)
        topic = self.topic("brief")
        self.kept.add(topic)
        client.publish(topic, "x", qos=1, retain=True)
        client.disconnect()
        self.connect("brief", V311, clean=True).disconnect()
        self.late("brief").message(topic, "x", retain=True)

    def test_payloads_of_every_size(self):
        for size in (1, 1000, 100000, 1 << 20):
            topic = self.keep("size", os.urandom(size // 2).hex() or "x")
            got = self.late("size").message(topic, retain=True)
            self.assertEqual(len(got.payload), size // 2 * 2 or 1)

    def test_many_replacements(self):
        for index in range(500):
            topic = self.topic("many")
            self.publisher.send(mqtt.publish(topic, f"{index}", retain=True))
        self.kept.add(topic)
        self.publisher.ping()
        self.late("many").message(topic, "499", retain=True)


class Wildcards(Retained):
    def test_each_matching_topic_once(self):
        names = ["a", "a/b", "a/b/c", "a/b/d", "a//c", "/a", "b/", "b//", "a/$x", "ä/ö"]
        for name in names:
            self.keep(name, name)
        cases = {
            "#": names,
            "+": ["a"],
            "a": ["a"],
            "a/#": ["a", "a/b", "a/b/c", "a/b/d", "a//c", "a/$x"],
            "a/+": ["a/b", "a/$x"],
            "a/+/c": ["a/b/c", "a//c"],
            "+/+/+": ["a/b/c", "a/b/d", "a//c", "b//"],
            "+/a": ["/a"],
            "b/+": ["b/"],
            "b/+/+": ["b//"],
            "+/b/#": ["a/b", "a/b/c", "a/b/d"],
            "ä/+": ["ä/ö"],
            "c/#": [],
        }
        for topic_filter, wanted in cases.items():
            with self.subTest(filter=topic_filter):
                got = self.received(self.late(topic_filter))
                self.assertEqual(sorted(got), sorted(self.topic(w) for w in wanted))

    def test_thousands_of_matches_with_a_small_window(self):
        """They are many more than fit a queue or a window."""
        for index in range(3000):
            topic = self.topic(f"bulk/{index % 50}/{index}")
            self.kept.add(topic)
            self.publisher.send(mqtt.publish(topic, f"{index}", 1, index + 1, retain=True))
            if index % 100 == 99:
                for _ in range(100):
                    self.publisher.expect(mqtt.PUBACK)
        client = self.connect(props=[(mqtt.RECEIVE_MAXIMUM, 5)])
        client.subscribe(self.topic("bulk/#"), qos=1)
        seen = {client.message(retain=True).payload for _ in range(3000)}
        self.assertEqual(len(seen), 3000)
        client.expect_nothing()

    def test_dollar_topics_are_not_matched_by_leading_wildcards(self):
        """[MQTT-4.7.2-1]"""
        topic = f"$own/{self.unique}"
        self.kept.add(topic)
        self.publisher.publish(topic, "x", qos=1, retain=True)
        client = self.connect()
        client.subscribe(f"+/{self.unique}", qos=1)
        client.expect_nothing()
        client.subscribe(f"$own/{self.unique}", qos=1)
        client.message(topic, "x", retain=True)

    def test_several_filters_in_one_packet(self):
        """[MQTT-3.8.4-5]: like as many packets, so both bring the message."""
        topic = self.keep("a/b", "x")
        client = self.connect()
        client.subscribe(self.topic("a/b"), self.topic("a/+"), qos=1)
        for _ in range(2):
            client.message(topic, "x", retain=True)
        client.expect_nothing()


class Handling(Retained):
    def test_retain_handling(self):
        """[MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]: first and second SUBSCRIBE."""
        topic = self.keep("handling", "x")
        for handling, wanted in ((0, (True, True)), (1, (True, False)), (2, (False, False))):
            client = self.connect()
            for sent in wanted:
                client.subscribe(topic, qos=1, retain_handling=handling)
                if sent:
                    client.message(topic, "x", retain=True)
                client.expect_nothing(0.1)

    def test_handling_1_goes_by_the_session(self):
        topic = self.keep("session", "x")
        client = self.session("handling")
        client.subscribe(topic, qos=1, retain_handling=1)
        client.message(topic, "x", retain=True)
        client.disconnect()
        client = self.session("handling")
        client.subscribe(topic, qos=1, retain_handling=1)
        client.expect_nothing()
        client.unsubscribe(topic)
        client.subscribe(topic, qos=1, retain_handling=1)
        client.message(topic, "x", retain=True)
        self.connect("handling").disconnect()

    def test_every_subscribe_of_311_brings_them(self):
        """[MQTT-3.8.4-3 of 3.1.1]"""
        topic = self.keep("again", "x")
        client = self.connect(version=V311)
        for _ in range(3):
            client.subscribe(topic, qos=1)
            client.message(topic, "x", retain=True)

    def test_subscription_identifier_comes_with_them(self):
        topic = self.keep("identifier", "x")
        client = self.connect()
        client.subscribe(topic, qos=1, props=[(mqtt.SUBSCRIPTION_IDENTIFIER, 5)])
        got = client.message(topic, "x", retain=True)
        self.assertEqual(got.props(mqtt.SUBSCRIPTION_IDENTIFIER), [5])

    def test_own_retained_messages_and_no_local(self):
        """No Local speaks of forwarding to the publisher's own connection."""
        topic = self.keep("own", "x")
        self.publisher.subscribe(topic, qos=1, no_local=True)
        got = self.publisher.receive(0.3)
        if got is not None:
            self.publisher.acknowledge(got)
        other = self.connect()
        other.subscribe(topic, qos=1, no_local=True)
        other.message(topic, "x", retain=True)

    def test_live_message_after_a_retained_one_has_no_retain_flag(self):
        """[MQTT-3.3.1-12], [MQTT-3.3.1-9 of 3.1.1]"""
        for version in VERSIONS:
            topic = self.keep("live", "first")
            client = self.late("live", version=version)
            client.message(topic, "first", retain=True)
            self.keep("live", "second")
            client.message(topic, "second", retain=False)

    def test_many_filters_that_come_again_and_go_while_their_messages_wait(self):
        """[MQTT-3.8.4-3], [MQTT-3.10.4-3]: one more for each that comes again, none for what went."""
        names = [f"m/{n}" for n in range(350)]
        for name in names:
            self.keep(name, name)
        self.keep("end", "end")  # Comes last, as it is asked for last.
        topics = [self.topic(name) for name in names]
        again, gone = topics[:300], topics[100:200]
        client = self.connect()
        client.send(
            mqtt.subscribe(1, [(t, 1) for t in topics]),
            mqtt.subscribe(2, [(t, 1) for t in again] + [(self.topic("m/#"), 1)]),
            mqtt.unsubscribe(3, gone),
            mqtt.subscribe(4, [(self.topic("end"), 1)]),
        )
        counts = dict.fromkeys(topics, 0)
        acknowledged = []
        last = None
        while not (last == self.topic("end") and len(acknowledged) == 4):
            got = client.receive()
            if got.kind == mqtt.PUBLISH:
                client.acknowledge(got)
                last = got.topic
                if got.topic in counts:
                    self.assertTrue(got.retain)
                    counts[got.topic] += 1
            else:
                acknowledged.append(got.packet_id)
        self.assertEqual(sorted(acknowledged), [1, 2, 3, 4])
        for topic in topics:
            # One by the wildcard; one by the filter of its own, if that was in time, and again.
            self.assertIn(counts[topic], range(1, 4 if topic in again else 3), topic)
            if topic not in gone:
                self.assertGreaterEqual(counts[topic], 2, topic)

    def test_subscribing_while_it_is_replaced_misses_nothing(self):
        """Either the old one and then the new, or only the new."""
        for index in range(30):
            topic = self.keep(f"race{index}", "old")
            client = self.connect()
            self.publisher.send(mqtt.publish(topic, "new", 1, 9, retain=True))
            client.send(mqtt.subscribe(1, [(topic, 1)]))
            self.publisher.expect(mqtt.PUBACK, packet_id=9)
            client.wait_for(mqtt.SUBACK, packet_id=1)
            seen = []
            while not seen or seen[-1] != b"new":
                seen.append(client.message(topic).payload)
            self.assertIn(seen, ([b"new"], [b"old", b"new"], [b"new", b"new"]))
            client.close()


if __name__ == "__main__":
    main()
