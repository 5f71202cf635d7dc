#!/usr/bin/python3 -B
"""PINGREQ, DISCONNECT, AUTH, and what ends a connection: sections 3.12 to 3.15."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.mqtt import AUTHENTICATION_METHOD, V311, V5, VERSIONS
from support.suite import BrokerTest, main


class Ping(BrokerTest):
    def test_pingreq_is_answered(self):
        """[MQTT-3.12.4-1]"""
        for version in VERSIONS:
            client = self.connect(version=version)
            for _ in range(3):
                client.ping()
            client.send(mqtt.pingreq() * 100)
            for _ in range(100):
                client.expect(mqtt.PINGRESP)

    def test_pingreq_with_a_body(self):
        for version in VERSIONS:
            client = self.connect(version=version)
            client.send(mqtt.pingreq(body=b"\0"))
            client.expect_end(0x81)

    def test_pingreq_with_flags(self):
        """[MQTT-2.1.3-1]"""
        for version in (V311, V5):
            for flags in (1, 2, 4, 8, 15):
                client = self.connect(version=version)
                client.send(mqtt.pingreq(flags))
                client.expect_end(0x81)


class Disconnect(BrokerTest):
    def test_connection_is_closed(self):
        """[MQTT-3.14.4-1], [MQTT-3.14.4-2]: and nothing is answered."""
        for version in VERSIONS:
            client = self.connect(version=version)
            client.send(mqtt.disconnect())
            client.expect_close()

    def test_long_forms(self):
        props = [(mqtt.REASON_STRING, "because"), (mqtt.USER_PROPERTY, ("a", "b"))]
        for packet in (
            mqtt.disconnect(0),
            mqtt.disconnect(4),
            mqtt.disconnect(0, []),
            mqtt.disconnect(0, props),
            mqtt.disconnect(0x98, props),
        ):
            client = self.connect()
            client.send(packet)
            client.expect_close()

    def test_nothing_behind_it_is_processed(self):
        """Section 3.14.4"""
        watcher = self.subscriber("x")
        client = self.connect()
        client.send(mqtt.disconnect(), mqtt.publish(self.topic("x"), "late"), mqtt.pingreq())
        client.expect_close()
        watcher.expect_nothing()

    def test_messages_in_front_of_it_are_processed(self):
        watcher = self.subscriber("x", qos=1)
        for index in range(50):
            client = self.connect()
            client.send(
                mqtt.publish(self.topic("x"), f"{index}", 1, 1), mqtt.disconnect()
            )
            watcher.message(payload=f"{index}")
            client.close()

    def test_body_before_5(self):
        for version in VERSIONS[:2]:
            client = self.connect(version=version)
            client.send(mqtt.disconnect(0))
            client.expect_end()

    def test_server_reference_from_a_client(self):
        """Section 3.14.2.2.5: only the server sends it."""
        client = self.connect()
        client.send(mqtt.disconnect(0, [(mqtt.SERVER_REFERENCE, "elsewhere")]))
        packets = client.drain_until_closed()
        for packet in packets:
            self.assertIn(packet.reason, (0x81, 0x82))

    def test_property_twice(self):
        client = self.connect(props=[(mqtt.SESSION_EXPIRY_INTERVAL, 10)])
        client.send(mqtt.disconnect(0, [(mqtt.SESSION_EXPIRY_INTERVAL, 0)] * 2))
        client.expect_end(0x82)


class Auth(BrokerTest):
    def test_auth_without_method_in_connect(self):
        """[MQTT-4.12.0-7]: a Protocol Error."""
        for reason in (0x18, 0x19):
            client = self.connect()
            client.send(mqtt.auth(reason, [(AUTHENTICATION_METHOD, "m")]))
            client.expect_end(0x82)

    def test_auth_in_its_short_form(self):
        client = self.connect()
        client.send(mqtt.auth())
        client.expect_end(0x81, 0x82)

    def test_auth_with_wrong_flags(self):
        """[MQTT-3.15.1-1]"""
        for flags in (1, 2, 8, 15):
            client = self.connect()
            client.send(mqtt.auth(0x19, [(AUTHENTICATION_METHOD, "m")], flags))
            client.expect_end(0x81)

    def test_auth_with_a_reserved_reason(self):
        """[MQTT-3.15.2-1]"""
        for reason in (0x01, 0x17, 0x80, 0xFF):
            client = self.connect()
            client.send(mqtt.auth(reason, [(AUTHENTICATION_METHOD, "m")]))
            client.expect_end(0x81, 0x82)

    def test_auth_before_5(self):
        """Packet type 15 is reserved there."""
        for version in VERSIONS[:2]:
            client = self.connect(version=version)
            client.send(mqtt.auth())
            client.expect_end()

    def test_unknown_method(self):
        """[MQTT-4.12.0-1]"""
        for method in ("PLAIN", "", "x" * 1000, "ä"):
            client = self.open()
            client.send(mqtt.connect(self.client_id(), props=[(AUTHENTICATION_METHOD, method)]))
            client.expect_end(0x8C)


class WrongDirection(BrokerTest):
    def test_packets_that_only_a_server_sends(self):
        for version in VERSIONS:
            for packet in (
                mqtt.connack(version=version),
                mqtt.suback(1, [0], version=version),
                mqtt.suback(1, [0] if version == V5 else [], version=version, kind=mqtt.UNSUBACK),
                mqtt.packet(mqtt.PINGRESP, 0, b""),
            ):
                with self.subTest(version=version, packet=packet):
                    client = self.connect(version=version)
                    client.send(packet)
                    client.expect_end(0x81, 0x82)

    def test_reserved_packet_type(self):
        for version in VERSIONS:
            for body in (b"", b"\0", b"\0\1\0\1a"):
                client = self.connect(version=version)
                client.send(mqtt.packet(mqtt.RESERVED, 0, body))
                client.expect_end(0x81, 0x82)

    def test_first_packet_that_is_no_connect(self):
        """[MQTT-3.1.0-1]: closed without an answer."""
        for packet in (
            mqtt.pingreq(),
            mqtt.publish("a", "x"),
            mqtt.subscribe(1, [("a", 0)]),
            mqtt.disconnect(),
            mqtt.auth(0x18, [(AUTHENTICATION_METHOD, "m")]),
            mqtt.ack(mqtt.PUBACK, 1),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\0" * 64,
        ):
            with self.subTest(packet=packet):
                client = self.open()
                client.send(packet)
                client.expect_close()


if __name__ == "__main__":
    main()
