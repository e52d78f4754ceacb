#!/usr/bin/python3
"""Who was let in and stays is looked at again: streams, watches, events and sessions end when what they began with ends."""

import http.client
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../grpc"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from issuer import Issuer, jwks  # noqa: E402
from raw_http2 import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, literal  # noqa: E402
from rig import BIN, PATIENCE_SECONDS, Daemon, Participant  # noqa: E402
from stubs import participant_pb2 as part, transaction_pb2 as tx, types_pb2 as types  # noqa: E402

NAMES = ("initiator", "viewer", "stock", "other", "admin")
RULES = ["allow token:initiator as initiator for bank, stock", "allow token:viewer as viewer with payloads",
         "allow token:stock as participant for stock", "allow token:other as participant for stock",
         "allow token:admin as admin with payloads", "allow jwt:ann as initiator for bank", "allow jwt:ann as viewer"]
# Of JWTs; the clocks may be so far apart.
SKEW_SECONDS = 30
ENDED = object()


class Bytes:
    FromString = bytes


class Stream:
    """Both sides of a stream: what is sent, and what came of it up to its end."""

    def __init__(self, call, reply, requests=None, reads=None):
        """`reads`: he reads one message, and no more before it is set."""
        self.call, self.sent, self.come, self.code, self.reads = call, requests, queue.Queue(), None, reads
        threading.Thread(target=self._read, args=(reply,), daemon=True).start()

    def _read(self, reply):
        try:
            for data in self.call:
                self.come.put(reply.FromString(data))
                if self.reads is not None:
                    self.reads.wait()
            self.code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            self.code, self.words = error.code(), error.details()
        self.come.put(ENDED)

    def next(self):
        return self.come.get(timeout=PATIENCE_SECONDS)

    def end(self):
        while self.next() is not ENDED:
            pass
        return self.code


class Staying(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="assent-staying-")
        self.addCleanup(self.folder.cleanup)
        self.rules, self.tokens_file, keys = (os.path.join(self.folder.name, name) for name in ("rules", "tokens", "keys"))
        self.tokens = {name: self.token(name) for name in NAMES}
        self.issuer = Issuer(self.folder.name, "ec")
        with open(keys, "w", encoding="utf-8") as file:
            file.write(jwks(self.issuer))
        self.write(RULES)
        self.participant = Participant()
        self.addCleanup(self.participant.close)
        self.daemon = Daemon("--unary", f"bank={self.participant.endpoint}", "--auth-rules", self.rules, "--auth-tokens", self.tokens_file,
                             "--auth-jwks", keys, "--auth-jwt-issuer", "https://issuer", "--auth-jwt-audience", "assent")
        self.addCleanup(self.daemon.close)
        self.channel = grpc.insecure_channel(self.daemon.endpoint)
        self.addCleanup(self.channel.close)

    def token(self, name):
        done = subprocess.run([os.path.join(BIN, "assentctl"), "auth", "token", name, "--append", self.tokens_file],
                              capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS)
        return done.stdout.strip()

    def write(self, rules):
        with open(self.rules, "w", encoding="utf-8") as file:
            file.write("\n".join(rules) + "\n")

    def remove_tokens(self, *names):
        with open(self.tokens_file, encoding="utf-8") as file:
            lines = [line for line in file if not line.startswith(names)]
        with open(self.tokens_file, "w", encoding="utf-8") as file:
            file.writelines(lines)

    def log(self):
        with open(self.daemon.log, encoding="utf-8") as file:
            return file.read()

    def reload(self):
        before = self.log().count("event=auth_reload")
        self.daemon.process.send_signal(signal.SIGHUP)
        while self.log().count("event=auth_reload") == before:
            self.assertIsNone(self.daemon.process.poll())
        self.assertNotIn("event=auth_reload_failed", self.log())

    # ---- What stays -------------------------------------------------------------------------------------

    def bearer(self, who):
        return (("authorization", "Bearer " + self.tokens.get(who, who)),)

    def open_both(self, method, who, reply, first=(), reads=None):
        requests = queue.Queue()
        for one in first:
            requests.put(one)
        return Stream(self.channel.stream_stream("/assent.v1." + method)(iter(requests.get, None), metadata=self.bearer(who)), reply, requests, reads)

    def submits(self, who):
        return self.open_both("TransactionService/SubmitStream", who, tx.SubmitReplyFrame)

    def shown(self, method, who, request, reply):
        return Stream(self.channel.unary_stream("/assent.v1." + method)(request, metadata=self.bearer(who)), reply)

    def events(self, who):
        return self.shown("TransactionService/Events", who, b"", Bytes)

    def session(self, who, reads=None):
        hello = part.Hello(version=1, service="stock", instance=who, actions=[part.ActionInfo(name="take", protocol=types.TCC)])
        stream = self.open_both("ParticipantSession/Connect", who, part.CoordinatorFrame, [part.ParticipantFrame(hello=hello).SerializeToString()], reads)
        self.assertTrue(stream.next().HasField("welcome"))
        return stream

    def http_events(self, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=PATIENCE_SECONDS)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/events", headers=headers)
        answer = connection.getresponse()
        self.assertEqual(200, answer.status)
        answer.readline()
        return answer

    @staticmethod
    def spec(gid, service="bank", payload=b"", **more):
        branch = types.BranchSpec(branch_id="1", service=service, action="take", protocol=types.TCC, payload=payload)
        return types.TransactionSpec(gid=gid, branches=[branch], **more)

    def put(self, stream, gid, service="bank", payload=b""):
        request = tx.SubmitRequest(transaction=self.spec(gid, service, payload), request_id=1, wait_for=types.WAIT_ACCEPTED)
        stream.sent.put(tx.SubmitRequestFrame(requests=[request]).SerializeToString())

    def submit(self, stream, gid, service="bank"):
        self.put(stream, gid, service)
        return grpc.StatusCode.OK.value[0] if stream.code else stream.next().replies[0].error_code

    def get(self, gid):
        try:
            data = self.channel.unary_unary("/assent.v1.TransactionService/Get")(tx.GetRequest(gid=gid).SerializeToString(),
                                                                                metadata=self.bearer("admin"), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            return error.code()
        return types.Transaction.FromString(data)

    # ---- The tests --------------------------------------------------------------------------------------

    def test_a_token_that_is_removed_ends_all_that_began_with_it(self):
        submits, told, session = self.submits("initiator"), self.events("viewer"), self.session("stock")
        self.assertEqual(0, self.submit(submits, "before"))
        watched = self.shown("TransactionService/Watch", "initiator", tx.WatchRequest(gid="before").SerializeToString(), types.Transaction)
        self.assertEqual("before", watched.next().gid)
        self.channel.unary_unary("/assent.v1.TransactionService/Begin")(
            tx.BeginRequest(transaction=types.TransactionSpec(gid="open", deadline_ms=600_000)).SerializeToString(),
            metadata=self.bearer("initiator"), timeout=PATIENCE_SECONDS)
        of_open = self.shown("TransactionService/Watch", "initiator", tx.WatchRequest(gid="open").SerializeToString(), types.Transaction)
        self.assertEqual("open", of_open.next().gid)
        over_http = self.http_events({"Authorization": "Bearer " + self.tokens["viewer"]})

        self.reload()  # nothing has changed, and nobody is ended
        self.assertEqual(0, self.submit(submits, "between"))
        self.assertIsNone(session.code)

        self.remove_tokens("initiator", "viewer", "stock")
        self.reload()
        for stream in (submits, told, session, of_open):
            self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, stream.end())
            self.assertIn("not one of this coordinator's", stream.words)
        self.assertIn(b"event: error\n", over_http.read())
        self.put(submits, "after")
        self.assertEqual(grpc.StatusCode.NOT_FOUND, self.get("after"))

    def test_rules_that_are_removed_end_what_they_allowed(self):
        submits, told, session = self.submits("initiator"), self.events("viewer"), self.session("stock")
        self.assertEqual(0, self.submit(submits, "first", "stock"))
        # He may less, and goes on with that; who may no more is ended.
        self.write(["allow token:initiator as initiator for bank", "allow token:viewer as viewer", "allow token:stock as participant for tea",
                    *RULES[3:]])
        self.reload()
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, session.end())
        self.assertIn("may not be a participant of stock", session.words)
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, told.end())
        self.assertIn("may see less", told.words)
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED.value[0], self.submit(submits, "denied", "stock"))
        self.assertEqual(grpc.StatusCode.NOT_FOUND, self.get("denied"))
        self.assertEqual(0, self.submit(submits, "allowed", "bank"))
        self.write(RULES[1:])
        self.reload()
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, submits.end())

    def test_who_is_being_written_to_is_told_why(self):
        """He was cancelled, and told nothing, if a frame was just on its way to him."""
        reads = threading.Event()
        self.addCleanup(reads.set)
        submits, session = self.submits("initiator"), self.session("stock", reads)
        payload = b"x" * 100_000
        for number in range(10):  # more than he is sent without reading
            self.put(submits, f"order-{number}", "stock", payload)
            self.assertEqual(0, submits.next().replies[0].error_code)
        self.write(["allow token:initiator as initiator for stock", "allow token:stock as participant for tea", *RULES[3:]])
        self.reload()
        reads.set()
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, session.end())

    def test_who_reads_nothing_is_cut_off(self):
        """What he is to be told waits behind what he does not take; he is not to have his places for ever."""
        host, port = self.daemon.endpoint.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as peer:
            peer.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))  # he takes no byte of any stream
            header = b"".join(literal(name.encode(), value.encode()) for name, value in (
                (":method", "POST"), (":scheme", "http"), (":path", "/assent.v1.TransactionService/Events"), (":authority", "x"),
                ("te", "trailers"), ("content-type", "application/grpc"), ("authorization", "Bearer " + self.tokens["viewer"])))
            for number in range(1, 16, 2):
                peer.sendall(frame(HEADERS, END_HEADERS, number, header) + frame(DATA, END_STREAM, number, bytes(5)))
            self.until_streams(8)
            submits = self.submits("initiator")
            self.assertEqual(0, self.submit(submits, "an-event"))
            self.remove_tokens("viewer")
            self.reload()
            self.until_streams(1)  # of whoever has submitted

    def until_streams(self, count):
        line = f'assent_calls{{kind="stream"}} {count}\n'
        until = time.monotonic() + PATIENCE_SECONDS
        while line not in (page := self.daemon.ask("GET", "/metrics", None, {"Authorization": "Bearer " + self.tokens["admin"]})[2]):
            self.assertLess(time.monotonic(), until, page)

    def test_a_command_that_was_out_goes_to_somebody_else(self):
        first, submits = self.session("stock"), self.submits("initiator")
        self.assertEqual(0, self.submit(submits, "out", "stock"))
        self.assertEqual("out", first.next().commands[0].gid)
        second = self.session("other")
        self.remove_tokens("stock")
        self.reload()
        self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, first.end())
        while self.get("out").outcome != types.COMMITTED:
            for command in second.next().commands:
                reply = part.BranchReply(gid=command.gid, branch_id=command.branch_id, operation=command.operation, command_id=command.command_id,
                                         kind=part.BranchReply.DONE)
                second.sent.put(part.ParticipantFrame(replies=[reply]).SerializeToString())
                if command.operation == types.CONFIRM:
                    break

    def test_a_jwt_that_expires(self):
        token = self.issuer.jwt("ann", exp=int(time.time()) + 5 - SKEW_SECONDS)
        submits, told = self.submits(token), self.events(token)
        self.assertEqual(0, self.submit(submits, "in-time"))
        for stream in (submits, told):
            self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, stream.end())
            self.assertIn("expired", stream.words)
        self.put(submits, "too-late")
        self.assertEqual(grpc.StatusCode.NOT_FOUND, self.get("too-late"))

    def test_a_logout_ends_the_events_of_its_session(self):
        _, headers, said = self.daemon.ask("POST", "/v1/login", {"token": self.tokens["viewer"]})
        cookie = headers["Set-Cookie"].split(";")[0]
        over_http, by_token = self.http_events({"Cookie": cookie}), self.events("viewer")
        code, _, _ = self.daemon.ask("POST", "/v1/logout", {}, {"Cookie": cookie, "X-Assent-Csrf": said["csrf"]})
        self.assertEqual(200, code)
        told = over_http.read()
        self.assertIn(b"event: error\n", told)
        self.assertIn(b"the session is over", told)
        self.assertIsNone(by_token.code, "the token is as good as before")


if __name__ == "__main__":
    unittest.main()
