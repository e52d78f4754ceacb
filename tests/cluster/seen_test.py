#!/usr/bin/python3
"""What is seen of members that die, drain or cannot be reached: in assentctl, and in the logs of the others."""

import re
import unittest

import members
import postgresql
from members import Ctl

LOOK = 1  # assentctl cluster: something is wrong
WAITS = '{"branches": [{"protocol": "2pc", "service": "nobody", "action": "do"}], "deadline": "7d"}'


class Seen(members.MembersTest):
    def shared(self, member, count):
        """The cluster, once so many members have each its share."""
        def look():
            cluster = Ctl(member.endpoint)("cluster", "-o", "json").json
            slots = sorted(one["slots"] for one in cluster["members"])
            return cluster if len(slots) == count and slots[0] * count * 4 >= sum(slots) * 3 else None
        return self.until(look)

    def gid_of(self, member, node):
        """One that this node has."""
        ctl = Ctl(member.endpoint)
        return next(gid for gid in (f"g-{i}" for i in range(200)) if ctl("cluster", "locate", gid, "-o", "id").out == node + "\n")

    def test_killed(self):
        a, b = self.member("a"), self.member("b")
        self.shared(a, 2)
        self.assertEqual(0, self.until(lambda: (seen := Ctl(a.endpoint)("cluster")).code == 0 and seen).code)
        self.line(a, "event=slots_given to=b")
        gid = self.gid_of(a, "b")
        self.assertEqual(0, Ctl(a.endpoint)("submit", "--gid", gid, "--for", "accepted", stdin=WAITS).code)
        b.process.kill()
        b.process.wait()
        self.assertRegex(self.line(a, "event=member_gone"), r'node=b epoch=\d+ slots=\d+ why="fenced by a, last seen \d+ ms ago"')
        taken = self.line(a, "event=slots_taken from=b")
        self.assertRegex(taken, r'why="fenced by a, last seen \d+ ms ago" slots=\d+ unfinished=1 ms=\d+')
        seen = Ctl(a.endpoint)("cluster")
        self.assertEqual(LOOK, seen.code, seen)
        self.assertRegex(seen.out, r"1 coordinator, all slots have an owner; node b, last seen .* ago, was fenced by a and is not back: its slots have other owners")
        self.assertRegex(seen.out, r"\nb .* fenced\n")
        shown = Ctl(a.endpoint)("show", gid).out
        self.assertIn(f"node a at {a.endpoint}, since ", shown)
        self.assertIn("taken up", shown)
        self.assertIn("(for at least ", shown)
        self.assertIn("fenced by a", Ctl(a.endpoint)("health").out)
        b.start()
        self.line(a, "event=member_came node=b")
        self.until(lambda: Ctl(a.endpoint)("cluster").code == 0)
        self.assertEqual(0, b.terminate())
        self.assertIn('why="stopped in order"', self.until(lambda: [one for one in a.words().splitlines() if "member_gone" in one][1:])[0])
        seen = self.until(lambda: (seen := Ctl(a.endpoint)("cluster")).code == 0 and seen)
        self.assertRegex(seen.out, r"\nb .* stopped\n")

    def test_drained(self):
        a, b = self.member("a"), self.member("b")
        self.shared(a, 2)
        gid = self.gid_of(a, "b")
        self.assertEqual(0, Ctl(a.endpoint)("submit", "--gid", gid, "--for", "accepted", stdin=WAITS).code)
        dry = Ctl(a.endpoint)("cluster", "drain", "b", "--dry-run").out
        self.assertIn("1 undecided two-phase transaction is in them now", dry)
        drained = Ctl(a.endpoint)("cluster", "drain", "b", "--wait", "--reason", 'its "new" disk')
        self.assertEqual(0, drained.code, drained)
        for member in (a, b):
            self.assertIn('asked="drain b" who="tester@', self.line(member, "event=operator"))
            self.assertIn("reason=\"its 'new' disk\"", self.line(member, "event=operator"))
            # Each has what it saw last: one of them is not the first to see it.
            drained = re.compile(r'node b is drained, asked for by tester@\S+ \(its "new" disk\): it can be stopped')
            self.until(lambda: drained.search(Ctl(member.endpoint)("cluster").out))
            self.assertEqual(0, Ctl(member.endpoint)("cluster").code)
        self.assertIn('why="it is draining"', self.line(a, "event=slots_taken from=b"))
        self.assertIn('why="it is draining"', self.line(b, "event=slots_given to=a"))

    def test_nobody_reaches_it(self):
        nowhere = f"127.0.0.1:{postgresql.free_port()}"
        a, b = self.member("a"), self.member("b", "--advertise", nowhere)
        # It says so itself, before anybody asks.
        self.assertIn(f"address={nowhere} why=\"nobody answers there: ", self.line(b, "event=advertised_elsewhere"))
        self.until(lambda: "node b does not answer" in Ctl(a.endpoint)("cluster").out)
        self.assertNotIn("event=advertised_elsewhere", a.words())
        self.until(lambda: Ctl(a.endpoint)("cluster", "-o", "json").json["members"][1]["slots"] > 0)
        advice = f"node b does not answer at {nowhere} .*: its \\d+ slots are out of reach; if it lives, correct its --advertise, or assentctl cluster drain b"
        seen = self.until(lambda: re.search(advice, (seen := Ctl(a.endpoint)("cluster")).out) and seen)
        self.assertEqual(LOOK, seen.code, seen)
        self.assertIn("does not answer at " + nowhere, Ctl(a.endpoint)("health").out)
        gid = self.gid_of(a, "b")
        shown = Ctl(a.endpoint)("show", gid, "--timeout", "2s")
        self.assertIn(f"{a.endpoint} says: the coordinator that has it, at {nowhere}: ", shown.err)
        self.assertNotIn("cannot connect to " + a.endpoint, shown.err)


if __name__ == "__main__":
    unittest.main()
