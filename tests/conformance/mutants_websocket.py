"""A WebSocket before the broker, and mutants of it, as for enhanced authentication."""

import base64
import hashlib
import select
import socket
import struct
import threading

from case import mqtt
from mutants import MUTANTS, Mutant
from support import broker as broker_module

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8


class Bridge:
    """Listens for WebSockets and passes on what is in their frames. What it does
    wrong is in `faults`."""

    def __init__(self, address, faults):
        self.address, self.faults = address, faults
        self.port = broker_module.free_port()
        self.listener = socket.create_server((broker_module.HOST, self.port), backlog=50)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _address = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(self.address) as server:
            try:
                rest = self.upgrade(client)
                self.pump(client, server, rest)
            except OSError:
                pass

    def upgrade(self, client):
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(4096)
        head, _, rest = data.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        digest = hashlib.sha1((fields["Sec-WebSocket-Key"] + MAGIC).encode()).digest()
        protocol = "other" if "subprotocol" in self.faults else "mqtt"
        client.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        )
        return rest

    def pump(self, client, server, rest):
        """Until one side closes, or sends a frame that isn't allowed."""
        while True:
            frame, rest = self.frame(rest)
            if frame is not None:
                opcode, data = frame
                if opcode == CLOSE or (opcode == TEXT and "text" not in self.faults):
                    return
                self.to_server(server, data)
                continue
            poll = select.poll()
            for end in (client, server):
                poll.register(end, select.POLLIN)
            ready = [number for number, _event in poll.poll()]
            if client.fileno() in ready:
                data = client.recv(1 << 16)
                if not data:
                    return
                rest += data
            if server.fileno() in ready:
                data = server.recv(1 << 16)
                if not data:
                    return
                self.to_client(client, data)

    def to_server(self, server, data):
        if "aligned" in self.faults and mqtt.split(data) != len(data):
            return  # Only whole packets are understood.
        server.sendall(data)

    def to_client(self, client, data):
        kind = TEXT if "answers_in_text" in self.faults else BINARY
        length = len(data)
        head = bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length)
        client.sendall(bytes([0x80 | kind]) + head + data)

    def frame(self, data):
        """The first frame of `data`, or None, and what follows it."""
        if len(data) < 2:
            return None, data
        length, at = data[1] & 127, 2
        if length == 126:
            if len(data) < 4:
                return None, data
            length, at = struct.unpack(">H", data[2:4])[0], 4
        end = at + 4 + length
        if len(data) < end:
            return None, data
        mask, body = data[at : at + 4], data[at + 4 : end]
        return (data[0] & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(body))), data[end:]


def _bridged(name, statements, *faults):
    mutant = Mutant(lambda _link, _from_client, data: data, statements, statements)
    mutant.websocket = lambda address: (broker_module.HOST, Bridge(address, faults).port)
    MUTANTS[name] = mutant


# Without a fault, all have to pass.
_bridged("websocket", "")
_bridged("websocket_of_another_protocol", "MQTT-6.0.0-4", "subprotocol")
_bridged("websocket_with_text", "MQTT-6.0.0-1", "text")
_bridged("websocket_answers_in_text", "MQTT-6.0.0-1", "answers_in_text")
_bridged("websocket_with_whole_packets", "MQTT-6.0.0-2", "aligned")
