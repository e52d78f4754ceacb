#!/usr/bin/python3
"""The HTTP port of a real assentd: what it answers, what it refuses and in which words, who waits and what that costs."""

import base64
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from rig import BIN, PATIENCE_SECONDS, Daemon, Served, order, postgresql, read_all

WAITING = 2000


def until(condition):
    return postgresql.until(condition, PATIENCE_SECONDS, "it did not come to that")


class Calls(Served):
    def test_a_transaction(self):
        code, headers, reply = self.ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order("t-1", labels={"customer": "7"}))
        self.assertEqual((200, "COMMITTED", "FINISHED"), (code, reply["outcome"], reply["state"]))
        self.assertEqual("a2VwdA==", reply["results"]["1"])
        self.assertEqual("application/json", headers["Content-Type"])
        # The same again joins it; other content does not.
        self.assertEqual(200, self.ask("POST", "/v1/transactions", order("t-1", labels={"customer": "7"}))[0])
        code, _, status = self.ask("POST", "/v1/transactions", order("t-1"))
        self.assertEqual((409, 6), (code, status["code"]))
        code, _, shown = self.ask("GET", "/v1/transactions/t-1?results=true&branch_id=1")
        self.assertEqual((200, "t-1", "a2VwdA=="), (code, shown["gid"], shown["branches"][0]["result"]))

    def test_an_open_transaction(self):
        self.assertEqual(200, self.ask("POST", "/v1/transactions:begin", {"gid": "i-1"})[0])
        branch = {"branchId": "pay", "protocol": "TCC", "service": "bank", "action": "debit", "payload": "eA=="}
        code, _, reply = self.ask("POST", "/v1/transactions/i-1/branches", branch)
        self.assertEqual((200, "EXECUTED"), (code, reply["state"]))
        code, _, reply = self.ask("POST", "/v1/transactions/i-1:commit", {"waitFor": "WAIT_COMPLETED"})
        self.assertEqual((200, "COMMITTED"), (code, reply["outcome"]))
        code, _, status = self.ask("POST", "/v1/transactions/i-1:rollback")
        self.assertEqual((400, 9), (code, status["code"]))

    def test_operators(self):
        self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order("o-1", service="nobody", deadlineMs="600000"))
        for verb in ("suspend", "resume", "retry", "abort"):
            code, _, reply = self.ask("POST", f"/v1/transactions/o-1:{verb}", {"action": {"who": "ann", "reason": "because"}})
            self.assertEqual(200, code, reply)
            self.assertTrue(reply["effect"])
        self.ask("POST", "/v1/transactions/o-1:wait", {"waitFor": "WAIT_COMPLETED"})
        _, _, shown = self.ask("GET", "/v1/transactions/o-1")
        self.assertEqual(["suspend", "resume", "retry", "abort"], [one["verb"] for one in shown["interventions"]])
        code, _, status = self.ask("POST", "/v1/transactions/o-1/branches/1:resolve",
                                   {"action": {"who": "ann", "reason": "r"}, "resolution": "DECISION_COMMIT"})
        self.assertEqual(400, code, status)
        self.assertEqual(200, self.ask("POST", "/v1/transactions/o-1:forget", {"action": {"who": "ann"}})[0])
        self.assertEqual(404, self.ask("GET", "/v1/transactions/o-1")[0])

    def test_lists_in_pages(self):
        gids = [f"l-{i}" for i in range(7)]
        for gid in gids:
            self.ask("POST", "/v1/transactions?wait_for=WAIT_COMPLETED", order(gid, labels={"of": "list"}))
        seen, token = [], ""
        while True:
            code, _, page = self.ask("GET", f"/v1/transactions?all=true&labels%5Bof%5D=list&page_size=3&page_token={token}")
            self.assertEqual(200, code, page)
            seen += [one["gid"] for one in page["transactions"]]
            token = page["nextPageToken"]
            if not token:
                break
        self.assertEqual(gids[::-1], seen)
        # The latest may not have left the unfinished ones yet.
        until(lambda: self.ask("GET", "/v1/transactions?gid_prefix=l-")[2]["transactions"] == [])

    def test_participants_and_server(self):
        until(lambda: "bank" in [one["service"] for one in self.ask("GET", "/v1/participants")[2]["participants"]])
        code, _, server = self.ask("GET", "/v1/server")
        self.assertEqual(200, code)
        self.assertEqual("", server["refusing"])

    def test_health(self):
        self.assertEqual((200, "alive\n"), self.ask("GET", "/livez")[::2])
        code, _, text = self.ask("GET", "/readyz?verbose")
        self.assertEqual(200, code)
        self.assertRegex(text, r"\A\[\+\]start: done\n\[\+\]work: taken\n\[\+\]drain: no\n\[\+\]log: written in \d+ ms\nready\n\Z")
        self.assertEqual((200, "ready\n"), self.ask("GET", "/readyz")[::2])
        self.assertEqual((200, "ready\n"), self.ask("GET", "/readyz?verbose=0")[::2])

    def test_by_its_address_in_the_target(self):
        said = self.daemon.say(b"GET http://localhost:%d/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % self.daemon.port)
        self.assertTrue(said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"alive\n"), said)

    def test_a_head_has_no_body(self):
        connection = self.daemon.connect()
        connection.request("HEAD", "/livez")
        response = connection.getresponse()
        self.assertEqual((200, "6", b""), (response.status, response.getheader("Content-Length"), response.read()))
        connection.request("GET", "/livez")  # the connection goes on
        self.assertEqual(200, self.daemon.take(connection)[0])
        connection.close()

    def test_one_connection_takes_many_requests_also_at_once(self):
        with self.daemon.raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50) as connected:
            connected.shutdown(socket.SHUT_WR)
            self.assertEqual(50, read_all(connected).count(b"alive\n"))


class Watching(Served):
    def test_events_until_the_end(self):
        self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order("w-1", service="nobody", deadlineMs="600000"))
        connection = self.daemon.connect()
        connection.request("GET", "/v1/transactions/w-1:watch")
        response = connection.getresponse()
        self.assertEqual("text/event-stream", response.getheader("Content-Type"))
        lines = iter(response.readline, b"")
        event = next(line for line in lines if line.startswith(b"event: "))
        self.assertEqual(b"event: transaction\n", event)
        self.assertEqual("ACTIVE", json.loads(next(lines).removeprefix(b"data: "))["state"])
        head = self.daemon.raw(b"HEAD /v1/transactions/w-1:watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = read_all(head)
        head.close()
        self.assertTrue(said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"\r\n\r\n"), said)
        self.ask("POST", "/v1/transactions/w-1:abort", {"action": {"who": "ann", "reason": "r"}})
        rest = b"".join(lines).decode()
        self.assertIn('"outcome":"ABORTED"', rest)
        self.assertTrue(rest.endswith("event: end\nid: end\ndata: {}\n\n"), rest[-100:])
        connection.close()
        self.assertEqual(204, self.ask("GET", "/v1/transactions/w-1:watch", headers={"Last-Event-ID": "end"})[0])
        self.assertEqual(404, self.ask("GET", "/v1/transactions/nobody:watch")[0])

    def test_hundreds_of_streams_hold_no_thread(self):
        for i in range(5):
            self.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", order(f"h-{i}", service="nobody", deadlineMs="600000"))
        threads = self.daemon.threads()
        request = "GET /v1/transactions/h-%d:watch HTTP/1.1\r\nHost: localhost\r\n\r\n"
        streams = [self.daemon.raw((request % (i % 5)).encode()) for i in range(300)]
        for stream in streams:
            said = b""
            while b"event: transaction" not in said:
                said += stream.recv(65536)
        self.assertLessEqual(self.daemon.threads(), threads + 8)  # gRPC's own pool comes and goes
        for stream in streams:
            stream.close()


class Refused(Served):
    """Each limit has its own answer."""

    def code(self, said):
        self.assertTrue(said.startswith(b"HTTP/1.1 "), said)
        head, _, body = said.partition(b"\r\n\r\n")
        self.assertIn(b"Connection: close", head)
        return int(said[9:12]), json.loads(body)["message"]

    def test_what_is_no_http(self):
        for data in (b"hello\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                     b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n", b"GET /livez HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                     b"GET /livez HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            self.assertEqual(400, self.code(self.daemon.say(data))[0], data)
        # Nothing at all is no request.
        with self.daemon.raw() as connected:
            connected.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", read_all(connected))

    def test_a_header_that_is_too_large(self):
        self.assertEqual((431, "the header has too many bytes, the limit is 16384"), self.code(
            self.daemon.say(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")))

    def test_a_target_that_is_too_long(self):
        code, said = self.code(self.daemon.say(b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        self.assertEqual((414, "the target has 9001 bytes, the limit is 8192"), (code, said))

    def test_a_body_that_is_too_large(self):
        head = b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.assertEqual(413, self.code(self.daemon.say(head % (6 * 1024 * 1024 + 1)))[0])
        self.assertEqual(413, self.code(self.daemon.say(head % (1 << 62)))[0])
        # Of what can only be small less is taken.
        self.assertEqual((413, "the body has 65537 bytes, the limit is 65536"), self.code(
            self.daemon.say((head % 65537).replace(b"/v1/transactions", b"/v1/transactions/g:abort"))))
        self.assertEqual(413, self.code(self.daemon.say((head % (2 * 1024 * 1024 + 1)).replace(
            b"/v1/transactions", b"/v1/transactions/g/branches")))[0])

    def test_a_target_in_absolute_form_has_the_same_limits(self):
        """It had the general one, since nobody found its path: a submit of more than 64 KiB was refused."""
        head = b"POST http://localhost%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
        payload = base64.b64encode(b"x" * 100_000).decode()
        body = json.dumps(order("absolute", labels={"form": "absolute"})).replace('"action": "debit"', f'"action": "debit", "payload": "{payload}"').encode()
        self.assertGreater(len(body), 2 * 65536)
        said = self.daemon.say(head % (b"/v1/transactions?wait_for=WAIT_ACCEPTED", len(body), body))
        self.assertTrue(said.startswith(b"HTTP/1.1 200 "), said)
        self.assertEqual((413, "the body has 65537 bytes, the limit is 65536"), self.code(
            self.daemon.say(head % (b"/v1/transactions/g:abort", 65537, b""))))
        self.assertEqual(413, self.code(self.daemon.say(head % (b"/v1/transactions", 6 * 1024 * 1024 + 1, b"")))[0])

    def test_a_body_without_a_size(self):
        head = b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(411, self.code(self.daemon.say(head + b"2\r\n{}\r\n0\r\n\r\n"))[0])

    def test_the_largest_body_is_read_to_be_refused_by_the_wires_limit(self):
        payload = "QUFB" * (350 * 1024)  # a MiB and more
        body = order("big")
        body["branches"][0]["payload"] = payload
        code, _, status = self.ask("POST", "/v1/transactions", body)
        self.assertEqual((400, 3), (code, status["code"]))
        self.assertIn("payload", status["message"])

    def test_who_waits_for_a_word_before_the_body(self):
        body = json.dumps(order("expect")).encode()
        head = (f"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        with self.daemon.raw(head.encode()) as connected:
            self.assertEqual(b"HTTP/1.1 100 Continue\r\n\r\n", connected.recv(25, socket.MSG_WAITALL))
            connected.sendall(body)
            self.assertTrue(read_all(connected).startswith(b"HTTP/1.1 200 "))

    def test_large_bodies_of_very_many_small_things(self):
        """Eight of them took seven seconds and 1.8 GB, and /livez waited behind them."""
        size = 6 * 1024 * 1024 - 100
        for head, one, end in (('{"branches":[', "{},", "{}]}"), ('{"branches":[{"after":[', '"",', '""]}]}'), ("[", "[", "]"),
                               ('{"gid":"', "\\n", '"}'), ("", " ", "{}")):
            body = head + one * ((size - len(head)) // len(one)) + end
            codes = []
            crowd = [threading.Thread(target=lambda: codes.append(self.ask("POST", "/v1/transactions", body)[0])) for _ in range(8)]
            for one in crowd:
                one.start()
            self.assertEqual(200, self.ask("GET", "/livez")[0])
            for one in crowd:
                one.join()
            self.assertEqual([400] * 8, codes)
        self.assertLess(self.daemon.resident_kib("VmHWM"), 400 * 1024)

    def test_bad_requests(self):
        for target, body in (("/v1/transactions", "{"), ("/v1/transactions", "[]"), ("/v1/transactions", '{"gid": 7, "x": 1}'),
                             ("/v1/transactions", "[" * 100_000), ("/v1/transactions", '{"gid": "\\ud800"}'),
                             ("/v1/transactions", b'{"gid": "\xff"}'), ("/v1/transactions", "{'gid': 'g'}"),
                             ("/v1/transactions", '{"gid": "a", "gid": "b"}'), ("/v1/transactions", '{"branches": [null]}'),
                             ("/v1/transactions", '{"branches": [],}'), ("/v1/transactions?timeout_ms=1&timeout_ms=2", "{}"), ("/v1/transactions?wait_for=LONG", "{}"),
                             ("/v1/transactions", '{"branches": [{"protocol": 99}]}'), ("/v1/transactions/a%20b:wait", "{}")):
            code, _, status = self.ask("POST", target, body)
            self.assertEqual((400, 3), (code, status["code"]), (target, body, status))

    def test_the_time_of_a_call(self):
        began = time.monotonic()
        code, _, status = self.ask("POST", "/v1/transactions?timeout_ms=50", order("slow", service="nobody", deadlineMs="600000"))
        self.assertEqual((504, 4), (code, status["code"]))
        self.assertGreaterEqual(time.monotonic() - began, 0.05)
        self.assertEqual("ACTIVE", self.ask("GET", "/v1/transactions/slow")[2]["state"])


class Slow(unittest.TestCase):
    def test_a_header_that_does_not_come(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        said = daemon.say(b"GET /livez HTTP/1.1\r\nHost: loc")  # until we are told
        self.assertTrue(said.startswith(b"HTTP/1.1 408 "), said)

    def test_connections_beyond_the_limit_are_told_so(self):
        daemon = Daemon("--max-http-connections", "8")  # four from one address
        self.addCleanup(daemon.close)
        four = []
        for _ in range(4):
            four.append(daemon.connect())
            four[-1].request("GET", "/livez")
            self.assertEqual(200, daemon.take(four[-1])[0])
        code, headers, status = daemon.ask("GET", "/livez")
        self.assertEqual((429, 8, "1"), (code, status["code"], headers["Retry-After"]))
        # Many more at once: some are told, none gets in, and those who are there are served.
        crowd = [daemon.raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(200)]
        said = [read_all(one) for one in crowd]
        for one in crowd:
            one.close()
        self.assertTrue(all(one == b"" or one.startswith(b"HTTP/1.1 429 ") for one in said))
        four[0].request("GET", "/livez")
        self.assertEqual(200, daemon.take(four[0])[0])
        for one in four:
            one.close()
        until(lambda: daemon.ask("GET", "/livez")[0] == 200)

    def test_two_thousand_wait_and_hold_no_thread(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        def wait_for_all(round_number):
            waiting = []
            for i in range(WAITING):
                gid = f"r{round_number}-{i}"
                body = json.dumps(order(gid, service="nobody", deadlineMs="600000"))
                waiting.append((gid, daemon.raw((f"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                                 f"Content-Length: {len(body)}\r\n\r\n{body}").encode())))
            until(lambda: int(daemon.ask("GET", "/v1/server")[2]["active"]) >= WAITING)
            threads, memory = daemon.threads(), daemon.resident_kib()
            self.assertEqual([], select.select([one for _, one in waiting[:500]], [], [], 0)[0])
            operator = daemon.connect()
            for gid, _ in waiting:
                operator.request("POST", f"/v1/transactions/{gid}:abort", json.dumps({"action": {"who": "ann", "reason": "r"}}),
                                 {"Content-Type": "application/json"})
                self.assertEqual(200, daemon.take(operator)[0])
            operator.close()
            for _, one in waiting:
                said = one.recv(65536)
                self.assertTrue(said.startswith(b"HTTP/1.1 200 ") and b"ABORTED" in said, said)
                one.close()
            return threads, memory
        daemon.ask("GET", "/readyz")
        before = daemon.threads()
        first = wait_for_all(0)
        second = wait_for_all(1)
        third = wait_for_all(2)
        self.assertLessEqual(max(first[0], second[0], third[0]), before + 8)  # gRPC's own pool comes and goes
        # Flat: a round costs no more than the history that it leaves (about a KiB each).
        self.assertLess(third[1] - second[1], 8 * 1024, (first, second, third))

    def test_who_leaves_is_not_waited_for(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        body = json.dumps(order("left", service="nobody", deadlineMs="600000"))
        many = [daemon.raw((f"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()) for _ in range(50)]
        # Some have said more by then, which is left for later.
        many += [daemon.raw((f"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                             f"Content-Length: {len(body)}\r\n\r\n{body}GET /livez").encode()) for _ in range(50)]
        until(lambda: daemon.connections() == 100)
        until(lambda: int(daemon.ask("GET", "/v1/server")[2]["active"]) == 1)
        for one in many[:50]:  # and some say it only when they wait
            one.sendall(b"GET /livez HTTP/1.1\r\n")
        for one in many:
            one.close()
        until(lambda: daemon.connections() == 0)

    def test_who_says_more_while_he_waits_is_answered_in_turn(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        body = json.dumps(order("more", service="nobody", deadlineMs="600000"))
        waiting = daemon.raw((f"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                              f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        until(lambda: int(daemon.ask("GET", "/v1/server")[2]["active"]) == 1)
        waiting.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertEqual(200, daemon.ask("POST", "/v1/transactions/more:abort", {"action": {"who": "ann", "reason": "r"}})[0])
        said = read_all(waiting)
        waiting.close()
        self.assertTrue(b"ABORTED" in said and said.endswith(b"alive\n"), said)

    def test_one_who_does_not_read_costs_nobody_else(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        body = order("large", service="nobody", deadlineMs="600000")
        body["branches"][0]["payload"] = "QUFB" * 200_000
        self.assertEqual(200, daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED", body)[0])
        deaf = [daemon.raw(b"GET /v1/transactions/large?payloads=true HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(100)]
        for _ in range(20):
            self.assertEqual(200, daemon.ask("GET", "/v1/transactions/large?payloads=true")[0])
        for one in deaf:
            one.close()


class Life(unittest.TestCase):
    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = subprocess.run([os.path.join(BIN, "assentd"), "--listen", "127.0.0.1:0", "--http-listen", address, "--data",
                                   "/nonexistent/data"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual(69, done.returncode)
        self.assertIn(f"cannot listen on {address}: Address already in use", done.stderr)
        self.assertIn("Choose another address with --http-listen (none: no HTTP)", done.stderr)

    def test_while_the_log_is_being_opened_it_lives_and_is_not_ready(self):
        with socket.socket() as silent, socket.socket() as free:  # a database that takes the call and says nothing
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            free.close()
            process = subprocess.Popen([os.path.join(BIN, "assentd"), "--listen", "127.0.0.1:0", "--advertise", "127.0.0.1:1", "--http-listen",
                                        f"127.0.0.1:{port}", "--log", f"postgresql://a@127.0.0.1:{silent.getsockname()[1]}/a?connect_timeout=60"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                def ask(target):
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
                    try:
                        connection.request("GET", target)
                        return Daemon.take(connection)
                    except OSError:
                        return None, None, None
                    finally:
                        connection.close()
                until(lambda: ask("/livez")[0] == 200)
                code, headers, text = ask("/readyz")
                self.assertEqual((503, "1"), (code, headers["Retry-After"]))
                self.assertRegex(text, r"\A\[-\]start: (the log is being opened|recovering: 0 unfinished transactions have been read so far)\n"
                                       r"\[-\]log: not open yet\nnot ready\n\Z")
                code, _, status = ask("/v1/server")
                self.assertEqual((503, 14), (code, status["code"]))
                self.assertEqual(200, ask("/v1/openapi.json")[0])
            finally:
                process.kill()
                process.wait()

    def test_none_is_none(self):
        for none in ("none", ""):
            with Nothing(none) as daemon:
                self.assertNotIn("http", daemon.card)

    def test_draining_is_not_ready_and_who_waits_is_told(self):
        daemon = Daemon("--drain-seconds", "3600")
        self.addCleanup(daemon.close)
        body = json.dumps(order("waits", service="nobody", deadlineMs="600000"))
        waiting = daemon.raw((f"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                              f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        until(lambda: int(daemon.ask("GET", "/v1/server")[2]["active"]) == 1)
        # One that waits for its initiator: who only waits for a service that is away is not waited for.
        self.assertEqual(200, daemon.ask("POST", "/v1/transactions:begin", {"gid": "open", "deadlineMs": "600000"})[0])
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: daemon.ask("GET", "/readyz")[0] == 503)
        code, headers, text = daemon.ask("GET", "/readyz?verbose")
        self.assertIn("[-]work: refused: it is stopping", text)
        self.assertIn("[-]drain: stopping: 2 unfinished transactions are left here", text)
        self.assertEqual("1", headers["Retry-After"])
        self.assertEqual(200, daemon.ask("GET", "/livez")[0])
        self.assertEqual(503, daemon.ask("POST", "/v1/transactions", order("late"))[0])
        daemon.process.send_signal(signal.SIGTERM)  # at once
        said = read_all(waiting)
        waiting.close()
        self.assertTrue(said.startswith(b"HTTP/1.1 503 ") and b"this coordinator is stopping" in said, said)
        self.assertEqual(0, daemon.process.wait(PATIENCE_SECONDS))
        # The next start goes on with it.
        daemon.process.stdout.close()
        daemon.start()
        self.assertEqual("ACTIVE", daemon.ask("GET", "/v1/transactions/waits")[2]["state"])

    def test_requests_during_a_stop_have_an_answer_or_none(self):
        daemon = Daemon("--drain-seconds", "0")
        self.addCleanup(daemon.close)
        stopped, wrong = threading.Event(), []
        def ask_on():
            while not stopped.is_set():
                try:
                    code = daemon.ask("POST", "/v1/transactions?wait_for=WAIT_ACCEPTED&timeout_ms=1000", order("", service="nobody"))[0]
                    if code not in (200, 503, 504):
                        wrong.append(code)
                except (OSError, http.client.HTTPException):
                    pass
        threads = [threading.Thread(target=ask_on) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: int(daemon.ask("GET", "/v1/server")[2]["begun"]) > 50)
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(0, daemon.process.wait(PATIENCE_SECONDS))
        stopped.set()
        for thread in threads:
            thread.join()
        self.assertEqual([], wrong)


class Nothing:
    """A daemon without HTTP, until its card is there."""

    def __init__(self, none):
        self.none = none

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([os.path.join(BIN, "assentd"), "--listen", "127.0.0.1:0", "--http-listen", self.none, "--data",
                                         self.folder.name + "/data"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.card = ""
        for line in self.process.stdout:
            self.card += line
            if "see " in line:
                break
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()


if __name__ == "__main__":
    unittest.main(verbosity=2)
