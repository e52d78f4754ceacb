package assent.jdbc;

import assent.Action;
import assent.Actions;
import assent.AssentException.ConfigError;
import assent.Call;
import assent.Held;
import assent.Job;
import assent.Kind;
import assent.Operation;
import assent.Protocol;
import assent.Reply;
import assent.Resource;
import assent.Verdict;
import assent.jdbc.Barrier.BranchRow;
import assent.jdbc.Barrier.Upkeep;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;

/**
 * Keeps the contract of participants in the service's own database: the handler's rows and a row of the barrier are
 * written in one local transaction. SQLite, PostgreSQL, and MariaDB or MySQL, by whatever driver the DataSource has.
 *
 * <pre>{@code
 * var db = new JdbcBarrier(dataSource, "CREATE TABLE IF NOT EXISTS seat(name TEXT PRIMARY KEY, state TEXT)");
 * db.tcc("seat").onTry((tx, call) -> {
 *   tx.run("INSERT INTO seat VALUES (?, 'held')", call.text());
 *   return Reply.done();
 * }).onConfirm(…).onCancel(…);
 * new Participant(new Service("cinema", db)).run();
 * }</pre>
 *
 * <p>A handler gets the open transaction and neither commits nor rolls back. It is called at most once with effect, an
 * undo comes only after its forward operation has taken effect, and what it wrote is undone with every answer but done.
 * An exception says that nothing has happened, and it is asked again. Only a commit whose fate is not known is answered
 * with neither yes nor no: the next question finds the row, or does not.
 *
 * <p>For TCC and Saga; and two-phase commit, for which PostgreSQL, MariaDB and MySQL keep the prepared work. Each worker has one connection of the DataSource for as long as there is work, so the
 * DataSource's pool, if it is one, should have some more than there are workers. SQLite has one worker, and operations
 * that wait for it share one commit.
 */
public final class JdbcBarrier extends Actions<TxHandler, TxSecondHandler> implements Resource {
  private static final int WORKERS = 8;
  private static final long IDLE_MS = 1000; // so long a connection is kept without work
  /** What is left of a pool of ten by eight workers. */
  private static final int KEPT_SESSIONS = 2;
  private static final Duration CLOSE_PATIENCE = Duration.ofSeconds(10);

  /** What the service itself does in a local transaction. */
  @FunctionalInterface
  public interface Work<T> {
    T run(Tx tx) throws SQLException;
  }

  private final DataSource source;
  private final String[] tables;
  private final BlockingQueue<Job> queue = new LinkedBlockingQueue<>(); // bounded by who asks
  private final List<Thread> threads = new ArrayList<>();
  private int workers = WORKERS;
  private Duration retention = Duration.ofHours(1);
  private Duration lockTimeout = Duration.ofSeconds(2);
  private final XaSessions sessions = new XaSessions(KEPT_SESSIONS);
  private volatile boolean isClosing;
  private volatile Dialect dialect;
  private volatile BarrierTable table;
  private volatile Names names;

  /** {@code tables}: statements that create the service's own tables, run when it starts. */
  public JdbcBarrier(DataSource source, String... tables) {
    this.source = source;
    this.tables = tables.clone();
  }

  /** Operations that run at once, in a database server. 8. */
  public JdbcBarrier workers(int count) {
    if (count < 1) throw new ConfigError("workers is " + count + "; it must be at least 1");
    workers = count;
    return this;
  }

  /** How long rows of ended transactions are kept, so that no old message can still be on its way. An hour. */
  public JdbcBarrier retention(Duration time) {
    retention = time;
    return this;
  }

  /**
   * How long a handler waits for a row that another transaction holds before it is asked again, where there are two-phase
   * actions. 2 s. (MariaDB: whole seconds, of PREPARE alone.)
   */
  public JdbcBarrier lockTimeout(Duration time) {
    lockTimeout = time;
    return this;
  }

  /**
   * How many prepared branches keep their connection until they are decided, over MariaDB and MySQL: 2, at most 32. They are
   * settled at once; others take a quarter of a second longer. A pool needs so many more connections than there are workers.
   */
  public JdbcBarrier keptSessions(int count) {
    if (count < 0 || count > XaSessions.MAX_KEPT_SESSIONS) {
      throw new ConfigError("keptSessions is " + count + "; it must be from 0 to " + XaSessions.MAX_KEPT_SESSIONS);
    }
    sessions.most(count);
    return this;
  }

  // ---- for the service

  /**
   * An action whose work the database keeps prepared, durable and unseen, until the decision: PostgreSQL by PREPARE
   * TRANSACTION, MariaDB and MySQL by XA. Its one handler is that of PREPARE; the database itself commits or rolls back
   * what it wrote.
   */
  public Action.Prepared<TxHandler, TxSecondHandler> twoPhase(String name) {
    return prepared(name);
  }

  /**
   * A Saga's action that only tells whether an initiator's own local transaction, in this database, has committed
   * ({@link CheckBack}). {@code patience}: from {@code prepare}, by the coordinator's clock, to the commit, by this machine's;
   * what takes longer is answered with no, and cannot commit any more. At least the time that the slowest local
   * transaction may take.
   */
  public void checkBack(String name, Duration patience) {
    if (patience.isNegative()) throw new ConfigError("patience is " + patience + "; it must be at least 0");
    saga(name).onAction(new CheckBack.Asked(patience)).onCompensate(CheckBack::neverUndone);
  }

  /** With a patience of 10 s. */
  public void checkBack(String name) {
    checkBack(name, Duration.ofSeconds(10));
  }

  /** Runs {@code work} in a local transaction of its own, for what the service itself does. Not in a handler. */
  public <T> T transaction(Work<T> work) throws SQLException {
    if (Batch.isInHandler()) throw new IllegalStateException("a handler has its own tx: use that one");
    start();
    return inOwn((connection, tx) -> work.run(tx));
  }

  // ---- for what runs it

  @Override
  public synchronized void start() {
    if (isClosing) throw new ConfigError("the adapter is closed; make another one");
    if (!threads.isEmpty()) return;
    try (Connection connection = source.getConnection()) {
      Dialect found = Dialect.of(connection);
      found.open(connection);
      found.prepare(connection);
      if (keepsPrepared()) TwoPhase.prepare(connection, found);
      Names full = found.names(connection);
      BarrierTable barrier = new BarrierTable(found, full);
      barrier.addMissingColumn(connection);
      for (String sql : tables) Dialect.execute(connection, sql);
      if (found != Dialect.SQLITE) connection.commit();
      names = full;
      table = barrier;
      dialect = found;
    } catch (SQLException wrong) {
      throw new ConfigError("the database cannot be used: " + wrong.getMessage(), wrong);
    }
    int count = dialect == Dialect.SQLITE ? 1 : workers;
    for (int number = 1; number <= count; number++) {
      Thread thread = new Thread(new Worker(), "assent-jdbc-" + number);
      thread.setDaemon(true);
      threads.add(thread);
    }
    threads.forEach(Thread::start);
  }

  @Override
  public void execute(Job job) {
    queue.add(job);
  }

  @Override
  public List<Held> questions(int limit) throws SQLException {
    return inOwn((connection, tx) -> table.held(connection, touchedBeforeMs(), limit));
  }

  /** A try that nobody will ever end stays, for a person: state = 2 and protocol = 2 in assent_barrier. */
  @Override
  public void answer(Held held, Verdict verdict, boolean finished) throws SQLException {
    Call second = inOwn((connection, tx) -> {
      BranchRow row = table.find(connection, held.gid(), held.branchId());
      if (row == null) return null;
      Upkeep upkeep = Barrier.upkeep(row.state(), row.protocol(), verdict, finished);
      if (upkeep == Upkeep.COMMIT) return TwoPhase.second(held, row, Operation.COMMIT);
      if (upkeep == Upkeep.ROLL_BACK) return TwoPhase.second(held, row, Operation.ROLLBACK);
      if (upkeep == Upkeep.FORGET) table.forget(connection, held, row.state(), touchedBeforeMs());
      else table.touch(connection, held, row.state());
      return null;
    });
    if (second == null) return;
    try (Connection connection = source.getConnection()) {
      dialect.open(connection);
      Reply reply = new Batch(connection, dialect, table, finder()).perform(second);
      if (reply.kind() != Kind.DONE) throw new SQLException(second + " was answered " + reply.kind() + ": " + reply.reason());
    }
  }

  boolean keepsPrepared() {
    return actions().stream().anyMatch(action -> action.protocol() == Protocol.TWO_PHASE);
  }

  private Finder finder() {
    return new Finder() {
      @Override
      public Action<TxHandler, TxSecondHandler> find(Call call) {
        return JdbcBarrier.this.find(call);
      }

      @Override
      public Connection another() throws SQLException {
        return source.getConnection();
      }

      @Override
      public Names names() {
        return names;
      }

      @Override
      public boolean keepsPrepared() {
        return JdbcBarrier.this.keepsPrepared();
      }

      @Override
      public Duration lockTimeout() {
        return lockTimeout;
      }

      @Override
      public XaSessions sessions() {
        return sessions;
      }
    };
  }

  private long touchedBeforeMs() {
    return System.currentTimeMillis() - retention.toMillis();
  }

  private interface OwnWork<T> {
    T run(Connection connection, Tx tx) throws SQLException;
  }

  private <T> T inOwn(OwnWork<T> work) throws SQLException {
    try (Connection connection = source.getConnection()) {
      dialect.open(connection);
      dialect.begin(connection);
      Tx tx = new Tx(connection, dialect);
      try {
        T value = work.run(connection, tx);
        tx.end();
        dialect.commit(connection);
        return value;
      } catch (SQLException | RuntimeException | Error failed) {
        tx.end();
        try {
          dialect.rollback(connection);
        } catch (SQLException gone) {
          failed.addSuppressed(gone); // and the transaction with it
        }
        throw failed;
      }
    }
  }

  /** What runs for longer than ten seconds more is left: it ends with the process, and without effect. */
  @Override
  public synchronized void close() {
    isClosing = true;
    long end = System.nanoTime() + CLOSE_PATIENCE.toNanos();
    try {
      for (Thread thread : threads) {
        thread.join(Math.max(TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime()), 1));
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    sessions.close();
  }

  /** Carries jobs out, on one connection for as long as there are some. */
  private final class Worker implements Runnable {
    private Connection connection;

    @Override
    public void run() {
      try {
        while (!isClosing || !queue.isEmpty()) {
          Job first = queue.poll(connection == null ? 100 : IDLE_MS, TimeUnit.MILLISECONDS);
          if (first == null) {
            release();
            continue;
          }
          List<Job> jobs = new ArrayList<>(List.of(first));
          queue.drainTo(jobs, dialect.maxBatch() - 1);
          carryOut(jobs);
        }
      } catch (InterruptedException nobodys) {
        Thread.currentThread().interrupt();
      } finally {
        release();
      }
    }

    private void carryOut(List<Job> jobs) {
      jobs.removeIf(job -> !job.begin());
      if (jobs.isEmpty()) return;
      try {
        if (connection == null) {
          Connection taken = source.getConnection();
          connection = taken;
          dialect.open(taken);
        }
      } catch (SQLException | RuntimeException absent) {
        release();
        Reply later = Reply.retryLater("the database is not there: " + absent.getMessage());
        jobs.forEach(job -> job.answer(later));
        return;
      }
      boolean isUsable = false;
      try {
        isUsable = new Batch(connection, dialect, table, finder()).carryOut(jobs);
      } catch (Throwable failed) { // of the driver, or for want of memory: the next jobs need this worker
        Reply unknown = Reply.unknown("it is not known what has happened: " + failed);
        jobs.forEach(job -> job.answer(unknown)); // those that have no answer yet
      }
      if (!isUsable) release();
    }

    private void release() {
      if (connection == null) return;
      try (Connection done = connection) {
        connection = null;
        if (!done.getAutoCommit()) done.rollback();
      } catch (SQLException gone) {
        // It is closed all the same.
      }
    }
  }

  /** What a {@link Batch} looks up. */
  interface Finder {
    Action<TxHandler, TxSecondHandler> find(Call call);

    /** A connection that is nobody's. */
    Connection another() throws SQLException;

    Names names();

    /** There are two-phase actions. */
    boolean keepsPrepared();

    Duration lockTimeout();

    /** That have prepared something. */
    XaSessions sessions();
  }
}
