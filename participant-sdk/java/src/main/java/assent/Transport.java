package assent;

import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.concurrent.CompletableFuture;

/** What an {@link Errand} asks of the world: gRPC, and a clock. */
interface Transport {
  /** To be done: one call at one endpoint, made only when there is a connection, for which it waits so long. */
  record Ask<Q extends Message, R extends Message>(
      String endpoint, MethodDescriptor<Q, R> method, Q request, long timeoutMs, long patienceMs) {}

  /**
   * How an Ask ended.
   *
   * @param reply if the code is OK
   * @param isContacted its bytes may have reached a coordinator; only our own side's knowledge makes it false, never
   *     what a status says
   * @param owner who has the transaction, as the answer says; empty: it does not
   */
  record Attempt<R>(Status.Code code, String message, R reply, boolean isContacted, String owner, long retryAfterMs) {
    static <R> Attempt<R> ok(R reply) {
      return new Attempt<>(Status.Code.OK, "", reply, true, "", 0);
    }
  }

  /** Fails only with an exception that ends the whole call. To cancel it gives the call up. */
  <Q extends Message, R extends Message> CompletableFuture<Attempt<R>> ask(Ask<Q, R> ask);

  CompletableFuture<Void> pause(long ms);

  /** Of a clock that is never set. */
  long nowMs();
}
