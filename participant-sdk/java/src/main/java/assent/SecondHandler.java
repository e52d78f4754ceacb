package assent;

/** A plain handler of an operation that finishes or undoes: it has happened when it returns. */
@FunctionalInterface
public interface SecondHandler {
  void handle(Call call) throws Exception;
}
