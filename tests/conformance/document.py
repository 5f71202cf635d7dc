#!/usr/bin/python3 -B
"""Writes docs/CONFORMANCE.md: statement, tests, result.

    bazel run //tests/conformance:document

With --check it only says whether the document is as it would be written, and whether
each statement that can be tested is. The results in it are what the tests of the
sections, run with --expect, hold the broker to.
"""

import argparse
import collections
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(os.path.dirname(HERE), "support")):
    HERE = os.path.abspath("tests/conformance")  # `bazel run` starts a link elsewhere.
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))

import matrix

PATH = "docs/CONFORMANCE.md"
NUMBERED = {"5.0": 251, "3.1.1": 141}  # As in Appendix B of each.

HEAD = """\
# Conformance

Each normative statement of MQTT 5.0 and 3.1.1, the tests that check it, and the result for
Millrace. Written by `bazel run //tests/conformance:document`; `bazel test //...` fails if a
statement that can be tested at a server has no test, if a result is another than the one given
here, or if this page isn't up to date.

The suite talks to a broker over TCP and knows nothing of its inside, so it tells brokers apart:

    bazel run //tests/conformance                                    # Millrace
    bazel run //tests/conformance -- --host 127.0.0.1 --port 1884    # any broker that runs
    bazel run //tests/conformance -- --broker /usr/sbin/mosquitto    # one that it starts

It prints pass, fail or skip for each statement, and why; the exit code is 0 if nothing failed.
`--section`, `--version` and `-k` choose tests, `--quiet` leaves out what passed. A broker that
runs already has to let anonymous clients in; what needs a configuration of its own (a highest
QoS, access rules) is skipped then. `--websocket`, `--user` and `--password` say where and as whom
WebSocket and enhanced authentication (SCRAM) are tried.

Would a test notice? `mutants_test` puts a proxy before Millrace that breaks statements, more than
170 in turn, and each has to show up as a failure of the statements it breaks.

The statements are given in our words; the OASIS standards govern. Those that begin with MILLRACE
are obligations that the standard has, but does not number. Where a statement binds clients, the
test breaks the rule, and the broker has to react. Where the standard leaves a choice to the
broker (end a client with or without a word, refuse a filter or end the client), each choice
passes.
"""

WORDS = {
    "pass": "pass",
    "fail": "**fails**",
    "skip": "not there",
    "none": "not testable",
}


class Document:
    def __init__(self):
        self.statements = matrix.statements()
        self.tests = matrix.tests()
        self.tested = matrix.by_statement(self.tests)
        self.expected = matrix.expectations()

    def problems(self):
        """What is wrong with the matrix itself."""
        known = {test.id() for test in self.tests}
        for key, statement in self.statements.items():
            name = f"{statement.id} of {statement.version}"
            if statement.reason and key in self.tested:
                yield f"{name} has a test, and a reason why it has none"
            if not statement.reason and key not in self.tested:
                yield f"{name} has no test"
        for version, identifier in self.tested:
            if (version, identifier) not in self.statements:
                tests = ", ".join(t.id() for t in self.tested[(version, identifier)])
                yield f"{identifier} of {version} is no statement, but {tests} names it"
        for test in self.expected:
            if test not in known:
                yield f"expectations.tsv: there is no test {test}"
        for version, wanted in NUMBERED.items():
            numbered = [s for s in self.statements.values() if s.version == version and not s.own]
            if len(numbered) != wanted:
                yield f"{len(numbered)} numbered statements of {version}, not {wanted}"

    def result(self, statement):
        """Verdict and the sentence for it."""
        if statement.reason:
            return "none", statement.reason
        outcomes = {t.id(): self.expected.get(t.id(), ("pass", "")) for t in
                    self.tested[statement.key]}
        word = matrix.verdict([outcome for outcome, _why in outcomes.values()])
        reasons = {why for outcome, why in outcomes.values() if outcome == word and why}
        return word, "; ".join(sorted(reasons))

    def summary(self):
        yield "| | statements | pass | fail | not there | not testable |"
        yield "|---|---|---|---|---|---|"
        for version in NUMBERED:
            for own, title in ((False, "numbered"), (True, "unnumbered")):
                group = [s for s in self.statements.values()
                         if s.version == version and s.own == own]
                counts = collections.Counter(self.result(s)[0] for s in group)
                numbers = [len(group), *(counts[word] for word in WORDS)]
                yield f"| {version}, {title} | " + " | ".join(map(str, numbers)) + " |"

    def rows(self, version):
        yield f"## MQTT {version}"
        yield ""
        yield "| statement | | tests | result |"
        yield "|---|---|---|---|"
        for statement in self.statements.values():
            if statement.version != version:
                continue
            word, why = self.result(statement)
            tests = "<br>".join(f"`{t.name()}`" for t in self.tested.get(statement.key, ()))
            result = f"{WORDS[word]}: {why}" if why else WORDS[word]
            text = statement.text.replace("|", "\\|").replace("$", "\\$")
            yield f"| {statement.id} | {text} | {tests} | {result} |"

    def text(self):
        parts = [HEAD, "\n".join(self.summary()), ""]
        for version in NUMBERED:
            parts += ["\n".join(self.rows(version)), ""]
        return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    document = Document()
    problems = list(document.problems())
    text = document.text()
    if check:
        with open(PATH, encoding="utf-8") as file:
            if file.read() != text:
                problems.append(f"{PATH} is out of date: bazel run //tests/conformance:document")
    elif not problems:
        with open(os.path.join(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."), PATH), "w",
                  encoding="utf-8") as file:
            file.write(text)
    print("\n".join(problems))
    print(f"{len(document.statements)} statements, {len(document.tests)} tests, "
          f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
