#!/usr/bin/python3
"""Whoever has to be alone with a log looks for members that live, and does not see one that was stopped or beats rarely. It is fenced
nevertheless, in the same transaction: it says yes to nobody from then on, and ends.
"""

import os
import signal
import tempfile
import unittest

import members
from members import Ctl

FENCED, REFUSED = 75, 73  # exit codes of assentd
NOT_FOUND = 4  # of assentctl
WAITS = '{"branches": [{"protocol": "tcc", "service": "nobody", "action": "do"}], "deadline": "7d"}'


class Unseen(members.MembersTest):
    def setUp(self):
        super().setUp()
        self.log = self.server.url(self.database)
        folder = tempfile.TemporaryDirectory(prefix="assent-unseen-")
        self.addCleanup(folder.cleanup)
        self.data, self.spec = os.path.join(folder.name, "data"), os.path.join(folder.name, "late")
        with open(self.spec, "w", encoding="utf-8") as file:
            file.write(WAITS)

    def sql(self, text):
        return self.server.sql(self.database, text)

    def rows(self):
        return self.sql("SELECT string_agg(gid || version, ' ' ORDER BY gid) FROM assent.live")

    def submit(self, member, gid):
        return Ctl(member.endpoint)("submit", "--gid", gid, "--for", "accepted", self.spec)

    def with_one(self, *arguments):
        member = self.member("a", "--drain-seconds", "1", *arguments)
        self.assertEqual(0, self.submit(member, "before").code)
        return member

    def stopped(self):
        """And somebody has asked something of it, which it has not read when it is fenced."""
        member = self.with_one()
        member.process.send_signal(signal.SIGSTOP)
        return member, self.asks(member)

    def asks(self, member):
        late = Ctl(member.endpoint).start("submit", "--gid", "late", "--for", "accepted", self.spec)
        self.addCleanup(late.wait)
        self.addCleanup(late.kill)
        return late

    def ends(self, member, late, words):
        """Without a yes to anybody, and nothing of it in the store."""
        rows = self.rows()
        member.process.send_signal(signal.SIGCONT)
        self.assertEqual(FENCED, member.process.wait(60), member.words())
        last = self.line(member, "event=fenced_out")
        self.assertIn(words, last)
        self.assertNotIn("the others carry on", last)
        late.kill()  # it would ask for as long as it may
        self.assertEqual("", late.communicate()[0])
        self.assertNotEqual(0, late.returncode)
        self.assertEqual(rows, self.rows())

    def test_restored_fences_one_that_was_stopped(self):
        member, late = self.stopped()
        starts = int(self.sql("SELECT starts FROM assent.log"))
        restored = Ctl("")("cluster", "restored", self.log, "--yes")
        self.assertEqual(0, restored.code, restored)
        self.assertIn(f"fenced node a at {member.endpoint}, which had not left: if it still runs, it ends with 75", restored.err)
        self.assertEqual("t|t|2", self.sql("SELECT bool_and(m.ended), bool_and(l.fenced), min(g.generation) FROM assent.member m, assent.lane l, "
                                           "assent.log g"))
        self.ends(member, late, "was put back to an older state")
        # The same name in another life, of the new generation.
        member.start()
        ctl = Ctl(member.endpoint)
        self.assertEqual("2", self.sql("SELECT generation FROM assent.member WHERE NOT ended"))
        self.assertEqual(starts + 2, int(self.sql("SELECT starts FROM assent.log")), "who read it before reads it again")
        self.assertEqual(0, ctl("show", "before").code)
        self.assertEqual(NOT_FOUND, ctl("show", "late").code)
        self.assertEqual(0, self.submit(member, "after").code)

    def test_restored_fences_one_that_beats_rarely(self):
        member = self.with_one("--lease-seconds", "60")
        dry = Ctl("")("cluster", "restored", self.log, "--dry-run")
        self.assertEqual(0, dry.code, dry)
        self.assertIn(f"would fence node a at {member.endpoint}, which has not left", dry.err)
        self.assertEqual(0, self.submit(member, "more").code)
        restored = Ctl("")("cluster", "restored", self.log, "--yes")
        self.assertEqual(0, restored.code, restored)
        # It runs, and has not heard of it.
        self.ends(member, self.asks(member), "was put back to an older state")

    def test_migrate_fences_one_that_was_stopped(self):
        member, late = self.stopped()
        moved = Ctl("")("migrate", "--from", self.log, "--to", "sqlite:" + self.data)
        self.assertEqual(0, moved.code, moved)
        self.assertIn(f"fenced node a at {member.endpoint}, which had not left", moved.err)
        self.ends(member, late, f"has moved to sqlite:{self.data}/assent.db: it goes on there")
        with self.assertRaisesRegex(RuntimeError, "has moved to"):
            member.start()
        self.assertEqual(REFUSED, member.process.wait(60))


if __name__ == "__main__":
    unittest.main(verbosity=2)
