package assent.jdbc;

import assent.AssentException;
import assent.AssentException.AlreadyExists;
import assent.AssentException.DeadlineExceeded;
import assent.AssentException.InvalidArgument;
import assent.AssentException.NotAllowed;
import assent.AssentException.Unavailable;
import assent.AssentException.UnknownOutcome;
import assent.jdbc.OutboxTable.Taken;
import java.time.Duration;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ThreadLocalRandom;

/** What becomes of a row by what a coordinator, or nobody, has said of it. Values in, values out. */
final class RelayRules {
  private static final Duration FIRST_BACKOFF = Duration.ofMillis(100);
  private static final Duration MAX_BACKOFF = Duration.ofSeconds(30);
  private static final Duration MAX_AWAY = Duration.ofSeconds(2); // between two turns while nothing can be reached

  static final String NOT_COMPLETE = "accepted, not complete yet";
  static final String FORGOTTEN = "it may have run and been forgotten: it was first handed over longer ago than the coordinator"
      + " may remember, and the coordinator does not know it. Look at what it should have done, then retry it or drop it";

  enum Fate {
    GOES,
    /** It is handed over again. */
    WAITS,
    /** For a person. */
    PARKS
  }

  /** {@code isUntouched}: certainly no coordinator has ever seen it. {@code isAway}: none could be talked to. */
  record Settled(Taken row, Fate fate, String why, Duration after, boolean isUntouched, boolean isAway) {}

  static Settled goes(Taken row) {
    return new Settled(row, Fate.GOES, "", Duration.ZERO, false, false);
  }

  static Settled parks(Taken row, String why) {
    return new Settled(row, Fate.PARKS, OutboxTable.cut(why), Duration.ZERO, false, false);
  }

  static Settled notComplete(Taken row) {
    return new Settled(row, Fate.WAITS, NOT_COMPLETE, Duration.ZERO, false, false);
  }

  /** By what the call that handed it over has failed with; null: it has not. */
  static Settled fateOf(Taken row, Throwable failure) {
    if (failure == null) return goes(row);
    Throwable said = failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
    String why = said.getClass().getSimpleName() + ": " + said.getMessage();
    if (said instanceof InvalidArgument || said instanceof AlreadyExists) return parks(row, why);
    boolean isAway = said instanceof Unavailable || said instanceof UnknownOutcome || said instanceof DeadlineExceeded
        || said instanceof NotAllowed;
    return new Settled(row, Fate.WAITS, OutboxTable.cut(why), backoff(row.attempts(), FIRST_BACKOFF, MAX_BACKOFF),
        row.isFirst() && said instanceof Unavailable, said instanceof AssentException && isAway);
  }

  /** Doubled with each failure, half of it drawn. */
  private static Duration backoff(int failures, Duration first, Duration most) {
    long ceiling = Math.min(most.toMillis(), first.toMillis() << Math.min(Math.max(failures - 1, 0), 20));
    return Duration.ofMillis(ceiling / 2 + ThreadLocalRandom.current().nextLong(ceiling / 2 + 1));
  }

  static Duration away(int failures) {
    return backoff(failures, FIRST_BACKOFF, MAX_AWAY);
  }

  private RelayRules() {}
}
