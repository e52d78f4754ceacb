package assent;

import assent.AssentException.ConfigError;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;

/**
 * How coordinators are dialled: what clients and participants have in common.
 *
 * @param <B> the builder itself
 */
public abstract class DialBuilder<B extends DialBuilder<B>> {
  private String endpoints;
  private Tls tls;
  private Token token;
  private Duration keepalive = Duration.ofSeconds(20);

  DialBuilder() {}

  abstract B self();

  /**
   * "host:port", several separated by commas. Coordinators that share one log (some suffice, one learns of the others);
   * others must never be named together. Not given: ASSENT_ENDPOINT, or 127.0.0.1:7400.
   */
  public B endpoints(String endpoints) {
    this.endpoints = endpoints;
    return self();
  }

  public B tls(Tls tls) {
    this.tls = tls;
    return self();
  }

  public B token(Token token) {
    this.token = token;
    return self();
  }

  /** A silent connection is probed this often, and given up soon after; zero: never. 20 s; gRPC takes 10 s at least. */
  public B keepalive(Duration keepalive) {
    this.keepalive = keepalive;
    return self();
  }

  Dialling dialling() {
    Dialling dialling = new Dialling(tls == null ? Tls.ofEnvironment() : tls,
        token == null ? Token.ofEnvironment() : token, keepalive);
    for (String endpoint : endpointList()) dialling.metadata(endpoint); // says what is wrong before anything is dialled
    return dialling;
  }

  List<String> endpointList() {
    return endpointsOf(endpoints == null ? Dialling.environment("ASSENT_ENDPOINT") : endpoints);
  }

  static List<String> endpointsOf(String listed) {
    LinkedHashSet<String> endpoints = new LinkedHashSet<>();
    for (String word : listed.split(",")) {
      if (!word.isBlank()) endpoints.add(word.strip());
    }
    if (endpoints.isEmpty()) endpoints.add(Endpoint.DEFAULT);
    for (String endpoint : endpoints) Endpoint.check(endpoint);
    return new ArrayList<>(endpoints);
  }

  static void atLeast(String name, long value, long least) {
    if (value < least) throw new ConfigError(name + " is " + value + "; it must be at least " + least);
  }

  static void notNegative(String name, Duration value) {
    if (value.isNegative()) throw new ConfigError(name + " is " + value + "; it must not be negative");
  }
}
