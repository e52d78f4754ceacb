package assent;

/**
 * A branch that an adapter holds, and wants to know about.
 *
 * @param beganEpoch of 64 bits without a sign, as it came with the command
 */
public record Held(String gid, String branchId, int coordinatorId, long beganEpoch) {}
