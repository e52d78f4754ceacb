"""A transaction that starts if, and only if, a local transaction commits.

    outbox = assent.Outbox(lambda: psycopg.connect("dbname=shop"))     # SQLite: a path
    outbox.create()

    with connection.transaction():
        connection.execute("INSERT INTO orders VALUES (%s)", [order])
        outbox.publish(connection, assent.Transaction().tcc("stock", "reserve", order))

    with assent.Relay(outbox) as relay: ...                            # hands over what was published

`publish` writes one row of the table assent_outbox, on a connection of the user's or in a handler's `tx`, and talks to nobody. A relay
(relay.py, or one of another language) hands it to the coordinator, at least once under its gid, which the coordinator makes once.
"""

import contextlib
import os
import sqlite3
import threading
import time
from typing import Any, Callable, Iterator, Optional, Union

from . import wire
from .call import RetryLater
from .errors import AlreadyExists, ConfigError, InvalidArgument, NotFound
from .outbox_sql import MAX_REQUEST_BYTES, Flavour, OutboxCounts, OutboxRow, Table, driver_of, flavour_of, plain_cursor, refuse_autocommit
from .sql import Tx
from .statements import Statements, carry_out, refuse_async
from .transaction import Transaction
from .v1 import transaction_pb2

MAX_ORDERING_KEY_BYTES = 128
COUNT_EVERY_S = 1.0
COUNT_EVERY_PUBLISHES = 1000
_DUPLICATE = (1062,)  # of MySQL


class Outbox:
    """`connect`: makes a connection for who looks at the table (a relay, `list`); of SQLite a path. `publish` needs none."""

    def __init__(self, connect: Union[None, str, "os.PathLike[str]", Callable[[], Any]] = None, *, max_waiting_count: int = 100_000,
                 notify: bool = True):
        """`max_waiting_count`: so many rows and more, and `publish` raises RetryLater: nobody hands them over. Counted once a second, or every
        1,000 publishes; 0: no bound. `notify`: over PostgreSQL relays are told at once; not for a transaction that is to be prepared."""
        if max_waiting_count < 0:
            raise ConfigError(f"max_waiting_count is {max_waiting_count}; it must be 0 or more")
        self._connect, self._max_waiting_count, self._notify = connect, max_waiting_count, notify
        self._lock = threading.Lock()
        self._counted_at: Optional[float] = None
        self._published = 0
        self._is_full = False

    # ---- for the service

    def publish(self, on: Any, transaction: Transaction, *, key: Optional[str] = None) -> str:
        """Within the transaction that is open on `on`, a connection or a handler's `tx`. Its gid. Nothing is written when it raises, and the
        transaction stands. `key`: transactions of one key are begun one after the other, each when the one before has reached all its
        participants; 1 to 128 bytes.

        InvalidArgument: the transaction, or the key. AlreadyExists: a row with this gid is there. RetryLater: too many wait.
        FailedPrecondition: the connection is in autocommit."""
        connection, is_kept = (on._connection, on.is_kept) if isinstance(on, Tx) else (on, False)
        if not isinstance(on, Tx):
            refuse_async(connection, "assent.aio.Outbox publishes on it")
            refuse_autocommit(connection)
        cursor = on.cursor() if isinstance(on, Tx) else plain_cursor(connection)
        carry_out(cursor, self._publishing(connection, transaction, key, self._notify and not is_kept))
        return transaction.gid

    def _publishing(self, connection: Any, transaction: Transaction, key: Optional[str], notify: bool) -> Statements:
        flavour = flavour_of(connection)
        request = request_of(transaction)
        check_key(key)
        yield from self._counting(flavour)
        try:
            count, _ = yield (flavour.sql("INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms) VALUES (?, ?, ?, {now})"
                                          + flavour.on_conflict), (transaction.gid, key, request), False)
        except Exception as error:  # noqa: BLE001 (a duplicate, of which MySQL alone has no better word)
            raise told(error, connection, transaction.gid) from error
        if count == 0:
            raise duplicate(transaction.gid)
        if notify and flavour.notify:
            yield flavour.notify, (), True

    def _counting(self, flavour: Flavour) -> Statements:
        bound = self._max_waiting_count
        if bound == 0:
            return
        with self._lock:
            now = time.monotonic()
            counts = self._counted_at is None or now - self._counted_at >= COUNT_EVERY_S or self._published >= COUNT_EVERY_PUBLISHES
            if counts:
                self._counted_at, self._published = now, 0
            self._published += 1
        if counts:
            if flavour.isolation:
                _, row = yield flavour.isolation, (), True
                if row and str(row[-1]).lower() == "serializable":  # counting would stand in the way of who else publishes
                    return
            _, row = yield f"SELECT COUNT(*) FROM (SELECT 1 AS one FROM assent_outbox LIMIT {bound}) counted", (), True
            with self._lock:
                self._is_full = row[0] >= bound
        if self._is_full:
            raise RetryLater(f"{bound} rows of assent_outbox wait to be handed over to the coordinator", COUNT_EVERY_S)

    # ---- for people

    def create(self) -> None:
        """The table, if it is not there."""
        with self.table() as table:
            table.create()

    def count(self, bound: int = 100_000) -> OutboxCounts:
        with self.table() as table:
            return table.count(bound)

    def list(self, limit: int = 100, *, parked_only: bool = False) -> list[OutboxRow]:
        """The oldest first."""
        with self.table() as table:
            return table.rows(parked_only, limit)

    def retry(self, gid: str) -> None:
        """It is handed over again, as if it had never been: due now, and not parked any more. NotFound: there is no such row."""
        with self.table() as table:
            if not table.retry(gid):
                raise NotFound(f"assent_outbox has no row of transaction {gid}")

    def drop(self, gid: str) -> None:
        """It is never handed over (again)."""
        with self.table() as table:
            if not table.drop(gid):
                raise NotFound(f"assent_outbox has no row of transaction {gid}")

    # ---- connections

    def open_table(self) -> Table:
        if self._connect is None:
            raise ConfigError("this Outbox was made without `connect`: it publishes, and does nothing else")
        if callable(self._connect):
            connection = self._connect()
        else:
            connection = sqlite3.connect(self._connect, isolation_level=None, timeout=2.0, check_same_thread=False)
        try:
            return Table(connection)
        except BaseException:
            connection.close()
            raise

    @contextlib.contextmanager
    def table(self) -> Iterator[Table]:
        with contextlib.closing(self.open_table()) as table:
            yield table


def request_of(transaction: Transaction) -> bytes:
    """The bytes of a row."""
    transaction.check_all()
    request: bytes = transaction_pb2.SubmitRequest(transaction=wire.transaction_spec(transaction)).SerializeToString()
    if len(request) > MAX_REQUEST_BYTES:
        raise InvalidArgument(f"the transaction has {len(request)} bytes; at most {MAX_REQUEST_BYTES}")
    return request


def check_key(key: Optional[str]) -> None:
    if key is None:
        return
    if not isinstance(key, str) or any(ord(one) < 0x20 or ord(one) == 0x7F or 0xD800 <= ord(one) < 0xE000 for one in key) \
            or not 1 <= len(key.encode()) <= MAX_ORDERING_KEY_BYTES:
        raise InvalidArgument(f"key is {key!r:.100}; it takes 1 to {MAX_ORDERING_KEY_BYTES} bytes of UTF-8 without control characters")


def duplicate(gid: str) -> AlreadyExists:
    return AlreadyExists(f"assent_outbox has a row of transaction {gid}: publish it once, or make another gid")


def told(error: Exception, connection: Any, gid: str) -> Exception:
    """What the driver raises, or what it means."""
    return duplicate(gid) if driver_of(connection) == "pymysql" and error.args[:1] == _DUPLICATE else error
