#!/usr/bin/python3
"""Spans of a real assentd at a strict collector: the whole tree, through a kill, and at a collector that is away, slow, or says no."""

import json
import os
import re
import sys
import tempfile
import threading
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../ctl"))

from collector import Collector, refusal  # noqa: E402
from daemon import Ctl, CtlTest, Daemon, free_port  # noqa: E402
from scripted_participant import REPLY, ScriptedParticipant  # noqa: E402

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
CLIENT, INTERNAL = 3, 1


class Spans(CtlTest):
    def setUp(self):
        self.shop = ScriptedParticipant()
        self.addCleanup(self.shop.down)

    def collector(self, port=0):
        collector = Collector(port)
        self.addCleanup(collector.close)
        self.addCleanup(lambda: self.assertEqual([], collector.faults))
        return collector

    def start(self, port, *flags):
        self.http = f"127.0.0.1:{free_port()}"
        self.daemon = Daemon("--unary", f"shop={self.shop.address}", "--http-listen", self.http, "--trace-endpoint", f"http://127.0.0.1:{port}", *flags)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def submit(self, gid, *actions, parent=PARENT, wait="completed"):
        branches = [{"protocol": "tcc", "service": "shop", "action": action, "id": action} for action in actions or ["reserve"]]
        made = self.ctl("submit", "--gid", gid, "--for", wait, stdin=json.dumps({"branches": branches}), env={"TRACEPARENT": parent} if parent else {})
        self.assertIn(made.code, (0, 12), made)

    def told(self, collector, gid):
        """All of a transaction, once its own span is there; an id is there once."""
        def whole():
            spans = [span for span in collector.spans() if span["attributes"].get("assent.gid") == gid]
            return any(span["name"] == "transaction" for span in spans) and spans
        spans = self.until(whole)
        self.assertEqual(len(spans), len({span["span_id"] for span in spans}), spans)
        return spans

    def named(self, spans, name):
        one, = (span for span in spans if span["name"] == name)
        return one

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=30) as page:
            return float(re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.M)[1])

    def test_a_tree(self):
        collector = self.collector()
        self.start(collector.port, "--trace-service-name", "orders")
        self.submit("g", "reserve", "pay")
        spans = self.told(collector, "g")
        whole = self.named(spans, "transaction")
        self.assertEqual((SPAN, INTERNAL, "COMMITTED", 2),
                         (whole["parent_span_id"], whole["kind"], whole["attributes"]["assent.outcome"], whole["attributes"]["assent.branches"]))
        self.assertEqual({TRACE}, {span["trace_id"] for span in spans})
        self.assertEqual({1}, {span["flags"] for span in spans})
        for action in ("reserve", "pay"):
            branch = self.named(spans, f"branch shop/{action}")
            self.assertEqual((whole["span_id"], action), (branch["parent_span_id"], branch["attributes"]["assent.branch_id"]))
            for number, operation in enumerate(("TRY", "CONFIRM")):
                attempt = self.named(spans, f"{operation} shop/{action}")
                self.assertEqual((branch["span_id"], CLIENT, "shop", "DONE"),
                                 (attempt["parent_span_id"], attempt["kind"], attempt["attributes"]["peer.service"], attempt["attributes"]["assent.result"]))
                # The participant's own spans are under it.
                heard = [parent for gid, parent, _ in self.shop.traces if gid == "g" and parent.split("-")[2] == attempt["span_id"]]
                self.assertEqual([f"00-{TRACE}-{attempt['span_id']}-01"], heard, number)
        for record in ("log begin", "log decision"):
            self.assertEqual(whole["span_id"], self.named(spans, record)["parent_span_id"])
        ids = {span["span_id"] for span in spans}
        self.assertTrue(all(span["parent_span_id"] in ids for span in spans if span is not whole), spans)
        (resource, _, _), = collector.requests[0]["groups"]
        self.assertEqual("orders", resource["service.name"])
        self.assertTrue(resource["service.instance.id"].isdigit(), resource)
        self.until(lambda: self.metric("assent_trace_spans_exported_total") == len(collector.spans()))
        self.assertEqual("/v1/traces", collector.requests[0]["path"])

    def test_what_is_not_recorded_is_not_told(self):
        collector = self.collector()
        self.start(collector.port, "--trace-sample-ratio", "0")
        self.submit("unrecorded", parent=PARENT[:-1] + "0")
        self.submit("of-its-own", parent="")
        self.submit("told")
        self.told(collector, "told")
        self.assertEqual({"told"}, {span["attributes"]["assent.gid"] for span in collector.spans()})

    def test_a_trace_of_its_own(self):
        collector = self.collector()
        self.start(collector.port)
        self.submit("g", parent="")
        spans = self.told(collector, "g")
        self.assertEqual(1, len({span["trace_id"] for span in spans}))
        self.assertNotEqual(TRACE, spans[0]["trace_id"])

    def test_through_a_kill(self):
        """The same tree goes on in the next life, and the attempt that was on its way has ended."""
        collector = self.collector()
        self.start(collector.port)
        held = self.shop.hold("reserve", "CONFIRM")
        self.submit("g", wait="decided")
        self.assertTrue(held.arrived.wait(20))
        self.until(lambda: any(span["name"] == "TRY shop/reserve" for span in collector.spans()))
        self.daemon.kill()
        held.set()
        self.daemon.start()
        spans = self.told(collector, "g")
        whole = self.named(spans, "transaction")
        self.assertEqual((SPAN, "COMMITTED"), (whole["parent_span_id"], whole["attributes"]["assent.outcome"]))
        self.assertEqual(whole["span_id"], self.named(spans, "branch shop/reserve")["parent_span_id"])
        self.assertEqual(self.named(spans, "branch shop/reserve")["span_id"], self.named(spans, "TRY shop/reserve")["parent_span_id"])
        self.assertIn("DONE", {span["attributes"]["assent.result"] for span in spans if span["name"] == "CONFIRM shop/reserve"})

    def test_a_collector_that_is_away(self):
        """Transactions go on; it is counted, said once, and told when it is back."""
        port = free_port()
        self.start(port)
        for number in range(20):
            self.submit(f"g{number}")
        self.until(lambda: self.metric("assent_trace_failed_tries_total") >= 2)
        self.assertEqual(0, self.metric("assent_trace_spans_exported_total"))
        self.assertGreater(self.metric("assent_trace_spans_queued"), 0)
        self.assertEqual(1, self.daemon.log().count("event=tracing_away"))
        collector = self.collector(port)
        for number in range(20):
            self.told(collector, f"g{number}")
        self.until(lambda: "event=tracing_back" in self.daemon.log())
        self.until(lambda: self.metric("assent_trace_spans_queued") == 0)
        for reason in ("queue_full", "rejected", "gave_up"):
            self.assertEqual(0, self.metric(f'assent_trace_spans_dropped_total{{reason="{reason}"}}'))

    def test_a_collector_that_says_no(self):
        collector = self.collector()
        # It says again what was said to it.
        collector.answers = [(401, {}, refusal("who are you, Bearer planted-token\nevent=forged"))] * 1000
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as headers:
            headers.write("Authorization: Bearer planted-token\n")
            headers.flush()
            self.start(collector.port, "--trace-headers-file", headers.name)
        self.submit("g")
        self.until(lambda: self.metric('assent_trace_spans_dropped_total{reason="rejected"}') > 0)
        self.until(lambda: "event=tracing_rejected" in self.daemon.log())  # counted first
        said = self.daemon.log()
        self.assertIn("event=tracing_rejected error=\"it answers 401: who are you, ***", said)
        self.assertNotIn("planted-token", said)
        self.assertNotIn("\nevent=forged", said)

    def test_a_stop(self):
        """What waits is sent; a collector that hangs is not waited for."""
        collector = self.collector()
        self.start(collector.port)
        self.submit("g")
        self.ctl.until_kept("g")
        self.assertEqual(0, self.daemon.stop())
        self.told(collector, "g")
        collector.held = threading.Event()
        self.daemon.start()
        self.submit("h")
        self.until(lambda: any(span["attributes"]["assent.gid"] == "h" for one in collector.requests for _, _, spans in one["groups"] for span in spans))
        self.assertEqual(0, self.daemon.stop())
        with open(os.path.join(os.path.dirname(self.daemon.data), "assentd.log"), encoding="utf-8") as file:
            said = file.read()
        self.assertIn("event=tracing_left spans=", said)
        self.assertNotIn("phase=stopping", said)


if __name__ == "__main__":
    unittest.main()
