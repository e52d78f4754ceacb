#!/usr/bin/python3
"""The exporter against a strict collector that is well, slow, full, wrong, or away."""

import json
import os
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import collector as otlp
from collector import BYTES, VARINT, Collector, field, partial_success, refusal

BIN = os.environ["ASSENT_BIN_DIR"]
PATIENCE_SECONDS = 60
FULL = 512  # spans that leave at once, as one request
NEVER_MS = 3_600_000  # for others they do not wait
LONGEST_PAUSE_MS = 300_000


def until(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError("it does not come to that")
        time.sleep(0.01)
    return value


class Exporter:
    """offer_spans, a line at a time."""

    def __init__(self, url, **options):
        flags = [word for name, value in options.items() for word in ("--" + name, str(value))]
        self._process = subprocess.Popen([os.path.join(BIN, "offer_spans"), url, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def figures(self):
        return json.loads(self("figures"))

    def end(self):
        self._process.stdin.close()
        code = self._process.wait(PATIENCE_SECONDS)
        self._process.stdout.close()
        return code


class Export(unittest.TestCase):
    def collector(self, port=0):
        collector = Collector(port)
        self.addCleanup(collector.close)
        self.addCleanup(lambda: self.assertEqual([], collector.faults))
        return collector

    def exporter(self, url, **options):
        exporter = Exporter(url, **options)
        self.addCleanup(lambda: self.assertEqual(0, exporter.end()))
        return exporter

    def said(self, exporter, *words):
        """Comes to say just this; each begins so. It is said behind what is counted."""
        said = until(lambda: len(now := exporter.figures()["said"]) >= len(words) and now)
        self.assertEqual(len(words), len(said), said)
        for begin, whole in zip(words, said):
            self.assertEqual(begin, whole[:len(begin)])

    def counted(self, exporter, **expected):
        """Comes to these figures, and to no others."""
        figures = until(lambda: (now := exporter.figures()) and all(now[name] == value for name, value in expected.items()) and now)
        for name in ("exported", "queue_full", "rejected", "gave_up", "queued"):
            self.assertEqual(expected.get(name, 0), figures[name], figures)
        return figures

    def numbers(self, collector):
        return [span["attributes"]["n"] for span in collector.spans()]

    def test_arrives_whole(self):
        collector = self.collector()
        exporter = self.exporter(collector.url, wait=1)
        exporter("strange")
        exporter("open")
        self.counted(exporter, exported=10, rejected=3)
        (resource, scope, spans), = collector.requests[0]["groups"]
        self.assertEqual({"service.name": "tested", "service.instance.id": "number 7", "service.version": "1.2.3"}, resource)
        self.assertEqual({"name": "assentd", "version": "1.2.3"}, scope)
        self.assertEqual("offer_spans/1", collector.requests[0]["headers"]["User-Agent"])
        plain = {"trace_id": "a0" * 16, "flags": 1, "name": "numbered", "kind": 1, "start": 1_700_000_000_000_001_000, "end": 1_700_000_000_000_006_000,
                 "attributes": {}}
        expected = [
            {"parent_span_id": "b0" * 8, "trace_state": "vendor=value", "flags": 255, "name": "whole", "kind": 2,
             "status": {"code": 2, "message": "because"},
             "attributes": {"text": "it is é", "number": -7, "none": 0, "yes": True, "no": False, "empty": ""}},
            {"kind": 3}, {"kind": 4}, {"kind": 5}, {"status": {"code": 1}},
            {"end": plain["start"]},
            {"attributes": {"text": "no ? text"}},
            {"name": "x" * 1023},
            {},
            {"attributes": {"k" * i: True for i in range(1, 33)}, "dropped_attributes_count": 3}]
        for number, (other, span) in enumerate(zip(expected, spans, strict=True), 1000):
            whole = {**plain, "span_id": f"01{number:014x}", "attributes": {"n": number}, **other}
            self.assertEqual(whole, span)

    def test_order_and_size_of_requests(self):
        collector = self.collector()
        exporter = self.exporter(collector.url, wait=1)
        exporter("offer 1300")
        exporter("open")
        self.counted(exporter, exported=1300)
        self.assertEqual([512, 512, 276], [len(one["groups"][0][2]) for one in collector.requests])
        self.assertEqual(list(range(1300)), self.numbers(collector))
        self.assertEqual(1, collector.connections)

    def test_waits_for_more_but_not_for_long(self):
        collector = self.collector()
        exporter = self.exporter(collector.url, wait=NEVER_MS)
        exporter("open")
        exporter("offer 511")
        self.assertEqual(511, exporter.figures()["queued"])
        self.assertEqual([], collector.requests)
        exporter("offer 1")
        self.counted(exporter, exported=512)
        self.assertEqual(1, len(collector.requests))
        soon = self.exporter(collector.url)
        soon("open")
        soon("offer 3")
        self.counted(soon, exported=3)

    def test_a_slow_collector_holds_nobody_up(self):
        """What does not fit is dropped, the newest of it, counted, and said once."""
        collector = self.collector()
        collector.held = threading.Event()
        exporter = self.exporter(collector.url, wait=1, queue=1000)
        exporter("open")
        exporter("offer 1")
        until(lambda: collector.requests)
        self.assertEqual("done", exporter("offer 1500"))
        figures = exporter.figures()
        self.assertEqual((1001, 500, 0), (figures["queued"], figures["queue_full"], figures["exported"]))
        self.assertEqual(["full: 1000"], figures["said"])
        collector.held.set()
        self.counted(exporter, exported=1001, queue_full=500)
        self.assertEqual(list(range(1001)), self.numbers(collector))

    def test_later(self):
        """Whatever may pass is tried again, with the same bytes; Retry-After is a pause that is kept."""
        collector = self.collector()
        collector.answers = [(429, {}, b""), (502, {}, b""), (504, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, b""),
                             (503, {"Retry-After": "1"}, refusal("at capacity"))]
        exporter = self.exporter(collector.url, wait=NEVER_MS, pause=1)
        exporter("open")
        exporter(f"offer {FULL}")
        figures = self.counted(exporter, exported=FULL)
        self.assertEqual(4, figures["failed_tries"])
        self.said(exporter, "away: it answers 429", "back: ")
        self.assertEqual(1, len({one["body"] for one in collector.requests}))
        self.assertGreaterEqual(collector.requests[4]["at"] - collector.requests[3]["at"], 0.99)

    def test_a_pause_that_is_asked_for_has_a_limit(self):
        """Half a day is taken for five minutes: what may live for longer waits, what may not is given up."""
        for age, gave_up in ((LONGEST_PAUSE_MS + 60_000, 0), (LONGEST_PAUSE_MS - 1, 1)):
            collector = self.collector()
            collector.answers = [(503, {"Retry-After": "43200"}, b"")]
            exporter = self.exporter(collector.url, wait=1, age=age)
            exporter("open")
            exporter("offer 1")
            figures = until(lambda: (now := exporter.figures())["failed_tries"] == 1 and now)
            self.assertEqual((gave_up, 1 - gave_up), (figures["gave_up"], figures["queued"]))

    def test_words_of_who_is_not_ready(self):
        collector = self.collector()
        collector.answers = [(503, {}, refusal("at capacity"))]
        exporter = self.exporter(collector.url, wait=1, pause=1)
        exporter("open")
        exporter("offer 1")
        self.counted(exporter, exported=1)
        self.said(exporter, "away: it answers 503: at capacity", "back: ")

    def test_refused(self):
        """For good: not sent again, counted, said once; the next request is another matter."""
        for code in (400, 401, 404, 413, 500, 302):
            collector = self.collector()
            collector.answers = [(code, {}, refusal("for a reason")), (code, {}, b"\xff")]
            exporter = self.exporter(collector.url, wait=NEVER_MS)
            exporter("open")
            exporter(f"offer {FULL}")
            self.counted(exporter, rejected=FULL)
            exporter(f"offer {FULL}")
            self.counted(exporter, rejected=2 * FULL)
            exporter(f"offer {FULL}")
            figures = self.counted(exporter, rejected=2 * FULL, exported=FULL)
            self.said(exporter, f"rejected: it answers {code}: for a reason", "back: ")
            self.assertEqual((0, 3), (figures["failed_tries"], len(collector.requests)))
            self.assertEqual(list(range(2 * FULL, 3 * FULL)), self.numbers(collector))

    def test_taken_in_part(self):
        collector = self.collector()
        collector.answers = [(200, {}, partial_success(2, "two were too old")), (200, {}, partial_success(FULL + 1, "more than all")),
                             (200, {}, partial_success(0, "use another port")), (200, {"Content-Type": "text/html"}, partial_success(1, "no collector"))]
        exporter = self.exporter(collector.url, wait=NEVER_MS)
        exporter("open")
        exporter(f"offer {FULL}")
        self.counted(exporter, exported=FULL - 2, rejected=2)
        exporter(f"offer {FULL}")
        self.counted(exporter, exported=FULL - 2, rejected=FULL + 2)
        exporter(f"offer {FULL}")
        self.counted(exporter, exported=2 * FULL - 2, rejected=FULL + 2)
        exporter(f"offer {FULL}")
        self.counted(exporter, exported=3 * FULL - 2, rejected=FULL + 2)
        self.said(exporter, "rejected: two were too old", "back: ", "remark: use another port")
        self.assertEqual(4, len(collector.requests))

    def test_away_and_back(self):
        port = self.collector().port
        self.doCleanups()
        exporter = self.exporter(f"http://127.0.0.1:{port}/v1/traces", wait=1, pause=10)
        exporter("open")
        exporter("offer 5")
        figures = until(lambda: (now := exporter.figures())["failed_tries"] >= 3 and now)
        self.assertEqual(5, figures["queued"])
        self.said(exporter, "away: it cannot be reached")
        collector = self.collector(port)
        self.counted(exporter, exported=5)
        self.said(exporter, "away: ", "back: ")
        self.assertEqual([0, 1, 2, 3, 4], self.numbers(collector))

    def test_given_up(self):
        port = self.collector().port
        self.doCleanups()
        exporter = self.exporter(f"http://127.0.0.1:{port}/v1/traces", wait=NEVER_MS, pause=1, age=30)
        exporter("open")
        exporter(f"offer {2 * FULL}")
        self.counted(exporter, gave_up=2 * FULL)
        self.said(exporter, "away: it cannot be reached", f"gave up: {FULL}")

    def test_connections_that_are_closed(self):
        """By the collector, behind each answer, without a word: nothing is lost, and nothing is a failure."""
        collector = self.collector()
        collector.hang_up = True
        exporter = self.exporter(collector.url, wait=1)
        exporter("open")
        for count in range(1, 6):
            exporter("offer 1")
            self.assertEqual(0, self.counted(exporter, exported=count)["failed_tries"])
        self.assertEqual(5, collector.connections)

    def test_a_stop_sends_what_waits(self):
        collector = self.collector()
        exporter = self.exporter(collector.url, wait=NEVER_MS)
        exporter("open")
        exporter("offer 20")
        self.assertEqual("0", exporter("close"))
        self.assertEqual(20, len(collector.spans()))
        exporter("offer 1")
        self.counted(exporter, exported=20, gave_up=1)

    def test_a_stop_that_comes_in_a_pause(self):
        """What waits because the collector was away is tried once more, at once."""
        collector = self.collector()
        collector.answers = [(503, {"Retry-After": "200"}, b"")]
        exporter = self.exporter(collector.url, wait=1)
        exporter("open")
        exporter("offer 1")
        until(lambda: exporter.figures()["failed_tries"] == 1)
        exporter("offer 20")
        self.assertEqual("0", exporter("close"))
        self.assertEqual(list(range(21)), self.numbers(collector))

    def test_a_stop_waits_for_nobody_for_long(self):
        collector = self.collector()
        collector.held = threading.Event()
        exporter = self.exporter(collector.url, wait=1)
        exporter("open")
        exporter("offer 1000")
        until(lambda: collector.requests)
        began = time.monotonic()
        self.assertEqual("1000", exporter("close"))
        self.assertLess(time.monotonic() - began, 8)  # of a try it is 10
        self.counted(exporter, gave_up=1000)

    def test_headers(self):
        collector = self.collector()
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("# of the tenant\nAuthorization: Bearer abc: def\n\nX-Tenant:seven\n")
            file.flush()
            exporter = self.exporter(collector.url, wait=1, headers=file.name)
            exporter("open")
            exporter("offer 1")
            self.counted(exporter, exported=1)
        headers = collector.requests[0]["headers"]
        self.assertEqual(("Bearer abc: def", "seven"), (headers["Authorization"], headers["X-Tenant"]))


class Strict(unittest.TestCase):
    """The collector of these tests refuses what is wrong: else they would show nothing."""

    ATTRIBUTE = field(1, BYTES, b"k") + field(2, BYTES, field(1, BYTES, b"v"))

    def request(self, **changes):
        parts = {"trace": field(1, BYTES, b"t" * 16), "span": field(2, BYTES, b"s" * 8), "name": field(5, BYTES, b"a"), "kind": field(6, VARINT, 1),
                 "start": b"\x39" + struct.pack("<Q", 5), "end": b"\x41" + struct.pack("<Q", 6), "attributes": field(9, BYTES, self.ATTRIBUTE),
                 "more": b""}
        parts.update(changes)
        names = ("service.name", "service.instance.id", "service.version")
        resource = b"".join(field(1, BYTES, field(1, BYTES, name.encode()) + field(2, BYTES, field(1, BYTES, b"v"))) for name in names)
        spans = field(1, BYTES, field(1, BYTES, b"scope")) + field(2, BYTES, b"".join(parts.values()))
        return field(1, BYTES, field(1, BYTES, resource) + field(2, BYTES, spans))

    def test_takes_what_is_right(self):
        (_, _, spans), = otlp.request(self.request())
        self.assertEqual({"k": "v"}, spans[0]["attributes"])

    def test_refuses_what_is_wrong(self):
        for changes in ({"trace": b""}, {"trace": field(1, BYTES, b"t" * 15)}, {"trace": field(1, BYTES, bytes(16))}, {"span": field(2, BYTES, b"s" * 16)},
                        {"span": field(2, BYTES, bytes(8))}, {"name": b""}, {"name": field(5, BYTES, b"\xff")}, {"kind": b""}, {"kind": field(6, VARINT, 6)},
                        {"start": b"\x39" + struct.pack("<Q", 7)}, {"end": b""}, {"start": field(7, VARINT, 5)}, {"attributes": field(9, BYTES, b"")},
                        {"attributes": 2 * field(9, BYTES, self.ATTRIBUTE)}, {"more": field(4, BYTES, b"s" * 8)}, {"more": field(4, BYTES, b"")},
                        {"more": field(99, VARINT, 1)}, {"more": field(5, BYTES, b"b")}, {"more": field(15, BYTES, field(3, VARINT, 3))},
                        {"more": field(15, BYTES, field(2, BYTES, b"a"))}, {"more": b"\x0a\x10t"}, {"more": b"\x80"}):
            with self.assertRaises(otlp.Refused, msg=str(changes)):
                otlp.request(self.request(**changes))
        for body in (b"", field(1, BYTES, b""), field(2, BYTES, b"")):
            with self.assertRaises(otlp.Refused):
                otlp.request(body)


if __name__ == "__main__":
    unittest.main()
