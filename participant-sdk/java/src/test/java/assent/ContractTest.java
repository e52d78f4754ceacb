package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import assent.contract.ContractInitiator;
import assent.contract.ContractParticipant;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** assent-contract holds a participant and an initiator to the contract (docs/contract.md). */
class ContractTest {
  private static final Duration PATIENCE = Duration.ofMinutes(20);

  private static String holds(Class<?> program, Map<String, String> environment, String... words) throws Exception {
    // A virtual machine that starts quickly; one of many.
    String start = "exec " + Rig.javaProgram() + " -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -cp '"
        + System.getProperty("java.class.path") + "' " + program.getName();
    List<String> command = new ArrayList<>(List.of(Rig.binary("assent-contract")));
    Collections.addAll(command, words);
    Collections.addAll(command, "--start", start, "--patience-ms", "120000");
    try (Rig.Running running = new Rig.Running(command, environment, null)) {
      assertEquals(0, running.end(PATIENCE), running.output());
      return running.output();
    }
  }

  @Test
  void sessionsAndSqlite() throws Exception {
    holds(ContractParticipant.class, Map.of(), "participant", "--session", "127.0.0.1:0", "--protocols", "tcc,saga");
  }

  @Test
  void unaryAndPostgresql() throws Exception {
    try (Rig.Server server = Rig.Server.postgresql()) {
      assumeTrue(server.url != null, "there is no PostgreSQL on this machine");
      holds(ContractParticipant.class, Map.of("CONTRACT_POSTGRES", server.url), "participant", "--unary", "127.0.0.1:0",
          "--protocols", "tcc,saga");
    }
  }

  /** Two-phase commit and questions among it: no rule is one that does not apply. */
  @Test
  void sessionsAndPostgresql() throws Exception {
    try (Rig.Server server = Rig.Server.postgresql()) {
      assumeTrue(server.url != null, "there is no PostgreSQL on this machine");
      holdsAll(Map.of("CONTRACT_POSTGRES", server.url));
    }
  }

  @Test
  void sessionsAndMariadb() throws Exception {
    try (Rig.Server server = Rig.Server.mariadb()) {
      assumeTrue(server.url != null, "there is no MariaDB on this machine");
      holdsAll(Map.of("CONTRACT_MARIADB", server.url));
    }
  }

  private static void holdsAll(Map<String, String> environment) throws Exception {
    String said = holds(ContractParticipant.class, environment, "participant", "--session", "127.0.0.1:0");
    assertTrue(said.contains(" 0 do not apply"), said);
  }

  @Test
  void initiators() throws Exception {
    holds(ContractInitiator.class, Map.of(), "initiator");
  }
}
