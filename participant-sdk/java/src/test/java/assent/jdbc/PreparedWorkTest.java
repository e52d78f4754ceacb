package assent.jdbc;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import assent.AssentException.ConfigError;
import assent.Call;
import assent.Held;
import assent.Job;
import assent.Kind;
import assent.Operation;
import assent.Reply;
import assent.Rig;
import assent.Trace;
import assent.Verdict;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.mariadb.jdbc.MariaDbDataSource;
import org.postgresql.ds.PGSimpleDataSource;
import org.sqlite.SQLiteDataSource;

/** Two-phase commit in real servers: one account, changed in two phases. */
class PreparedWorkTest {
  private static final String TABLE = "CREATE TABLE IF NOT EXISTS account(name VARCHAR(20) PRIMARY KEY, coins BIGINT NOT NULL)";

  /** One kind of server, and a bank in it. */
  static final class Vault {
    final Rig.Server server;
    final boolean isPostgres;
    final DataSource source;
    final AtomicInteger runs = new AtomicInteger();
    volatile TxHandler handler = this::take; // of PREPARE
    JdbcBarrier db;

    Vault(Rig.Server server, boolean isPostgres) throws Exception {
      this.server = server;
      this.isPostgres = isPostgres;
      source = isPostgres ? postgres(server.url) : new MariaDbDataSource(server.url);
      again();
      sql("INSERT INTO account VALUES('ann', 100)");
    }

    private static DataSource postgres(String url) {
      PGSimpleDataSource source = new PGSimpleDataSource();
      source.setURL(url);
      return source;
    }

    /** Another process on the same database. */
    void again() {
      again(source);
    }

    void again(DataSource by) {
      db = new JdbcBarrier(by, TABLE);
      db.twoPhase("take").onPrepare((tx, call) -> handler.handle(tx, call));
      db.tcc("try").onTry(this::take).onConfirm((tx, call) -> {}).onCancel((tx, call) -> {});
      db.start();
    }

    Reply take(Tx tx, Call call) throws SQLException {
      int run = runs.incrementAndGet();
      tx.run("UPDATE account SET coins = coins - 10 WHERE name = 'ann'");
      return Reply.done("run " + run);
    }

    void sql(String text) throws SQLException {
      try (Connection connection = source.getConnection()) {
        Dialect.execute(connection, text);
      }
    }

    long coins() throws SQLException {
      try (Connection connection = source.getConnection()) {
        return PreparedTransactions.number(connection, "SELECT coins FROM account WHERE name = 'ann'");
      }
    }

    int prepared() throws SQLException {
      String query = isPostgres ? "SELECT gid FROM pg_prepared_xacts" : "XA RECOVER";
      int count = 0;
      try (Connection connection = source.getConnection(); Statement statement = connection.createStatement();
          var found = statement.executeQuery(query)) {
        while (found.next()) count++;
      }
      return count;
    }

    Reply ask(String gid, Operation operation) throws Exception {
      return ask(call(gid, operation, Instant.EPOCH, 7, false));
    }

    Reply ask(Call call) throws Exception {
      CompletableFuture<Reply> answer = new CompletableFuture<>();
      db.execute(new Job(call, answer::complete, () -> true));
      return answer.get(30, TimeUnit.SECONDS);
    }

    /** Asks, and looks at the answer, at the account, and at what is prepared. */
    Reply expect(String gid, Operation operation, Kind kind, long coins, int prepared) throws Exception {
      Reply reply = ask(gid, operation);
      assertEquals(kind, reply.kind(), gid + " " + operation + ": " + reply.reason());
      assertEquals(coins, coins(), gid + " " + operation);
      assertEquals(prepared, prepared(), gid + " " + operation);
      return reply;
    }

    /** Rolls back what is prepared, behind the barrier's back. */
    void takeAway(String gid) throws Exception {
      if (isPostgres) {
        sql("ROLLBACK PREPARED 'assent/" + gid + "/1'");
      } else {
        endSession(gid);
        sql("XA ROLLBACK '" + gid + "','1'," + 0x4153);
      }
    }

    /** Of MariaDB: that has prepared it. And waits until InnoDB has let go of its work, which nothing tells. */
    void endSession(String gid) throws Exception {
      if (worker(gid) != 0) sql("KILL CONNECTION " + worker(gid));
      Thread.sleep(2 * XaSessions.DETACH_TIME.toMillis());
    }

    /** 0: it has ended. */
    long worker(String gid) throws SQLException {
      String lock = XaWork.workLockOf(call(gid, Operation.PREPARE, Instant.EPOCH, 7, false));
      try (Connection connection = source.getConnection()) {
        return PreparedTransactions.number(connection, "SELECT IS_USED_LOCK(?)", lock);
      }
    }
  }

  static Call call(String gid, Operation operation, Instant began, int coordinator, boolean onePhase) {
    String action = operation.protocol() == assent.Protocol.TWO_PHASE ? "take" : "try";
    return new Call(gid, "1", operation, operation.protocol(), "bank", action, new byte[0], Map.of(), Map.of(), 1, onePhase,
        Duration.ofSeconds(10), coordinator, 9, began, Trace.NONE);
  }

  interface Story {
    void of(Vault vault) throws Exception;
  }

  private static void inPostgresql(Story... stories) throws Exception {
    for (Story story : stories) {
      try (Rig.Server server = Rig.Server.postgresql()) {
        assumeTrue(server.url != null, "there is no PostgreSQL on this machine");
        story.of(new Vault(server, true));
      }
    }
  }

  static void inMariadb(Story... stories) throws Exception {
    for (Story story : stories) {
      try (Rig.Server server = Rig.Server.mariadb()) {
        assumeTrue(server.url != null, "there is no MariaDB on this machine");
        story.of(new Vault(server, false));
      }
    }
  }

  private static final Story[] ALL = {
    PreparedWorkTest::bothEnds, PreparedWorkTest::theServerIsKilled, PreparedWorkTest::handlers,
    PreparedWorkTest::answersAreLost, PreparedWorkTest::processesShareTheServer,
  };

  @Test
  void postgresql() throws Exception {
    inPostgresql(ALL);
  }

  @Test
  void mariadb() throws Exception {
    inMariadb(ALL);
  }

  private static void bothEnds(Vault v) throws Exception {
    Reply first = v.expect("g1", Operation.PREPARE, Kind.DONE, 100, 1);
    assertArrayEquals(first.result(), v.expect("g1", Operation.PREPARE, Kind.DONE, 100, 1).result());
    for (int time = 0; time < 2; time++) v.expect("g1", Operation.COMMIT, Kind.DONE, 90, 0);
    assertEquals("already committed", v.expect("g1", Operation.ROLLBACK, Kind.REFUSED, 90, 0).reason());
    v.expect("g2", Operation.PREPARE, Kind.DONE, 90, 1);
    for (int time = 0; time < 2; time++) v.expect("g2", Operation.ROLLBACK, Kind.DONE, 90, 0);
    v.expect("g2", Operation.COMMIT, Kind.REFUSED, 90, 0);
    v.expect("g3", Operation.ROLLBACK, Kind.DONE, 90, 0);
    for (int time = 0; time < 2; time++) v.expect("g3", Operation.PREPARE, Kind.REFUSED, 90, 0);
    assertEquals("HAZARD: not prepared here", v.expect("g4", Operation.COMMIT, Kind.REFUSED, 90, 0).reason());
    // Killed between the PREPARE and the row that says so: nobody was told.
    v.expect("g5", Operation.PREPARE, Kind.DONE, 90, 1);
    v.sql("DELETE FROM assent_barrier WHERE gid = 'g5'");
    v.expect("g5", Operation.ROLLBACK, Kind.DONE, 90, 0);
    v.expect("g6", Operation.PREPARE, Kind.DONE, 90, 1);
    v.sql("DELETE FROM assent_barrier WHERE gid = 'g6'");
    v.expect("g6", Operation.PREPARE, Kind.DONE, 90, 1);
    v.expect("g6", Operation.COMMIT, Kind.DONE, 80, 0);
    // Killed between the commit and the row that says so.
    v.sql("UPDATE assent_barrier SET state = 4 WHERE gid = 'g6'");
    v.sql("INSERT INTO assent_marker VALUES ('g6', '1')");
    v.expect("g6", Operation.COMMIT, Kind.DONE, 80, 0);
    // Somebody else has settled it.
    v.expect("g7", Operation.PREPARE, Kind.DONE, 80, 1);
    v.takeAway("g7");
    assertTrue(v.expect("g7", Operation.COMMIT, Kind.REFUSED, 80, 0).reason().startsWith("HAZARD: its prepared work is gone"));
    Held held = new Held("g7", "1", 7, 9);
    SQLException said = assertThrows(SQLException.class, () -> v.db.answer(held, Verdict.COMMIT, true));
    assertTrue(said.getMessage().contains("HAZARD"), said.getMessage());
    v.db.close();
  }

  private static void theServerIsKilled(Vault v) throws Exception {
    Reply first = v.expect("g1", Operation.PREPARE, Kind.DONE, 100, 1);
    v.db.close();
    v.server.kill();
    v.server.again();
    v.again();
    assertArrayEquals(first.result(), v.expect("g1", Operation.PREPARE, Kind.DONE, 100, 1).result());
    List<Held> held = v.db.questions(10);
    assertEquals(List.of(new Held("g1", "1", 7, 9)), held);
    v.db.answer(held.get(0), Verdict.UNDECIDED, false);
    v.db.answer(held.get(0), Verdict.CANNOT_TELL, false);
    assertEquals(1, v.prepared());
    v.db.answer(held.get(0), Verdict.COMMIT, false);
    assertEquals(90, v.coins());
    assertEquals(List.of(), v.db.questions(10));
    v.expect("g1", Operation.COMMIT, Kind.DONE, 90, 0);
    v.expect("g2", Operation.PREPARE, Kind.DONE, 90, 1);
    v.db.answer(v.db.questions(10).get(0), Verdict.ABORT, true);
    v.expect("g2", Operation.ROLLBACK, Kind.DONE, 90, 0);
    v.db.close();
  }

  private static void handlers(Vault v) throws Exception {
    Call sole = call("g1", Operation.PREPARE, Instant.EPOCH, 7, true);
    assertEquals(Kind.DONE, v.ask(sole).kind());
    assertEquals(Kind.DONE, v.ask(sole).kind());
    v.expect("g1", Operation.ROLLBACK, Kind.REFUSED, 90, 0);
    v.handler = (tx, call) -> {
      v.take(tx, call);
      return Reply.refused("no coins");
    };
    for (int time = 0; time < 2; time++) {
      assertEquals("no coins", v.expect("g2", Operation.PREPARE, Kind.REFUSED, 90, 0).reason());
    }
    v.handler = (tx, call) -> Reply.readOnly();
    for (int time = 0; time < 2; time++) v.expect("g3", Operation.PREPARE, Kind.DONE_READ_ONLY, 90, 0);
    if (v.isPostgres) { // which says by itself whether something was written
      v.handler = (tx, call) -> Reply.done("seen");
      for (int time = 0; time < 2; time++) {
        assertEquals("seen", v.expect("g4", Operation.PREPARE, Kind.DONE_READ_ONLY, 90, 0).text());
      }
      // It answers PREPARE TRANSACTION of a transaction that has failed like a success.
      v.handler = (tx, call) -> {
        assertThrows(SQLException.class, () -> tx.run("SELECT * FROM no_such_table"));
        return Reply.done();
      };
      v.expect("g5", Operation.PREPARE, Kind.RETRY_LATER, 90, 0);
    }
    v.handler = (tx, call) -> {
      v.take(tx, call);
      throw new IllegalStateException("a fault");
    };
    assertEquals("IllegalStateException: a fault", v.expect("g6", Operation.PREPARE, Kind.RETRY_LATER, 90, 0).reason());
    v.handler = (tx, call) -> {
      assertThrows(SQLException.class, () -> tx.run("COMMIT"));
      assertThrows(SQLException.class, () -> tx.run("PREPARE TRANSACTION 'mine'"));
      assertThrows(SQLException.class, () -> tx.run("XA END 'mine'"));
      return v.take(tx, call);
    };
    v.expect("g6", Operation.PREPARE, Kind.DONE, 90, 1);
    v.expect("g6", Operation.COMMIT, Kind.DONE, 80, 0);
    v.db.close();
  }

  /** A statement that is carried out, and whose answer is lost, is neither a yes nor a no. */
  private static void answersAreLost(Vault v) throws Exception {
    v.db.close();
    AtomicReference<String> verb = new AtomicReference<>("");
    v.again(deaf(v.source, verb));
    String[] verbs = v.isPostgres ? new String[] {"PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED"}
        : new String[] {"XA PREPARE", "XA COMMIT", "XA ROLLBACK"};
    lose(v, verb, verbs[0], "g1", Operation.PREPARE, 100, 1);
    lose(v, verb, verbs[1], "g1", Operation.COMMIT, 90, 0);
    lose(v, verb, "assent_barrier(gid", "g2", Operation.PREPARE, 90, 1);
    lose(v, verb, verbs[2], "g2", Operation.ROLLBACK, 90, 0);
    lose(v, verb, "assent_barrier(gid", "g3", Operation.ROLLBACK, 90, 0);
    v.expect("g4", Operation.PREPARE, Kind.DONE, 90, 1);
    lose(v, verb, "assent_barrier SET state", "g4", Operation.COMMIT, 80, 0);
    assertEquals(5, v.runs.get(), "g1 and g2 twice, g4 once");
    v.db.close();
  }

  private static void lose(Vault v, AtomicReference<String> verb, String what, String gid, Operation operation, long coins,
      int prepared) throws Exception {
    verb.set(what);
    Reply lost = v.ask(gid, operation);
    assertEquals(Kind.UNKNOWN, lost.kind(), what + ": " + lost.reason());
    assertEquals("", verb.get());
    v.expect(gid, operation, Kind.DONE, coins, prepared);
  }

  private static DataSource deaf(DataSource source, AtomicReference<String> verb) {
    return proxy(DataSource.class, source, "", verb);
  }

  /** {@code prepared}: the text of a statement that was prepared. */
  private static <T> T proxy(Class<T> type, T target, String prepared, AtomicReference<String> verb) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
      Object value;
      try {
        value = method.invoke(target, arguments);
      } catch (InvocationTargetException thrown) {
        throw thrown.getCause();
      }
      boolean hasText = arguments != null && arguments.length > 0 && arguments[0] instanceof String;
      String text = hasText ? (String) arguments[0] : prepared;
      String lost = verb.get();
      boolean isLost = method.getName().startsWith("execute") && !lost.isEmpty() && text.contains(lost);
      if (isLost && verb.compareAndSet(lost, "")) throw new SQLException("lost", "08006");
      if (value instanceof Connection connection) return proxy(Connection.class, connection, "", verb);
      if (value instanceof PreparedStatement statement) return proxy(PreparedStatement.class, statement, text, verb);
      return value instanceof Statement statement ? proxy(Statement.class, statement, "", verb) : value;
    }));
  }

  /** Of several that ask the same at once, in processes that know nothing of each other, one has the effect. */
  private static void processesShareTheServer(Vault v) throws Exception {
    JdbcBarrier first = v.db;
    v.again();
    for (int round = 0; round < 10; round++) {
      String gid = "g" + round;
      List<CompletableFuture<Reply>> answers = new ArrayList<>();
      for (JdbcBarrier db : List.of(first, v.db, first, v.db)) {
        CompletableFuture<Reply> answer = new CompletableFuture<>();
        db.execute(new Job(call(gid, Operation.PREPARE, Instant.EPOCH, 7, false), answer::complete, () -> true));
        answers.add(answer);
      }
      for (CompletableFuture<Reply> answer : answers) answer.get(30, TimeUnit.SECONDS);
      v.expect(gid, Operation.PREPARE, Kind.DONE, 100, 1);
      v.expect(gid, Operation.ROLLBACK, Kind.DONE, 100, 0);
    }
    assertEquals(10, v.runs.get());
    first.close();
    v.db.close();
  }

  @Test
  void olderOnesAreNotKeptWaitingByYoungerOnesThatArePrepared() throws Exception {
    inPostgresql(v -> {
      Instant old = Instant.ofEpochMilli(1000);
      Instant young = Instant.ofEpochMilli(2000);
      v.db.lockTimeout(Duration.ofMinutes(1)); // nobody is told by it
      v.sql("INSERT INTO account VALUES('bob', 100)");
      AtomicReference<String> wanted = new AtomicReference<>("ann");
      v.handler = (tx, call) -> {
        boolean isOlder = call.gid().equals("older");
        boolean takesBob = isOlder ? wanted.get().equals("bob") : call.gid().equals("youngest");
        if (takesBob) tx.run("UPDATE account SET coins = coins - 1 WHERE name = 'bob'");
        return isOlder && takesBob ? Reply.done() : v.take(tx, call);
      };
      assertEquals(Kind.DONE, v.ask(call("younger", Operation.PREPARE, young, 7, false)).kind());
      olderIsTold(v, old);
      Reply reply = v.ask(call("of-another", Operation.PREPARE, old, 8, false));
      assertEquals(Kind.REFUSED, reply.kind(), reply.reason());
      assertTrue(reply.reason().contains("younger, and of coordinator 7"), reply.reason());
      reply = v.ask(call("older-try", Operation.TRY, old, 7, false));
      assertEquals("younger", reply.blockedBy(), reply.reason());
      // Nor by one that has what they want, or its place in line, and waits for a younger one.
      CompletableFuture<Reply> youngest = new CompletableFuture<>();
      Call waits = call("youngest", Operation.PREPARE, Instant.ofEpochMilli(3000), 7, false);
      v.db.execute(new Job(waits, youngest::complete, () -> true));
      for (String name : List.of("ann", "bob")) {
        Rig.until("it waits", () -> {
          try (Connection connection = v.source.getConnection()) {
            return PreparedTransactions.number(connection,
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'") > 0;
          }
        });
        wanted.set(name);
        olderIsTold(v, old);
      }
      assertEquals(Kind.DONE, v.ask("younger", Operation.ROLLBACK).kind());
      assertEquals(Kind.DONE, youngest.get(30, TimeUnit.SECONDS).kind());
      v.db.close();
    });
  }

  private static void olderIsTold(Vault v, Instant old) throws Exception {
    long began = System.nanoTime();
    Reply reply = v.ask(call("older", Operation.PREPARE, old, 7, false));
    assertEquals(Kind.RETRY_LATER, reply.kind(), reply.reason());
    assertEquals("younger", reply.blockedBy(), reply.reason());
    assertTrue(System.nanoTime() - began < Duration.ofSeconds(20).toNanos());
  }

  /** In PostgreSQL two that made the same table at once got in each other's way, and one of them did not start. */
  @Test
  void manyStartAtOnce() throws Exception {
    inPostgresql(v -> {
      v.db.close();
      for (int round = 0; round < 5; round++) {
        v.sql("DROP TABLE IF EXISTS assent_barrier, assent_marker, assent_age, account");
        List<CompletableFuture<Void>> starts = new ArrayList<>();
        for (int number = 0; number < 8; number++) {
          JdbcBarrier db = new JdbcBarrier(v.source, TABLE);
          db.twoPhase("take").onPrepare((tx, call) -> Reply.done());
          CompletableFuture<Void> start = new CompletableFuture<>();
          starts.add(start);
          new Thread(() -> {
            try {
              db.start();
              db.close();
              start.complete(null);
            } catch (RuntimeException failed) {
              start.completeExceptionally(failed);
            }
          }).start();
        }
        for (CompletableFuture<Void> start : starts) start.get(30, TimeUnit.SECONDS);
      }
    });
  }

  @Test
  void whatCannotPrepareSaysSo(@TempDir Path folder) throws Exception {
    SQLiteDataSource file = new SQLiteDataSource();
    file.setUrl("jdbc:sqlite:" + folder.resolve("bank.db"));
    assertTrue(said(file).contains("make the action tcc"), said(file));
    try (Rig.Server server = Rig.Server.postgresql("{'max_prepared_transactions': '0'}")) {
      assumeTrue(server.url != null, "there is no PostgreSQL on this machine");
      String said = said(Vault.postgres(server.url));
      assertTrue(said.contains("set max_prepared_transactions in postgresql.conf"), said);
    }
  }

  private static String said(DataSource source) {
    JdbcBarrier db = new JdbcBarrier(source);
    db.twoPhase("take").onPrepare((tx, call) -> Reply.done());
    return assertThrows(ConfigError.class, db::start).getMessage();
  }
}
