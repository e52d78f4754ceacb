package assent.jdbc;

import assent.Action;
import assent.Call;
import assent.Job;
import assent.Kind;
import assent.Operation.Role;
import assent.Refused;
import assent.Reply;
import assent.RetryLater;
import assent.Unknown;
import assent.jdbc.Barrier.BranchRow;
import assent.jdbc.Barrier.Kept;
import assent.jdbc.Barrier.Move;
import assent.jdbc.Barrier.Opening;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** Operations on one connection that share a commit, where the database allows more than one. */
final class Batch {
  private static final int MAX_TRIES = 5; // of a local transaction that a serialisation failure or deadlock has ended
  private static final String HANDLER = Names.SAVEPOINT;
  private static final String ONE = Names.SAVEPOINT + "_one"; // operation of several
  private static final ThreadLocal<Boolean> IN_HANDLER = ThreadLocal.withInitial(() -> false);

  /** What an operation is to be answered, and whether its writes are to be committed. */
  private record Done(Reply reply, boolean isKept) {}

  private final Connection connection;
  private final Dialect dialect;
  private final BarrierTable table;
  private final JdbcBarrier.Finder actions;
  private boolean isUsable = true;

  Batch(Connection connection, Dialect dialect, BarrierTable table, JdbcBarrier.Finder actions) {
    this.connection = connection;
    this.dialect = dialect;
    this.table = table;
    this.actions = actions;
  }

  static boolean isInHandler() {
    return IN_HANDLER.get();
  }

  /** Each is answered. False: the connection is of no more use. */
  boolean carryOut(List<Job> jobs) {
    if (jobs.size() > 1 && together(jobs)) return isUsable;
    Reply lost = Reply.retryLater("the database's connection is lost");
    for (Job job : jobs) job.answer(isUsable ? alone(job.call()) : lost);
    return isUsable;
  }

  /** One call, of whatever protocol. */
  Reply perform(Call call) {
    return alone(call);
  }

  /** One operation, a local transaction. */
  private Reply alone(Call call) {
    if (TwoPhase.isFor(call)) return inTwoPhases(call);
    for (int attempt = 1; ; attempt++) {
      Done done;
      try {
        dialect.begin(connection);
        done = within(call);
        if (!done.isKept()) {
          dialect.rollback(connection);
          return done.reply();
        }
      } catch (Throwable failed) {
        rollback();
        if (isUsable && attempt < MAX_TRIES && failed instanceof SQLException sql && dialect.isTransient(sql)) continue;
        return answerTo(failed);
      }
      try {
        dialect.commit(connection);
        return done.reply();
      } catch (SQLException failed) {
        boolean isNotCommitted = dialect.isNotCommitted(failed);
        rollback();
        if (isUsable && isNotCommitted && attempt < MAX_TRIES && dialect.isTransient(failed)) continue;
        if (isNotCommitted) return answerTo(failed);
        isUsable = false; // a new connection finds what there is
        return Reply.unknown("it is not known whether the commit took effect: " + failed.getMessage());
      }
    }
  }

  /** Work that is kept prepared, or ended. Whatever goes wrong ends the connection, and with it what was not durable. */
  private Reply inTwoPhases(Call call) {
    try {
      return new TwoPhase(connection, dialect, table, actions).carryOut(call);
    } catch (Throwable failed) {
      isUsable = false;
      TwoPhase.end(connection);
      return failed instanceof TwoPhase.Lost ? Reply.unknown(failed.getMessage()) : answerTo(failed);
    }
  }

  /** All in one local transaction. False: nothing of it has happened, and each is to be done alone. */
  private boolean together(List<Job> jobs) {
    List<Reply> replies = new ArrayList<>();
    try {
      dialect.begin(connection);
      for (Job job : jobs) {
        Dialect.execute(connection, "SAVEPOINT " + ONE);
        replies.add(one(job.call()));
        // Some errors of SQLite undo the whole transaction: then there is no such savepoint any more.
        Dialect.execute(connection, "RELEASE SAVEPOINT " + ONE);
      }
    } catch (SQLException failed) {
      rollback();
      return false;
    }
    try {
      dialect.commit(connection);
    } catch (SQLException failed) {
      boolean isNotCommitted = dialect.isNotCommitted(failed);
      rollback();
      if (isNotCommitted) return false;
      isUsable = false;
      Reply unknown = Reply.unknown("it is not known whether the commit took effect: " + failed.getMessage());
      replies.replaceAll(reply -> unknown);
    }
    for (int at = 0; at < jobs.size(); at++) jobs.get(at).answer(replies.get(at));
    return true;
  }

  private Reply one(Call call) throws SQLException {
    Reply reply;
    try {
      Done done = within(call);
      if (done.isKept()) return done.reply();
      reply = done.reply();
    } catch (Throwable failed) {
      reply = answerTo(failed);
    }
    Dialect.execute(connection, "ROLLBACK TO SAVEPOINT " + ONE);
    return reply;
  }

  private void rollback() {
    try {
      dialect.rollback(connection);
    } catch (SQLException gone) {
      // SQLite has undone some by itself, which is no harm; a server's connection is lost, and the transaction with it.
      if (dialect != Dialect.SQLITE) isUsable = false;
    }
  }

  static Reply answerTo(Throwable failed) {
    return Reply.ofException(failed instanceof Unknown ? new RetryLater(failed.getMessage()) : failed);
  }

  /** What the barrier says, and the handler if it is to be run. An exception: nothing of it is to be committed. */
  private Done within(Call call) throws Exception {
    Action<TxHandler, TxSecondHandler> action = actions.find(call);
    if (action == null) return new Done(Reply.retryLater("no action " + call.action() + " is registered here"), false);
    boolean isAsked = action.forward() instanceof CheckBack.Asked;
    if (isAsked && table.isUnderWay(connection, call)) return new Done(CheckBack.UNDER_WAY, false);
    BranchRow row = table.claim(connection, call);
    if (row == null) return new Done(Barrier.claimWasCommitted(call), false);
    Opening opening = Barrier.open(call, row);
    if (opening.move() == Move.BURY) table.put(connection, call, Kept.TOMBSTONE, opening.reply());
    boolean isReplayed = isAsked && opening.move() == Move.REPLAY;
    if (isReplayed) table.touch(connection, call);
    if (opening.move() != Move.RUN) return new Done(opening.reply(), isReplayed || opening.move() == Move.BURY);
    boolean isForward = call.operation().role() == Role.FORWARD;
    if (!isForward) table.beginSecond(connection, call, row.state());
    Dialect.execute(connection, "SAVEPOINT " + HANDLER);
    Reply reply = Watch.over(connection, dialect, actions, call, () -> handle(action, call));
    Kept state = Barrier.stateAfter(call, reply, reply.kind() != Kind.DONE_READ_ONLY);
    if (state == Kept.NONE) return new Done(reply, false);
    try {
      if (state == Kept.REFUSED || state == Kept.READ_ONLY) Dialect.execute(connection, "ROLLBACK TO SAVEPOINT " + HANDLER);
      Dialect.execute(connection, "RELEASE SAVEPOINT " + HANDLER);
    } catch (SQLException gone) { // the savepoint, with its transaction
      throw new SQLException("the handler has ended its transaction, or gone on after an error that did (a deadlock): "
          + gone.getMessage(), gone.getSQLState(), gone.getErrorCode(), gone);
    }
    if (isForward) table.put(connection, call, state, reply);
    else table.advance(connection, call, Kept.NONE, state, reply.result());
    return new Done(reply, true);
  }

  /** What the handler says. Refusals and the like are answers; every other exception is thrown on. */
  Reply handle(Action<TxHandler, TxSecondHandler> action, Call call) throws Exception {
    Tx tx = new Tx(connection, dialect, TwoPhase.isFor(call));
    IN_HANDLER.set(true);
    try {
      if (call.operation().role() == Role.FORWARD) return Reply.ofHandler(action.forward().handle(tx, call), call);
      TxSecondHandler second = action.second(call.operation());
      if (second != null) second.handle(tx, call);
      return Reply.done();
    } catch (Refused | RetryLater said) {
      return Reply.ofException(said).normalized(call.operation().role());
    } finally {
      IN_HANDLER.set(false);
      tx.end();
    }
  }
}
