package assent;

import assent.AssentException.ConfigError;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a service does, whoever asks it: a name, adapters, and plain handlers. Run it with {@link Participant} or
 * {@link UnaryServer}.
 *
 * <p>Plain handlers have to keep the contract by themselves: the same call again has no second effect and gets the same
 * answer, an undo that comes first is done, and its forward operation is refused from then on. The adapter
 * ({@link assent.jdbc.JdbcBarrier}) keeps all of it, inside the local transaction: prefer it.
 */
public final class Service extends Actions<Handler, SecondHandler> {
  private final String name;
  private final List<Resource> resources;

  public Service(String name, Resource... resources) {
    checkName("service", name);
    this.name = name;
    this.resources = List.of(resources);
  }

  /** Of work that the handlers themselves keep prepared. */
  public Action.TwoPhase<Handler, SecondHandler> twoPhase(String action) {
    return put(new Action.TwoPhase<>(action));
  }

  public String name() {
    return name;
  }

  List<Resource> resources() {
    return resources;
  }

  /** Of one action: an adapter, or null for a plain one. */
  record Owner(Action<?, ?> action, Resource resource) {}

  /** Who does what. ConfigError for what is wrong. */
  Map<String, Owner> owners() {
    List<Owner> all = new ArrayList<>();
    for (Action<?, ?> action : actions()) all.add(new Owner(action, null));
    for (Resource resource : resources) {
      for (Action<?, ?> action : resource.actions()) all.add(new Owner(action, resource));
    }
    Map<String, Owner> owners = new LinkedHashMap<>();
    for (Owner owner : all) {
      owner.action().check();
      if (owners.putIfAbsent(owner.action().key(), owner) != null) {
        throw new ConfigError("action " + owner.action().key() + " is registered twice");
      }
    }
    if (owners.isEmpty()) {
      throw new ConfigError("service " + name + " has no action: register one with tcc, saga or twoPhase");
    }
    if (owners.size() > Limits.MAX_ACTIONS) {
      throw new ConfigError("service " + name + " has " + owners.size() + " actions; at most " + Limits.MAX_ACTIONS);
    }
    return owners;
  }

  /** Runs a plain handler. */
  Reply run(Call call) {
    Action<Handler, SecondHandler> action = find(call);
    try {
      if (call.operation().role() != Operation.Role.FORWARD) {
        SecondHandler second = action.second(call.operation());
        if (second != null) second.handle(call);
        return Reply.done();
      }
      Reply reply = Reply.ofHandler(action.forward().handle(call), call);
      boolean commits = call.operation() == Operation.PREPARE && call.onePhase() && reply.kind() == Kind.DONE;
      if (commits) action.second(Operation.COMMIT).handle(call);
      return reply;
    } catch (Throwable failed) { // whatever it is, the next operation of this branch waits for the answer
      return Reply.ofException(failed);
    }
  }
}
