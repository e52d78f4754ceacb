package assent;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A branch's whole life in the test's process, without a coordinator: for unit tests of handlers.
 *
 * <pre>{@code
 * try (var kit = new TestKit(service)) {
 *   assertEquals(List.of(), kit.checkContract(Branch.tcc("cinema", "seat", "A1")));
 *   assertTrue(kit.ask("g1", Branch.tcc("cinema", "seat", "B7"), Operation.TRY).isDone());
 * }
 * }</pre>
 */
public final class TestKit implements AutoCloseable {
  private static final long PATIENCE_SECONDS = 30;

  private final Dispatcher dispatcher;

  /** Of the service with its adapters, which are started. */
  public TestKit(Service service) {
    dispatcher = new Dispatcher(service, 1);
    dispatcher.start();
  }

  /** One operation of a branch of a transaction, answered. */
  public Reply ask(String gid, Branch branch, Operation operation) {
    String id = branch.id().isEmpty() ? "1" : branch.id();
    Call call = Call.of(gid, id, operation, branch.action(), branch.payload()).withHeaders(branch.headers());
    CompletableFuture<Reply> answer = new CompletableFuture<>();
    dispatcher.execute(new Job(call, answer::complete, () -> true));
    return answer.completeOnTimeout(Reply.unknown("no answer within " + PATIENCE_SECONDS + " s"), PATIENCE_SECONDS,
        TimeUnit.SECONDS).join();
  }

  /**
   * Run to the end, undo, each operation twice, undo before forward, forward after undo, finish without forward, each
   * with a new gid. {@code branch}: one whose forward operation succeeds, each time. One sentence for each fault; none:
   * the contract is kept.
   */
  public List<String> checkContract(Branch branch) {
    List<String> broken = new ArrayList<>();
    toTheEnd(new Play("to the end", branch, broken));
    undone(new Play("undone", branch, broken));
    early(new Play("undone before it came", branch, broken));
    Operation finish = finishOf(branch.protocol());
    if (finish != null) new Play("finished without its forward operation", branch, broken).expect(finish, Kind.REFUSED);
    return broken;
  }

  private static Operation of(Protocol protocol, Operation.Role role) {
    for (Operation operation : Operation.values()) {
      if (operation.protocol() == protocol && operation.role() == role) return operation;
    }
    return null;
  }

  private static Operation finishOf(Protocol protocol) {
    return of(protocol, Operation.Role.FINISH);
  }

  private static void toTheEnd(Play play) {
    Reply tried = play.twice(play.forward, Kind.DONE);
    if (play.finish != null) {
      play.twice(play.finish, Kind.DONE);
      play.expect(play.undo, Kind.REFUSED);
    }
    play.same(tried, play.forward, "late");
  }

  private static void undone(Play play) {
    Reply tried = play.twice(play.forward, Kind.DONE);
    play.twice(play.undo, Kind.DONE);
    play.same(tried, play.forward, "late");
    if (play.finish != null) play.expect(play.finish, Kind.REFUSED);
  }

  private static void early(Play play) {
    play.twice(play.undo, Kind.DONE);
    play.twice(play.forward, Kind.REFUSED);
    play.expect(play.undo, Kind.DONE);
    if (play.finish != null) play.expect(play.finish, Kind.REFUSED);
  }

  /** One branch. */
  private final class Play {
    final Operation forward;
    final Operation finish;
    final Operation undo;
    private final String name;
    private final Branch branch;
    private final List<String> broken;
    private final String gid = Transaction.newGid();

    Play(String name, Branch branch, List<String> broken) {
      this.name = name;
      this.branch = branch;
      this.broken = broken;
      forward = of(branch.protocol(), Operation.Role.FORWARD);
      finish = finishOf(branch.protocol());
      undo = of(branch.protocol(), Operation.Role.UNDO);
    }

    Reply expect(Operation operation, Kind kind) {
      Reply reply = ask(gid, branch, operation);
      boolean isSo = kind == Kind.DONE ? reply.isDone() : reply.kind() == kind;
      if (!isSo) {
        String reason = reply.reason().isEmpty() ? "no reason" : reply.reason();
        broken.add(name + ": " + operation + " was answered " + reply.kind() + " (" + reason + "), not " + kind);
      }
      return reply;
    }

    Reply twice(Operation operation, Kind kind) {
      Reply first = expect(operation, kind);
      same(first, operation, "asked again");
      return first;
    }

    void same(Reply first, Operation operation, String when) {
      Reply again = ask(gid, branch, operation);
      if (first.saysTheSameAs(again)) return;
      broken.add(name + ": " + operation + " " + when + " was answered otherwise: " + first.kind() + " "
          + first.reason() + first.text() + " then " + again.kind() + " " + again.reason() + again.text());
    }
  }

  /** Closes the service's adapters. */
  @Override
  public void close() {
    dispatcher.close();
  }
}
