"""The barrier in MariaDB (10.5 and later) and MySQL (8), over PyMySQL; two-phase commit by XA.

    db = assent.MySQL(lambda: pymysql.connect(host=…, user=…, database="shop"))

    @db.two_phase("debit")
    def debit(tx, call): tx.execute("UPDATE account SET coins = coins - 1 WHERE name = %s", [call.text])

What is prepared: first the handler's work is made durable and unseen (XA PREPARE, which holds a row of assent_marker) on a session of its
own, then the barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row was promised to nobody, and a
row without prepared work has been settled. Which of it is true the marker says, and no word of XA's is believed, for MariaDB says OK to an
XA COMMIT that does nothing (xa_sessions.py): its row is locked as long as something is prepared, and then there if that was committed, or
not there. Statements that commit by themselves (CREATE TABLE, …) are not for handlers.

The working session has a named lock. Whoever has the lock of the branch ends the session that has this one: nothing comes late.
"""

import contextlib
import enum
import hashlib
from typing import Any, Iterator, Optional

from .barrier import Kept, Move, after, open_call
from .call import Call, Reply, RetryLater, Unknown, refused
from .dialect import MYSQL
from .errors import ConfigError
from .server_sql import CommitFailed, Own, ServerAdapter, in_two_phases, run, value
from .service import Action
from .sql import ELSEWHERE, GONE, Tx, run_handler, run_local
from .words import Kind, Operation
from .xa_sessions import Sessions, end

_TABLES = (
    """CREATE TABLE IF NOT EXISTS assent_barrier(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  protocol INT NOT NULL, action VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, state INT NOT NULL,
  kind INT NOT NULL, result MEDIUMBLOB, reason TEXT CHARACTER SET utf8mb4, second_result MEDIUMBLOB,
  coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL,
  touched_ms BIGINT NOT NULL, orphan INT NOT NULL DEFAULT 0,
  PRIMARY KEY(gid, branch_id), KEY assent_barrier_age(touched_ms)) ENGINE=InnoDB""",
    """CREATE TABLE IF NOT EXISTS assent_marker(
  gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB""",
)
_AGAIN = (1213, 1020)  # a deadlock, a row that has changed
_NOT_DONE = (1213, 1205, 1062, 1451, 1452)  # of a COMMIT: it has certainly not happened
_NOT_ENDED = (1397, 1440)  # XAER_NOTA, XAER_DUPID: there is no such work, or it is another session's
_IS_LOCKED = (1205, 3572)  # to who does not wait: MariaDB's, MySQL's
_NO_SUCH_SAVEPOINT = (1305,)
_COLUMN_EXISTS = (1060,)
_NO_SUCH_SESSION = (1094, 1095)  # it has ended, or is another user's
_FLUSHES = (1, 3)  # of innodb_flush_log_at_trx_commit: 0 loses what is committed with the server, 2 with the machine
_FORMAT = 0x4153  # of an XA id: "AS"
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
_END = "AND NO CHAIN NO RELEASE"  # whatever completion_type says
BRANCH_PATIENCE = 5  # seconds that one waits for who is at the same branch
LOCK_PATIENCE = 2  # seconds that a statement waits for a row


class Mark(enum.Enum):
    """Of a branch's row of assent_marker."""

    ABSENT = "absent"  # nothing is prepared, or it was rolled back
    HELD = "held"  # something is prepared
    COMMITTED = "committed"


class _Own(Own):
    def __init__(self, threads: int):
        super().__init__(threads)
        self.sessions = Sessions()

    def close(self) -> None:
        super().close()
        self.sessions.close()


class MySQL(ServerAdapter):
    """`connect` makes a connection, whose own settings count (but for autocommit and completion_type). A branch has one owner at a time: a
    named lock. Each branch that is prepared has a connection until it is decided (up to MAX_KEPT_SESSIONS)."""

    kind = "MariaDB or MySQL"
    dialect = MYSQL

    def _new_own(self) -> "_Own":
        return _Own(self._count)

    @property
    def _sessions(self) -> Sessions:
        own = self._mine()
        assert isinstance(own, _Own)
        return own.sessions

    def _prepare_session(self, connection: Any) -> None:
        run(connection, f"ROLLBACK {_END}").close()  # what is open there is none of ours, and nothing of ours goes into it
        connection.autocommit(True)
        run(connection, f"SET SESSION autocommit = 1, SESSION completion_type = 0, SESSION innodb_lock_wait_timeout = {LOCK_PATIENCE}").close()

    def _set_up(self, connection: Any) -> None:
        if (flush := int(value(connection, "SELECT @@global.innodb_flush_log_at_trx_commit"))) not in _FLUSHES:
            raise ConfigError(f"the server has innodb_flush_log_at_trx_commit = {flush}: what it calls committed would not survive a power "
                              "cut; set it to 1")
        for part in (*_TABLES, *self._tables.split(";")):
            if part.strip():
                run(connection, part).close()
        if not value(connection, "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND "
                                 "table_name = 'assent_barrier' AND column_name = 'orphan'"):
            try:
                run(connection, "ALTER TABLE assent_barrier ADD COLUMN orphan INT NOT NULL DEFAULT 0").close()
            except Exception as error:
                if number(error) not in _COLUMN_EXISTS:  # by another instance, at this moment
                    raise
        self._schema = "`" + str(value(connection, "SELECT DATABASE()")).replace("`", "``").replace("%", "%%") + "`."

    def _is_again(self, error: Exception) -> bool:
        return number(error) in _AGAIN

    # ---- one operation

    def _perform_on(self, connection: Any, action: Action, call: Call) -> Reply:
        with self._branch(connection, call):
            if in_two_phases(call):
                return self._prepare(connection, action, call) if call.operation == Operation.PREPARE else self._settle(connection, call)
            # Not START TRANSACTION: after an error that rolls back, a handler that goes on would commit each of its statements.
            run(connection, "SET autocommit = 0, completion_type = 0").close()
            try:
                tx = Tx(connection, MYSQL)
                reply, keep = run_local(self.rows(connection), action, tx, call, lambda verb: run(connection, verb).close())
            except Exception as error:
                raise RuntimeError(GONE) if number(error) in _NO_SUCH_SAVEPOINT else error
            if keep:
                self._commit(connection)
            else:
                run(connection, f"ROLLBACK {_END}").close()
            run(connection, "SET autocommit = 1, completion_type = 0").close()
            return reply

    def _commit(self, connection: Any) -> None:
        try:
            run(connection, f"COMMIT {_END}").close()
        except Exception as error:
            if number(error) in _NOT_DONE:
                raise
            raise CommitFailed(f"the answer to a COMMIT was lost: {error}") from error

    @contextlib.contextmanager
    def _branch(self, connection: Any, call: Call) -> Iterator[None]:
        """Nobody else is at this branch. The lock ends with the connection, whatever is raised."""
        name = lock_of(call)
        if value(connection, "SELECT GET_LOCK(%s, %s)", (name, BRANCH_PATIENCE)) != 1:
            raise RetryLater(ELSEWHERE)
        yield
        run(connection, "SELECT RELEASE_LOCK(%s)", (name,)).close()

    # ---- prepared work

    def _prepare(self, connection: Any, action: Action, call: Call) -> Reply:
        rows = self.rows(connection)
        opening = open_call(call, rows.find(call.gid, call.branch_id))
        if opening.move != Move.RUN:
            return opening.reply
        self._drop_unpromised(connection, call)
        work = self._connect()
        kept = False
        try:
            self._prepare_session(work)
            if value(work, "SELECT GET_LOCK(%s, %s)", (work_lock_of(call), BRANCH_PATIENCE)) != 1:
                raise RuntimeError("another session works on this branch")
            if value(connection, "SELECT IS_USED_LOCK(%s)", (work_lock_of(call),)) is None:
                # One address, and behind it two servers: a promise would be in one, its row in the other.
                raise RuntimeError("two connections have found two servers; connect to the server itself")
            reply, state = self._prepare_on(work, action, call)
            kept = state == Kept.PREPARED
        finally:
            self._sessions.keep(branch_of(call), work) if kept else end(work)
        if state != Kept.NONE:
            try:
                rows.put(call, state, reply)
            except Exception as error:
                raise Unknown(f"the row of prepared work was not written: {error}") from error
        return reply

    def _prepare_on(self, work: Any, action: Action, call: Call) -> tuple[Reply, Kept]:
        run(work, f"XA START {xid_of(call)}").close()
        reply = run_handler(action, Tx(work, MYSQL, is_kept=True), call)
        if not work.server_status & _IN_TRANSACTION:
            raise RuntimeError(GONE)
        state = after(call, reply, wrote=reply.kind != Kind.DONE_READ_ONLY)
        if state == Kept.PREPARED:
            run(work, f"INSERT INTO {self._schema}assent_marker VALUES (%s, %s)", (call.gid, call.branch_id)).close()
        run(work, f"XA END {xid_of(call)}").close()
        try:
            run(work, f"XA {'PREPARE' if state == Kept.PREPARED else 'ROLLBACK'} {xid_of(call)}").close()
        except Exception as error:
            if number(error) in _NOT_DONE:
                raise
            raise Unknown(f"XA PREPARE had no answer: {error}") from error
        return reply, state

    def _mark(self, connection: Any, call: Call) -> Mark:
        try:
            found = value(connection, f"SELECT 1 FROM {self._schema}assent_marker FORCE INDEX(PRIMARY) WHERE gid = %s AND branch_id = %s "
                                      "FOR UPDATE NOWAIT", branch_of(call))
        except Exception as error:
            if number(error) in _IS_LOCKED:
                return Mark.HELD
            raise
        return Mark.ABSENT if found is None else Mark.COMMITTED

    def _look(self, connection: Any, call: Call) -> tuple[Mark, Optional[Any]]:
        """What the marker says, and the session that has prepared it, if that is here. No other works on the branch any more."""
        worker = value(connection, "SELECT IS_USED_LOCK(%s)", (work_lock_of(call),))
        work = self._sessions.take(branch_of(call))
        if work is not None and worker is not None:
            return Mark.HELD, work  # it can do nothing else
        end(work)
        if worker is not None:
            self._end_session(connection, int(worker), call)
        return self._mark(connection, call), None

    def _end_session(self, connection: Any, worker: int, call: Call) -> None:
        """Its client has gone, or is another process."""
        try:
            run(connection, f"KILL CONNECTION {worker}").close()
        except Exception as error:
            if number(error) not in _NO_SUCH_SESSION:
                raise
        if value(connection, "SELECT GET_LOCK(%s, %s)", (work_lock_of(call), LOCK_PATIENCE)) != 1:
            raise RetryLater("the session that worked on this branch has not ended yet")
        run(connection, "SELECT RELEASE_LOCK(%s)", (work_lock_of(call),)).close()

    def _end(self, connection: Any, work: Optional[Any], verb: str, call: Call) -> None:
        """Settles what is prepared, in the session that has prepared it if there is one. Returns when the marker says so."""
        if work is None:
            self._sessions.wait_detached(branch_of(call))
        said = "OK"
        try:
            run(connection if work is None else work, f"XA {verb} {xid_of(call)}").close()
        except Exception as error:
            if number(error) not in _NOT_ENDED:
                raise Unknown(f"XA {verb} had no answer: {error}") from error
            said = str(error)
        finally:
            end(work)
        mark = self._mark(connection, call)
        if mark == Mark.HELD:
            raise RetryLater(f"it is still prepared, but MariaDB said to XA {verb}: {said} -- if this lasts, restart MariaDB, which finds it again")
        if mark != (Mark.COMMITTED if verb == "COMMIT" else Mark.ABSENT):
            raise RetryLater("it was ended by somebody else at this moment")
        self._sessions.forget_detached(branch_of(call))

    def _drop_unpromised(self, connection: Any, call: Call) -> None:
        """Prepared work without a row: whoever prepared it died before it could answer."""
        mark, work = self._look(connection, call)
        if mark == Mark.HELD:
            self._end(connection, work, "ROLLBACK", call)

    def _settle_on(self, connection: Any, call: Call) -> Reply:
        with self._branch(connection, call):
            return self._settle(connection, call)

    def _settle(self, connection: Any, call: Call) -> Reply:
        """COMMIT or ROLLBACK."""
        rows = self.rows(connection)
        opening = open_call(call, rows.find(call.gid, call.branch_id))
        if opening.move == Move.BURY:
            self._drop_unpromised(connection, call)
            rows.put(call, Kept.TOMBSTONE, opening.reply)
        if opening.move != Move.RUN:
            return opening.reply
        commits = call.operation == Operation.COMMIT
        mark, work = self._look(connection, call)
        if mark == Mark.HELD:
            self._end(connection, work, "COMMIT" if commits else "ROLLBACK", call)
        elif (mark == Mark.COMMITTED) != commits:
            return refused("HAZARD: its prepared work is gone from XA RECOVER: it was "
                           f"{'rolled back' if commits else 'committed'} by somebody else")
        run(connection, "START TRANSACTION").close()
        rows.advance(call, Kept.PREPARED, Kept.FINISHED if commits else Kept.UNDONE)
        run(connection, f"DELETE FROM {self._schema}assent_marker WHERE gid = %s AND branch_id = %s", branch_of(call)).close()
        self._commit(connection)
        return Reply(Kind.DONE)


def branch_of(call: Call) -> tuple[str, str]:
    return call.gid, call.branch_id


def lock_of(call: Call) -> str:
    """As the SDKs of other languages call it."""
    return "assent/" + hashlib.sha256(f"{call.gid}/{call.branch_id}".encode()).hexdigest()[:40]


def work_lock_of(call: Call) -> str:
    """Of the session that works on what is to be prepared."""
    return lock_of(call) + "/work"


def xid_of(call: Call) -> str:
    """Neither part can have a quote, and both are at most 64 bytes, as XA wants them."""
    return f"'{call.gid}','{call.branch_id}',{_FORMAT}"


def number(error: BaseException) -> int:
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0
