package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import assent.AssentException.ConfigError;
import assent.AssentException.NotAllowed;
import assent.AssentException.NotFound;
import assent.AssentException.UnknownOutcome;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** TLS and tokens, by options and by environment, on both transports, with files that are renewed; trace context. */
class SecurityTest {
  private static final Retry SHORT = Retry.DEFAULT.withGiveUpAfter(Duration.ofMillis(300));

  @TempDir Path folder;

  private static Service shop() {
    Service service = new Service("shop");
    service.saga("ship").onAction(call -> Reply.done("shipped"));
    return service;
  }

  private static Transaction order() {
    return new Transaction().deadline(Duration.ofSeconds(20)).saga("shop", "ship", "");
  }

  private static Tls tls(Authority ca, Authority.Pair own) {
    return new Tls(ca.ca, own.cert(), own.key(), "");
  }

  private static Rig.Daemon secured(Authority ca, Authority.Pair own, String... more) throws Exception {
    List<String> words = new ArrayList<>(
        List.of("--tls-cert", own.cert(), "--tls-key", own.key(), "--tls-client-ca", ca.ca));
    Collections.addAll(words, more);
    return new Rig.Daemon(words.toArray(String[]::new));
  }

  private static Participant participant(Rig.Daemon daemon, Tls tls) {
    return Participant.builder(shop()).endpoints(daemon.endpoint).tls(tls)
        .backoff(Duration.ofMillis(50), Duration.ofMillis(100)).build().start();
  }

  private static boolean ships(Rig.Daemon daemon, Tls tls) {
    try (var client = Client.builder().endpoints(daemon.endpoint).tls(tls).build()) {
      return client.submit(order()).committed();
    }
  }

  private static void programShips(Map<String, String> environment) throws Exception {
    List<String> command = List.of(Rig.javaProgram(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp",
        System.getProperty("java.class.path"), EnvironmentProgram.class.getName());
    try (var running = new Rig.Running(command, environment, null)) {
      assertEquals(0, running.end(Duration.ofMinutes(2)), running.output());
      assertTrue(running.output().contains("said: shipped"), running.output());
    }
  }

  @Test
  void sessionsAndCallsByOptionsAndByEnvironmentWithANameOfItsOwn() throws Exception {
    Authority ca = new Authority(folder, "test-ca");
    Authority.Pair mine = ca.make("shop");
    try (var daemon = secured(ca, ca.make("coordinator"))) {
      try (var participant = participant(daemon, tls(ca, mine))) {
        participant.awaitConnected(Duration.ofSeconds(60));
        assertTrue(ships(daemon, tls(ca, mine)));
        assertTrue(ships(daemon, new Tls(ca.ca, mine.cert(), mine.key(), "coordinator.example")));
      }
      programShips(Map.of("ASSENT_ENDPOINT", daemon.endpoint, "ASSENT_TLS_CA", ca.ca, "ASSENT_TLS_CERT", mine.cert(),
          "ASSENT_TLS_KEY", mine.key(), "ASSENT_TLS_SERVER_NAME", "coordinator.example"));
    }
  }

  @Test
  void whoeverIsNotBelievedIsNotReached() throws Exception {
    Authority ca = new Authority(folder, "test-ca");
    Authority other = new Authority(folder, "other-ca");
    Authority.Pair mine = ca.make("shop");
    List<Tls> wrong = List.of(new Tls(other.ca, mine.cert(), mine.key(), ""),
        new Tls(ca.ca, mine.cert(), mine.key(), "elsewhere.example"), new Tls(ca.ca), new Tls(""));
    try (var daemon = secured(ca, ca.make("coordinator"));
        var right = Client.builder().endpoints(daemon.endpoint).tls(tls(ca, mine)).build()) {
      for (Tls one : wrong) {
        Transaction tried = order();
        try (var client = Client.builder().endpoints(daemon.endpoint).tls(one).retry(SHORT).build()) {
          AssentException failure = assertThrows(AssentException.class, () -> client.submit(tried), one.toString());
          boolean isShut = failure instanceof AssentException.Unavailable || failure instanceof UnknownOutcome;
          assertTrue(isShut, failure.toString());
        }
        assertThrows(NotFound.class, () -> right.get(tried.gid()));
      }
    }
  }

  @Test
  void filesThatChangeCountForConnectionsFromThenOn() throws Exception {
    Authority ca = new Authority(folder, "test-ca");
    Authority.Pair mine = ca.make("mine");
    Authority.Pair stranger = new Authority(folder, "other-ca").make("stranger");
    byte[] goodKey = Files.readAllBytes(Path.of(mine.key()));
    byte[] goodCert = Files.readAllBytes(Path.of(mine.cert()));
    Authority.replace(Path.of(mine.key()), Files.readAllBytes(Path.of(stranger.key())));
    Authority.replace(Path.of(mine.cert()), Files.readAllBytes(Path.of(stranger.cert())));
    try (var daemon = secured(ca, ca.make("coordinator")); var participant = participant(daemon, tls(ca, mine));
        var client = Client.builder().endpoints(daemon.endpoint).tls(tls(ca, mine)).retry(SHORT).build()) {
      assertThrows(AssentException.class, () -> client.submit(order()));
      assertEquals(0, participant.connected());
      Authority.replace(Path.of(mine.key()), goodKey);
      Authority.replace(Path.of(mine.cert()), goodCert);
      participant.awaitConnected(Duration.ofSeconds(60));
      assertTrue(client.submit(order()).committed());
    }
  }

  @Test
  void aServerThatIsDialledHasACertificateTooAndAsksForOne() throws Exception {
    Authority ca = new Authority(folder, "test-ca");
    Authority.Pair own = ca.make("coordinator");
    Authority.Pair pair = ca.make("shop");
    var serverTls = new UnaryServer.ServerTls(pair.cert(), pair.key(), ca.ca);
    try (var server = UnaryServer.builder(shop(), "127.0.0.1:0").tls(serverTls).build().start()) {
      String place = "shop=tls:127.0.0.1:" + server.port();
      try (var daemon = secured(ca, own, "--unary", place, "--tls-participant-ca", ca.ca)) {
        assertTrue(ships(daemon, tls(ca, pair)));
      }
      try (var plain = new Rig.Daemon("--unary", "shop=127.0.0.1:" + server.port());
          var client = Client.builder().endpoints(plain.endpoint).build()) {
        Transaction unheard = new Transaction().deadline(Duration.ofMillis(500)).saga("shop", "ship", "");
        assertTrue(client.submit(unheard).aborted(), "without TLS nobody is heard");
      }
    }
    var missing = new UnaryServer.ServerTls("/nowhere", pair.key(), "");
    assertThrows(ConfigError.class, () -> UnaryServer.builder(shop(), "127.0.0.1:0").tls(missing).build().start());
  }

  private String newToken(Path tokens, String name) throws Exception {
    List<String> command = List.of(Rig.binary("assentctl"), "auth", "token", name, "--append", tokens.toString());
    try (var running = new Rig.Running(command, Map.of(), null)) {
      assertEquals(0, running.end(Duration.ofMinutes(1)), running.output());
      String[] words = running.output().strip().split("\\s+");
      return words[words.length - 1];
    }
  }

  @Test
  void aTokenByOptionByFileAndByEnvironment() throws Exception {
    Path rules = folder.resolve("rules");
    Path tokens = folder.resolve("tokens");
    Path mine = folder.resolve("mine");
    Authority.replace(rules, ("allow token:shop as participant for shop\nallow token:web as initiator for *\n"
        + "allow token:both as participant for shop\nallow token:both as initiator for *\n").getBytes());
    Authority.replace(tokens, new byte[0]);
    String shop = newToken(tokens, "shop");
    String web = newToken(tokens, "web");
    String both = newToken(tokens, "both");
    try (var daemon = new Rig.Daemon("--auth-rules", rules.toString(), "--auth-tokens", tokens.toString())) {
      Authority.replace(mine, shop.getBytes()); // not yet the right one: a participant begins no transactions
      try (var participant =
              Participant.builder(shop()).endpoints(daemon.endpoint).token(Token.of(shop)).build().start();
          var client = Client.builder().endpoints(daemon.endpoint).token(Token.ofFile(mine.toString())).build();
          var nobody = Client.builder().endpoints(daemon.endpoint).build()) {
        participant.awaitConnected(Duration.ofSeconds(60));
        String refused = assertThrows(UnknownOutcome.class, () -> client.submit(order())).getMessage();
        assertTrue(refused.contains("PERMISSION_DENIED"), refused);
        Authority.replace(mine, (web + "\n").getBytes()); // renewed
        assertTrue(client.submit(order()).committed());
        Files.delete(mine);
        assertTrue(client.submit(order()).committed(), "while it cannot be read the last one counts");
        assertThrows(NotAllowed.class, () -> nobody.get("g"));
      }
      programShips(Map.of("ASSENT_ENDPOINT", daemon.endpoint, "ASSENT_TOKEN", both));
      Authority.replace(mine, both.getBytes());
      programShips(Map.of("ASSENT_ENDPOINT", daemon.endpoint, "ASSENT_TOKEN_FILE", mine.toString()));
    }
  }

  @Test
  void aTokenIsNotSentOverANetworkWithoutTlsAndThatIsSaidBeforeAnythingIsDialled() {
    var client = Client.builder().endpoints("192.0.2.1:7400").token(Token.of("word"));
    var participant = Participant.builder(shop()).endpoints("192.0.2.1:7400").token(Token.of("word"));
    String said = assertThrows(ConfigError.class, client::build).getMessage();
    assertTrue(said.contains("without TLS") && !said.contains("word"), said);
    assertThrows(ConfigError.class, participant::build);
    assertFalse(Token.of("word").toString().contains("word"));
  }

  @Test
  void traceContextAndHeadersAreHandedOnAndToWhatAHandlerBegins() throws Exception {
    List<Call> seen = Collections.synchronizedList(new ArrayList<>());
    try (var daemon = new Rig.Daemon(); var client = Client.builder().endpoints(daemon.endpoint).build()) {
      Service service = new Service("shop");
      service.saga("ship").onAction(call -> {
        seen.add(call);
        return Reply.done(client.submit(new Transaction().trace(call.trace()).saga("shop", "pack", "")).gid());
      });
      service.saga("pack").onAction(call -> {
        seen.add(call);
        return Reply.done();
      });
      try (var participant = Participant.builder(service).endpoints(daemon.endpoint).build().start()) {
        participant.awaitConnected(Duration.ofSeconds(60));
        Trace trace = new Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b");
        client.submit(new Transaction().trace(trace).add(Branch.saga("shop", "ship", "p").withHeader("who", "ann")));
      }
      assertEquals(2, seen.size());
      for (Call call : seen) {
        assertEquals("0af7651916cd43dd8448eb211c80319c", call.trace().traceparent().split("-")[1]);
        assertEquals("a=b", call.trace().tracestate());
      }
      assertEquals("p", seen.get(0).text());
      assertEquals(Map.of("who", "ann"), seen.get(0).headers());
    }
  }
}
