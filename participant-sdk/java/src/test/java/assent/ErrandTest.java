package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import assent.v1.ClusterMember;
import assent.v1.ClusterView;
import assent.v1.SubmitReply;
import assent.v1.SubmitRequest;
import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.BiFunction;
import org.junit.jupiter.api.Test;

/** How a client's call is repeated, and what may be concluded. */
class ErrandTest {
  private static final Retry RETRY = new Retry(Duration.ofMillis(10), Duration.ofMillis(100), Duration.ofSeconds(1));

  /** What an endpoint answers to the n-th call. */
  private interface Answer extends BiFunction<String, Integer, Transport.Attempt<Message>> {}

  /** Its clock is moved by pauses. */
  private static final class World implements Transport {
    final List<String> asked = new ArrayList<>();
    final Answer answer;
    Attempt<Message> map = Attempt.ok(ClusterView.getDefaultInstance());
    long now = 1000;

    World(Answer answer) {
      this.answer = answer;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <Q extends Message, R extends Message> CompletableFuture<Attempt<R>> ask(Ask<Q, R> ask) {
      if (ask.method() == (Object) Wire.CLUSTER) return CompletableFuture.completedFuture((Attempt<R>) map);
      asked.add(ask.endpoint());
      now++;
      Attempt<Message> attempt = answer.apply(ask.endpoint(), asked.size());
      return attempt == null ? new CompletableFuture<>() : CompletableFuture.completedFuture((Attempt<R>) attempt);
    }

    @Override
    public CompletableFuture<Void> pause(long ms) {
      now += Math.max(ms, 1);
      return CompletableFuture.completedFuture(null);
    }

    @Override
    public long nowMs() {
      return now;
    }
  }

  private static Transport.Attempt<Message> fails(Code code, boolean isContacted) {
    return new Transport.Attempt<>(code, "", null, isContacted, "", 0);
  }

  private static Transport.Attempt<Message> report() {
    return Transport.Attempt.ok(SubmitReply.newBuilder().setGid("g").build());
  }

  private static Errand<SubmitRequest, SubmitReply> errand(
      World world, boolean isReadOnly, long timeoutMs, String... seeds) {
    return new Errand<>(new Errand.Order<>(Wire.SUBMIT, SubmitRequest.getDefaultInstance(), "g", "Submit", timeoutMs,
        isReadOnly), new Routes(List.of(seeds.length == 0 ? new String[] {"a:1"} : seeds)), RETRY, world);
  }

  private static Throwable failure(CompletableFuture<?> future) {
    return assertThrows(CompletionException.class, future::join).getCause();
  }

  private static void ends(Class<?> kind, boolean isReadOnly, Answer answer) {
    assertInstanceOf(kind, failure(errand(new World(answer), isReadOnly, 5000).run()));
  }

  @Test
  void whatNobodyCanTellIsAskedAgainAndEndsAsUnknown() {
    for (Code code : List.of(Code.UNAVAILABLE, Code.UNKNOWN, Code.INTERNAL, Code.CANCELLED, Code.DEADLINE_EXCEEDED,
        Code.RESOURCE_EXHAUSTED, Code.OUT_OF_RANGE)) {
      World there = new World((endpoint, count) -> count < 4 ? fails(code, true) : report());
      assertEquals("g", errand(there, false, 5000).run().join().getGid(), code.name());
      ends(AssentException.UnknownOutcome.class, false, (endpoint, count) -> fails(code, true));
    }
  }

  @Test
  void withoutAConnectionNothingWasBegunAndOnceContactedItMayHaveBeen() {
    ends(AssentException.Unavailable.class, false, (endpoint, count) -> fails(Code.UNAVAILABLE, false));
    ends(AssentException.UnknownOutcome.class, false, (endpoint, count) -> fails(Code.UNAVAILABLE, count == 1));
    ends(AssentException.Unavailable.class, true, (endpoint, count) -> fails(Code.UNAVAILABLE, true));
    World slow = new World((endpoint, count) -> fails(Code.UNAVAILABLE, true));
    assertInstanceOf(AssentException.DeadlineExceeded.class, failure(errand(slow, true, 20).run()));
  }

  @Test
  void theCoordinatorsOwnCodesEndItAndThoseOfTheDoor() {
    Map<Code, Class<?>> all = Map.of(
        Code.INVALID_ARGUMENT, AssentException.InvalidArgument.class,
        Code.ALREADY_EXISTS, AssentException.AlreadyExists.class,
        Code.FAILED_PRECONDITION, AssentException.FailedPrecondition.class,
        Code.ABORTED, AssentException.Aborted.class,
        Code.DATA_LOSS, AssentException.DataLoss.class,
        Code.NOT_FOUND, AssentException.NotFound.class,
        Code.PERMISSION_DENIED, AssentException.UnknownOutcome.class,
        Code.UNIMPLEMENTED, AssentException.UnknownOutcome.class,
        Code.UNAUTHENTICATED, AssentException.UnknownOutcome.class);
    all.forEach((code, kind) -> {
      World there = new World((endpoint, count) -> fails(code, true));
      assertInstanceOf(kind, failure(errand(there, false, 5000).run()));
      assertEquals(1, there.asked.size(), code.name());
    });
    ends(AssentException.NotAllowed.class, true, (endpoint, count) -> fails(Code.PERMISSION_DENIED, true));
  }

  @Test
  void coordinatorsThatAreNotKnownToShareALogDoNotGetEachOthersWork() {
    World there = new World((endpoint, count) -> fails(Code.UNAVAILABLE, endpoint.equals("b:1")));
    there.map = fails(Code.UNAVAILABLE, false);
    assertInstanceOf(AssentException.UnknownOutcome.class, failure(errand(there, false, 5000, "a:1", "b:1").run()));
    assertEquals(Set.of("b:1"), new HashSet<>(there.asked.subList(1, there.asked.size())));
  }

  @Test
  void inAClusterTheOwnerIsAskedThenOthersAndWhoIsNamed() {
    byte[] slots = new byte[16];
    slots[2 * Routes.slotOf("g", 8)] = 2;
    ClusterView.Builder view =
        ClusterView.newBuilder().setVersion(3).setGeneration(1).setSlots(ByteString.copyFrom(slots));
    for (String address : List.of("a:1", "b:1", "c:1")) view.addMembers(ClusterMember.newBuilder().setAddress(address));
    World moved = new World((endpoint, count) -> endpoint.equals("d:1") ? report()
        : new Transport.Attempt<>(Code.UNAVAILABLE, "", null, true, endpoint.equals("b:1") ? "d:1" : "", 0));
    moved.map = Transport.Attempt.ok(view.build());
    assertEquals("g", errand(moved, false, 5000).run().join().getGid());
    assertEquals(List.of("b:1", "d:1"), moved.asked);
    World others = new World((endpoint, count) -> endpoint.equals("c:1") ? report() : fails(Code.UNAVAILABLE, true));
    others.map = moved.map;
    errand(others, false, 5000).run().join();
    assertEquals(List.of("b:1", "a:1", "c:1"), others.asked);
  }

  @Test
  void whatIsGivenUpWhileItIsAskedMayHaveBeenDone() {
    World silent = new World((endpoint, count) -> null);
    Errand<SubmitRequest, SubmitReply> errand = errand(silent, false, 5000);
    CompletableFuture<SubmitReply> reply = errand.run();
    errand.giveUp(new InterruptedException());
    AssentException.UnknownOutcome unknown = assertInstanceOf(AssentException.UnknownOutcome.class, failure(reply));
    assertEquals("g", unknown.gid());
    assertTrue(unknown.getCause() instanceof InterruptedException);
  }

  @Test
  void theSlotOfAGidIsThatOfEveryOtherSdk() {
    assertEquals(0x2325, Routes.slotOf("", 1 << 16));
    assertEquals(0xec8c, Routes.slotOf("a", 1 << 16)); // the published value of "a"
  }
}
