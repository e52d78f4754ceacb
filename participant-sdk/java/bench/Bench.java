import assent.Participant;
import assent.Reply;
import assent.Service;
import assent.UnaryServer;
import io.grpc.MethodDescriptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.time.Duration;

/**
 * What {@code tools/measure.sh languages} measures of Java: a participant that has nothing to do, and plain echo by
 * grpc-java.
 *
 * <pre>
 * Bench session ENDPOINT    a participant of the service bench-0, which dials
 * Bench unary LISTEN        the same, dialled
 * Bench echo LISTEN         gives each message back as it came, unary and over a stream
 * </pre>
 */
public final class Bench {
  private static Service service() {
    Service service = new Service("bench-0");
    service.tcc("act").onTry(call -> Reply.done()).onConfirm(call -> {}).onCancel(call -> {});
    return service;
  }

  /** Of bytes that nobody looks into. */
  private static final MethodDescriptor.Marshaller<byte[]> AS_IT_IS = new MethodDescriptor.Marshaller<>() {
    @Override
    public InputStream stream(byte[] message) {
      return new ByteArrayInputStream(message);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException failed) {
        throw new UncheckedIOException(failed);
      }
    }
  };

  private static MethodDescriptor<byte[], byte[]> method(String name, MethodDescriptor.MethodType type) {
    return MethodDescriptor.newBuilder(AS_IT_IS, AS_IT_IS).setType(type).setFullMethodName("assent.bench.Echo/" + name)
        .build();
  }

  private static StreamObserver<byte[]> back(StreamObserver<byte[]> caller) {
    return new StreamObserver<>() {
      @Override
      public void onNext(byte[] message) {
        caller.onNext(message);
      }

      @Override
      public void onError(Throwable failed) {}

      @Override
      public void onCompleted() {
        caller.onCompleted();
      }
    };
  }

  private static void echo(String listen) throws IOException {
    String[] parts = listen.split(":");
    NettyServerBuilder.forAddress(new InetSocketAddress(parts[0], Integer.parseInt(parts[1])))
        .addService(ServerServiceDefinition.builder("assent.bench.Echo")
            .addMethod(method("Unary", MethodDescriptor.MethodType.UNARY),
                ServerCalls.asyncUnaryCall((message, caller) -> {
                  caller.onNext(message);
                  caller.onCompleted();
                }))
            .addMethod(method("Stream", MethodDescriptor.MethodType.BIDI_STREAMING),
                ServerCalls.asyncBidiStreamingCall(Bench::back))
            .build())
        .build().start();
  }

  public static void main(String[] arguments) throws Exception {
    switch (arguments[0]) {
      case "session" ->
          Participant.builder(service()).endpoints(arguments[1]).build().start().awaitConnected(Duration.ofSeconds(10));
      case "unary" -> new UnaryServer(service(), arguments[1]).start();
      case "echo" -> echo(arguments[1]);
      default -> throw new IllegalArgumentException(arguments[0]);
    }
    System.out.println("ready");
    Thread.currentThread().join();
  }

  private Bench() {}
}
