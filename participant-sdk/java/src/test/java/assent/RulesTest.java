package assent;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import assent.AssentException.ConfigError;
import assent.AssentException.InvalidArgument;
import assent.v1.BranchCommand;
import assent.v1.CoordinatorFrame;
import assent.v1.Hello;
import assent.v1.OutcomeAnswer;
import assent.v1.ParticipantFrame;
import assent.v1.Welcome;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Values, the desk, a session: what needs neither a coordinator nor a database. */
class RulesTest {
  private static Call call(Operation operation, String branch) {
    return Call.of("g", branch, operation, "a", new byte[0]);
  }

  private static <T extends RuntimeException> void says(Class<T> kind, String words, Executable work) {
    String message = assertThrows(kind, work).getMessage();
    assertTrue(message.contains(words), message);
  }

  @Test
  void textsAreCutAtWholeCharactersAndAreAlwaysUtf8() {
    assertEquals("aé", Text.cut("aéaé", 3));
    assertEquals("aéa", Text.cut("aéaé", 5));
    assertEquals("?x?", Text.cut("\ud800x\0", 10));
    assertEquals("a?b?c", Text.oneLine("a\nb\u2028c"));
  }

  @Test
  void theNumbersAreThoseOfTheWire() {
    for (Operation one : Operation.values()) {
      assertEquals(one.name(), assent.v1.Operation.forNumber(one.number()).name());
    }
    for (Protocol one : Protocol.values()) assertEquals(one.name(), assent.v1.Protocol.forNumber(one.number()).name());
    for (State one : State.values()) {
      if (one != State.UNKNOWN) assertEquals(one.name(), assent.v1.TransactionState.forNumber(one.ordinal()).name());
    }
    for (Outcome one : Outcome.values()) {
      if (one != Outcome.UNDECIDED) assertEquals(one.name(), assent.v1.Outcome.forNumber(one.ordinal()).name());
    }
    for (BranchState one : BranchState.values()) {
      if (one != BranchState.UNKNOWN) assertEquals(one.name(), assent.v1.BranchState.forNumber(one.ordinal()).name());
    }
    for (WaitFor one : WaitFor.values()) assertEquals("WAIT_" + one, Wire.waitFor(one).name());
    for (Kind one : Kind.values()) {
      if (one != Kind.UNKNOWN) assertEquals(one.name(), assent.v1.BranchReply.Kind.forNumber(one.number()).name());
    }
    assertEquals("ORDERING_DECLARED", assent.v1.Ordering.forNumber(Ordering.DECLARED.ordinal()).name());
  }

  @Test
  void aHandlersAnswer() {
    Call asked = call(Operation.TRY, "1");
    assertTrue(Reply.ofHandler(null, asked).reason().contains("returned null; it returns a Reply"));
    assertEquals(Kind.RETRY_LATER, Reply.ofHandler(Reply.readOnly(), asked).kind());
    assertEquals(Kind.DONE, Reply.ofHandler(Reply.done(new byte[256 * 1024]), asked).kind());
    assertEquals(Kind.REFUSED, Reply.ofHandler(Reply.done(new byte[256 * 1024 + 1]), asked).kind());
    assertEquals("no", Reply.ofException(new Refused("no")).reason());
    assertEquals(Duration.ofMillis(7), Reply.ofException(new RetryLater("busy", Duration.ofMillis(7))).retryAfter());
    assertEquals("IllegalStateException: oh", Reply.ofException(new IllegalStateException("oh")).reason());
    assertEquals(Kind.UNKNOWN, Reply.ofException(new Unknown("?")).kind());
    assertThrows(IllegalArgumentException.class,
        Call.of("g", "1", Operation.TRY, "a", new byte[] {(byte) 0xff})::text);
  }

  @Test
  void aPlainHandlerOfOnePhasePreparesAndCommits() {
    List<String> ran = new ArrayList<>();
    Service service = new Service("s");
    service.twoPhase("a").onPrepare(one -> {
      ran.add("prepare");
      return Reply.done("kept");
    }).onCommit(one -> ran.add("commit")).onRollback(one -> ran.add("rollback"));
    Call plain = call(Operation.PREPARE, "1");
    Call onePhase = new Call("g", "1", Operation.PREPARE, Protocol.TWO_PHASE, "", "a", new byte[0], Map.of(), Map.of(),
        1, true, Duration.ZERO, 1, 1, plain.began(), Trace.NONE);
    assertArrayEquals("kept".getBytes(), service.run(onePhase).result());
    assertEquals(List.of("prepare", "commit"), ran);
  }

  /** An answer that never comes would hold up its branch for ever. */
  @Test
  void whateverAPlainHandlerThrowsItIsAnswered() {
    Service service = new Service("s");
    service.saga("a").onAction(one -> {
      throw new OutOfMemoryError("pretended");
    });
    Call asked = Call.of("g", "1", Operation.ACTION, "a", new byte[0]);
    assertEquals("OutOfMemoryError: pretended", service.run(asked).reason());
  }

  @Test
  void aMessageThatChecksBack() {
    Transaction message = new Transaction("g").checkBack("orders", "placed", Duration.ofSeconds(3)).saga("desk", "note", "x");
    var first = Wire.spec(message).getBranches(0);
    assertTrue(first.getPivot() && first.getCheckBack());
    assertEquals(3000, first.getRetry().getInitialBackoffMs());
    assertEquals(assent.v1.Protocol.SAGA, first.getProtocol());
    assertFalse(Wire.spec(message).getBranches(1).getCheckBack());
    assertEquals(Duration.ofSeconds(1), new Transaction().checkBack("orders", "placed").branches().get(0).initialBackoff());
    assertTrue(message.branches().get(0).withId("placed").withHeader("a", "b").checkBack());
    Call question = message.checkBackCall();
    assertEquals("ACTION of branch 1 of transaction g", question.toString());
    Branch saga = Branch.saga("orders", "placed", "");
    Branch noPivot = new Branch(saga.protocol(), saga.service(), saga.action(), saga.payload(), "", List.of(), false, true,
        false, Map.of(), Duration.ZERO, Duration.ZERO, 0, Duration.ZERO);
    says(InvalidArgument.class, "branches[0].checkBack is set, but only the pivot", () -> new Transaction().add(noPivot).check(false));
    try (Client client = Client.builder().endpoints("127.0.0.1:1").build()) { // nobody is dialled
      says(InvalidArgument.class, "does not begin with checkBack", () -> client.prepare(new Transaction().saga("desk", "note", "x")));
      says(InvalidArgument.class, "needs at least one", () -> client.prepareAsync(new Transaction()));
    }
  }

  @Test
  void aTransactionThatCanNeverWorkIsNamed() {
    Map<String, Transaction> wrong = new TreeMap<>(Map.of(
        "at least one", new Transaction(),
        "gid is \"a b\"", new Transaction("a b").saga("s", "a", ""),
        "branches[1].id \"1\" is taken",
        new Transaction().saga("s", "a", "").add(Branch.saga("s", "a", "").withId("1")),
        "names \"9\", which is no other branch", new Transaction().add(Branch.saga("s", "a", "").withAfter("9")),
        "only a Saga step can be the pivot", new Transaction().add(Branch.tcc("s", "a", "").withPivot()),
        "deadline is PT-1S", new Transaction().deadline(Duration.ofSeconds(-1)).saga("s", "a", ""),
        "at most 1048576", new Transaction().add(Branch.saga("s", "a", new byte[1024 * 1024 + 1]))));
    wrong.forEach((words, transaction) -> says(InvalidArgument.class, words, () -> transaction.check(false)));
  }

  @Test
  void aServiceThatCannotWorkSaysWhatIsMissing() {
    says(ConfigError.class, "service is \"a b\"", () -> new Service("a b"));
    says(ConfigError.class, "has no action", () -> new Service("s").owners());
    Service half = new Service("s");
    half.tcc("a").onTry(one -> Reply.done()).onConfirm(one -> {});
    says(ConfigError.class, "tcc:a has no handler of cancel", half::owners);
    says(ConfigError.class, "registered twice", () -> half.tcc("a"));
  }

  @Test
  void endpointsAndTokensThatCannotBeUsed(@TempDir Path folder) throws Exception {
    assertEquals(List.of("a:1", "b:2"), DialBuilder.endpointsOf("a:1, b:2,a:1"));
    for (String wrong : List.of("http://a:1", "a", "a:0", "a:65536", "[::1]", "a b:1")) {
      assertThrows(ConfigError.class, () -> DialBuilder.endpointsOf(wrong), wrong);
    }
    for (String near : List.of("127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/x", "dns:///127.0.0.1:1")) {
      assertTrue(Endpoint.isNear(near), near);
    }
    for (String far : List.of("192.0.2.1:1", "127.evil.example:1", "example.com:1")) {
      assertFalse(Endpoint.isNear(far), far);
    }
    Tls none = new Tls("");
    Dialling token = new Dialling(none, Token.of("word"), Duration.ZERO);
    assertEquals("Bearer word", token.metadata("127.0.0.1:1").get(Dialling.AUTHORIZATION));
    says(ConfigError.class, "without TLS", () -> token.metadata("192.0.2.1:1"));
    Dialling anyway = new Dialling(none, new Token("word", "", true), Duration.ZERO);
    assertEquals("Bearer word", anyway.metadata("192.0.2.1:1").get(Dialling.AUTHORIZATION));
    String empty = Files.writeString(folder.resolve("empty"), "\n").toString();
    says(ConfigError.class, "/nowhere, cannot be read",
        () -> new Dialling(none, Token.ofFile("/nowhere"), Duration.ZERO));
    says(ConfigError.class, "is empty", () -> new Dialling(none, Token.ofFile(empty), Duration.ZERO));
    says(ConfigError.class, "one word", () -> new Dialling(none, Token.of("a b"), Duration.ZERO));
    Token nobody = new Token("", "", false);
    says(ConfigError.class, "CAs that are believed",
        () -> new Dialling(new Tls("", "c", "k", ""), nobody, Duration.ZERO));
    says(ConfigError.class, "needs its key", () -> new Dialling(new Tls(empty, "", "k", ""), nobody, Duration.ZERO));
    says(ConfigError.class, "nothing in PEM", () -> new Dialling(new Tls(empty), nobody, Duration.ZERO));
    String old = Files.writeString(folder.resolve("old"), "-----BEGIN RSA PRIVATE KEY-----\n").toString();
    says(ConfigError.class, "openssl pkcs8", () -> Dialling.readKey(old));
  }

  // ---- the desk

  private record Heard(List<String> answers, boolean isAlive) implements Desk.Waiter {
    @Override
    public boolean alive() {
      return isAlive;
    }

    @Override
    public void answer(Call call, Reply reply) {
      answers.add(call.operation() + " " + new String(reply.result()));
    }
  }

  @Test
  void oneOperationOfABranchRunsAtATimeAndWhoAsksAgainJoins() {
    List<Job> jobs = new ArrayList<>();
    Heard heard = new Heard(new ArrayList<>(), true);
    Desk desk = new Desk(jobs::add, 3);
    desk.ask(call(Operation.TRY, "1"), heard);
    desk.ask(call(Operation.CANCEL, "1"), heard);
    desk.ask(call(Operation.TRY, "1"), heard);
    desk.ask(call(Operation.TRY, "2"), heard);
    assertEquals(2, jobs.size(), "the cancel waits, the other branch does not");
    assertFalse(desk.ask(call(Operation.TRY, "3"), heard), "there is no room");
    jobs.get(0).answer(Reply.done("tried"));
    jobs.get(0).answer(Reply.done("once more"));
    assertEquals(3, jobs.size());
    jobs.get(2).answer(Reply.done("cancelled"));
    assertEquals(List.of("TRY tried", "TRY tried", "CANCEL cancelled"), heard.answers());
    assertEquals(1, desk.size());
  }

  @Test
  void whatNobodyWaitsForAnyMoreIsNotBegun() {
    List<Job> jobs = new ArrayList<>();
    Desk desk = new Desk(jobs::add, 3);
    desk.ask(call(Operation.TRY, "1"), new Heard(new ArrayList<>(), false));
    assertFalse(jobs.get(0).begin());
    desk.ask(call(Operation.TRY, "1"), new Heard(new ArrayList<>(), true));
    assertTrue(jobs.get(1).begin());
  }

  @Test
  void theFormerOwnerOfASlotIsNotHeard() {
    Desk desk = new Desk(job -> {}, 1);
    assertTrue(desk.heardFromOwner(1, 7, 5) && desk.heardFromOwner(1, 7, 5));
    assertTrue(desk.heardFromOwner(2, 7, 4) && desk.heardFromOwner(1, 7, 0));
    assertFalse(desk.heardFromOwner(1, 7, 4));
    assertTrue(desk.heardFromOwner(1, 7, -1), "epochs have no sign");
    assertFalse(desk.heardFromOwner(1, 7, 6));
  }

  // ---- a session

  private static final class Voice implements Session.Owner {
    final List<String> delivered = new ArrayList<>();

    @Override
    public void deliver(Held held, Verdict verdict, boolean finished) {
      delivered.add(held.branchId() + " " + verdict + " " + finished);
    }

    @Override
    public void log(String line) {}

    @Override
    public void wake() {}
  }

  private static final CoordinatorFrame WELCOME = CoordinatorFrame.newBuilder()
      .setWelcome(Welcome.newBuilder().setSessionId("s").setCoordinatorId(1).setEpoch(1)).build();

  private static Session session(Voice voice) {
    Desk desk = new Desk(job -> job.answer(Reply.done("x".repeat(200 * 1024))), 4096);
    return new Session("e", Hello.newBuilder().setMaxInFlight(600).build(), desk, new Counters(), voice);
  }

  @Test
  void aSessionsFramesKeepTheirLimitsAndItLeavesWhenAllIsAnswered() {
    Session session = session(new Voice());
    assertTrue(session.nextFrame().hasHello());
    assertEquals(null, session.nextFrame());
    session.onFrame(WELCOME);
    CoordinatorFrame.Builder commands = CoordinatorFrame.newBuilder();
    for (int id = 1; id <= 300; id++) {
      commands.addCommands(BranchCommand.newBuilder().setGid("g" + id).setBranchId("1").setAction("a").setCommandId(id)
          .setOperation(assent.v1.Operation.TRY).setProtocol(assent.v1.Protocol.TCC));
    }
    session.onFrame(commands.build());
    session.stop();
    int replies = 0;
    for (ParticipantFrame frame; (frame = session.nextFrame()) != null; replies += frame.getRepliesCount()) {
      assertTrue(frame.getSerializedSize() < 4 * 1024 * 1024 && frame.getRepliesCount() <= 256);
      assertEquals(replies == 0, frame.getGoodbye());
    }
    assertEquals(300, replies);
    assertTrue(session.isFinished());
  }

  @Test
  void aCoordinatorThatDoesNotKeepToTheProtocolIsGivenUp() {
    Session session = session(new Voice());
    says(IllegalStateException.class, "no Welcome", () -> session.onFrame(CoordinatorFrame.getDefaultInstance()));
    session.onFrame(WELCOME);
    says(IllegalStateException.class, "second Welcome", () -> session.onFrame(WELCOME));
  }

  @Test
  void anAnswerToWhatWasNotAskedIsDropped() {
    Voice voice = new Voice();
    Session session = session(voice);
    session.onFrame(WELCOME);
    session.question(new Held("g", "1", 1, -5));
    session.nextFrame();
    assertEquals(-5, session.nextFrame().getQueries(0).getBeganEpoch());
    OutcomeAnswer answer = OutcomeAnswer.newBuilder().setGid("g").setBranchId("1")
        .setVerdict(OutcomeAnswer.Verdict.COMMIT).setFinished(true).build();
    session.onFrame(CoordinatorFrame.newBuilder().addAnswers(answer.toBuilder().setBranchId("2")).addAnswers(answer)
        .addAnswers(answer).build());
    assertEquals(List.of("1 COMMIT true"), voice.delivered);
  }
}
