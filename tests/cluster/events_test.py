#!/usr/bin/python3
"""What happens at each of two members, followed as one; through the death of one of them."""

import json
import queue
import threading
import unittest

import members
from members import Ctl

ORDER = '{"branches": [{"protocol": "saga", "service": "nobody", "action": "do"}], "deadline": "7d"}'


class Events(members.MembersTest):
    def follow(self, endpoint, *arguments):
        """Events as they come, and what is said on stderr."""
        process = Ctl(endpoint).start("events", "--follow", "-o", "jsonl", *arguments)
        events, words = queue.Queue(), queue.Queue()

        def read(stream, into):
            with stream:
                for line in stream:
                    into.put(line)
        for one in ((process.stdout, events), (process.stderr, words)):
            reader = threading.Thread(target=read, args=one)
            reader.start()
            self.addCleanup(reader.join)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return events, words

    def one(self, events, kind, gid):
        while True:
            event = json.loads(events.get(timeout=60))
            if (event["kind"], event["gid"]) == (kind, gid):
                return event

    def begin_at(self, member, node, tag):
        """A transaction that this node has."""
        ctl = Ctl(member.endpoint)
        gid = next(gid for gid in (f"{tag}-{i}" for i in range(200)) if ctl("cluster", "locate", gid, "-o", "id").out == node + "\n")
        self.assertEqual(0, ctl("submit", "--gid", gid, "--for", "accepted", stdin=ORDER).code)
        return gid

    def test_two_as_one_and_one_that_dies(self):
        a, b = self.member("a"), self.member("b")
        self.until(lambda: Ctl(a.endpoint)("cluster").code == 0 and
                   all(one["slots"] for one in Ctl(a.endpoint)("cluster", "-o", "json").json["members"]))
        events, words = self.follow(a.endpoint, "--from-start")
        at_a = self.one(events, "BEGAN", self.begin_at(a, "a", "x"))
        at_b = self.one(events, "BEGAN", self.begin_at(a, "b", "x"))
        epochs = {one["node"]: one["epoch"] for one in Ctl(a.endpoint)("cluster", "-o", "json").json["members"]}
        self.assertTrue(at_a["sequence"].startswith(f"{epochs['a']}."), at_a)
        self.assertTrue(at_b["sequence"].startswith(f"{epochs['b']}."), at_b)
        self.assertIn(f",{epochs['a']}.", at_b["sequence"])

        # The last line says where both stand: whoever goes on from it hears nothing twice.
        later = self.begin_at(a, "a", "y")
        self.one(events, "BEGAN", later)
        again, _ = self.follow(b.endpoint, "--after", at_b["sequence"], "--kind", "began")
        self.assertEqual(later, json.loads(again.get(timeout=60))["gid"])
        both = Ctl(b.endpoint)("events", "-o", "json", "--kind", "began").json
        self.assertEqual({at_a["gid"], at_b["gid"], later}, {event["gid"] for event in both["events"]})
        self.assertEqual(2, len(both["position"].split(",")))

        b.process.kill()
        b.process.wait()
        said = ""
        while "a coordinator has ended" not in said:
            said = words.get(timeout=60)
        self.assertIn(f"after {epochs['b']}.", said)
        self.one(events, "BEGAN", self.begin_at(a, "a", "z"))

        # Who comes anew is followed from its beginning.
        b.start()
        self.until(lambda: all(one["slots"] for one in Ctl(a.endpoint)("cluster", "-o", "json").json["members"]) and
                   len(Ctl(a.endpoint)("cluster", "-o", "json").json["members"]) == 2)
        came = self.one(events, "BEGAN", self.begin_at(a, "b", "w"))
        self.assertFalse(came["sequence"].startswith(f"{epochs['b']}."))


if __name__ == "__main__":
    unittest.main(verbosity=2)
