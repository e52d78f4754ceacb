#!/usr/bin/python3
"""assent-contract holds a participant behind Flask to the whole contract over HTTP, with and without signatures, and names mistakes."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../sdk_python")]

import support  # noqa: E402
from daemon import BIN  # noqa: E402

SESSION_ALONE = {"hello", "outcome-question", "reconnect", "goodbye", "coordinator-goodbye", "stale-slot",
                 "several-coordinators"}
TWO_PHASE_ALONE = {"one-phase", "prepared-survives"}


class ContractOverHttp(unittest.TestCase):
    def look(self, *arguments, flags="", environment=None):
        """What is said of each rule, by name."""
        command = f"exec /usr/bin/python3 -B {os.path.join(HERE, 'flask_contract.py')} {flags}"
        with tempfile.TemporaryDirectory(prefix="assent-http-contract-") as folder:
            output = os.path.join(folder, "output")
            done = subprocess.run(
                [os.path.join(BIN, "assent-contract"), "participant", "--http", "http://127.0.0.1:0/hooks/assent", "--protocols", "tcc,saga",
                 "--patience-ms", "20000", "--json", "--output", output, "--start", command, *arguments],
                capture_output=True, text=True, timeout=280, check=False,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": support.PACKAGE, **(environment or {})})
            with open(output, encoding="utf-8", errors="replace") as file:
                self.said = done.stdout + done.stderr + file.read()[-2000:]
        self.assertIn(done.returncode, (0, 1), self.said)
        return {rule["rule"]: rule["verdict"] for rule in json.loads(done.stdout)["rules"]}

    def test_each_rule_holds(self):
        rules = self.look()
        apart = SESSION_ALONE | TWO_PHASE_ALONE
        self.assertEqual(apart, {name for name, verdict in rules.items() if verdict == "does not apply"}, self.said)
        self.assertEqual(set(rules) - apart, {name for name, verdict in rules.items() if verdict == "holds"}, self.said)

    def secret(self, folder):
        path = os.path.join(folder, "secret")
        with open(path, "w", encoding="utf-8") as file:
            file.write("a secret of enough bytes\n")
        return path

    def test_who_is_no_coordinator_does_nothing(self):
        with tempfile.TemporaryDirectory(prefix="assent-http-secret-") as folder:
            rules = self.look("--secret-file", self.secret(folder), "--rule", "completes", "--rule", "hostile", "--rule", "well-formed")
        self.assertEqual({"holds"}, set(rules.values()), self.said)

    def test_who_believes_everybody_is_named(self):
        """The same, but for a participant that looks at no signature."""
        with tempfile.TemporaryDirectory(prefix="assent-http-secret-") as folder:
            rules = self.look("--secret-file", self.secret(folder), "--rule", "completes", "--rule", "hostile",
                              flags="--believe-everybody")
        self.assertEqual({"completes": "holds", "hostile": "broken"}, rules, self.said)
        self.assertIn("a command without a signature has no reply", self.said)


if __name__ == "__main__":
    unittest.main()
