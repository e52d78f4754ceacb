package assent;

import assent.AssentException.InvalidArgument;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A whole transaction, written as the sentence that describes it:
 *
 * <pre>{@code
 * var order = new Transaction().label("order", "4711")
 *     .tcc("inventory", "reserve", items).tcc("payment", "charge", amount);
 * }</pre>
 *
 * It has its gid from birth. Submitting the same object again is therefore the same transaction, and gives the same
 * answer: that is what to do after {@link AssentException.UnknownOutcome}.
 */
public final class Transaction {
  private static final SecureRandom RANDOM = new SecureRandom();

  private final String gid;
  private final List<Branch> branches = new ArrayList<>();
  private final Map<String, String> labels = new LinkedHashMap<>();
  private Duration deadline = Duration.ZERO;
  private Ordering ordering = Ordering.DEFAULT;
  private Trace trace = Trace.NONE;

  public Transaction() {
    this(newGid());
  }

  public Transaction(String gid) {
    this.gid = gid;
  }

  /** 12 hex digits of Unix time in milliseconds, then 20 random ones. Those made later sort later. */
  public static String newGid() {
    byte[] random = new byte[10];
    RANDOM.nextBytes(random);
    return String.format("%012x", System.currentTimeMillis()) + HexFormat.of().formatHex(random);
  }

  public Transaction twoPhase(String service, String action, String payload) {
    return add(Branch.twoPhase(service, action, payload));
  }

  public Transaction tcc(String service, String action, String payload) {
    return add(Branch.tcc(service, action, payload));
  }

  public Transaction saga(String service, String action, String payload) {
    return add(Branch.saga(service, action, payload));
  }

  /** {@link Branch#checkBack}, first asked about after a second. */
  public Transaction checkBack(String service, String action) {
    return checkBack(service, action, Duration.ofSeconds(1));
  }

  public Transaction checkBack(String service, String action, Duration firstAsked) {
    return add(Branch.checkBack(service, action, firstAsked));
  }

  public Transaction add(Branch branch) {
    branches.add(branch);
    return this;
  }

  public Transaction label(String name, String value) {
    labels.put(name, value);
    return this;
  }

  /** From acceptance until it aborts unless decided; zero: 60 s. */
  public Transaction deadline(Duration deadline) {
    this.deadline = deadline;
    return this;
  }

  public Transaction ordering(Ordering ordering) {
    this.ordering = ordering;
    return this;
  }

  /** Of the call whose handler begins it, or of your tracing library. */
  public Transaction trace(Trace trace) {
    this.trace = trace;
    return this;
  }

  public String gid() {
    return gid;
  }

  public List<Branch> branches() {
    return List.copyOf(branches);
  }

  public Map<String, String> labels() {
    return Map.copyOf(labels);
  }

  public Duration deadline() {
    return deadline;
  }

  public Ordering ordering() {
    return ordering;
  }

  public Trace trace() {
    return trace;
  }

  /** InvalidArgument names the field, the limit and the value. {@code isOpen}: for begin, which has no branches yet. */
  void check(boolean isOpen) {
    Text.checkId("gid", gid, Limits.MAX_GID_BYTES);
    if (isOpen && !branches.isEmpty()) {
      throw new InvalidArgument("branches: an open transaction begins without any; add them to what begin() gives");
    }
    if (!isOpen && branches.isEmpty()) throw new InvalidArgument("branches: a transaction needs at least one");
    if (branches.size() > Limits.MAX_BRANCHES) {
      throw new InvalidArgument("branches has " + branches.size() + " branches; at most " + Limits.MAX_BRANCHES);
    }
    Branch.checkTime("deadline", deadline, Limits.MAX_DEADLINE);
    Text.checkPairs("labels", labels, Limits.MAX_LABEL_BYTES);
    long bytes = branches.stream().mapToLong(Branch::bytes).sum();
    if (bytes > Limits.MAX_TRANSACTION_BYTES) {
      throw new InvalidArgument(
          "payloads and headers together have " + bytes + " bytes; at most " + Limits.MAX_TRANSACTION_BYTES);
    }
    List<String> ids = new ArrayList<>();
    for (Branch branch : branches) ids.add(branch.numbered(ids.size() + 1).id());
    for (int at = 0; at < ids.size(); at++) checkBranch(at, ids);
  }

  /**
   * For adapters: what is asked about the first step, as if its initiator had asked it. InvalidArgument: it does not begin
   * with checkBack, or is wrong otherwise.
   */
  public Call checkBackCall() {
    check(false);
    Branch first = branches.get(0);
    if (!first.checkBack()) {
      throw new InvalidArgument(
          "transaction " + gid + " does not begin with checkBack: there is nothing to ask its initiator about");
    }
    return new Call(gid, first.numbered(1).id(), Operation.ACTION, Protocol.SAGA, first.service(), first.action(),
        first.payload(), Map.of(), first.headers(), 1, false, Duration.ZERO, 0, 0, Instant.EPOCH, trace);
  }

  private void checkBranch(int at, List<String> ids) {
    String place = "branches[" + at + "]";
    branches.get(at).check(place);
    if (ids.indexOf(ids.get(at)) < at) {
      throw new InvalidArgument(place + ".id " + Text.shown(ids.get(at)) + " is taken by an earlier branch");
    }
    for (String before : branches.get(at).after()) {
      if (ids.contains(before) && !before.equals(ids.get(at))) continue;
      throw new InvalidArgument(
          place + ".after names " + Text.shown(before) + ", which is no other branch of this transaction");
    }
  }
}
