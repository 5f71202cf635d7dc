#!/usr/bin/python3 -B
"""Seeds made from the standard's own examples, and small packets of every type for draw.c.

    seeds.py            writes them to fuzz/corpus
    seeds.py --check    fails unless they are there, as they are made here

Sections are those of MQTT 5.0; where an example differs in 3.1.1, its own section is named. What
campaigns find is added by campaign.py --update.
"""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
CORPUS = os.path.join(HERE, "corpus")
FROM_SERVER = 0x80
V31, V311, V5 = 0, 1, 2  # How the codec's targets take the version.


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return len(data).to_bytes(2, "big") + data


def varint(value):
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def packet(first, body):
    return bytes([first]) + varint(len(body)) + body


def properties(*parts):
    data = b"".join(parts)
    return varint(len(data)) + data


# The packets of the figures and tables, as (name, version, first byte, body).
PACKETS = [
    # Figure 2-6 of 3.1.1 section 3.1.2: user name, password, will at QoS 1, clean session.
    ("connect_figure", V311, 0x10, text("MQTT") + b"\x04\xce\x00\x0a" + text("id") +
     text("will/topic") + text("will") + text("user") + text("password")),
    # Section 3.1.2.12: the same with a session expiry interval of 10.
    ("connect_figure", V5, 0x10, text("MQTT") + b"\x05\xce\x00\x0a" +
     properties(b"\x11\x00\x00\x00\x0a") + text("id") + properties() + text("will/topic") +
     text("will") + text("user") + text("password")),
    # Section 3.3.2.4 and 3.3.2.3 of 3.1.1: a/b with packet identifier 10.
    ("publish_figure", V311, 0x32, text("a/b") + b"\x00\x0a"),
    ("publish_figure", V5, 0x32, text("a/b") + b"\x00\x0a" + properties()),
    # Section 3.8.3 and 3.8.2.2: a/b at QoS 1, c/d at QoS 2, packet identifier 10.
    ("subscribe_figure", V311, 0x82, b"\x00\x0a" + text("a/b") + b"\x01" + text("c/d") + b"\x02"),
    ("subscribe_figure", V5, 0x82, b"\x00\x0a" + properties() + text("a/b") + b"\x01" +
     text("c/d") + b"\x02"),
    # Section 3.9.3 of 3.1.1: QoS 0, QoS 2, failure.
    ("suback_figure", V311, 0x90, b"\x00\x0a\x00\x02\x80"),
    ("suback_figure", V5, 0x90, b"\x00\x0a" + properties() + b"\x00\x02\x80"),
    # Section 3.10.3.
    ("unsubscribe_figure", V311, 0xA2, b"\x00\x0a" + text("a/b") + text("c/d")),
    ("unsubscribe_figure", V5, 0xA2, b"\x00\x0a" + properties() + text("a/b") + text("c/d")),
    # Section 4.4, figure 4.3: an exchange at QoS 2.
    ("pubrec_figure", V5, 0x50, b"\x00\x0a\x10" + properties(b"\x1f" + text("nobody"))),
    ("pubrel_figure", V5, 0x62, b"\x00\x0a\x92"),
    # Section 4.12.1: what a challenge looks like.
    ("auth_scram_figure", V5, 0xF0, b"\x18" + properties(
        b"\x15" + text("SCRAM-SHA-1"), b"\x16" + text("client-first-data"))),
    ("connect_scram_figure", V5, 0x10, text("MQTT") + b"\x05\x02\x00\x3c" +
     properties(b"\x15" + text("SCRAM-SHA-1"), b"\x16" + text("client-first-data")) + text("")),
    # Section 4.10: request and response.
    ("publish_request_figure", V5, 0x30, text("request") + properties(
        b"\x08" + text("response/1"), b"\x09" + text(b"\x01\x02")) + b"?"),
]

# Sections 4.7.1 to 4.8.2: the filters and names that they are explained with.
FILTERS = [
    "sport/tennis/player1/#", "sport/#", "#", "sport/tennis/#", "sport/tennis#",
    "sport/tennis/#/ranking", "+", "+/tennis/#", "sport+", "sport/+/player1", "sport/tennis/+",
    "+/+", "/+", "$SYS/#", "$SYS/monitor/+", "+/monitor/Clients", "ACCOUNTS", "Accounts payable",
    "/finance", "/", "$share/consumer1/sport/tennis/+", "$share/consumer1//finance",
    "$share/consumer1/+/finance", "$share/consumer1/#",
]
NAMES = [
    "sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon",
    "sport", "sport/", "/finance", "$SYS/monitor/Clients", "$SYS/", "Accounts payable", "/",
]


def standard():
    """{target: {name: bytes}} of the standard's examples."""
    found = {"codec_packet_fuzz": {}, "codec_roundtrip_fuzz": {}, "topic_filter_fuzz": {},
             "topic_match_fuzz": {}, "utf8_fuzz": {}}
    levels = {V31: "v3", V311: "v4", V5: "v5"}
    for name, version, first, body in PACKETS:
        server = FROM_SERVER if first >> 4 in (2, 9, 11) else 0
        full = f"std_{levels[version]}_{name}"
        found["codec_roundtrip_fuzz"][full] = bytes([version | server, first]) + body
        found["codec_packet_fuzz"][full] = bytes([version | server]) + packet(first, body)
    # Section 1.5.4: "A" and U+2A6D4. Section 1.5.5: limits of variable byte integers.
    found["utf8_fuzz"]["std_figure"] = "A\U0002a6d4".encode()
    for value in (0, 127, 128, 16383, 16384, 2097151, 2097152, 268435455):
        found["codec_packet_fuzz"][f"std_length_{value}"] = b"\x02\x30" + varint(value) + b"\x00\x01"
    for index, one in enumerate(FILTERS):
        found["topic_filter_fuzz"][f"std_{index:02}"] = b"\x01" + one.encode()
        name = NAMES[index % len(NAMES)]
        inner = FILTERS[(index + 3) % len(FILTERS)]
        found["topic_match_fuzz"][f"std_{index:02}"] = "\n".join((one, inner, name)).encode()
    return found


def drawn():
    """Inputs of codec_structured_fuzz: each type and version, with few and with all fields."""
    found = {}
    for kind in range(15):
        for version in (V31, V311, V5):
            for name, body in (("least", b""), ("some", bytes(range(1, 60))),
                               ("all", b"\xff" * 8 + b"\x04abcd" * 40),
                               ("long", b"\xff\xff\xff\xff" + b"\xfb\xfd" * 6)):
                if name != "least" and version == V31 or kind == 14 and version != V5:
                    continue
                data = bytes([version, kind]) + body
                found[f"{kind + 1:02}_v{version + 3}_{name}"] = data
    # A server's DISCONNECT.
    found["14_v5_server"] = bytes([V5 | FROM_SERVER, 13]) + b"\x09\xff\xff\xff\xff" + b"\x03xyz" * 9
    return found


def everything():
    found = standard()
    found["codec_structured_fuzz"] = drawn()
    # One changed bit away from what it fails on.
    found["canary_fuzz"] = {"almost": b"LQ"}
    return found


def main():
    wrong = []
    for target, files in everything().items():
        folder = os.path.join(CORPUS, target)
        for name, data in files.items():
            path = os.path.join(folder, name)
            if "--check" not in sys.argv[1:]:
                os.makedirs(folder, exist_ok=True)
                with open(path, "wb") as file:
                    file.write(data)
            elif not os.path.exists(path):
                wrong.append(f"{path} is missing")
            else:
                with open(path, "rb") as file:
                    if file.read() != data:
                        wrong.append(f"{path} is another")
    if wrong:
        sys.exit("\n".join(wrong) + "\nrun fuzz/seeds.py")


if __name__ == "__main__":
    main()
