#!/usr/bin/python3
"""The relay against real databases and a real assentd: kills of relays, of the database and of the coordinator; the order of a key; what
may have been forgotten."""

import asyncio
import contextlib
import time
import unittest

from outbox_rig import MISSING, MariaDBRig, PostgreSQLRig, SQLiteRig
from support import Daemon, until

import assent
import assent.aio
from assent.relay_rules import NOT_YET, elapsed

if not MISSING:
    import psycopg
    import psycopg2


class Shared:
    """For each kind of database."""

    def test_payloads_of_zero_bytes_and_of_the_limit(self):
        with self.transaction() as connection:
            self.outbox.publish(connection, self.order("empty"))
            great = assent.Transaction("great", deadline=60)
            for _ in range(2):
                great.saga("shop", "ship", "\0z" * (512 * 1024))
            self.outbox.publish(connection, great)
        self.relay()
        until(lambda: len(self.shop.done) == 3)
        self.assertEqual(sorted(len(text) for _, text in self.shop.done), [0, 1 << 20, 1 << 20])
        self.until_gone()

    def test_woken_by_the_program(self):
        relay = self.relay(poll=3600.0)
        until(lambda: relay.stats().table is not None)
        self.publish("a")
        relay.wake()
        self.until_done("a")

    def test_asyncio(self):
        async def go():
            async with assent.aio.Relay(self.outbox, self.daemon.endpoint, poll=0.05) as relay:
                await asyncio.to_thread(self.publish, "a", "b", "c")
                while relay.stats().handed_over < 3:
                    await asyncio.sleep(0.01)
                return relay.stats()

        stats = asyncio.run(go())
        self.assertEqual((stats.in_flight, stats.failed, stats.parked), (0, 0, 0))
        self.until_done("a", "b", "c")
        self.assertEqual(self.waits(), [])

    def test_killed_between_submit_and_delete(self):
        process = self.process("--die-at", "answered")
        self.publish("a", "b")
        until(lambda: process._process.poll() is not None, process.text)
        until(lambda: self.shop.done)
        self.assertEqual(self.waits(), ["a", "b"])
        self.assertTrue(all(row.attempts >= 1 and row.first_attempt for row in self.outbox.list()))
        self.relay()  # takes them when their lease has ended
        self.until_gone()
        self.until_done("a", "b")

    def test_two_at_once_share_and_each_is_done_once(self):
        gids = [f"g{n}" for n in range(400)]
        relays = [self.relay(batch=8, poll=0.01) for _ in range(2)]
        for at in range(0, 400, 50):
            self.publish(*gids[at:at + 50])
        self.until_gone()
        self.until_done(*gids)
        self.assertEqual(sum(relay.stats().handed_over for relay in relays), 400)

    def test_the_order_of_a_key_through_kills_of_relays(self):
        """200 of one key, and as many of none, by two relays that are killed by turns."""
        processes = [self.process(*flags) for flags in ((), ("--asyncio",))]
        keyed, others = [f"k{n}" for n in range(200)], [f"o{n}" for n in range(200)]
        for at in range(0, 200, 20):
            self.publish(*keyed[at:at + 20], key="ann")
            self.publish(*others[at:at + 20])
        for kill in range(4):
            until(lambda kill=kill: len(self.shop.done) >= 60 * (kill + 1) or not self.waits(), lambda: [p.text() for p in processes])
            processes[kill % 2].kill()
            processes[kill % 2].start()
        self.until_gone()
        self.until_done(*keyed, *others)
        self.assertEqual([gid for gid in self.shop.gids() if gid[0] == "k"], keyed)
        for process in processes:
            self.assertEqual(process.stop(), 0, process.text())

    def test_a_key_waits_for_who_is_before_and_nobody_else_does(self):
        self.shop.open.clear()
        relay = self.relay(call_timeout=0.5, lease=1.0)
        self.publish("k1", "k2", key="ann")
        with self.transaction() as connection:
            self.outbox.publish(connection, self.order("refused", action="refuse"), key="bob")
            self.outbox.publish(connection, self.order("after", action="refuse"), key="bob")
        self.publish("o1")
        # An abort is an answer. What is accepted and not complete is said so, and holds up its key alone.
        until(lambda: self.waits() == ["k1", "k2"] and self.outbox.list()[0].last_error == NOT_YET, lambda: self.outbox.list())
        self.assertEqual(self.outbox.list()[1].attempts, 0)
        self.shop.open.set()
        self.until_gone()
        self.assertEqual([gid for gid in self.shop.gids() if gid[0] == "k"], ["k1", "k2"])
        self.assertEqual(relay.stats().failed, 0)

    def test_the_coordinator_is_away_and_comes_back(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        daemon.kill()
        relay = self.relay(endpoint=daemon.endpoint)
        self.publish("a", "b")
        until(lambda: any(row.last_error.startswith("Unavailable") for row in self.outbox.list()), lambda: self.outbox.list())
        until(lambda: relay.stats().failed >= 2)
        # Nothing was handed over, so nothing can have been forgotten, however long it is away.
        self.assertTrue(all(not row.first_attempt or row.due > row.first_attempt for row in self.outbox.list()))
        until(lambda: all(not row.first_attempt for row in self.outbox.list()), lambda: self.outbox.list())
        daemon.start()
        self.until_gone()

    def test_stopping_leaves_the_rest(self):
        self.shop.open.clear()
        relay = self.relay(stop_grace=0.2)
        self.publish("k", key="ann")
        self.publish("o")
        until(lambda: self.waits() == ["k"])
        until(lambda: relay.stats().in_flight == 1)
        relay.stop()
        relay.stop()
        (row,) = self.outbox.list()
        self.assertIn("stopped", row.last_error)
        self.assertGreater(row.first_attempt, 0)
        self.relay()
        self.shop.open.set()
        self.until_gone()
        self.until_done("k", "o")

    def test_what_may_have_been_forgotten_is_asked_for(self):
        with assent.Client(self.daemon.endpoint) as client:
            client.submit(self.order("known"), wait=assent.WaitFor.COMPLETED)
        self.publish("known", "forgotten", "fresh")
        long_ago = int((time.time() - 13 * 3600) * 1000)
        self.sql(f"UPDATE assent_outbox SET attempts = 1, first_attempt_unix_ms = {long_ago} WHERE gid <> 'fresh'")
        relay = self.relay()
        until(lambda: self.waits() == ["forgotten"] and self.outbox.list()[0].parked_reason)
        self.assertRegex(self.outbox.list()[0].parked_reason, r"first handed over 13\.0 h ago: it may have run, and been forgotten")
        self.until_done("known", "fresh")
        self.assertEqual(relay.stats().parked, 1)
        self.assertTrue(any("waits for a person gid=forgotten" in line for line in self.lines), self.lines)
        self.outbox.retry("forgotten")  # a person has looked
        self.until_gone()
        self.until_done("known", "fresh", "forgotten")

    def test_a_relay_that_stood_still_says_nothing_late(self):
        self.publish("a")
        (row,), _ = self.take()
        relay = assent.aio.Relay(self.outbox, self.daemon.endpoint)

        async def go():
            async with relay:
                return await relay._inner._ask(row, elapsed() - 0.001)

        settled = asyncio.run(go())
        self.assertTrue(settled.never_sent)
        self.assertEqual(self.shop.done, [])

    def test_a_table_that_somebody_has_locked(self):
        relay = self.relay()
        until(lambda: relay.stats().table is not None)
        self.publish("a")
        self.until_gone()
        with self.locked():
            until(lambda: any("cannot be read" in line for line in self.lines), lambda: self.lines)
        until(lambda: "the outbox can be read again" in self.lines, lambda: self.lines)
        self.publish("b")
        self.until_done("a", "b")
        self.until_gone()


class SQLiteTest(Shared, SQLiteRig):
    def test_a_table_that_somebody_has_locked(self):
        """Who looks is not held up by who writes: something has to be there to be taken."""
        self.publish("a")
        with contextlib.closing(self.connect(autocommit=True)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            self.relay()
            until(lambda: any("cannot be read" in line and "locked" in line for line in self.lines), lambda: self.lines)
            connection.execute("COMMIT")
        self.until_done("a")
        self.until_gone()
        self.assertIn("the outbox can be read again", self.lines)


class PostgreSQLTest(Shared, PostgreSQLRig):
    def test_told_at_once(self):
        """By LISTEN and NOTIFY, over both drivers."""
        for connect in (psycopg.connect, psycopg2.connect):
            relay = self.relay(outbox=assent.Outbox(lambda connect=connect: connect(self.where)), poll=3600.0)
            listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            until(lambda: self.sql(listening) == [(1,)])
            until(lambda: relay.stats().table is not None)
            gid = connect.__module__
            with contextlib.closing(connect(self.where)) as connection:
                self.outbox.publish(connection, self.order(gid))
                connection.commit()
            until(lambda gid=gid: gid in self.shop.gids())
            relay.stop()

    def test_the_database_is_away_and_comes_back(self):
        the_database_is_away_and_comes_back(self)


class MariaDBTest(Shared, MariaDBRig):
    def test_the_database_is_away_and_comes_back(self):
        the_database_is_away_and_comes_back(self)


def the_database_is_away_and_comes_back(test):
    relay = test.relay()
    test.publish("a")
    test.until_gone()
    test.publish("b")
    test.server.kill()
    until(lambda: any("cannot be read" in line for line in test.lines), lambda: test.lines)
    test.server.start()
    until(lambda: "the outbox can be read again" in test.lines, lambda: test.lines)
    test.publish("c")
    test.until_done("a", "b", "c")
    test.until_gone()
    test.assertGreaterEqual(relay.stats().handed_over, 2)


if __name__ == "__main__":
    unittest.main()
