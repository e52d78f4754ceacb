package assent.jdbc;

import assent.Call;

/** A handler of an operation that finishes or undoes: it is done when it returns. */
@FunctionalInterface
public interface TxSecondHandler {
  void handle(Tx tx, Call call) throws Exception;
}
