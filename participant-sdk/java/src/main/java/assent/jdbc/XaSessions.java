package assent.jdbc;

import assent.Call;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Sessions that have prepared something in MariaDB or MySQL, by branch.
 *
 * <p>What a session has prepared nobody else can settle until it has ended, and it can do nothing else meanwhile. So it
 * is kept, for the COMMIT or ROLLBACK that most often comes soon, and to the same process. Another process ends it first.
 *
 * <p>When a session ends, MariaDB calls its prepared work anybody's, and gives its named locks back, a moment before
 * InnoDB lets go of it. An XA COMMIT (or ROLLBACK) in that moment is answered with OK, does nothing, and takes the name
 * away, until the server is started again (10.11.19). Nothing tells that the moment is over: so what has no session is
 * left alone for {@link #DETACH_TIME} after it was seen to have none. That is a guess at time, and no answer depends on
 * it: what became of the work is looked at in the data.
 */
final class XaSessions {
  /** Of one barrier, at most. Beyond what it may keep the oldest is ended, and its branch takes longer. */
  static final int MAX_KEPT_SESSIONS = 32;

  static final Duration DETACH_TIME = Duration.ofMillis(250);
  /** What nobody asks about any more is forgotten. */
  private static final Duration REMEMBERED = Duration.ofMinutes(10);

  private final Map<String, Connection> kept = new LinkedHashMap<>(); // the oldest first
  private final Map<String, Long> detached = new HashMap<>(); // since when they were seen to have no session
  private int most;
  private int preparing;

  /** {@code most}: how many connections may be kept, or prepare at this moment. */
  XaSessions(int most) {
    this.most = most;
  }

  synchronized void most(int count) {
    most = count;
  }

  /** No gid or branch id has a slash. */
  private static String nameOf(Call call) {
    return call.gid() + "/" + call.branchId();
  }

  /** Before a connection is taken, so that the pool has one. Ended by keep, or by endPreparing. */
  void beginPreparing() {
    List<Connection> tooMany;
    synchronized (this) {
      preparing++;
      tooMany = tooMany(most - preparing);
    }
    tooMany.forEach(XaSessions::end);
  }

  synchronized void endPreparing() {
    preparing--;
  }

  /** What has prepared the branch. */
  void keep(Call call, Connection session) {
    List<Connection> tooMany;
    synchronized (this) {
      preparing--;
      kept.put(nameOf(call), session);
      tooMany = tooMany(most);
    }
    tooMany.forEach(XaSessions::end);
  }

  /** They are no longer kept. */
  private List<Connection> tooMany(int limit) {
    List<Connection> ended = new ArrayList<>();
    Iterator<Connection> oldest = kept.values().iterator();
    while (oldest.hasNext() && kept.size() > limit) {
      ended.add(oldest.next());
      oldest.remove();
    }
    return ended;
  }

  synchronized boolean has(Call call) {
    return kept.containsKey(nameOf(call));
  }

  /** Null: it is not here. */
  synchronized Connection take(Call call) {
    return kept.remove(nameOf(call));
  }

  /** What the branch has prepared has no session. Returns when that has been seen for {@link #DETACH_TIME}. */
  void waitDetached(Call call) throws InterruptedException {
    long now = System.nanoTime();
    long since;
    synchronized (this) {
      detached.values().removeIf(seen -> now - seen > REMEMBERED.toNanos());
      since = detached.computeIfAbsent(nameOf(call), name -> now);
    }
    for (long left; (left = since + DETACH_TIME.toNanos() - System.nanoTime()) > 0; ) {
      Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
    }
  }

  synchronized void forgetDetached(Call call) {
    detached.remove(nameOf(call));
  }

  void close() {
    List<Connection> all;
    synchronized (this) {
      all = new ArrayList<>(kept.values());
      kept.clear();
    }
    all.forEach(XaSessions::end);
  }

  /** Of null: nothing. */
  static void end(Connection session) {
    if (session == null) return;
    TwoPhase.end(session);
    try {
      session.close();
    } catch (SQLException gone) {
      // So it is ended.
    }
  }
}
