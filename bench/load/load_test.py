#!/usr/bin/python3 -B
"""Does the load generator count right, on the broker and on the relay? And does it notice
when a broker loses messages?

    load_test.py LOAD BROKER RELAY
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from bench.versus import peers

LOAD, BROKER, RELAY = (os.path.abspath(path) for path in sys.argv[1:4])
COUNT = 2000

# Drops what a connection doesn't take at once.
LOSSY_CONF = """listener {port} 127.0.0.1
allow_anonymous true
log_type error
workers 1
outbox_bytes 4096
max_queued_messages 1
"""


class Counts(unittest.TestCase):
    """Of one broker, for each shape."""

    peer = peers.millrace(BROKER)

    @classmethod
    def setUpClass(cls):
        cls.load = peers.Load(LOAD)
        cls.running = cls.peer.start()

    @classmethod
    def tearDownClass(cls):
        cls.running.stop()

    def check(self, fan_out, *words):
        result = self.load.run(self.running, "-n", COUNT, *words)
        self.assertEqual(result["published"], COUNT)
        self.assertEqual(result["delivered"], COUNT * fan_out)
        self.assertEqual(result["latency_ns"]["count"], COUNT * fan_out)
        return result


class Broker(Counts):
    def test_pair(self):
        for qos in 0, 1, 2:
            for version in 4, 5:
                self.check(1, "pair", "-P", 4, "-q", qos, "-V", version)

    def test_fan_in(self):
        self.check(1, "fan-in", "-P", 20)
        self.check(3, "fan-in", "-P", 20, "-S", 3, "-q", 1, "-w", 40)

    def test_fan_out(self):
        self.check(20, "fan-out", "-S", 20, "-w", 100)
        self.check(20, "fan-out", "-S", 20, "-P", 2, "-q", 1, "-w", 40)

    def test_wildcard(self):
        for qos in 0, 1:
            self.check(1, "wildcard", "-P", 4, "-S", 50, "-T", 10003, "-q", qos)

    def test_payloads(self):
        for size in 16, 1000, 16384, 300000:
            result = self.load.run(
                self.running, "pair", "-P", 2, "-n", 20, "-s", size, "-w", 4, "-q", 1
            )
            self.assertEqual(result["delivered"], 20)

    def test_rate(self):
        result = self.check(1, "fan-in", "-P", 100, "-r", 10000)
        self.assertGreater(result["seconds"], COUNT / 10000 * 0.9)
        self.assertEqual(result["own_lateness_ns"]["count"], COUNT)

    def test_retained(self):
        result = self.load.run(self.running, "retained", "-S", 3, "-T", 500, "-t", 0.3)
        self.assertGreaterEqual(result["rounds"], 3)
        self.assertGreaterEqual(result["delivered"], result["rounds"] * 500)
        # It leaves nothing behind, so that the next one finds only its own.
        result = self.load.run(self.running, "retained", "-S", 3, "-T", 100, "-t", 0.3)
        self.assertGreaterEqual(result["rounds"], 3)

    def test_processes_and_sources(self):
        result = self.load.run(
            self.running, "pair", "-P", 3, "-m", 3, "-a", 5, "-n", COUNT - COUNT % 3
        )
        self.assertEqual(result["delivered"], 3 * (COUNT - COUNT % 3))
        self.assertEqual(result["connects"], 3 * 6)

    def test_idle_and_churn(self):
        result = self.load.run(self.running, "idle", "-S", 200, "-t", 0.1)
        self.assertEqual(result["connects"], 200)
        self.assertGreater(result["broker_memory_bytes"], 0)
        result = self.load.run(self.running, "churn", "-S", 20, "-a", 3, "-t", 0.3)
        self.assertGreater(result["connects"], 20)


class Relay(Counts):
    peer = peers.relay(RELAY)

    def test_shapes(self):
        self.check(1, "pair", "-P", 10)
        self.check(1, "pair", "-V", 5)
        self.check(1, "fan-in", "-P", 50, "-s", 99)
        self.check(50, "fan-out", "-S", 50)

    def test_payloads(self):
        for size in 16, 16384, 1000000:
            result = self.load.run(self.running, "pair", "-n", 40, "-s", size, "-w", 8)
            self.assertEqual(result["delivered"], 40)
        result = self.load.run(self.running, "fan-in", "-P", 10, "-n", 500, "-s", 20000, "-w", 8)
        self.assertEqual(result["delivered"], 500)

    def test_subscribers_that_are_slower_than_their_publisher(self):
        """A window beyond all socket buffers: what isn't taken has to wait, in order."""
        words = ("fan-out", "-S", 4, "-n", 400, "-s", 100000, "-w", 400)
        result = self.load.run(self.running, *words)
        self.assertEqual(result["delivered"], 1600)

    def test_idle(self):
        result = self.load.run(self.running, "idle", "-S", 50, "-t", 0.1)
        self.assertEqual(result["connects"], 50)


class RelayOfThree(Relay):
    @classmethod
    def setUpClass(cls):
        cls.load = peers.Load(LOAD)
        cls.running = cls.peer.start(workers=3)


class Loss(unittest.TestCase):
    def test_is_noticed(self):
        peer = peers.Peer("lossy", [BROKER, "-c", "{dir}/broker.conf"], LOSSY_CONF)
        with peer.start() as running:
            words = ("pair", "-s", 4000, "-n", COUNT, "-w", COUNT)
            with self.assertRaisesRegex(peers.LoadFailed, "^lossy: .*: [1-9][0-9]* lost$"):
                peers.Load(LOAD).run(running, *words)

    def test_nobody_there(self):
        with peers.relay(RELAY).start() as running:
            running.process.kill()
            running.process.wait()
            with self.assertRaises(peers.LoadFailed):
                peers.Load(LOAD).run(running, "pair")


del Counts  # Only for its subclasses.

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
