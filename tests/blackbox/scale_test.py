#!/usr/bin/python3 -B
"""Many clients, many messages, many reconnections: nothing lost, nothing twice.

    scale_test.py --broker=PATH [--clients=1000] [--messages=10] [--reconnects=100]

The defaults are modest, for every run of the tests; by hand, try
--clients=10000 --jobs=1.
What it measures (memory of an idle client) it prints.
"""

import os
import random
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.broker import Broker
from support.client import Closed
from support.mqtt import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V311, V5
from support.suite import BrokerTest, arguments, main

SEED = int(os.environ.get("MILLRACE_SEED", 0)) or random.randrange(1 << 32)


def option(name, default):
    """--name=NUMBER of the command line."""
    found = [a.split("=")[1] for a in arguments()[1] if a.startswith(f"--{name}=")]
    return int(found[0]) if found else default


def raise_descriptors(wanted):
    """How many of `wanted` connections this process can hold."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 200)


class ScaleTest(BrokerTest):
    def setUp(self):
        super().setUp()
        self.count = raise_descriptors(option("clients", 1000))
        self.target = self.own_broker("max_queued_messages 0\nmax_queued_bytes 0\nlog_type error\n")

    def crowd(self, count, prepare=None):
        """That many connected clients. CONNECTs overlap, a hundred at a time."""
        clients = []
        for start in range(0, count, 100):
            part = [
                self.open((V311, V5)[i % 2], self.target)
                for i in range(start, min(start + 100, count))
            ]
            for index, client in enumerate(part):
                name = self.client_id(f"n{start + index}")
                client.send(mqtt.connect(name, client.version))
            for client in part:
                client.expect(mqtt.CONNACK, reason=0)
                if prepare:
                    prepare(client)
            clients += part
        return clients


class Crowds(ScaleTest):
    def test_idle_clients(self):
        self.crowd(10)  # So that what is there once for all is there.
        before = self.target.resident_kb()
        clients = self.crowd(self.count)
        time.sleep(0.2)
        each = (self.target.resident_kb() - before) * 1024 / self.count
        print(f"{self.count} idle clients: {each:.0f} bytes each")
        for client in clients:
            client.send(mqtt.pingreq())
        for client in clients:
            client.expect(mqtt.PINGRESP)
        if not Broker.is_sanitized():
            self.assertLess(each, 10000)

    def test_one_publisher_and_many_subscribers(self):
        messages = option("messages", 10)
        topic = self.topic("out")
        clients = self.crowd(self.count, lambda client: client.subscribe(topic, qos=1))
        publisher = self.connect(broker=self.target)
        for index in range(messages):
            publisher.publish(topic, f"{index}", qos=1)
        for client in clients:
            for index in range(messages):
                client.message(topic, f"{index}", qos=1)
        for client in clients:
            client.ping()

    def test_many_publishers_and_one_subscriber(self):
        messages = option("messages", 10)
        topic = self.topic("in")
        subscriber = self.connect(broker=self.target, props=[(mqtt.RECEIVE_MAXIMUM, 1000)])
        subscriber.subscribe(topic, qos=1)
        clients = self.crowd(self.count)
        for number, client in enumerate(clients):
            client.send(
                *[
                    mqtt.publish(topic, f"{number} {i}", 1, i + 1, version=client.version)
                    for i in range(messages)
                ]
            )
        next_of = [0] * self.count
        for _ in range(messages * self.count):
            number, index = map(int, subscriber.message(topic).payload.split())
            self.assertEqual(index, next_of[number])
            next_of[number] += 1
        subscriber.expect_nothing()
        for client in clients:
            for index in range(messages):
                client.expect(PUBACK, packet_id=index + 1)


class Sender:
    """Publishes numbers at QoS 2 through any number of connections."""

    WINDOW = 10

    def __init__(self, topic, count):
        self.topic, self.count = topic, count
        self.next = 0
        self.open = {}  # Packet identifier: number, or None once PUBREL was sent.

    def resume(self, client):
        """What the standard asks for on a new connection [MQTT-4.4.0-1]."""
        for packet_id, number in self.open.items():
            if number is None:
                client.send(mqtt.ack(PUBREL, packet_id))
            else:
                client.send(mqtt.publish(self.topic, f"{number}", 2, packet_id, dup=True))

    def fill(self, client):
        while self.next < self.count and len(self.open) < self.WINDOW:
            packet_id = next(i for i in range(1, 65536) if i not in self.open)
            self.open[packet_id] = self.next
            client.send(mqtt.publish(self.topic, f"{self.next}", 2, packet_id))
            self.next += 1

    def handle(self, client, packet):
        if packet.kind == PUBREC:
            self.open[packet.packet_id] = None
            client.send(mqtt.ack(PUBREL, packet.packet_id))
        elif packet.kind == PUBCOMP:
            self.open.pop(packet.packet_id, None)

    def done(self):
        return self.next == self.count and not self.open


class Receiver:
    """Takes numbers at QoS 2 through any number of connections."""

    def __init__(self):
        self.numbers = []
        self.held = set()  # Packet identifiers between PUBLISH and PUBREL.

    def handle(self, client, packet):
        if packet.kind == PUBLISH:
            if packet.packet_id not in self.held:
                self.held.add(packet.packet_id)
                self.numbers.append(int(packet.payload))
            client.send(mqtt.ack(PUBREC, packet.packet_id))
        elif packet.kind == PUBREL:
            self.held.discard(packet.packet_id)
            client.send(mqtt.ack(PUBCOMP, packet.packet_id))


class ExactlyOnce(ScaleTest):
    def test_qos_2_across_reconnections(self):
        """Both sides lose their connections, at any point; a message comes once."""
        rng = random.Random(SEED)
        print(f"seed {SEED}")
        reconnects = option("reconnects", 100)
        topic = self.topic("once")
        sender, receiver = Sender(topic, reconnects * 10), Receiver()

        def receive_side():
            return self.session("receiver", broker=self.target)

        def send_side():
            client = self.session("sender", broker=self.target)
            sender.resume(client)
            return client

        reading = receive_side()
        reading.subscribe(topic, qos=2)
        writing = send_side()
        lost = 0
        deadline = time.monotonic() + 240
        while not sender.done() or len(receiver.numbers) < sender.count:
            self.assertLess(time.monotonic(), deadline, f"{len(receiver.numbers)} arrived")
            sender.fill(writing)
            self.step(rng, writing, sender)
            self.step(rng, reading, receiver)
            if lost < reconnects and rng.random() < 0.2:
                lost += 1
                # Not closed first, it is a take-over.
                closed = rng.random() < 0.7
                if rng.random() < 0.5:
                    if closed:
                        writing.close()
                    writing = send_side()
                else:
                    if closed:
                        reading.close()
                    reading = receive_side()
        self.assertEqual(receiver.numbers, list(range(sender.count)))
        self.assertEqual(lost, reconnects)

    @staticmethod
    def step(rng, client, side):
        """Handles up to a few packets of those that are there."""
        try:
            for _ in range(rng.randrange(6)):
                packet = client.receive(0.005)
                if packet is None:
                    return
                side.handle(client, packet)
        except Closed:
            raise AssertionError("the broker closed a good connection") from None


if __name__ == "__main__":
    main()
