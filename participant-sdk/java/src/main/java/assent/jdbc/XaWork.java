package assent.jdbc;

import assent.Call;
import assent.Kind;
import assent.Reply;
import assent.RetryLater;
import assent.jdbc.Barrier.Kept;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.HexFormat;
import java.util.Set;

/**
 * Of MariaDB (10.5 and later) and MySQL (8): XA. What is prepared is kept when its connection ends.
 *
 * <p>No word of XA's is believed, for MariaDB says OK to an XA COMMIT that does nothing ({@link XaSessions}). The row of
 * assent_marker is locked as long as something is prepared, and then there if that was committed, or not there.
 *
 * <p>The working session has a named lock. Whoever has the lock of the branch ends the session that has this one: nothing
 * of a client that has gone comes late.
 */
final class XaWork implements Preparer {
  private static final int FORMAT = 0x4153; // of an XA id: "AS"
  // XAER_NOTA, XAER_DUPID: there is no such work, or it is another session's.
  private static final Set<Integer> NOT_ENDED = Set.of(1397, 1440);
  static final Set<Integer> IS_LOCKED = Set.of(1205, 3572); // to who does not wait: MariaDB's, MySQL's
  private static final Set<Integer> NO_SUCH_SESSION = Set.of(1094, 1095); // it has ended, or is another user's
  /** So long one waits for who is at the same branch. */
  static final int BRANCH_PATIENCE_S = 5;
  /** So long one waits for the lock of a session that is ending. */
  static final int END_PATIENCE_S = 2;

  private final XaSessions sessions;
  private final Names names; // null: of what is set up

  XaWork(XaSessions sessions, Names names) {
    this.sessions = sessions;
    this.names = names;
  }

  @Override
  public void setUp(Connection connection) throws SQLException {
    Dialect.execute(connection, "CREATE TABLE IF NOT EXISTS assent_marker("
        + " gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
        + " branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
        + " PRIMARY KEY(gid, branch_id)) ENGINE=InnoDB");
  }

  private static String lockOf(Call call) {
    byte[] sum = PreparedTransactions.sha256(call.gid() + "/" + call.branchId());
    return "assent/" + HexFormat.of().formatHex(sum).substring(0, 40);
  }

  /** Of the session that works on what is to be prepared. */
  static String workLockOf(Call call) {
    return lockOf(call) + "/work";
  }

  private static boolean getLock(Connection connection, String name, int seconds) throws SQLException {
    return PreparedTransactions.number(connection, "SELECT GET_LOCK(?, ?)", name, seconds) == 1;
  }

  @Override
  public void lock(Connection connection, Call call) throws SQLException {
    if (!getLock(connection, lockOf(call), BRANCH_PATIENCE_S)) throw new SQLException("somebody else is at this branch");
  }

  @Override
  public void unlock(Connection connection, Call call) throws SQLException {
    PreparedTransactions.number(connection, "SELECT RELEASE_LOCK(?)", lockOf(call));
  }

  /** In a session of its own, which is kept if it has prepared something. */
  @Override
  public Work work(Connection main, JdbcBarrier.Finder actions, Call call, Handling handling) throws Exception {
    sessions.beginPreparing();
    Connection session = null;
    boolean isKept = false;
    try {
      session = actions.another();
      Dialect.MYSQL.setAutoCommit(session, true);
      if (!getLock(session, workLockOf(call), BRANCH_PATIENCE_S)) {
        throw new SQLException("another session works on this branch");
      }
      if (workerOf(main, call) == 0) {
        // One address, and behind it two servers: a promise would be in one, its row in the other.
        throw new SQLException("two connections have found two servers; connect to the server itself");
      }
      Dialect.execute(session, "SET SESSION innodb_lock_wait_timeout = "
          + Math.max(actions.lockTimeout().toSeconds(), 1));
      Dialect.execute(session, "XA START " + nameOf(call));
      Reply reply = handling.on(session);
      Kept state = Barrier.stateAfter(call, reply, reply.kind() != Kind.DONE_READ_ONLY);
      if (state != Kept.PREPARED) return new Work(reply, state); // the server rolls back what ends with its session
      prepare(session, call);
      isKept = true;
      sessions.keep(call, session);
      return new Work(reply, state);
    } finally {
      if (!isKept) {
        XaSessions.end(session);
        sessions.endPreparing();
      }
    }
  }

  private void prepare(Connection connection, Call call) throws Exception {
    TwoPhase.mark(connection, names, call);
    Dialect.execute(connection, "XA END " + nameOf(call));
    try {
      Dialect.execute(connection, "XA PREPARE " + nameOf(call));
    } catch (SQLException failed) {
      throw TwoPhase.failed("XA PREPARE", failed, Dialect.MYSQL.isNotPrepared(failed));
    }
  }

  private Mark markOf(Connection connection, Call call) throws SQLException {
    String sql = "SELECT 1 FROM " + names.marker()
        + " FORCE INDEX(PRIMARY) WHERE gid = ? AND branch_id = ? FOR UPDATE NOWAIT";
    try {
      return PreparedTransactions.number(connection, sql, call.gid(), call.branchId()) == 1 ? Mark.COMMITTED : Mark.ABSENT;
    } catch (SQLException failed) {
      if (IS_LOCKED.contains(failed.getErrorCode())) return Mark.HELD;
      throw failed;
    }
  }

  /** Who has the lock of the working session; 0: nobody. */
  private static long workerOf(Connection connection, Call call) throws SQLException {
    return PreparedTransactions.number(connection, "SELECT IS_USED_LOCK(?)", workLockOf(call));
  }

  /** Afterwards no session works on the branch any more but one that is kept here, and has prepared it. */
  @Override
  public Mark look(Connection connection, Call call) throws Exception {
    long worker = workerOf(connection, call);
    if (worker != 0 && sessions.has(call)) return Mark.HELD; // it can do nothing else
    XaSessions.end(sessions.take(call));
    if (worker != 0) endWorker(connection, worker, call);
    return markOf(connection, call);
  }

  /** Its client has gone, or is another process. */
  private static void endWorker(Connection connection, long worker, Call call) throws SQLException {
    try {
      Dialect.execute(connection, "KILL CONNECTION " + worker);
    } catch (SQLException failed) {
      if (!NO_SUCH_SESSION.contains(failed.getErrorCode())) throw failed;
    }
    if (!getLock(connection, workLockOf(call), END_PATIENCE_S)) {
      throw new RetryLater("the session that worked on this branch has not ended yet");
    }
    PreparedTransactions.number(connection, "SELECT RELEASE_LOCK(?)", workLockOf(call));
  }

  /** In the session that has prepared it, if there is one. */
  @Override
  public Mark end(Connection connection, Call call, boolean commits) throws Exception {
    String verb = commits ? "XA COMMIT" : "XA ROLLBACK";
    Connection session = sessions.take(call);
    if (session == null) sessions.waitDetached(call);
    String said = "OK";
    try {
      Dialect.execute(session == null ? connection : session, verb + " " + nameOf(call));
    } catch (SQLException failed) {
      if (!NOT_ENDED.contains(failed.getErrorCode())) throw TwoPhase.failed(verb, failed, false);
      said = failed.getMessage();
    } finally {
      XaSessions.end(session);
    }
    Mark mark = TwoPhase.after(() -> markOf(connection, call));
    if (mark == Mark.HELD) {
      throw new RetryLater("it is still prepared, but MariaDB said to " + verb + ": " + said
          + " -- if this lasts, restart MariaDB, which finds it again");
    }
    if (mark != (commits ? Mark.COMMITTED : Mark.ABSENT)) {
      throw new RetryLater("it was ended by somebody else at this moment");
    }
    sessions.forgetDetached(call);
    return mark;
  }

  /** Who waits for whom cannot be seen here. */
  @Override
  public void noteAge(Connection connection, Call call) {}

  @Override
  public void forgetAge(Connection connection, Call call) {}

  /** Two literals. Neither can have a quote, and both are at most 64 bytes, as XA wants them. */
  private static String nameOf(Call call) {
    return "'" + call.gid() + "','" + call.branchId() + "'," + FORMAT;
  }
}
