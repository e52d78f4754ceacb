package assent.jdbc;

import assent.AssentException.AlreadyExists;
import assent.AssentException.ConfigError;
import assent.AssentException.FailedPrecondition;
import assent.AssentException.InvalidArgument;
import assent.AssentException.NotFound;
import assent.EncodedTransaction;
import assent.RetryLater;
import assent.Transaction;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import javax.sql.DataSource;

/**
 * Makes "this transaction starts if, and only if, my local one commits" true: {@code publish} writes it into the table
 * assent_outbox, on your own connection, within your own local transaction; a {@link Relay} hands it to the coordinator
 * afterwards (docs/messages.md). SQLite, PostgreSQL, and MariaDB or MySQL. May be used from any thread.
 *
 * <pre>{@code
 * var outbox = new Outbox(dataSource).start();
 * connection.setAutoCommit(false);
 * …
 * outbox.publish(connection, new Transaction().tcc("payment", "charge", amount));
 * connection.commit();
 * }</pre>
 */
public final class Outbox {
  private static final int MAX_WAITING = 100_000;
  private static final Duration COUNT_EVERY = Duration.ofSeconds(1);
  private static final int COUNT_AFTER = 1000; // publishes
  private static final int MAX_KEY_BYTES = 128;
  private static final int LOCK_WAIT_SECONDS = 5; // for somebody's lock on the table

  /** What waits, counted up to 100,000; {@code oldest}: how long the oldest has waited. {@code parked}: for a person. */
  public record Stats(int waiting, Duration oldest, int parked) {}

  /** A row that waits for a person: {@code reason} says why. */
  public record Parked(String gid, String key, String reason, String lastError, int attempts, Instant created) {}

  private final DataSource source;
  private int maxWaiting = MAX_WAITING;
  private boolean announces = true;
  private Dialect dialect;
  private OutboxTable table;

  private long countedNanos = Long.MIN_VALUE;
  private int since;
  private boolean isFull;

  /** Dials when it is started. */
  public Outbox(DataSource source) {
    this.source = source;
  }

  /** So many rows may wait before {@code publish} throws RetryLater. 100,000; 0: no bound. */
  public Outbox maxWaiting(int count) {
    if (count < 0) throw new ConfigError("maxWaiting is " + count + "; it must be at least 0");
    maxWaiting = count;
    return this;
  }

  /**
   * Whether a commit wakes relays on PostgreSQL (NOTIFY). True. Local transactions that you prepare by yourself cannot; in
   * a handler of {@link JdbcBarrier#twoPhase} that is seen.
   */
  public Outbox announces(boolean yes) {
    announces = yes;
    return this;
  }

  /** Makes the table if it is not there, before anything else. ConfigError: the database cannot be used. */
  public synchronized Outbox start() {
    if (table != null) return this;
    try (Connection connection = source.getConnection()) {
      Dialect found = Dialect.of(connection);
      found.checkDurable(connection);
      boolean was = connection.getAutoCommit();
      connection.setAutoCommit(found == Dialect.SQLITE);
      OutboxTable made = OutboxTable.open(connection, found);
      if (found != Dialect.SQLITE) connection.commit();
      connection.setAutoCommit(was);
      dialect = found;
      table = made;
      return this;
    } catch (SQLException wrong) {
      throw new ConfigError("the database cannot be used: " + wrong.getMessage(), wrong);
    }
  }

  /** Not made in passing: a publisher's own transaction may keep us out of the file, and would wait for us. */
  private synchronized OutboxTable table() {
    if (table == null) throw new ConfigError("start() the outbox before it is used");
    return table;
  }

  // ---- publish

  /**
   * It will start if, and only if, the connection's local transaction commits. Talks to nobody. After whatever is thrown
   * that transaction is to be rolled back: InvalidArgument (it could never work), AlreadyExists (the gid waits already),
   * FailedPrecondition (there is no open transaction), RetryLater (too many wait).
   */
  public void publish(Connection connection, Transaction transaction) throws SQLException {
    write(connection, null, transaction, !announces);
  }

  /**
   * Those of one key reach their participants one after the other, as they were published: the next one starts when this
   * one has completed. 1 to 128 bytes. Local transactions that publish for one key at the same time have no order; those
   * that change the same row first have.
   */
  public void publishInOrder(Connection connection, String key, Transaction transaction) throws SQLException {
    checkKey(key);
    write(connection, key, transaction, !announces);
  }

  /** In a handler. */
  public void publish(Tx tx, Transaction transaction) throws SQLException {
    write(tx.raw(), null, transaction, !announces || tx.isPreparing());
  }

  /** In a handler. */
  public void publishInOrder(Tx tx, String key, Transaction transaction) throws SQLException {
    checkKey(key);
    write(tx.raw(), key, transaction, !announces || tx.isPreparing());
  }

  private static void checkKey(String key) {
    if (key != null && !key.isEmpty() && key.getBytes(StandardCharsets.UTF_8).length <= MAX_KEY_BYTES
        && key.codePoints().noneMatch(c -> Character.isISOControl(c) || Character.getType(c) == Character.SURROGATE)) return;
    throw new InvalidArgument("key: it takes 1 to " + MAX_KEY_BYTES + " bytes of UTF-8 without control characters");
  }

  private void write(Connection connection, String key, Transaction transaction, boolean isQuiet) throws SQLException {
    EncodedTransaction encoded = EncodedTransaction.of(transaction);
    OutboxTable to = table();
    checkRoom(connection, to);
    try {
      if (to.insert(connection, transaction.gid(), key, encoded.bytes(), isQuiet)) return;
    } catch (SQLException failed) {
      if (!to.isDuplicate(failed)) throw failed;
      throw new AlreadyExists("a row of assent_outbox has the gid " + transaction.gid() + ": " + failed.getMessage());
    }
    throw new FailedPrecondition(
        "it is to be published within a local transaction, and there is none that is open: the row would commit by itself");
  }

  /** Counts now and then; in the user's transaction, since a pool may have no other connection. */
  private void checkRoom(Connection connection, OutboxTable in) throws SQLException {
    if (maxWaiting == 0) return;
    boolean isDue;
    synchronized (this) {
      long now = System.nanoTime();
      since++;
      isDue = countedNanos == Long.MIN_VALUE || now - countedNanos >= COUNT_EVERY.toNanos() || since >= COUNT_AFTER;
      if (isDue) { // who comes meanwhile does not count, too
        countedNanos = now;
        since = 0;
      }
    }
    if (isDue) {
      boolean full = in.count(connection, "", maxWaiting) >= maxWaiting;
      synchronized (this) {
        isFull = full;
      }
    }
    synchronized (this) {
      if (isFull) throw new RetryLater("too many rows of assent_outbox wait to be handed over; is a relay running?");
    }
  }

  // ---- people

  public Stats stats() throws SQLException {
    return turn((connection, in) -> {
      int parked = in.count(connection, "WHERE parked_reason IS NOT NULL", MAX_WAITING);
      return new Stats(in.count(connection, "", MAX_WAITING) - parked, Duration.ofMillis(in.oldestMs(connection)), parked);
    });
  }

  /** The oldest first; and rows of a kind that is not known here. */
  public List<Parked> parked(int most) throws SQLException {
    return turn((connection, in) -> in.parked(connection, most));
  }

  /** A parked row is handed over again, as if it never was: who says so knows that it has not run, or may run again. */
  public void retry(String gid) throws SQLException {
    if (turn((connection, in) -> in.retry(connection, gid)) == 0) throw notParked(gid);
  }

  /** A parked row goes: it will not run. */
  public void drop(String gid) throws SQLException {
    if (turn((connection, in) -> in.drop(connection, gid)) == 0) throw notParked(gid);
  }

  private static NotFound notParked(String gid) {
    return new NotFound("no parked row of assent_outbox has the gid " + gid);
  }

  // ---- for relays

  interface Work<T> {
    T run(Connection connection, OutboxTable in) throws SQLException;
  }

  /**
   * A short local transaction of our own. What it commits is durable, and with it what was committed before: nothing is
   * handed over that a power cut would take back. The connection is given back as it was.
   */
  <T> T turn(Work<T> work) throws SQLException {
    OutboxTable in = table();
    try (Connection connection = source.getConnection()) {
      boolean was = connection.getAutoCommit();
      if (dialect == Dialect.SQLITE) {
        connection.setAutoCommit(true); // its transactions are begun by statements, so that they can be begun as writers
        Dialect.execute(connection, "PRAGMA synchronous = FULL");
        Dialect.execute(connection, "PRAGMA busy_timeout = " + Duration.ofSeconds(LOCK_WAIT_SECONDS).toMillis());
        try {
          return inTransaction(connection, in, work);
        } finally {
          giveBack(connection, was, connection.getTransactionIsolation());
        }
      }
      if (!was) connection.rollback(); // what somebody has left in it is not ours to commit
      int isolation = connection.getTransactionIsolation();
      connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
      try {
        return inTransaction(connection, in, work);
      } finally {
        giveBack(connection, was, isolation);
      }
    }
  }

  /** As it was; of one that is lost there is nothing to give. */
  private static void giveBack(Connection connection, boolean autoCommit, int isolation) {
    try {
      if (connection.getTransactionIsolation() != isolation) connection.setTransactionIsolation(isolation);
      connection.setAutoCommit(autoCommit);
    } catch (SQLException lost) {
      // Whoever takes it next is told.
    }
  }

  private <T> T inTransaction(Connection connection, OutboxTable in, Work<T> work) throws SQLException {
    dialect.begin(connection);
    try {
      dialect.boundTurn(connection, LOCK_WAIT_SECONDS);
      T value = work.run(connection, in);
      dialect.commit(connection);
      dialect.unboundTurn(connection);
      return value;
    } catch (SQLException | RuntimeException | Error failed) {
      try {
        dialect.rollback(connection);
        dialect.unboundTurn(connection);
      } catch (SQLException gone) {
        failed.addSuppressed(gone); // and the transaction with it
      }
      throw failed;
    }
  }

  /** Only looks: SQLite's writers are not kept out. */
  <T> T look(Work<T> work) throws SQLException {
    OutboxTable in = table();
    if (dialect != Dialect.SQLITE) return turn(work);
    try (Connection connection = source.getConnection()) {
      return work.run(connection, in);
    }
  }
}
