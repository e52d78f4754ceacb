package assent.jdbc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.junit.jupiter.api.Test;

/** What ends a transaction, whatever stands before it. */
class StatementsTest {
  private static final Dialect[] ALL = Dialect.values();

  private static void ends(String what, String sql, Dialect... dialects) {
    for (Dialect dialect : dialects) assertEquals(what, Statements.ending(sql, dialect), dialect + ": " + sql);
  }

  private static void endsNothing(String sql, Dialect... dialects) {
    for (Dialect dialect : dialects) assertNull(Statements.ending(sql, dialect), dialect + ": " + sql);
  }

  @Test
  void whatEndsIt() {
    for (String sql : List.of("COMMIT", " commit work", "/* done */ COMMIT", "-- done\nCOMMIT", ";; COMMIT", "/**/;COMMIT;",
        "SELECT 1; COMMIT", "SELECT ';' ; COMMIT", "SELECT 'it''s; x', \"a;b\"; COMMIT", "SELECT 1 -- ;\n; COMMIT")) {
      ends("COMMIT", sql, ALL);
    }
    ends("ROLLBACK", "ROLLBACK", ALL);
    ends("START TRANSACTION", "start /* now */ transaction", ALL);
    ends("SET AUTOCOMMIT", "SET autocommit = 1", ALL);
    for (String sql : List.of("SET SESSION autocommit = 1", "SET @@autocommit = 1", "SET @@session.autocommit=1",
        "SET @a = 'b', `autocommit` = 1")) {
      assertEquals("AUTOCOMMIT", last(Statements.ending(sql, Dialect.MYSQL)), sql);
    }
    ends("LOCK TABLES", "LOCK TABLES account WRITE", Dialect.MYSQL);
    ends("UNLOCK TABLES", "UNLOCK TABLES", Dialect.MYSQL);
    ends("COMMIT", "# done\nCOMMIT", Dialect.MYSQL);
    ends("COMMIT", "/*!40100 COMMIT */", Dialect.MYSQL);
    ends("COMMIT", "/*M! */ COMMIT", Dialect.MYSQL);
    ends("COMMIT", "SELECT 'it\\'s; x'; COMMIT", Dialect.MYSQL);
    ends("COMMIT", "SELECT E'it\\'s; x'; COMMIT", Dialect.POSTGRESQL);
    ends("COMMIT", "SELECT '\\'; COMMIT", Dialect.POSTGRESQL, Dialect.SQLITE);
    ends("COMMIT", "/* a /* b */ c */ COMMIT", Dialect.POSTGRESQL);
    ends("COMMIT", "SELECT $x$ ; $$ $x$; COMMIT", Dialect.POSTGRESQL);
    ends("COMMIT", "SELECT 1 AS [a;b]; COMMIT", Dialect.SQLITE);
  }

  private static String last(String words) {
    return words.substring(words.lastIndexOf(' ') + 1).replaceAll(".*[^A-Z]", "");
  }

  @Test
  void whatDoesNot() {
    for (String sql : List.of("SELECT 'x; COMMIT'", "SELECT 1 /* ; COMMIT */", "SELECT 1 -- ; COMMIT", "", ";", "/* open",
        "SELECT 'open; COMMIT", "ROLLBACK TO SAVEPOINT a", "rollback work to a", "UPDATE a SET begin = 1", "SAVEPOINT a",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = 1; END", "CALL pay()", "COMMITTED")) {
      endsNothing(sql, ALL);
    }
    endsNothing("LOCK TABLE account", Dialect.POSTGRESQL);
    endsNothing("DO $$ BEGIN PERFORM 1; END $$", Dialect.POSTGRESQL);
    endsNothing("SELECT a$b$ ; COMMITS", Dialect.POSTGRESQL);
    endsNothing("SELECT 1 --1\n", Dialect.MYSQL);
  }
}
