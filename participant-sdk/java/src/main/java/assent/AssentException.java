package assent;

import io.grpc.Status;

/** What a client's call may fail with, and what to do next. An abort is no failure: it is a {@link Report}. */
public class AssentException extends RuntimeException {
  AssentException(String message, Throwable cause) {
    super(message, cause);
  }

  /**
   * It may or may not have been done. Submit the same object again, or {@code await} its gid, until one of them
   * answers: the same gid is the same transaction, so nothing happens twice. Never make a new one.
   */
  public static class UnknownOutcome extends AssentException {
    private final String gid;

    UnknownOutcome(String message, String gid, Throwable cause) {
      super(message, cause);
      this.gid = gid;
    }

    public String gid() {
      return gid;
    }
  }

  /**
   * This call has begun nothing: there was no connection, to any coordinator. Try later, or give up safely; unless an
   * earlier call of the same gid ended in {@link UnknownOutcome}, which this does not settle.
   */
  public static class Unavailable extends AssentException {
    Unavailable(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** {@code await} and {@code get}: the answer did not come in time. The transaction goes on. */
  public static class DeadlineExceeded extends AssentException {
    DeadlineExceeded(String message) {
      super(message, null);
    }
  }

  /** It can never work; the message names the field and the limit. */
  public static class InvalidArgument extends AssentException {
    public InvalidArgument(String message) {
      super(message, null);
    }
  }

  /**
   * No such gid among what is retained. After an {@link UnknownOutcome} of {@code submit} this is not an abort: the
   * request may still be on its way. Submit the same object again.
   */
  public static class NotFound extends AssentException {
    public NotFound(String message) {
      super(message, null);
    }
  }

  /** The gid, or the branch id, belongs to other content. Use another. */
  public static class AlreadyExists extends AssentException {
    public AlreadyExists(String message) {
      super(message, null);
    }
  }

  /** The transaction's state does not allow it (a commit after its abort, say). Asking again does not help. */
  public static class FailedPrecondition extends AssentException {
    public FailedPrecondition(String message) {
      super(message, null);
    }
  }

  /** {@code execute}: the transaction was aborted before this branch had an answer; the message says why. */
  public static class Aborted extends AssentException {
    Aborted(String message) {
      super(message, null);
    }
  }

  /** The coordinator's own record of it is damaged. Tell an operator. */
  public static class DataLoss extends AssentException {
    DataLoss(String message) {
      super(message, null);
    }
  }

  /**
   * {@code await} and {@code get}: the coordinator (or a proxy) does not let this caller in, or does not know the call.
   * Look at the token, the certificate, the rules (docs/security.md).
   */
  public static class NotAllowed extends AssentException {
    NotAllowed(String message) {
      super(message, null);
    }
  }

  /** An option, an environment variable or a file of settings cannot be used; the message says which. */
  public static class ConfigError extends AssentException {
    public ConfigError(String message) {
      super(message, null);
    }

    public ConfigError(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** The coordinator's own answers: no library and no proxy makes them up. Null for other codes. */
  static AssentException ofFinal(Status.Code code, String message) {
    return switch (code) {
      case INVALID_ARGUMENT -> new InvalidArgument(message);
      case NOT_FOUND -> new NotFound(message);
      case ALREADY_EXISTS -> new AlreadyExists(message);
      case FAILED_PRECONDITION -> new FailedPrecondition(message);
      case ABORTED -> new Aborted(message);
      case DATA_LOSS -> new DataLoss(message);
      default -> null;
    };
  }

  /** Nobody can say who speaks, and asking again will not help. */
  static boolean isNotServed(Status.Code code) {
    return code == Status.Code.PERMISSION_DENIED || code == Status.Code.UNAUTHENTICATED
        || code == Status.Code.UNIMPLEMENTED;
  }

  /** The failure that ends a call that has, or has not, possibly been done. */
  static AssentException giveUp(String what, String gid, boolean maybeDone, String last, Throwable cause) {
    if (!maybeDone) return new Unavailable(what + " was not sent: " + last, cause);
    return new UnknownOutcome(
        what + " may or may not have been done; ask again with the same gid. Last error: " + last, gid, cause);
  }
}
