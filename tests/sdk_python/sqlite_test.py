#!/usr/bin/python3
"""The adapter of SQLite: the contract, what a COMMIT that failed is, and who goes on after an error."""

import contextlib
import os
import sqlite3
import sys
import tempfile
import threading
import unittest

import support

import assent
import assent.testkit
from assent.barrier import COMMITTED_ITSELF
from assent.call import Call
from assent.service import Job
from assent.words import Kind, Operation, Protocol, Verdict


def bank(path):
    db = assent.SQLite(path, tables="CREATE TABLE IF NOT EXISTS account(name TEXT PRIMARY KEY, coins INTEGER CHECK (coins >= 0));"
                       "CREATE TABLE IF NOT EXISTS own(x INTEGER)")

    @db.tcc("take")
    def take(tx, call):
        if not tx.execute("UPDATE account SET coins = coins - 1 WHERE name = ? AND coins > 0", [call.text]).rowcount:
            raise assent.Refused("no coins")
        return "taken"

    @take.confirm
    def confirm(tx, call):
        pass

    @take.cancel
    def cancel(tx, call):
        tx.execute("UPDATE account SET coins = coins + 1 WHERE name = ?", [call.text])

    @db.saga("give")
    def give(tx, call):
        tx.execute("UPDATE account SET coins = coins + 1 WHERE name = ?", [call.text])

    @give.compensate
    def take_back(tx, call):
        tx.execute("UPDATE account SET coins = coins - 1 WHERE name = ?", [call.text])

    @db.saga("end")
    def end(tx, call):
        tx.execute(call.text)

    @db.saga("exit")
    def leave(tx, call):
        tx.execute("UPDATE account SET coins = 0")
        sys.exit(3)

    @db.saga("driver")
    def driver(tx, call):
        cursor = tx.execute("UPDATE account SET coins = 0")
        if call.text == "script":
            cursor.executescript("SELECT 1")
        elif call.text == "commit":
            cursor.connection.commit()
        elif call.text == "close":
            cursor.connection.close()
        elif call.text == "same text":
            cursor.execute("COMMIT")
        else:
            with cursor.connection:
                pass

    @db.saga("stubborn")
    def stubborn(tx, call):
        """Goes on whatever is said to it."""
        for sql in ("UPDATE account SET coins = 1", "INSERT OR ROLLBACK INTO account VALUES ('ann', 2)", "UPDATE account SET coins = 3"):
            with contextlib.suppress(Exception):
                tx.execute(sql)
        if call.text == "refuse":
            raise assent.Refused("no coins")

    return db


class InSQLite(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-python-test-")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "bank.db")
        self.open()
        self.addCleanup(lambda: self.db.close())
        self.db.run(lambda tx: tx.execute("INSERT INTO account VALUES ('ann', 100)"))

    def open(self):
        self.db = bank(self.path)
        self.db.start()

    def coins(self):
        return self.db.run(lambda tx: tx.one("SELECT coins FROM account"))[0]

    def ask(self, operation, action, payload=b"ann", gid="g1"):
        return assent.testkit.ask(self.db, Call(gid, "1", operation, operation.protocol, action=action, payload=payload))

    def test_the_contract_and_the_books(self):
        for protocol, action, effect in ((Protocol.TCC, "take", -1), (Protocol.SAGA, "give", 1)):
            before = self.coins()
            report = assent.testkit.check_contract(self.db, assent.testkit.Probe(protocol, action, b"ann"))
            self.assertTrue(report.ok, report)
            self.assertEqual(self.coins(), before + effect * report.committed)

    def test_a_failed_commit_is_never_a_no(self):
        """A COMMIT that failed was taken for a handler's no, by those who wrote their fifteen rules by hand."""
        def fail():
            raise sqlite3.OperationalError("disk I/O error")

        self.db._commit = fail
        for _ in range(2):  # and nothing more is said until it has been opened anew
            reply = self.ask(Operation.TRY, "take")
            self.assertEqual(reply.kind, Kind.UNKNOWN)
        with self.assertRaisesRegex(RuntimeError, "restart this process"):
            self.coins()
        self.db.close()
        self.open()
        self.assertEqual((self.ask(Operation.TRY, "take").kind, self.coins()), (Kind.DONE, 99))

    def test_a_commit_that_certainly_failed_harms_nobody_else(self):
        """A deferred foreign key fails at the COMMIT that several operations share."""
        self.db.run(lambda tx: tx.execute("CREATE TABLE child(name TEXT REFERENCES account(name) DEFERRABLE INITIALLY DEFERRED)"))
        gate = threading.Event()
        replies = {}
        jobs = [Job(Call(f"g{n}", "1", Operation.ACTION, Protocol.SAGA, action="end", payload=text),
                    lambda reply, n=n: replies.__setitem__(n, reply))
                for n, text in enumerate((b"INSERT INTO child VALUES ('ann')", b"INSERT INTO child VALUES ('nobody')",
                                          b"INSERT INTO child VALUES ('ann')"))]
        threading.Thread(target=lambda: self.db.run(lambda tx: gate.wait())).start()
        for job in jobs:
            self.db.execute(job)
        gate.set()
        support.until(lambda: len(replies) == 3)
        self.assertEqual([replies[n].kind for n in range(3)], [Kind.DONE, Kind.RETRY_LATER, Kind.DONE])
        self.assertIn("FOREIGN KEY", replies[1].reason)
        self.assertEqual(self.db.run(lambda tx: tx.one("SELECT count(*) FROM child"))[0], 2)

    def test_a_handler_does_not_end_its_transaction(self):
        for text in (b"COMMIT", b"  rollback", b"BEGIN IMMEDIATE", b"END", b"/* done */ COMMIT", b"-- done\nCOMMIT"):
            reply = self.ask(Operation.ACTION, "end", text)
            self.assertEqual(reply.kind, Kind.RETRY_LATER)
            self.assertIn("is not for a handler", reply.reason)
        self.assertEqual(self.ask(Operation.ACTION, "end", b"SELECT 1").kind, Kind.DONE)

    def test_nor_by_the_driver(self):
        """It would commit what others have done in the same transaction, and who would be done again."""
        for action in ("script", "commit", "with", "same text"):
            gate, said = threading.Event(), []
            threads = [threading.Thread(target=lambda gate=gate: self.db.run(lambda tx: gate.wait())),
                       threading.Thread(target=lambda: self.db.run(lambda tx: tx.execute("INSERT INTO own VALUES (1)"))),
                       threading.Thread(target=lambda action=action, said=said: said.append(self.ask(Operation.ACTION, "driver", action.encode())))]
            for number, thread in enumerate(threads):
                thread.start()
                support.until(lambda number=number: self.db._work.qsize() == number)
            gate.set()
            for thread in threads:
                thread.join()
            self.assertEqual((said[0].kind, self.coins()), (Kind.RETRY_LATER, 100), said)
        self.assertEqual(self.db.run(lambda tx: tx.one("SELECT count(*) FROM own"))[0], 4)

    def test_a_row_without_a_state_is_a_hazard(self):
        self.ask(Operation.ACTION, "give")
        self.db.run(lambda tx: tx.execute("UPDATE assent_barrier SET state = 0, kind = 0"))
        for operation, kind in ((Operation.ACTION, Kind.RETRY_LATER), (Operation.COMPENSATE, Kind.REFUSED)):
            reply = self.ask(operation, "give")
            self.assertEqual((reply.kind, reply.reason, self.coins()), (kind, COMMITTED_ITSELF, 101))
        self.db._retention_ms = -1000
        self.assertEqual(self.db.questions(10), [])
        self.db.run(lambda tx: tx.execute("UPDATE assent_barrier SET state = 2"))  # a person has looked
        self.assertEqual((self.ask(Operation.ACTION, "give").kind, self.coins()), (Kind.DONE, 101))
        self.assertEqual((self.ask(Operation.COMPENSATE, "give").kind, self.coins()), (Kind.DONE, 100))

    def test_what_keeps_nothing_leaves_no_row(self):
        self.assertEqual(self.ask(Operation.CONFIRM, "take").kind, Kind.REFUSED)
        self.assertEqual(self.ask(Operation.ACTION, "end", b"SELECT * FROM nothing").kind, Kind.RETRY_LATER)
        self.assertEqual(self.db.run(lambda tx: tx.one("SELECT count(*) FROM assent_barrier"))[0], 0)

    def test_a_handler_that_exits_ends_no_thread(self):
        for _ in range(2):
            reply = self.ask(Operation.ACTION, "exit")
            self.assertEqual((reply.kind, reply.reason), (Kind.RETRY_LATER, "RuntimeError: the handler has raised SystemExit"))
        with self.assertRaises(SystemExit):
            self.db.run(lambda tx: sys.exit(3))
        self.assertEqual(self.ask(Operation.ACTION, "give").kind, Kind.DONE)
        self.assertEqual(self.coins(), 101)

    def test_a_closed_connection_is_said(self):
        self.assertEqual(self.ask(Operation.ACTION, "driver", b"close").kind, Kind.UNKNOWN)
        with self.assertRaisesRegex(RuntimeError, "restart this process"):
            self.coins()

    def test_a_process_that_forks(self):
        """start() may come before it; an open file may not."""
        for used, kind in ((False, Kind.DONE), (True, Kind.RETRY_LATER)):
            self.db.close()
            self.open()
            if used:
                self.coins()
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                reply = self.ask(Operation.ACTION, "give", gid=str(used))
                os.write(write, f"{int(reply.kind)} {reply.reason}".encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as said:
                text = said.read()
            os.waitpid(child, 0)
            self.assertEqual(text[0], str(int(kind)), text)
        self.assertIn("was forked after", text)
        self.assertEqual(self.coins(), 101)

    def test_a_table_that_another_language_has_made(self):
        self.db.run(lambda tx: tx.execute("ALTER TABLE assent_barrier DROP COLUMN orphan"))
        self.db.close()
        self.open()
        self.assertEqual(self.db.questions(10), [])

    def test_who_goes_on_after_an_error_that_rolls_back_has_written_nothing(self):
        for text in (b"", b"refuse"):
            reply = self.ask(Operation.ACTION, "stubborn", text)
            self.assertEqual((reply.kind, self.coins()), (Kind.RETRY_LATER, 100), reply)
        self.assertEqual((self.ask(Operation.COMPENSATE, "stubborn").kind, self.coins()), (Kind.DONE, 100))

    def test_answers_survive_a_restart(self):
        first = self.ask(Operation.TRY, "take")
        self.db.close()
        self.open()
        self.assertEqual((self.ask(Operation.TRY, "take"), self.coins()), (first, 99))

    def test_rows_go_when_the_coordinator_says_that_nothing_will_come(self):
        self.ask(Operation.ACTION, "give")
        self.assertEqual(self.db.questions(10), [])  # too young
        self.db._retention_ms = -1000
        (held,) = self.db.questions(10)
        self.db.answer(held, Verdict.UNDECIDED, True)
        self.db.answer(held, Verdict.COMMIT, False)
        self.assertEqual(len(self.db.questions(10)), 1)
        self.db.answer(held, Verdict.COMMIT, True)
        self.assertEqual(self.db.questions(10), [])

    def test_a_file_of_the_cpp_adapter_is_not_taken(self):
        self.db.run(lambda tx: tx.execute("CREATE TABLE assent_meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID"))
        self.db.close()
        with self.assertRaisesRegex(assent.ConfigError, "C\\+\\+ adapter"):
            self.open()

    def test_two_phase_is_not_offered(self):
        db = assent.SQLite(":memory:")
        db.two_phase("debit")(lambda tx, call: None)
        with self.assertRaisesRegex(assent.ConfigError, "cannot keep prepared work"):
            db.start()


if __name__ == "__main__":
    unittest.main()
