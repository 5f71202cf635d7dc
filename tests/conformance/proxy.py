"""Stands between a client and a broker, and changes packets.

That makes another broker of it: one that breaks a statement. A change is a function
change(link, from_client, packet), which returns the bytes to pass on instead.
"""

import select
import socket
import threading

from case import mqtt
from support import broker as broker_module
from support.mqtt import Reader


class Link:
    """One connection through the proxy."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.version = None
        self.connect = None  # The arguments of its CONNECT.
        self.kept = []  # For the change to remember something in.
        self.count = 0
        self.auth = None  # Its enhanced authentication, see mutants_auth.py.
        self.left = False  # The client has said DISCONNECT.


def parse_connect(data):
    """The arguments of mqtt.connect() that make these bytes."""
    reader = Reader(data)
    reader.byte()
    reader.varint()
    found = {"protocol": reader.string(), "version": reader.byte()}
    flags = reader.byte()
    found.update(flags=flags, keep_alive=reader.u16())
    if found["version"] == mqtt.V5:
        found["props"] = reader.properties(mqtt.CONNECT)
    found["client_id"] = reader.string()
    if flags & 4:
        props = reader.properties("WILL") if found["version"] == mqtt.V5 else []
        topic, payload = reader.string(), reader.binary()
        found["will"] = mqtt.Will(topic, payload, flags >> 3 & 3, bool(flags & 0x20), props)
    if flags & 0x80:
        found["user"] = reader.string()
    if flags & 0x40:
        found["password"] = reader.binary()
    if reader.left():
        raise mqtt.Malformed("bytes too many")
    return found


def parse_subscribe(data, version):
    """The arguments of mqtt.subscribe() that make these bytes."""
    reader = Reader(data)
    reader.byte()
    reader.varint()
    packet_id = reader.u16()
    props = reader.properties(mqtt.SUBSCRIBE) if version == mqtt.V5 else []
    filters = []
    while reader.left():
        filters.append((reader.string(), reader.byte()))
    return packet_id, filters, props


def parse_unsubscribe(data, version):
    reader = Reader(data)
    reader.byte()
    reader.varint()
    packet_id = reader.u16()
    props = reader.properties(mqtt.UNSUBSCRIBE) if version == mqtt.V5 else []
    filters = []
    while reader.left():
        filters.append(reader.string())
    return packet_id, filters, props


def encode(packet, version):
    """The bytes of a decoded packet, which may have been changed."""
    props = packet.properties
    if packet.kind == mqtt.CONNACK:
        return mqtt.connack(packet.reason, packet.session_present, version, props)
    if packet.kind == mqtt.PUBLISH:
        return mqtt.publish(packet.topic, packet.payload, packet.qos, packet.packet_id,
                            packet.retain, packet.dup, props, version)
    if packet.kind in (mqtt.SUBACK, mqtt.UNSUBACK):
        return mqtt.suback(packet.packet_id, packet.codes, props, version, packet.kind)
    if packet.kind == mqtt.DISCONNECT:
        return mqtt.disconnect(packet.reason, props)
    if version == mqtt.V5:
        return mqtt.ack(packet.kind, packet.packet_id, packet.reason, props)
    return mqtt.ack(packet.kind, packet.packet_id)


class Proxy:
    def __init__(self, address, change, keeps_open=None):
        self.address, self.change, self.keeps_open = address, change, keeps_open
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = broker_module.free_port()
        self.listener.bind((broker_module.HOST, self.port))
        self.listener.listen(200)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _address = self.listener.accept()
                server = socket.create_connection(self.address)
            except OSError:
                return
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(Link(client, server),), daemon=True).start()

    def serve(self, link):
        try:
            self.pump(link)
        except OSError:
            pass
        link.server.close()
        link.client.close()

    def stays(self, link):
        """Does the client not learn of the server's close?"""
        return self.keeps_open is not None and self.keeps_open(link)

    def pump(self, link):
        pending = {link.client: b"", link.server: b""}
        sources = [link.client, link.server]
        while True:
            poll = select.poll()
            for source in sources:
                poll.register(source, select.POLLIN)
            for number, _event in poll.poll():
                source = next(s for s in sources if s.fileno() == number)
                try:
                    data = source.recv(1 << 18)
                except ConnectionResetError:
                    data = b""
                if not data and source is link.server and self.stays(link):
                    sources = [link.client]  # As if nothing had happened.
                    break
                if not data:
                    if source is link.client and pending[source] and len(sources) == 2:
                        link.server.sendall(pending[source])
                    return
                if len(sources) == 2:
                    pending[source] = self.forward(link, source, pending[source] + data)

    def forward(self, link, source, data):
        """Passes packets on; returns the incomplete rest."""
        from_client = source is link.client
        target = link.server if from_client else link.client
        while data:
            try:
                length = mqtt.split(data)
            except mqtt.Malformed:
                length = len(data)
            if length is None:
                return data
            packet, data = data[:length], data[length:]
            if from_client and packet[0] == 0x10 and link.version is None:
                self.greet(link, packet)
            try:
                changed = self.change(link, from_client, packet)
            except (mqtt.Malformed, KeyError, IndexError):
                changed = packet  # Not a packet that this change is for.
            if changed:
                try:
                    target.sendall(changed)
                except OSError:
                    if not (from_client and self.stays(link)):
                        raise
        return b""

    def greet(self, link, packet):
        try:
            link.connect = parse_connect(packet)
            link.version = link.connect["version"]
        except (mqtt.Malformed, IndexError):
            link.version = mqtt.V5 if b"MQTT\5" in packet[:12] else mqtt.V311
