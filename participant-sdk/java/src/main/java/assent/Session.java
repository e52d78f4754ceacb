package assent;

import assent.v1.BranchCommand;
import assent.v1.BranchReply;
import assent.v1.CoordinatorFrame;
import assent.v1.Hello;
import assent.v1.OutcomeAnswer;
import assent.v1.OutcomeQuery;
import assent.v1.ParticipantFrame;
import assent.v1.Welcome;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.TimeUnit;

/**
 * One conversation with one coordinator, over one connection: what came in, and what is to be sent. Without gRPC;
 * {@link Link} carries it out.
 *
 * <p>A reply is sent only on the connection that its command came on, at most once. Whatever breaks, the coordinator
 * asks again, and the desk answers the second asking with the first's run.
 */
final class Session {
  /** For the Welcome, and for the end of a stream that is half-closed. */
  static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(10);
  /** One that lasted so long: the next dial does not inherit the waits of the failures before it. */
  private static final long GOOD_CONNECTION_NANOS = TimeUnit.SECONDS.toNanos(5);
  private static final int MAX_QUESTIONS = 1024;
  private static final int REPLY_OVERHEAD_BYTES = 1500; // what is not its result has at most so many

  private record Key(String gid, String branchId) {}

  /** Whom it tells. */
  interface Owner {
    void deliver(Held held, Verdict verdict, boolean finished);

    void log(String line);

    /** There may be a frame to be sent. */
    void wake();
  }

  private final String endpoint;
  private final Hello hello;
  private final Desk desk;
  private final Counters counters;
  private final Owner owner;

  // All below is guarded by this session's lock; what is volatile may be read without it.
  private final Queue<BranchReply> replies = new ArrayDeque<>();
  private final Queue<OutcomeQuery> queries = new ArrayDeque<>();
  private final Map<Key, Held> asked = new HashMap<>();
  private int inFlight; // commands whose reply is not queued yet
  private boolean helloDue = true;
  private boolean goodbyeDue;
  private boolean toldStale;
  private long dueNanos = System.nanoTime() + PATIENCE_NANOS; // when our patience ends, if it is waited for
  private boolean isWaitedFor = true;
  private volatile boolean draining;
  private volatile boolean halfClosed;
  private volatile boolean closed;
  private volatile long openedAtNanos;
  private volatile Welcome welcome;

  Session(String endpoint, Hello hello, Desk desk, Counters counters, Owner owner) {
    this.endpoint = endpoint;
    this.hello = hello;
    this.desk = desk;
    this.counters = counters;
    this.owner = owner;
  }

  // ---- what comes in

  /** Frames come one after the other. An exception: the coordinator does not keep to the protocol, give it up. */
  void onFrame(CoordinatorFrame frame) {
    if (closed) return;
    if (frame.hasWelcome() == wasWelcomed()) {
      throw new IllegalStateException(wasWelcomed() ? "a second Welcome" : "its first frame has no Welcome");
    }
    if (frame.hasWelcome()) onWelcome(frame.getWelcome());
    for (BranchCommand command : frame.getCommandsList()) onCommand(command);
    for (OutcomeAnswer answer : frame.getAnswersList()) onAnswer(answer);
    if (frame.getGoodbye()) {
      owner.log("coordinator says goodbye endpoint=" + endpoint);
      drain(false);
    }
  }

  private void onWelcome(Welcome said) {
    synchronized (this) {
      isWaitedFor = false;
      openedAtNanos = System.nanoTime();
      welcome = said;
    }
    counters.connections.incrementAndGet();
    owner.log(Text.oneLine("connected session=" + Text.cut(said.getSessionId(), 64) + " coordinator="
        + said.getCoordinatorId() + " epoch=" + Long.toUnsignedString(said.getEpoch()) + " endpoint=" + endpoint));
  }

  private void onCommand(BranchCommand command) {
    counters.commands.incrementAndGet();
    if (!desk.heardFromOwner(coordinatorId(), command.getSlot(), command.getSlotEpoch())) {
      // Without an answer: whoever sent it has lost the slot and must not conclude anything.
      counters.staleCommands.incrementAndGet();
      if (!toldStale) {
        owner.log("command dropped, another coordinator has slot " + command.getSlot() + " since endpoint=" + endpoint);
      }
      toldStale = true;
      return;
    }
    Call call;
    try {
      call = Wire.call(command);
    } catch (IllegalArgumentException wrong) {
      queue(command, Reply.retryLater("ill-formed command: " + wrong.getMessage()));
      return;
    }
    synchronized (this) {
      inFlight++;
    }
    if (inFlight() > hello.getMaxInFlight()) {
      answer(command,
          Reply.retryLater("more than maxInFlight (" + hello.getMaxInFlight() + ") commands are unanswered here"));
    } else if (!desk.ask(call, new Asker(command))) {
      answer(command, Reply.retryLater("the participant's queue is full (maxQueuedCalls)"));
    }
  }

  private final class Asker implements Desk.Waiter {
    private final BranchCommand command;

    Asker(BranchCommand command) {
      // Not its payload: it is the desk's.
      this.command = BranchCommand.newBuilder().setGid(command.getGid()).setBranchId(command.getBranchId())
          .setOperationValue(command.getOperationValue()).setCommandId(command.getCommandId()).build();
    }

    @Override
    public boolean alive() {
      return Session.this.alive();
    }

    @Override
    public void answer(Call call, Reply reply) {
      Session.this.answer(command, reply);
    }
  }

  /** One to something that was not asked on this connection is dropped: it would be a stranger's verdict. */
  private void onAnswer(OutcomeAnswer answer) {
    Held held;
    synchronized (this) {
      held = asked.remove(new Key(answer.getGid(), answer.getBranchId()));
    }
    Verdict verdict = switch (answer.getVerdict()) {
      case UNDECIDED -> Verdict.UNDECIDED;
      case COMMIT -> Verdict.COMMIT;
      case ABORT -> Verdict.ABORT;
      case CANNOT_TELL -> Verdict.CANNOT_TELL;
      case VERDICT_UNSPECIFIED, UNRECOGNIZED -> null;
    };
    if (held != null && verdict != null) owner.deliver(held, verdict, answer.getFinished());
  }

  // ---- what goes out

  private boolean alive() {
    return !closed && !halfClosed;
  }

  private boolean wasWelcomed() {
    return welcome != null;
  }

  private synchronized int inFlight() {
    return inFlight;
  }

  private void answer(BranchCommand command, Reply reply) {
    synchronized (this) {
      inFlight--;
      if (!alive()) {
        counters.droppedReplies.incrementAndGet();
        return;
      }
    }
    queue(command, reply);
  }

  private void queue(BranchCommand command, Reply reply) {
    BranchReply message = Wire.reply(command, reply);
    synchronized (this) {
      if (closed) {
        counters.droppedReplies.incrementAndGet();
        return;
      }
      counters.replies.incrementAndGet();
      replies.add(message);
    }
    owner.wake();
  }

  /** Beyond MAX_QUESTIONS unanswered ones, and while it is not open, they are dropped, and come again. */
  void question(Held held) {
    synchronized (this) {
      Key key = new Key(held.gid(), held.branchId());
      if (!isOpen() || asked.size() >= MAX_QUESTIONS || asked.putIfAbsent(key, held) != null) return;
      queries.add(OutcomeQuery.newBuilder().setGid(held.gid()).setBranchId(held.branchId())
          .setCoordinatorId(held.coordinatorId()).setBeganEpoch(held.beganEpoch()).build());
    }
    owner.wake();
  }

  /** Says goodbye, answers what it has, and ends. */
  void stop() {
    drain(true);
  }

  private void drain(boolean goodbye) {
    synchronized (this) {
      goodbyeDue |= goodbye && !draining;
      draining = true;
      queries.clear();
    }
    owner.wake();
  }

  /** To be sent now; null: nothing. (Then, if {@code finished}, the stream is to be half-closed.) */
  synchronized ParticipantFrame nextFrame() {
    if (!alive()) return null;
    if (helloDue) {
      helloDue = false;
      return ParticipantFrame.newBuilder().setHello(hello).build();
    }
    if (!wasWelcomed()) return null;
    if (!replies.isEmpty() || !queries.isEmpty() || goodbyeDue) return fill();
    if (draining && inFlight == 0) {
      halfClosed = true;
      isWaitedFor = true;
      dueNanos = System.nanoTime() + PATIENCE_NANOS;
    }
    return null;
  }

  private ParticipantFrame fill() {
    ParticipantFrame.Builder frame = ParticipantFrame.newBuilder();
    int count = 0;
    for (int size = 0; !replies.isEmpty() && count < Limits.MAX_FRAME_MESSAGES && size < Limits.FRAME_BYTES; count++) {
      size += replies.peek().getResult().size() + REPLY_OVERHEAD_BYTES;
      frame.addReplies(replies.remove());
    }
    for (; !queries.isEmpty() && count < Limits.MAX_FRAME_MESSAGES; count++) frame.addQueries(queries.remove());
    frame.setGoodbye(goodbyeDue);
    goodbyeDue = false;
    return frame.build();
  }

  /** Nothing more will be sent. */
  boolean isFinished() {
    return !alive();
  }

  /** The connection is gone. */
  synchronized void close() {
    closed = true;
    counters.droppedReplies.addAndGet(replies.size());
    replies.clear();
  }

  // ---- how it stands

  boolean isOpen() {
    return wasWelcomed() && !draining && !closed;
  }

  boolean wasOpened() {
    return wasWelcomed();
  }

  boolean wasGood() {
    return wasWelcomed() && System.nanoTime() - openedAtNanos >= GOOD_CONNECTION_NANOS;
  }

  long openedAtNanos() {
    return openedAtNanos;
  }

  int coordinatorId() {
    Welcome said = welcome;
    return said == null ? 0 : said.getCoordinatorId();
  }

  long epoch() {
    Welcome said = welcome;
    return said == null ? 0 : said.getEpoch();
  }

  boolean isClustered() {
    Welcome said = welcome;
    return said != null && said.getClusterVersion() != 0;
  }

  /** Why it should be torn down, if our patience has ended; null: it has not. */
  synchronized String complaint() {
    if (closed || !isWaitedFor || System.nanoTime() - dueNanos < 0) return null;
    long ms = TimeUnit.NANOSECONDS.toMillis(PATIENCE_NANOS);
    return wasWelcomed()
        ? "the coordinator at " + endpoint + " did not end the session within " + ms + " ms"
        : "the coordinator at " + endpoint + " did not say Welcome within " + ms + " ms; is assentd running there?";
  }
}
