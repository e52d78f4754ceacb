package assent;

/** W3C Trace Context, as it travels. Empty: none. */
public record Trace(String traceparent, String tracestate) {
  public static final Trace NONE = new Trace("", "");
}
