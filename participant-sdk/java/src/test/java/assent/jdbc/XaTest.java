package assent.jdbc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import assent.AssentException.ConfigError;
import assent.Job;
import assent.Kind;
import assent.Operation;
import assent.Reply;
import assent.Rig;
import assent.jdbc.PreparedWorkTest.Vault;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.mariadb.jdbc.MariaDbDataSource;

/**
 * Two-phase work over MariaDB, which says OK to an XA COMMIT that does nothing while the session that prepared it is
 * ending (tests/sdk_python/xa_window.py shows it): who settles, when, and what is believed.
 */
class XaTest {
  private record Said(int session, String text, long nanos) {}

  /** What the barriers say to the server. */
  private static final class Wire {
    private final List<Said> said = new ArrayList<>();
    private final AtomicInteger sessions = new AtomicInteger();
    private String swallowed = ""; // is answered with OK, and not done
    private String lost = ""; // is done, and has no answer, once

    DataSource over(DataSource source) {
      return watched(DataSource.class, source, "", 0);
    }

    synchronized void set(String isSwallowed, String isLost) {
      said.clear();
      swallowed = isSwallowed;
      lost = isLost;
    }

    synchronized List<Said> of(String start) {
      return said.stream().filter(one -> one.text().startsWith(start)).toList();
    }

    private synchronized boolean isSwallowed(int session, String text) {
      said.add(new Said(session, text, System.nanoTime()));
      return !swallowed.isEmpty() && text.startsWith(swallowed);
    }

    private synchronized boolean isLost(String text) {
      boolean is = !lost.isEmpty() && text.startsWith(lost);
      if (is) lost = "";
      return is;
    }

    private <T> T watched(Class<T> type, T target, String prepared, int session) {
      return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
        boolean hasText = arguments != null && arguments.length > 0 && arguments[0] instanceof String;
        String text = hasText ? (String) arguments[0] : prepared;
        boolean executes = method.getName().startsWith("execute");
        if (executes && isSwallowed(session, text)) return false;
        Object value;
        try {
          value = method.invoke(target, arguments);
        } catch (InvocationTargetException thrown) {
          throw thrown.getCause();
        }
        if (executes && isLost(text)) throw new SQLException("lost", "08006");
        if (value instanceof Connection one) return watched(Connection.class, one, "", sessions.incrementAndGet());
        if (value instanceof PreparedStatement one) return watched(PreparedStatement.class, one, text, session);
        return value instanceof Statement one ? watched(Statement.class, one, "", session) : value;
      }));
    }
  }

  private interface Story {
    void of(Vault vault, Wire wire) throws Exception;
  }

  /** In a vault whose words are seen. */
  private static void watched(Story story) throws Exception {
    PreparedWorkTest.inMariadb(v -> {
      Wire wire = new Wire();
      v.db.close();
      v.again(wire.over(v.source));
      story.of(v, wire);
      v.db.close();
    });
  }

  /** By another process; the first one lives. */
  private static void elsewhere(Vault v, Wire wire, Elsewhere what) throws Exception {
    JdbcBarrier first = v.db;
    v.again(wire.over(v.source));
    what.run();
    v.db.close();
    v.db = first;
  }

  private interface Elsewhere {
    void run() throws Exception;
  }

  @Test
  void theSessionThatHasPreparedSettles() throws Exception {
    watched((v, wire) -> {
      for (Operation operation : List.of(Operation.ROLLBACK, Operation.COMMIT)) {
        String gid = "to-" + operation;
        wire.set("", "");
        for (Operation one : List.of(Operation.PREPARE, Operation.PREPARE, operation)) {
          Reply reply = v.ask(gid, one);
          assertEquals(Kind.DONE, reply.kind(), gid + " " + one + ": " + reply.reason());
        }
        List<Said> all = wire.of("XA ");
        assertEquals(List.of("START", "END", "PREPARE", operation.name()),
            all.stream().map(one -> one.text().split(" ")[1]).toList());
        assertEquals(1, all.stream().map(Said::session).distinct().count(), all.toString());
      }
      assertEquals(90, v.coins());
      assertEquals(0, v.prepared());
    });
  }

  private record Case(String gid, Operation operation, String verb, boolean isSo, long coins) {}

  @Test
  void whatHasNoSessionIsLeftAloneForAMoment() throws Exception {
    watched((v, wire) -> {
      for (Case one : List.of(new Case("g1", Operation.COMMIT, "XA COMMIT", true, 90),
          new Case("g2", Operation.ROLLBACK, "XA ROLLBACK", true, 90),
          new Case("g3", Operation.COMMIT, "XA COMMIT", false, 80))) {
        boolean isAlive = one.isSo();
        assertEquals(Kind.DONE, v.ask(one.gid(), Operation.PREPARE).kind());
        if (!isAlive) {
          v.db.close();
          Rig.until("its session has ended", () -> v.worker(one.gid()) == 0);
        }
        elsewhere(v, wire, () -> {
          wire.set("", "");
          v.expect(one.gid(), one.operation(), Kind.DONE, one.coins(), 0);
        });
        assertEquals(isAlive ? 1 : 0, wire.of("KILL").size());
        long since = wire.of(isAlive ? "KILL" : "SELECT IS_USED_LOCK").get(0).nanos();
        Duration waited = Duration.ofNanos(wire.of(one.verb()).get(0).nanos() - since);
        assertTrue(waited.compareTo(XaSessions.DETACH_TIME) >= 0, one + ": " + waited);
      }
    });
  }

  @Test
  void anOkThatDoesNothingIsNotBelieved() throws Exception {
    watched((v, wire) -> {
      for (Case one : List.of(new Case("g1", Operation.COMMIT, "XA COMMIT", true, 90),
          new Case("g2", Operation.ROLLBACK, "XA ROLLBACK", true, 90),
          new Case("g3", Operation.ROLLBACK, "XA ROLLBACK", false, 90),
          new Case("g4", Operation.PREPARE, "XA ROLLBACK", false, 90))) {
        boolean isPromised = one.isSo();
        long had = v.coins();
        v.expect(one.gid(), Operation.PREPARE, Kind.DONE, had, 1);
        if (!isPromised) v.sql("DELETE FROM assent_barrier WHERE gid = '" + one.gid() + "'");
        wire.set(one.verb(), "");
        isStillPrepared(v, one, had);
        elsewhere(v, wire, () -> isStillPrepared(v, one, had));
        wire.set("", "");
        try (Connection connection = v.source.getConnection()) {
          assertEquals(isPromised ? 1 : 0,
              PreparedTransactions.number(connection, "SELECT count(*) FROM assent_barrier WHERE state = 4"), one.gid());
        }
        boolean isAgain = one.operation() == Operation.PREPARE;
        v.expect(one.gid(), one.operation(), Kind.DONE, one.coins(), isAgain ? 1 : 0);
        if (isAgain) v.expect(one.gid(), Operation.ROLLBACK, Kind.DONE, one.coins(), 0);
      }
    });
  }

  private static void isStillPrepared(Vault v, Case one, long coins) throws Exception {
    Reply reply = v.expect(one.gid(), one.operation(), Kind.RETRY_LATER, coins, 1);
    assertTrue(reply.reason().contains("it is still prepared, but MariaDB said to " + one.verb() + ": OK"), reply.reason());
  }

  /** It is neither a yes nor a no, also in a session that has not prepared it; what is asked next finds what there is. */
  @Test
  void theAnswerToXaIsLostElsewhere() throws Exception {
    watched((v, wire) -> {
      for (Case one : List.of(new Case("g1", Operation.COMMIT, "XA COMMIT", true, 90),
          new Case("g2", Operation.ROLLBACK, "XA ROLLBACK", true, 90))) {
        assertEquals(Kind.DONE, v.ask(one.gid(), Operation.PREPARE).kind());
        elsewhere(v, wire, () -> {
          wire.set("", one.verb());
          Reply lost = v.ask(one.gid(), one.operation());
          assertEquals(Kind.UNKNOWN, lost.kind(), lost.reason());
          v.expect(one.gid(), one.operation(), Kind.DONE, one.coins(), 0);
        });
      }
    });
  }

  /** A session that worked when its process was cut off does not prepare after somebody was told that nothing is. */
  @Test
  void nothingComesLate() throws Exception {
    watched((v, wire) -> {
      try (Connection late = v.source.getConnection()) {
        String lock = XaWork.workLockOf(PreparedWorkTest.call("g1", Operation.PREPARE, Instant.EPOCH, 7, false));
        Dialect.execute(late, "DO GET_LOCK('" + lock + "', 0)");
        Dialect.execute(late, "XA START 'g1','1'," + 0x4153);
        Dialect.execute(late, "UPDATE account SET coins = 0");
        v.expect("g1", Operation.ROLLBACK, Kind.DONE, 100, 0);
        assertThrows(SQLException.class, () -> Dialect.execute(late, "XA END 'g1','1'," + 0x4153));
      }
      v.expect("g1", Operation.PREPARE, Kind.REFUSED, 100, 0);
    });
  }

  @Test
  void twoServersBehindOneAddressAreNoticed() throws Exception {
    PreparedWorkTest.inMariadb(v -> {
      try (Rig.Server second = Rig.Server.mariadb()) {
        DataSource other = new MariaDbDataSource(second.url);
        AtomicInteger turn = new AtomicInteger();
        v.db.close();
        v.again((DataSource) Proxy.newProxyInstance(DataSource.class.getClassLoader(), new Class<?>[] {DataSource.class},
            (self, method, arguments) -> (turn.getAndIncrement() % 3 == 2 ? other : v.source).getConnection()));
        // The start, the worker's, and the one that is to prepare.
        String said = v.expect("g1", Operation.PREPARE, Kind.RETRY_LATER, 100, 0).reason();
        assertTrue(said.contains("two connections have found two servers"), said);
        v.db.close();
      }
    });
  }

  @Test
  void whatSomebodyHasCommittedIsNotSaidToBeRolledBack() throws Exception {
    watched((v, wire) -> {
      v.expect("g1", Operation.PREPARE, Kind.DONE, 100, 1);
      v.endSession("g1");
      v.sql("XA COMMIT 'g1','1'," + 0x4153);
      String said = v.expect("g1", Operation.ROLLBACK, Kind.REFUSED, 90, 0).reason();
      assertTrue(said.startsWith("HAZARD: its prepared work is gone from the database: it was committed"), said);
      v.expect("g1", Operation.COMMIT, Kind.DONE, 90, 0);
    });
  }

  /** Of a pool that has two connections more than there are workers. */
  @Test
  void aPoolHasAConnectionForWhoeverPrepares() throws Exception {
    PreparedWorkTest.inMariadb(v -> {
      v.db.close();
      v.again(pool(v.source, 10));
      v.handler = (tx, call) -> {
        tx.run("INSERT INTO account VALUES(?, 1)", call.gid());
        return Reply.done();
      };
      for (Operation operation : List.of(Operation.PREPARE, Operation.COMMIT)) {
        List<CompletableFuture<Reply>> answers = new ArrayList<>();
        for (int number = 0; number < 20; number++) {
          CompletableFuture<Reply> answer = new CompletableFuture<>();
          var call = PreparedWorkTest.call("g" + number, operation, Instant.EPOCH, 7, false);
          v.db.execute(new Job(call, answer::complete, () -> true));
          answers.add(answer);
        }
        for (CompletableFuture<Reply> answer : answers) {
          Reply reply = answer.get(60, TimeUnit.SECONDS);
          assertEquals(Kind.DONE, reply.kind(), reply.reason());
        }
        int kept = 0;
        for (int number = 0; number < 20; number++) kept += v.worker("g" + number) == 0 ? 0 : 1;
        assertEquals(operation == Operation.PREPARE ? 2 : 0, kept);
      }
      assertEquals(0, v.prepared());
      v.db.close();
      assertThrows(ConfigError.class, () -> new JdbcBarrier(v.source).keptSessions(XaSessions.MAX_KEPT_SESSIONS + 1));
    });
  }

  /** Gives out so many connections at once; who asks for one more waits for five seconds. */
  private static DataSource pool(DataSource source, int size) {
    Semaphore free = new Semaphore(size);
    ClassLoader loader = DataSource.class.getClassLoader();
    return (DataSource) Proxy.newProxyInstance(loader, new Class<?>[] {DataSource.class}, (self, method, arguments) -> {
      if (!free.tryAcquire(5, TimeUnit.SECONDS)) throw new SQLException("the pool is empty");
      Connection real = source.getConnection();
      AtomicInteger isOpen = new AtomicInteger(1);
      return Proxy.newProxyInstance(loader, new Class<?>[] {Connection.class}, (connection, what, words) -> {
        try {
          Object value = what.invoke(real, words);
          if (what.getName().equals("close")) free.release(isOpen.getAndSet(0));
          return value;
        } catch (InvocationTargetException thrown) {
          throw thrown.getCause();
        }
      });
    });
  }
}
