package assent;

import java.util.ArrayList;
import java.util.List;

/**
 * The endpoints that one call tries: each of them once, then it should wait, and so on.
 *
 * <p>What may have been done at an endpoint is repeated there alone, until it is known who shares its log.
 */
final class Tour {
  private final Routes routes;
  private final String gid;
  private final List<String> tried = new ArrayList<>();
  private String last = "";
  private String moved = "";
  private boolean isContacted;

  Tour(Routes routes, String gid) {
    this.routes = routes;
    this.gid = gid;
  }

  private List<String> open() {
    if (!moved.isEmpty() && !tried.contains(moved)) return List.of(moved);
    if (isBound()) return List.of();
    return routes.inOrder(gid).stream().filter(endpoint -> !tried.contains(endpoint)).toList();
  }

  /** To the endpoint that was tried last. */
  boolean isBound() {
    return isContacted && !routes.isShared();
  }

  String next() {
    List<String> open = open();
    if (open.isEmpty() && !isBound()) {
      rest();
      open = open();
    }
    last = open.isEmpty() ? last : open.get(0);
    moved = "";
    tried.add(last);
    return last;
  }

  boolean hasMore() {
    return !open().isEmpty();
  }

  void contacted() {
    isContacted = true;
  }

  void moved(String endpoint) {
    moved = endpoint;
  }

  void rest() {
    tried.clear();
  }
}
