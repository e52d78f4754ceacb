package assent;

/**
 * A plain handler of a forward operation. What it returns as done has happened, durably. It returns or throws
 * {@link Refused} to say no, {@link RetryLater} to be asked again; any other exception is a failed attempt, and is
 * asked again.
 */
@FunctionalInterface
public interface Handler {
  Reply handle(Call call) throws Exception;
}
