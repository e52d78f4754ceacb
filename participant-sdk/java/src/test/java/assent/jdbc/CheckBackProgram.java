package assent.jdbc;

import assent.Client;
import assent.Rig;
import assent.Transaction;
import java.nio.file.Path;
import java.sql.Connection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** An initiator, in a process of its own, that tests kill: URL ENDPOINT GID commits, or URL ENDPOINT GID enlists. */
public final class CheckBackProgram {
  public static void main(String[] words) throws Exception {
    boolean commits = words[3].equals("commits");
    Transaction message = commits ? patient(words[2]) : hasty(words[2]);
    try (Client client = Client.builder().endpoints(words[1]).build();
        Connection connection = OutboxProgram.source(words[0]).getConnection()) {
      client.prepare(message);
      connection.setAutoCommit(false);
      BarrierTable.update(connection, "INSERT INTO sale VALUES(?)", words[2]);
      CheckBack.enlist(connection, message);
      if (commits) connection.commit();
      System.out.println("it " + words[3]);
      Thread.sleep(Long.MAX_VALUE);
    }
  }

  /** Asked about at once, and then waited for for minutes. */
  static Transaction patient(String gid) {
    return new Transaction(gid).checkBack("orders", "placed", Duration.ofMillis(50)).saga("desk", "note", gid);
  }

  /** Not asked about before it is submitted; from then on a no is for good. */
  static Transaction hasty(String gid) {
    return new Transaction(gid).checkBack("orders", "hasty", Duration.ofHours(1)).saga("desk", "note", gid);
  }

  static Rig.Running start(String... words) throws Exception {
    List<String> command = new ArrayList<>(List.of(Rig.javaProgram(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp",
        System.getProperty("java.class.path"), CheckBackProgram.class.getName()));
    command.addAll(List.of(words));
    return new Rig.Running(command, Map.of(), Path.of("."));
  }
}
