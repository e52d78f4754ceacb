package assent;

import assent.AssentException.ConfigError;
import assent.v1.BeginRequest;
import assent.v1.CommitRequest;
import assent.v1.ExecuteBranchRequest;
import assent.v1.GetRequest;
import assent.v1.RollbackRequest;
import assent.v1.SubmitRequest;
import assent.v1.WaitRequest;
import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;

/**
 * For initiators: runs transactions, tells what became of them. Cheap to keep: make one for the program. It dials with
 * its first call, and may be used from any thread.
 *
 * <pre>{@code
 * var client = new Client();                              // ASSENT_ENDPOINT, or 127.0.0.1:7400
 * var report = client.submit(new Transaction().tcc("inventory", "reserve", items).tcc("payment", "charge", amount));
 * if (!report.committed()) System.out.println(report.abortReason());
 * }</pre>
 *
 * <p>An abort is a Report. What is thrown says what to do next: see {@link AssentException}. Each call has a twin that
 * gives a CompletableFuture, which fails with the same; to cancel that gives the waiting up, and what was begun goes
 * on. A thread that is interrupted gives up in the same way: UnknownOutcome if it may have been done, else Unavailable.
 */
public final class Client implements AutoCloseable {
  static final String AGENT = "assent-java/0.1.0";
  private static final Duration DEFAULT_DEADLINE = Duration.ofSeconds(60);
  private static final Duration BEYOND_DEADLINE = Duration.ofSeconds(10);
  private static final Duration WITHOUT_DEADLINE = Duration.ofSeconds(30);

  /** What a client may be told; all of it has a default. */
  public static final class Builder extends DialBuilder<Builder> {
    private WaitFor waitFor = WaitFor.DECIDED;
    private Duration timeout = Duration.ZERO;
    private Retry retry = Retry.DEFAULT;

    Builder() {}

    @Override
    Builder self() {
      return this;
    }

    /** How far a transaction has to be before a call answers. DECIDED. */
    public Builder waitFor(WaitFor waitFor) {
      this.waitFor = waitFor;
      return this;
    }

    /** Of each call, repeats included. Zero: the transaction's deadline and 10 s more (30 s where there is none). */
    public Builder timeout(Duration timeout) {
      this.timeout = timeout;
      return this;
    }

    public Builder retry(Retry retry) {
      this.retry = retry;
      return this;
    }

    /** ConfigError for what is wrong. */
    public Client build() {
      notNegative("timeout", timeout);
      notNegative("retry.giveUpAfter", retry.giveUpAfter());
      notNegative("retry.initialBackoff", retry.initialBackoff());
      notNegative("retry.maxBackoff", retry.maxBackoff());
      return new Client(this);
    }
  }

  /** What {@link #interactive} runs with an open transaction. */
  @FunctionalInterface
  public interface Work<E extends Exception> {
    void run(OpenTransaction order) throws E;
  }

  private final Routes routes;
  private final Channels channels;
  private final WaitFor waitFor;
  private final Duration timeout;
  private final Retry retry;

  public Client() {
    this(builder());
  }

  private Client(Builder options) {
    routes = new Routes(options.endpointList());
    channels = new Channels(options.dialling());
    waitFor = options.waitFor;
    timeout = options.timeout;
    retry = options.retry;
  }

  public static Builder builder() {
    return new Builder();
  }

  /** Runs the whole transaction, and waits. An abort is a Report, not a failure. */
  public Report submit(Transaction transaction) {
    return submit(transaction, waitFor);
  }

  public Report submit(Transaction transaction, WaitFor wait) {
    return join(submission(transaction, wait));
  }

  public CompletableFuture<Report> submitAsync(Transaction transaction) {
    return submission(transaction, waitFor).start();
  }

  /**
   * Makes a message durable that begins once its initiator's local transaction has committed, and never if that does not
   * ({@link assent.jdbc.CheckBack}): before that transaction. After it {@link #submit}, of the same. Without an answer:
   * say it again, or give up. InvalidArgument: its first step is no checkBack.
   */
  public Report prepare(Transaction message) {
    return join(preparation(message));
  }

  public CompletableFuture<Report> prepareAsync(Transaction message) {
    return preparation(message).start();
  }

  private Step<?, ?, Report> preparation(Transaction message) {
    message.checkBackCall();
    return submission(message, WaitFor.ACCEPTED);
  }

  private Step<?, ?, Report> submission(Transaction transaction, WaitFor wait) {
    transaction.check(false);
    SubmitRequest request = SubmitRequest.newBuilder().setTransaction(Wire.spec(transaction))
        .setWaitFor(Wire.waitFor(wait)).build();
    return step(Wire.SUBMIT, request, transaction.gid(), "Submit of transaction " + transaction.gid(),
        timeoutOf(transaction), Wire::report);
  }

  /** What was published, by a relay; {@code limit} is of the call, repeats included. */
  public CompletableFuture<Report> submitAsync(EncodedTransaction transaction, WaitFor wait, Duration limit) {
    String gid = transaction.gid();
    return new Step<>(new Errand<>(new Errand.Order<>(Wire.SUBMIT, transaction.request(wait), gid, "Submit of transaction " + gid,
        limit.toMillis(), false), routes, retry, channels), Wire::report).start();
  }

  /** Opens a transaction to which branches are added one by one. What is given has none; the rest of it counts. */
  public OpenTransaction begin(Transaction transaction) {
    return join(beginning(transaction));
  }

  public OpenTransaction begin() {
    return begin(new Transaction());
  }

  public CompletableFuture<OpenTransaction> beginAsync(Transaction transaction) {
    return beginning(transaction).start();
  }

  private Step<?, ?, OpenTransaction> beginning(Transaction transaction) {
    transaction.check(true);
    BeginRequest request = BeginRequest.newBuilder().setTransaction(Wire.spec(transaction)).build();
    return step(Wire.BEGIN, request, transaction.gid(), "Begin of transaction " + transaction.gid(), WITHOUT_DEADLINE,
        reply -> new OpenTransaction(this, transaction, waitFor));
  }

  /**
   * Runs {@code work} with an open transaction, and commits it. When {@code work} throws, or a branch is refused and
   * {@code work} returns, it is rolled back: the Report says so, and what was thrown is thrown on.
   */
  public <E extends Exception> Report interactive(Transaction transaction, Work<E> work) throws E {
    try (OpenTransaction order = begin(transaction)) {
      try {
        work.run(order);
      } catch (Exception | Error failed) {
        order.abandon(Text.sentenceOf(failed));
        throw failed;
      }
      return order.isRefused() ? await(order.gid()) : order.commit();
    }
  }

  public <E extends Exception> Report interactive(Work<E> work) throws E {
    return interactive(new Transaction(), work);
  }

  /** Answers when the transaction gets there; DeadlineExceeded if it does not in time. */
  public Report await(String gid) {
    return await(gid, waitFor);
  }

  public Report await(String gid, WaitFor wait) {
    return join(awaiting(gid, wait));
  }

  public CompletableFuture<Report> awaitAsync(String gid) {
    return awaiting(gid, waitFor).start();
  }

  private Step<?, ?, Report> awaiting(String gid, WaitFor wait) {
    Text.checkId("gid", gid, Limits.MAX_GID_BYTES);
    WaitRequest request = WaitRequest.newBuilder().setGid(gid).setWaitFor(Wire.waitFor(wait)).build();
    return step(Wire.WAIT, request, gid, "Wait for transaction " + gid, WITHOUT_DEADLINE, Wire::report);
  }

  /** The transaction in full. */
  public TransactionInfo get(String gid) {
    return join(getting(gid));
  }

  public CompletableFuture<TransactionInfo> getAsync(String gid) {
    return getting(gid).start();
  }

  private Step<?, ?, TransactionInfo> getting(String gid) {
    Text.checkId("gid", gid, Limits.MAX_GID_BYTES);
    GetRequest request = GetRequest.newBuilder().setGid(gid).setResults(true).build();
    return step(Wire.GET, request, gid, "Get of transaction " + gid, WITHOUT_DEADLINE, Wire::info);
  }

  /** What waits then fails: it is to be closed when nobody calls it any more. */
  @Override
  public void close() {
    channels.close();
  }

  // ---- for open transactions

  Step<?, ?, BranchResult> branchStep(Transaction of, Branch branch) {
    ExecuteBranchRequest request =
        ExecuteBranchRequest.newBuilder().setGid(of.gid()).setBranch(Wire.spec(branch)).build();
    return step(Wire.EXECUTE_BRANCH, request, of.gid(), "branch " + branch.id() + " of transaction " + of.gid(),
        timeoutOf(of), Wire::branchResult);
  }

  Step<?, ?, Report> commitStep(Transaction of, WaitFor wait) {
    CommitRequest request = CommitRequest.newBuilder().setGid(of.gid()).setWaitFor(Wire.waitFor(wait)).build();
    return step(Wire.COMMIT, request, of.gid(), "Commit of transaction " + of.gid(), timeoutOf(of), Wire::report);
  }

  Step<?, ?, Report> rollbackStep(Transaction of, String reason, WaitFor wait, Duration limit) {
    RollbackRequest request = RollbackRequest.newBuilder().setGid(of.gid()).setWaitFor(Wire.waitFor(wait))
        .setReason(Text.cut(reason, Limits.MAX_REASON_BYTES)).build();
    return step(Wire.ROLLBACK, request, of.gid(), "Rollback of transaction " + of.gid(),
        limit == null ? timeoutOf(of) : limit, Wire::report);
  }

  private static Duration timeoutOf(Transaction transaction) {
    return (transaction.deadline().isZero() ? DEFAULT_DEADLINE : transaction.deadline()).plus(BEYOND_DEADLINE);
  }

  // ---- how a call is made, and waited for

  /** A call that is ready to be made. */
  record Step<Q extends Message, R extends Message, T>(Errand<Q, R> errand, Function<R, T> read) {
    CompletableFuture<T> start() {
      CompletableFuture<R> reply = errand.run();
      CompletableFuture<T> value = new CompletableFuture<>();
      reply.whenComplete((message, failure) -> {
        if (failure == null) value.complete(read.apply(message));
        else value.completeExceptionally(failure);
      });
      value.whenComplete((done, failure) -> {
        if (value.isCancelled()) reply.cancel(true);
      });
      return value;
    }
  }

  private <Q extends Message, R extends Message, T> Step<Q, R, T> step(
      MethodDescriptor<Q, R> method, Q request, String gid, String what, Duration limit, Function<R, T> read) {
    long ms = (timeout.isZero() ? limit : timeout).toMillis();
    boolean isReadOnly = method == (Object) Wire.WAIT || method == (Object) Wire.GET;
    return new Step<>(
        new Errand<>(new Errand.Order<>(method, request, gid, what, ms, isReadOnly), routes, retry, channels), read);
  }

  static <T> T join(Step<?, ?, T> step) {
    CompletableFuture<T> value = step.start();
    try {
      return value.get();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      step.errand().giveUp(interrupted);
      return afterGivingUp(value);
    } catch (ExecutionException failed) {
      throw thrown(failed.getCause());
    }
  }

  /** After it was given up: what it fails with, or the reply that came just before. */
  private static <T> T afterGivingUp(CompletableFuture<T> value) {
    try {
      return value.join();
    } catch (CompletionException failed) {
      throw thrown(failed.getCause());
    }
  }

  private static RuntimeException thrown(Throwable failure) {
    if (failure instanceof AssentException ours) {
      ours.setStackTrace(new Throwable().getStackTrace()); // where it was called, not gRPC's thread
      return ours;
    }
    if (failure instanceof RuntimeException other) return other;
    return new ConfigError("the call could not be made: " + Text.sentenceOf(failure), failure);
  }
}
