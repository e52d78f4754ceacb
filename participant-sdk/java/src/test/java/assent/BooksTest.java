package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import assent.contract.ContractParticipant;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/**
 * Transfers in two phases between two services; the database, a service and the coordinator get kill -9 by turns. What is
 * paid out at one is paid in at the other, and nothing stays prepared.
 */
class BooksTest {
  private static final int TRANSFERS = 60;
  private static final int FILLED_WITH = 1000; // coins, each account in the west

  /** A service, a process of its own on a database of its own. */
  private static final class Bank implements AutoCloseable {
    final String url;
    private final Map<String, String> environment;
    private Rig.Running running;

    Bank(String endpoint, String service, String variable, String url) throws Exception {
      this.url = url;
      environment = Map.of("ASSENT_ENDPOINT", endpoint, "CONTRACT_SERVICE", service, "ASSENT_CONTRACT_START", "1",
          variable, url);
      start();
    }

    void start() throws Exception {
      running = new Rig.Running(List.of(Rig.javaProgram(), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
          System.getProperty("java.class.path"), ContractParticipant.class.getName()), environment, null);
    }

    void killed() throws Exception {
      running.close();
      start();
    }

    long total() throws SQLException {
      try (Connection connection = DriverManager.getConnection(url); var statement = connection.createStatement();
          var found = statement.executeQuery("SELECT sum(balance) FROM ledger")) {
        found.next();
        return found.getLong(1);
      }
    }

    @Override
    public void close() throws Exception {
      running.close();
    }
  }

  private interface Death {
    void comes() throws Exception;
  }

  private static Transaction transfer(int number, int accounts) {
    String form = "{\"account\": \"a" + number % accounts + "\", \"amount\": ";
    return new Transaction().deadline(Duration.ofSeconds(40))
        .add(Branch.twoPhase("west", "add", form + "-1}")).add(Branch.twoPhase("east", "add", form + "1}"));
  }

  /** What a client that never gives up is told. */
  private static boolean isCommitted(Client client, Transaction order) {
    while (true) {
      try {
        return client.submit(order).committed();
      } catch (AssentException.UnknownOutcome | AssentException.Unavailable later) {
        // The same again.
      }
    }
  }

  private static int transfers(String endpoint, int accounts, List<Death> deaths) throws Exception {
    AtomicInteger answered = new AtomicInteger();
    AtomicInteger committed = new AtomicInteger();
    ExecutorService initiators = Executors.newFixedThreadPool(4);
    try (Client client = Client.builder().endpoints(endpoint).waitFor(WaitFor.COMPLETED).timeout(Duration.ofSeconds(90))
        .build()) {
      for (int at = 0; at < accounts; at++) {
        String fill = "{\"account\": \"a" + at + "\", \"amount\": " + FILLED_WITH + "}";
        assertTrue(isCommitted(client, new Transaction().add(Branch.saga("west", "add", fill))));
      }
      List<CompletableFuture<Void>> all = new ArrayList<>();
      for (int first = 0; first < 4; first++) {
        int from = first;
        all.add(CompletableFuture.runAsync(() -> {
          for (int number = from; number < TRANSFERS; number += 4) {
            if (isCommitted(client, transfer(number, accounts))) committed.incrementAndGet();
            answered.incrementAndGet();
          }
        }, initiators));
      }
      for (int number = 1; number <= deaths.size(); number++) {
        int wanted = number * TRANSFERS / 8;
        Rig.until("some are answered", () -> answered.get() >= wanted);
        deaths.get(number - 1).comes();
      }
      for (CompletableFuture<Void> one : all) one.get();
    } finally {
      initiators.shutdownNow();
    }
    assertEquals(TRANSFERS, answered.get());
    return committed.get();
  }

  private static void balances(Rig.Server server, String variable, String prepared, int accounts) throws Exception {
    assumeTrue(server.url != null, "there is no such server on this machine");
    try (Rig.Daemon daemon = new Rig.Daemon();
        Bank west = new Bank(daemon.endpoint, "west", variable, server.newDatabase());
        Bank east = new Bank(daemon.endpoint, "east", variable, server.newDatabase())) {
      Death ofTheServer = () -> {
        server.kill();
        server.again();
      };
      int committed = transfers(daemon.endpoint, accounts, List.of(west::killed, ofTheServer, () -> {
        daemon.kill();
        daemon.again();
      }, east::killed, ofTheServer));
      assertTrue(committed > 0);
      Rig.until("nothing is prepared", () -> {
        try (Connection connection = DriverManager.getConnection(server.url); var statement = connection.createStatement();
            var found = statement.executeQuery(prepared)) {
          return !found.next();
        }
      });
      assertEquals(accounts * FILLED_WITH - committed, west.total());
      assertEquals(committed, east.total());
    }
  }

  @Test
  void postgresql() throws Exception {
    try (Rig.Server server = Rig.Server.postgresql()) {
      balances(server, "CONTRACT_POSTGRES", "SELECT 1 FROM pg_prepared_xacts", 5);
    }
  }

  /** It does not say who waits for whom: one account for each initiator, or two that met would stand still for long. */
  @Test
  void mariadb() throws Exception {
    try (Rig.Server server = Rig.Server.mariadb()) {
      balances(server, "CONTRACT_MARIADB", "XA RECOVER", 4);
    }
  }
}
