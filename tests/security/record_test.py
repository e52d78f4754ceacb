#!/usr/bin/python3
"""The record of a real daemon with rules: what is in it, what is never in it, and that whoever changes it is found."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../http"), os.path.join(HERE, "../../examples/python")]

import grpc  # noqa: E402
from rig import BIN, PATIENCE_SECONDS, Daemon, Participant  # noqa: E402
from stubs import maintenance_pb2 as maintenance, transaction_pb2 as tx, types_pb2 as types  # noqa: E402

PAYLOAD = b"marker-of-a-payload"


def assentctl(*arguments, code=0):
    done = subprocess.run([os.path.join(BIN, "assentctl"), *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == code, (arguments, done)
    return done.stdout


class Coordinator(Daemon):
    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 0
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Record(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="assent-record-")
        self.rules, tokens = (os.path.join(self.folder.name, name) for name in ("rules", "tokens"))
        self.tokens = {name: assentctl("auth", "token", name, "--append", tokens).strip() for name in ("initiator", "operator", "viewer", "admin")}
        with open(self.rules, "w", encoding="utf-8") as file:
            file.write("allow token:initiator as initiator for *\nallow token:operator as operator\nallow token:viewer as viewer\nallow token:admin as admin\n")
        self.participant = Participant()
        self.daemon = Coordinator("--unary", f"bank={self.participant.endpoint}", "--auth-rules", self.rules, "--auth-tokens", tokens)
        self.data = self.daemon.data
        self.channel = grpc.insecure_channel(self.daemon.endpoint)

    def tearDown(self):
        self.channel.close()
        self.daemon.close()
        self.participant.close()
        self.folder.cleanup()

    def call(self, method, token, request, more=()):
        metadata = ((("authorization", "Bearer " + self.tokens.get(token, token)),) if token else ()) + more
        try:
            return self.channel.unary_unary("/assent.v1." + method)(request.SerializeToString(), metadata=metadata, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as failed:
            return failed.code()

    def entries(self, **more):
        return tx.ListAuditReply.FromString(self.call("TransactionService/ListAudit", "operator", tx.ListAuditRequest(**more))).entries

    def act(self):
        spec = types.TransactionSpec(gid="order-1", deadline_ms=3_600_000, branches=[types.BranchSpec(
            branch_id="1", service="bank", action="pay", protocol=types.TCC, payload=PAYLOAD)])
        self.call("TransactionService/Submit", "initiator", tx.SubmitRequest(transaction=spec, wait_for=types.WAIT_ACCEPTED))
        self.call("TransactionService/Begin", "initiator", tx.BeginRequest(transaction=types.TransactionSpec(gid="order-2", deadline_ms=3_600_000)))
        self.call("TransactionService/Suspend", "operator", tx.SuspendRequest(action=tx.OperatorAction(gid="order-2", who="ann", reason="why not")))

    def test_what_is_on_record_and_what_never_is(self):
        self.act()
        wrong = "assent_operator_" + "f" * 64
        for _ in range(15):  # of twenty in a minute the door would look at none
            self.assertEqual(grpc.StatusCode.UNAUTHENTICATED, self.call("TransactionService/List", wrong, tx.ListRequest()))
        for method in ("TransactionService/Suspend", "TransactionService/Forget", "ClusterService/Fence"):
            for _ in range(2):
                self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, self.call(method, "viewer", tx.SuspendRequest()))
        # It was refused in nobody's name.
        forged = (("assent-forwarded", "1"), ("assent-on-behalf-of", "token:operator"))
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, self.call("TransactionService/List", "initiator", tx.ListRequest(), forged))
        os.kill(self.daemon.process.pid, signal.SIGHUP)
        end = time.monotonic() + PATIENCE_SECONDS
        while len(self.entries(kinds=["reload"])) < 2:
            self.assertLess(time.monotonic(), end)
        self.assertEqual([("suspend", "token:operator", "ann")], [(one.verb, one.who, one.claims) for one in self.entries(kinds=["deed"])])
        refused = self.entries(refused=True)
        self.assertEqual([1] * 5, [one.times for one in refused], "the others of the thief are counted")
        self.assertEqual([("", "TransactionService/List"), ("token:initiator", "TransactionService/List"), ("token:viewer", "ClusterService/Fence"),
                          ("token:viewer", "TransactionService/Forget"), ("token:viewer", "TransactionService/Suspend")],
                         sorted((one.who, one.detail) for one in refused), "no call of somebody known hides behind another")
        self.assertEqual(["start"], [one.kind for one in self.entries(kinds=["start", "stop"])])
        self.daemon.stop()
        self.assertIn("each fits the one before it", assentctl("audit", "verify", "--file", f"{self.data}/audit.db"))
        with sqlite3.connect(f"file:{self.data}/audit.db?immutable=1", uri=True) as db:
            text = "\n".join(db.iterdump())
            self.assertEqual([(14,)], db.execute("SELECT times FROM audit_rows WHERE kind = 'refused' AND who = '' AND times > 1").fetchall())
            self.assertEqual([(1,)], db.execute("SELECT count(*) FROM audit_rows WHERE kind = 'stop'").fetchall())
        with open(f"{self.data}/audit.db", "rb") as file:
            stored = file.read()
        for secret in (PAYLOAD, wrong.encode(), *(token.encode() for token in self.tokens.values())):
            self.assertNotIn(secret, stored)
            self.assertNotIn(secret.decode(), text)
            self.assertNotIn(secret.split(b"_")[-1], stored)

    def test_a_copy_of_everything_is_on_record(self):
        """Payloads too are in it, and nothing said who had them."""
        def backup(token):
            try:
                return sum(1 for _ in self.channel.unary_stream("/assent.v1.MaintenanceService/Backup")(
                    b"", metadata=(("authorization", "Bearer " + self.tokens[token]),), timeout=PATIENCE_SECONDS))
            except grpc.RpcError as failed:
                return failed.code()
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, backup("operator"))
        self.assertEqual([], list(self.entries(kinds=["deed"])))
        self.assertGreater(backup("admin"), 1)
        end = time.monotonic() + PATIENCE_SECONDS
        while not (entries := self.entries(verb="backup"))[0].result:
            self.assertLess(time.monotonic(), end)
        self.assertEqual([("backup", "token:admin", "OK")], [(one.verb, one.who, one.result) for one in entries])

    def test_who_changes_it_is_found(self):
        self.act()
        self.daemon.stop()
        with open(self.daemon.log, encoding="utf-8") as log:
            heads = [line.split("head=")[1].split()[0] for line in log if "event=audit_head" in line]
        self.assertGreaterEqual(len(heads), 2, "behind the start, and at the stop")
        file = f"{self.data}/audit.db"
        assentctl("audit", "verify", "--file", file, *(word for head in heads for word in ("--expect", head)))

        def changed(sql):
            other = os.path.join(self.folder.name, "other.db")
            shutil.copy(file, other)
            with sqlite3.connect(other) as db:
                db.executescript("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;" + sql)
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.close()
            return other
        for sql, says in (("UPDATE audit_rows SET who = 'token:operatos' WHERE number = 2", "deeds 2: was changed"),
                          ("DELETE FROM audit_rows WHERE number = 2", "deeds 2: is missing"),
                          ("DELETE FROM audit_rows WHERE number = 1", "nothing says that it was retired"),
                          ("UPDATE audit_rows SET number = 99 WHERE number = 2; UPDATE audit_rows SET number = 2 WHERE number = 3;"
                           "UPDATE audit_rows SET number = 3 WHERE number = 99", "deeds 2: was changed")):
            self.assertIn(says, assentctl("audit", "verify", "--file", changed(sql), code=1))
        cut = changed("DELETE FROM audit_rows WHERE number > 2")
        assentctl("audit", "verify", "--file", cut)
        self.assertIn("is missing", assentctl("audit", "verify", "--file", cut, "--expect", heads[-1], code=1))

    def test_nothing_is_beside_a_row_of_an_export(self):
        """What no hash has in it was taken along, and the whole was said to be as it was written."""
        self.act()
        token, export = (os.path.join(self.folder.name, name) for name in ("token", "export"))
        with open(token, "w", encoding="utf-8") as file:
            file.write(self.tokens["operator"])
        lines = assentctl("--endpoint", self.daemon.endpoint, "--token-file", token, "audit", "export").splitlines()
        at = next(number for number, line in enumerate(lines) if '"why not"' in line)

        def verify(line, code):
            with open(export, "w", encoding="utf-8") as file:
                file.write("\n".join([*lines[:at], line, *lines[at + 1:]]) + "\n")
            done = subprocess.run([os.path.join(BIN, "assentctl"), "audit", "verify", "--file", export], capture_output=True, text=True,
                                  timeout=PATIENCE_SECONDS, check=False)
            self.assertEqual(code, done.returncode, done)
            return done.stderr
        verify(json.dumps(dict(sorted(json.loads(lines[at]).items())), indent=None), 0)  # as another program writes it
        for said in (', "note": "agreed by ann"}', ', "Who": "token:initiator"}'):
            self.assertIn("is not as it is written in a record", verify(lines[at][:-1] + said, 1))
        self.assertIn('"times" is not as', verify(lines[at].replace('"times":0', '"times":0.9'), 1))
        self.assertIn("must be number, but is boolean", verify(lines[at].replace('"times":0', '"times":false'), 1))

    def test_a_kill_between_and_the_chain_goes_on(self):
        self.act()
        self.daemon.kill()
        found = assentctl("doctor", "--data", self.data, "-o", "json")
        self.assertIn("rows in their chains", found)
        self.daemon.start()
        self.channel.close()
        self.channel = grpc.insecure_channel(self.daemon.endpoint)
        self.act()
        self.assertEqual(["start", "start"], [one.kind for one in self.entries(kinds=["start", "stop"])], "no stop: it died")
        reply = maintenance.ReadAuditReply.FromString(self.call("MaintenanceService/ReadAudit", "operator", maintenance.ReadAuditRequest(chain="deeds")))
        self.assertEqual(list(range(1, len(reply.rows) + 1)), [row.number for row in reply.rows])
        self.assertEqual(grpc.StatusCode.PERMISSION_DENIED, self.call("MaintenanceService/ReadAudit", "viewer", maintenance.ReadAuditRequest()))
        assentctl("audit", "verify", "--file", f"{self.data}/audit.db")  # while it is in use


class Copies(unittest.TestCase):
    """Of a daemon that asks nobody who he is."""

    def test_exports_go_on_and_are_checked(self):
        with tempfile.TemporaryDirectory(prefix="assent-record-") as folder:
            daemon = Daemon()
            try:
                at = ("--endpoint", daemon.endpoint)
                copy = os.path.join(folder, "audit.jsonl")
                assentctl(*at, "retry", "nobody", "--reason", "x\u202e\"\\", "--who", "ann", code=4)
                with open(copy, "w", encoding="utf-8") as file:
                    file.write(assentctl(*at, "audit", "export"))
                assentctl(*at, "retry", "nobody", "--reason", "y", "--who", "ann", code=4)
                more = assentctl(*at, "audit", "export", "--after", copy)
                self.assertEqual(2, len(more.splitlines()))
                with open(copy, "a", encoding="utf-8") as file:
                    file.write(more)
                self.assertEqual("", assentctl(*at, "audit", "export", "--after", copy))
                online = json.loads(assentctl(*at, "audit", "verify", "-o", "json"))
                self.assertEqual([], online["faults"])
                offline = json.loads(assentctl("audit", "verify", "--file", copy, "--expect", online["heads"][0], "-o", "json"))
                self.assertEqual(online, offline)
                lines = open(copy, encoding="utf-8").read().replace('"who":"ann"', '"who":"amn"', 1)
                with open(copy, "w", encoding="utf-8") as file:
                    file.write(lines)
                self.assertIn("was changed", assentctl("audit", "verify", "--file", copy, code=1))
                with open(copy, "w", encoding="utf-8") as file:
                    file.write(lines[:-20])
                assentctl("audit", "verify", "--file", copy, code=1)
                assentctl("audit", "verify", "--file", copy + "x", code=4)
            finally:
                daemon.close()


if __name__ == "__main__":
    unittest.main()
