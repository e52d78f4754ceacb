"""A transaction that starts if, and only if, a local transaction commits; without an outbox. The coordinator has it before, and asks an
initiator that falls silent.

    ship = assent.Transaction().check_back("orders", "placed").saga("shipping", "book", order)
    client.prepare(ship)                                               # it is durable, and nothing has begun
    with connection.transaction():
        connection.execute("INSERT INTO orders VALUES (%s)", [order])
        assent.enlist(connection, ship)                                # a row of the barrier
    client.submit(ship)                                                # it begins now; without this it would, a moment later

"orders" is a participant on the same database, whose adapter has `db.check_back("placed")`. Asked before the local transaction has
committed it says "later", for as long as its patience; asked after that it says no, and writes that down where `enlist` finds it.
"""

import sqlite3
from typing import Any

from .barrier import Kept
from .dialect import MYSQL, POSTGRESQL
from .errors import AlreadyExists, Error, FailedPrecondition
from .mysql import number
from .outbox_sql import driver_of, flavour_of, plain_cursor, refuse_autocommit
from .postgresql import key_of, sqlstate
from .statements import Statements, carry_out, refuse_async
from .transaction import Branch, Transaction
from .words import Kind, Protocol, one_line

_DUPLICATE = (1062,)  # of MySQL
_NO_SUCH_TABLE = ("42P01", 1146)
_INSERT = ("INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason, second_result, coordinator_id, "
           "began_epoch, touched_ms) VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, 0, 0, {now})")


def enlist(connection: Any, message: Transaction) -> None:
    """Within the transaction that is open on `connection`, one of sqlite3, psycopg, psycopg2 or PyMySQL. Nothing is written when it raises.

    InvalidArgument: the message does not begin with `check_back`, or is wrong otherwise. FailedPrecondition: the coordinator has asked,
    and was told no: roll back; or the connection is in autocommit; or no adapter has made its tables here. AlreadyExists: it is
    enlisted."""
    first = message.check_message()
    refuse_async(connection, "assent.aio.enlist awaits it")
    refuse_autocommit(connection, "enlist")
    carry_out(plain_cursor(connection), enlisting(connection, message.gid, first))


def enlisting(connection: Any, gid: str, first: Branch) -> Statements:
    """The row that the participant would have written, had it been asked to do the step."""
    flavour = flavour_of(connection)
    dialect = flavour.dialect
    branch = (gid, first.id or "1")
    row = (*branch, int(Protocol.SAGA), first.action, int(Kept.DONE), int(Kind.DONE), b"", b"")
    try:
        if dialect is POSTGRESQL:
            # Who is being asked about the branch comes before or after, and does not meet a row that has not committed.
            yield f"SELECT pg_advisory_xact_lock({key_of(*branch)})", (), True
            _, made = yield flavour.sql(_INSERT + dialect.on_conflict) + " RETURNING 1", row, True
        else:
            made, _ = yield flavour.sql(_INSERT + ("" if dialect is MYSQL else dialect.on_conflict)), row, False
    except Exception as error:
        if has_no_table(error, connection):
            raise FailedPrecondition("no table assent_barrier is here: the adapter of a participant (assent.PostgreSQL, …) makes it in its "
                                     f"database when it starts ({one_line(str(error))})") from error
        if dialect is not MYSQL or number(error) not in _DUPLICATE:
            raise
        made = 0
    if made:
        return
    # What is committed now, whatever this transaction's snapshot shows.
    look = "SELECT state FROM assent_barrier WHERE gid = ? AND branch_id = ?" + (" LOCK IN SHARE MODE" if dialect is MYSQL else "")
    _, found = yield flavour.sql(look), branch, True
    raise not_enlisted(gid, found[0] if found else Kept.NONE)


def not_enlisted(gid: str, state: int) -> Error:
    if state == Kept.DONE:
        return AlreadyExists(f"message {gid} is enlisted: one is enlisted once")
    return FailedPrecondition(f"message {gid} will not begin: the coordinator has asked, and was told no. Roll back; prepare a new one, and be "
                              "quicker, or raise `patience`")


def has_no_table(error: Exception, connection: Any) -> bool:
    if driver_of(connection) == "sqlite3":
        return isinstance(error, sqlite3.OperationalError) and "no such table" in str(error)
    return sqlstate(error) in _NO_SUCH_TABLE or number(error) in _NO_SUCH_TABLE
