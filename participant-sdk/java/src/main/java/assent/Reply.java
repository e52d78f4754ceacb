package assent;

import assent.Operation.Role;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;

/**
 * The answer to a {@link Call}.
 *
 * @param result done, of a forward operation
 * @param reason refused, retry later
 * @param retryAfter retry later: at the earliest
 * @param blockedBy retry later, from adapters: the transaction whose prepared work is in the way
 */
public record Reply(Kind kind, byte[] result, String reason, Duration retryAfter, String blockedBy) {
  private static final byte[] NOTHING = {};

  /** It has happened, durably. */
  public static Reply done() {
    return done(NOTHING);
  }

  public static Reply done(byte[] result) {
    return new Reply(Kind.DONE, result, "", Duration.ZERO, "");
  }

  public static Reply done(String result) {
    return done(result.getBytes(StandardCharsets.UTF_8));
  }

  /** PREPARE only: yes, and nothing was written; no COMMIT or ROLLBACK will follow. */
  public static Reply readOnly() {
    return new Reply(Kind.DONE_READ_ONLY, NOTHING, "", Duration.ZERO, "");
  }

  /** A business no: final, nothing is left behind, the transaction aborts. */
  public static Reply refused(String reason) {
    return new Reply(Kind.REFUSED, NOTHING, reason, Duration.ZERO, "");
  }

  /** Not now, nothing happened; it will be asked again. */
  public static Reply retryLater(String reason) {
    return retryLater(reason, Duration.ZERO);
  }

  public static Reply retryLater(String reason, Duration after) {
    return new Reply(Kind.RETRY_LATER, NOTHING, reason, after, "");
  }

  /** Nobody can say whether it has happened. */
  public static Reply unknown(String reason) {
    return new Reply(Kind.UNKNOWN, NOTHING, reason, Duration.ZERO, "");
  }

  public boolean isDone() {
    return kind == Kind.DONE || kind == Kind.DONE_READ_ONLY;
  }

  /** The result as UTF-8. */
  public String text() {
    return new String(result, StandardCharsets.UTF_8);
  }

  /** Byte for byte, as the one who asked sees it. */
  public boolean saysTheSameAs(Reply other) {
    return kind == other.kind && Arrays.equals(result, other.result) && reason.equals(other.reason);
  }

  /** The form in which it is kept and given, so that the first and every later one are equal byte for byte. */
  public Reply normalized(Role role) {
    if (isDone()) {
      if (result.length <= Limits.MAX_RESULT_BYTES) return new Reply(kind, result, "", Duration.ZERO, "");
      if (role != Role.FORWARD) return new Reply(kind, NOTHING, "", Duration.ZERO, "");
      return refused("the handler's result has " + result.length + " bytes; the limit is " + Limits.MAX_RESULT_BYTES);
    }
    String cut = Text.cut(reason, Limits.MAX_REASON_BYTES);
    return kind == Kind.REFUSED ? refused(cut) : new Reply(kind, NOTHING, cut, retryAfter, blockedBy);
  }

  /** What a handler returned, as a reply that its operation has. Else a sentence with its fault: it is asked again. */
  public static Reply ofHandler(Reply returned, Call call) {
    if (returned == null) {
      return retryLater("the handler of " + call.action() + " returned null; it returns a Reply, such as Reply.done()");
    }
    if (returned.kind == Kind.DONE_READ_ONLY && call.operation() != Operation.PREPARE) {
      return retryLater("the handler of " + call.action() + " answered readOnly to " + call.operation()
          + "; PREPARE alone has that answer");
    }
    return returned.normalized(call.operation().role());
  }

  /** What an exception of a handler means. Kind UNKNOWN: nobody can say what has happened. */
  public static Reply ofException(Throwable error) {
    if (error instanceof Refused) return refused(cut(error.getMessage()));
    if (error instanceof RetryLater later) return retryLater(cut(error.getMessage()), later.after());
    if (error instanceof Unknown) return unknown(cut(error.getMessage()));
    return retryLater(cut(Text.sentenceOf(error)));
  }

  private static String cut(String reason) {
    return reason == null ? "" : Text.cut(reason, Limits.MAX_REASON_BYTES);
  }
}
