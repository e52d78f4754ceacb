package assent;

import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Carries jobs to their owners: adapters, or workers that run plain handlers. */
final class Dispatcher {
  private final Service service;
  private final Map<String, Service.Owner> owners;
  private final ExecutorService workers; // its queue is bounded by who asks

  Dispatcher(Service service, int count) {
    this.service = service;
    owners = service.owners();
    AtomicInteger number = new AtomicInteger();
    workers = Executors.newFixedThreadPool(count, run -> daemon("assent-worker-" + number.incrementAndGet(), run));
  }

  static Thread daemon(String name, Runnable run) {
    Thread thread = new Thread(run, name);
    thread.setDaemon(true);
    return thread;
  }

  Map<String, Service.Owner> owners() {
    return owners;
  }

  boolean has(Call call) {
    return owners.containsKey(Action.keyOf(call.protocol(), call.action()));
  }

  void execute(Job job) {
    Call call = job.call();
    Service.Owner owner = owners.get(Action.keyOf(call.protocol(), call.action()));
    if (owner == null) job.answer(unknownAction(call));
    else if (owner.resource() != null) owner.resource().execute(job);
    else {
      workers.execute(() -> {
        if (job.begin()) job.answer(service.run(call));
      });
    }
  }

  /**
   * Nobody here can tell that nothing has happened: another version of this service may have executed it, and its
   * answer been lost. (What no instance offers the coordinator refuses by itself, at the first attempt.)
   */
  static Reply unknownAction(Call call) {
    return Reply.retryLater("no action " + Action.keyOf(call.protocol(), call.action()) + " is registered here");
  }

  void start() {
    for (Resource resource : service.resources()) resource.start();
  }

  /** Waits for what runs. */
  void close() {
    workers.shutdown();
    try {
      workers.awaitTermination(1, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    for (Resource resource : service.resources()) resource.close();
  }
}
