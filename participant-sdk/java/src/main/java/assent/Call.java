package assent;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;

/**
 * One operation asked of one branch. The same (gid, branchId, operation) may be asked again.
 *
 * @param payload the initiator's bytes, the same for each operation of the branch
 * @param results by branch id, of those that this one comes after
 * @param attempt for logs; never decide anything by it
 * @param onePhase PREPARE only: sole branch of its transaction
 * @param timeout how long the coordinator waits for the reply; zero: not known
 * @param beganEpoch of 64 bits without a sign; to be handed back as it came
 * @param began the transaction's age, for comparing only; the epoch: not known
 * @param trace what the handler does belongs under this span: hand it to a tracing library, to other services, and to a
 *     Transaction that the handler begins
 */
public record Call(
    String gid, String branchId, Operation operation, Protocol protocol, String service, String action, byte[] payload,
    Map<String, byte[]> results, Map<String, String> headers, int attempt, boolean onePhase, Duration timeout,
    int coordinatorId, long beganEpoch, Instant began, Trace trace) {

  /** As a coordinator's first asking, with nothing beside it. For tests. */
  public static Call of(String gid, String branchId, Operation operation, String action, byte[] payload) {
    return new Call(gid, branchId, operation, operation.protocol(), "", action, payload, Map.of(), Map.of(), 1, false,
        Duration.ZERO, 1, 1, Instant.EPOCH, Trace.NONE);
  }

  public Call withHeaders(Map<String, String> headers) {
    return new Call(gid, branchId, operation, protocol, service, action, payload, results, headers, attempt, onePhase,
        timeout, coordinatorId, beganEpoch, began, trace);
  }

  /** The payload as UTF-8 text. IllegalArgumentException if it is none. */
  public String text() {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(payload)).toString();
    } catch (CharacterCodingException wrong) {
      throw new IllegalArgumentException("the payload of " + this + " is not UTF-8", wrong);
    }
  }

  @Override
  public String toString() {
    return operation + " of branch " + branchId + " of transaction " + gid;
  }
}
