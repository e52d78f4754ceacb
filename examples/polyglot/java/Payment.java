import assent.Call;
import assent.Participant;
import assent.Refused;
import assent.Reply;
import assent.Service;
import assent.jdbc.JdbcBarrier;
import assent.jdbc.Tx;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.sql.SQLException;
import org.sqlite.SQLiteDataSource;

/**
 * The shop's payment service in Java: keeps the customers' accounts. One action, {@code charge}.
 *
 * <pre>
 * TCC    TRY holds, CONFIRM spends what is held, CANCEL gives it back
 * Saga   ACTION spends at once, COMPENSATE refunds
 * </pre>
 *
 * <p>However it goes, balance + held + spent of a customer is always what it was in the beginning.
 */
public class Payment {
  private static final String[] TABLES = {
    "CREATE TABLE IF NOT EXISTS account(customer TEXT PRIMARY KEY, balance INTEGER NOT NULL,"
        + " held INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS payment(order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, coins INTEGER NOT NULL,"
        + " status TEXT NOT NULL)",
    "INSERT OR IGNORE INTO account(customer, balance) VALUES ('Ada', 5000), ('Bob', 5000)",
  };

  /** Takes an order's coins from one column of its customer's account to another. */
  private static Reply move(Tx tx, Call call, String from, String to, String status) throws SQLException {
    JsonObject order = JsonParser.parseString(call.text()).getAsJsonObject();
    String customer = order.get("customer").getAsString();
    long coins = order.get("coins").getAsLong();
    int changed = tx.run("UPDATE account SET " + from + " = " + from + " - ?1, " + to + " = " + to + " + ?1"
        + " WHERE customer = ?2 AND " + from + " >= ?1", coins, customer);
    if (changed == 0) throw new Refused("insufficient funds: " + coins + " coins asked of " + customer);
    tx.run("INSERT INTO payment VALUES (?, ?, ?, ?) ON CONFLICT(order_id) DO UPDATE SET status = excluded.status",
        order.get("id").getAsString(), customer, coins, status);
    return Reply.done();
  }

  public static void main(String[] arguments) throws Exception {
    var file = new SQLiteDataSource();
    file.setUrl("jdbc:sqlite:" + arguments[0]);
    var db = new JdbcBarrier(file, TABLES);
    db.tcc("charge")
        .onTry((tx, call) -> move(tx, call, "balance", "held", "held"))
        .onConfirm((tx, call) -> move(tx, call, "held", "spent", "paid"))
        .onCancel((tx, call) -> move(tx, call, "held", "balance", "released"));
    db.saga("charge")
        .onAction((tx, call) -> move(tx, call, "balance", "spent", "paid"))
        .onCompensate((tx, call) -> move(tx, call, "spent", "balance", "released"));
    new Participant(new Service("payment-java", db)).run();
  }
}
