package assent.spring;

import static org.assertj.core.api.Assertions.assertThat;

import assent.Client;
import assent.Participant;
import assent.Reply;
import assent.Transaction;
import java.io.BufferedReader;
import java.nio.file.Path;
import java.net.ServerSocket;
import java.time.Duration;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.jdbc.core.JdbcTemplate;
import org.sqlite.SQLiteDataSource;

/** An application with a DataSource and actions, against a real assentd. */
class AssentAutoConfigurationTest {
  @Configuration(proxyBeanMethods = false)
  static class Cinema {
    @Bean
    AssentActions seats() {
      return db -> db.tcc("seat").onTry((tx, call) -> {
        tx.run("INSERT INTO seat VALUES (?, 'held')", call.text());
        return Reply.done();
      }).onConfirm((tx, call) -> {
        tx.run("UPDATE seat SET state = 'sold' WHERE name = ?", call.text());
      }).onCancel((tx, call) -> {
        tx.run("DELETE FROM seat WHERE name = ?", call.text());
      });
    }
  }

  private final ApplicationContextRunner runner =
      new ApplicationContextRunner().withConfiguration(AutoConfigurations.of(AssentAutoConfiguration.class));

  @Test
  void aTransactionGoesThroughTheApplication(@TempDir Path folder) throws Exception {
    SQLiteDataSource source = new SQLiteDataSource();
    source.setUrl("jdbc:sqlite:" + folder.resolve("cinema.db"));
    new JdbcTemplate(source).execute("CREATE TABLE seat(name TEXT PRIMARY KEY, state TEXT)");
    String endpoint = "127.0.0.1:" + freePort();
    Process daemon = new ProcessBuilder("setpriv", "--pdeathsig", "KILL", "--", binary("assentd"), "--listen", endpoint,
        "--http-listen", "none", "--data", folder.resolve("log").toString()).redirectErrorStream(true).start();
    try {
      awaitReady(daemon);
      runner.withUserConfiguration(Cinema.class).withBean(DataSource.class, () -> source)
          .withPropertyValues("spring.application.name=cinema", "assent.endpoint=" + endpoint).run(context -> {
            Participant participant = context.getBean(Participant.class);
            participant.awaitConnected(Duration.ofSeconds(20));
            Client client = context.getBean(Client.class);
            assertThat(client.submit(new Transaction().tcc("cinema", "seat", "A1")).outcome().name()).isEqualTo("COMMITTED");
            // A second A1 is against the table's key: it is asked until the deadline, and nothing is left of it.
            var twice = client.submit(new Transaction().deadline(Duration.ofSeconds(2)).tcc("cinema", "seat", "A2")
                .tcc("cinema", "seat", "A1"));
            assertThat(twice.outcome().name()).isEqualTo("ABORTED");
          });
      assertThat(new JdbcTemplate(source).queryForList("SELECT name || ' ' || state FROM seat", String.class))
          .containsExactly("A1 sold");
    } finally {
      daemon.destroyForcibly().waitFor();
    }
  }

  /** An application that only begins transactions needs no database. */
  @Test
  void withoutActionsThereIsAClientAlone() {
    runner.run(context -> assertThat(context).hasSingleBean(Client.class).doesNotHaveBean(Participant.class));
  }

  @Test
  void aServiceWithoutANameSaysSo() {
    runner.withUserConfiguration(Cinema.class).withBean(DataSource.class, SQLiteDataSource::new)
        .run(context -> assertThat(context.getStartupFailure()).rootCause().hasMessageContaining("set assent.service"));
  }

  private static String binary(String name) {
    String folder = System.getenv("ASSENT_BIN_DIR");
    return Path.of(folder == null ? "../../../build/release/bin" : folder, name).toString();
  }

  private static int freePort() throws Exception {
    try (ServerSocket probe = new ServerSocket(0)) {
      return probe.getLocalPort();
    }
  }

  private static void awaitReady(Process daemon) throws Exception {
    BufferedReader output = daemon.inputReader();
    StringBuilder said = new StringBuilder();
    for (String line = output.readLine(); line == null || !line.strip().startsWith("see "); line = output.readLine()) {
      assertThat(line).as("assentd has ended, and said: %s", said).isNotNull();
      said.append(line).append('\n');
    }
  }
}
