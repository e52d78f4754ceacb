package assent;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * The coordinator's answer about a transaction. {@code outcome} is the decision, and final. {@code state} may still be
 * COMMITTING beside COMMITTED, or ABORTING beside ABORTED: participants are being told, which goes on by itself.
 * {@link WaitFor#COMPLETED} waits for that, too.
 *
 * @param abortReason "branch 2 inventory/reserve refused: out of stock", …
 * @param results by branch id; empty ones are left out
 */
public record Report(String gid, State state, Outcome outcome, String abortReason, Map<String, byte[]> results) {
  public boolean committed() {
    return outcome == Outcome.COMMITTED;
  }

  public boolean aborted() {
    return outcome == Outcome.ABORTED;
  }

  /** The result of a branch as UTF-8; empty: it has none. */
  public String text(String branchId) {
    return new String(results.getOrDefault(branchId, new byte[0]), StandardCharsets.UTF_8);
  }
}
