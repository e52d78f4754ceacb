package assent.jdbc;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * What a handler gets: the local transaction that its writes, and the barrier's row, are committed in. It is ended for
 * the handler, and of no use after it. Placeholders are "?".
 */
public final class Tx {
  private final Connection raw;
  private final Guard guard;
  private final boolean isPreparing;

  Tx(Connection connection, Dialect dialect) {
    this(connection, dialect, false);
  }

  /** {@code isPreparing}: it will be kept prepared. */
  Tx(Connection connection, Dialect dialect, boolean isPreparing) {
    raw = connection;
    guard = new Guard(connection, dialect);
    this.isPreparing = isPreparing;
  }

  Connection raw() throws SQLException {
    guard.checkOpen();
    return raw;
  }

  boolean isPreparing() {
    return isPreparing;
  }

  /** How many rows it has changed. */
  public int run(String sql, Object... parameters) throws SQLException {
    try (PreparedStatement statement = BarrierTable.prepare(connection(), sql, parameters)) {
      statement.execute();
      return Math.max(statement.getUpdateCount(), 0);
    }
  }

  /** The first row. */
  public Optional<Row> one(String sql, Object... parameters) throws SQLException {
    return all(sql, parameters).stream().findFirst();
  }

  public List<Row> all(String sql, Object... parameters) throws SQLException {
    List<Row> rows = new ArrayList<>();
    try (PreparedStatement statement = BarrierTable.prepare(connection(), sql, parameters);
        ResultSet found = statement.executeQuery()) {
      ResultSetMetaData columns = found.getMetaData();
      while (found.next()) {
        Map<String, Object> values = new LinkedHashMap<>();
        for (int at = 1; at <= columns.getColumnCount(); at++) {
          values.put(columns.getColumnLabel(at).toLowerCase(Locale.ROOT), found.getObject(at));
        }
        rows.add(new Row(values));
      }
    }
    return rows;
  }

  /**
   * The same transaction for whatever works on a JDBC connection. It refuses what would end the transaction: commit,
   * rollback (but to a savepoint), a change of autocommit, and the statements that say so. To close it does nothing.
   */
  public Connection connection() {
    return guard.connection();
  }

  /** The handler has returned, or thrown. */
  void end() {
    guard.end();
  }
}
