package assent.jdbc;

import assent.Call;
import assent.Held;
import assent.Kind;
import assent.Protocol;
import assent.Reply;
import assent.RetryLater;
import assent.jdbc.Barrier.BranchRow;
import assent.jdbc.Barrier.Kept;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** The table assent_barrier. */
final class BarrierTable {
  private static final byte[] NOTHING = {};

  // Of a claim that somebody has committed, as the transaction that meets it sees it. That one is rolled back.
  private static final int COMMITTED_CLAIM = Kept.NONE.ordinal() - 1;
  private static final BranchRow CLAIMED_BEFORE = new BranchRow(Kept.NONE, Protocol.SAGA, "", Reply.done(), NOTHING);

  private final Dialect dialect;
  private final String name;

  BarrierTable(Dialect dialect, Names names) {
    this.dialect = dialect;
    this.name = names.barrier();
  }

  /** Those of before had no orphan, which the adapters in other languages write. */
  void addMissingColumn(Connection connection) throws SQLException {
    if (hasOrphan(connection)) return;
    try {
      String unless = dialect == Dialect.POSTGRESQL ? "IF NOT EXISTS " : "";
      Dialect.execute(connection, "ALTER TABLE " + name + " ADD COLUMN " + unless + "orphan INTEGER NOT NULL DEFAULT 0");
    } catch (SQLException failed) { // another instance may start at this moment
      if (dialect == Dialect.POSTGRESQL || !hasOrphan(connection)) throw failed;
    }
  }

  private boolean hasOrphan(Connection connection) throws SQLException {
    try (PreparedStatement statement = prepare(connection, "SELECT * FROM " + name + " WHERE 1 = 0");
        ResultSet none = statement.executeQuery()) {
      ResultSetMetaData columns = none.getMetaData();
      for (int at = 1; at <= columns.getColumnCount(); at++) {
        if (columns.getColumnLabel(at).equalsIgnoreCase("orphan")) return true;
      }
      return false;
    }
  }

  /** A row of state 0, unless there is one. Of one that was committed with it the state changes, whatever drivers count. */
  private String claiming() {
    String insert = "INSERT INTO " + name + (dialect == Dialect.MYSQL ? "" : " AS held")
        + "(gid, branch_id, protocol, action, state, kind, result, reason, second_result, coordinator_id, began_epoch,"
        + " touched_ms) VALUES(?, ?, ?, ?, 0, 0, ?, '', ?, ?, ?, ?)";
    return insert + (dialect == Dialect.MYSQL
        ? " ON DUPLICATE KEY UPDATE state = IF(state = 0, " + COMMITTED_CLAIM + ", state)"
        : " ON CONFLICT(gid, branch_id) DO UPDATE SET state = " + COMMITTED_CLAIM + " WHERE held.state = 0");
  }

  /**
   * What is kept of the branch of a call, whose row is ours until the transaction ends, also if there was none: two
   * that come at once, in whatever processes, come one after the other. Null: a claim was committed, and all of this is
   * to be rolled back.
   */
  BranchRow claim(Connection connection, Call call) throws SQLException {
    update(connection, claiming(), call.gid(), call.branchId(), call.protocol().number(), call.action(), NOTHING,
        NOTHING, Integer.toUnsignedLong(call.coordinatorId()), call.beganEpoch(), System.currentTimeMillis());
    BranchRow row = find(connection, call.gid(), call.branchId());
    if (row == null) throw new SQLException("assent_barrier: the row of " + call + " has vanished");
    return row == CLAIMED_BEFORE ? null : row;
  }

  /** Null: there is none. A row without a state is a claim that was committed. */
  BranchRow find(Connection connection, String gid, String branchId) throws SQLException {
    String sql = "SELECT state, protocol, action, kind, result, reason, second_result FROM " + name
        + " WHERE gid = ? AND branch_id = ?" + dialect.forUpdate();
    try (PreparedStatement statement = prepare(connection, sql, gid, branchId);
        ResultSet found = statement.executeQuery()) {
      if (!found.next()) return null;
      int state = found.getInt(1);
      if (state == COMMITTED_CLAIM) return CLAIMED_BEFORE;
      Protocol protocol = Protocol.of(found.getInt(2));
      Kind kind = Kind.of(found.getInt(4));
      if (state < 0 || state >= Kept.values().length || protocol == null || kind == null) {
        throw new SQLException("assent_barrier: the row (" + gid + ", " + branchId + ") is damaged");
      }
      if (kind == Kind.UNKNOWN) kind = kindOf(Kept.values()[state]); // a person has set its state
      String reason = found.getString(6);
      Reply first = kind == Kind.REFUSED ? Reply.refused(reason == null ? "" : reason)
          : new Reply(kind, bytes(found, 5), "", Duration.ZERO, "");
      return new BranchRow(Kept.values()[state], protocol, found.getString(3), first, bytes(found, 7));
    }
  }

  private static Kind kindOf(Kept state) {
    if (state == Kept.REFUSED) return Kind.REFUSED;
    return state == Kept.READ_ONLY ? Kind.DONE_READ_ONLY : Kind.DONE;
  }

  private static byte[] bytes(ResultSet found, int column) throws SQLException {
    byte[] data = found.getBytes(column);
    return data == null ? NOTHING : data;
  }

  /** Of a row that was claimed. */
  void put(Connection connection, Call call, Kept state, Reply first) throws SQLException {
    one(connection, "UPDATE " + name + " SET state = ?, kind = ?, result = ?, reason = ?, touched_ms = ?"
        + " WHERE gid = ? AND branch_id = ? AND state = ?", state.ordinal(), first.kind().number(), first.result(),
        first.reason(), System.currentTimeMillis(), call.gid(), call.branchId(), Kept.NONE.ordinal());
  }

  /** Of a branch that has none, and that nobody else is at. */
  void insert(Connection connection, Call call, Kept state, Reply first) throws SQLException {
    update(connection, "INSERT INTO " + name + "(gid, branch_id, protocol, action, state, kind, result, reason,"
        + " second_result, coordinator_id, began_epoch, touched_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        call.gid(), call.branchId(), call.protocol().number(), call.action(), state.ordinal(), first.kind().number(),
        first.result(), first.reason(), NOTHING, Integer.toUnsignedLong(call.coordinatorId()), call.beganEpoch(),
        System.currentTimeMillis());
  }

  /** What is committed now, whatever the transaction has seen before. Null: there is none. */
  Kept committedState(Connection connection, Call call) throws SQLException {
    String sql = "SELECT state FROM " + name + " WHERE gid = ? AND branch_id = ?"
        + (dialect == Dialect.MYSQL ? " LOCK IN SHARE MODE" : "");
    try (PreparedStatement statement = prepare(connection, sql, call.gid(), call.branchId());
        ResultSet found = statement.executeQuery()) {
      if (!found.next()) return null;
      int state = found.getInt(1);
      if (state >= 0 && state < Kept.values().length) return Kept.values()[state];
      throw new SQLException("assent_barrier: the row (" + call.gid() + ", " + call.branchId() + ") is damaged");
    }
  }

  /**
   * Somebody has written the row of a branch and not committed it yet, or is about to: who claims it would wait for that, for
   * as long as it takes. Asked first in a transaction.
   */
  boolean isUnderWay(Connection connection, Call call) throws SQLException {
    switch (dialect) {
      case SQLITE: // there is one that writes at a time
        return false;
      case POSTGRESQL:
        return PreparedTransactions.number(
            connection, "SELECT pg_try_advisory_xact_lock(?)::int", PreparedTransactions.keyOf(call)) == 0;
      case MYSQL:
        try {
          String sql = "SELECT state FROM " + name + " WHERE gid = ? AND branch_id = ? FOR UPDATE NOWAIT";
          PreparedTransactions.ask(connection, sql, call.gid(), call.branchId());
        } catch (SQLException failed) {
          if (XaWork.IS_LOCKED.contains(failed.getErrorCode())) return true;
          throw failed;
        }
        connection.rollback(); // two that have locked the gap where no row is could both write none
        return false;
    }
    throw new IllegalStateException(dialect.name());
  }

  /** Before an answer by a row that an initiator has committed, perhaps without waiting for the disk: our commit waits for both. */
  void touch(Connection connection, Call call) throws SQLException {
    update(connection, "UPDATE " + name + " SET touched_ms = ? WHERE gid = ? AND branch_id = ?", System.currentTimeMillis(),
        call.gid(), call.branchId());
  }

  /** Before a handler of the second phase, in its transaction: if it commits by itself, it leaves a row without a state. */
  void beginSecond(Connection connection, Call call, Kept from) throws SQLException {
    one(connection, "UPDATE " + name + " SET state = ? WHERE gid = ? AND branch_id = ? AND state = ?", Kept.NONE.ordinal(),
        call.gid(), call.branchId(), from.ordinal());
  }

  void advance(Connection connection, Call call, Kept from, Kept to, byte[] secondResult) throws SQLException {
    one(connection, "UPDATE " + name + " SET state = ?, second_result = ?, touched_ms = ?"
        + " WHERE gid = ? AND branch_id = ? AND state = ?", to.ordinal(), secondResult, System.currentTimeMillis(),
        call.gid(), call.branchId(), from.ordinal());
  }

  /** Of a row as it was read. RetryLater: it is no longer so, and all of the transaction is to be rolled back. */
  private static void one(Connection connection, String sql, Object... parameters) throws SQLException {
    if (update(connection, sql, parameters) != 1) throw new RetryLater("somebody else was at this branch");
  }

  /** What is prepared, then what is old enough to go; the oldest first. */
  List<Held> held(Connection connection, long touchedBeforeMs, int limit) throws SQLException {
    List<Held> held = new ArrayList<>();
    String sql = "SELECT gid, branch_id, coordinator_id, began_epoch FROM " + name
        + " WHERE state = ? OR touched_ms < ? AND state <> 0"
        + " ORDER BY CASE WHEN state = ? THEN 0 ELSE 1 END, touched_ms LIMIT ?";
    int prepared = Kept.PREPARED.ordinal();
    try (PreparedStatement statement = prepare(connection, sql, prepared, touchedBeforeMs, prepared, limit);
        ResultSet found = statement.executeQuery()) {
      while (found.next()) {
        held.add(new Held(found.getString(1), found.getString(2), (int) found.getLong(3), found.getLong(4)));
      }
    }
    return held;
  }

  void forget(Connection connection, Held held, Kept state, long touchedBeforeMs) throws SQLException {
    update(connection, "DELETE FROM " + name + " WHERE gid = ? AND branch_id = ? AND state = ? AND touched_ms < ?",
        held.gid(), held.branchId(), state.ordinal(), touchedBeforeMs);
  }

  /** It is asked about again when others have had their turn. */
  void touch(Connection connection, Held held, Kept state) throws SQLException {
    update(connection, "UPDATE " + name + " SET touched_ms = ? WHERE gid = ? AND branch_id = ? AND state = ?",
        System.currentTimeMillis(), held.gid(), held.branchId(), state.ordinal());
  }

  static int update(Connection connection, String sql, Object... parameters) throws SQLException {
    try (PreparedStatement statement = prepare(connection, sql, parameters)) {
      return statement.executeUpdate();
    }
  }

  static PreparedStatement prepare(Connection connection, String sql, Object... parameters) throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    try {
      for (int at = 0; at < parameters.length; at++) {
        if (parameters[at] instanceof byte[] data) statement.setBytes(at + 1, data);
        else statement.setObject(at + 1, parameters[at]);
      }
      return statement;
    } catch (SQLException wrong) {
      statement.close();
      throw wrong;
    }
  }
}
