package assent;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One participant's part of a transaction. Made by the three factories, and varied by what begins with {@code with}:
 *
 * <pre>{@code Branch.saga("shipping", "book", parcel).withId("ship").withAfter("pay").withMaxAttempts(3)}</pre>
 *
 * @param id unique within the transaction; empty: "1", "2", … by position
 * @param after ids of branches that must have executed before this one starts
 * @param pivot Saga, at most one: once it has succeeded the transaction commits
 * @param checkBack of a pivot that is the first step: see {@link #checkBack(String, String, Duration)}
 * @param receiveResults hand the handler the results of the branches in {@code after}
 * @param initialBackoff zero: 100 ms; doubles each time
 * @param maxBackoff zero: 30 s
 * @param maxAttempts of the forward operation; 0: until the deadline
 * @param attemptTimeout zero: 10 s; an attempt longer than this counts as unknown
 */
public record Branch(
    Protocol protocol, String service, String action, byte[] payload, String id, List<String> after, boolean pivot,
    boolean checkBack, boolean receiveResults, Map<String, String> headers, Duration initialBackoff, Duration maxBackoff,
    int maxAttempts, Duration attemptTimeout) {

  private static Branch of(Protocol protocol, String service, String action, byte[] payload) {
    return new Branch(protocol, service, action, payload, "", List.of(), false, false, false, Map.of(), Duration.ZERO,
        Duration.ZERO, 0, Duration.ZERO);
  }

  /** The branch's participant keeps prepared work durable and invisible until the decision. */
  public static Branch twoPhase(String service, String action, byte[] payload) {
    return of(Protocol.TWO_PHASE, service, action, payload);
  }

  public static Branch twoPhase(String service, String action, String payload) {
    return twoPhase(service, action, utf8(payload));
  }

  /** The branch's participant reserves, then consumes or releases. */
  public static Branch tcc(String service, String action, byte[] payload) {
    return of(Protocol.TCC, service, action, payload);
  }

  public static Branch tcc(String service, String action, String payload) {
    return tcc(service, action, utf8(payload));
  }

  /** A step that takes effect at once and is compensated if the transaction aborts. */
  public static Branch saga(String service, String action, byte[] payload) {
    return of(Protocol.SAGA, service, action, payload);
  }

  public static Branch saga(String service, String action, String payload) {
    return saga(service, action, utf8(payload));
  }

  /**
   * The first step of a message without an outbox ({@link assent.jdbc.CheckBack}): the initiator's own local transaction, about
   * which {@code service} is asked. The steps of a Saga follow, nothing else. {@code firstAsked}: so long after
   * {@link Client#prepare}, if {@code submit} does not come before; then less and less often.
   */
  public static Branch checkBack(String service, String action, Duration firstAsked) {
    return new Branch(Protocol.SAGA, service, action, new byte[0], "", List.of(), true, true, false, Map.of(), firstAsked,
        Duration.ZERO, 0, Duration.ZERO);
  }

  public Branch withId(String id) {
    return new Branch(protocol, service, action, payload, id, after, pivot, checkBack, receiveResults, headers, initialBackoff,
        maxBackoff, maxAttempts, attemptTimeout);
  }

  public Branch withAfter(String... ids) {
    return new Branch(protocol, service, action, payload, id, List.of(ids), pivot, checkBack, receiveResults, headers,
        initialBackoff, maxBackoff, maxAttempts, attemptTimeout);
  }

  public Branch withPivot() {
    return new Branch(protocol, service, action, payload, id, after, true, checkBack, receiveResults, headers, initialBackoff,
        maxBackoff, maxAttempts, attemptTimeout);
  }

  public Branch withResultsOfAfter() {
    return new Branch(protocol, service, action, payload, id, after, pivot, checkBack, true, headers, initialBackoff,
        maxBackoff, maxAttempts, attemptTimeout);
  }

  public Branch withHeader(String name, String value) {
    Map<String, String> more = new HashMap<>(headers);
    more.put(name, value);
    return new Branch(protocol, service, action, payload, id, after, pivot, checkBack, receiveResults, Map.copyOf(more),
        initialBackoff, maxBackoff, maxAttempts, attemptTimeout);
  }

  public Branch withBackoff(Duration initial, Duration max) {
    return new Branch(protocol, service, action, payload, id, after, pivot, checkBack, receiveResults, headers, initial, max,
        maxAttempts, attemptTimeout);
  }

  public Branch withMaxAttempts(int attempts) {
    return new Branch(protocol, service, action, payload, id, after, pivot, checkBack, receiveResults, headers, initialBackoff,
        maxBackoff, attempts, attemptTimeout);
  }

  public Branch withAttemptTimeout(Duration timeout) {
    return new Branch(protocol, service, action, payload, id, after, pivot, checkBack, receiveResults, headers, initialBackoff,
        maxBackoff, maxAttempts, timeout);
  }

  /** What is wrong before anything is sent; the coordinator checks the rest. */
  void check(String place) {
    if (!id.isEmpty()) Text.checkId(place + ".id", id, Limits.MAX_BRANCH_ID_BYTES);
    Text.checkName(place + ".service", service);
    Text.checkName(place + ".action", action);
    if (payload.length > Limits.MAX_PAYLOAD_BYTES) {
      throw new AssentException.InvalidArgument(
          place + ".payload has " + payload.length + " bytes; at most " + Limits.MAX_PAYLOAD_BYTES);
    }
    Text.checkPairs(place + ".headers", headers, Limits.MAX_HEADER_BYTES);
    if (pivot && protocol != Protocol.SAGA) {
      throw new AssentException.InvalidArgument(place + ".pivot is set, but only a Saga step can be the pivot");
    }
    if (checkBack && !pivot) {
      throw new AssentException.InvalidArgument(
          place + ".checkBack is set, but only the pivot, as the first step, can be checked back");
    }
    if (maxAttempts < 0) {
      throw new AssentException.InvalidArgument(place + ".maxAttempts is " + maxAttempts + "; it must be at least 0");
    }
    checkTime(place + ".initialBackoff", initialBackoff, Limits.MAX_BRANCH_TIME);
    checkTime(place + ".maxBackoff", maxBackoff, Limits.MAX_BRANCH_TIME);
    checkTime(place + ".attemptTimeout", attemptTimeout, Limits.MAX_BRANCH_TIME);
  }

  /** Of its payload and headers. */
  long bytes() {
    long bytes = payload.length;
    for (var header : headers.entrySet()) bytes += Text.bytes(header.getKey()) + Text.bytes(header.getValue());
    return bytes;
  }

  static void checkTime(String field, Duration time, Duration limit) {
    if (time.isNegative() || time.compareTo(limit) > 0) {
      throw new AssentException.InvalidArgument(field + " is " + time + "; it must be 0 to " + limit);
    }
  }

  /** With an id: a call that is repeated after a lost answer must be the same branch. */
  Branch numbered(int number) {
    return id.isEmpty() ? withId(String.valueOf(number)) : this;
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
