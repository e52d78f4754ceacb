"""The outbox for asyncio: `publish` awaited, on a psycopg.AsyncConnection. The rest is that of assent.Outbox."""

from typing import Any, Optional

from .. import outbox
from ..outbox_sql import plain_cursor, refuse_autocommit
from ..statements import carry_out_async, refuse_plain
from ..transaction import Transaction


class Outbox(outbox.Outbox):
    async def publish(self, on: Any, transaction: Transaction, *, key: Optional[str] = None) -> str:  # type: ignore[override]
        """As assent.Outbox.publish, of whose parameters `connect` has to make connections that are no asynchronous ones."""
        refuse_plain(on, "assent.Outbox publishes on others")
        refuse_autocommit(on)
        await carry_out_async(plain_cursor(on), self._publishing(on, transaction, key, self._notify))
        return transaction.gid
