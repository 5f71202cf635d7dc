"""A relay on loopback that writes down what goes through it."""

import socket
import threading

PIECE_BYTES = 65536


class Connection:
    """One client's connection: what was sent each way, and when it was open."""

    def __init__(self, begin):
        self.begin = begin
        self.end = None
        self.from_client = b""
        self.from_server = b""


class Relay:
    """Listens on a free port of 127.0.0.1 and passes everything on to `port`.

    `events` are (connection, bytes from its client) in the order in which they came, with None for
    bytes where the client hung up.
    """

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.connections = []
        self.events = []
        self.lock = threading.Lock()
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start(self.accept)

    def start(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # Closed.
            server = socket.create_connection(self.target)
            with self.lock:
                connection = Connection(len(self.events))
                self.connections.append(connection)
            self.start(self.pass_on, connection, client, server, True)
            self.start(self.pass_on, connection, server, client, False)

    def pass_on(self, connection, source, target, is_client):
        while True:
            try:
                data = source.recv(PIECE_BYTES)
            except OSError:
                data = b""
            with self.lock:
                self.note(connection, data, is_client)
            try:
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return  # The other side is gone, and its own thread says so.

    def note(self, connection, data, is_client):
        if not is_client:
            connection.from_server += data
            return
        connection.from_client += data
        self.events.append((connection, data or None))
        if not data:
            connection.end = len(self.events)

    def close(self):
        """Stops listening; what was written down stays."""
        self.listener.close()
