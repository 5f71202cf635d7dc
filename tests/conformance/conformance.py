#!/usr/bin/python3 -B
"""Does a broker do what the standard says? One verdict for each statement.

    bazel run //tests/conformance                                    Millrace
    bazel run //tests/conformance -- --host 127.0.0.1 --port 1884    any broker that runs
    bazel run //tests/conformance -- --broker /usr/sbin/mosquitto    one that it starts

A broker that runs already has to let anonymous clients in; tests that need a
configuration of their own are skipped then. The exit code is 0 if no test failed.
"""

import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(os.path.dirname(HERE), "support")):
    HERE = os.path.abspath("tests/conformance")  # `bazel run` starts a link elsewhere.
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))

import matrix
import options
from support import client as client_module
from support import suite


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="where a broker runs")
    parser.add_argument("--port", type=int, help="its port; none is started then")
    parser.add_argument("--websocket", metavar="PORT", type=int, help="its port for WebSocket")
    parser.add_argument("--user", default="user", help="for enhanced authentication (SCRAM)")
    parser.add_argument("--password", default="password", help="for the same")
    parser.add_argument("--wait", type=float, help="seconds for what has to arrive")
    parser.add_argument("--section", action="append", choices=matrix.SECTIONS)
    parser.add_argument("--version", choices=sorted(matrix.VERSIONS), help="only this one")
    parser.add_argument("--quiet", action="store_true", help="only what isn't passed")
    parser.add_argument(
        "--expect", action="store_true", help="fail unless all is as expectations.tsv says"
    )
    chosen, rest = suite.arguments(parser)
    if rest:
        parser.error(f"what is {' '.join(rest)}?")
    return chosen


def prepare(chosen):
    if chosen.port:
        os.environ["MILLRACE_HOST"] = chosen.host
        os.environ["MILLRACE_PORT"] = str(chosen.port)
    suite.use(chosen)
    options.websocket_port = chosen.websocket
    options.user, options.password = chosen.user, chosen.password
    if chosen.wait:
        client_module.ARRIVAL_S = client_module.CLOSE_S = chosen.wait


def outcome(result):
    if result.problems():
        return "fail"
    return "skip" if result.skipped else "pass"


def reason(result):
    """Why it failed or was skipped, in a line."""
    texts = [text for _test, text in result.problems() + result.skipped]
    return texts[0].strip().splitlines()[-1] if texts else ""


def report(found, results, chosen):
    """Prints a line for each statement; returns how many got which verdict."""
    outcomes = {test.id(): (outcome(result), reason(result))
                for test, result in zip(found, results)}
    counts = {}
    tested = matrix.by_statement(found)
    for key, statement in matrix.statements().items():
        tests = tested.get(key)
        if not tests:
            continue
        word = matrix.verdict([outcomes[test.id()][0] for test in tests])
        counts.setdefault(statement.version, dict.fromkeys(("pass", "fail", "skip"), 0))
        counts[statement.version][word] += 1
        if word == "pass" and chosen.quiet:
            continue
        names = ", ".join(test.name() for test in tests)
        print(f"{word:4}  {statement.version:5}  {statement.id:20}  {names}")
        for test in tests:
            got, why = outcomes[test.id()]
            if got != "pass":
                print(f"      {got} in {test.name()}: {why}")
    return counts


def unexpected(found, results):
    """What differs from expectations.tsv."""
    expected = matrix.expectations()
    for test, result in zip(found, results):
        wanted = expected.get(test.id(), ("pass", ""))[0]
        if outcome(result) != wanted:
            yield f"{test.id()}: {outcome(result)}, but expectations.tsv says {wanted}"


def main():
    chosen = parse()
    prepare(chosen)
    found = [
        test
        for test in matrix.tests(chosen.section or matrix.SECTIONS)
        if (not chosen.k or any(word in test.id() for word in chosen.k))
        and (not chosen.version or matrix.VERSIONS[chosen.version] == test.version)
    ]
    started = time.monotonic()
    results, others = suite.run(found, chosen.jobs, chosen.v)
    for test, text in [p for result in results for p in result.problems()] + others:
        print(f"{'=' * 70}\nFAIL: {test}\n{text}")
    counts = report(found, results, chosen)
    for version, numbers in counts.items():
        text = ", ".join(f"{number} {word}" for word, number in numbers.items())
        print(f"{version}: {text} of {sum(numbers.values())} statements")
    print(f"{len(found)} tests in {time.monotonic() - started:.1f} s")
    if chosen.expect:
        surprises = list(unexpected(found, results))
        print("\n".join(surprises))
        sys.exit(1 if surprises or others or not found else 0)
    failed = any(result.problems() for result in results)
    sys.exit(1 if failed or others or not found else 0)


if __name__ == "__main__":
    main()
