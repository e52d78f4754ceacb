package assent;

import assent.v1.ClusterView;
import assent.v1.CoordinatorFrame;
import assent.v1.ParticipantFrame;
import assent.v1.WatchClusterRequest;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;

/**
 * Keeps a session with one endpoint: dials, talks, waits, dials again. One thread has it, and that thread alone sends:
 * answers that come while it is busy share a frame.
 */
final class Link implements Runnable {
  private static final long TICK_MS = 200;

  private final Participant owner;
  private final Roster roster;
  private final Backoff backoff;
  final String endpoint;
  volatile Session session;
  volatile String failure = "not tried yet";
  /** It leads nowhere any more: not dialled again when its session has ended. */
  volatile boolean isRetired;

  // Guarded by this link's lock.
  private boolean isWoken;
  private String ended; // why the stream ended

  private String told; // the last failure that was logged; of this link's thread

  Link(Participant owner, Roster roster, Participant.Builder options, String endpoint) {
    this.owner = owner;
    this.roster = roster;
    this.endpoint = endpoint;
    backoff = new Backoff(options.initialBackoff, options.maxBackoff);
  }

  @Override
  public void run() {
    while (!owner.isStopping() && !isRetired) {
      if (owner.isSpare(this)) {
        owner.pause(TICK_MS);
        continue;
      }
      failure = converse();
      owner.changed();
      if (session.wasGood()) backoff.reset();
      long waitMs = backoff.nextMs();
      if (owner.isStopping() || isRetired) break;
      logFailure(session.wasOpened());
      owner.pause(waitMs);
    }
    owner.changed();
  }

  /** One line for each change, not for each attempt. */
  private void logFailure(boolean wasOpen) {
    String line = Text.oneLine(
        (wasOpen ? "disconnected" : "not connected") + " endpoint=" + endpoint + " reason=\"" + failure + "\"");
    if (wasOpen || !line.equals(told)) roster.warn(line);
    told = line;
  }

  /** What it ended with. */
  private String converse() {
    synchronized (this) {
      ended = null;
      isWoken = true;
    }
    Session talk = new Session(endpoint, roster.hello(endpoint), roster.desk, roster.counters, new Voice());
    session = talk;
    ManagedChannel channel = null;
    try {
      Metadata metadata = roster.dialling.metadata(endpoint);
      channel = roster.dialling.connect(endpoint);
      ClientCall<ParticipantFrame, CoordinatorFrame> call = channel.newCall(Wire.CONNECT, CallOptions.DEFAULT);
      call.start(new Stream(talk, channel, call), metadata);
      call.request(1);
      carry(talk, call);
      call.cancel("the session has ended", null);
      synchronized (this) {
        return ended;
      }
    } catch (RuntimeException | Error wrong) { // it is dialled again, whatever it was
      return Text.sentenceOf(wrong);
    } finally {
      talk.close();
      if (channel != null) channel.shutdownNow();
    }
  }

  /** Until the stream has ended. */
  private void carry(Session talk, ClientCall<ParticipantFrame, CoordinatorFrame> call) {
    boolean isHalfClosed = false;
    while (waitForWork(talk)) {
      while (call.isReady()) {
        ParticipantFrame frame = talk.nextFrame();
        if (frame == null) break;
        call.sendMessage(frame);
      }
      if (!isHalfClosed && talk.isFinished()) {
        call.halfClose();
        isHalfClosed = true;
      }
    }
  }

  /** False: it has ended. */
  private synchronized boolean waitForWork(Session talk) {
    while (ended == null && !isWoken) {
      try {
        wait(TICK_MS);
      } catch (InterruptedException nobodys) {
        ended = "the thread was interrupted";
      }
      String complaint = talk.complaint();
      if (complaint != null) end(complaint);
    }
    isWoken = false;
    return ended == null;
  }

  private synchronized void end(String why) {
    if (ended == null) ended = why;
    notifyAll();
  }

  private synchronized void wake() {
    isWoken = true;
    notifyAll();
  }

  /** Tears it down, whatever is unanswered. */
  void abandon() {
    end("given up here");
  }

  private final class Voice implements Session.Owner {
    @Override
    public void deliver(Held held, Verdict verdict, boolean finished) {
      owner.later(() -> roster.deliver(held, verdict, finished));
    }

    @Override
    public void log(String line) {
      roster.log(line);
    }

    @Override
    public void wake() {
      Link.this.wake();
    }
  }

  /** What comes in, on gRPC's threads, one after the other. */
  private final class Stream extends ClientCall.Listener<CoordinatorFrame> {
    private final Session talk;
    private final ManagedChannel channel;
    private final ClientCall<ParticipantFrame, CoordinatorFrame> call;

    Stream(Session talk, ManagedChannel channel, ClientCall<ParticipantFrame, CoordinatorFrame> call) {
      this.talk = talk;
      this.channel = channel;
      this.call = call;
    }

    @Override
    public void onReady() {
      wake();
    }

    @Override
    public void onMessage(CoordinatorFrame frame) {
      try {
        boolean isFirst = !talk.wasOpened();
        talk.onFrame(frame);
        if (isFirst) onWelcome(talk, channel);
        call.request(1);
      } catch (RuntimeException | Error wrong) {
        end("the coordinator at " + endpoint + " does not keep to the protocol: " + Text.sentenceOf(wrong));
      }
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      if (status.isOk()) end("the coordinator ended the session");
      else if (talk.wasOpened()) end(Why.ended(status));
      else end(Why.unconnected(status, roster.dialling.isSecure(endpoint)));
    }
  }

  /** Follows who shares the log, for as long as the session stands. */
  private void onWelcome(Session talk, ManagedChannel channel) {
    if (owner.isSpare(this)) {
      talk.stop();
      return;
    }
    owner.changed();
    owner.askSoon();
    if (!talk.isClustered()) return;
    ClientCall<WatchClusterRequest, ClusterView> watch = channel.newCall(Wire.WATCH_CLUSTER, CallOptions.DEFAULT);
    // It ends with the session's connection, or the next session asks again.
    watch.start(new ClientCall.Listener<>() {
      @Override
      public void onMessage(ClusterView view) {
        roster.learn(talk.coordinatorId(), view);
        owner.dialWanted();
        watch.request(1);
      }
    }, roster.dialling.metadata(endpoint));
    watch.sendMessage(WatchClusterRequest.getDefaultInstance());
    watch.halfClose();
    watch.request(1);
  }
}
