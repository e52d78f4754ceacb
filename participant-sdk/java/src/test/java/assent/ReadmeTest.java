package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The README's program, compiled and run in a clean folder. */
class ReadmeTest {
  private static String run(String endpoint, Path folder) throws Exception {
    String path = folder + System.getProperty("path.separator") + System.getProperty("java.class.path");
    List<String> command = List.of(Rig.javaProgram(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", path, "Cinema");
    try (var running = new Rig.Running(command, Map.of("ASSENT_ENDPOINT", endpoint), folder)) {
      assertEquals(0, running.end(Duration.ofMinutes(2)), running.output());
      List<String> sold = running.output().lines().filter(line -> line.contains("sold")).toList();
      assertEquals(1, sold.size(), running.output());
      return sold.get(0);
    }
  }

  @Test
  void theProgramOfTheReadme(@TempDir Path folder) throws Exception {
    String readme = Files.readString(Rig.HERE.resolve("README.md"));
    Matcher program = Pattern.compile("<!-- program -->\n```java\n(.*?)```", Pattern.DOTALL).matcher(readme);
    assertTrue(program.find());
    Path source = Files.writeString(folder.resolve("Cinema.java"), program.group(1));
    int compiled = ToolProvider.getSystemJavaCompiler().run(null, null, null, "-cp",
        System.getProperty("java.class.path"), source.toString());
    assertEquals(0, compiled);
    try (var daemon = new Rig.Daemon()) {
      assertEquals("sold", run(daemon.endpoint, folder));
      assertEquals("not sold: branch 1 cinema/seat refused: seat A1 is taken", run(daemon.endpoint, folder));
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
