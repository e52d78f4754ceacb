package assent;

import assent.v1.ClusterMember;
import assent.v1.ClusterView;
import assent.v1.DepartedMember;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Which coordinators there are, and who has which transactions, as far as it is known. */
final class Routes {
  private static final int MAX_MEMBERS = 1024;

  private final List<String> seeds;
  private List<String> endpoints;
  private boolean isShared;
  private Long lookedAtMs;
  private int[] owners = {};
  private List<String> byPlace = List.of();
  private long generation;
  private long version;

  Routes(List<String> seeds) {
    this.seeds = List.copyOf(seeds);
    endpoints = this.seeds;
  }

  /** They are known to be coordinators of one log: what may have been done at one can be asked of another. */
  synchronized boolean isShared() {
    return isShared;
  }

  /** What {@code endpoint} says of itself and the others. */
  synchronized void learn(String endpoint, ClusterView view) {
    if (view.getVersion() == 0) {
      // It shares its log with nobody, so none of the others can do its work.
      if (!isShared) endpoints = List.of(endpoint);
      return;
    }
    int order = Long.compareUnsigned(view.getGeneration(), generation);
    boolean isOlder = order < 0 || (order == 0 && Long.compareUnsigned(view.getVersion(), version) < 0);
    byte[] slots = view.getSlots().toByteArray();
    int count = view.getMembersCount();
    if (isOlder || slots.length == 0 || slots.length % 2 != 0 || count == 0 || count > MAX_MEMBERS) return;
    List<String> members = view.getMembersList().stream().map(ClusterMember::getAddress).toList();
    Set<String> all = new LinkedHashSet<>(members);
    List<String> left = view.getDepartedList().stream().map(DepartedMember::getAddress).toList();
    for (String seed : seeds) {
      if (!left.contains(seed)) all.add(seed);
    }
    generation = view.getGeneration();
    version = view.getVersion();
    isShared = true;
    endpoints = List.copyOf(all);
    byPlace = members;
    owners = new int[slots.length / 2];
    for (int at = 0; at < owners.length; at++) owners[at] = slots[2 * at] & 0xff | (slots[2 * at + 1] & 0xff) << 8;
  }

  /** The owner first, if it is known. */
  synchronized List<String> inOrder(String gid) {
    if (owners.length == 0) return endpoints;
    int place = owners[slotOf(gid, owners.length)] - 1;
    if (place < 0 || place >= byPlace.size()) return endpoints;
    Set<String> order = new LinkedHashSet<>();
    order.add(byPlace.get(place));
    order.addAll(endpoints);
    return new ArrayList<>(order);
  }

  synchronized boolean isLookDue(long nowMs, long maxAgeMs) {
    return lookedAtMs == null || nowMs - lookedAtMs > maxAgeMs;
  }

  synchronized void looked(long nowMs) {
    lookedAtMs = nowMs;
  }

  /** Whoever failed may have lost what it had: the next call asks who has it. */
  synchronized void lookSoon(long nowMs, long minAgeMs) {
    if (lookedAtMs != null && nowMs - lookedAtMs > minAgeMs) lookedAtMs = null;
  }

  /** FNV-1a, 64 bits. */
  static int slotOf(String gid, int slots) {
    long value = 0xcbf29ce484222325L;
    for (byte one : gid.getBytes(StandardCharsets.UTF_8)) value = (value ^ (one & 0xff)) * 0x100000001b3L;
    return (int) Long.remainderUnsigned(value, slots);
  }
}
