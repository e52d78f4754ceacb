#!/usr/bin/python3
"""A log that is behind what its coordinators have told: put back to an older copy, or a standby that lacked the newest commits. What is
undecided in it may have been committed since. No coordinator aborts that; people are told, look at the participants, and decide.
"""

import json
import subprocess
import unittest

import members
import postgresql
from scripted_participant import ScriptedParticipant

WRONG_STATE = 5  # of assentctl


class Behind(unittest.TestCase):
    def setUp(self):
        self.server = postgresql.Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.database = self.server.new_database()
        self.bank = ScriptedParticipant()
        self.addCleanup(self.bank.down)
        self.member = members.Member("node", self.server.url(self.database), "--new-log-slots", "8", "--drain-seconds", "1",
                                     "--unary", f"bank={self.bank.address}")
        self.addCleanup(self.member.close)
        self.member.start()
        self.ctl = members.Ctl(self.member.endpoint)

    def submit(self, gid, protocol, wait):
        branches = [{"id": f"b{i}", "protocol": protocol, "service": "bank", "action": gid} for i in (1, 2)]
        done = self.ctl("submit", "--gid", gid, "--for", wait, stdin=json.dumps({"branches": branches}))
        self.assertEqual(0, done.code, done)

    def show(self, gid):
        return json.loads(self.ctl("show", gid, "-o", "json").out)

    def until(self, condition):
        postgresql.until(condition, 60, lambda: self.member.words()[-2000:])

    def commands(self, gid):
        """What the participant has been asked of it since the log was put back."""
        return [operation for action, operation in self.bank.asked[self.asked_before:] if action == gid]

    def put_back(self, dump):
        self.member.process.kill()
        self.member.process.wait()
        done = subprocess.run(postgresql.command("psql", "-Xq1", "-v", "ON_ERROR_STOP=1", self.server.socket_url(self.database)),
                              input="DROP SCHEMA assent CASCADE;" + dump, capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        self.asked_before = len(self.bank.asked)
        self.member.start()

    def test_what_has_been_committed_since_is_not_undone(self):
        votes = {gid: self.bank.hold(gid, operation) for gid, operation in (("paid", "PREPARE"), ("unpaid", "PREPARE"), ("seat", "TRY"))}
        for gid, protocol in (("paid", "2pc"), ("unpaid", "2pc"), ("seat", "tcc")):
            self.submit(gid, protocol, "accepted")
            votes[gid].arrived.wait(30)
        dump = subprocess.run(postgresql.command("pg_dump", "-n", "assent", self.server.socket_url(self.database)), check=True,
                              capture_output=True, text=True).stdout
        votes["paid"].set()
        self.until(lambda: self.show("paid")["state"] == "FINISHED")
        self.assertEqual("COMMITTED", self.show("paid")["outcome"])
        votes["seat"].set()
        self.until(lambda: self.show("seat")["state"] == "FINISHED")
        self.put_back(dump)
        votes["unpaid"].set()

        # It says so where people look, and asks nothing of anybody.
        self.until(lambda: sorted(self.ctl("list", "--needs-operator", "-o", "id").out.split()) == ["paid", "seat", "unpaid"])
        why = self.show("paid")["why_not_finished"]
        self.assertIn("held: the log was put back to an older state and may lack what became of it", why)
        self.assertIn("held: the log was put back to an older state", self.ctl("list", "--group-by", "why").out)
        self.assertEqual([], self.commands("paid"))
        # Nor can anybody end it by the way.
        for verb in ("retry", "resume"):
            refused = self.ctl(verb, "paid", "--reason", "why not", "--yes")
            self.assertEqual(WRONG_STATE, refused.code, refused)
            self.assertIn("is held", refused.err)

        # What one participant has committed was committed.
        settled = self.ctl("resolve", "paid", "b1", "commit", "--reason", "its rows are there", "--yes")
        self.assertEqual(0, settled.code, settled)
        self.until(lambda: self.show("paid")["state"] == "FINISHED")
        self.assertEqual("COMMITTED", self.show("paid")["outcome"])
        self.assertEqual(["COMMIT", "COMMIT"], self.commands("paid"))
        # Where nobody has, it can be taken back; and what asks again by itself may go on.
        self.assertEqual(0, self.ctl("abort", "unpaid", "--reason", "nobody has it", "--yes").code)
        self.assertEqual(0, self.ctl("resume", "seat", "--reason", "it is asked again", "--yes").code)
        self.until(lambda: self.show("unpaid")["state"] == self.show("seat")["state"] == "FINISHED")
        self.assertEqual("ABORTED", self.show("unpaid")["outcome"])
        self.assertEqual(["ROLLBACK", "ROLLBACK"], self.commands("unpaid"))
        self.assertEqual("COMMITTED", self.show("seat")["outcome"])
        self.assertEqual(["CONFIRM", "CONFIRM", "TRY", "TRY"], sorted(self.commands("seat")))
        self.assertEqual("", self.ctl("list", "--needs-operator", "-o", "id").out)

    def test_what_begins_afterwards_is_as_ever(self):
        """Also behind a further start."""
        dump = subprocess.run(postgresql.command("pg_dump", "-n", "assent", self.server.socket_url(self.database)), check=True,
                              capture_output=True, text=True).stdout
        self.put_back(dump)
        vote = self.bank.hold("new", "PREPARE")
        self.submit("new", "2pc", "accepted")
        vote.arrived.wait(30)
        self.member.process.kill()
        self.member.process.wait()
        vote.set()
        self.member.start()
        self.until(lambda: self.show("new")["state"] == "FINISHED")
        self.assertEqual("ABORTED", self.show("new")["outcome"])
        self.assertIn("restarted", self.show("new")["abort_reason"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
