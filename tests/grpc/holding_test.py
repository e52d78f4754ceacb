#!/usr/bin/python3
"""What callers make the daemon hold: each asks for a lot, or asks and never reads. The daemon's memory stays within what its
limits say, whoever has too much is told, and a healthy client notices nothing. Each failed before there were the limits.
"""

import contextlib
import os
import struct
import sys
import time
import unittest

import grpc

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ctl"))
from daemon import Daemon  # noqa: E402
from raw_http2 import Http2  # noqa: E402
from wire import DONE, Session, branch, connect, part, spec, tx, tx_grpc, types  # noqa: E402

SERVICE = "/assent.v1.TransactionService/"
MIB = 1024  # in the KiB of /proc
MAX_MESSAGE = 4 * 1024 * 1024


class Holding(unittest.TestCase):
    ARGUMENTS = ("--max-unread-mib", "32", "--max-transport-mib", "128")

    def setUp(self):
        # AddressSanitizer keeps what was freed: that is no memory that the daemon holds.
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
        self.daemon = Daemon(*self.ARGUMENTS)
        self.addCleanup(self.daemon.close)
        self.channel = self.enterContext(connect(self.daemon.endpoint))
        self.api = tx_grpc.TransactionServiceStub(self.channel)
        self.api.GetServerInfo(tx.GetServerInfoRequest(), timeout=20)
        self.before = self.rss()

    def tearDown(self):
        self.assertIsNone(self.daemon._process.poll(), "the daemon died")

    def rss(self):
        with open(f"/proc/{self.daemon._process.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def grown(self):
        return (self.rss() - self.before) // MIB

    def http2(self, **more):
        peer = Http2(self.daemon.endpoint, **more)
        self.addCleanup(peer.close)
        return peer

    def healthy(self):
        """A client that does nothing wrong gets in, and its transaction commits."""
        session = Session(self.daemon.endpoint, "healthy")
        self.assertTrue(session.welcome.wait(20))
        with connect(self.daemon.endpoint) as channel:
            reply = tx_grpc.TransactionServiceStub(channel).Submit(
                tx.SubmitRequest(transaction=spec("", branch("healthy")), wait_for=types.WAIT_COMPLETED), timeout=20)
        session.close()
        self.assertEqual(types.COMMITTED, reply.outcome)

    def large(self, gid="large"):
        """A transaction of 2.7 MB that waits for its participant."""
        branches = [branch("absent", branch_id=str(i), payload=b"p" * 900_000) for i in range(3)]
        self.api.Submit(tx.SubmitRequest(transaction=spec(gid, *branches, deadline_ms=600_000), wait_for=types.WAIT_ACCEPTED), timeout=20)

    def status(self, call):
        """How a call or stream ended."""
        try:
            list(call)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return "OK", ""

    def test_watchers_that_never_read(self):
        """Fifty on one transaction of 2.7 MB had taken 420 MiB."""
        self.large()
        request = tx.WatchRequest(gid="large", payloads=True, results=True).SerializeToString()
        deaf = [self.http2() for _ in range(5)]
        for peer in deaf:
            for _ in range(12):
                self.assertIsNotNone(peer.call(SERVICE + "Watch", request))
        for i in range(20):  # changes, that each of them ought to be told
            action = tx.OperatorAction(gid="large", who="ada", reason="again")
            (self.api.Suspend if i % 2 == 0 else self.api.Resume)(
                (tx.SuspendRequest if i % 2 == 0 else tx.ResumeRequest)(action=action), timeout=20)
        self.healthy()
        self.assertLess(self.grown(), 90, "32 MiB may wait to be read")

    def test_a_watcher_that_reads_late_is_told_the_latest(self):
        self.large()
        watch = self.api.Watch(tx.WatchRequest(gid="large", payloads=True))
        self.assertFalse(next(watch).suspended)
        for i in range(20):
            self.api.Suspend(tx.SuspendRequest(action=tx.OperatorAction(gid="large", who="ada")), timeout=20)
            self.api.Resume(tx.ResumeRequest(action=tx.OperatorAction(gid="large", who="ada")), timeout=20)
        self.api.Suspend(tx.SuspendRequest(action=tx.OperatorAction(gid="large", who="last")), timeout=20)
        for state in watch:
            if state.suspended and state.interventions[-1].who == "last":
                break
        watch.cancel()

    def test_watches_and_streams_are_counted(self):
        self.large()
        watches = [self.api.Watch(tx.WatchRequest(gid="large")) for _ in range(64)]
        for watch in watches:
            next(watch)
        code, said = self.status(self.api.Watch(tx.WatchRequest(gid="large")))
        self.assertEqual("RESOURCE_EXHAUSTED", code)
        self.assertRegex(said, "64 watches are open on this transaction, the limit.*try again")
        for watch in watches:
            watch.cancel()
        peer = self.http2()
        for _ in range(4000):
            peer.open(SERVICE + "SubmitStream")
        peer.socket.settimeout(0.5)
        while peer.receive():
            pass
        self.assertEqual(4000 - 256, len(peer.ended))
        self.assertLess(self.grown(), 160)
        self.healthy()

    def test_answers_that_are_never_read(self):
        """Each Get of 2.7 MB that nobody reads was kept as long as its connection."""
        self.large()
        request = tx.GetRequest(gid="large", payloads=True).SerializeToString()
        peers = [self.http2() for _ in range(4)]
        for peer in peers:
            for _ in range(100):
                self.assertIsNotNone(peer.call(SERVICE + "Get", request))
        self.healthy()
        self.assertLess(self.grown(), 90)
        # Who has not read for a while makes room for who does.
        end = time.monotonic() + 20
        while True:
            try:
                self.assertEqual(900_000, len(self.api.Get(tx.GetRequest(gid="large", payloads=True), timeout=20).branches[0].spec.payload))
                break
            except grpc.RpcError as error:
                self.assertEqual("RESOURCE_EXHAUSTED", error.code().name)
                self.assertRegex(error.details(), "has no room: too much has been asked.*not been read")
                self.assertLess(time.monotonic(), end)
                time.sleep(0.25)

    def test_replies_on_a_stream_that_are_never_read(self):
        """The stream was read no further, but for 16,384 submits of up to 2 MiB of results each."""
        def answer(command):  # each in a frame of its own: together they would be larger than one may be
            session.send(replies=[part.BranchReply(gid=command.gid, branch_id=command.branch_id, operation=command.operation,
                                                   command_id=command.command_id, kind=DONE, result=b"r" * 200_000)])

        session = Session(self.daemon.endpoint, "wordy", answer)
        self.addCleanup(session.close)
        self.assertTrue(session.welcome.wait(20))
        peer = self.http2()
        stream = peer.open(SERVICE + "SubmitStream")
        for i in range(20):
            frame = tx.SubmitRequestFrame(requests=[tx.SubmitRequest(
                request_id=n, wait_for=types.WAIT_COMPLETED,
                transaction=spec(f"wordy-{i}-{n}", *[branch("wordy", branch_id=str(b)) for b in range(5)])) for n in range(10)]).SerializeToString()
            peer.send(stream, b"\0" + struct.pack(">I", len(frame)) + frame)
        self.healthy()
        end = time.monotonic() + 60
        while self.api.GetServerInfo(tx.GetServerInfoRequest(), timeout=20).committed < 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        # What was kept is what comes now: of 200 MiB no more than may wait, and then the end.
        self.assertLess(peer.read_all(stream), 20_000_000)

    def test_calls_that_wait(self):
        self.large()
        waits = [self.api.Wait.future(tx.WaitRequest(gid="large", wait_for=types.WAIT_COMPLETED), timeout=60) for _ in range(4500)]
        refused = {}
        end = time.monotonic() + 30
        while not refused and time.monotonic() < end:
            refused = {wait.exception().details() for wait in waits if wait.done()}
        self.assertEqual(1, len(refused))
        self.assertRegex(refused.pop(), "4096 calls are under way on this connection, the limit: nothing was begun")
        self.healthy()
        for wait in waits[:100]:
            wait.cancel()
        with connect(self.daemon.endpoint) as other:
            tx_grpc.TransactionServiceStub(other).Abort(
                tx.AbortRequest(action=tx.OperatorAction(gid="large", who="ada")), timeout=20)
        self.assertEqual({types.ABORTED}, {wait.result().outcome for wait in waits[100:4000]})

    def test_the_same_submit_again_and_again(self):
        """Each call that waited kept its request, though the transaction is there once."""
        again = spec("again", branch("absent", payload=b"p" * 1_000_000), deadline_ms=600_000)
        calls = [self.api.Submit.future(tx.SubmitRequest(transaction=again, wait_for=types.WAIT_COMPLETED), timeout=60) for _ in range(200)]
        end = time.monotonic() + 30
        while self.api.GetServerInfo(tx.GetServerInfoRequest(), timeout=20).active < 1 and time.monotonic() < end:
            time.sleep(0.05)
        self.healthy()
        time.sleep(1)  # they have all come in
        # What gRPC read them into goes back a little later; what a call kept would stay as long as the call.
        end = time.monotonic() + 20
        while self.grown() >= 150 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertLess(self.grown(), 150, "200 requests of 1 MB")
        for call in calls:
            call.cancel()

    def test_messages_that_never_come_in_whole(self):
        """They are gRPC's, before any code of ours sees them: 100 on each of three connections had taken 1.3 GiB."""
        part_of_one = b"\0" + struct.pack(">I", MAX_MESSAGE) + b"x" * (MAX_MESSAGE - 100)
        for _ in range(4):
            peer = self.http2(timeout=0.3)
            with contextlib.suppress(OSError):
                while len(peer.ended) < 8 and peer.send(peer.open(SERVICE + "Submit"), part_of_one) > 1_000_000:
                    pass
        self.healthy()
        self.assertLess(self.grown(), 350, "128 MiB, and as much again that is on its way out")


if __name__ == "__main__":
    unittest.main(verbosity=2)
