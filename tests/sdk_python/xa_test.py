#!/usr/bin/python3
"""Two-phase work over MariaDB, which says OK to an XA COMMIT that does nothing while the session that prepared it is ending (xa_window.py
shows it): who settles, when, and what is believed."""

import contextlib
import itertools
import time
import unittest
import unittest.mock

import databases_test
from databases_test import MISSING, work_lock
from support import until

from assent.barrier import Kept
from assent.words import Kind, Operation
from assent.xa_sessions import DETACH_TIME, MAX_KEPT_SESSIONS

if not MISSING:
    import pymysql


class Wire:
    def __init__(self, swallowed, lost):
        self._swallowed, self._lost = swallowed, lost
        self.said = []

    def query(self, real, connection, text, unbuffered=False):
        self.said.append((connection.thread_id(), text, time.monotonic()))
        if self._swallowed and text.startswith(self._swallowed):
            return real(connection, "DO 0", unbuffered)
        answer = real(connection, text, unbuffered)
        if self._lost and text.startswith(self._lost):
            self._lost = None
            connection._force_close()
            raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
        return answer

    def of(self, word):
        """The sessions, and the first two words."""
        said = [(session, " ".join(text.split()[:2])) for session, text, _ in self.said if text.startswith(word + " ")]
        return [session for session, _ in said], [words for _, words in said]

    def count(self, start):
        return sum(text.startswith(start) for _, text, _ in self.said)

    def at(self, start):
        """When it was said first."""
        return next(when for _, text, when in self.said if text.startswith(start))


@unittest.skipIf(MISSING, f"no {MISSING} here: tools/install-deps.sh installs it")
class Xa(databases_test.OverMariaDB, databases_test.Bank, unittest.TestCase):
    def test_the_session_that_has_prepared_settles(self):
        for gid, operation in (("g1", Operation.COMMIT), ("g2", Operation.ROLLBACK)):
            with self.watched() as wire:
                self.assertEqual(self.ask(Operation.PREPARE, gid=gid).kind, Kind.DONE)
                self.assertEqual(self.ask(Operation.PREPARE, gid=gid).kind, Kind.DONE)  # which takes nothing from it
                self.assertEqual(self.ask(operation, gid=gid).kind, Kind.DONE)
            session, verbs = wire.of("XA")
            self.assertEqual(verbs, ["XA START", "XA END", "XA PREPARE", f"XA {operation.name}"])
            self.assertEqual(len(set(session)), 1, session)
        self.assertEqual((self.coins(), self.prepared()), (99, 0))

    def test_what_has_no_session_is_left_alone_for_a_moment(self):
        for gid, operation, alive in (("g1", Operation.COMMIT, True), ("g2", Operation.ROLLBACK, True), ("g3", Operation.COMMIT, False)):
            first = self.db
            self.ask(Operation.PREPARE, gid=gid)
            if not alive:
                first.close()
                until(lambda: self.sql(f"SELECT IS_USED_LOCK('{work_lock(gid)}') IS NULL")[0][0])
            self.db = self.adapter()  # another process
            with self.watched() as wire:
                self.assertEqual(self.ask(operation, gid=gid).kind, Kind.DONE)
            self.assertEqual(wire.count("KILL"), int(alive))
            seen = wire.at("KILL" if alive else "SELECT IS_USED_LOCK")
            self.assertGreaterEqual(wire.at(f"XA {operation.name}") - seen, DETACH_TIME)
            first.close()
        self.assertEqual((self.coins(), self.prepared()), (98, 0))

    def test_an_ok_that_does_nothing_is_not_believed(self):
        for gid, operation, promised in (("g1", Operation.COMMIT, True), ("g2", Operation.ROLLBACK, True), ("g3", Operation.ROLLBACK, False),
                                         ("g4", Operation.PREPARE, False)):
            before = self.coins()
            self.ask(Operation.PREPARE, gid=gid)
            if not promised:
                self.sql(f"DELETE FROM assent_barrier WHERE gid = '{gid}'")
            verb = f"XA {'COMMIT' if operation == Operation.COMMIT else 'ROLLBACK'}"
            for adapter in (self.adapter(), self.db):  # of another process, and of the one that has prepared it
                self.addCleanup(adapter.close)
                self.db = adapter
                with self.watched(swallowed=verb):
                    reply = self.ask(operation, gid=gid)
                self.assertEqual(reply.kind, Kind.RETRY_LATER, (verb, reply))
                self.assertIn(f"it is still prepared, but MariaDB said to {verb}: OK", reply.reason)
                self.assertEqual((self.coins(), self.prepared()), (before, 1))
            self.assertEqual(self.sql(f"SELECT state FROM assent_barrier WHERE gid = '{gid}'"), [(int(Kept.PREPARED),)] if promised else [])
            self.assertEqual(self.ask(operation, gid=gid).kind, Kind.DONE)
            if operation == Operation.PREPARE:
                self.assertEqual(self.ask(Operation.ROLLBACK, gid=gid).kind, Kind.DONE)
            self.assertEqual((self.coins(), self.prepared()), (before - (operation == Operation.COMMIT), 0))

    def test_the_answer_to_xa_is_lost(self):
        """It is neither a yes nor a no, in whichever session, and what is asked next finds what there is."""
        for gid, verb, operation, other in (("g1", "XA PREPARE", Operation.PREPARE, False), ("g1", "XA COMMIT", Operation.COMMIT, False),
                                            ("g2", "XA COMMIT", Operation.COMMIT, True), ("g3", "XA ROLLBACK", Operation.ROLLBACK, True)):
            if operation != Operation.PREPARE:
                self.ask(Operation.PREPARE, gid=gid)
            if other:
                self.db.close()
                self.db = self.adapter()
            with self.watched(lost=verb):
                self.assertEqual(self.ask(operation, gid=gid).kind, Kind.UNKNOWN, verb)
            self.assertEqual(self.ask(operation, gid=gid).kind, Kind.DONE, verb)
        self.assertEqual((self.coins(), self.prepared()), (98, 0))

    def test_nothing_comes_late(self):
        """A session that worked when its process was cut off does not prepare after somebody was told that nothing is."""
        with self.connect(self.name) as late, late.cursor() as cursor:
            cursor.execute(f"SELECT GET_LOCK('{work_lock('g1')}', 0)")
            cursor.execute(f"XA START 'g1','1',{0x4153}")
            cursor.execute("UPDATE account SET coins = 0")
            self.assertEqual(self.ask(Operation.ROLLBACK).kind, Kind.DONE)
            with self.assertRaises(pymysql.err.OperationalError):
                cursor.execute(f"XA END 'g1','1',{0x4153}")
        self.assertEqual((self.ask(Operation.PREPARE).kind, self.coins(), self.prepared()), (Kind.REFUSED, 100, 0))

    def test_one_address_and_behind_it_two_servers_is_noticed(self):
        with databases_test.mariadb.Server() as second:
            turns = itertools.cycle((self.connect(self.name), second.connect(second.new_database())))
            for connection in self.db._mine().idle:
                connection.close()
            self.db._mine().idle.clear()
            self.db._connect = lambda: next(turns)
            reply = self.ask(Operation.PREPARE)
        self.assertEqual(reply.kind, Kind.RETRY_LATER)
        self.assertIn("two connections have found two servers", reply.reason)
        self.assertEqual((self.coins(), self.prepared()), (100, 0))

    def test_what_somebody_has_committed_is_not_said_to_be_rolled_back(self):
        self.ask(Operation.PREPARE)
        self.take_away("g1", "1", "COMMIT")
        reply = self.ask(Operation.ROLLBACK)
        self.assertEqual((reply.kind, self.coins()), (Kind.REFUSED, 99))
        self.assertIn("HAZARD: its prepared work is gone from XA RECOVER: it was committed by somebody else", reply.reason)
        self.assertEqual(self.ask(Operation.COMMIT).kind, Kind.DONE)

    def test_one_session_too_many_ends_the_oldest(self):
        self.sql("INSERT INTO account " + " UNION ALL ".join(f"SELECT 'a{n}', 1" for n in range(MAX_KEPT_SESSIONS + 1)))
        for n in range(MAX_KEPT_SESSIONS + 1):
            self.assertEqual(self.ask(Operation.PREPARE, gid=f"a{n}", payload=b"a%d" % n).kind, Kind.DONE)
        used = [self.sql(f"SELECT IS_USED_LOCK('{work_lock(gid)}') IS NULL")[0][0] for gid in ("a1", f"a{MAX_KEPT_SESSIONS}")]
        self.assertEqual(used, [0, 0])
        until(lambda: self.sql(f"SELECT IS_USED_LOCK('{work_lock('a0')}') IS NULL")[0][0])
        for n in range(MAX_KEPT_SESSIONS + 1):
            self.assertEqual(self.ask(Operation.COMMIT, gid=f"a{n}").kind, Kind.DONE)
        self.assertEqual((self.sql("SELECT sum(coins) FROM account WHERE name LIKE 'a_'"), self.prepared()), ([(0,)], 0))

    @contextlib.contextmanager
    def watched(self, swallowed=None, lost=None):
        """What the adapters say to the server. `swallowed`: is answered with OK, and not done; `lost`: is done, and has no answer, once."""
        wire = Wire(swallowed, lost)
        real = pymysql.connections.Connection.query
        with unittest.mock.patch.object(pymysql.connections.Connection, "query", lambda *words, **more: wire.query(real, *words, **more)):
            yield wire


if __name__ == "__main__":
    unittest.main()
