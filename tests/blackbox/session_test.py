#!/usr/bin/python3 -B
"""Sessions: how long they live, what they hold, and who takes them over.

Sections 3.1.2.4, 3.1.2.11.2, 3.1.4 and 4.1 of MQTT 5.0.
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.client import Closed
from support.mqtt import SESSION_EXPIRY_INTERVAL, V31, V311, V5, VERSIONS
from support.suite import BrokerTest, main

FOREVER = 0xFFFFFFFF


class SessionTest(BrokerTest):
    def end_session(self, name):
        """So that a broker that is shared does not collect sessions."""
        self.connect(name, clean=True).disconnect()

    def assert_present(self, name, wanted, version=V5):
        client = self.session(name, version)
        self.assertEqual(client.connack.session_present, wanted)
        return client


class Lifetime(SessionTest):
    def test_session_present_tells_whether_there_was_one(self):
        """[MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.2.2-3]; [MQTT-3.2.2-2 of 3.1.1]"""
        for version in (V311, V5):
            with self.subTest(version=version):
                name = f"present{version}"
                self.assert_present(name, False, version).close()
                self.assert_present(name, True, version).disconnect()
                self.assert_present(name, True, version).disconnect()
                self.end_session(name)
                self.assert_present(name, False, version).close()
                self.end_session(name)

    def test_31_has_no_session_present_flag(self):
        """3.1, section 3.2: that byte is reserved and zero."""
        self.session("old", V31).disconnect()
        client = self.session("old", V31)
        self.assertFalse(client.connack.session_present)
        self.end_session("old")

    def test_clean_start_drops_session_and_subscriptions(self):
        """[MQTT-3.1.2-4], [MQTT-3.1.2-6 of 3.1.1]"""
        publisher = self.connect()
        for version in VERSIONS:
            name, topic = f"clean{version}", self.topic(f"clean{version}")
            client = self.session(name, version)
            client.subscribe(topic, qos=1)
            client.close()
            publisher.publish(topic, "queued", qos=1)
            client = self.connect(name, version, clean=True)
            self.assertFalse(client.connack.session_present)
            publisher.publish(topic, "later", qos=1)
            client.expect_nothing()
            client.disconnect()

    def test_session_of_311_with_clean_session_ends_with_its_connection(self):
        """[MQTT-3.1.2-6 of 3.1.1]"""
        for ending in ("disconnect", "close"):
            client = self.connect("brief", V311, clean=True)
            client.subscribe(self.topic("brief"), qos=1)
            getattr(client, ending)()
            self.await_value(False, lambda: self.present_311("brief"))

    def present_311(self, name):
        client = self.session(name, V311)
        present = client.connack.session_present
        client.disconnect()
        self.connect(name, V311, clean=True).disconnect()
        return present

    def test_session_without_expiry_ends_with_its_connection(self):
        """[MQTT-4.1.0-2]; an absent interval is 0."""
        for props in ([], [(SESSION_EXPIRY_INTERVAL, 0)]):
            self.connect("zero", clean=False, props=props).disconnect()
            client = self.connect("zero", clean=False, props=props)
            self.assertFalse(client.connack.session_present)
            client.disconnect()

    def test_session_ends_when_its_expiry_has_run_out(self):
        """[MQTT-4.1.0-2]"""
        self.session("short", expiry=1).close()
        time.sleep(3.5)
        self.assert_present("short", False)
        self.end_session("short")

    def test_connection_outlives_the_expiry_interval(self):
        """[MQTT-4.1.0-1]: the interval starts when the connection closes."""
        client = self.session("connected", expiry=1)
        client.subscribe(self.topic("connected"))
        time.sleep(3)
        client.publish(self.topic("connected"), "still here")
        client.message(payload="still here")
        client.close()
        self.assert_present("connected", True)
        self.end_session("connected")

    def test_session_that_never_expires(self):
        self.session("forever", expiry=FOREVER).close()
        time.sleep(1)
        self.assert_present("forever", True)
        self.end_session("forever")

    def test_reconnection_sets_a_new_interval(self):
        self.session("renewed", expiry=FOREVER).disconnect()
        self.session("renewed", expiry=0).disconnect()
        self.assert_present("renewed", False).disconnect()
        self.end_session("renewed")

    def test_disconnect_can_shorten_and_prolong(self):
        """Section 3.14.2.2.2"""
        self.session("change", expiry=300).disconnect(0, [(SESSION_EXPIRY_INTERVAL, 0)])
        client = self.assert_present("change", False)
        client.close()
        client = self.session("change", expiry=1)
        client.disconnect(0, [(SESSION_EXPIRY_INTERVAL, FOREVER)])
        time.sleep(2.5)
        self.assert_present("change", True)
        self.end_session("change")

    def test_disconnect_cannot_raise_the_interval_from_zero(self):
        """Section 3.14.2.2.2: a Protocol Error."""
        client = self.connect("raise", props=[(SESSION_EXPIRY_INTERVAL, 0)])
        client.send(mqtt.disconnect(0, [(SESSION_EXPIRY_INTERVAL, 10)]))
        client.expect_end(0x82)
        self.assert_present("raise", False)
        self.end_session("raise")

    def test_clients_are_told_apart_by_every_byte_of_their_identifier(self):
        """[MQTT-3.1.3-2]"""
        names = ("id", "ID", "id ", " id", "id/", "id+", "id#", "i\u0301d", "íd", "id" * 200)
        clients = [self.session(name) for name in names]
        for client in clients:
            self.assertFalse(client.connack.session_present)
            client.ping()
        for name in names:
            self.end_session(name)


class Queue(SessionTest):
    def test_messages_wait_for_the_client_in_their_order(self):
        """[MQTT-4.5.0-1], [MQTT-3.1.2-5 of 3.1.1]"""
        publisher = self.connect()
        for version in VERSIONS:
            name, topic = f"queue{version}", self.topic(f"queue{version}")
            client = self.session(name, version)
            client.subscribe(topic, qos=2)
            client.disconnect()
            for index in range(50):
                publisher.publish(topic, f"{index}", qos=1 + index % 2)
            client = self.session(name, version)
            for index in range(50):
                got = client.message(topic, f"{index}")
                self.assertEqual((got.qos, got.dup, got.retain), (1 + index % 2, False, False))
            client.expect_nothing()
            self.end_session(name)

    def test_qos_0_does_not_wait(self):
        """Mosquitto's default, queue_qos0_messages false."""
        client = self.session("qos0")
        client.subscribe(self.topic("zero"), qos=0)
        client.subscribe(self.topic("one"), qos=1)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(self.topic("zero"), "by subscription", qos=1)
        publisher.publish(self.topic("one"), "by message", qos=0)
        publisher.publish(self.topic("one"), "kept", qos=1)
        client = self.session("qos0")
        client.message(self.topic("one"), "kept")
        client.expect_nothing()
        self.end_session("qos0")

    def test_what_is_queued_stays_across_several_reconnections(self):
        publisher = self.connect()
        client = self.session("again")
        client.subscribe(self.topic("again"), qos=1)
        client.disconnect()
        for index in range(5):
            publisher.publish(self.topic("again"), f"{index}", qos=1)
            client = self.session("again")
            for seen in range(index + 1):
                client.message(payload=f"{seen}", acknowledge=False)
            client.close()
        client = self.session("again")
        for seen in range(5):
            client.message(payload=f"{seen}")
        client.expect_nothing()
        client.disconnect()
        self.session("again").expect_nothing()
        self.end_session("again")

    def test_subscription_identifiers_and_options_survive(self):
        """RAP and identifiers are part of the session."""
        client = self.session("options")
        topic = self.topic("options")
        props = [(mqtt.SUBSCRIPTION_IDENTIFIER, 77)]
        client.subscribe(topic, qos=1, retain_as_published=True, no_local=True, props=props)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(topic, "queued", qos=1, retain=True)
        client = self.session("options")
        got = client.message(payload="queued", retain=True)
        self.assertEqual(got.props(mqtt.SUBSCRIPTION_IDENTIFIER), [77])
        publisher.publish(topic, "live", qos=1, retain=True)
        got = client.message(payload="live", retain=True)
        self.assertEqual(got.props(mqtt.SUBSCRIPTION_IDENTIFIER), [77])
        client.publish(topic, "own", qos=1)
        client.expect_nothing()
        publisher.publish(topic, "", qos=1, retain=True)
        self.end_session("options")

    def test_resume_replays_no_retained_messages(self):
        """Only a SUBSCRIBE brings them."""
        topic = self.topic("kept")
        publisher = self.connect()
        publisher.publish(topic, "retained", qos=1, retain=True)
        for version in VERSIONS:
            client = self.session(f"replay{version}", version)
            client.subscribe(topic, qos=1)
            client.message(payload="retained", retain=True)
            client.disconnect()
            client = self.session(f"replay{version}", version)
            client.expect_nothing()
            self.end_session(f"replay{version}")
        publisher.publish(topic, "", qos=1, retain=True)

    def test_session_may_be_resumed_with_another_version(self):
        topic = self.topic("versions")
        props = [(mqtt.USER_PROPERTY, ("k", "v")), (mqtt.CONTENT_TYPE, "t")]
        client = self.session("versions", V5)
        client.subscribe(topic, qos=1)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(topic, "one", qos=1, props=props)
        client = self.session("versions", V311)
        self.assertTrue(client.connack.session_present)
        client.message(topic, "one")
        client.disconnect()
        publisher.publish(topic, "two", qos=1, props=props)
        client = self.session("versions", V5)
        self.assertTrue(client.connack.session_present)
        self.assertEqual(client.message(topic, "two").properties, props)
        self.end_session("versions")

    def test_unsubscribed_while_messages_wait(self):
        """[MQTT-3.10.4-2]: later ones are not added."""
        topic = self.topic("gone")
        client = self.session("unsub")
        client.subscribe(topic, qos=1)
        client.unsubscribe(topic)
        client.disconnect()
        self.connect().publish(topic, "late", qos=1)
        self.session("unsub").expect_nothing()
        self.end_session("unsub")


class TakeOver(SessionTest):
    def test_older_connection_is_told_and_closed(self):
        """[MQTT-3.1.4-3], [MQTT-3.1.4-2 of 3.1.1]"""
        for older_version in VERSIONS:
            for newer_version in VERSIONS:
                with self.subTest(older=older_version, newer=newer_version):
                    older = self.connect("taken", older_version)
                    newer = self.connect("taken", newer_version)
                    older.expect_end(0x8E)
                    newer.ping()

    def test_session_goes_on_in_the_newer_connection(self):
        publisher = self.connect()
        for version in (V311, V5):
            name, topic = f"over{version}", self.topic(f"over{version}")
            older = self.session(name, version)
            older.subscribe(topic, qos=2)
            publisher.publish(topic, "one", qos=1)
            publisher.publish(topic, "two", qos=2)
            first = older.message(topic, "one", acknowledge=False)
            second = older.message(topic, "two", acknowledge=False)
            newer = self.session(name, version)
            self.assertTrue(newer.connack.session_present)
            older.expect_end(0x8E)
            newer.message(payload="one", dup=True, packet_id=first.packet_id)
            newer.message(payload="two", dup=True, packet_id=second.packet_id)
            publisher.publish(topic, "three", qos=1)
            newer.message(topic, "three")
            self.end_session(name)

    def test_clean_start_takes_over_without_the_session(self):
        """[MQTT-3.1.2-4]"""
        older = self.session("cleaner")
        older.subscribe(self.topic("cleaner"), qos=1)
        newer = self.connect("cleaner", clean=True)
        self.assertFalse(newer.connack.session_present)
        older.expect_end(0x8E)
        self.connect().publish(self.topic("cleaner"), "x", qos=1)
        newer.expect_nothing()
        newer.disconnect()

    def test_session_with_expiry_zero_ends_at_take_over(self):
        """The connection closes, and the session with it; section 3.1.2.11.2."""
        older = self.session("ends", expiry=0)
        older.subscribe(self.topic("ends"), qos=1)
        newer = self.session("ends", expiry=0)
        older.expect_end(0x8E)
        # Either reading of the standard is in use; what is told has to be true.
        self.connect().publish(self.topic("ends"), "x", qos=1)
        if newer.connack.session_present:
            newer.message(payload="x")
        newer.expect_nothing()
        newer.disconnect()

    def test_many_connections_fight_for_one_identifier(self):
        """One remains, and it works."""
        topic = self.topic("fight")
        survivors, problems = [], []

        def contender(index):
            version = (V311, V5)[index % 2]
            client = self.open(version)
            props = [(SESSION_EXPIRY_INTERVAL, 300)] if version == V5 else ()
            try:
                client.send(mqtt.connect(self.client_id("fight"), version, False, props=props))
                client.send(mqtt.subscribe(1, [(topic, 1)], version=version), mqtt.pingreq())
                kinds = [client.receive().kind for _ in range(3)]
                # A loser may be told in between that it lost.
                expected = [mqtt.CONNACK, mqtt.SUBACK, mqtt.PINGRESP]
                if kinds == expected:
                    survivors.append(client)
                elif mqtt.DISCONNECT not in kinds:
                    problems.append(kinds)
            except (Closed, OSError):
                pass

        for _ in range(3):
            threads = [threading.Thread(target=contender, args=(i,)) for i in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        alive = [c for c in survivors if self.still_open(c)]
        self.assertLessEqual(len(alive), 1)
        last = self.session("fight")
        last.subscribe(topic, qos=1)
        self.connect().publish(topic, "after the fight", qos=1)
        last.message(topic, "after the fight")
        self.assertEqual(problems, [])
        self.end_session("fight")

    @staticmethod
    def still_open(client):
        try:
            client.send(mqtt.pingreq())
            while True:
                got = client.receive()
                if got is None or got.kind == mqtt.DISCONNECT:
                    return False
                if got.kind == mqtt.PINGRESP:
                    return True
        except (Closed, OSError):
            return False

    def test_take_over_while_messages_flow_loses_and_repeats_nothing(self):
        """QoS 2 across twenty take-overs, each at another point of the flow."""
        topic = self.topic("flow")
        publisher = self.connect()
        client = self.session("flow")
        client.subscribe(topic, qos=2)
        seen, released = [], {}

        def handle(packet):
            if packet.kind == mqtt.PUBLISH:
                if packet.packet_id not in released:
                    released[packet.packet_id] = True
                    seen.append(int(packet.payload))
                client.send(mqtt.ack(mqtt.PUBREC, packet.packet_id))
            elif packet.kind == mqtt.PUBREL:
                released.pop(packet.packet_id, None)
                client.send(mqtt.ack(mqtt.PUBCOMP, packet.packet_id))

        for round_index in range(20):
            for index in range(10):
                publisher.publish(topic, f"{round_index * 10 + index}", qos=2)
            for _ in range(round_index % 7 + 1):
                packet = client.receive(1)
                if packet:
                    handle(packet)
            client = self.session("flow")
        deadline = time.monotonic() + 20
        while len(seen) < 200 and time.monotonic() < deadline:
            packet = client.receive(1)
            if packet:
                handle(packet)
        self.assertEqual(seen, list(range(200)))
        self.end_session("flow")


if __name__ == "__main__":
    main()
