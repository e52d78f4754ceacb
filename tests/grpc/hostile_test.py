#!/usr/bin/python3
"""What hostile clients and wrong participants do on the raw wire, and that the daemon neither lies nor suffers from it.

Each test was written against a daemon that failed it, or keeps a promise that nothing else tries from outside.
"""

import collections
import random
import threading
import time
import unittest

import grpc
from google.protobuf import symbol_database

from hostile import REPLY, Hostile
from wire import DONE, branch, part, part_grpc, spec, tx, tx_grpc, types

LONG_TEXT = "a" + "é" * 600  # 1201 bytes: the limit of 1024 falls inside a character


class Participants(Hostile):
    @staticmethod
    def fails(code):
        return lambda command, context: context.abort(code, "as told")

    def test_a_404_is_no_answer_to_what_may_have_happened(self):
        """UNIMPLEMENTED after an unknown outcome: a proxy in between, or another program on the port."""
        answers = iter([grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNIMPLEMENTED])

        def rollback(_, context):
            code = next(answers, None)
            if code:
                context.abort(code, "404")
            return DONE

        self.unary.script["one", "PREPARE"] = self.fails(grpc.StatusCode.INTERNAL)
        self.unary.script["one", "ROLLBACK"] = rollback
        one = self.submit(spec("one", branch("dialled", protocol=types.TWO_PHASE), deadline_ms=500))
        self.assertEqual(types.ABORTED, one.outcome, "committed because of a 404")

        def action(command, context):
            self.fails(grpc.StatusCode.INTERNAL if command.attempt == 1 else grpc.StatusCode.UNIMPLEMENTED)(command, context)

        self.unary.script["step", "ACTION"] = action
        step = self.submit(spec("step", branch("dialled", protocol=types.SAGA, retry=types.RetryPolicy(max_attempts=3))))
        self.assertEqual(types.ABORTED, step.outcome)
        self.assertEqual(["ACTION"] * 3 + ["COMPENSATE"], self.unary.seen["step"], "the first may have happened")

        self.unary.script["new", "TRY"] = self.fails(grpc.StatusCode.UNIMPLEMENTED)
        new = self.submit(spec("new", branch("dialled", retry=types.RetryPolicy(max_attempts=1))))
        self.assertEqual(types.ABORTED, new.outcome)
        self.assertEqual(["TRY", "CANCEL"], self.unary.seen["new"], "the handler may have passed on its downstream's code")

    def test_texts_are_cut_between_characters(self):
        self.session("wordy", lambda c: REPLY(kind=REPLY.REFUSED if c.operation == types.TRY else DONE, reason=LONG_TEXT))
        reply = self.submit(spec("wordy", branch("wordy")))
        self.assertEqual(types.ABORTED, reply.outcome)
        self.assertIn("é", self.show("wordy").branches[0].last_error)
        self.submit(spec("people", branch("nobody")), types.WAIT_ACCEPTED)
        self.api.Suspend(tx.SuspendRequest(action=tx.OperatorAction(gid="people", who=LONG_TEXT)), timeout=20)
        self.api.Rollback(tx.RollbackRequest(gid="people", reason=LONG_TEXT, wait_for=types.WAIT_DECIDED), timeout=20)
        self.assertIn("é", self.show("people").abort_reason)
        self.api.Resume(tx.ResumeRequest(action=tx.OperatorAction(gid="people", who="ada")), timeout=20)
        listed = self.api.List(tx.ListRequest(all=True, gid_prefix="wordy"), timeout=20)
        self.assertEqual(["wordy"], [t.gid for t in listed.transactions])

    def test_large_commands_do_not_end_the_stream(self):
        session = self.session("large", max_in_flight=1000)
        headers = {f"h{i:02}": "x" * 1024 for i in range(16)}
        calls = [self.api.Submit.future(tx.SubmitRequest(transaction=spec("", branch("large", headers=headers))), timeout=30)
                 for _ in range(300)]
        self.assertEqual({types.COMMITTED}, {call.result().outcome for call in calls})
        self.assertIsNone(session.error)

    def test_answers_of_the_wrong_kind_are_no_answers(self):
        def answer(command):
            first = command.attempt == 1 and command.operation == types.TRY
            return {"kind-0": 0, "kind-77": 77, "read-only": REPLY.DONE_READ_ONLY}.get(command.gid, DONE) if first else DONE

        session = self.session("odd", answer)
        for gid in ("kind-0", "kind-77", "read-only"):
            self.assertEqual(types.COMMITTED, self.submit(spec(gid, branch("odd"))).outcome)
            self.assertEqual(["TRY", "TRY", "CONFIRM"], session.operations(gid))

    def test_lies_and_repetitions_change_nothing(self):
        def lie(command):
            right = dict(gid=command.gid, branch_id=command.branch_id, operation=command.operation,
                         command_id=command.command_id)
            for wrong in (dict(gid="other"), dict(branch_id="9"), dict(operation=types.CANCEL), dict(operation=99),
                          dict(command_id=command.command_id + 1000)):
                session.send(replies=[REPLY(kind=REPLY.REFUSED, **{**right, **wrong})])
            session.send(replies=[REPLY(kind=DONE, **right), REPLY(kind=REPLY.REFUSED, **right)] + [REPLY(kind=DONE, **right)] * 5)

        session = self.session("liar", lie)
        self.assertEqual(types.COMMITTED, self.submit(spec("lied-about", branch("liar"), branch("liar"))).outcome)
        self.assertEqual(["CONFIRM"] * 2 + ["TRY"] * 2, sorted(session.operations("lied-about")))

    def test_lost_prepared_work_is_a_hazard_until_a_person_speaks(self):
        self.session("amnesiac", lambda c: REPLY.REFUSED if c.operation == types.COMMIT else DONE,
                     actions=[("act", types.TWO_PHASE)])
        for resolution, outcome in ((types.DECISION_COMMIT, types.COMMITTED), (types.DECISION_ABORT, types.MIXED)):
            gid = f"lost-{resolution}"
            branches = [branch("amnesiac", protocol=types.TWO_PHASE), branch("dialled", protocol=types.TWO_PHASE)]
            self.submit(spec(gid, *branches), types.WAIT_DECIDED)
            self.until(lambda: self.show(gid).outcome == types.HAZARD)
            self.assertTrue(self.show(gid).needs_operator)
            self.api.ResolveBranch(tx.ResolveBranchRequest(action=tx.OperatorAction(gid=gid, who="ada"), branch_id="1",
                                                           resolution=resolution), timeout=20)
            self.assertEqual(outcome, self.api.Wait(tx.WaitRequest(gid=gid, wait_for=types.WAIT_COMPLETED), timeout=20).outcome)

    def test_a_session_cancelled_at_its_hello_is_gone(self):
        stub = part_grpc.ParticipantSessionStub(self.channel)
        dice = random.Random(2)
        for i in range(1000):
            frames = iter([part.ParticipantFrame(hello=part.Hello(version=1, service="fleeting"))])
            call = stub.Connect(frames)
            for _ in range(dice.randrange(4000)):
                pass
            call.cancel()
        self.until(lambda: not self.api.ListParticipants(tx.ListParticipantsRequest(service_prefix="fleeting"),
                                                         timeout=20).participants)

    def test_who_asks_and_never_reads_is_asked_to_wait(self):
        frame = part.ParticipantFrame(queries=[part.OutcomeQuery(gid="nobody", branch_id="1" * 60, coordinator_id=1)] * 256)
        self.pour(lambda frames: part_grpc.ParticipantSessionStub(self.channel).Connect(frames),
                  [part.ParticipantFrame(hello=part.Hello(version=1, service="deaf"))], frame)

    def pour(self, call, first, frame):
        """Sends without reading until the other side takes no more, and holds its memory against what it would have kept."""
        sent, end = [0], time.monotonic() + 20

        def frames():
            yield from first
            while time.monotonic() < end and sent[0] < 4000:
                yield frame
                sent[0] += 1

        before = self.rss()
        stream = call(frames())
        last = -1
        while last != sent[0] and sent[0] < 4000:
            last = sent[0]
            time.sleep(0.7)
        stream.cancel()
        self.assertLess(sent[0], 4000, "everything was taken, and the answers kept")
        self.assertLess(self.rss() - before, 60_000)


class Initiators(Hostile):
    pour = Participants.pour

    def test_a_stream_that_is_never_read_is_not_read_either(self):
        bad = tx.SubmitRequest(transaction=spec("ill formed " * 8))
        self.pour(self.api.SubmitStream, [], tx.SubmitRequestFrame(requests=[bad] * 256))

    def test_one_gid_from_fifty_sides(self):
        session = self.session("many")
        for _ in range(2):  # while it runs, and after it has ended
            told = collections.Counter()

            def ask(i):
                code, reply = self.code(self.api.Submit, tx.SubmitRequest(
                    transaction=spec("same", branch("many", payload=b"AB"[i % 2:i % 2 + 1])), wait_for=types.WAIT_COMPLETED))
                told[i % 2, reply.outcome if code == "OK" else code] += 1

            askers = [threading.Thread(target=ask, args=(i,)) for i in range(50)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            winner = 0 if (0, types.COMMITTED) in told else 1
            self.assertEqual({(winner, types.COMMITTED): 25, (1 - winner, "ALREADY_EXISTS"): 25}, told)
        self.assertEqual(["TRY", "CONFIRM"], session.operations("same"))

    def test_what_is_asked_of_a_gid_while_it_is_begun_again(self):
        """Its BEGIN is refused by the log a moment later, because the gid is a finished one's."""
        for i in range(20):
            gid = f"again-{i}"
            self.api.Begin(tx.BeginRequest(transaction=spec(gid)), timeout=20)
            self.api.Rollback(tx.RollbackRequest(gid=gid, wait_for=types.WAIT_COMPLETED), timeout=20)
            action = tx.OperatorAction(gid=gid, who="ada", dry_run=True)  # waits for the end to be written
            self.api.Forget(tx.ForgetRequest(action=action), timeout=20)
            begin = self.api.Begin.future(tx.BeginRequest(transaction=spec(gid)), timeout=20)
            calls = [self.api.ExecuteBranch.future(tx.ExecuteBranchRequest(gid=gid, branch=branch("dialled", branch_id="1")), timeout=20),
                     self.api.Commit.future(tx.CommitRequest(gid=gid), timeout=20),
                     self.api.Suspend.future(tx.SuspendRequest(action=tx.OperatorAction(gid=gid, who="ada")), timeout=20)]
            self.assertEqual(gid, begin.result().gid)
            for call in calls:
                self.assertEqual(grpc.StatusCode.FAILED_PRECONDITION, call.exception().code())

    def test_forgotten_right_after_it_is_completed(self):
        self.session("brief")
        for i in range(10):
            self.submit(spec("brief", branch("brief", payload=bytes([i]))))
            self.api.Forget(tx.ForgetRequest(action=tx.OperatorAction(gid="brief", who="ada")), timeout=20)
            self.assertEqual("NOT_FOUND", self.code(self.api.Get, tx.GetRequest(gid="brief"))[0])

    def test_calls_and_streams_that_are_abandoned(self):
        self.submit(spec("stuck", branch("absent"), deadline_ms=3_600_000), types.WAIT_ACCEPTED)
        calls = [self.api.Wait.future(tx.WaitRequest(gid="stuck"), timeout=20) for _ in range(200)]
        watches = [self.api.Watch(tx.WatchRequest(gid="stuck")) for _ in range(50)]
        for watch in watches:
            self.assertEqual("stuck", next(watch).gid)
        streams = [self.api.SubmitStream(iter([tx.SubmitRequestFrame(requests=[tx.SubmitRequest(transaction=spec(
            f"left-{i}", branch("absent"), deadline_ms=1000))])])) for i in range(20)]
        for call in calls + watches + streams[:10]:
            call.cancel()
        for i, stream in enumerate(streams[10:], start=10):  # half closed: the answers still come
            self.assertEqual([f"left-{i}"], [reply.gid for frame in stream for reply in frame.replies])
        self.api.Abort(tx.AbortRequest(action=tx.OperatorAction(gid="stuck", who="ada")), timeout=20)
        self.assertEqual(types.ABORTED, self.api.Wait(tx.WaitRequest(gid="stuck", wait_for=types.WAIT_COMPLETED), timeout=20).outcome)

    def test_whatever_is_in_the_fields(self):
        dice = random.Random(7)
        fuzz = Fuzz(dice)
        methods = tx.DESCRIPTOR.services_by_name["TransactionService"].methods
        codes = collections.Counter()
        for _ in range(1500):
            method = dice.choice(methods)
            request = fuzz.message(symbol_database.Default().GetPrototype(method.input_type))
            call = getattr(self.api, method.name)
            try:
                if method.client_streaming:
                    list(call(iter([request]), timeout=0.3))
                elif method.server_streaming:
                    list(call(request, timeout=0.1))
                else:
                    call(request, timeout=0.1)
                codes["OK"] += 1
            except grpc.RpcError as error:
                codes[error.code().name] += 1
        self.assertLessEqual(set(codes), {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "ALREADY_EXISTS",
                                          "DEADLINE_EXCEEDED", "ABORTED"}, codes)
        self.assertGreater(codes["INVALID_ARGUMENT"], 100)
        stub = part_grpc.ParticipantSessionStub(self.channel)
        for _ in range(60):
            frames = [fuzz.message(part.ParticipantFrame) for _ in range(3)]
            frames[0].hello.version = 1
            try:
                list(stub.Connect(iter(frames), timeout=0.1))
            except grpc.RpcError:
                pass
        for _ in range(200):
            raw = self.channel.unary_unary(f"/assent.v1.TransactionService/{dice.choice(methods).name}")
            try:
                raw(dice.randbytes(dice.randrange(200)), timeout=0.1)
            except grpc.RpcError:
                pass
        self.api.List(tx.ListRequest(all=True, page_size=1000), timeout=20)


class Fuzz:
    """Messages with any value in any field."""

    TEXTS = ["", "a", "a" * 64, "a" * 65, "é", "x y", "g1", "1", "2", "\0", "a/b", "../..", "L0.1", "L0.-5", "F1", "F7x", LONG_TEXT]
    NUMBERS = {"int32": [0, 1, -1, 2**31 - 1, -2**31], "uint32": [0, 1, 7, 2**32 - 1],
               "int64": [0, 1, -1, 2**63 - 1, -2**63], "uint64": [0, 1, 7, 2**64 - 1]}

    def __init__(self, dice):
        self._dice = dice

    def message(self, kind):
        message = kind()
        self._fill(message, 0)
        return message

    def _value(self, field):
        if field.type == field.TYPE_ENUM:
            return self._dice.choice([0, 1, 2, 3, 4, 99, -1])
        if field.type == field.TYPE_STRING:
            return self._dice.choice(self.TEXTS)
        if field.type == field.TYPE_BYTES:
            return b"p" * self._dice.choice([0, 1, 5000])
        if field.type == field.TYPE_BOOL:
            return self._dice.random() < 0.5
        name = {field.TYPE_INT32: "int32", field.TYPE_UINT32: "uint32", field.TYPE_UINT64: "uint64",
                field.TYPE_FIXED64: "uint64"}.get(field.type, "int64")
        return self._dice.choice(self.NUMBERS[name])

    def _fill(self, message, depth):
        for field in message.DESCRIPTOR.fields:
            if depth > 4 or self._dice.random() < 0.4:
                continue
            target = getattr(message, field.name)
            repeated = field.label == field.LABEL_REPEATED
            if field.message_type and field.message_type.GetOptions().map_entry:
                for _ in range(self._dice.choice([1, 20])):
                    target[self._dice.choice(self.TEXTS)] = self._value(field.message_type.fields_by_name["value"])
            elif field.type == field.TYPE_MESSAGE:
                for _ in range(self._dice.choice([1, 3]) if repeated else 1):
                    self._fill(target.add() if repeated else target, depth + 1)
            elif repeated:
                target.extend(self._value(field) for _ in range(self._dice.choice([1, 3])))
            else:
                setattr(message, field.name, self._value(field))


if __name__ == "__main__":
    unittest.main(verbosity=2)
