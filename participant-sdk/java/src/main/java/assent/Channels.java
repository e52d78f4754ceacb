package assent;

import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/** A client's connections, one for each coordinator: the {@link Transport} that is gRPC. */
final class Channels implements Transport, AutoCloseable {
  private static final Metadata.Key<String> OWNER =
      Metadata.Key.of("assent-owner", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<String> RETRY_AFTER =
      Metadata.Key.of("assent-retry-after-ms", Metadata.ASCII_STRING_MARSHALLER);
  private static final long WHY_PATIENCE_MS = 1000; // of a call that is made to be told the cause
  private static final Pattern NUMBER = Pattern.compile("[0-9]{1,8}");

  /** One coordinator's connection. */
  private record Link(String stamp, ManagedChannel channel) {}

  private final Dialling dialling;
  private final Map<String, Link> links = new HashMap<>();
  private final ScheduledExecutorService clock =
      Executors.newSingleThreadScheduledExecutor(run -> Dispatcher.daemon("assent-client", run));
  private boolean isClosed;

  Channels(Dialling dialling) {
    this.dialling = dialling;
  }

  @Override
  public long nowMs() {
    return TimeUnit.NANOSECONDS.toMillis(System.nanoTime());
  }

  @Override
  public CompletableFuture<Void> pause(long ms) {
    CompletableFuture<Void> over = new CompletableFuture<>();
    clock.schedule(() -> over.complete(null), ms, TimeUnit.MILLISECONDS);
    return over;
  }

  @Override
  public <Q extends Message, R extends Message> CompletableFuture<Attempt<R>> ask(Ask<Q, R> ask) {
    Metadata metadata = dialling.metadata(ask.endpoint());
    Link link = link(ask.endpoint());
    CompletableFuture<Attempt<R>> answer = new CompletableFuture<>();
    connected(link.channel(), ask.patienceMs()).whenComplete((isConnected, impossible) -> {
      if (answer.isDone()) return;
      if (isConnected) {
        call(link.channel(), ask, metadata, answer);
        return;
      }
      whyUnconnected(link.channel(), dialling.isSecure(ask.endpoint())).thenAccept(cause -> {
        // The next attempt begins with a new connection, at once, and not when gRPC thinks it may.
        drop(ask.endpoint(), link);
        String why = "no connection to " + ask.endpoint() + ": " + cause;
        answer.complete(new Attempt<>(Status.Code.UNAVAILABLE, why, null, false, "", 0));
      });
    });
    return answer;
  }

  private synchronized Link link(String endpoint) {
    if (isClosed) throw new IllegalStateException("the client is closed");
    String stamp = dialling.stamp();
    Link old = links.get(endpoint);
    if (old != null && old.stamp().equals(stamp)) return old;
    if (old != null) old.channel().shutdown(); // it ends with its calls
    Link link = new Link(stamp, dialling.connect(endpoint));
    links.put(endpoint, link);
    return link;
  }

  private synchronized void drop(String endpoint, Link link) {
    links.remove(endpoint, link);
    link.channel().shutdown();
  }

  /** Whether there is a connection, in time. One that cannot be made is known at once. */
  private CompletableFuture<Boolean> connected(ManagedChannel channel, long patienceMs) {
    CompletableFuture<Boolean> answer = new CompletableFuture<>();
    lookAt(channel, answer);
    if (!answer.isDone()) {
      ScheduledFuture<?> end = clock.schedule(() -> answer.complete(false), patienceMs, TimeUnit.MILLISECONDS);
      answer.whenComplete((isConnected, impossible) -> end.cancel(false));
    }
    return answer;
  }

  /** gRPC tells the cause to a call alone. */
  private static CompletableFuture<String> whyUnconnected(ManagedChannel channel, boolean isSecure) {
    if (channel.getState(false) != ConnectivityState.TRANSIENT_FAILURE) {
      return CompletableFuture.completedFuture(Why.NO_ANSWER);
    }
    CompletableFuture<String> answer = new CompletableFuture<>();
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(WHY_PATIENCE_MS, TimeUnit.MILLISECONDS);
    channel.newCall(Wire.SERVER_INFO, options).start(new ClientCall.Listener<>() {
      @Override
      public void onClose(Status status, Metadata trailers) {
        answer.complete(Why.isUnconnected(status) ? Why.unavailable(status, isSecure) : Why.NO_ANSWER);
      }
    }, new Metadata());
    return answer;
  }

  private void lookAt(ManagedChannel channel, CompletableFuture<Boolean> answer) {
    ConnectivityState state = channel.getState(true);
    switch (state) {
      case READY -> answer.complete(true);
      case TRANSIENT_FAILURE, SHUTDOWN -> answer.complete(false);
      case IDLE, CONNECTING -> {
        if (!answer.isDone()) channel.notifyWhenStateChanged(state, () -> lookAt(channel, answer));
      }
    }
  }

  private <Q extends Message, R extends Message> void call(
      ManagedChannel channel, Ask<Q, R> ask, Metadata metadata, CompletableFuture<Attempt<R>> answer) {
    ClientCall<Q, R> call = channel.newCall(
        ask.method(), CallOptions.DEFAULT.withDeadlineAfter(ask.timeoutMs(), TimeUnit.MILLISECONDS));
    call.start(new ClientCall.Listener<>() {
      private R reply;

      @Override
      public void onMessage(R message) {
        reply = message;
      }

      @Override
      public void onClose(Status status, Metadata trailers) {
        answer.complete(attempt(status, trailers, reply));
      }
    }, metadata);
    answer.whenComplete((attempt, failure) -> {
      if (answer.isCancelled()) call.cancel("given up here", null);
    });
    call.request(2);
    call.sendMessage(ask.request());
    call.halfClose();
  }

  private static <R> Attempt<R> attempt(Status status, Metadata trailers, R reply) {
    if (status.isOk() && reply != null) return Attempt.ok(reply);
    if (status.isOk()) return new Attempt<>(Status.Code.INTERNAL, "there was no reply", null, true, "", 0);
    String owner = trailers.get(OWNER);
    String hint = trailers.get(RETRY_AFTER);
    long retryAfterMs = hint != null && NUMBER.matcher(hint).matches() ? Long.parseLong(hint) : 0;
    String message = status.getDescription() == null ? "" : status.getDescription();
    return new Attempt<>(status.getCode(), message, null, true, owner == null ? "" : owner, retryAfterMs);
  }

  @Override
  public synchronized void close() {
    isClosed = true;
    for (Link link : links.values()) link.channel().shutdownNow();
    links.clear();
    clock.shutdown();
  }
}
