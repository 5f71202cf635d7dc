"""What the command line says of the broker under test, for the tests that need it."""

websocket_port = None
user = "user"
password = "password"

# A function that gives another address for a broker's: that of a proxy before it.
through = None
websocket_through = None  # The same, for its WebSocket.
