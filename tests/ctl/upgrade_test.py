#!/usr/bin/python3
"""An assentd of today on a log of every format, with transactions in every state: each ends as it has to."""

import glob
import gzip
import os
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from daemon import Ctl, Daemon  # noqa: E402
from load import wire  # noqa: E402
from upgrade_fixtures import FORWARD, HERE, NEWEST, OUTCOMES, PROTOCOLS  # noqa: E402

ACTIONS = [(f"{action}/{protocol}", PROTOCOLS[protocol]) for action in ("yes", "mute", "then-mute", "no", "hazard") for protocol in PROTOCOLS]


class Upgrade(unittest.TestCase):
    def test_every_format_has_a_fixture(self):
        self.assertEqual([f"log-format-{n}.sql.gz" for n in range(1, NEWEST + 1)],
                         sorted(os.path.basename(path) for path in glob.glob(f"{HERE}/log-format-*.sql.gz")))

    def upgrade(self, number):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        daemon.kill()
        daemon.data += "-old"
        os.mkdir(daemon.data, 0o700)
        with gzip.open(f"{HERE}/log-format-{number}.sql.gz", "rt", encoding="utf-8") as file:
            db = sqlite3.connect(f"{daemon.data}/assent.db")
            db.executescript(file.read())
            self.assertEqual((number,), db.execute("PRAGMA user_version").fetchone())
            db.close()
        os.chmod(f"{daemon.data}/assent.db", 0o600)
        ctl = Ctl(daemon.endpoint)
        looked = ctl("doctor", "--data", daemon.data)
        self.assertEqual(0, looked.code, looked)
        daemon.start()
        session = wire.Session(daemon.endpoint, "shop", lambda command: wire.DONE, ACTIONS)
        self.addCleanup(session.close)
        self.assertTrue(session.welcome.wait(30))
        self.assertEqual(0, ctl("resume", "suspended", "--reason", "upgraded").code)
        for gid, outcome in OUTCOMES.items():
            waited = ctl("wait", gid, "--patient", "--timeout", "60s")
            self.assertEqual({"COMMITTED": 0, "ABORTED": 10}[outcome], waited.code, f"{gid}: {waited}")
        self.assertEqual(set(OUTCOMES), set(ctl("list", "--all", "-o", "id").out.split()))
        # Nothing goes forward that was not decided so; what had ended is left alone.
        forward = {wire.types.Operation.Name(operation) for operation in FORWARD}
        for gid in OUTCOMES:
            if gid != "saga-committing":
                self.assertFalse(forward & set(session.operations(gid)), gid)
        self.assertEqual([], session.operations("2pc-committed"))
        self.assertEqual(0, daemon.stop())
        with sqlite3.connect(f"{daemon.data}/assent.db") as after:
            self.assertEqual((NEWEST, 0, len(OUTCOMES)), after.execute("SELECT format, live_rows, finished_rows FROM meta").fetchone())
        after.close()
        after = ctl("doctor", "--data", daemon.data)
        self.assertEqual(0, after.code, after)
        self.assertIn(f"format {NEWEST}", after.out)

    def test_upgrades(self):
        for number in range(1, NEWEST + 1):
            with self.subTest(format=number):
                self.upgrade(number)


if __name__ == "__main__":
    unittest.main()
