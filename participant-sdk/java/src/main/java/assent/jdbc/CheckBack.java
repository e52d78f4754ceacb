package assent.jdbc;

import assent.AssentException;
import assent.AssentException.AlreadyExists;
import assent.AssentException.FailedPrecondition;
import assent.Call;
import assent.Refused;
import assent.Reply;
import assent.Transaction;
import assent.jdbc.Barrier.Kept;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;

/**
 * A message without an outbox: a transaction that begins if, and only if, a local transaction of its initiator commits. The
 * coordinator has it before; when the initiator falls silent it asks (docs/messages.md).
 *
 * <pre>{@code
 * var ship = new Transaction().checkBack("orders", "placed").saga("shipping", "book", order);
 * client.prepare(ship);                    // nothing has happened
 * connection.setAutoCommit(false);
 * …
 * CheckBack.enlist(connection, ship);      // a row of the barrier
 * connection.commit();
 * client.submit(ship);                     // it begins now; without this it would, a moment later
 * }</pre>
 *
 * <p>"orders" is a participant on the same database, with {@link JdbcBarrier#checkBack db.checkBack("placed")}. Asked before the
 * local transaction has committed it says "later", for as long as its patience after {@code prepare}; asked after that, it says
 * no, and writes that down in the same table, where {@code enlist} finds it: a local transaction that comes too late fails.
 */
public final class CheckBack {
  /** To who asks in between. */
  static final Reply UNDER_WAY = Reply.retryLater("its initiator's local transaction is under way");

  /**
   * The mark of a message, within the transaction that is open on {@code connection}: one row of the barrier, which commits with
   * it. Talks to nobody else. After whatever is thrown that transaction is to be rolled back: InvalidArgument (it does not begin
   * with checkBack, or is wrong otherwise), FailedPrecondition (the coordinator has asked, and was told no; or no transaction
   * is open, or no participant has made its tables here), AlreadyExists (it is enlisted).
   */
  public static void enlist(Connection connection, Transaction message) throws SQLException {
    Call call = message.checkBackCall();
    Dialect dialect = Dialect.of(connection);
    Names names = Names.within("");
    try {
      if (dialect.isAutocommit(connection, names.barrier())) {
        throw new FailedPrecondition("it is to be enlisted within a local transaction, and there is none that is open: the row"
            + " would commit by itself");
      }
      write(connection, dialect, new BarrierTable(dialect, names), call);
    } catch (SQLException failed) {
      if (!dialect.isWithoutTable(failed)) throw failed;
      throw new FailedPrecondition("no table assent_barrier is there, which the JdbcBarrier of a participant makes in its"
          + " database (" + failed.getMessage() + ")");
    }
  }

  /** In a handler, or in {@link JdbcBarrier#transaction}. */
  public static void enlist(Tx tx, Transaction message) throws SQLException {
    enlist(tx.raw(), message);
  }

  private static void write(Connection connection, Dialect dialect, BarrierTable table, Call call) throws SQLException {
    if (dialect == Dialect.POSTGRESQL) { // where a statement that fails is the last one
      // The branch's lock comes first: who is being asked about it comes before, or says that it is under way.
      PreparedTransactions.ask(connection, "SELECT pg_advisory_xact_lock(?)", PreparedTransactions.keyOf(call));
      Kept there = table.committedState(connection, call);
      if (there != null) throw notEnlisted(call, there);
    }
    try {
      table.insert(connection, call, Kept.DONE, Reply.done());
    } catch (SQLException failed) {
      if (!dialect.isDuplicate(failed)) throw failed;
      // In PostgreSQL a snapshot from before the answer has not shown it.
      Kept there = dialect == Dialect.POSTGRESQL ? Kept.REFUSED : table.committedState(connection, call);
      throw notEnlisted(call, there);
    }
  }

  private static AssentException notEnlisted(Call call, Kept there) {
    if (there == Kept.DONE) return new AlreadyExists("message " + call.gid() + " is enlisted: one is enlisted once");
    return new FailedPrecondition("message " + call.gid() + " will not begin: the coordinator has asked, and was told no."
        + " Roll back; prepare a new one, and be quicker, or raise `patience`");
  }

  /** What is answered where no row is. */
  record Asked(Duration patience) implements TxHandler {
    @Override
    public Reply handle(Tx tx, Call call) {
      boolean isYoung = Duration.between(call.began(), Instant.now()).compareTo(patience) < 0;
      if (isYoung) return Reply.retryLater("its initiator's local transaction may still be under way");
      return Reply.refused("its initiator's local transaction had not committed after " + patience.toMillis()
          + " ms, and never will");
    }
  }

  /** Nobody asks for it: past the pivot there is only forward. */
  static void neverUndone(Tx tx, Call call) {
    throw new Refused("what its initiator has committed is not undone");
  }

  private CheckBack() {}
}
