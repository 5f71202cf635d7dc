#!/usr/bin/env python3
"""Does check_model.py notice what is wrong with a model?"""
import os
import subprocess
import sys
import tempfile
import unittest

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check_model.py")

MODEL = """
byte x;
active proctype counter() {
    do
    :: x < 50 -> x++
    :: x == 50 -> break
    od;
#ifdef BLOCKED
    x == 51
#endif
#ifdef WRONG
    assert(x == 51)
#endif
}
"""


class CheckModel(unittest.TestCase):
    """Each test gives it one model and looks at what it says."""

    def check(self, model, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "counter.pml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(model)
            done = subprocess.run([sys.executable, CHECK, path, *arguments], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout

    def test_accepts_a_model_whose_variants_fail(self):
        code, said = self.check(MODEL, "50", "1000", "WRONG=assertion_violated",
                                "BLOCKED=invalid_end_state")
        self.assertEqual(code, 0, said)
        self.assertIn("counter.pml with BLOCKED: invalid end state", said)

    def test_refuses_a_model_with_an_error(self):
        code, said = self.check("#define WRONG\n" + MODEL, "1", "1000")
        self.assertEqual(code, 1)
        self.assertIn("the model has an error", said)

    def test_refuses_a_variant_without_a_fault(self):
        code, said = self.check(MODEL, "1", "1000", "HARMLESS=assertion_violated")
        self.assertEqual(code, 1)
        self.assertIn("the fault of HARMLESS isn't found", said)

    def test_refuses_a_variant_with_another_fault(self):
        code, said = self.check(MODEL, "1", "1000", "WRONG=invalid_end_state")
        self.assertEqual(code, 1)
        self.assertIn("fails, but not with 'invalid end state'", said)

    def test_refuses_too_few_and_too_many_states(self):
        code, said = self.check(MODEL, "1000", "2000")
        self.assertEqual(code, 1)
        self.assertIn("fewer than 1000 states", said)
        code, said = self.check(MODEL, "1", "20")
        self.assertEqual(code, 1)
        self.assertIn("states are more than 20", said)


if __name__ == "__main__":
    unittest.main()
