"""CONNECT: section 3.1, without wills and what follows from its properties."""

import time

from case import ILL_FORMED, ConformanceTest, covers, expiry, mqtt
from support.mqtt import Will


MALFORMED = (0x81, 0x82)


class First(ConformanceTest):
    @covers("MQTT-3.1.0-1")
    def test_first_packet_is_connect(self):
        for packet in (
            self.packet("publish", self.topic("a"), "x"),
            self.packet("publish", self.topic("a"), "x", 1, 1),
            self.packet("subscribe", 1, [(self.topic("a"), 0)]),
            self.packet("unsubscribe", 1, [self.topic("a")]),
            mqtt.pingreq(),
            mqtt.ack(mqtt.PUBREL, 1),
            mqtt.disconnect(),
        ):
            self.refuses(packet)

    @covers("MQTT-3.1.0-2", v5="MQTT-3.2.0-2")
    def test_second_connect(self):
        for clean in (True, False):
            client = self.connect()
            client.send(self.packet("connect", self.client_id("other"), clean=clean))
            got = self.ended(client, 0x82)
            self.assertNotIn(mqtt.CONNACK, [p.kind for p in got])

    @covers("MQTT-3.1.2-1")
    def test_protocol_name(self):
        for name in ("mqtt", "MQTTX", "MQT", "", "XMQTT"):
            packet = self.packet("connect", self.client_id(), protocol=name)
            self.refuses(packet, reasons=(0x84, 0x81))

    @covers(v5="MQTT-3.1.2-2", v311="MQTT-3.1.2-2 MQTT-3.2.2-5")
    def test_protocol_version(self):
        """3.1.1 wants 0x01; a server of 5.0 may use its own word, 0x84, or none."""
        for level in (1, 6, 7, 100, 127):
            client = self.open()
            client.send(self.packet("connect", self.client_id(), level=level))
            data = self.raw_answer(client)
            if data or not self.v5:
                self.assertEqual((data[:1], data[2]), (b"\x20", 0), data)
                self.assertIn(data[3], (0x01, 0x84), data)

    def raw_answer(self, client):
        """All bytes up to the end of the connection."""
        data = b""
        client.socket.settimeout(client.arrival_s)
        while True:
            try:
                more = client.socket.recv(4096)
            except ConnectionResetError:
                more = b""
            if not more:
                return data
            data += more

    @covers("MQTT-3.1.2-3 MQTT-3.1.4-1")
    def test_reserved_flag(self):
        for flags in (0x01, 0x03):
            self.refuses(self.packet("connect", self.client_id(), flags=flags), reasons=MALFORMED)


class Format(ConformanceTest):
    def remade(self, packet, change):
        """`packet` with another body."""
        return mqtt.packet(mqtt.CONNECT, 0, change(packet[2:]))

    @covers("MQTT-3.1.4-1")
    def test_truncated(self):
        whole = self.packet("connect", self.client_id(), user="u", password="p",
                            will=Will(self.topic("w"), "x"))
        for length in range(len(whole) - 2):
            packet = self.remade(whole, lambda body, length=length: body[:length])
            answers = self.refuses(packet)
            if not self.v5:
                self.assertEqual(answers, [])

    @covers("MQTT-3.1.4-1")
    def test_bytes_too_many(self):
        answers = self.refuses(self.remade(self.packet("connect", self.client_id()),
                                           lambda body: body + b"\0"))
        if not self.v5:
            self.assertEqual(answers, [])

    @covers(v5="MQTT-3.1.2-11 MQTT-3.1.2-13", v311="MQTT-3.1.2-11 MQTT-3.1.2-13 MQTT-3.1.2-15")
    def test_will_bits_without_will(self):
        for flags in (0x0A, 0x12, 0x1A, 0x22, 0x2A):
            self.refuses(self.packet("connect", self.client_id(), flags=flags), reasons=MALFORMED)

    @covers(v311="MQTT-3.1.2-11")
    def test_will_fields_without_will(self):
        packet = self.packet("connect", self.client_id(), flags=0x02,
                             will=Will(self.topic("w"), "x"))
        self.refuses(packet)

    @covers(v5="MQTT-3.1.2-12", v311="MQTT-3.1.2-14")
    def test_will_qos_3(self):
        packet = self.packet("connect", self.client_id(), will=Will(self.topic("w"), "x", qos=3))
        self.refuses(packet, reasons=MALFORMED)

    @covers("MQTT-3.1.2-9")
    def test_will_without_its_fields(self):
        for flags in (0x06, 0x0E, 0x16, 0x26):
            self.refuses(self.packet("connect", self.client_id(), flags=flags), reasons=MALFORMED)

    @covers(v5="MQTT-3.1.2-16", v311="MQTT-3.1.2-18")
    def test_user_name_without_flag(self):
        self.refuses(self.packet("connect", self.client_id(), flags=0x02, user="u"),
                     reasons=MALFORMED)

    @covers(v5="MQTT-3.1.2-17", v311="MQTT-3.1.2-19")
    def test_flag_without_user_name(self):
        self.refuses(self.packet("connect", self.client_id(), flags=0x82), reasons=MALFORMED)

    @covers(v5="MQTT-3.1.2-18", v311="MQTT-3.1.2-20")
    def test_password_without_flag(self):
        packet = self.packet("connect", self.client_id(), flags=0x82, user="u", password="p")
        self.refuses(packet, reasons=MALFORMED)

    @covers(v5="MQTT-3.1.2-19", v311="MQTT-3.1.2-21")
    def test_flag_without_password(self):
        self.refuses(self.packet("connect", self.client_id(), flags=0xC2, user="u"),
                     reasons=MALFORMED)

    @covers(v311="MQTT-3.1.2-22")
    def test_password_without_user_name(self):
        self.refuses(self.packet("connect", self.client_id(), password="p"))

    @covers(v5="MQTT-3.1.3-3 MQTT-3.1.3-4", v311="MQTT-3.1.3-3 MQTT-3.1.3-4")
    def test_client_identifier_is_there_and_text(self):
        whole = self.packet("connect", "")
        self.refuses(self.remade(whole, lambda body: body[:-2]), reasons=MALFORMED)
        for text in (*ILL_FORMED, b"a\0"):
            self.refuses(self.packet("connect", text), reasons=(0x81, 0x82, 0x85))

    @covers(v5="MQTT-3.1.3-11", v311="MQTT-3.1.3-10")
    def test_will_topic_is_text(self):
        for text in (*ILL_FORMED, b"a\0"):
            packet = self.packet("connect", self.client_id(), will=Will(text, "x"))
            self.refuses(packet, reasons=(0x81, 0x82, 0x90))

    @covers(v5="MQTT-3.1.3-12", v311="MQTT-3.1.3-11")
    def test_user_name_is_text(self):
        for text in (*ILL_FORMED, b"a\0"):
            packet = self.packet("connect", self.client_id(), user=text, password="p")
            self.refuses(packet, reasons=(0x81, 0x82, 0x86))

    @covers("MQTT-3.1.3-1")
    def test_order_of_the_fields(self):
        """The will that is published shows how the fields before and after were read."""
        watcher = self.subscriber("w")
        client = self.connect("ordered", user="u", password="p",
                              will=Will(self.topic("w"), "message"))
        other = self.connect("ordered")  # Only the same client identifier ends the first.
        client.drain_until_closed()
        watcher.message(self.topic("w"), "message")
        other.disconnect()


class Identifiers(ConformanceTest):
    @covers("MQTT-3.1.3-5")
    def test_identifiers_that_must_do(self):
        alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        if self.v5:
            alphabet = alphabet[::-1]  # The other version's clients are there, too.
        for name in (alphabet[:23], alphabet[20:43], alphabet[-23:], alphabet[0], alphabet[20]):
            client = self.open()
            client.connect(name)
            client.disconnect()

    @covers("MQTT-3.1.3-6", v5="MQTT-3.1.3-7 MQTT-3.2.2-16")
    def test_identifier_of_the_servers_choice(self):
        """If the server accepts an empty one, those clients don't meet each other."""
        clients = []
        for _ in range(3):
            client = self.open()
            client.send(self.packet("connect", ""))
            client.connack = client.expect(mqtt.CONNACK)
            if client.connack.reason:
                self.assertIn(client.connack.reason, (0x02, 0x85))
                client.expect_close()
                self.skipTest("the server doesn't accept an empty client identifier")
            clients.append(client)
        for client in clients:
            client.ping()
        if self.v5:
            names = {c.connack.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER) for c in clients}
            self.assertEqual(len(names - {None, ""}), 3)

    @covers(v5="MQTT-3.1.3-7")
    def test_assigned_identifier_is_the_clients(self):
        client = self.open()
        client.send(mqtt.connect("", props=expiry(300)))
        got = client.expect(mqtt.CONNACK)
        if got.reason:
            self.skipTest("the server doesn't accept an empty client identifier")
        name = got.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER)
        client.subscribe(self.topic("a"), qos=1)
        client.disconnect()
        self.connect().publish(self.topic("a"), "x", qos=1)
        again = self.open()
        got = again.connect(name, clean=False, props=expiry(0))
        self.assertTrue(got.session_present)
        self.assertIsNone(got.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER))
        again.message(self.topic("a"), "x")
        again.disconnect()

    @covers(v311="MQTT-3.1.3-7 MQTT-3.1.3-8 MQTT-3.2.2-5")
    def test_empty_identifier_needs_a_clean_session(self):
        client = self.open()
        client.connect("", clean=False, code=2)
        client.expect_close()


class RejectedIdentifier(ConformanceTest):
    CONFIG = "clientid_prefixes good-\n"

    @covers(v5="MQTT-3.1.3-8")
    def test_rejected_identifier(self):
        client = self.open()
        client.connect("good-one")
        answers = self.refuses(mqtt.connect("bad-one"))
        for answer in answers:
            self.assertIn(answer.reason, (0x85, 0x87))

    @covers(v311="MQTT-3.1.3-9 MQTT-3.2.2-5")
    def test_rejected_identifier_has_a_code(self):
        client = self.open()
        client.connect("good-one")
        client = self.open()
        client.connect("bad-one", code=2)
        client.expect_close()


class Validation(ConformanceTest):
    CONFIG = "allow_anonymous false\n"

    @covers(v5="MQTT-3.1.4-2 MQTT-4.13.2-1 MQTT-3.2.2-7 MQTT-3.2.2-8", v311="MQTT-3.2.2-5")
    def test_client_that_is_not_authorized(self):
        self.refuses(self.packet("connect", self.client_id()), reasons=(0x86, 0x87, 0x8C))


class Accepted(ConformanceTest):
    @covers(v5="MQTT-3.1.4-5", v311="MQTT-3.1.4-4")
    def test_connack_0(self):
        for clean in (True, False):
            client = self.open()
            client.connect(self.client_id(), clean=clean)
            client.disconnect()

    @covers(v5="MQTT-3.1.4-3", v311="MQTT-3.1.4-2")
    def test_takeover(self):
        for clean in (True, False):
            old = self.connect("taken")
            new = self.connect("taken", clean=clean)
            got = self.ended(old, 0x8E)
            self.assertEqual([p.kind for p in got if p.kind != mqtt.DISCONNECT], [])
            if self.v5:
                self.assertEqual([p.reason for p in got], [0x8E])
            new.ping()
            new.disconnect()

    @covers(v5="MQTT-3.1.4-6", v311="MQTT-3.1.4-5")
    def test_what_follows_a_rejected_connect(self):
        watcher = self.subscriber("a")
        after = self.packet("publish", self.topic("a"), "x")
        for packet in (
            self.packet("connect", self.client_id(), flags=0x03),
            self.packet("connect", self.client_id(), will=Will("w", "x", qos=3)),
        ):
            self.refuses(packet, after)
        if self.v5:
            method = [(mqtt.AUTHENTICATION_METHOD, self.unique)]
            self.refuses(self.packet("connect", self.client_id(), props=method), after)
        else:
            self.refuses(self.packet("connect", "", clean=False), after)
        self.assert_silent(watcher)


class Ranges(ConformanceTest):
    def refused_property(self, identifier, *values):
        for value in values:
            packet = mqtt.connect(self.client_id(), props=[(identifier, value)])
            self.refuses(packet, reasons=MALFORMED)

    @covers(v5="MILLRACE-5-3.1.2-1")
    def test_receive_maximum_0(self):
        self.refused_property(mqtt.RECEIVE_MAXIMUM, 0)

    @covers(v5="MILLRACE-5-3.1.2-2")
    def test_maximum_packet_size_0(self):
        self.refused_property(mqtt.MAXIMUM_PACKET_SIZE, 0)

    @covers(v5="MILLRACE-5-3.1.2-3")
    def test_request_response_information(self):
        self.refused_property(mqtt.REQUEST_RESPONSE_INFORMATION, 2, 255)

    @covers(v5="MILLRACE-5-3.1.2-4")
    def test_request_problem_information(self):
        self.refused_property(mqtt.REQUEST_PROBLEM_INFORMATION, 2, 255)

    @covers(v5="MILLRACE-5-3.1.2-5")
    def test_authentication_data_without_method(self):
        self.refused_property(mqtt.AUTHENTICATION_DATA, b"data")


class KeepAlive(ConformanceTest):
    """A client that says nothing has to be ended after one and a half times its Keep
    Alive: here between that and twice that, but for the time a busy machine takes."""

    def silent(self, seconds, **arguments):
        watcher = self.subscriber("will")
        client = self.connect(keep_alive=seconds, will=Will(self.topic("will"), "gone"),
                              **arguments)
        if self.v5:
            seconds = client.connack.prop(mqtt.SERVER_KEEP_ALIVE, seconds)
        client.arrival_s = 3 * seconds + 5
        return watcher, client, seconds

    @covers(v5="MQTT-3.1.2-22", v311="MQTT-3.1.2-24")
    def test_silence(self):
        watcher, client, seconds = self.silent(2)
        started = time.monotonic()
        self.ended(client, 0x8D)
        waited = time.monotonic() - started
        self.assertGreater(waited, 1.4 * seconds)
        self.assertLess(waited, 2 * seconds + 3)
        watcher.message(payload="gone")  # As on a network failure.

    @covers(v5="MQTT-3.2.2-22")
    def test_without_server_keep_alive(self):
        client = self.connect(keep_alive=1)
        if client.connack.prop(mqtt.SERVER_KEEP_ALIVE) is not None:
            self.skipTest("the server has its own Keep Alive")
        self.ended(client, 0x8D)

    @covers(v5="MQTT-3.1.2-22", v311="MQTT-3.1.2-24")
    def test_any_packet_counts(self):
        _watcher, client, seconds = self.silent(2)
        for _ in range(3):
            time.sleep(0.6 * seconds)
            client.send(self.packet("publish", self.topic("a"), "x"))
        client.ping()
        client.disconnect()
