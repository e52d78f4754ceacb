#!/usr/bin/python3
"""What would let a handler run twice, or its work stay without its row, over PostgreSQL and MariaDB: instances in other languages at the same
branch, handlers that end their transaction, settings of servers and of pools' sessions, forks."""

import json
import os
import sys
import threading
import unittest

import databases_test
from databases_test import MISSING
from support import until

import assent
from assent.barrier import COMMITTED_ITSELF, Kept
from assent.words import Kind, Operation, Verdict

if not MISSING:
    import psycopg
    import pymysql

    import mariadb
    import postgresql

PAY = "UPDATE account SET coins = coins - 1 WHERE name = 'ann'"


def add_actions(db, session):
    """Each pays one coin, and does what `session` says, or its payload."""
    pay = db.tcc("pay")(lambda tx, call: None)
    pay.confirm(lambda tx, call: tx.execute(PAY) and None)
    pay.cancel(lambda tx, call: None)

    def commit(tx, call):
        tx.execute(PAY)
        tx.execute(call.text) if call.text else tx.cursor().connection.commit()

    after = db.tcc("after")(lambda tx, call: None)
    after.confirm(commit)
    after.cancel(commit)
    db.saga("after")(lambda tx, call: None).compensate(commit)

    def saga(handler):
        db.saga(handler.__name__)(handler).compensate(lambda tx, call: None)

    @saga
    def say(tx, call):
        tx.execute(PAY)
        tx.execute(call.text)

    @saga
    def by_the_driver(tx, call):
        tx.execute(PAY)
        tx.cursor().connection.commit()

    @saga
    def refuse(tx, call):
        tx.execute(PAY)
        tx.execute(call.text)
        raise assent.Refused("no coins")

    @saga
    def ask(tx, call):
        return str(tx.one(call.text)[0])

    @saga
    def leave(tx, call):
        tx.execute(PAY)
        sys.exit(3)

    @saga
    def late(tx, call):
        db.late = tx, tx.execute("SELECT 1")

    @db.two_phase("by_the_driver")
    def prepare(tx, call):
        tx.execute(PAY)
        getattr(tx.cursor().connection, call.headers["end"])()
        if "then" in call.headers:
            tx.cursor().execute(call.headers["then"])
        if "no" in call.headers:
            raise assent.Refused("no coins")

    db.two_phase("say")(lambda tx, call: (tx.execute(PAY), tx.execute(call.text)) and None)
    return db


class Guards(databases_test.Bank):
    """Subclasses have what Bank's have, and `session_of`: SQL that gives the session's number."""

    def adapter(self, init="", **options):
        name = self.name
        db = databases_test.bank(self.kind(lambda: self.open(name, init), tables=databases_test.TABLES, **options))
        add_actions(db, self.session_of).start()
        return db

    def rows(self):
        return self.sql("SELECT gid, state FROM assent_barrier ORDER BY gid")

    def answer_to(self, *words, **more):
        """It may have waited for too long, on a slow machine."""
        return until(lambda: (reply := self.ask(*words, **more)).kind != Kind.RETRY_LATER and reply)

    def test_two_at_one_branch_in_two_languages(self):
        """The other one takes no named lock of ours: the row is what both have."""
        for gid in ("before", "now"):
            self.ask(Operation.TRY, "pay", gid=gid)
        other = self.open(self.name, "")
        cursor = other.cursor()
        cursor.execute("BEGIN")
        cursor.execute("SELECT state FROM assent_barrier WHERE gid = 'now' FOR UPDATE")
        cursor.execute(PAY)
        cursor.execute(f"UPDATE assent_barrier SET state = {int(Kept.FINISHED)} WHERE gid = 'now'")
        replies = []
        asked = threading.Thread(target=lambda: replies.append(self.answer_to(Operation.CONFIRM, "pay", gid="now")))
        asked.start()
        until(self.somebody_waits)
        cursor.execute("COMMIT")
        other.close()
        asked.join()
        self.assertEqual((replies[0].kind, self.coins()), (Kind.DONE, 99), replies)

    def test_a_first_operation_too(self):
        other = self.open(self.name, "")
        cursor = other.cursor()
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, second_result, coordinator_id, "
                       "began_epoch, touched_ms) VALUES('g1', '1', 3, 'say', 2, 1, '', '', '', 0, 0, 0)")
        replies = []
        asked = threading.Thread(target=lambda: replies.append(self.answer_to(Operation.ACTION, "say", payload=b"SELECT 1")))
        asked.start()
        until(self.somebody_waits)
        cursor.execute("COMMIT")
        other.close()
        asked.join()
        self.assertEqual((replies[0].kind, self.coins()), (Kind.DONE, 100), replies)

    def test_a_row_that_is_not_as_it_was_read(self):
        reply = self.ask(Operation.ACTION, "say", payload=b"UPDATE assent_barrier SET state = 6")
        self.assertEqual((reply.kind, reply.reason), (Kind.RETRY_LATER, "somebody else was at this branch"))
        self.assertEqual((self.rows(), self.coins()), ([], 100))
        for name in self.looks:
            self.ask(Operation.PREPARE, gid=name)
            real = getattr(self.db, name)

            def look(*words, name=name, real=real):
                found = real(*words)
                self.sql(f"UPDATE assent_barrier SET state = {int(Kept.UNDONE)} WHERE gid = '{name}'")
                return found

            setattr(self.db, name, look)
            reply = self.ask(Operation.COMMIT, gid=name)
            self.assertEqual((reply.kind, reply.reason), (Kind.RETRY_LATER, "somebody else was at this branch"))

    def test_who_has_committed_by_himself_is_not_run_again(self):
        for gid, action, text in (("driver", "by_the_driver", b""), *self.unseen):
            before = self.coins()
            first = self.ask(Operation.ACTION, action, gid=gid, payload=text)
            self.assertEqual((first.kind, self.coins()), (Kind.RETRY_LATER, before - 1), first)
            for _ in range(2):
                again = self.ask(Operation.ACTION, action, gid=gid, payload=text)
                self.assertEqual((again.kind, again.reason), (Kind.RETRY_LATER, COMMITTED_ITSELF))
            undo = self.ask(Operation.COMPENSATE, action, gid=gid)
            self.assertEqual((undo.kind, undo.reason), (Kind.REFUSED, COMMITTED_ITSELF))
            self.assertEqual(self.coins(), before - 1)
            self.db._retention_ms = -10_000
            self.assertEqual(self.db.questions(10), [])
            self.sql(f"UPDATE assent_barrier SET state = {int(Kept.DONE)}, kind = {int(Kind.DONE)}")  # a person has looked
            self.assertEqual(self.ask(Operation.COMPENSATE, action, gid=gid).kind, Kind.DONE)
            (held,) = self.db.questions(10)
            self.db.answer(held, Verdict.ABORT, True)
            self.assertEqual(self.rows(), [])

    def test_nor_is_what_finishes_or_undoes(self):
        ways = [b"", *(text for _, _, text in self.unseen)]
        for forward, second, state in ((Operation.TRY, Operation.CONFIRM, Kept.FINISHED), (Operation.TRY, Operation.CANCEL, Kept.UNDONE),
                                       (Operation.ACTION, Operation.COMPENSATE, Kept.UNDONE)):
            for number, text in enumerate(ways):
                gid, before = f"{second.name}{number}", self.coins()
                self.assertEqual(self.ask(forward, "after", gid=gid).kind, Kind.DONE)
                first = self.ask(second, "after", gid=gid, payload=text)
                self.assertEqual((first.kind, self.coins()), (Kind.RETRY_LATER, before - 1), first)
                for _ in range(2):
                    again = self.ask(second, "after", gid=gid, payload=text)
                    self.assertEqual((again.kind, again.reason), (Kind.REFUSED, COMMITTED_ITSELF))
                self.assertEqual((self.ask(forward, "after", gid=gid).kind, self.coins()), (Kind.RETRY_LATER, before - 1))
                self.sql(f"UPDATE assent_barrier SET state = {int(state)} WHERE gid = '{gid}'")  # a person has looked
                self.assertEqual((self.ask(second, "after", gid=gid).kind, self.coins()), (Kind.DONE, before - 1))

    def test_what_keeps_nothing_leaves_no_row(self):
        self.assertEqual(self.ask(Operation.CONFIRM, "pay").kind, Kind.REFUSED)
        self.assertEqual(self.ask(Operation.ACTION, "say", payload=b"SELECT * FROM nothing").kind, Kind.RETRY_LATER)
        self.assertEqual(self.rows(), [])

    def test_words_that_end_a_transaction(self):
        for text in self.ends:
            for operation in (Operation.ACTION, Operation.PREPARE):
                reply = self.ask(operation, "say", payload=text)
                self.assertEqual(reply.kind, Kind.RETRY_LATER, text)
                self.assertIn("is not for a handler", reply.reason, text)
        self.assertEqual((self.coins(), self.rows()), (100, []))

    def test_a_savepoint_of_the_handlers(self):
        for gid, name in (("g1", "assent_handler"), ("g2", "assent_one")):
            self.assertEqual(self.ask(Operation.ACTION, "refuse", gid=gid, payload=f"SAVEPOINT {name}".encode()).reason, "no coins")
        self.assertEqual(self.coins(), 100)

    def test_the_row_stays_where_it_was(self):
        self.ask(Operation.PREPARE, gid="g0", payload=b"bob")
        leads = self.elsewhere()
        for gid in ("g1", "g2"):
            self.assertEqual(self.ask(Operation.ACTION, "say", gid=gid, payload=leads).kind, Kind.DONE)
        self.assertEqual(self.rows(), [("g0", int(Kept.PREPARED)), ("g1", int(Kept.DONE)), ("g2", int(Kept.DONE))])
        self.assertEqual(self.ask(Operation.COMMIT, gid="g0").kind, Kind.DONE)
        self.assertEqual(self.coins("bob"), 99)

    def test_a_table_that_another_language_has_made(self):
        self.sql("ALTER TABLE assent_barrier DROP COLUMN orphan")
        for _ in range(2):
            self.db.close()
            self.db = self.adapter()
        self.assertEqual(self.db.questions(10), [])

    def test_a_handler_that_exits(self):
        for operation in (Operation.ACTION, Operation.ACTION):
            reply = self.ask(operation, "leave")
            self.assertEqual((reply.kind, reply.reason), (Kind.RETRY_LATER, "RuntimeError: the handler has raised SystemExit"))
        self.assertEqual((self.coins(), self.rows()), (100, []))

    def test_a_tx_ends_with_its_handler(self):
        self.assertEqual(self.ask(Operation.ACTION, "late").kind, Kind.DONE)
        tx, cursor = self.db.late
        for write in (lambda: tx.execute(PAY), tx.cursor):
            with self.assertRaisesRegex(RuntimeError, "its transaction is over"):
                write()
        with self.assertRaises(Exception):
            cursor.execute(PAY)
        self.assertEqual(self.coins(), 100)

    def test_a_process_that_forks(self):
        """Its child has connections of its own, and does not touch the parent's."""
        self.ask(Operation.PREPARE, gid="kept", payload=b"bob")

        def session():
            return int(self.ask(Operation.ACTION, "ask", gid=assent.new_gid(), payload=self.session_of.encode()).result)

        mine = session()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(write, json.dumps([session(), self.ask(Operation.COMMIT, gid="kept").kind.name]).encode())
            finally:
                self.db.close()
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read) as said:
            theirs, committed = json.load(said)
        self.assertNotEqual(theirs, mine)
        self.assertEqual((committed, session(), self.coins("bob")), ("DONE", mine, 99))
        self.assertEqual(self.ask(Operation.COMMIT, gid="kept").kind, Kind.DONE)


@unittest.skipIf(MISSING, f"no {MISSING} here: tools/install-deps.sh installs it")
class InPostgreSQL(Guards, unittest.TestCase):
    kind, session_of, looks = assent.PostgreSQL, "SELECT pg_backend_pid()", ("_is_prepared",)
    ends = (b"/* done */ COMMIT", b"-- done\nCOMMIT", f"{PAY}; COMMIT".encode(), f"{PAY}; COMMIT; BEGIN; SAVEPOINT assent_handler".encode())
    unseen = ()

    @classmethod
    def setUpClass(cls):
        cls.server = postgresql.Server({"max_prepared_transactions": "20"})
        cls.server.start()
        cls.addClassCleanup(cls.server.close)

    def connect(self, name):
        return psycopg.connect(self.server.url(name))

    def open(self, name, init):
        connection = psycopg.connect(self.server.url(name), autocommit=True)
        if init:
            connection.execute(init)
        return connection

    def forget_prepared(self):
        for name, database in self.sql("SELECT gid, database FROM pg_prepared_xacts"):
            self.name = database
            self.sql(f"ROLLBACK PREPARED '{name}'")

    def somebody_waits(self):
        return self.sql("SELECT 1 FROM pg_locks WHERE NOT granted")

    def elsewhere(self):
        self.sql("CREATE SCHEMA tenant")
        for table in ("account", "assent_barrier", "assent_marker", "assent_age"):
            self.sql(f"CREATE TABLE tenant.{table} (LIKE public.{table} INCLUDING ALL)")
        return b"SET search_path TO tenant"

    def test_done_is_durable(self):
        for setting, becomes in (("off", b"on"), ("local", b"local"), ("remote_apply", b"remote_apply")):
            self.db.close()
            self.sql(f"ALTER DATABASE {self.name} SET synchronous_commit = {setting}")
            self.db = self.adapter()
            self.assertEqual(self.ask(Operation.ACTION, "ask", gid=setting, payload=b"SHOW synchronous_commit").result, becomes)

    def test_a_prepare_that_commits_by_itself_runs_once(self):
        for number, more in enumerate(({}, {"then": f"BEGIN; {PAY}"}, {"then": "SELECT nothing"}, {"no": "1"})):
            gid, before = f"g{number}", self.coins()
            headers = {"end": "commit", **more}
            first = self.ask(Operation.PREPARE, "by_the_driver", gid=gid, headers=headers)
            self.assertEqual((first.kind, self.coins()), (Kind.RETRY_LATER, before - 1), first)
            self.assertIn("the handler has ended its transaction", first.reason)
            for operation, kind in ((Operation.PREPARE, Kind.RETRY_LATER), (Operation.COMMIT, Kind.REFUSED), (Operation.ROLLBACK, Kind.REFUSED)):
                again = self.ask(operation, "by_the_driver", gid=gid, headers=headers)
                self.assertEqual((again.kind, again.reason, self.coins()), (kind, COMMITTED_ITSELF, before - 1))
        before = self.coins()
        for _ in range(2):  # what it rolls back has not been
            self.assertEqual(self.ask(Operation.PREPARE, "by_the_driver", gid="r", headers={"end": "rollback"}).kind, Kind.RETRY_LATER)
        self.assertEqual((self.ask(Operation.ROLLBACK, "by_the_driver", gid="r").kind, self.coins()), (Kind.DONE, before))

    def test_what_cannot_be_prepared_has_not_happened(self):
        reply = self.ask(Operation.PREPARE, "say", payload=b"NOTIFY x")
        self.assertEqual(reply.kind, Kind.RETRY_LATER, reply)
        self.assertIn("cannot PREPARE a transaction that has executed", reply.reason)


@unittest.skipIf(MISSING, f"no {MISSING} here: tools/install-deps.sh installs it")
class InMariaDB(databases_test.OverMariaDB, Guards, unittest.TestCase):
    session_of, looks = "SELECT CONNECTION_ID()", ("_look",)
    ends = (b"/* done */ COMMIT", b"# done\nCOMMIT", b"/*! COMMIT */", b"SET @@session.autocommit = 1", b"SET SESSION autocommit = 1",
            b"LOCK TABLES account WRITE")
    unseen = (("procedure", "say", b"CALL pay()"),)

    def setUp(self):
        super().setUp()
        self.sql("CREATE PROCEDURE pay() COMMIT")

    def open(self, name, init):
        connection = pymysql.connect(**self.server.settings(name))
        if init:
            connection.cursor().execute(init)  # (PyMySQL's init_command would be followed by a COMMIT)
        return connection

    def somebody_waits(self):
        return self.sql("SELECT 1 FROM information_schema.processlist WHERE info LIKE '%barrier%' AND id <> CONNECTION_ID()")

    def elsewhere(self):
        other = self.server.new_database()
        for table in ("account", "assent_barrier", "assent_marker"):
            self.sql(f"CREATE TABLE {other}.{table} LIKE {table}")
        return f"USE {other}".encode()

    def test_done_is_durable(self):
        self.db.close()
        self.addCleanup(lambda: self.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1"))
        for setting in (0, 2):
            self.sql(f"SET GLOBAL innodb_flush_log_at_trx_commit = {setting}")
            with self.assertRaisesRegex(assent.ConfigError, f"innodb_flush_log_at_trx_commit = {setting}: what it calls committed would not survive"):
                self.adapter()
        self.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 3")
        self.db = self.adapter()

    def test_sessions_of_a_pool(self):
        """Whatever they begin with: what is answered is committed, and what is not done is not."""
        for number, init in enumerate(("SET SESSION completion_type = 'CHAIN', SESSION tx_isolation = 'READ-COMMITTED'",
                                       "SET SESSION completion_type = 'RELEASE'", "SET SESSION autocommit = 0", "BEGIN",
                                       "SET SESSION autocommit = 0, SESSION completion_type = 'CHAIN'")):
            with self.subTest(init):
                self.db.close()
                self.db = self.adapter(init)
                self.sql("DELETE FROM assent_barrier")
                for operation, gid, kind, state in ((Operation.PREPARE, "a", Kind.DONE, Kept.PREPARED), (Operation.COMMIT, "a", Kind.DONE, Kept.FINISHED),
                                                    (Operation.ROLLBACK, "b", Kind.DONE, Kept.TOMBSTONE), (Operation.TRY, "c", Kind.DONE, Kept.DONE),
                                                    (Operation.CONFIRM, "d", Kind.REFUSED, None), (Operation.ROLLBACK, "e", Kind.DONE, Kept.TOMBSTONE)):
                    reply = self.ask(operation, gid=gid)
                    self.assertEqual(reply.kind, kind, reply)
                    if state is not None:
                        self.assertIn((gid, int(state)), self.rows())
                self.assertEqual(self.coins(), 100 - 2 * (number + 1))
        self.assertEqual(self.ask(Operation.ACTION, "say", gid="chain", payload=b"SET SESSION completion_type = 'CHAIN'").kind, Kind.DONE)
        self.assertEqual(self.ask(Operation.ROLLBACK, gid="after").kind, Kind.DONE)
        self.assertIn(("after", int(Kept.TOMBSTONE)), self.rows())


if __name__ == "__main__":
    unittest.main()
