package assent.jdbc;

import assent.Call;
import assent.Reply;
import assent.jdbc.Barrier.Kept;
import java.sql.Connection;
import java.sql.SQLException;

/** What database servers that keep prepared work do not have in common. Connections are in autocommit. */
interface Preparer {
  /** What a handler's work came to, and the state in which it leaves its branch. */
  record Work(Reply reply, Kept state) {}

  /** A handler, on the connection whose transaction its writes are to be in. */
  interface Handling {
    Reply on(Connection connection) throws Exception;
  }

  /** Tables; ConfigError: what the server has to be told first. */
  void setUp(Connection connection) throws SQLException;

  /** The branch is ours until it is unlocked, or the connection ends. */
  void lock(Connection connection, Call call) throws SQLException;

  void unlock(Connection connection, Call call) throws SQLException;

  /** Runs the handler, and prepares what it wrote if the state is PREPARED; else nothing of it is left. */
  Work work(Connection connection, JdbcBarrier.Finder actions, Call call, Handling handling) throws Exception;

  /** What a branch's row of assent_marker says. */
  enum Mark {
    /** Nothing is prepared, or it was rolled back. */
    ABSENT,
    /** Something is prepared. */
    HELD,
    COMMITTED
  }

  /** To be asked with the branch locked. */
  Mark look(Connection connection, Call call) throws Exception;

  /** Commits or rolls back what is prepared, after a look, and says what it has come to. */
  Mark end(Connection connection, Call call, boolean commits) throws Exception;

  /** What is kept beside prepared work, in the transaction that writes its row. */
  void noteAge(Connection connection, Call call) throws SQLException;

  void forgetAge(Connection connection, Call call) throws SQLException;
}
