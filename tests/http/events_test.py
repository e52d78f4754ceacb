#!/usr/bin/python3
"""GET /v1/events of a real assentd: from an id on, by many at a time."""

import json
import re
import unittest

from rig import Served, order


class Events(Served):
    def lines_of(self, target, headers=None):
        """The lines of a stream as they come, and what ends it."""
        connection = self.daemon.connect()
        connection.request("GET", target, headers=headers or {})
        response = connection.getresponse()
        self.assertEqual((200, "text/event-stream"), (response.status, response.getheader("Content-Type")))
        return (line.decode().rstrip("\n") for line in iter(response.readline, b"")), connection

    def test_what_happens_from_an_id_on(self):
        following, connection = self.lines_of("/v1/events?gid_prefix=e-")
        position = next(line for line in following if line.startswith("id: ")).removeprefix("id: ")
        self.ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order("e-1"))
        events = []
        ids = []
        for line in following:
            if line.startswith("id: "):
                ids.append(line.removeprefix("id: "))
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                if events[-1]["kind"] == "ENDED":
                    break
        connection.close()
        self.assertEqual(["BEGAN", "DECIDED", "ENDED"], [event["kind"] for event in events])
        self.assertEqual([event["sequence"] for event in events], ids)
        self.assertEqual({"e-1"}, {event["gid"] for event in events})
        # As an EventSource does that lost its connection behind the first of them: it repeats its query.
        again, connection = self.lines_of("/v1/events?gid_prefix=e-&once=true&after=" + position, {"Last-Event-ID": ids[0]})
        text = "\n".join(again)
        connection.close()
        self.assertEqual(ids[1:], re.findall(r"^event: event\nid: (\S+)$", text, re.M))
        self.assertNotIn("event: missed", text)
        self.assertTrue(text.endswith("event: end\nid: end\ndata: {}\n"), text)
        self.assertEqual(204, self.ask("GET", "/v1/events", headers={"Last-Event-ID": "end"})[0])

    def test_what_is_of_an_earlier_start_is_missed(self):
        lines, connection = self.lines_of("/v1/events?once=true&needs_operator=true", {"Last-Event-ID": "1.5"})
        text = "\n".join(lines)
        connection.close()
        self.assertIn('event: missed\ndata: {"after":"1.5","through":"","otherStart":true}\n', text)
        code, _, status = self.ask("GET", "/v1/events", headers={"Last-Event-ID": "five"})
        self.assertEqual((400, 3), (code, status["code"]))
        self.assertIn("EPOCH.N", status["message"])
        self.assertEqual(400, self.ask("GET", "/v1/events?kinds=x")[0])

    def test_a_hundred_followers_hold_one_thread_and_hear_the_same(self):
        request = b"GET /v1/events?gid_prefix=f- HTTP/1.1\r\nHost: localhost\r\n\r\n"
        streams = [self.daemon.raw(request) for _ in range(100)]
        said = [b""] * len(streams)

        def hear(what):
            for i, stream in enumerate(streams):
                while what not in said[i]:
                    said[i] += stream.recv(65536)

        hear(b"id: ")
        threads = self.daemon.threads()
        self.ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order("f-1"))
        hear(b'"kind":"ENDED"')
        self.assertLessEqual(self.daemon.threads(), threads + 8)
        for stream in streams:
            stream.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
