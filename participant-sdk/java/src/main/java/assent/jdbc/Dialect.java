package assent.jdbc;

import assent.AssentException.ConfigError;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Locale;
import java.util.function.Predicate;

/** What databases do not have in common. Their tables are those of the SDKs in other languages. */
enum Dialect {
  SQLITE("""
      CREATE TABLE IF NOT EXISTS assent_barrier(
        gid TEXT NOT NULL, branch_id TEXT NOT NULL,
        protocol INTEGER NOT NULL, action TEXT NOT NULL, state INTEGER NOT NULL,
        kind INTEGER NOT NULL, result BLOB, reason TEXT, second_result BLOB,
        coordinator_id INTEGER NOT NULL, began_epoch INTEGER NOT NULL,
        touched_ms INTEGER NOT NULL, orphan INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY(gid, branch_id)) WITHOUT ROWID"""),
  POSTGRESQL("""
      CREATE TABLE IF NOT EXISTS assent_barrier(
        gid text NOT NULL, branch_id text NOT NULL,
        protocol integer NOT NULL, action text NOT NULL, state integer NOT NULL,
        kind integer NOT NULL, result bytea, reason text, second_result bytea,
        coordinator_id bigint NOT NULL, began_epoch bigint NOT NULL,
        touched_ms bigint NOT NULL, orphan integer NOT NULL DEFAULT 0,
        PRIMARY KEY(gid, branch_id))""",
      "CREATE INDEX IF NOT EXISTS assent_barrier_age ON assent_barrier(touched_ms)"),
  MYSQL("""
      CREATE TABLE IF NOT EXISTS assent_barrier(
        gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        branch_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        protocol INT NOT NULL, action VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, state INT NOT NULL,
        kind INT NOT NULL, result MEDIUMBLOB, reason TEXT CHARACTER SET utf8mb4, second_result MEDIUMBLOB,
        coordinator_id BIGINT NOT NULL, began_epoch BIGINT NOT NULL,
        touched_ms BIGINT NOT NULL, orphan INT NOT NULL DEFAULT 0,
        PRIMARY KEY(gid, branch_id), KEY assent_barrier_age(touched_ms)) ENGINE=InnoDB""");

  // Nothing stronger is weakened.
  private static final String DURABLE = "SELECT set_config('synchronous_commit', 'on', false)"
      + " WHERE current_setting('synchronous_commit') = 'off'";
  private static final int SQLITE_BUSY = 5;
  private static final int SQLITE_CONSTRAINT = 19;

  private final String[] tables;

  Dialect(String... tables) {
    this.tables = tables;
  }

  static Dialect of(Connection connection) throws SQLException {
    String product = connection.getMetaData().getDatabaseProductName();
    return switch (product.toLowerCase(Locale.ROOT)) {
      case "sqlite" -> SQLITE;
      case "postgresql" -> POSTGRESQL;
      case "mariadb", "mysql" -> MYSQL;
      default -> throw new ConfigError(
          "the barrier is kept in SQLite, PostgreSQL, MariaDB or MySQL; this DataSource leads to " + product);
    };
  }

  /** What the barrier needs. */
  void prepare(Connection connection) throws SQLException {
    // Two that create a table at once get in each other's way.
    if (this == POSTGRESQL) execute(connection, "SELECT pg_advisory_xact_lock(7400)");
    checkDurable(connection);
    for (String table : tables) execute(connection, table);
    if (this == SQLITE && hasTable(connection, "assent_meta")) {
      throw new ConfigError("this file is kept by the C++ adapter, whose prepared work is not known here:"
          + " give this service a file of its own");
    }
  }

  /** ConfigError: what the server calls committed is lost with it, or with the machine. */
  void checkDurable(Connection connection) throws SQLException {
    if (this != MYSQL) return;
    // 0 loses what is committed with the server, 2 with the machine.
    long flush = PreparedTransactions.number(connection, "SELECT @@global.innodb_flush_log_at_trx_commit");
    if (flush == 1 || flush == 3) return;
    throw new ConfigError("the server has innodb_flush_log_at_trx_commit = " + flush + ": what it calls committed would not"
        + " survive a power cut; set it to 1");
  }

  /** Where the bare names of the tables lead now. */
  Names names(Connection connection) throws SQLException {
    return switch (this) {
      case SQLITE -> Names.within("main.");
      case POSTGRESQL -> new Names(fullName(connection, "assent_barrier"), fullName(connection, "assent_marker"),
          fullName(connection, "assent_age"));
      case MYSQL -> Names.within("`" + text(connection, "SELECT DATABASE()").replace("`", "``") + "`.");
    };
  }

  static String fullName(Connection connection, String table) throws SQLException {
    String name = text(connection, "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c"
        + " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(?)", table);
    return name == null ? table : name; // what only two-phase work needs
  }

  static String text(Connection connection, String sql, Object... parameters) throws SQLException {
    try (var statement = BarrierTable.prepare(connection, sql, parameters); var found = statement.executeQuery()) {
      return found.next() ? found.getString(1) : null;
    }
  }

  private static boolean hasTable(Connection connection, String name) throws SQLException {
    try (var tables = connection.getMetaData().getTables(null, null, name, null)) {
      return tables.next();
    }
  }

  /** A connection that was just taken from the DataSource. */
  void open(Connection connection) throws SQLException {
    if (this != SQLITE) {
      if (!connection.getAutoCommit()) connection.rollback(); // what somebody has left in it is not ours to commit
      if (this == POSTGRESQL) {
        connection.setAutoCommit(true); // or a rollback would take it back
        execute(connection, DURABLE);
      }
      connection.setAutoCommit(false);
      return;
    }
    // Its transactions are begun by statements, so that they can be begun as writers.
    connection.setAutoCommit(true);
    execute(connection, "PRAGMA busy_timeout = 5000");
    execute(connection, "PRAGMA journal_mode = WAL");
    execute(connection, "PRAGMA synchronous = FULL"); // done means durable
    execute(connection, "PRAGMA foreign_keys = ON");
  }

  /** What is written into {@code table} now would commit by itself: no local transaction is open. */
  boolean isAutocommit(Connection connection, String table) throws SQLException {
    return switch (this) {
      case SQLITE -> { // there is no other way to ask it
        boolean isOutside = !fails(
            connection, "BEGIN", failed -> String.valueOf(failed.getMessage()).contains("within a transaction"));
        if (isOutside) execute(connection, "ROLLBACK");
        yield isOutside;
      }
      // The lock that an INSERT takes anyway; there is none for who is in no transaction.
      case POSTGRESQL -> fails(
          connection, "LOCK TABLE " + table + " IN ROW EXCLUSIVE MODE", failed -> "25P01".equals(failed.getSQLState()));
      case MYSQL -> {
        try {
          yield PreparedTransactions.number(connection, "SELECT @@in_transaction OR NOT @@autocommit") == 0;
        } catch (SQLException refused) {
          if (isNotSaid(refused)) yield false;
          throw refused;
        }
      }
    };
  }

  /** In the way that is asked about; other failures are thrown. */
  private static boolean fails(Connection connection, String sql, Predicate<SQLException> isSo) throws SQLException {
    try {
      execute(connection, sql);
      return false;
    } catch (SQLException failed) {
      if (isSo.test(failed)) return true;
      throw failed;
    }
  }

  /** MySQL does not tell whether a transaction is open, as MariaDB does. */
  static boolean isNotSaid(SQLException failed) {
    return failed.getErrorCode() == 1193;
  }

  boolean isDuplicate(SQLException failed) {
    return switch (this) {
      case SQLITE -> String.valueOf(failed.getMessage()).contains("UNIQUE constraint failed");
      case POSTGRESQL -> "23505".equals(failed.getSQLState());
      case MYSQL -> failed.getErrorCode() == 1062;
    };
  }

  boolean isWithoutTable(SQLException failed) {
    return switch (this) {
      case SQLITE -> String.valueOf(failed.getMessage()).contains("no such table");
      case POSTGRESQL -> "42P01".equals(failed.getSQLState());
      case MYSQL -> failed.getErrorCode() == 1146;
    };
  }

  void begin(Connection connection) throws SQLException {
    if (this == SQLITE) execute(connection, "BEGIN IMMEDIATE");
    else setAutoCommit(connection, false);
  }

  /** Of a server's session, whatever the one before has made of it: a COMMIT ends its transaction and nothing else. */
  void setAutoCommit(Connection connection, boolean on) throws SQLException {
    connection.setAutoCommit(on);
    if (this == MYSQL) execute(connection, "SET autocommit = " + (on ? 1 : 0) + ", completion_type = 0");
  }

  void commit(Connection connection) throws SQLException {
    if (this == SQLITE) execute(connection, "COMMIT");
    else connection.commit();
  }

  void rollback(Connection connection) throws SQLException {
    if (this == SQLITE) execute(connection, "ROLLBACK");
    else connection.rollback();
  }

  /**
   * After a statement of a handler that failed. Some errors of SQLite roll the transaction back, and what the handler went on
   * to write would be committed by itself: another transaction takes it, which has no savepoint and is rolled back. The others
   * begin one by themselves, as autocommit is off.
   */
  void standInForLost(Connection connection) {
    if (this != SQLITE) return;
    try {
      execute(connection, "BEGIN");
    } catch (SQLException stillThere) {
      // There is none within another.
    }
  }

  /** Of a relay's transaction: it is durable, and does not wait for ever for who has locked the table. */
  void boundTurn(Connection connection, int seconds) throws SQLException {
    if (this == POSTGRESQL) {
      execute(connection, DURABLE.replace("false", "true"));
      execute(connection, "SET LOCAL lock_timeout = '" + seconds + "s'");
    }
    if (this == MYSQL) execute(connection, "SET @assent_wait = @@lock_wait_timeout, lock_wait_timeout = " + seconds);
  }

  /** Leaves the session as it was. */
  void unboundTurn(Connection connection) throws SQLException {
    if (this == MYSQL) execute(connection, "SET lock_wait_timeout = coalesce(@assent_wait, 86400), @assent_wait = NULL");
  }

  String forUpdate() {
    return this == SQLITE ? "" : " FOR UPDATE";
  }

  /** Operations in one commit. Those of servers would keep rows from one another. */
  int maxBatch() {
    return this == SQLITE ? 64 : 1;
  }

  /** The local transaction is over without effect, and to do it again may work. */
  boolean isTransient(SQLException failed) {
    String state = failed.getSQLState() == null ? "" : failed.getSQLState();
    int code = failed.getErrorCode();
    return switch (this) {
      case SQLITE -> false;
      case POSTGRESQL -> state.equals("40001") || state.equals("40P01");
      case MYSQL -> code == 1213 || code == 1020; // a deadlock, a row that has changed
    };
  }

  /** Of a COMMIT that failed: it has certainly not happened. */
  boolean isNotCommitted(SQLException failed) {
    String state = failed.getSQLState() == null ? "" : failed.getSQLState();
    int code = failed.getErrorCode();
    return switch (this) {
      case SQLITE -> code == SQLITE_BUSY || code == SQLITE_CONSTRAINT;
      case POSTGRESQL -> state.startsWith("40") && !state.equals("40003") || state.startsWith("23");
      case MYSQL -> code == 1213 || code == 1205 || code == 1020;
    };
  }

  /** It cannot keep work durable and unseen (SQLite), or does so by its own statements. Null: it cannot. */
  Preparer preparer(XaSessions sessions, Names names) {
    return switch (this) {
      case SQLITE -> null;
      case POSTGRESQL -> new PreparedTransactions(names);
      case MYSQL -> new XaWork(sessions, names);
    };
  }

  /** Of a statement that makes work durable and unseen: it has certainly not happened. */
  boolean isNotPrepared(SQLException failed) {
    String state = failed.getSQLState() == null ? "" : failed.getSQLState();
    boolean hasNoRoom = this == POSTGRESQL && (state.startsWith("53") || state.startsWith("55"));
    return hasNoRoom || isNotCommitted(failed);
  }

  static void execute(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
