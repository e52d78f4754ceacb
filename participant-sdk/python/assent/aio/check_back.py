"""`enlist` for asyncio, on a psycopg.AsyncConnection."""

from typing import Any

from ..check_back import enlisting
from ..outbox_sql import plain_cursor, refuse_autocommit
from ..statements import carry_out_async, refuse_plain
from ..transaction import Transaction


async def enlist(connection: Any, message: Transaction) -> None:
    """As assent.enlist."""
    first = message.check_message()
    refuse_plain(connection, "assent.enlist takes others")
    refuse_autocommit(connection, "enlist")
    await carry_out_async(plain_cursor(connection), enlisting(connection, message.gid, first))
