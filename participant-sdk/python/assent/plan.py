"""How a client's call is repeated, and where. Values and a generator: neither gRPC nor a clock; client.py and aio/client.py carry it
out, so that both decide the same.

Everything that is sent is idempotent by gid, so it may always be sent again. What must never happen is that something which may have
been done is called not done, or done a second time at a coordinator of another log.
"""

import dataclasses
import random
from typing import Any, Callable, Generator, Optional, Union

from .errors import FINAL, NOT_SERVED, DeadlineExceeded, NotAllowed, Unavailable, give_up
from .transaction import once

CONNECT_PATIENCE = 1.0  # for a connection, where another coordinator could be tried instead
MAP_PATIENCE = 2.0
MAP_AGE = 5.0  # so old a map is asked for again, with the next call
MAX_MEMBERS = 1024


@dataclasses.dataclass(frozen=True)
class Retry:
    """How what failed without an answer is repeated. Seconds."""

    initial_backoff: float = 0.02  # doubles each time, with full jitter
    max_backoff: float = 1.0
    give_up_after: float = 10.0  # of failing, whatever the call's timeout; 0: never repeat


@dataclasses.dataclass(frozen=True)
class Ask:
    """To be done: one call at one endpoint. It is made only when there is a connection, for which it waits `patience`."""

    endpoint: str
    method: str
    request: Any
    timeout: float
    patience: float


@dataclasses.dataclass(frozen=True)
class Pause:
    """To be done: wait so long."""

    seconds: float


@dataclasses.dataclass(frozen=True)
class Attempt:
    """How an Ask ended. `code`: gRPC's name of it. `contacted`: its bytes may have reached a coordinator; only our own side's
    knowledge sets it to False, never what a status says."""

    code: str
    message: str = ""
    reply: Any = None
    contacted: bool = True
    owner: str = ""  # who has the transaction, as the answer says
    retry_after: float = 0.0


Plan = Generator[Union[Ask, Pause], Any, Any]


def slot_of(gid: str, slots: int) -> int:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in gid.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value % slots


class Routes:
    """Which coordinators there are, and who has which transactions, as far as it is known."""

    def __init__(self, seeds: list[str]):
        self.seeds = seeds
        self.endpoints = list(seeds)
        self.shared = False  # they are known to be coordinators of one log: what may have been done at one can be asked of another
        self.looked_at: Optional[float] = None
        self._owners: list[int] = []
        self._by_place: list[str] = []
        self._version = (0, 0)

    def learn(self, endpoint: str, view: Any) -> None:
        """What `endpoint` says of itself and the others (ClusterService.Get)."""
        if view.version == 0:
            # It shares its log with nobody, so none of the others can do its work.
            if not self.shared:
                self.endpoints = [endpoint]
            return
        version, slots = (view.generation, view.version), view.slots
        if version < self._version or not slots or len(slots) % 2 or not 0 < len(view.members) <= MAX_MEMBERS:
            return
        self._version, self.shared = version, True
        members = [member.address for member in view.members]
        left = {member.address for member in view.departed} - set(members)
        self.endpoints = once(members + [seed for seed in self.seeds if seed not in left])
        self._owners = [slots[at] | slots[at + 1] << 8 for at in range(0, len(slots), 2)]
        self._by_place = members

    def in_order(self, gid: str) -> list[str]:
        """The owner first, if it is known."""
        if self._owners:
            place = self._owners[slot_of(gid, len(self._owners))]
            if 0 < place <= len(self._by_place):
                return once([self._by_place[place - 1], *self.endpoints])
        return self.endpoints


class Tour:
    """The endpoints that one call tries: each of them once, then it should wait, and so on.

    What may have been done at an endpoint is repeated there alone, until it is known who shares its log."""

    def __init__(self, gid: str):
        self._gid = gid
        self._tried: list[str] = []
        self._last = self._moved = ""
        self.contacted = False

    def _open(self, routes: Routes) -> list[str]:
        if self._moved and self._moved not in self._tried:
            return [self._moved]
        if self.contacted and not routes.shared:
            return []
        return [one for one in routes.in_order(self._gid) if one not in self._tried]

    def next(self, routes: Routes) -> str:
        bound = self.contacted and not routes.shared and not self._open(routes)
        if bound:
            choice = self._last
        else:
            if not self._open(routes):
                self.rest()
            choice = self._open(routes)[0]
        self._moved = ""
        self._tried.append(choice)
        self._last = choice
        return choice

    def more_now(self, routes: Routes) -> bool:
        return bool(self._open(routes))

    def moved(self, endpoint: str) -> None:
        self._moved = endpoint

    def rest(self) -> None:
        self._tried = []


def look(routes: Routes, endpoint: str, request: Any, now: Callable[[], float], patience: float) -> Plan:
    """Asks one coordinator who shares its log."""
    attempt = yield Ask(endpoint, "Cluster", request, MAP_PATIENCE, patience)
    if attempt.code == "OK":
        routes.learn(endpoint, attempt.reply)
    if attempt.code in ("OK", *NOT_SERVED):  # the latter: too old to be asked, or not for us to know
        routes.looked_at = now()


def call(routes: Routes, method: str, request: Any, map_request: Any, *, gid: str, what: str, timeout: float, read_only: bool, retry: Retry,
         now: Callable[[], float]) -> Plan:
    """One call, repeated wherever and as long as that may help. Returns the reply, or raises what errors.py has."""
    deadline = now() + timeout
    tour = Tour(gid)
    maybe_done = False
    failing_since: Optional[float] = None
    backoff = retry.initial_backoff
    while True:
        if routes.looked_at is None or now() - routes.looked_at > MAP_AGE:
            for endpoint in list(routes.in_order(gid)):
                before = routes.looked_at
                yield from look(routes, endpoint, map_request, now, min(CONNECT_PATIENCE, max(deadline - now(), 0.0)))
                if routes.looked_at != before or now() >= deadline or (tour.contacted and not routes.shared):
                    break
        endpoint = tour.next(routes)
        left = max(deadline - now(), 0.0)
        patience = min(CONNECT_PATIENCE, left) if tour.more_now(routes) or retry.give_up_after == 0 else left
        patience = min(patience, retry.give_up_after or patience)
        attempt = yield Ask(endpoint, method, request, left, patience)
        if attempt.code == "OK":
            return attempt.reply
        if attempt.contacted:
            tour.contacted = True
            maybe_done = maybe_done or not read_only
            if attempt.code in FINAL:
                raise FINAL[attempt.code](f"{what}: {attempt.message}")
            if attempt.code in NOT_SERVED:
                raise NotAllowed(f"{what}: {attempt.code}: {attempt.message}") if read_only else give_up(
                    what, gid, True, f"{attempt.code}: {attempt.message}")
        if attempt.owner:
            tour.moved(attempt.owner)
        if now() - (routes.looked_at or 0) > 0.5:
            routes.looked_at = None  # whoever failed may have lost what it had
        last = f"{attempt.code}: {attempt.message}"
        failing_since = now() if failing_since is None else failing_since
        if now() >= deadline:
            if read_only:
                raise DeadlineExceeded(f"{what} had no answer within {timeout:g} s; last error: {last}")
            raise give_up(what, gid, maybe_done, last)
        if attempt.code != "RESOURCE_EXHAUSTED" and tour.more_now(routes):
            continue
        if now() - failing_since >= retry.give_up_after:
            if read_only and attempt.contacted:
                raise Unavailable(f"{what} has changed nothing, and had no answer: {last}")
            raise give_up(what, gid, maybe_done, last)
        yield Pause(min(max(random.uniform(0, backoff), attempt.retry_after), deadline - now()))
        backoff = min(backoff * 2, retry.max_backoff)
        tour.rest()
