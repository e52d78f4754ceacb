package assent;

import assent.AssentException.ConfigError;
import assent.v1.ActionInfo;
import assent.v1.ClusterMember;
import assent.v1.ClusterView;
import assent.v1.Hello;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What the sessions of one participant have in common: who is dialled, and questions about what is held. */
final class Roster {
  private static final System.Logger LOG = System.getLogger("assent");
  private static final int MAX_MEMBERS = 32; // of one cluster: more are not dialled
  private static final int MIN_SHARE = 32; // commands in flight for each of several coordinators, at the least
  private static final int QUESTIONS_AT_ONCE = 256;

  private final Service service;
  private final Participant.Builder options;
  private final List<String> seeds;
  private final String instance;
  final Dispatcher dispatcher;
  final Dialling dialling;
  final Desk desk;
  final Counters counters = new Counters();

  // Guarded by this roster's lock.
  private final Map<Integer, List<String>> members = new HashMap<>(); // by coordinator id
  private Map<Held, Resource> holders = new HashMap<>();
  private int turn;

  /** ConfigError for what is wrong. */
  Roster(Service service, Participant.Builder options) {
    this.service = service;
    this.options = options;
    instance = options.instance.isEmpty() ? hostAndProcess() : options.instance;
    if (Text.bytes(instance) > Limits.MAX_NAME_BYTES) {
      throw new ConfigError("instance is too long; at most " + Limits.MAX_NAME_BYTES + " bytes");
    }
    dispatcher = new Dispatcher(service, options.workers);
    seeds = options.endpointList();
    dialling = options.dialling();
    desk = new Desk(dispatcher::execute, options.maxQueuedCalls);
  }

  private static String hostAndProcess() {
    return Text.cut(host() + "-" + ProcessHandle.current().pid(), Limits.MAX_NAME_BYTES);
  }

  /** Its name, without asking a name server, which may take its time. */
  private static String host() {
    for (String name : List.of("HOSTNAME", "COMPUTERNAME")) {
      if (!Dialling.environment(name).isEmpty()) return Dialling.environment(name);
    }
    try {
      return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
    } catch (IOException elsewhere) {
      return "host";
    }
  }

  void log(String line) {
    LOG.log(System.Logger.Level.INFO, line);
  }

  void warn(String line) {
    LOG.log(System.Logger.Level.WARNING, line);
  }

  synchronized Hello hello(String endpoint) {
    int sharers = 1;
    for (List<String> map : members.values()) {
      if (map.contains(endpoint)) sharers = Math.max(map.size(), 1);
    }
    Hello.Builder hello = Hello.newBuilder().setVersion(1).setService(service.name()).setAgent(Client.AGENT)
        .setMaxInFlight(Math.max(options.maxInFlight / sharers, Math.min(MIN_SHARE, options.maxInFlight)))
        .setInstance(instance);
    for (Service.Owner owner : dispatcher.owners().values()) {
      hello.addActions(ActionInfo.newBuilder().setName(owner.action().name())
          .setProtocolValue(owner.action().protocol().number()));
    }
    return hello.build();
  }

  void deliver(Held held, Verdict verdict, boolean finished) {
    Resource resource;
    synchronized (this) {
      resource = holders.remove(held);
    }
    if (resource == null) return;
    try {
      resource.answer(held, verdict, finished);
    } catch (Exception failed) {
      // Asked again in the next round.
      warn("the answer about branch " + held.branchId() + " of transaction " + held.gid() + " was not carried out: "
          + Text.oneLine(Text.sentenceOf(failed)));
    }
  }

  /**
   * Asks one of the coordinators of the log in which each transaction began, and another one next round; if none of
   * that log is connected, all that are.
   */
  void askRound(List<Session> all) {
    List<Session> sessions = all.stream().filter(Session::isOpen).toList();
    if (sessions.isEmpty()) return;
    int round;
    synchronized (this) {
      round = turn++;
      holders = new HashMap<>();
    }
    for (Resource resource : service.resources()) {
      try {
        for (Held held : resource.questions(QUESTIONS_AT_ONCE)) ask(held, resource, sessions, round);
      } catch (Exception failed) {
        warn("no questions asked: " + Text.oneLine(Text.sentenceOf(failed)));
      }
    }
  }

  private void ask(Held held, Resource resource, List<Session> sessions, int round) {
    synchronized (this) {
      holders.put(held, resource);
    }
    List<Session> ofLog = sessions.stream().filter(one -> one.coordinatorId() == held.coordinatorId()).toList();
    if (ofLog.isEmpty()) sessions.forEach(session -> session.question(held));
    else ofLog.get(Math.floorMod(round, ofLog.size())).question(held);
  }

  /** Who shares the log, as one of them says. */
  synchronized void learn(int coordinatorId, ClusterView view) {
    List<String> addresses = new ArrayList<>();
    for (ClusterMember member : view.getMembersList()) {
      if (addresses.size() == MAX_MEMBERS) break;
      try {
        Endpoint.check(member.getAddress());
        addresses.add(member.getAddress());
      } catch (ConfigError wrong) {
        log("a member's address cannot be dialled");
      }
    }
    if (!addresses.isEmpty()) members.put(coordinatorId, addresses);
  }

  /** Those that were given are kept: an address that a member says of itself may lead nowhere from here. */
  synchronized Set<String> wanted() {
    Set<String> wanted = new LinkedHashSet<>(seeds);
    members.values().forEach(wanted::addAll);
    return wanted;
  }
}
