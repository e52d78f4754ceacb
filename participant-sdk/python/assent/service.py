"""What a service does, whoever asks it: actions and their handlers.

    shop = assent.Service("inventory")

    @shop.tcc("reserve")
    def reserve(call): ...
    @reserve.confirm
    def deduct(call): ...
    @reserve.cancel
    def release(call): ...

A handler returns the result (bytes, text, or nothing): it has happened, durably. It raises Refused to say no, RetryLater to be asked
again; any other exception is a failed attempt, and is asked again. Such plain handlers have to keep the contract by themselves: the
same call again has no second effect and gets the same answer, an undo that comes first is done, and its forward operation is refused
from then on. The adapters (sqlite.py, postgresql.py, mysql.py) keep all of it, inside the local transaction: prefer them.
"""

import inspect
import threading
from typing import Any, Callable, Iterable, Optional

from .barrier import Held
from .call import Call, Reply, reply_of, reply_to, retry_later
from .errors import ConfigError, InvalidArgument
from .transaction import check_name
from .words import Kind, Operation, Protocol, Verdict

Handler = Callable[..., Any]
MAX_ACTIONS = 1024

_FINISH = {Protocol.TWO_PHASE: "commit", Protocol.TCC: "confirm", Protocol.SAGA: None}
_UNDO = {Protocol.TWO_PHASE: "rollback", Protocol.TCC: "cancel", Protocol.SAGA: "compensate"}


class Action:
    """One action. What is decorated with `confirm`, `cancel`, … of it becomes the handler of that operation."""

    def __init__(self, protocol: Protocol, name: str, forward: Handler):
        self.protocol, self.name = protocol, name
        self.handlers: dict[Operation, Handler] = {
            {Protocol.TWO_PHASE: Operation.PREPARE, Protocol.TCC: Operation.TRY, Protocol.SAGA: Operation.ACTION}[protocol]: forward}
        self._forward = forward
        self.__doc__ = forward.__doc__

    def __call__(self, *arguments: Any) -> Any:
        """The forward operation's handler, as any function: for tests of its own."""
        return self._forward(*arguments)

    def _add(self, operation: Operation, handler: Handler) -> Handler:
        if operation.protocol != self.protocol:
            raise ConfigError(f"action {self} has no {operation.name.lower()}")
        if operation in self.handlers:
            raise ConfigError(f"action {self} has two handlers of {operation.name.lower()}")
        self.handlers[operation] = handler
        return handler

    def confirm(self, handler: Handler) -> Handler:
        return self._add(Operation.CONFIRM, handler)

    def cancel(self, handler: Handler) -> Handler:
        return self._add(Operation.CANCEL, handler)

    def compensate(self, handler: Handler) -> Handler:
        return self._add(Operation.COMPENSATE, handler)

    def commit(self, handler: Handler) -> Handler:
        return self._add(Operation.COMMIT, handler)

    def rollback(self, handler: Handler) -> Handler:
        return self._add(Operation.ROLLBACK, handler)

    def __str__(self) -> str:
        return f"{self.protocol.short}:{self.name}"


class Actions:
    """A table of actions, filled by decorators before anything starts."""

    def __init__(self) -> None:
        self.table: dict[tuple[Protocol, str], Action] = {}

    def tcc(self, name: str) -> Callable[[Handler], Action]:
        """Decorates `try`. `confirm` and `cancel` of what comes of it decorate the others."""
        return self._adder(Protocol.TCC, name)

    def saga(self, name: str) -> Callable[[Handler], Action]:
        """Decorates the step. `compensate` of what comes of it decorates its undo; without one there is nothing to undo."""
        return self._adder(Protocol.SAGA, name)

    def two_phase(self, name: str) -> Callable[[Handler], Action]:
        """Decorates `prepare`."""
        return self._adder(Protocol.TWO_PHASE, name)

    def _adder(self, protocol: Protocol, name: str) -> Callable[[Handler], Action]:
        try:
            check_name("action", name)
        except InvalidArgument as wrong:
            raise ConfigError(str(wrong)) from None
        if (protocol, name) in self.table:
            raise ConfigError(f"action {protocol.short}:{name} is registered twice")

        def add(handler: Handler) -> Action:
            action = self.table[(protocol, name)] = Action(protocol, name, handler)
            return action

        return add

    def check(self) -> None:
        """ConfigError for an action whose handlers are not complete."""
        for action in self.table.values():
            if action.protocol == Protocol.SAGA:
                continue
            for operation, word in zip(list(Operation)[3 * (action.protocol - 1) + 1:], (_FINISH[action.protocol], _UNDO[action.protocol])):
                if operation not in action.handlers:
                    raise ConfigError(f"action {action} has no handler of {word}: decorate one with .{word}")


class Job:
    """A call that somebody waits for, and the one answer to it."""

    def __init__(self, call: Call, respond: Callable[[Optional[Reply]], None], wanted: Callable[[], bool] = lambda: True):
        self.call = call
        self._respond = respond
        self._wanted = wanted
        self._lock = threading.Lock()
        self._answered = False

    def begin(self) -> bool:
        """False: nobody waits for it any more, and it is answered. Late is as bad as never: what is done should be what somebody still
        wants."""
        if self._wanted():
            return True
        self.answer(retry_later("it waited here for longer than its coordinator waits"))
        return False

    def answer(self, reply: Optional[Reply]) -> None:
        """None: nobody can say what has happened; it is asked again."""
        with self._lock:
            if self._answered:
                return
            self._answered = True
        self._respond(reply if reply is not None else Reply(Kind.UNKNOWN, reason="its outcome is not known"))


class Resource:
    """What an adapter is: it executes branches against a database of its own. Called from several threads at once."""

    def actions(self) -> Iterable[tuple[Protocol, str]]:
        raise NotImplementedError

    def start(self) -> None:
        """Before the first call. Raises ConfigError for what is wrong, and says what to do."""

    def execute(self, job: Job) -> None:
        """Does not block for long: the answer may come at any time, from any thread."""
        raise NotImplementedError

    def questions(self, limit: int) -> list[Held]:
        """Branches to ask the coordinator about."""
        return []

    def answer(self, held: Held, verdict: Verdict, finished: bool) -> None:
        """What the coordinator said about one of them. `finished`: no command for its gid will ever be sent again."""

    def close(self) -> None:
        """Waits for what runs."""


class Service(Actions):
    """A name, plain handlers, and adapters. Run it with Participant, UnaryServer, or those of assent.aio."""

    def __init__(self, name: str, *resources: Resource):
        super().__init__()
        try:
            check_name("service", name)
        except InvalidArgument as wrong:
            raise ConfigError(str(wrong)) from None
        self.name = name
        self.resources = list(resources)

    def attach(self, resource: Resource) -> "Service":
        self.resources.append(resource)
        return self

    def by_action(self) -> dict[tuple[Protocol, str], Optional[Resource]]:
        """Who does what; None: a plain handler. ConfigError for what is wrong."""
        self.check()
        owners: dict[tuple[Protocol, str], Optional[Resource]] = {key: None for key in self.table}
        for resource in self.resources:
            for key in resource.actions():
                if key in owners:
                    raise ConfigError(f"action {key[0].short}:{key[1]} is registered twice")
                owners[key] = resource
        if not owners:
            raise ConfigError(f"service {self.name} has no action: decorate one with .tcc, .saga or .two_phase")
        if len(owners) > MAX_ACTIONS:
            raise ConfigError(f"service {self.name} has {len(owners)} actions; at most {MAX_ACTIONS}")
        return owners


def unknown_action(call: Call) -> Reply:
    """Nobody here can tell that nothing has happened: another version of this service may have executed it, and its answer been lost.
    (What no instance offers the coordinator refuses by itself, at the first attempt.)"""
    return retry_later(f"no action {call.protocol.short}:{call.action} is registered here")


def steps_of(action: Action, call: Call) -> list[Handler]:
    """The plain handlers of a call, in order."""
    handler = action.handlers.get(call.operation)
    steps = [handler] if handler else []
    if call.operation == Operation.PREPARE and call.one_phase:
        steps.append(action.handlers[Operation.COMMIT])
    return steps


def run_plain(action: Action, call: Call) -> Optional[Reply]:
    """Runs a plain handler that is an ordinary function."""
    reply: Optional[Reply] = Reply(Kind.DONE)
    try:
        for number, step in enumerate(steps_of(action, call)):
            answered = reply_of(step(call), call)
            if not answered.is_done:
                return answered
            if number == 0:
                reply = answered
            if answered.kind == Kind.DONE_READ_ONLY:
                break
        return reply
    except Exception as error:  # noqa: BLE001 (a failed attempt, never the end of the process)
        return reply_to(error)


async def run_async(action: Action, call: Call) -> Optional[Reply]:
    """The same for handlers that may be coroutine functions."""
    reply: Optional[Reply] = Reply(Kind.DONE)
    try:
        for number, step in enumerate(steps_of(action, call)):
            returned = step(call)
            answered = reply_of(await returned if inspect.isawaitable(returned) else returned, call)
            if not answered.is_done:
                return answered
            if number == 0:
                reply = answered
            if answered.kind == Kind.DONE_READ_ONLY:
                break
        return reply
    except Exception as error:  # noqa: BLE001
        return reply_to(error)


def is_async(action: Action) -> bool:
    return any(inspect.iscoroutinefunction(handler) for handler in action.handlers.values())
