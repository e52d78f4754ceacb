package assent;

import java.nio.charset.StandardCharsets;

/**
 * What one branch of an open transaction answered.
 *
 * @param refused a business no: the whole transaction is being aborted
 */
public record BranchResult(String branchId, boolean refused, boolean readOnly, byte[] result, String reason) {
  /** The result as UTF-8. */
  public String text() {
    return new String(result, StandardCharsets.UTF_8);
  }
}
