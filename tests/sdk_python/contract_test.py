#!/usr/bin/python3
"""assent-contract holds the Python SDK to the whole contract: sessions and unary, plain and asyncio, each database; and its initiators."""

import json
import os
import subprocess
import sys
import unittest

import support
from daemon import BIN

from databases_test import MISSING

if not MISSING:
    import mariadb
    import postgresql

# With SQLite there is none, and where it is dialled bank.py could not ask.
WITHOUT_TWO_PHASE = ("--protocols", "tcc,saga")


class ContractTest(unittest.TestCase):
    def holds(self, *arguments, script="bank.py", flags="", **environment):
        command = f"exec {sys.executable} -B {os.path.join(support.HERE, script)} {flags}"
        done = subprocess.run(
            [os.path.join(BIN, "assent-contract"), *arguments, "--start", command], capture_output=True, text=True, timeout=280, check=False,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": support.PACKAGE, **environment})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_sessions_with_sqlite(self):
        self.holds("participant", "--session", "127.0.0.1:0", *WITHOUT_TWO_PHASE)

    def test_sessions_with_sqlite_and_asyncio(self):
        self.holds("participant", "--session", "127.0.0.1:0", *WITHOUT_TWO_PHASE, flags="--asyncio")

    def test_unary_with_sqlite(self):
        self.holds("participant", "--unary", "127.0.0.1:0", *WITHOUT_TWO_PHASE)

    def test_unary_with_sqlite_and_asyncio(self):
        self.holds("participant", "--unary", "127.0.0.1:0", *WITHOUT_TWO_PHASE, flags="--asyncio")

    @unittest.skipIf(MISSING, f"no {MISSING} here: tools/install-deps.sh installs it")
    def test_postgresql(self):
        with postgresql.Server({"max_prepared_transactions": "100"}) as server:
            for driver in ("postgresql", "psycopg2"):
                where = server.url(server.new_database())
                said = self.holds("participant", "--session", "127.0.0.1:0", flags=f"--database {driver}", BANK_DATABASE=where)
                self.assertIn(" 0 do not apply", said)  # two-phase commit and questions among it
            self.holds("participant", "--unary", "127.0.0.1:0", *WITHOUT_TWO_PHASE, flags="--database postgresql",
                       BANK_DATABASE=server.url(server.new_database()))

    @unittest.skipIf(MISSING, f"no {MISSING} here: tools/install-deps.sh installs it")
    def test_mariadb(self):
        with mariadb.Server() as server:
            said = self.holds("participant", "--session", "127.0.0.1:0", flags="--database mariadb",
                              BANK_DATABASE=json.dumps(server.settings(server.new_database())))
            self.assertIn(" 0 do not apply", said)

    def test_initiators(self):
        self.holds("initiator", "--listen", "127.0.0.1:0", script="initiator.py")
        self.holds("initiator", "--listen", "127.0.0.1:0", script="initiator.py", flags="--asyncio")


if __name__ == "__main__":
    unittest.main()
