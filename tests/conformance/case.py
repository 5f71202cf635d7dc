"""What the tests of statements share.

A test is a method that `covers` statements; it runs once for each version of the
standard that it names, as `self.version`. It asks no more than the standard does:
where a broker may choose, each choice passes.
"""

import secrets

import options
from support import broker as broker_module
from support import client as client_module
from support import mqtt
from support.client import Closed
from support.mqtt import SESSION_EXPIRY_INTERVAL, V5, V311
from support.suite import BrokerTest

VERSION_NAMES = {V5: "5.0", V311: "3.1.1"}

# Never valid in a UTF-8 Encoded String, NUL aside: stray and missing continuation
# bytes, overlong forms, surrogates, beyond U+10FFFF.
ILL_FORMED = (
    b"a\xff",
    b"\x80a",
    b"a\xc3",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
)


def covers(both="", v5="", v311=""):
    """Statement identifiers that the test checks, by version; `both` goes for both."""

    def mark(method):
        statements = {V5: f"{both} {v5}".split(), V311: f"{both} {v311}".split()}
        method.statements = {version: ids for version, ids in statements.items() if ids}
        return method

    return mark


class ConformanceTest(BrokerTest):
    version = V5

    @property
    def v5(self):
        return self.version == V5

    @property
    def statements(self):
        return getattr(self, self._testMethodName).statements[self.version]

    def name(self):
        section = type(self).__module__.rpartition(".")[2]
        return f"{section}.{self._testMethodName}"

    def id(self):
        return f"{self.name()} ({VERSION_NAMES[self.version]})"

    def __str__(self):
        return self.id()

    def setUp(self):
        super().setUp()
        # Random, since another run may have left something in a foreign broker.
        self.unique = f"m{secrets.token_hex(4)}"
        self._forgotten = set()

    # --------------------------------------------------------------- clients

    def open(self, version=None, broker=None, address=None):
        if options.through:
            address = options.through(address or (broker or self.broker).address)
        return super().open(version or self.version, broker, address)

    def connect(self, name=None, version=None, broker=None, address=None, **arguments):
        return super().connect(name, version or self.version, broker, address, **arguments)

    def session(self, name, version=None, expiry=300, **arguments):
        if broker_module.external_port() and name not in self._forgotten:
            self._forgotten.add(name)
            self.addCleanup(self.forget, name)
        return super().session(name, version or self.version, expiry, **arguments)

    def subscriber(self, *filters, version=None, qos=0, broker=None, **options):
        return super().subscriber(
            *filters, version=version or self.version, qos=qos, broker=broker, **options
        )

    def forget(self, name):
        """Ends the session."""
        self.connect(name, clean=True).disconnect()

    def retain(self, topic, payload="kept", qos=1, **arguments):
        """Publishes a retained message, which goes when the test ends."""
        publisher = self.connect()
        publisher.publish(topic, payload, qos, retain=True, **arguments)
        if broker_module.external_port():
            self.addCleanup(lambda: self.connect().publish(topic, "", 1, retain=True))
        return publisher

    def retained(self, topic_filter, version=None):
        """The retained messages that a new subscriber gets."""
        reader = self.connect(version=version)
        reader.subscribe(topic_filter, qos=2)
        found = self.until_marker(reader)
        reader.close()
        return found

    # ------------------------------------------------------------ what follows

    def until_marker(self, subscriber, publisher=None):
        """All messages up to one that `publisher` sends now: what was sent before
        has then arrived, and what wasn't will not."""
        topic = self.topic(f"marker{secrets.token_hex(3)}")
        subscriber.subscribe(topic)
        (publisher or self.connect()).publish(topic, "marker")
        found = []
        while True:
            got = subscriber.message()
            if got.topic == topic:
                return found
            found.append(got)

    def assert_silent(self, subscriber, publisher=None):
        self.assertEqual(self.until_marker(subscriber, publisher), [])

    def ended(self, client, *reasons):
        """The broker has to close the connection. It may give a reason, which must
        be an error, and one of `reasons` if there are some. Returns what came."""
        try:
            packets = client.drain_until_closed()
        except AssertionError as error:
            self.fail(f"{error}, after {client.sent[:60]!r}")
        last = packets[-1] if packets else None
        if last is not None and last.kind in (mqtt.CONNACK, mqtt.DISCONNECT):
            if client.version == V5 and (last.reason or 0) < 0x80:
                # A refusal that may be in the form of another version.
                self.assertEqual((last.kind, last.reason), (mqtt.CONNACK, 1))
            elif reasons and client.version == V5:
                self.assertIn(last.reason, reasons, f"{last.reason:#04x} in {last}")
        return packets

    def ends(self, *packets, reasons=(), **arguments):
        """A connected client sends this and is ended for it."""
        client = self.connect(**arguments)
        client.send_quietly(*packets)
        return self.ended(client, *reasons)

    def refuses(self, *packets, reasons=(), broker=None):
        """A new connection on which this is sent is ended, never accepted. 3.1.1
        knows no answer to what is malformed but the end."""
        client = self.open(broker=broker)
        client.send_quietly(*packets)
        answers = self.ended(client, *reasons)
        self.assertLessEqual(len(answers), 1, answers)
        for answer in answers:
            self.assertEqual(answer.kind, mqtt.CONNACK)
            self.assertNotEqual(answer.reason, 0)
        return answers

    # ----------------------------------------------------------------- packets

    def packet(self, name, *arguments, **options):
        """mqtt.<name>() in the version of the test."""
        return getattr(mqtt, name)(*arguments, version=self.version, **options)


def expiry(seconds):
    return [(SESSION_EXPIRY_INTERVAL, seconds)]


__all__ = [
    "ILL_FORMED",
    "V311",
    "V5",
    "VERSION_NAMES",
    "Closed",
    "ConformanceTest",
    "client_module",
    "covers",
    "expiry",
    "mqtt",
]
