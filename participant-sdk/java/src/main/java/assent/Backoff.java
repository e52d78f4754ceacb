package assent;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** Waits that double, each with full jitter. */
final class Backoff {
  private final double initialMs;
  private final double maxMs;
  private double nextMs;

  Backoff(Duration initial, Duration max) {
    initialMs = initial.toMillis();
    maxMs = max.toMillis();
    nextMs = initialMs;
  }

  void reset() {
    nextMs = initialMs;
  }

  long nextMs() {
    double wait = ThreadLocalRandom.current().nextDouble() * nextMs;
    nextMs = Math.min(nextMs * 2, maxMs);
    return Math.round(wait);
  }
}
