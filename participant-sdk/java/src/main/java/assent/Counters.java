package assent;

import java.util.concurrent.atomic.AtomicLong;

/** Of a participant. */
public final class Counters {
  final AtomicLong commands = new AtomicLong();
  final AtomicLong replies = new AtomicLong();
  final AtomicLong droppedReplies = new AtomicLong();
  final AtomicLong staleCommands = new AtomicLong();
  final AtomicLong connections = new AtomicLong();

  Counters() {}

  /** Received. */
  public long commands() {
    return commands.get();
  }

  /** Sent, or queued to be. */
  public long replies() {
    return replies.get();
  }

  /** Computed for a stream that was lost: asked again by the coordinator. */
  public long droppedReplies() {
    return droppedReplies.get();
  }

  /** Dropped unanswered: of a coordinator that has lost the transaction to another. */
  public long staleCommands() {
    return staleCommands.get();
  }

  public long connections() {
    return connections.get();
  }
}
