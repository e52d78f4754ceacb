#!/usr/bin/python3
"""assentctl migrate against a real PostgreSQL, and an assentd that refuses what has gone elsewhere."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import postgresql  # noqa: E402
from daemon import BIN, Ctl, Daemon  # noqa: E402

WAITS = '{"branches": [{"protocol": "2pc", "service": "nobody", "action": "do"}], "deadline": "7d"}'


class Migrate(unittest.TestCase):
    def setUp(self):
        self.server = postgresql.Server()
        self.server.start()
        self.addCleanup(self.server.close)
        self.database = self.server.new_database()
        self.url = self.server.url(self.database)
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        for gid in ("one", "two"):
            submitted = self.ctl("submit", "--gid", gid, "--for", "accepted", stdin=WAITS)
            self.assertEqual(0, submitted.code, submitted)
        self.assertEqual(0, self.ctl("abort", "two", "--yes", "--reason", "test").code)
        self.assertEqual(10, self.ctl("wait", "two").code)

    def sql(self, text):
        return self.server.sql(self.database, text).strip()

    def restart(self, folder):
        return subprocess.run([os.path.join(BIN, "assentd"), "--listen", self.daemon.endpoint, "--data", folder],
                              capture_output=True, text=True, timeout=60)

    def test_there_and_back(self):
        folder = self.daemon.data
        busy = self.ctl("migrate", "--from", f"sqlite:{folder}", "--to", self.url)
        self.assertEqual(5, busy.code, busy)
        self.assertIn("in use by another coordinator", busy.err)
        self.daemon.kill()
        there = self.ctl("migrate", "--from", f"sqlite:{folder}", "--to", self.url, "-o", "json")
        self.assertEqual(0, there.code, there)
        self.assertEqual((1, 1, False), tuple(there.json[k] for k in ("unfinished", "finished", "was_done")), there)
        self.assertIn("read them back: they are the same", there.err)
        self.assertEqual("one", self.sql("SELECT gid FROM assent.live"))
        self.assertEqual("two", self.sql("SELECT gid FROM assent.finished"))

        refused = self.restart(folder)
        self.assertEqual(73, refused.returncode, refused)
        self.assertIn("this log has moved to postgresql: 127.0.0.1", refused.stderr)
        again = self.ctl("migrate", "--from", f"sqlite:{folder}", "--to", self.url)
        self.assertEqual(0, again.code, again)
        self.assertIn("was there already", again.out)

        back = self.ctl("migrate", "--from", self.url, "--to", f"sqlite:{folder}-2")
        self.assertEqual(0, back.code, back)
        self.assertIn("1 unfinished and 1 finished transactions", back.out)
        self.daemon.data = f"{folder}-2"
        self.daemon.start()
        listed = self.ctl("list", "--all", "-o", "id")
        self.assertEqual({"one", "two"}, set(listed.out.split()), listed)

    def test_what_cannot_be(self):
        password = self.ctl("migrate", "--from", "sqlite:/nowhere", "--to", "postgresql://u:secret@db/x")
        self.assertEqual(2, password.code, password)
        self.assertIn("PGPASSFILE", password.err)
        self.assertNotIn("secret", password.err)
        for places in (("sqlite:/a", "sqlite:/b"), ("sqlite:", self.url), (self.url, self.url), ("/a", self.url)):
            self.assertEqual(2, self.ctl("migrate", "--from", places[0], "--to", places[1]).code, places)
        nothing = self.ctl("migrate", "--from", "sqlite:/nowhere", "--to", self.url)
        self.assertEqual(4, nothing.code, nothing)
        empty = self.ctl("migrate", "--from", self.url, "--to", f"sqlite:{self.daemon.data}-3")
        self.assertEqual(4, empty.code, empty)
        self.assertIn("has no log", empty.err)


if __name__ == "__main__":
    unittest.main()
