package assent;

import java.time.Duration;

/** Limits of the contract (docs/limits.md has all of them). */
public final class Limits {
  public static final int MAX_GID_BYTES = 64;
  public static final int MAX_BRANCH_ID_BYTES = 64;
  /** Of a service, an action, an instance. */
  public static final int MAX_NAME_BYTES = 128;
  /** Longer ones are cut. */
  public static final int MAX_REASON_BYTES = 1024;
  public static final int MAX_RESULT_BYTES = 256 * 1024;
  public static final int MAX_PAYLOAD_BYTES = 1024 * 1024;
  public static final int MAX_BRANCHES = 128;
  /** All payloads and headers together. */
  public static final int MAX_TRANSACTION_BYTES = 3 * 1024 * 1024;
  static final int MAX_PAIRS = 16; // labels of a transaction, headers of a branch
  static final int MAX_KEY_BYTES = 64;
  static final int MAX_LABEL_BYTES = 256;
  static final int MAX_HEADER_BYTES = 1024;
  static final int MAX_ACTIONS = 1024;
  static final Duration MAX_DEADLINE = Duration.ofDays(7);
  static final Duration MAX_BRANCH_TIME = Duration.ofHours(1);
  static final int MAX_FRAME_MESSAGES = 256;
  /** What a coordinator may send at most. */
  static final int MAX_FRAME_BYTES = 8 * 1024 * 1024;
  /** What a frame of ours is filled up to. */
  static final int FRAME_BYTES = 1024 * 1024;

  private Limits() {}
}
