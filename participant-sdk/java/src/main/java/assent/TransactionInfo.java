package assent;

import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A transaction in full, as {@link Client#get} shows it. Times are of the coordinator's clock. */
public record TransactionInfo(
    String gid, State state, Outcome outcome, boolean open, boolean suspended, List<BranchInfo> branches,
    Map<String, String> labels, String abortReason, String whyNotFinished, Instant began, Instant deadline,
    Optional<Instant> decided, Optional<Instant> finished) {

  /** One branch of it. */
  public record BranchInfo(
      String id, Optional<Protocol> protocol, String service, String action, BranchState state, byte[] result,
      int attempts, String lastError, boolean needsOperator) {}
}
