package assent.jdbc;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Set;

/**
 * Between a handler and its connection: what ends the transaction is refused, and everything once it is over. Nothing that
 * comes of it leads to the connection itself.
 */
final class Guard {
  private static final Set<String> REFUSED = Set.of("commit", "abort", "setAutoCommit", "setTransactionIsolation");

  private static final Set<Class<?>> GUARDED = Set.of(Statement.class, PreparedStatement.class, CallableStatement.class,
      ResultSet.class, DatabaseMetaData.class, ResultSetMetaData.class, ParameterMetaData.class);

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
    if (name.equals("setAutoCommit") && arguments[0].equals(false)) return null; // what libraries say first, and so it is
    boolean isWholeRollback = name.equals("rollback") && arguments == null;
    if (REFUSED.contains(name) || isWholeRollback) throw notForAHandler(name);
    return onOther(raw, null, self, method, arguments);
  }

  /** {@code parent}: what {@code target} has come of, guarded. */
  private Object onOther(Object target, Object parent, Object self, Method method, Object[] arguments) throws Throwable {
    switch (method.getName()) {
      case "getConnection":
        return guarded;
      case "getStatement":
        return parent instanceof Statement ? parent : null; // what tells of a database has none
      case "isWrapperFor":
        return ((Class<?>) arguments[0]).isInstance(self);
      case "unwrap":
        Class<?> type = (Class<?>) arguments[0];
        if (type.isInstance(self)) return self;
        throw new SQLException("what is behind the connection is not for a handler: there is no " + type.getName());
      default:
        admit(method.getName(), arguments);
        return guard(method.getReturnType(), invoke(target, method, arguments), self);
    }
  }

  /** As what the method promises: some drivers have one class for several of them. */
  private Object guard(Class<?> promised, Object value, Object parent) {
    if (value == null) return null;
    if (GUARDED.contains(promised)) return guarded(promised, value, parent);
    return promised == Object.class && value instanceof ResultSet ? guarded(ResultSet.class, value, parent) : value;
  }

  private Object guarded(Class<?> type, Object target, Object parent) {
    return proxy(type, (self, method, arguments) -> onOther(target, parent, self, method, arguments));
  }

  private Object invoke(Object target, Method method, Object[] arguments) throws Throwable {
    try {
      return method.invoke(target, arguments);
    } catch (InvocationTargetException thrown) {
      if (thrown.getCause() instanceof SQLException) dialect.standInForLost(raw);
      throw thrown.getCause();
    }
  }

  void checkOpen() throws SQLException {
    if (isOver) throw new SQLException("the handler has returned, and its transaction is over");
  }

  private void admit(String method, Object[] arguments) throws SQLException {
    if (!method.equals("close") && !method.equals("isClosed")) checkOpen();
    boolean isSql = method.startsWith("prepare") || method.startsWith("execute") || method.equals("addBatch");
    if (!isSql || arguments == null || !(arguments[0] instanceof String sql)) return;
    String ending = Statements.ending(sql, dialect);
    if (ending != null) throw notForAHandler(ending);
  }

  private static SQLException notForAHandler(String what) {
    return new SQLException(
        what + " is not for a handler: its transaction is ended for it, together with the barrier's row");
  }
}
