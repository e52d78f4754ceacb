"""A shop on its worst day, against a real assentd: payment is down while orders wait for it, a compensation is refused, a
service is misspelt, and somebody writes markup wherever a text may stand."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../ctl"), os.path.join(HERE, "../support")]

from rig import Daemon, postgresql  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402
from stubs import transaction_pb2, transaction_pb2_grpc, types_pb2  # noqa: E402

import grpc  # noqa: E402

PATIENCE_SECONDS = 60
HOUR_MS = 3_600_000
MARKUP = '<img src=x onerror="document.title=`hacked`">'
# A word that may be a service's name, and is nobody's.
MISSPELT = "paymnet"


def branch(service, action, protocol=types_pb2.SAGA, **more):
    return types_pb2.BranchSpec(protocol=protocol, service=service, action=action, **more)


class Outage:
    """`orders` wait for payment; needs-1 waits for a person; typo-1 for a service that nobody has; rude-1 has markup in it."""

    def __init__(self, orders=40):
        self.inventory, self.payment = ScriptedParticipant(), ScriptedParticipant()
        self.inventory.answer("reserve", "COMPENSATE", REPLY.REFUSED, reason="the shelf is sealed")
        self.inventory.answer("rude", "ACTION", REPLY.RETRY_LATER, reason=MARKUP)
        self.payment.answer("refuse", "ACTION", REPLY.REFUSED, reason="no money")
        self.daemon = Daemon("--unary", f"inventory={self.inventory.address}", "--unary", f"payment={self.payment.address}")
        self.orders = orders
        self.happen()

    def happen(self):
        self.submit("done-1", branch("inventory", "count"), branch("payment", "charge"), wait=types_pb2.WAIT_COMPLETED)
        self.submit("needs-1", branch("inventory", "reserve"), branch("payment", "refuse"), labels={"customer": "7"},
                    wait=types_pb2.WAIT_DECIDED)
        until(lambda: self.get("needs-1")["needsOperator"], "needs-1 does not need a person")
        self.payment.down()
        self.submit_many([self.order(f"order-{i:04}") for i in range(self.orders)])
        self.submit("typo-1", branch("inventory", "count"), branch(MISSPELT, "charge"))
        self.submit("rude-1", branch("inventory", "rude"), labels={"note": MARKUP})
        if self.orders:
            until(lambda: self.get("order-0000")["branches"][1]["lastError"], "order-0000 has not met the outage")

    @staticmethod
    def order(gid, **more):
        return types_pb2.TransactionSpec(gid=gid, deadline_ms=24 * HOUR_MS, branches=[
            branch("inventory", "count"), branch("payment", "charge", retry=types_pb2.RetryPolicy(max_backoff_ms=1000))], **more)

    def close(self):
        self.daemon.close()
        self.inventory.down()
        self.payment.down()

    # ---- What initiators do -------------------------------------------------------------------------

    def stub(self):
        return transaction_pb2_grpc.TransactionServiceStub(grpc.insecure_channel(self.daemon.endpoint))

    def submit(self, gid, *branches, labels=None, wait=types_pb2.WAIT_ACCEPTED):
        spec = types_pb2.TransactionSpec(gid=gid, branches=branches, deadline_ms=24 * HOUR_MS, labels=labels or {})
        return self.stub().Submit(transaction_pb2.SubmitRequest(transaction=spec, wait_for=wait))

    def submit_many(self, specs, each=256):
        """All of them, on one stream; answers when they are durable."""
        frames = [transaction_pb2.SubmitRequestFrame(requests=[
            transaction_pb2.SubmitRequest(transaction=spec, wait_for=types_pb2.WAIT_ACCEPTED, request_id=at + 1)
            for at, spec in enumerate(specs[first:first + each], first)]) for first in range(0, len(specs), each)]
        accepted = 0
        for reply in self.stub().SubmitStream(iter(frames)):
            for one in reply.replies:
                assert one.error_code == 0, one.error_message
            accepted += len(reply.replies)
            if accepted == len(specs):
                return

    # ---- What the daemon says -----------------------------------------------------------------------

    def get(self, gid):
        return self.daemon.ask("GET", f"/v1/transactions/{gid}")[2]

    def unfinished(self, **query):
        return self.daemon.ask("GET", "/v1/transactions?" + "&".join(f"{k}={v}" for k, v in query.items()))[2]["transactions"]


def until(condition, what):
    return postgresql.until(condition, PATIENCE_SECONDS, what)
