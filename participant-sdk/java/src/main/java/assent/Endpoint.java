package assent;

import assent.AssentException.ConfigError;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The words for where a coordinator is: "host:port", "dns:host:port", "unix:/path". */
final class Endpoint {
  static final String DEFAULT = "127.0.0.1:7400";
  private static final String WANTED = "; it must be \"host:port\", such as \"" + DEFAULT + "\"";
  private static final Pattern HOST = Pattern.compile("\\[[0-9A-Fa-f:.%a-z]+\\]|[A-Za-z0-9._-]+");
  private static final Pattern PARTS = Pattern.compile("(?:dns:(?:///)?)?(.*?)(?::([0-9]{1,5}))?");
  private static final Pattern LOOPBACK = Pattern.compile("127(\\.[0-9]{1,3}){3}");

  static void check(String endpoint) {
    if (endpoint.startsWith("unix:")) return;
    if (endpoint.contains("://") && !endpoint.startsWith("dns:")) {
      throw new ConfigError("endpoint " + Text.shown(endpoint) + " is a URL" + WANTED);
    }
    Matcher parts = parts(endpoint);
    int port = parts.group(2) == null ? 0 : Integer.parseInt(parts.group(2));
    if (port < 1 || port > 65535) {
      throw new ConfigError("endpoint " + Text.shown(endpoint) + " has no port from 1 to 65535" + WANTED);
    }
    if (!HOST.matcher(parts.group(1)).matches()) {
      throw new ConfigError("endpoint " + Text.shown(endpoint) + " does not begin with a host" + WANTED);
    }
  }

  private static Matcher parts(String endpoint) {
    Matcher parts = PARTS.matcher(endpoint);
    if (!parts.matches()) throw new ConfigError("endpoint " + Text.shown(endpoint) + " is none" + WANTED);
    return parts;
  }

  /** As gRPC wants it said. */
  static String target(String endpoint) {
    return isUnix(endpoint) || endpoint.startsWith("dns:") ? endpoint : "dns:///" + endpoint;
  }

  static boolean isUnix(String endpoint) {
    return endpoint.startsWith("unix:");
  }

  /** It does not leave this machine. */
  static boolean isNear(String endpoint) {
    if (isUnix(endpoint)) return true;
    String host = parts(endpoint).group(1);
    return host.equals("localhost") || host.equals("[::1]") || LOOPBACK.matcher(host).matches();
  }

  private Endpoint() {}
}
