package assent;

import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** What tests share: a real assentd, database servers on a port and in a folder of their own, other processes. */
public final class Rig {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  public static final Path HERE = Paths.get("").toAbsolutePath();
  public static final Path ROOT = HERE.resolve("../..").normalize();

  /** Programs of the project: of ASSENT_BIN_DIR, or of the release build. */
  public static String binary(String name) {
    String folder = System.getenv("ASSENT_BIN_DIR");
    Path path = (folder == null ? ROOT.resolve("build/release/bin") : Path.of(folder)).resolve(name);
    if (Files.exists(path)) return path.toString();
    throw new IllegalStateException(
        path + " is not there: build it first (tools/build.sh), or say where it is with ASSENT_BIN_DIR");
  }

  public static String javaProgram() {
    return Path.of(System.getProperty("java.home"), "bin", "java").toString();
  }

  public static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    }
  }

  /** Waits until it is so. */
  public static void until(String what, Callable<Boolean> condition) throws Exception {
    for (long end = System.nanoTime() + PATIENCE.toNanos(); !condition.call(); Thread.sleep(10)) {
      if (System.nanoTime() > end) throw new AssertionError("not within " + PATIENCE + ": " + what);
    }
  }

  /** A process that may be killed, and that ends with this one. What it says goes to a file. */
  public static final class Running implements AutoCloseable {
    public final Process process;
    private final Path output;

    public Running(List<String> command, Map<String, String> environment, Path folder) throws IOException {
      List<String> words = new ArrayList<>(List.of("setpriv", "--pdeathsig", "KILL", "--"));
      words.addAll(command);
      output = Files.createTempFile("assent-java-", ".out");
      ProcessBuilder builder = new ProcessBuilder(words).redirectErrorStream(true).redirectOutput(output.toFile());
      builder.environment().putAll(environment);
      if (folder != null) builder.directory(folder.toFile());
      process = builder.start();
    }

    public String output() {
      try {
        return Files.readString(output);
      } catch (IOException gone) {
        throw new UncheckedIOException(gone);
      }
    }

    public int end(Duration within) throws InterruptedException {
      if (!process.waitFor(within.toMillis(), TimeUnit.MILLISECONDS)) {
        process.destroyForcibly();
        throw new AssertionError("it runs on after " + within + ": " + output());
      }
      return process.exitValue();
    }

    @Override
    public void close() throws IOException {
      process.destroyForcibly();
      process.onExit().join();
      Files.deleteIfExists(output);
    }
  }

  /** A real assentd. */
  public static final class Daemon implements AutoCloseable {
    public final String endpoint;
    private final Path data;
    private final List<String> words;
    private Running running;

    public Daemon(String... more) throws Exception {
      endpoint = "127.0.0.1:" + freePort();
      data = Files.createTempDirectory("assent-java-");
      words = new ArrayList<>(List.of(binary("assentd"), "--listen", endpoint, "--http-listen", "none", "--data",
          data.resolve("data").toString()));
      Collections.addAll(words, more);
      again();
    }

    /** With the same log. */
    public void again() throws Exception {
      running = new Running(words, Map.of(), null);
      until("assentd has started", () -> {
        if (!running.process.isAlive()) throw new AssertionError("assentd did not start: " + running.output());
        return running.output().lines().anyMatch(line -> line.strip().startsWith("see "));
      });
    }

    /** As kill -9 does. */
    public void kill() throws IOException {
      running.close();
    }

    @Override
    public void close() throws IOException {
      kill();
      remove(data);
    }
  }

  public static void remove(Path folder) throws IOException {
    try (var all = Files.walk(folder)) {
      for (Path path : all.sorted(Collections.reverseOrder()).toList()) Files.deleteIfExists(path);
    }
  }

  /** A database server that a Python script of the project starts, and that ends with its standard input. */
  public static final class Server implements AutoCloseable {
    private final Process process;
    /** Of a new database, as JDBC wants it. Null: there is no such server on this machine. */
    public final String url;

    private final BufferedReader said;
    private final PrintWriter told;

    private Server(String folder, String script) throws Exception {
      String head = "import json, sys\nsys.path[:0] = ['" + ROOT.resolve("tests").resolve(folder) + "']\n";
      process = new ProcessBuilder(
          "setpriv", "--pdeathsig", "KILL", "--", "/usr/bin/python3", "-B", "-c", head + script)
          .redirectError(ProcessBuilder.Redirect.INHERIT).start();
      said = process.inputReader(StandardCharsets.UTF_8);
      told = new PrintWriter(process.getOutputStream(), true, StandardCharsets.UTF_8);
      String line = said.readLine();
      if (line == null && process.waitFor() != 3) throw new AssertionError("the database server did not start");
      url = line == null ? null : JsonParser.parseString(line).getAsString();
    }

    public static Server postgresql() throws Exception {
      return postgresql("{}");
    }

    /** With settings, a dictionary of Python. */
    public static Server postgresql(String settings) throws Exception {
      return new Server("support", """
          from postgresql import Server, USER, bin_folder
          if bin_folder() is None: sys.exit(3)
          with Server(%s) as server:
              url = lambda: f"jdbc:postgresql://127.0.0.1:{server.port}/{server.new_database()}?user={USER}"
          """.formatted(settings) + OBEYS);
    }

    private static final String OBEYS = """
              print(json.dumps(url()), flush=True)
              for line in sys.stdin:
                  print(json.dumps(url() if line == "new\\n" else getattr(server, line.strip())() and None), flush=True)
          """;

    private String tell(String what) throws IOException {
      told.println(what);
      String line = said.readLine();
      if (line == null) throw new IOException("the database server's script has ended at " + what);
      return line;
    }

    /** As kill -9 does. */
    public void kill() throws IOException {
      tell("kill");
    }

    /** Again, with the same folder and port. */
    public void again() throws IOException {
      tell("start");
    }

    /** The url of another database in it. */
    public String newDatabase() throws IOException {
      return JsonParser.parseString(tell("new")).getAsString();
    }

    public static Server mariadb() throws Exception {
      return new Server("sdk_python", """
          try: import mariadb
          except ImportError: sys.exit(3)
          if mariadb.program("mariadbd") is None: sys.exit(3)
          with mariadb.Server() as server:
              url = lambda: f"jdbc:mariadb://127.0.0.1:{server.port}/{server.new_database()}?user=root"
          """ + OBEYS);
    }

    @Override
    public void close() throws Exception {
      try (OutputStream input = process.getOutputStream()) {
        input.flush();
      } catch (IOException ended) {
        // It has ended already.
      }
      process.waitFor();
    }
  }

  private Rig() {}
}
