"""Hands what was published (outbox.py) to the coordinator. (With asyncio: assent.aio.Relay.)

    with assent.Relay(outbox) as relay:
        ...
        connection.commit()
        relay.wake()        # PostgreSQL tells it by itself
"""

import asyncio
import concurrent.futures
import threading
from typing import Any, Callable, Iterable, Optional, Union

from . import calls
from .client import Client
from .dial import Tls, Token
from .outbox import Outbox
from .plan import Ask, Attempt, Retry
from .relay_loop import Loop
from .relay_rules import GIVE_UP_AFTER_S, RelayOptions, RelayStats


class Relay:
    """Has threads of its own, and may be used from any. A process that forks starts it afterwards."""

    def __init__(self, outbox: Outbox, endpoints: Union[None, str, Iterable[str]] = None, *, tls: Optional[Tls] = None,
                 token: Optional[Token] = None, **options: Any):
        """`endpoints`, `tls`, `token`: as of assent.Client. `options`: fields of RelayOptions."""
        self._options = RelayOptions(**options)
        client = _EndingClient(endpoints, tls=tls, token=token, retry=Retry(give_up_after=GIVE_UP_AFTER_S))
        self._inner = Loop(outbox, lambda: _InThreads(client, self._options.batch), self._options)
        self._thread: Optional[threading.Thread] = None

    def start(self) -> "Relay":
        """Begins. What cannot be done now (no database, no coordinator) is logged, and tried again."""
        if self._thread is None:
            begun = threading.Event()
            self._thread = threading.Thread(target=lambda: asyncio.run(self._run(begun)), name="assent-relay", daemon=True)
            self._thread.start()
            begun.wait()
        return self

    async def _run(self, begun: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        await self._inner.start()
        begun.set()
        await self._ended.wait()
        await self._inner.stop()

    def wake(self) -> None:
        """After a commit in this process: it looks at once."""
        self._tell(self._inner.wake)

    def stop(self) -> None:
        """Takes nothing more, waits for what is under way, and leaves the rest in the table."""
        if self._thread is not None:
            self._tell(lambda: self._ended.set())
            self._thread.join()

    def stats(self) -> RelayStats:
        return self._inner.stats()

    def _tell(self, what: Callable[[], None]) -> None:
        if self._thread is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(what)
            except RuntimeError:
                pass  # it has ended at this moment

    def __enter__(self) -> "Relay":
        return self.start()

    def __exit__(self, *failure: Any) -> None:
        self.stop()


class _EndingClient(Client):
    """Whose calls end with it."""

    ended = False

    def _ask(self, ask: Ask) -> Attempt:
        if self.ended:
            raise asyncio.CancelledError
        return super()._ask(ask)

    def close(self) -> None:
        self.ended = True
        super().close()


class _InThreads:
    """What a relay needs of assent.aio.Client, without gRPC's part for asyncio: that stands one event loop in a process, and the program may
    have its own."""

    def __init__(self, client: _EndingClient, most: int):
        self._client = client
        self._threads = concurrent.futures.ThreadPoolExecutor(most, thread_name_prefix="assent-relay-call")  # made as they are needed

    async def _carry_out(self, prepared: calls.Prepared) -> Any:
        return await self._run(lambda: self._client._carry_out(prepared))

    async def get(self, gid: str, **options: Any) -> Any:
        return await self._run(lambda: self._client.get(gid, **options))

    async def wait(self, gid: str, **options: Any) -> Any:
        return await self._run(lambda: self._client.wait(gid, **options))

    async def _run(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def close(self) -> None:
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
