package assent;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/**
 * A transaction whose branches are added one by one, of one thread at a time. End it with commit or rollback; closed
 * without either it is rolled back. {@link Client#interactive} does so.
 *
 * <pre>{@code
 * try (var order = client.begin()) {
 *   var stock = order.execute(Branch.tcc("inventory", "reserve", items));
 *   if (!stock.refused()) {
 *     order.execute(Branch.saga("shipping", "book", stock.result()));
 *     var report = order.commit();
 *   }
 * }
 * }</pre>
 */
public final class OpenTransaction implements AutoCloseable {
  /** The coordinator's deadline does the rest. */
  private static final Duration ROLLBACK_OF_ABANDONED = Duration.ofSeconds(2);

  private final Client client;
  private final Transaction transaction;
  private final WaitFor waitFor;
  private int next = 1;
  private boolean isEnding;
  private volatile boolean isRefused;

  OpenTransaction(Client client, Transaction transaction, WaitFor waitFor) {
    this.client = client;
    this.transaction = transaction;
    this.waitFor = waitFor;
  }

  public String gid() {
    return transaction.gid();
  }

  /** A branch said no: the coordinator aborts it. */
  public boolean isRefused() {
    return isRefused;
  }

  /**
   * Adds a branch and waits for its forward operation. On UnknownOutcome the branch may have executed: say the same
   * again (same id), or roll back; the commit will not succeed without it.
   */
  public BranchResult execute(Branch branch) {
    BranchResult result = Client.join(step(branch));
    isRefused |= result.refused();
    return result;
  }

  public CompletableFuture<BranchResult> executeAsync(Branch branch) {
    CompletableFuture<BranchResult> result = step(branch).start();
    result.thenAccept(one -> {
      if (one.refused()) isRefused = true;
    });
    return result;
  }

  private Client.Step<?, ?, BranchResult> step(Branch branch) {
    Branch numbered = branch.numbered(next++);
    numbered.check("branch");
    return client.branchStep(transaction, numbered);
  }

  public BranchResult tcc(String service, String action, String payload) {
    return execute(Branch.tcc(service, action, payload));
  }

  public BranchResult saga(String service, String action, String payload) {
    return execute(Branch.saga(service, action, payload));
  }

  public BranchResult twoPhase(String service, String action, String payload) {
    return execute(Branch.twoPhase(service, action, payload));
  }

  /** UnknownOutcome: call it again, or {@code client.await(gid)}. From the first call on it is not rolled back here. */
  public Report commit() {
    isEnding = true;
    return Client.join(client.commitStep(transaction, waitFor));
  }

  public Report rollback(String reason) {
    isEnding = true;
    return Client.join(client.rollbackStep(transaction, reason, waitFor, null));
  }

  /** Rolls back what was neither committed nor rolled back. If it cannot, the coordinator's deadline does the rest. */
  void abandon(String reason) {
    if (isEnding || isRefused) return;
    isEnding = true;
    try {
      Client.join(client.rollbackStep(transaction, reason, WaitFor.ACCEPTED, ROLLBACK_OF_ABANDONED));
    } catch (AssentException unsaid) {
      // As it says above.
    }
  }

  @Override
  public void close() {
    abandon("left without a commit");
  }
}
