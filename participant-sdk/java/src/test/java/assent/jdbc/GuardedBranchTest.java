package assent.jdbc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import assent.AssentException.ConfigError;
import assent.Call;
import assent.Job;
import assent.Kind;
import assent.Operation;
import assent.Reply;
import assent.Rig;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.mariadb.jdbc.MariaDbDataSource;
import org.postgresql.ds.PGSimpleDataSource;
import org.sqlite.SQLiteDataSource;

/** A branch has its effect once, whatever handlers, other instances and the sessions of a pool do. */
class GuardedBranchTest {
  private static final String TABLE = "CREATE TABLE IF NOT EXISTS account(name VARCHAR(20) PRIMARY KEY, coins BIGINT NOT NULL)";
  private static final String PAY = "UPDATE account SET coins = coins - 1 WHERE name = 'ann'";

  /** One account in a new database. */
  private static final class Bank {
    final DataSource source;
    final boolean isPostgresql;
    final boolean keepsPrepared;
    volatile TxHandler handler = Bank::pay; // of TRY and PREPARE
    volatile TxHandler second = Bank::pay; // of CONFIRM
    volatile TxSecondHandler undo = (tx, call) -> tx.run("UPDATE account SET coins = coins + 1");
    /** Once, before a statement with these words. */
    final AtomicReference<Before> before = new AtomicReference<>();
    JdbcBarrier db;

    Bank(DataSource source) throws SQLException {
      this.source = source;
      isPostgresql = source instanceof PGSimpleDataSource;
      keepsPrepared = !(source instanceof SQLiteDataSource);
      again();
      sql("INSERT INTO account VALUES('ann', 100)");
    }

    void again() {
      if (db != null) db.close();
      db = new JdbcBarrier(watched(DataSource.class, source), TABLE);
      db.tcc("pay").onTry((tx, call) -> handler.handle(tx, call)).onConfirm((tx, call) -> second.handle(tx, call))
          .onCancel((tx, call) -> undo.handle(tx, call));
      if (keepsPrepared) db.twoPhase("take").onPrepare((tx, call) -> handler.handle(tx, call));
      db.start();
    }

    static Reply pay(Tx tx, Call call) throws SQLException {
      tx.run(PAY);
      return Reply.done();
    }

    void sql(String text) throws SQLException {
      try (Connection connection = source.getConnection()) {
        Dialect.execute(connection, text);
      }
    }

    long number(String sql) throws SQLException {
      try (Connection connection = source.getConnection()) {
        return PreparedTransactions.number(connection, sql);
      }
    }

    String expect(String gid, Operation operation, Kind kind, long coins) throws Exception {
      String action = operation.protocol() == assent.Protocol.TWO_PHASE ? "take" : "pay";
      CompletableFuture<Reply> answer = new CompletableFuture<>();
      db.execute(new Job(Call.of(gid, "1", operation, action, new byte[0]), answer::complete, () -> true));
      Reply reply = answer.get(30, TimeUnit.SECONDS);
      assertEquals(kind, reply.kind(), gid + " " + operation + ": " + reply.reason());
      assertEquals(coins, number("SELECT coins FROM account WHERE name = 'ann'"), gid + " " + operation);
      return reply.reason();
    }

    private record Before(String words, String sql) {}

    private <T> T watched(Class<T> type, T target) {
      return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
        Before one = before.get();
        boolean isIt = one != null && arguments != null && arguments[0] instanceof String sql && sql.contains(one.words());
        if (isIt && before.compareAndSet(one, null)) sql(one.sql());
        try {
          Object value = method.invoke(target, arguments);
          return value instanceof Connection connection ? watched(Connection.class, connection) : value;
        } catch (InvocationTargetException thrown) {
          throw thrown.getCause();
        }
      }));
    }
  }

  private interface Story {
    void of(Bank bank) throws Exception;
  }

  private static void inSqlite(Path folder, Story... stories) throws Exception {
    int number = 0;
    for (Story story : stories) {
      SQLiteDataSource source = new SQLiteDataSource();
      source.setUrl("jdbc:sqlite:" + folder.resolve(number++ + ".db"));
      told(new Bank(source), story);
    }
  }

  private static void inPostgresql(String settings, Story... stories) throws Exception {
    try (Rig.Server server = Rig.Server.postgresql(settings)) {
      assumeTrue(server.url != null, "there is no PostgreSQL on this machine");
      for (Story story : stories) {
        PGSimpleDataSource source = new PGSimpleDataSource();
        source.setURL(server.newDatabase());
        told(new Bank(source), story);
      }
    }
  }

  private static void inMariadb(Story... stories) throws Exception {
    try (Rig.Server server = Rig.Server.mariadb()) {
      assumeTrue(server.url != null, "there is no MariaDB on this machine");
      for (Story story : stories) told(new Bank(new MariaDbDataSource(server.newDatabase())), story);
    }
  }

  private static void told(Bank bank, Story story) throws Exception {
    try {
      story.of(bank);
    } finally {
      bank.db.close();
    }
  }

  private static final Story[] ALL = {
    GuardedBranchTest::anotherInstance, GuardedBranchTest::claimsThatWereCommitted, GuardedBranchTest::theConnectionItself,
    GuardedBranchTest::savepoints, GuardedBranchTest::aTableOfBefore,
  };

  @Test
  void sqlite(@TempDir Path folder) throws Exception {
    inSqlite(folder, ALL);
  }

  @Test
  void postgresql() throws Exception {
    inPostgresql("{'max_prepared_transactions': '20', 'synchronous_commit': 'off'}", ALL);
  }

  @Test
  void mariadb() throws Exception {
    inMariadb(ALL);
  }

  /** One that changes the row meanwhile: what is written here goes, and the next question finds what there is. */
  private static void anotherInstance(Bank bank) throws Exception {
    bank.handler = (tx, call) -> Reply.done();
    bank.expect("g1", Operation.TRY, Kind.DONE, 100);
    bank.second = (tx, call) -> {
      tx.run("UPDATE assent_barrier SET state = 5 WHERE gid = ?", call.gid()); // CONFIRM has been done
      return Bank.pay(tx, call);
    };
    assertEquals("somebody else was at this branch", bank.expect("g1", Operation.CONFIRM, Kind.RETRY_LATER, 100));
    bank.handler = (tx, call) -> {
      tx.run("UPDATE assent_barrier SET state = 2 WHERE gid = ?", call.gid());
      return Bank.pay(tx, call);
    };
    assertEquals("somebody else was at this branch", bank.expect("g2", Operation.TRY, Kind.RETRY_LATER, 100));
    assertEquals(0, bank.number("SELECT count(*) FROM assent_barrier WHERE gid = 'g2'"));
    if (!bank.keepsPrepared) return;
    bank.handler = Bank::pay;
    bank.expect("g3", Operation.PREPARE, Kind.DONE, 100);
    bank.before.set(new Bank.Before("assent_barrier SET state", "UPDATE assent_barrier SET state = 6 WHERE gid = 'g3'"));
    assertEquals("somebody else was at this branch", bank.expect("g3", Operation.COMMIT, Kind.RETRY_LATER, 99));
    assertEquals(6, bank.number("SELECT state FROM assent_barrier WHERE gid = 'g3'"));
    assertEquals(1, bank.number("SELECT count(*) FROM assent_marker WHERE gid = 'g3'"));
  }

  private static void isHazard(String reason) {
    assertEquals("HAZARD: a handler of this branch has committed its transaction by itself, and what it wrote stays: look at"
        + " it, then set the state of its row in assent_barrier (2 done, 5 confirmed, 6 undone), or delete the row, if nothing was"
        + " done", reason);
  }

  private static void claimsThatWereCommitted(Bank bank) throws Exception {
    for (String row : List.of("'g1', '1', 2, 'pay'", "'g2', '1', 1, 'take'")) {
      bank.sql("INSERT INTO assent_barrier(gid, branch_id, protocol, action, state, kind, reason, coordinator_id, began_epoch,"
          + " touched_ms) VALUES(" + row + ", 0, 0, '', 1, 1, 1)");
    }
    for (int time = 0; time < 2; time++) {
      isHazard(bank.expect("g1", Operation.TRY, Kind.RETRY_LATER, 100));
      isHazard(bank.expect("g1", Operation.CONFIRM, Kind.REFUSED, 100));
      isHazard(bank.expect("g1", Operation.CANCEL, Kind.REFUSED, 100));
      if (!bank.keepsPrepared) continue;
      isHazard(bank.expect("g2", Operation.PREPARE, Kind.RETRY_LATER, 100));
      isHazard(bank.expect("g2", Operation.COMMIT, Kind.REFUSED, 100));
      isHazard(bank.expect("g2", Operation.ROLLBACK, Kind.REFUSED, 100));
    }
    bank.db.retention(Duration.ofSeconds(-1));
    assertTrue(bank.db.questions(10).isEmpty());
    assertEquals(2, bank.number("SELECT count(*) FROM assent_barrier WHERE state = 0 AND touched_ms = 1"));
    bank.sql("UPDATE assent_barrier SET state = 2 WHERE gid = 'g1'"); // somebody has looked
    bank.expect("g1", Operation.TRY, Kind.DONE, 100);
    bank.expect("g1", Operation.CONFIRM, Kind.DONE, 99);
  }

  /** Nothing that a handler gets leads to it. */
  private static void theConnectionItself(Bank bank) throws Exception {
    bank.handler = (tx, call) -> {
      Connection own = tx.connection();
      own.setAutoCommit(false);
      tx.run(PAY);
      assertThrows(SQLException.class, () -> own.setAutoCommit(true));
      assertThrows(SQLException.class, () -> tx.run("/* done */ COMMIT"));
      assertThrows(SQLException.class, () -> own.getMetaData().getConnection().commit());
      assertSame(own, own.getMetaData().getConnection());
      assertThrows(SQLException.class, () -> own.unwrap(own.getMetaData().getClass()));
      assertSame(own, own.unwrap(Connection.class));
      assertFalse(own.isWrapperFor(org.postgresql.PGConnection.class));
      try (Statement statement = own.createStatement(); ResultSet found = statement.executeQuery("SELECT 1");
          ResultSet tables = own.getMetaData().getTables(null, null, "account", null)) {
        assertSame(statement, found.getStatement());
        assertSame(own, found.getStatement().getConnection());
        assertThrows(SQLException.class, () -> statement.unwrap(org.postgresql.PGStatement.class));
        assertTrue(found.next() && found.getInt(1) == 1);
        assertTrue(tables.getStatement() == null || tables.getStatement().getConnection() == own);
      }
      return Reply.refused("no");
    };
    assertEquals("no", bank.expect("g1", Operation.TRY, Kind.REFUSED, 100));
  }

  private static void savepoints(Bank bank) throws Exception {
    bank.handler = (tx, call) -> {
      tx.run(PAY);
      tx.run("SAVEPOINT assent_handler"); // that of before
      return Reply.refused("no coins");
    };
    assertEquals("no coins", bank.expect("g1", Operation.TRY, Kind.REFUSED, 100));
  }

  private static void aTableOfBefore(Bank bank) throws Exception {
    bank.sql("ALTER TABLE assent_barrier DROP COLUMN orphan");
    for (int time = 0; time < 2; time++) bank.again();
    assertEquals(0, bank.number("SELECT count(*) FROM assent_barrier WHERE orphan = 1"));
    bank.expect("g1", Operation.TRY, Kind.DONE, 99);
  }

  @Test
  void whatCommitsByItselfInMariadb() throws Exception {
    inMariadb(bank -> {
      bank.sql("CREATE TABLE log(a INT)");
      bank.sql("CREATE PROCEDURE pay() BEGIN START TRANSACTION; " + PAY + "; COMMIT; END");
      bank.handler = (tx, call) -> {
        tx.run("CALL pay()");
        return Reply.done();
      };
      bank.expect("g1", Operation.TRY, Kind.RETRY_LATER, 99);
      isHazard(bank.expect("g1", Operation.TRY, Kind.RETRY_LATER, 99));
      bank.handler = (tx, call) -> {
        tx.run(PAY);
        tx.run("TRUNCATE TABLE log");
        return Reply.refused("no");
      };
      bank.expect("g2", Operation.TRY, Kind.RETRY_LATER, 98);
      isHazard(bank.expect("g2", Operation.TRY, Kind.RETRY_LATER, 98));
      isHazard(bank.expect("g2", Operation.CANCEL, Kind.REFUSED, 98));
      bank.handler = (tx, call) -> Reply.done();
      bank.second = (tx, call) -> {
        tx.run(PAY);
        tx.run("TRUNCATE TABLE log");
        return Reply.done();
      };
      bank.undo = (tx, call) -> bank.second.handle(tx, call);
      bank.sql("UPDATE account SET coins = 100");
      long coins = 100;
      for (Operation operation : List.of(Operation.CONFIRM, Operation.CANCEL)) {
        String gid = operation.name();
        bank.expect(gid, Operation.TRY, Kind.DONE, coins);
        bank.expect(gid, operation, Kind.RETRY_LATER, --coins);
        for (int time = 0; time < 2; time++) isHazard(bank.expect(gid, operation, Kind.REFUSED, coins));
        isHazard(bank.expect(gid, Operation.TRY, Kind.RETRY_LATER, coins));
        bank.sql("UPDATE assent_barrier SET state = " + (operation == Operation.CONFIRM ? 5 : 6) + " WHERE gid = '" + gid + "'");
        bank.expect(gid, operation, Kind.DONE, coins);
      }
    });
  }

  @Test
  void sessionsOfPoolsInMariadb() throws Exception {
    inMariadb(bank -> {
      for (String mode : List.of("CHAIN", "RELEASE")) {
        bank.sql("SET GLOBAL completion_type = '" + mode + "'");
        bank.again(); // with sessions that have it
        bank.sql("UPDATE account SET coins = 100");
        bank.expect(mode + 1, Operation.TRY, Kind.DONE, 99);
        bank.expect(mode + 1, Operation.CONFIRM, Kind.DONE, 98);
        bank.expect(mode + 2, Operation.PREPARE, Kind.DONE, 98);
        bank.expect(mode + 2, Operation.COMMIT, Kind.DONE, 97);
        assertEquals(2, bank.number("SELECT count(*) FROM assent_barrier WHERE state = 5 AND gid LIKE '" + mode + "%'"));
      }
    });
  }

  @Test
  void wherePostgresqlsPathLeads() throws Exception {
    String leads = "SET search_path TO other, public";
    inPostgresql("{'max_prepared_transactions': '20'}", bank -> {
      bank.sql("CREATE SCHEMA other");
      for (String table : List.of("assent_barrier", "assent_marker", "assent_age")) {
        bank.sql("CREATE TABLE other." + table + "(LIKE public." + table + " INCLUDING ALL)");
      }
      stays(bank, leads, "other.");
    });
  }

  @Test
  void whatMariadbUses() throws Exception {
    inMariadb(bank -> {
      bank.sql("CREATE DATABASE other");
      for (String table : List.of("assent_barrier", "assent_marker", "account")) {
        bank.sql("CREATE TABLE other." + table + " LIKE " + table);
      }
      stays(bank, "USE other", "other.");
    });
  }

  private static void stays(Bank bank, String leads, String other) throws Exception {
    bank.handler = (tx, call) -> {
      Bank.pay(tx, call);
      tx.run(leads);
      return Reply.done();
    };
    bank.second = (tx, call) -> Reply.done();
    bank.expect("g1", Operation.PREPARE, Kind.DONE, 100);
    bank.expect("g1", Operation.COMMIT, Kind.DONE, 99);
    bank.expect("g2", Operation.TRY, Kind.DONE, 98);
    bank.expect("g2", Operation.CONFIRM, Kind.DONE, 98);
    assertEquals(2, bank.number("SELECT count(*) FROM assent_barrier WHERE state = 5"));
    for (String table : List.of("assent_barrier", "assent_marker")) {
      assertEquals(0, bank.number("SELECT count(*) FROM " + other + table), table);
    }
  }

  @Test
  void doneIsDurableInPostgresql() throws Exception {
    inPostgresql("{'synchronous_commit': 'off', 'max_prepared_transactions': '20'}", bank -> {
      JdbcBarrier.Work<String> work = tx -> tx.one("SHOW synchronous_commit").orElseThrow().text("synchronous_commit");
      assertEquals("on", bank.db.transaction(work));
      bank.handler = (tx, call) -> Reply.refused(work.run(tx));
      assertEquals("on", bank.expect("g1", Operation.TRY, Kind.REFUSED, 100));
      assertEquals("on", bank.expect("g2", Operation.PREPARE, Kind.REFUSED, 100));
      bank.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = local', current_database()); END $$");
      assertEquals("local", bank.db.transaction(work));
    });
  }

  @Test
  void aServerThatForgetsIsNotTaken() throws Exception {
    inMariadb(bank -> {
      for (int setting : new int[] {0, 2}) {
        bank.sql("SET GLOBAL innodb_flush_log_at_trx_commit = " + setting);
        String said = assertThrows(ConfigError.class, bank::again).getMessage();
        assertTrue(said.contains("innodb_flush_log_at_trx_commit = " + setting + ": what it calls committed would not"), said);
      }
      bank.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 3");
      bank.again();
    });
  }
}
