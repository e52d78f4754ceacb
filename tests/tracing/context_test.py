#!/usr/bin/python3
"""A trace goes through: from an initiator, by each door, to participants on both transports, and through kill -9."""

import http.client
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../ctl"))

from daemon import Ctl, CtlTest, Daemon, free_port  # noqa: E402
from load import wire  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
UNRECORDED = f"00-{TRACE}-{SPAN}-00"
ILL_FORMED = ("", "00-4bf9-00f0-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01", PARENT + "-x")


class Context(CtlTest):
    def setUp(self):
        self.shop = ScriptedParticipant()
        self.addCleanup(self.shop.down)
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--unary", f"shop={self.shop.address}", "--http-listen", self.http)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        self.stub = wire.tx_grpc.TransactionServiceStub(wire.connect(self.daemon.endpoint))

    def spec(self, gid, **more):
        return wire.spec(gid, wire.branch("shop", "reserve"), **more)

    def submit(self, gid, metadata=(), **more):
        request = wire.tx.SubmitRequest(transaction=self.spec(gid, **more), wait_for=wire.types.WAIT_COMPLETED)
        return self.stub.Submit(request, metadata=metadata, timeout=30)

    def post(self, path, body, headers):
        connection = http.client.HTTPConnection(self.http, timeout=30)
        self.addCleanup(connection.close)
        connection.putrequest("POST", path)
        for name, value in headers:
            connection.putheader(name, value)
        text = json.dumps(body).encode()
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(text)))
        connection.endheaders(text)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def heard(self, gid):
        """What the participant was told with each command."""
        return {(traceparent, tracestate) for one, traceparent, tracestate in self.shop.traces if one == gid}

    def shown(self, gid):
        return self.expect(0, "show", gid, "-o", "json").json.get("traceparent", "")

    def test_by_each_door(self):
        self.submit("field", traceparent=PARENT, tracestate="a=1")
        self.submit("metadata", metadata=[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")])
        self.submit("both", metadata=[("traceparent", PARENT)], traceparent=UNRECORDED)
        branches = [{"protocol": "TCC", "service": "shop", "action": "reserve"}]
        for gid, body, headers in (("http-header", {}, [("traceparent", PARENT), ("tracestate", "a=1"), ("TraceState", "b=2")]),
                                   ("http-body", {"traceparent": PARENT, "tracestate": "a=1"}, [])):
            code, said = self.post("/v1/transactions", {"gid": gid, "branches": branches, **body}, headers)
            self.assertEqual((200, "COMMITTED"), (code, said["outcome"]), said)
        self.assertEqual({(PARENT, "a=1")}, self.heard("field"))
        self.assertEqual({(PARENT, "a=1,b=2")}, self.heard("metadata"))
        self.assertEqual({(UNRECORDED, "")}, self.heard("both"))
        self.assertEqual({(PARENT, "a=1,b=2")}, self.heard("http-header"))
        self.assertEqual({(PARENT, "a=1")}, self.heard("http-body"))
        self.assertEqual(PARENT, self.shown("field"))
        self.assertIn(f"trace        {TRACE}\n", self.expect(0, "show", "field").out)
        self.assertIn(f"trace        {TRACE} (not recorded)\n", self.expect(0, "show", "both").out)
        env = {"TRACEPARENT": PARENT}
        made = self.ctl("submit", "--gid", "shell", stdin=json.dumps({"branches": [{"protocol": "tcc", "service": "shop", "action": "reserve"}]}), env=env)
        self.assertEqual(0, made.code, made)
        self.assertEqual({(PARENT, "")}, self.heard("shell"))

    def test_begun_openly_and_on_a_stream(self):
        self.stub.Begin(wire.tx.BeginRequest(transaction=wire.types.TransactionSpec(gid="open")), metadata=[("traceparent", PARENT)], timeout=30)
        self.stub.ExecuteBranch(wire.tx.ExecuteBranchRequest(gid="open", branch=wire.branch("shop", "reserve", branch_id="b")), timeout=30)
        self.stub.Commit(wire.tx.CommitRequest(gid="open", wait_for=wire.types.WAIT_COMPLETED), timeout=30)
        self.assertEqual({(PARENT, "")}, self.heard("open"))
        code, _ = self.post("/v1/transactions:begin", {"gid": "http-open"}, [("traceparent", PARENT)])
        self.assertEqual((200, PARENT), (code, self.shown("http-open")))
        frame = wire.tx.SubmitRequestFrame(requests=[wire.tx.SubmitRequest(transaction=self.spec("streamed", traceparent=PARENT), request_id=1)])
        for answer in self.stub.SubmitStream(iter([frame]), timeout=30):
            self.assertEqual(["streamed"], [reply.gid for reply in answer.replies])
        self.until(lambda: self.heard("streamed"))
        self.assertEqual({(PARENT, "")}, self.heard("streamed"))

    def test_what_is_ill_formed(self):
        """Beside a request it is left out, as the standard has it; in one it is a mistake, and is told."""
        for n, parent in enumerate(ILL_FORMED):
            self.submit(f"beside-{n}", metadata=[("traceparent", parent)])
            self.assertEqual({("", "")}, self.heard(f"beside-{n}"))
            if not parent:
                continue
            with self.assertRaises(wire.grpc.RpcError) as refused:
                self.submit(f"within-{n}", traceparent=parent)
            self.assertEqual(wire.grpc.StatusCode.INVALID_ARGUMENT, refused.exception.code())
            self.assertIn("traceparent is \"", refused.exception.details())
        self.submit("two", metadata=[("traceparent", PARENT), ("traceparent", UNRECORDED)])
        self.assertEqual({("", "")}, self.heard("two"))
        self.submit("long", metadata=[("traceparent", PARENT), ("tracestate", "a=" + "x" * 511)])
        self.assertEqual({(PARENT, "")}, self.heard("long"))
        for fields, words in (({"tracestate": "a=1"}, "traceparent is not"), ({"traceparent": PARENT, "tracestate": "a=" + "x" * 511}, "513 bytes"),
                              ({"traceparent": PARENT, "tracestate": "a=\n"}, "printable ASCII")):
            with self.assertRaises(wire.grpc.RpcError) as refused:
                self.submit("state", **fields)
            self.assertIn(words, refused.exception.details())
        code, said = self.post("/v1/transactions", {"gid": "http", "branches": [{"protocol": "TCC", "service": "shop", "action": "reserve"}]},
                               [("traceparent", PARENT), ("traceparent", PARENT)])
        self.assertEqual((200, ""), (code, self.shown("http")), said)

    def test_again_with_another(self):
        """What a client's library adds to its second try makes no other transaction of it."""
        self.submit("g", metadata=[("traceparent", PARENT)])
        again = self.submit("g", metadata=[("traceparent", f"00-{'1' * 32}-{'2' * 16}-01")])
        self.assertEqual(wire.types.COMMITTED, again.outcome)
        self.assertEqual(PARENT, self.shown("g"))

    def test_through_a_death(self):
        session = wire.Session(self.daemon.endpoint, "bank")
        self.assertTrue(session.welcome.wait(30))
        self.shop.answer("reserve", "CONFIRM", REPLY.RETRY_LATER)
        spec = wire.spec("g", wire.branch("shop", "reserve"), wire.branch("bank"))
        self.stub.Submit(wire.tx.SubmitRequest(transaction=spec), metadata=[("traceparent", PARENT), ("tracestate", "a=1")], timeout=30)
        self.until(lambda: ("reserve", "CONFIRM") in self.shop.asked)
        self.assertEqual({(PARENT, "a=1")}, {(c.traceparent, c.tracestate) for c in session.commands})
        session.close()
        self.daemon.kill()
        self.shop.traces.clear()
        self.daemon.start()
        self.until(lambda: self.heard("g"))
        self.assertEqual({(PARENT, "a=1")}, self.heard("g"))
        self.assertEqual(PARENT, self.shown("g"))


if __name__ == "__main__":
    unittest.main()
