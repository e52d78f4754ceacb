package assent;

import assent.AssentException.DeadlineExceeded;
import assent.AssentException.FailedPrecondition;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * For services: owns branches of transactions.
 *
 * <pre>{@code new Participant(service).run();  // until SIGTERM or SIGINT}</pre>
 *
 * <p>It dials the coordinator (several, if there are several), keeps the connection, and needs no port. An exception of
 * a handler is a failed attempt, never the end of the process; two operations of one branch never run at the same time
 * in one process; a command that comes again while the first is running gets the first one's answer. State changes are
 * logged to the {@link System.Logger} "assent", never a payload.
 */
public final class Participant implements AutoCloseable {
  private static final long TICK_MS = 200;

  /** What a participant may be told; all of it has a default. */
  public static final class Builder extends DialBuilder<Builder> {
    private final Service service;
    String instance = "";
    int workers = 16;
    int maxInFlight = 1024;
    int maxQueuedCalls = 8192;
    Duration initialBackoff = Duration.ofMillis(50);
    Duration maxBackoff = Duration.ofSeconds(2);
    Duration questionInterval = Duration.ofSeconds(5);
    Duration stopGrace = Duration.ofSeconds(10);

    Builder(Service service) {
      this.service = service;
    }

    @Override
    Builder self() {
      return this;
    }

    /** Tells instances apart in {@code assentctl participants}; empty: host name and process id. */
    public Builder instance(String instance) {
      this.instance = instance;
      return this;
    }

    /** Plain handlers that run at once. 16. (An adapter has workers of its own.) */
    public Builder workers(int workers) {
      this.workers = workers;
      return this;
    }

    /** Commands that a coordinator may have unanswered here; several share it. 1024. */
    public Builder maxInFlight(int maxInFlight) {
      this.maxInFlight = maxInFlight;
      return this;
    }

    /** All coordinators together; one more is answered "retry later". 8192. */
    public Builder maxQueuedCalls(int maxQueuedCalls) {
      this.maxQueuedCalls = maxQueuedCalls;
      return this;
    }

    /** Before dialling again: doubles each time, with full jitter. 50 ms, at most 2 s. */
    public Builder backoff(Duration initial, Duration max) {
      initialBackoff = initial;
      maxBackoff = max;
      return this;
    }

    /** How often what is held is asked about; and on each connection. 5 s. */
    public Builder questionInterval(Duration interval) {
      questionInterval = interval;
      return this;
    }

    /** How long running handlers may take before it leaves without their answers. 10 s. */
    public Builder stopGrace(Duration grace) {
      stopGrace = grace;
      return this;
    }

    /** ConfigError for what is wrong with the options, or with the actions. */
    public Participant build() {
      atLeast("workers", workers, 1);
      atLeast("maxInFlight", maxInFlight, 1);
      atLeast("maxQueuedCalls", maxQueuedCalls, 1);
      notNegative("backoff", initialBackoff);
      notNegative("backoff", maxBackoff);
      notNegative("stopGrace", stopGrace);
      atLeast("questionInterval in milliseconds", questionInterval.toMillis(), 10);
      return new Participant(this);
    }
  }

  private final Builder options;
  private final Roster roster;
  private final CountDownLatch stopped = new CountDownLatch(1);
  private final ScheduledExecutorService upkeep =
      Executors.newSingleThreadScheduledExecutor(run -> Dispatcher.daemon("assent-upkeep", run));

  // Guarded by this participant's lock.
  private final Map<Link, Thread> links = new LinkedHashMap<>();
  private boolean isStarted;
  private volatile boolean isStopping;
  private volatile long nextQuestionsNanos = System.nanoTime();

  public Participant(Service service) {
    this(builder(service).build().options);
  }

  private Participant(Builder options) {
    this.options = options;
    roster = new Roster(options.service, options);
  }

  public static Builder builder(Service service) {
    return new Builder(service);
  }

  /** Begins to dial: an unreachable coordinator is no failure, it is dialled until it is reached. */
  public Participant start() {
    synchronized (this) {
      if (isStarted) throw new FailedPrecondition("the participant was started before; make another one");
      isStarted = true;
    }
    try {
      roster.dispatcher.start();
    } catch (RuntimeException failed) {
      synchronized (this) {
        isStarted = false; // it may be tried again
      }
      throw failed;
    }
    // Also for what it takes to make the first log line, which would else hold up the first command.
    roster.log("starting service=" + options.service.name() + " endpoints=" + String.join(",", roster.wanted()));
    dialWanted();
    upkeep.scheduleWithFixedDelay(this::tick, TICK_MS, TICK_MS, TimeUnit.MILLISECONDS);
    return this;
  }

  /** Until at least one coordinator has welcomed us. DeadlineExceeded says what the last attempt met. */
  public synchronized Participant awaitConnected(Duration timeout) throws InterruptedException {
    long end = System.nanoTime() + timeout.toNanos();
    while (connected() == 0) {
      long leftMs = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
      if (leftMs <= 0) {
        throw new DeadlineExceeded("no coordinator within " + timeout + ": " + links.keySet().stream()
            .map(link -> link.endpoint + ": " + link.failure).collect(Collectors.joining("; ")));
      }
      wait(leftMs);
    }
    return this;
  }

  /** Coordinators that have welcomed us. */
  public int connected() {
    return (int) sessions().stream().filter(Session::isOpen).count();
  }

  public Counters counters() {
    return roster.counters;
  }

  /** Says goodbye, answers what it has, leaves; done when that is done, or the grace is over. Not from a handler. */
  @Override
  public void close() {
    Map<Link, Thread> leaving;
    synchronized (this) {
      if (isStopping) {
        awaitStopped();
        return;
      }
      isStopping = true;
      notifyAll();
      leaving = Map.copyOf(links);
    }
    for (Link link : leaving.keySet()) {
      Session session = link.session;
      if (session != null && session.wasOpened()) session.stop();
      else link.abandon(); // nothing was asked of us yet
    }
    long end = System.nanoTime() + options.stopGrace.toNanos();
    for (Thread thread : leaving.values()) join(thread, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime()));
    for (Map.Entry<Link, Thread> one : leaving.entrySet()) {
      one.getKey().abandon();
      join(one.getValue(), 1000);
    }
    upkeep.shutdownNow();
    roster.dispatcher.close();
    stopped.countDown();
  }

  private void awaitStopped() {
    try {
      stopped.await();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private static void join(Thread thread, long ms) {
    try {
      if (ms > 0) thread.join(ms);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * Starts, and serves until SIGTERM or SIGINT comes, upon which it stops in order before the process ends; or until
   * somebody else calls {@link #close}.
   */
  public void run() {
    start();
    Shutdown.closeAtEnd(this, this::awaitStopped);
  }

  private synchronized List<Session> sessions() {
    return links.keySet().stream().map(link -> link.session).filter(session -> session != null).toList();
  }

  private void tick() {
    if (isStopping || System.nanoTime() - nextQuestionsNanos < 0) return;
    nextQuestionsNanos = System.nanoTime() + options.questionInterval.toNanos();
    try {
      roster.askRound(sessions());
    } catch (RuntimeException | Error failed) { // the next round is asked all the same
      roster.warn("no questions asked: " + Text.oneLine(Text.sentenceOf(failed)));
    }
  }

  // ---- for the links

  boolean isStopping() {
    return isStopping;
  }

  synchronized void changed() {
    notifyAll();
  }

  void askSoon() {
    nextQuestionsNanos = System.nanoTime();
  }

  /** On the thread that has time for databases. */
  void later(Runnable work) {
    try {
      upkeep.execute(work);
    } catch (RejectedExecutionException stopping) {
      // It is asked again by the next start.
    }
  }

  /** Ends early when the participant stops. */
  synchronized void pause(long ms) {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    try {
      for (long left = ms; left > 0 && !isStopping; left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())) {
        wait(left);
      }
    } catch (InterruptedException nobodys) {
      Thread.currentThread().interrupt();
    }
  }

  synchronized void dialWanted() {
    if (isStopping) return;
    Set<String> wanted = roster.wanted();
    links.entrySet().removeIf(one -> one.getKey().isRetired && !one.getValue().isAlive());
    for (Link link : links.keySet()) link.isRetired = !wanted.contains(link.endpoint);
    for (String endpoint : wanted) {
      boolean isDialled = links.entrySet().stream()
          .anyMatch(one -> one.getKey().endpoint.equals(endpoint) && one.getValue().isAlive());
      if (isDialled) continue;
      Link link = new Link(this, roster, options, endpoint);
      Thread thread = Dispatcher.daemon("assent-link-" + endpoint, link);
      links.put(link, thread);
      thread.start();
    }
  }

  /** It leads to a coordinator that has an older session: one for each is enough, whatever names lead to it. */
  synchronized boolean isSpare(Link link) {
    Session mine = link.session;
    if (mine == null || mine.epoch() == 0) return false;
    for (Link other : links.keySet()) {
      Session there = other.session;
      if (other != link && there != null && there.isOpen() && there.epoch() == mine.epoch()
          && there.coordinatorId() == mine.coordinatorId() && there.openedAtNanos() - mine.openedAtNanos() < 0) {
        return true;
      }
    }
    return false;
  }
}
