#!/usr/bin/python3 -B
"""Does the suite notice a broker that breaks a statement?

Each mutant is the real broker with a proxy before it that breaks some statements. The
tests of these have to fail; through a proxy that changes nothing, all have to pass.
And each statement that has a test has to be broken by some mutant.

    mutants_test.py --broker=PATH [--mutant NAME]... [--survey]

The survey also runs all tests on the mutants that end nobody, prints what fails there,
and what neither fails there nor is named by a mutant.
"""

import argparse
import collections
import concurrent.futures
import multiprocessing
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import matrix
import mutants_auth  # pylint: disable=unused-import
import mutants_more  # pylint: disable=unused-import
import mutants_websocket  # pylint: disable=unused-import
import options
from mutants import MUTANTS, Mutant
from proxy import Proxy
from support import client as client_module
from support import suite

PROCESSES = 6
WAIT_S = 1.2  # What a mutant keeps back is not worth a longer wait.

# Nothing may fail on these; on the last two nothing of a section may be skipped.
UNCHANGED = "unchanged"
ABLE = {"scram": "auth.", "websocket": "websocket."}
MUTANTS[UNCHANGED] = Mutant(lambda _link, _from_client, data: data, "", "")


def through(mutant):
    """Addresses of proxies, made when they are first wanted."""
    lock = threading.Lock()
    proxies = {}

    def find(address):
        with lock:
            if address not in proxies:
                proxies[address] = Proxy(address, mutant.change, mutant.keeps_open)
            return ("127.0.0.1", proxies[address].port)

    return find


def run(name, everything):
    """The statements that the mutant fails: {(version, id): [test]}, and its tests."""
    mutant = MUTANTS[name]
    chosen = matrix.tests()
    if name in ABLE:
        chosen = [t for t in chosen if t.name().startswith(ABLE[name])]
    elif name != UNCHANGED:
        client_module.ARRIVAL_S = client_module.CLOSE_S = WAIT_S
        if not everything:
            wanted = set(mutant.statements)
            chosen = [t for t in chosen if wanted & set(keys(t))]
    options.through = through(mutant)
    options.websocket_through = mutant.websocket
    failed = collections.defaultdict(list)

    def run_one(test):
        result = unittest.TestResult()
        test.run(result)
        if result.failures or result.errors or (result.skipped and name in ABLE):
            for key in keys(test):
                failed[key].append(test.id())

    with concurrent.futures.ThreadPoolExecutor(suite.JOBS) as pool:
        list(pool.map(run_one, chosen))
    return name, dict(failed)


def keys(test):
    return [(matrix.VERSION_NAMES[test.version], i) for i in test.statements]


def problems(name, failed):
    if name == UNCHANGED or name in ABLE:
        for tests in failed.values():
            yield f"{name}: {', '.join(tests)} doesn't pass"
    for key in MUTANTS[name].statements:
        if key not in failed:
            yield f"{name}: no test of {key[1]} of {key[0]} fails"


def unbroken():
    """Statements that no mutant names."""
    named = {key for mutant in MUTANTS.values() for key in mutant.statements}
    for key, statement in matrix.statements().items():
        if key not in named and not statement.reason:
            yield f"no mutant breaks {statement.id} of {statement.version}"


def survey(failures):
    """Statements that no mutant fails."""
    seen = {key for failed in failures.values() for key in failed}
    seen |= {key for mutant in MUTANTS.values() for key in mutant.statements}
    for key, statement in matrix.statements().items():
        if key not in seen and not statement.reason:
            yield f"{statement.version:5}  {statement.id}"


def start_brokers():
    """Those that tests share, before the processes part; they belong to the first."""
    brokers = [suite.shared_broker(c) for c in {type(test).CONFIG for test in matrix.tests()}]
    for broker in brokers:
        broker.external = True  # Only a parent can ask whether its child lives.
    return brokers


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutant", action="append", help="only this one")
    parser.add_argument("--survey", action="store_true")
    chosen, rest = suite.arguments(parser)
    assert not rest, rest
    suite.use(chosen)
    started = time.monotonic()
    brokers = start_brokers()
    names = chosen.mutant or (["patient", "welcoming"] if chosen.survey else list(MUTANTS))
    with multiprocessing.get_context("fork").Pool(PROCESSES, maxtasksperchild=1) as pool:
        jobs = [(name, chosen.survey) for name in names]
        failures = dict(pool.starmap(run, jobs, chunksize=1))
    found = [p for name, failed in failures.items() for p in problems(name, failed)]
    found += unbroken()
    if chosen.v:
        for name, failed in failures.items():
            print(name, " ".join(sorted(f"{v}:{i}" for v, i in failed)))
    for broker in brokers:
        broker.external = False
    found += suite.stop_brokers()
    print("\n".join(map(str, found)))
    if chosen.survey:
        print("what fails on no mutant:", *survey(failures), sep="\n")
    print(f"{len(names)} mutants, {len(found)} problems, in {time.monotonic() - started:.1f} s")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
