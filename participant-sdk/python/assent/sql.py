"""What the adapters of all databases share: the row of a branch, what a handler may do, and how one operation is run in a local
transaction. The rules are in barrier.py."""

import contextlib
import secrets
import time
import weakref
from typing import Any, Callable, Iterable, Optional, Sequence

from .barrier import Held, Kept, Move, Row, Upkeep, after, fault_of, open_call, upkeep_for
from .call import Call, Refused, Reply, RetryLater, refused, reply_of, reply_to
from .dialect import Dialect
from .errors import ConfigError
from .service import Action, Actions, Resource
from .words import Kind, Operation, Protocol, Role, Verdict

GONE = ("the handler's transaction is gone: an error has rolled it back (a deadlock does), and the handler has gone on; or it was ended by a "
        "statement of the handler's (CREATE TABLE does)")
ELSEWHERE = "somebody else was at this branch"
SAVEPOINT = f"assent_{secrets.token_hex(8)}"  # no handler has one of that name


class Tx:
    """What a handler gets: the local transaction that its writes, and the barrier's row, are committed in. It is ended for it."""

    def __init__(self, connection: Any, dialect: Dialect, stands: Callable[[], bool] = lambda: True, is_kept: bool = False):
        """`stands`: the transaction is still open. Of a database whose statements would commit by themselves after it. `is_kept`: it is to be
        kept prepared."""
        self._connection, self._dialect, self._stands, self.is_kept = connection, dialect, stands, is_kept
        self._ended = False
        self._cursors: "weakref.WeakSet[Any]" = weakref.WeakSet()

    def execute(self, sql: Any, parameters: Sequence[Any] = ()) -> Any:
        """A cursor. Placeholders are the driver's: "?" of sqlite3, "%s" of psycopg and PyMySQL."""
        text = sql if isinstance(sql, str) else sql.decode() if isinstance(sql, bytes) else sql.as_string(self._connection)
        refuse_ending(self._dialect, text)
        cursor = self.cursor()
        cursor.execute(sql, tuple(parameters)) if parameters else cursor.execute(sql)
        return cursor

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first row, or None."""
        cursor = self.execute(sql, parameters)
        try:
            return cursor.fetchone()
        finally:
            cursor.close()

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        cursor = self.execute(sql, parameters)
        try:
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def cursor(self) -> Any:
        if self._ended:
            raise RuntimeError("the handler of this tx has returned: its transaction is over")
        if not self._stands():
            raise RuntimeError(GONE)
        cursor = self._connection.cursor()
        self._cursors.add(cursor)
        return cursor

    def end(self) -> None:
        """The handler has returned: the connection is another one's soon."""
        self._ended = True
        for cursor in list(self._cursors):
            with contextlib.suppress(Exception):
                cursor.close()


def refuse_ending(dialect: Dialect, sql: str) -> None:
    if words := dialect.ending(sql):
        raise RuntimeError(f"{words} is not for a handler: its transaction is ended for it, together with the barrier's row")


def signed(value: int) -> int:
    """An unsigned number of 64 bits, as databases keep it."""
    return value - (1 << 64) if value >= 1 << 63 else value


def unsigned(value: int) -> int:
    return int(value) & 0xFFFFFFFFFFFFFFFF


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Rows:
    """The table assent_barrier, through a cursor that `execute(sql, parameters)` gives. `table`: its name with the schema's, quoted, so that
    no setting of the session leads elsewhere."""

    def __init__(self, execute: Callable[[str, Sequence[Any]], Any], dialect: Dialect, table: str):
        self._run, self._dialect, self._table = execute, dialect, table

    def _sql(self, text: str) -> str:
        return text.replace("?", self._dialect.mark).replace("{t}", self._table)

    def find(self, gid: str, branch_id: str, lock: str = "") -> Row:
        cursor = self._run(self._sql("SELECT state, protocol, action, kind, result, reason, second_result FROM {t} "
                                     "WHERE gid = ? AND branch_id = ?" + lock), (gid, branch_id))
        found = cursor.fetchone()
        cursor.close()
        if found is None:
            return Row()
        state, protocol, action, kind, result, reason, second = found
        try:
            if Kind(kind) == Kind.UNKNOWN:  # a person has set its state
                kind = {Kept.REFUSED: Kind.REFUSED, Kept.READ_ONLY: Kind.DONE_READ_ONLY}.get(Kept(state), Kind.DONE)
            return Row(Kept(state), Protocol(protocol), action, Reply(Kind(kind), bytes(result or b""), reason or ""), bytes(second or b""),
                       state == Kept.NONE)
        except ValueError:
            raise RuntimeError(f"assent_barrier: the row ({gid}, {branch_id}) is damaged") from None

    def claim(self, call: Call) -> Row:
        """What is kept of the branch. Its row is ours until the transaction ends, also if there was none: who comes at the same time, from
        whatever process and in whatever language, comes after us."""
        if self._insert(call, Kept.NONE, Reply(Kind.UNKNOWN), self._dialect.on_conflict) == 1:
            return Row()
        return self.find(call.gid, call.branch_id, self._dialect.for_update)

    def put(self, call: Call, state: Kept, first: Reply) -> None:
        """Of a branch that has no row."""
        self._insert(call, state, first, "")

    def _insert(self, call: Call, state: Kept, first: Reply, otherwise: str) -> int:
        cursor = self._run(self._sql("INSERT INTO {t}(gid, branch_id, protocol, action, state, kind, result, reason, second_result, "
                                     "coordinator_id, began_epoch, touched_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" + otherwise),
                           (call.gid, call.branch_id, int(call.protocol), call.action, int(state), int(first.kind), first.result, first.reason,
                            b"", call.coordinator_id, signed(call.began_epoch), now_ms()))
        count = int(cursor.rowcount)
        cursor.close()
        return count

    def decide(self, call: Call, state: Kept, first: Reply) -> None:
        """Of a branch whose row was claimed, and new."""
        self._update("state = ?, kind = ?, result = ?, reason = ?", (int(state), int(first.kind), first.result, first.reason), call, Kept.NONE)

    def begin_second(self, call: Call, was: Kept) -> None:
        """Before the handler of the second phase, in its transaction: who finds a row without a state finds one that a handler has committed."""
        self._update("state = ?", (int(Kept.NONE),), call, was)

    def advance(self, call: Call, was: Kept, state: Kept, second_result: bytes = b"") -> None:
        self._update("state = ?, second_result = ?, touched_ms = ?", (int(state), second_result, now_ms()), call, was)

    def _update(self, what: str, values: tuple[Any, ...], call: Call, was: Kept) -> None:
        cursor = self._run(self._sql("UPDATE {t} SET " + what + " WHERE gid = ? AND branch_id = ? AND state = ?"),
                           (*values, call.gid, call.branch_id, int(was)))
        count = cursor.rowcount
        cursor.close()
        if count != 1:
            raise RetryLater(ELSEWHERE)

    def held(self, older_than_ms: int, limit: int) -> list[Held]:
        """What is prepared, then what is old enough to go; the oldest first."""
        cursor = self._run(self._sql("SELECT gid, branch_id, coordinator_id, began_epoch FROM {t} "
                                     "WHERE orphan = 0 AND state <> 0 AND (state = ? OR touched_ms < ?) ORDER BY CASE WHEN state = ? THEN 0 ELSE 1 END, "
                                     "touched_ms LIMIT ?"),
                           (int(Kept.PREPARED), now_ms() - older_than_ms, int(Kept.PREPARED), limit))
        found = [Held(gid, branch, int(coordinator), unsigned(epoch)) for gid, branch, coordinator, epoch in cursor.fetchall()]
        cursor.close()
        return found

    def forget(self, held: Held, state: Kept, upkeep: Upkeep, older_than_ms: int) -> None:
        head = "UPDATE {t} SET orphan = 1" if upkeep == Upkeep.ORPHAN else "DELETE FROM {t}"
        self._run(self._sql(head + " WHERE gid = ? AND branch_id = ? AND state = ? AND touched_ms < ?"),
                  (held.gid, held.branch_id, int(state), now_ms() - older_than_ms)).close()


class SqlActions(Actions, Resource):
    """An adapter's actions: handlers take (tx, call)."""

    keeps_prepared = True

    def __init__(self, retention: float):
        super().__init__()
        self._retention_ms = int(retention * 1000)

    def actions(self) -> Iterable[tuple[Protocol, str]]:
        self.check()
        return list(self.table)

    def check_back(self, action: str, *, patience: float = 10.0) -> None:
        """Registers a step of which this database has the answer (check_back.py): whether the local transaction of a message has committed.
        `patience`: seconds from `prepare`, by the coordinator's clock, to the commit, by this machine's. What takes longer is answered
        with no, and cannot be enlisted any more: at least what the slowest local transaction may take."""
        if not patience >= 0:
            raise ConfigError(f"patience is {patience} s; it must be 0 or more")

        def not_enlisted(tx: Tx, call: Call) -> None:
            # The branch's row is ours by now. While an initiator that has not committed has it, this is not run: the answer is "later".
            if now_ms() - call.began_unix_ms < patience * 1000:
                raise RetryLater("its initiator's local transaction may still be under way")
            raise Refused(f"its initiator's local transaction had not committed after {patience:g} s, and never will")

        def never_undone(tx: Tx, call: Call) -> None:
            raise Refused("what its initiator has committed is not undone")

        self.saga(action)(not_enlisted).compensate(never_undone)

    def check(self) -> None:
        for action in self.table.values():
            if action.protocol == Protocol.TWO_PHASE:
                if not self.keeps_prepared:
                    raise ConfigError(f"action {action}: Python's sqlite3 cannot keep prepared work durable and unseen; make it tcc, or use "
                                      "PostgreSQL, MariaDB or MySQL, which can")
                if len(action.handlers) > 1:
                    raise ConfigError(f"action {action}: prepare is its only handler; the database itself commits or rolls back what it wrote")
        plain = Actions()
        plain.table = {key: action for key, action in self.table.items() if key[0] != Protocol.TWO_PHASE}
        plain.check()


def run_handler(action: Action, tx: Tx, call: Call) -> Reply:
    """What the handler says. Its exceptions are of two kinds: Refused and RetryLater are answers; every other one is raised, since the
    adapter may know better (a lost connection, a deadlock)."""
    handler = action.handlers.get(call.operation)
    if handler is None:
        return Reply(Kind.DONE)  # a Saga step that has nothing to undo
    try:
        return reply_of(handler(tx, call), call)
    except (Refused, RetryLater) as answer:
        reply = reply_to(answer)
        assert reply is not None
        return reply.normalized(call.operation.role)
    except Exception:
        raise
    except BaseException as ending:  # of the handler's thread, which is ours (sys.exit, a cancelled task)
        raise RuntimeError(f"the handler has raised {type(ending).__name__}") from ending
    finally:
        tx.end()


def run_local(rows: Rows, action: Optional[Action], tx: Tx, call: Call, savepoint: Callable[[str], None]) -> tuple[Reply, bool]:
    """One operation within the local transaction that `tx` and `rows` are in; `savepoint(verb)` runs a statement about the savepoint.
    The answer, and whether to commit: else roll the whole back, as with what is raised. What the handler wrote is undone with every
    answer but done."""
    if fault := fault_of(call):
        return refused(fault), False
    row = rows.claim(call)
    opening = open_call(call, row)
    if opening.move == Move.BURY:
        rows.decide(call, Kept.TOMBSTONE, opening.reply)
        return opening.reply, True
    if opening.move != Move.RUN:
        return opening.reply, False
    if action is None:
        raise RuntimeError(f"no handler of {call.action} here")
    if call.operation.role != Role.FORWARD:
        rows.begin_second(call, row.state)
    savepoint(f"SAVEPOINT {SAVEPOINT}")
    reply = run_handler(action, tx, call)
    if not reply.is_done:
        savepoint(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
    savepoint(f"RELEASE SAVEPOINT {SAVEPOINT}")
    state = after(call, reply, wrote=reply.kind != Kind.DONE_READ_ONLY)
    if state != Kept.NONE:
        if call.operation.role == Role.FORWARD:
            rows.decide(call, state, reply)
        else:
            rows.advance(call, Kept.NONE, state, reply.result)
    return reply, state != Kept.NONE


def upkeep_of(rows: Rows, held: Held, verdict: Verdict, finished: bool) -> tuple[Upkeep, Row]:
    row = rows.find(held.gid, held.branch_id)
    return upkeep_for(row.state, row.protocol, verdict, finished), row


def second_call(held: Held, row: Row, verdict: Verdict) -> Call:
    """A verdict about prepared work, as the call that says the same."""
    operation = Operation.COMMIT if verdict == Verdict.COMMIT else Operation.ROLLBACK
    return Call(held.gid, held.branch_id, operation, Protocol.TWO_PHASE, action=row.action, coordinator_id=held.coordinator_id,
                began_epoch=held.began_epoch)
