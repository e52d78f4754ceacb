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
import assent.RetryLater;
import assent.Rig;
import assent.Verdict;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.mariadb.jdbc.MariaDbDataSource;
import org.postgresql.ds.PGSimpleDataSource;
import org.sqlite.SQLiteDataSource;

/** What the adapter does with real databases: the same of each. */
class JdbcBarrierTest {
  private static final String TABLE = "CREATE TABLE IF NOT EXISTS notes(word VARCHAR(100) PRIMARY KEY)";

  /** Of what handlers write here. */
  private static JdbcBarrier notes(DataSource source, AtomicInteger runs) {
    JdbcBarrier db = new JdbcBarrier(source, TABLE);
    db.tcc("note").onTry((tx, call) -> {
      runs.incrementAndGet();
      tx.run("INSERT INTO notes VALUES(?)", call.text());
      return switch (call.text()) {
        case "no" -> Reply.refused("not that\0one");
        case "later" -> throw new RetryLater("not now");
        case "fault" -> throw new IllegalStateException("a fault");
        case "error" -> throw new OutOfMemoryError("pretended");
        default -> Reply.done("noted " + call.text());
      };
    }).onConfirm((tx, call) -> runs.incrementAndGet())
        .onCancel((tx, call) -> tx.run("DELETE FROM notes WHERE word = ?", call.text()));
    db.saga("commits").onAction((tx, call) -> {
      assertThrows(SQLException.class, () -> tx.connection().commit());
      assertThrows(SQLException.class, () -> tx.connection().rollback());
      assertThrows(SQLException.class, () -> tx.run("COMMIT"));
      try (var statement = tx.connection().createStatement()) {
        assertThrows(SQLException.class, () -> statement.execute("  rollback"));
        statement.executeUpdate("INSERT INTO notes VALUES('by hand')");
      }
      assertThrows(IllegalStateException.class, () -> db.transaction(own -> 1));
      return Reply.done();
    });
    db.saga("stubborn").onAction((tx, call) -> { // goes on after an error
      tx.run("INSERT INTO notes VALUES('before')");
      assertThrows(SQLException.class, () -> tx.run(call.text()));
      tx.run("INSERT INTO notes VALUES('went on')");
      return call.gid().startsWith("no") ? Reply.refused("no") : Reply.done();
    });
    db.start();
    return db;
  }

  private static Call call(String gid, Operation operation, String word) {
    return Call.of(gid, "1", operation, "note", word.getBytes());
  }

  private static CompletableFuture<Reply> ask(JdbcBarrier db, Call call) {
    CompletableFuture<Reply> answer = new CompletableFuture<>();
    db.execute(new Job(call, answer::complete, () -> true));
    return answer;
  }

  private static Reply asked(JdbcBarrier db, Call call) throws Exception {
    return ask(db, call).get(30, TimeUnit.SECONDS);
  }

  private static List<String> words(JdbcBarrier db) throws SQLException {
    List<Row> rows = db.transaction(tx -> tx.all("SELECT word FROM notes ORDER BY word"));
    return rows.stream().map(row -> row.text("word")).toList();
  }

  private static void keepsTheContract(DataSource source) throws Exception {
    AtomicInteger runs = new AtomicInteger();
    JdbcBarrier db = notes(source, runs);
    Reply first = asked(db, call("g1", Operation.TRY, "a"));
    assertEquals("noted a", new String(first.result()));
    assertArrayEquals(first.result(), asked(db, call("g1", Operation.TRY, "a")).result());
    assertEquals(1, runs.get(), "once");
    assertEquals(Kind.DONE, asked(db, call("g1", Operation.CONFIRM, "a")).kind());
    assertEquals("already confirmed", asked(db, call("g1", Operation.CANCEL, "a")).reason());
    assertEquals(Kind.DONE, asked(db, call("g2", Operation.CANCEL, "b")).kind());
    assertEquals("cancelled before it was tried", asked(db, call("g2", Operation.TRY, "b")).reason());
    assertEquals("not that?one", asked(db, call("g3", Operation.TRY, "no")).reason());
    assertEquals("not that?one", asked(db, call("g3", Operation.TRY, "no")).reason());
    assertEquals(Kind.RETRY_LATER, asked(db, call("g4", Operation.TRY, "later")).kind());
    assertEquals("IllegalStateException: a fault", asked(db, call("g5", Operation.TRY, "fault")).reason());
    // More of them than there are workers: none is lost by it.
    for (int at = 0; at < 10; at++) {
      assertEquals("OutOfMemoryError: pretended", asked(db, call("e" + at, Operation.TRY, "error")).reason());
    }
    assertEquals("nothing tried", asked(db, call("g4", Operation.CONFIRM, "later")).reason());
    assertEquals(Kind.RETRY_LATER, asked(db, call("g6", Operation.TRY, "a")).kind(), "a key that is taken");
    assertEquals(List.of("a"), words(db));
    assertEquals(Kind.DONE, asked(db, Call.of("g7", "1", Operation.ACTION, "commits", new byte[0])).kind());
    assertEquals(Kind.DONE, asked(db, Call.of("g7", "1", Operation.COMPENSATE, "commits", new byte[0])).kind());
    assertEquals(List.of("a", "by hand"), words(db));
    many(db);
    old(db);
    db.close();
  }

  private static void many(JdbcBarrier db) throws Exception {
    List<CompletableFuture<Reply>> answers = new ArrayList<>();
    for (int at = 0; at < 100; at++) {
      Operation operation = at % 2 == 0 ? Operation.TRY : Operation.CANCEL;
      answers.add(ask(db, call("m" + at / 2, operation, at % 10 == 0 ? "fault" : "many" + at / 2)));
    }
    for (CompletableFuture<Reply> answer : answers) answer.get(60, TimeUnit.SECONDS);
    for (int at = 0; at < 50; at++) asked(db, call("m" + at, Operation.CANCEL, at % 5 == 0 ? "fault" : "many" + at));
    assertEquals(List.of("a", "by hand"), words(db));
  }

  /** Rows of what is over go, those of a try that nobody ended stay. */
  private static void old(JdbcBarrier db) throws Exception {
    assertTrue(db.questions(100).isEmpty(), "none is old enough");
    asked(db, call("o1", Operation.TRY, "left"));
    db.retention(Duration.ofSeconds(-1));
    List<Held> held = db.questions(1000);
    Held over = held.stream().filter(one -> one.gid().equals("g1")).findFirst().orElseThrow();
    Held open = held.stream().filter(one -> one.gid().equals("o1")).findFirst().orElseThrow();
    assertEquals(1, open.beganEpoch());
    db.answer(over, Verdict.COMMIT, false);
    assertEquals(1, rows(db, "g1"), "a command for it may still be sent");
    db.answer(over, Verdict.COMMIT, true);
    db.answer(open, Verdict.COMMIT, true);
    assertEquals(0, rows(db, "g1"));
    assertEquals(1, rows(db, "o1"));
  }

  private static long rows(JdbcBarrier db, String gid) throws SQLException {
    String sql = "SELECT COUNT(*) AS n FROM assent_barrier WHERE gid = ?";
    return db.transaction(tx -> tx.one(sql, gid).orElseThrow()).number("n");
  }

  /** A COMMIT whose answer is lost is answered with neither yes nor no, and found by the next question. */
  private static void losesACommit(DataSource source) throws Exception {
    AtomicInteger runs = new AtomicInteger();
    AtomicBoolean isLosing = new AtomicBoolean();
    JdbcBarrier db = notes(losing(source, isLosing), runs);
    isLosing.set(true);
    assertEquals(Kind.UNKNOWN, asked(db, call("lost", Operation.TRY, "lost")).kind());
    assertEquals("noted lost", asked(db, call("lost", Operation.TRY, "lost")).text());
    assertEquals(1, runs.get());
    assertEquals(List.of("lost"), words(db));
    db.close();
    try (Connection connection = source.getConnection()) {
      Dialect.execute(connection, "DELETE FROM notes");
    }
  }

  /** Nothing of a handler that goes on after an error that has rolled all of it back, whatever it answers. */
  private static void leavesNothing(JdbcBarrier db, String gid, String payload) throws Exception {
    List<String> before = withoutOthers(db);
    Reply reply = asked(db, Call.of(gid, "1", Operation.ACTION, "stubborn", payload.getBytes()));
    assertEquals(Kind.RETRY_LATER, reply.kind(), reply.reason());
    assertTrue(reply.reason().contains("gone on after an error that did"), reply.reason());
    assertEquals(before, withoutOthers(db));
    assertEquals(Kind.DONE, asked(db, Call.of(gid, "1", Operation.COMPENSATE, "stubborn", new byte[0])).kind());
    assertEquals(before, withoutOthers(db));
  }

  /** Those are written meanwhile. */
  private static List<String> withoutOthers(JdbcBarrier db) throws SQLException {
    return words(db).stream().filter(word -> !word.startsWith("other")).toList();
  }

  /** The next commit is carried out, and its answer lost, by whatever method it is asked for. */
  private static DataSource losing(DataSource source, AtomicBoolean isLosing) {
    After after = new After() {
      @Override
      public Object apply(String method, Object[] arguments, Object value) throws SQLException {
        boolean isCommit = method.equals("commit") || method.equals("execute") && "COMMIT".equals(arguments[0]);
        if (isCommit && isLosing.compareAndSet(true, false)) throw new SQLException("lost", "08006");
        if (method.equals("getConnection")) return proxy(Connection.class, (Connection) value, this);
        return method.equals("createStatement") ? proxy(Statement.class, (Statement) value, this) : value;
      }
    };
    return proxy(DataSource.class, source, after);
  }

  private interface After {
    Object apply(String method, Object[] arguments, Object value) throws SQLException;
  }

  private static <T> T proxy(Class<T> type, T target, After after) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
      Object value;
      try {
        value = method.invoke(target, arguments);
      } catch (InvocationTargetException thrown) {
        throw thrown.getCause();
      }
      return after.apply(method.getName(), arguments, value);
    }));
  }

  private static DataSource fileOf(Path file) {
    SQLiteDataSource source = new SQLiteDataSource();
    source.setUrl("jdbc:sqlite:" + file);
    return source;
  }

  @Test
  void sqlite(@TempDir Path folder) throws Exception {
    losesACommit(fileOf(folder.resolve("notes.db")));
    keepsTheContract(fileOf(folder.resolve("notes.db")));
  }

  @Test
  void sqliteRollsBackByItself(@TempDir Path folder) throws Exception {
    JdbcBarrier db = notes(fileOf(folder.resolve("notes.db")), new AtomicInteger());
    for (String gid : List.of("g1", "no1")) leavesNothing(db, gid, "INSERT OR ROLLBACK INTO notes VALUES('before')");
    // Among others that share the commit.
    List<CompletableFuture<Reply>> answers = new ArrayList<>();
    for (int at = 0; at < 20; at++) answers.add(ask(db, call("o" + at, Operation.TRY, "other" + at)));
    leavesNothing(db, "g2", "INSERT OR ROLLBACK INTO notes VALUES('before')");
    for (CompletableFuture<Reply> answer : answers) assertEquals(Kind.DONE, answer.get(30, TimeUnit.SECONDS).kind());
    assertEquals(20, words(db).size());
    db.close();
  }

  @Test
  void aDeadlockRollsBackAll() throws Exception {
    try (Rig.Server server = Rig.Server.mariadb()) {
      assumeTrue(server.url != null, "there is no MariaDB on this machine");
      DataSource source = new MariaDbDataSource(server.url);
      JdbcBarrier db = notes(source, new AtomicInteger());
      for (String gid : List.of("g1", "no1")) {
        try (Connection heavier = source.getConnection(); Connection look = source.getConnection()) {
          heavier.setAutoCommit(false);
          for (int at = 0; at < 100; at++) Dialect.execute(heavier, "INSERT INTO notes VALUES('" + at + "')"); // the lighter is the victim
          CompletableFuture<Void> meets = CompletableFuture.runAsync(() -> meet(heavier, look));
          leavesNothing(db, gid, "INSERT INTO notes VALUES('7')");
          meets.get(30, TimeUnit.SECONDS);
        }
      }
      db.close();
    }
  }

  /** Once the handler waits for this one's row, this one wants the handler's. */
  private static void meet(Connection heavier, Connection look) {
    String waits = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'INSERT INTO notes%7%' AND id <> CONNECTION_ID()";
    try (Statement statement = look.createStatement()) {
      long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
      while (!statement.executeQuery(waits).next()) assertTrue(System.nanoTime() < end, "the handler does not wait");
      Dialect.execute(heavier, "INSERT INTO notes VALUES('before')");
      heavier.rollback();
    } catch (SQLException failed) {
      throw new IllegalStateException(failed);
    }
  }

  @Test
  void aFileOfTheCppAdapterIsNotTaken(@TempDir Path folder) throws Exception {
    DataSource source = fileOf(folder.resolve("cpp.db"));
    try (Connection connection = source.getConnection()) {
      Dialect.execute(connection, "CREATE TABLE assent_meta(x)");
    }
    assertThrows(ConfigError.class, () -> notes(source, new AtomicInteger()));
  }

  @Test
  void postgresql() throws Exception {
    try (Rig.Server server = Rig.Server.postgresql()) {
      assumeTrue(server.url != null, "there is no PostgreSQL on this machine");
      PGSimpleDataSource source = new PGSimpleDataSource();
      source.setURL(server.url);
      losesACommit(source);
      keepsTheContract(source);
    }
  }

  @Test
  void mariadb() throws Exception {
    try (Rig.Server server = Rig.Server.mariadb()) {
      assumeTrue(server.url != null, "there is no MariaDB on this machine");
      DataSource source = new MariaDbDataSource(server.url);
      losesACommit(source);
      keepsTheContract(source);
    }
  }
}
