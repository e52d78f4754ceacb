package assent.jdbc;

import assent.Call;
import assent.Kind;
import assent.Reply;
import assent.jdbc.Barrier.Kept;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HexFormat;

/** Of MariaDB (10.5 and later) and MySQL (8): XA. What is prepared is kept when its connection ends. */
final class XaWork implements Preparer {
  private static final int FORMAT = 0x4153; // of an XA id: "AS"
  private static final int NOT_KNOWN = 1397; // XAER_NOTA
  private static final int DUPLICATE = 1440; // XAER_DUPID
  // The server tells nobody when the connection that prepared is gone, before which nobody else can end the work.
  private static final Duration DETACHES_WITHIN = Duration.ofSeconds(5);
  private static final long LOOK_EVERY_MS = 10;

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

  @Override
  public void lock(Connection connection, Call call) throws SQLException {
    if (PreparedTransactions.number(connection, "SELECT GET_LOCK(?, 5)", lockOf(call)) != 1) {
      throw new SQLException("somebody else is at this branch");
    }
  }

  @Override
  public void unlock(Connection connection, Call call) throws SQLException {
    PreparedTransactions.number(connection, "SELECT RELEASE_LOCK(?)", lockOf(call));
  }

  /** On a connection of its own: one that has prepared something can do nothing else until that is settled. It ends. */
  @Override
  public Work work(Connection locked, JdbcBarrier.Finder actions, Call call, Handling handling) throws Exception {
    Connection connection = actions.another();
    try {
      connection.setAutoCommit(true);
      Dialect.execute(connection, "SET SESSION innodb_lock_wait_timeout = "
          + Math.max(actions.lockTimeout().toSeconds(), 1));
      Dialect.execute(connection, "XA START " + nameOf(call));
      Reply reply = handling.on(connection);
      Kept state = Barrier.stateAfter(call, reply, reply.kind() != Kind.DONE_READ_ONLY);
      if (state == Kept.PREPARED) prepare(connection, call); // else the server rolls back what ends with its connection
      return new Work(reply, state);
    } finally {
      TwoPhase.end(connection);
      connection.close();
    }
  }

  private static void prepare(Connection connection, Call call) throws Exception {
    TwoPhase.mark(connection, call);
    Dialect.execute(connection, "XA END " + nameOf(call));
    try {
      Dialect.execute(connection, "XA PREPARE " + nameOf(call));
    } catch (SQLException failed) {
      throw TwoPhase.failed("XA PREPARE", failed, Dialect.MYSQL.isNotPrepared(failed));
    }
  }

  @Override
  public boolean isPrepared(Connection connection, Call call) throws SQLException {
    boolean isThere = false;
    try (var statement = connection.createStatement(); ResultSet found = statement.executeQuery("XA RECOVER")) {
      while (found.next()) {
        boolean isOurs = found.getInt(1) == FORMAT && found.getInt(2) == call.gid().length()
            && found.getInt(3) == call.branchId().length();
        String name = new String(found.getBytes(4), StandardCharsets.ISO_8859_1);
        isThere |= isOurs && name.equals(call.gid() + call.branchId());
      }
    }
    return isThere;
  }

  @Override
  public void end(Connection connection, Call call, boolean commits) throws Exception {
    String verb = commits ? "XA COMMIT " : "XA ROLLBACK ";
    for (long end = System.nanoTime() + DETACHES_WITHIN.toNanos(); ; Thread.sleep(LOOK_EVERY_MS)) {
      try {
        Dialect.execute(connection, verb + nameOf(call));
        return;
      } catch (SQLException failed) {
        boolean isAttached = failed.getErrorCode() == NOT_KNOWN || failed.getErrorCode() == DUPLICATE;
        if (!isAttached) throw TwoPhase.failed(verb + "of its work", failed, false);
        if (!isPrepared(connection, call)) return; // settled meanwhile: the marker says how
        if (System.nanoTime() > end) throw failed;
      }
    }
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
