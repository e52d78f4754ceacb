#!/usr/bin/python3
"""Policies of services: a real assentd, its file of policies, and participants that are slow, silent or busy."""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../support"), os.path.join(HERE, "../ctl"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from daemon import BIN, Ctl, CtlTest, Daemon, free_port  # noqa: E402
from stubs import participant_pb2, participant_pb2_grpc  # noqa: E402

SOON = {"initial_backoff": "10ms", "max_backoff": "50ms"}
REPLY = participant_pb2.BranchReply


class Instance(participant_pb2_grpc.ParticipantServicer):
    """Says `kind`; or nothing, as long as `silent` is set."""

    def __init__(self):
        self.asked = []
        self.kind = REPLY.DONE
        self.silent = None
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=64))
        participant_pb2_grpc.add_ParticipantServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Execute(self, request, context):  # noqa: N802
        self.asked.append(request.gid)
        if self.silent:
            self.silent.wait(60)
            context.abort(grpc.StatusCode.UNKNOWN, "it was silent")
        return REPLY(gid=request.gid, branch_id=request.branch_id, operation=request.operation, kind=self.kind)

    def close(self):
        if self.silent:
            self.silent.set()
        self._server.stop(0).wait()


class Policies(CtlTest):
    PATIENCE_SECONDS = 60

    def setUp(self):
        self.gids = 0
        self.instances = [Instance(), Instance()]
        for one in self.instances:
            self.addCleanup(one.close)

    def serve(self, text, *more):
        self.file = os.path.join(self.folder(), "policies.toml")
        self.write(text)
        unary = [word for one in self.instances for word in ("--unary", f"pay={one.address}")]
        self.daemon = Daemon("--service-policies", self.file, *unary, *more)
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        self.until(lambda: all(i.get("connected_unix_ms") for i in self.shown()["instances"]))

    def folder(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return made.name

    def write(self, text):
        with open(self.file, "w") as file:
            file.write(text)

    def shown(self):
        return self.expect(0, "participants", "-o", "json").json["participants"][0]

    def breaker(self, one):
        return next(i["breaker"] for i in self.shown()["instances"] if i["address"] == one.address)

    def submit(self, count=1, until="completed", timeout_ms=10_000):
        gids = []
        for _ in range(count):
            self.gids += 1
            gids.append(f"g{self.gids}")
            body = {"branches": [{"protocol": "saga", "service": "pay", "action": "act", "retry": SOON, "attempt_timeout": f"{timeout_ms}ms"}]}
            self.expect(0, "submit", "--gid", gids[-1], "--for", until, stdin=json.dumps(body))
        return gids

    def test_who_is_silent_is_left_alone_and_tried_again(self):
        self.serve("breaker = true\nbreaker-min-calls = 5\nbreaker-open-ms = 100\n")
        sick, sound = self.instances
        sick.silent = threading.Event()
        self.submit(30, until="accepted", timeout_ms=200)
        self.until(lambda: self.breaker(sick)["state"] != "closed")
        self.assertRegex(self.breaker(sick)["why"], r"\d+ of \d+ calls in 10000 ms had no reply|a call that tried it had no reply")
        self.assertEqual("closed", self.breaker(sound)["state"])
        self.assertRegex(self.expect(0, "participants", "-o", "wide").out, r"(open|half open): ")
        for n in range(1, self.gids + 1):
            self.expect(0, "wait", f"g{n}", "--for", "completed")
        sick.silent.set()
        sick.silent = None
        self.until(lambda: self.submit() and self.breaker(sick)["state"] == "closed")
        self.assertGreaterEqual(int(self.breaker(sick)["opened"]), 1)

    def test_a_person_leaves_one_alone(self):
        self.serve("")
        one, other = self.instances
        done = self.expect(0, "breaker", "open", "pay", one.address, "--reason", "its disk")
        self.assertIn(f"pay at {one.address}: gets nothing new", done.out)
        self.submit(6)
        self.assertEqual([], one.asked)
        self.assertIn("2; 1 left alone", self.expect(0, "participants").out)
        self.assertIn("open: by hand", self.expect(0, "participants", "-o", "wide").out)
        self.assertIn("(dry run)", self.expect(0, "breaker", "open", "pay", "--dry-run").out)
        self.submit(1)
        self.expect(0, "breaker", "open", "pay")
        gid, = self.submit(1, until="accepted")
        self.assertIn("2; breaker open", self.expect(0, "participants").out)
        self.expect(0, "breaker", "auto", "pay")
        self.expect(0, "breaker", "auto", "pay", one.address)
        self.expect(0, "wait", gid, "--for", "completed")
        self.submit(6)
        self.assertNotEqual([], one.asked)
        self.assertIn("no participant pay at nobody", self.expect(4, "breaker", "open", "pay", "nobody").err)
        self.expect(4, "breaker", "open", "none")
        self.expect(2, "breaker", "open", "a b")
        record = self.expect(0, "audit").out
        self.assertIn("breaker-open", record)
        self.assertIn("its disk", record)

    def test_a_slow_one_is_hedged(self):
        http = f"127.0.0.1:{free_port()}"
        self.serve("hedge-after-ms = 50\n", "--http-listen", http)
        slow, _ = self.instances
        slow.silent = threading.Event()
        self.submit(4)
        self.assertNotEqual([], slow.asked)
        with urllib.request.urlopen(f"http://{http}/metrics", timeout=30) as page:
            hedged = re.search(r'^assent_participant_hedged_total\{service="pay"\} (\d+)$', page.read().decode(), re.M)
        self.assertGreaterEqual(int(hedged[1]), 1)

    def test_not_now_is_asked_of_the_next(self):
        self.serve('on-not-now = "next"\n')
        busy, free = self.instances
        busy.kind = REPLY.RETRY_LATER
        for gid in self.submit(6):
            self.assertIn(gid, free.asked)
            self.assertEqual(1, len(self.expect(0, "show", gid, "-o", "json").json["branches"][0]["attempts"]), gid)
        self.assertNotEqual([], busy.asked)

    def test_the_file_is_read_again(self):
        self.serve('[pay]\nselect = "hash"\n')
        self.assertEqual("select=hash hash-by=gid", self.shown()["policy"])
        self.write('[pay]\nselect = "fastest"\n')
        self.daemon.signal(signal.SIGHUP)
        self.until(lambda: "event=policies_reload_failed" in self.daemon.log())
        self.assertIn("policies.toml:2: select takes one of", self.daemon.log())
        self.assertEqual("select=hash hash-by=gid", self.shown()["policy"])
        self.write('[pay]\nselect = "random"\nconcurrency = 7\n')
        self.daemon.signal(signal.SIGHUP)
        self.until(lambda: self.shown()["policy"] == "select=random concurrency=7")
        self.assertEqual({7}, {i["limit"] for i in self.shown()["instances"]})
        self.submit(3)

    def test_a_file_that_is_wrong_is_no_start(self):
        path = os.path.join(self.folder(), "wrong.toml")
        with open(path, "w") as file:
            file.write("slow-start = -1\n")
        for bad, words in ((path, "wrong.toml:1: slow-start takes a whole number from 0 to 65536"), ("/nowhere.toml", "service-policies is /nowhere.toml")):
            for more in ((), ("--check-config",)):
                done = subprocess.run([os.path.join(BIN, "assentd"), "--data", self.folder(), "--listen", "127.0.0.1:0", "--service-policies", bad, *more],
                                      capture_output=True, text=True, timeout=60)
                self.assertEqual(2, done.returncode, done)
                self.assertIn(words, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
