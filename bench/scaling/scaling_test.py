#!/usr/bin/python3 -B
"""Is the model what its page says, and does it agree with the broker's own limits?"""

import itertools
import os
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from bench.scaling import model, page


class ModelTest(unittest.TestCase):
    def test_one_core_hands_nothing_over(self):
        costs = model.Costs(local=40, remote=100, turn=1000)
        it = model.turn(1, 100, costs)
        self.assertEqual(it.batches, 0)
        self.assertAlmostEqual(it.ns, 1000 + 100 * 40)

    def test_receivers_on_the_same_worker_cost_the_look_at_the_others_only(self):
        costs = model.Costs(local=40, remote=100, flush=10)
        one, many = model.turn(1, 100, costs), model.turn(9, 100, costs, local_share=1)
        self.assertAlmostEqual(many.ns, one.ns + 8 * 10)

    def test_batches_are_between_one_and_the_number_of_the_others(self):
        for cores in model.CORES[1:]:
            self.assertAlmostEqual(model.batches_out(cores, 1), (cores - 1) / cores)
            self.assertLessEqual(model.batches_out(cores, 10**6), cores - 1)
            self.assertAlmostEqual(model.batches_out(cores, 10**6), cores - 1, 3)

    def test_more_cores_do_more_up_to_32_at_a_higher_price(self):
        for costs, load in itertools.product(model.CASES.values(), model.LOADS):
            turns = [model.turn(cores, load, costs) for cores in model.CORES[1:]]
            for fewer, more in zip(turns, turns[1:]):
                if more.cores <= 32:
                    self.assertGreater(more.per_second, fewer.per_second)
                self.assertGreater(more.delivery_ns, fewer.delivery_ns)

    def test_a_counter_is_never_more_than_busy(self):
        for cores in model.CORES:
            it = model.turn(cores, 1, model.Costs(local=0, remote=0, turn=1, line=0))
            self.assertLess(it.stamps_busy, 1)

    def test_rings_are_bounded_until_there_are_too_many(self):
        self.assertEqual(model.ring_bytes(2), 2 * 4096 * 56)
        self.assertLess(model.ring_bytes(32), 16 << 20)
        self.assertEqual(model.ring_bytes(64), 64 * 63 * 256 * 56)


class PageTest(unittest.TestCase):
    def test_has_a_line_for_each_case_and_no_gap(self):
        words = page.text()
        rows = re.findall(r"^\| \d+ \| \d+ \|", words, re.M)
        self.assertEqual(len(rows), len(model.CASES) * len(model.CORES) * len(model.LOADS))
        self.assertNotRegex(words, r"[{}]|nan|inf\b")

    def test_is_written_with_a_chart(self):
        with tempfile.TemporaryDirectory() as folder:
            page.write(folder, page.text())
            self.assertEqual(sorted(os.listdir(folder)), ["scaling.md", "scaling.svg"])
            xml.etree.ElementTree.parse(os.path.join(folder, "scaling.svg"))


if __name__ == "__main__":
    unittest.main()
