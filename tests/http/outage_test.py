#!/usr/bin/python3
"""An outage as a program meets it, over REST alone: a thousand orders wait for a participant that is down, one compensation fails, one
service is misspelt. Each cause is found by one GET; after the repair one batch finishes everything."""

import json
import os
import sys
import time
import unittest
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../ctl")]

from rig import PATIENCE_SECONDS, Daemon, postgresql  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402

ORDERS = 1000
NEVER = 3_600_000  # ms: nothing is tried again by itself
RETRY = {"initialBackoffMs": str(NEVER), "maxBackoffMs": str(NEVER)}
DOWN = "payment: not connected"
WARMING = "payment/charge: TRY fails: warming up"
COMPENSATION = "hotel/book: COMPENSATE fails: ledger # is closed since #"
MISSPELT = "paymnet: not connected"


def branch(protocol, service, action):
    return {"protocol": protocol, "service": service, "action": action, "retry": RETRY}


class Outage(unittest.TestCase):
    def setUp(self):
        self.payment, self.hotel = ScriptedParticipant(), ScriptedParticipant()
        self.daemon = Daemon("--unary", f"payment={self.payment.address}", "--unary", f"hotel={self.hotel.address}")
        for close in (self.payment.down, self.hotel.down, self.daemon.close):
            self.addCleanup(close)
        self.connection = self.daemon.connect()
        self.addCleanup(self.connection.close)

    # One connection for all: a thousand of them would be the test's own outage.
    def ask(self, method, path, body=None, code=200):
        self.connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"} if body else {})
        got, _, said = self.daemon.take(self.connection)
        self.assertEqual(code, got, said)
        return said

    def submit(self, gid, *branches):
        self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", {"gid": gid, "deadlineMs": str(NEVER), "labels": {"customer": f"c{gid}"}, "branches": branches})

    def causes(self):
        return {one["sentence"]: one for one in self.ask("GET", "/v1/causes")["causes"]}

    def batch(self, verb, dry_run=False, code=200, **filters):
        action = {"who": "ann", "reason": "all is well again", "dryRun": dry_run}
        return self.ask("POST", "/v1/transactions:batch", {"verb": verb, "action": action, **filters}, code)

    def until(self, condition, what):
        return postgresql.until(condition, PATIENCE_SECONDS, what)

    def make_it_break(self):
        self.payment.down()
        self.hotel.answer("book", "COMPENSATE", REPLY.RETRY_LATER, reason="ledger 7 is closed since 18:00")
        self.hotel.answer("pay", "ACTION", REPLY.REFUSED, reason="no credit")
        for i in range(ORDERS):
            self.submit(f"order-{i}", branch("TCC", "payment", "charge"))
        self.submit("trip-1", branch("SAGA", "hotel", "book"), branch("SAGA", "hotel", "pay"))
        self.submit("order-odd", branch("TCC", "paymnet", "charge"))

    def test_from_the_first_get_to_the_end(self):
        self.make_it_break()
        causes = self.until(lambda: (now := self.causes()).keys() == {DOWN, COMPENSATION, MISSPELT} and now[DOWN]["count"] == str(ORDERS) and now, self.causes)
        self.assertEqual(("NOT_CONNECTED", "payment"), (causes[DOWN]["kind"], causes[DOWN]["service"]))
        self.assertEqual(("FAILING", "COMPENSATE", ["trip-1"]), tuple(causes[COMPENSATION][key] for key in ("kind", "operation", "gids")))
        self.assertEqual(["order-odd"], causes[MISSPELT]["gids"])
        # Its key opens it, whatever it is.
        opened = self.ask("GET", "/v1/transactions?" + urllib.parse.urlencode({"cause": causes[DOWN]["key"], "page_size": 1000}))
        self.assertEqual({f"order-{i}" for i in range(ORDERS)}, {one["gid"] for one in opened["transactions"]})
        self.assertIn("payment", opened["transactions"][0]["whyNotFinished"])
        self.repair(causes)

    def repair(self, causes):
        # payment is back, and not ready: it says "not now", and will be asked again in an hour.
        self.payment.answer("charge", "TRY", REPLY.RETRY_LATER, reason="warming up")
        self.payment.up()
        self.until(lambda: self.causes().get(WARMING, {"count": "0"})["count"] == str(ORDERS), self.causes)
        self.payment.answer("charge", "TRY")

        # What was misspelt never was sent.
        aborted = self.batch("ABORT", cause=causes[MISSPELT]["key"])
        self.assertEqual(("1", "1", "0"), (aborted["matched"], aborted["done"], aborted["failed"]))

        # A dry run counts, and does nothing; a filter that was forgotten is an error.
        self.assertIn("there is no filter", self.batch("RETRY", code=400)["message"])
        counted = self.batch("RETRY", dry_run=True, all=True)
        self.assertEqual((str(ORDERS + 1), "0", 5), (counted["matched"], counted["done"], len(counted["gids"])))
        self.assertEqual(str(ORDERS), self.causes()[WARMING]["count"])

        # One batch finishes everything that was counted, and nothing that came later.
        self.submit("later", branch("TCC", "paymnet", "charge"))
        # From now on the trip may also end by itself, before its turn or before anybody counts it.
        self.hotel.answer("book", "COMPENSATE")
        begun = time.monotonic()
        done = self.batch("RETRY", all=True, asOfUnixMs=counted["asOfUnixMs"])
        print(f"{done['done']} were retried in {time.monotonic() - begun:.2f} s", file=sys.stderr)
        self.assertIn(int(done["matched"]), (ORDERS, ORDERS + 1))
        self.assertEqual(int(done["matched"]), int(done["done"]) + int(done["hadEnded"]))
        self.assertEqual(("0", [], False), tuple(done[key] for key in ("failed", "failures", "more")))
        self.until(lambda: self.ask("GET", "/v1/causes")["total"] == "1", self.causes)
        self.assertEqual([], self.ask("GET", "/v1/transactions/later")["interventions"])
        shown = self.ask("GET", "/v1/transactions/order-7")
        self.assertEqual("COMMITTED", shown["outcome"])
        self.assertEqual([("retry", "ann", "all is well again")], [(one["verb"], one["who"], one["reason"]) for one in shown["interventions"]])
        self.assertEqual("ABORTED", self.ask("GET", "/v1/transactions/trip-1")["outcome"])
        recorded = self.ask("GET", "/v1/audit?verb=retry&page_size=1000")
        self.assertEqual({"OK"}, {one["result"] for one in recorded["entries"]})
        self.assertEqual(1000, len(recorded["entries"]))
        self.batch("ABORT", gidPrefix="later")
        finished = self.ask("GET", "/v1/server")
        self.assertEqual((str(ORDERS), "3"), (finished["committed"], finished["aborted"]))


if __name__ == "__main__":
    unittest.main()
