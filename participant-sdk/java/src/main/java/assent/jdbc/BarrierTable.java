package assent.jdbc;

import assent.Call;
import assent.Held;
import assent.Kind;
import assent.Protocol;
import assent.Reply;
import assent.jdbc.Barrier.BranchRow;
import assent.jdbc.Barrier.Kept;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** The table assent_barrier. */
final class BarrierTable {
  private static final byte[] NOTHING = {};

  private final Dialect dialect;

  BarrierTable(Dialect dialect) {
    this.dialect = dialect;
  }

  /**
   * What is kept of the branch of a call, whose row is ours until the transaction ends, also if there was none: two
   * that come at once, in whatever processes, come one after the other.
   */
  BranchRow claim(Connection connection, Call call) throws SQLException {
    update(connection, dialect.claim(), call.gid(), call.branchId(), call.protocol().number(), call.action(), NOTHING,
        NOTHING, Integer.toUnsignedLong(call.coordinatorId()), call.beganEpoch(), System.currentTimeMillis());
    BranchRow row = find(connection, call.gid(), call.branchId());
    if (row == null) throw new SQLException("assent_barrier: the row of " + call + " has vanished");
    return row;
  }

  /** Null: there is none. */
  BranchRow find(Connection connection, String gid, String branchId) throws SQLException {
    String sql = "SELECT state, protocol, action, kind, result, reason, second_result FROM assent_barrier"
        + " WHERE gid = ? AND branch_id = ?" + dialect.forUpdate();
    try (PreparedStatement statement = prepare(connection, sql, gid, branchId);
        ResultSet found = statement.executeQuery()) {
      if (!found.next()) return null;
      int state = found.getInt(1);
      Protocol protocol = Protocol.of(found.getInt(2));
      Kind kind = Kind.of(found.getInt(4));
      if (state < 0 || state >= Kept.values().length || protocol == null || kind == null) {
        throw new SQLException("assent_barrier: the row (" + gid + ", " + branchId + ") is damaged");
      }
      String reason = found.getString(6);
      Reply first = kind == Kind.REFUSED ? Reply.refused(reason == null ? "" : reason)
          : new Reply(kind, bytes(found, 5), "", Duration.ZERO, "");
      return new BranchRow(Kept.values()[state], protocol, found.getString(3), first, bytes(found, 7));
    }
  }

  private static byte[] bytes(ResultSet found, int column) throws SQLException {
    byte[] data = found.getBytes(column);
    return data == null ? NOTHING : data;
  }

  /** Of a row that was claimed. */
  void put(Connection connection, Call call, Kept state, Reply first) throws SQLException {
    update(connection, "UPDATE assent_barrier SET state = ?, kind = ?, result = ?, reason = ?, touched_ms = ?"
        + " WHERE gid = ? AND branch_id = ?", state.ordinal(), first.kind().number(), first.result(), first.reason(),
        System.currentTimeMillis(), call.gid(), call.branchId());
  }

  /** Of a branch that has none, and that nobody else is at. */
  void insert(Connection connection, Call call, Kept state, Reply first) throws SQLException {
    update(connection, "INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, result, reason,"
        + " second_result, coordinator_id, began_epoch, touched_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        call.gid(), call.branchId(), call.protocol().number(), call.action(), state.ordinal(), first.kind().number(),
        first.result(), first.reason(), NOTHING, Integer.toUnsignedLong(call.coordinatorId()), call.beganEpoch(),
        System.currentTimeMillis());
  }

  void advance(Connection connection, Call call, Kept state, byte[] secondResult) throws SQLException {
    update(connection, "UPDATE assent_barrier SET state = ?, second_result = ?, touched_ms = ?"
        + " WHERE gid = ? AND branch_id = ?", state.ordinal(), secondResult, System.currentTimeMillis(), call.gid(),
        call.branchId());
  }

  /** What is prepared, then what is old enough to go; the oldest first. */
  List<Held> held(Connection connection, long touchedBeforeMs, int limit) throws SQLException {
    List<Held> held = new ArrayList<>();
    String sql = "SELECT gid, branch_id, coordinator_id, began_epoch FROM assent_barrier WHERE state = ? OR touched_ms < ?"
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

  void forget(Connection connection, Held held, long touchedBeforeMs) throws SQLException {
    update(connection, "DELETE FROM assent_barrier WHERE gid = ? AND branch_id = ? AND touched_ms < ?", held.gid(),
        held.branchId(), touchedBeforeMs);
  }

  /** It is asked about again when others have had their turn. */
  void touch(Connection connection, Held held) throws SQLException {
    update(connection, "UPDATE assent_barrier SET touched_ms = ? WHERE gid = ? AND branch_id = ?",
        System.currentTimeMillis(), held.gid(), held.branchId());
  }

  static void update(Connection connection, String sql, Object... parameters) throws SQLException {
    try (PreparedStatement statement = prepare(connection, sql, parameters)) {
      statement.executeUpdate();
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
