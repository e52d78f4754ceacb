package assent;

import assent.AssentException.DeadlineExceeded;
import assent.AssentException.NotAllowed;
import assent.AssentException.Unavailable;
import assent.Transport.Ask;
import assent.Transport.Attempt;
import assent.v1.ClusterView;
import assent.v1.GetClusterRequest;
import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;

/**
 * One call of a client, repeated wherever and as long as that may help. Gives the reply, or fails with what
 * {@link AssentException} has.
 *
 * <p>Everything that is sent is idempotent by gid, so it may always be sent again. What must never happen is that
 * something which may have been done is called not done, or done a second time at a coordinator of another log. Its
 * steps follow one another; each begins when the future of the one before it is complete.
 */
final class Errand<Q extends Message, R extends Message> {
  private static final long CONNECT_PATIENCE_MS = 1000; // for a connection, where another one could be tried instead
  private static final long MAP_PATIENCE_MS = 2000;
  private static final long MAP_AGE_MS = 5000; // so old a map is asked for again, with the next call
  private static final long LOOK_AGAIN_MS = 500; // after a failure, if the map is older

  /** What is asked, and what it is called in sentences. */
  record Order<Q extends Message, R extends Message>(
      MethodDescriptor<Q, R> method, Q request, String gid, String what, long timeoutMs, boolean isReadOnly) {}

  private final Order<Q, R> order;
  private final Routes routes;
  private final Retry retry;
  private final Transport transport;
  private final Tour tour;
  private final CompletableFuture<R> result = new CompletableFuture<>();
  private final long deadlineMs;
  private double backoffMs;
  private Long failingSinceMs;
  private String last = "nothing was tried";
  private volatile boolean maybeDone;
  private volatile boolean isAsking;
  private volatile CompletableFuture<?> current = CompletableFuture.completedFuture(null);

  Errand(Order<Q, R> order, Routes routes, Retry retry, Transport transport) {
    this.order = order;
    this.routes = routes;
    this.retry = retry;
    this.transport = transport;
    tour = new Tour(routes, order.gid());
    deadlineMs = transport.nowMs() + order.timeoutMs();
    backoffMs = retry.initialBackoff().toMillis();
  }

  /** To cancel what it gives gives the waiting up; what was begun goes on. */
  CompletableFuture<R> run() {
    result.whenComplete((reply, failure) -> current.cancel(true));
    step();
    return result;
  }

  /** The waiting is given up: what it then fails with says whether it may have been done. */
  void giveUp(Throwable cause) {
    result.completeExceptionally(AssentException.giveUp(order.what(), order.gid(),
        !order.isReadOnly() && (maybeDone || isAsking), "it was given up here; " + last, cause));
  }

  private <T> void after(CompletableFuture<T> step, Consumer<T> next) {
    current = step;
    step.whenComplete((value, failure) -> {
      if (result.isDone()) return;
      try {
        if (failure == null) next.accept(value);
        else result.completeExceptionally(failure instanceof CompletionException ? failure.getCause() : failure);
      } catch (RuntimeException wrong) {
        result.completeExceptionally(wrong);
      }
    });
    if (result.isDone()) step.cancel(true);
  }

  private void step() {
    if (!routes.isLookDue(transport.nowMs(), MAP_AGE_MS)) ask();
    else look(List.copyOf(routes.inOrder(order.gid())).iterator());
  }

  /** Asks, in turn, who shares the log, until somebody has said it. */
  private void look(Iterator<String> endpoints) {
    if (!endpoints.hasNext()) {
      ask();
      return;
    }
    String endpoint = endpoints.next();
    long patienceMs = Math.min(CONNECT_PATIENCE_MS, leftMs());
    Ask<GetClusterRequest, ClusterView> ask =
        new Ask<>(endpoint, Wire.CLUSTER, GetClusterRequest.getDefaultInstance(), MAP_PATIENCE_MS, patienceMs);
    after(transport.ask(ask), attempt -> {
      boolean isOk = attempt.code() == Status.Code.OK;
      if (isOk) routes.learn(endpoint, attempt.reply());
      if (isOk || AssentException.isNotServed(attempt.code())) {
        routes.looked(transport.nowMs()); // or it is too old to be asked, or not for us to know
        ask();
      } else if (leftMs() == 0 || tour.isBound()) {
        ask();
      } else {
        look(endpoints);
      }
    });
  }

  private long leftMs() {
    return Math.max(deadlineMs - transport.nowMs(), 0);
  }

  private void ask() {
    String endpoint = tour.next();
    long giveUpMs = retry.giveUpAfter().toMillis();
    long patienceMs = tour.hasMore() || giveUpMs == 0 ? Math.min(CONNECT_PATIENCE_MS, leftMs()) : leftMs();
    if (giveUpMs > 0) patienceMs = Math.min(patienceMs, giveUpMs);
    isAsking = true;
    after(transport.ask(new Ask<>(endpoint, order.method(), order.request(), leftMs(), patienceMs)), this::judge);
  }

  private void judge(Attempt<R> attempt) {
    if (attempt.code() == Status.Code.OK) {
      result.complete(attempt.reply());
      return;
    }
    last = attempt.code() + ": " + attempt.message();
    if (attempt.isContacted()) {
      tour.contacted();
      maybeDone |= !order.isReadOnly();
      AssentException said = AssentException.ofFinal(attempt.code(), order.what() + ": " + attempt.message());
      if (said != null) throw said;
      if (AssentException.isNotServed(attempt.code())) {
        throw order.isReadOnly() ? new NotAllowed(order.what() + ": " + last) : failure(true);
      }
    }
    isAsking = false;
    if (!attempt.owner().isEmpty()) tour.moved(attempt.owner());
    goOn(attempt);
  }

  private AssentException failure(boolean isMaybeDone) {
    return AssentException.giveUp(order.what(), order.gid(), isMaybeDone, last, null);
  }

  private void goOn(Attempt<R> attempt) {
    long now = transport.nowMs();
    routes.lookSoon(now, LOOK_AGAIN_MS);
    if (failingSinceMs == null) failingSinceMs = now;
    if (now >= deadlineMs) {
      throw order.isReadOnly()
          ? new DeadlineExceeded(
              order.what() + " had no answer within " + order.timeoutMs() + " ms; last error: " + last)
          : failure(maybeDone);
    }
    if (attempt.code() != Status.Code.RESOURCE_EXHAUSTED && tour.hasMore()) {
      step();
      return;
    }
    if (now - failingSinceMs >= retry.giveUpAfter().toMillis()) {
      throw order.isReadOnly() && attempt.isContacted()
          ? new Unavailable(order.what() + " has changed nothing, and had no answer: " + last, null)
          : failure(maybeDone);
    }
    long waitMs = Math.round(ThreadLocalRandom.current().nextDouble() * backoffMs);
    waitMs = Math.min(Math.max(waitMs, attempt.retryAfterMs()), deadlineMs - now);
    backoffMs = Math.min(backoffMs * 2, retry.maxBackoff().toMillis());
    tour.rest();
    after(transport.pause(waitMs), nothing -> step());
  }
}
