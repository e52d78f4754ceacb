#!/usr/bin/python3
"""A daemon with rules and limits: nobody has more than is his, and nobody goes without for somebody else's sake."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from rig import BIN, PATIENCE_SECONDS, Daemon, Participant  # noqa: E402
from stubs import participant_pb2 as part, transaction_pb2 as tx, types_pb2 as types  # noqa: E402

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
NAMES = ("shop", "held", "rival", "flood", "open", "fat", "stock", "support", "clerk", "relay", "many")

RULES = """allow token:shop as initiator for *
allow token:rival as initiator for *
allow token:flood as initiator for *
allow token:open as initiator for *
allow token:held as initiator for *
allow token:fat as initiator for *
allow token:many as initiator for *
allow token:stock as participant for stock
allow token:support as operator
allow token:clerk as viewer
allow token:relay as coordinator
limit token:flood to 5 requests per second
limit token:clerk to 5 requests per second
limit token:open to 3 transactions
limit token:held to 3 transactions
limit token:fat to 1 KiB
limit token:stock to 2 sessions
limit token:many to 2 streams, 3 calls
"""


class Limits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="assent-limits-")
        cls.rules, tokens = (os.path.join(cls.folder.name, name) for name in ("rules", "tokens"))
        cls.tokens = {}
        for name in NAMES:
            made = subprocess.run([os.path.join(BIN, "assentctl"), "auth", "token", name, "--append", tokens], capture_output=True, text=True,
                                  timeout=PATIENCE_SECONDS, check=True)
            cls.tokens[name] = made.stdout.strip()
        cls.write(RULES)
        cls.participant = Participant()
        cls.daemon = Daemon("--unary", f"bank={cls.participant.endpoint}", "--auth-rules", cls.rules, "--auth-tokens", tokens)
        cls.channel = grpc.insecure_channel(cls.daemon.endpoint)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.daemon.close()
        cls.participant.close()
        cls.folder.cleanup()

    @classmethod
    def write(cls, text):
        with open(cls.rules, "w", encoding="utf-8") as file:
            file.write(text)

    def metadata(self, who, more=()):
        return (("authorization", "Bearer " + self.tokens[who]), *more)

    def call(self, method, who, request, reply, more=()):
        """(code, words, the answer, its trailers)."""
        try:
            answer, done = self.channel.unary_unary("/assent.v1.TransactionService/" + method).with_call(
                request.SerializeToString(), metadata=self.metadata(who, more), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as failed:
            return failed.code(), failed.details(), None, dict(failed.trailing_metadata())
        return done.code(), "", reply.FromString(answer), {}

    def submit(self, gid, who, service="bank", payload=b"", wait=types.WAIT_COMPLETED, more=()):
        spec = types.TransactionSpec(gid=gid, branches=[types.BranchSpec(branch_id="1", service=service, action="pay", protocol=types.TCC,
                                                                         payload=payload)])
        return self.call("Submit", who, tx.SubmitRequest(transaction=spec, wait_for=wait), tx.SubmitReply, more)

    def begin(self, gid, who, payload=b""):
        """One that stays until it is rolled back."""
        code, words, _, trailers = self.submit(gid, who, "nobody", payload, types.WAIT_ACCEPTED)
        return code, words, trailers

    def open(self, gid, who):
        """Likewise, and with nothing of which a start does not know whether it was sent."""
        begin = tx.BeginRequest(transaction=types.TransactionSpec(gid=gid, deadline_ms=3_600_000))
        code, words, _, trailers = self.call("Begin", who, begin, tx.BeginReply)
        return code, words, trailers

    def end(self, *gids, who):
        for gid in gids:
            self.assertEqual(grpc.StatusCode.OK, self.call("Rollback", who, tx.RollbackRequest(gid=gid, wait_for=types.WAIT_COMPLETED),
                                                           tx.SubmitReply)[0])

    def http(self, method, target, who, body=None):
        return self.daemon.ask(method, target, body, {"Authorization": "Bearer " + self.tokens[who]})

    def figure(self, limit):
        code, _, page = self.http("GET", "/metrics", "support")
        self.assertEqual(200, code)
        return int(re.search(rf'assent_limited_total{{limit="{limit}"}} (\d+)', page)[1])

    # ---- A list of one's own ------------------------------------------------------------------------------

    def pages(self, who, **filters):
        gids, token = [], ""
        while True:
            code, words, reply, _ = self.call("List", who, tx.ListRequest(page_token=token, page_size=2, **filters), tx.ListReply)
            self.assertEqual(grpc.StatusCode.OK, code, words)
            gids += [one.gid for one in reply.transactions]
            token = reply.next_page_token
            if not token:
                return gids

    def test_an_initiator_lists_what_it_began(self):
        for i in range(5):
            self.assertEqual(grpc.StatusCode.OK, self.submit(f"list-mine-{i}", "shop")[0])
            self.assertEqual(grpc.StatusCode.OK, self.submit(f"list-other-{i}", "rival")[0])
        self.assertEqual(grpc.StatusCode.OK, self.begin("list-live", "shop")[0])
        self.assertEqual(grpc.StatusCode.OK, self.begin("list-live-other", "rival")[0])
        mine = {"list-live", *(f"list-mine-{i}" for i in range(5))}
        theirs = {"list-live-other", *(f"list-other-{i}" for i in range(5))}
        self.assertEqual(sorted(mine), sorted(self.pages("shop", all=True, gid_prefix="list-")))
        self.assertEqual(sorted(theirs), sorted(self.pages("rival", all=True, gid_prefix="list-")))
        self.assertEqual(["list-live"], self.pages("shop", gid_prefix="list-"))
        self.assertEqual(sorted(mine - {"list-live"}), sorted(self.pages("shop", states=[types.FINISHED], gid_prefix="list-")))
        self.assertEqual([], self.pages("shop", gid_prefix="list-live-other"), "as if it were not there")
        self.assertEqual(mine | theirs, set(self.pages("support", all=True, gid_prefix="list-")))
        # Nothing of a page says how many there are of others.
        code, _, reply, _ = self.call("List", "shop", tx.ListRequest(slice=tx.MemberSliceRequest(part=2)), tx.ListReply)
        self.assertEqual((grpc.StatusCode.OK, False), (code, reply.HasField("slice")))
        # The same of REST, where the console asks as well.
        code, _, page = self.http("GET", "/v1/transactions?all=true&gid_prefix=list-", "shop")
        self.assertEqual(200, code, page)
        self.assertEqual(mine, {one["gid"] for one in page["transactions"]})
        self.assertEqual(403, self.http("GET", "/v1/transactions", "stock")[0])
        self.end("list-live", who="shop")
        self.end("list-live-other", who="rival")

    def test_a_coordinator_lists_for_whom_it_asks(self):
        self.assertEqual(grpc.StatusCode.OK, self.submit("relay-mine", "shop")[0])
        self.assertEqual(grpc.StatusCode.OK, self.submit("relay-other", "rival")[0])
        for name, seen in (("token:shop", {"relay-mine"}), ("token:support", {"relay-mine", "relay-other"})):
            more = (("assent-forwarded", "1"), ("assent-on-behalf-of", name))
            request = tx.ListRequest(all=True, gid_prefix="relay-", slice=tx.MemberSliceRequest(part=2))
            _, words, reply, _ = self.call("List", "relay", request, tx.ListReply, more)
            self.assertIsNotNone(reply, words)
            request = tx.ListRequest(all=True, gid_prefix="relay-")
            _, words, reply, _ = self.call("List", "relay", request, tx.ListReply, more)
            self.assertEqual(seen, {one.gid for one in reply.transactions}, words)

    # ---- Requests a second -----------------------------------------------------------------------------------

    def test_maintenance_counts_as_well(self):
        def ask():
            try:
                self.channel.unary_unary("/assent.v1.MaintenanceService/GetSettings")(b"", metadata=self.metadata("clerk"), timeout=PATIENCE_SECONDS)
            except grpc.RpcError as failed:
                return failed.code(), dict(failed.trailing_metadata())
            return grpc.StatusCode.OK, {}

        answers = [ask() for _ in range(30)]
        self.assertEqual({grpc.StatusCode.OK, EXHAUSTED}, {code for code, _ in answers})
        self.assertIn((EXHAUSTED, "250"), [(code, trailers.get("assent-retry-after-ms")) for code, trailers in answers])

    def test_an_operator_intervenes_while_somebody_floods(self):
        self.assertEqual(grpc.StatusCode.OK, self.begin("flooded", "shop")[0])
        over, refused, passed, others = threading.Event(), [], [], []

        def flood(number):
            with grpc.insecure_channel(self.daemon.endpoint) as channel:
                ask = channel.unary_unary("/assent.v1.TransactionService/Get")
                request = tx.GetRequest(gid=f"flood-{number}").SerializeToString()
                while not over.is_set():
                    try:
                        ask(request, metadata=self.metadata("flood"), timeout=PATIENCE_SECONDS)
                    except grpc.RpcError as failed:
                        {EXHAUSTED: refused, grpc.StatusCode.NOT_FOUND: passed}.get(failed.code(), others).append(failed)

        threads = [threading.Thread(target=flood, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        try:
            while len(refused) < 200:
                self.assertEqual([], others)
            before = self.figure("requests")
            for verb, request in (("Suspend", tx.SuspendRequest), ("Resume", tx.ResumeRequest), ("Abort", tx.AbortRequest)):
                code, words, _, _ = self.call(verb, "support", request(action=tx.OperatorAction(gid="flooded", who="ann", reason="a flood")),
                                              tx.OperatorReply)
                self.assertEqual(grpc.StatusCode.OK, code, words)
            self.assertEqual(grpc.StatusCode.OK, self.submit("beside-the-flood", "shop")[0], "nor does another initiator wait")
            self.assertGreaterEqual(before, 200)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual([], others)
        self.assertIn("token:flood makes more than 5 requests per second, the limit: this one was turned away", refused[0].details())
        self.assertEqual("250", dict(refused[0].trailing_metadata())["assent-retry-after-ms"])
        self.assertGreater(len(refused), 10 * len(passed))

    def test_rest_says_when_to_try_again(self):
        answers = [self.http("GET", "/v1/transactions/none", "flood") for _ in range(30)]
        limited = [headers for code, headers, _ in answers if code == 429]
        self.assertTrue(limited)
        self.assertIn("Retry-After", limited[0])
        self.assertTrue({code for code, _, _ in answers} <= {404, 429})

    def test_what_is_refused_has_not_begun(self):
        seen = {}
        for i in range(30):
            seen[f"refused-{i}"] = self.submit(f"refused-{i}", "flood")[0]
        self.assertIn(EXHAUSTED, seen.values())
        for gid, code in seen.items():
            there = self.call("Get", "support", tx.GetRequest(gid=gid), types.Transaction)[0]
            self.assertEqual(grpc.StatusCode.OK if code == grpc.StatusCode.OK else grpc.StatusCode.NOT_FOUND, there, gid)

    def test_a_stream_of_submits_counts_each(self):
        requests = [tx.SubmitRequest(request_id=i, transaction=types.TransactionSpec(gid=f"streamed-{i}", branches=[types.BranchSpec(
            branch_id="1", service="bank", action="pay", protocol=types.TCC)])) for i in range(1, 41)]
        frame = tx.SubmitRequestFrame(requests=requests)
        replies = []
        for attempt in range(1, 1000):  # until the stream itself is let through
            try:
                for answer in self.channel.stream_stream("/assent.v1.TransactionService/SubmitStream")(
                        iter([frame.SerializeToString()]), metadata=self.metadata("flood"), timeout=PATIENCE_SECONDS):
                    replies += tx.SubmitReplyFrame.FromString(answer).replies
                break
            except grpc.RpcError as failed:
                self.assertEqual(EXHAUSTED, failed.code(), attempt)
        self.assertEqual(list(range(1, 41)), sorted(one.request_id for one in replies))
        refused = [one for one in replies if one.error_code == EXHAUSTED.value[0]]
        self.assertGreaterEqual(len(refused), 30)
        self.assertIn("5 requests per second", refused[0].error_message)
        for one in refused:
            self.assertEqual(grpc.StatusCode.NOT_FOUND, self.call("Get", "support", tx.GetRequest(gid=f"streamed-{one.request_id}"),
                                                                  types.Transaction)[0])

    def test_what_is_handed_on_counts_for_whom_it_is(self):
        """A request was one where it came in; what it begins is here, and is counted here."""
        more = (("assent-forwarded", "1"), ("assent-on-behalf-of", "token:flood"))
        codes = {self.call("Get", "relay", tx.GetRequest(gid="none"), types.Transaction, more)[0] for _ in range(30)}
        self.assertEqual({grpc.StatusCode.NOT_FOUND}, codes)
        more = (("assent-forwarded", "1"), ("assent-on-behalf-of", "token:held"))
        codes = [self.submit(f"handed-{i}", "relay", "nobody", wait=types.WAIT_ACCEPTED, more=more)[0] for i in range(5)]
        self.assertEqual([grpc.StatusCode.OK] * 3 + [EXHAUSTED] * 2, codes)
        self.assertEqual(EXHAUSTED, self.begin("handed-5", "held")[0])
        self.assertEqual(grpc.StatusCode.OK, self.begin("handed-6", "shop")[0])
        self.end("handed-0", "handed-1", "handed-2", who="held")
        self.end("handed-6", who="shop")
        self.assertEqual(grpc.StatusCode.OK, self.begin("handed-5", "held")[0])
        self.end("handed-5", who="held")

    def has_room(self, ask):
        """What has ended counts until its end is on disk, which its caller does not wait for."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (code := ask()) == EXHAUSTED:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(grpc.StatusCode.OK, code)

    # ---- What is under way -----------------------------------------------------------------------------------

    def test_transactions_under_way(self):
        for i in range(3):
            self.assertEqual(grpc.StatusCode.OK, self.open(f"open-{i}", "open")[0])
        code, words, trailers = self.open("open-3", "open")
        self.assertEqual(EXHAUSTED, code)
        self.assertIn("token:open has 3 transactions under way, the limit is 3: nothing was begun", words)
        self.assertIn("assent-retry-after-ms", trailers)
        self.assertEqual(grpc.StatusCode.OK, self.open("open-2", "open")[0], "who asks again begins nothing")
        self.assertEqual(grpc.StatusCode.OK, self.submit("open-of-another", "shop")[0])
        self.assertGreaterEqual(self.figure("transactions"), 1)
        self.end("open-0", who="open")
        self.has_room(lambda: self.open("open-3", "open")[0])
        code, headers, said = self.http("POST", "/v1/transactions", "open", {"gid": "open-4", "branches": [
            {"branch_id": "1", "service": "bank", "action": "pay", "protocol": "TCC"}]})
        self.assertEqual((429, "1"), (code, headers.get("Retry-After")), said)
        # A kill and a start give nobody more, and take nothing away that is beyond a smaller limit.
        self.write(RULES.replace("token:open to 3", "token:open to 1"))
        self.daemon.process.kill()
        self.daemon.process.wait()
        self.daemon.process.stdout.close()
        self.daemon.start()
        Limits.channel.close()
        Limits.channel = grpc.insecure_channel(self.daemon.endpoint)
        for number in (1, 2, 3):
            code, words, _, _ = self.call("Get", "open", tx.GetRequest(gid=f"open-{number}"), types.Transaction)
            self.assertEqual(grpc.StatusCode.OK, code, words)
            self.assertIn("the limit is 1", self.open("open-4", "open")[1])
            self.end(f"open-{number}", who="open")
        self.has_room(lambda: self.submit("open-4", "open")[0])
        self.reload(RULES)

    def test_bytes_under_way(self):
        self.assertEqual(grpc.StatusCode.OK, self.begin("fat-0", "fat", b"x" * 1000)[0])
        code, words, _ = self.begin("fat-1", "fat", b"x" * 100)
        self.assertEqual(EXHAUSTED, code)
        self.assertIn("100 more are beyond the limit of 1024: nothing was begun", words)
        self.assertGreaterEqual(self.figure("bytes"), 1)
        self.end("fat-0", who="fat")
        self.has_room(lambda: self.submit("fat-1", "fat", payload=b"x" * 100)[0])

    def test_streams_and_waits(self):
        self.assertEqual(grpc.StatusCode.OK, self.begin("watched", "many")[0])
        request = tx.WatchRequest(gid="watched").SerializeToString()
        watches = []
        for _ in range(2):
            watch = self.channel.unary_stream("/assent.v1.TransactionService/Watch")(request, metadata=self.metadata("many"))
            next(watch)
            watches.append(watch)
        with self.assertRaises(grpc.RpcError) as third:
            next(self.channel.unary_stream("/assent.v1.TransactionService/Watch")(request, metadata=self.metadata("many"),
                                                                                 timeout=PATIENCE_SECONDS))
        self.assertEqual(EXHAUSTED, third.exception.code())
        self.assertIn("2 streams are open of token:many", third.exception.details())
        self.assertEqual("250", dict(third.exception.trailing_metadata())["assent-retry-after-ms"])
        code, headers, _ = self.http("GET", "/v1/transactions/watched:watch", "many")
        self.assertEqual((429, "1"), (code, headers.get("Retry-After")))
        with self.assertRaises(grpc.RpcError) as submits:
            next(self.channel.stream_stream("/assent.v1.TransactionService/SubmitStream")(iter([]), metadata=self.metadata("many"),
                                                                                         timeout=PATIENCE_SECONDS))
        self.assertEqual(EXHAUSTED, submits.exception.code())
        self.assertIn("assent-retry-after-ms", dict(submits.exception.trailing_metadata()))
        watches.pop().cancel()
        again = None
        while again is None:  # as soon as the daemon has heard of it
            again = self.channel.unary_stream("/assent.v1.TransactionService/Watch")(request, metadata=self.metadata("many"),
                                                                                    timeout=PATIENCE_SECONDS)
            try:
                next(again)
            except grpc.RpcError as failed:
                self.assertEqual(EXHAUSTED, failed.code())
                again = None
        wait = tx.WaitRequest(gid="watched", wait_for=types.WAIT_COMPLETED).SerializeToString()
        waits = [self.channel.unary_unary("/assent.v1.TransactionService/Wait").future(wait, metadata=self.metadata("many")) for _ in range(4)]
        while not any(one.done() for one in waits):
            pass
        refused = [one for one in waits if one.done()]
        self.assertEqual([EXHAUSTED], [one.code() for one in refused])
        self.assertIn("3 calls are under way of token:many", refused[0].details())
        abort = tx.AbortRequest(action=tx.OperatorAction(gid="watched", reason="enough"))
        self.assertEqual(grpc.StatusCode.OK, self.call("Abort", "support", abort, tx.OperatorReply)[0])
        for one in waits:
            if one not in refused:
                self.assertEqual(types.ABORTED, tx.SubmitReply.FromString(one.result(PATIENCE_SECONDS)).outcome)
        for stream in (*watches, again):
            stream.cancel()

    # ---- Participants -----------------------------------------------------------------------------------------

    def session(self, instance, questions=()):
        """A session that stays open, with the frames that come."""
        hello = part.Hello(version=1, service="stock", instance=instance, max_in_flight=4,
                           actions=[part.ActionInfo(name="reserve", protocol=types.TCC)])
        frames = [part.ParticipantFrame(hello=hello)] + [part.ParticipantFrame(queries=[one]) for one in questions]
        left = threading.Event()

        def talk():
            yield from (frame.SerializeToString() for frame in frames)
            left.wait()

        stream = self.channel.stream_stream("/assent.v1.ParticipantSession/Connect")(talk(), metadata=self.metadata("stock"),
                                                                                    timeout=PATIENCE_SECONDS)
        return stream, left

    def opened(self, instance):
        stream, left = self.session(instance)
        try:
            return stream, left, part.CoordinatorFrame.FromString(next(stream)).welcome
        except grpc.RpcError as failed:
            left.set()
            return None, None, failed

    def close(self, stream, left):
        left.set()
        stream.cancel()

    def open_as_soon_as_there_is_room(self, instance):
        while True:
            stream, left, said = self.opened(instance)
            if stream is not None:
                return stream, left, said
            self.assertEqual(EXHAUSTED, said.code())

    def test_sessions(self):
        first, second = (self.open_as_soon_as_there_is_room(name) for name in "ab")
        none, _, refused = self.opened("c")
        self.assertIsNone(none)
        self.assertEqual(EXHAUSTED, refused.code())
        self.assertIn("2 sessions are open of token:stock, the limit", refused.details())
        self.assertIn("assent-retry-after-ms", dict(refused.trailing_metadata()))
        self.assertGreaterEqual(self.figure("sessions"), 1)
        self.close(*first[:2])
        third = self.open_as_soon_as_there_is_room("c")
        for one in (second, third):
            self.close(*one[:2])

    def test_a_participant_asks_about_its_own_branches(self):
        for gid, service in (("asked-stock", "stock"), ("asked-bank", "nobody")):
            spec = types.TransactionSpec(gid=gid, branches=[types.BranchSpec(branch_id="1", service=service, action="none",
                                                                             protocol=types.TCC)])
            self.assertEqual(grpc.StatusCode.OK, self.call("Submit", "shop", tx.SubmitRequest(
                transaction=spec, wait_for=types.WAIT_ACCEPTED), tx.SubmitReply)[0])
        self.assertEqual(grpc.StatusCode.OK, self.submit("asked-ended", "shop")[0])
        stream, left, welcome = self.open_as_soon_as_there_is_room("asker")
        self.close(stream, left)

        def ask(gid, branch, epoch=welcome.epoch):
            query = part.OutcomeQuery(gid=gid, branch_id=branch, coordinator_id=welcome.coordinator_id, began_epoch=epoch)
            while True:
                stream, left = self.session("asker", [query])
                try:
                    for frame in stream:
                        answers = part.CoordinatorFrame.FromString(frame).answers
                        if answers:
                            return answers[0].verdict
                except grpc.RpcError as failed:
                    self.assertEqual(EXHAUSTED, failed.code())
                finally:
                    self.close(stream, left)

        verdicts = part.OutcomeAnswer
        self.assertEqual(verdicts.CANNOT_TELL, ask("asked-bank", "1"), "another service's")
        self.assertEqual(verdicts.CANNOT_TELL, ask("asked-ended", "1"), "also when it has ended")
        self.assertEqual(verdicts.CANNOT_TELL, ask("asked-stock", "2"), "no branch of it")
        self.assertEqual(verdicts.ABORT, ask("asked-nothing", "1"), "presumed, of what is not there")
        self.assertIn(ask("asked-stock", "1"), (verdicts.UNDECIDED, verdicts.ABORT), "its own")
        self.end("asked-bank", who="shop")

    # ---- Changed ---------------------------------------------------------------------------------------------------

    def reload(self, text):
        self.write(text)
        with open(self.daemon.log, encoding="utf-8") as log:
            log.seek(0, os.SEEK_END)
            self.daemon.process.send_signal(signal.SIGHUP)
            said = ""
            while "event=auth_reloaded" not in said:
                self.assertIsNone(self.daemon.process.poll())
                said += log.readline()

    def test_limits_are_read_again(self):
        def burst():
            return [self.call("Get", "rival", tx.GetRequest(gid="none"), types.Transaction)[0] for _ in range(40)]

        self.assertNotIn(EXHAUSTED, burst())
        try:
            self.reload(RULES + "limit token:r* to 2 requests per second\n")
            self.assertIn(EXHAUSTED, burst())
            self.reload(RULES)
            self.assertNotIn(EXHAUSTED, burst())
        finally:
            self.reload(RULES)

    def test_assentctl_explains_them(self):
        said = subprocess.run([os.path.join(BIN, "assentctl"), "auth", "explain", "token:stock", "serve", "--rules", self.rules],
                              capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual(0, said.returncode, said)
        self.assertIn("limits: 2 sessions", said.stdout)


if __name__ == "__main__":
    unittest.main()
