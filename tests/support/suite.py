"""Test cases that share brokers, and a runner that lets them wait side by side.

    some_test.py --broker=PATH [--workers=N] [--io=BACKEND] [--wine=PREFIX] [--jobs=N]
                 [-k WORD]... [-v]

Each test is told from the others by its topics and client identifiers, so many
tests use one broker at once: most of them spend their time waiting.
"""

import argparse
import concurrent.futures
import itertools
import os
import sys
import threading
import time
import traceback
import unittest

from support import broker as broker_module
from support import client as client_module
from support import mqtt, wine
from support.broker import Broker

JOBS = 12

_brokers = {}
_crashes = []
_brokers_lock = threading.Lock()
_numbers = itertools.count(1)


def new_broker(config, **options):
    return (wine.WineBroker if wine.begun() else Broker)(config, **options)


def shared_broker(config):
    """The broker with this configuration, started by the first test that wants it."""
    with _brokers_lock:
        shared = _brokers.get(config)
        if shared:
            try:
                shared.check_alive()
                return shared
            except AssertionError as error:
                # Reported once; the tests that follow get another.
                _crashes.append(("the broker", str(error)))
                shared.remove()
        _brokers[config] = new_broker(config)
        return _brokers[config]


class BrokerTest(unittest.TestCase):
    """A test against a broker that has CONFIG beside the usual lines."""

    CONFIG = ""
    maxDiff = None

    def setUp(self):
        self.unique = f"t{os.getpid()}x{next(_numbers)}"

    def tearDown(self):
        # A test that killed the broker has failed, and not the one after it.
        shared = _brokers.get(self.CONFIG)
        if shared:
            shared.check_alive()

    @property
    def broker(self):
        return shared_broker(self.CONFIG)

    def own_broker(self, config="", **options):
        """A broker of this test alone; stopped, and looked after, at its end."""
        if broker_module.external_port():
            self.skipTest("needs a broker of its own")
        started = new_broker(config, **options)
        self.addCleanup(lambda: started.stop())  # Which a test may replace.
        return started

    # ------------------------------------------------------- unique to the test

    def topic(self, name):
        return f"{self.unique}/{name}"

    def client_id(self, name=""):
        return f"{self.unique}{name}"

    # ----------------------------------------------------------------- clients

    def open(self, version=mqtt.V5, broker=None, address=None):
        """A connection on which nothing was sent yet."""
        where = address or (broker or self.broker).address
        # The broker is ready when its first listener is: others may follow.
        deadline = time.monotonic() + (5 if address else 0)
        while True:
            try:
                opened = client_module.Client(where, version)
                self.addCleanup(opened.close)
                return opened
            except (ConnectionRefusedError, FileNotFoundError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def connect(self, name=None, version=mqtt.V5, broker=None, address=None, **arguments):
        """A connected client; without a name it has one that nobody else has."""
        opened = self.open(version, broker, address)
        name = f"c{next(_numbers)}" if name is None else name
        opened.connack = opened.connect(self.client_id(name), **arguments)
        return opened

    def session(self, name, version=mqtt.V5, expiry=300, **arguments):
        """A client whose session outlives its connection."""
        if version == mqtt.V5:
            props = list(arguments.pop("props", ()))
            arguments["props"] = [(mqtt.SESSION_EXPIRY_INTERVAL, expiry), *props]
        arguments.setdefault("clean", False)
        return self.connect(name, version, **arguments)

    def subscriber(self, *filters, version=mqtt.V5, qos=0, broker=None, **options):
        connected = self.connect(version=version, broker=broker)
        connected.subscribe(*[self.topic(f) for f in filters], qos=qos, **options)
        return connected

    def await_value(self, wanted, read, what="value"):
        """Waits until read() returns `wanted`, or something for which wanted() holds."""
        deadline = time.monotonic() + client_module.ARRIVAL_S
        holds = wanted if callable(wanted) else lambda value: value == wanted
        while True:
            value = read()
            if holds(value):
                return value
            if time.monotonic() > deadline:
                self.fail(f"{what} is still {value!r}, expected {wanted!r}")
            time.sleep(0.05)


def _flatten(tests):
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from _flatten(test)
        else:
            yield test


class _Result(unittest.TestResult):
    """The outcome of one test."""

    def __init__(self):
        super().__init__()
        self.started = time.monotonic()

    def problems(self):
        return self.failures + self.errors + [(t, "unexpected success") for t in
                                              self.unexpectedSuccesses]


def _run_one(test, verbose):
    result = _Result()
    test.run(result)
    if verbose:
        word = "FAIL" if result.problems() else "skip" if result.skipped else "ok"
        seconds = time.monotonic() - result.started
        sys.stdout.write(f"{word:4} {seconds:6.2f} s  {test.id()}\n")
    return result


def stop_brokers():
    """What was wrong with those that tests share."""
    problems = []
    for started in _brokers.values():
        try:
            started.stop()
        except AssertionError:
            problems.append(("at the end of the broker", traceback.format_exc()))
    return problems


def arguments(parser=None):
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("--broker", help="the binary to test")
    parser.add_argument("--workers", type=int, help="run the broker with that many")
    parser.add_argument("--io", help="its way of input and output, as in io_backend")
    parser.add_argument("--wine", help="it is for Windows, and this the archive of a prefix")
    parser.add_argument("--jobs", type=int, default=JOBS, help="tests at the same time")
    parser.add_argument("-k", action="append", default=[], help="only tests with this word")
    parser.add_argument("-v", action="store_true", help="name each test")
    # Anything else is for the test itself.
    return parser.parse_known_args()


def run(tests, jobs, verbose=False):
    """Runs tests side by side. One result for each, in order, and what else went wrong."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda test: _run_one(test, verbose), tests))
    return results, _crashes + stop_brokers()


def use(options):
    """Sets what the arguments say of the broker."""
    broker_module.Broker.binary = options.broker
    broker_module.Broker.workers = options.workers
    broker_module.Broker.io_backend = options.io
    if options.wine:
        wine.begin(options.wine)


def main():
    options, _rest = arguments()
    use(options)
    loaded = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    tests = [t for t in _flatten(loaded) if not options.k or any(k in t.id() for k in options.k)]
    started = time.monotonic()
    results, others = run(tests, options.jobs, options.v)
    problems = [p for result in results for p in result.problems()] + others
    for test, text in problems:
        print(f"{'=' * 70}\nFAIL: {test}\n{text}")
    skipped = [s for result in results for s in result.skipped]
    for test, why in skipped:
        print(f"skipped: {test}: {why}")
    seconds = time.monotonic() - started
    failed = sum(1 for result in results if result.problems())
    print(f"{len(tests)} tests, {failed} failed, {len(skipped)} skipped, in {seconds:.1f} s")
    if not tests:
        print("no test was run")
    sys.exit(1 if problems or not tests else 0)
