package assent.jdbc;

import assent.Action;
import assent.AssentException.ConfigError;
import assent.Call;
import assent.Held;
import assent.Kind;
import assent.Operation;
import assent.Protocol;
import assent.Reply;
import assent.jdbc.Barrier.BranchRow;
import assent.jdbc.Barrier.Kept;
import assent.jdbc.Barrier.Move;
import assent.jdbc.Barrier.Opening;
import assent.jdbc.Preparer.Mark;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.Callable;

/**
 * Two-phase commit on one connection. First the handler's work is made durable and unseen (PREPARE TRANSACTION, XA
 * PREPARE), with a row of assent_marker in it; then the barrier's row says so; and only then PREPARE is answered. So
 * work that is prepared without a row was promised to nobody, and goes; and a row without prepared work has been
 * settled: the marker, which is there if it was committed, says how. A branch has one owner at a time, by a lock of the
 * server, whatever processes ask.
 *
 * <p>Whatever is thrown: the connection is to be ended, and with it the lock.
 */
final class TwoPhase {
  private static final int MAX_TRIES = 5; // of a handler whose work a deadlock has undone

  /** Nobody can say what has happened. */
  static final class Lost extends Exception {
    private static final long serialVersionUID = 1;

    Lost(String what, Throwable why) {
      super(what + ": " + why.getMessage(), why);
    }
  }

  private final Connection connection;
  private final Dialect dialect;
  private final Preparer preparer;
  private final BarrierTable table;
  private final JdbcBarrier.Finder actions;

  TwoPhase(Connection connection, Dialect dialect, BarrierTable table, JdbcBarrier.Finder actions) {
    this.connection = connection;
    this.dialect = dialect;
    this.preparer = dialect.preparer(actions.sessions(), actions.names());
    this.table = table;
    this.actions = actions;
  }

  /** Work that is to be kept prepared, or is. (A sole branch prepares and commits in one local transaction.) */
  static boolean isFor(Call call) {
    boolean isInOnePhase = call.operation() == Operation.PREPARE && call.onePhase();
    return call.protocol() == Protocol.TWO_PHASE && call.operation().protocol() == Protocol.TWO_PHASE && !isInOnePhase;
  }

  /** Before anything is asked. */
  static void prepare(Connection connection, Dialect dialect) throws SQLException {
    Preparer preparer = dialect.preparer(null, null);
    if (preparer == null) {
      throw new ConfigError("SQLite cannot keep prepared work durable and unseen: make the action tcc, or use"
          + " PostgreSQL, MariaDB or MySQL, which can");
    }
    preparer.setUp(connection);
  }

  /** The verdict about a held branch, as the call that says the same. */
  static Call second(Held held, BranchRow row, Operation operation) {
    return Call.of(held.gid(), held.branchId(), operation, row.action(), new byte[0]);
  }

  static void end(Connection connection) {
    try {
      connection.abort(Runnable::run); // a pool would hand it on with its lock, and what it has prepared
    } catch (SQLException gone) {
      // So it is ended.
    }
  }

  Reply carryOut(Call call) throws Exception {
    dialect.setAutoCommit(connection, true);
    preparer.lock(connection, call);
    Reply reply = call.operation() == Operation.PREPARE ? prepare(call) : settle(call);
    preparer.unlock(connection, call);
    connection.setAutoCommit(false);
    return reply;
  }

  private Opening opening(Call call) throws SQLException {
    BranchRow row = table.find(connection, call.gid(), call.branchId());
    if (row == null) return Barrier.open(call, Barrier.NO_ROW);
    return row.state() == Kept.NONE ? new Opening(Move.REFUSE, Barrier.claimWasCommitted(call)) : Barrier.open(call, row);
  }

  private Reply prepare(Call call) throws Exception {
    Action<TxHandler, TxSecondHandler> action = actions.find(call);
    if (action == null) return Reply.retryLater("no action " + call.action() + " is registered here");
    Opening opening = opening(call);
    if (opening.move() != Move.RUN) return opening.reply();
    dropUnpromised(call);
    Preparer.Work work;
    try {
      work = work(action, call);
    } catch (Lost unknown) {
      throw unknown;
    } catch (Exception failed) { // nothing of it is left
      if (dialect == Dialect.POSTGRESQL) Dialect.execute(connection, "ROLLBACK");
      return Batch.answerTo(failed);
    }
    if (work.state() == Kept.NONE) return work.reply();
    try {
      keep(call, work.state(), work.reply());
    } catch (SQLException failed) {
      throw new Lost("the row of prepared work was not written", failed);
    }
    return work.reply();
  }

  private Preparer.Work work(Action<TxHandler, TxSecondHandler> action, Call call) throws Exception {
    for (int attempt = 1; ; attempt++) {
      try {
        return preparer.work(connection, actions, call, on -> new Batch(on, dialect, table, actions).handle(action, call));
      } catch (SQLException failed) {
        if (attempt == MAX_TRIES || !dialect.isTransient(failed)) throw failed;
        if (dialect == Dialect.POSTGRESQL) Dialect.execute(connection, "ROLLBACK");
      }
    }
  }

  private void keep(Call call, Kept state, Reply first) throws SQLException {
    Dialect.execute(connection, "START TRANSACTION");
    if (state == Kept.PREPARED) preparer.noteAge(connection, call);
    table.insert(connection, call, state, first);
    Dialect.execute(connection, "COMMIT");
  }

  /** Prepared work without a row: whoever prepared it died before it could answer. */
  private void dropUnpromised(Call call) throws Exception {
    if (preparer.look(connection, call) == Mark.HELD) preparer.end(connection, call, false);
  }

  /** COMMIT or ROLLBACK. */
  private Reply settle(Call call) throws Exception {
    Opening opening = opening(call);
    if (opening.move() == Move.BURY) {
      dropUnpromised(call);
      try {
        keep(call, Kept.TOMBSTONE, opening.reply());
      } catch (SQLException failed) {
        throw new Lost("the row of a branch that never came was not written", failed);
      }
    }
    if (opening.move() != Move.RUN) return opening.reply();
    boolean isCommit = call.operation() == Operation.COMMIT;
    Mark mark = preparer.look(connection, call);
    if (mark == Mark.HELD) mark = preparer.end(connection, call, isCommit);
    if ((mark == Mark.COMMITTED) != isCommit) {
      return Reply.refused("HAZARD: its prepared work is gone from the database: it was "
          + (mark == Mark.COMMITTED ? "committed" : "rolled back") + " by somebody else");
    }
    try {
      Dialect.execute(connection, "START TRANSACTION");
      table.advance(connection, call, Kept.PREPARED, isCommit ? Kept.FINISHED : Kept.UNDONE, new byte[0]);
      BarrierTable.update(connection, "DELETE FROM " + actions.names().marker() + " WHERE gid = ? AND branch_id = ?",
          call.gid(), call.branchId());
      preparer.forgetAge(connection, call);
      Dialect.execute(connection, "COMMIT");
    } catch (SQLException failed) {
      throw new Lost("its row was not written", failed);
    }
    return Reply.done();
  }

  /** What is looked at after prepared work was ended: a failure says nothing about that. */
  static Mark after(Callable<Mark> look) throws Exception {
    try {
      return look.call();
    } catch (SQLException failed) {
      throw new Lost("its marker cannot be read", failed);
    }
  }

  /** In the transaction of the handler, before it is prepared. */
  static void mark(Connection connection, Names names, Call call) throws SQLException {
    BarrierTable.update(connection, "INSERT INTO " + names.marker() + " VALUES (?, ?)", call.gid(), call.branchId());
  }

  static Reply readOnly(Reply reply) {
    return new Reply(Kind.DONE_READ_ONLY, reply.result(), "", Duration.ZERO, "");
  }

  /** Of an SQLException by which nobody knows whether {@code what} has happened; else it has certainly not. */
  static Exception failed(String what, SQLException why, boolean isNotDone) {
    return isNotDone ? why : new Lost(what + " had no answer", why);
  }
}
