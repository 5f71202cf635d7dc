#!/usr/bin/python3 -B
"""CONNECT and CONNACK: sections 3.1 and 3.2 of MQTT 5.0 and of 3.1.1."""

import os
import string
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.client import Closed
from support.mqtt import V31, V311, V5, VERSIONS
from support.suite import BrokerTest, main


class Handshake(BrokerTest):
    def test_each_version_is_accepted(self):
        """[MQTT-3.1.4-5], [MQTT-3.2.2-2]"""
        for version in VERSIONS:
            with self.subTest(version=version):
                client = self.connect(version=version)
                self.assertFalse(client.connack.session_present)
                client.ping()

    def test_wrong_protocol_name_is_refused(self):
        """[MQTT-3.1.2-1]; a CONNACK with 0x84 may come first."""
        for version, name in ((V311, "MQTX"), (V5, "MQIsdp"), (V5, "mqtt"), (V5, "MQT"), (V31, "")):
            with self.subTest(version=version, name=name):
                client = self.open(version)
                client.send(mqtt.connect(self.client_id(), version, protocol=name))
                packets = client.drain_until_closed()
                self.assertTrue(all(p.reason in (0x01, 0x84) for p in packets), packets)

    def test_unknown_level_is_answered_with_its_code(self):
        """[MQTT-3.1.2-2], [MQTT-3.1.2-2 of 3.1.1]"""
        for level, version, code in ((0, V311, 1), (1, V311, 1), (2, V311, 1), (6, V5, 0x84)):
            with self.subTest(level=level):
                client = self.open(version)
                client.send(mqtt.connect(self.client_id(), version, level=level))
                for packet in client.drain_until_closed():
                    self.assertEqual((packet.kind, packet.reason), (mqtt.CONNACK, code))

    def test_second_connect_is_a_protocol_error(self):
        """[MQTT-3.1.0-2]"""
        for version in VERSIONS:
            with self.subTest(version=version):
                client = self.connect("twice", version)
                client.send(mqtt.connect(self.client_id("twice"), version))
                client.expect_end(0x82)

    def test_connect_arrives_byte_by_byte(self):
        for version in VERSIONS:
            client = self.open(version)
            for byte in mqtt.connect(self.client_id(), version, user="u", password="p"):
                client.send(bytes([byte]))
                time.sleep(0.001)
            client.expect(mqtt.CONNACK, reason=0)

    def test_packets_behind_connect_need_not_wait_for_connack(self):
        """Section 3.1.4, non-normative: clients may send at once."""
        topic = self.topic("eager")
        for version in VERSIONS:
            client = self.open(version)
            client.send(
                mqtt.connect(self.client_id(), version),
                mqtt.subscribe(1, [(topic, 0)], version=version),
                mqtt.publish(topic, "hello", version=version),
            )
            client.expect(mqtt.CONNACK, reason=0)
            client.expect(mqtt.SUBACK, packet_id=1)
            client.message(topic, "hello")

    def test_nothing_behind_a_refused_connect_is_processed(self):
        """[MQTT-3.1.4-6], [MQTT-3.1.4-5 of 3.1.1]"""
        watcher = self.subscriber("refused")
        client = self.open()
        client.send(
            mqtt.connect(self.client_id(), props=[(mqtt.AUTHENTICATION_METHOD, "nobody-knows")]),
            mqtt.publish(self.topic("refused"), "must not arrive"),
        )
        client.expect_end(0x8C)
        client = self.open(V311)
        client.send(
            mqtt.connect("", V311, clean=False),
            mqtt.publish(self.topic("refused"), "must not arrive", version=V311),
        )
        client.expect_end()
        watcher.expect_nothing()


class Flags(BrokerTest):
    def refused(self, version, reasons, **arguments):
        client = self.open(version)
        client.send(mqtt.connect(self.client_id(), version, **arguments))
        if version == V5:
            client.expect_end(*reasons)
        else:
            client.expect_close()  # [MQTT-3.1.4-1 of 3.1.1]: without a CONNACK.

    def test_reserved_flag_is_refused(self):
        """[MQTT-3.1.2-3]"""
        for version in (V311, V5):
            self.refused(version, (0x81,), flags=0x03)

    def test_will_qos_3_is_refused(self):
        """[MQTT-3.1.2-12], [MQTT-3.1.2-14 of 3.1.1]"""
        for version in VERSIONS:
            self.refused(version, (0x81,), will=mqtt.Will("w", "x", qos=3))

    def test_will_qos_without_will_is_refused(self):
        """[MQTT-3.1.2-11]"""
        for version in VERSIONS:
            for flags in (0x0A, 0x12):
                self.refused(version, (0x81,), flags=flags)

    def test_will_retain_without_will_is_refused(self):
        """[MQTT-3.1.2-13]"""
        for version in VERSIONS:
            self.refused(version, (0x81,), flags=0x22)

    def test_flags_without_their_fields_are_refused(self):
        """[MQTT-3.1.2-9], [MQTT-3.1.2-17], [MQTT-3.1.2-19]"""
        for version in VERSIONS:
            for flags in (0x82, 0xC2, 0x06):
                self.refused(version, (0x81,), flags=flags)

    def test_fields_without_their_flags_are_refused(self):
        """[MQTT-3.1.2-16], [MQTT-3.1.2-18]"""
        for version in VERSIONS:
            self.refused(version, (0x81,), flags=0x02, user="u")
            self.refused(version, (0x81,), flags=0x82, user="u", password="p")

    def test_password_without_user_name(self):
        """[MQTT-3.1.2-22 of 3.1.1] forbids what 5.0 allows."""
        for version in (V31, V311):
            self.refused(version, (), password="secret")
        self.connect(version=V5, password="secret").ping()

    def test_user_name_and_password_are_no_obstacle_for_anonymous_access(self):
        for version in VERSIONS:
            self.connect(version=version, user="somebody", password="something").ping()
            self.connect(version=version, user="somebody").ping()


class Identifiers(BrokerTest):
    def test_identifiers_that_every_server_must_accept(self):
        """[MQTT-3.1.3-5]"""
        letters = string.digits + string.ascii_letters
        for version in VERSIONS:
            for text in ("a", "Z9", letters[:23], letters[20:43], letters[39:62]):
                client = self.open(version)
                client.connect(text)
                client.disconnect()

    def test_long_and_foreign_identifiers(self):
        for version in (V311, V5):
            for text in ("x" * 1000, "grüße-Ω-😀", "\ufeffbom", "a b\tc", "x" * 65535):
                client = self.open(version)
                client.connect(text)
                client.disconnect()

    def test_empty_identifier_in_5_is_replaced_and_told(self):
        """[MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]"""
        seen = set()
        for clean in (True, False, True, False):
            client = self.open()
            connack = client.connect("", clean=clean)
            assigned = connack.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER)
            self.assertTrue(assigned)
            self.assertNotIn(assigned, seen)
            seen.add(assigned)

    def test_assigned_identifier_names_the_session(self):
        """[MQTT-3.1.3-7]"""
        first = self.open()
        props = [(mqtt.SESSION_EXPIRY_INTERVAL, 60)]
        connack = first.connect("", clean=False, props=props)
        assigned = connack.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER)
        first.disconnect()
        second = self.open()
        self.assertTrue(second.connect(assigned, clean=False, props=props).session_present)
        second.disconnect(0, [(mqtt.SESSION_EXPIRY_INTERVAL, 0)])

    def test_given_identifier_is_not_assigned(self):
        connack = self.connect("given").connack
        self.assertIsNone(connack.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER))

    def test_empty_identifier_in_311(self):
        """[MQTT-3.1.3-6 of 3.1.1], [MQTT-3.1.3-7 of 3.1.1], [MQTT-3.1.3-8 of 3.1.1]"""
        self.open(V311).connect("", clean=True)
        self.open(V311).connect("", clean=True)
        client = self.open(V311)
        client.connect("", clean=False, code=2)
        client.expect_close()

    def test_empty_identifier_in_31_is_refused(self):
        """3.1, section 3.1: the identifier has 1 to 23 characters; else code 2."""
        for clean in (True, False):
            client = self.open(V31)
            client.connect("", clean=clean, code=2)
            client.expect_close()


class Properties(BrokerTest):
    def refused(self, props, *reasons):
        client = self.open()
        client.send(mqtt.connect(self.client_id(), props=props))
        client.expect_end(*reasons)

    def test_connack_announces_sane_limits(self):
        """[MQTT-3.2.2-8] and section 3.2.2.3"""
        connack = self.connect().connack
        self.assertNotEqual(connack.prop(mqtt.RECEIVE_MAXIMUM, 65535), 0)
        self.assertNotEqual(connack.prop(mqtt.MAXIMUM_PACKET_SIZE, 1), 0)
        for identifier in (
            mqtt.RETAIN_AVAILABLE,
            mqtt.WILDCARD_SUBSCRIPTION_AVAILABLE,
            mqtt.SUBSCRIPTION_IDENTIFIER_AVAILABLE,
            mqtt.SHARED_SUBSCRIPTION_AVAILABLE,
        ):
            self.assertEqual(connack.prop(identifier, 1), 1)
        # Allowed values are 0 and 1; 2 is said by saying nothing.
        self.assertIsNone(connack.prop(mqtt.MAXIMUM_QOS))

    def test_every_property_at_once(self):
        connack = self.connect(
            props=[
                (mqtt.SESSION_EXPIRY_INTERVAL, 0),
                (mqtt.RECEIVE_MAXIMUM, 65535),
                (mqtt.MAXIMUM_PACKET_SIZE, 0xFFFFFFFF),
                (mqtt.TOPIC_ALIAS_MAXIMUM, 65535),
                (mqtt.REQUEST_RESPONSE_INFORMATION, 0),
                (mqtt.REQUEST_PROBLEM_INFORMATION, 1),
                (mqtt.USER_PROPERTY, ("a", "1")),
                (mqtt.USER_PROPERTY, ("a", "2")),
                (mqtt.USER_PROPERTY, ("", "")),
            ]
        ).connack
        # [MQTT-3.1.2-28], [MQTT-4.12.0-6]
        self.assertIsNone(connack.prop(mqtt.RESPONSE_INFORMATION))
        self.assertIsNone(connack.prop(mqtt.AUTHENTICATION_METHOD))

    def test_values_that_are_protocol_errors(self):
        """Sections 3.1.2.11.3 to 3.1.2.11.7"""
        self.refused([(mqtt.RECEIVE_MAXIMUM, 0)], 0x82)
        self.refused([(mqtt.MAXIMUM_PACKET_SIZE, 0)], 0x82)
        self.refused([(mqtt.REQUEST_RESPONSE_INFORMATION, 2)], 0x82)
        self.refused([(mqtt.REQUEST_PROBLEM_INFORMATION, 2)], 0x82)

    def test_property_given_twice_is_a_protocol_error(self):
        for identifier, value in (
            (mqtt.SESSION_EXPIRY_INTERVAL, 1),
            (mqtt.RECEIVE_MAXIMUM, 1),
            (mqtt.MAXIMUM_PACKET_SIZE, 1000),
            (mqtt.TOPIC_ALIAS_MAXIMUM, 1),
            (mqtt.REQUEST_RESPONSE_INFORMATION, 0),
            (mqtt.REQUEST_PROBLEM_INFORMATION, 0),
            (mqtt.AUTHENTICATION_METHOD, "m"),
        ):
            with self.subTest(identifier=identifier):
                self.refused([(identifier, value)] * 2, 0x82)

    def test_authentication_data_without_method_is_a_protocol_error(self):
        """Section 3.1.2.11.10"""
        self.refused([(mqtt.AUTHENTICATION_DATA, b"data")], 0x82)

    def test_unknown_authentication_method_is_refused(self):
        """[MQTT-4.12.0-1]"""
        self.refused([(mqtt.AUTHENTICATION_METHOD, "SCRAM-SHA-1")], 0x8C)
        self.refused(
            [(mqtt.AUTHENTICATION_METHOD, "X"), (mqtt.AUTHENTICATION_DATA, b"\0" * 100)], 0x8C
        )

    def test_session_expiry_is_the_one_asked_for(self):
        """Section 3.2.2.3.2: CONNACK names it only if the server uses another."""
        for seconds in (0, 1, 3600, 0xFFFFFFFF):
            name = f"expiry{seconds}"
            client = self.connect(name, props=[(mqtt.SESSION_EXPIRY_INTERVAL, seconds)])
            told = client.connack.prop(mqtt.SESSION_EXPIRY_INTERVAL, seconds)
            self.assertEqual(told, seconds)
            client.disconnect(0, [(mqtt.SESSION_EXPIRY_INTERVAL, 0)])

    def test_no_problem_information_unless_requested(self):
        """[MQTT-3.1.2-29]"""
        client = self.connect(props=[(mqtt.REQUEST_PROBLEM_INFORMATION, 0)])
        # 0x11: no subscription existed.
        got = client.unsubscribe(self.topic("never"), codes=[0x11])
        self.assertEqual(got.properties, [])
        packets = [client.publish(self.topic("x"), "x", qos=1)]
        client.send(mqtt.ack(mqtt.PUBREL, 999))
        packets.append(client.expect(mqtt.PUBCOMP, packet_id=999, reason=0x92))
        for packet in packets:
            self.assertEqual(packet.properties, [])


class KeepAlive(BrokerTest):
    def test_silent_client_is_disconnected(self):
        """[MQTT-3.1.2-22], [MQTT-3.1.2-24 of 3.1.1]"""
        for version in VERSIONS:
            with self.subTest(version=version):
                self.connect(version=version, keep_alive=1).expect_end(0x8D)

    def test_packets_of_every_kind_keep_a_client_alive(self):
        client = self.connect(keep_alive=1)
        for index in range(5):
            time.sleep(0.6)
            if index % 2:
                client.ping()
            else:
                client.publish(self.topic("alive"), "x", qos=index % 3)
        client.ping()

    def test_receiving_does_not_keep_a_client_alive(self):
        """Only what the client sends counts."""
        client = self.connect(keep_alive=1)
        client.subscribe(self.topic("ticks"))
        publisher = self.connect()
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                publisher.publish(self.topic("ticks"), "tick")
                packet = client.receive(0.2)
                if packet and packet.kind == mqtt.DISCONNECT:
                    self.assertEqual(packet.reason, 0x8D)
                    return
        except Closed:
            return
        self.fail("still connected")

    def test_zero_turns_keep_alive_off(self):
        client = self.connect(keep_alive=0)
        client.expect_quiet(2.5)
        client.ping()

    def test_no_server_keep_alive_without_a_limit(self):
        """[MQTT-3.2.2-22]"""
        connack = self.connect(keep_alive=600).connack
        self.assertIsNone(connack.prop(mqtt.SERVER_KEEP_ALIVE))


class ServerKeepAlive(BrokerTest):
    CONFIG = "max_keepalive 10\n"  # Mosquitto's lowest.

    def test_connack_names_the_limit(self):
        """Section 3.2.2.3.14"""
        for asked, told in ((60, 10), (11, 10), (10, None), (1, None)):
            connack = self.connect(keep_alive=asked).connack
            self.assertIn(connack.prop(mqtt.SERVER_KEEP_ALIVE), (told, min(asked, 10)))

    def test_client_without_keep_alive_gets_the_limit(self):
        connack = self.connect(keep_alive=0).connack
        self.assertEqual(connack.prop(mqtt.SERVER_KEEP_ALIVE), 10)

    def test_the_limit_holds(self):
        client = self.connect(keep_alive=3600)
        client.arrival_s = 60
        client.expect_end(0x8D)

    def test_client_that_keeps_to_the_limit_stays(self):
        """A known fault elsewhere: healthy clients were cut when a limit was set."""
        client = self.connect(keep_alive=60)
        for _ in range(3):
            time.sleep(6)
            client.ping()


if __name__ == "__main__":
    main()
