package assent;

/** A handler throws it to say no: final, what it wrote is undone, the transaction aborts. */
public class Refused extends RuntimeException {
  public Refused(String reason) {
    super(reason);
  }
}
