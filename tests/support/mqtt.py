"""MQTT 3.1, 3.1.1 and 5.0 packets as bytes, written from the standard alone.

It shares nothing with the broker's codec, so that one misreading of the standard
cannot hide in both. Encoders check nothing: a test may ask for a QoS of 3, a
property given twice or a string with a NUL in it. `decode` checks everything, so
that each packet of the broker that a test reads is also a test of the broker.
"""

import struct

(
    RESERVED,
    CONNECT,
    CONNACK,
    PUBLISH,
    PUBACK,
    PUBREC,
    PUBREL,
    PUBCOMP,
    SUBSCRIBE,
    SUBACK,
    UNSUBSCRIBE,
    UNSUBACK,
    PINGREQ,
    PINGRESP,
    DISCONNECT,
    AUTH,
) = range(16)

NAMES = (
    "RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK "
    "UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH"
).split()

V31, V311, V5 = 3, 4, 5
VERSIONS = (V31, V311, V5)

PAYLOAD_FORMAT_INDICATOR = 0x01
MESSAGE_EXPIRY_INTERVAL = 0x02
CONTENT_TYPE = 0x03
RESPONSE_TOPIC = 0x08
CORRELATION_DATA = 0x09
SUBSCRIPTION_IDENTIFIER = 0x0B
SESSION_EXPIRY_INTERVAL = 0x11
ASSIGNED_CLIENT_IDENTIFIER = 0x12
SERVER_KEEP_ALIVE = 0x13
AUTHENTICATION_METHOD = 0x15
AUTHENTICATION_DATA = 0x16
REQUEST_PROBLEM_INFORMATION = 0x17
WILL_DELAY_INTERVAL = 0x18
REQUEST_RESPONSE_INFORMATION = 0x19
RESPONSE_INFORMATION = 0x1A
SERVER_REFERENCE = 0x1C
REASON_STRING = 0x1F
RECEIVE_MAXIMUM = 0x21
TOPIC_ALIAS_MAXIMUM = 0x22
TOPIC_ALIAS = 0x23
MAXIMUM_QOS = 0x24
RETAIN_AVAILABLE = 0x25
USER_PROPERTY = 0x26
MAXIMUM_PACKET_SIZE = 0x27
WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
SHARED_SUBSCRIPTION_AVAILABLE = 0x2A

# Section 2.2.2.2: how the value of each property is encoded.
PROPERTY_KINDS = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), "byte"),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), "u16"),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), "u32"),
    **dict.fromkeys((0x0B,), "varint"),
    **dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), "string"),
    **dict.fromkeys((0x09, 0x16), "binary"),
    **dict.fromkeys((0x26,), "pair"),
}

# Table 2-4, by packet; "WILL" stands for the will properties of CONNECT.
PROPERTIES_OF = {
    CONNECT: {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27},
    "WILL": {0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26},
    CONNACK: {
        0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28,
        0x29, 0x2A,
    },
    PUBLISH: {0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26},
    PUBACK: {0x1F, 0x26},
    PUBREC: {0x1F, 0x26},
    PUBREL: {0x1F, 0x26},
    PUBCOMP: {0x1F, 0x26},
    SUBSCRIBE: {0x0B, 0x26},
    SUBACK: {0x1F, 0x26},
    UNSUBSCRIBE: {0x26},
    UNSUBACK: {0x1F, 0x26},
    DISCONNECT: {0x11, 0x1C, 0x1F, 0x26},
    AUTH: {0x15, 0x16, 0x1F, 0x26},
}

# The reason codes that a server may send, by packet.
_REFUSALS = {0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
REASONS_OF = {
    CONNACK: {0x00} | set(range(0x80, 0x8B)) | {0x8C, 0x90, 0x95, 0x97, 0x9F}
    | set(range(0x99, 0x9E)),
    PUBACK: {0x00, 0x10} | _REFUSALS,
    PUBREC: {0x00, 0x10} | _REFUSALS,
    PUBREL: {0x00, 0x92},
    PUBCOMP: {0x00, 0x92},
    SUBACK: {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B} | set(range(0x8D, 0x91))
    | set(range(0x93, 0xA3)),
    AUTH: {0x00, 0x18, 0x19},
}


class Malformed(Exception):
    """The bytes are no packet that a server may send."""


# -------------------------------------------------------------------- encoding


def varint(value, length=0):
    """A Variable Byte Integer, in `length` bytes even where fewer would do."""
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        more = value > 0 or len(out) + 1 < length
        out.append(digit | (0x80 if more else 0))
        if not more:
            return bytes(out)


def as_bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def string(text):
    """Length and bytes of a string or of binary data."""
    data = as_bytes(text)
    return struct.pack(">H", len(data)) + data


def prop(identifier, value):
    """One property. `bytes` for a number's value are written as they are."""
    head = varint(identifier)
    kind = PROPERTY_KINDS.get(identifier)
    if kind == "pair":
        return head + string(value[0]) + string(value[1])
    if kind in ("string", "binary"):
        return head + string(value)
    if isinstance(value, bytes):
        return head + value
    return head + {
        "byte": lambda: struct.pack(">B", value),
        "u16": lambda: struct.pack(">H", value),
        "u32": lambda: struct.pack(">I", value),
        "varint": lambda: varint(value),
    }[kind]()


def properties(props):
    """Property length and properties, from pairs; `bytes` are taken whole."""
    if isinstance(props, bytes):
        return props
    body = b"".join(prop(identifier, value) for identifier, value in props or ())
    return varint(len(body)) + body


def packet(kind, flags, body, length=None):
    """A packet; `length` replaces the Remaining Length (a number or its bytes)."""
    if length is None:
        length = len(body)
    if isinstance(length, int):
        length = varint(length)
    return bytes([kind << 4 | flags]) + length + body


class Will:
    """The will of a CONNECT."""

    def __init__(self, topic, payload=b"", qos=0, retain=False, props=()):
        self.topic, self.payload = topic, payload
        self.qos, self.retain, self.props = qos, retain, props


def connect(
    client_id="",
    version=V5,
    clean=True,
    keep_alive=0,
    will=None,
    user=None,
    password=None,
    props=(),
    flags=None,
    protocol=None,
    level=None,
):
    """`flags`, `protocol` and `level` replace what the other arguments imply."""
    if protocol is None:
        protocol = "MQIsdp" if version == V31 else "MQTT"
    if flags is None:
        flags = 0x02 if clean else 0
        if will:
            flags |= 0x04 | (will.qos & 3) << 3 | (0x20 if will.retain else 0)
        flags |= 0x80 if user is not None else 0
        flags |= 0x40 if password is not None else 0
    body = string(protocol) + bytes([version if level is None else level, flags])
    body += struct.pack(">H", keep_alive)
    if version == V5:
        body += properties(props)
    body += string(client_id)
    if will:
        if version == V5:
            body += properties(will.props)
        body += string(will.topic) + string(will.payload)
    if user is not None:
        body += string(user)
    if password is not None:
        body += string(password)
    return packet(CONNECT, 0, body)


def connack(reason=0, session_present=False, version=V5, props=()):
    body = bytes([1 if session_present else 0, reason])
    return packet(CONNACK, 0, body + (properties(props) if version == V5 else b""))


def publish(
    topic,
    payload=b"",
    qos=0,
    packet_id=None,
    retain=False,
    dup=False,
    props=(),
    version=V5,
    flags=None,
):
    """A packet identifier is written if there is one, whatever the QoS."""
    if flags is None:
        flags = (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    body = string(topic)
    if packet_id is not None:
        body += struct.pack(">H", packet_id)
    if version == V5:
        body += properties(props)
    return packet(PUBLISH, flags, body + as_bytes(payload))


def ack(kind, packet_id, reason=None, props=None, flags=None):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; short unless there is more to say."""
    if flags is None:
        flags = 2 if kind == PUBREL else 0
    body = struct.pack(">H", packet_id)
    if reason is not None or props is not None:
        body += bytes([reason or 0])
    if props is not None:
        body += properties(props)
    return packet(kind, flags, body)


def subscribe(packet_id, filters, props=(), version=V5, flags=2):
    """`filters`: pairs of topic filter and subscription options (a byte)."""
    body = struct.pack(">H", packet_id)
    if version == V5:
        body += properties(props)
    for topic_filter, options in filters:
        body += string(topic_filter) + bytes([options])
    return packet(SUBSCRIBE, flags, body)


def options(qos=0, no_local=False, retain_as_published=False, retain_handling=0):
    return qos | no_local << 2 | retain_as_published << 3 | retain_handling << 4


def suback(packet_id, codes, props=(), version=V5, kind=SUBACK):
    body = struct.pack(">H", packet_id)
    if version == V5:
        body += properties(props)
    return packet(kind, 0, body + bytes(codes))


def unsubscribe(packet_id, filters, props=(), version=V5, flags=2):
    body = struct.pack(">H", packet_id)
    if version == V5:
        body += properties(props)
    return packet(UNSUBSCRIBE, flags, body + b"".join(string(f) for f in filters))


def pingreq(flags=0, body=b""):
    return packet(PINGREQ, flags, body)


def disconnect(reason=None, props=None, flags=0):
    """Empty, as 3.x has it, unless there is something to say."""
    body = b"" if reason is None else bytes([reason])
    if props is not None:
        body = bytes([reason or 0]) + properties(props)
    return packet(DISCONNECT, flags, body)


def auth(reason=None, props=None, flags=0):
    body = b"" if reason is None else bytes([reason])
    if props is not None:
        body = bytes([reason or 0]) + properties(props)
    return packet(AUTH, flags, body)


# -------------------------------------------------------------------- decoding


class Packet:
    """A decoded packet. Fields that its type lacks are None."""

    def __init__(self, kind, flags, raw):
        self.kind, self.flags, self.raw = kind, flags, raw
        self.packet_id = self.reason = self.codes = None
        self.topic = self.payload = self.session_present = None
        self.properties = []  # Pairs, in the order of the packet.
        self.qos = flags >> 1 & 3 if kind == PUBLISH else None
        self.dup = bool(flags & 8) if kind == PUBLISH else None
        self.retain = bool(flags & 1) if kind == PUBLISH else None

    @property
    def name(self):
        return NAMES[self.kind]

    def prop(self, identifier, default=None):
        """The value of the first property of that kind."""
        return next((v for i, v in self.properties if i == identifier), default)

    def props(self, identifier):
        return [v for i, v in self.properties if i == identifier]

    def __repr__(self):
        shown = [self.name]
        for field in ("packet_id", "reason", "codes", "topic", "session_present", "qos"):
            value = getattr(self, field)
            if value is not None:
                shown.append(f"{field}={value!r}")
        if self.payload is not None:
            shown.append(f"payload={self.payload[:40]!r}({len(self.payload)})")
        shown += [word for word in ("dup", "retain") if getattr(self, word)]
        if self.properties:
            shown.append("{%s}" % ", ".join(f"{i:#04x}: {v!r}" for i, v in self.properties))
        return "<%s>" % " ".join(shown)


class Reader:
    """Takes fields off bytes; too few is Malformed."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise Malformed(f"{count} bytes wanted at {self.at} of {self.data!r}")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def varint(self):
        value = 0
        for index in range(4):
            digit = self.byte()
            value |= (digit & 0x7F) << 7 * index
            if digit < 0x80:
                if digit == 0 and index > 0:
                    raise Malformed("variable byte integer is not the shortest")
                return value
        raise Malformed("variable byte integer of more than four bytes")

    def binary(self):
        return self.take(self.u16())

    def string(self):
        try:
            text = self.binary().decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"bad UTF-8: {error}") from error
        if "\0" in text:
            raise Malformed("U+0000 in a string")
        return text

    def value(self, kind):
        if kind == "pair":
            return (self.string(), self.string())
        return getattr(self, kind)()

    def properties(self, packet_kind):
        length = self.varint()
        inner = Reader(self.take(length))
        found = []
        while inner.left():
            identifier = inner.varint()
            if identifier not in PROPERTIES_OF[packet_kind]:
                raise Malformed(f"property {identifier:#x} in {NAMES[packet_kind]}")
            repeatable = identifier == USER_PROPERTY or (
                packet_kind == PUBLISH and identifier == SUBSCRIPTION_IDENTIFIER
            )
            if not repeatable and any(i == identifier for i, _ in found):
                raise Malformed(f"property {identifier:#x} twice")
            found.append((identifier, inner.value(PROPERTY_KINDS[identifier])))
        return found


def split(data):
    """The length of the first packet of `data`, or None if it is not complete."""
    reader = Reader(data)
    try:
        reader.byte()
        length = reader.varint()
    except Malformed:
        if len(data) >= 5:
            raise
        return None
    total = reader.at + length
    return total if len(data) >= total else None


def decode(data, version):
    """Decodes one packet from a server; raises Malformed for whatever it may not send."""
    kind, flags = data[0] >> 4, data[0] & 15
    out = Packet(kind, flags, bytes(data))
    reader = Reader(bytes(data))
    reader.byte()
    reader.varint()
    wanted_flags = 2 if kind == PUBREL else 0
    if kind != PUBLISH and flags != wanted_flags:
        raise Malformed(f"flags {flags:#x} in {out.name}")
    decoder = _DECODERS.get(kind)
    if not decoder:
        raise Malformed(f"{out.name} from a server")
    decoder(out, reader, version)
    if reader.left():
        raise Malformed(f"{reader.left()} bytes too many in {out.name}: {data!r}")
    _check_reasons(out, version)
    return out


def _check_reasons(out, version):
    if version != V5:
        return
    for code in [out.reason] if out.reason is not None else out.codes or []:
        if code not in REASONS_OF.get(out.kind, ()):
            raise Malformed(f"reason code {code:#04x} in {out.name}")
    if out.kind == DISCONNECT and out.prop(SESSION_EXPIRY_INTERVAL) is not None:
        raise Malformed("Session Expiry Interval in a server's DISCONNECT [MQTT-3.14.2-2]")


def _decode_connack(out, reader, version):
    flags = reader.byte()
    if flags & 0xFE:
        raise Malformed("reserved bits in CONNACK [MQTT-3.2.2-1]")
    out.session_present = bool(flags & 1)
    out.reason = reader.byte()
    # A refusal may come before the server knows that it talks 5.0.
    if version == V5 and reader.left():
        out.properties = reader.properties(CONNACK)
    elif version == V5 and out.reason < 0x80 and out.reason != 1:
        raise Malformed("CONNACK without properties")
    if out.session_present and out.reason:
        raise Malformed("session present in a refusal [MQTT-3.2.2-6]")


def _decode_publish(out, reader, version):
    if out.qos == 3:
        raise Malformed("QoS 3 [MQTT-3.3.1-4]")
    if out.qos == 0 and out.dup:
        raise Malformed("DUP with QoS 0 [MQTT-3.3.1-2]")
    out.topic = reader.string()
    if out.qos:
        out.packet_id = reader.u16()
        if out.packet_id == 0:
            raise Malformed("packet identifier 0 [MQTT-2.2.1-4]")
    if version == V5:
        out.properties = reader.properties(PUBLISH)
    if not out.topic and not out.prop(TOPIC_ALIAS):
        raise Malformed("no topic and no alias")
    if set("+#") & set(out.topic):
        raise Malformed("wildcard in a topic name [MQTT-3.3.2-2]")
    out.payload = reader.take(reader.left())


def _decode_ack(out, reader, version):
    out.packet_id = reader.u16()
    if version != V5:
        return
    out.reason = reader.byte() if reader.left() else 0
    if reader.left():
        out.properties = reader.properties(out.kind)


def _decode_suback(out, reader, version):
    out.packet_id = reader.u16()
    if version == V5:
        out.properties = reader.properties(out.kind)
    out.codes = list(reader.take(reader.left()))
    if out.kind == SUBACK and version != V5 and not set(out.codes) <= {0, 1, 2, 0x80}:
        raise Malformed(f"return codes {out.codes} [MQTT-3.9.3-2 of 3.1.1]")


def _decode_pingresp(_out, _reader, _version):
    pass


def _decode_disconnect(out, reader, version):
    if version != V5:
        raise Malformed("DISCONNECT from a server before 5.0")
    out.reason = reader.byte() if reader.left() else 0
    if reader.left():
        out.properties = reader.properties(out.kind)


_DECODERS = {
    CONNACK: _decode_connack,
    PUBLISH: _decode_publish,
    PUBACK: _decode_ack,
    PUBREC: _decode_ack,
    PUBREL: _decode_ack,
    PUBCOMP: _decode_ack,
    SUBACK: _decode_suback,
    UNSUBACK: _decode_suback,
    PINGRESP: _decode_pingresp,
    DISCONNECT: _decode_disconnect,
    AUTH: _decode_disconnect,
}
