#!/usr/bin/python3
"""An outage as a person meets it: a thousand orders wait for a participant that is down, one compensation fails, one
service is misspelt. Each cause is found in one step, and one batch action after the repair finishes everything."""

import os
import sys
import time
import unittest

from daemon import Ctl, Daemon
from scripted_participant import REPLY, ScriptedParticipant
from terminal import at_a_terminal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "grpc"))
from wire import connect, tx, tx_grpc, types  # noqa: E402

ORDERS = 1000
NEVER = 3_600_000  # ms: nothing is tried again by itself


class Outage(unittest.TestCase):
    def setUp(self):
        self.payment = ScriptedParticipant()
        self.addCleanup(self.payment.down)
        self.hotel = ScriptedParticipant()
        self.addCleanup(self.hotel.down)
        self.daemon = Daemon("--unary", f"payment={self.payment.address}", "--unary", f"hotel={self.hotel.address}")
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def expect(self, code, *arguments, **more):
        result = self.ctl(*arguments, **more)
        self.assertEqual(code, result.code, f"{arguments}: {result}")
        return result

    def until(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not (seen := what()):
            self.assertLess(time.monotonic(), end, "waited too long")
            time.sleep(0.02)
        return seen

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


if __name__ == "__main__":
    unittest.main()
