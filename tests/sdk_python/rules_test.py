#!/usr/bin/python3
"""What decides, without a coordinator: the barrier's tables, the repetition of calls, transactions, the desk."""

import os
import re
import unittest

import support

import assent
import assent.testkit
from assent import barrier, calls, plan, wire
from assent import dialect as dialects
from assent.barrier import Kept, Move
from assent.call import Call, Reply, done
from assent.desk import Desk, Waiter
from assent.words import Kind, Operation, Protocol, Role, Verdict, cut

DESIGN = os.path.join(support.ROOT, "participant-sdk", "cpp", "barrier", "DESIGN.md")


def table(heading):
    """The rows of the table whose first column is called so."""
    with open(DESIGN, encoding="utf-8") as page:
        lines = page.read().split("\n")
    first = next(at for at, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[first + 2:]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip().strip("*") for cell in line.strip("|").split("|")])
    return rows


class Barrier(unittest.TestCase):
    """participant-sdk/cpp/barrier/DESIGN.md has the rules as tables; here they are the same."""

    def test_moves(self):
        rows = table("asked in state")
        self.assertEqual(len(rows), len(Kept))
        for name, *moves in rows:
            state = Kept.NONE if name == "no row" else Kept[name]
            self.assertEqual(tuple(Move(move) for move in moves), barrier.MOVES[state], name)

    def test_reasons(self):
        rows = table("asked")
        self.assertEqual(len(rows), len(barrier.REFUSALS))
        for operation, state, reason in rows:
            key = (Operation[operation], Kept.NONE if state == "no row" else Kept[state])
            self.assertEqual(reason, barrier.REFUSALS[key])
            row = barrier.Row() if key[1] == Kept.NONE else barrier.Row(key[1], key[0].protocol, "act")
            self.assertEqual(barrier.open_call(Call("g", "1", key[0], key[0].protocol, action="act"), row).reply.reason, reason)

    def test_what_is_kept(self):
        for ran, *kept in table("ran"):
            operation = Operation[ran.split(",")[0].split(" ")[0]]
            call = Call("g", "1", operation, operation.protocol, one_phase="one phase" in ran)
            for kind, word in zip((Kind.DONE, Kind.REFUSED, Kind.RETRY_LATER), kept):
                state = barrier.after(call, Reply(kind), wrote="nothing written" not in ran)
                self.assertEqual(state, Kept.NONE if word == "nothing" else Kept[word], (ran, kind))

    def test_upkeep(self):
        for name, *words in table("row"):
            state, protocol = Kept[name.split(" ")[0]], Protocol.TCC if "try" in name else Protocol.SAGA
            cases = [(Verdict.COMMIT, False), (Verdict.ABORT, False), (Verdict.COMMIT, True), (Verdict.ABORT, True)]
            for (verdict, finished), word in zip(cases, words):
                self.assertEqual(barrier.upkeep_for(state, protocol, verdict, finished).value, word, (name, verdict, finished))
            for verdict in (Verdict.UNDECIDED, Verdict.CANNOT_TELL):
                self.assertEqual(barrier.upkeep_for(state, protocol, verdict, True), barrier.Upkeep.KEEP)

    def test_a_row_without_a_state(self):
        """Whatever is asked: the handler is not run again, and a no is said where a person is asked then."""
        for operation in Operation:
            reply = barrier.open_call(Call("g", "1", operation, operation.protocol), barrier.Row(left=True)).reply
            self.assertEqual((reply.kind, reply.reason),
                             (Kind.RETRY_LATER if operation.role == Role.FORWARD else Kind.REFUSED, barrier.COMMITTED_ITSELF))

    def test_another_protocol_or_action_is_a_hazard(self):
        row = barrier.Row(Kept.DONE, Protocol.TCC, "reserve")
        for call in (Call("g", "1", Operation.ACTION, Protocol.SAGA, action="reserve"), Call("g", "1", Operation.TRY, Protocol.TCC, action="x")):
            self.assertIn("HAZARD", barrier.open_call(call, row).reply.reason)
        mixed = Call("g", "1", Operation.ACTION, Protocol.TCC, action="reserve")
        self.assertEqual(barrier.open_call(mixed, barrier.Row()).reply.kind, Kind.REFUSED)


class Ends(unittest.TestCase):
    def test_words_that_end_a_transaction(self):
        everywhere = ("COMMIT", " commit;", "BEGIN", "START  TRANSACTION", "END", "ROLLBACK", "ROLLBACK WORK", "/* a */ COMMIT",
                      "/* a\n */-- b\n;COMMIT", "PREPARE TRANSACTION 'x'", "XA START 'x'")
        several = ("SELECT 1; COMMIT", "UPDATE a SET b = ';' ; COMMIT", "SELECT ''';'; COMMIT")
        mysql = ("# a\nCOMMIT", "/*! COMMIT */", "/*!50000 COMMIT */", "/*M!100100 COMMIT */", "SET autocommit = 1", "SET @@autocommit=1",
                 "SET SESSION autocommit = 0", "SET x = 1, @@session.autocommit = 1", "LOCK TABLES a WRITE", "UNLOCK TABLES",
                 r"SELECT '\'; COMMIT'; COMMIT", "SELECT 1--1; COMMIT")
        postgresql = (r"SELECT '\'; COMMIT", r"SELECT E'\''; COMMIT", "SELECT $a$ $b$ ; $a$; COMMIT", "SELECT $1; COMMIT")
        bodies = ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                  "create or replace procedure p() begin atomic INSERT INTO a VALUES (1); END; SELECT 1")
        postgresql += (f"{bodies[1]}; COMMIT", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$; END")
        harmless = ("SELECT 1", "", "ROLLBACK TO SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK WORK TO a", "SAVEPOINT a", "SELECT 'a; COMMIT'",
                    "-- COMMIT", "/* ; COMMIT */ SELECT 1", 'SELECT "a; COMMIT"', "UPDATE commits SET a = 1", "SELECT 1 -- ; COMMIT\n",
                    "COMMITTED")
        for dialect, ends, fine in (
                (dialects.SQLITE, everywhere, (*harmless, "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END")),
                (dialects.POSTGRESQL, (*everywhere, *several, *postgresql),
                 (*harmless, *bodies, "SELECT $$; COMMIT $$", "LOCK TABLE a", r"SELECT E'\'; COMMIT'")),
                (dialects.MYSQL, (*everywhere, *several, *mysql),
                 (*harmless, "CALL pay()", "SELECT `a; COMMIT`", "# ; COMMIT", r"SELECT '\'; COMMIT'", "SET x = 1"))):
            for sql in ends:
                self.assertNotEqual(dialect.ending(sql), "", sql)
            for sql in fine:
                self.assertEqual(dialect.ending(sql), "", sql)


class View:
    """What ClusterService.Get says."""

    def __init__(self, *members, version=1, owners=(1,), departed=()):
        self.version, self.generation = version, 0
        self.members = [type("Member", (), {"address": address}) for address in members]
        self.departed = [type("Member", (), {"address": address}) for address in departed]
        self.slots = b"".join(owner.to_bytes(2, "little") for owner in owners)


class Plans(unittest.TestCase):
    """A client's call, its steps answered by hand."""

    def setUp(self):
        self.now = 0.0

    def begin(self, seeds=("a:1",), read_only=False, give_up_after=10.0, timeout=100.0):
        self.routes = plan.Routes(list(seeds))
        steps = plan.call(self.routes, "Submit", "request", "map", gid="g", what="Submit of transaction g", timeout=timeout,
                          read_only=read_only, retry=plan.Retry(give_up_after=give_up_after), now=lambda: self.now)
        return steps

    def drive(self, steps, answer, limit=200):
        """Until it ends; `answer(ask)` gives the Attempt. The asks, but for those of the map."""
        asks, sent = [], None
        for _ in range(limit):
            try:
                step = steps.send(sent)
            except StopIteration as end:
                return asks, end.value
            sent = None
            if isinstance(step, plan.Pause):
                self.now += max(step.seconds, 0.01)
            else:
                if step.method != "Cluster":
                    asks.append(step.endpoint)
                sent = answer(step)
        self.fail("it never ended")

    def alone(self, answer):
        return lambda ask: plan.Attempt("OK", reply=View(version=0)) if ask.method == "Cluster" else answer(ask)

    def failing(self, code, contacted=True):
        def answer(ask):
            self.now += 1.0
            return plan.Attempt(code, "as it is", contacted=contacted)
        return answer

    def test_an_answer_is_an_answer(self):
        self.assertEqual(self.drive(self.begin(), self.alone(lambda ask: plan.Attempt("OK", reply="done"))), (["a:1"], "done"))
        for code, error in assent.errors.FINAL.items():
            with self.assertRaises(error):
                self.drive(self.begin(), self.alone(lambda ask, code=code: plan.Attempt(code)))

    def test_a_status_that_a_library_makes_up_is_never_a_no(self):
        for code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED", "INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "PERMISSION_DENIED",
                     "UNAUTHENTICATED", "DEADLINE_EXCEEDED"):
            with self.assertRaises(assent.UnknownOutcome, msg=code) as unknown:
                self.drive(self.begin(), self.alone(self.failing(code)))
            self.assertIn("same gid", str(unknown.exception))
            self.assertEqual(unknown.exception.gid, "g")

    def test_what_never_left_is_known_to_be_not_done(self):
        with self.assertRaises(assent.Unavailable):
            self.drive(self.begin(), self.failing("UNAVAILABLE", contacted=False))

    def test_once_it_may_have_been_done_it_stays_unknown(self):
        asked = []

        def answer(ask):
            asked.append(ask)
            self.now += 1.0
            return plan.Attempt("UNAVAILABLE", contacted=len(asked) == 1)

        with self.assertRaises(assent.UnknownOutcome):
            self.drive(self.begin(), self.alone(answer))

    def test_a_question_that_has_no_answer_has_changed_nothing(self):
        with self.assertRaises(assent.Unavailable):
            self.drive(self.begin(read_only=True), self.alone(self.failing("UNAVAILABLE")))
        with self.assertRaises(assent.DeadlineExceeded):
            self.drive(self.begin(read_only=True, timeout=3.0), self.alone(self.failing("UNAVAILABLE")))
        with self.assertRaises(assent.NotAllowed):
            self.drive(self.begin(read_only=True), self.alone(self.failing("PERMISSION_DENIED")))

    def test_members_of_one_log_are_asked_in_turn_the_owner_first(self):
        view = View("a:1", "b:1", "c:1", owners=(2,))

        def answer(ask):
            if ask.method == "Cluster":
                return plan.Attempt("OK", reply=view)
            return plan.Attempt("OK", reply="done") if ask.endpoint == "c:1" else plan.Attempt("UNAVAILABLE")

        self.assertEqual(self.drive(self.begin(("a:1",)), answer), (["b:1", "a:1", "c:1"], "done"))

    def test_who_has_it_is_asked_next(self):
        view = View("a:1", "b:1", "c:1", owners=(1,))

        def answer(ask):
            if ask.method == "Cluster":
                return plan.Attempt("OK", reply=view)
            return plan.Attempt("OK", reply="done") if ask.endpoint == "c:1" else plan.Attempt("UNAVAILABLE", owner="c:1")

        self.assertEqual(self.drive(self.begin(), answer)[0], ["a:1", "c:1"])

    def test_what_may_have_been_done_stays_until_the_log_is_known_to_be_shared(self):
        """Two coordinators that share no log, named together by mistake: the second would do again what the first had done."""
        def answer(ask):
            if ask.method == "Cluster":
                return plan.Attempt("UNAVAILABLE", contacted=False)
            self.now += 1.0
            return plan.Attempt("UNAVAILABLE")

        steps = self.begin(("a:1", "b:1"))
        asks = []
        sent = None
        with self.assertRaises(assent.UnknownOutcome):
            while True:
                step = steps.send(sent)
                sent = None if isinstance(step, plan.Pause) else answer(step)
                if isinstance(step, plan.Ask) and step.method != "Cluster":
                    asks.append(step.endpoint)
        self.assertEqual(set(asks), {"a:1"})

    def test_slots_are_those_of_the_coordinator(self):
        self.assertEqual(plan.slot_of("", 1 << 60), 0xCBF29CE484222325 % (1 << 60))
        self.assertEqual(plan.slot_of("a", 1 << 64), 0xAF63DC4C8601EC8C)


class Transactions(unittest.TestCase):
    def refused(self, part, transaction):
        with self.assertRaises(assent.InvalidArgument) as wrong:
            transaction.check()
        self.assertIn(part, str(wrong.exception))

    def test_what_is_wrong_is_said_before_anything_is_sent(self):
        self.refused("at least one", assent.Transaction())
        self.refused("gid is ", assent.Transaction("with blank").saga("s", "a"))
        self.refused("1 to 64", assent.Transaction("g" * 65).saga("s", "a"))
        self.refused("branches[1].service", assent.Transaction().saga("s", "a").saga("", "a"))
        self.refused("1048577 bytes; at most 1048576", assent.Transaction().saga("s", "a", b"x" * 1048577))
        self.refused("129 branches; at most 128", [t := assent.Transaction(), [t.saga("s", "a") for _ in range(129)]][0])
        self.refused("pivot", assent.Transaction().tcc("s", "a", pivot=True))
        self.refused("branches[1].check_back is set", assent.Transaction().saga("s", "a").saga("s", "a", check_back=True))
        self.refused("'2' is taken", assent.Transaction().saga("s", "a", id="2").saga("s", "a"))
        self.refused("no other branch", assent.Transaction().saga("s", "a", after=("7",)))
        self.refused("deadline is", assent.Transaction(deadline=-1).saga("s", "a"))
        self.refused("attempt_timeout", assent.Transaction().saga("s", "a", attempt_timeout=3601))

    def test_what_checks_back(self):
        message = assent.Transaction("g").check_back("orders", "placed", first_asked=1.5).saga("shipping", "book")
        first, second = (wire.branch_spec(branch) for branch in message.branches)
        self.assertTrue(first.check_back and first.pivot)
        self.assertEqual((first.protocol, first.service, first.action, first.retry.initial_backoff_ms), (Protocol.SAGA, "orders", "placed", 1500))
        self.assertFalse(second.check_back or second.pivot)
        self.assertEqual(message.check_message(), message.branches[0])
        prepared = calls.prepare(message, None)
        self.assertEqual((prepared.method, prepared.request.wait_for), ("Submit", assent.WaitFor.ACCEPTED))
        for plain in (assent.Transaction().saga("s", "a", pivot=True), assent.Transaction().saga("s", "a").check_back("s", "b")):
            with self.assertRaisesRegex(assent.InvalidArgument, "does not begin with check_back"):
                calls.prepare(plain, None)

    def test_limits_are_those_of_the_contract(self):
        with open(os.path.join(support.ROOT, "proto", "vocabulary", "assent", "limits.h"), encoding="utf-8") as header:
            text = header.read()
        for ours, theirs in (("MAX_GID_BYTES", "kMaxGidBytes"), ("MAX_BRANCH_ID_BYTES", "kMaxBranchIdBytes"),
                             ("MAX_NAME_BYTES", "kMaxServiceNameBytes"), ("MAX_REASON_BYTES", "kMaxReasonBytes"),
                             ("MAX_RESULT_BYTES", "kMaxResultBytes"), ("MAX_PAYLOAD_BYTES", "kMaxPayloadBytes"),
                             ("MAX_BRANCHES", "kMaxBranchesCount"), ("MAX_FRAME_MESSAGES", "kMaxFrameMessagesCount"),
                             ("MAX_FRAME_BYTES", "kMaxOversizedFrameBytes")):
            number = eval(re.search(theirs + r" = ([\d* ]+);", text)[1])  # noqa: S307 (a product of numbers)
            self.assertEqual(getattr(assent.words, ours), number, ours)

    def test_gids_sort_by_time_and_are_their_own(self):
        gids = [assent.new_gid() for _ in range(1000)]
        self.assertEqual(len(set(gids)), 1000)
        self.assertTrue(all(re.fullmatch(r"[0-9a-f]{32}", gid) for gid in gids))
        self.assertEqual([gid[:12] for gid in gids], sorted(gid[:12] for gid in gids))

    def test_reasons_are_cut_to_whole_characters_that_every_database_keeps(self):
        self.assertEqual(cut("ä" * 600), "ä" * 512)
        self.assertEqual(cut("a\0b\udcff"), "a?b?")


class Heard(Waiter):
    def __init__(self, is_alive=True):
        self.is_alive, self.replies = is_alive, []

    def alive(self):
        return self.is_alive

    def answer(self, call, reply):
        self.replies.append(reply)


class Desks(unittest.TestCase):
    def setUp(self):
        self.jobs = []
        self.desk = Desk(self.jobs.append, max_calls=3)

    def call(self, operation=Operation.TRY, gid="g"):
        return Call(gid, "1", operation, operation.protocol, timeout=10.0)

    def test_the_same_operation_runs_once_and_answers_all(self):
        first, second = Heard(), Heard()
        self.assertTrue(self.desk.ask(self.call(), first))
        self.assertTrue(self.desk.ask(self.call(), second))
        self.assertEqual(len(self.jobs), 1)
        self.jobs[0].answer(done(b"x"))
        self.assertEqual(first.replies, second.replies)
        self.assertEqual(len(first.replies), 1)

    def test_two_operations_of_one_branch_never_run_at_once(self):
        self.desk.ask(self.call(Operation.TRY), Heard())
        self.desk.ask(self.call(Operation.CANCEL), Heard())
        self.assertEqual([job.call.operation for job in self.jobs], [Operation.TRY])
        self.jobs[0].answer(done())
        self.assertEqual([job.call.operation for job in self.jobs], [Operation.TRY, Operation.CANCEL])

    def test_a_full_desk_says_so(self):
        for gid in "abc":
            self.assertTrue(self.desk.ask(self.call(gid=gid), Heard()))
        self.assertFalse(self.desk.ask(self.call(gid="d"), Heard()))
        self.jobs[0].answer(done())
        self.assertTrue(self.desk.ask(self.call(gid="d"), Heard()))

    def test_what_nobody_waits_for_is_not_begun(self):
        gone = Heard(is_alive=False)
        self.desk.ask(self.call(), gone)
        self.assertFalse(self.jobs[0].begin())
        self.assertEqual((gone.replies, len(self.desk)), ([], 0))

    def test_a_former_owner_of_a_slot_is_not_heard(self):
        self.assertTrue(self.desk.heard_from_owner(1, 7, 5))
        self.assertFalse(self.desk.heard_from_owner(1, 7, 4))
        self.assertTrue(self.desk.heard_from_owner(1, 7, 0))  # there is one coordinator
        self.assertTrue(self.desk.heard_from_owner(2, 7, 4))  # another log


class Services(unittest.TestCase):
    def test_registrations_that_are_wrong_are_said(self):
        service = assent.Service("shop")
        with self.assertRaisesRegex(assent.ConfigError, "has no action"):
            service.by_action()
        service.tcc("reserve")(lambda call: None)
        with self.assertRaisesRegex(assent.ConfigError, "no handler of confirm"):
            service.by_action()
        with self.assertRaisesRegex(assent.ConfigError, "registered twice"):
            service.tcc("reserve")
        with self.assertRaisesRegex(assent.ConfigError, "1 to 128"):
            service.saga("with blank")
        with self.assertRaisesRegex(assent.ConfigError, "1 to 128"):
            assent.Service("")

    def test_what_a_plain_handler_says(self):
        service = assent.Service("shop")
        cases = {"nothing": lambda call: None, "text": lambda call: "ä", "bytes": lambda call: b"\xff", "wrong": lambda call: 7,
                 "read": lambda call: assent.read_only(), "large": lambda call: b"x" * (256 * 1024 + 1)}
        for name, handler in cases.items():
            service.saga(name)(handler)

        @service.saga("no")
        def no(call):
            raise assent.Refused("no seats")

        @service.saga("later")
        def later(call):
            raise assent.RetryLater("busy", after=1.5)

        @service.saga("unknown")
        def unknown(call):
            raise assent.Unknown("the answer to a COMMIT was lost")

        def ask(name):
            reply = assent.testkit.ask(service, Call("g", "1", Operation.ACTION, Protocol.SAGA, action=name))
            return reply.kind, reply.result, reply.reason, reply.retry_after

        self.assertEqual(ask("nothing"), (Kind.DONE, b"", "", 0))
        self.assertEqual(ask("text"), (Kind.DONE, "ä".encode(), "", 0))
        self.assertEqual(ask("bytes"), (Kind.DONE, b"\xff", "", 0))
        self.assertEqual(ask("no"), (Kind.REFUSED, b"", "no seats", 0))
        self.assertEqual(ask("later"), (Kind.RETRY_LATER, b"", "busy", 1.5))
        self.assertEqual(ask("unknown")[0], Kind.UNKNOWN)
        self.assertIn("returned a int", ask("wrong")[2])
        self.assertIn("PREPARE alone", ask("read")[2])
        self.assertIn("262145 bytes; the limit is 262144", ask("large")[2])
        self.assertEqual(ask("nobody")[0], Kind.RETRY_LATER)

    def test_a_service_that_forgets_its_answers_is_found_out(self):
        """The kit's plays can fail."""
        forgetful, count = assent.Service("shop"), iter(range(100))
        act = forgetful.saga("count")(lambda call: str(next(count)))
        act.compensate(lambda call: None)
        report = assent.testkit.check_contract(forgetful, assent.testkit.Probe(Protocol.SAGA, "count"))
        self.assertFalse(report.ok)
        self.assertTrue(any("answered otherwise" in one for one in report.broken), report)
        self.assertTrue(any("not REFUSED" in one for one in report.broken), report)

    def test_roles(self):
        self.assertEqual([operation.role for operation in Operation],
                         [Role.FORWARD, Role.FINISH, Role.UNDO] * 2 + [Role.FORWARD, Role.UNDO])


if __name__ == "__main__":
    unittest.main()
