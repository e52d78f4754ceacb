package assent.spring;

import assent.jdbc.JdbcBarrier;

/** A bean that registers actions, before the participant starts: {@code db.tcc("seat").onTry(…)}. */
@FunctionalInterface
public interface AssentActions {
  void register(JdbcBarrier db);
}
