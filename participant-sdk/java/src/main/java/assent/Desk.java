package assent;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The calls that a participant holds: who waits for each, and which may run.
 *
 * <p>For one branch (gid, branchId) at most one call runs at any moment, and one operation of it is held at most once:
 * a command for an operation that is held joins it and gets its answer. Nobody is called while the desk is locked.
 */
final class Desk {
  private static final int MAX_SLOTS = 32768; // of one cluster

  /** Who asked. Answered at most once. */
  interface Waiter {
    /** False: its connection is gone, and the answer would be of no use. Takes no lock. */
    boolean alive();

    void answer(Call call, Reply reply);
  }

  private record Key(String gid, String branchId) {}

  private record Slot(int coordinatorId, int slot) {}

  private static final class Entry {
    final Call call;
    List<Waiter> waiters = new ArrayList<>();
    long sinceNanos = System.nanoTime();

    Entry(Call call, Waiter waiter) {
      this.call = call;
      waiters.add(waiter);
    }
  }

  private final Consumer<Job> execute;
  private final int maxCalls;
  private final Map<Key, Deque<Entry>> lines = new HashMap<>(); // of each branch, the running one first
  private final Map<Slot, Long> slotEpochs = new HashMap<>(); // the highest seen
  private int count;

  Desk(Consumer<Job> execute, int maxCalls) {
    this.execute = execute;
    this.maxCalls = maxCalls;
  }

  /**
   * False for a command of a coordinator that has lost the transaction's slot to another, and does not know. Remembered
   * by this process alone: it spares work that a barrier would refuse, and nothing rests on it.
   */
  synchronized boolean heardFromOwner(int coordinatorId, int slot, long epoch) {
    if (epoch == 0 || slot < 0 || slot >= MAX_SLOTS) return true;
    long highest = slotEpochs.merge(new Slot(coordinatorId, slot), epoch,
        (old, now) -> Long.compareUnsigned(old, now) > 0 ? old : now);
    return highest == epoch;
  }

  /** False: there is no room, and nothing was taken. */
  boolean ask(Call call, Waiter waiter) {
    Key key = new Key(call.gid(), call.branchId());
    Entry entry;
    synchronized (this) {
      Deque<Entry> line = lines.get(key);
      if (line != null) {
        for (Entry held : line) {
          if (held.call.operation() != call.operation()) continue;
          held.waiters.add(waiter);
          held.sinceNanos = System.nanoTime(); // its coordinator waits anew
          return true;
        }
      }
      if (count >= maxCalls) return false;
      count++;
      entry = new Entry(call, waiter);
      if (line != null) {
        line.add(entry);
        return true;
      }
      lines.put(key, new ArrayDeque<>(List.of(entry)));
    }
    run(key, entry);
    return true;
  }

  synchronized int size() {
    return count;
  }

  private void run(Key key, Entry entry) {
    Job job = new Job(entry.call, reply -> finish(key, entry, reply), () -> isWanted(entry));
    try {
      execute.accept(job);
    } catch (RuntimeException failed) {
      job.answer(Reply.ofException(failed)); // of a resource: nothing says that it has begun
    }
  }

  private synchronized boolean isWanted(Entry entry) {
    entry.waiters.removeIf(waiter -> !waiter.alive());
    if (entry.waiters.isEmpty()) return false;
    long waitedMs = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - entry.sinceNanos);
    return entry.call.timeout().isZero() || waitedMs < entry.call.timeout().toMillis();
  }

  private void finish(Key key, Entry entry, Reply reply) {
    List<Waiter> waiters;
    Entry next;
    synchronized (this) {
      Deque<Entry> line = lines.get(key);
      line.remove();
      count--;
      next = line.peek();
      if (next == null) lines.remove(key);
      waiters = entry.waiters;
    }
    for (Waiter waiter : waiters) waiter.answer(entry.call, reply);
    if (next != null) run(key, next);
  }
}
