package assent.jdbc;

import assent.Call;
import assent.Operation.Role;
import assent.Reply;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Sees, from another connection, whose prepared work a handler waits for in PostgreSQL, if it waits for long. Everybody
 * waits for older transactions only (participant-sdk/cpp/barrier/DESIGN.md), so that two that hold what the other wants
 * do not stand still.
 */
final class Watch {
  private static final long LOOK_EVERY_MS = 50;
  // Where the coordinator's doubling of the wait starts for who was told that a row is taken.
  private static final Duration ASK_AGAIN = Duration.ofMillis(5);
  private static final Set<String> LOCKED = Set.of("55P03", "57014"); // lock_timeout has passed, or it was ended here
  // Who waits for a row waits for the transaction that has it, which may itself wait for one that is prepared; who comes
  // second waits for a lock on the row, which the first one has. The youngest one that is prepared.
  private static final String FIND = """
      WITH RECURSIVE waits(pid) AS (SELECT ?::int UNION
        SELECT other FROM waits, unnest(pg_blocking_pids(waits.pid)) other WHERE other <> 0)
      SELECT p.gid, coalesce(a.began_unix_ms, 0), coalesce(a.coordinator_id, 0), waits.pid = ? FROM waits
        JOIN pg_locks l ON l.pid = waits.pid AND NOT l.granted AND l.locktype = 'transactionid'
        JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
        LEFT JOIN %s a ON a.gid = split_part(p.gid, '/', 2) ORDER BY a.began_unix_ms DESC NULLS LAST LIMIT 1""";
  private static final ScheduledExecutorService LOOKING = Executors.newSingleThreadScheduledExecutor(task -> {
    Thread thread = new Thread(task, "assent-jdbc-watch");
    thread.setDaemon(true);
    return thread;
  });

  /** Of what is waited for. {@code began}: the epoch, when it is not known. */
  private record Holder(String gid, String branchId, Instant began, int coordinatorId) {}

  private final JdbcBarrier.Finder actions;
  private final Call call;
  private final long backend;
  private final ScheduledFuture<?> looks;
  private boolean isOver;
  private Holder holder;

  private Watch(JdbcBarrier.Finder actions, Call call, long backend) {
    this.actions = actions;
    this.call = call;
    this.backend = backend;
    looks = LOOKING.scheduleWithFixedDelay(this::look, LOOK_EVERY_MS, LOOK_EVERY_MS, TimeUnit.MILLISECONDS);
  }

  /** What the handler says, which is called in a transaction; or, if it waits in vain, why. */
  static Reply over(Connection connection, Dialect dialect, JdbcBarrier.Finder actions, Call call,
      Callable<Reply> handler) throws Exception {
    if (dialect != Dialect.POSTGRESQL || !actions.keepsPrepared()) return handler.call();
    Dialect.execute(connection, "SET LOCAL lock_timeout = " + actions.lockTimeout().toMillis());
    Watch watch = new Watch(actions, call, PreparedTransactions.number(connection, "SELECT pg_backend_pid()"));
    try {
      return handler.call();
    } catch (Exception failed) {
      watch.end();
      if (!isLocked(failed)) throw failed;
      return watch.reply(failed);
    } finally {
      watch.end();
    }
  }

  private static boolean isLocked(Throwable failed) {
    for (Throwable why = failed; why != null; why = why.getCause()) {
      String state = why instanceof SQLException sql ? sql.getSQLState() : null;
      if (state != null && LOCKED.contains(state)) return true;
    }
    return false;
  }

  /** Afterwards it interrupts nothing any more. */
  private synchronized void end() {
    isOver = true;
    looks.cancel(false);
  }

  private void look() {
    try (Connection connection = actions.another()) {
      Dialect.POSTGRESQL.open(connection);
      Holder found = find(connection);
      synchronized (this) {
        if (isOver) return;
        holder = found;
        boolean isInTheWay = found != null && (isYounger(found) || found.gid().equals(call.gid()));
        // It need not wait any longer to say so.
        if (isInTheWay) PreparedTransactions.ask(connection, "SELECT pg_cancel_backend(?)", (int) backend);
      }
    } catch (SQLException | RuntimeException absent) {
      // The next look may see it; lock_timeout ends the wait at last.
    }
  }

  private Holder find(Connection connection) throws SQLException {
    try (var statement = BarrierTable.prepare(connection, FIND.formatted(actions.names().age()), (int) backend, (int) backend);
        ResultSet found = statement.executeQuery()) {
      if (!found.next()) return null;
      String[] name = found.getString(1).split("/");
      if (name.length != 3 || !name[0].equals("assent")) return null;
      boolean isDirect = found.getBoolean(4);
      if (name[1].equals(call.gid()) && !isDirect) return null; // what stands between will give way
      return new Holder(name[1], name[2], Instant.ofEpochMilli(found.getLong(2)), (int) found.getLong(3));
    }
  }

  /** The holder, than one who waits for it and holds something itself. What is not known is compared with nothing. */
  private boolean isYounger(Holder other) {
    boolean isKnown = !other.began().equals(Instant.EPOCH) && !call.began().equals(Instant.EPOCH);
    if (!isKnown || call.operation().role() != Role.FORWARD || call.onePhase()) return false;
    int order = call.began().compareTo(other.began());
    return order != 0 ? order < 0 : Arrays.compareUnsigned(bytes(call.gid()), bytes(other.gid())) < 0;
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** To an operation that has waited in vain. */
  private synchronized Reply reply(Exception failed) {
    boolean isForward = call.operation().role() == Role.FORWARD;
    if (holder == null) return Reply.retryLater("a row is locked by another transaction: " + failed.getMessage());
    if (isForward && holder.gid().equals(call.gid())) {
      return Reply.refused("a row is held by branch " + holder.branchId()
          + " of this same transaction: let one branch write it");
    }
    String held = "a row is held by branch " + holder.branchId() + " of transaction " + holder.gid()
        + ", which is prepared";
    boolean isYounger = isYounger(holder);
    if (isYounger && holder.coordinatorId() != call.coordinatorId()) {
      return Reply.refused(held + ", younger, and of coordinator " + Integer.toUnsignedString(holder.coordinatorId())
          + ": an older transaction does not wait for it, or both might for ever");
    }
    if (!isForward || call.began().equals(Instant.EPOCH)) return Reply.retryLater(held);
    Reply later = Reply.retryLater(held + (isYounger ? ", and younger" : ""), ASK_AGAIN);
    return new Reply(later.kind(), later.result(), later.reason(), later.retryAfter(), holder.gid());
  }
}
