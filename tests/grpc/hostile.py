"""A daemon among hostile clients, with a participant that is dialled and does as told."""

import collections
import concurrent.futures
import os
import sys
import time
import unittest

import grpc

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ctl"))
from daemon import Daemon, free_port  # noqa: E402
from wire import DONE, Session, connect, part, part_grpc, tx, tx_grpc, types  # noqa: E402

REPLY = part.BranchReply


class Unary(part_grpc.ParticipantServicer):
    """A participant that is dialled; `script` says what it does about (gid, operation)."""

    def __init__(self):
        self.script = {}
        self.seen = collections.defaultdict(list)
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
        part_grpc.add_ParticipantServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        self.stop = lambda: self._server.stop(grace=None).wait()

    def Execute(self, command, context):
        operation = types.Operation.Name(command.operation)
        self.seen[command.gid].append(operation)
        act = self.script.get((command.gid, operation))
        kind = act(command, context) if act else DONE
        return REPLY(gid=command.gid, branch_id=command.branch_id, operation=command.operation, kind=kind)


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.unary = Unary()
        # AddressSanitizer keeps what was freed, 256 MB of it by default: that is no memory that the daemon holds.
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
        cls.daemon = Daemon("--unary", f"dialled={cls.unary.address}",
                            "--unary", f"half={cls.unary.address}", "--unary", f"half=127.0.0.1:{free_port()}")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()
        cls.unary.stop()

    def setUp(self):
        self.channel = connect(self.daemon.endpoint)
        self.addCleanup(self.channel.close)
        self.api = tx_grpc.TransactionServiceStub(self.channel)

    def tearDown(self):
        self.assertIsNone(self.daemon._process.poll(), "the daemon died")
        self.assertEqual("", self.api.GetServerInfo(tx.GetServerInfoRequest(), timeout=20).refusing)

    def session(self, service, *arguments, **more):
        session = Session(self.daemon.endpoint, service, *arguments, **more)
        self.addCleanup(session.close)
        self.assertTrue(session.welcome.wait(20))
        self.assertIsNone(session.error)
        return session

    def code(self, method, request, timeout=20):
        """The status of a call, and its reply or message."""
        try:
            return "OK", method(request, timeout=timeout)
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def submit(self, transaction, wait_for=types.WAIT_COMPLETED):
        return self.api.Submit(tx.SubmitRequest(transaction=transaction, wait_for=wait_for), timeout=30)

    def show(self, gid):
        return self.api.Get(tx.GetRequest(gid=gid), timeout=20)

    def rss(self):
        with open(f"/proc/{self.daemon._process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def until(self, what, seconds=20):
        end = time.monotonic() + seconds
        while not (seen := what()):
            self.assertLess(time.monotonic(), end, "waited too long")
            time.sleep(0.02)
        return seen
