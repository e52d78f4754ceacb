package assent;

import assent.jdbc.JdbcBarrier;
import assent.jdbc.Row;
import assent.jdbc.TxHandler;
import assent.jdbc.TxSecondHandler;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import javax.sql.DataSource;
import org.sqlite.SQLiteDataSource;

/** Two services with a database each: of stock something is taken, and money. */
final class Shop implements AutoCloseable {
  /** A service with one number. */
  static final class Ledger implements AutoCloseable {
    final String name;
    final JdbcBarrier db;
    final Service service;
    Participant participant;

    Ledger(String name, int start, DataSource source) {
      this.name = name;
      db = new JdbcBarrier(source, "CREATE TABLE IF NOT EXISTS books(free INTEGER NOT NULL, held INTEGER NOT NULL)",
          "INSERT INTO books SELECT " + start + ", 0 WHERE NOT EXISTS (SELECT 1 FROM books)");
      db.tcc("take").onTry(forward()).onConfirm(second(0, -1)).onCancel(second(1, -1));
      service = new Service(name, db);
    }

    private static TxHandler forward() {
      return (tx, call) -> {
        int amount = Integer.parseInt(call.text());
        tx.run("UPDATE books SET free = free - ?, held = held + ?", amount, amount);
        long left = tx.one("SELECT free FROM books").orElseThrow().number("free");
        return left < 0 ? Reply.refused("not enough") : Reply.done(String.valueOf(left));
      };
    }

    private static TxSecondHandler second(int free, int held) {
      return (tx, call) -> {
        int amount = Integer.parseInt(call.text());
        tx.run("UPDATE books SET free = free + ?, held = held + ?", free * amount, held * amount);
      };
    }

    void join(String endpoint) throws InterruptedException {
      participant = Participant.builder(service).endpoints(endpoint)
          .backoff(Duration.ofMillis(50), Duration.ofMillis(200)).build().start();
      participant.awaitConnected(Duration.ofSeconds(30));
    }

    void want(long free) throws Exception {
      Rig.until(name + " has " + free + ", and nothing held", () -> {
        Row row = db.transaction(tx -> tx.one("SELECT free, held FROM books").orElseThrow());
        return row.number("free") == free && row.number("held") == 0;
      });
    }

    @Override
    public void close() {
      if (participant != null) participant.close();
      db.close();
    }
  }

  final Path folder;
  final Ledger stock;
  final Ledger money;

  Shop(String endpoint) throws Exception {
    folder = Files.createTempDirectory("assent-java-");
    stock = new Ledger("stock", 1000, sqlite(folder.resolve("stock.db")));
    money = new Ledger("money", 100, sqlite(folder.resolve("money.db")));
    stock.join(endpoint);
    money.join(endpoint);
  }

  static DataSource sqlite(Path file) {
    SQLiteDataSource source = new SQLiteDataSource();
    source.setUrl("jdbc:sqlite:" + file);
    return source;
  }

  static Transaction order(int amount) {
    return new Transaction().tcc("stock", "take", "1").tcc("money", "take", String.valueOf(amount));
  }

  @Override
  public void close() throws Exception {
    stock.close();
    money.close();
    Rig.remove(folder);
  }
}
