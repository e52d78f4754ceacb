"""The barrier in PostgreSQL, over psycopg (3) or psycopg2; two-phase commit by PREPARE TRANSACTION.

    db = assent.PostgreSQL(lambda: psycopg.connect("dbname=shop"))

    @db.two_phase("debit")
    def debit(tx, call): tx.execute("UPDATE account SET coins = coins - 1 WHERE name = %s", [call.text])

What is prepared: first the handler's work is made durable and unseen (PREPARE TRANSACTION, which holds a row of assent_marker), then the
barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row was promised to nobody, and a row
without prepared work has been settled: the marker, which is seen if it was committed, says how.
"""

import contextlib
import hashlib
import json
import secrets
import threading
from typing import Any, Iterator, Optional

from .barrier import Kept, Move, after, open_call
from .call import Call, Reply, Unknown, refused, retry_later
from .dialect import POSTGRESQL
from .errors import ConfigError
from .server_sql import CommitFailed, Connect, ServerAdapter, in_two_phases, run, value
from .service import Action
from .sql import SAVEPOINT, Tx, run_handler, run_local
from .words import Kind, Operation, Protocol, Role

_TABLES = """
CREATE TABLE IF NOT EXISTS assent_barrier(
  gid text NOT NULL, branch_id text NOT NULL,
  protocol integer NOT NULL, action text NOT NULL, state integer NOT NULL,
  kind integer NOT NULL, result bytea, reason text, second_result bytea,
  coordinator_id bigint NOT NULL, began_epoch bigint NOT NULL,
  touched_ms bigint NOT NULL, orphan integer NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id));
CREATE INDEX IF NOT EXISTS assent_barrier_age ON assent_barrier(touched_ms);
CREATE TABLE IF NOT EXISTS assent_marker(gid text NOT NULL, branch_id text NOT NULL, PRIMARY KEY(gid, branch_id));
CREATE TABLE IF NOT EXISTS assent_age(gid text PRIMARY KEY, began_unix_ms bigint NOT NULL, coordinator_id bigint NOT NULL)"""

_NOT_DONE = ("40", "23", "55")  # classes of errors after which a COMMIT has certainly not happened
_AGAIN = ("40001", "40P01")  # a serialisation failure, a deadlock
_LOCKED = ("55P03", "57014")  # lock_timeout has passed, or _Watch has ended the wait
_NOT_PREPARED = (*_NOT_DONE, "53", "0A000")  # no room for one more; what was done cannot be prepared
_NO_SUCH_PREPARED = "42704"
_NO_SUCH_SAVEPOINT = ("3B001", "25P01")  # in this transaction; or there is none
_HAS_FAILED = "25P02"  # the transaction
_IN_TRANSACTION = 2  # of libpq


class PostgreSQL(ServerAdapter):
    """`connect` makes a connection; its own settings count (but for autocommit). A branch has one owner at a time: an advisory lock."""

    kind = "PostgreSQL"
    dialect = POSTGRESQL

    def __init__(self, connect: Connect, *, tables: str = "", connections: int = 8, retention: float = 3600.0,
                 isolation: str = "READ COMMITTED", lock_timeout: float = 2.0):
        """`tables`: SQL that creates the service's own tables. `isolation`: of handlers' transactions. `lock_timeout`: seconds to wait
        for a row before the operation is asked again."""
        super().__init__(connect, tables=tables, connections=connections, retention=retention)
        if isolation not in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
            raise ConfigError(f"isolation is {isolation!r}; it is READ COMMITTED, REPEATABLE READ or SERIALIZABLE")
        self._isolation, self._lock_timeout_ms = isolation, int(lock_timeout * 1000)

    def _prepare_session(self, connection: Any) -> None:
        connection.autocommit = True
        run(connection, f"SET lock_timeout = {self._lock_timeout_ms}").close()
        # Done is durable, also where roles or databases are set otherwise; nothing stronger is weakened.
        run(connection, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'").close()

    def _set_up(self, connection: Any) -> None:
        run(connection, "SELECT pg_advisory_lock(7400)").close()  # two that create the tables at once get in each other's way
        for part in (_TABLES, self._tables):
            if part.strip():
                run(connection, part).close()
        if value(connection, "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('assent_barrier') AND attname = 'orphan' "
                             "AND NOT attisdropped") is None:
            run(connection, "ALTER TABLE assent_barrier ADD COLUMN orphan integer NOT NULL DEFAULT 0").close()
        run(connection, "SELECT pg_advisory_unlock(7400)").close()
        schema = value(connection, "SELECT quote_ident(nspname) FROM pg_namespace WHERE oid = "
                                   "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('assent_barrier'))")
        self._schema = schema.replace("%", "%%") + "."
        wants_two_phase = any(protocol == Protocol.TWO_PHASE for protocol, _ in self.table)
        if wants_two_phase and int(value(connection, "SHOW max_prepared_transactions")) == 0:
            raise ConfigError("PostgreSQL keeps no prepared work, which two_phase actions need: set max_prepared_transactions in "
                              "postgresql.conf (as many as there may be undecided branches; at least max_connections) and restart the server")

    def _is_again(self, error: Exception) -> bool:
        return sqlstate(error) in _AGAIN

    # ---- one operation

    def _perform_on(self, connection: Any, action: Action, call: Call) -> Reply:
        if in_two_phases(call):
            with self._branch(connection, call):
                return self._prepare(connection, action, call) if call.operation == Operation.PREPARE else self._settle(connection, call)
        run(connection, f"BEGIN ISOLATION LEVEL {self._isolation}; SELECT pg_advisory_xact_lock({key_of(call.gid, call.branch_id)})").close()
        with self._who_is_waited_for(connection, call) as waited:
            try:
                tx = Tx(connection, POSTGRESQL)
                reply, keep = run_local(self.rows(connection), action, tx, call, lambda verb: run(connection, verb).close())
            except Exception as error:
                if sqlstate(error) not in _LOCKED:
                    raise
                run(connection, "ROLLBACK").close()
                return waited.reply(error)
        if keep:
            self._commit(connection)
        else:
            run(connection, "ROLLBACK").close()
        return reply

    def _commit(self, connection: Any) -> None:
        if transaction_status(connection) != _IN_TRANSACTION:
            # PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and its drivers say nothing.
            raise RuntimeError("the handler has ended its transaction, or gone on after an error in it")
        try:
            run(connection, "COMMIT").close()
        except Exception as error:
            if sqlstate(error).startswith(_NOT_DONE):
                raise
            raise CommitFailed(f"the answer to a COMMIT was lost: {error}") from error

    @contextlib.contextmanager
    def _branch(self, connection: Any, call: Call) -> Iterator[None]:
        """Nobody else is at this branch. (A lock of the session: one of the transaction would stay with what is prepared.)"""
        key = key_of(call.gid, call.branch_id)
        run(connection, f"SELECT pg_advisory_lock({key})").close()
        yield
        run(connection, f"SELECT pg_advisory_unlock({key})").close()  # whatever is raised ends the session, and the lock with it

    def _prepare(self, connection: Any, action: Action, call: Call) -> Reply:
        rows = self.rows(connection)
        opening = open_call(call, rows.find(call.gid, call.branch_id))
        if opening.move != Move.RUN:
            return opening.reply
        name = name_of(call)
        self._drop_unpromised(connection, name)
        token = secrets.token_hex(8)
        run(connection, f"BEGIN ISOLATION LEVEL {self._isolation}; SELECT set_config('assent.handler', '{token}', false); "
                        f"SAVEPOINT {SAVEPOINT}").close()
        with self._who_is_waited_for(connection, call) as waited:
            try:
                reply = run_handler(action, Tx(connection, POSTGRESQL, is_kept=True), call)
            except Exception as error:
                waited.end()
                self._leave_handler(connection, call, token, "ROLLBACK TO")
                if sqlstate(error) not in _LOCKED:
                    raise
                run(connection, "ROLLBACK").close()
                return waited.reply(error)
        self._leave_handler(connection, call, token, "RELEASE" if reply.is_done else "ROLLBACK TO")
        if not reply.is_done:
            run(connection, "ROLLBACK").close()
        wrote = reply.kind == Kind.DONE and value(connection, "SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        state = after(call, reply, wrote=bool(wrote))
        if state == Kept.READ_ONLY:
            reply = Reply(Kind.DONE_READ_ONLY, reply.result)
            run(connection, "ROLLBACK").close()
        if state == Kept.PREPARED:
            run(connection, f"INSERT INTO {self._schema}assent_marker VALUES (%s, %s)", (call.gid, call.branch_id)).close()
            self._make_durable(connection, name)
        if state != Kept.NONE:
            try:
                if state == Kept.PREPARED:
                    run(connection, f"INSERT INTO {self._schema}assent_age VALUES (%s, %s, %s) ON CONFLICT (gid) DO NOTHING",
                        (call.gid, call.began_unix_ms, call.coordinator_id)).close()
                rows.put(call, state, reply)
            except Exception as error:
                raise Unknown(f"the row of prepared work was not written: {error}") from error
        return reply

    def _leave_handler(self, connection: Any, call: Call, token: str, verb: str) -> None:
        """In the transaction that it was given; else it raises. What a handler has committed by itself would be done once more, which a row
        without a state prevents. (The token is the session's if its transaction was committed, and gone if it was rolled back.)"""
        try:
            run(connection, f"{verb} SAVEPOINT {SAVEPOINT}").close()
            return
        except Exception as error:
            if sqlstate(error) not in (*_NO_SUCH_SAVEPOINT, _HAS_FAILED):
                raise
            gone = error
        if sqlstate(gone) in _NO_SUCH_SAVEPOINT:
            run(connection, "ROLLBACK").close()
            if value(connection, "SELECT current_setting('assent.handler', true)") == token:
                self.rows(connection).put(call, Kept.NONE, Reply(Kind.UNKNOWN))
        raise RuntimeError("the handler has ended its transaction, or gone on after an error in it") from gone

    @staticmethod
    def _make_durable(connection: Any, name: str) -> None:
        try:
            run(connection, f"PREPARE TRANSACTION '{name}'").close()
        except Exception as error:
            if sqlstate(error).startswith(_NOT_PREPARED):
                raise
            # "Nothing happened" would leave it prepared for ever, if it is.
            raise Unknown(f"PREPARE TRANSACTION had no answer: {error}") from error

    def _is_prepared(self, connection: Any, name: str) -> bool:
        return value(connection, "SELECT 1 FROM pg_prepared_xacts WHERE gid = %s AND database = current_database()", (name,)) is not None

    def _drop_unpromised(self, connection: Any, name: str) -> None:
        """Prepared work without a row: whoever prepared it died before it could answer."""
        if self._is_prepared(connection, name):
            run(connection, f"ROLLBACK PREPARED '{name}'").close()

    def _settle_on(self, connection: Any, call: Call) -> Reply:
        with self._branch(connection, call):
            return self._settle(connection, call)

    def _settle(self, connection: Any, call: Call) -> Reply:
        """COMMIT or ROLLBACK."""
        rows = self.rows(connection)
        opening = open_call(call, rows.find(call.gid, call.branch_id))
        name = name_of(call)
        if opening.move == Move.BURY:
            self._drop_unpromised(connection, name)
            rows.put(call, Kept.TOMBSTONE, opening.reply)
        if opening.move != Move.RUN:
            return opening.reply
        commits = call.operation == Operation.COMMIT
        if self._is_prepared(connection, name):
            try:
                run(connection, f"{'COMMIT' if commits else 'ROLLBACK'} PREPARED '{name}'").close()
            except Exception as error:
                if sqlstate(error) == _NO_SUCH_PREPARED:
                    raise RuntimeError("its prepared work was settled by somebody else at this moment") from error
                raise Unknown(f"{call.operation.name} PREPARED had no answer: {error}") from error
        else:
            marked = value(connection, f"SELECT 1 FROM {self._schema}assent_marker WHERE gid = %s AND branch_id = %s",
                           (call.gid, call.branch_id)) is not None
            if marked != commits:
                return refused("HAZARD: its prepared work is gone from pg_prepared_xacts: it was "
                               f"{'committed' if marked else 'rolled back'} by somebody else")
        run(connection, "BEGIN").close()
        rows.advance(call, Kept.PREPARED, Kept.FINISHED if commits else Kept.UNDONE)
        run(connection, f"DELETE FROM {self._schema}assent_marker WHERE gid = %s AND branch_id = %s", (call.gid, call.branch_id)).close()
        run(connection, f"DELETE FROM {self._schema}assent_age a WHERE gid = %s AND NOT EXISTS (SELECT 1 FROM "
                        f"{self._schema}assent_barrier b WHERE b.gid = a.gid AND b.state = {int(Kept.PREPARED)})", (call.gid,)).close()
        self._commit(connection)
        return Reply(Kind.DONE)

    # ---- who waits for whom

    @contextlib.contextmanager
    def _who_is_waited_for(self, connection: Any, call: Call) -> Iterator["_Watch"]:
        watch = _Watch(self, backend_pid(connection), call)
        try:
            yield watch
        finally:
            watch.end()


class _Watch:
    """Sees, from another connection, whose prepared work a handler waits for, if it waits for long. Everybody waits for older
    transactions only (participant-sdk/cpp/barrier/DESIGN.md), so that two that hold what the other wants do not stand still."""

    LOOK_EVERY = 0.05
    # Where the coordinator's doubling of the wait starts for who was told that a row is taken.
    ASK_AGAIN = 0.005
    # Who waits for a row waits for the transaction that has it, which may itself wait for one that is prepared; who comes second waits
    # for a lock on the row, which the first one has. The youngest one that is prepared.
    FIND = """WITH RECURSIVE waits(pid) AS (SELECT %s::int UNION
                SELECT other FROM waits, unnest(pg_blocking_pids(waits.pid)) other WHERE other <> 0)
              SELECT p.gid, a.began_unix_ms, a.coordinator_id, waits.pid = %s FROM waits
                JOIN pg_locks l ON l.pid = waits.pid AND NOT l.granted AND l.locktype = 'transactionid'
                JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
                LEFT JOIN {s}assent_age a ON a.gid = split_part(p.gid, '/', 2) ORDER BY a.began_unix_ms DESC NULLS LAST LIMIT 1"""

    def __init__(self, owner: PostgreSQL, pid: int, call: Call):
        self._owner, self._pid, self._call = owner, pid, call
        self._lock = threading.Lock()
        self._ended = False
        self._holder: Optional[tuple[str, str, int, int]] = None
        self._arm()

    def _arm(self) -> None:
        self._timer = threading.Timer(self.LOOK_EVERY, self._look)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            self._timer.cancel()

    def _look(self) -> None:
        with contextlib.suppress(Exception), self._owner.connection() as connection:
            found = self._find(connection)
            with self._lock:
                if self._ended:
                    return
                self._holder = found
                if found is not None and (self._is_younger() or found[0] == self._call.gid):
                    # It need not wait any longer to say so.
                    run(connection, "SELECT pg_cancel_backend(%s)", (self._pid,)).close()
                    return
        with self._lock:
            if not self._ended:
                self._arm()

    def _find(self, connection: Any) -> Optional[tuple[str, str, int, int]]:
        cursor = run(connection, self.FIND.replace("{s}", self._owner._schema), (self._pid, self._pid))
        found = cursor.fetchone()
        cursor.close()
        if found is None or not found[0].startswith("assent/"):
            return None
        if found[0].split("/")[1] == self._call.gid and not found[3]:
            return None  # what stands between will give way
        _, gid, branch_id = found[0].split("/")
        return gid, branch_id, int(found[1] or 0), int(found[2] or 0)

    def _may_hold_others_up(self) -> bool:
        return self._call.operation.role == Role.FORWARD and not self._call.one_phase

    def _is_younger(self) -> bool:
        """The holder, than one who waits for it and holds something itself. What is not known is compared with nothing."""
        assert self._holder is not None
        gid, _, began, _ = self._holder
        known = began != 0 and self._call.began_unix_ms != 0
        return known and self._may_hold_others_up() and (self._call.began_unix_ms, self._call.gid) < (began, gid)

    def reply(self, error: Exception) -> Reply:
        """To an operation that has waited in vain."""
        call, holder = self._call, self._holder
        forward = call.operation.role == Role.FORWARD
        if holder is None:
            return retry_later(f"a row is locked by another transaction: {one(error)}")
        gid, branch_id, _, coordinator_id = holder
        if gid == call.gid and forward:
            return refused(f"a row is held by branch {branch_id} of this same transaction: let one branch write it")
        held = f"a row is held by branch {branch_id} of transaction {gid}, which is prepared"
        younger = self._is_younger()
        if younger and coordinator_id != call.coordinator_id:
            return refused(f"{held}, younger, and of coordinator {coordinator_id}: an older transaction does not wait for it, or both might "
                           "for ever")
        if not forward or not call.began_unix_ms:
            return retry_later(held)
        return retry_later(held + (", and younger" if younger else ""), self.ASK_AGAIN, gid)


def one(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def name_of(call: Call) -> str:
    """Of what is prepared. Neither part can have a slash, or a quote."""
    return f"assent/{call.gid}/{call.branch_id}"


def key_of(gid: str, branch_id: str) -> int:
    """Of the advisory lock: 64 bits. Two branches that share one wait for each other, and nothing else comes of it."""
    digest = hashlib.sha256(json.dumps([gid, branch_id]).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def sqlstate(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


def transaction_status(connection: Any) -> int:
    return int(connection.info.transaction_status)


def backend_pid(connection: Any) -> int:
    return int(connection.info.backend_pid)
