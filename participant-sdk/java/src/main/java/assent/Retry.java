package assent;

import java.time.Duration;

/**
 * How what failed without an answer is repeated, with full jitter.
 *
 * @param initialBackoff doubles each time; 20 ms
 * @param maxBackoff 1 s
 * @param giveUpAfter of failing, whatever the call's timeout; zero: never repeat; 10 s
 */
public record Retry(Duration initialBackoff, Duration maxBackoff, Duration giveUpAfter) {
  public static final Retry DEFAULT = new Retry(Duration.ofMillis(20), Duration.ofSeconds(1), Duration.ofSeconds(10));

  public Retry withGiveUpAfter(Duration time) {
    return new Retry(initialBackoff, maxBackoff, time);
  }
}
