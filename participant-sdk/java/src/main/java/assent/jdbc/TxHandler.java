package assent.jdbc;

import assent.Call;
import assent.Reply;

/**
 * A handler of a forward operation. It returns or throws {@link assent.Refused} to say no; any other exception is a
 * failed attempt. What it wrote is undone with every answer but done.
 */
@FunctionalInterface
public interface TxHandler {
  Reply handle(Tx tx, Call call) throws Exception;
}
