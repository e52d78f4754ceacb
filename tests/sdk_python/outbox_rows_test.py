#!/usr/bin/python3
"""The rows of the outbox in real databases: what publishing writes and refuses, what a turn takes, and what people have edited."""

import asyncio
import contextlib
import time
import unittest

from outbox_rig import MISSING, ROOM, MariaDBRig, PostgreSQLRig, SQLiteRig
from support import until

import assent
import assent.aio
from assent import outbox_sql
from assent.outbox_sql import LOOKED_AT_ONCE, MAX_LOOKS, Room, Settled

if not MISSING:
    import psycopg
    import psycopg2
    import pymysql


class Shared:
    """For each kind of database."""

    def test_it_starts_if_and_only_if_the_local_transaction_commits(self):
        self.relay()
        with self.transaction() as connection:
            connection.cursor().execute("INSERT INTO orders VALUES ('a')")
            self.assertEqual(self.outbox.publish(connection, self.order("kept")), "kept")
            made = self.outbox.publish(connection, assent.Transaction().saga("shop", "ship"))
        with self.assertRaises(ZeroDivisionError), self.transaction() as connection:
            connection.cursor().execute("INSERT INTO orders VALUES ('b')")
            self.outbox.publish(connection, self.order("rolled-back"))
            print(1 / 0)
        self.until_done("kept", made)
        self.until_gone()
        self.assertEqual(self.sql("SELECT name FROM orders"), [("a",)])
        with assent.Client(self.daemon.endpoint) as client, self.assertRaises(assent.NotFound):
            client.get("rolled-back")

    def test_what_is_wrong_fails_the_call_and_leaves_the_transaction(self):
        self.publish("twice")
        with self.transaction() as connection:
            connection.cursor().execute("INSERT INTO orders VALUES ('a')")
            for bad, key, error in (
                    (assent.Transaction(), None, "at least one"), (self.order("no good"), None, "gid is 'no good'"),
                    (self.order("g", "x" * (1024 * 1024 + 1)), None, "payload has"), (self.order("g"), "", "key is ''"),
                    (self.order("g"), "ö" * 65, "key is"), (self.order("g"), "a\nb", "control characters")):
                with self.assertRaisesRegex(assent.InvalidArgument, error):
                    self.outbox.publish(connection, bad, key=key)
            many = assent.Transaction("g")
            for _ in range(4):
                many.saga("shop", "ship", bytes(1024 * 1024))
            with self.assertRaisesRegex(assent.InvalidArgument, "payloads and headers have 4194304 bytes"):
                self.outbox.publish(connection, many)
            for options, error in (({"labels": {"a b": "c"}}, "a key of labels"), ({"labels": {str(n): "" for n in range(17)}}, "17 entries"),
                                   ({"labels": {"a": "x" * 257}}, "256 bytes"), ({"trace": ("no", "")}, "traceparent"),
                                   ({"trace": ("", "a=b")}, "tracestate")):
                with self.assertRaisesRegex(assent.InvalidArgument, error):
                    self.outbox.publish(connection, assent.Transaction(**options).saga("shop", "ship"))
            for options, error in (({"headers": {"a": "x" * 1025}}, "1024 bytes"), ({"max_attempts": -1}, "max_attempts is -1")):
                with self.assertRaisesRegex(assent.InvalidArgument, error):
                    self.outbox.publish(connection, assent.Transaction().saga("shop", "ship", **options))
            with self.assertRaisesRegex(assent.AlreadyExists, "twice"):
                self.outbox.publish(connection, self.order("twice"))
            self.outbox.publish(connection, self.order("good"), key="Zoë & sons")
        self.assertEqual(self.sql("SELECT name FROM orders"), [("a",)])
        self.assertEqual([(row.gid, row.key, row.kind, row.attempts, row.first_attempt, row.parked_reason) for row in self.outbox.list()],
                         [("twice", None, 1, 0, 0.0, ""), ("good", "Zoë & sons", 1, 0, 0.0, "")])
        self.assertLess(abs(self.outbox.list()[0].created - time.time()), 60)

    def test_autocommit_is_refused_but_within_a_transaction(self):
        connection = self.connect(autocommit=True)
        self.addCleanup(connection.close)
        with self.assertRaisesRegex(assent.FailedPrecondition, "in autocommit"):
            self.outbox.publish(connection, self.order("alone"))
        connection.cursor().execute("BEGIN")
        self.outbox.publish(connection, self.order("within"))
        connection.cursor().execute("COMMIT")
        self.assertEqual(self.waits(), ["within"])
        with self.assertRaisesRegex(assent.InvalidArgument, "is no connection"):
            self.outbox.publish(object(), self.order("g"))

    def test_too_many_that_wait_are_told_to_who_makes_more(self):
        few = self.new_outbox(max_waiting_count=3)
        self.publish("a", "b", "c", outbox=few)
        few._counted_at = None
        with self.assertRaisesRegex(assent.RetryLater, "3 rows of assent_outbox wait"):
            self.publish("d", outbox=few)
        with self.assertRaises(assent.RetryLater):  # as it was last counted
            self.publish("e", outbox=few)
        self.outbox.drop("a")
        few._counted_at = None
        self.publish("f", outbox=few)
        self.publish("g", outbox=self.new_outbox(max_waiting_count=0))
        self.assertEqual(self.waits(), ["b", "c", "f", "g"])

    def test_in_a_handler(self):
        """Once, whatever the coordinator repeats; what a handler refuses publishes nothing."""
        db = self.adapter()

        @db.saga("sell")
        def sell(tx, call):
            self.outbox.publish(tx, self.order(f"{call.gid}-ship", call.text), key=call.text or None)
            if call.text == "refuse":
                raise assent.Refused("no")

        service = assent.Service(f"till-{self.id().split('.')[-2]}", db)
        with assent.Participant(service, self.daemon.endpoint, log=lambda line: None) as participant, assent.Client(self.daemon.endpoint) as client:
            participant.wait_connected()
            self.relay()
            self.assertTrue(client.submit(assent.Transaction("s1").saga(service.name, "sell", "ann")).committed)
            self.assertTrue(client.submit(assent.Transaction("s2").saga(service.name, "sell", "refuse")).aborted)
            self.until_done("s1-ship")
            self.until_gone()

    def test_an_attempt_that_was_certainly_none_is_forgotten(self):
        self.publish("a")
        (row,), _ = self.take()
        self.assertEqual((row.attempts, row.first_attempt_ms), (1, None))
        self.assertGreater(self.outbox.list()[0].first_attempt, 0)
        self.take([Settled(row, later=0.0, error="no connection", never_sent=True)], Room(0, 0, 0))
        self.assertEqual(self.outbox.list()[0].first_attempt, 0)
        (row,), _ = self.take()
        self.take([Settled(row, later=0.0, error="who knows")], Room(0, 0, 0))
        first = self.outbox.list()[0].first_attempt
        (row,), _ = self.take()
        self.take([Settled(row, later=0.0, error="no connection", never_sent=True)], Room(0, 0, 0))
        self.assertEqual((self.outbox.list()[0].first_attempt, row.attempts), (first, 3))

    def test_a_relay_that_stood_still_says_nothing_late(self):
        """Who has taken a row since has perhaps handed it over."""
        self.publish("a")
        (late,), _ = self.take()
        self.sql("UPDATE assent_outbox SET due_unix_ms = 0")  # its lease has ended
        (now,), _ = self.take()
        for said in (Settled(late, later=0.0, error="no connection", never_sent=True), Settled(late, parked="no")):
            self.take([said], Room(0, 0, 0))
            row = self.outbox.list()[0]
            self.assertTrue(row.first_attempt)
            self.assertEqual((row.attempts, row.last_error, row.parked_reason), (2, "", ""))
        self.take([Settled(now, parked="no")], Room(0, 0, 0))
        self.assertEqual(self.outbox.list()[0].parked_reason, "no")

    def test_rows_that_somebody_has_edited(self):
        self.publish("garbage", "wrong", "empty", "kind", "good", "often")
        self.publish("k1", "k2", key="ann")
        garbage = "X'FF00FF'" if self.kind != "postgresql" else r"'\xff00ff'::bytea"
        self.sql(f"UPDATE assent_outbox SET request = {garbage} WHERE gid IN ('garbage', 'k1')")
        self.sql("UPDATE assent_outbox SET gid = 'other' WHERE gid = 'wrong'")
        self.sql(f"UPDATE assent_outbox SET request = {garbage.replace('FF00FF', '').replace('ff00ff', '')} WHERE gid = 'empty'")
        self.sql("UPDATE assent_outbox SET kind = 7 WHERE gid = 'kind'")
        self.sql("UPDATE assent_outbox SET attempts = -5, last_error = NULL, first_attempt_unix_ms = NULL WHERE gid = 'good'")
        self.sql("UPDATE assent_outbox SET attempts = 2147483647 WHERE gid = 'often'")
        relay = self.relay()
        until(lambda: len(self.outbox.list(parked_only=True)) == 4, lambda: (self.outbox.list(), self.lines))
        reasons = {row.gid: row.parked_reason for row in self.outbox.list(parked_only=True)}
        self.assertIn("is no assent.v1.SubmitRequest", reasons["garbage"])
        self.assertEqual(reasons["other"], "its gid is other, that of its request wrong")
        self.assertIn("has no gid", reasons["empty"])
        self.until_done("good", "often")
        until(lambda: self.waits() == ["garbage", "other", "empty", "kind", "k1", "k2"], self.waits)  # k1 stops its key
        counts = self.outbox.count()
        self.assertEqual((counts.waiting, counts.parked, counts.unknown, counts.is_more), (2, 4, 1, False))
        self.assertTrue(self.outbox.count(3).is_more)
        self.outbox.drop("k1")
        relay.wake()
        self.until_done("good", "often", "k2")
        with self.assertRaises(assent.NotFound):
            self.outbox.drop("k1")
        with self.assertRaises(assent.NotFound):
            self.outbox.retry("k1")
        self.assertEqual(relay.stats().parked, 4)

    def test_a_gid_that_the_coordinator_has_with_other_content(self):
        with assent.Client(self.daemon.endpoint) as client:
            client.submit(self.order("mine", "first"))
        with self.transaction() as connection:
            self.outbox.publish(connection, self.order("mine", "second"))
        self.relay()
        until(lambda: self.outbox.list()[0].parked_reason.startswith("AlreadyExists"), lambda: self.outbox.list())

    def test_a_hundred_thousand_rows(self):
        """A turn looks at so many, by an index; and what is behind those that cannot go is found."""
        self.fill(100_000)
        unbounded = self.new_outbox(max_waiting_count=0)
        self.publish("plain", outbox=unbounded)
        self.publish("k0", "k1", key="zoe", outbox=unbounded)
        self.analyze()
        looked = []
        with self.outbox.table() as table:
            run = table.run
            table.run = lambda text, parameters=(): looked.append((text, tuple(parameters), found := run(text, parameters))) or found
            rows, _ = table.turn((), ROOM, 60.0)
            # The first of "ann", whose 99,999 others wait for it; the first of "zoe"; and the only one without a key.
            self.assertEqual(sorted(row.gid for row in rows), ["h1", "k0", "plain"])
            self.assertLessEqual(max(len(found) for _, _, found in looked), LOOKED_AT_ONCE)
            self.assertLess(len(looked), 12)
            for text, parameters, _ in looked:
                if " FROM assent_outbox WHERE " in text and "FOR UPDATE" not in text:
                    self.assertIn("assent_outbox", self.plan_by_index(text, parameters), text)
            first = next(row for row in rows if row.gid == "h1")
            self.assertEqual([row.gid for row in table.turn([Settled(first)], ROOM, 60.0)[0]], ["h2"])
        # As many that are parked stand in nobody's way, nor do as many keys that wait.
        self.sql(f"UPDATE assent_outbox SET ordering_key = NULL, parked_reason = 'x', due_unix_ms = {(1 << 63) - 1} WHERE id % 2 = 0")
        self.sql(f"UPDATE assent_outbox SET ordering_key = gid, due_unix_ms = {(1 << 63) - 1} WHERE ordering_key = 'ann'")
        self.analyze()
        self.publish("last", outbox=unbounded)
        self.publish("last-of-zoe", key="zoe", outbox=unbounded)
        with self.outbox.table() as table:
            rows = table.turn((), ROOM, 60.0)[0]
            self.assertIn("last", [row.gid for row in rows])
            for _ in range(50_000 // (LOOKED_AT_ONCE * (MAX_LOOKS - 2)) + 2):
                rows += table.turn((), ROOM, 0.0)[0]
        self.assertTrue({"k0", "k1"} & {row.gid for row in rows})
        self.assertEqual(self.outbox.count(1000).is_more, True)

    def test_what_is_taken_together_has_room_in_memory(self):
        with self.transaction() as connection:
            for n in range(4):
                self.outbox.publish(connection, self.order(f"g{n}", "x" * 100_000))
        rows, more = self.take(room=Room(100, 100, 250_000))
        self.assertEqual(([row.gid for row in rows], more), (["g0", "g1"], True))
        self.assertEqual([row.gid for row in self.take(room=Room(100, 100, 10))[0]], ["g2"])  # one alone may be larger
        self.sql("UPDATE assent_outbox SET due_unix_ms = 0")
        self.assertEqual([row.gid for row in self.take(room=Room(3, 0, 1 << 30))[0]], ["g0", "g1", "g2"])

    def test_settings_that_cannot_be(self):
        for settings in ({"batch": 1}, {"lease": 5.0, "call_timeout": 5.0}, {"poll": 0.0}, {"retention_guard": 0.0}):
            with self.assertRaises(assent.ConfigError):
                assent.Relay(self.outbox, **settings)
        with self.assertRaises(assent.ConfigError):
            assent.Outbox(max_waiting_count=-1)
        with self.assertRaises(assent.ConfigError):
            assent.Outbox().list()


class SQLiteTest(Shared, SQLiteRig):
    def test_values_of_other_types(self):
        """SQLite takes anything anywhere."""
        self.publish("text", "due", "attempts", "first", "good")
        self.sql("UPDATE assent_outbox SET request = 'text' WHERE gid = 'text'")
        self.sql("UPDATE assent_outbox SET due_unix_ms = 'soon' WHERE gid = 'due'")
        self.sql("UPDATE assent_outbox SET attempts = 'many', created_unix_ms = 'then' WHERE gid = 'attempts'")
        self.sql("UPDATE assent_outbox SET first_attempt_unix_ms = 'once' WHERE gid = 'first'")
        self.relay()
        self.until_done("attempts", "good")
        until(lambda: len(self.outbox.list(parked_only=True)) == 2)
        kept = {"text": True, "due": False, "first": True}
        until(lambda: {row.gid: bool(row.parked_reason) for row in self.outbox.list()} == kept, lambda: self.outbox.list())
        self.outbox.count()


class PostgreSQLTest(Shared, PostgreSQLRig):
    def test_other_drivers_and_rows(self):
        with contextlib.closing(psycopg2.connect(self.where)) as connection:
            with self.assertRaises(assent.AlreadyExists), connection:
                self.outbox.publish(connection, self.order("a"))
                self.outbox.publish(connection, self.order("a"))
            connection.autocommit = True
            with self.assertRaises(assent.FailedPrecondition):
                self.outbox.publish(connection, self.order("a"))
        with psycopg.connect(self.where, row_factory=psycopg.rows.dict_row, autocommit=True) as connection, connection.transaction():
            self.new_outbox().publish(connection, self.order("b"))

        async def go():
            async with await psycopg.AsyncConnection.connect(self.where, row_factory=psycopg.rows.dict_row) as connection:
                await assent.aio.Outbox().publish(connection, self.order("c"), key="k")
                with self.assertRaises(assent.AlreadyExists):
                    await assent.aio.Outbox().publish(connection, self.order("c"))
            async with await psycopg.AsyncConnection.connect(self.where, autocommit=True) as connection:
                with self.assertRaises(assent.FailedPrecondition):
                    await assent.aio.Outbox().publish(connection, self.order("d"))

        asyncio.run(go())
        self.assertEqual(self.waits(), ["b", "c"])

    def test_in_serializable_transactions_nobody_stands_in_the_way(self):
        first, second = (psycopg.connect(self.where) for _ in range(2))
        for n, connection in enumerate((first, second)):
            self.addCleanup(connection.close)
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            self.new_outbox().publish(connection, self.order(f"g{n}"))
        first.commit()
        second.commit()
        self.assertEqual(self.waits(), ["g0", "g1"])

    def test_in_a_handler_that_prepares(self):
        in_a_handler_that_prepares(self)


class MariaDBTest(Shared, MariaDBRig):
    def test_rows_of_other_cursors(self):
        with contextlib.closing(pymysql.connect(**self.settings, cursorclass=pymysql.cursors.DictCursor)) as connection:
            self.new_outbox().publish(connection, self.order("a"))
            connection.commit()
        self.assertEqual(self.waits(), ["a"])

    def test_a_server_that_cannot_skip_what_is_locked(self):
        self.assertEqual([outbox_sql.can_skip_locked(version) for version in ("10.5.19-MariaDB", "10.11.6-MariaDB-0+deb12u1", "8.0.36", "5.7.44")],
                         [False, True, True, False])
        self.publish("a")
        with self.outbox.table() as table:
            table._skip_locked = " FOR UPDATE"
            self.assertEqual([row.gid for row in table.turn((), ROOM, 60.0)[0]], ["a"])

    def test_in_a_handler_that_prepares(self):
        in_a_handler_that_prepares(self)


def in_a_handler_that_prepares(test):
    """What it publishes starts when its branch is committed, and not if that is rolled back."""
    db = test.adapter()

    @db.two_phase("sell")
    def sell(tx, call):
        test.outbox.publish(tx, test.order(f"{call.gid}-ship"))

    service = assent.Service(f"vault-{test.kind}", db)
    with assent.Participant(service, test.daemon.endpoint, log=lambda line: None) as participant, assent.Client(test.daemon.endpoint) as client:
        participant.wait_connected()
        test.relay()
        committed = assent.Transaction("p1").two_phase(service.name, "sell", id="1").saga("shop", "ship", id="2", after=["1"])
        test.assertTrue(client.submit(committed, wait=assent.WaitFor.COMPLETED).committed)
        aborted = assent.Transaction("p2").two_phase(service.name, "sell", id="1").saga("shop", "refuse", id="2", after=["1"])
        test.assertTrue(client.submit(aborted, wait=assent.WaitFor.COMPLETED).aborted)
        test.until_done("p1", "p1-ship")
        test.until_gone()


if __name__ == "__main__":
    unittest.main()
