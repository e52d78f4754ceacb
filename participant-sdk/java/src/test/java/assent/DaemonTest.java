package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import assent.AssentException.ConfigError;
import assent.AssentException.DeadlineExceeded;
import assent.AssentException.FailedPrecondition;
import assent.AssentException.NotFound;
import assent.AssentException.Unavailable;
import assent.AssentException.UnknownOutcome;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Against a real assentd: orders, rollbacks, open transactions, deaths of the coordinator, services that come back. */
class DaemonTest {
  private static Client clientOf(Rig.Daemon daemon) {
    return Client.builder().endpoints(daemon.endpoint).waitFor(WaitFor.COMPLETED).build();
  }

  @Test
  void anOrderAndARollback() throws Exception {
    try (var daemon = new Rig.Daemon(); var shop = new Shop(daemon.endpoint); var client = clientOf(daemon)) {
      Report report = client.submit(Shop.order(1).label("order", "4711"));
      assertTrue(report.committed());
      assertEquals("999", report.text("1"));
      Transaction dear = Shop.order(500);
      Report no = client.submit(dear);
      assertTrue(no.aborted());
      assertEquals("branch 2 money/take refused: not enough", no.abortReason());
      assertEquals(no.abortReason(), client.submitAsync(dear).get().abortReason(), "the same again");
      assertTrue(client.await(dear.gid()).aborted());
      TransactionInfo shown = client.get(dear.gid());
      assertEquals(Outcome.ABORTED, shown.outcome());
      assertEquals("stock", shown.branches().get(0).service());
      assertTrue(shown.finished().orElseThrow().isAfter(shown.began()));
      assertThrows(NotFound.class, () -> client.get("nobody"));
      shop.stock.want(999);
      shop.money.want(99);
    }
  }

  @Test
  void branchesAreAddedOneByOne() throws Exception {
    try (var daemon = new Rig.Daemon(); var shop = new Shop(daemon.endpoint); var client = clientOf(daemon)) {
      Report report = client.interactive(order -> assertEquals("993", order.tcc("stock", "take", "7").text()));
      assertTrue(report.committed());
      shop.stock.want(993);
      List<String> gids = new ArrayList<>();
      assertThrows(IllegalStateException.class, () -> client.interactive(order -> {
        gids.add(order.gid());
        order.tcc("stock", "take", "7");
        throw new IllegalStateException("changed my mind");
      }));
      assertTrue(client.await(gids.get(0)).abortReason().contains("changed my mind"));
      Report no = client.interactive(order -> {
        order.tcc("stock", "take", "7");
        BranchResult money = order.tcc("money", "take", "500");
        assertTrue(money.refused());
        assertEquals("not enough", money.reason());
      });
      assertTrue(no.aborted());
      try (OpenTransaction left = client.begin()) {
        left.executeAsync(Branch.tcc("stock", "take", "7")).get();
      }
      shop.stock.want(993);
      shop.money.want(100);
    }
  }

  /** Kill -9 of the coordinator, again and again, under load: every gid has one outcome, as the books have. */
  @Test
  void theBooksBalanceThroughTheCoordinatorsDeaths() throws Exception {
    try (var daemon = new Rig.Daemon(); var shop = new Shop(daemon.endpoint);
        var client = Client.builder().endpoints(daemon.endpoint).timeout(Duration.ofSeconds(90))
            .retry(Retry.DEFAULT.withGiveUpAfter(Duration.ofSeconds(60))).build()) {
      AtomicInteger answered = new AtomicInteger();
      List<CompletableFuture<Report>> orders = new ArrayList<>();
      for (int number = 0; number < 200; number++) { // of 100 coins: half of them are refused
        orders.add(client.submitAsync(Shop.order(1)).whenComplete((report, failure) -> answered.incrementAndGet()));
      }
      for (int kill = 1; kill <= 3; kill++) {
        int some = kill * 25;
        Rig.until("some are answered", () -> answered.get() >= some);
        daemon.kill();
        daemon.again();
      }
      int committed = 0;
      for (CompletableFuture<Report> order : orders) {
        Report report = order.get();
        assertTrue(report.committed() || report.aborted());
        if (report.committed()) committed++;
      }
      assertTrue(committed > 0 && committed <= 100, String.valueOf(committed));
      shop.stock.want(1000 - committed);
      shop.money.want(100 - committed);
    }
  }

  @Test
  void aServiceStopsInOrderAndComesBack() throws Exception {
    try (var daemon = new Rig.Daemon(); var shop = new Shop(daemon.endpoint); var client = clientOf(daemon)) {
      List<CompletableFuture<Report>> orders = new ArrayList<>();
      for (int number = 0; number < 50; number++) orders.add(client.submitAsync(Shop.order(1)));
      shop.money.participant.close();
      assertEquals(0, shop.money.participant.connected());
      assertEquals(0, shop.money.participant.counters().droppedReplies(), "what it had it has answered");
      try (var again = new Shop.Ledger("money", 100, Shop.sqlite(shop.folder.resolve("money.db")))) {
        again.join(daemon.endpoint);
        for (CompletableFuture<Report> order : orders) assertTrue(order.get().committed());
        shop.stock.want(950);
        again.want(50);
      }
    }
  }

  @Test
  void aServiceThatIsThereBeforeItsCoordinatorIsConnectedWhenThatComes(@TempDir Path folder) throws Exception {
    try (var daemon = new Rig.Daemon()) {
      daemon.kill();
      try (var stock = new Shop.Ledger("stock", 10, Shop.sqlite(folder.resolve("stock.db")))) {
        stock.participant = Participant.builder(stock.service).endpoints(daemon.endpoint)
            .backoff(Duration.ofMillis(20), Duration.ofMillis(100)).build().start();
        String message = assertThrows(DeadlineExceeded.class,
            () -> stock.participant.awaitConnected(Duration.ofMillis(50))).getMessage();
        assertTrue(message.contains("UNAVAILABLE") || message.contains("not tried"), message);
        daemon.again();
        stock.participant.awaitConnected(Duration.ofSeconds(30));
        assertThrows(FailedPrecondition.class, stock.participant::start);
        try (var client = clientOf(daemon)) {
          assertTrue(client.submit(new Transaction().tcc("stock", "take", "1")).committed());
        }
      }
    }
  }

  @Test
  void plainHandlersAtMostSoManyAtOnce() throws Exception {
    AtomicInteger running = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    Service service = new Service("plain");
    service.saga("work").onAction(call -> {
      most.accumulateAndGet(running.incrementAndGet(), Math::max);
      Thread.sleep(20); // the subject of this test is what runs at the same time
      running.decrementAndGet();
      return Reply.done(call.payload());
    });
    try (var daemon = new Rig.Daemon(); var client = clientOf(daemon);
        var participant = Participant.builder(service).endpoints(daemon.endpoint).workers(3).build().start()) {
      participant.awaitConnected(Duration.ofSeconds(30));
      List<CompletableFuture<Report>> orders = new ArrayList<>();
      for (int at = 0; at < 12; at++) {
        orders.add(client.submitAsync(new Transaction().saga("plain", "work", String.valueOf(at))));
      }
      for (int at = 0; at < 12; at++) assertEquals(String.valueOf(at), orders.get(at).get().text("1"));
      assertEquals(3, most.get());
    }
  }

  @Test
  void nobodyThere() throws Exception {
    try (var client = Client.builder().endpoints("127.0.0.1:" + Rig.freePort())
        .retry(Retry.DEFAULT.withGiveUpAfter(Duration.ofMillis(100))).build()) {
      String message = assertThrows(Unavailable.class, () -> client.submit(Shop.order(1))).getMessage();
      assertTrue(message.contains("is assentd running there?"), message);
    }
  }

  @Test
  void aThreadThatIsInterruptedKnowsThatItMayHaveBeenDone() throws Exception {
    try (var daemon = new Rig.Daemon(); var client = clientOf(daemon)) {
      Transaction nobody = new Transaction().deadline(Duration.ofSeconds(3)).saga("nobody", "comes", "");
      CompletableFuture<Throwable> thrown = new CompletableFuture<>();
      Thread waiting = new Thread(() -> {
        try {
          client.submit(nobody);
        } catch (RuntimeException failed) {
          thrown.complete(failed);
        }
      });
      waiting.start();
      Rig.until("it is begun", () -> {
        try {
          return client.get(nobody.gid()).state() == State.ACTIVE;
        } catch (NotFound notYet) {
          return false;
        }
      });
      waiting.interrupt();
      UnknownOutcome unknown = assertInstanceOf(UnknownOutcome.class, thrown.get(10, TimeUnit.SECONDS));
      assertEquals(nobody.gid(), unknown.gid());
      assertTrue(client.submit(nobody).aborted(), "the same object again has the answer");
    }
  }

  @Test
  void aCoordinatorDialsAServer(@TempDir Path folder) throws Exception {
    try (var stock = new Shop.Ledger("stock", 10, Shop.sqlite(folder.resolve("stock.db")));
        var server = new UnaryServer(stock.service, "127.0.0.1:0").start();
        var daemon = new Rig.Daemon("--unary", "stock=127.0.0.1:" + server.port());
        var client = clientOf(daemon)) {
      assertTrue(client.submit(new Transaction().tcc("stock", "take", "3")).committed());
      assertTrue(client.submit(new Transaction().tcc("stock", "take", "30")).abortReason().contains("not enough"));
      String reason = client.submit(new Transaction().tcc("stock", "other", "")).abortReason();
      assertTrue(reason.contains("no TRY of action other here"), reason);
      stock.want(7);
      Service other = new Service("x");
      other.saga("a").onAction(call -> Reply.done());
      assertThrows(ConfigError.class, () -> new UnaryServer(other, "127.0.0.1:" + server.port()).start());
      assertFalse(client.get(client.submit(new Transaction().tcc("stock", "take", "1")).gid()).open());
    }
  }
}
