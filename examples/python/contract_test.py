#!/usr/bin/python3
"""Drives the Python participant through everything that a coordinator and a network may do to one branch, over gRPC but
without a coordinator: each operation twice, undo before forward, forward after undo, finish without forward, a restart.
"""

import itertools
import json
import os
import sqlite3
import tempfile
import unittest

import grpc

import participant
from barrier import DONE, REFUSED, RETRY_LATER
from stubs import participant_pb2, participant_pb2_grpc, types_pb2 as t


class Contract(unittest.TestCase):
    _gids = itertools.count(1)

    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)
        self._database = os.path.join(self._directory.name, "loyalty.db")
        self._start()
        self.addCleanup(self._stop)
        self._gid = f"gid-{next(self._gids)}"

    def _start(self):
        self._server, port, self._barrier = participant.serve("127.0.0.1:0", self._database)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = participant_pb2_grpc.ParticipantStub(self._channel)

    def _stop(self):
        self._channel.close()
        self._server.stop(grace=None).wait()
        self._barrier.close()

    def test_a_command_without_gid_is_not_executed(self):
        # It was, and its row then answered every other one without a gid. assent-contract found it (rule `hostile`).
        self._gid = ""
        with self.assertRaises(grpc.RpcError) as caught:
            self.ask(t.TRY)
        self.assertEqual((caught.exception.code(), self.member()), (grpc.StatusCode.INVALID_ARGUMENT, (0, 0)))

    def ask(self, operation, customer="Ada", action="award", payload=None):
        if payload is None:
            payload = json.dumps({"customer": customer, "coins": 60}).encode()
        return self._stub.Execute(participant_pb2.BranchCommand(
            gid=self._gid, branch_id="1", operation=operation, service="loyalty", action=action, payload=payload))

    def member(self):
        with sqlite3.connect(self._database) as db:
            return db.execute("SELECT points, promised FROM member WHERE customer = 'Ada'").fetchone()

    def test_try_confirm_each_twice(self):
        first = self.ask(t.TRY)
        self.assertEqual((first.kind, first.result, self.member()), (DONE, b"6", (0, 6)))
        self.assertEqual((self.ask(t.TRY), self.member()), (first, (0, 6)))
        confirmed = self.ask(t.CONFIRM)
        self.assertEqual((confirmed.kind, self.member()), (DONE, (6, 0)))
        self.assertEqual((self.ask(t.CONFIRM), self.member()), (confirmed, (6, 0)))

    def test_try_cancel_each_twice(self):
        tried = self.ask(t.TRY)
        cancelled = self.ask(t.CANCEL)
        self.assertEqual((cancelled.kind, self.member()), (DONE, (0, 0)))
        self.assertEqual((self.ask(t.CANCEL), self.member()), (cancelled, (0, 0)))
        self.assertEqual((self.ask(t.TRY), self.member()), (tried, (0, 0)))  # late: the old answer, no effect

    def test_action_compensate_each_twice(self):
        done = self.ask(t.ACTION)
        self.assertEqual((self.ask(t.ACTION), self.member()), (done, (6, 0)))
        undone = self.ask(t.COMPENSATE)
        self.assertEqual((self.ask(t.COMPENSATE), self.member()), (undone, (0, 0)))

    def test_undo_before_forward_refuses_it_for_good(self):
        for undo, forward in ((t.CANCEL, t.TRY), (t.COMPENSATE, t.ACTION)):
            self._gid = f"gid-{next(self._gids)}"
            self.assertEqual(self.ask(undo).kind, DONE)
            self.assertEqual(self.ask(forward).kind, REFUSED)
            self.assertEqual(self.ask(forward).kind, REFUSED)
            self.assertEqual(self.member(), (0, 0))

    def test_a_commit_that_fails_is_not_taken_for_not_done(self):
        class FailingAtCommit:
            def __init__(self, db):
                self._db = db

            def execute(self, sql, *parameters):
                if sql == "COMMIT":
                    raise sqlite3.OperationalError("disk I/O error")
                return self._db.execute(sql, *parameters)

            def close(self):
                self._db.close()

        self._barrier._db = FailingAtCommit(self._barrier._db)
        for _ in range(2):  # and nothing more is said until it has been opened anew
            with self.assertRaises(grpc.RpcError) as unknown:
                self.ask(t.ACTION)
            self.assertEqual(unknown.exception.code(), grpc.StatusCode.UNKNOWN)
        self._stop()
        self._start()
        self.assertEqual((self.ask(t.ACTION).kind, self.member()), (DONE, (6, 0)))

    def test_a_result_that_is_too_large_is_a_sentence(self):
        large = participant_pb2.BranchCommand(gid=self._gid, branch_id="1", operation=t.ACTION)
        reply = self._barrier.execute(large, lambda db, command: b"x" * (256 * 1024 + 1))
        self.assertEqual((reply.kind, reply.reason),
                         (RETRY_LATER, "ValueError: the handler's result has 262145 bytes, the limit is 262144"))

    def test_confirm_without_try_is_never_done(self):
        self.assertEqual(self.ask(t.CONFIRM).kind, REFUSED)
        self.assertEqual(self.member(), (0, 0))

    def test_never_both_confirm_and_cancel(self):
        self.ask(t.TRY)
        self.ask(t.CONFIRM)
        self.assertEqual(self.ask(t.CANCEL).kind, REFUSED)
        self._gid += "-other"
        self.ask(t.TRY)
        self.ask(t.CANCEL)
        self.assertEqual(self.ask(t.CONFIRM).kind, REFUSED)
        self.assertEqual(self.member(), (6, 0))

    def test_refusal_is_remembered_and_undone_without_effect(self):
        refused = self.ask(t.TRY, customer="Bob")
        self.assertEqual((refused.kind, refused.reason), (REFUSED, "Bob is not a member"))
        self.assertEqual(self.ask(t.TRY, customer="Bob"), refused)
        self.assertEqual(self.ask(t.CANCEL, customer="Bob").kind, DONE)

    def test_failure_leaves_no_trace(self):
        broken = self.ask(t.TRY, payload=b"not json")
        self.assertEqual(broken.kind, RETRY_LATER)
        self.assertIn("JSONDecodeError", broken.reason)
        self.assertEqual(self.ask(t.TRY).kind, DONE)

    def test_answers_survive_a_restart(self):
        first = self.ask(t.TRY)
        self._stop()
        self._start()
        self.assertEqual((self.ask(t.TRY), self.member()), (first, (0, 6)))
        self.assertEqual((self.ask(t.CONFIRM).kind, self.member()), (DONE, (6, 0)))

    def test_unknown_action_is_refused_forward_and_asked_again_later(self):
        for operation, action in ((t.TRY, "punish"), (t.PREPARE, "award")):
            self.assertEqual(self.ask(operation, action=action).kind, REFUSED)
        with self.assertRaises(grpc.RpcError) as caught:
            self.ask(t.CANCEL, action="punish")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)


if __name__ == "__main__":
    unittest.main()
