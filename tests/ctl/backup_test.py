#!/usr/bin/python3
"""assentctl backup of an assentd that works: whole, of one moment, and none of a log."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import postgresql  # noqa: E402
from daemon import BIN, Ctl, Daemon, free_port  # noqa: E402
from load import Load, wire  # noqa: E402

WAITS = '{"branches": [{"protocol": "2pc", "service": "nobody", "action": "do"}], "deadline": "7d"}'


class Backup(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="assent-backup-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.to = os.path.join(self.folder, "backup")
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def rows(self, table):
        with sqlite3.connect(f"file:{self.to}/log.db?immutable=1", uri=True) as db:
            return {gid for gid, in db.execute(f"SELECT gid FROM {table}")}

    def test_under_load(self):
        """What was answered before it began is in it, nothing that was not, and initiators go on meanwhile."""
        for n in range(3):
            self.ctl("submit", "--gid", f"waits-{n}", "--for", "accepted", stdin=WAITS)
        load = Load(self.daemon.endpoint)
        before = load.wait_for(2000)
        made = self.ctl("backup", self.to, "-o", "json")
        self.assertEqual(0, made.code, made)
        after = load.wait_for(len(load.wait_for(0)) + 1)  # it goes on
        load.stop()
        finished = self.rows("finished")
        unfinished = self.rows("live")
        # A decided one may not have heard of its ends yet.
        self.assertLessEqual(set(before), finished | unfinished)
        self.assertLessEqual({"waits-0", "waits-1", "waits-2"}, unfinished)
        self.assertFalse(finished & unfinished)
        self.assertEqual((len(finished), len(unfinished)), (made.json["finished"], made.json["unfinished"]))
        with open(f"{self.to}/manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual((1, 2, len(finished)), tuple(manifest[k] for k in ("backup_format", "log_format", "finished")))
        self.assertEqual(os.path.getsize(f"{self.to}/log.db"), manifest["files"][0]["bytes"])
        self.assertTrue(after)
        self.assertIn("reading it back", made.err)
        self.assertEqual([], [name for name in os.listdir(self.daemon.data) if "backup" in name])
        self.assertEqual(0o700, os.stat(self.to).st_mode & 0o777)

    def test_over_nothing(self):
        os.mkdir(self.to)
        with open(f"{self.to}/precious", "w", encoding="utf-8") as file:
            file.write("mine")
        refused = self.ctl("backup", self.to)
        self.assertEqual(5, refused.code, refused)
        self.assertIn("is there already, and is left as it is", refused.err)
        self.assertEqual(["precious"], os.listdir(self.to))
        nowhere = self.ctl("backup", f"{self.folder}/no/such")
        self.assertEqual(5, nowhere.code, nowhere)

    def test_none_of_a_log(self):
        """Nobody starts on it by mistake: what began behind it would be taken for aborted."""
        self.assertEqual(0, self.ctl("backup", self.to).code)
        os.mkdir(f"{self.folder}/data")
        shutil.copy(f"{self.to}/log.db", f"{self.folder}/data/assent.db")
        words = [os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", f"127.0.0.1:{free_port()}",
                 "--data", f"{self.folder}/data"]
        started = subprocess.run(words, capture_output=True, text=True, timeout=60)
        self.assertEqual(73, started.returncode, started)
        self.assertIn("this is a backup, which nobody starts with: assentctl restore makes a log of it", started.stderr)
        # Nor in its folder, where a log of its own would be begun beside it, and its audit.db written.
        words[-1] = self.to
        before = sorted(os.listdir(self.to))
        started = subprocess.run(words, capture_output=True, text=True, timeout=60)
        self.assertEqual(73, started.returncode, started)
        self.assertIn("is a backup (it has manifest.json)", started.stderr)
        self.assertEqual(before, sorted(os.listdir(self.to)))
        self.assertEqual(0, self.ctl("restore", self.to, "--data", f"{self.folder}/restored", "--dry-run").code)

    def test_who_leaves_costs_nothing(self):
        """One at a time; who has left is in nobody's way, and his copy goes."""
        big = json.dumps({"branches": [{"protocol": "2pc", "service": "nobody", "action": "do", "payload": "x" * 900_000}], "deadline": "7d"})
        for n in range(12):
            self.assertEqual(0, self.ctl("submit", "--gid", f"big-{n}", "--for", "accepted", stdin=big).code)
        stub = wire.keep_grpc.MaintenanceServiceStub(wire.connect(self.daemon.endpoint))
        stream = stub.Backup(wire.keep.BackupRequest())
        while not next(stream).data:
            pass
        second = self.ctl("backup", self.to)
        self.assertEqual(1, second.code, second)
        self.assertIn("another backup is being made", second.err)
        stream.cancel()
        for _ in range(100):  # until the daemon has heard of it
            if self.ctl("backup", self.to).code == 0:
                break
        self.assertEqual({f"big-{n}" for n in range(12)}, self.rows("live"))
        self.assertEqual([], [name for name in os.listdir(self.daemon.data) if "backup" in name])

    def test_what_a_death_leaves(self):
        names = [f"{of}.db-backup{more}" for of in ("assent", "audit") for more in ("", "-journal", "-wal", "-shm", "-compact", "-compact-wal")]
        for name in names:
            with open(f"{self.daemon.data}/{name}", "w", encoding="utf-8") as file:
                file.write("half")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual([], [name for name in os.listdir(self.daemon.data) if "backup" in name])

    def test_audit_goes_along(self):
        """It was held exclusively, so that no backup could be made of a log with it."""
        self.assertEqual(0, self.ctl("submit", "--gid", "waits", "--for", "accepted", stdin=WAITS).code)
        self.assertEqual(0, self.ctl("suspend", "waits", "--reason", "planted-reason").code)
        with sqlite3.connect(f"{self.daemon.data}/audit.db") as db:
            db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS planted(x); INSERT INTO planted VALUES (7)")
            self.assertEqual(0, self.ctl("backup", self.to).code)
        with sqlite3.connect(f"file:{self.to}/audit.db?immutable=1", uri=True) as db:
            self.assertEqual([(7,)], db.execute("SELECT x FROM planted").fetchall())
            self.assertTrue(any("planted-reason" in line for line in db.iterdump()))


class PostgreSql(unittest.TestCase):
    def test_says_what_to_use(self):
        server = postgresql.Server()
        server.start()
        self.addCleanup(server.close)
        daemon = Daemon("--log", server.url(server.new_database()))
        self.addCleanup(daemon.close)
        refused = Ctl(daemon.endpoint)("backup", os.path.join(daemon.data + "-backup"))
        self.assertEqual(5, refused.code, refused)
        self.assertIn("pg_basebackup", refused.err)
        self.assertFalse(os.path.exists(daemon.data + "-backup"))


if __name__ == "__main__":
    unittest.main()
