#!/usr/bin/python3 -B
"""Shared subscriptions: section 4.8.2 of MQTT 5.0."""

import collections
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.client import Closed
from support.mqtt import PUBACK, PUBREC, PUBREL, V311
from support.suite import BrokerTest, main


class SharedTest(BrokerTest):
    def shared(self, name="x", group="g"):
        return f"$share/{group}/{self.topic(name)}"

    def member(self, name="x", group="g", qos=1, **arguments):
        client = self.connect(**arguments)
        client.subscribe(self.shared(name, group), qos=qos)
        return client

    def read(self, client, until, seen):
        """Reads up to the message `until`, which is sent to every client."""
        while True:
            got = client.message()
            if got.payload == until:
                return
            seen.append(got.payload)

    def collect(self, publisher, members):
        """What each member got until now."""
        for client in members:
            client.subscribe(self.topic("end"), qos=1)
        publisher.publish(self.topic("end"), "end", qos=1)
        seen = [[] for _ in members]
        for client, payloads in zip(members, seen):
            self.read(client, b"end", payloads)
        return seen


class Distribution(SharedTest):
    COUNT = 90

    def test_each_message_goes_to_one_member(self):
        for qos in range(3):
            name = f"each{qos}"
            members = [self.member(name, qos=qos) for _ in range(3)]
            publisher = self.connect()
            for index in range(self.COUNT):
                publisher.publish(self.topic(name), f"{index}", qos=qos)
            seen = self.collect(publisher, members)
            self.assertEqual(
                sorted(int(p) for payloads in seen for p in payloads), list(range(self.COUNT))
            )
            # No rule says how; but nobody should be left out, or do nearly all.
            for payloads in seen:
                self.assertGreater(len(payloads), self.COUNT // 10)

    def test_groups_get_copies_of_their_own(self):
        """Beside the ordinary subscribers, who get theirs too."""
        one, other = self.member(group="one"), self.member(group="other")
        ordinary = self.subscriber("x", qos=1)
        publisher = self.connect()
        for index in range(10):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
        for client in (one, other, ordinary):
            for index in range(10):
                client.message(self.topic("x"), f"{index}")
            client.expect_nothing()

    def test_same_group_name_with_another_filter_is_another_group(self):
        exact, wild = self.connect(), self.connect()
        exact.subscribe(self.shared("a/b"), qos=1)
        wild.subscribe(self.shared("a/+"), qos=1)
        self.connect().publish(self.topic("a/b"), "x", qos=1)
        exact.message(payload="x")
        wild.message(payload="x")

    def test_a_client_may_be_subscribed_both_ways(self):
        """Section 4.8.2: the two are different subscriptions."""
        client = self.connect()
        client.subscribe(self.shared(), qos=1)
        client.subscribe(self.topic("x"), qos=1)
        self.connect().publish(self.topic("x"), "x", qos=1)
        self.assertEqual([m.payload for m in client.messages(2)], [b"x", b"x"])
        client.unsubscribe(self.topic("x"))
        self.connect().publish(self.topic("x"), "y", qos=1)
        client.message(payload="y")
        client.expect_nothing()

    def test_wildcards_and_long_share_names(self):
        for name, group in (("w/#", "g"), ("+/w", "$g"), ("w/+/#", "x" * 200), ("w", "ä ö")):
            client = self.connect()
            client.subscribe(self.shared(name, group), qos=1)
            topic = self.topic(name.replace("+", "l").replace("/#", ""))
            self.connect().publish(topic, "x", qos=1)
            client.message(topic, "x")
            client.unsubscribe(self.shared(name, group))
            client.disconnect()

    def test_granted_qos_holds(self):
        """[MQTT-4.8.2-3]"""
        for granted in range(3):
            client = self.member(f"q{granted}", qos=granted)
            for qos in range(3):
                self.connect().publish(self.topic(f"q{granted}"), "x", qos=qos)
                self.assertEqual(client.message(payload="x").qos, min(qos, granted))

    def test_subscription_identifiers(self):
        client = self.connect()
        props = [(mqtt.SUBSCRIPTION_IDENTIFIER, 42)]
        client.subscribe(self.shared(), qos=1, props=props)
        self.connect().publish(self.topic("x"), "x", qos=1)
        self.assertEqual(client.message(payload="x").props(mqtt.SUBSCRIPTION_IDENTIFIER), [42])

    def test_no_retained_messages_for_shared_subscriptions(self):
        """Section 4.8.2: none is sent to the session when it first subscribes."""
        publisher = self.connect()
        publisher.publish(self.topic("x"), "kept", qos=1, retain=True)
        client = self.member()
        client.expect_nothing()
        publisher.publish(self.topic("x"), "", qos=1, retain=True)
        client.message(payload="")

    def test_own_messages_may_come_back(self):
        client = self.member()
        client.publish(self.topic("x"), "own", qos=1)
        client.message(payload="own")

    def test_invalid_names(self):
        """[MQTT-4.8.2-1], [MQTT-4.8.2-2]: refused, here or by closing."""
        for text in ("$share//x", "$share/a", "$share/a/", "$share/a+b/x", "$share/#/x", "$share/"):
            with self.subTest(filter=text):
                client = self.connect()
                client.send(mqtt.subscribe(1, [(text, 0)]))
                try:
                    got = client.receive()
                except Closed:
                    continue
                if got.kind == mqtt.SUBACK:
                    self.assertGreaterEqual(got.codes[0], 0x80)
                    client.ping()
                else:
                    self.assertEqual(got.kind, mqtt.DISCONNECT)
                    self.assertIn(got.reason, (0x81, 0x82, 0x8F))

    def test_wildcard_as_share_name_is_refused_and_share_without_it_works(self):
        client = self.connect()
        client.subscribe("$share/+/" + self.topic("x"), codes=[0x8F])
        client.subscribe("$shared/g/" + self.topic("x"))
        client.publish("$shared/g/" + self.topic("x"), "ordinary")
        client.message(payload="ordinary")


class Membership(SharedTest):
    def test_member_that_unsubscribes_gets_no_more(self):
        """[MQTT-3.10.4-2]"""
        stays, goes = self.member(), self.member()
        goes.unsubscribe(self.shared())
        goes.unsubscribe(self.shared(), codes=[0x11])
        publisher = self.connect()
        for index in range(10):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
            stays.message(payload=f"{index}")
        goes.expect_nothing()

    def test_members_come_and_go_while_messages_flow(self):
        steady = self.member()
        publisher = self.connect()
        for index in range(20):
            guest = self.member()
            for part in range(10):
                publisher.publish(self.topic("x"), f"{index} {part}", qos=1)
            if index % 2:
                guest.unsubscribe(self.shared())
                guest.leave()
            else:
                guest.close()
        seen = self.collect(publisher, [steady])
        self.assertGreater(len(seen[0]), 20)

    def test_unacknowledged_qos_1_goes_to_another_member(self):
        """Section 4.8.2, non-normative: the session of the first one has ended."""
        leaver = self.member()
        publisher = self.connect()
        for index in range(10):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
        leaver.messages(10, acknowledge=False)
        heir = self.member()
        leaver.close()
        self.assertEqual(
            sorted(int(heir.message().payload) for _ in range(10)), list(range(10))
        )

    def test_nothing_is_lost_when_members_vanish(self):
        """Every QoS 1 message arrives at least once, whoever took it first."""
        publisher = self.connect()
        steady = self.member(props=[(mqtt.RECEIVE_MAXIMUM, 5)])
        expected = set()
        for index in range(60):
            if index % 10 == 0:
                vanishing = self.member(props=[(mqtt.RECEIVE_MAXIMUM, 3)])
            publisher.publish(self.topic("x"), f"{index}", qos=1)
            expected.add(b"%d" % index)
            if index % 10 == 9:
                vanishing.close()
        seen = set()
        while seen != expected:
            seen.add(steady.message().payload)

    def test_offline_member_does_not_strand_messages(self):
        """With a live member, one whose session sleeps gets nothing."""
        sleeper = self.session("sleeper")
        sleeper.subscribe(self.shared(), qos=1)
        sleeper.disconnect()
        live = self.member()
        publisher = self.connect()
        for index in range(20):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
            live.message(payload=f"{index}")
        sleeper = self.session("sleeper")
        sleeper.expect_nothing()
        self.connect("sleeper").disconnect()

    def test_messages_wait_if_all_members_are_offline(self):
        sleeper = self.session("alone")
        sleeper.subscribe(self.shared(), qos=1)
        sleeper.disconnect()
        publisher = self.connect()
        for index in range(10):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
        sleeper = self.session("alone")
        for index in range(10):
            sleeper.message(payload=f"{index}")
        sleeper.expect_nothing()
        self.connect("alone").disconnect()

    def test_qos_2_is_finished_with_the_same_client(self):
        """[MQTT-4.8.2-4]"""
        first = self.session("two")
        first.subscribe(self.shared(), qos=2)
        publisher = self.connect()
        publisher.publish(self.topic("x"), "x", qos=2)
        got = first.message(payload="x", acknowledge=False)
        other = self.member(qos=2)
        first.send(mqtt.ack(PUBREC, got.packet_id))
        first.expect(PUBREL, packet_id=got.packet_id)
        first.close()
        first = self.session("two")
        first.expect(PUBREL, packet_id=got.packet_id)
        first.send(mqtt.ack(mqtt.PUBCOMP, got.packet_id))
        other.expect_nothing()
        self.connect("two").disconnect()

    def test_qos_2_whose_session_ends_is_not_given_to_another(self):
        """[MQTT-4.8.2-5]"""
        first = self.member(qos=2)
        self.connect().publish(self.topic("x"), "x", qos=2)
        first.message(payload="x", acknowledge=False)
        other = self.member(qos=2)
        first.close()
        other.expect_nothing(0.5)

    def test_refused_message_is_not_given_to_another(self):
        """[MQTT-4.8.2-6]"""
        for qos, kind in ((1, PUBACK), (2, PUBREC)):
            name = f"refuse{qos}"
            first = self.member(name, qos=2)
            self.connect().publish(self.topic(name), "x", qos=qos)
            got = first.message(payload="x", acknowledge=False)
            other = self.member(name, qos=2)
            first.send(mqtt.ack(kind, got.packet_id, 0x83))
            first.ping()
            first.close()
            other.expect_nothing(0.5)

    def test_full_window_of_one_member_does_not_stop_the_group(self):
        """A busy member is passed over while another has room."""
        busy = self.member(props=[(mqtt.RECEIVE_MAXIMUM, 1)])
        publisher = self.connect()
        publisher.publish(self.topic("x"), "first", qos=1)
        busy.message(payload="first", acknowledge=False)
        free = self.member()
        for index in range(20):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
        seen = collections.Counter()
        while sum(seen.values()) < 20:
            got = free.receive(2)
            if got is None:
                break
            free.acknowledge(got)
            seen[got.payload] += 1
        # What waits for the busy one, if anything, is not lost when it goes.
        if sum(seen.values()) < 20:
            busy.close()
        while len(seen) < 20:
            got = free.message()
            if got.payload != b"first":
                seen[got.payload] += 1

    def test_member_that_takes_only_small_packets(self):
        """Section 3.1.2.11.4: dropped, or sent to another; the rest flows."""
        small = self.member(props=[(mqtt.MAXIMUM_PACKET_SIZE, 100)])
        large = self.member()
        publisher = self.connect()
        for index in range(10):
            publisher.publish(self.topic("x"), f"{index:>500}", qos=1)
            publisher.publish(self.topic("x"), f"{index}", qos=1)
        seen = self.collect(publisher, [small, large])
        short = sorted(int(p) for payloads in seen for p in payloads if len(p) < 100)
        self.assertEqual(short, list(range(10)))
        self.assertTrue(all(len(p) < 100 for p in seen[0]))


class OlderVersions(SharedTest):
    def test_share_in_311(self):
        """No word of it in 3.1.1: a broker shares or takes it as a plain topic."""
        client = self.connect(version=V311)
        packet_id = client.next_id()
        client.send(mqtt.subscribe(packet_id, [(self.shared(), 1)], version=V311))
        code = client.wait_for(mqtt.SUBACK, packet_id=packet_id).codes[0]
        self.assertIn(code, (1, 0x80))
        client.ping()


if __name__ == "__main__":
    main()
