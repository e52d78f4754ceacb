package assent.jdbc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import assent.AssentException;
import assent.AssentException.AlreadyExists;
import assent.AssentException.FailedPrecondition;
import assent.AssentException.InvalidArgument;
import assent.AssentException.NotFound;
import assent.Branch;
import assent.Call;
import assent.Client;
import assent.EncodedTransaction;
import assent.Job;
import assent.Kind;
import assent.Operation;
import assent.Reply;
import assent.Retry;
import assent.RetryLater;
import assent.Rig;
import assent.Transaction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is published in a local transaction starts if, and only if, that commits: the same on each database. */
class OutboxTest {
  @Test
  void onSqlite(@TempDir Path folder) throws Exception {
    String url = "jdbc:sqlite:" + folder.resolve("shop.db");
    try (Office office = new Office(Dialect.SQLITE, url, null)) {
      office.all();
    }
  }

  @Test
  void onPostgresql() throws Exception {
    try (Rig.Server server = Rig.Server.postgresql("{'max_prepared_transactions': '20'}")) {
      assumeTrue(server.url != null, "no PostgreSQL is installed");
      try (Office office = new Office(Dialect.POSTGRESQL, server.url, server)) {
        office.all();
      }
    }
  }

  @Test
  void onMariadb() throws Exception {
    try (Rig.Server server = Rig.Server.mariadb()) {
      assumeTrue(server.url != null, "no MariaDB is installed");
      try (Office office = new Office(Dialect.MYSQL, server.url, server)) {
        office.all();
      }
    }
  }

  /** One table for all languages. */
  @Test
  void theTableIsThatOfThePage() throws Exception {
    String page = words(Files.readString(Rig.ROOT.resolve("docs/messages.md")));
    for (Dialect dialect : Dialect.values()) {
      for (String sql : OutboxTable.schema(dialect)) assertTrue(page.contains(words(sql + ";")), sql);
    }
  }

  private static String words(String text) {
    return text.replaceAll("\\s+", " ");
  }

  private static Transaction order(String text) {
    return new Transaction().add(Branch.saga("desk", "note", text));
  }

  private static Transaction order(String gid, String text) {
    return new Transaction(gid).add(Branch.saga("desk", "note", text));
  }

  /** A database with an outbox, a coordinator, and a participant that notes what comes. */
  private static final class Office implements AutoCloseable {
    final Dialect dialect;
    final String url;
    final Rig.Server server;
    final DataSource source;
    final Rig.Daemon daemon = new Rig.Daemon();
    final Client client;
    final assent.Participant participant;
    final OutboxNotes notes = new OutboxNotes();
    Outbox outbox;

    Office(Dialect dialect, String url, Rig.Server server) throws Exception {
      this.dialect = dialect;
      this.url = url;
      this.server = server;
      source = OutboxProgram.source(url);
      outbox = new Outbox(source);
      outbox.start();
      client = Client.builder().endpoints(daemon.endpoint).retry(Retry.DEFAULT.withGiveUpAfter(Duration.ofMillis(200))).build();
      participant = assent.Participant.builder(notes.service()).endpoints(daemon.endpoint).build();
      participant.start();
    }

    @Override
    public void close() throws Exception {
      notes.release();
      participant.close();
      client.close();
      daemon.close();
    }

    private interface Case {
      void run() throws Exception;
    }

    void all() throws Exception {
      Map<String, Case> cases = new java.util.LinkedHashMap<>();
      cases.put("follows a commit, and no rollback", this::followsACommit);
      cases.put("bytes of every kind and size", this::bytes);
      cases.put("refuses what can never work", this::refuses);
      cases.put("refuses to commit by itself", this::autocommit);
      cases.put("has a bound", this::bound);
      cases.put("handlers publish", this::handlers);
      cases.put("rows edited by hand", this::byHand);
      cases.put("handed over long ago", this::guard);
      cases.put("two at once share", this::share);
      cases.put("a participant that hangs", this::hangs);
      cases.put("killed between submit and delete", this::killedBeforeDelete);
      cases.put("order through kills", this::orderThroughKills);
      cases.put("coordinator away", this::coordinatorAway);
      cases.put("table locked", this::locked);
      cases.put("a hundred thousand rows", this::huge);
      if (server != null) cases.put("database away", this::databaseAway);
      for (var one : cases.entrySet()) {
        run("DELETE FROM assent_outbox");
        notes.clear();
        try {
          one.getValue().run();
        } catch (Exception | AssertionError failed) {
          throw new AssertionError(dialect + ", " + one.getKey() + ": " + failed, failed);
        }
      }
    }

    void run(String sql, Object... parameters) throws SQLException {
      try (Connection connection = source.getConnection()) {
        BarrierTable.update(connection, sql, parameters);
      }
    }

    long count(String where) throws SQLException {
      try (Connection connection = source.getConnection(); Statement statement = connection.createStatement();
          var found = statement.executeQuery("SELECT count(*) FROM assent_outbox " + where)) {
        found.next();
        return found.getLong(1);
      }
    }

    private interface Inside {
      void run(Connection connection) throws SQLException;
    }

    void within(Inside work) throws SQLException {
      try (Connection connection = source.getConnection()) {
        connection.setAutoCommit(false);
        work.run(connection);
        connection.commit();
      }
    }

    String publish(Transaction transaction) throws SQLException {
      within(connection -> outbox.publish(connection, transaction));
      return transaction.gid();
    }

    Relay relay() {
      return new Relay(outbox, client);
    }

    void untilSeen(int count) throws Exception {
      Rig.until(count + " have come", () -> notes.all().size() >= count);
      Rig.until("the rows are gone", () -> count("WHERE parked_reason IS NULL AND kind = 1") == 0);
      assertEquals(count, notes.all().size());
    }

    void row(String gid, byte[] request) throws SQLException {
      run("INSERT INTO assent_outbox(gid, request, created_unix_ms) VALUES(?, ?, 0)", gid, request);
    }

    void row(String gid) throws SQLException {
      row(gid, EncodedTransaction.of(order(gid, gid)).bytes());
    }

    private void followsACommit() throws Exception {
      try (Relay relay = relay().start(); Connection connection = source.getConnection()) {
        Transaction rolledBack = order("never");
        connection.setAutoCommit(false);
        outbox.publish(connection, rolledBack);
        connection.rollback();
        connection.close();
        publish(order("paid"));
        relay.wake();
        untilSeen(1);
        assertEquals(List.of("paid"), notes.all());
        assertThrows(NotFound.class, () -> client.get(rolledBack.gid()));
        Rig.until("it counts", () -> relay.stats().handedOver() == 1);
      }
    }

    private void bytes() throws Exception {
      byte[] all = new byte[assent.Limits.MAX_PAYLOAD_BYTES];
      for (int at = 0; at < all.length; at++) all[at] = (byte) at;
      String key = " Ä'\\\"%?$1 ";
      publish(new Transaction().add(Branch.saga("desk", "note", new byte[0])));
      publish(new Transaction().add(Branch.saga("desk", "note", Arrays.copyOf(all, 256))));
      Transaction largest = new Transaction();
      for (int at = 0; at < 3; at++) largest.add(Branch.saga("desk", "note", all));
      publish(largest);
      within(connection -> outbox.publishInOrder(connection, key, order("ä ")));
      try (Relay relay = relay().start()) {
        untilSeen(4);
      }
      List<Integer> sizes = notes.all().stream().map(one -> one.getBytes(StandardCharsets.ISO_8859_1).length).sorted().toList();
      assertEquals(List.of(0, 3, 256, all.length), sizes);
      assertTrue(notes.all().contains(new String(all, StandardCharsets.ISO_8859_1)));
    }

    private void refused(Class<? extends RuntimeException> kind, String words, Inside work) {
      RuntimeException thrown = assertThrows(kind, () -> within(work));
      assertTrue(thrown.getMessage().contains(words), thrown.getMessage());
    }

    private void refuses() throws Exception {
      byte[] large = new byte[assent.Limits.MAX_PAYLOAD_BYTES];
      Transaction tooLarge = order("!");
      for (int at = 0; at < 3; at++) tooLarge.add(Branch.saga("desk", "note", large));
      Map<String, Transaction> wrong = new HashMap<>(Map.of("gid is \"a b\"", order("a b", ""), "needs at least one", new Transaction(),
          "payloads and headers together have 3145729 bytes; at most 3145728", tooLarge,
          "labels key is \"\"", order("").label("", "x"), "at most 256", order("").label("a", "x".repeat(257))));
      wrong.forEach((words, transaction) -> refused(InvalidArgument.class, words, c -> outbox.publish(c, transaction)));
      for (String key : List.of("", "k".repeat(129), "a\0", "a\n", "\ud800")) {
        refused(InvalidArgument.class, "key", c -> outbox.publishInOrder(c, key, order("")));
      }
      String gid = publish(order("one"));
      refused(AlreadyExists.class, gid, c -> outbox.publish(c, order(gid, "other")));
      assertEquals(1, count(""));
      try (Relay relay = relay().start()) {
        untilSeen(1);
        publish(order(gid, "other")); // of what has run
        Rig.until("it is parked", () -> count("WHERE parked_reason IS NOT NULL") == 1);
      }
      assertTrue(outbox.parked(10).get(0).reason().startsWith("AlreadyExists: "), outbox.parked(10).toString());
    }

    /** Where each statement commits. */
    private void autocommit() throws Exception {
      String words = "there is none that is open";
      try (Connection connection = source.getConnection()) {
        assertTrue(assertThrows(FailedPrecondition.class, () -> outbox.publish(connection, order(""))).getMessage().contains(words));
        Dialect.execute(connection, "BEGIN"); // by hand
        outbox.publish(connection, order("by hand"));
        Dialect.execute(connection, "COMMIT");
        assertThrows(FailedPrecondition.class, () -> outbox.publish(connection, order("")));
      }
      assertEquals(1, count(""));
    }

    private void bound() throws Exception {
      Outbox unstarted = new Outbox(source);
      refused(AssentException.ConfigError.class, "start() the outbox before it is used", c -> unstarted.publish(c, order("")));
      for (int at = 0; at < 3; at++) row("bound-" + at);
      Outbox small = new Outbox(source).maxWaiting(3).start();
      refused(RetryLater.class, "is a relay running?", c -> small.publish(c, order("")));
      run("DELETE FROM assent_outbox");
      Rig.until("there is room again", () -> {
        try {
          within(c -> small.publish(c, order("")));
          return true;
        } catch (RetryLater stillFull) {
          return false;
        }
      });
    }

    private void handlers() throws Exception {
      JdbcBarrier db = new JdbcBarrier(source);
      db.saga("sell").onAction((tx, call) -> {
        outbox.publish(tx, order("after-" + call.gid(), "from a handler"));
        return call.gid().equals("g1") ? Reply.refused("no") : Reply.done();
      });
      if (server != null) {
        db.twoPhase("take").onPrepare((tx, call) -> {
          outbox.publish(tx, order("after-" + call.gid(), "prepared"));
          return Reply.done();
        });
      }
      db.start();
      assertEquals(Kind.REFUSED, asked(db, "g1", Operation.ACTION, "sell"));
      assertEquals(0, count(""));
      for (int times = 0; times < 2; times++) assertEquals(Kind.DONE, asked(db, "g2", Operation.ACTION, "sell"));
      assertEquals(1, count(""));
      if (server != null) {
        for (Operation end : List.of(Operation.ROLLBACK, Operation.COMMIT)) {
          assertEquals(Kind.DONE, asked(db, "two-" + end, Operation.PREPARE, "take"));
          assertEquals(1, count(""), "it is not seen before the decision");
          assertEquals(Kind.DONE, asked(db, "two-" + end, end, "take"));
          assertEquals(end == Operation.COMMIT ? 2 : 1, count(""));
        }
      }
      db.close();
    }

    private Kind asked(JdbcBarrier db, String gid, Operation operation, String action) throws Exception {
      CompletableFuture<Reply> answer = new CompletableFuture<>();
      db.execute(new Job(Call.of(gid, "1", operation, action, new byte[0]), answer::complete, () -> true));
      Reply reply = answer.get(30, TimeUnit.SECONDS);
      if (reply.kind() == Kind.RETRY_LATER) throw new AssertionError(reply.reason());
      return reply.kind();
    }

    private void byHand() throws Exception {
      byte[] good = EncodedTransaction.of(order("good", "good")).bytes();
      row("garbage", new byte[] {-1, -2, 'g'});
      row("empty", new byte[0]);
      row("other", good);
      row("it's", good);
      row("later", good);
      row("many");
      row("good");
      run("UPDATE assent_outbox SET kind = 7 WHERE gid = 'later'");
      run("UPDATE assent_outbox SET attempts = 2147483647, due_unix_ms = -5 WHERE gid = 'many'");
      try (Relay relay = relay().start()) {
        untilSeen(2);
        Rig.until("the others are parked", () -> count("WHERE parked_reason IS NOT NULL") == 4);
        Map<String, String> said = new HashMap<>();
        for (Outbox.Parked one : outbox.parked(10)) said.put(one.gid(), one.reason());
        Map.of("garbage", "its request cannot be read", "empty", "without a transaction", "other", "its request is of gid \"good\"",
            "it's", "its request is of gid", "later", "it is of kind 7, which is not known here")
            .forEach((gid, words) -> assertTrue(said.get(gid).contains(words), gid + ": " + said.get(gid)));
        assertThrows(NotFound.class, () -> outbox.retry("nobody"));
        run("UPDATE assent_outbox SET request = ? WHERE gid = 'garbage'", EncodedTransaction.of(order("garbage", "mended")).bytes());
        outbox.retry("garbage");
        for (String gid : List.of("empty", "other", "it's", "later")) outbox.drop(gid);
        untilSeen(3);
      }
      assertEquals(0, count(""));
    }

    private void guard() throws Exception {
      String known = publish(order("known"));
      try (Relay relay = relay().start()) {
        untilSeen(1);
      }
      row(known, EncodedTransaction.of(order(known, "known")).bytes());
      row("forgotten-" + dialect);
      row("young-" + dialect);
      run("UPDATE assent_outbox SET first_attempt_unix_ms = 1 WHERE gid NOT LIKE 'young%'");
      try (Relay relay = relay().start()) {
        untilSeen(2);
        Rig.until("it is parked", () -> count("WHERE parked_reason IS NOT NULL") == 1);
        Outbox.Parked parked = outbox.parked(10).get(0);
        assertTrue(parked.gid().startsWith("forgotten") && parked.reason().contains("may have run and been forgotten"), parked.toString());
        outbox.retry(parked.gid());
        untilSeen(3);
      }
    }

    private void share() throws Exception {
      int rows = 600;
      within(connection -> {
        for (int at = 0; at < rows; at++) outbox.publish(connection, order("" + at));
      });
      try (Relay first = relay().batch(50).start(); Relay second = relay().batch(50).start()) {
        untilSeen(rows);
        Rig.until("both have settled", () -> first.stats().handedOver() + second.stats().handedOver() == rows
            && first.stats().handedOver() > 0 && second.stats().handedOver() > 0);
      }
    }

    /** Those of one key wait for its participant; others do not. A relay that is stopped leaves what was not answered. */
    private void hangs() throws Exception {
      notes.hold();
      for (int at = 0; at < 3; at++) {
        Transaction inOrder = order("in order " + at);
        within(connection -> outbox.publishInOrder(connection, "a", inOrder));
        publish(order("at once " + at));
      }
      try (Relay relay = relay().batch(2).stopGrace(Duration.ofMillis(1)).start()) {
        Rig.until("the others are accepted", () -> count("WHERE ordering_key IS NULL") == 0);
      }
      assertEquals(3, count("WHERE ordering_key = 'a'"));
      assertEquals(1, count("WHERE attempts > 0"));
      notes.release();
      try (Relay relay = relay().start()) {
        untilSeen(6);
      }
      List<String> came = notes.all().stream().filter(one -> one.startsWith("in order")).toList();
      assertEquals(List.of("in order 0", "in order 1", "in order 2"), came);
    }

    private void leasesEnd() throws SQLException {
      run("UPDATE assent_outbox SET due_unix_ms = 0");
    }

    private void killedBeforeDelete() throws Exception {
      for (int at = 0; at < 3; at++) publish(order("" + at));
      try (Rig.Running hangs = OutboxProgram.start(url, daemon.endpoint, "hang")) {
        Rig.until("it is about to remove", () -> hangs.output().contains("deleting"));
        Rig.until("they have come", () -> notes.all().size() == 3);
      }
      assertEquals(3, count("WHERE first_attempt_unix_ms IS NOT NULL"));
      leasesEnd();
      try (Relay relay = relay().start()) {
        untilSeen(3);
      }
      assertEquals(0, notes.repeats(), "one transaction each");
    }

    private void orderThroughKills() throws Exception {
      int rows = 200;
      int kills = 4;
      within(connection -> {
        for (int at = 0; at < rows; at++) outbox.publishInOrder(connection, "account 7", order("" + at));
      });
      Rig.Running[] relays = {OutboxProgram.start(url, daemon.endpoint, "relay"), OutboxProgram.start(url, daemon.endpoint, "relay")};
      for (int at = 0; at < kills; at++) {
        int enough = (at + 1) * rows / (kills + 2);
        try {
          Rig.until("some have come", () -> notes.all().size() >= enough);
        } catch (AssertionError late) {
          throw new AssertionError(notes.all().size() + " of " + enough + " have come: " + relays[0].output() + relays[1].output()
              + outbox.stats() + outbox.parked(9), late);
        }
        relays[at % 2].close();
        relays[at % 2] = OutboxProgram.start(url, daemon.endpoint, "relay");
        leasesEnd();
      }
      untilSeen(rows);
      for (Rig.Running relay : relays) relay.close();
      assertEquals(IntStream.range(0, rows).mapToObj(String::valueOf).toList(), notes.all());
    }

    /** An outage, however long, leaves rows of which it is certain that they were never handed over. */
    private void coordinatorAway() throws Exception {
      daemon.kill();
      try (Relay relay = relay().retentionGuard(Duration.ofMillis(1)).start()) {
        for (int at = 0; at < 5; at++) publish(order("" + at));
        Rig.until("it has tried", () -> relay.stats().failed() >= 5);
        Rig.until("they were never handed over", () ->
            count("WHERE first_attempt_unix_ms IS NULL AND attempts > 0 AND last_error LIKE 'Unavailable%'") > 0);
        daemon.again();
        untilSeen(5);
      }
      assertEquals(0, count(""));
    }

    private void locked() throws Exception {
      publish(order("waits"));
      try (Connection connection = source.getConnection()) {
        String[] locks = switch (dialect) {
          case SQLITE -> new String[] {"BEGIN IMMEDIATE", "ROLLBACK"};
          case POSTGRESQL -> new String[] {"BEGIN; LOCK TABLE assent_outbox", "ROLLBACK"};
          case MYSQL -> new String[] {"LOCK TABLES assent_outbox WRITE", "UNLOCK TABLES"};
        };
        Dialect.execute(connection, locks[0]);
        try (Relay relay = relay().start()) {
          // That it waits no longer than it says: a look of our own.
          assertThrows(SQLException.class, () -> outbox.retry("nobody"));
          assertEquals(0, notes.all().size());
          Dialect.execute(connection, locks[1]);
          untilSeen(1);
        }
      }
    }

    /** A look takes what it needs, by the indices, whatever the table is like. */
    private void huge() throws Exception {
      for (int first = 0; first < 100_000; first += 1000) {
        StringBuilder sql = new StringBuilder("INSERT INTO assent_outbox(gid, ordering_key, request, created_unix_ms, parked_reason) VALUES ");
        for (int at = first; at < first + 1000; at++) {
          sql.append(at == first ? "" : ",").append("('huge-").append(at).append("', '").append(first < 5000 ? "key " + at : "poison")
              .append("', 'x', 0, 'for a person')");
        }
        run(sql.toString());
      }
      run("UPDATE assent_outbox SET parked_reason = NULL WHERE ordering_key = 'poison' AND gid <> 'huge-5000'");
      outbox = new Outbox(source).maxWaiting(0).start();
      publish(order("other"));
      within(connection -> outbox.publishInOrder(connection, "zzz", order("last")));
      try (Relay relay = relay().start()) {
        Rig.until("they have come", () -> notes.all().size() == 2);
        Rig.until("they are gone", () -> count("WHERE attempts > 0") == 0);
      }
      assertEquals(5001, outbox.stats().parked());
    }

    private void databaseAway() throws Exception {
      try (Relay relay = relay().start()) {
        publish(order("before"));
        untilSeen(1);
        server.kill();
        server.again();
        Rig.until("it answers", () -> {
          try {
            publish(order("after"));
            return true;
          } catch (SQLException | AssentException notYet) {
            return false;
          }
        });
        untilSeen(2);
      }
    }
  }
}
