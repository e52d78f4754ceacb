#!/usr/bin/python3
"""assentctl audit verify against coordinators that run: on PostgreSQL, behind a backup that was restored, behind a migration. It says what is
true of the record that is there, and what is not there it does not vouch for."""

import json
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", folder) for folder in ("ctl", "support")]

from daemon import Ctl, CtlTest, Daemon  # noqa: E402
import postgresql  # noqa: E402

WAITS = '{"branches": [{"protocol": "2pc", "service": "nobody", "action": "do"}], "deadline": "7d"}'
CHANGED, NEEDS_A_PERSON = 1, 12


class Verify(CtlTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-verify-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_daemon(self, *arguments):
        self.daemon = Daemon(*arguments)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def act(self, *gids):
        for gid in gids:
            self.expect(0, "submit", "--gid", gid, "--for", "accepted", stdin=WAITS)
            self.expect(0, "abort", gid, "--yes", "--reason", f"because of {gid}")

    def verify(self, code=0, *flags):
        found = self.expect(code, "audit", "verify", "-o", "json", *flags).json
        self.assertEqual(code == 0, found["fits"], found)
        return found

    def heads(self):
        return self.verify()["heads"]

    def reasons(self):
        rows = [json.loads(line) for line in self.expect(0, "audit", "export").out.splitlines()]
        return {row["reason"] for row in rows if row["kind"] == "deed" and row["reason"]}

    def export(self, name):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.expect(0, "audit", "export").out)
        return path


class OnPostgreSQL(Verify):
    def setUp(self):
        super().setUp()
        self.server = postgresql.Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.database = self.server.new_database()
        self.url = self.server.url(self.database)

    def sql(self, text):
        return self.server.sql(self.database, text).strip()

    def test_of_a_running_coordinator(self):
        """What somebody with the database did to its rows, while the coordinator serves on, is said; a new start goes on behind what was there."""
        self.run_daemon("--log", self.url, "--node", "a")
        self.act("one", "two")
        first = self.heads()
        self.daemon.stop()
        self.daemon.start()
        self.act("three")
        second = self.heads()
        self.assertEqual(2, len(second))
        chain = first[0].split(":")[0]
        deed = int(self.sql(f"SELECT number FROM assent.audit_rows WHERE chain = '{chain}' AND reason = 'because of two'"))
        self.sql("CREATE TABLE kept AS SELECT * FROM assent.audit_rows")
        for what, sql, words in (("changed", "UPDATE assent.audit_rows SET reason = 'x' WHERE reason = 'because of two'", f"{chain} {deed}: was changed"),
                                 ("moved", "UPDATE assent.audit_rows SET claims = reason, reason = claims WHERE reason = 'because of two'", f"{chain} {deed}: was changed"),
                                 ("removed", "DELETE FROM assent.audit_rows WHERE reason = 'because of two'", f"{chain} {deed}: is missing"),
                                 ("a chain", f"DELETE FROM assent.audit_rows WHERE chain = '{chain}'", rf"{chain} \d+: is missing: deeds-\d+ 1 says that it was there")):
            with self.subTest(what):
                self.sql(sql)
                said = self.expect(CHANGED, "audit", "verify").out
                self.assertIn("NOT as they were written", said)
                self.assertRegex(said, words)
                self.verify(CHANGED)
                self.sql("TRUNCATE assent.audit_rows; INSERT INTO assent.audit_rows SELECT * FROM kept")
                self.assertEqual(second, self.heads())
        # Its end is cut off: that is missed by who has its head, and by nobody else.
        self.sql(f"DELETE FROM assent.audit_rows WHERE (chain, number) IN (SELECT chain, max(number) FROM assent.audit_rows WHERE chain <> '{chain}' GROUP BY chain)")
        self.verify()
        newest = next(head for head in second if not head.startswith(chain + ":"))
        self.assertIn("missing", str(self.verify(CHANGED, "--expect", newest)["faults"]))

    def test_behind_a_migration(self):
        """The record stays where it is: that of the new place begins anew, fits, and is not the old one."""
        self.run_daemon("--log", self.url, "--node", "a")
        self.act("one")
        self.daemon.stop()
        self.daemon.start()
        old, kept = self.heads(), self.export("old.jsonl")
        self.daemon.stop()
        there = os.path.join(self.folder, "there")
        self.expect(0, "migrate", "--from", self.url, "--to", f"sqlite:{there}")
        self.run_daemon("--data", there)
        self.assertEqual([], [head for head in self.heads() if head in old])
        self.assertEqual(set(), self.reasons())
        for head in old:
            self.assertIn("missing", str(self.verify(CHANGED, "--expect", head)["faults"]))
        self.act("two")
        self.assertEqual({"because of two"}, self.reasons())
        # The old one is good where it was exported to, with all that it has.
        self.verify(0, "--file", kept, *(word for head in old for word in ("--expect", head)))
        self.assertEqual("1", self.sql("SELECT count(*) FROM assent.audit_rows WHERE reason = 'because of one'"))


class Restored(Verify):
    def test_behind_a_restore(self):
        """It goes on behind the backup. What was done after it is not there, and whoever has a later head is told so."""
        self.run_daemon()
        self.act("one")
        backup = os.path.join(self.folder, "backup")
        before = self.heads()  # what came of the backup is behind it
        self.expect(0, "backup", backup)
        self.act("two")
        after = self.heads()
        kept = self.export("kept.jsonl")
        self.daemon.stop()
        restored = os.path.join(self.folder, "restored")
        self.assertIn(self.ctl("restore", backup, "--data", restored).code, (0, NEEDS_A_PERSON))
        self.run_daemon("--data", restored)
        self.act("three")
        self.assertEqual({"because of one", "because of three"}, self.reasons())
        found = self.verify(0, *(word for head in before for word in ("--expect", head)))
        self.assertEqual([], found["faults"])
        for head in after:
            self.assertNotEqual([], self.verify(CHANGED, "--expect", head)["faults"])
        # An export of before and one of after are not one record: they differ from the backup on.
        self.verify(0, "--file", kept)
        self.verify(CHANGED, "--file", kept, "--file", self.export("restored.jsonl"))


if __name__ == "__main__":
    unittest.main()
