package assent.jdbc;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Between a handler and its connection: what ends the transaction is refused, and everything once it is over. */
final class Guard {
  private static final Pattern ENDING = Pattern.compile(
      "\\s*(BEGIN|START\\s+TRANSACTION|COMMIT|END|ABORT|ROLLBACK(?!\\s+(WORK\\s+|TRANSACTION\\s+)?TO\\b)"
          + "|PREPARE\\s+TRANSACTION|XA)\\b", Pattern.CASE_INSENSITIVE);
  private static final Set<String> REFUSED = Set.of("commit", "abort", "setAutoCommit", "setTransactionIsolation");

  private final Connection raw;
  private final Dialect dialect;
  private final Connection guarded;
  private volatile boolean isOver;

  Guard(Connection raw, Dialect dialect) {
    this.raw = raw;
    this.dialect = dialect;
    guarded = proxy(Connection.class, this::onConnection);
  }

  Connection connection() {
    return guarded;
  }

  void end() {
    isOver = true;
  }

  private static <T> T proxy(Class<T> type, InvocationHandler handler) {
    return type.cast(Proxy.newProxyInstance(Guard.class.getClassLoader(), new Class<?>[] {type}, handler));
  }

  private Object onConnection(Object self, Method method, Object[] arguments) throws Throwable {
    String name = method.getName();
    if (name.equals("close")) return null;
    if (name.equals("getAutoCommit")) return false;
    boolean isWholeRollback = name.equals("rollback") && arguments == null;
    if (REFUSED.contains(name) || isWholeRollback) throw notForAHandler(name);
    admit(name, arguments);
    Object value = invoke(raw, method, arguments);
    if (value instanceof CallableStatement statement) return guard(CallableStatement.class, statement);
    if (value instanceof PreparedStatement statement) return guard(PreparedStatement.class, statement);
    return value instanceof Statement statement ? guard(Statement.class, statement) : value;
  }

  private <T extends Statement> T guard(Class<T> type, T statement) {
    return proxy(type, (self, method, arguments) -> {
      if (method.getName().equals("getConnection")) return guarded;
      admit(method.getName(), arguments);
      return invoke(statement, method, arguments);
    });
  }

  private Object invoke(Object target, Method method, Object[] arguments) throws Throwable {
    try {
      return method.invoke(target, arguments);
    } catch (InvocationTargetException thrown) {
      if (thrown.getCause() instanceof SQLException) dialect.standInForLost(raw);
      throw thrown.getCause();
    }
  }

  private void admit(String method, Object[] arguments) throws SQLException {
    if (isOver && !method.equals("close") && !method.equals("isClosed")) {
      throw new SQLException("the handler has returned, and its transaction is over");
    }
    boolean isSql = method.startsWith("prepare") || method.startsWith("execute") || method.equals("addBatch");
    if (!isSql || arguments == null || !(arguments[0] instanceof String sql)) return;
    Matcher ending = ENDING.matcher(sql);
    if (ending.lookingAt()) throw notForAHandler(ending.group(1).toUpperCase(Locale.ROOT));
  }

  private static SQLException notForAHandler(String what) {
    return new SQLException(
        what + " is not for a handler: its transaction is ended for it, together with the barrier's row");
  }
}
