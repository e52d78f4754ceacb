package assent.jdbc;

import java.security.SecureRandom;
import java.util.HexFormat;

/**
 * The barrier's tables by their full names: a handler may have changed what a bare one leads to (SET search_path, USE).
 *
 * @param barrier of one row per branch
 * @param marker of what became of prepared work
 * @param age PostgreSQL's: of prepared transactions
 */
record Names(String barrier, String marker, String age) {
  /** A handler cannot have a savepoint of the same name, which would stand in for ours. */
  static final String SAVEPOINT = "assent_" + suffix();

  static Names within(String schema) {
    return new Names(schema + "assent_barrier", schema + "assent_marker", schema + "assent_age");
  }

  private static String suffix() {
    byte[] random = new byte[8];
    new SecureRandom().nextBytes(random);
    return HexFormat.of().formatHex(random);
  }
}
