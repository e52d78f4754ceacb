package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import java.net.ConnectException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is said of a connection: that there is one, why there is none, once for each change; and what a call says. */
class WhyTest {
  private static final String NO_GRPC = "no gRPC at that address; does it want TLS, or is it another port?";

  @TempDir Path folder;

  /** What the logger "assent" is told, but for the beginning. */
  private static final class Lines extends Handler implements AutoCloseable {
    final List<String> all = new CopyOnWriteArrayList<>();

    Lines() {
      Logger.getLogger("assent").addHandler(this);
    }

    @Override
    public void publish(LogRecord record) {
      if (!record.getMessage().startsWith("starting ")) all.add(record.getLevel() + " " + record.getMessage());
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
      Logger.getLogger("assent").removeHandler(this);
    }
  }

  private static Participant participant(String endpoint, Tls tls, Token token) {
    Service service = new Service("shop");
    service.saga("ship").onAction(call -> Reply.done());
    return Participant.builder(service).endpoints(endpoint).tls(tls).token(token)
        .backoff(Duration.ofMillis(1), Duration.ofMillis(2)).build();
  }

  /** However often it is dialled there is one line; and a call says the same. */
  private static void assertReason(String endpoint, Tls tls, Token token, String code, String words) throws Exception {
    try (var lines = new Lines(); var participant = participant(endpoint, tls, token).start()) {
      Rig.until("it is told", () -> !lines.all.isEmpty());
      String message = assertThrows(AssentException.DeadlineExceeded.class,
          () -> participant.awaitConnected(Duration.ofMillis(300))).getMessage();
      assertTrue(message.contains(words), message);
      assertEquals(1, lines.all.size(), lines.all.toString());
      String line = "WARNING not connected endpoint=" + endpoint + " reason=\"" + code + ": " + words;
      assertTrue(lines.all.get(0).startsWith(line), lines.all.toString());
    }
    try (var client = Client.builder().endpoints(endpoint).tls(tls).token(token)
        .retry(Retry.DEFAULT.withGiveUpAfter(Duration.ofMillis(100))).build()) {
      String message = assertThrows(AssentException.class, () -> client.get("g")).getMessage();
      assertTrue(message.contains(words), message);
    }
  }

  @Test
  void nobodyListens() throws Exception {
    assertReason("127.0.0.1:" + Rig.freePort(), new Tls(""), Token.of(""), "UNAVAILABLE",
        "connection refused; is assentd running there?");
  }

  @Test
  void tls() throws Exception {
    Authority ca = new Authority(folder, "test-ca");
    Authority other = new Authority(folder, "other-ca");
    Authority.Pair own = ca.make("coordinator");
    Authority.Pair mine = ca.make("shop");
    try (var daemon = new Rig.Daemon("--tls-cert", own.cert(), "--tls-key", own.key(), "--tls-client-ca", ca.ca);
        var plain = new Rig.Daemon()) {
      assertReason(daemon.endpoint, new Tls(other.ca, mine.cert(), mine.key(), ""), Token.of(""), "UNAVAILABLE",
          "the certificate there is not signed by the CA that was given, or not valid now");
      assertReason(daemon.endpoint, new Tls(ca.ca, mine.cert(), mine.key(), "elsewhere.example"), Token.of(""),
          "UNAVAILABLE", "the certificate there is not one for the name that was dialled");
      assertReason(daemon.endpoint, new Tls(ca.ca), Token.of(""), "UNAVAILABLE",
          "the connection is closed as soon as it is made; does it want a certificate");
      assertReason(daemon.endpoint, new Tls(""), Token.of(""), "UNAVAILABLE", NO_GRPC);
      assertReason(plain.endpoint, new Tls(ca.ca), Token.of(""), "UNAVAILABLE", "there is no TLS at that address");
    }
  }

  @Test
  void tokensAndRoles() throws Exception {
    Path rules = Files.writeString(folder.resolve("rules"), "allow token:shop as participant for other\n");
    Path tokens = Files.writeString(folder.resolve("tokens"), "");
    Process made = new ProcessBuilder(Rig.binary("assentctl"), "auth", "token", "shop", "--append", tokens.toString()).start();
    String[] words = new String(made.getInputStream().readAllBytes()).strip().split("\\s+");
    String secret = words[words.length - 1];
    try (var daemon = new Rig.Daemon("--auth-rules", rules.toString(), "--auth-tokens", tokens.toString(),
        "--max-auth-failures-per-address", "0")) { // it dials as often as it likes
      assertReason(daemon.endpoint, new Tls(""), Token.of(""), "UNAUTHENTICATED", "");
      assertReason(daemon.endpoint, new Tls(""), Token.of("nobodys"), "UNAUTHENTICATED", "");
      try (var lines = new Lines(); var participant = participant(daemon.endpoint, new Tls(""), Token.of(secret)).start()) {
        Rig.until("it is told", () -> !lines.all.isEmpty());
        assertTrue(lines.all.get(0).contains("reason=\"PERMISSION_DENIED: "), lines.all.toString());
        assertFalse(lines.all.get(0).contains(secret));
      }
    }
  }

  @Test
  void itIsToldAgainWhenItChanges() throws Exception {
    try (var lines = new Lines(); var daemon = new Rig.Daemon();
        var participant = participant(daemon.endpoint, new Tls(""), Token.of("")).start()) {
      participant.awaitConnected(Duration.ofSeconds(60));
      daemon.kill();
      Rig.until("nobody listens", () -> lines.all.toString().contains("connection refused"));
      daemon.again();
      Rig.until("it is connected", () -> participant.connected() == 1);
      List<String> said = lines.all.stream().map(line -> line.replaceAll("(connected|disconnected) .*", "$1")).toList();
      assertEquals(List.of("INFO connected", "WARNING disconnected", "WARNING not connected", "INFO connected"), said);
    }
  }

  /** A coordinator's own words are not explained, whatever they are; and nothing begins another line. */
  @Test
  void whatACoordinatorSaysIsLeftAsItIs() {
    Status stopping = Status.UNAVAILABLE.withDescription("the coordinator is stopping\nsoon");
    assertEquals("UNAVAILABLE: the coordinator is stopping?soon", Why.unconnected(stopping, true));
    assertEquals("UNAVAILABLE: Network closed for unknown reason",
        Why.ended(Status.UNAVAILABLE.withDescription("Network closed for unknown reason")));
    assertEquals("UNAVAILABLE: ConnectException: no route; is assentd running there?",
        Why.unconnected(Status.UNAVAILABLE.withDescription("io exception").withCause(new ConnectException("no route")), true));
  }
}
