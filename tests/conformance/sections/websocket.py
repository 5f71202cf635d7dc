"""MQTT over WebSocket: chapter 6."""

import base64
import os
import secrets
import socket
import struct
import time

import options
from case import Closed, ConformanceTest, covers, mqtt
from support import broker as broker_module
from support import client as client_module

CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8


def connection(address):
    """A broker is ready when its first listener is; this one may follow."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(address, client_module.ARRIVAL_S)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Frames:
    """A client's end of a WebSocket."""

    def __init__(self, address):
        self.socket = connection(address)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /mqtt HTTP/1.1\r\nHost: {address[0]}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.input = b""
        while b"\r\n\r\n" not in self.input:
            self.more()
        head, _, self.input = self.input.partition(b"\r\n\r\n")
        self.head = head.decode("latin-1").split("\r\n")
        self.stream = b""  # What binary frames held, and no packet took yet.

    def header(self, name):
        for line in self.head[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == name.lower():
                return value.strip()
        return None

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed("the connection is closed")
        self.input += data

    def take(self, count):
        while len(self.input) < count:
            self.more()
        data, self.input = self.input[:count], self.input[count:]
        return data

    def send(self, data, opcode=BINARY, last=True):
        mask = secrets.token_bytes(4)
        length = len(data)
        head = bytes([opcode | (0x80 if last else 0)])
        head += bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def frame(self):
        """Opcode and data of the next frame."""
        first, second = self.take(2)
        length = second & 127
        if length == 126:
            length = struct.unpack(">H", self.take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.take(8))[0]
        return first & 15, self.take(length)

    def packet(self, version):
        """The next packet, from binary frames."""
        while True:
            length = mqtt.split(self.stream) if self.stream else None
            if length is not None:
                data, self.stream = self.stream[:length], self.stream[length:]
                return mqtt.decode(data, version)
            opcode, data = self.frame()
            if opcode == CLOSE:
                raise Closed("the server closed the WebSocket")
            if opcode not in (BINARY, CONTINUATION):
                raise AssertionError(f"a frame of kind {opcode} for MQTT")
            self.stream += data

    def until_closed(self):
        """Frames until the end; those of data only."""
        found = []
        try:
            while True:
                opcode, data = self.frame()
                if opcode == CLOSE:
                    return found
                found.append((opcode, data))
        except (Closed, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                raise AssertionError("not closed in time") from error
            return found


class WebSocketTest(ConformanceTest):
    def address(self):
        if options.websocket_through:
            return options.websocket_through(self.broker.address)
        if options.websocket_port:
            return (os.environ.get("MILLRACE_HOST", broker_module.HOST), options.websocket_port)
        if broker_module.external_port():
            self.skipTest("give the port of its WebSocket listener: --websocket PORT")
        return self.started_address()

    def started_address(self):
        config = "listener {port2} 127.0.0.1\nprotocol websockets\n"
        target = broker_module.Broker(config, start=False)
        try:
            target.start()
        except AssertionError:
            log = target.log()
            target.discard()
            if "websocket" in log.lower():
                self.skipTest("the broker has no WebSocket listener")
            raise
        self.addCleanup(target.stop)
        return (target.host, target.port2)

    def upgrade(self):
        frames = Frames(self.address())
        self.addCleanup(frames.socket.close)
        self.assertIn(" 101 ", frames.head[0])
        return frames

    @covers("MQTT-6.0.0-4")
    def test_subprotocol(self):
        self.assertEqual(self.upgrade().header("Sec-WebSocket-Protocol"), "mqtt")

    @covers("MQTT-6.0.0-1")
    def test_binary_frames(self):
        frames = self.upgrade()
        frames.send(self.packet("connect", self.client_id()))
        self.assertEqual(frames.packet(self.version).kind, mqtt.CONNACK)
        frames.send(mqtt.pingreq(), TEXT)
        self.assertEqual([f for f in frames.until_closed() if f[0] != BINARY], [])

    @covers("MQTT-6.0.0-2")
    def test_frames_are_no_packets(self):
        """Byte by byte, then all at once, then in fragments."""
        frames = self.upgrade()
        connect = self.packet("connect", self.client_id())
        for byte in connect:
            frames.send(bytes([byte]))
        self.assertEqual(frames.packet(self.version).kind, mqtt.CONNACK)
        topic = self.topic("a")
        frames.send(
            self.packet("subscribe", 1, [(topic, 0)])
            + self.packet("publish", topic, "one")
            + self.packet("publish", topic, "two")
            + mqtt.pingreq()[:1]
        )
        frames.send(mqtt.pingreq()[1:])
        got = [frames.packet(self.version) for _ in range(4)]
        self.assertEqual([p.payload for p in got if p.kind == mqtt.PUBLISH], [b"one", b"two"])
        publish = self.packet("publish", topic, "three")
        frames.send(publish[:3], last=False)
        frames.send(publish[3:], CONTINUATION)
        self.assertEqual(frames.packet(self.version).payload, b"three")
