#!/usr/bin/python3
"""tools/demo.sh --polyglot, as people run it: outcomes, books, exit status; and what it says when a toolchain is missing."""

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
LANGUAGES = ("go", "java", "python", "node", "c++")
COMMITTED = {"commits", "killed-go", "killed-python", "killed-cpp"}
ABORTED = {"refused", "killed-java", "killed-node"}


def demo(*arguments, **environment):
    return subprocess.run([os.path.join(ROOT, "tools/demo.sh"), "--polyglot", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=1500, check=False, env={**os.environ, **environment})


class PolyglotDemoTest(unittest.TestCase):
    def test_the_orders_and_the_books(self):
        with tempfile.TemporaryDirectory() as folder:
            files = os.path.join(folder, "shop")
            done = demo("--files", files)
            said = done.stdout + done.stderr
            self.assertEqual(done.returncode, 0, said)
            self.assertTrue(done.stdout.endswith("polyglot: 7 orders, 7 as expected, books balanced\n"), said)
            self.assertIn("ABORTED: branch cpp payment/charge refused: insufficient funds: Bob has 20 coins, 60 asked", done.stdout)
            # By this test's own eyes, too.
            for language in LANGUAGES:
                connection = sqlite3.connect(os.path.join(files, f"payment-{language}.db"))
                accounts = connection.execute("SELECT customer, balance, held, spent FROM account ORDER BY customer").fetchall()
                paid = {row[0] for row in connection.execute("SELECT order_id FROM payment WHERE status = 'paid'")}
                released = {row[0] for row in connection.execute("SELECT order_id FROM payment WHERE status <> 'paid'")}
                connection.close()
                self.assertEqual(accounts, [("Ada", 4760, 0, 240), ("Bob", 20 if language == "c++" else 5000, 0, 0)], language)
                self.assertEqual(paid, COMMITTED, language)
                # C++ has refused one, in two phases: of that there is nothing.
                self.assertEqual(released, ABORTED - ({"refused"} if language == "c++" else set()), language)
                self.assertRegex(done.stdout, rf"{re.escape(language)} +Ada +4760 +0 +240 +5000 +5000\n")

    def test_a_toolchain_that_is_missing_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("bash", "dirname", "sed", "sort", "cmp", "protoc", "npm", "node"):
                if found := shutil.which(name):
                    os.symlink(found, os.path.join(folder, name))
            done = demo(PATH=folder)
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            self.assertRegex(done.stderr, r"java: no JDK \d+ or later with Maven is here")


if __name__ == "__main__":
    unittest.main()
