package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The programs of the README and of the guide, compiled and run in a clean folder. */
class ReadmeTest {
  private static Rig.Running program(String name, String endpoint, Path folder) throws Exception {
    String path = folder + System.getProperty("path.separator") + System.getProperty("java.class.path");
    List<String> command = List.of(Rig.javaProgram(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", path, name);
    return new Rig.Running(command, Map.of("ASSENT_ENDPOINT", endpoint), folder);
  }

  /** The one line that an initiator prints; the SDK's own begin otherwise. */
  private static String said(String initiator, String endpoint, Path folder) throws Exception {
    try (var running = program(initiator, endpoint, folder)) {
      assertEquals(0, running.end(Duration.ofMinutes(2)), running.output());
      List<String> said = running.output().lines().filter(line -> line.matches("(not )?(sold|booked).*")).toList();
      assertEquals(1, said.size(), running.output());
      return said.get(0);
    }
  }

  @Test
  void theProgramsOfThePages(@TempDir Path folder) throws Exception {
    String guide = Files.readString(Rig.ROOT.resolve("docs/sdk-java.md"));
    String pages = Files.readString(Rig.HERE.resolve("README.md")) + guide;
    Matcher program = Pattern.compile("<!-- program: (\\w+.java) -->\n```java\n(.*?)```", Pattern.DOTALL).matcher(pages);
    for (int count = 0; count < 5; count++) {
      assertTrue(program.find());
      Path source = Files.writeString(folder.resolve(program.group(1)), program.group(2));
      int compiled = ToolProvider.getSystemJavaCompiler().run(null, null, null, "-cp",
          System.getProperty("java.class.path"), source.toString());
      assertEquals(0, compiled);
    }
    try (var daemon = new Rig.Daemon(); var cinema = program("Cinema", daemon.endpoint, folder);
        var hotel = program("Hotel", daemon.endpoint, folder)) {
      assertEquals("sold", said("Buy", daemon.endpoint, folder));
      assertEquals("not sold: branch 1 cinema/seat refused: seat A1 is taken", said("Buy", daemon.endpoint, folder));
      Matcher prints = Pattern.compile("It prints `(.*?)`; the second time `(.*?)`").matcher(guide);
      assertTrue(prints.find());
      assertEquals(prints.group(1), said("Trip", daemon.endpoint, folder));
      assertEquals(prints.group(2), said("Trip", daemon.endpoint, folder), hotel.output());
      assertEquals("sold B2", said("Shop", daemon.endpoint, folder));
      Rig.until("seat B2 is sold", () -> {
        try (var connection = DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("cinema.db"));
            var statement = connection.createStatement();
            var found = statement.executeQuery("SELECT 1 FROM seat WHERE name = 'B2' AND state = 'sold'")) {
          return found.next();
        }
      });
      assertTrue(cinema.output().contains("INFO: connected session="), cinema.output());
    }
  }

  /** What the pages say is what the build takes. */
  @Test
  void theVersionsOfTheReadmeAreThoseOfTheBuild() throws Exception {
    String readme = Files.readString(Rig.HERE.resolve("README.md"));
    String pom = Files.readString(Rig.HERE.resolve("pom.xml"));
    for (String artifact : List.of("assent-sdk", "sqlite-jdbc")) {
      Pattern version = Pattern.compile("<artifactId>" + artifact + "</artifactId>\\s*<version>(.*?)</version>");
      Matcher there = version.matcher(readme);
      Matcher here = version.matcher(pom);
      assertTrue(there.find() && here.find(), artifact);
      assertEquals(here.group(1), there.group(1));
    }
    assertTrue(Client.AGENT.endsWith("/0.1.0") && pom.contains("<version>0.1.0</version>"));
  }
}
