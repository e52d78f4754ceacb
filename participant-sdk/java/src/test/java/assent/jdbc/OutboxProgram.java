package assent.jdbc;

import assent.Branch;
import assent.Client;
import assent.Rig;
import assent.Transaction;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.sql.DataSource;
import org.mariadb.jdbc.MariaDbDataSource;
import org.postgresql.ds.PGSimpleDataSource;
import org.sqlite.SQLiteDataSource;

/**
 * A process of its own, which tests kill: URL ENDPOINT relay, URL ENDPOINT hang (stands still before it removes a row), URL
 * ENDPOINT publish COUNT KEY (no KEY: without one).
 */
public final class OutboxProgram {
  public static void main(String[] words) throws Exception {
    DataSource source = source(words[0]);
    if (words[2].equals("publish")) {
      Outbox outbox = new Outbox(source).start();
      try (Connection connection = source.getConnection()) {
        connection.setAutoCommit(false);
        for (int at = 0; at < Integer.parseInt(words[3]); at++) {
          Transaction one = new Transaction().add(Branch.saga("desk", "note", "java " + at));
          if (words.length > 4) outbox.publishInOrder(connection, words[4], one);
          else outbox.publish(connection, one);
        }
        connection.commit();
      }
      return;
    }
    Client client = Client.builder().endpoints(words[1]).build();
    new Relay(new Outbox(words[2].equals("hang") ? hanging(source) : source), client).start();
    Thread.sleep(Long.MAX_VALUE);
  }

  static Rig.Running start(String... words) throws Exception {
    List<String> command = new ArrayList<>(List.of(Rig.javaProgram(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp",
        System.getProperty("java.class.path"), OutboxProgram.class.getName()));
    command.addAll(List.of(words));
    return new Rig.Running(command, Map.of(), Path.of("."));
  }

  static DataSource source(String url) throws Exception {
    if (url.startsWith("jdbc:sqlite:")) {
      SQLiteDataSource file = new SQLiteDataSource();
      file.setUrl(url);
      file.setBusyTimeout(10_000);
      file.setJournalMode("WAL");
      return file;
    }
    if (url.startsWith("jdbc:mariadb:")) return new MariaDbDataSource(url);
    PGSimpleDataSource server = new PGSimpleDataSource();
    server.setUrl(url);
    return server;
  }

  private static DataSource hanging(DataSource source) {
    return proxy(DataSource.class, source, value -> value instanceof Connection connection
        ? proxy(Connection.class, connection, made -> made instanceof PreparedStatement statement
            ? proxy(PreparedStatement.class, statement, result -> result) : made)
        : value);
  }

  private interface After {
    Object apply(Object value);
  }

  private static <T> T proxy(Class<T> type, T target, After after) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
      if (method.getName().equals("prepareStatement") && arguments[0].toString().startsWith("DELETE")) {
        System.out.println("deleting");
        Thread.sleep(Long.MAX_VALUE);
      }
      try {
        return after.apply(method.invoke(target, arguments));
      } catch (InvocationTargetException thrown) {
        throw thrown.getCause();
      }
    }));
  }
}
