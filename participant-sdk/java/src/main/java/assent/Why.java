package assent;

import io.grpc.Status;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Why a call found no coordinator, or was not let in: what gRPC says of it, in one line for people. Its own words
 * ("io exception") leave the cause to those who look for it; {@code proto/tls} says the same for C++.
 */
final class Why {
  static final String NO_ANSWER = "no answer in time; is assentd running there?";
  private static final String NO_GRPC = "no gRPC at that address; does it want TLS, or is it another port?";
  private static final String ANOTHER_CERTIFICATE = "the connection is closed as soon as it is made;"
      + " does it want a certificate, and not the one, if any, that this side shows?";
  private static final String ANOTHER_NAME = "the certificate there is not one for the name that was dialled";
  private static final String NOT_SIGNED =
      "the certificate there is not signed by the CA that was given, or not valid now";

  private static final Map<Pattern, String> MEANINGS = new LinkedHashMap<>();

  static {
    MEANINGS.put(Pattern.compile("Connection refused"), "connection refused; is assentd running there?");
    MEANINGS.put(Pattern.compile("FileNotFoundException"), "there is no such socket; is assentd running there?");
    MEANINGS.put(Pattern.compile("UnknownHostException"), "there is no host of that name");
    MEANINGS.put(Pattern.compile("NotSslRecordException"), "there is no TLS at that address");
    MEANINGS.put(Pattern.compile("No subject alternative|No name matching"), ANOTHER_NAME);
    MEANINGS.put(Pattern.compile("PKIX|CertificateExpired|CertificateNotYetValid"), NOT_SIGNED);
    MEANINGS.put(Pattern.compile("alert"), ANOTHER_CERTIFICATE);
  }

  private static final Pattern HANGS_UP =
      Pattern.compile("^http2 exception|Network closed for unknown reason|Connection reset|Broken pipe|ClosedChannelException");

  /** How a call ended that had a connection. */
  static String ended(Status status) {
    return Text.oneLine(status.getDescription() == null
        ? status.getCode().toString() : status.getCode() + ": " + status.getDescription());
  }

  /** Why there was none. {@code isSecure}: it was to go over TLS. */
  static String unconnected(Status status, boolean isSecure) {
    return isUnconnected(status) ? Status.Code.UNAVAILABLE + ": " + unavailable(status, isSecure) : ended(status);
  }

  /** What is no HTTP/2 at all is "INTERNAL: http2 exception" to gRPC. */
  static boolean isUnconnected(Status status) {
    return status.getCode() == Status.Code.UNAVAILABLE
        || status.getDescription() != null && status.getDescription().startsWith("http2 exception");
  }

  /** The same, without the code. What a coordinator says is never changed. */
  static String unavailable(Status status, boolean isSecure) {
    String description = String.valueOf(status.getDescription());
    StringBuilder said = new StringBuilder(description);
    String cause = null;
    for (Throwable one = status.getCause(); one != null; one = one.getCause()) {
      said.append('\n').append(one);
      cause = Text.sentenceOf(one);
    }
    for (Map.Entry<Pattern, String> one : MEANINGS.entrySet()) {
      if (cause != null && one.getKey().matcher(said).find()) return one.getValue();
    }
    // TLS 1.3 tells of a certificate that is wanted, or not taken, when the client has done its part.
    if (HANGS_UP.matcher(said).find()) return isSecure ? ANOTHER_CERTIFICATE : NO_GRPC;
    return Text.oneLine(cause == null ? description : cause + "; is assentd running there?");
  }

  private Why() {}
}
