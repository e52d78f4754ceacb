package assent.jdbc;

import assent.AssentException;
import assent.AssentException.ConfigError;
import assent.AssentException.InvalidArgument;
import assent.AssentException.NotFound;
import assent.AssentException.UnknownOutcome;
import assent.Client;
import assent.EncodedTransaction;
import assent.WaitFor;
import assent.jdbc.OutboxTable.Found;
import assent.jdbc.OutboxTable.Taken;
import assent.jdbc.RelayRules.Fate;
import assent.jdbc.RelayRules.Settled;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Hands what an {@link Outbox} has to a coordinator, on a thread of its own. Any number of them, in any languages, may be
 * at one table. It takes one connection for moments, and none while it talks to a coordinator.
 *
 * <pre>{@code
 * try (var relay = new Relay(outbox, client).start()) { … relay.wake(); … }
 * }</pre>
 */
public final class Relay implements AutoCloseable {
  private static final System.Logger LOG = System.getLogger("assent");
  private static final int BATCH = 256;
  private static final Duration INTERVAL = Duration.ofMillis(200);
  private static final Duration RETENTION_GUARD = Duration.ofHours(12);
  private static final Duration STOP_GRACE = Duration.ofSeconds(10);
  private static final Duration HAND_OVER_TIMEOUT = Duration.ofSeconds(30); // of one call; shorter than the lease
  private static final long MAX_TURN_BYTES = 16 * 1024 * 1024; // of requests that are under way
  private static final Duration REPORT_EVERY = Duration.ofSeconds(60);
  private static final Duration OLD_AGE = Duration.ofSeconds(60);
  private static final int LOOK_SHARE = 10; // a look takes at most one part in so many of an idle relay's time

  /** Of the table, and what this relay has done: rows, and attempts. */
  public record Stats(Outbox.Stats table, long handedOver, long failed) {}

  private final Outbox outbox;
  private final Client client;
  private int batch = BATCH;
  private Duration interval = INTERVAL;
  private Duration retentionGuard = RETENTION_GUARD;
  private Duration stopGrace = STOP_GRACE;

  /** Answers, and null-like marks that wake it. */
  private static final Settled WAKE = RelayRules.goes(null);
  private final BlockingQueue<Settled> answers = new LinkedBlockingQueue<>(); // bounded by what is under way
  private final Set<CompletableFuture<?>> calls = ConcurrentHashMap.newKeySet();
  private final AtomicLong handedOver = new AtomicLong();
  private final AtomicLong failed = new AtomicLong();
  private volatile boolean isStopping;
  private Thread thread;

  // Of the thread.
  private final List<Settled> unsettled = new ArrayList<>();
  private int underWay;
  private int keyedUnderWay;
  private long bytesUnderWay;
  private String cursor = "";
  private long lookNanos = System.nanoTime(); // not before
  private long reportNanos = System.nanoTime();
  private int away; // turns that have failed, one after the other
  private boolean hasSaid;

  public Relay(Outbox outbox, Client client) {
    this.outbox = outbox;
    this.client = client;
  }

  /** Rows that are under way at once. 256. */
  public Relay batch(int rows) {
    if (rows < 1) throw new ConfigError("batch is " + rows + "; it must be at least 1");
    batch = rows;
    return this;
  }

  /** How often an idle relay looks. 200 ms. */
  public Relay interval(Duration time) {
    interval = time;
    return this;
  }

  /**
   * A row that was first handed over longer ago, and never answered, is asked for before it is handed over again. 12 h. Has
   * to be shorter than what the coordinator retains (--retention-hours).
   */
  public Relay retentionGuard(Duration time) {
    retentionGuard = time;
    return this;
  }

  /** How long {@code close} waits for what is under way. 10 s. */
  public Relay stopGrace(Duration time) {
    stopGrace = time;
    return this;
  }

  public synchronized Relay start() {
    if (thread != null) throw new ConfigError("the relay was started before");
    outbox.start();
    thread = new Thread(this::run, "assent-relay");
    thread.setDaemon(true);
    thread.start();
    return this;
  }

  /** It looks at once: after a commit that has published, say. */
  public void wake() {
    if (!answers.contains(WAKE)) answers.add(WAKE);
  }

  public Stats stats() throws SQLException {
    return new Stats(outbox.stats(), handedOver.get(), failed.get());
  }

  /** Takes no more, and waits for what is under way. What is not answered stays in the table, and is due. */
  @Override
  public synchronized void close() {
    if (thread == null) return;
    isStopping = true;
    answers.add(WAKE);
    try {
      thread.join(stopGrace.toMillis() + 1);
      for (CompletableFuture<?> call : calls) call.cancel(true);
      thread.join();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void run() {
    try {
      while (!isStopping) step();
      while (underWay > 0) answered(answers.take());
      settle();
    } catch (InterruptedException nobodys) {
      Thread.currentThread().interrupt();
    }
  }

  /** Waits until there is something to do, and does it. */
  private void step() throws InterruptedException {
    boolean hasRoom = underWay < batch && bytesUnderWay < MAX_TURN_BYTES;
    boolean isTimed = hasRoom || !unsettled.isEmpty();
    Settled first = isTimed ? answers.poll(Math.max(lookNanos - System.nanoTime(), 0), TimeUnit.NANOSECONDS) : answers.take();
    for (Settled one = first; one != null; one = answers.poll()) answered(one);
    boolean isDue = System.nanoTime() - lookNanos >= 0;
    if (isStopping || !isDue && (unsettled.isEmpty() || away > 0)) return;
    try {
      settle();
      if (unsettled.isEmpty() && System.nanoTime() - lookNanos >= 0) {
        takeMore();
        report();
      }
    } catch (RuntimeException wrong) { // of a driver or a pool
      failing(wrong.toString());
    }
  }

  private void answered(Settled answer) {
    if (answer == WAKE) {
      if (away == 0) lookNanos = System.nanoTime();
      return;
    }
    underWay--;
    bytesUnderWay -= answer.row().length();
    if (answer.row().key() != null) keyedUnderWay--;
    unsettled.add(answer);
  }

  /** Writes down what has come in, in one transaction. */
  private void settle() {
    if (unsettled.isEmpty()) return;
    try {
      outbox.turn((connection, table) -> {
        table.remove(connection, unsettled.stream().filter(one -> one.fate() == Fate.GOES).map(Settled::row).toList());
        for (Settled one : unsettled) {
          if (one.fate() == Fate.PARKS) table.park(connection, one.row(), one.why());
          if (one.fate() == Fate.WAITS) table.again(connection, one.row(), one.why(), one.after(), one.isUntouched());
        }
        return null;
      });
    } catch (SQLException wrong) {
      failing("its database cannot be written: " + wrong.getMessage());
      return;
    }
    for (Settled one : unsettled) {
      boolean isNotComplete = one.why().equals(RelayRules.NOT_COMPLETE);
      if (one.fate() == Fate.GOES) handedOver.incrementAndGet();
      if (one.fate() == Fate.PARKS) LOG.log(System.Logger.Level.WARNING, "outbox: parked gid=" + one.row().gid() + ": " + one.why());
      if (one.fate() == Fate.WAITS && !isNotComplete) failed.incrementAndGet();
      boolean isNextDue = one.fate() == Fate.GOES || isNotComplete; // of its key
      if (one.row().key() != null && isNextDue) lookNanos = System.nanoTime();
    }
    if (!isStopping) {
      if (unsettled.stream().allMatch(Settled::isAway)) failing("nothing is handed over: " + unsettled.get(0).why());
      else works();
    }
    unsettled.clear();
  }

  /** Leases what there is room for, and hands it over. */
  private void takeMore() {
    // Those with a key wait for participants: they leave half of the room to the others.
    int room = batch - underWay;
    int keyed = Math.min(room, (batch + 1) / 2 - keyedUnderWay);
    if (room <= 0 || bytesUnderWay >= MAX_TURN_BYTES) return;
    long began = System.nanoTime();
    Found found;
    List<Taken> rows = List.of();
    long took;
    try {
      found = outbox.look((connection, table) -> table.look(connection, room, keyed, cursor));
      took = System.nanoTime() - began;
      long bytes = MAX_TURN_BYTES - bytesUnderWay;
      if (!found.ids().isEmpty()) rows = outbox.turn((connection, table) -> table.take(connection, found, bytes, retentionGuard));
    } catch (SQLException wrong) {
      failing("its database cannot be read: " + wrong.getMessage());
      return;
    }
    cursor = found.cursor();
    long pause = 0;
    if (rows.size() < found.ids().size()) pause = TimeUnit.MILLISECONDS.toNanos(1); // others are at them
    else if (!found.isMore()) pause = Math.max(interval.toNanos(), LOOK_SHARE * took);
    else if (rows.isEmpty()) pause = Math.min(interval.toNanos(), LOOK_SHARE * took); // among many keys
    lookNanos = System.nanoTime() + pause;
    for (Taken row : rows) {
      underWay++;
      bytesUnderWay += row.length();
      if (row.key() != null) keyedUnderWay++;
      handOver(row).whenComplete((settled, wrong) -> answers.add(wrong == null ? settled : RelayRules.fateOf(row, wrong)));
    }
  }

  /** As often as anybody likes, since its gid is one transaction. */
  private CompletableFuture<Settled> handOver(Taken row) {
    EncodedTransaction transaction;
    try {
      transaction = EncodedTransaction.read(row.request());
      if (!transaction.gid().equals(row.gid())) {
        return CompletableFuture.completedFuture(RelayRules.parks(row, "its request is of gid \"" + transaction.gid() + "\""));
      }
      if (!row.isOld()) return submit(row, transaction);
      return call(client.getAsync(row.gid())).handle((known, failure) -> {
        Throwable said = failure instanceof CompletionException ? failure.getCause() : failure;
        if (said instanceof NotFound) return CompletableFuture.completedFuture(RelayRules.parks(row, RelayRules.FORGOTTEN));
        boolean isSettled = failure != null || row.key() == null || known.finished().isPresent();
        return isSettled ? CompletableFuture.completedFuture(RelayRules.fateOf(row, failure)) : submit(row, transaction);
      }).thenCompose(next -> next);
    } catch (InvalidArgument wrong) {
      return CompletableFuture.completedFuture(RelayRules.parks(row, "its request cannot be read: " + wrong.getMessage()));
    }
  }

  private CompletableFuture<Settled> submit(Taken row, EncodedTransaction transaction) {
    long began = System.nanoTime();
    WaitFor wait = row.key() == null ? WaitFor.ACCEPTED : WaitFor.COMPLETED;
    return call(client.submitAsync(transaction, wait, HAND_OVER_TIMEOUT)).handle((report, failure) -> {
      Throwable said = failure instanceof CompletionException ? failure.getCause() : failure;
      boolean isOutOfTime = System.nanoTime() - began >= HAND_OVER_TIMEOUT.toNanos();
      Settled answer = RelayRules.fateOf(row, failure);
      if (row.key() == null || !isOutOfTime || isStopping || !(said instanceof UnknownOutcome)) {
        return CompletableFuture.completedFuture(answer);
      }
      // Under way at the coordinator, or never answered?
      return call(client.getAsync(row.gid())).handle((known, none) -> none == null ? RelayRules.notComplete(row) : answer);
    }).thenCompose(next -> next);
  }

  private <T> CompletableFuture<T> call(CompletableFuture<T> future) {
    calls.add(future);
    future.whenComplete((value, failure) -> calls.remove(future));
    return future;
  }

  /** Waits longer each time, and says so once. */
  private void failing(String why) {
    lookNanos = System.nanoTime() + RelayRules.away(++away).toNanos();
    if (hasSaid) return;
    hasSaid = true;
    LOG.log(System.Logger.Level.WARNING, "outbox: " + OutboxTable.cut(why));
  }

  private void works() {
    away = 0;
    if (hasSaid) LOG.log(System.Logger.Level.INFO, "outbox: works again");
    hasSaid = false;
  }

  /** Once a minute, what a person should look at. */
  private void report() {
    if (System.nanoTime() - reportNanos < 0) return;
    reportNanos = System.nanoTime() + REPORT_EVERY.toNanos();
    try {
      Outbox.Stats now = outbox.stats();
      if (now.parked() == 0 && now.oldest().compareTo(OLD_AGE) <= 0) return;
      LOG.log(System.Logger.Level.WARNING,
          "outbox: waiting=" + now.waiting() + " oldest=" + now.oldest().toSeconds() + "s parked=" + now.parked());
    } catch (SQLException | AssentException notNow) {
      // The next turn says so.
    }
  }
}
