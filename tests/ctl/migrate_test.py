#!/usr/bin/python3
"""assentctl migrate against a real PostgreSQL, and an assentd that refuses what has gone elsewhere."""

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import postgresql  # noqa: E402
from daemon import BIN, Ctl, Daemon  # noqa: E402

WAITS = '{"branches": [{"protocol": "2pc", "service": "nobody", "action": "do"}], "deadline": "7d"}'


class StopsAt:
    """A line to the database that stops, for good, at the first message with these bytes."""

    def __init__(self, port, words):
        self.words, self.port, self.reached = words, port, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def url(self, url):
        return url.replace(f":{self.port}/", f":{self.listener.getsockname()[1]}/")

    def carry(self):
        with self.listener.accept()[0] as client, socket.create_connection(("127.0.0.1", self.port)) as server, \
                selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ, server)
            both.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in both.select():
                    said = key.fileobj.recv(1 << 16)
                    if self.words in said and key.fileobj is client:
                        self.reached.set()
                    if not said or self.reached.is_set():
                        return
                    key.data.sendall(said)


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
        self.ctl.until_kept("two")

    def sql(self, text):
        return self.server.sql(self.database, text).strip()

    def restart(self, folder):
        return subprocess.run([os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", self.daemon.endpoint, "--data", folder],
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
        looked = self.ctl("doctor", "--data", folder)
        self.assertEqual(12, looked.code, looked)
        self.assertRegex(looked.out, r"has moved to postgresql: 127\.0\.0\.1")
        again = self.ctl("migrate", "--from", f"sqlite:{folder}", "--to", self.url)
        self.assertEqual(0, again.code, again)
        self.assertIn("was there already", again.out)

        back = self.ctl("migrate", "--from", self.url, "--to", f"sqlite:{folder}-2")
        self.assertEqual(0, back.code, back)
        self.assertIn("1 unfinished and 1 finished transaction\n", back.out)
        self.daemon.data = f"{folder}-2"
        self.daemon.start()
        listed = self.ctl("list", "--all", "-o", "id")
        self.assertEqual({"one", "two"}, set(listed.out.split()), listed)
        # And there again: what it left behind has to go first.
        self.daemon.kill()
        once_more = ("migrate", "--from", f"sqlite:{folder}-2", "--to", self.url)
        left = self.ctl(*once_more)
        self.assertEqual(5, left.code, left)
        self.assertIn("DROP SCHEMA assent CASCADE", left.err)
        self.sql("DROP SCHEMA assent CASCADE")
        moved = self.ctl(*once_more)
        self.assertEqual(0, moved.code, moved)
        self.assertEqual("one", self.sql("SELECT gid FROM assent.live"))

    def start(self, log):
        """An assentd that refuses: its words."""
        words = [os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", self.daemon.endpoint, *log]
        refused = subprocess.run(words, capture_output=True, text=True, timeout=60)
        self.assertEqual(73, refused.returncode, refused)
        return refused.stderr

    def kill_when_it_says(self, words, url, *places):
        """kill -9 of assentctl migrate, when it says this to the database."""
        line = StopsAt(self.server.port, words)
        self.addCleanup(line.listener.close)
        migrate = subprocess.Popen([os.path.join(BIN, "assentctl"), "migrate", *(p.replace(url, line.url(url)) for p in places)],
                                   stderr=subprocess.PIPE, text=True)
        self.assertTrue(line.reached.wait(60))
        migrate.send_signal(signal.SIGKILL)
        migrate.communicate()
        return line

    def test_killed_between(self):
        """Behind the marks, before the rows; and the other way round, behind the target's mark alone."""
        folder = self.daemon.data
        self.daemon.kill()
        # The address is part of the mark: the same line takes the second try.
        line = self.kill_when_it_says(b"INSERT INTO member", self.url, "--from", f"sqlite:{folder}", "--to", self.url)
        target = self.start(["--log", self.url])
        self.assertIn(f"is being filled by a migration from {folder}/assent.db: run assentctl migrate again", target)
        self.assertIn("run assentctl migrate again", self.start(["--data", folder]))
        looked = self.ctl("doctor", "--data", folder)
        self.assertEqual(12, looked.code, looked)
        self.assertRegex(looked.out, r"is being moved to postgresql: 127\.0\.0\.1")
        elsewhere = self.ctl("migrate", "--from", f"sqlite:{folder}", "--to", self.url)
        self.assertEqual(5, elsewhere.code, elsewhere)
        self.assertIn(f"is being moved to postgresql: 127.0.0.1:{line.listener.getsockname()[1]}", elsewhere.err)
        line.words = b"never said"
        line.reached.clear()
        line.thread = threading.Thread(target=line.carry, daemon=True)
        line.thread.start()
        again = self.ctl("migrate", "--from", f"sqlite:{folder}", "--to", line.url(self.url))
        self.assertEqual(0, again.code, again)

        back = f"{folder}-2"
        line = self.kill_when_it_says(b"SET LOCAL lock_timeout", self.url, "--from", self.url, "--to", f"sqlite:{back}")
        words = self.start(["--data", back])
        self.assertIn("this folder is being filled by a migration from postgresql: 127.0.0.1", words)
        self.assertIn("run assentctl migrate again", words)
        self.assertEqual("2", self.sql("SELECT format FROM assent.log"))  # served where it was

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
