"""The outbox for asyncio: `publish` awaited, on a psycopg.AsyncConnection. The rest is that of assent.Outbox."""

from typing import Any, Optional

from .. import outbox
from ..outbox_sql import driver_of, plain_cursor, refuse_autocommit
from ..errors import InvalidArgument
from ..transaction import Transaction


class Outbox(outbox.Outbox):
    async def publish(self, on: Any, transaction: Transaction, *, key: Optional[str] = None) -> str:  # type: ignore[override]
        """As assent.Outbox.publish, of whose parameters `connect` has to make connections that are no asynchronous ones."""
        if driver_of(on) != "psycopg" or not hasattr(on, "__aenter__"):
            raise InvalidArgument(f"{type(on).__name__} is no psycopg.AsyncConnection; assent.Outbox publishes on others")
        refuse_autocommit(on)
        cursor = plain_cursor(on)
        statements = self._publishing(on, transaction, key, self._notify)
        try:
            step = next(statements)
            while True:
                await cursor.execute(step[0], step[1])
                step = statements.send((cursor.rowcount, await cursor.fetchone() if step[2] else None))
        except StopIteration:
            return transaction.gid
        finally:
            await cursor.close()
