#!/usr/bin/python3
"""Planted bugs are edits of copies (tools/assent-sim/planted): the tool that applies them says no where it should, and copies
with no bug switched on do what production does.

    planted.py BIN
"""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "assent-sim", "planted"))
import apply  # noqa: E402  pylint: disable=wrong-import-position

BIN = ""


def planted(edits, text):
    return apply.apply("a.cc", text, apply.parse("x.edits", edits)).split("\n", 2)[2]


HEAD = "one-bug: a.cc\n"
NEW = "+ if (y || Mutant(Planted::kOneBug)) x();\n"


class Edits(unittest.TestCase):
    def test_white_space_is_no_difference(self):
        text = "int a;\n  if (y)\n    x();\nint b;\n"
        self.assertEqual(planted(HEAD + "- if (y) x ( );\n" + NEW, text),
                         "int a;\n  if (y || Mutant(Planted::kOneBug)) x();\nint b;\n")

    def test_words_stay_apart(self):
        with self.assertRaisesRegex(apply.Fault, "0 times"):
            planted(HEAD + "- return x;\n" + NEW, "returnx;\n")

    def test_what_stands_there_twice_or_not_at_all(self):
        for text, times in (("x(); x();", 2), ("y();", 0)):
            with self.assertRaisesRegex(apply.Fault, f"x.edits:1: one-bug: a.cc: .* {times} times"):
                planted(HEAD + "- x();\n" + NEW, text)

    def test_nothing_is_no_text(self):
        with self.assertRaises(apply.Fault):
            planted(HEAD + NEW, "x();")

    def test_each_bug_has_its_switch(self):
        with self.assertRaisesRegex(apply.Fault, "kOtherBug"):
            planted("one-bug, other-bug: a.cc\n- x();\n" + NEW, "x();")

    def test_two_edits_of_one_text(self):
        with self.assertRaisesRegex(apply.Fault, "overlaps"):
            planted((HEAD + "- x();\n" + NEW) * 2, "x();")

    def test_a_line_of_no_edit(self):
        with self.assertRaises(apply.Fault):
            apply.parse("x.edits", "one bug: a.cc\n")

    def test_the_compiler_names_the_source(self):
        self.assertIn('#line 1 "a.cc"\n', apply.apply("a.cc", "x();", []))


class Programs(unittest.TestCase):
    @staticmethod
    def campaign(*arguments):
        done = subprocess.run([os.path.join(BIN, arguments[0]), *arguments[1:], "--schedules", "400", "--json"], check=True,
                              stdout=subprocess.PIPE, timeout=100)
        found = json.loads(done.stdout)
        return {key: value for key, value in found.items() if "second" not in key and key != "threads"}

    def test_without_a_bug_both_are_one(self):
        plain = self.campaign("assent-sim", "random")
        self.assertGreater(plain["events"], 10_000)
        self.assertEqual(plain, self.campaign("assent-sim-mutants", "--plant", "none"))


if __name__ == "__main__":
    BIN = sys.argv.pop(1)
    unittest.main()
