package assent.contract;

import assent.Call;
import assent.Participant;
import assent.Refused;
import assent.Reply;
import assent.Service;
import assent.UnaryServer;
import assent.jdbc.JdbcBarrier;
import assent.jdbc.Row;
import assent.jdbc.Tx;
import assent.jdbc.TxHandler;
import assent.jdbc.TxSecondHandler;
import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import javax.sql.DataSource;
import org.mariadb.jdbc.MariaDbDataSource;
import org.postgresql.ds.PGSimpleDataSource;
import org.sqlite.SQLiteDataSource;

/**
 * The service that assent-contract examines (docs/contract.md): a ledger behind the barrier, in SQLite or, with
 * CONTRACT_POSTGRES=URL or CONTRACT_MARIADB=URL, in a database server, which keeps prepared work too. CONTRACT_SERVICE is
 * another name.
 */
public final class ContractParticipant {
  private static final String TABLE = "CREATE TABLE IF NOT EXISTS ledger("
      + "account VARCHAR(128) PRIMARY KEY, balance BIGINT NOT NULL, held BIGINT NOT NULL)";
  private static final String INSERT = "INSERT INTO ledger(account, balance, held) VALUES(?, ?, ?) ";
  private static final Gson GSON = new Gson();

  private static String upsert = INSERT + "ON CONFLICT(account) DO UPDATE SET"
      + " balance = ledger.balance + excluded.balance, held = ledger.held + excluded.held";

  private static JdbcBarrier database() throws SQLException {
    String postgres = System.getenv("CONTRACT_POSTGRES");
    String mariadb = System.getenv("CONTRACT_MARIADB");
    if (postgres != null) {
      PGSimpleDataSource source = new PGSimpleDataSource();
      source.setURL(postgres);
      return new JdbcBarrier(source, TABLE);
    }
    if (mariadb != null) {
      upsert = INSERT + "ON DUPLICATE KEY UPDATE balance = balance + VALUES(balance), held = held + VALUES(held)";
      DataSource source = new MariaDbDataSource(mariadb);
      return new JdbcBarrier(source, TABLE.replace("VARCHAR(128)", "VARBINARY(128)"));
    }
    SQLiteDataSource source = new SQLiteDataSource();
    source.setUrl("jdbc:sqlite:" + Path.of(System.getenv("ASSENT_CONTRACT_FOLDER"), "ledger.db"));
    return new JdbcBarrier(source, TABLE);
  }

  private static void change(Tx tx, String account, long balance, long held) throws SQLException {
    tx.run(upsert, account, balance, held);
  }

  private static JsonObject read(Tx tx, String account) throws SQLException {
    Optional<Row> row = tx.one("SELECT balance, held FROM ledger WHERE account = ?", account);
    JsonObject json = new JsonObject();
    json.addProperty("balance", row.map(one -> one.number("balance")).orElse(0L));
    json.addProperty("held", row.map(one -> one.number("held")).orElse(0L));
    return json;
  }

  private static JsonObject asked(Call call) {
    return JsonParser.parseString(call.text()).getAsJsonObject();
  }

  private static TxHandler forward(int balance, int held) {
    return (tx, call) -> {
      JsonObject asked = asked(call);
      String account = asked.get("account").getAsString();
      long amount = asked.get("amount").getAsLong();
      change(tx, account, balance * amount, held * amount);
      JsonObject now = read(tx, account);
      if (now.get("balance").getAsLong() + now.get("held").getAsLong() < 0) return Reply.refused("not enough");
      if (asked.has("wait_ms")) Thread.sleep(asked.get("wait_ms").getAsLong());
      boolean isToCrash = asked.has("crash_at_start")
          && asked.get("crash_at_start").getAsString().equals(System.getenv("ASSENT_CONTRACT_START"));
      if (isToCrash) Runtime.getRuntime().halt(137);
      boolean isToFail = asked.has("fail") && asked.get("fail").getAsBoolean();
      if (isToFail) throw new IllegalStateException("failed as it was told");
      if (asked.has("refuse_hex")) {
        byte[] reason = HexFormat.of().parseHex(asked.get("refuse_hex").getAsString());
        throw new Refused(new String(reason, StandardCharsets.UTF_8));
      }
      return Reply.done(now.toString());
    };
  }

  private static TxSecondHandler second(int balance, int held) {
    return (tx, call) -> {
      JsonObject asked = asked(call);
      long amount = asked.get("amount").getAsLong();
      change(tx, asked.get("account").getAsString(), balance * amount, held * amount);
    };
  }

  private static Reply echo(Tx tx, Call call) {
    Map<String, String> results = new TreeMap<>();
    call.results().forEach((branch, result) -> results.put(branch, new String(result, StandardCharsets.UTF_8)));
    return Reply.done(GSON.toJson(Map.of("headers", call.headers(), "results", results, "traceparent",
        call.trace().traceparent(), "tracestate", call.trace().tracestate())));
  }

  public static void main(String[] arguments) throws Exception {
    JdbcBarrier db = database();
    db.tcc("add").onTry(forward(0, 1)).onConfirm(second(1, -1)).onCancel(second(0, -1));
    db.saga("add").onAction(forward(1, 0)).onCompensate(second(-1, 0));
    db.saga("read").onAction((tx, call) -> Reply.done(read(tx, asked(call).get("account").getAsString()).toString()));
    db.saga("bytes").onAction((tx, call) -> Reply.done(call.payload()));
    db.saga("echo").onAction(ContractParticipant::echo);
    boolean isServer = System.getenv("CONTRACT_POSTGRES") != null || System.getenv("CONTRACT_MARIADB") != null;
    if (isServer) db.twoPhase("add").onPrepare(forward(1, 0));
    Service service = new Service(System.getenv().getOrDefault("CONTRACT_SERVICE", "contract"), db);
    String listen = System.getenv("ASSENT_CONTRACT_LISTEN");
    if (listen != null) new UnaryServer(service, listen).run();
    else Participant.builder(service).questionInterval(Duration.ofMillis(500)).build().run();
  }

  private ContractParticipant() {}
}
