package assent.jdbc;

import assent.Reply;
import assent.Service;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;

/** A participant that notes what comes, in the order in which it comes, each gid once. */
final class OutboxNotes {
  private final List<String> notes = new ArrayList<>();
  private final Set<String> gids = new HashSet<>();
  private int repeats;
  private volatile CountDownLatch held = new CountDownLatch(0);

  Service service() {
    Service desk = new Service("desk");
    desk.saga("note").onAction(call -> {
      held.await();
      synchronized (this) {
        if (gids.add(call.gid())) notes.add(new String(call.payload(), StandardCharsets.ISO_8859_1));
        else if (call.branchId().equals("1")) repeats++;
      }
      return Reply.done();
    });
    return desk;
  }

  synchronized List<String> all() {
    return List.copyOf(notes);
  }

  synchronized int repeats() {
    return repeats;
  }

  synchronized void clear() {
    notes.clear();
    repeats = 0;
  }

  /** What comes waits, until {@link #release}. */
  void hold() {
    held = new CountDownLatch(1);
  }

  void release() {
    held.countDown();
  }
}
