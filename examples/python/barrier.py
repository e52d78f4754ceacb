"""The contract of a participant, kept in its own SQLite database.

Each operation of a branch is written down in the same local transaction as what it did to the business tables. That one
row makes it happen once, gives a repeated question the same answer, lets an undo come before what it undoes, and refuses
what comes after its undo. See proto/assent/v1/participant.proto for the four rules.
"""

import sqlite3
import threading

from stubs import participant_pb2, types_pb2

DONE = participant_pb2.BranchReply.DONE
REFUSED = participant_pb2.BranchReply.REFUSED
RETRY_LATER = participant_pb2.BranchReply.RETRY_LATER

MAX_RESULT_BYTES = 256 * 1024

FORWARD = (types_pb2.TRY, types_pb2.ACTION)
# Each by the forward operation that it finishes or undoes.
FINISH = {types_pb2.CONFIRM: types_pb2.TRY}
UNDO = {types_pb2.CANCEL: types_pb2.TRY, types_pb2.COMPENSATE: types_pb2.ACTION}
UNDO_OF = {forward: undo for undo, forward in UNDO.items()}
FINISH_OF = {forward: finish for finish, forward in FINISH.items()}


class Refused(Exception):
    """A handler raises it to say no: final, and what it wrote is undone."""


class Barrier:
    """One database. Thread-safe: one operation at a time."""

    def __init__(self, path, tables):
        """`tables`: SQL that creates the business tables."""
        self._lock = threading.Lock()
        self._broken = None  # a COMMIT that failed: nothing more may be said on this connection
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # done means durable
        self._db.executescript(tables)
        self._db.execute("""
            CREATE TABLE IF NOT EXISTS barrier(
                gid TEXT, branch_id TEXT, operation INTEGER, kind INTEGER NOT NULL, result BLOB, reason TEXT,
                PRIMARY KEY (gid, branch_id, operation)) WITHOUT ROWID""")

    def execute(self, command, handler):
        """Runs `handler(db, command)`, which returns the result's bytes, unless the barrier knows better. The reply."""
        with self._lock:
            if self._broken:
                raise self._broken
            self._db.execute("BEGIN IMMEDIATE")
            try:
                reply = self._decide(command, handler)
            except Exception as error:  # nothing happened: it may be asked again
                self._db.execute("ROLLBACK")
                return self._reply(command, RETRY_LATER, reason=f"{type(error).__name__}: {error}")
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                # Perhaps it is on disk, and this connection would not show it. No answer is the true one: what is raised here
                # reaches the coordinator as UNKNOWN, it asks again, and the next process finds what there is.
                self._broken = error
                raise
            return reply

    def close(self):
        with self._lock:
            self._db.close()

    def _decide(self, command, handler):
        operation = command.operation
        stored = self._find(command, operation)
        if stored:
            return stored  # the same answer, not only the same effect
        if operation in FORWARD:
            if self._find(command, UNDO_OF[operation]):
                return self._store(command, REFUSED, reason="it was undone before it came")
            return self._run(command, handler)
        if operation in FINISH:
            if not self._is_done(command, FINISH[operation]):
                return self._reply(command, REFUSED, reason="nothing is reserved here for this branch")
            if self._find(command, UNDO_OF[FINISH[operation]]):
                return self._reply(command, REFUSED, reason="it was cancelled")
            return self._run(command, handler)
        forward = UNDO[operation]
        if forward in FINISH_OF and self._find(command, FINISH_OF[forward]):
            return self._reply(command, REFUSED, reason="it was confirmed")
        if self._is_done(command, forward):
            return self._run(command, handler)
        return self._store(command, DONE)  # nothing to undo; the row refuses what comes late

    def _run(self, command, handler):
        self._db.execute("SAVEPOINT business")
        try:
            result = handler(self._db, command) or b""
            if len(result) > MAX_RESULT_BYTES:  # the coordinator would take it for no answer, without the handler's name
                raise ValueError(f"the handler's result has {len(result)} bytes, the limit is {MAX_RESULT_BYTES}")
        except Refused as no:
            if command.operation not in FORWARD:
                raise  # there is no way back any more: asked again
            self._db.execute("ROLLBACK TO business")
            return self._store(command, REFUSED, reason=str(no))
        return self._store(command, DONE, result=result)

    def _find(self, command, operation):
        row = self._db.execute(
            "SELECT kind, result, reason FROM barrier WHERE gid = ? AND branch_id = ? AND operation = ?",
            (command.gid, command.branch_id, operation)).fetchone()
        return row and self._reply(command, row[0], result=row[1], reason=row[2])

    def _is_done(self, command, operation):
        found = self._find(command, operation)
        return bool(found) and found.kind == DONE

    def _store(self, command, kind, result=b"", reason=""):
        self._db.execute("INSERT INTO barrier VALUES (?, ?, ?, ?, ?, ?)",
                         (command.gid, command.branch_id, command.operation, kind, result, reason))
        return self._reply(command, kind, result, reason)

    @staticmethod
    def _reply(command, kind, result=b"", reason=""):
        return participant_pb2.BranchReply(
            gid=command.gid, branch_id=command.branch_id, operation=command.operation, command_id=command.command_id,
            kind=kind, result=result, reason=reason)
