#!/usr/bin/python3
"""assentctl doctor on folders that an assentd has left, whole and damaged; and rows out of service and back."""

import base64
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from daemon import BIN, Ctl, CtlTest, Daemon  # noqa: E402
from load import wire  # noqa: E402

SECRET = "planted-secret-of-a-payload"
WAITS = '{"branches": [{"protocol": "tcc", "service": "nobody", "action": "do", "payload": "%s"}], "deadline": "7d"}' % SECRET
ACTIONS = (("act", wire.types.TWO_PHASE),)


class Doctor(CtlTest):
    def setUp(self):
        self.daemon = Daemon("--drain-seconds", "0", "--reserve-mib", "0")
        self.addCleanup(self.daemon.close)
        self.ctl = Ctl(self.daemon.endpoint)
        for gid in ("one", "two", "three"):
            self.expect(0, "submit", "--gid", gid, "--for", "accepted", stdin=WAITS)
        self.expect(0, "abort", "three", "--yes", "--reason", "test")
        self.expect(10, "wait", "three")
        self.ctl.until_kept("three")
        self.data = self.daemon.data

    def doctor(self, code, *arguments):
        return self.expect(code, "doctor", "--data", self.data, *arguments)

    def out(self, code, row):
        return self.doctor(code, "--out-of-service", row, "--reason", "ticket 812", "--who", "ann", "--yes")

    def sql(self, text):
        db = sqlite3.connect(f"{self.data}/assent.db")
        db.execute(text)
        db.commit()
        db.close()
        for end in ("-wal", "-shm"):
            if os.path.exists(f"{self.data}/assent.db{end}") and not os.path.getsize(f"{self.data}/assent.db{end}"):
                os.remove(f"{self.data}/assent.db{end}")

    def ask(self, sql):
        db = sqlite3.connect(f"file:{self.data}/assent.db?immutable=1", uri=True)
        rows = db.execute(sql).fetchall()
        db.close()
        return rows

    def flip(self, bytes_):
        """A real byte, in the one place of the file where these are."""
        with open(f"{self.data}/assent.db", "r+b") as file:
            whole = file.read()
            self.assertEqual(1, whole.count(bytes_))
            file.seek(whole.index(bytes_))
            file.write(bytes([bytes_[0] ^ 1]))

    def sums(self):
        sums = {}
        for name in sorted(os.listdir(self.data)):
            with open(f"{self.data}/{name}", "rb") as file:
                sums[name] = hashlib.sha256(file.read()).hexdigest()
        return sums

    def start_refused(self):
        words = [os.path.join(BIN, "assentd"), "--http-listen", "none", "--listen", self.daemon.endpoint, "--data", self.data]
        refused = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60)
        self.assertEqual(65, refused.returncode, refused.stderr)
        return refused.stderr

    def test_whole_and_unchanged(self):
        """After kill -9, with all of it in the WAL; after an orderly stop; and while somebody has it."""
        self.assertIn("the log is in use (process ", self.doctor(5).err)
        self.assertIn("in use by another coordinator (process ", self.out(5, "one").err)
        for end in (self.daemon.kill, self.daemon.stop):
            end()
            before = self.sums()
            self.assertIn("2 unfinished (0 need a person), 1 finished; of all, 0 out of service", self.doctor(0).out)
            self.assertEqual(before, self.sums())
            self.daemon.start()
        self.daemon.kill()
        exported = self.doctor(0, "-o", "json")
        self.assertEqual({"one": "ACTIVE", "two": "ACTIVE", "three": "FINISHED"}, {row["gid"]: row["state"] for row in exported.json["rows"]})
        self.assertNotIn(SECRET, exported.out)
        self.assertNotIn(base64.b64encode(SECRET.encode())[:12].decode(), exported.out)
        lines = [json.loads(line) for line in self.doctor(0, "-o", "jsonl", "--bytes").out.splitlines()]
        self.assertEqual("ok", lines[-1]["verdict"])
        self.assertIn(SECRET.encode(), base64.b64decode(lines[0]["spec_base64"]))
        self.expect(4, "doctor", "--data", "/nowhere")
        self.expect(4, "doctor", "--data", os.path.dirname(self.data))
        self.expect(4, "doctor", "--data", os.path.dirname(self.data), "--out-of-service", "one", "--reason", "x", "--yes")
        self.assertEqual(["assentd.log", "data"], sorted(os.listdir(os.path.dirname(self.data))))

    def test_a_flipped_byte(self):
        """A start refuses it; out of service, all others go on, and of this one nothing is presumed and nothing is lost."""
        held = []
        session = wire.Session(self.daemon.endpoint, "first", lambda command: held.append(command) or wire.DONE, ACTIONS)
        self.assertTrue(session.welcome.wait(30))
        stub = wire.tx_grpc.TransactionServiceStub(wire.connect(self.daemon.endpoint))
        branches = [wire.branch(service, protocol=wire.types.TWO_PHASE, payload=b"paid 812 of it") for service in ("first", "nobody")]
        spec = wire.spec("broken", *branches, deadline_ms=86_400_000)
        stub.Submit(wire.tx.SubmitRequest(transaction=spec, wait_for=wire.types.WAIT_ACCEPTED), timeout=30)
        self.until(lambda: held)
        session.close()
        self.daemon.kill()
        self.daemon.start()  # its row, aborting now, goes to the database
        self.daemon.stop()
        serial, state, was = self.ask("SELECT serial, state, spec FROM live WHERE gid = 'broken'")[0]
        self.flip(state)
        self.assertIn("(gid broken): checksum mismatch in serial, version, commit_seq or state", self.start_refused())
        before = self.sums()
        damaged = self.doctor(1)
        self.assertIn("(gid broken): checksum mismatch in serial, version, commit_seq or state", damaged.out)
        self.assertEqual([f"#{serial}"], self.doctor(1, "-o", "id").out.split())
        self.doctor(2, "--out-of-service", "broken", "--yes")  # no reason
        self.doctor(2, "--out-of-service", "broken", "--reason", "x")  # nobody agreed
        told = self.doctor(0, "--out-of-service", "broken", "--dry-run").err
        self.assertIn(f"unfinished transaction broken, row {serial}: ", told)
        self.assertIn("told CANNOT_TELL", told)
        self.assertNotIn("may be in the gid", told)
        self.doctor(4, "--out-of-service", "nobody", "--dry-run")
        self.assertEqual(before, self.sums())

        self.assertIn("broken, row", self.out(0, "broken").out)
        self.assertIn("is out of service already", self.out(5, "broken").err)
        self.assertIn("was damaged", self.doctor(5, "--put-back", "broken", "--reason", "x", "--yes").err)
        self.out(4, "nobody")
        row = [row for row in self.doctor(12, "-o", "json", "--bytes").json["rows"] if row["gid"] == "broken"][0]
        kept = row["out_of_service"]
        self.assertEqual(("ann", "ticket 812", False), (kept["who"], kept["reason"], kept["was_sound"]))
        self.assertEqual(was, base64.b64decode(row["spec_base64"]))
        self.assertEqual(bytes([state[0] ^ 1]) + state[1:], base64.b64decode(row["state_base64"]))

        self.daemon.start()
        self.until(lambda: "event=set_aside" in self.daemon.log())
        self.assertEqual({"one", "two", "three"}, set(self.expect(0, "list", "--all", "-o", "id").out.split()))
        self.assertIn("ann took it out of service: ticket 812", self.expect(1, "show", "broken").err)
        self.assertIn("set aside", self.expect(0, "stats").out)
        with self.assertRaises(wire.grpc.RpcError) as refused:
            wire.tx_grpc.TransactionServiceStub(wire.connect(self.daemon.endpoint)).Submit(wire.tx.SubmitRequest(transaction=spec, wait_for=wire.types.WAIT_ACCEPTED), timeout=30)
        self.assertEqual(wire.grpc.StatusCode.DATA_LOSS, refused.exception.code())
        back = wire.Session(self.daemon.endpoint, "first", lambda command: wire.DONE, ACTIONS)
        self.assertTrue(back.welcome.wait(30))
        back.send(queries=[wire.part.OutcomeQuery(gid="broken", branch_id=held[0].branch_id, coordinator_id=held[0].coordinator_id,
                                                  began_epoch=held[0].began_epoch)])
        self.assertEqual(wire.part.OutcomeAnswer.CANNOT_TELL, back.answers.get(timeout=30).verdict)
        helper = wire.Session(self.daemon.endpoint, "nobody", lambda command: wire.DONE, (("do", wire.types.TCC),))
        for gid in ("one", "two"):
            self.expect(0, "wait", gid, "--timeout", "30s")
        self.assertEqual([], back.operations("broken"))
        helper.close()
        # On the record, also what was not done; the newest first.
        self.assertEqual(3, len(self.expect(0, "audit", "broken", "-o", "json").json["entries"]))
        entries = self.expect(0, "audit", "-o", "json").json["entries"]
        said = [(one["verb"], one["detail"], one["who"], one["reason"]) for one in entries if one["verb"] != "abort"]
        self.assertEqual([("out-of-service", "nobody", "ann", "ticket 812"), ("put-back", "broken", "tester", "x"),
                          ("out-of-service", "broken", "ann", "ticket 812"), ("out-of-service", "broken", "ann", "ticket 812")],
                         [(verb, detail, who.split("@")[0], reason) for verb, detail, who, reason in said])

    def test_the_payload_was_hit(self):
        """Then it may have been the gid as well, which is said; the gid is as it was."""
        self.daemon.stop()
        self.sql("UPDATE live SET spec = replace(spec, 'planted', 'Planted') WHERE gid = 'two'")
        self.assertIn("gid or spec", self.start_refused())
        self.assertIn("may be in the gid", self.doctor(0, "--out-of-service", "two", "--dry-run").err)
        self.out(0, "two")
        self.daemon.start()
        self.expect(1, "show", "two")

    def test_a_gid_that_somebody_else_has(self):
        """Two rows of one gid, the damaged one the older: it must not pass for the other."""
        self.daemon.stop()
        serial = self.ask("SELECT min(serial) FROM live")[0][0]
        self.sql(f"UPDATE live SET gid = 'two' WHERE serial = {serial}")
        self.assertIn("name it by its row", self.out(5, "two").err)
        self.out(0, f"#{serial}")
        self.daemon.start()
        self.assertEqual(["two"], self.expect(0, "list", "-o", "id").out.split())
        self.assertIn("took it out of service", self.expect(1, "show", f"damaged-row-{serial}").err)
        self.expect(0, "show", "two")

    def test_a_gid_that_is_no_text(self):
        self.daemon.stop()
        serial = self.ask("SELECT serial FROM live WHERE gid = 'one'")[0][0]
        self.sql("UPDATE live SET gid = CAST(x'ff6e65' AS TEXT) WHERE gid = 'one'")
        self.out(0, f"#{serial}")
        row = self.doctor(12, "-o", "json", "--bytes").json["rows"][0]
        self.assertEqual((f"damaged-row-{serial}", b"\xffne"), (row["gid"], base64.b64decode(row["gid_base64"])))
        self.daemon.start()
        self.assertEqual(["two"], self.expect(0, "list", "-o", "id").out.split())

    def test_a_version_was_hit(self):
        """What it is can be told from what table meta counts; not if more is wrong."""
        self.daemon.stop()
        self.sql("UPDATE live SET version = version + 4 WHERE gid = 'one'")
        shutil.copytree(self.data, f"{self.data}-copy")
        self.out(0, "one")
        self.daemon.start()
        self.assertEqual(["two"], self.expect(0, "list", "-o", "id").out.split())
        self.daemon.stop()
        shutil.rmtree(self.data)
        shutil.move(f"{self.data}-copy", self.data)
        self.sql("UPDATE live SET version = version + 4 WHERE gid = 'two'")
        self.assertIn("more than this row is wrong", self.out(5, "one").err)

    def test_a_finished_row_too(self):
        self.daemon.stop()
        serial = self.ask("SELECT serial FROM finished")[0][0]
        self.flip(b"three" + self.ask("SELECT spec FROM finished")[0][0])
        self.assertIn("table finished, row", self.doctor(1).out)
        self.out(0, f"#{serial}")
        self.assertEqual([(5 - 1,)], self.ask("SELECT outcome FROM finished"))  # HAZARD: retention leaves it alone
        self.doctor(12)
        self.daemon.start()
        self.assertEqual({"one", "two"}, set(self.expect(0, "list", "-o", "id").out.split()))
        gid = self.ask("SELECT gid FROM finished")[0][0]
        self.assertIn("ann took it out of service", self.expect(1, "show", gid).err)
        self.assertIn("took it out of service", self.expect(0, "list", "--all", "-o", "json").out)

    def test_out_and_back_after_a_kill(self):
        """What was only in the WAL is still there; and the rows go on."""
        self.daemon.kill()
        for row in ("one", "two", "three"):
            self.out(0, row)
        for row in ("two", "three"):
            self.doctor(0, "--put-back", row, "--reason", "x", "--yes")
        self.assertIn("is not out of service", self.doctor(5, "--put-back", "two", "--reason", "x", "--yes").err)
        self.daemon.start()
        self.assertEqual(["two"], self.expect(0, "list", "-o", "id").out.split())
        self.assertEqual("three", self.expect(0, "list", "--state", "finished", "-o", "id").out.strip())
        self.daemon.stop()
        self.doctor(0, "--put-back", "one", "--reason", "x", "--yes")
        self.doctor(0)
        self.daemon.start()
        self.assertEqual({"one", "two"}, set(self.expect(0, "list", "-o", "id").out.split()))

    def test_what_no_row_mends(self):
        """A missing row, a lost WAL, a damaged page, meta, somebody else's file: each named."""
        self.daemon.stop()
        with open(f"{self.data}/assent.db", "rb") as file:
            whole = file.read()

        def check(words):
            self.assertIn(words, self.doctor(1).out)
            with open(f"{self.data}/assent.db", "wb") as back:
                back.write(whole)

        self.sql("DELETE FROM live WHERE gid = 'one'")
        check("is missing")
        for table, what in (("meta", "next_serial = 99"), ("life", "commit_seq = 0"), ("closed", "commit_seq = 0"), ("age", "unix_ms = 1")):
            self.sql(f"UPDATE {table} SET {what}")
            self.start_refused()
            check(f"table {table}, row" if table != "closed" else "table closed: checksum mismatch")
        self.sql("CREATE TABLE extra (x)")
        self.start_refused()
        check("extra")
        with open(f"{self.data}/assent.db", "wb") as file:
            file.write(b"no database at all, but long enough" * 100)
        check("file is not a database")
        self.daemon.start()
        self.expect(0, "submit", "--gid", "four", "--for", "accepted", stdin=WAITS)
        self.daemon.kill()
        os.truncate(f"{self.data}/assent.db-wal", 0)
        check("is missing or empty; ")
        os.remove(f"{self.data}/assent.db")
        self.assertIn("the database is missing", self.doctor(1).out)

    def test_what_a_person_should_look_at(self):
        self.daemon.stop()
        os.chmod(f"{self.data}/assent.db", 0o644)
        if os.geteuid() == 0:
            os.chown(f"{self.data}/assent.db", 65534, 65534)
        with open(f"{self.data}/assent.db-incoming-from", "w", encoding="utf-8") as file:
            file.write("somewhere\n")
        said = self.doctor(12).out
        self.assertIn("assent.db: others may read or write it: chmod 600", said)
        self.assertIn("is being filled by a migration from somewhere", said)
        if os.geteuid() == 0:
            self.assertIn("assent.db: is another user's than its folder", said)

    @unittest.skipUnless(os.geteuid() == 0, "a small disk is root's to make")
    def test_little_room(self):
        """Said below 64 MiB, on a disk of the test's own; and not where there is room."""
        self.daemon.stop()
        self.assertNotIn("make room", self.doctor(0).out)
        small = f"{os.path.dirname(self.data)}/small"
        os.mkdir(small)
        for mib, code in ((60, 12), (80, 0)):
            # In a namespace that ends with it: so does the disk.
            script = f'mount -t tmpfs -o size={mib}m none {small} && cp {self.data}/* {small} && chmod 700 {small} && exec "$@"'
            looked = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", self.ctl.program, "doctor", "--data", small],
                                    capture_output=True, text=True, timeout=60, env=self.ctl.env)
            self.assertEqual(code, looked.returncode, looked)
            self.assertRegex(looked.stdout, r"\b\d\d MiB free: make room, or new transactions are soon refused" if code else r"\b\d\d MiB free")

    def test_it_says_what_a_start_does(self):
        """Bytes flipped anywhere: it finds damage when a start does, and a start takes what it has mended."""
        self.daemon.stop()
        draw = random.Random(20261127)
        with open(f"{self.data}/assent.db", "rb") as file:
            whole = file.read()
        used = [at for at in range(len(whole)) if whole[at]]
        mended = 0
        for _ in range(60):
            at = draw.choice(used)
            with open(f"{self.data}/assent.db", "r+b") as file:
                file.seek(at)
                file.write(bytes([whole[at] ^ (1 << draw.randrange(8))]))
            said = self.ctl("doctor", "--data", self.data)
            damaged = said.code == 1
            if damaged:
                self.start_refused()
                for row in self.ctl("doctor", "--data", self.data, "-o", "id").out.split():
                    self.ctl("doctor", "--data", self.data, "--out-of-service", row, "--reason", "flipped", "--yes")
                said = self.ctl("doctor", "--data", self.data)
                mended += said.code == 12
            if said.code != 1:
                self.assertEqual((at, damaged and 12 or 0), (at, said.code), said)
                self.daemon.start()
                self.daemon.stop()
            for name in os.listdir(self.data):
                os.remove(f"{self.data}/{name}")
            with open(f"{self.data}/assent.db", "wb") as file:
                file.write(whole)
            os.chmod(f"{self.data}/assent.db", 0o600)
        self.assertGreater(mended, 5)


if __name__ == "__main__":
    unittest.main()
