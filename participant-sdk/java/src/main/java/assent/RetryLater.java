package assent;

import java.time.Duration;

/** A handler throws it to be asked again: not now, nothing happened. */
public class RetryLater extends RuntimeException {
  private final Duration after;

  public RetryLater(String reason) {
    this(reason, Duration.ZERO);
  }

  public RetryLater(String reason, Duration after) {
    super(reason);
    this.after = after;
  }

  /** At the earliest. */
  public Duration after() {
    return after;
  }
}
