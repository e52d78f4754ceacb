#!/usr/bin/python3
"""assent-relay with real processes: assentd, the relay, a participant, and the databases that tests have servers of."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sdk_python"))

import support  # noqa: E402 (first: it says where the others are)
import mariadb  # noqa: E402
import postgresql  # noqa: E402
import psycopg  # noqa: E402
import pymysql  # noqa: E402
from support import Daemon, free_port, until  # noqa: E402

import assent  # noqa: E402

BIN = os.environ.get("ASSENT_BIN_DIR", os.path.join(support.ROOT, "build", "release", "bin"))
PROGRAM = os.path.join(BIN, "assent-relay")


def order(gid, payload=b""):
    return assent.Transaction(gid).saga("shop", "ship", payload)


# Rows of one language, relayed by another.
OUTBOX = assent.Outbox()


class SqliteDatabase:
    def __init__(self, folder):
        self.path = os.path.join(folder, "orders.db")
        self.name = "sqlite:" + self.path
        self.kind = "sqlite"

    def run(self, sql, *values):
        """Committed; the rows."""
        with sqlite3.connect(self.path, timeout=30) as db:
            rows = db.execute(sql, values).fetchall()
        db.close()
        return rows

    def script(self, sql):
        with sqlite3.connect(self.path) as db:
            db.executescript("PRAGMA journal_mode=WAL;" + sql)
        db.close()

    def lock(self):
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        return db.close

    def publish(self, transaction, key=None):
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        OUTBOX.publish(db, transaction, key=key)
        db.execute("COMMIT")
        db.close()


class ServerDatabase:
    """One of a server: `connect` gives a connection by DB-API that commits by itself, `begin` one with a transaction."""

    def run(self, sql, *values):
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def script(self, sql):
        for statement in sql.split(";\n"):
            if statement.strip():
                self.run(statement)

    def publish(self, transaction, key=None):
        connection = self.begin()
        OUTBOX.publish(connection, transaction, key=key)
        connection.commit()
        connection.close()


class PostgresqlDatabase(ServerDatabase):
    kind = "postgresql"

    def __init__(self, server):
        self.url = server.url(server.new_database())
        self.name = self.url

    def connect(self):
        return psycopg.connect(self.url, autocommit=True)

    def begin(self):
        return psycopg.connect(self.url)

    def lock(self):
        connection = psycopg.connect(self.url)
        connection.execute("LOCK TABLE assent_outbox")
        return connection.close


class MariadbDatabase(ServerDatabase):
    kind = "mariadb"

    def __init__(self, server):
        self.server, self.database = server, server.new_database()
        self.name = f"mariadb:host=127.0.0.1 port={server.port} user=root database={self.database}"

    def connect(self):
        return self.server.connect(self.database)

    def begin(self):
        return pymysql.connect(**self.server.settings(self.database))

    def lock(self):
        connection = self.connect()
        connection.cursor().execute("LOCK TABLES assent_outbox WRITE")
        return connection.close


class Relay:
    """One process of it."""

    def __init__(self, database, endpoint, *arguments):
        self.process = subprocess.Popen([PROGRAM, "run", "--database", database, "--endpoint", endpoint, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def said(self, pattern):
        return next((found for line in list(self.lines) if (found := re.search(pattern, line))), None)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self._reader.join()
        self.process.stderr.close()


class RelayTest:
    """Over one kind of database: `database()` makes it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-relay-test-")
        self.addCleanup(folder.cleanup)
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.db = self.database(folder.name)
        self.db.script(subprocess.run([PROGRAM, "table", self.db.kind], capture_output=True, text=True, check=True).stdout)
        self.done = []  # gids, as the participant has done them
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.called = threading.Event()

    def participant(self):
        service = assent.Service("shop")

        @service.saga("ship")
        def ship(call):
            self.called.set()
            self.may_answer.wait(30)
            if call.gid not in self.done:
                self.done.append(call.gid)

        ship.compensate(lambda call: None)
        participant = assent.Participant(service, self.daemon.endpoint, log=lambda line: None).start()
        self.addCleanup(participant.stop)
        participant.wait_connected()

    def relay(self, *arguments):
        relay = Relay(self.db.name, self.daemon.endpoint, *arguments)
        self.addCleanup(relay.close)
        return relay

    def rows(self):
        return self.db.run("SELECT count(*) FROM assent_outbox")[0][0]

    def until_empty(self):
        until(lambda: self.rows() == 0, lambda: f"the rows go: {self.ask('list')}")

    def ask(self, command, *arguments, code=0):
        done = subprocess.run([PROGRAM, command, "--database", self.db.name, *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout + done.stderr

    def test_what_is_published_is_done_once_and_metrics_say_so(self):
        self.participant()
        port = free_port()
        relay = self.relay("--metrics-listen", f"127.0.0.1:{port}")
        for number in range(50):
            self.db.publish(order(f"order-{number}", b"\0" * number))
        self.until_empty()
        until(lambda: len(self.done) == 50, "all are done")
        page = until(lambda: self.page(port, "assent_relay_handed_over_total 50"), "the metrics say so")
        self.assertIn("# TYPE assent_relay_rows_parked gauge\nassent_relay_rows_parked 0\n", page)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            self.assertEqual(answer.read(), b"ok\n")
        self.assertEqual(relay.stop(), 0)
        self.assertRegex("\n".join(relay.lines), r"(?m)^\d{4}-\d\d-\d\dT\S+Z info  event=outbox_relay_started$")
        self.assertTrue(relay.said("event=outbox_relay_stopped not_answered=0 not_settled=0"))

    @staticmethod
    def page(port, what):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        return text if what in text else None

    def test_killed_between_answer_and_delete_it_is_one_transaction(self):
        self.participant()
        self.may_answer.clear()
        self.db.publish(order("one"), "key")
        relay = self.relay()
        self.assertTrue(self.called.wait(30))
        unlock = self.db.lock()
        self.may_answer.set()
        until(lambda: relay.said("event=outbox_database_fails"), "it cannot delete")
        relay.kill()
        unlock()
        self.assertEqual(self.rows(), 1)
        self.assertIn("due in ", self.ask("list"))
        self.db.run("UPDATE assent_outbox SET due_unix_ms = 0")  # its lease has ended
        self.relay()
        self.until_empty()
        self.assertEqual(self.done, ["one"])

    def test_two_hundred_of_one_key_stay_in_order_with_two_relays_and_kills(self):
        self.participant()
        for number in range(200):
            self.db.publish(order(f"g{number}"), "account-7")
        relays = [self.relay("--poll", "10ms"), self.relay("--poll", "10ms")]
        for kills in range(1, 7):
            until(lambda wanted=kills * 25: len(self.done) >= wanted, "it goes on")
            relays[kills % 2].kill()
            self.db.run("UPDATE assent_outbox SET due_unix_ms = 0")  # leases of the dead have ended
            relays[kills % 2] = self.relay("--poll", "10ms")
        self.until_empty()
        self.assertEqual(self.done, [f"g{number}" for number in range(200)])

    def test_a_coordinator_that_is_away_is_waited_for(self):
        self.daemon.kill()
        self.db.publish(order("one"))
        self.db.publish(order("two"), "key")
        relay = self.relay()
        until(lambda: relay.said("event=outbox_coordinator_fails"), "it says that nobody is there")
        self.assertEqual(self.db.run("SELECT count(*) FROM assent_outbox WHERE parked_reason IS NULL")[0][0], 2)
        self.daemon.start()
        self.participant()
        self.until_empty()
        until(lambda: sorted(self.done) == ["one", "two"], "both are done")
        self.assertTrue(relay.said("event=outbox_coordinator_back"))

    def test_what_is_parked_is_shown_and_retried_or_dropped(self):
        self.participant()
        relay = self.relay()
        self.db.publish(order("good"))
        self.until_empty()
        self.db.publish(order("good", b"other content"))
        self.db.run("INSERT INTO assent_outbox(gid, request, created_unix_ms) VALUES('bad', 'garbage', 0)")
        until(lambda: "2" == str(self.db.run("SELECT count(*) FROM assent_outbox WHERE parked_reason IS NOT NULL")[0][0]), "both are parked")
        shown = self.ask("list", "--parked")
        self.assertRegex(shown, r"good .* parked .* ALREADY_EXISTS: ")
        self.assertRegex(shown, r"bad .* parked .* INVALID_ARGUMENT: its 7 bytes cannot be read")
        rows = [json.loads(line) for line in self.ask("list", "-o", "jsonl").splitlines()]
        self.assertEqual([row["gid"] for row in rows], ["good", "bad"])
        until(lambda: relay.said(r"error event=outbox_parked rows=\d gid="), "it says so")
        self.assertIn("bad is dropped", self.ask("drop", "bad"))
        self.assertIn("no row has the gid bad", self.ask("retry", "bad", code=4))
        self.db.run("DELETE FROM assent_outbox")
        self.db.publish(order("fresh"))
        self.until_empty()
        self.assertEqual(relay.stop(signal.SIGINT), 0)

    def test_a_missing_table_is_said_at_the_start(self):
        self.db.run("DROP TABLE assent_outbox")
        relay = self.relay()
        self.assertEqual(relay.process.wait(30), 5)
        until(lambda: relay.said("assent-relay table"), "what to do is said")


class SqliteTest(RelayTest, unittest.TestCase):
    def database(self, folder):
        return SqliteDatabase(folder)


class ServerTest(RelayTest):
    """`Server` and `Database` are of its kind."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.Server().__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def database(self, _folder):
        return self.Database(self.server)

    def test_a_database_that_goes_away_is_waited_for(self):
        self.participant()
        relay = self.relay()
        self.db.publish(order("before"))
        self.until_empty()
        self.server.kill()
        until(lambda: relay.said("event=outbox_database_fails"), "it says so")
        self.server.start()
        self.db.publish(order("after"))
        self.until_empty()
        until(lambda: self.done == ["before", "after"], "both are done")
        until(lambda: relay.said("event=outbox_database_back"), "it says so too")


class PostgresqlTest(ServerTest, unittest.TestCase):
    Server, Database = postgresql.Server, PostgresqlDatabase


class MariadbTest(ServerTest, unittest.TestCase):
    Server, Database = mariadb.Server, MariadbDatabase


class CommandLineTest(unittest.TestCase):
    def run_it(self, *arguments, **environment):
        return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, env=environment)

    def test_mistakes_are_named(self):
        for arguments, words in (
                (["frob"], "there is no command frob"),
                (["run"], "where is the table? --database is missing"),
                (["run", "--database", "oracle:x"], "--database begins with sqlite:, postgresql: or mariadb:"),
                (["run", "--database", "sqlite:x", "--lease", "1s"], "longer than call_timeout"),
                (["run", "--database", "sqlite:x", "--poll", "fast"], "'fast' is not a duration"),
                (["run", "--database", "sqlite:x", "--batch", "0"], "0 is not in 1 to 1024"),
                (["table", "oracle"], "'oracle' is none of sqlite, postgresql, mariadb"),
                (["drop", "--database", "sqlite:x"], "GID is required")):
            done = self.run_it(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertIn(words, done.stderr)
        self.assertEqual(self.run_it("list", ASSENT_RELAY_DATABASE="sqlite:/nonexistent/x").returncode, 3)

    def test_help_and_version(self):
        for arguments in (["--help"], ["run", "--help"], ["list", "--help"]):
            done = self.run_it(*arguments)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(all(len(line) <= 100 for line in done.stdout.splitlines()), done.stdout)
        self.assertRegex(self.run_it("--version").stdout, r"^assent-relay \d")


if __name__ == "__main__":
    unittest.main(verbosity=2)
