#!/usr/bin/python3
"""The adapters of PostgreSQL and MariaDB against real servers: the contract, two-phase commit, kill -9 of the server and of the service,
deadlocks, and what a COMMIT that failed is."""

import contextlib
import json
import threading
import time
import unittest

import support
from support import PATIENCE_S, Daemon, Process, until

import assent
import assent.testkit
from assent.barrier import Kept
from assent.call import Call
from assent.mysql import work_lock_of
from assent.words import Kind, Operation, Protocol, Verdict
from assent.xa_sessions import DETACH_TIME

try:
    import psycopg
    import psycopg2
    import pymysql

    import mariadb
    import postgresql
    MISSING = None if postgresql.bin_folder() and mariadb.program("mariadbd") else "a server"
except ImportError as error:
    MISSING = error.name

TABLES = """CREATE TABLE IF NOT EXISTS account(name VARCHAR(64) PRIMARY KEY, coins BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS log(note VARCHAR(64) PRIMARY KEY)"""


def bank(db):
    """`take`, as two-phase, TCC and Saga, and what shows mistakes."""
    def move(amount):
        def handler(tx, call):
            tx.execute("UPDATE account SET coins = coins + %s WHERE name = %s", [amount, call.text])
            return f"{call.operation.name} {call.text}"
        return handler

    db.two_phase("take")(move(-1))
    take = db.tcc("take")(move(-1))
    take.confirm(lambda tx, call: None)
    take.cancel(move(1))
    db.saga("take")(move(-1)).compensate(move(1))

    @db.two_phase("look")
    def look(tx, call):
        return str(tx.one("SELECT coins FROM account WHERE name = %s", [call.text])[0])

    @db.two_phase("refuse")
    def refuse(tx, call):
        tx.execute("UPDATE account SET coins = 0")
        raise assent.Refused("no coins")

    @db.two_phase("both")
    def both(tx, call):
        """Two rows, in the order that is asked for."""
        for name in call.json():
            tx.execute("UPDATE account SET coins = coins - 1 WHERE name = %s", [name])
            time.sleep(0.2)  # tidy: allow(sleep) so that the other one has the other row

    @db.saga("run")
    def run(tx, call):
        tx.execute(call.text)

    @db.saga("swallow")
    def swallow(tx, call):
        """Goes on after an error, as if nothing had been."""
        tx.execute("INSERT INTO account VALUES ('swallowed', 1)")
        try:
            tx.execute("SELECT * FROM no_such_table")
        except Exception:  # noqa: BLE001
            pass

    @db.saga("stubborn")
    def stubborn(tx, call):
        """Takes both rows, and goes on whatever that gives."""
        tx.execute("UPDATE account SET coins = coins - 1 WHERE name = 'ann'")
        with contextlib.suppress(Exception):
            tx.execute("UPDATE account SET coins = coins - 1 WHERE name = 'bob'")
        tx.execute("INSERT INTO log VALUES ('went on')")
        if call.text == "refuse":
            raise assent.Refused("no coins")

    return db


class Bank:
    """Subclasses have `server`, `kind`, `connect(database)`, `prepared()`, `forget_prepared()`."""

    def setUp(self):
        self.name = self.server.new_database()
        self.db = self.adapter()
        self.addCleanup(self.forget_prepared)
        self.addCleanup(lambda: self.db.close())
        self.sql("INSERT INTO account VALUES ('ann', 100), ('bob', 100)")

    def adapter(self, **options):
        name = self.name
        db = bank(self.kind(lambda: self.connect(name), tables=TABLES, **options))
        db.start()
        return db

    def sql(self, text):
        connection = self.connect(self.name)
        connection.autocommit = True if self.kind is assent.PostgreSQL else connection.autocommit(True)
        cursor = connection.cursor()
        cursor.execute(text)
        rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return [tuple(row) for row in rows]

    def coins(self, name="ann"):
        return int(self.sql(f"SELECT coins FROM account WHERE name = '{name}'")[0][0])

    def ask(self, operation, action="take", gid="g1", payload=b"ann", branch="1", **more):
        return assent.testkit.ask(self.db, Call(gid, branch, operation, operation.protocol, action=action, payload=payload, **more))


class Shared(Bank):
    """For each kind of database."""

    def test_the_contract_and_the_books(self):
        for protocol in Protocol:
            before = self.coins()
            report = assent.testkit.check_contract(self.db, assent.testkit.Probe(protocol, "take", b"ann"))
            self.assertTrue(report.ok, report)
            self.assertEqual(self.coins(), before - report.committed, protocol)
        self.assertEqual(self.prepared(), 0)
        self.assertEqual(self.sql("SELECT count(*) FROM assent_marker"), [(0,)])

    def test_prepared_work_survives_kill_of_the_server_and_is_unseen(self):
        first = self.ask(Operation.PREPARE)
        self.assertEqual((first.kind, first.result, self.coins(), self.prepared()), (Kind.DONE, b"PREPARE ann", 100, 1))
        self.db.close()
        self.server.kill()
        self.server.start()
        self.db = self.adapter()
        self.assertEqual((self.ask(Operation.PREPARE), self.coins(), self.prepared()), (first, 100, 1))
        (held,) = self.db.questions(10)
        self.db.answer(held, Verdict.UNDECIDED, False)
        self.db.answer(held, Verdict.CANNOT_TELL, False)
        self.assertEqual(self.prepared(), 1)
        self.db.answer(held, Verdict.COMMIT, False)
        self.assertEqual((self.coins(), self.prepared(), self.db.questions(10)), (99, 0, []))
        self.assertEqual(self.ask(Operation.COMMIT).kind, Kind.DONE)
        self.assertEqual(self.ask(Operation.ROLLBACK).reason, "already committed")
        self.assertEqual(self.coins(), 99)

    def test_one_phase_read_only_and_refused_leave_nothing_prepared(self):
        self.assertEqual(self.ask(Operation.PREPARE, one_phase=True).kind, Kind.DONE)
        self.assertEqual((self.coins(), self.prepared()), (99, 0))
        self.assertEqual(self.ask(Operation.ROLLBACK).kind, Kind.REFUSED)
        for _ in range(2):
            self.assertEqual(self.ask(Operation.PREPARE, "refuse", gid="g2").reason, "no coins")
        self.assertEqual((self.coins(), self.prepared()), (99, 0))
        if self.kind is assent.PostgreSQL:  # which says whether something was written
            self.assertEqual(self.ask(Operation.PREPARE, "look", gid="g3").kind, Kind.DONE_READ_ONLY)
            self.assertEqual(self.prepared(), 0)

    def test_what_was_prepared_and_promised_to_nobody_goes(self):
        """Killed between PREPARE and the row that says so: nobody was told, and an undo that comes has to find it."""
        for gid, operation, coins in (("g1", Operation.ROLLBACK, 100), ("g2", Operation.PREPARE, 100)):
            self.ask(Operation.PREPARE, gid=gid)
            self.sql(f"DELETE FROM assent_barrier WHERE gid = '{gid}'")
            self.assertEqual(self.ask(operation, gid=gid).kind, Kind.DONE)
            self.assertEqual(self.coins(), coins)
        self.assertEqual(self.prepared(), 1)  # g2's, once
        self.assertEqual(self.ask(Operation.COMMIT, gid="g2").kind, Kind.DONE)
        self.assertEqual((self.coins(), self.prepared()), (99, 0))

    def test_killed_between_the_commit_and_its_row(self):
        self.ask(Operation.PREPARE)
        self.ask(Operation.COMMIT)
        self.sql(f"UPDATE assent_barrier SET state = {int(Kept.PREPARED)}")
        self.sql("INSERT INTO assent_marker VALUES ('g1', '1')")
        self.assertEqual(self.ask(Operation.COMMIT).kind, Kind.DONE)
        self.assertEqual(self.coins(), 99)

    def test_prepared_work_that_somebody_has_taken_away_is_a_hazard(self):
        self.ask(Operation.PREPARE)
        self.take_away("g1", "1")
        reply = self.ask(Operation.COMMIT)
        self.assertEqual(reply.kind, Kind.REFUSED)
        self.assertIn("HAZARD: its prepared work is gone", reply.reason)

    def test_a_lost_answer_to_commit_is_never_a_no(self):
        """The server is killed while it commits: nobody can say, and the next asking finds what there is."""
        real = self.db._commit

        def lose(connection):
            real(connection)
            raise assent.Unknown("the answer to a COMMIT was lost")

        self.db._commit = lose
        self.assertEqual(self.ask(Operation.TRY).kind, Kind.UNKNOWN)
        self.db._commit = lambda connection: (self.server.kill(), real(connection))
        self.assertEqual(self.ask(Operation.TRY, gid="g2").kind, Kind.UNKNOWN)
        self.server.start()
        self.db._commit = real
        # Connections that were idle meanwhile (who looks whom a handler waits for has one, too) have ended, and say so once.
        until(lambda: self.ask(Operation.TRY).result == b"TRY ann")
        self.assertEqual(self.coins(), 99)
        self.assertEqual(self.ask(Operation.TRY, gid="g2").kind, Kind.DONE)
        self.assertEqual(self.coins(), 98)

    def test_a_handler_does_not_end_its_transaction(self):
        for text in (b"COMMIT", b"ROLLBACK", b"START TRANSACTION"):
            reply = self.ask(Operation.ACTION, "run", payload=text)
            self.assertEqual(reply.kind, Kind.RETRY_LATER)
            self.assertIn("is not for a handler", reply.reason)

    def test_many_at_once_and_deadlocks_are_run_again(self):
        def both(n, names):
            return self.ask(Operation.PREPARE, "both", gid=f"d{n}", payload=json.dumps(names).encode(), one_phase=True)

        replies = []
        threads = [threading.Thread(target=lambda n=n, names=names: replies.append(both(n, names)))
                   for n, names in enumerate((["ann", "bob"], ["bob", "ann"]))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([reply.kind for reply in replies], [Kind.DONE, Kind.DONE], replies)
        self.assertEqual((self.coins("ann"), self.coins("bob")), (98, 98))

    def test_books_through_kills(self):
        """A transfer in two phases between two services; the database, a service and the coordinator are killed by turns."""
        daemon = Daemon()
        self.addCleanup(daemon.close)
        names = {"west": self.name, "east": self.server.new_database()}
        processes = [Process("bank.py", "--service", service, "--database", self.bank_kind, ASSENT_ENDPOINT=daemon.endpoint,
                             BANK_DATABASE=self.settings(name)) for service, name in names.items()]
        for process in processes:
            self.addCleanup(process.close)
        self.db.close()
        self.sql("DROP TABLE account")
        processes[0].kill()  # makes its own table
        processes[0].start()
        client, outcomes = assent.Client(daemon.endpoint), {}
        self.addCleanup(client.close)

        def transfer(n):
            order = assent.Transaction(f"transfer-{n}", deadline=40)
            for service, amount in (("west", -1), ("east", 1)):
                order.two_phase(service, "add", json.dumps({"account": f"a{n % self.accounts}", "amount": amount}))
            settle(n, order)

        def settle(n, order):
            end = time.monotonic() + 90
            while time.monotonic() < end:
                try:
                    outcomes[n] = client.submit(order, wait=assent.WaitFor.COMPLETED).outcome
                    return
                except (assent.UnknownOutcome, assent.Unavailable):
                    continue

        fill = assent.Transaction(deadline=60)
        for n in range(self.accounts):
            fill.saga("west", "add", json.dumps({"account": f"a{n}", "amount": 1000}))
        settle("fill", fill)
        self.assertEqual(outcomes.pop("fill"), assent.Outcome.COMMITTED)
        threads = [threading.Thread(target=lambda k=k: [transfer(n) for n in range(k, 60, 4)], daemon=True) for k in range(4)]
        for thread in threads:
            thread.start()
        for kill, victim in enumerate((processes[0], self.server, daemon, processes[1], self.server)):
            until(lambda kill=kill: len(outcomes) >= 9 * (kill + 1) or not any(thread.is_alive() for thread in threads),
                  lambda: (len(outcomes), processes[0].text()[-2000:]))
            victim.kill()
            victim.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(outcomes), 60)
        committed = sum(outcome == assent.Outcome.COMMITTED for outcome in outcomes.values())
        self.assertGreater(committed, 0)
        until(lambda: self.prepared() == 0)
        totals = []
        for name in names.values():
            self.name = name
            totals.append(int(self.sql("SELECT sum(balance) FROM account")[0][0]))
        self.assertEqual(totals, [1000 * self.accounts - committed, committed])


@unittest.skipIf(MISSING, f"no {MISSING} here: tools/install-deps.sh installs it")
class InPostgreSQL(Shared, unittest.TestCase):
    kind, bank_kind = assent.PostgreSQL, "postgresql"
    accounts = 5  # two transfers meet at one now and then, and do not stand still

    @classmethod
    def setUpClass(cls):
        cls.server = postgresql.Server({"max_prepared_transactions": "60"})
        cls.server.start()
        cls.addClassCleanup(cls.server.close)

    def connect(self, name):
        return psycopg.connect(self.server.url(name))

    def settings(self, name):
        return self.server.url(name)

    def prepared(self):
        return int(self.sql("SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'assent/%'")[0][0])

    def take_away(self, gid, branch):
        self.sql(f"ROLLBACK PREPARED 'assent/{gid}/{branch}'")

    def forget_prepared(self):
        """Of this test, so that the next one counts its own."""
        for name, database in self.sql("SELECT gid, database FROM pg_prepared_xacts"):
            self.name = database
            self.sql(f"ROLLBACK PREPARED '{name}'")

    def test_going_on_after_an_error_is_not_taken_for_done(self):
        """PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and the driver says nothing."""
        self.assertEqual(self.ask(Operation.ACTION, "swallow").kind, Kind.RETRY_LATER)
        self.assertEqual(self.sql("SELECT 1 FROM account WHERE name = 'swallowed'"), [])

    def test_older_ones_are_not_kept_waiting_by_younger_ones_that_are_prepared(self):
        self.db.close()
        self.db = self.adapter(lock_timeout=PATIENCE_S)  # nobody is told by it
        self.ask(Operation.PREPARE, gid="younger", began_unix_ms=2000, coordinator_id=7)
        self.is_told_of_the_younger()
        reply = self.ask(Operation.PREPARE, gid="of-another", began_unix_ms=1000, coordinator_id=8)
        self.assertEqual(reply.kind, Kind.REFUSED)
        self.assertIn("younger, and of coordinator 7", reply.reason)
        reply = self.ask(Operation.PREPARE, gid="younger", branch="2", began_unix_ms=2000, coordinator_id=7)
        self.assertIn("of this same transaction", reply.reason)
        with self.waits("youngest", b"ann"):
            self.is_told_of_the_younger()  # who comes second for the row waits for the first, who waits
            self.ask(Operation.ROLLBACK, gid="younger", began_unix_ms=2000, coordinator_id=7)

    def test_neither_by_one_that_has_what_they_want_and_waits_for_a_younger_one(self):
        self.db.close()
        self.db = self.adapter(lock_timeout=PATIENCE_S)
        self.ask(Operation.PREPARE, gid="younger", began_unix_ms=2000, coordinator_id=7)
        with self.waits("youngest", json.dumps(["bob", "ann"]).encode(), "both"):
            self.is_told_of_the_younger(payload=b"bob")
            self.ask(Operation.ROLLBACK, gid="younger", began_unix_ms=2000, coordinator_id=7)

    def is_told_of_the_younger(self, payload=b"ann"):
        begun = time.monotonic()
        reply = self.ask(Operation.PREPARE, gid="older", payload=payload, began_unix_ms=1000, coordinator_id=7)
        self.assertEqual((reply.kind, reply.blocked_by), (Kind.RETRY_LATER, "younger"), reply)
        self.assertLess(time.monotonic() - begun, PATIENCE_S / 2)

    @contextlib.contextmanager
    def waits(self, gid, payload, action="take"):
        """In a thread, until the end, by when it has what it wanted."""
        replies = []
        thread = threading.Thread(target=lambda: replies.append(
            self.ask(Operation.PREPARE, action, gid=gid, payload=payload, began_unix_ms=3000, coordinator_id=7)))
        thread.start()
        until(lambda: self.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        yield
        thread.join()
        self.assertEqual(replies[0].kind, Kind.DONE, replies)

    def test_what_would_stand_still_for_ever_does_not(self):
        """Two transactions that each hold, prepared, what the other wants."""
        daemon = Daemon()
        self.addCleanup(daemon.close)
        other = self.server.new_database()
        mine, self.name = self.name, other
        second = self.adapter()
        self.addCleanup(second.close)
        self.sql("INSERT INTO account VALUES ('ann', 100)")
        self.name = mine
        services = [assent.Participant(assent.Service(name, db), daemon.endpoint).start() for name, db in (("west", self.db), ("east", second))]
        for participant in services:
            self.addCleanup(participant.stop)
            participant.wait_connected()
        with assent.Client(daemon.endpoint) as client:
            begun = time.monotonic()
            one = client.begin(assent.Transaction(deadline=60))
            two = client.begin(assent.Transaction(deadline=60))
            self.assertFalse(one.two_phase("west", "take", "ann").refused)
            self.assertFalse(two.two_phase("east", "take", "ann").refused)
            said = {}

            def go_on(order, service):
                try:
                    said[order.gid] = order.two_phase(service, "take", "ann")
                    said[order.gid] = order.commit().outcome
                except assent.Error as error:
                    said[order.gid] = error

            threads = [threading.Thread(target=go_on, args=pair) for pair in ((one, "east"), (two, "west"))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(said[one.gid], assent.Outcome.COMMITTED, said)
            self.assertIsInstance(said[two.gid], (assent.Aborted, assent.FailedPrecondition), said)
            self.assertLess(time.monotonic() - begun, 30)

    def test_a_server_that_keeps_nothing_prepared_is_said(self):
        with postgresql.Server({"max_prepared_transactions": "0"}) as server:
            db = bank(assent.PostgreSQL(lambda: psycopg.connect(server.url("postgres"))))
            with self.assertRaisesRegex(assent.ConfigError, "set max_prepared_transactions in postgresql.conf"):
                db.start()

    def test_nobody_there_is_said(self):
        db = bank(assent.PostgreSQL(lambda: psycopg.connect(f"postgresql://127.0.0.1:{support.free_port()}/x")))
        with self.assertRaisesRegex(assent.ConfigError, "PostgreSQL cannot be used: OperationalError"):
            db.start()


class InPostgreSQLByPsycopg2(InPostgreSQL):
    bank_kind = "psycopg2"

    def connect(self, name):
        return psycopg2.connect(self.server.url(name))


def work_lock(gid, branch="1"):
    return work_lock_of(Call(gid, branch, Operation.PREPARE, Protocol.TWO_PHASE))


class OverMariaDB:
    kind, bank_kind = assent.MySQL, "mariadb"

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(mariadb.Server())

    def connect(self, name):
        return pymysql.connect(**self.server.settings(name))

    def settings(self, name):
        return json.dumps(self.server.settings(name))

    def prepared(self):
        return len(self.sql("XA RECOVER"))

    def take_away(self, gid, branch, verb="ROLLBACK"):
        """Behind the adapter's back: ends its session, and waits until InnoDB has let go of it."""
        (session,), = self.sql(f"SELECT IS_USED_LOCK('{work_lock(gid, branch)}')")
        if session is not None:
            self.try_sql(f"KILL CONNECTION {session}")
        time.sleep(2 * DETACH_TIME)  # tidy: allow(sleep) the server tells nobody
        until(lambda: self.try_sql(f"XA {verb} '{gid}','{branch}',{0x4153}"))

    def forget_prepared(self):
        """Of this test, so that the next one counts its own."""
        for _, length, _, data in self.sql("XA RECOVER"):
            data = data if isinstance(data, str) else data.decode("latin-1")
            self.take_away(data[:length], data[length:])

    def try_sql(self, text):
        try:
            self.sql(text)
            return True
        except pymysql.err.MySQLError:
            return False


@unittest.skipIf(MISSING, f"no {MISSING} here: tools/install-deps.sh installs it")
class InMariaDB(OverMariaDB, Shared, unittest.TestCase):
    accounts = 4  # one for each thread: who waits for whom is not known here, two that met would stand still until a deadline

    def test_a_statement_that_commits_by_itself_is_noticed(self):
        reply = self.ask(Operation.ACTION, "run", payload=b"CREATE TABLE more(x INT)")
        self.assertEqual(reply.kind, Kind.RETRY_LATER)
        self.assertRegex(reply.reason, "the handler's transaction is gone")

    def test_who_goes_on_after_a_deadlock_has_written_nothing(self):
        """The server rolls back all of a transaction then, and what follows would be committed statement by statement, without a row."""
        for text in (b"", b"refuse"):
            with self.subTest(text), contextlib.closing(self.connect(self.name)) as heavier:
                cursor = heavier.cursor()
                for number in range(100):  # the lighter one is the server's victim
                    cursor.execute("INSERT INTO log VALUES (%s)", (f"{number}",))
                cursor.execute("SELECT * FROM account WHERE name = 'bob' FOR UPDATE")
                said = []
                asked = threading.Thread(target=lambda: said.append(self.ask(Operation.ACTION, "stubborn", payload=text)))
                asked.start()
                until(lambda: self.sql("SELECT 1 FROM information_schema.processlist WHERE info LIKE 'UPDATE%bob%'"))
                cursor.execute("SELECT * FROM account WHERE name = 'ann' FOR UPDATE")
                heavier.rollback()
                asked.join()
                (reply,) = said
                self.assertEqual(reply.kind, Kind.RETRY_LATER, reply)
                self.assertRegex(reply.reason, "the handler's transaction is gone: an error has rolled it back")
                self.assertEqual((self.coins("ann"), self.coins("bob"), self.sql("SELECT note FROM log")), (100, 100, []))
        self.assertEqual(self.ask(Operation.COMPENSATE, "stubborn").kind, Kind.DONE)
        self.assertEqual(self.coins("ann"), 100)


if __name__ == "__main__":
    unittest.main()
