package assent;

import assent.AssentException.ConfigError;
import assent.AssentException.FailedPrecondition;
import assent.v1.BranchCommand;
import assent.v1.BranchReply;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerCredentials;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * The other transport: the coordinator dials out, and this serves assent.v1.Participant/Execute.
 *
 * <pre>{@code
 * assentd --unary payment=127.0.0.1:7501 …
 * new UnaryServer(service, "127.0.0.1:7501").run();
 * }</pre>
 *
 * <p>For TCC and Saga; there is no way to ask about prepared work here, so two-phase commit waits to be told.
 */
public final class UnaryServer implements AutoCloseable {
  /**
   * Files in PEM, read when the server starts.
   *
   * @param keyFile in PKCS #8 ("BEGIN PRIVATE KEY")
   * @param clientCaFile the CAs that sign the coordinators' certificates, of which each then has to show one; empty:
   *     none is asked for
   */
  public record ServerTls(String certFile, String keyFile, String clientCaFile) {}

  /** What a server may be told; all of it has a default. */
  public static final class Builder {
    private final Service service;
    private final String listen;
    private int workers = 16;
    private int maxQueuedCalls = 1024;
    private Duration stopGrace = Duration.ofSeconds(10);
    private ServerTls tls;

    Builder(Service service, String listen) {
      this.service = service;
      this.listen = listen;
    }

    /** Plain handlers that run at once. 16. */
    public Builder workers(int workers) {
      this.workers = workers;
      return this;
    }

    /** One more is answered "retry later". 1024. */
    public Builder maxQueuedCalls(int maxQueuedCalls) {
      this.maxQueuedCalls = maxQueuedCalls;
      return this;
    }

    /** How long running handlers may take before it ends without their answers. 10 s. */
    public Builder stopGrace(Duration grace) {
      stopGrace = grace;
      return this;
    }

    public Builder tls(ServerTls tls) {
      this.tls = tls;
      return this;
    }

    /** ConfigError for what is wrong with the options, or with the actions. */
    public UnaryServer build() {
      DialBuilder.atLeast("workers", workers, 1);
      DialBuilder.atLeast("maxQueuedCalls", maxQueuedCalls, 1);
      return new UnaryServer(this);
    }
  }

  private final Builder options;
  private final Dispatcher dispatcher;
  private final Desk desk;
  private final CountDownLatch stopped = new CountDownLatch(1);
  private Server server;
  private boolean isClosing;

  /** {@code listen}: "host:port"; port 0: any that is free, which {@link #port} then says. */
  public UnaryServer(Service service, String listen) {
    this(new Builder(service, listen));
  }

  private UnaryServer(Builder options) {
    this.options = options;
    dispatcher = new Dispatcher(options.service, options.workers);
    desk = new Desk(dispatcher::execute, options.maxQueuedCalls);
  }

  public static Builder builder(Service service, String listen) {
    return new Builder(service, listen);
  }

  public synchronized UnaryServer start() {
    if (server != null) throw new FailedPrecondition("the server was started before; make another one");
    ServerServiceDefinition executes = ServerServiceDefinition.builder("assent.v1.Participant")
        .addMethod(Wire.EXECUTE, ServerCalls.asyncUnaryCall(this::execute)).build();
    Server built = NettyServerBuilder.forAddress(address(), credentials())
        .maxInboundMessageSize(Limits.MAX_FRAME_BYTES).addService(executes).build();
    dispatcher.start();
    try {
      server = built.start();
    } catch (IOException taken) {
      dispatcher.close();
      throw new ConfigError("cannot listen on " + options.listen + ": " + Text.sentenceOf(taken), taken);
    }
    return this;
  }

  private InetSocketAddress address() {
    int colon = options.listen.lastIndexOf(':');
    try {
      String host = options.listen.substring(0, colon).replaceAll("^\\[|\\]$", "");
      return new InetSocketAddress(host, Integer.parseInt(options.listen.substring(colon + 1)));
    } catch (RuntimeException wrong) {
      throw new ConfigError("cannot listen on " + Text.shown(options.listen) + "; it must be \"host:port\"", wrong);
    }
  }

  private ServerCredentials credentials() {
    ServerTls tls = options.tls;
    if (tls == null) return InsecureServerCredentials.create();
    try {
      TlsServerCredentials.Builder builder = TlsServerCredentials.newBuilder().keyManager(
          new ByteArrayInputStream(Dialling.readPem("the certificate", tls.certFile())),
          new ByteArrayInputStream(Dialling.readKey(tls.keyFile())));
      if (!tls.clientCaFile().isEmpty()) {
        builder.trustManager(new ByteArrayInputStream(Dialling.readPem("CAs of clients", tls.clientCaFile())))
            .clientAuth(TlsServerCredentials.ClientAuth.REQUIRE);
      }
      return builder.build();
    } catch (IOException wrong) {
      throw new ConfigError("the files of TLS cannot be used: " + Text.sentenceOf(wrong), wrong);
    }
  }

  /** Where it listens, once it has started. */
  public synchronized int port() {
    return server.getPort();
  }

  private void execute(BranchCommand command, StreamObserver<BranchReply> observer) {
    ServerCallStreamObserver<BranchReply> caller = (ServerCallStreamObserver<BranchReply>) observer;
    caller.setOnCancelHandler(() -> {}); // else an answer to one who has left is an exception
    Call call;
    try {
      call = Wire.call(command);
    } catch (IllegalArgumentException wrong) {
      say(caller, command, Reply.unknown("ill-formed command: " + wrong.getMessage()));
      return;
    }
    if (!dispatcher.has(call)) {
      // Here nobody else is asked first: without this no a forward operation would be asked until its deadline.
      boolean isForward = call.operation().role() == Operation.Role.FORWARD;
      say(caller, command, isForward
          ? Reply.refused("no " + call.operation() + " of action " + call.action() + " here")
          : Dispatcher.unknownAction(call));
      return;
    }
    boolean isTaken = desk.ask(call, new Desk.Waiter() {
      @Override
      public boolean alive() {
        return !caller.isCancelled();
      }

      @Override
      public void answer(Call asked, Reply reply) {
        say(caller, command, reply);
      }
    });
    if (!isTaken) say(caller, command, Reply.retryLater("the participant's queue is full (maxQueuedCalls)"));
  }

  private static void say(ServerCallStreamObserver<BranchReply> caller, BranchCommand command, Reply reply) {
    if (caller.isCancelled()) return;
    if (reply.kind() == Kind.UNKNOWN) {
      // Every status is an unknown outcome: asked again.
      caller.onError(Status.UNKNOWN.withDescription(reply.reason()).asRuntimeException());
      return;
    }
    caller.onNext(Wire.reply(command, reply));
    caller.onCompleted();
  }

  /** Takes no new calls, answers those that run, and ends. */
  @Override
  public void close() {
    Server ending;
    synchronized (this) {
      ending = server;
      if (isClosing) ending = null;
      isClosing = true;
    }
    try {
      if (ending != null) {
        ending.shutdown();
        if (!ending.awaitTermination(options.stopGrace.toMillis(), TimeUnit.MILLISECONDS)) ending.shutdownNow();
        dispatcher.close();
        stopped.countDown();
      } else if (server != null) {
        stopped.await();
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** Starts, and serves until SIGTERM or SIGINT comes, or somebody calls {@link #close}. */
  public void run() {
    start();
    Shutdown.closeAtEnd(this, () -> {
      try {
        stopped.await();
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
      }
    });
  }
}
