package assent.jdbc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import assent.AssentException.AlreadyExists;
import assent.AssentException.FailedPrecondition;
import assent.AssentException.InvalidArgument;
import assent.Call;
import assent.Client;
import assent.Job;
import assent.Kind;
import assent.Operation;
import assent.Outcome;
import assent.Participant;
import assent.Protocol;
import assent.Reply;
import assent.Report;
import assent.Rig;
import assent.Service;
import assent.State;
import assent.Trace;
import assent.Transaction;
import assent.WaitFor;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Messages without an outbox begin if, and only if, the initiator's local transaction commits: the same on each database. */
class CheckBackTest {
  private static final Duration HOUR = Duration.ofHours(1);

  private interface Story {
    void of(String url, Rig.Server server) throws Exception;
  }

  private static void inPostgresql(String settings, Story story) throws Exception {
    try (Rig.Server server = Rig.Server.postgresql(settings)) {
      assumeTrue(server.url != null, "no PostgreSQL is installed");
      story.of(server.url, server);
    }
  }

  private static void inMariadb(Story story) throws Exception {
    try (Rig.Server server = Rig.Server.mariadb()) {
      assumeTrue(server.url != null, "no MariaDB is installed");
      story.of(server.url, server);
    }
  }

  private static String file(Path folder) {
    return "jdbc:sqlite:" + folder.resolve("shop.db");
  }

  @Test
  void theAdapterOnSqlite(@TempDir Path folder) throws Exception {
    adapter(file(folder));
  }

  @Test
  void theAdapterOnPostgresql() throws Exception {
    inPostgresql("{}", (url, server) -> adapter(url));
  }

  @Test
  void theAdapterOnMariadb() throws Exception {
    inMariadb((url, server) -> adapter(url));
  }

  @Test
  void withACoordinatorOnSqlite(@TempDir Path folder) throws Exception {
    coordinated(file(folder));
  }

  @Test
  void withACoordinatorOnPostgresql() throws Exception {
    inPostgresql("{}", (url, server) -> coordinated(url));
  }

  @Test
  void withACoordinatorOnMariadb() throws Exception {
    inMariadb((url, server) -> coordinated(url));
  }

  /** An initiator whose commit has not waited for the disk: that it has committed is not said before it is there. */
  @Test
  void whatIsToldIsDurable() throws Exception {
    inPostgresql("{'wal_writer_delay': '10000'}", (url, server) -> {
      try (Shop shop = new Shop(url)) {
        try (Connection connection = shop.source.getConnection()) {
          Dialect.execute(connection, "SET synchronous_commit = off");
          shop.enlistAnd(connection, true, "g1");
        }
        assertEquals(Kind.DONE, shop.asked("g1", Duration.ZERO).kind());
        server.kill();
        server.again();
        Rig.until("it is there again", () -> {
          try {
            return shop.rows("g1") == 1;
          } catch (SQLException notYet) {
            return false;
          }
        });
      }
    });
  }

  private static void run(Map<String, Case> cases) {
    cases.forEach((name, one) -> {
      try {
        one.run();
      } catch (Exception | AssertionError failed) {
        throw new AssertionError(name + ": " + failed, failed);
      }
    });
  }

  private interface Case {
    void run() throws Exception;
  }

  private static void adapter(String url) throws Exception {
    try (Shop shop = new Shop(url)) {
      Map<String, Case> cases = new LinkedHashMap<>();
      cases.put("what has committed is done", shop::committed);
      cases.put("what has not is later, and then no", shop::notCommitted);
      cases.put("a no is for good", shop::forGood);
      cases.put("one that is under way is neither", shop::underWay);
      cases.put("one is enlisted once", shop::once);
      cases.put("what came too late for its snapshot", shop::oldSnapshot);
      cases.put("without a local transaction", shop::autocommit);
      cases.put("what does not check back", shop::plain);
      cases.put("in handlers, and with the adapter's own transaction", shop::ofTheAdapter);
      cases.put("it is not undone", shop::notUndone);
      cases.put("without a table", shop::withoutTable);
      CheckBackTest.run(cases);
    }
  }

  /** A database whose participant "orders" is asked, and an initiator's connections to it. */
  private static final class Shop implements AutoCloseable {
    final DataSource source;
    final Dialect dialect;
    final JdbcBarrier db;

    Shop(String url) throws Exception {
      source = OutboxProgram.source(url);
      db = new JdbcBarrier(source, "CREATE TABLE IF NOT EXISTS sale(gid VARCHAR(64) PRIMARY KEY)");
      db.checkBack("placed");
      db.saga("sell").onAction((tx, call) -> {
        CheckBack.enlist(tx, message("of-" + call.gid()));
        return call.text().equals("no") ? Reply.refused("no") : Reply.done();
      });
      db.start();
      try (Connection connection = source.getConnection()) {
        dialect = Dialect.of(connection);
      }
    }

    @Override
    public void close() {
      db.close();
    }

    static Transaction message(String gid) {
      return new Transaction(gid).checkBack("orders", "placed").saga("shipping", "book", "");
    }

    private Reply asked(String gid, Operation operation, String action, Duration after, String payload) throws Exception {
      Call call = new Call(gid, "1", operation, Protocol.SAGA, "orders", action, payload.getBytes(), Map.of(), Map.of(), 1,
          false, Duration.ZERO, 7, 1, Instant.now().minus(after), Trace.NONE);
      CompletableFuture<Reply> answer = new CompletableFuture<>();
      db.execute(new Job(call, answer::complete, () -> true));
      return answer.get(40, TimeUnit.SECONDS);
    }

    /** So long after it was prepared. */
    Reply asked(String gid, Duration after) throws Exception {
      return asked(gid, Operation.ACTION, "placed", after, "");
    }

    void enlistAnd(Connection connection, boolean commits, String gid) throws SQLException {
      connection.setAutoCommit(false);
      try {
        BarrierTable.update(connection, "INSERT INTO sale VALUES(?)", gid);
        CheckBack.enlist(connection, message(gid));
        if (commits) connection.commit();
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
    }

    void enlistAnd(boolean commits, String gid) throws SQLException {
      try (Connection connection = source.getConnection()) {
        enlistAnd(connection, commits, gid);
      }
    }

    long rows(String gid) throws SQLException {
      try (Connection connection = source.getConnection()) {
        return PreparedTransactions.number(connection, "SELECT count(*) FROM sale JOIN assent_barrier b ON b.gid = sale.gid"
            + " WHERE sale.gid = ?", gid);
      }
    }

    private void committed() throws Exception {
      enlistAnd(true, "g1");
      assertTrue(asked("g1", Duration.ZERO).saysTheSameAs(Reply.done()));
      assertTrue(asked("g1", HOUR).saysTheSameAs(Reply.done()));
      assertEquals(1, rows("g1"));
    }

    private void notCommitted() throws Exception {
      enlistAnd(false, "g2");
      assertEquals(Kind.RETRY_LATER, asked("g2", Duration.ZERO).kind());
      assertEquals(Kind.RETRY_LATER, asked("g2", Duration.ofSeconds(1)).kind());
      Reply no = asked("g2", Duration.ofSeconds(11));
      assertEquals(Kind.REFUSED, no.kind());
      assertTrue(no.reason().contains("had not committed after 10000 ms"), no.reason());
      assertTrue(asked("g2", Duration.ZERO).saysTheSameAs(no), "whatever the clocks say then");
    }

    private void refused(Class<? extends RuntimeException> kind, String words, String gid) {
      String said = assertThrows(kind, () -> enlistAnd(true, gid)).getMessage();
      assertTrue(said.contains(words), said);
    }

    private void forGood() throws Exception {
      assertEquals(Kind.REFUSED, asked("g3", Duration.ofSeconds(11)).kind());
      refused(FailedPrecondition.class, "was told no", "g3");
      assertEquals(Kind.REFUSED, asked("g3", Duration.ZERO).kind());
      assertEquals(0, rows("g3"));
      enlistAnd(true, "g3-new");
      // Also one that was undone before.
      assertEquals(Kind.DONE, asked("g3-undone", Operation.COMPENSATE, "placed", Duration.ZERO, "").kind());
      refused(FailedPrecondition.class, "was told no", "g3-undone");
    }

    private void underWay() throws Exception {
      try (Connection connection = source.getConnection()) {
        connection.setAutoCommit(false);
        CheckBack.enlist(connection, message("g4"));
        assertEquals(Kind.RETRY_LATER, asked("g4", Duration.ofSeconds(11)).kind());
        if (dialect != Dialect.SQLITE) { // which has one that writes at a time
          // More of them than there are workers: nobody waits for them.
          for (int at = 0; at < 10; at++) assertEquals(CheckBack.UNDER_WAY, asked("g4", Duration.ofSeconds(11)));
          assertEquals(Kind.REFUSED, asked("g4-other", Duration.ofSeconds(11)).kind());
        }
        connection.commit();
      }
      assertEquals(Kind.DONE, asked("g4", Duration.ofSeconds(11)).kind());
    }

    private void once() throws Exception {
      enlistAnd(true, "g5");
      String said = assertThrows(AlreadyExists.class, () -> db.transaction(tx -> {
        CheckBack.enlist(tx, message("g5"));
        return 0;
      })).getMessage();
      assertTrue(said.contains("is enlisted"), said);
      assertEquals(Kind.DONE, asked("g5", Duration.ZERO).kind());
    }

    /** A local transaction that sees the database as it was before the answer. */
    private void oldSnapshot() throws Exception {
      try (Connection connection = source.getConnection()) {
        connection.setAutoCommit(false);
        if (dialect != Dialect.SQLITE) connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
        PreparedTransactions.number(connection, "SELECT count(*) FROM sale");
        assertEquals(Kind.REFUSED, asked("g6", Duration.ofSeconds(11)).kind());
        if (dialect == Dialect.SQLITE) assertThrows(SQLException.class, () -> CheckBack.enlist(connection, message("g6")));
        else assertThrows(FailedPrecondition.class, () -> CheckBack.enlist(connection, message("g6")));
        connection.rollback();
      }
      assertEquals(Kind.REFUSED, asked("g6", Duration.ZERO).kind());
    }

    private void autocommit() throws Exception {
      try (Connection connection = source.getConnection()) {
        String said = assertThrows(FailedPrecondition.class, () -> CheckBack.enlist(connection, message("g7"))).getMessage();
        assertTrue(said.contains("commit by itself"), said);
        Dialect.execute(connection, dialect == Dialect.SQLITE ? "BEGIN IMMEDIATE" : "START TRANSACTION");
        CheckBack.enlist(connection, message("g7"));
        Dialect.execute(connection, "ROLLBACK");
      }
      assertEquals(Kind.RETRY_LATER, asked("g7", Duration.ZERO).kind());
    }

    private void plain() throws Exception {
      try (Connection connection = source.getConnection()) {
        connection.setAutoCommit(false);
        Transaction plain = new Transaction().saga("shipping", "book", "").checkBack("orders", "placed");
        String said = assertThrows(InvalidArgument.class, () -> CheckBack.enlist(connection, plain)).getMessage();
        assertTrue(said.contains("does not begin with checkBack"), said);
        assertThrows(InvalidArgument.class, () -> CheckBack.enlist(connection, new Transaction()));
        connection.rollback();
      }
    }

    private void ofTheAdapter() throws Exception {
      db.transaction(tx -> {
        CheckBack.enlist(tx, message("g8"));
        return 0;
      });
      assertEquals(Kind.DONE, asked("g8", Duration.ZERO).kind());
      assertEquals(Kind.REFUSED, asked("g9", Operation.ACTION, "sell", Duration.ZERO, "no").kind());
      assertEquals(Kind.RETRY_LATER, asked("of-g9", Duration.ZERO).kind());
      assertEquals(Kind.DONE, asked("g10", Operation.ACTION, "sell", Duration.ZERO, "yes").kind());
      assertEquals(Kind.DONE, asked("of-g10", Duration.ZERO).kind());
    }

    /** Past the pivot there is only forward: a coordinator never asks for it. */
    private void notUndone() throws Exception {
      enlistAnd(true, "g11");
      assertEquals(Kind.REFUSED, asked("g11", Operation.COMPENSATE, "placed", Duration.ZERO, "").kind());
      assertEquals(Kind.DONE, asked("g11", Duration.ZERO).kind());
    }

    private void withoutTable() throws Exception {
      try (Connection connection = source.getConnection()) {
        Dialect.execute(connection, "DROP TABLE assent_barrier");
      }
      refused(FailedPrecondition.class, "which the JdbcBarrier of a participant makes", "g12");
    }
  }

  private static void coordinated(String url) throws Exception {
    try (Office office = new Office(url)) {
      Map<String, Case> cases = new LinkedHashMap<>();
      cases.put("submitted at once", office::submitted);
      cases.put("prepared twice", office::preparedTwice);
      cases.put("killed between commit and submit", office::killedAfterCommit);
      cases.put("killed before the commit", office::killedBeforeCommit);
      cases.put("never committed", office::neverCommitted);
      cases.put("open for longer than its patience", office::slow);
      cases.put("only the first step is checked back", office::onlyTheFirst);
      cases.put("the rows go", office::forgotten);
      CheckBackTest.run(cases);
    }
  }

  /** The same with a coordinator, and a participant that notes what comes. */
  private static final class Office implements AutoCloseable {
    final String url;
    final DataSource source;
    final Rig.Daemon daemon = new Rig.Daemon();
    final OutboxNotes notes = new OutboxNotes();
    final Client client = Client.builder().endpoints(daemon.endpoint).build();
    final Participant desk = Participant.builder(notes.service()).endpoints(daemon.endpoint).build().start();
    Participant orders;

    Office(String url) throws Exception {
      this.url = url;
      source = OutboxProgram.source(url);
      orders = orders(HOUR, Duration.ofSeconds(5));
    }

    private Participant orders(Duration retention, Duration questionInterval) {
      JdbcBarrier db = new JdbcBarrier(source, "CREATE TABLE IF NOT EXISTS sale(gid VARCHAR(64) PRIMARY KEY)");
      db.retention(retention);
      db.checkBack("placed", HOUR);
      db.checkBack("hasty", Duration.ZERO);
      return Participant.builder(new Service("orders", db)).endpoints(daemon.endpoint).questionInterval(questionInterval)
          .build().start();
    }

    @Override
    public void close() throws Exception {
      orders.close();
      desk.close();
      client.close();
      daemon.close();
    }

    private void place(Transaction message) throws SQLException {
      try (Connection connection = source.getConnection()) {
        connection.setAutoCommit(false);
        BarrierTable.update(connection, "INSERT INTO sale VALUES(?)", message.gid());
        CheckBack.enlist(connection, message);
        connection.commit();
      }
    }

    private long count(String sql, String gid) throws SQLException {
      try (Connection connection = source.getConnection()) {
        return PreparedTransactions.number(connection, sql, gid);
      }
    }

    private void submitted() throws Exception {
      Transaction message = CheckBackProgram.hasty("submitted");
      assertEquals(State.ACTIVE, client.prepare(message).state());
      assertEquals(0, client.get("submitted").branches().get(0).attempts(), "there is nothing to ask yet");
      place(message);
      Report report = client.submit(message, WaitFor.COMPLETED);
      assertTrue(report.committed(), report.abortReason());
      assertEquals(List.of("submitted"), notes.all());
    }

    /** As who has had no answer does; and falls silent after the commit. */
    private void preparedTwice() throws Exception {
      Transaction message = CheckBackProgram.patient("twice");
      for (int times = 0; times < 2; times++) assertEquals(Outcome.UNDECIDED, client.prepare(message).outcome());
      place(message);
      assertTrue(client.await("twice", WaitFor.COMPLETED).committed());
      assertEquals(List.of("submitted", "twice"), notes.all());
    }

    private void killedAfterCommit() throws Exception {
      try (Rig.Running initiator = CheckBackProgram.start(url, daemon.endpoint, "killed", "commits")) {
        Rig.until("it has committed", () -> initiator.output().contains("it commits") || !initiator.process.isAlive());
        assertTrue(initiator.process.isAlive(), initiator.output());
      }
      assertTrue(client.await("killed", WaitFor.COMPLETED).committed());
      assertTrue(notes.all().contains("killed"));
      assertEquals(1, count("SELECT count(*) FROM sale WHERE gid = ?", "killed"));
    }

    private void killedBeforeCommit() throws Exception {
      try (Rig.Running initiator = CheckBackProgram.start(url, daemon.endpoint, "undone", "enlists")) {
        Rig.until("it has enlisted", () -> initiator.output().contains("it enlists") || !initiator.process.isAlive());
        assertTrue(initiator.process.isAlive(), initiator.output());
      }
      Transaction message = CheckBackProgram.hasty("undone");
      // Its database may see only later that it is gone.
      Rig.until("it is aborted", () -> client.submit(message, WaitFor.ACCEPTED).aborted());
      assertFalse(notes.all().contains("undone"));
      assertEquals(0, count("SELECT count(*) FROM sale WHERE gid = ?", "undone"));
    }

    private void neverCommitted() throws Exception {
      Transaction message = new Transaction("never").checkBack("orders", "hasty", Duration.ofMillis(50)).saga("desk", "note", "never");
      client.prepare(message);
      Report report = client.await("never", WaitFor.DECIDED);
      assertTrue(report.aborted());
      assertTrue(report.abortReason().contains("had not committed"), report.abortReason());
      assertThrows(FailedPrecondition.class, () -> place(message));
      assertEquals(0, count("SELECT count(*) FROM sale WHERE gid = ?", "never"));
      assertTrue(client.submit(message).aborted());
      assertFalse(notes.all().contains("never"));
    }

    private void slow() throws Exception {
      Transaction message = CheckBackProgram.hasty("slow");
      client.prepare(message);
      try (Connection connection = source.getConnection()) {
        connection.setAutoCommit(false);
        CheckBack.enlist(connection, message);
        client.submit(message, WaitFor.ACCEPTED);
        Rig.until("it was asked", () -> !client.get("slow").branches().get(0).lastError().isEmpty());
        connection.commit();
      }
      assertTrue(client.submit(message).committed());
    }

    private void onlyTheFirst() {
      Transaction late = new Transaction().saga("desk", "note", "late").checkBack("orders", "placed");
      assertThrows(InvalidArgument.class, () -> client.prepare(late));
      assertThrows(InvalidArgument.class, () -> client.submit(late));
      Transaction beside = new Transaction().checkBack("orders", "placed").tcc("desk", "note", "beside");
      assertThrows(InvalidArgument.class, () -> client.prepare(beside));
    }

    /** Whoever is asked about them knows them by their gid alone. */
    private void forgotten() throws Exception {
      orders.close();
      orders = orders(Duration.ofSeconds(-1), Duration.ofMillis(100));
      for (String gid : List.of("submitted", "killed", "never")) {
        Rig.until(gid + " is forgotten", () -> count("SELECT count(*) FROM assent_barrier WHERE gid = ?", gid) == 0);
      }
    }
  }
}
