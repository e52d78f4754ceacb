#!/usr/bin/python3
"""A message without an outbox: what enlisting writes and refuses, what is answered about it, and that the steps begin if, and only if, the local
transaction commits; with real databases and a real assentd."""

import asyncio
import contextlib
import time
import unittest

from outbox_rig import MISSING, MariaDBRig, PostgreSQLRig, SQLiteRig
from support import Process, until

import assent
import assent.aio
import assent.testkit
from assent.call import Call, done
from assent.words import Kind, Operation, Protocol

if not MISSING:
    import psycopg
    import psycopg2
    import pymysql

HOUR = 3600.0


class Shared:
    """For each kind of database."""

    def setUp(self):
        super().setUp()
        self.db = self.store()
        self.db.check_back("placed")
        self.db.check_back("placed-in-a-hurry", patience=0.5)
        self.db.start()
        self.addCleanup(lambda: self.db.close())

    def message(self, gid, action="placed", first_asked=0.1):
        return assent.Transaction(gid, deadline=60).check_back("orders", action, first_asked=first_asked).saga("shop", "ship")

    def ask(self, gid, age=0.0, operation=Operation.ACTION, action="placed"):
        began = int((time.time() - age) * 1000)
        return assent.testkit.ask(self.db, Call(gid, "1", operation, Protocol.SAGA, "orders", action, coordinator_id=7, began_unix_ms=began))

    def enlist(self, gid, message=None):
        """With an order, and committed."""
        with self.transaction() as connection:
            connection.cursor().execute(f"INSERT INTO orders VALUES ('{gid}')")
            assent.enlist(connection, message or self.message(gid))

    @contextlib.contextmanager
    def participant(self):
        with assent.Participant(assent.Service("orders", self.db), self.daemon.endpoint, log=lambda line: None) as participant:
            participant.wait_connected()
            yield participant

    # ---- what is asked, and answered

    def test_what_has_committed_is_done(self):
        self.enlist("g1")
        self.assertEqual(self.ask("g1").kind, Kind.DONE)
        self.assertEqual(self.ask("g1", HOUR), done())
        self.assertEqual(self.sql("SELECT name FROM orders"), [("g1",)])

    def test_what_has_not_committed_is_later_and_then_no(self):
        with self.assertRaises(ZeroDivisionError), self.transaction() as connection:
            assent.enlist(connection, self.message("g1"))
            print(1 / 0)
        self.assertEqual(self.ask("g1").kind, Kind.RETRY_LATER)
        self.assertEqual(self.ask("g1", 8.0).kind, Kind.RETRY_LATER)
        no = self.ask("g1", 11.0)
        self.assertEqual((no.kind, no.reason), (Kind.REFUSED, "its initiator's local transaction had not committed after 10 s, and never will"))
        self.assertEqual(self.ask("g1"), no)  # whatever the clocks say then

    def test_a_no_is_for_good(self):
        self.assertEqual(self.ask("g1", 11.0).kind, Kind.REFUSED)
        with self.assertRaisesRegex(assent.FailedPrecondition, "message g1 will not begin: .* was told no. Roll back"):
            self.enlist("g1")
        self.assertEqual(self.ask("g1").kind, Kind.REFUSED)
        self.assertEqual(self.sql("SELECT name FROM orders"), [])
        self.enlist("g2")

    def test_what_was_undone_before_it_was_asked_about_cannot_be_enlisted(self):
        self.assertEqual(self.ask("g1", operation=Operation.COMPENSATE).kind, Kind.DONE)  # a tombstone
        with self.assertRaisesRegex(assent.FailedPrecondition, "was told no"):
            self.enlist("g1")

    def test_one_that_is_under_way_is_neither_done_nor_refused(self):
        with self.transaction() as connection:
            assent.enlist(connection, self.message("g1"))
            self.assertEqual(self.ask("g1", 11.0).kind, Kind.RETRY_LATER)
        self.assertEqual(self.ask("g1", 11.0).kind, Kind.DONE)

    def test_one_is_enlisted_once(self):
        self.enlist("g1")
        with self.transaction() as connection:
            connection.cursor().execute("INSERT INTO orders VALUES ('stays')")
            with self.assertRaisesRegex(assent.AlreadyExists, "g1 is enlisted"):
                assent.enlist(connection, self.message("g1"))
        self.assertEqual(self.ask("g1").kind, Kind.DONE)
        self.assertEqual(self.sql("SELECT name FROM orders ORDER BY name"), [("g1",), ("stays",)])  # what it refuses it leaves as it is

    def test_outside_of_a_local_transaction_it_is_refused(self):
        with contextlib.closing(self.connect(autocommit=True)) as connection:
            with self.assertRaisesRegex(assent.FailedPrecondition, "begin one, and enlist within it"):
                assent.enlist(connection, self.message("g1"))
            self.assertEqual(self.ask("g1").kind, Kind.RETRY_LATER)
            connection.cursor().execute("BEGIN")
            assent.enlist(connection, self.message("g1"))
            connection.cursor().execute("COMMIT")
        self.assertEqual(self.ask("g1").kind, Kind.DONE)

    def test_what_does_not_check_back_is_refused(self):
        with self.transaction() as connection:
            for bad, why in ((assent.Transaction().saga("shop", "ship"), "check_back"), (assent.Transaction(), "at least one"),
                             (assent.Transaction().saga("shop", "ship", pivot=True), "check_back")):
                with self.assertRaisesRegex(assent.InvalidArgument, why):
                    assent.enlist(connection, bad)
        with self.assertRaisesRegex(assent.InvalidArgument, "is no connection"):
            assent.enlist(object(), self.message("g1"))

    def test_where_no_adapter_has_its_tables_it_is_said(self):
        self.sql("DROP TABLE assent_barrier")
        with self.assertRaisesRegex(assent.FailedPrecondition, "adapter of a participant .* makes it in its database"):
            self.enlist("g1")

    def test_what_has_committed_is_not_undone(self):
        """Past the pivot there is only forward: a coordinator never asks for it."""
        self.enlist("g1")
        reply = self.ask("g1", operation=Operation.COMPENSATE)
        self.assertEqual((reply.kind, reply.reason), (Kind.REFUSED, "what its initiator has committed is not undone"))
        self.assertEqual(self.ask("g1").kind, Kind.DONE)

    def test_a_step_may_have_a_name(self):
        named = assent.Transaction("g1").saga("orders", "placed", id="order", pivot=True, check_back=True).saga("shop", "ship")
        self.enlist("g1", named)
        self.assertEqual(self.sql("SELECT gid, branch_id, coordinator_id FROM assent_barrier"), [("g1", "order", 0)])

    def test_a_patience_that_cannot_be(self):
        for patience in (-1.0, float("nan")):
            with self.assertRaisesRegex(assent.ConfigError, "patience is"):
                self.db.check_back("other", patience=patience)

    # ---- with a coordinator

    def test_who_falls_silent_is_asked(self):
        with self.participant(), assent.Client(self.daemon.endpoint) as client:
            message = self.message("g1")
            report = client.prepare(message)
            self.assertEqual((report.state, report.outcome), (assent.State.ACTIVE, assent.Outcome.UNDECIDED))
            self.assertEqual(client.prepare(message).gid, "g1")  # the same again is the same
            self.enlist("g1", message)
            self.until_done("g1")
            self.assertTrue(client.wait("g1", wait=assent.WaitFor.COMPLETED).committed)
            # Its row goes as any other does.
            self.db._retention_ms = -1000
            until(lambda: self.sql("SELECT gid FROM assent_barrier") == [])

    def test_killed_between_commit_and_submit(self):
        process = Process("check_back_initiator.py", "--database", self.kind, "g1", ASSENT_ENDPOINT=self.daemon.endpoint,
                          CHECK_BACK_DATABASE=self.where)
        self.addCleanup(process.close)
        until(lambda: process._process.poll() is not None, process.text)
        self.assertEqual((process._process.returncode, process.text()), (-9, ""))
        self.assertEqual(self.shop.gids(), [])
        with self.participant():
            self.until_done("g1")

    def test_what_is_never_committed_is_aborted_and_comes_too_late(self):
        with self.participant(), assent.Client(self.daemon.endpoint) as client:
            message = self.message("g1", "placed-in-a-hurry")
            client.prepare(message)
            report = client.wait("g1", wait=assent.WaitFor.COMPLETED)
            self.assertTrue(report.aborted)
            self.assertIn("had not committed after 0.5 s", report.abort_reason)
            with self.assertRaisesRegex(assent.FailedPrecondition, "was told no"):
                self.enlist("g1", message)
        self.assertEqual((self.shop.done, self.sql("SELECT name FROM orders")), ([], []))

    def test_submitted_at_once_it_begins_at_once(self):
        with self.participant(), assent.Client(self.daemon.endpoint) as client:
            message = self.message("g1", first_asked=HOUR)
            client.prepare(message)
            self.enlist("g1", message)
            self.assertEqual(self.shop.gids(), [])
            self.assertTrue(client.submit(message, wait=assent.WaitFor.COMPLETED).committed)
        self.assertEqual(self.shop.gids(), ["g1"])

    def test_what_has_nothing_to_ask_about_cannot_be_prepared(self):
        with assent.Client(self.daemon.endpoint) as client:
            for bad, why in ((self.order("g1"), "does not begin with check_back"), (assent.Transaction(), "at least one"),
                             (assent.Transaction().saga("shop", "ship").check_back("orders", "placed"), "does not begin with check_back"),
                             (assent.Transaction().check_back("orders", "placed").tcc("shop", "ship"), "check_back is set")):
                with self.assertRaisesRegex(assent.InvalidArgument, why):
                    client.prepare(bad)


class SQLiteTest(Shared, SQLiteRig):
    def store(self):
        return assent.SQLite(self.where, busy_timeout=0.2)


class PostgreSQLTest(Shared, PostgreSQLRig):
    def store(self):
        return assent.PostgreSQL(self.opener(), lock_timeout=0.2)

    def test_other_drivers_and_rows(self):
        with contextlib.closing(psycopg2.connect(self.where)) as connection:
            assent.enlist(connection, self.message("a"))
            with self.assertRaises(assent.AlreadyExists):
                assent.enlist(connection, self.message("a"))
            connection.commit()
        with psycopg.connect(self.where, row_factory=psycopg.rows.dict_row, autocommit=True) as connection, connection.transaction():
            assent.enlist(connection, self.message("b"))
            with self.assertRaises(assent.AlreadyExists):
                assent.enlist(connection, self.message("b"))
        with psycopg.connect(self.where) as connection, connection.pipeline():
            assent.enlist(connection, self.message("c"))
            with self.assertRaises(assent.AlreadyExists):
                assent.enlist(connection, self.message("c"))
        self.assertEqual([self.ask(gid).kind for gid in "abc"], [Kind.DONE] * 3)

    def test_a_snapshot_from_before_the_no(self):
        with psycopg.connect(self.where) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT 1 FROM orders")
            self.assertEqual(self.ask("g1", 11.0).kind, Kind.REFUSED)
            with self.assertRaises(psycopg.errors.SerializationFailure):  # the local transaction is to be tried again, and meets the no
                assent.enlist(connection, self.message("g1"))
            connection.rollback()
            with self.assertRaisesRegex(assent.FailedPrecondition, "was told no"):
                assent.enlist(connection, self.message("g1"))

    def test_asyncio(self):
        async def go():
            async with assent.aio.Client(self.daemon.endpoint) as client:
                message = self.message("g1", first_asked=HOUR)
                await client.prepare(message)
                async with await psycopg.AsyncConnection.connect(self.where, row_factory=psycopg.rows.dict_row) as connection:
                    await connection.execute("INSERT INTO orders VALUES ('g1')")
                    await assent.aio.enlist(connection, message)
                    with self.assertRaises(assent.AlreadyExists):
                        await assent.aio.enlist(connection, message)
                    with self.assertRaisesRegex(assent.InvalidArgument, "assent.aio.enlist"):
                        assent.enlist(connection, self.message("g2"))
                    with self.assertRaisesRegex(assent.InvalidArgument, "assent.aio.Outbox"):
                        self.outbox.publish(connection, self.order("g3"))
                with psycopg.connect(self.where) as plain, self.assertRaisesRegex(assent.InvalidArgument, "assent.enlist"):
                    await assent.aio.enlist(plain, message)
                async with await psycopg.AsyncConnection.connect(self.where, autocommit=True) as connection:
                    with self.assertRaises(assent.FailedPrecondition):
                        await assent.aio.enlist(connection, self.message("g2"))
                return await client.submit(message, wait=assent.WaitFor.COMPLETED)

        with self.participant():
            self.assertTrue(asyncio.run(go()).committed)
        self.assertEqual(self.shop.gids(), ["g1"])
        self.assertEqual(self.waits(), [])


class MariaDBTest(Shared, MariaDBRig):
    def store(self):
        return assent.MySQL(self.opener())

    def test_other_rows_and_flags(self):
        found_rows = pymysql.constants.CLIENT.FOUND_ROWS
        with contextlib.closing(pymysql.connect(**self.settings, cursorclass=pymysql.cursors.DictCursor, client_flag=found_rows)) as connection:
            assent.enlist(connection, self.message("g1"))
            with self.assertRaises(assent.AlreadyExists):
                assent.enlist(connection, self.message("g1"))
            connection.commit()
        self.assertEqual(self.ask("g1").kind, Kind.DONE)

    def test_a_snapshot_from_before(self):
        """What it says is what is committed now."""
        with self.transaction() as connection:
            connection.cursor().execute("SELECT * FROM assent_barrier")
            self.assertEqual(self.ask("g1", 11.0).kind, Kind.REFUSED)
            self.enlist("g2")
            with self.assertRaisesRegex(assent.FailedPrecondition, "was told no"):
                assent.enlist(connection, self.message("g1"))
            with self.assertRaises(assent.AlreadyExists):
                assent.enlist(connection, self.message("g2"))


if __name__ == "__main__":
    unittest.main()
