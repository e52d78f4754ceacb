#!/usr/bin/python3
"""What people ask of a cluster, and what becomes of it: slots that they move, members that they fence or stop."""

import unittest

import members
from members import Ctl

LOOK, FENCED = 1, 75
USAGE, NOT_FOUND, WRONG_STATE = 2, 4, 5


class People(members.MembersTest):
    def cluster(self, member):
        return Ctl(member.endpoint)("cluster", "-o", "json").json

    def slots(self, member):
        """How many each node has."""
        return {one["node"]: one["slots"] for one in self.cluster(member)["members"]}

    def shared(self, member, count):
        """Once so many members have each its share, and the whole has settled."""
        def look():
            slots = sorted(self.slots(member).values())
            return len(slots) == count and sum(slots) == 1024 and slots[0] * count * 4 >= sum(slots) * 3
        self.until(look)

    # Most of a move of many slots was taken back within seconds.
    def test_what_is_moved_stays(self):
        a, b = self.member("a"), self.member("b")
        self.shared(a, 2)
        ctl = Ctl(a.endpoint)
        dry = ctl("cluster", "move", "0-899", "b", "--dry-run").out
        self.assertRegex(dry, r"^b: \(dry run\) is given \d+ slots by a and keeps \d+ slots that it has; they stay there until moved again or "
                              r"assentctl cluster unpin. While b is away or draining others have them; no undecided")
        self.assertEqual([], self.cluster(a)["pinned"])
        moved = ctl("cluster", "move", "0-899", "b", "--reason", "a is hot")
        self.assertEqual(0, moved.code, moved)
        self.until(lambda: self.slots(a)["b"] >= 900)
        self.assertIn("has what is asked for already", ctl("cluster", "move", "17", "b").out)
        # Several looks of each, of which every one would balance.
        version = self.cluster(a)["version"]
        beat = lambda: int(self.server.sql(self.database, "SELECT min(beat) FROM assent.member WHERE NOT ended"))  # noqa: E731
        before = beat()
        self.until(lambda: beat() > before + 8)
        self.assertGreaterEqual(self.slots(a)["b"], 900)
        self.assertEqual(version, self.cluster(a)["version"], "slots go to and fro")
        # Whichever is asked, and over a restart.
        for member in (a, b):
            seen = Ctl(member.endpoint)("cluster").out
            self.assertRegex(seen, r"\nslots 0-899 stay with node b \(moved by tester@\S+, .* ago: a is hot\)\n")
        self.assertEqual(0, b.terminate())
        self.until(lambda: self.slots(a) == {"a": 1024})
        self.assertIn("stay with node b, which is no member: others have them until it comes back, or assentctl cluster unpin --node b", ctl("cluster").out)
        b.start()
        self.until(lambda: self.slots(a).get("b", 0) >= 900)
        gid = next(gid for gid in (f"g-{i}" for i in range(200)) if ctl("cluster", "locate", gid, "-o", "json").json["slot"] < 900)
        self.assertIn("; it stays with node b\n", ctl("cluster", "locate", gid).out)
        # Until somebody says otherwise.
        dry = ctl("cluster", "unpin", "--node", "b", "--dry-run").out
        self.assertIn("900 slots: (dry run) ", dry)
        self.assertEqual(0, ctl("cluster", "unpin", "--all", "--reason", "a is well").code)
        self.shared(a, 2)
        self.assertEqual([], self.cluster(a)["pinned"])
        self.assertIn("nothing was moved by anybody", ctl("cluster", "unpin", "--all").err)

    # It looked like a stop in order, and its last words had neither name nor reason.
    def test_fence_asked_of_the_victim(self):
        a, b = self.member("a"), self.member("b")
        self.shared(a, 2)
        fenced = Ctl(b.endpoint)("cluster", "fence", "b", "--yes", "--reason", "it is on fire")
        self.assertEqual(0, fenced.code, fenced)
        self.assertEqual(FENCED, b.process.wait(60))
        last = self.line(b, "event=fenced_out")
        self.assertRegex(last, r'why="tester@\S+ has had this one fenced, by node b: it is on fire; others have its slots"')
        self.assertRegex(self.line(a, "event=member_gone"), r'why="fenced by b for tester@\S+ \(it is on fire\), last seen')
        seen = self.until(lambda: (seen := Ctl(a.endpoint)("cluster")).code == LOOK and seen)
        self.assertRegex(seen.out, r"; node b, last seen .* ago, was fenced by tester@\S+ \(it is on fire\) and is not back: its slots have other owners\n")
        self.assertRegex(seen.out, r"\nb .* fenced\n")
        # By another, and for nobody.
        b.start()
        self.shared(a, 2)
        self.assertEqual(0, Ctl(a.endpoint)("cluster", "fence", "b", "--yes", "--reason", "again").code)
        self.assertEqual(FENCED, b.process.wait(60))
        self.until(lambda: "has had this one fenced, by node a: again" in b.words())

    # assentctl saw by itself that it cannot be, and nobody was asked.
    def test_who_tried_is_on_record(self):
        a, b = self.member("a"), self.member("b")
        self.shared(a, 2)
        ctl = Ctl(a.endpoint)
        self.assertEqual(0, ctl("cluster", "move", "3", "17-19", "b", "--reason", "a is hot").code)
        self.assertEqual(NOT_FOUND, ctl("cluster", "drain", "nobody", "--reason", "to see").code)
        self.assertEqual(NOT_FOUND, ctl("cluster", "fence", "nobody", "--reason", "to see", "--yes").code)
        self.assertEqual(NOT_FOUND, ctl("cluster", "drain", "nobody", "--dry-run").code)
        self.assertEqual(0, b.terminate())
        self.until(lambda: self.slots(a) == {"a": 1024})
        last = ctl("cluster", "drain", "a", "--reason", "to see")
        self.assertEqual(WRONG_STATE, last.code, last)
        self.assertIn("nobody but a takes slots", last.err)
        self.assertEqual(0, ctl("cluster", "unpin", "--all").code)
        entries = [(one["verb"], one["detail"], one["result"]) for one in ctl("audit", "-o", "json").json["entries"]]
        self.assertEqual(sorted([("unpin", "slots 3, 17-19", "OK"), ("drain", "a", "FAILED_PRECONDITION"), ("fence", "nobody", "NOT_FOUND"),
                                 ("drain", "nobody", "NOT_FOUND")]), sorted(entries[:-1]))
        self.assertRegex(entries[-1][1], r"^slots? .* to b$")
        wrong = ctl("audit", "--verb", "zap")
        self.assertEqual(USAGE, wrong.code, wrong)
        self.assertIn("verb is none of abort, backup, breaker-auto, breaker-close, breaker-open, drain, fence,", wrong.err)

    # Monitoring looks for both of what was said of it.
    def test_a_stop_in_order_is_no_trouble(self):
        a, b = self.member("a"), self.member("b")
        self.shared(a, 2)
        b.process.terminate()
        while b.process.poll() is None or any(one["node"] == "b" for one in self.cluster(a)["members"]):
            seen = Ctl(a.endpoint)("cluster")
            self.assertEqual(0, seen.code, seen)
        self.assertEqual(0, b.process.returncode)
        self.assertNotIn("event=log_away", b.words())
        self.assertIn("event=stopped", b.words())


if __name__ == "__main__":
    unittest.main()
