#!/usr/bin/python3
"""What happens, as a person follows it and a script goes on from it: through the coordinator's death, and not a line twice."""

import json
import os
import queue
import subprocess
import sys
import threading
import unittest

from daemon import BIN, Ctl, CtlTest, Daemon
from scripted_participant import REPLY, ScriptedParticipant

ORDER = {"deadline": "7d", "branches": [{"protocol": "tcc", "service": "payment", "action": "charge"}]}


class Follower:
    """assentctl events --follow, its lines as they come."""

    def __init__(self, test, *arguments):
        # Also what happens before it has connected.
        start = () if "--after" in arguments else ("--from-start",)
        self.process = test.ctl.start("events", "--follow", "-o", "jsonl", *start, *arguments)
        self.lines, self.said = queue.Queue(), queue.Queue()
        self._readers = [threading.Thread(target=self._read, args=one) for one in
                         ((self.process.stdout, self.lines), (self.process.stderr, self.said))]
        for reader in self._readers:
            reader.start()
        test.addCleanup(self.close)

    @staticmethod
    def _read(stream, into):
        with stream:
            for line in stream:
                into.put(line)

    def next(self):
        return json.loads(self.lines.get(timeout=CtlTest.PATIENCE_SECONDS))

    def until(self, kind, gid=""):
        """Events up to the first of this kind, that one last."""
        events = []
        while not events or (events[-1]["kind"], events[-1]["gid"]) != (kind, gid):
            events.append(self.next())
        return events

    def words(self):
        """The next line on stderr."""
        return self.said.get(timeout=CtlTest.PATIENCE_SECONDS)

    def close(self):
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()


class Events(CtlTest):
    def setUp(self):
        self.payment = ScriptedParticipant()
        self.addCleanup(self.payment.down)
        self.daemon = Daemon("--unary", f"payment={self.payment.address}")
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def submit(self, gid, until="completed", spec=None):
        self.expect(0, "submit", "--gid", gid, "--for", until, stdin=json.dumps(spec or ORDER))

    def kept(self, *arguments):
        return self.expect(0, "events", "-o", "json", *arguments).json["events"]

    def ended(self, gid):
        """All that is kept of it, once its end is in the log."""
        return self.until(lambda: (kept := self.kept("--gid-prefix", gid)) and kept[-1]["kind"] == "ENDED" and kept)

    def test_a_life_in_its_order(self):
        self.submit("g-1")
        kept = self.ended("g-1")
        self.assertEqual(["BEGAN", "DECIDED", "ENDED"], [event["kind"] for event in kept])
        self.assertEqual(["began", "decided: commit", "ended COMMITTED"], [event["sentence"] for event in kept])
        epoch, numbers = kept[0]["sequence"].split(".")[0], [int(event["sequence"].split(".")[1]) for event in kept]
        self.assertEqual(sorted(numbers), numbers)
        self.assertEqual({epoch}, {event["sequence"].split(".")[0] for event in kept})
        after = self.kept("--after", kept[0]["sequence"], "--gid-prefix", "g-1")
        self.assertEqual(kept[1:], after)
        table = self.expect(0, "events", "--kind", "ended")
        self.assertRegex(table.out, r"\ASEQUENCE +TIME +KIND +GID +WHAT\n.*ended +g-1 +ended COMMITTED\n\Z")
        self.assertRegex(table.err, r"\Awhat happens from here on: --after \d+\.\d+\n\Z")
        self.assertEqual("g-1\ng-1\ng-1\n", self.expect(0, "events", "-o", "id").out)

    def test_an_abort_says_why_and_a_person_who(self):
        self.payment.answer("charge", "TRY", REPLY.REFUSED, reason="no money")
        self.expect(10, "submit", "--gid", "g-1", stdin=json.dumps(ORDER))
        decided = self.ended("g-1")[1]
        self.assertEqual("decided: abort: branch 1 payment/charge refused: no money", decided["sentence"])
        self.assertEqual("payment", decided["service"])
        self.payment.answer("charge", "TRY", REPLY.RETRY_LATER, reason="soon")
        self.submit("g-2", until="accepted")
        self.expect(0, "suspend", "g-2", "--who", "ann", "--reason", "looking")
        self.expect(0, "abort", "g-2", "--who", "bob", "--reason", "seen", "--yes")
        intervened = self.kept("--kind", "intervened")
        self.assertEqual(["suspend by ann: looking", "abort by bob: seen"], [event["sentence"] for event in intervened])

    def test_what_waits_for_somebody_who_is_away(self):
        self.payment.down()
        follower = Follower(self, "--service", "payment")
        self.until(lambda: self.expect(0, "participants", "payment", "-o", "json"))
        self.submit("g-1", until="accepted")
        away = follower.until("SERVICE_AWAY")[-1]
        self.assertEqual(("payment", "nobody of payment can be reached, and transactions wait for it"),
                         (away["service"], away["sentence"]))
        self.payment.up()
        follower.until("NOBODY_WAITS")

    def test_who_needs_a_person_and_no_more(self):
        self.payment.answer("charge", "CONFIRM", REPLY.REFUSED, reason="the account is closed")
        follower = Follower(self, "--needs-operator")
        self.submit("g-0", until="decided")
        needs = follower.until("NEEDS_PERSON", "g-0")[-1]
        self.assertIn("the account is closed", needs["sentence"])
        self.assertEqual("payment", needs["service"])
        self.expect(0, "resolve", "g-0", "1", "abort", "--reason", "booked by hand", "--yes")
        rest = follower.until("ENDED", "g-0")
        self.assertEqual(["NEEDS_NOBODY", "ENDED"], [event["kind"] for event in rest])
        self.assertEqual("MIXED", rest[-1]["outcome"])

    def test_through_the_coordinators_death(self):
        self.payment.answer("charge", "CONFIRM", REPLY.REFUSED, reason="the account is closed")
        follower = Follower(self)
        # It stands in the log as one that needs a person before the coordinator dies.
        self.until(lambda: self.ctl("health").code == 0)
        self.submit("g-1", until="decided")
        seen = follower.until("NEEDS_PERSON", "g-1")
        self.daemon.kill()
        self.assertIn("trying again", follower.words())
        self.daemon.start()
        again = follower.until("NEEDS_PERSON", "g-1")
        said = [follower.words(), follower.words()]
        self.assertTrue(any("connected to " in line for line in said), said)
        missed = next(line for line in said if "was started again" in line)
        self.assertIn(f"what happened after {seen[-1]['sequence']} and was not told is missed", missed)
        self.assertNotEqual(seen[-1]["sequence"].split(".")[0], again[-1]["sequence"].split(".")[0])
        self.payment.answer("charge", "CONFIRM")
        self.ctl("retry", "g-1")  # unless it has been tried already
        self.assertEqual("COMMITTED", follower.until("ENDED", "g-1")[-1]["outcome"])

    def test_a_script_goes_on_where_it_stopped(self):
        first = Follower(self)
        self.submit("g-1")
        seen = first.until("ENDED", "g-1")
        first.close()
        self.submit("g-2")
        self.ended("g-2")
        second = Follower(self, "--after", seen[1]["sequence"])
        told = second.until("ENDED", "g-2")
        self.assertEqual(["g-1", "g-2", "g-2", "g-2"], [event["gid"] for event in told])
        last = told[-1]["sequence"]
        second.close()
        # In another life of the coordinator none of it is kept.
        self.daemon.stop()
        self.daemon.start()
        result = self.expect(0, "events", "--after", last)
        self.assertIn(f"was started again: what happened after {last} and was not told is missed", result.err)

    def test_it_ends_while_grpc_is_still_busy(self):
        slow = os.path.join(BIN, "slow_unlock.so")
        if not os.path.exists(slow):
            self.skipTest("a build with sanitizers has no room before them")
        for _ in range(60):
            self.expect(0, "events", env={"LD_PRELOAD": slow})

    def test_what_makes_no_sense(self):
        for wrong in ("x", "7", "7.x"):
            self.assertIn("EPOCH.N", self.expect(2, "events", "--after", wrong).err)
        self.assertIn("needs-person", self.expect(2, "events", "--kind", "x").err)
        position = self.expect(0, "events", "-o", "json").json["position"]
        epoch, number = position.split(".")
        self.assertIn("the latest event is", self.expect(2, "events", "--after", f"{epoch}.{int(number) + 1000}").err)
        nobody = subprocess.run([self.ctl.program, "--endpoint", "127.0.0.1:1", "events", "--follow"], capture_output=True,
                                text=True, env=self.ctl.env, timeout=60, check=False)
        self.assertEqual(3, nobody.returncode, nobody.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
