"""Broken inputs, by a table: what a hostile client can do to each packet.

Each kind of packet that a client may send, cut at each byte, with lengths one too small and one too
large, with each byte another, with each property twice, misplaced, zero and maximal; and what broke
other brokers. It is thousands of inputs: whoever runs them on a broker takes a sample.
"""

from support import mqtt
from support.mqtt import PROPERTIES_OF, PROPERTY_KINDS, V5, V311, VERSIONS

PAIR = (mqtt.USER_PROPERTY, ("k", "v"))
ZERO = {"byte": 0, "u16": 0, "u32": 0, "varint": 0, "string": "", "binary": b"", "pair": ("", "")}
MAXIMAL = {
    "byte": 255, "u16": 0xFFFF, "u32": 0xFFFFFFFF, "varint": 0x0FFFFFFF, "string": "x" * 0xFFFF,
    "binary": b"\xff" * 0xFFFF, "pair": ("k" * 0xFFFF, "v" * 0xFFFF),
}
ORDINARY = {"byte": 1, "u16": 1, "u32": 1, "varint": 1, "string": "s", "binary": b"b",
            "pair": ("k", "v")}


def builders(version, topic):
    """Name: function of properties (empty before 5.0) that makes the packet."""
    def with_will(p, properties_of_will=()):
        will = mqtt.Will(topic, "gone", 1, True, properties_of_will)
        return mqtt.connect("matrix", version, will=will, user="u", password="p", props=p)

    found = {
        "CONNECT": with_will,
        "PUBLISH 0": lambda p: mqtt.publish(topic, "x", props=p, version=version),
        "PUBLISH 1": lambda p: mqtt.publish(topic, "x", 1, 7, True, props=p, version=version),
        "PUBLISH 2": lambda p: mqtt.publish(topic, "x", 2, 8, props=p, version=version),
        "SUBSCRIBE": lambda p: mqtt.subscribe(3, [(topic, 1), ("u/#", 2)], p, version),
        "UNSUBSCRIBE": lambda p: mqtt.unsubscribe(4, [topic, "u/#"], p, version),
    }
    if version == V5:
        found["WILL"] = lambda p: with_will((), p)
        for kind in (mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP):
            found[mqtt.NAMES[kind]] = lambda p, k=kind: mqtt.ack(k, 9, 0, p)
        found["DISCONNECT"] = lambda p: mqtt.disconnect(4, p)
        found["AUTH"] = lambda p: mqtt.auth(0x18, p)
    else:
        for kind in (mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP):
            found[mqtt.NAMES[kind]] = lambda p, k=kind: mqtt.ack(k, 9)
        found["DISCONNECT"] = lambda p: mqtt.disconnect()
    found["PINGREQ"] = lambda p: mqtt.pingreq()
    return found


def kind_of(name):
    return name if name == "WILL" else getattr(mqtt, name.split()[0])


def header_len(data):
    at = 1
    while data[at] & 0x80:
        at += 1
    return at + 1


def cuts(data):
    """The packet with a shorter body, as if its sender had meant that."""
    body = data[header_len(data) :]
    for length in range(len(body)):
        yield f"cut to {length}", data[:1] + mqtt.varint(length) + body[:length]


def wrong_lengths(data):
    """Remaining Length, and every two bytes that may be a length, one more and one less."""
    body = data[header_len(data) :]
    for difference in (-1, 1):
        if len(body) + difference >= 0:
            yield (f"length {difference:+}",
                   data[:1] + mqtt.varint(len(body) + difference) + body)
        for at in range(len(body) - 1):
            value = int.from_bytes(body[at : at + 2], "big") + difference
            if 0 <= value <= 0xFFFF:
                changed = body[:at] + value.to_bytes(2, "big") + body[at + 2 :]
                yield f"bytes {at} {difference:+}", data[:1] + mqtt.varint(len(body)) + changed


def other_bytes(data):
    for at in range(1, len(data)):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            if data[at] != value:
                changed = data[:at] + bytes([value]) + data[at + 1 :]
                yield f"byte {at} {value:#x}", changed


def property_cases(name, build):
    allowed = PROPERTIES_OF.get(kind_of(name), set())
    for identifier, kind in sorted(PROPERTY_KINDS.items()):
        once = (identifier, ORDINARY[kind])
        if identifier in allowed:
            yield f"{identifier:#x} twice", build([once, once])
            yield f"{identifier:#x} twice apart", build([once, PAIR, once])
            yield f"{identifier:#x} zero", build([(identifier, ZERO[kind])])
            yield f"{identifier:#x} maximal", build([(identifier, MAXIMAL[kind])])
        else:
            yield f"{identifier:#x} misplaced", build([once])
    for identifier in (0x00, 0x04, 0x7F):
        yield f"{identifier:#x} unknown", build([(identifier, b"\0\1a")])
    whole = mqtt.prop(*PAIR)
    for length in (0, len(whole) - 1, len(whole) + 1, 0x0FFFFFFF):
        yield f"property length {length}", build(mqtt.varint(length) + whole)
    for length in (b"\x80", b"\xff\xff\xff\xff\x7f", b"\x87\x00"):
        yield f"property length {length.hex()}", build(length + whole)


def known(topic):
    """What broke other brokers, as (CVE or issue, version, bytes)."""
    slashes = "/" * 65400
    pairs = mqtt.prop(mqtt.USER_PROPERTY, ("", "")) * 2000
    yield "CVE-2017-7651", V311, b"\x10\xff\xff\xff\x7f" + b"\0\4MQTT"
    yield "CVE-2023-0809", V311, b"\xf0\xff\xff\xff\x7f" + b"x" * 50
    yield "CVE-2026-21888", V5, b"\x30\xff\xff\xff\xff\x7f"
    yield "CVE-2024-31040", V5, mqtt.packet(mqtt.PUBLISH, 0, mqtt.string("t") + b"\x01\x26")
    yield "CVE-2021-28166", V5, mqtt.packet(mqtt.CONNACK, 0, b"\0\0\0")
    yield "CVE-2024-10525", V5, mqtt.packet(mqtt.SUBACK, 0, b"\0\1\0")
    yield "NanoMQ #1780", V311, b"\xf0\x04\0\1tx"
    yield "CVE-2021-34432", V5, mqtt.publish("", "x", 1, 1, True)
    yield "CVE-2018-12543", V311, mqtt.publish("$SYSx/y", "x", version=V311)
    yield "CVE-2019-11779", V311, mqtt.subscribe(1, [(slashes, 0)], version=V311)
    yield "CVE-2019-11779 name", V5, mqtt.publish(slashes, "x", retain=True)
    yield "CVE-2025-68699", V5, mqtt.subscribe(1, [("$share/ab", 0)])
    yield "CVE-2025-68699 off", V5, mqtt.unsubscribe(1, ["$share/ab"])
    yield "CVE-2024-31041", V5, mqtt.subscribe(1, [("a\0b", 0)])
    yield "CVE-2021-41039", V5, mqtt.publish(
        topic, "x", props=mqtt.varint(len(pairs)) + pairs)
    yield "CVE-2023-3592", V5, mqtt.connect(
        "matrix", will=mqtt.Will("w", "x", props=[(mqtt.TOPIC_ALIAS, 5)] * 2))
    yield "CVE-2019-11778", V5, mqtt.connect(
        "matrix", will=mqtt.Will(topic, "x", props=[(mqtt.WILL_DELAY_INTERVAL, 0xFFFFFFFF)]),
        props=[(mqtt.SESSION_EXPIRY_INTERVAL, 1)])
    yield "CVE-2016-9877", V311, mqtt.connect("matrix", V311, user="alice")
    yield "CVE-2023-28366", V5, mqtt.publish(topic, "x", 2, 1) * 50


def inputs(topic):
    """All of it: (what it is, version, bytes)."""
    for version in VERSIONS:
        for name, build in builders(version, topic).items():
            plain = build([PAIR] if version == V5 and name != "PINGREQ" else ())
            for what, data in (*cuts(plain), *wrong_lengths(plain), *other_bytes(plain)):
                yield f"{name} of {version}, {what}", version, data
            if version == V5 and name != "PINGREQ":
                for what, data in property_cases(name, build):
                    yield f"{name}, property {what}", version, data
    yield from known(topic)
