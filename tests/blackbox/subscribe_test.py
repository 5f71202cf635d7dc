#!/usr/bin/python3 -B
"""SUBSCRIBE, UNSUBSCRIBE and what matches: sections 3.8 to 3.11 and 4.7."""

import itertools
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.mqtt import SUBSCRIPTION_IDENTIFIER, V31, V311, V5, VERSIONS
from support.suite import BrokerTest, main

SEED = int(os.environ.get("MILLRACE_SEED", 0)) or random.randrange(1 << 32)


def matches(topic_filter, topic):
    """Section 4.7, as naively as it is written."""
    if topic.startswith("$") and topic_filter[:1] in "+#":
        return False
    filters, levels = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(filters):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(filters) == len(levels)


class Subscribe(BrokerTest):
    def test_answer_has_a_code_for_each_filter_in_order(self):
        """[MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-6], [MQTT-3.9.3-1]"""
        for version in VERSIONS:
            client = self.connect(version=version)
            filters = [(self.topic(f"{i}"), i % 3) for i in range(10)]
            client.subscribe(*filters)
            for topic_filter, qos in filters:
                client.subscribe((topic_filter, qos))

    def test_many_filters_in_one_packet(self):
        """[MQTT-3.8.4-5]"""
        client = self.connect()
        filters = [(self.topic(f"many/{i}"), 1) for i in range(1000)]
        client.subscribe(*filters)
        for index in (0, 500, 999):
            client.publish(self.topic(f"many/{index}"), f"{index}", qos=1)
            client.message(self.topic(f"many/{index}"), f"{index}")
        client.unsubscribe(*[f for f, _ in filters])
        client.publish(self.topic("many/500"), "x", qos=1)
        client.expect_nothing()

    def test_invalid_filters(self):
        """[MQTT-4.7.1-1], [MQTT-4.7.1-2]: the others of the packet are not touched."""
        for version in VERSIONS:
            for bad in ("a/#/b", "a#", "#/a", "a/b+", "+a", "a/+b/c", "##", "++"):
                with self.subTest(version=version, filter=bad):
                    client = self.connect(version=version)
                    code = 0x8F if version == V5 else 0x80
                    client.subscribe(
                        (self.topic("good"), 1), (bad, 0), (self.topic("fine"), 2),
                        codes=[1, code, 2],
                    )
                    client.publish(self.topic("fine"), "x")
                    client.message(self.topic("fine"), "x")

    def test_malformed_packets(self):
        """[MQTT-3.8.1-1], [MQTT-3.8.3-2], [MQTT-3.8.3-5], [MQTT-4.7.3-1]"""
        for version in VERSIONS:
            v5 = version == V5
            cases = [
                (mqtt.subscribe(1, [], version=version), (0x81, 0x82)),
                (mqtt.subscribe(0, [("a", 0)], version=version), (0x81, 0x82)),
                (mqtt.subscribe(1, [("", 0)], version=version), (0x81, 0x82, 0x8F)),
                (mqtt.subscribe(1, [("a", 3)], version=version), (0x81, 0x82)),
                (mqtt.subscribe(1, [("a", 0x40)], version=version), (0x81,)),
                (mqtt.subscribe(1, [("a", 0x80)], version=version), (0x81,)),
                (mqtt.subscribe(1, [(b"\xff", 0)], version=version), (0x81,)),
                (mqtt.subscribe(1, [(b"a\0", 0)], version=version), (0x81,)),
                (mqtt.subscribe(1, [("a", 0)], version=version)[:-1], None),
            ]
            if version == V31:
                # 3.1 has DUP here, and does not say what an empty list is.
                cases = cases[1:]
            else:
                cases += [
                    (mqtt.subscribe(1, [("a", 0)], version=version, flags=f), (0x81,))
                    for f in range(16)
                    if f != 2
                ]
            if v5:
                cases += [(mqtt.subscribe(1, [("a", 0x30)]), (0x82, 0x81))]
                identifier_0 = [(SUBSCRIPTION_IDENTIFIER, 0)]
                cases += [(mqtt.subscribe(1, [("a", 0)], identifier_0), (0x82,))]
                twice = [(SUBSCRIPTION_IDENTIFIER, 1)] * 2
                cases += [(mqtt.subscribe(1, [("a", 0)], twice), (0x82,))]
            else:
                # [MQTT-3.8.3-4 of 3.1.1]: the upper six bits are reserved.
                cases += [
                    (mqtt.subscribe(1, [("a", 4 << i)], version=version), ()) for i in range(6)
                ]
            for packet, reasons in cases:
                with self.subTest(version=version, packet=packet):
                    client = self.connect(version=version)
                    if reasons is None:
                        client.send(packet)
                        client.expect_quiet(0.05)
                        continue
                    client.send(packet)
                    client.expect_end(*reasons)

    def test_second_subscription_replaces_the_first(self):
        """[MQTT-3.8.4-3], [MQTT-3.8.4-4]: one copy, new QoS, identifier and options."""
        for version in VERSIONS:
            topic = self.topic(f"replace{version}")
            publisher = self.connect()
            client = self.connect(version=version)
            for index, qos in enumerate((0, 2, 1)):
                props = [(SUBSCRIPTION_IDENTIFIER, index + 1)] if version == V5 else ()
                client.subscribe(topic, qos=qos, props=props)
                publisher.publish(topic, "x", qos=2)
                got = client.message(topic, "x")
                self.assertEqual(got.qos, qos)
                if version == V5:
                    self.assertEqual(got.props(SUBSCRIPTION_IDENTIFIER), [index + 1])
            client.subscribe(topic, qos=0)
            publisher.publish(topic, "x", qos=2)
            self.assertEqual(client.message(topic, "x").props(SUBSCRIPTION_IDENTIFIER), [])
            client.expect_nothing()

    def test_replacement_loses_no_message(self):
        """[MQTT-3.8.4-4]"""
        topic = self.topic("steady")
        client = self.connect()
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        for index in range(100):
            publisher.send(mqtt.publish(topic, f"{index}", 1, index + 1))
            client.send(mqtt.subscribe(index + 1, [(topic, 1)]))
        for index in range(100):
            publisher.expect(mqtt.PUBACK)
        seen = []
        while len(seen) < 100:
            got = client.receive()
            if got.kind == mqtt.PUBLISH:
                seen.append(int(got.payload))
                client.acknowledge(got)
        self.assertEqual(seen, list(range(100)))

    def test_no_local(self):
        """[MQTT-3.8.3-3]"""
        topic = self.topic("local")
        client = self.connect("nolocal")
        client.subscribe(topic, qos=1, no_local=True)
        for qos in range(3):
            client.publish(topic, "own", qos=qos)
        self.connect().publish(topic, "other", qos=1)
        client.message(topic, "other")
        client.expect_nothing()
        # Another subscription of the same client without it still matches.
        client.subscribe(self.topic("+"), qos=0)
        client.publish(topic, "own")
        client.message(topic, "own")
        client.expect_nothing()

    def test_no_local_goes_by_client_identifier(self):
        """Also for messages of an earlier connection of that client."""
        topic = self.topic("local")
        client = self.session("again")
        client.subscribe(topic, qos=1, no_local=True)
        client.disconnect()
        client = self.session("again")
        client.publish(topic, "own", qos=1)
        client.expect_nothing()
        self.connect("again").disconnect()

    def test_retain_as_published(self):
        """[MQTT-3.3.1-12], [MQTT-3.3.1-13]"""
        topic = self.topic("rap")
        with_rap, without = self.connect(), self.connect()
        with_rap.subscribe(topic, qos=1, retain_as_published=True)
        without.subscribe(topic, qos=1)
        old = self.subscriber("rap", version=V311, qos=1)
        publisher = self.connect()
        for retain in (True, False, True):
            publisher.publish(topic, "x", qos=1, retain=retain)
            with_rap.message(topic, "x", retain=retain)
            without.message(topic, "x", retain=False)
            old.message(topic, "x", retain=False)  # [MQTT-3.3.1-9 of 3.1.1]
        publisher.publish(topic, "", retain=True)
        with_rap.message(topic, "", retain=True)

    def test_no_local_on_a_shared_subscription(self):
        """[MQTT-3.8.3-4]: a Protocol Error."""
        client = self.connect()
        client.send(mqtt.subscribe(1, [("$share/g/" + self.topic("x"), mqtt.options(1, True))]))
        client.expect_end(0x82)


class Overlap(BrokerTest):
    def test_highest_qos_and_all_identifiers(self):
        """[MQTT-3.3.4-2] to [MQTT-3.3.4-5]: one copy, or one for each."""
        client = self.connect()
        filters = {"a/b": (0, 11), "a/+": (2, 22), "a/#": (1, 33), "+/b": (1, 44), "x": (2, 55)}
        for name, (qos, identifier) in filters.items():
            props = [(SUBSCRIPTION_IDENTIFIER, identifier)]
            client.subscribe(self.topic(name), qos=qos, props=props)
        publisher = self.connect()
        publisher.publish(self.topic("a/b"), "x", qos=2)
        publisher.publish(self.topic("x"), "end", qos=2)
        identifiers, copies = [], []
        while True:
            got = client.message()
            if got.payload == b"end":
                break
            copies.append(got)
            identifiers += got.props(SUBSCRIPTION_IDENTIFIER)
        self.assertEqual(sorted(identifiers), [11, 22, 33, 44])
        self.assertEqual(max(c.qos for c in copies), 2)

    def test_one_copy_for_3(self):
        """[MQTT-3.3.5-1 of 3.1.1] allows more copies; users expect one."""
        for version in (V31, V311):
            client = self.connect(version=version)
            client.subscribe((self.topic("a/b"), 0), (self.topic("a/#"), 2), (self.topic("+/b"), 1))
            self.connect().publish(self.topic("a/b"), "x", qos=2)
            self.assertEqual(client.message(self.topic("a/b"), "x").qos, 2)
            client.expect_nothing()

    def test_options_of_overlapping_subscriptions(self):
        """RAP of one, No Local of another: each holds for its own."""
        client = self.connect()
        client.subscribe(self.topic("a/b"), qos=1, retain_as_published=True)
        client.subscribe(self.topic("a/#"), qos=1)
        publisher = self.connect()
        publisher.publish(self.topic("a/b"), "x", qos=1, retain=True)
        self.assertTrue(client.message(payload="x").retain)
        publisher.publish(self.topic("a/b"), "", qos=1, retain=True)

    def test_no_local_beside_others_that_match(self):
        """[MQTT-3.8.3-3]: for the own message, only the options of those without No Local count."""
        client = self.connect()
        client.subscribe(self.topic("a/b"), qos=2, no_local=True, retain_as_published=True,
                         props=[(SUBSCRIPTION_IDENTIFIER, 1)])
        client.subscribe(self.topic("a/#"), qos=1, props=[(SUBSCRIPTION_IDENTIFIER, 2)])
        client.publish(self.topic("a/b"), "own", qos=2, retain=True)
        got = client.message(payload="own", retain=False)
        self.assertEqual(got.qos, 1)
        self.assertEqual(got.props(SUBSCRIPTION_IDENTIFIER), [2])
        self.connect().publish(self.topic("a/b"), "", qos=2, retain=True)
        got = client.message(payload="", retain=True)
        self.assertEqual(got.qos, 2)
        self.assertEqual(sorted(got.props(SUBSCRIPTION_IDENTIFIER)), [1, 2])

    def test_identifiers_at_their_limits(self):
        client = self.connect()
        for identifier in (1, 127, 128, 16384, 2097152, 268435455):
            props = [(SUBSCRIPTION_IDENTIFIER, identifier)]
            client.subscribe(self.topic(f"{identifier}"), props=props)
            client.publish(self.topic(f"{identifier}"), "x")
            self.assertEqual(client.message().props(SUBSCRIPTION_IDENTIFIER), [identifier])

    def test_identifier_holds_for_all_filters_of_its_packet(self):
        client = self.connect()
        props = [(SUBSCRIPTION_IDENTIFIER, 9)]
        client.subscribe(self.topic("a"), self.topic("b"), props=props)
        for name in "ab":
            client.publish(self.topic(name), "x")
            self.assertEqual(client.message().props(SUBSCRIPTION_IDENTIFIER), [9])

    def test_many_identifiers_on_one_message(self):
        client = self.connect()
        levels = ["l"] * 6
        count = 0
        for choice in itertools.product((False, True), repeat=6):
            count += 1
            name = "/".join("+" if c else level for c, level in zip(choice, levels))
            client.subscribe(self.topic(name), props=[(SUBSCRIPTION_IDENTIFIER, count)])
        client.publish(self.topic("/".join(levels)), "x")
        seen = []
        while len(seen) < count:
            seen += client.message(payload="x").props(SUBSCRIPTION_IDENTIFIER)
        self.assertEqual(sorted(seen), list(range(1, count + 1)))


class Unsubscribe(BrokerTest):
    def test_codes(self):
        """[MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.11.3-1]; 0x11 for what is not there."""
        client = self.connect()
        client.subscribe(self.topic("a"), self.topic("b/#"))
        client.unsubscribe(
            self.topic("a"), self.topic("never"), self.topic("b/#"), self.topic("a"),
            codes=[0, 0x11, 0, 0x11],
        )

    def test_older_versions_get_no_codes(self):
        """[MQTT-3.10.4-5 of 3.1.1]"""
        for version in (V31, V311):
            client = self.connect(version=version)
            client.unsubscribe(self.topic("never"))
            client.subscribe(self.topic("a"))
            client.unsubscribe(self.topic("a"), self.topic("never"))

    def test_filters_are_compared_character_by_character(self):
        """[MQTT-3.10.4-1]"""
        client = self.connect()
        client.subscribe(self.topic("a/+"), self.topic("a/#"))
        client.unsubscribe(
            self.topic("a/b"), self.topic("#"), self.topic("a/+/"), codes=[0x11] * 3
        )
        client.unsubscribe(self.topic("a/#"))
        client.publish(self.topic("a/b"), "one")
        client.publish(self.topic("a/b/c"), "none")
        client.message(self.topic("a/b"), "one")
        client.expect_nothing()
        client.unsubscribe(self.topic("a/+"))
        client.publish(self.topic("a/b"), "none")
        client.expect_nothing()

    def test_begun_deliveries_are_finished(self):
        """[MQTT-3.10.4-3]"""
        client = self.connect(props=[(mqtt.RECEIVE_MAXIMUM, 2)])
        client.subscribe(self.topic("x"), qos=2)
        publisher = self.connect()
        publisher.publish(self.topic("x"), "one", qos=1)
        publisher.publish(self.topic("x"), "two", qos=2)
        one, two = client.messages(2, acknowledge=False)
        client.unsubscribe(self.topic("x"))
        client.acknowledge(one)
        client.acknowledge(two)
        publisher.publish(self.topic("x"), "none", qos=1)
        client.expect_nothing()

    def test_malformed_packets(self):
        """[MQTT-3.10.1-1], [MQTT-3.10.3-2]"""
        for version in VERSIONS:
            cases = [
                (mqtt.unsubscribe(1, [], version=version), (0x81, 0x82)),
                (mqtt.unsubscribe(0, ["a"], version=version), (0x81, 0x82)),
                (mqtt.unsubscribe(1, [""], version=version), (0x81, 0x82, 0x8F)),
                (mqtt.unsubscribe(1, [b"\xff"], version=version), (0x81,)),
                (mqtt.unsubscribe(1, [b"\0"], version=version), (0x81,)),
            ]
            if version == V31:
                cases = cases[1:]
            else:
                cases += [
                    (mqtt.unsubscribe(1, ["a"], version=version, flags=f), (0x81,))
                    for f in range(16)
                    if f != 2
                ]
            for packet, reasons in cases:
                with self.subTest(version=version, packet=packet):
                    client = self.connect(version=version)
                    client.send(packet)
                    client.expect_end(*reasons)


class Matching(BrokerTest):
    LEVELS = ("a", "b", "", "$x", "é")

    def assert_matches(self, filters, topics):
        """One client with an identifier for each filter sees exactly the right ones."""
        client = self.connect()
        # Bounded, so that the limit of a message's properties plays no part.
        for index, topic_filter in enumerate(filters):
            client.subscribe(topic_filter, props=[(SUBSCRIPTION_IDENTIFIER, index + 1)])
        for topic in topics:
            client.publish(topic, "x")
            client.publish(self.topic("end"), "end")
            seen = set()
            while True:
                got = client.message()
                if got.payload == b"end":
                    break
                self.assertEqual(got.topic, topic)
                seen.update(filters[i - 1] for i in got.props(SUBSCRIPTION_IDENTIFIER))
            wanted = {f for f in filters if matches(f, topic)}
            self.assertEqual(seen, wanted, f"for topic {topic!r}, seed {SEED}")

    def test_examples_of_the_standard(self):
        """Section 4.7.1"""
        base = self.topic("sport")
        filters = [
            f"{base}/tennis/player1/#", f"{base}/#", f"{base}/tennis/+", f"{base}/+",
            f"{base}/+/player1", f"{self.unique}/+/tennis/#", f"+/{self.unique}",
            f"{base}/tennis/#", self.topic("end"),
        ]
        topics = [
            f"{base}/tennis/player1", f"{base}/tennis/player1/ranking", f"{base}",
            f"{base}/tennis/player1/score/wimbledon", f"{base}/", f"{base}/tennis",
            f"/{self.unique}", f"{base}/tennis/player2", f"{base}//player1",
        ]
        self.assert_matches(filters, topics)

    def test_random_filters_and_topics(self):
        """[MQTT-3.3.2-3], [MQTT-4.7.3-4]"""
        rng = random.Random(SEED)

        def name(choices, last=()):
            levels = [rng.choice(choices) for _ in range(rng.randrange(1, 5))]
            if last and rng.random() < 0.3:
                levels.append("#")
            return self.topic("/".join(levels))

        for _ in range(4):
            filters = {name(self.LEVELS + ("+", "+"), "#") for _ in range(60)}
            topics = {name(self.LEVELS) for _ in range(60)}
            self.assert_matches(sorted(filters | {self.topic("end")}), sorted(topics))

    def test_dollar_topics_and_leading_wildcards(self):
        """[MQTT-4.7.2-1]"""
        topic = f"$private/{self.unique}"
        filters = ["#", "+/#", f"+/{self.unique}", topic, f"$private/{self.unique}/#", "$private/+"]
        client = self.connect()
        for index, topic_filter in enumerate(filters):
            client.subscribe(
                topic_filter, props=[(SUBSCRIPTION_IDENTIFIER, index + 1)], retain_handling=2
            )
        client.publish(topic, "x")
        seen = set()
        client.publish(self.topic("end"), self.unique)
        while True:
            got = client.message()
            if got.payload == self.unique.encode():
                break
            if got.topic == topic:
                seen.update(got.props(SUBSCRIPTION_IDENTIFIER))
        self.assertEqual(seen, {4, 5, 6})

    def test_deep_topics(self):
        client = self.connect()
        deep = self.topic("/".join("x" * 1 for _ in range(150)))
        for topic_filter in (deep, self.topic("#"), self.topic("/".join(["+"] * 150))):
            client.subscribe(topic_filter)
            client.publish(deep, "x")
            client.message(deep, "x")
            client.unsubscribe(topic_filter)


if __name__ == "__main__":
    main()
