#!/usr/bin/python3
"""A backup of an assentd under load, more commits, a death, a restore: nothing of the lost time is presumed."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from daemon import BIN, Ctl, CtlTest, Daemon  # noqa: E402
from load import Load, wire  # noqa: E402

COMMIT, ABORT, CANNOT_TELL, UNDECIDED = (getattr(wire.part.OutcomeAnswer, name) for name in ("COMMIT", "ABORT", "CANNOT_TELL", "UNDECIDED"))
TWO_PHASE, SAGA = wire.types.TWO_PHASE, wire.types.SAGA


class Holding:
    """Votes yes, and keeps to itself what is asked of it then while `silent`."""

    def __init__(self, silent=False):
        self.silent = silent
        self.held = {}  # (gid, branch_id) to the command that prepared it

    def __call__(self, command):
        if command.operation == wire.types.PREPARE:
            self.held[command.gid, command.branch_id] = command
            return wire.DONE
        if self.silent:
            return None
        self.held.pop((command.gid, command.branch_id), None)
        return wire.DONE


class Restore(CtlTest):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="assent-restore-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.backup, self.data = f"{self.folder}/backup", f"{self.folder}/restored"
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)

    def restore(self, code, *arguments):
        return self.expect(code, "restore", self.backup, "--data", self.data, *arguments)

    def start_restored(self):
        self.daemon.data = self.data
        self.daemon.start()

    def session(self, service, answer, actions=(("act", TWO_PHASE),)):
        session = wire.Session(self.daemon.endpoint, service, answer, actions)
        self.assertTrue(session.welcome.wait(30))
        return session

    def ask(self, session, command):
        session.send(queries=[wire.part.OutcomeQuery(gid=command.gid, branch_id=command.branch_id, coordinator_id=command.coordinator_id,
                                                     began_epoch=command.began_epoch)])
        return session.answers.get(timeout=30)

    def submit(self, gid, *branches, wait_for=wire.types.WAIT_ACCEPTED):
        branches = [wire.branch(one, protocol=TWO_PHASE) if isinstance(one, str) else one for one in branches]
        stub = wire.tx_grpc.TransactionServiceStub(wire.connect(self.daemon.endpoint))
        return stub.Submit(wire.tx.SubmitRequest(transaction=wire.spec(gid, *branches, deadline_ms=86_400_000), wait_for=wait_for), timeout=30)

    def test_lost_time(self):
        """Of the same start and of a later one; what was known is still known, and told."""
        holding = Holding()
        load = Load(self.daemon.endpoint, holding)
        before = load.wait_for(300)
        made = self.expect(0, "backup", self.backup, "-o", "json").json
        # From here on all is decided, and nobody finishes any more.
        holding.silent = True
        load.wait_for(len(load.wait_for(0)) + 4)
        load.stop()
        self.assertEqual({"COMMITTED"}, set(load.told.values()))
        held = list(holding.held.values())
        self.daemon.kill()
        self.daemon.start()  # a start that the backup has not heard of
        later = Holding(silent=True)
        sessions = [self.session(service, later) for service in ("first", "second")]
        self.assertEqual(wire.types.COMMITTED, self.submit("later", "first", "second", wait_for=wire.types.WAIT_DECIDED).outcome)
        late = [command for command in later.held.values() if command.gid == "later"]
        for session in sessions:
            session.close()
        self.daemon.kill()
        self.assertEqual(2, len(late))

        restored = self.ctl("restore", self.backup, "--data", self.data, "-o", "json")
        self.assertIn(restored.code, (0, 12), restored)  # whether the load had one that was undecided
        self.assertEqual(made["coordinator_id"], restored.json["coordinator_id"])
        unfinished = {one["gid"]: one["kind"] for one in restored.json["unfinished"]}
        self.start_restored()
        asking = self.session("first", Holding(silent=True))
        lost = 0
        for command in held + late:
            answer = self.ask(asking, command)
            self.assertFalse(answer.finished)
            shown = self.ctl("show", command.gid)
            if shown.code == 4:  # the initiator is told that it is not known, never that it was aborted
                lost += 1
                self.assertEqual(CANNOT_TELL, answer.verdict, f"{command.gid}: {answer}")
            elif unfinished.get(command.gid) == "committing":
                self.assertEqual(COMMIT, answer.verdict)
        self.assertGreaterEqual(lost, 4)
        # Also of a gid that was never there: whatever this id had begun before, it may have forgotten.
        stranger = wire.part.OutcomeQuery(gid="nobody-knows", branch_id="1", coordinator_id=late[0].coordinator_id, began_epoch=made["epoch"])
        self.assertEqual(CANNOT_TELL, self.ask(asking, stranger).verdict)
        # What was finished is known as it was; and it works, with epochs that are its own.
        self.assertIn("COMMITTED", self.expect(0, "show", before[0]).out)
        asking.close()
        now = [self.session(service, Holding()) for service in ("first", "second")]
        self.assertEqual(wire.types.COMMITTED, self.submit("after", "first", "second", wait_for=wire.types.WAIT_COMPLETED).outcome)
        mine = [command for command in now[0].commands if command.gid == "after"][0]
        stranger = wire.part.OutcomeQuery(gid="never-began", branch_id="1", coordinator_id=mine.coordinator_id, began_epoch=mine.began_epoch)
        self.assertEqual(ABORT, self.ask(now[0], stranger).verdict)
        entry = self.expect(0, "audit", "--verb", "restore", "-o", "json").json["entries"][0]
        self.assertEqual((self.backup, "OK"), (entry["detail"], entry["result"]))

    def test_what_becomes_of_each_kind(self):
        """What is decided goes on, unless something could be done twice, or a person may have settled it."""
        def answer(command):
            if command.action == "ship" or command.operation in (wire.types.COMMIT, wire.types.ROLLBACK):
                return None
            return wire.DONE
        actions = (("act", TWO_PHASE), ("pay", SAGA), ("ship", SAGA))
        session = self.session("first", answer, actions)
        for gid in ("committing", "held-by-kim"):
            self.submit(gid, "first", "first", wait_for=wire.types.WAIT_DECIDED)
        self.expect(0, "suspend", "held-by-kim", "--reason", "test", "--yes")
        self.submit("undecided", "first", "late")
        self.submit("aborting", "first", "late")
        self.expect(0, "abort", "aborting", "--yes", "--reason", "test")
        self.submit("steps", wire.branch("first", "pay", SAGA, pivot=True), wire.branch("first", "ship", SAGA), wait_for=wire.types.WAIT_DECIDED)
        self.until(lambda: session.operations("steps")[-1:] == ["ACTION"] and len(session.operations("steps")) == 2)
        self.expect(0, "backup", self.backup)
        self.daemon.kill()
        session.close()

        looked = self.restore(12, "--dry-run", "-o", "json").json
        self.assertFalse(os.path.exists(self.data))
        restored = self.restore(12, "-o", "json").json
        self.assertEqual(looked["unfinished"], restored["unfinished"])
        kinds = {one["gid"]: (one["kind"], one["for_a_person"]) for one in restored["unfinished"]}
        self.assertEqual({"committing": ("committing", False), "aborting": ("aborting", False), "undecided": ("undecided", True),
                          "held-by-kim": ("suspended", True), "steps": ("steps-left", True)}, kinds)
        self.assertEqual(["assent.db", "audit.db", "audit.db-shm", "audit.db-wal"], sorted(os.listdir(self.data)))
        self.assertEqual({0o600}, {os.stat(f"{self.data}/{name}").st_mode & 0o777 for name in os.listdir(self.data)})
        self.expect(0, "doctor", "--data", self.data)
        self.start_restored()
        heard = {service: self.session(service, Holding(), actions) for service in ("first", "late")}
        self.expect(0, "wait", "committing", "--timeout", "30s")
        self.expect(10, "wait", "aborting", "--timeout", "30s")
        shown = self.expect(0, "show", "steps").out
        self.assertIn("restored from a backup: what was done since is not known", shown)
        self.assertEqual([], heard["first"].operations("steps"))
        self.assertEqual([], heard["first"].operations("held-by-kim"))
        for gid in ("steps", "held-by-kim"):
            self.expect(0, "resume", gid, "--reason", "asked them")
            self.expect(0, "wait", gid, "--timeout", "30s")
        self.assertEqual(["ACTION"], heard["first"].operations("steps"))
        # What people did until then is still on record.
        verbs = {(one["verb"], one["gid"]) for one in self.expect(0, "audit", "-o", "json").json["entries"]}
        self.assertLessEqual({("suspend", "held-by-kim"), ("abort", "aborting"), ("restore", "")}, verbs)

    def test_what_was_undecided_is_held(self):
        """Of three that the backup has undecided one was committed in the lost time, and somebody was told so: it is not aborted."""
        quiet = Holding(silent=True)
        actions = (("act", TWO_PHASE), ("try", wire.types.TCC))
        session = self.session("first", quiet, actions)
        for gid in ("was-committed", "was-not"):
            self.submit(gid, "first", "late")
        self.submit("tcc", wire.branch("first", "try", wire.types.TCC), wire.branch("late", "try", wire.types.TCC))
        self.until(lambda: {gid for gid, _ in quiet.held} >= {"was-committed", "was-not"} and session.operations("tcc"))
        self.expect(0, "backup", self.backup)
        self.expect(0, "abort", "was-not", "--yes", "--reason", "test")
        late = self.session("late", Holding(silent=True), (("act", TWO_PHASE),))
        self.expect(0, "wait", "was-committed", "--for", "decided", "--timeout", "30s")
        self.daemon.kill()
        for one in (session, late):
            one.close()

        restored = self.restore(12, "-o", "json").json
        self.assertEqual({(gid, "undecided", True) for gid in ("was-committed", "was-not", "tcc")},
                         {(one["gid"], one["kind"], one["for_a_person"]) for one in restored["unfinished"]})
        self.start_restored()
        first = self.session("first", Holding(), actions)
        heard = {"first": first, "late": self.session("late", Holding(), actions)}
        for gid in ("was-committed", "was-not"):
            self.assertEqual(UNDECIDED, self.ask(first, quiet.held[gid, "1"]).verdict)
        self.assertEqual({"was-committed", "was-not", "tcc"}, set(self.expect(0, "list", "--needs-operator", "-o", "id").out.split()))
        self.assertIn("held: the log was put back to an older state", self.expect(0, "show", "was-committed").out)
        self.assertIn("two-phase work that is undecided is never resumed", self.expect(5, "resume", "was-committed", "--reason", "x").err)
        self.initiators_are_told()
        # Neither does a start more, nor is anything sent.
        self.daemon.stop()
        self.daemon.start()
        known = heard
        heard = {service: self.session(service, Holding(), actions) for service in ("first", "late")}
        self.submit("new", "first", "late", wait_for=wire.types.WAIT_COMPLETED)
        for gid in ("was-committed", "was-not", "tcc"):
            self.assertEqual([], [operation for one in (*known.values(), *heard.values()) for operation in one.operations(gid)])
        # A person has asked the participants.
        self.expect(0, "resolve", "was-committed", "2", "commit", "--reason", "late has committed", "--yes")
        self.expect(0, "abort", "was-not", "--reason", "nobody has", "--yes")
        self.expect(0, "resume", "tcc", "--reason", "they remember")
        self.expect(0, "wait", "was-committed", "--timeout", "30s")
        self.expect(10, "wait", "was-not", "--timeout", "30s")
        self.expect(0, "wait", "tcc", "--timeout", "30s")
        self.assertEqual(["COMMIT"], heard["first"].operations("was-committed"))
        self.assertEqual(["ROLLBACK"], heard["first"].operations("was-not"))
        self.assertIn("COMMITTED", self.expect(0, "show", "was-committed").out)

    def initiators_are_told(self):
        """Whoever asks again for one that is held is told so, at once, and not kept until his own deadline."""
        stub = wire.tx_grpc.TransactionServiceStub(wire.connect(self.daemon.endpoint))
        branches = [wire.branch("first", "try", wire.types.TCC), wire.branch("late", "try", wire.types.TCC)]
        again = wire.tx.SubmitRequest(transaction=wire.spec("tcc", *branches, deadline_ms=86_400_000), wait_for=wire.types.WAIT_DECIDED)
        last = wire.branch("late", "try", wire.types.TCC)
        last.branch_id = "2"
        for ask, request in ((stub.Submit, again), (stub.Wait, wire.tx.WaitRequest(gid="tcc", wait_for=wire.types.WAIT_COMPLETED)),
                             (stub.Commit, wire.tx.CommitRequest(gid="tcc")),
                             (stub.ExecuteBranch, wire.tx.ExecuteBranchRequest(gid="tcc", branch=last)),
                             (stub.Rollback, wire.tx.RollbackRequest(gid="tcc"))):
            with self.assertRaises(wire.grpc.RpcError) as refused:
                ask(request, timeout=30)
            self.assertEqual(wire.grpc.StatusCode.FAILED_PRECONDITION, refused.exception.code(), f"{ask}: {refused.exception}")
            self.assertIn("transaction tcc is held: the log was put back to an older state and may lack what became of it. A person has to look",
                          refused.exception.details())
        streamed = wire.tx.SubmitRequestFrame(requests=[again])
        reply = next(stub.SubmitStream(iter([streamed]), timeout=30)).replies[0]
        self.assertEqual(9, reply.error_code)
        # It was accepted, and is.
        again.wait_for = wire.types.WAIT_ACCEPTED
        self.assertEqual(wire.types.ACTIVE, stub.Submit(again, timeout=30).state)

    def test_a_branch_that_knows_is_asked(self):
        """One phase: the only branch of a 2pc transaction has committed or not, and says so."""
        session = self.session("first", lambda command: None)
        self.submit("alone", "first")
        self.until(lambda: session.operations("alone"))
        self.expect(0, "backup", self.backup)
        self.daemon.kill()
        session.close()
        self.assertEqual([("alone", "asked", False)], [(one["gid"], one["kind"], one["for_a_person"])
                                                       for one in self.restore(0, "-o", "json").json["unfinished"]])
        self.start_restored()
        refuses = self.session("first", lambda command: wire.part.BranchReply.REFUSED)  # to roll back: it has committed
        self.expect(0, "wait", "alone", "--timeout", "30s")
        self.assertEqual(["ROLLBACK"], refuses.operations("alone"))

    def test_what_is_said(self):
        for n in range(25):
            self.submit(f"waits-{n}", "late", "first")
        self.expect(0, "backup", self.backup)
        self.daemon.kill()
        said = self.restore(12, "--dry-run").out
        for words in ("(dry run)", "0 finished, 25 unfinished", "25 undecided: may have been decided since", "waits-3: late/act EXECUTING, first/act EXECUTING",
                      "and 5 more: -o json", "told CANNOT_TELL", "assentctl list --needs-operator"):
            self.assertIn(words, said)
        self.assertEqual({f"waits-{n}" for n in range(25)}, set(self.restore(12, "-o", "id").out.split()))

    def test_refusals(self):
        """Not over anything, nor of anything but a whole backup; and the backup stays as it is."""
        self.expect(0, "backup", self.backup)
        self.daemon.kill()
        self.assertIn("has assent.db", self.expect(5, "restore", self.backup, "--data", self.daemon.data).err)
        os.mkdir(self.data)
        with open(f"{self.data}/notes", "w", encoding="utf-8"):
            pass
        self.assertIn("has notes, and is left as it is", self.restore(5).err)
        self.restore(5, "--dry-run")
        os.remove(f"{self.data}/notes")
        damaged = f"{self.folder}/damaged"
        shutil.copytree(self.backup, damaged)
        with open(f"{damaged}/log.db", "r+b") as file:
            file.seek(5000)
            file.write(b"x")
        for more in ([], ["--dry-run"]):
            self.assertIn("is not what was written", self.expect(1, "restore", damaged, "--data", self.data, *more).err)
        self.expect(4, "restore", self.folder, "--data", self.data)
        self.assertEqual([], os.listdir(self.data))
        before = sorted((name, os.stat(f"{self.backup}/{name}").st_mtime_ns) for name in os.listdir(self.backup))
        for name in os.listdir(self.backup):
            os.chmod(f"{self.backup}/{name}", 0o400)
        self.restore(0)
        self.assertEqual(before, sorted((name, os.stat(f"{self.backup}/{name}").st_mtime_ns) for name in os.listdir(self.backup)))

    @unittest.skipUnless(os.geteuid() == 0, "files of others are root's to make")
    def test_the_files_are_those_of_the_folder(self):
        self.expect(0, "backup", self.backup)
        self.daemon.kill()
        os.mkdir(self.data)
        os.chown(self.data, 65534, 65534)
        self.restore(0)
        self.assertEqual({65534}, {os.stat(f"{self.data}/{name}").st_uid for name in os.listdir(self.data)})

    def test_a_restore_that_died(self):
        """Nobody begins a log of his own where one is to come; and it is run again."""
        self.expect(0, "backup", self.backup)
        self.daemon.kill()
        os.mkdir(self.data)
        for name, text in (("assent.db-incoming-from", f"the backup {self.backup}\n"), ("assent.db-incoming", "half"), ("audit.db", "half")):
            with open(f"{self.data}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        words = [os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", self.daemon.endpoint, "--data", self.data]
        started = subprocess.run(words, capture_output=True, text=True, timeout=60)
        self.assertEqual(73, started.returncode, started)
        self.assertIn("run assentctl restore again", started.stderr)
        other = f"{self.folder}/other"
        shutil.copytree(self.backup, other)
        self.expect(5, "restore", other, "--data", self.data)
        self.restore(0)
        self.assertEqual(["assent.db", "audit.db", "audit.db-shm", "audit.db-wal"], sorted(os.listdir(self.data)))
        self.start_restored()


if __name__ == "__main__":
    unittest.main()
