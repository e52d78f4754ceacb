"""What the tests of the outbox share: a coordinator, a shop whose steps are noted, and a database of each kind."""

import contextlib
import json
import os
import sqlite3
import tempfile
import threading
import unittest

from support import Daemon, Process, until

import assent
from assent.outbox_sql import Room

try:
    import psycopg
    import psycopg2
    import pymysql

    import mariadb
    import postgresql
    MISSING = None if postgresql.bin_folder() and mariadb.program("mariadbd") else "a server"
except ImportError as error:
    MISSING = error.name

ROOM = Room(1000, 1000, 1 << 30)


class Shop:
    """Whose steps are noted: gids, in the order in which they were done."""

    def __init__(self, endpoint):
        self.service, self.done, self.open = assent.Service("shop"), [], threading.Event()
        self.open.set()

        @self.service.saga("ship")
        def ship(call):
            if not self.open.is_set():
                raise assent.RetryLater("the shop is closed", 0.05)
            self.done.append((call.gid, call.text))

        @ship.compensate
        def recall(call):
            pass

        @self.service.saga("refuse")
        def refuse(call):
            raise assent.Refused("no")

        self.participant = assent.Participant(self.service, endpoint, log=lambda line: None).start()
        self.participant.wait_connected()

    def gids(self):
        return [gid for gid, _ in self.done]


class Bare(unittest.TestCase):
    """With a coordinator and a shop. Subclasses have `connect`, `outbox`, `sql(text)`, `mark`, `kind` and `where` for another process."""

    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.shop = Shop(self.daemon.endpoint)
        self.addCleanup(self.shop.participant.stop)
        self.lines = []
        self.new_database()
        self.outbox = self.new_outbox()
        self.outbox.create()
        self.outbox.create()  # once is enough, twice is well
        self.sql("CREATE TABLE orders(name VARCHAR(64) PRIMARY KEY)")

    def new_outbox(self, **options):
        return assent.Outbox(self.opener(), **options)

    def relay(self, **options):
        options = {"poll": 0.05, "log": self.lines.append, **options}
        relay = assent.Relay(options.pop("outbox", self.outbox), options.pop("endpoint", self.daemon.endpoint), **options).start()
        self.addCleanup(relay.stop)
        return relay

    def process(self, *arguments, **environment):
        process = Process("outbox_relay.py", "--database", self.kind, *arguments, ASSENT_ENDPOINT=self.daemon.endpoint, OUTBOX_DATABASE=self.where,
                          **environment)
        self.addCleanup(process.close)
        return process

    @contextlib.contextmanager
    def transaction(self):
        """Of the user's own connection: committed at its end, rolled back by an exception."""
        connection = self.connect()
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            connection.close()

    def order(self, gid, text="", action="ship"):
        return assent.Transaction(gid, deadline=60).saga("shop", action, text)

    def publish(self, *gids, key=None, outbox=None):
        with self.transaction() as connection:
            for gid in gids:
                (outbox or self.outbox).publish(connection, self.order(gid), key=key)

    def waits(self):
        return [row.gid for row in self.outbox.list(100_000)]

    def until_gone(self):
        """As long as it goes on."""
        left = len(self.waits())
        while left:
            left = until(lambda left=left: [n for n in (len(self.waits()),) if n < left], lambda: (self.outbox.list(5), self.lines))[0]

    def until_done(self, *gids):
        until(lambda: sorted(self.shop.gids()) == sorted(gids), lambda: (sorted(set(gids) ^ set(self.shop.gids())), self.lines))

    def take(self, settled=(), room=ROOM, lease=60.0):
        with self.outbox.table() as table:
            return table.turn(settled, room, lease)


class SQLiteRig(Bare):
    kind = "sqlite"

    def new_database(self):
        folder = tempfile.TemporaryDirectory(prefix="assent-outbox-test-")
        self.addCleanup(folder.cleanup)
        self.where = os.path.join(folder.name, "shop.db")
        self.sql("PRAGMA journal_mode = WAL")

    def opener(self):
        return self.where

    def connect(self, autocommit=False):
        return sqlite3.connect(self.where, isolation_level=None if autocommit else "", timeout=20.0)

    def sql(self, text):
        with contextlib.closing(self.connect(autocommit=True)) as connection:
            return connection.execute(text).fetchall()

    def adapter(self):
        return assent.SQLite(self.where)

    def fill(self, count):
        self.sql(f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
            INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) SELECT 'h' || i, 'ann', X'00', 0 FROM n""")

    def analyze(self):
        self.sql("ANALYZE")

    def plan_by_index(self, text, parameters):
        with contextlib.closing(self.connect()) as connection:
            plan = " ".join(str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + text, parameters))
        self.assertNotIn("SCAN", plan)
        self.assertNotIn("TEMP B-TREE", plan)
        return plan


@unittest.skipIf(MISSING, f"{MISSING} is not here")
class PostgreSQLRig(Bare):
    kind = "postgresql"

    @classmethod
    def setUpClass(cls):
        cls.server = postgresql.Server()
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def new_database(self):
        self.where = self.server.url(self.server.new_database())

    def opener(self):
        return lambda: psycopg.connect(self.where)

    def connect(self, autocommit=False):
        return psycopg.connect(self.where, autocommit=autocommit)

    def sql(self, text):
        with psycopg.connect(self.where, autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    def adapter(self):
        return assent.PostgreSQL(self.opener())

    @contextlib.contextmanager
    def locked(self):
        with psycopg.connect(self.where) as connection:
            connection.execute("LOCK TABLE assent_outbox IN ACCESS EXCLUSIVE MODE")
            yield

    def fill(self, count):
        self.sql("INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) "
                 f"SELECT 'h' || i, 'ann', ''::bytea, 0 FROM generate_series(1, {count}) i")

    def analyze(self):
        self.sql("ANALYZE assent_outbox")

    def plan_by_index(self, text, parameters):
        with psycopg.connect(self.where) as connection:
            plan = "\n".join(row[0] for row in psycopg.ClientCursor(connection).execute("EXPLAIN " + text.replace("?", "%s"), parameters))
        self.assertNotIn("Seq Scan", plan)
        self.assertNotIn("Sort", plan)
        return plan


@unittest.skipIf(MISSING, f"{MISSING} is not here")
class MariaDBRig(Bare):
    kind = "mariadb"

    @classmethod
    def setUpClass(cls):
        cls.server = mariadb.Server()
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def new_database(self):
        self.settings = self.server.settings(self.server.new_database())
        self.where = json.dumps(self.settings)

    def opener(self):
        return lambda: pymysql.connect(**self.settings)

    def connect(self, autocommit=False):
        return pymysql.connect(**self.settings, autocommit=autocommit)

    def sql(self, text):
        with contextlib.closing(self.connect(autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall())

    def adapter(self):
        return assent.MySQL(self.opener())

    @contextlib.contextmanager
    def locked(self):
        with contextlib.closing(self.connect()) as connection:
            connection.cursor().execute("LOCK TABLES assent_outbox WRITE")
            yield

    def fill(self, count):
        self.sql("INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) "
                 f"SELECT CONCAT('h', seq), 'ann', '', 0 FROM seq_1_to_{count}")

    def analyze(self):
        self.sql("ANALYZE TABLE assent_outbox")

    def plan_by_index(self, text, parameters):
        with contextlib.closing(self.connect()) as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute("EXPLAIN " + text.replace("?", "%s"), tuple(parameters))
            (plan,) = cursor.fetchall()
        self.assertIn(plan["key"], ("assent_outbox_key", "PRIMARY"), plan)
        self.assertTrue("filesort" not in (plan["Extra"] or "") or int(plan["rows"]) < 10, plan)
        return str(plan)
