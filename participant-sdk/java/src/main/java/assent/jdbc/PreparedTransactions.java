package assent.jdbc;

import assent.AssentException.ConfigError;
import assent.Call;
import assent.Kind;
import assent.Reply;
import assent.jdbc.Barrier.Kept;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;

/** Of PostgreSQL: PREPARE TRANSACTION 'assent/GID/BRANCH'. */
final class PreparedTransactions implements Preparer {
  private static final String NO_SUCH_PREPARED = "42704";

  private final Names names; // null: of what is set up

  PreparedTransactions(Names names) {
    this.names = names;
  }

  @Override
  public void setUp(Connection connection) throws SQLException {
    if (number(connection, "SELECT current_setting('max_prepared_transactions')::int") == 0) {
      throw new ConfigError("PostgreSQL keeps no prepared work, which two-phase actions need: set"
          + " max_prepared_transactions in postgresql.conf (as many as there may be undecided branches; at least"
          + " max_connections) and restart the server");
    }
    Dialect.execute(connection, "CREATE TABLE IF NOT EXISTS assent_marker("
        + "gid text NOT NULL, branch_id text NOT NULL, PRIMARY KEY(gid, branch_id))");
    Dialect.execute(connection, "CREATE TABLE IF NOT EXISTS assent_age("
        + "gid text PRIMARY KEY, began_unix_ms bigint NOT NULL, coordinator_id bigint NOT NULL)");
  }

  static long number(Connection connection, String sql, Object... parameters) throws SQLException {
    try (var statement = BarrierTable.prepare(connection, sql, parameters); ResultSet found = statement.executeQuery()) {
      return found.next() ? found.getLong(1) : 0;
    }
  }

  /** For what it does. */
  static void ask(Connection connection, String sql, Object... parameters) throws SQLException {
    try (var statement = BarrierTable.prepare(connection, sql, parameters)) {
      statement.execute();
    }
  }

  /** 64 bits, those of the other SDKs. Two branches that share them wait for each other; nothing else comes of it. */
  static long keyOf(Call call) {
    return ByteBuffer.wrap(sha256("[\"" + call.gid() + "\", \"" + call.branchId() + "\"]")).getLong();
  }

  static byte[] sha256(String text) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
    } catch (NoSuchAlgorithmException never) {
      throw new IllegalStateException(never); // each Java has it
    }
  }

  /** Of the session: a lock of the transaction would stay with what is prepared. */
  @Override
  public void lock(Connection connection, Call call) throws SQLException {
    ask(connection, "SELECT pg_advisory_lock(?)", keyOf(call));
  }

  @Override
  public void unlock(Connection connection, Call call) throws SQLException {
    ask(connection, "SELECT pg_advisory_unlock(?)", keyOf(call));
  }

  @Override
  public Work work(Connection connection, JdbcBarrier.Finder actions, Call call, Handling handling) throws Exception {
    Dialect.execute(connection, "START TRANSACTION");
    Dialect.execute(connection, "SAVEPOINT " + Names.SAVEPOINT);
    Reply reply = Watch.over(connection, Dialect.POSTGRESQL, actions, call, () -> handling.on(connection));
    if (reply.kind() != Kind.DONE) {
      Dialect.execute(connection, "ROLLBACK");
      return new Work(reply, Barrier.stateAfter(call, reply, false));
    }
    try {
      // PREPARE TRANSACTION of a transaction that has failed, or is over, is answered like a success.
      Dialect.execute(connection, "RELEASE SAVEPOINT " + Names.SAVEPOINT);
    } catch (SQLException failed) {
      throw new SQLException("the handler has ended its transaction, or gone on after an error in it", failed);
    }
    if (number(connection, "SELECT count(txid_current_if_assigned())") == 0) {
      Dialect.execute(connection, "ROLLBACK");
      return new Work(TwoPhase.readOnly(reply), Kept.READ_ONLY);
    }
    TwoPhase.mark(connection, names, call);
    try {
      Dialect.execute(connection, "PREPARE TRANSACTION " + nameOf(call));
    } catch (SQLException failed) {
      throw TwoPhase.failed("PREPARE TRANSACTION", failed, Dialect.POSTGRESQL.isNotPrepared(failed));
    }
    return new Work(reply, Kept.PREPARED);
  }

  @Override
  public Mark look(Connection connection, Call call) throws SQLException {
    String sql = "SELECT count(*) FROM pg_prepared_xacts WHERE gid = ? AND database = current_database()";
    if (number(connection, sql, "assent/" + call.gid() + "/" + call.branchId()) != 0) return Mark.HELD;
    // Afterwards, so that it is seen how somebody else has settled it.
    String marked = "SELECT count(*) FROM " + names.marker() + " WHERE gid = ? AND branch_id = ?";
    return number(connection, marked, call.gid(), call.branchId()) != 0 ? Mark.COMMITTED : Mark.ABSENT;
  }

  @Override
  public Mark end(Connection connection, Call call, boolean commits) throws Exception {
    String verb = commits ? "COMMIT PREPARED " : "ROLLBACK PREPARED ";
    try {
      Dialect.execute(connection, verb + nameOf(call));
    } catch (SQLException failed) {
      throw TwoPhase.failed(verb + "of its work", failed, NO_SUCH_PREPARED.equals(failed.getSQLState()));
    }
    return TwoPhase.after(() -> look(connection, call));
  }

  @Override
  public void noteAge(Connection connection, Call call) throws SQLException {
    BarrierTable.update(connection, "INSERT INTO " + names.age() + " VALUES (?, ?, ?) ON CONFLICT (gid) DO NOTHING",
        call.gid(), call.began().toEpochMilli(), Integer.toUnsignedLong(call.coordinatorId()));
  }

  @Override
  public void forgetAge(Connection connection, Call call) throws SQLException {
    BarrierTable.update(connection, "DELETE FROM " + names.age() + " a WHERE gid = ? AND NOT EXISTS"
        + " (SELECT 1 FROM " + names.barrier() + " b WHERE b.gid = a.gid AND b.state = ?)", call.gid(), Kept.PREPARED.ordinal());
  }

  /** A literal. Neither part can have a slash, or a quote. */
  private static String nameOf(Call call) {
    return "'assent/" + call.gid() + "/" + call.branchId() + "'";
  }
}
