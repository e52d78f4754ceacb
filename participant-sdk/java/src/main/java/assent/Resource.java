package assent;

import java.util.Collection;
import java.util.List;

/** What an adapter is: it executes branches against a database of its own. */
public interface Resource {
  Collection<? extends Action<?, ?>> actions();

  /** Before the first call. ConfigError for what is wrong says what to do. */
  void start();

  /** Returns at once; the answer may come at any time, from any thread. */
  void execute(Job job);

  /** Branches to ask the coordinator about. */
  List<Held> questions(int limit) throws Exception;

  /** What it said about one of them. {@code finished}: no command for its gid will ever be sent again. */
  void answer(Held held, Verdict verdict, boolean finished) throws Exception;

  /** Waits for what runs, though not for ever. */
  void close();
}
