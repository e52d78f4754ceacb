"""The barrier in MariaDB (10.5 and later) and MySQL (8), over PyMySQL; two-phase commit by XA.

    db = assent.MySQL(lambda: pymysql.connect(host=…, user=…, database="shop"))

    @db.two_phase("debit")
    def debit(tx, call): tx.execute("UPDATE account SET coins = coins - 1 WHERE name = %s", [call.text])

What is prepared: first the handler's work is made durable and unseen (XA PREPARE, which holds a row of assent_marker) on a connection
that then ends, then the barrier's row says so, and only then is PREPARE answered. So work that is prepared without a row was promised to
nobody, and a row without prepared work has been settled: the marker, which is seen if it was committed, says how. Statements that commit
by themselves (CREATE TABLE, …) are not for handlers.
"""

import contextlib
import hashlib
import time
from typing import Any, Iterator

from .barrier import Kept, Move, after, open_call
from .call import Call, Reply, Unknown, refused
from .server_sql import CommitFailed, ServerAdapter, in_two_phases, run, value
from .service import Action
from .sql import Tx, run_handler, run_local
from .words import Kind, Operation

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
_NOT_ATTACHED = (1397, 1440)  # XAER_NOTA, XAER_DUPID: its first connection has not let go of it yet, or it is settled
_FORMAT = 0x4153  # of an XA id: "AS"
_DETACHES_WITHIN = 5.0
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS


class MySQL(ServerAdapter):
    """`connect` makes a connection, whose own settings count (but for autocommit). A branch has one owner at a time: a named lock."""

    kind = "MariaDB or MySQL"

    def _prepare_session(self, connection: Any) -> None:
        connection.autocommit(True)
        run(connection, "SET SESSION innodb_lock_wait_timeout = 2").close()

    def _set_up(self, connection: Any) -> None:
        for part in (*_TABLES, *self._tables.split(";")):
            if part.strip():
                run(connection, part).close()

    def _is_again(self, error: Exception) -> bool:
        return number(error) in _AGAIN

    # ---- one operation

    def _perform_on(self, connection: Any, action: Action, call: Call) -> Reply:
        with self._branch(connection, call):
            if in_two_phases(call):
                return self._prepare(connection, action, call) if call.operation == Operation.PREPARE else self._settle(connection, call)
            run(connection, "START TRANSACTION").close()
            reply = run_local(self.rows(connection), action, Tx(connection), call, lambda verb: run(connection, verb).close())
            if not connection.server_status & _IN_TRANSACTION:
                raise RuntimeError("the handler has ended its transaction (a statement such as CREATE TABLE does, too)")
            self._commit(connection)
            return reply

    def _commit(self, connection: Any) -> None:
        try:
            run(connection, "COMMIT").close()
        except Exception as error:
            if number(error) in _NOT_DONE:
                raise
            raise CommitFailed(f"the answer to a COMMIT was lost: {error}") from error

    @contextlib.contextmanager
    def _branch(self, connection: Any, call: Call) -> Iterator[None]:
        """Nobody else is at this branch. The lock ends with the connection, whatever is raised."""
        name = "assent/" + hashlib.sha256(f"{call.gid}/{call.branch_id}".encode()).hexdigest()[:40]
        if value(connection, "SELECT GET_LOCK(%s, 5)", (name,)) != 1:
            raise RuntimeError("somebody else is at this branch")
        yield
        run(connection, "SELECT RELEASE_LOCK(%s)", (name,)).close()

    def _prepare(self, connection: Any, action: Action, call: Call) -> Reply:
        rows = self.rows(connection)
        opening = open_call(call, rows.find(call.gid, call.branch_id))
        if opening.move != Move.RUN:
            return opening.reply
        self._drop_unpromised(connection, call)
        work = self._connect()  # what has prepared something can do nothing else until it is settled: it ends
        try:
            self._prepare_session(work)
            reply, state = self._prepare_on(work, action, call)
        finally:
            with contextlib.suppress(Exception):
                work.close()
        if state != Kept.NONE:
            try:
                rows.put(call, state, reply)
            except Exception as error:
                raise Unknown(f"the row of prepared work was not written: {error}") from error
        return reply

    def _prepare_on(self, work: Any, action: Action, call: Call) -> tuple[Reply, Kept]:
        run(work, f"XA START {xid_of(call)}").close()
        reply = run_handler(action, Tx(work), call)
        if not work.server_status & _IN_TRANSACTION:
            raise RuntimeError("the handler has ended its transaction (a statement such as CREATE TABLE does, too)")
        state = after(call, reply, wrote=reply.kind != Kind.DONE_READ_ONLY)
        if state == Kept.PREPARED:
            run(work, "INSERT INTO assent_marker VALUES (%s, %s)", (call.gid, call.branch_id)).close()
        run(work, f"XA END {xid_of(call)}").close()
        try:
            run(work, f"XA {'PREPARE' if state == Kept.PREPARED else 'ROLLBACK'} {xid_of(call)}").close()
        except Exception as error:
            if number(error) in _NOT_DONE:
                raise
            raise Unknown(f"XA PREPARE had no answer: {error}") from error
        return reply, state

    def _is_prepared(self, connection: Any, call: Call) -> bool:
        cursor = run(connection, "XA RECOVER")
        wanted = (_FORMAT, len(call.gid), len(call.branch_id), call.gid + call.branch_id)
        found = any((row[0], row[1], row[2], text(row[3])) == wanted for row in cursor.fetchall())
        cursor.close()
        return found

    def _end(self, connection: Any, verb: str, call: Call) -> None:
        """Settles what is prepared. Its first connection may not have let go of it yet."""
        end = time.monotonic() + _DETACHES_WITHIN
        while True:
            try:
                run(connection, f"XA {verb} {xid_of(call)}").close()
                return
            except Exception as error:
                if number(error) not in _NOT_ATTACHED:
                    raise Unknown(f"XA {verb} had no answer: {error}") from error
                if not self._is_prepared(connection, call):
                    return  # settled meanwhile: the marker says how
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)  # tidy: allow(sleep) the server tells nobody when a connection is gone

    def _drop_unpromised(self, connection: Any, call: Call) -> None:
        """Prepared work without a row: whoever prepared it died before it could answer."""
        if self._is_prepared(connection, call):
            self._end(connection, "ROLLBACK", call)

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
        if self._is_prepared(connection, call):
            self._end(connection, "COMMIT" if commits else "ROLLBACK", call)
        marked = value(connection, "SELECT 1 FROM assent_marker WHERE gid = %s AND branch_id = %s", (call.gid, call.branch_id)) is not None
        if marked != commits:
            return refused("HAZARD: its prepared work is gone from XA RECOVER: it was "
                           f"{'committed' if marked else 'rolled back'} by somebody else")
        run(connection, "START TRANSACTION").close()
        rows.advance(call.gid, call.branch_id, Kept.FINISHED if commits else Kept.UNDONE)
        run(connection, "DELETE FROM assent_marker WHERE gid = %s AND branch_id = %s", (call.gid, call.branch_id)).close()
        self._commit(connection)
        return Reply(Kind.DONE)


def xid_of(call: Call) -> str:
    """Neither part can have a quote, and both are at most 64 bytes, as XA wants them."""
    return f"'{call.gid}','{call.branch_id}',{_FORMAT}"


def number(error: BaseException) -> int:
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def text(data: Any) -> str:
    return data.decode("latin-1") if isinstance(data, (bytes, bytearray)) else str(data)
