"""Brokers that break statements, each made of the real one and a change.

What a mutant names has to fail when the suite meets it; else the tests of that
statement would pass anything.
"""

import socket

from case import mqtt
from proxy import encode
from support.mqtt import V5

MUTANTS = {}


class Mutant:
    def __init__(self, change, v5, v311, keeps_open=None):
        self.change, self.keeps_open = change, keeps_open
        self.websocket = None  # Gives the address of its WebSocket for a broker's.
        self.statements = [("5.0", i) for i in v5.split()] + [("3.1.1", i) for i in v311.split()]


def breaks(v5="", v311="", name=None, keeps_open=None):
    def mark(change):
        mutant = Mutant(change, v5, v311, keeps_open)
        MUTANTS[name or change.__name__] = mutant
        return change

    return mark


def answer(kind, name, v5="", v311="", **wanted):
    """A mutant that changes a packet of the server: edit(packet, link) may change it,
    or return False to keep it back, or other bytes to send."""

    def mark(edit):
        def change(link, from_client, data):
            if from_client or data[0] >> 4 != kind:
                return data
            packet = mqtt.decode(data, link.version)
            if any(getattr(packet, field) != value for field, value in wanted.items()):
                return data
            result = edit(packet, link)
            if result is False:
                return b""
            return result if isinstance(result, bytes) else encode(packet, link.version)

        breaks(v5, v311, name)(change)
        return edit

    return mark


def request(kind, name, v5="", v311=""):
    """A mutant that changes a client's packet before the server sees it."""

    def mark(edit):
        def change(link, from_client, data):
            if not from_client or data[0] >> 4 != kind:
                return data
            return edit(link, data)

        breaks(v5, v311, name)(change)
        return edit

    return mark


def parse_publish(data, version):
    """The arguments of mqtt.publish() that make these bytes."""
    packet = mqtt.decode(data, version)
    found = {"version": version, "props": packet.properties}
    for field in ("topic", "payload", "qos", "packet_id", "retain", "dup"):
        found[field] = getattr(packet, field)
    return found


def without(props, *identifiers):
    return [pair for pair in props if pair[0] not in identifiers]


# --------------------------------------------------------------- answers of the server


def set_fields(**fields):
    def edit(packet, _link):
        for field, value in fields.items():
            setattr(packet, field, value)

    return edit


def shift(packet, _link):
    packet.packet_id = packet.packet_id % 65535 + 1


def drop(_packet, _link):
    return False


def twice(packet, _link):
    return packet.raw * 2


for _kind, _name, _v5, _v311 in (
    (mqtt.PUBACK, "puback", "MQTT-2.2.1-5 MQTT-4.3.2-4", "MQTT-2.3.1-6 MQTT-4.3.2-2"),
    (mqtt.PUBREC, "pubrec", "MQTT-2.2.1-5 MQTT-4.3.3-8", "MQTT-2.3.1-6 MQTT-4.3.3-2"),
    (mqtt.PUBREL, "pubrel", "MQTT-2.2.1-5 MQTT-4.3.3-4", "MQTT-2.3.1-6 MQTT-4.3.3-1"),
    (mqtt.PUBCOMP, "pubcomp", "MQTT-2.2.1-5 MQTT-4.3.3-11", "MQTT-4.3.3-2"),
    (mqtt.SUBACK, "suback", "MQTT-2.2.1-6 MQTT-3.8.4-2", "MQTT-2.3.1-7 MQTT-3.8.4-2"),
    (mqtt.UNSUBACK, "unsuback", "MQTT-2.2.1-6 MQTT-3.10.4-5", "MQTT-2.3.1-7 MQTT-3.10.4-4"),
):
    answer(_kind, f"{_name}_of_another", _v5, _v311)(shift)

for _kind, _name, _v5, _v311 in (
    (mqtt.PUBACK, "puback", "MQTT-3.3.4-1 MQTT-4.3.2-4",
     "MQTT-3.3.4-1 MQTT-4.3.2-2 MQTT-3.3.5-2"),
    (mqtt.PUBREC, "pubrec", "MQTT-3.3.4-1 MQTT-4.3.3-8 MQTT-4.3.3-10",
     "MQTT-3.3.4-1 MQTT-4.3.3-2"),
    (mqtt.PUBREL, "pubrel", "MQTT-4.3.3-4 MQTT-4.3.3-5", "MQTT-4.3.3-1"),
    (mqtt.PUBCOMP, "pubcomp", "MQTT-4.3.3-11 MQTT-4.3.3-13 MQTT-4.3.3-12", "MQTT-4.3.3-2"),
    (mqtt.SUBACK, "suback", "MQTT-3.8.4-1", "MQTT-3.8.4-1"),
    (mqtt.UNSUBACK, "unsuback", "MQTT-3.10.4-4", "MQTT-3.10.4-4 MQTT-3.10.4-5"),
    (mqtt.PINGRESP, "pingresp", "MQTT-3.12.4-1 MQTT-4.9.0-3", "MQTT-3.12.4-1"),
    (mqtt.CONNACK, "connack", "MQTT-3.1.4-5 MQTT-3.1.2-6", "MQTT-3.1.4-4"),
):
    answer(_kind, f"no_{_name}", _v5, _v311)(drop)


def _talkative(kind, name, text, pair):
    """Words added whatever the client takes."""
    for identifier, value, statement in (
        (mqtt.REASON_STRING, "words", text),
        (mqtt.USER_PROPERTY, ("k", "v"), pair),
    ):
        def edit(packet, link, identifier=identifier, value=value):
            if link.version == V5:
                packet.properties = [*packet.properties, (identifier, value)]

        answer(kind, f"{name}_{identifier:#x}", statement)(edit)


_talkative(mqtt.CONNACK, "connack", "MQTT-3.2.2-19", "MQTT-3.2.2-20")
_talkative(mqtt.PUBACK, "puback", "MQTT-3.4.2-2 MQTT-3.1.2-29", "MQTT-3.4.2-3 MQTT-3.1.2-29")
_talkative(mqtt.PUBREC, "pubrec", "MQTT-3.5.2-2 MQTT-3.1.2-29", "MQTT-3.5.2-3")
_talkative(mqtt.PUBREL, "pubrel", "MQTT-3.6.2-2", "MQTT-3.6.2-3")
_talkative(mqtt.PUBCOMP, "pubcomp", "MQTT-3.7.2-2", "MQTT-3.7.2-3")
_talkative(mqtt.SUBACK, "suback", "MQTT-3.9.2-1 MQTT-3.1.2-29", "MQTT-3.9.2-2")
_talkative(mqtt.UNSUBACK, "unsuback", "MQTT-3.11.2-1", "MQTT-3.11.2-2")
_talkative(mqtt.DISCONNECT, "disconnect", "MQTT-3.14.2-3", "MQTT-3.14.2-4")

for _kind, _name, _v5, _code in (
    (mqtt.PUBACK, "puback", "MQTT-3.4.2-1", 0x01),
    (mqtt.PUBREC, "pubrec", "MQTT-3.5.2-1", 0x92),
    (mqtt.PUBREL, "pubrel", "MQTT-3.6.2-1", 0x10),
    (mqtt.PUBCOMP, "pubcomp", "MQTT-3.7.2-1", 0x80),
    (mqtt.DISCONNECT, "disconnect", "MQTT-3.14.2-1", 0x04),
):
    answer(_kind, f"{_name}_with_a_wrong_code", _v5)(set_fields(reason=_code))


@answer(mqtt.CONNACK, "connack_with_a_wrong_code", "MQTT-3.2.2-8")
def _wrong_refusal(packet, _link):
    packet.reason = 0x8E if packet.reason else 0


answer(mqtt.CONNACK, "never_present", "MQTT-3.2.2-3 MQTT-3.1.2-5 MQTT-3.1.2-23",
       "MQTT-3.2.2-2 MQTT-3.1.2-4", reason=0)(set_fields(session_present=False))
answer(mqtt.CONNACK, "always_present", "MQTT-3.2.2-2 MQTT-3.2.2-3 MQTT-3.1.2-6",
       "MQTT-3.2.2-1 MQTT-3.2.2-3", reason=0)(set_fields(session_present=True))
answer(mqtt.CONNACK, "present_though_refused", "MQTT-3.2.2-6",
       "MQTT-3.2.2-4")(lambda p, _link: setattr(p, "session_present", p.reason != 0))
answer(mqtt.CONNACK, "connack_twice", "MQTT-3.2.0-2", "", reason=0)(twice)


@answer(mqtt.CONNACK, "connack_with_flags", "MQTT-3.2.2-1")
def _connack_flags(packet, _link):
    return packet.raw[:2] + bytes([packet.raw[2] | 2]) + packet.raw[3:]


def _more(identifier, value):
    def edit(packet, link):
        if link.version == V5 and not packet.reason:
            packet.properties = [*packet.properties, (identifier, value)]

    return edit


answer(mqtt.CONNACK, "response_information", "MQTT-3.1.2-28")(
    _more(mqtt.RESPONSE_INFORMATION, "here"))
answer(mqtt.CONNACK, "method_unasked", "MQTT-4.12.0-6")(_more(mqtt.AUTHENTICATION_METHOD, "m"))
answer(mqtt.CONNACK, "receive_maximum_0", "MILLRACE-5-3.2.2-1")(
    lambda p, _l: setattr(p, "properties", [(mqtt.RECEIVE_MAXIMUM, 0)]))
answer(mqtt.CONNACK, "same_identifier_for_all", "MQTT-3.2.2-16")(
    lambda p, _l: setattr(p, "properties", [
        (i, "same" if i == mqtt.ASSIGNED_CLIENT_IDENTIFIER else v) for i, v in p.properties]))
answer(mqtt.CONNACK, "no_identifier", "MQTT-3.1.3-7 MQTT-3.2.2-16")(
    lambda p, _l: setattr(p, "properties",
                          without(p.properties, mqtt.ASSIGNED_CLIENT_IDENTIFIER)))
answer(mqtt.CONNACK, "no_maximum_qos", "MQTT-3.2.2-9")(
    lambda p, _l: setattr(p, "properties", without(p.properties, mqtt.MAXIMUM_QOS)))
answer(mqtt.DISCONNECT, "no_word_of_the_takeover", "MQTT-3.1.4-3", reason=0x8E)(drop)
answer(mqtt.DISCONNECT, "expiry_in_disconnect", "MQTT-3.14.2-2")(
    lambda p, _l: setattr(p, "properties", [(mqtt.SESSION_EXPIRY_INTERVAL, 1)]))
answer(mqtt.DISCONNECT, "ping_after_disconnect", "MQTT-3.14.4-1")(
    lambda p, _l: p.raw + b"\xd0\x00")


@breaks("MQTT-3.2.0-1", "MQTT-3.2.0-1")
def connack_comes_second(link, from_client, data):
    if not from_client and data[0] == 0x20 and not data[3] and not link.kept:
        link.kept.append(data)
        return b""
    if not from_client and link.kept and link.kept[0]:
        data, link.kept[0] = data + link.kept[0], b""
    return data


@breaks("MQTT-3.14.0-1")
def disconnect_before_connack(link, from_client, data):
    refused = not from_client and data[0] == 0x20 and data[3] >= 0x80
    return mqtt.disconnect(data[3]) if refused and link.version == V5 else data


answer(mqtt.SUBACK, "suback_backwards", "MQTT-3.9.3-1", "MQTT-3.9.3-1")(
    lambda p, _l: p.codes.reverse())
answer(mqtt.SUBACK, "one_code_only", "MQTT-3.8.4-6 MQTT-3.8.4-5", "MQTT-3.8.4-5 MQTT-3.8.4-4")(
    lambda p, _l: setattr(p, "codes", p.codes[:1]))
answer(mqtt.SUBACK, "suback_with_a_wrong_code", "MQTT-3.9.3-2", "MQTT-3.9.3-2")(
    lambda p, _l: setattr(p, "codes", [3] * len(p.codes)))
answer(mqtt.SUBACK, "code_of_another_qos", "MQTT-3.8.4-7", "MQTT-3.8.4-5")(
    lambda p, _l: setattr(p, "codes", [(c + 1) % 3 if c < 3 else c for c in p.codes]))
answer(mqtt.UNSUBACK, "unsuback_backwards", "MQTT-3.11.3-1")(lambda p, _l: p.codes.reverse())
answer(mqtt.UNSUBACK, "unsuback_with_a_wrong_code", "MQTT-3.11.3-2")(
    lambda p, _l: setattr(p, "codes", [0x01] * len(p.codes)))


# -------------------------------------------------------------- a server that ends nobody


def _unless_it_left(link):
    return not link.left


def _patient(link, from_client, data):
    """Errors are overlooked: no word of them, and the connection stays."""
    if from_client:
        link.left = link.left or data in (mqtt.disconnect(), mqtt.disconnect(0))
    elif data[0] == 0xE0 or (data[0] == 0x20 and data[3]):
        return b""
    return data


def _welcoming(link, from_client, data):
    """Whoever is refused is told that it was accepted."""
    data = _patient(link, from_client, data) if data[0] != 0x20 or from_client else data
    if not from_client and data and data[0] == 0x20 and data[3]:
        return mqtt.connack(0, version=link.version)
    return data


ENDS_CLIENTS_5 = """
    MILLRACE-5-1.5.5-1 MILLRACE-5-2.1.2-1 MILLRACE-5-2.1.2-2 MILLRACE-5-2.2.2-1
    MILLRACE-5-2.2.2-2 MILLRACE-5-2.2.2-3 MILLRACE-5-2.2.2-4 MILLRACE-5-2.2.2-5
    MILLRACE-5-2.2.2-6 MILLRACE-5-2.2.2-7 MILLRACE-5-3.1.2-1 MILLRACE-5-3.1.2-2
    MILLRACE-5-3.1.2-3 MILLRACE-5-3.1.2-4 MILLRACE-5-3.1.2-5 MILLRACE-5-3.3.2-1
    MILLRACE-5-3.3.2-2 MILLRACE-5-3.3.4-1 MILLRACE-5-3.4.2-1 MILLRACE-5-3.8.2-1
    MILLRACE-5-3.8.3-1 MILLRACE-5-3.8.3-2 MILLRACE-5-3.12.1-1 MILLRACE-5-3.14.2-2
    MILLRACE-5-3.14.2-4 MILLRACE-5-4.13.1-1 MILLRACE-5-4.13.1-2 MILLRACE-5-4.13.1-3 MQTT-1.5.4-1
    MQTT-1.5.4-2 MQTT-1.5.5-1 MQTT-1.5.7-1 MQTT-2.1.3-1 MQTT-2.2.1-3 MQTT-2.2.2-1 MQTT-3.1.0-1
    MQTT-3.1.0-2 MQTT-3.1.2-1 MQTT-3.1.2-2 MQTT-3.1.2-3 MQTT-3.1.2-9 MQTT-3.1.2-11 MQTT-3.1.2-12
    MQTT-3.1.2-13 MQTT-3.1.2-16 MQTT-3.1.2-17 MQTT-3.1.2-18 MQTT-3.1.2-19 MQTT-3.1.2-22
    MQTT-3.1.3-3 MQTT-3.1.3-4 MQTT-3.1.3-8 MQTT-3.1.3-11 MQTT-3.1.3-12 MQTT-3.1.4-1 MQTT-3.1.4-2
    MQTT-3.1.4-3 MQTT-3.2.2-7 MQTT-3.2.2-11 MQTT-3.2.2-12 MQTT-3.2.2-13 MQTT-3.2.2-14
    MQTT-3.2.2-15 MQTT-3.2.2-17 MQTT-3.2.2-18 MQTT-3.2.2-22 MQTT-3.3.1-4 MQTT-3.3.2-1
    MQTT-3.3.2-2 MQTT-3.3.2-7 MQTT-3.3.2-8 MQTT-3.3.2-9 MQTT-3.3.2-13 MQTT-3.3.2-14
    MQTT-3.3.2-19 MQTT-3.3.4-6 MQTT-3.3.4-7 MQTT-3.6.1-1 MQTT-3.8.1-1 MQTT-3.8.3-1 MQTT-3.8.3-2
    MQTT-3.8.3-4 MQTT-3.8.3-5 MQTT-3.10.1-1 MQTT-3.10.3-1 MQTT-3.10.3-2 MQTT-3.14.1-1
    MQTT-3.14.4-2 MQTT-3.15.1-1 MQTT-4.7.0-1 MQTT-4.7.3-1 MQTT-4.7.3-2 MQTT-4.12.0-1
    MQTT-4.12.0-7 MQTT-4.13.1-1 MQTT-4.13.2-1
"""
ENDS_CLIENTS_311 = """
    MILLRACE-3-2.2.1-1 MILLRACE-3-2.2.1-2 MILLRACE-3-2.2.3-1 MILLRACE-3-3.12.1-1 MQTT-1.5.3-1
    MQTT-1.5.3-2 MQTT-2.2.2-1 MQTT-2.2.2-2 MQTT-2.3.1-1 MQTT-3.1.0-1 MQTT-3.1.0-2 MQTT-3.1.2-1
    MQTT-3.1.2-2 MQTT-3.1.2-3 MQTT-3.1.2-9 MQTT-3.1.2-11 MQTT-3.1.2-13 MQTT-3.1.2-14
    MQTT-3.1.2-15 MQTT-3.1.2-18 MQTT-3.1.2-19 MQTT-3.1.2-20 MQTT-3.1.2-21 MQTT-3.1.2-22
    MQTT-3.1.2-24 MQTT-3.1.3-3 MQTT-3.1.3-4 MQTT-3.1.3-7 MQTT-3.1.3-8 MQTT-3.1.3-9 MQTT-3.1.3-10
    MQTT-3.1.3-11 MQTT-3.1.4-1 MQTT-3.1.4-2 MQTT-3.2.2-5 MQTT-3.2.2-6 MQTT-3.3.1-4 MQTT-3.3.2-1
    MQTT-3.3.2-2 MQTT-3.6.1-1 MQTT-3.8.1-1 MQTT-3.8.3-1 MQTT-3.8.3-3 MQTT-3.8.3-4 MQTT-3.10.1-1
    MQTT-3.10.3-1 MQTT-3.10.3-2 MQTT-3.14.1-1 MQTT-4.7.1-1 MQTT-4.7.3-1 MQTT-4.7.3-2
    MQTT-4.8.0-1
"""
breaks(ENDS_CLIENTS_5, ENDS_CLIENTS_311, "patient", _unless_it_left)(_patient)
breaks("MQTT-3.2.2-12 MQTT-3.2.2-13 MQTT-3.1.2-1 MQTT-3.1.2-2 MQTT-3.1.3-8 MQTT-3.1.4-2",
       "MQTT-3.1.2-2 MQTT-3.1.3-8 MQTT-3.1.3-9 MQTT-3.2.2-6", "welcoming",
       _unless_it_left)(_welcoming)


@breaks("MQTT-3.1.4-6", "MQTT-3.1.4-5")
def refused_and_heard(link, from_client, data):
    """What a client sends after its CONNECT is published by somebody else."""
    if from_client and data[0] >> 4 == mqtt.PUBLISH and link.version:
        with socket.create_connection(link.server.getpeername()) as other:
            other.sendall(mqtt.connect("", link.version) + data + mqtt.disconnect())
            while other.recv(1000):
                pass
    return data
