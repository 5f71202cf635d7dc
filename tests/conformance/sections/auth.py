"""Enhanced authentication: AUTH, section 3.15 and 4.12.

A server that offers SCRAM is asked to do it; where it doesn't offer that, what needs
an exchange can't be tested.
"""

import base64
import hashlib
import hmac
import secrets

import options
from case import ConformanceTest, covers, mqtt
from support.mqtt import (
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    MAXIMUM_PACKET_SIZE,
    USER_PROPERTY,
)

CONTINUE, AGAIN = 0x18, 0x19
METHODS = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512", "SCRAM-SHA-1": "sha1"}


class Scram:
    """The client's side of RFC 5802, without channel binding."""

    def __init__(self, method):
        self.method = method
        self.digest = METHODS[method]
        self.first_bare = f"n={options.user},r={secrets.token_urlsafe(18)}"

    def first(self):
        return f"n,,{self.first_bare}".encode()

    def final(self, server_first):
        fields = dict(part.split("=", 1) for part in server_first.decode().split(","))
        bare = f"c=biws,r={fields['r']}"
        salted = hashlib.pbkdf2_hmac(
            self.digest, options.password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        key = hmac.digest(salted, b"Client Key", self.digest)
        stored = hashlib.new(self.digest, key).digest()
        message = f"{self.first_bare},{server_first.decode()},{bare}".encode()
        signature = hmac.digest(stored, message, self.digest)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def props(self, data):
        return [(AUTHENTICATION_METHOD, self.method), (AUTHENTICATION_DATA, data)]


class Exchange(ConformanceTest):
    def begin(self):
        """A connection to which the server has answered AUTH, with what it takes to
        go on; skips the test if it does that for no method."""
        for method in METHODS:
            scram = Scram(method)
            client = self.open()
            client.send(mqtt.connect(self.client_id(secrets.token_hex(4)),
                                     props=scram.props(scram.first())))
            got = client.receive()
            if got is not None and got.kind == mqtt.AUTH:
                return client, scram, got
            client.close()
        return self.skipTest("the broker doesn't offer enhanced authentication (SCRAM)")

    def authenticated(self):
        client, scram, got = self.begin()
        proof = scram.final(got.prop(AUTHENTICATION_DATA))
        client.send(mqtt.auth(CONTINUE, scram.props(proof)))
        got = client.expect(mqtt.CONNACK, reason=0)
        self.assertEqual(got.prop(AUTHENTICATION_METHOD), scram.method)
        return client, scram

    @covers(v5="MQTT-4.12.0-2 MQTT-4.12.0-5 MQTT-3.15.2-1 MQTT-3.15.2-2 MQTT-3.15.2-3")
    def test_server_asks_for_more(self):
        _client, scram, got = self.begin()
        self.assertEqual(got.reason, CONTINUE)
        self.assertEqual(got.prop(AUTHENTICATION_METHOD), scram.method)
        # What doesn't fit is left out, and what remains is this.
        needed = [p for p in got.properties if p[0] not in (mqtt.REASON_STRING, USER_PROPERTY)]
        size = len(mqtt.auth(got.reason, needed)) + 3
        again = Scram(scram.method)
        props = [*again.props(again.first()), (MAXIMUM_PACKET_SIZE, size)]
        client = self.open()
        client.send(mqtt.connect(self.client_id("small"), props=props))
        self.assertLessEqual(len(client.expect(mqtt.AUTH).raw), size)
        client.close()

    @covers(v5="MQTT-4.12.0-5")
    def test_success_names_the_method(self):
        self.authenticated()

    @covers(v5="MQTT-3.1.2-30")
    def test_nothing_but_auth_before_connack(self):
        for packet in (
            mqtt.publish(self.topic("a"), "x"),
            mqtt.subscribe(1, [(self.topic("a"), 0)]),
            mqtt.pingreq(),
        ):
            client, _scram, _got = self.begin()
            client.send(packet)
            for answer in self.ended(client):
                self.assertIn(answer.kind, (mqtt.CONNACK, mqtt.DISCONNECT))

    @covers(v5="MQTT-4.12.0-3")
    def test_client_has_to_continue(self):
        for reason in (0x00, AGAIN):
            client, scram, got = self.begin()
            proof = scram.final(got.prop(AUTHENTICATION_DATA))
            client.send(mqtt.auth(reason, scram.props(proof)))
            self.ended(client)

    @covers(v5="MQTT-4.12.0-4 MQTT-4.12.0-5")
    def test_wrong_proof_or_method(self):
        for change in ("proof", "method"):
            client, scram, got = self.begin()
            proof = scram.final(got.prop(AUTHENTICATION_DATA))
            if change == "proof":
                proof = proof[:-8] + b"AAAAAAA="
            else:
                scram.method = "other"
            client.send(mqtt.auth(CONTINUE, scram.props(proof)))
            for answer in self.ended(client):
                self.assertGreaterEqual(answer.reason, 0x80)

    @covers(v5="MQTT-4.12.1-1 MQTT-4.12.1-2")
    def test_authenticating_again(self):
        client, scram = self.authenticated()
        again = Scram(scram.method)
        client.send(mqtt.auth(AGAIN, again.props(again.first())))
        got = client.expect(mqtt.AUTH, reason=CONTINUE)
        proof = again.final(got.prop(AUTHENTICATION_DATA))
        client.send(mqtt.auth(CONTINUE, again.props(proof)))
        client.expect(mqtt.AUTH, reason=0)
        client.ping()
        again = Scram(scram.method)
        again.method = "other"
        client.send(mqtt.auth(AGAIN, again.props(again.first())))
        self.ended(client)
        client, scram = self.authenticated()
        again = Scram(scram.method)
        client.send(mqtt.auth(AGAIN, again.props(again.first())))
        client.expect(mqtt.AUTH, reason=CONTINUE)
        client.send(mqtt.auth(CONTINUE, again.props(b"c=biws,r=x,p=AAAA")))
        self.ended(client)


class Without(ConformanceTest):
    @covers(v5="MQTT-4.12.0-1")
    def test_unknown_method(self):
        method = [(AUTHENTICATION_METHOD, f"method-{self.unique}")]
        for props in (method, [*method, (AUTHENTICATION_DATA, b"data")]):
            self.refuses(mqtt.connect(self.client_id(), props=props), reasons=(0x8C, 0x87))

    @covers(v5="MQTT-4.12.0-6")
    def test_server_does_not_begin(self):
        client = self.open()
        client.send(mqtt.connect(self.client_id(), user="u", password="p"))
        got = client.receive()
        self.assertEqual(got.kind, mqtt.CONNACK)
        self.assertIsNone(got.prop(AUTHENTICATION_METHOD))
        got = self.connect().connack
        self.assertIsNone(got.prop(AUTHENTICATION_METHOD))
        self.assertIsNone(got.prop(AUTHENTICATION_DATA))

    @covers(v5="MQTT-4.12.0-7")
    def test_client_sends_auth_all_the_same(self):
        for packet in (
            mqtt.auth(),
            mqtt.auth(AGAIN, [(AUTHENTICATION_METHOD, "m")]),
            mqtt.auth(CONTINUE, [(AUTHENTICATION_METHOD, "m"), (AUTHENTICATION_DATA, b"d")]),
        ):
            answers = self.ends(packet, reasons=(0x81, 0x82, 0x8C, 0x87))
            self.assertNotIn(mqtt.AUTH, [p.kind for p in answers])

    @covers(v5="MQTT-3.15.1-1")
    def test_flags(self):
        for flags in range(1, 16):
            self.ends(mqtt.auth(AGAIN, [(AUTHENTICATION_METHOD, "m")], flags=flags),
                      reasons=(0x81, 0x82))
