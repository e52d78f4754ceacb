package assent;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** A CA in a folder of its own, by openssl. Its keys are in PKCS #8. */
final class Authority {
  /** A certificate and its key. */
  record Pair(String cert, String key) {}

  private final Path folder;
  final String ca;

  Authority(Path folder, String name) throws Exception {
    this.folder = Files.createDirectory(folder.resolve(name));
    ca = path("ca.pem");
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path("ca.key"),
        "-out", ca, "-days", "30", "-subj", "/CN=" + name);
  }

  private String path(String name) {
    return folder.resolve(name).toString();
  }

  private static void openssl(String... words) throws Exception {
    List<String> command = new ArrayList<>(List.of("openssl"));
    Collections.addAll(command, words);
    try (var running = new Rig.Running(command, Map.of(), null)) {
      assertEquals(0, running.end(Duration.ofMinutes(1)), running.output());
    }
  }

  Pair make(String name) throws Exception {
    Pair pair = new Pair(path(name + ".pem"), path(name + ".key"));
    Path more = Files.writeString(folder.resolve(name + ".ext"),
        "subjectAltName=IP:127.0.0.1,DNS:coordinator.example\nextendedKeyUsage=serverAuth,clientAuth\n");
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", pair.key(), "-out",
        path(name + ".csr"), "-subj", "/CN=" + name);
    openssl("x509", "-req", "-in", path(name + ".csr"), "-CA", ca, "-CAkey", path("ca.key"), "-CAcreateserial", "-days",
        "10", "-out", pair.cert(), "-extfile", more.toString());
    Files.setPosixFilePermissions(Path.of(pair.key()), PosixFilePermissions.fromString("rw-------"));
    return pair;
  }

  /** As whoever renews files should: the new one takes the old one's place. */
  static void replace(Path path, byte[] data) throws IOException {
    Path fresh = Path.of(path + ".new");
    Files.write(fresh, data);
    Files.setPosixFilePermissions(fresh, PosixFilePermissions.fromString("rw-------"));
    Files.move(fresh, path, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
  }
}
