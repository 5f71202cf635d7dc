"""Statements, the tests that name them, and what Millrace is expected to do.

statements.tsv    the statements of the standard, and those that it leaves unnumbered
expectations.tsv  tests that Millrace doesn't pass, each with the reason
"""

import collections
import importlib
import os
import unittest

from case import VERSION_NAMES, ConformanceTest

HERE = os.path.dirname(os.path.abspath(__file__))

SECTIONS = tuple(
    sorted(
        name[:-3]
        for name in os.listdir(os.path.join(HERE, "sections"))
        if name.endswith(".py") and not name.startswith("_")
    )
)

VERSIONS = {name: version for version, name in VERSION_NAMES.items()}


class Statement:
    """One row. `reason` says why a server can't be tested for it, or is empty."""

    def __init__(self, line):
        self.id, self.version, self.who, self.reason, self.text = line.split("\t")

    @property
    def key(self):
        return (self.version, self.id)

    @property
    def own(self):
        return self.id.startswith("MILLRACE")


def rows(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        lines = file.read().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def statements():
    """{(version, id): statement}, in the order of the file."""
    found = {}
    for line in rows("statements.tsv"):
        statement = Statement(line)
        if statement.key in found:
            raise ValueError(f"{statement.key} is there twice")
        found[statement.key] = statement
    return found


def tests(sections=SECTIONS):
    """One instance for each test and version."""
    found = []
    for section in sections:
        module = importlib.import_module(f"sections.{section}")
        for kind in vars(module).values():
            if not isinstance(kind, type) or not issubclass(kind, ConformanceTest):
                continue
            if kind.__module__ != module.__name__:
                continue
            for method in unittest.defaultTestLoader.getTestCaseNames(kind):
                for version in getattr(kind, method).statements:
                    test = kind(method)
                    test.version = version
                    found.append(test)
    names = [test.id() for test in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"tests of the same name: {sorted(twice)}")
    return found


def by_statement(found):
    """{(version, id): [test]}"""
    table = collections.defaultdict(list)
    for test in found:
        for identifier in test.statements:
            table[(VERSION_NAMES[test.version], identifier)].append(test)
    return table


def expectations():
    """{test id: (outcome, reason)}; a test that isn't there has to pass."""
    found = {}
    for line in rows("expectations.tsv"):
        test, outcome, reason = line.split("\t")
        if outcome not in ("fail", "skip"):
            raise ValueError(f"{test}: {outcome} is neither fail nor skip")
        found[test] = (outcome, reason)
    return found


def verdict(outcomes):
    """The outcome of a statement from those of its tests."""
    for word in ("fail", "skip"):
        # Skipped only if nothing of it was tested.
        if word in outcomes and (word == "fail" or set(outcomes) == {"skip"}):
            return word
    return "pass"
