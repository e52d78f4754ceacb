#!/usr/bin/python3
"""An outage as a person meets it: a thousand orders wait for a participant that is down, one compensation fails, one
service is misspelt. Each cause is found in one step, and one batch action after the repair finishes everything."""

import os
import sys
import time
import unittest

from daemon import Ctl, CtlTest, Daemon
from scripted_participant import REPLY, ScriptedParticipant
from terminal import at_a_terminal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "grpc"))
from wire import connect, tx, tx_grpc, types  # noqa: E402

ORDERS = 1000
NEVER = 3_600_000  # ms: nothing is tried again by itself


class Outage(CtlTest):
    PATIENCE_SECONDS = 60

    def setUp(self):
        self.payment = ScriptedParticipant()
        self.addCleanup(self.payment.down)
        self.hotel = ScriptedParticipant()
        self.addCleanup(self.hotel.down)
        self.daemon = Daemon("--unary", f"payment={self.payment.address}", "--unary", f"hotel={self.hotel.address}")
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def submit(self, stub, gid, *branches):
        spec = types.TransactionSpec(gid=gid, deadline_ms=NEVER, labels={"customer": f"c{gid}"})
        for protocol, service, action in branches:
            spec.branches.add(protocol=protocol, service=service, action=action,
                              retry=types.RetryPolicy(initial_backoff_ms=NEVER, max_backoff_ms=NEVER))
        stub.Submit(tx.SubmitRequest(transaction=spec, wait_for=types.WAIT_ACCEPTED))

    def causes(self):
        return {cause["sentence"]: cause for cause in self.expect(0, "list", "--group-by", "why", "-o", "json").json["causes"]}

    def make_it_break(self):
        self.payment.down()
        self.hotel.answer("book", "COMPENSATE", REPLY.RETRY_LATER, reason="ledger 7 is closed since 18:00")
        self.hotel.answer("pay", "ACTION", REPLY.REFUSED, reason="no credit")
        with connect(self.daemon.endpoint) as channel:
            stub = tx_grpc.TransactionServiceStub(channel)
            for i in range(ORDERS):
                self.submit(stub, f"order-{i}", (types.TCC, "payment", "charge"))
            self.submit(stub, "trip-1", (types.SAGA, "hotel", "book"), (types.SAGA, "hotel", "pay"))
            self.submit(stub, "order-odd", (types.TCC, "paymnet", "charge"))

    def test_from_the_list_to_the_end(self):
        self.make_it_break()
        down = "payment: not connected"
        compensation = "hotel/book: COMPENSATE fails: ledger # is closed since #"
        misspelt = "paymnet: not connected"
        causes = self.until(lambda: (c := self.causes()).keys() == {down, compensation, misspelt} and
                            c[down]["count"] == ORDERS and c)
        self.assertEqual("NOT_CONNECTED", causes[down]["kind"])
        self.assertEqual(("FAILING", "COMPENSATE", ["trip-1"]),
                         tuple(causes[compensation][key] for key in ("kind", "operation", "gids")))
        self.assertEqual(["order-odd"], causes[misspelt]["gids"])

        # A person sees all of it on one screen.
        written, code = at_a_terminal(self.ctl, ["list", "--group-by", "why"], [], env={"NO_COLOR": "1"})
        self.assertEqual(0, code, written)
        for line in (f"1,000  .*{down}", f"1  .*{misspelt}", "1  .*hotel/book: COMPENSATE fails"):
            self.assertRegex(written, line)
        by_service = self.expect(0, "list", "--group-by", "service").out
        self.assertRegex(by_service, r"1,000 .* payment: not connected\n")

        # A row opens.
        opened = self.expect(0, "list", "--cause", causes[down]["key"], "--all-pages", "-o", "id").out.split()
        self.assertEqual({f"order-{i}" for i in range(ORDERS)}, set(opened))
        self.assertIn("is none of why, service", self.expect(2, "list", "--group-by", "y").err)
        self.look_at_the_top()
        self.repair(causes, misspelt)

    def test_a_misspelt_service_behind_a_restart(self):
        """What was begun before it may have been sent, as far as the next start knows: it has to be undone, by a service
        that will never come."""
        with connect(self.daemon.endpoint) as channel:
            stub = tx_grpc.TransactionServiceStub(channel)
            for i in range(3):
                self.submit(stub, f"odd-{i}", (types.TCC, "paymnet", "charge"))
        self.daemon.kill()
        self.daemon.start()
        misspelt = "paymnet: not connected"
        causes = self.until(lambda: (c := self.causes()).get(misspelt, {"count": 0})["count"] == 3 and c)
        key = causes[misspelt]["key"]
        # Whom it is like, and that nobody of that name was here.
        self.assertIn("paymnet: not connected (like: payment)\n", self.expect(0, "list", "--group-by", "why").out)
        self.assertRegex(self.expect(0, "participants", "paymnet").out, "paymnet +none .* like: payment\n")
        shown = self.expect(0, "show", "odd-1").out
        self.assertIn("no participant paymnet is connected, nor was any since the start", shown)
        self.assertIn("paymnet is not there, like: payment\n", shown)

        early = self.expect(0, "resolve", "--all", "--cause", key, "abort", "--reason", "misspelt", "--yes")
        self.assertIn("3 more are not decided, and left out: abort first", early.err)
        aborted = self.expect(0, "abort", "--all", "--cause", key, "--reason", "misspelt", "--yes")
        self.assertEqual("abort: 3 done, 0 failed\n", aborted.out)
        self.assertIn("3 are not undone yet", aborted.err)
        self.until(lambda: self.causes().get(misspelt, {"count": 0})["count"] == 3)
        dry = self.expect(0, "resolve", "--all", "--cause", key, "abort", "--dry-run")
        self.assertEqual("resolve: (dry run) 3 match\n", dry.out)
        self.assertIn("Of 3 tcc branches you declare that paymnet has cancelled", dry.err)
        ended = self.expect(0, "resolve", "--all", "--cause", key, "abort", "--reason", "misspelt", "--yes")
        self.assertEqual("resolve: 3 done, 0 failed\n", ended.out)
        for i in range(3):
            self.assertEqual("ABORTED", self.expect(0, "show", f"odd-{i}", "-o", "json").json["outcome"])

    def look_at_the_top(self):
        top = self.expect(0, "top", "--once", "-o", "json").json
        self.assertEqual(ORDERS + 2, top["causes"]["total"])
        self.assertEqual("payment", max(top["participants"]["participants"], key=lambda one: one["waiting"])["service"])
        for key in ("q", "\x03"):
            written, code = at_a_terminal(self.ctl, ["top", "--interval", "100ms"], [("q leaves", key)], env={"NO_COLOR": "1"})
            self.assertEqual(0, code, written)
            self.assertIn("payment: not connected", written)
            self.assertTrue(written.endswith("\x1b[?25h\x1b[?1049l"), "the terminal is as it was")

    def repair(self, causes, misspelt):
        # payment is back, and not ready: it says "not now", and will be asked again in an hour.
        self.payment.answer("charge", "TRY", REPLY.RETRY_LATER, reason="warming up")
        self.payment.up()
        warming = "payment/charge: TRY fails: warming up"
        self.until(lambda: self.causes().get(warming, {"count": 0})["count"] == ORDERS)
        self.payment.answer("charge", "TRY")
        self.hotel.answer("book", "COMPENSATE")

        # What was misspelt never was sent.
        aborted = self.expect(0, "abort", "--all", "--cause", causes[misspelt]["key"], "--reason", "misspelt", "--yes")
        self.assertEqual("abort: 1 done, 0 failed\n", aborted.out)

        # Without consent nothing happens; a dry run says how many.
        self.expect(2, "retry", "--all", "--service", "payment")
        dry = self.expect(0, "retry", "--all", "--service", "payment", "--dry-run")
        self.assertEqual("retry: (dry run) 1,000 match\n", dry.out)
        self.assertIn("... and 995 more\n", dry.err)
        self.assertEqual(ORDERS, self.causes()[warming]["count"])

        # One batch finishes everything.
        begun = time.monotonic()
        written, code = at_a_terminal(self.ctl, ["retry", "--all", "--reason", "all is well again"], [("Go on? [y/N]", "y\n")])
        self.assertEqual(0, code, written)
        self.assertIn("retry: 1,001 done, 0 failed\n", written)
        print(f"1,001 were retried in {time.monotonic() - begun:.2f} s", file=sys.stderr)
        self.until(lambda: self.expect(0, "list", "--group-by", "why", "-o", "json").json["total"] == 0)
        shown = self.expect(0, "show", "order-7", "-o", "json").json
        self.assertEqual("COMMITTED", shown["outcome"])
        self.assertEqual([("retry", "all is well again")], [(one["verb"], one["reason"]) for one in shown["interventions"]])
        self.assertEqual("ABORTED", self.expect(0, "show", "trip-1", "-o", "json").json["outcome"])
        stats = self.expect(0, "stats", "-o", "json").json
        self.assertEqual((ORDERS, 2), (int(stats["committed"]), int(stats["aborted"])))


if __name__ == "__main__":
    unittest.main()
