package assent;

/**
 * A handler throws it when what it did may or may not have happened (a COMMIT whose answer was lost). No answer is the
 * true one, so the coordinator asks again.
 */
public class Unknown extends RuntimeException {
  public Unknown(String reason) {
    super(reason);
  }
}
