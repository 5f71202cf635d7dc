"""A broker with enhanced authentication (SCRAM-SHA-256), and mutants of it.

The proxy does the exchange and hands the broker a CONNECT without it. So the tests of
section 4.12 meet a server that they can pass, and such that they have to fail.
"""

import base64
import hashlib
import hmac
import secrets
import socket

import options
from case import mqtt
from mutants import breaks, without
from proxy import parse_connect
from support.mqtt import AUTHENTICATION_DATA, AUTHENTICATION_METHOD, V5

METHOD, SALT, ITERATIONS = "SCRAM-SHA-256", b"millrace salt", 100
CONTINUE, AGAIN = 0x18, 0x19


def proof_is_right(first_bare, server_first, final):
    bare, _, proof = final.decode().partition(",p=")
    salted = hashlib.pbkdf2_hmac("sha256", options.password.encode(), SALT, ITERATIONS)
    key = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(key).digest()
    signature = hmac.digest(stored, f"{first_bare},{server_first},{bare}".encode(), "sha256")
    wanted = bytes(a ^ b for a, b in zip(key, signature))
    try:
        return base64.b64decode(proof) == wanted
    except ValueError:
        return False


class Scram:
    """A change for the proxy. What it does wrong is in `faults`."""

    def __init__(self, *faults):
        self.faults = faults

    def __call__(self, link, from_client, data):
        if link.version != V5:
            return data
        if not from_client:
            return self.from_server(link, data)
        if data[0] == 0x10 and not link.auth:
            return self.begin(link, data)
        if data[0] == 0xF0 and link.auth:
            return self.go_on(link, data)
        if link.auth and link.auth["connect"] and data[0] != 0xE0:
            if "anything_goes" not in self.faults:  # Before CONNACK.
                return self.end(link, mqtt.connack(0x82))
            return b""
        return data

    def from_server(self, link, data):
        if data[0] != 0x20 or not link.auth or data[3] or "method_untold" in self.faults:
            return data
        packet = mqtt.decode(data, V5)
        return mqtt.connack(0, packet.session_present, V5,
                            [*packet.properties, (AUTHENTICATION_METHOD, METHOD)])

    def end(self, link, answer):
        link.client.sendall(answer)
        if "never_ends" not in self.faults:
            link.client.shutdown(socket.SHUT_RDWR)
        return b""

    def begin(self, link, data):
        found = parse_connect(data)
        props = dict(found["props"])
        if props.get(AUTHENTICATION_METHOD) != METHOD or AUTHENTICATION_DATA not in props:
            return data
        found["props"] = without(found["props"], AUTHENTICATION_METHOD, AUTHENTICATION_DATA)
        link.auth = {"connect": mqtt.connect(**found)}
        self.challenge(link, props[AUTHENTICATION_DATA])
        return b""

    def challenge(self, link, first):
        bare = first.decode().partition(",,")[2]
        nonce = bare.partition("r=")[2] + secrets.token_hex(8)
        server_first = f"r={nonce},s={base64.b64encode(SALT).decode()},i={ITERATIONS}"
        link.auth.update(bare=bare, first=server_first)
        method = "other" if "other_method" in self.faults else METHOD
        props = [(AUTHENTICATION_METHOD, method), (AUTHENTICATION_DATA, server_first.encode())]
        if "reason_string" in self.faults:
            props.append((mqtt.REASON_STRING, "words"))
        if "user_property" in self.faults:
            props.append((mqtt.USER_PROPERTY, ("k", "v")))
        reason = CONTINUE
        if "wrong_reason" in self.faults:
            reason = 0x01
        elif "done_already" in self.faults:
            reason = 0
        link.client.sendall(mqtt.auth(reason, props))

    def go_on(self, link, data):
        packet = mqtt.decode(data, V5)
        method, again = packet.prop(AUTHENTICATION_METHOD), not link.auth["connect"]
        refusal = mqtt.disconnect(0x87) if again else mqtt.connack(0x87)
        if again and packet.reason == AGAIN:
            if method != METHOD and "any_method" not in self.faults:
                return self.end(link, refusal)
            self.challenge(link, packet.prop(AUTHENTICATION_DATA))
            return b""
        right = method == METHOD or "any_method" in self.faults
        right = right and (packet.reason == CONTINUE or "any_reason" in self.faults)
        if "any_proof" not in self.faults:
            data = packet.prop(AUTHENTICATION_DATA)
            right = right and proof_is_right(link.auth["bare"], link.auth["first"], data)
        if not right:
            return self.end(link, refusal)
        if again:
            link.client.sendall(mqtt.auth(0, [(AUTHENTICATION_METHOD, METHOD)]))
            return b""
        first, link.auth["connect"] = link.auth["connect"], None
        return first


# Without a fault, all have to pass.
breaks(name="scram")(Scram())

for _fault, _statements in (
    ("wrong_reason", "MQTT-3.15.2-1"),
    ("done_already", "MQTT-4.12.0-2"),
    ("reason_string", "MQTT-3.15.2-2"),
    ("user_property", "MQTT-3.15.2-3"),
    ("other_method", "MQTT-4.12.0-5"),
    ("method_untold", "MQTT-4.12.0-5"),
    ("anything_goes", "MQTT-3.1.2-30"),
    ("any_reason", "MQTT-4.12.0-3"),
    ("any_proof", "MQTT-4.12.0-4 MQTT-4.12.1-2"),
    ("any_method", "MQTT-4.12.1-1 MQTT-4.12.0-5"),
    ("never_ends", "MQTT-4.12.0-4 MQTT-4.12.1-2 MQTT-3.1.2-30 MQTT-4.12.0-3"),
):
    breaks(_statements, name=f"scram_{_fault}")(Scram(_fault))
