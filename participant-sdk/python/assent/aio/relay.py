"""The relay for asyncio: what relay.py has, awaited."""

from typing import Any, Iterable, Optional, Union

from ..dial import Tls, Token
from ..outbox import Outbox
from ..plan import Retry
from ..relay_loop import Loop
from ..relay_rules import GIVE_UP_AFTER_S, RelayOptions, RelayStats
from .client import Client


class Relay:
    """Started and used in one event loop. The options are those of assent.Relay."""

    def __init__(self, outbox: Outbox, endpoints: Union[None, str, Iterable[str]] = None, *, tls: Optional[Tls] = None,
                 token: Optional[Token] = None, **options: Any):
        retry = Retry(give_up_after=GIVE_UP_AFTER_S)
        self._inner = Loop(outbox, lambda: Client(endpoints, tls=tls, token=token, retry=retry), RelayOptions(**options))

    async def start(self) -> "Relay":
        await self._inner.start()
        return self

    def wake(self) -> None:
        """After a commit in this process: it looks at once. From the event loop's thread."""
        self._inner.wake()

    async def stop(self) -> None:
        await self._inner.stop()

    def stats(self) -> RelayStats:
        return self._inner.stats()

    async def __aenter__(self) -> "Relay":
        return await self.start()

    async def __aexit__(self, *failure: Any) -> None:
        await self.stop()
