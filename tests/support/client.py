"""A raw MQTT client: it sends what a test says and checks what comes back.

Nothing happens by itself: no acknowledgement, no ping, no reconnection. Packets
that arrive while a test waits for another kind are kept in order in `pending`.
"""

import collections
import itertools
import select
import socket
import time

from support import mqtt

# For what must arrive: as long as a loaded machine with a sanitizer may need.
ARRIVAL_S = 20
# For the end of a connection, which is always near.
CLOSE_S = 10
# For what must not arrive, after a round trip has shown that the broker is through.
ABSENCE_S = 0.25


class Closed(Exception):
    """The broker closed the connection."""


class Client:
    """One connection. `address`: (host, port), or the path of a unix socket."""

    def __init__(self, address, version=mqtt.V5, receive_buffer=None):
        self.version = version
        self.pending = collections.deque()
        self._input = bytearray()
        self._packet_ids = itertools.cycle(range(1, 65536))
        self.closed = False
        self.sent = b""  # The last packets, for what is said of a failure.
        self.arrival_s = ARRIVAL_S
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(ARRIVAL_S)
            self.socket.connect(address)
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.socket = socket.socket(family)
            if receive_buffer:
                # Before the connection is made: its window depends on it.
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(ARRIVAL_S)
            self.socket.connect(address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ------------------------------------------------------------- connection

    def send(self, *packets):
        self.sent = b"".join(packets)
        self.socket.sendall(self.sent)
        return self

    def send_quietly(self, *packets):
        """Sends what the broker may refuse by closing at once."""
        try:
            self.send(*packets)
        except OSError:
            pass
        return self

    def close(self):
        """Closes without DISCONNECT: what the standard calls a network failure."""
        self.socket.close()

    def disconnect(self, reason=None, props=None):
        self.send(mqtt.disconnect(reason, props))
        self.expect_close()

    def leave(self):
        """DISCONNECT by a client that may have messages on their way to it."""
        self.send(mqtt.disconnect())
        self.drain_until_closed()

    # ------------------------------------------------------------- receiving

    def _fill(self, deadline):
        """Reads once. False at the deadline; raises Closed at the end."""
        if self.closed:
            raise Closed("the connection is closed")
        wait = max(0, deadline - time.monotonic())
        poll = select.poll()  # select() knows no descriptor above 1023.
        poll.register(self.socket, select.POLLIN)
        if not poll.poll(wait * 1000):
            return False
        try:
            data = self.socket.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.closed = True
            rest = bytes(self._input)
            raise Closed(f"closed by the broker{f', after {rest!r}' if rest else ''}")
        self._input += data
        return True

    def _read(self, deadline):
        """The next packet from the network, or None at the deadline."""
        while True:
            length = mqtt.split(self._input)
            if length is not None:
                data = bytes(self._input[:length])
                del self._input[:length]
                return mqtt.decode(data, self.version)
            if not self._fill(deadline):
                return None

    def receive(self, timeout=None):
        """The next packet, or None if there is none in time; raises Closed."""
        if self.pending:
            return self.pending.popleft()
        return self._read(time.monotonic() + (self.arrival_s if timeout is None else timeout))

    def expect(self, kind, **fields):
        """The next packet has to be of that kind and have these fields."""
        got = self.receive()
        if got is None:
            raise AssertionError(f"no {mqtt.NAMES[kind]} in {self.arrival_s} s")
        return check(got, kind, fields)

    def wait_for(self, kind, **fields):
        """Like expect(), but other packets may come first; they stay pending."""
        for index, packet in enumerate(self.pending):
            if packet.kind == kind:
                del self.pending[index]
                return check(packet, kind, fields)
        deadline = time.monotonic() + self.arrival_s
        while True:
            got = self._read(deadline)
            if got is None:
                waiting = list(self.pending)
                raise AssertionError(f"no {mqtt.NAMES[kind]} in {self.arrival_s} s, but {waiting}")
            if got.kind == kind:
                return check(got, kind, fields)
            self.pending.append(got)

    def expect_close(self):
        """Nothing but the end of the connection may come."""
        try:
            got = self.receive()
        except Closed:
            self.close()
            return
        raise AssertionError(f"expected the end of the connection, got {got}")

    def drain_until_closed(self):
        """Everything that arrives until the broker closes."""
        packets = []
        limit = max(CLOSE_S, self.arrival_s / 2)
        deadline = time.monotonic() + limit
        try:
            while time.monotonic() < deadline:
                got = self.receive(deadline - time.monotonic())
                if got:
                    packets.append(got)
        except Closed:
            self.close()
            return packets
        raise AssertionError(f"not closed in {limit} s, but received {packets}")

    def expect_end(self, *reasons):
        """The broker ends the connection: to 5.0 with one of these reason codes,
        in DISCONNECT or, before that, CONNACK; to 3.x by closing."""
        packets = self.drain_until_closed()
        if self.version != mqtt.V5:
            if any(p.kind != mqtt.CONNACK or not p.reason for p in packets):
                raise AssertionError(f"{packets} before the end of the connection")
            return None
        last = packets[-1] if packets else None
        if last is None or last.kind not in (mqtt.DISCONNECT, mqtt.CONNACK):
            raise AssertionError(f"no reason given at the end of the connection: {packets}")
        if reasons and last.reason not in reasons:
            wanted = ", ".join(f"{r:#04x}" for r in reasons)
            raise AssertionError(f"reason {last.reason:#04x} in {last}, expected {wanted}")
        return last

    def expect_nothing(self, seconds=ABSENCE_S):
        """A round trip brings nothing but its answer, nor does a while after it."""
        self.ping()
        self.expect_quiet(seconds)

    def expect_quiet(self, seconds=ABSENCE_S):
        got = self.receive(seconds)
        if got is not None:
            raise AssertionError(f"expected nothing, got {got}")

    # ------------------------------------------------------------ whole steps

    def connect(self, client_id="", code=0, **arguments):
        """CONNECT and its CONNACK, which has to carry `code`."""
        self.send(mqtt.connect(client_id, self.version, **arguments))
        return self.expect(mqtt.CONNACK, reason=code)

    def next_id(self):
        return next(self._packet_ids)

    def subscribe(self, *filters, qos=0, props=(), codes=None, **options):
        """Subscribes to filters, or to pairs of filter and options byte."""
        packet_id = self.next_id()
        byte = mqtt.options(qos, **options)
        pairs = [f if isinstance(f, tuple) else (f, byte) for f in filters]
        self.send(mqtt.subscribe(packet_id, pairs, props, self.version))
        got = self.wait_for(mqtt.SUBACK, packet_id=packet_id)
        wanted = [o & 3 for _, o in pairs] if codes is None else codes
        if got.codes != wanted:
            raise AssertionError(f"SUBACK codes {got.codes}, expected {wanted}")
        return got

    def unsubscribe(self, *filters, props=(), codes=None):
        packet_id = self.next_id()
        self.send(mqtt.unsubscribe(packet_id, filters, props, self.version))
        got = self.wait_for(mqtt.UNSUBACK, packet_id=packet_id)
        wanted = [] if self.version != mqtt.V5 else codes or [0] * len(filters)
        if got.codes != wanted:
            raise AssertionError(f"UNSUBACK codes {got.codes}, expected {wanted}")
        return got

    def publish(self, topic, payload=b"", qos=0, retain=False, props=(), packet_id=None):
        """Publishes and takes part in the acknowledgement; returns the last packet."""
        if qos and packet_id is None:
            packet_id = self.next_id()
        self.send(
            mqtt.publish(
                topic, payload, qos, packet_id, retain, props=props, version=self.version
            )
        )
        if qos == 1:
            return self.wait_for(mqtt.PUBACK, packet_id=packet_id)
        if qos == 2:
            got = self.wait_for(mqtt.PUBREC, packet_id=packet_id)
            if (got.reason or 0) >= 0x80:
                return got
            self.send(mqtt.ack(mqtt.PUBREL, packet_id))
            return self.wait_for(mqtt.PUBCOMP, packet_id=packet_id)
        return None

    def message(self, topic=None, payload=None, acknowledge=True, **fields):
        """The next packet has to be a PUBLISH; answers it as its QoS asks."""
        if topic is not None:
            fields["topic"] = topic
        if payload is not None:
            fields["payload"] = mqtt.as_bytes(payload)
        got = self.expect(mqtt.PUBLISH, **fields)
        if acknowledge:
            self.acknowledge(got)
        return got

    def acknowledge(self, got):
        if got.qos == 1:
            self.send(mqtt.ack(mqtt.PUBACK, got.packet_id))
        elif got.qos == 2:
            self.send(mqtt.ack(mqtt.PUBREC, got.packet_id))
            self.wait_for(mqtt.PUBREL, packet_id=got.packet_id)
            self.send(mqtt.ack(mqtt.PUBCOMP, got.packet_id))

    def messages(self, count, acknowledge=True):
        return [self.message(acknowledge=acknowledge) for _ in range(count)]

    def ping(self):
        self.send(mqtt.pingreq())
        self.expect(mqtt.PINGRESP)


def check(got, kind, fields):
    if got.kind != kind:
        raise AssertionError(f"expected {mqtt.NAMES[kind]} {fields or ''}, got {got}")
    for name, wanted in fields.items():
        value = getattr(got, name)
        if value != wanted:
            raise AssertionError(f"{name} is {value!r}, expected {wanted!r}, in {got}")
    return got
